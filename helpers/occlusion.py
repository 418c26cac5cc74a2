"""Occlusion: cover a part of the picture, and see what the network then says.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014), section 4.2. They draw the score
at the place of the window; here the map holds, at each pixel, the score averaged over the windows that covered the
pixel: below the clean score where the class needs what is covered, above it where that speaks against the class.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from helpers.core.arguments import at_least, at_once, channels, classes, one_of, positions, single, with_knobs_of
from helpers.core.images import Image, interpolation_weights
from helpers.core.networks import Category, Channel, Layer, Network, Score, as_scores
from helpers.core.steps import Seed, Step
from helpers.incremental import fastest

Fill = Literal["mean", "grey", "black", "white", "blur", "noise"]
Read = Literal["total", "strongest"]
Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are outside


# ── The method ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Occluded(Step):
    """A step of `occlusion`: `image` is the map so far, (1, 1, H, W); pixels not covered yet hold the clean score.

    Attributes:
        scores: the score with each window covered, (rows, columns); NaN where the window's turn has not come.
        tops: the first row of pixels of the windows in each row of `scores`.
        lefts: the first column of pixels of the windows in each column of `scores`.
        patch: side of the windows in pixels.
        winners: the most probable class with each window covered, (rows, columns), by its index; −1 where the window's
            turn has not come; None where a channel is followed.
    """

    scores: Tensor | None = None
    tops: Sequence[int] = ()
    lefts: Sequence[int] = ()
    patch: int = 0
    winners: Tensor | None = None

    @property
    def clean(self) -> float:
        """The score of the picture with nothing covered."""
        return self.losses["clean"]

    @property
    def worst(self) -> Box:
        """The window that lowers the score most: (top, left, bottom, right) in pixels."""
        return self._box(self.scores.nan_to_num(torch.inf).argmin())

    @property
    def best(self) -> Box:
        """The window that raises the score most, or lowers it least: (top, left, bottom, right) in pixels."""
        return self._box(self.scores.nan_to_num(-torch.inf).argmax())

    @property
    def change(self) -> Tensor:
        """The map less the clean score, (1, 1, H, W): negative where covering lowers it."""
        return self.image - self.clean

    def _box(self, window):
        row, column = divmod(int(window), len(self.lefts))
        top, left = self.tops[row], self.lefts[column]
        return top, left, top + self.patch, left + self.patch

    def upsampled(self) -> Tensor:
        """A smooth map (1, 1, H, W) from few windows: their scores, interpolated linearly between their centres."""
        known = self.scores.nan_to_num(self.clean)
        down, across = (
            interpolation_weights(torch.arange(side) + 0.5, torch.tensor(firsts) + self.patch / 2).to(known)
            for side, firsts in zip(self.image.shape[-2:], (self.tops, self.lefts), strict=True)
        )
        return (down @ known @ across.T)[None, None]


@at_once
@torch.inference_mode()
def occlusion(
    network: Network,
    image: Image,
    category: Category,
    patch: Annotated[int, (8, 96, 8)] = 32,
    stride: Annotated[int, (4, 64, 4)] = 16,
    fill: Fill = "mean",
    score: Score = "probability",
    incremental: bool = True,
    seed: Seed = 0,
    colour: Sequence[float] | None = None,
    batch: int | None = None,
) -> Iterator[Step]:
    """Slide a square window over the picture; the map of a class's score fills as it goes (Zeiler and Fergus 2014).

    The windows cover every pixel: where the last stride leaves a rest, one more window stands flush with the border.
    A pixel's value is the mean over the windows that hold it. Where the windows fit without a rest, the map is the
    clean score less captum's `Occlusion`; where they do not, captum lets a smaller window hang over the border.

    Args:
        image: one picture, (1, 3, H, W).
        category: the class whose score is followed, by index or name.
        patch: side of the window in pixels.
        stride: how far it moves, at most `patch`.
        fill: what stands in the window: the network's mean pixel, grey, black, white, the blurred picture or noise.
        score: softmax probability or its logarithm, or the class score before softmax.
        incremental: on a CPU, recompute only what a window can reach; the same map, sooner (see `Incremental`). A GPU
            is quicker with many whole pictures at once, and gets those.
        seed: of the noise.
        colour: (red, green, blue) in [0, 1] to fill with instead.
        batch: windows a forward pass; default 256 on a GPU, 16 on a CPU, and there 4 without `incremental`.

    Yields:
        An `Occluded` after each batch, its `losses` the clean score and the lowest one so far.

    Raises:
        ValueError: an argument is out of its range, more than one picture, or a network without a classifier.
    """
    network, image, category = _check(network, image, category)
    tops, lefts = _grid(image, patch, stride)
    one_of("score", score, Score)
    incremental = incremental and network.device.type == "cpu"
    batch = _batch(batch, network, on_cpu=16 if incremental else 4)  # whole pictures soon overflow a CPU's cache
    filler = make_filler(network, image, fill, patch, seed, colour)
    yield

    logits = definition(network, image, filler, patch)
    if incremental:
        corners = [(top, left) for top in tops for left in lefts]
        logits = fastest(logits, network, image, filler, patch, corners)

    def read(now):
        found = logits(now)
        return as_scores(found, score)[:, category], found.argmax(1)

    clean = network.scores(image, score)[0, category].item()
    yield from _slide(read, image, clean, tops, lefts, patch, batch)


@with_knobs_of(
    occlusion, only=("patch", "stride", "fill", "seed", "colour", "batch"), patch=64, stride=16, fill="mean", seed=0
)
@at_once
@torch.inference_mode()
def channel_occlusion(
    network: Network,
    image: Image,
    layer: Layer = "head",
    channel: Channel | None = None,
    read: Read = "total",
    **knobs,
) -> Iterator[Step]:
    """`occlusion` with a channel of a layer in the class's place.

    Zeiler and Fergus 2014, section 4.2, follow the total activation of the map that is strongest in the whole picture.

    Args:
        image: one picture, (1, 3, H, W).
        layer: one with a map.
        channel: from 0; None takes the one with the largest total in the uncovered picture.
        read: the activation summed over the map, or its strongest unit's.
        **knobs: those of `occlusion`.

    Yields:
        An `Occluded` after each batch, its `losses` the clean activation and the lowest one so far.

    Raises:
        ValueError: an argument is out of its range, more than one picture, or a layer without a map.
    """
    image = single("image", image).detach().to(network.device)
    patch, fill, seed = knobs["patch"], knobs["fill"], knobs["seed"]
    tops, lefts = _grid(image, patch, knobs["stride"])
    positions(network, layer)
    one_of("read", read, Read)
    maps = network.activation(image, layer)
    if channel is None:
        channel = strongest_channel(network, image, layer)
    (channel,) = channels(channel, maps.shape[1], layer)
    batch = _batch(knobs.get("batch"), network)
    filler = make_filler(network, image, fill, patch, seed, knobs.get("colour"))
    yield

    def of(maps):
        units = maps[:, channel].flatten(1)
        return units.sum(1) if read == "total" else units.amax(1)

    def ask(corners):
        covered = [cover(image, filler, (top, left, top + patch, left + patch)) for top, left in corners]
        return of(network.activation(torch.cat(covered), layer)), None

    yield from _slide(ask, image, of(maps).item(), tops, lefts, patch, batch)


def strongest_channel(network: Network, image: Image, layer: Layer = "head") -> int:
    """The channel of a layer whose activation, summed over its map, is largest."""
    with torch.no_grad():
        return int(network.activation(image, layer)[0].flatten(1).sum(1).argmax())


def _slide(read, image, clean, tops, lefts, patch, batch):
    """An `Occluded` a batch of windows; `read` gives their scores and their most probable classes, or None."""
    corners = [(top, left) for top in tops for left in lefts]
    size, grid = tuple(image.shape[-2:]), (len(tops), len(lefts))
    scores = torch.full((len(corners),), torch.nan, device=image.device)
    winners = torch.full((len(corners),), -1, device=image.device)
    total = -(-len(corners) // batch)
    for i in range(total):
        now = slice(i * batch, (i + 1) * batch)
        found, best = read(corners[now])
        scores[now] = found.float()
        if best is not None:
            winners[now] = best
        known = scores.view(grid).clone()
        heat = average(known, tops, lefts, patch, size, clean)
        losses = {"clean": clean, "lowest": scores[: now.stop].min().item()}
        named = None if best is None else winners.view(grid).clone()
        yield Occluded(i + 1, total, heat, losses, known, tops, lefts, patch, named)


def _grid(image, patch, stride):
    """Where windows start along both axes."""
    height, width = image.shape[-2:]
    if not 1 <= patch <= min(height, width):
        raise ValueError(f"patch must be from 1 to the picture's shorter side {min(height, width)}, not {patch}")
    if not 1 <= stride <= patch:
        raise ValueError(f"stride must be from 1 to patch ({patch}), so that every pixel is covered, not {stride}")
    return starts(height, patch, stride), starts(width, patch, stride)


def starts(side: int, patch: int, stride: int) -> list[int]:
    """Where windows of `patch` pixels start along a side, the last flush with its end."""
    regular = list(range(0, side - patch + 1, stride))
    return regular if regular[-1] + patch == side else [*regular, side - patch]


def average(scores: Tensor, tops: Sequence[int], lefts: Sequence[int], patch: int, size, clean: float) -> Tensor:
    """The map (1, 1, H, W): each pixel the mean of the known scores of the windows over it, or `clean`.

    With A[y, i] = 1 where the i-th row of windows covers pixel row y, and B alike for columns, the sum over the
    windows of a pixel is A S Bᵀ, and their number A 1 Bᵀ.
    """
    down, across = (_covers(*axis).to(scores.device) for axis in ((tops, patch, size[0]), (lefts, patch, size[1])))
    known = (~scores.isnan()).double()
    total = down @ scores.nan_to_num(0).double() @ across.T
    count = down @ known @ across.T
    return torch.where(count > 0, total / count.clamp_min(1), clean).float()[None, None]


def _covers(firsts, patch, side):
    pixel, first = torch.arange(side)[:, None], torch.tensor(list(firsts))[None]
    return ((first <= pixel) & (pixel < first + patch)).double()


def make_filler(network, image, fill: Fill = "mean", patch: int = 32, seed: int = 0, colour=None) -> Tensor:
    """The picture (1, 3, H, W) that shows through the windows.

    Raises:
        ValueError: an unknown fill, or a colour that is not three numbers in [0, 1].
    """
    if colour is not None:
        colour = [float(value) for value in colour]
        if len(colour) != 3 or not all(0 <= value <= 1 for value in colour):
            raise ValueError(f"colour must be three numbers in [0, 1], not {colour}")
        return image.new_tensor(colour).view(1, 3, 1, 1).expand_as(image)
    one_of("fill", fill, Fill)
    if fill == "mean":
        return network.mean_pixel.to(image).view(1, 3, 1, 1).expand_as(image)
    if fill in ("grey", "black", "white"):
        return torch.full_like(image, {"grey": 0.5, "black": 0.0, "white": 1.0}[fill])
    if fill == "blur":
        # wide enough that nothing as large as a quarter of the window stays; reflection needs reach < side
        reach = min(patch, min(image.shape[-2:]) - 1)
        return gaussian_blur(image, 2 * reach + 1, max(patch, 2) / 2)
    return torch.rand(image.shape, generator=torch.Generator().manual_seed(seed)).to(image)


def cover(image: Tensor, filler: Tensor, box: Box) -> Tensor:
    """The picture with the pixels of `box` taken from `filler`."""
    top, left, bottom, right = box
    covered = image.clone()
    covered[..., top:bottom, left:right] = filler[..., top:bottom, left:right]
    return covered


def definition(network, image, filler, patch) -> Callable[[list[tuple[int, int]]], Tensor]:
    """The definition: whole pictures with one window covered each, through the whole network."""

    def logits(corners):
        covered = [cover(image, filler, (top, left, top + patch, left + patch)) for top, left in corners]
        return network(torch.cat(covered))

    return logits


# ── Is the map right? ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Curve:
    """The probability of a class while pixels change hands: `scores[i]` with the share `shares[i]` of them changed."""

    shares: Tensor
    scores: Tensor

    @property
    def area(self) -> float:
        """Under the curve, from 0 to 1, by the trapezoid rule."""
        return torch.trapezoid(self.scores, self.shares).item()


def deletion(
    network: Network,
    image: Image,
    importance: Tensor,
    category: Category,
    points: Annotated[int, (4, 64, 4)] = 32,
    batch: int | None = None,
) -> Curve:
    """Take the pixels away, most important first (Petsiuk et al. 2018, RISE, section 4.3); a small area is good.

    Removed pixels become the network's mean pixel, which it sees as zero, as in the paper.

    Args:
        image: one picture, (1, 3, H, W).
        importance: (H, W), (1, H, W) or (1, 1, H, W), higher is more important; for an occlusion map its negative.
        points: how many pictures between the whole one and the empty one are asked, plus one.
            The paper removes 224 pixels at a time, which for 224-pixel pictures is 224 points.

    Raises:
        ValueError: an argument of another shape or out of its range, or NaN in `importance`.
    """
    network, image, category = _check(network, image, category)
    empty = make_filler(network, image)
    return _hand_over(network, image, empty, importance, category, points, batch)


def insertion(
    network: Network,
    image: Image,
    importance: Tensor,
    category: Category,
    points: Annotated[int, (4, 64, 4)] = 32,
    batch: int | None = None,
) -> Curve:
    """Bring the pixels back into a blurred picture, most important first (as `deletion`); a large area is good."""
    network, image, category = _check(network, image, category)
    reach = min(5, min(image.shape[-2:]) - 1)
    blurred = gaussian_blur(image, 2 * reach + 1, 5.0)  # the paper's: 11 pixels, deviation 5
    return _hand_over(network, blurred, image, importance, category, points, batch)


@torch.inference_mode()
def _hand_over(network, start, end, importance, category, points, batch):
    """Probabilities while the pixels of `start` become those of `end`."""
    size = tuple(start.shape[-2:])
    if tuple(importance.shape[-2:]) != size or importance.numel() != size[0] * size[1]:
        raise ValueError(f"importance must be one map of {size[0]}×{size[1]} pixels, not {tuple(importance.shape)}")
    if not importance.isfinite().all():
        raise ValueError("importance must be finite, but holds NaN or infinity")
    at_least(1, points=points)
    order = importance.flatten().argsort(descending=True, stable=True).to(start.device)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=start.device)).view(size)
    shares = torch.linspace(0, 1, points + 1)
    counts = (shares * len(order)).round().to(start.device).view(-1, 1, 1, 1)
    scores = [
        network.probabilities(torch.where(rank < now, end, start))[:, category]
        for now in counts.split(_batch(batch, network))
    ]
    return Curve(shares.to(start.device), torch.cat(scores))


def _check(network, image, category):
    classes(network)
    return network, single("image", image).detach().to(network.device), network.category(category)


def _batch(batch, network, on_cpu=4):
    if batch is None:
        return on_cpu if network.device.type == "cpu" else 256
    at_least(1, batch=batch)
    return batch
