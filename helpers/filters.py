"""The filters of a first layer: reading them out of a network, drawing them, and their responses to a picture.

Filters are tensors (C, 3, h, w) that act on the pixels of a picture, so they can be looked at as pictures.
"""

import copy
import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from helpers.core import images
from helpers.core.activations import INPUT, split_path
from helpers.core.arguments import above, at_least, channels, known, one_of
from helpers.core.images import Image
from helpers.core.networks import Channel, Layer, Network
from helpers.core.registry import SOURCES

Scaling = Literal["per filter", "per layer", "symmetric", "one scale"]
Order = Literal["variance", "frequency", "index"]
View = Literal["colour", "red, green, blue"]
Weights = Literal["effective", "stored"]

# ── Weights ──────────────────────────────────────────────────────────────────────────────────────────────────


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """Module path → every 2-D convolution of a model, in the order in which the model defines them."""
    return {path: module for path, module in model.named_modules() if isinstance(module, nn.Conv2d)}


def convolution(network: Network, layer: str) -> str:
    """The path of the convolution that `layer` is, or that it begins with.

    Raises:
        ValueError: an unknown layer, or one without a convolution.
    """
    path = network.path(layer)
    module, _, _ = split_path(network.model, path)
    inside = next(iter(convolutions(module)), None)
    if inside is None or path.startswith(INPUT):
        raise ValueError(f"layer {layer!r} of {network.name} holds no convolution, so it has no filters to draw")
    return f"{path}.{inside}".strip(".")


def first_layer(network: Network) -> str:
    """The path of the network's first convolution."""
    return next(iter(convolutions(network.model)))


def filters(network: Network, layer: str | None = None) -> Tensor:
    """The filters of a layer that sees pixels, (C, 3, h, w), as they act on RGB pixels in [0, 1].

    A network does not see pixels but (pixel − mean) / deviation, some of them in the order BGR. Dividing the
    weights by the deviation and turning the order round gives filters w with response = Σ w·(patch − mean).

    Args:
        layer: default: the first convolution.

    Raises:
        ValueError: an unknown layer, or one whose inputs are not the three colours.
    """
    path = first_layer(network) if layer is None else convolution(network, layer)
    conv, _, _ = split_path(network.model, path)
    if conv.weight.shape[1] != 3 or conv.groups != 1 or path != first_layer(network):
        raise ValueError(
            f"layer {layer!r} of {network.name} does not see pixels: its filters have {conv.weight.shape[1]} "
            f"input channels; draw them with slices()"
        )
    # What white adds to black at the convolution's input is 1 / deviation, whatever the model does on the way.
    black_and_white = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32)]).to(conv.weight)
    seen = network.activation(black_and_white, INPUT + path)[..., 16, 16]
    weight = conv.weight * (seen[1] - seen[0]).view(1, 3, 1, 1)
    return (weight.flip(1) if network.bgr else weight).detach()


def effective(network: Network) -> tuple[Tensor, Tensor]:
    """The first layer's filters and offsets with the batch norm behind it multiplied in, (C, 3, h, w) and (C,).

        z = γ (r − m) / √(σ² + ε) + β = Σ w̃·(patch − mean) + b        w̃ = γ / √(σ² + ε) · w

    r is the response of the convolution, m and σ² are its mean and variance in training, z is what the nonlinearity is
    given. Without a batch norm w̃ is w and b the convolution's own bias. (Ioffe & Szegedy 2015, "Batch Normalization:
    Accelerating Deep Network Training by Reducing Internal Covariate Shift", algorithm 2.)
    """
    path, weights = first_layer(network), filters(network)
    side = 32 * math.ceil(3 * max(weights.shape[-2:]) / 32)  # the middle lies far from the padding
    flat = network.mean_pixel.view(1, 3, 1, 1).expand(1, 3, side, side)
    maps = network.activation(flat, path)
    offset = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].detach()
    norm = _norm_behind(network.model, path)
    if norm is None:
        return weights, offset
    gain = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    return gain.view(-1, 1, 1, 1) * weights, norm.bias.detach() + gain * (offset - norm.running_mean)


def _norm_behind(model, path):
    """The batch norm that a model defines next after the convolution at `path`, or None."""
    modules = [module for name, module in model.named_modules() if name and not name.startswith(f"{path}.")]
    behind = modules[modules.index(model.get_submodule(path)) + 1 :]
    return behind[0] if behind and hasattr(behind[0], "running_var") else None


def weight_shape(name: str, number: int = 1) -> tuple[int, ...]:
    """The shape of a registered network's weights, read from the architecture alone: nothing is loaded.

    Args:
        number: which convolution, counted from 1 in the order of its definition.

    Raises:
        ValueError: no network of that name, or no such convolution.
    """
    known("network", name, SOURCES)
    with torch.device("meta"):  # shapes without numbers
        model = SOURCES[name].build()
    return tuple(_numbered(model, number, name).weight.shape)


