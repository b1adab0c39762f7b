"""Reads and writes fused-optim's checkpoints: safetensors files with a state dict in the metadata.

docs/checkpoints.md describes the format.
"""

import ctypes
import json
import math
import os
import struct
import sys

import torch

from mapping import Refused, torch_name

SCHEMA = "1"
OWN = ("format", "schema", "library")
VALUES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0, "undefined": None}


def to_plain(value, path, store):
    """JSON for a value; what JSON has no word for becomes an object with one name that begins with "$"."""
    if isinstance(value, torch.Tensor):
        return {"$tensor": store(value, path)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$value": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, (list, tuple)):
        return [to_plain(entry, path + [str(i)], store) for i, entry in enumerate(value)]
    if isinstance(value, dict):
        entries = {key: to_plain(entry, path + [key], store) for key, entry in value.items()}
        if any(key.startswith("$") for key in entries):
            return {"$entries": [list(entry) for entry in entries.items()]}
        return entries
    return value


def from_plain(value, tensors):
    if isinstance(value, list):
        return [from_plain(entry, tensors) for entry in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, held),) = value.items()
        if mark == "$value":
            return VALUES[held]
        if mark == "$tensor":
            return tensors[held]
        if mark == "$entries":
            return {key: from_plain(entry, tensors) for key, entry in held}
    return {key: from_plain(entry, tensors) for key, entry in value.items()}


def write(path, state_dict):
    """Writes a state dict, as to_node() gives it, to a file that Optimizer.load() takes."""
    check_byte_order()
    tensors = {}

    def store(tensor, at):
        names = at[1:] if at[0] == "state" else at
        name = key = ".".join([*names[:-1], torch_name(names[-1])])
        number = 1
        while key in tensors:
            number += 1
            key = f"{name}#{number}"
        tensors[key] = tensor
        return key

    fields = {name: json.dumps(to_plain(value, [name], store)) for name, value in state_dict.items()}
    header = {
        "__metadata__": {
            "format": "fused-optim",
            "schema": SCHEMA,
            "library": f"torch-interop, torch {torch.__version__}",
            **fields,
        }
    }
    end = 0
    for key, tensor in tensors.items():
        begin, end = end, end + 4 * tensor.numel()
        header[key] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for tensor in tensors.values():
                file.write(ctypes.string_at(tensor.data_ptr(), 4 * tensor.numel()) if tensor.numel() else b"")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def read(path):
    """Reads the state dict that Optimizer.save() wrote."""
    check_byte_order()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if length > size - 8:
            raise Refused(f"Expected {path} to be a safetensors file but it is cut short.")
        try:
            header = json.loads(file.read(length))
            metadata = header.pop("__metadata__")
        except (ValueError, KeyError, AttributeError) as error:
            raise Refused(f"Expected {path} to be a checkpoint of fused-optim but its header is not.") from error
        if metadata.get("format") != "fused-optim" or metadata.get("schema") != SCHEMA:
            raise Refused(f"Expected {path} to be a checkpoint of fused-optim of schema {SCHEMA} but it is not.")
        tensors = {key: read_tensor(file, 8 + length, key, entry) for key, entry in header.items()}
    fields = {name: json.loads(text) for name, text in metadata.items() if name not in OWN}
    return from_plain(fields, tensors)


def read_tensor(file, start, key, entry):
    begin, end = entry["data_offsets"]
    if entry["dtype"] != "F32" or end - begin != 4 * math.prod(entry["shape"]):
        raise Refused(f'Expected "{key}" to be float32 of shape {entry["shape"]} but it is not.')
    file.seek(start + begin)
    data = bytearray(file.read(end - begin))
    if len(data) != end - begin:
        raise Refused(f'Expected {end - begin} bytes for "{key}" but the file is cut short.')
    flat = torch.frombuffer(data, dtype=torch.float32) if data else torch.empty(0)
    return flat.reshape(entry["shape"])


def check_byte_order():
    if sys.byteorder != "little":
        raise Refused("Checkpoints need a little-endian processor.")
