"""A model as it runs fastest: the same modules by the same paths, without batch norms.

In evaluation mode a batch norm is one factor and one offset for each channel, y = s·x + t with s = γ/√(σ² + ε) and
t = β − s·μ. Behind a convolution both go into its weights; elsewhere one operation does it. A convolution of 1×1 is a
matrix product. The model itself stays as it is, for whoever reads its weights, hooks on to its modules, trains it, or
asks for what lies between a convolution and its batch norm.
"""

import copy
from collections import Counter, OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from helpers.core.activations import split_path, without_data

# By name, as timm need not be imported to be recognised. Convolutions that are linear in their weight:
CONVOLUTIONS = {"Conv2d", "Conv2dSame"}
# Batch norms, behind which their children run in the order in which they are registered, where they have any:
NORMS = {"BatchNorm2d", "BatchNormAct2d"}

FEW_PLACES = 10_000  # up to so many a matrix product is quicker than a convolution of 1×1, by a fifth on two cores


def sharing(module: nn.Module) -> nn.Module:
    """A copy of a module and of all below it, on the same parameters and buffers."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]})


class Folded:
    """The quickest form of a model, whatever is asked of it, kept until the model changes.

    Args:
        model: in evaluation mode.
        size: side in pixels of images that the model takes.
    """

    def __init__(self, model: nn.Module, size: int):
        self.model, self.size = model, size
        self._known: tuple = ()  # the model's modules, and the state of their tensors
        self._held: list[Tensor] = []  # those tensors, so that no new one takes an old one's place in memory
        self._norms: list[str] = []
        self._trained = False  # whether a convolution or a batch norm is
        self._pairs: dict[str, str] = {}  # a convolution → the batch norm that alone reads what it puts out
        self._writes = False  # whether a pass writes to a tensor in place
        self._between: dict[tuple[nn.Module, bool], str] = {}  # (module, of its input?) → the convolution behind which
        self._forms: dict[frozenset[str], nn.Module] = {}  # convolutions left apart from their batch norms → model

    def form(self, paths: Iterable[str] = ()) -> nn.Module:
        """A model that puts out what `model` does, at each of `paths` and at its end; it is not to be changed.

        It is `model` itself where there is no batch norm, where somebody has hooked on to a module, and where a
        convolution or a batch norm is being trained.
        """
        modules = _below(self.model)
        if any(_is_hooked(module) for module in modules):
            return self.model  # nor is it studied now: hooks would meet tensors without numbers
        tensors = [tensor for module in modules for tensor in _tensors(module)]
        known = modules, _state(tensors)
        if self._known != known:
            self._known, self._held, self._forms = known, [tensor.detach() for tensor in tensors], {}
            self._study()
        if not self._norms or self._trained:
            return self.model
        asked = {split_path(self.model, path)[::2] for path in paths}  # (module, whether its input is meant)
        opened = frozenset(self._between[each] for each in asked & self._between.keys())
        if opened not in self._forms:
            self._forms[opened] = self._without_norms(opened)
        return self._forms[opened]

    def _study(self):
        modules = dict(self.model.named_modules())
        self._norms = [path for path, module in modules.items() if _is_norm(module)]
        self._pairs, self._writes = {}, False
        if self._norms:
            with ThreadPoolExecutor(1) as elsewhere:  # where no mode of the caller counts or changes what runs
                self._pairs, self._writes = elsewhere.submit(_look_through, self.model, self.size).result()
        self._between = {(modules[path], False): path for path in self._pairs}
        self._between |= {(modules[norm], True): path for path, norm in self._pairs.items()}
        touched = [tensor for path in (*self._norms, *self._pairs) for tensor in _tensors(modules[path])]
        self._trained = any(tensor.requires_grad for tensor in touched)

    @torch.inference_mode(False)  # a tensor made in inference mode could carry no gradient later
    @torch.no_grad()
    def _without_norms(self, opened):
        form = sharing(self.model)
        folded = {norm: convolution for convolution, norm in self._pairs.items() if convolution not in opened}
        for path in self._norms:
            norm = self.model.get_submodule(path)
            children = OrderedDict(form.get_submodule(path).named_children())
            if path in folded:
                convolution = form.get_submodule(folded[path])
                weight, bias = _fold(convolution, norm)
                convolution.weight, convolution.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
                _put(form, path, nn.Sequential(children))
            else:
                _put(form, path, _Affine(norm, children))
        # autograd keeps books of what is written to a view, and what a product puts out is one
        pointwise = [] if self._writes else [each for each in form.named_modules() if _is_pointwise(each[1])]
        for path, module in pointwise:
            _put(form, path, _Pointwise(module))
        return form.eval()


class _Affine(nn.Sequential):
    """What a batch norm does in evaluation mode, and then its children."""

    def __init__(self, norm, children):
        super().__init__(children)
        factor, offset = _affine(norm)
        self.register_buffer("factor", factor.to(norm.running_mean).view(1, -1, 1, 1))
        self.register_buffer("offset", offset.to(norm.running_mean).view(1, -1, 1, 1))

    def forward(self, x):
        return super().forward(torch.addcmul(self.offset, x, self.factor))


def _affine(norm):
    """The factor and the offset of each channel, in float64."""
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    factor = factor if norm.weight is None else factor * norm.weight
    offset = -factor * norm.running_mean
    return factor, offset if norm.bias is None else offset + norm.bias


class _Pointwise(nn.Module):
    """A convolution of 1×1 is one matrix product over all places; where channels lie side by side nothing is copied."""

    def __init__(self, convolution):
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x):
        if len(x) * x.shape[2] * x.shape[3] > FEW_PLACES:
            return F.conv2d(x, self.weight, self.bias)
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


_folded = WeakTensorKeyDictionary()  # a convolution's weight → what it was folded from, and the weight and bias found


def _fold(convolution, norm):
    """Weight and bias of a convolution with a batch norm behind it; found once for all that share the weights."""
    origin = [tensor.detach() for module in (convolution, norm) for tensor in _tensors(module)]
    state = _state(origin)[1]
    kept = _folded.get(convolution.weight)
    if kept is None or kept[1] != state:
        factor, offset = _affine(norm)
        weight = convolution.weight * factor.view(-1, 1, 1, 1)
        bias = offset if convolution.bias is None else offset + factor * convolution.bias
        kept = origin, state, weight.to(convolution.weight), bias.to(convolution.weight)
        _folded[convolution.weight] = kept
    return kept[2:]


def _put(model, path, module):
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def _below(module):
    """A module and all below it in an order that stays; quicker than `modules()`, as every pass asks."""
    found, known = [module], {module}
    for each in found:
        new = [child for child in each._modules.values() if child is not None and child not in known]
        found += new
        known.update(new)
    return found


def _tensors(module):
    """A module's own parameters and buffers."""
    return [t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]


