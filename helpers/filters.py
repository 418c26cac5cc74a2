"""The filters of a first layer: how to draw them, what they answer to, and where such filters come from.

Filters are tensors (C, 3, h, w) that act on the pixels of a picture, so they can be looked at as pictures.
"""

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers import images
from helpers.activations import INPUT, split_path
from helpers.images import Image
from helpers.networks import SOURCES, Channel, Layer, Network
from helpers.steps import Seed, Step

Scaling = Literal["per filter", "per layer", "symmetric"]
Order = Literal["variance", "frequency", "index"]
View = Literal["colour", "red, green, blue"]
Origin = Literal["the network's mean", "the patch's mean", "black"]

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


def weight_shape(name: str, number: int = 1) -> tuple[int, ...]:
    """The shape of a registered network's weights, read from the architecture alone: nothing is loaded.

    Args:
        number: which convolution, counted from 1 in the order of its definition.

    Raises:
        ValueError: no network of that name, or no such convolution.
    """
    if name not in SOURCES:
        raise ValueError(f"network {name!r} is unknown; networks: {', '.join(SOURCES)}")
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


def _check_filters(weights, channels=(3,)):
    if not isinstance(weights, Tensor) or weights.ndim != 4 or weights.shape[1] not in channels or not len(weights):
        shape = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        raise ValueError(f"filters must be a tensor of shape (C, {' or '.join(map(str, channels))}, h, w), not {shape}")
    return weights.detach().float()


def _choose(value, options, name):
    if value not in options.__args__:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options.__args__))}, not {value!r}")


def rescale(weights: Tensor, scaling: Scaling = "symmetric") -> Tensor:
    """Weights of any sign as pictures in [0, 1], which a screen shows as 0–255.

    Args:
        weights: (C, 3, h, w).
        scaling: "per filter" sends the least weight of each filter to 0 and the greatest to 1; "per layer" does
            so for all filters together, so strong and weak filters can be told apart; "symmetric" keeps zero at
            mid-grey: each filter is divided by its own greatest absolute weight.

    Raises:
        ValueError: another shape, or no such scaling.
    """
    weights = _check_filters(weights)
    _choose(scaling, Scaling, "scaling")
    if scaling == "symmetric":
        return 0.5 + 0.5 * weights / weights.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
    over = (1, 2, 3) if scaling == "per filter" else (0, 1, 2, 3)
    low, high = weights.amin(over, keepdim=True), weights.amax(over, keepdim=True)
    return torch.where(high > low, (weights - low) / (high - low).clamp_min(1e-30), 0.5)


def frequency(weights: Tensor) -> Tensor:
    """How fine each filter's pattern is: the centroid of its 2-D power spectrum, (C,), in cycles per pixel.

    0 is a flat filter, 0.5 a stripe that changes at every pixel. The spectrum is taken on a 64×64 canvas, as
    that of 3×3 numbers would have only 3×3 values, and summed over the colours.
    """
    weights = _check_filters(weights).double()
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
    weights = _check_filters(weights)
    _choose(sort, Order, "sort")
    if sort == "variance":
        return weights.flatten(1).var(1).argsort(descending=True, stable=True)
    if sort == "frequency":
        return frequency(weights).argsort(stable=True)
    return torch.arange(len(weights), device=weights.device)


def enlarge(pictures: Tensor, zoom: int) -> Tensor:
    """Each pixel becomes a square of zoom × zoom equal pixels; nothing is smoothed.

    Raises:
        ValueError: zoom below 1.
    """
    if zoom < 1:
        raise ValueError(f"zoom must be at least 1, not {zoom}")
    return pictures.repeat_interleave(zoom, -2).repeat_interleave(zoom, -1)