def _numbered(model, number, name):
    found = list(convolutions(model).values())
    if not 1 <= number <= len(found):
        raise ValueError(f"number must be from 1 to {len(found)}, the convolutions of {name}, not {number}")
    return found[number - 1]


def untrained(name: str, seed: int = 0) -> Tensor:
    """First-layer filters (C, 3, h, w) of a registered network before training: PyTorch's random start.

    Raises:
        ValueError: no network of that name.
    """
    shape = weight_shape(name)
    bound = 1 / math.sqrt(math.prod(shape[1:]))  # nn.Conv2d's own start: uniform in ±1/√fan-in
    return (2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 1) * bound


# ── Drawing ──────────────────────────────────────────────────────────────────────────────────────────────────


def check_filters(weights: Tensor) -> Tensor:
    """Filters (C, 3, h, w) as float32, apart from any gradient.

    Raises:
        ValueError: another shape.
    """
    if not isinstance(weights, Tensor) or weights.ndim != 4 or weights.shape[1] != 3 or not len(weights):
        shape = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        raise ValueError(f"filters must be a tensor of shape (C, 3, h, w), not {shape}")
    return weights.detach().float()


def rescale(weights: Tensor, scaling: Scaling = "symmetric", contrast: float = 1.0) -> Tensor:
    """Weights of any sign as pictures in [0, 1], which a screen shows as 0–255.

    Args:
        weights: (C, 3, h, w).
        scaling: "per filter" sends the least weight of each filter to 0 and the greatest to 1; "per layer" does
            so for all filters together, so strong and weak filters can be told apart; "symmetric" keeps zero at
            mid-grey: each filter is divided by its own greatest absolute weight; "one scale" does so with the
            greatest of all filters.
        contrast: how many times further from mid-grey; what leaves the range is cut off at black and white.

    Raises:
        ValueError: another shape, no such scaling, or a contrast not above 0.
    """
    weights = check_filters(weights)
    one_of("scaling", scaling, Scaling)
    above(0, contrast=contrast)
    over = (1, 2, 3) if scaling in ("per filter", "symmetric") else (0, 1, 2, 3)
    if scaling in ("symmetric", "one scale"):
        drawn = 0.5 + 0.5 * weights / weights.abs().amax(over, keepdim=True).clamp_min(1e-30)
    else:
        low, high = weights.amin(over, keepdim=True), weights.amax(over, keepdim=True)
        drawn = torch.where(high > low, (weights - low) / (high - low).clamp_min(1e-30), 0.5)
    return drawn if contrast == 1 else (0.5 + contrast * (drawn - 0.5)).clamp(0, 1)


def frequency(weights: Tensor) -> Tensor:
    """How fine each filter's pattern is: the centroid of its 2-D power spectrum, (C,), in cycles per pixel.

    0 is a flat filter, 0.5 a stripe that changes at every pixel. The spectrum is taken on a 64×64 canvas, as
    that of 3×3 numbers would have only 3×3 values, and summed over the colours.
    """
    weights = check_filters(weights).double()
    side = max(64, *weights.shape[-2:])
    power = torch.fft.fft2(weights, s=(side, side)).abs().square().sum(1)
    axis = torch.fft.fftfreq(side, dtype=torch.float64, device=weights.device)
    radius = torch.hypot(axis[:, None], axis[None, :])
    return ((power * radius).sum((1, 2)) / power.sum((1, 2)).clamp_min(1e-30)).float()


def order(weights: Tensor, sort: Order = "variance") -> Tensor:
    """Indices (C,) of the filters: strongest contrast first, smoothest first, or as they stand in the network.

    Raises:
        ValueError: another shape, or no such order.
    """
    weights = check_filters(weights)
    one_of("sort", sort, Order)
    if sort == "variance":
        return weights.flatten(1).var(1).argsort(descending=True, stable=True)
    if sort == "frequency":
        return frequency(weights).argsort(stable=True)
    return torch.arange(len(weights), device=weights.device)


def magnify(pictures: Tensor, times: int) -> Tensor:
    """Each pixel becomes a square of times × times equal pixels; nothing is smoothed.

    Raises:
        ValueError: `times` below 1.
    """
    at_least(1, times=times)
    return pictures.repeat_interleave(times, -2).repeat_interleave(times, -1)


def tiles(
    weights: Tensor,
    scaling: Scaling = "symmetric",
    sort: Order = "variance",
    view: View = "colour",
    times: int = 24,
    columns: int | None = None,
    contrast: float = 1.0,
) -> Tensor:
    """Filters (C, 3, h, w) as one picture (1, 3, H, W): rescaled, sorted, enlarged, side by side.

    Args:
        view: "colour", or the three colour slices of every filter in grey beside each other.
        columns: filters a row; default: 8, or 4 of three slices each.

    Raises:
        ValueError: another shape, no such choice, `times` or columns below 1, or a contrast not above 0.
    """
    one_of("view", view, View)
    pictures = magnify(rescale(weights, scaling, contrast)[order(weights, sort)], times)
    columns = columns or (8 if view == "colour" else 4)
    if view == "colour":
        return images.grid(pictures, columns, gap=4)
    white = pictures.new_ones(*pictures.shape[:-1], 1)
    slices = [piece for colour in pictures.split(1, dim=1) for piece in (colour.expand(-1, 3, -1, -1), white)]
    return images.grid(torch.cat(slices[:-1], dim=-1), columns, gap=8)


