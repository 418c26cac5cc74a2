"""Occlusion: cover a part of the picture, and see what the network then says.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014), section 4.2. The map holds, at
each pixel, the score of one class averaged over the windows that covered the pixel: dark where the class needs what
is covered, bright where what is covered speaks against it.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.transforms.functional import gaussian_blur

from helpers.activations import ReceptiveField
from helpers.images import Image, check
from helpers.networks import Category, Network
from helpers.steps import Seed, Step

Fill = Literal["mean", "grey", "black", "white", "blur", "noise"]
Score = Literal["probability", "logit"]
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
    """

    scores: Tensor | None = None
    tops: Sequence[int] = ()
    lefts: Sequence[int] = ()
    patch: int = 0

    @property
    def clean(self) -> float:
        """The score of the picture with nothing covered."""
        return self.losses["clean"]

    @property
    def worst(self) -> Box:
        """The window that lowers the score most: (top, left, bottom, right) in pixels."""
        row, column = divmod(int(self.scores.nan_to_num(torch.inf).argmin()), len(self.lefts))
        top, left = self.tops[row], self.lefts[column]
        return top, left, top + self.patch, left + self.patch

    def upsampled(self) -> Tensor:
        """A smooth map (1, 1, H, W) from few windows: their scores, interpolated linearly between their centres."""
        height, width = self.image.shape[-2:]
        known = self.scores.nan_to_num(self.clean)
        down = _hats([top + self.patch / 2 for top in self.tops], height).to(known)
        across = _hats([left + self.patch / 2 for left in self.lefts], width).to(known)
        return (down @ known @ across.T)[None, None]


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
        score: softmax probability, or the class score before softmax.
        incremental: recompute only what a window can reach; the same map, sooner (see `Incremental`).
        seed: of the noise.
        colour: (red, green, blue) in [0, 1] to fill with instead.
        batch: windows a forward pass; default 64 on a GPU, 16 on a CPU, and there 4 without `incremental`.

    Yields:
        An `Occluded` after each batch, its `losses` the clean score and the lowest one so far.

    Raises:
        ValueError: an argument is out of its range, more than one picture, or a network without a classifier.
    """
    network, image, category = _check(network, image, category)
    height, width = image.shape[-2:]
    if not 1 <= patch <= min(height, width):
        raise ValueError(f"patch must be from 1 to the picture's shorter side {min(height, width)}, not {patch}")
    if not 1 <= stride <= patch:
        raise ValueError(f"stride must be from 1 to patch ({patch}), so that every pixel is covered, not {stride}")
    if score not in ("probability", "logit"):
        raise ValueError(f"score must be 'probability' or 'logit', not {score!r}")
    batch = _batch(batch, network, on_cpu=16 if incremental else 4)  # whole pictures soon overflow a CPU's cache
    filler = make_filler(network, image, fill, patch, seed, colour)
    return _slide(network, image, category, patch, stride, filler, score, incremental, batch)


@torch.inference_mode()
def _slide(network, image, category, patch, stride, filler, score, incremental, batch):
    tops, lefts = (starts(side, patch, stride) for side in image.shape[-2:])
    corners = [(top, left) for top in tops for left in lefts]
    if incremental:
        logits = fastest(network, image, filler, patch, corners)
    else:
        logits = definition(network, image, filler, patch)

    def read(values):
        return (values.softmax(dim=1) if score == "probability" else values)[:, category].float().cpu()

    clean = read(network(image)).item()
    scores = torch.full((len(corners),), torch.nan)
    total = -(-len(corners) // batch)
    for i in range(total):
        now = slice(i * batch, (i + 1) * batch)
        scores[now] = read(logits(corners[now]))
        grid = scores.view(len(tops), len(lefts)).clone()
        heat = average(grid, tops, lefts, patch, image.shape[-2:], clean)
        losses = {"clean": clean, "lowest": scores[: now.stop].min().item()}
        yield Occluded(i + 1, total, heat, losses, grid, tops, lefts, patch)


def starts(side: int, patch: int, stride: int) -> list[int]:
    """Where windows of `patch` pixels start along a side, the last flush with its end."""
    regular = list(range(0, side - patch + 1, stride))
    return regular if regular[-1] + patch == side else [*regular, side - patch]


def average(scores: Tensor, tops: Sequence[int], lefts: Sequence[int], patch: int, size, clean: float) -> Tensor:
    """The map (1, 1, H, W): each pixel the mean of the known scores of the windows over it, or `clean`.

    With A[y, i] = 1 where the i-th row of windows covers pixel row y, and B alike for columns, the sum over the
    windows of a pixel is A S Bᵀ, and their number A 1 Bᵀ.
    """
    down, across = _covers(tops, patch, size[0]), _covers(lefts, patch, size[1])
    known = (~scores.isnan()).double()
    total = down @ scores.nan_to_num(0).double() @ across.T
    count = down @ known @ across.T
    return torch.where(count > 0, total / count.clamp_min(1), clean).float()[None, None]


def _covers(firsts, patch, side):
    pixel, first = torch.arange(side)[:, None], torch.tensor(list(firsts))[None]
    return ((first <= pixel) & (pixel < first + patch)).double()


def _hats(centres, side):
    """(side, windows): the weights of linear interpolation between centres, constant beyond the outer ones."""
    pixel, centre = torch.arange(side)[:, None] + 0.5, torch.tensor(centres)[None]
    if len(centres) == 1:
        return torch.ones(side, 1)
    pixel = pixel.clamp(centre.min(), centre.max())
    gaps = centre.diff()
    rising = 1 - (centre[:, 1:] - pixel) / gaps  # towards the centre on the right of each gap
    inside = (rising >= 0) & (rising <= 1)
    inside &= inside.cumsum(dim=1) == 1  # a pixel on a centre lies in two gaps: take the first
    share = torch.where(inside, rising, 0.0)
    return F.pad(share, (1, 0)) + F.pad(torch.where(inside, 1 - rising, 0.0), (0, 1))


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
    if fill == "mean":
        return network.mean_pixel.to(image).view(1, 3, 1, 1).expand_as(image)
    if fill in ("grey", "black", "white"):
        return torch.full_like(image, {"grey": 0.5, "black": 0.0, "white": 1.0}[fill])
    if fill == "blur":
        # wide enough that nothing as large as a quarter of the window stays; reflection needs reach < side
        reach = min(patch, min(image.shape[-2:]) - 1)
        return gaussian_blur(image, 2 * reach + 1, max(patch, 2) / 2)
    if fill == "noise":
        random = torch.Generator().manual_seed(seed)
        return torch.rand(image.shape, generator=random).to(image)
    raise ValueError(f"fill must be one of {', '.join(Fill.__args__)}, not {fill!r}")


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
    if points < 1:
        raise ValueError(f"points must be at least 1, not {points}")
    order = importance.flatten().argsort(descending=True, stable=True).to(start.device)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=start.device)).view(size)
    shares = torch.linspace(0, 1, points + 1)
    counts = (shares * len(order)).round().to(start.device).view(-1, 1, 1, 1)
    scores = [
        network.probabilities(torch.where(rank < now, end, start))[:, category].cpu()
        for now in counts.split(_batch(batch, network))
    ]
    return Curve(shares, torch.cat(scores))


def _check(network, image, category):
    if "logits" not in network.layers:
        raise ValueError(f"network {network.name} has no classifier, so there is no score to follow")
    check(image, "image")
    if len(image) != 1:
        raise ValueError(f"image must be one picture, (1, 3, H, W), not a batch of {len(image)}")
    return network, image.detach().to(network.device), network.category(category)


def _batch(batch, network, on_cpu=4):
    if batch is None:
        return on_cpu if network.device.type == "cpu" else 64
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    return batch


# ── The same numbers sooner ──────────────────────────────────────────────────────────────────────────────────

WORTH_CROPPING = 0.7  # a stage is recomputed in part while its crop is less than this share of the map


def fastest(network, image, filler, patch, corners) -> Callable[[list[tuple[int, int]]], Tensor]:
    """`Incremental` where it gives the network's own answers on this picture, else the definition.

    Compared are the first window, in a corner, and the middle one. Networks that do more between their modules than
    hand a tensor on, such as GoogLeNet's change of colours, fail that and lose only the shortcut.
    """
    plain = definition(network, image, filler, patch)
    samples = [corners[0], corners[len(corners) // 2]]
    expected = plain(samples)
    try:
        shortcut = Incremental(network, image, filler, patch)
        found = shortcut(samples)
    except (RuntimeError, ValueError, TypeError):  # its modules do not run one after the other
        return plain
    same = found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    return shortcut if same else plain


@dataclass
class Stage:
    """A part of the network that is recomputed only where a window can reach.

    Attributes:
        module: the part.
        field: which units of the input map a unit of the output map sees.
        inputs: the input map of the uncovered picture, (1, C, H, W).
        shape: (rows, columns) of the output map.
    """

    module: nn.Sequential
    field: ReceptiveField
    inputs: Tensor
    shape: tuple[int, int]

    def reached(self, axis: int, first: int, last: int) -> tuple[int, int]:
        """The outputs [lo, hi) along an axis that can see any of the inputs [first, last); at least one."""
        size, stride, start = self.field.size[axis], self.field.stride[axis], self.field.start[axis]
        lo = min(max(0, (first - start - size) // stride + 1), self.shape[axis] - 1)
        hi = min(self.shape[axis], -((start - last) // stride))
        return lo, max(hi, lo + 1)

    def crops(self, axis: int, outputs: list[tuple[int, int]]) -> tuple[list[int], int]:
        """Along an axis: where to crop the input for each window's `outputs`, and the one length that serves all.

        A crop's end either is the map's end, so that padding is the same, or lies beyond what `outputs` see. It
        starts at a multiple of the stride, and its length leaves the same remainder as the map's.
        """
        size, stride, start = self.field.size[axis], self.field.stride[axis], self.field.start[axis]
        side = self.inputs.shape[2 + axis]
        firsts = [max(0, start + lo * stride) // stride * stride for lo, _ in outputs]
        lasts = [min(side, start + (hi - 1) * stride + size) for _, hi in outputs]
        length = min(side, max(size, *(last - first for first, last in zip(firsts, lasts, strict=True))))
        length += (side - length) % stride
        return [min(first, side - length) for first in firsts], length


class Incremental:
    """Class scores of covered pictures, recomputing of the early layers only what the window can reach.

    Exact, not an approximation: a unit whose receptive field misses the window keeps its value. Each stage is run on
    a crop of the uncovered picture's activations with the changed part pasted in; the later layers, where a window
    reaches nearly everything, are run in full. (The idea is that of Nakandala et al., "Incremental and Approximate
    Inference for Faster Occlusion-based Deep CNN Explanations", SIGMOD 2019.) On top, every batch normalisation is
    folded into the convolution before it, and maps lie in memory with their channels side by side.

    Raises:
        RuntimeError, ValueError, TypeError: the network's modules cannot be run one after the other.
    """

    def __init__(self, network: Network, image: Tensor, filler: Tensor, patch: int):
        self.patch = patch
        self.filler = _channels_last(network.normalise(filler))
        self.rest = fold(copy.deepcopy(network.model)).to(memory_format=torch.channels_last)
        self.stages, self.map = _cut(network, self.rest, _channels_last(network.normalise(image)), patch)

    def __call__(self, corners: list[tuple[int, int]]) -> Tensor:
        """Class scores (windows, classes) with the window at each (top, left) covered."""
        rows, columns = ([(first, first + self.patch) for first in axis] for axis in zip(*corners, strict=True))
        pieces = [self.filler[0, :, slice(*r), slice(*c)] for r, c in zip(rows, columns, strict=True)]
        for stage in self.stages:
            rows_out = [stage.reached(0, *r) for r in rows]
            columns_out = [stage.reached(1, *c) for c in columns]
            tops, height = stage.crops(0, rows_out)
            lefts, width = stage.crops(1, columns_out)
            crops = _empty(len(corners), stage.inputs, height, width)
            for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
                crops[i] = stage.inputs[0, :, top : top + height, left : left + width]
                _paste(pieces[i], rows[i], columns[i], crops[i], top, left)
            results, (down, across) = stage.module(crops), stage.field.stride
            rows, columns = rows_out, columns_out
            pieces = [
                result[:, r[0] - top // down : r[1] - top // down, c[0] - left // across : c[1] - left // across]
                for result, r, c, top, left in zip(results, rows, columns, tops, lefts, strict=True)
            ]
        maps = _empty(len(corners), self.map, *self.map.shape[2:]).copy_(self.map)
        for i, piece in enumerate(pieces):
            _paste(piece, rows[i], columns[i], maps[i], 0, 0)
        return self.rest(maps)


def _paste(piece, rows, columns, crop, top, left):
    """Lay `piece`, which fills `rows` × `columns` of the whole map, over the `crop` of it that starts at (top, left).

    A crop holds all that is needed, but not always all that changed: a stride may step over the last units.
    """
    height, width = crop.shape[1:]
    first_row, last_row = max(rows[0], top), min(rows[1], top + height)
    first_column, last_column = max(columns[0], left), min(columns[1], left + width)
    crop[:, first_row - top : last_row - top, first_column - left : last_column - left] = piece[
        :, first_row - rows[0] : last_row - rows[0], first_column - columns[0] : last_column - columns[0]
    ]


def _channels_last(images):
    return images.contiguous(memory_format=torch.channels_last)


def _empty(count, like, height, width):
    shape = (count, like.shape[1], height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _cut(network, model, inputs, patch):
    """Take the early modules off `model` (identities stay in their place): the stages, and the map they hand on."""
    size = tuple(inputs.shape[-2:])
    seen, reach, stages = ReceptiveField((1, 1), (1, 1), (0, 0)), (patch, patch), []
    for path, module in list(_chain(model)):
        try:
            sees = network.receptive_field(path, size)
        except ValueError:  # never called
            break
        if 0 in sees.stride:  # it mixes the whole picture
            break
        outputs = module(inputs)
        stage = Stage(nn.Sequential(module), _between(seen, sees), inputs, tuple(outputs.shape[-2:]))
        if stages and stage.field.size == stage.field.stride == (1, 1):
            stages[-1].module.append(module)
        else:
            middle = [(side - r) // 2 for side, r in zip(inputs.shape[-2:], reach, strict=True)]
            reached = [stage.reached(axis, middle[axis], middle[axis] + reach[axis]) for axis in range(2)]
            height, width = (stage.crops(axis, [reached[axis]])[1] for axis in range(2))
            if height * width > WORTH_CROPPING * inputs[0, 0].numel():
                break
            reach = tuple(hi - lo for lo, hi in reached)
            stages.append(stage)
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, nn.Identity())
        seen, inputs = sees, outputs
    return stages, inputs


def _chain(model, prefix=""):
    """(path, module) of the modules in the order of their registration, plain sequences opened."""
    for name, child in model.named_children():
        if type(child).forward is nn.Sequential.forward:
            yield from _chain(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _between(early, late):
    """Which units of an early layer a unit of a late one sees, from the pixels that both see."""
    axes = range(2)
    return ReceptiveField(
        size=tuple((late.size[a] - early.size[a]) // early.stride[a] + 1 for a in axes),
        stride=tuple(late.stride[a] // early.stride[a] for a in axes),
        start=tuple((late.start[a] - early.start[a]) // early.stride[a] for a in axes),
    )


def fold(model: nn.Module) -> nn.Module:
    """Fold each batch normalisation into the convolution registered just before it, in place."""
    children = list(model.named_children())
    for (name, module), (next_name, norm) in pairwise(children):
        if isinstance(module, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(model, name, fuse_conv_bn_eval(module, norm))
            setattr(model, next_name, getattr(norm, "act", nn.Identity()))  # timm's has its activation inside
    for _, child in model.named_children():
        fold(child)
    return model
