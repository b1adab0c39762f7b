"""The PyTorch side of torch-interop.test.ts: `torch_interop_worker.py PHASE FOLDER`, cases in FOLDER/cases.json."""

import json
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "torch-interop"))
import fused_optim_torch
from checkpoint_file import read, write
from fused_optim_torch import to_node, to_torch


def floats(path, count):
    with open(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32)[:count]


class Training:
    """Parameters, an optimizer of torch, and the gradients that the test wrote."""

    def __init__(self, folder, case, shared, weights):
        self.folder, self.shapes, self.steps = folder, shared["shapes"], shared["gradients"]
        flat = floats(weights, shared["elements"])
        self.params, begin = {}, 0
        for name, shape in self.shapes.items():
            size = torch.Size(shape).numel()
            self.params[name] = torch.nn.Parameter(flat[begin : begin + size].clone().reshape(shape))
            begin += size
        groups = [
            {**group, "params": [(name, self.params[name]) for name in group["params"]]} for group in case["groups"]
        ]
        for group in groups:
            if "betas" in group:
                group["betas"] = tuple(group["betas"])
        self.optimizer = getattr(torch.optim, case["torch"])(groups)

    def run(self, first, last):
        for step in range(first, last + 1):
            flat = floats(os.path.join(self.folder, f"gradients{step}"), 10**9)
            begin = 0
            for name, param in self.params.items():
                if name in self.steps[step - 1]:
                    param.grad = flat[begin : begin + param.numel()].clone().reshape(param.shape)
                    begin += param.numel()
                else:
                    param.grad = None
            self.optimizer.step()
        return self

    def save_weights(self, path):
        with open(path, "wb") as file:
            for param in self.params.values():
                file.write(param.detach().numpy().tobytes())


def differences(a, b, where="state dict"):
    """Where two state dicts differ, by bits; param_names may be new."""
    if isinstance(a, torch.Tensor):
        same = isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape
        return [] if same and torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8)) else [where]
    if isinstance(a, dict):
        if not isinstance(b, dict) or list(sorted(map(str, a))) != list(sorted(map(str, b))):
            return [f"{where}: {list(a)} and {list(b) if isinstance(b, dict) else b}"]
        return [text for key in a for text in differences(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, (list, tuple)):
        if type(a) is not type(b) or len(a) != len(b):
            return [f"{where}: {a} and {b}"]
        return [text for i, entry in enumerate(a) for text in differences(entry, b[i], f"{where}[{i}]")]
    return [] if a == b else [f"{where}: {a} and {b}"]


def call(args):
    """What the program says to these arguments; None when it does what it should."""
    try:
        fused_optim_torch.main(args)
    except fused_optim_torch.Refused as error:
        return str(error)


def trained(torch_class, shape, dtype=torch.float32, names=("w",), steps=1, **options):
    """The state dict of an optimizer that has taken some steps."""
    params = [(name, torch.nn.Parameter(torch.ones(shape, dtype=dtype))) for name in names]
    optimizer = torch_class(params if names != ("",) else [param for _, param in params], **options)
    for step in range(steps):
        for i, (_, param) in enumerate(params):
            param.grad = torch.arange(param.numel(), dtype=dtype).reshape(shape) * (step + i + 1) / 7
        optimizer.step()
    return optimizer.state_dict()


def muon(folder):
    """Two state dicts of torch, into one file of ours, and back into two."""
    os.chdir(folder)
    if not hasattr(torch.optim, "Muon"):
        return print(json.dumps([[], []]))
    matrices = trained(torch.optim.Muon, (3, 5), names=("a", "b"), steps=3, adjust_lr_fn="match_rms_adamw")
    others = trained(torch.optim.AdamW, (4,), names=("c", "d"), steps=3, amsgrad=True)
    torch.save(matrices, "muon.pt")
    torch.save(others, "others.pt")
    fused_optim_torch.main(["to-node", "muon.pt", "muon", "--adamw", "others.pt", "--step", "3"])
    fused_optim_torch.main(["to-torch", "muon", "muon2.pt", "--adamw", "others2.pt"])
    dict_ = read("muon")
    assert [group["algorithm"] for group in dict_["paramGroups"]] == ["muon", "adamw"], dict_["paramGroups"]
    assert [dict_["state"][name]["step"] for name in "abcd"] == [3, 3, 3, 3]
    print(json.dumps([differences(a, torch.load(file)) for a, file in ((matrices, "muon2.pt"), (others, "others2.pt"))]))


def calls(folder):
    os.chdir(folder)
    torch.save({"weight": torch.zeros(2)}, "names.pt")
    torch.save(trained(torch.optim.Adam, (2,), steps=0), "fresh.pt")
    torch.save(trained(torch.optim.Adam, (2,), names=("",)), "nameless.pt")
    torch.save(trained(torch.optim.Adam, (2,), dtype=torch.bfloat16), "half.pt")
    with open("calls.json", encoding="utf-8") as file:
        print(json.dumps([call(args) for args in json.load(file)]))


def train(phase, folder):
    with open(os.path.join(folder, "cases.json"), encoding="utf-8") as file:
        shared = json.load(file)
    results = {}
    for case in shared["cases"]:
        at = os.path.join(folder, case["id"])
        if phase == "begin":
            training = Training(folder, case, shared, os.path.join(folder, "weights")).run(1, shared["half"])
            training.save_weights(f"{at}.theirs.half")
            state = training.optimizer.state_dict()
            torch.save(state, f"{at}.pt")
            write(f"{at}.theirs", to_node(state, shapes=shared["shapes"], class_name=case.get("class")))
            (back,) = to_torch(read(f"{at}.theirs")).values()
            results[case["id"]] = differences(state, back)
            training.run(shared["half"] + 1, shared["steps"]).save_weights(f"{at}.theirs.end")
        else:
            training = Training(folder, case, shared, f"{at}.ours.half")
            (state,) = to_torch(read(f"{at}.ours")).values()
            training.optimizer.load_state_dict(state)
            training.run(shared["half"] + 1, shared["steps"]).save_weights(f"{at}.ours.end")
    print(json.dumps(results))


if sys.argv[1] == "calls":
    calls(sys.argv[2])
elif sys.argv[1] == "muon":
    muon(sys.argv[2])
else:
    train(*sys.argv[1:])
