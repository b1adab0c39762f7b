#!/usr/bin/env python3
"""Moves optimizer state between torch.optim and fused-optim. Needs Python 3.9 and torch, nothing else.

    fused_optim_torch.py to-node STATE.pt OPTIMIZER.safetensors [--names NAMES.json]
    fused_optim_torch.py to-torch OPTIMIZER.safetensors STATE.pt [--names NAMES.json]

STATE.pt is torch.save(optimizer.state_dict()); OPTIMIZER.safetensors is what optimizer.save() writes in Node.
README.md beside this file says what is mapped to what. As a module: to_node(), to_torch(), read() and write().
"""

import argparse
import json
import pickle
import sys

import torch

from checkpoint_file import read, write
from mapping import CLASSES, Refused, class_of_state_dict

#: The step count given to tensors of optimizers that have none in torch (SGD and Muon) but have a buffer.
SOME_STEP = 1


def indexed_names(groups, names):
    """The name of each index in a torch state dict."""
    indices = [index for group in groups for index in group["params"]]
    own = [name for group in groups for name in group.get("param_names", [])]
    if names is None and len(own) == len(indices):
        names = own
    if names is None:
        raise Refused(
            "Expected the names of the parameters: the state dict has none (torch 2.6 and later keep them when the "
            "optimizer was made of model.named_parameters()), so give --names."
        )
    if len(names) != len(indices) or len(set(names)) != len(names):
        raise Refused(f"Expected {len(indices)} different names, one for each parameter, but received {len(names)}.")
    return dict(zip(indices, names))


def shape_of(name, state, entry, shapes):
    for key in entry.states:
        if isinstance(state.get(key), torch.Tensor):
            return list(state[key].shape)
    if shapes is None or name not in shapes:
        raise Refused(
            f'Expected the shape of "{name}": it has no state yet, so give --names as a JSON object of names and shapes.'
        )
    return list(shapes[name])


def float32(tensor, what):
    if tensor.dtype is not torch.float32:
        raise Refused(f"Expected {what} to be float32 but it is {tensor.dtype}; states of another type are not moved.")
    return tensor.detach().to("cpu").contiguous()


def node_state(name, state, entry, group, shapes, step):
    """One parameter's part of our state dict."""
    shape = shape_of(name, state, entry, shapes)
    wanted = entry.used(group)
    present = [key for key in wanted if isinstance(state.get(key), torch.Tensor)]
    if "step" in state:
        count = int(state["step"])
    else:
        # torch counts no steps for these; ours have to know whether there was one.
        count = step or (SOME_STEP if present else 0)
        if wanted and not present:
            count = 0
    result = {"shape": shape, "step": count}
    if count == 0 and not entry.from_the_start:
        return result
    if present != wanted:
        missing = [key for key in wanted if key not in present]
        raise Refused(f'Expected {", ".join(missing)} of "{name}" in the state dict but it is missing.')
    for key in entry.scalars:
        result[CLASSES.camel(key)] = float(state[key])
    for key in wanted:
        result[CLASSES.camel(key)] = float32(state[key], f'{key} of "{name}"')
    return result


def to_node(state_dict, names=None, shapes=None, step=None, class_name=None, second=None):
    """Our state dict, as a Python dict, from one of torch.optim.

    names: the parameters' names, in torch's order, where the state dict has none of its own.
    shapes: shapes by name; needed only for parameters without a state.
    step: steps taken, where torch does not count them (SGD, Muon). Default: 1 for what has a buffer.
    class_name: the class in Node, where there is a choice (AMSGrad) or torch is older than 2.7 (Adam or AdamW).
    second: the state dict of the torch.optim.AdamW beside a torch.optim.Muon, and its names: a pair.
    """
    algorithm = class_of_state_dict(state_dict, class_name)
    parts = [(state_dict, names, CLASSES[algorithm])]
    if second is not None:
        if algorithm != "Muon":
            raise Refused(f"Expected a second state dict only beside that of Muon but the first is of {algorithm}.")
        parts.append((second[0], second[1], CLASSES["Muon/adamw"]))
    state, groups = {}, []
    for part, part_names, entry in parts:
        by_index = indexed_names(part["param_groups"], part_names)
        for index, group in enumerate(part["param_groups"]):
            groups.append({**entry.node_options(group, index), "params": [by_index[i] for i in group["params"]]})
            for i in group["params"]:
                name = by_index[i]
                if name in state:
                    raise Refused(f'Expected unique names but received "{name}" twice.')
                state[name] = node_state(name, part["state"].get(i, {}), entry, group, shapes, step)
    total = max([step or 0, *(entry["step"] for entry in state.values())])
    return {"version": 1, "algorithm": algorithm, "step": total, "state": state, "paramGroups": groups}


