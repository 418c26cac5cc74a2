"""Arguments and answers as bytes, between the judge and a process that is not to be trusted. No pickle: whatever
arrives is numbers, text, tensors, lists and tuples, or it is refused.
"""

import json
import numbers
import struct

import torch
from torch import Tensor

from helpers.core.networks import Network
from helpers.exercises.toys import toy

LARGEST = 64_000_000  # bytes of a message
NUMBERS = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


class Odd:
    """Stands for an answer that cannot be sent; `__class__` is named after its type, for the message."""


def encode(value) -> bytes:
    """A value as bytes. Whatever is none of the things above becomes an `Odd` at the other end."""
    blob = bytearray()
    tree = json.dumps(_tree(value, blob)).encode()
    return struct.pack(">I", len(tree)) + tree + bytes(blob)


def decode(message: bytes):
    """What `encode` was given.

    Raises:
        ValueError: these bytes come from something else.
    """
    try:
        (length,) = struct.unpack_from(">I", message)
        blob = memoryview(message)[4 + length :]
        return _value(json.loads(message[4 : 4 + length]), blob)
    except Exception as error:  # whoever sent them may have meant harm
        raise ValueError(f"not a message ({type(error).__name__})") from None


def _tree(value, blob):
    if isinstance(value, Network):
        return {"network": {key: _tree(part, blob) for key, part in value.recipe.items()}}
    if isinstance(value, Tensor):
        number = str(value.dtype).removeprefix("torch.")
        if number not in NUMBERS or value.layout != torch.strided or value.is_meta:
            return {"odd": f"tensor of {number}"}
        data = value.detach().cpu().contiguous().numpy().tobytes()
        start = len(blob)
        blob += data
        tree = {"tensor": number, "shape": list(value.shape), "start": start, "leaf": value.requires_grad}
        more = {"grad": value.grad if value.is_leaf else None, "slopes": getattr(value, "slopes", None)}
        return tree | {name: _tree(part, blob) for name, part in more.items() if part is not None}
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [_tree(part, blob) for part in value]}
    if isinstance(value, dict):
        return {"dict": {str(key): _tree(part, blob) for key, part in value.items()}}
    if value is None or type(value) in (bool, int, float, str):
        return {"plain": value}
    if isinstance(value, numbers.Real):  # NumPy's scalars
        return {"plain": int(value) if isinstance(value, numbers.Integral) else float(value)}
    return {"odd": type(value).__name__}


def _value(tree, blob):
    if not isinstance(tree, dict):
        raise ValueError("tree")
    ((kind, content), *_) = tree.items()
    if kind == "plain" and type(content) in (bool, int, float, str, type(None)):
        return content
    if kind == "list":
        return [_value(part, blob) for part in content]
    if kind == "tuple":
        return tuple(_value(part, blob) for part in content)
    if kind == "dict":
        return {key: _value(part, blob) for key, part in content.items()}
    if kind == "odd":
        return type(str(content)[:40], (Odd,), {})()
    if kind == "network":
        return toy(**{key: _value(part, blob) for key, part in content.items()})
    if kind == "tensor" and content in NUMBERS:
        return _tensor(tree, blob)
    raise ValueError(kind)


def _tensor(tree, blob):
    number, shape, start = getattr(torch, tree["tensor"]), tree["shape"], tree["start"]
    count = 1
    for side in shape:
        if type(side) is not int or side < 0:
            raise ValueError("shape")
        count *= side
    if type(start) is not int or start < 0 or start + count * number.itemsize > len(blob):
        raise ValueError("length")
    data = bytearray(blob[start : start + count * number.itemsize])
    tensor = torch.frombuffer(data, dtype=number).view(shape) if count else torch.empty(shape, dtype=number)
    if tree.get("leaf") and tensor.is_floating_point():
        tensor.requires_grad_()
        if "grad" in tree:
            tensor.grad = _value(tree["grad"], blob)
        if "slopes" in tree:  # the gradients of the sum of what the function returned
            tensor.slopes = _value(tree["slopes"], blob)
    return tensor


def send(file, value) -> None:
    """Write a value to a binary file, its length before it."""
    message = encode(value)
    file.write(struct.pack(">I", len(message)) + message)
    file.flush()


def receive(read) -> object:
    """The next value; `read(count)` returns exactly so many bytes.

    Raises:
        ValueError: what arrives is no message, or larger than LARGEST.
    """
    (length,) = struct.unpack(">I", read(4))
    if length > LARGEST:
        raise ValueError(f"a message of {length} bytes; {LARGEST} are allowed")
    return decode(read(length))