def tiles(
    weights: Tensor,
    scaling: Scaling = "symmetric",
    sort: Order = "variance",
    view: View = "colour",
    zoom: int = 24,
    columns: int | None = None,
) -> Tensor:
    """Filters (C, 3, h, w) as one picture (1, 3, H, W): rescaled, sorted, enlarged, side by side.

    Args:
        view: "colour", or the three colour slices of every filter in grey beside each other.
        columns: filters a row; default: 8, or 4 of three slices each.

    Raises:
        ValueError: another shape, no such choice, or zoom or columns below 1.
    """
    _choose(view, View, "view")
    pictures = enlarge(rescale(weights, scaling)[order(weights, sort)], zoom)
    columns = columns or (8 if view == "colour" else 4)
    if view == "colour":
        return images.grid(pictures, columns, gap=4)
    white = pictures.new_ones(*pictures.shape[:-1], 1)
    slices = [piece for colour in pictures.split(1, dim=1) for piece in (colour.expand(-1, 3, -1, -1), white)]
    return images.grid(torch.cat(slices[:-1], dim=-1), columns, gap=8)


def sheet(
    network: Network,
    scaling: Scaling = "symmetric",
    sort: Order = "variance",
    view: View = "colour",
    zoom: Annotated[int, (1, 40, 1)] = 24,
) -> Tensor:
    """The first-layer filters of a network as one picture (1, 3, H, W). See `tiles`.

    Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.1; Krizhevsky et al.
    2012, figure 3.
    """
    return tiles(filters(network), scaling, sort, view, zoom).cpu()


def slices(
    network: Network,
    number: Annotated[int, (2, 6, 1)] = 2,
    rows: Annotated[int, (1, 32, 1)] = 8,
    columns: Annotated[int, (1, 64, 1)] = 16,
    scaling: Scaling = "symmetric",
    zoom: Annotated[int, (1, 40, 1)] = 12,
) -> Tensor:
    """Weights of a deeper convolution as grey squares, one picture (1, 3, H, W).

    A row is one filter, a column one of its input channels: square (o, i) is the h×w slice of filter o that
    acts on channel i. The slices of a depthwise convolution, one a filter, fill the rows one after another.

    Args:
        number: which convolution of the network, counted from 1 in the order of its definition.
        scaling: as in `rescale`; "per filter" and "symmetric" take each row by itself.

    Raises:
        ValueError: no such convolution, or rows, columns or zoom below 1.
    """
    conv = _numbered(network.model, number, network.name)
    if min(rows, columns) < 1:
        raise ValueError(f"rows and columns must be at least 1, not {rows} and {columns}")
    _choose(scaling, Scaling, "scaling")
    weight = conv.weight.detach().float().cpu()
    depthwise = weight.shape[1] == 1
    shown = weight[: rows * columns] if depthwise else weight[:rows, :columns]
    height, width = shown.shape[-2:]
    as_picture = shown.reshape(len(shown), 1, -1, width).expand(-1, 3, -1, -1)
    squares = rescale(as_picture, scaling).reshape(len(shown), 3, -1, height, width).transpose(1, 2).flatten(0, 1)
    return images.grid(enlarge(squares, zoom), columns if depthwise else shown.shape[1], gap=2)


# ── Responses ────────────────────────────────────────────────────────────────────────────────────────────────


def response(network: Network, image: Image, layer: Layer = "conv1", channel: Channel = 0) -> Tensor:
    """What one filter answers at every place of a picture, with its sign, (N, 1, H, W).

    Raises:
        ValueError: a layer without a convolution, or no such channel.
    """
    maps = network.activation(image, convolution(network, layer))
    if not 0 <= channel < maps.shape[1]:
        raise ValueError(f"channel must be from 0 to {maps.shape[1] - 1}, not {channel}")
    return maps[:, channel : channel + 1].detach()


# ── The best stimulus ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Matches:
    """For each filter the patch of all pictures that points most nearly in its direction.

    Attributes:
        cosines: (C,), in [−1, 1]; NaN where no patch had enough contrast.
        patches: (C, 3, h, w), pixels in [0, 1].
        pictures: which picture each came from, counted from 0.
        corners: (top, left) of each in its picture.
        seen: how many patches were compared with every filter.
    """

    cosines: Tensor
    patches: Tensor
    pictures: list[int]
    corners: list[tuple[int, int]]
    seen: int