def torch_state(name, given, entry, group):
    """One parameter's part of a torch state dict; None when torch keeps nothing for it."""
    count = given["step"]
    if count == 0 and not entry.from_the_start:
        return None
    result = {}
    if entry.counts:
        result["step"] = torch.tensor(float(count))
    for key in entry.scalars:
        result[key] = torch.tensor(given[CLASSES.camel(key)], dtype=torch.float32)
    for key in entry.used(group):
        if CLASSES.camel(key) in given:
            result[key] = given[CLASSES.camel(key)].clone()
        elif entry.from_the_start:
            result[key] = torch.full(given["shape"], float(group["initial_accumulator_value"]))
    return result or None


def in_order(params, names):
    if names is None:
        return list(params)
    place = {name: i for i, name in enumerate(names)}
    missing = [name for name in params if name not in place]
    if missing:
        raise Refused(f'Expected "{missing[0]}" among the given names but it is not there.')
    return sorted(params, key=place.__getitem__)


def to_torch(state_dict, names=None):
    """State dicts of torch.optim by class name, from ours: one, or those of Muon and AdamW.

    names: the order in which torch has the parameters. Default: that of the optimizer in Node.
    """
    algorithm = state_dict["algorithm"]
    results = {}
    for index, group in enumerate(state_dict["paramGroups"]):
        key = algorithm if group.get("algorithm") != "adamw" else "Muon/adamw"
        if key not in CLASSES:
            raise Refused(f"torch.optim has no {algorithm}.")
        entry = CLASSES[key]
        result = results.setdefault(entry.torch_name, {"state": {}, "param_groups": []})
        options = entry.torch_options(group, index)
        params = in_order(group["params"], names)
        first = sum(len(other["params"]) for other in result["param_groups"])
        for i, name in enumerate(params, first):
            state = torch_state(name, state_dict["state"][name], entry, options)
            if state is not None:
                result["state"][i] = state
        indices = list(range(first, first + len(params)))
        result["param_groups"].append({**options, "param_names": params, "params": indices})
    return results


def load_torch(path, key):
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise Refused(f"Expected {path} to be a file of torch.save but it is not, or holds more than tensors.") from error
    for part in key.split(".") if key else []:
        if not isinstance(found, dict) or part not in found:
            raise Refused(f'Expected "{key}" in {path} but it is not there.')
        found = found[part]
    if not isinstance(found, dict) or not {"state", "param_groups"} <= found.keys():
        hint = ""
        if isinstance(found, dict):
            hint = f"; it has {', '.join(map(str, list(found)[:8]))}: choose one with --key"
        raise Refused(f"Expected {path} to hold the state dict of an optimizer but it holds something else{hint}.")
    return found


def load_names(path):
    """Names, and shapes where the file is a JSON object."""
    if path is None:
        return None, None
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    if isinstance(given, dict):
        return list(given), given
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        return given, None
    raise Refused(f"Expected {path} to hold a JSON array of names, or an object of names and shapes.")


def main(args):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("direction", choices=["to-node", "to-torch"])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--names", help="JSON: an array of names in torch's order, or an object of names and shapes")
    parser.add_argument("--key", help="where in the .pt file the optimizer's state dict is, as in: optimizer")
    parser.add_argument("--class", dest="class_name", help="the class in Node, where the file leaves a choice")
    parser.add_argument("--step", type=int, help="steps taken, where torch counts none (SGD, Muon)")
    parser.add_argument("--adamw", help="beside Muon: the .pt file of the AdamW that has the other parameters")
    parser.add_argument("--adamw-names", help="--names of that file")
    given = parser.parse_args(args)
    names, shapes = load_names(given.names)
    if given.direction == "to-node":
        second = None
        if given.adamw:
            more_names, more_shapes = load_names(given.adamw_names)
            second = (load_torch(given.adamw, given.key), more_names)
            shapes = {**(shapes or {}), **(more_shapes or {})}
        write(
            given.target,
            to_node(load_torch(given.source, given.key), names, shapes, given.step, given.class_name, second),
        )
        return
    results = to_torch(read(given.source), names)
    other = results.pop("AdamW") if len(results) > 1 else None
    if other is not None and not given.adamw:
        raise Refused("Expected --adamw with a second file: torch keeps Muon and AdamW in optimizers of their own.")
    (result,) = results.values()
    torch.save(result, given.target)
    if other is not None:
        torch.save(other, given.adamw)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Refused, OSError) as error:
        sys.exit(f"fused_optim_torch: {error}")
