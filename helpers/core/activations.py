"""What a network computes on the way: captured layers.

A layer is named by its module's path in the model (`features.3`), as `named_modules()` gives it. A module that
the forward pass calls again has its later calls numbered `layer1.0.relu_1`, `layer1.0.relu_2`, … (the naming
of torch.fx); `input of classifier` is what a module is given; the empty path is the whole model.
"""

import copy
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

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


def walk(
    model: nn.Module,
    size: tuple[int, int],
    note: Callable[[str, Tensor], None],
    start: Callable[[Tensor], None] = lambda image: None,
) -> None:
    """A whole forward pass without numbers: `note` is told of every layer's inputs and outputs, by path.

    Args:
        size: of the image (height, width).
        start: is told of the image beforehand.
    """
    calls: dict[str, int] = {}

    def before(path):
        def hook(_, arguments):
            call = calls[path] = calls.get(path, -1) + 1
            tell(INPUT + path + (f"_{call}" if call else ""), arguments[0])

        return hook

    def after(path):
        def hook(_, __, output):
            tell(path + (f"_{calls[path]}" if calls[path] else ""), output)

        return hook

    def tell(path, tensor):
        if isinstance(tensor, Tensor):
            note(path, tensor)

    model = without_data(model)
    for path, module in model.named_modules():
        module.register_forward_pre_hook(before(path))
        module.register_forward_hook(after(path))
    kind = next((tensor.dtype for tensor in model.parameters()), None)
    image = torch.empty(1, 3, *size, device="meta", dtype=kind)
    start(image)
    with torch.no_grad():
        model(image)


def shapes(model: nn.Module, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The shape that every layer puts out for one image of `size` (height, width), without the batch."""
    found: dict[str, tuple[int, ...]] = {}
    walk(model, size, lambda path, tensor: found.update({path: tuple(tensor.shape[1:])}))
    return found


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
