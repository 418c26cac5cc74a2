"""What a network computes on the way: captured layers, and the pixels that each unit can see.

A layer is named by its module's path in the model (`features.3`), as `named_modules()` gives it. A module that
the forward pass calls again has its later calls numbered `layer1.0.relu_1`, `layer1.0.relu_2`, … (the naming
of torch.fx); `input of classifier` is what a module is given; the empty path is the whole model.
"""

import copy
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

INPUT = "input of "


def split_path(model: nn.Module, path: str) -> tuple[nn.Module, int, bool]:
    """The module that a path names, which of its calls is meant (from 0), and whether its input is meant.

    Raises:
        KeyError: there is no such module.
    """
    of_input = path.startswith(INPUT)
    base = path.removeprefix(INPUT)
    numbered = re.fullmatch(r"(.+)_(\d+)", base)
    for name, call in [(base, 0)] + ([(numbered[1], int(numbered[2]))] if numbered else []):
        try:
            return model.get_submodule(name), call, of_input
        except AttributeError:
            continue
    raise KeyError(path)


def without_data(model: nn.Module) -> nn.Module:
    """A copy of a model whose parameters and buffers have their shapes, but no numbers."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): torch.empty_like(tensor, device="meta") for tensor in tensors})


class _Reached(Exception):
    """Ends a forward pass once everything asked for has been captured."""


def capture(model: nn.Module, inputs: Tensor, paths: list[str], as_they_lie: bool = False) -> dict[str, Tensor]:
    """Run `model(inputs)` no further than the deepest of `paths` and return what each of them held.

    A captured tensor lies on the path from `inputs` to whatever is captured further down, so gradients flow from it,
    through it and to it. The model goes on with a copy, so in-place operations further down cannot overwrite what was
    captured; behind the deepest no copy is needed, as the pass ends there. No hook survives, whatever the model raises.

    Args:
        as_they_lie: leave out the copy by which `.view()` works on what is handed out.

    Raises:
        KeyError: a path names no module.
        ValueError: the forward pass never reaches a path.
    """
    wanted: dict[nn.Module, list[tuple[int, bool, str]]] = {}
    for path in paths:
        module, call, of_input = split_path(model, path)
        wanted.setdefault(module, []).append((call, of_input, path))
    captured: dict[str, Tensor] = {}
    handles = []

    def keep(path, tensor):
        """Keep a tensor and return the copy to go on with, which lies in memory as the tensor did."""
        captured[path] = tensor if as_they_lie else tensor.contiguous()
        if tensor.requires_grad and not tensor.is_leaf:  # a hook on the caller's own tensor would outlive the pass
            # a gradient in another layout would slow all that is below; and torch's batch norm on the CPU misreads
            # some strides of a single image's gradient (seen in 2.14)
            strides = torch.empty_like(tensor, device="meta").stride()
            tensor.register_hook(lambda gradient: None if gradient is None else _laid_out(gradient, strides))
        if len(captured) == len(set(paths)):
            raise _Reached
        return captured[path].clone(memory_format=_layout(tensor))

    def watch(module, asked):
        calls = -1

        def before(_, arguments):
            nonlocal calls
            calls += 1
            for call, of_input, path in asked:
                if of_input and call == calls:
                    return keep(path, arguments[0]), *arguments[1:]
            return None

        def after(_, __, output):
            for call, of_input, path in asked:
                if not of_input and call == calls:
                    return keep(path, output)
            return None

        handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(after))

    try:
        for module, asked in wanted.items():
            watch(module, asked)
        model(inputs)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    missing = [path for path in paths if path not in captured]
    if missing:
        raise ValueError(f"layer {missing[0]!r} is not reached by the forward pass")
    return captured


def _layout(tensor):
    side_by_side = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if side_by_side else torch.contiguous_format


def _laid_out(gradient, strides):
    if gradient.stride() == strides:
        return gradient
    return gradient.new_empty_strided(gradient.shape, strides).copy_(gradient)


def distance(features: Tensor, target: Tensor) -> Tensor:
    """‖F − P‖² / ‖P‖² for each of a batch, (N, …) and (N or 1, …) → (N,): 0 is the same, 1 as far as F = 0.

    Where the target is silent, P = 0, it is ‖F‖²: finite, and 0 for what is silent, too.
    """
    squared = (features - target).flatten(1).square().sum(1)
    size = target.flatten(1).square().sum(1)
    return squared / size.where(size > 0, 1)


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


@dataclass(frozen=True)
class Trace:
    """What one layer puts out for an image of the size traced: its shape without the batch, and its field."""

    shape: tuple[int, ...]
    field: ReceptiveField


@torch.inference_mode(False)  # in inference mode operations arrive undivided, and fields would not compose
def trace(model: nn.Module, size: tuple[int, int]) -> dict[str, Trace]:
    """Shapes and exact receptive fields of every layer for images of `size` (height, width).

    The forward pass runs on tensors without data while each convolution, pooling, padding, sum and
    concatenation composes the fields of its inputs (Araujo et al. 2019, "Computing Receptive Fields of
    Convolutional Neural Networks", equations 1–4; unions where branches meet). No numbers are computed.
    """
    fields = _FieldMode(size)
    found: dict[str, Trace] = {}
    calls: dict[str, int] = {}

    def note(path, tensor):
        if isinstance(tensor, Tensor):
            found[path] = Trace(tuple(tensor.shape[1:]), fields.of(tensor))

    def before(path):
        def hook(_, arguments):
            call = calls[path] = calls.get(path, -1) + 1
            note(INPUT + path + (f"_{call}" if call else ""), arguments[0])

        return hook

    def after(path):
        def hook(_, __, output):
            note(path + (f"_{calls[path]}" if calls[path] else ""), output)

        return hook

    model = without_data(model)
    for path, module in model.named_modules():
        module.register_forward_pre_hook(before(path))
        module.register_forward_hook(after(path))
    kind = next((tensor.dtype for tensor in model.parameters()), None)
    image = torch.empty(1, 3, *size, device="meta", dtype=kind)
    with torch.no_grad(), fields:
        fields.start_from(image)
        model(image)
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
