"""The same jobs in PyTorch: torch_worker.py <threads> <rows>x<cols>... Reads jobs, answers milliseconds."""

import sys
import time

import torch

threads = int(sys.argv[1])
torch.set_num_threads(threads)
torch.manual_seed(0)
shapes = [tuple(map(int, shape.split("x"))) for shape in sys.argv[2:]]
dtypes = {"f32": torch.float32, "bf16": torch.bfloat16}
gradients = [torch.randn(shape) * 1e-3 for shape in shapes]


def newton_schulz(g, a=3.4445, b=-4.7750, c=2.0315, steps=5):
    """What torch.optim.Muon does to a matrix, in g's own dtype."""
    x = g.T if g.size(0) > g.size(1) else g
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if g.size(0) > g.size(1) else x


def newton_schulz_all(dtype):
    inputs = [g.to(dtypes[dtype]) for g in gradients]
    return lambda: [newton_schulz(g) for g in inputs]


def product(dtype, m, n, k, symmetric):
    a = torch.full((m, k), 0.5, dtype=dtypes[dtype])
    b = a.T if symmetric else torch.full((k, n), 0.5, dtype=dtypes[dtype])
    out = torch.empty(m, n, dtype=dtypes[dtype])
    return lambda: torch.mm(a, b, out=out)


def make(words):
    if words[0] == "ns":
        return newton_schulz_all(words[1])
    return product(words[1], *map(int, words[2:]))


jobs = {}
print(f"torch {torch.__version__}", flush=True)
for line in sys.stdin:
    job = jobs.setdefault(line, None) or make(line.split())
    jobs[line] = job
    started = time.perf_counter()
    job()
    print(f"{(time.perf_counter() - started) * 1e3:.6f}", flush=True)
