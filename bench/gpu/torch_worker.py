"""Times torch on a GPU for bench/gpu/torch.ts: one JSON object a line on stdin, one answer a line on stdout.

  started                                           -> {"torch": "2.11.0+cu130", "device": "NVIDIA H200"}
  {"cmd": "copy", "bytes": 4294967296}              -> {"bytesPerSecond": 4.3e12}, read and written bytes
  {"cmd": "products", "batch": 1, "size": 8192}     -> {"flops": 7.9e14}, of bfloat16 matrices of random numbers
  {"cmd": "open", "shapes", "dtype", "sets", "optimizer", "options", "mode"} -> {"parameters": 124439808}
  {"cmd": "visit", "samples": 20, "steps": 4}       -> {"ms": [...]}, of one step, a number a sample
  {"cmd": "host", "steps": 100}                     -> {"us": [...]}, of the call of step() alone
  {"cmd": "launches"}                               -> {"grids": [320, ...]}, blocks of every kernel of one step
  {"cmd": "close"}                                  -> {}
  anything that fails                               -> {"error": "..."}

The argument is the device: "cuda", or "cpu" to try this program where there is no GPU.
"""

import gc
import json
import os
import sys
import tempfile
import time

import torch

DEVICE = sys.argv[1]
CUDA = DEVICE == "cuda"
torch.manual_seed(0)


def synchronize():
    if CUDA:
        torch.cuda.synchronize()


def samples_of(action, samples, steps):
    """Milliseconds of one step, a number for each sample of so many steps in a row."""
    if not CUDA:
        result = []
        for _ in range(samples):
            start = time.perf_counter()
            for _ in range(steps):
                action()
            result.append((time.perf_counter() - start) * 1000 / steps)
        return result
    pairs = []
    for _ in range(samples):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(steps):
            action()
        end.record()
        # Without this the host may run so far ahead that its queue is full, and waits inside the next sample.
        end.synchronize()
        pairs.append((begin, end))
    return [begin.elapsed_time(end) / steps for begin, end in pairs]


def median_seconds(action, samples=20, steps=4):
    action()
    times = sorted(samples_of(action, samples, steps))
    return times[len(times) // 2] / 1000


def make_set(shapes, dtype):
    """Parameters with gradients. Those of large models share theirs by shape: only their numbers matter."""
    shared = {}
    large = sum(torch.Size(shape).numel() for shape in shapes) > 2_000_000_000
    parameters = []
    for shape in shapes:
        parameter = torch.nn.Parameter(torch.randn(shape, device=DEVICE, dtype=dtype).mul_(0.02))
        key = tuple(shape)
        if not large or key not in shared:
            shared[key] = torch.randn(shape, device=DEVICE, dtype=dtype).mul_(1e-3)
        parameter.grad = shared[key]
        parameters.append(parameter)
    return parameters


def make_step(parameters, optimizer, options, mode):
    ways = {
        "forloop": {"foreach": False, "fused": False},
        "foreach": {"foreach": True},
        "fused": {"fused": True},
        "compiled": {"foreach": True},
        "fused-graph": {"fused": True, "capturable": True},
        "only": {},
    }
    how = dict(ways[mode])
    if mode == "forloop" and optimizer in ("NAdam", "RAdam", "RMSprop"):
        del how["fused"]  # which have none
    made = getattr(torch.optim, optimizer)(parameters, **options, **how)
    if mode == "compiled":
        return torch.compile(lambda: made.step())
    if mode != "fused-graph" or not CUDA:
        return made.step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            made.step()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made.step()
    return graph.replay


class Worker:
    """Holds the tensors of one set, as often as is rotated over, and one optimizer over each."""

    def __init__(self):
        self.steps = []
        self.at = 0

    def step(self):
        self.at = (self.at + 1) % len(self.steps)
        self.steps[self.at]()

    def copy(self, bytes):
        source = torch.randn(bytes // 4, device=DEVICE)
        target = torch.empty_like(source)
        return {"bytesPerSecond": 2 * source.nbytes / median_seconds(lambda: target.copy_(source))}

    def products(self, batch, size):
        a, b = (torch.randn(batch, size, size, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
        out = torch.empty_like(a)
        if batch == 1:
            a, b, out = a[0], b[0], out[0]
        multiply = torch.mm if batch == 1 else torch.bmm
        seconds = median_seconds(lambda: multiply(a, b, out=out))
        return {"flops": 2 * batch * size**3 / seconds}

    def open(self, shapes, dtype, sets, optimizer, options, mode):
        self.close()
        for _ in range(sets):
            parameters = make_set(shapes, getattr(torch, dtype))
            self.steps.append(make_step(parameters, optimizer, options, mode))
        for _ in range(2 * sets):
            self.step()
        synchronize()
        return {"parameters": sum(parameter.numel() for parameter in parameters)}

    def visit(self, samples, steps):
        return {"ms": samples_of(self.step, samples, steps)}

    def host(self, steps):
        result = []
        for index in range(steps):
            if index % 20 == 0:
                synchronize()
            start = time.perf_counter()
            self.step()
            result.append((time.perf_counter() - start) * 1e6)
        synchronize()
        return {"us": result}

    def launches(self):
        activities = [getattr(torch.profiler.ProfilerActivity, "CUDA" if CUDA else "CPU")]
        with torch.profiler.profile(activities=activities) as profile:
            self.step()
            synchronize()
        file = os.path.join(tempfile.mkdtemp(), "trace.json")
        profile.export_chrome_trace(file)
        with open(file) as trace:
            events = json.load(trace)["traceEvents"]
        kernels = [event for event in events if event.get("cat") == "kernel"]
        return {"grids": [event["args"]["grid"][0] for event in kernels]}

    def close(self):
        self.steps = []
        self.at = 0
        gc.collect()
        if CUDA:
            torch.cuda.empty_cache()
        return {}


def main():
    # What libraries print must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if CUDA and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU")
    device = torch.cuda.get_device_name() if CUDA else "this processor"
    print(json.dumps({"torch": torch.__version__, "device": device}), file=answers, flush=True)
    worker = Worker()
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = getattr(worker, request.pop("cmd"))(**request)
        except Exception as error:  # the bench shows it and goes on, with another process
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


main()