def closest_patches(
    weights: Tensor,
    pictures: Iterable[Tensor],
    origin: Origin = "the network's mean",
    mean: Tensor | None = None,
    contrast: float = 0.02,
) -> Matches:
    """Compare every patch of every picture with every filter, both scaled to length one.

    Cauchy and Schwarz: Σ w·p ≤ ‖w‖ ‖p‖, with equality only where p is a positive multiple of w, so the cosine
    Σ w·p / (‖w‖ ‖p‖) is at most 1. Pictures are read one after another and cut into bands of rows: memory grows
    neither with their number nor with their size.

    Args:
        weights: filters (C, 3, h, w).
        pictures: tensors (1, 3, H, W) in [0, 1]; one that is smaller than the filters has no patch.
        origin: the colour from which a patch is measured: `mean`, as the network does; the patch's own mean in
            each colour (the filter loses its own likewise); or nothing, pixels as they are.
        mean: (3,), the network's `mean_pixel`; default: mid-grey.
        contrast: patches whose root mean square from the origin is smaller are left out, because a flat patch
            scaled to length one is nothing but rounding noise.

    Raises:
        ValueError: another shape, no such origin, a contrast that is not positive, or not a single patch.
    """
    weights = _check_filters(weights)
    _choose(origin, Origin, "origin")
    if not contrast > 0:
        raise ValueError(f"contrast must be above 0, not {contrast}")
    count, _, height, width = weights.shape
    if origin == "the patch's mean":
        weights = weights - weights.mean((2, 3), keepdim=True)
    units = weights / weights.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
    zero = torch.full((3,), 0.5) if mean is None else mean.cpu()
    zero = (torch.zeros(3) if origin == "black" else zero).view(1, 3, 1, 1).to(weights)
    best = torch.full((count,), -math.inf, device=weights.device)
    patches = torch.zeros_like(weights)
    where, corners, seen = [0] * count, [(0, 0)] * count, 0
    for index, picture in enumerate(pictures):
        picture = images.check(picture, "picture").to(weights)
        for top, band in _bands(picture, height, width, count):
            cosines = _cosines(units, band - zero, origin, contrast)
            seen += cosines[0].numel()
            values, at = cosines.flatten(1).max(1)
            for i in (values > best).nonzero().flatten().tolist():
                row, column = divmod(at[i].item(), cosines.shape[-1])
                best[i], where[i], corners[i] = values[i], index, (top + row, column)
                patches[i] = band[0, :, row : row + height, column : column + width]
    if seen == 0:
        raise ValueError(f"pictures must hold at least one patch of {height}×{width} pixels")
    cosines = torch.where(best.isfinite(), _exact_cosines(units, patches - zero, origin), math.nan)
    return Matches(cosines, patches, where, corners, seen)