def sheet(
    network: Network,
    weights: Weights = "effective",
    scaling: Scaling = "one scale",
    contrast: Annotated[float, (1.0, 1000.0, "log")] = 8.0,
    sort: Order = "variance",
    view: View = "colour",
    times: Annotated[int, (1, 40, 1)] = 24,
) -> Tensor:
    """The first-layer filters of a network as one picture (1, 3, H, W). See `tiles`.

    Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.1; Krizhevsky et al.
    2012, figure 3.

    Args:
        weights: as they are stored, or "effective", with the batch norm behind them multiplied in.
        contrast: how many times further from mid-grey, cut off at black and white.

    Raises:
        ValueError: no such choice, `times` below 1, or a contrast not above 0.
    """
    one_of("weights", weights, Weights)
    drawn = effective(network)[0] if weights == "effective" else filters(network)
    return tiles(drawn, scaling, sort, view, times, contrast=contrast)


def slices(
    network: Network,
    number: Annotated[int, (2, 6, 1)] = 2,
    rows: Annotated[int, (1, 32, 1)] = 8,
    columns: Annotated[int, (1, 64, 1)] = 16,
    scaling: Scaling = "symmetric",
    times: Annotated[int, (1, 40, 1)] = 12,
) -> Tensor:
    """Weights of a deeper convolution as grey squares, one picture (1, 3, H, W).

    A row is one filter, a column one of its input channels: square (o, i) is the h×w slice of filter o that
    acts on channel i. The slices of a depthwise convolution, one a filter, fill the rows one after another.

    Args:
        number: which convolution of the network, counted from 1 in the order of its definition.
        scaling: as in `rescale`; "per filter" and "symmetric" take each row by itself.

    Raises:
        ValueError: no such convolution, or rows, columns or `times` below 1.
    """
    conv = _numbered(network.model, number, network.name)
    at_least(1, rows=rows, columns=columns)
    one_of("scaling", scaling, Scaling)
    weight = conv.weight.detach().float()
    depthwise = weight.shape[1] == 1
    shown = weight[: rows * columns] if depthwise else weight[:rows, :columns]
    height, width = shown.shape[-2:]
    as_picture = shown.reshape(len(shown), 1, -1, width).expand(-1, 3, -1, -1)
    squares = rescale(as_picture, scaling).reshape(len(shown), 3, -1, height, width).transpose(1, 2).flatten(0, 1)
    return images.grid(magnify(squares, times), columns if depthwise else shown.shape[1], gap=2)


# ── Responses ────────────────────────────────────────────────────────────────────────────────────────────────


def response(network: Network, image: Image, layer: Layer = "conv1", channel: Channel = 0) -> Tensor:
    """The response of one filter at every place of a picture, with its sign, (N, 1, H, W).

    Raises:
        ValueError: a layer without a convolution, or no such channel.
    """
    maps = network.activation(image, convolution(network, layer))
    channels(channel, maps.shape[1], layer)
    return maps[:, channel : channel + 1].detach()


# ── How far the weights explain ──────────────────────────────────────────────────────────────────────────────


def straightened(network: Network, images: Image) -> Network:
    """A copy of a network with a straight line in place of each ReLU: the linear network that resembles it.

    Each channel has the line a·x + b that comes nearest, in the sum of squares over all places of `images`, to what
    the ReLU puts out there in the real network.

    Raises:
        ValueError: images of another shape, or a network that calls a ReLU more than once.
    """
    linear, lines = copy.deepcopy(network), {}

    def fit(module, arguments, output):
        if module in lines:
            raise ValueError(f"network {network.name} calls a ReLU more than once, and one line cannot be both")
        x, y = (maps.transpose(0, 1).flatten(1) for maps in (arguments[0], output))
        spread = x - x.mean(1, keepdim=True)
        slope = (spread * y).mean(1) / spread.square().mean(1).clamp_min(1e-30)
        lines[module] = _Line(slope, y.mean(1) - slope * x.mean(1))

    relus = [module for module in linear.model.modules() if isinstance(module, (nn.ReLU, nn.ReLU6))]
    hooks = [module.register_forward_hook(fit) for module in relus]
    with torch.no_grad():
        linear.model(linear.normalise(images))
    for hook in hooks:
        hook.remove()
    for parent in list(linear.model.modules()):
        for name, child in parent.named_children():
            if child in lines:
                setattr(parent, name, lines[child])
    return linear


class _Line(nn.Module):
    """a·x + b, a line for each channel."""

    def __init__(self, slope, offset):
        super().__init__()
        self.register_buffer("slope", slope.view(1, -1, 1, 1))
        self.register_buffer("offset", offset.view(1, -1, 1, 1))

    def forward(self, x):
        return self.slope * x + self.offset
