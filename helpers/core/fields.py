"""What a unit can see: the receptive field of every layer.

Exercise 3.2 is to write this, so a stranger's answer does not find it in its process.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from helpers.core.activations import walk


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that can influence a unit, as (vertical, horizontal) pairs.

    Unit (0, 0) of a layer sees the `size` pixels from `start` on (negative: padding); the unit beside it sees a
    box `stride` pixels further on. A unit that sees the whole image has stride 0. The box is that of a unit far
    from every border; at the border the padding of a layer in between may hide its outermost pixels.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def box(self, row: int = 0, column: int = 0) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the unit at (row, column) in pixels; it may reach into the padding."""
        top = self.start[0] + row * self.stride[0]
        left = self.start[1] + column * self.stride[1]
        return top, left, top + self.size[0], left + self.size[1]


@torch.inference_mode(False)  # in inference mode operations arrive undivided, and fields would not compose
def trace(model: nn.Module, size: tuple[int, int]) -> dict[str, ReceptiveField]:
    """The exact receptive fields of every layer for images of `size` (height, width).

    The forward pass runs on tensors without data while each convolution, pooling, padding, sum and
    concatenation composes the fields of its inputs (Araujo et al. 2019, "Computing Receptive Fields of
    Convolutional Neural Networks", equations 1–4; unions where branches meet). No numbers are computed.
    """
    fields, found = _FieldMode(size), {}
    with fields:
        walk(model, size, lambda path, tensor: found.update({path: fields.of(tensor)}), fields.start_from)
    return found


class _FieldMode(TorchDispatchMode):
    """Composes receptive fields while operations run, whichever modules or functions call them."""

    def __init__(self, size):
        super().__init__()
        self.whole = ReceptiveField(size=tuple(size), stride=(0, 0), start=(0, 0))
        self.known = WeakTensorKeyDictionary()

    def start_from(self, image):
        self.known[image] = ReceptiveField(size=(1, 1), stride=(1, 1), start=(0, 0))

    def of(self, tensor):
        return self.known.get(tensor, self.whole)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        flat = [t for a in args for t in (a if isinstance(a, (list, tuple)) else [a])]
        inputs = [t for t in flat if isinstance(t, Tensor) and t in self.known]
        if inputs:
            field = self._compose(function, inputs, args, result)
            for output in result if isinstance(result, (list, tuple)) else [result]:
                if isinstance(output, Tensor):
                    self.known[output] = field
        return result

    def _compose(self, function, inputs, args, result):
        field = self.known[inputs[0]]
        aten, overload = torch.ops.aten, function.overloadpacket
        output = result[0] if isinstance(result, (list, tuple)) else result
        if overload is aten.convolution:
            kernel, stride, padding, dilation = args[1].shape[2:], args[3], args[4], args[5]
            return _slide(field, kernel, stride, padding, dilation)
        if overload in (aten.max_pool2d_with_indices, aten.avg_pool2d):
            pool = [args[1], (args[2] if len(args) > 2 else None) or args[1], args[3] if len(args) > 3 else (0, 0)]
            dilation = args[4] if overload is aten.max_pool2d_with_indices and len(args) > 4 else (1, 1)
            return _slide(field, *pool, dilation)
        if overload is aten.constant_pad_nd:
            left, _, top, _ = (*args[1], 0, 0)[:4]
            return _slide(field, (1, 1), (1, 1), (top, left), (1, 1))
        if output.ndim < 3 or inputs[0].ndim < 3:  # flattened: every unit mixes the whole image
            return self.whole
        before, now = inputs[0].shape[-2:], output.shape[-2:]
        if before == now:
            return _union([self.known[tensor] for tensor in inputs])
        if all(b % n == 0 for b, n in zip(before, now, strict=True)):  # adaptive pooling into equal windows
            windows = [b // n for b, n in zip(before, now, strict=True)]
            return self.whole if tuple(now) == (1, 1) else _slide(field, windows, windows, (0, 0), (1, 1))
        return self.whole  # unequal adaptive windows: no single stride describes them


def _slide(field, kernel, stride, padding, dilation):
    """The field after a window slides over a layer that has `field`."""
    kernel, stride, padding, dilation = (
        tuple(v) * 2 if len(v) == 1 else tuple(v) for v in (kernel, stride, padding, dilation)
    )
    axes = range(2)
    return ReceptiveField(
        size=tuple(field.size[a] + (kernel[a] - 1) * dilation[a] * field.stride[a] for a in axes),
        stride=tuple(field.stride[a] * stride[a] for a in axes),
        start=tuple(field.start[a] - padding[a] * field.stride[a] for a in axes),
    )


def _union(fields):
    """The smallest box that holds the fields of several branches; one that sees everything decides."""
    for field in fields:
        if field.stride == (0, 0):
            return field
    start = tuple(min(f.start[a] for f in fields) for a in range(2))
    end = tuple(max(f.start[a] + f.size[a] for f in fields) for a in range(2))
    return ReceptiveField(size=(end[0] - start[0], end[1] - start[1]), stride=fields[0].stride, start=start)