def _bands(picture, height, width, count, largest=8_000_000):
    """(first row, rows of the picture), such that neither the `count` responses to a band nor its patches, laid
    out for the convolution, are more than `largest` numbers."""
    high, wide = picture.shape[-2] - height + 1, picture.shape[-1] - width + 1
    if min(high, wide) < 1:
        return
    step = max(1, largest // (max(count, 3 * height * width) * wide))
    for top in range(0, high, step):
        yield top, picture[..., top : min(top + step, high) + height - 1, :]


def _cosines(units, band, origin, contrast):
    """Cosines (C, H', W') of every patch of a band with every unit filter; −∞ where the patch is flat."""
    number, window = units[0].numel(), units.shape[-2:]
    band = band.double()  # for the sums over windows: a mean square less a squared mean cancels
    squares = _window_sums(band.square().sum(1, keepdim=True), *window)
    if origin == "the patch's mean":
        squares = squares - _window_sums(band, *window).square().sum(1, keepdim=True) * (3 / number)
    norms = squares.clamp_min(0).sqrt().float()
    cosines = F.conv2d(band.float(), units) / norms.clamp_min(1e-12)
    return cosines.masked_fill(norms < contrast * math.sqrt(number), -math.inf)[0]


def _window_sums(maps, height, width):
    """Sums over all windows of a map, (N, C, H', W'): first down, then across."""
    ones = maps.new_ones(maps.shape[1], 1, 1, 1)
    down = F.conv2d(maps, ones.expand(-1, -1, height, -1), groups=len(ones))
    return F.conv2d(down, ones.expand(-1, -1, -1, width), groups=len(ones))


def _exact_cosines(units, patches, origin):
    patches, units = patches.double(), units.double()
    if origin == "the patch's mean":
        patches = patches - patches.mean((2, 3), keepdim=True)
    return F.cosine_similarity(units.flatten(1), patches.flatten(1)).float()


def ascent(
    network: Network,
    layer: Layer = "conv1",
    channel: Channel = 0,
    steps: Annotated[int, (1, 30, 1)] = 10,
    rate: Annotated[float, (0.1, 10.0, "log")] = 1.0,
    seed: Seed = 0,
) -> Iterator[Step]:
    """Climb the response of one filter among all patches of length one, from a random patch.

        x ← (x + rate · g / ‖g‖) / ‖ … ‖,   g = ∂response / ∂x

    x is the patch's difference from the network's mean colour, (1, 3, h, w). The gradient comes from the
    network, which knows the weights; the method does not. Its goal in closed form is w / ‖w‖: Cauchy–Schwarz.

    Yields:
        Steps whose image is x and whose losses are "response", and "cosine" with the filter.

    Raises:
        ValueError: a layer that does not see pixels, no such channel, steps below 1, or a rate not above 0.
    """
    weights = filters(network, layer)
    if not 0 <= channel < len(weights):
        raise ValueError(f"channel must be from 0 to {len(weights) - 1}, not {channel}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    if not rate > 0:
        raise ValueError(f"rate must be above 0, not {rate}")
    return _ascent(network, convolution(network, layer), weights[channel : channel + 1], channel, steps, rate, seed)


def _ascent(network, path, weight, channel, steps, rate, seed):
    height, width = weight.shape[-2:]
    side = 32 * math.ceil(3 * max(height, width) / 32)  # the patch lies far from the padding
    field = network.receptive_field(path, side)
    row, column = side // 2 // field.stride[0], side // 2 // field.stride[1]
    top, left, bottom, right = field.box(row, column)
    top, left = max(0, top), max(0, left)
    grey = network.mean_pixel.view(1, 3, 1, 1).expand(1, 3, side, side)
    x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed)).to(weight)
    x = x / x.norm()
    around = (left, side - right, top, side - bottom)
    for index in range(1, steps + 1):
        x.requires_grad_(True)
        value = network.activation(grey + F.pad(x, around), path)[0, channel, row, column]
        (gradient,) = torch.autograd.grad(value, x)
        x = x.detach() + rate * gradient / gradient.norm().clamp_min(1e-30)
        x = x / x.norm()
        with torch.no_grad():
            value = network.activation(grey + F.pad(x, around), path)[0, channel, row, column]
            cosine = F.cosine_similarity(x.flatten(), weight.flatten(), dim=0, eps=1e-30)
        yield Step(index, steps, x.clone(), {"response": value.item(), "cosine": cosine.item()})


# ── Where such filters come from ─────────────────────────────────────────────────────────────────────────────


