"""Times torch.optim on the CPU for bench/peers/torch.ts: one JSON object a line on stdin, one answer a line on stdout.

  started                                     -> {"torch": "2.13.0+cpu", "threads": 1}
  {"cmd": "open", "shapes": [[768], ...], "optimizer": "AdamW", "options": {...}, "mode": "fused"}  -> {"parameters": 768}
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


class Worker:
    """Holds the tensors of one set and at most one optimizer over them."""

    def __init__(self):
        self.shapes = None
        self.parameters = []
        self.optimizer = None

    def open(self, shapes, optimizer, options, mode):
        if shapes != self.shapes:
            self.parameters = []
            for shape in shapes:
                parameter = torch.nn.Parameter(torch.randn(shape) * 0.02)
                parameter.grad = torch.randn(shape) * 1e-3
                self.parameters.append(parameter)
            self.shapes = shapes
        how = {"fused": True} if mode == "fused" else {"foreach": mode == "foreach"}
        self.optimizer = getattr(torch.optim, optimizer)(self.parameters, **options, **how)
        return {"parameters": sum(p.numel() for p in self.parameters)}

    def run(self, steps):
        step = self.optimizer.step
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return {"seconds": time.perf_counter() - start}

    def close(self):
        self.optimizer = None
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
