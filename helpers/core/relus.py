"""Another backward rule for every ReLU that runs.

Sources:
    Springenberg et al. 2015, "Striving for Simplicity", section 3.4 (guided backprop)
    Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 2.1 (deconvnet)
"""

import copy
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.core.arguments import one_of
from helpers.core.networks import Network

Rule = Literal["gradient", "guided", "deconvnet"]

INFINITY = float("inf")
_aten = torch.ops.aten

# ── The rules of the literature, for every ReLU of any network ───────────────────────────────────────────────


class ReluRule(TorchFunctionMode):
    """A context in which every ReLU that runs gets another backward rule: `with ReluRule("guided") as rule:`

    It stands between PyTorch's functions and whoever calls them, so modules, plain functions, a module that is
    used again, in-place ReLUs and ReLU6 are all the same to it. (A hook on `nn.ReLU` modules sees none of the
    57 ReLUs of GoogLeNet, which are function calls, and 120 of DenseNet-121's 121.)

    Attributes:
        met: how many ReLUs ran inside the context, counted where PyTorch hands them to the device.
        changed: how many of them were given the rule. On leaving the context the two must agree.

    Raises:
        ValueError: `rule` is not one of those named.
        RuntimeError: on leaving, when a ReLU ran that could not be changed, as in a compiled or scripted model.
    """

    def __init__(self, rule: Rule = "guided"):
        super().__init__()
        self.rule = one_of("rule", rule, Rule)
        self.changed = 0
        self._watch = _CountRelus()

    @property
    def met(self) -> int:
        return self._watch.met

    def __enter__(self):
        self._watch.__enter__()
        return super().__enter__()

    def __exit__(self, kind, error, trace):
        super().__exit__(kind, error, trace)
        self._watch.__exit__(kind, error, trace)
        if kind is None and self.rule != "gradient" and self.met != self.changed:
            raise RuntimeError(
                f"rule {self.rule!r} reached {self.changed} of the {self.met} ReLUs that ran; "
                "a compiled or scripted model hides the others"
            )

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        relu = _as_relu(function, args, kwargs)
        if relu is None or self.rule == "gradient":
            return function(*args, **kwargs)
        self.changed += 1
        return (_Guided if self.rule == "guided" else _Deconvnet).apply(*relu)


class _CountRelus(TorchDispatchMode):
    """Counts the ReLUs that reach the device, whoever called them."""

    def __init__(self):
        super().__init__()
        self.met = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__.rstrip("_")
        # a hardtanh is a ReLU with a ceiling if it starts at 0, a threshold is a ReLU if it puts 0 below 0
        starts_at_zero = name == "hardtanh" and args[1] == 0
        puts_zero_below_zero = name == "threshold" and args[1] == args[2] == 0
        self.met += name == "relu" or starts_at_zero or puts_zero_below_zero
        return function(*args, **(kwargs or {}))


class _Guided(torch.autograd.Function):
    """A ReLU, cut off at `ceiling`, that lets only positive gradients pass where the unit was active."""

    @staticmethod
    def forward(ctx, x, ceiling, in_place):
        if in_place:
            ctx.mark_dirty(x)
        y = _clip(x, ceiling, in_place)
        ctx.save_for_backward(y)
        ctx.ceiling = ceiling
        return y

    @staticmethod
    def backward(ctx, gradient):
        (y,) = ctx.saved_tensors
        positive = gradient.clamp_min(0)
        if ctx.ceiling == INFINITY:
            return _aten.threshold_backward(positive, y, 0), None, None  # where y > 0
        return _aten.hardtanh_backward(positive, y, 0.0, ctx.ceiling), None, None  # where 0 < y < ceiling


class _Deconvnet(torch.autograd.Function):
    """A ReLU, cut off at `ceiling`, whose gradient is itself rectified, wherever the unit stood."""

    @staticmethod
    def forward(ctx, x, ceiling, in_place):
        if in_place:
            ctx.mark_dirty(x)
        return _clip(x, ceiling, in_place)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp_min(0), None, None


def _clip(x, ceiling, in_place=False):
    if ceiling == INFINITY:
        return torch.relu_(x) if in_place else torch.relu(x)
    return F.hardtanh(x, 0.0, ceiling, inplace=in_place)


_RELU = {F.relu, torch.relu, Tensor.relu, _aten.relu}
_RELU_IN_PLACE = {torch.relu_, Tensor.relu_, _aten.relu_}
_RELU6 = {F.relu6}
_HARDTANH = {F.hardtanh, F.hardtanh_}
_THRESHOLD = {F.threshold, F.threshold_, torch.threshold, torch.threshold_}


def _as_relu(function, args, kwargs):
    """(tensor, ceiling, in place) when this call computes min(max(x, 0), ceiling), else None."""
    if function in _RELU or function in _RELU_IN_PLACE:
        x, in_place = _arguments(args, kwargs, input=None, inplace=False)
        return x, INFINITY, in_place or function in _RELU_IN_PLACE
    if function in _RELU6:
        x, in_place = _arguments(args, kwargs, input=None, inplace=False)
        return x, 6.0, in_place
    if function in _HARDTANH:
        x, low, high, in_place = _arguments(args, kwargs, input=None, min_val=-1.0, max_val=1.0, inplace=False)
        return (x, high, in_place or function is F.hardtanh_) if low == 0 else None
    if function in _THRESHOLD:
        x, threshold, value, in_place = _arguments(args, kwargs, input=None, threshold=None, value=None, inplace=False)
        in_place = in_place or function in (F.threshold_, torch.threshold_)
        return (x, INFINITY, in_place) if threshold == value == 0 else None
    return None


def _arguments(args, kwargs, **defaults):
    """A call's arguments in the order of `defaults`, given by place or by name."""
    return [args[i] if i < len(args) else kwargs.get(name, value) for i, (name, value) in enumerate(defaults.items())]


# ── A rule of one's own, for each ReLU of a network ──────────────────────────────────────────────────────────


def with_backward(
    network: Network, backward: Callable[[Tensor, Tensor, str, float], Tensor], rules: Sequence[str]
) -> Network:
    """A copy of a network each of whose ReLUs passes back `backward(x, gradient, rule, ceiling)`.

    Args:
        backward: from what went into y = min(max(x, 0), ceiling) and ∂ score / ∂ y it makes ∂ score / ∂ x.
        rules: one for each `nn.ReLU` and `nn.ReLU6`, in the order of the model's modules: from the picture up.

    Raises:
        ValueError: not as many rules as such modules.
    """
    changed = copy.deepcopy(network)
    relus = [module for module in changed.modules() if isinstance(module, (nn.ReLU, nn.ReLU6))]
    if len(rules) != len(relus):
        raise ValueError(f"rules must have one entry for each of the {len(relus)} ReLUs, not {len(rules)}")
    for relu, rule in zip(relus, rules, strict=True):
        relu.forward = _passing(backward, rule, 6.0 if isinstance(relu, nn.ReLU6) else INFINITY)
    return changed


def _passing(backward, rule, ceiling):
    return lambda x: _Own.apply(x, ceiling, lambda x, gradient: backward(x, gradient, rule, ceiling))


class _Own(torch.autograd.Function):
    """A ReLU, cut off at `ceiling`, whose backward pass is the function given with it."""

    @staticmethod
    def forward(ctx, x, ceiling, passed):
        ctx.save_for_backward(x)
        ctx.passed = passed
        return _clip(x, ceiling)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return ctx.passed(x, gradient), None, None