def _state(tensors):
    """What changes when one of them is replaced, moved, written to or trained; without the first, what it holds."""
    versions = [0 if tensor.is_inference() else tensor._version for tensor in tensors]
    places = [(tensor.data_ptr(), version) for tensor, version in zip(tensors, versions, strict=True)]
    return [(id(tensor), tensor.requires_grad) for tensor in tensors], places


def _is_norm(module):
    return type(module).__name__ in NORMS and module.running_var is not None


def _is_pointwise(module):
    shape = (1, 1), (1, 1), (0, 0), 1
    return type(module) is nn.Conv2d and (module.kernel_size, module.stride, module.padding, module.groups) == shape


def _is_hooked(module):
    return module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks


class _Reads(TorchDispatchMode):
    """Counts how often operations read each tensor, and notes whether any writes to one."""

    def __init__(self):
        super().__init__()
        self.writes = False
        self.counts: Counter[int] = Counter()
        self.seen = []  # kept alive, so that no two have one id

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        flat = [t for a in args for t in (a if isinstance(a, (list, tuple)) else [a]) if isinstance(t, Tensor)]
        self.seen += flat
        self.counts.update(map(id, flat))
        self.writes |= function._schema.is_mutable
        return function(*args, **(kwargs or {}))


def _look_through(model, size):
    """By path convolution → batch norm, where both run once and nothing else reads what lies between; and whether a
    pass writes to a tensor in place.

    Found by a pass without numbers on a copy; a model that cannot do that is taken to have no such pair.
    """
    model = without_data(model)
    calls, made, read = Counter(), {}, {}
    for path, module in model.named_modules():

        def note(module, arguments, output, path=path):
            calls[path] += 1
            if type(module).__name__ in CONVOLUTIONS:
                made[id(output)] = path, output
            elif _is_norm(module):
                read[path] = arguments[0]

        module.register_forward_hook(note)
    kind = next((tensor.dtype for tensor in model.parameters()), None)
    try:
        with torch.no_grad(), _Reads() as reads:
            end = model(torch.empty(1, 3, size, size, device="meta", dtype=kind))
    except Exception:
        return {}, True
    pairs = {
        made[id(x)][0]: norm
        for norm, x in read.items()
        if id(x) in made and calls[norm] == calls[made[id(x)][0]] == reads.counts[id(x)] == 1 and x is not end
    }
    return pairs, reads.writes