def random_patches(pictures: Iterable[Tensor], size: int, count: int, seed: int = 0, contrast: float = 0.02) -> Tensor:
    """About `count` square patches (N, 3, size, size) from random places, each less its own mean.

    Patches whose standard deviation is below `contrast` are left out, so there may be fewer.

    Raises:
        ValueError: size or count below 1, a picture smaller than a patch, or no patch with enough contrast.
    """
    if size < 1 or count < 1:
        raise ValueError(f"size and count must be at least 1, not {size} and {count}")
    pictures = list(pictures)
    random = torch.Generator().manual_seed(seed)
    found = []
    for picture in pictures:
        height, width = images.check(picture, "picture").shape[-2:]
        if min(height, width) < size:
            raise ValueError(f"pictures must be at least {size} pixels high and wide, not {height}×{width}")
        each = -(-count // len(pictures))
        tops = torch.randint(height - size + 1, (each,), generator=random).tolist()
        lefts = torch.randint(width - size + 1, (each,), generator=random).tolist()
        found += [picture[0, :, t : t + size, s : s + size] for t, s in zip(tops, lefts, strict=True)]
    if not found:
        raise ValueError("pictures must hold at least one picture")
    patches = torch.stack(found)
    patches = patches - patches.mean((1, 2, 3), keepdim=True)
    patches = patches[patches.flatten(1).std(1) >= contrast]
    if not len(patches):
        raise ValueError(f"no patch has a contrast of {contrast} or more")
    return patches


def independent_components(
    patches: Tensor, count: int = 64, shown: Literal["stimulus", "filter"] = "stimulus", seed: int = 0
) -> Tensor:
    """Independent components of photo patches by scikit-learn's FastICA: (count, 3, h, w), largest first.

    The patches are whitened (decorrelated, kept in their `count` strongest principal directions) and the
    rotation is sought in which the coordinates are as far from Gaussian, that is as sparse, as possible. No
    network and no labels are involved. Bell & Sejnowski 1997, "The 'independent components' of natural scenes
    are edge filters"; Hoyer & Hyvärinen 2000 for colour.

    Args:
        patches: (N, 3, h, w), as from `random_patches`.
        shown: "stimulus" is the patch that a component stands for (a column of the mixing matrix), "filter" what
            is multiplied with a patch to measure the component (a row of its inverse).

    Raises:
        ValueError: another shape, no such `shown`, or more components than patches or pixels.
    """
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    flat = _check_filters(patches).flatten(1).cpu().numpy()
    if shown not in ("stimulus", "filter"):
        raise ValueError(f"shown must be 'stimulus' or 'filter', not {shown!r}")
    if not 1 <= count < min(flat.shape):
        raise ValueError(f"count must be from 1 to {min(flat.shape) - 1} for these patches, not {count}")
    ica = FastICA(count, whiten="unit-variance", max_iter=100, tol=1e-3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last component may still be turning
        ica.fit(flat)
    largest = np.linalg.norm(ica.mixing_, axis=0).argsort()[::-1]
    found = (ica.mixing_.T if shown == "stimulus" else ica.components_)[largest]
    return torch.from_numpy(found.astype(np.float32)).reshape(count, *patches.shape[1:])


# ── Gabor ────────────────────────────────────────────────────────────────────────────────────────────────────


def gabor(
    size: Annotated[int, (3, 41, 2)] = 11,
    frequency: Annotated[float, (0.0, 0.5, 0.01)] = 0.15,
    angle: Annotated[float, (0.0, 180.0, 5.0)] = 30.0,
    phase: Annotated[float, (0.0, 360.0, 15.0)] = 90.0,
    width: Annotated[float, (0.5, 10.0, 0.1)] = 2.0,
    aspect: Annotated[float, (0.2, 2.0, 0.05)] = 0.7,
    centre: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """A wave under a bell: Gabor's function on a grid of pixels, (size, size), values in [−1, 1].

        g(x, y) = exp(−(x'² + aspect²·y'²) / (2·width²)) · cos(2π·frequency·x' + phase)
        x' = x cos(angle) + y sin(angle),   y' = y cos(angle) − x sin(angle)

    Daugman 1985, "Uncertainty relation for resolution in space, spatial frequency, and orientation".

    Args:
        frequency: of the wave, in cycles per pixel.
        angle: of the direction in which the wave runs, in degrees from the right, downwards.
        phase: in degrees: 0 is a bright bar, 90 an edge.
        width: standard deviation of the bell along the wave, in pixels.
        aspect: width over length of the bell: below 1 it is long across the wave.
        centre: (right, down) of the middle of the grid, in pixels.

    Raises:
        ValueError: a size below 1, or a width or aspect not above 0.
    """
    if size < 1 or not width > 0 or not aspect > 0:
        raise ValueError(f"size, width and aspect must be above 0, not {size}, {width} and {aspect}")
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    x, y = axis[None, :] - centre[0], axis[:, None] - centre[1]
    turn, start = math.radians(angle), math.radians(phase)
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    bell = torch.exp(-(along**2 + (aspect * across) ** 2) / (2 * width**2))
    return (bell * torch.cos(2 * math.pi * frequency * along + start)).float()


@dataclass(frozen=True)
class GaborFit:
    """The Gabor function nearest to a filter; angles in degrees, lengths in pixels.

    Attributes:
        explained: the part of the filter's sum of squares that the fit explains, from 0 to 1.
        picture: the fit, (1, 3, h, w), to be compared with the filter.
    """

    frequency: float
    angle: float
    phase: float
    width: float
    aspect: float
    centre: tuple[float, float]
    explained: float
    picture: Tensor


def fit_gabor(weights: Tensor) -> GaborFit:
    """Fit one Gabor function in one colour to a square filter (1, 3, n, n) by least squares.

    The colour and the pattern are the first singular pair of the 3 × n² matrix of weights. Of the pattern's
    parameters, amplitude and phase enter linearly (a cosine and a sine) and are solved for inside; SciPy searches
    the other six from the peak of the power spectrum and the centre of energy.

    Raises:
        ValueError: not one square filter.
    """
    from scipy.optimize import least_squares

    weights = _check_filters(weights).double().cpu()
    if len(weights) != 1 or weights.shape[-1] != weights.shape[-2]:
        raise ValueError(f"weights must be one square filter (1, 3, n, n), not {tuple(weights.shape)}")
    size = weights.shape[-1]
    left, strengths, right = torch.linalg.svd(weights.reshape(3, -1), full_matrices=False)
    colour, pattern = left[:, 0], (strengths[0] * right[0]).numpy()

    def solved(p):
        """The best amplitudes of cosine and sine for the other six, and what they draw."""
        right, down, frequency, angle, width, aspect = p
        at = {"width": width, "aspect": aspect, "centre": (right, down)}
        pair = [gabor(size, frequency, math.degrees(angle), phase, **at).flatten() for phase in (0.0, -90.0)]
        waves = torch.stack(pair, dim=1).double().numpy()
        # a trace of ridge: the sine of a wave without frequency is zero everywhere
        amplitudes = np.linalg.solve(waves.T @ waves + 1e-9 * np.eye(2), waves.T @ pattern)
        return amplitudes, waves @ amplitudes

    def residual(p):
        return solved(p)[1] - pattern

    low = [-size / 2, -size / 2, 0.0, -2 * math.pi, 0.5, 0.1]
    high = [size / 2, size / 2, 0.5, 2 * math.pi, 2.0 * size, 4.0]
    starts = [_gabor_start(pattern.reshape(size, size), width) for width in (size / 8, size / 4)]
    # gabor() computes in double but returns float32, too coarse for SciPy's default step of 1e-8
    enough = {"bounds": (low, high), "diff_step": 1e-4, "ftol": 1e-4, "x_scale": [1, 1, 0.05, 0.3, 1, 0.3]}
    fits = [least_squares(residual, np.clip(start, low, high), **enough) for start in starts]
    best = min(fits, key=lambda fit: fit.cost).x
    (cosine, sine), drawn = solved(best)
    turned = math.degrees(best[3]) % 360 >= 180  # the same stripes, seen from the other side
    picture = torch.einsum("c,n->cn", colour, torch.from_numpy(drawn))
    explained = 1 - (picture - weights.reshape(3, -1)).square().sum() / weights.square().sum().clamp_min(1e-30)
    return GaborFit(
        frequency=float(best[2]),
        angle=math.degrees(best[3]) % 180,
        phase=math.degrees(math.atan2(sine if turned else -sine, cosine)) % 360,
        width=float(best[4]),
        aspect=float(best[5]),
        centre=(float(best[0]), float(best[1])),
        explained=float(explained),
        picture=picture.reshape(weights.shape).float(),
    )


def _gabor_start(pattern, width):
    """Right, down, frequency, angle, width and aspect from the spectrum's peak and the centre of energy."""
    size, side = len(pattern), 64
    axis = np.arange(size) - (size - 1) / 2
    energy = pattern**2 / (pattern**2).sum().clip(1e-30)
    power = np.abs(np.fft.rfft2(pattern, s=(side, side))) ** 2
    row, column = np.unravel_index(power.argmax(), power.shape)
    vertical, horizontal = np.fft.fftfreq(side)[row], column / side
    centre = (energy.sum(0) @ axis, energy.sum(1) @ axis)
    return [*centre, math.hypot(vertical, horizontal), math.atan2(vertical, horizontal), width, 1.0]
