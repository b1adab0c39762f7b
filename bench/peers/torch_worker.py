"""Times torch.optim on the CPU for bench/peers/torch.ts: one JSON object a line on stdin, one answer a line on stdout.

  started                                     -> {"torch": "2.13.0+cpu", "threads": 1}
  {"cmd": "open", "shapes": [[768], ...], "optimizer": "AdamW", "options": {...}, "mode": "fused"}  -> {"parameters": 768}
  {"cmd": "open", "shapes": [[768, 768], ...], "mode": "products", "dtype": "float32"}: the products of a step of Muon
  {"cmd": "run", "steps": 5}                  -> {"seconds": 0.004}, the time of all steps
  {"cmd": "close"}                            -> {}
  anything that fails                         -> {"error": "..."}

The argument is the number of threads: OpenMP reads it once, so each number has a process of its own.
"""

import gc
import json
import os
import sys
import time

THREADS = int(sys.argv[1])
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)

import torch  # noqa: E402  (after the settings it reads)

torch.set_num_threads(THREADS)
torch.manual_seed(0)


def check_bfloat16():
    """Without instructions for them, torch's products in bfloat16 take a hundred times as long as in float32."""
    a = torch.ones(256, 256, dtype=torch.bfloat16)
    torch.mm(a, a)
    start = time.perf_counter()
    torch.mm(a, a)
    gflops = 2 * 256**3 / (time.perf_counter() - start) / 1e9
    if gflops < 10:
        raise RuntimeError("products in bfloat16 run at less than 10 GFLOP/s here; --slow times them all the same.")


def newton_schulz_products(shapes, dtype, steps=5):
    """The products X Xt, A A and B X of every step, into arrays that exist."""
    work = []
    for rows, cols in shapes:
        small, large = min(rows, cols), max(rows, cols)
        x, y = (torch.full((small, large), 1e-3, dtype=dtype) for _ in range(2))
        a, b = (torch.full((small, small), 1e-3, dtype=dtype) for _ in range(2))
        work.append((x, y, a, b))

    def step():
        for x, y, a, b in work:
            for _ in range(steps):
                torch.mm(x, x.T, out=a)
                torch.mm(a, a, out=b)
                torch.mm(b, x, out=y)

    return step


class Worker:
    """Holds the tensors of one set and at most one optimizer over them."""

    def __init__(self):
        self.shapes = None
        self.parameters = []
        self.step = None

    def open(self, shapes, mode, slow, optimizer=None, options=None, dtype=None):
        if (optimizer == "Muon" or dtype == "bfloat16") and not slow:
            check_bfloat16()
        if mode == "products":
            self.step = newton_schulz_products(shapes, getattr(torch, dtype))
            return {}
        if shapes != self.shapes:
            self.parameters = []
            for shape in shapes:
                parameter = torch.nn.Parameter(torch.randn(shape) * 0.02)
                parameter.grad = torch.randn(shape) * 1e-3
                self.parameters.append(parameter)
            self.shapes = shapes
        how = {"fused": True} if mode == "fused" else {"foreach": mode == "foreach"}
        if optimizer == "Muon":  # has one implementation
            how = {}
        self.step = getattr(torch.optim, optimizer)(self.parameters, **options, **how).step
        return {"parameters": sum(p.numel() for p in self.parameters)}

    def run(self, steps):
        step = self.step
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return {"seconds": time.perf_counter() - start}

    def close(self):
        self.step = None
        gc.collect()
        return {}


def main():
    worker = Worker()
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = getattr(worker, request.pop("cmd"))(**request)
        except Exception as error:  # the bench shows it and goes on
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


main()
