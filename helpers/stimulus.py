"""The best stimulus of a filter: the nearest patch of all photos, the loudest, and what gradient ascent finds."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.core import images, photos
from helpers.core.arguments import above, at_least, at_once, channels, one_of
from helpers.core.networks import Channel, Layer, Network
from helpers.core.steps import Seed, Step
from helpers.filters import check_filters, convolution, filters, magnify

Origin = Literal["the network's mean", "the patch's mean", "black"]

# ── The nearest patch ────────────────────────────────────────────────────────────────────────────────────────


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
        ValueError: another shape, no such origin, a contrast not above 0, or not a single patch.
    """
    weights = check_filters(weights)
    one_of("origin", origin, Origin)
    above(0, contrast=contrast)
    count, _, height, width = weights.shape
    if origin == "the patch's mean":
        weights = weights - weights.mean((2, 3), keepdim=True)
    units = weights / weights.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
    zero = torch.full((3,), 0.5) if mean is None else mean
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


def search(
    network: Network, layer: Layer = "conv1", channel: Channel = 0, origin: Origin = "the network's mean"
) -> Matches:
    """The patch of the ten `photos.SCENES` that comes nearest to one filter. See `closest_patches`.

    Raises:
        ValueError: a layer that does not see pixels, no such channel, or no such origin.
    """
    weights = filters(network, layer)
    channels(channel, len(weights), layer)
    scenes = (photos.photo(name) for name in photos.SCENES)
    return closest_patches(weights[channel : channel + 1], scenes, origin, network.mean_pixel)


def surroundings(
    picture: Tensor, corner: tuple[int, int], size: tuple[int, int], margin: int = 20, times: int = 5
) -> Tensor:
    """What lies within `margin` pixels of a patch (1, 3, H, W), magnified, with a yellow frame around the patch.

    Args:
        picture: (1, 3, H, W).
        corner: (top, left) of the patch.
        size: (height, width) of the patch.
    """
    (top, left), (height, width) = corner, size
    first, second = max(0, top - margin), max(0, left - margin)
    crop = images.check(picture, "picture")[..., first : top + height + margin, second : left + width + margin]
    large = magnify(crop, times)
    upper, near = (top - first) * times, (left - second) * times
    lower, far = upper + height * times, near + width * times
    ring = torch.zeros(large.shape[-2:], dtype=torch.bool, device=large.device)
    ring[max(0, upper - 3) : lower + 3, max(0, near - 3) : far + 3] = True
    ring[upper:lower, near:far] = False
    return torch.where(ring, large.new_tensor([1.0, 0.85, 0.0]).view(1, 3, 1, 1), large)


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


# ── The loudest patch ────────────────────────────────────────────────────────────────────────────────────────


def loudest_patches(weights: Tensor, pictures: Tensor, mean: Tensor) -> Tensor:
    """For each filter the patch of all pictures with the largest response Σ w·(p − mean), however loud it is.

    Args:
        weights: filters (C, 3, h, w).
        pictures: (N, 3, H, W).
        mean: (3,), the network's `mean_pixel`.

    Returns:
        (C, 3, h, w), pixels as in the pictures.
    """
    responses = F.conv2d(pictures - mean.view(1, 3, 1, 1), weights).transpose(0, 1)
    at = responses.flatten(1).argmax(1)
    places = torch.stack(torch.unravel_index(at, responses.shape[1:]), 1)
    return patches_at(pictures, places, weights.shape[-2:])


def patches_at(pictures: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """The patches (C, 3, *size) of pictures (N, 3, H, W) at `places` (C, 3): which picture, and top left corner."""
    height, width = size
    return torch.stack([pictures[n, :, y : y + height, x : x + width] for n, y, x in places.tolist()])


# ── The best picture that a screen can show ──────────────────────────────────────────────────────────────────


def within_the_screen(weights: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """For each filter two pictures in [0, 1], (C, 3, h, w): itself as loud as it can be shown, and the loudest of all.

    The first is mean + t·w with the largest t that leaves no pixel outside of [0, 1]. The second is white where w is
    positive and black elsewhere: Σ w·(p − mean) is largest where every pixel is at its own better end.

    Args:
        weights: filters (C, 3, h, w).
        mean: (3,), the network's `mean_pixel`.
    """
    mean = mean.view(1, 3, 1, 1)
    room = torch.where(weights > 0, 1 - mean, mean) / weights.abs().clamp_min(1e-30)
    itself = mean + room.amin((1, 2, 3), keepdim=True) * weights
    return itself.clamp(0, 1), (weights > 0).to(weights)


# ── The climb ────────────────────────────────────────────────────────────────────────────────────────────────


@at_once
def filter_ascent(
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
    channels(channel, len(weights), layer)
    at_least(1, steps=steps)
    above(0, rate=rate)
    yield

    path, weight = convolution(network, layer), weights[channel : channel + 1]
    height, width = weight.shape[-2:]
    side = 32 * math.ceil(3 * max(height, width) / 32)  # the patch lies far from the padding
    field = network.receptive_field(path, side)
    row, column = side // 2 // field.stride[0], side // 2 // field.stride[1]
    top, left, bottom, right = field.box(row, column)
    top, left = max(0, top), max(0, left)
    grey = network.mean_pixel.view(1, 3, 1, 1).expand(1, 3, side, side)
    x = images.noise((1, 3, height, width), seed, weight)
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
