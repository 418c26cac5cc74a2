"""Texture pixel by pixel: each new pixel is copied from where the sample looks most like what is already there.

Efros and Leung, "Texture Synthesis by Non-parametric Sampling", ICCV 1999; Wei and Levoy, "Fast Texture Synthesis
using Tree-structured Vector Quantization", SIGGRAPH 2000, from which come the scanline order, the plain (unweighted)
distance and the levels. Everything is counted in whole numbers from 0 to 255, so a distance has one value whatever
the order of its sum, and the result here is the same, pixel for pixel, as that of a loop over rows and columns.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.core.arguments import at_least, at_once, one_of, sides_of, single, whole_numbers
from helpers.core.images import Image
from helpers.core.steps import Seed, Step

Order = Literal["inwards", "in reading order"]


@dataclass(frozen=True)
class Growth(Step):
    """A `Step` of `scanline`; `image` is white where nothing has grown yet.

    Attributes:
        source: for each pixel the (row, column) of the sample that it was copied from, (H, W, 2); −1 where nothing
            has grown yet.
    """

    source: Tensor | None = None


@at_once
def scanline(
    image: Image,
    size: Annotated[int, (32, 256, 16)] = 128,
    window: Annotated[int, (3, 25, 2)] = 11,
    epsilon: Annotated[float, (0.0, 0.5, 0.02)] = 0.0,
    levels: Annotated[int, (1, 3, 1)] = 1,
    tileable: bool = False,
    seed: Seed = 0,
) -> Iterator[Step]:
    """Grow a texture from a small sample in scanline order: row by row, each row from left to right.

    A pixel's neighbourhood is what is already there of the window around it. It is compared with the same
    neighbourhood of every pixel of the sample that has all of its window inside the sample; the distance is the sum
    of squared differences over neighbours and colours. One of those no further than (1 + ε) times the nearest is
    drawn at random and copied. With ε = 0 the nearest is copied; of several, the first in reading order. A pixel
    without neighbours (the first) is drawn at random from all.

    Pixels on a skewed diagonal do not look at each other and are matched as one batch; that changes nothing in the
    result.

    Args:
        image: the sample, (1, 3, H, W); its values are rounded to 8 bits. 64×64 is plenty: time grows with its area.
        size: of the result: the side of a square, or (height, width).
        window: side of the square window, odd.
        epsilon: ε, how much further than the nearest a neighbourhood may be; Efros and Leung take 0.1.
        levels: 1, or the number of pictures, each half as large as the next, that are grown from coarse to fine. A
            pixel then also looks at a window of half the side around its place in the coarser picture, all of it.
        tileable: the last rows and columns also look at the first, as if the result stood below and beside itself.
        seed: of the draws.

    Returns:
        An iterator of `Growth`, one for each row begun.

    Raises:
        ValueError, TypeError: an argument that is out of range.
    """
    single("image", image)
    sides = sides_of(size)
    whole_numbers(1, height=sides[0], width=sides[1], levels=levels)
    checked_window(window)
    at_least(0, epsilon=epsilon)
    samples, sizes = [in_whole_numbers(image)], [sides]
    for _ in range(levels - 1):
        samples.insert(0, _halved(samples[0]))
        sizes.insert(0, tuple(-(-side // 2) for side in sizes[0]))
    least = window * 2 ** (levels - 1)
    if min(samples[0].shape[:2]) < window:
        shape = "×".join(str(side) for side in image.shape[-2:])
        raise ValueError(f"image must be at least {least}×{least} for window {window}, levels {levels}, not {shape}")
    if tileable and min(sizes[0]) < window:
        raise ValueError(f"size must be at least {least} for a tileable picture with window {window}, not {size}")
    yield

    random = torch.Generator().manual_seed(seed)
    grown = []
    for sample, each in zip(samples, sizes, strict=True):
        draws = torch.rand(each[0] * each[1], generator=random, dtype=torch.float64)
        grown.append(_Level(sample, each, window // 2, float(epsilon), tileable, draws, grown[-1] if grown else None))
    index, total = 0, sum(len(level.rounds) for level in grown)
    for k, level in enumerate(grown, start=1):
        for batches in level.rounds:
            for batch in batches:
                level.match(batch)
            index += 1
            yield level.growth(index, total, 2 ** (levels - k), sizes[-1])


def checked_window(window: int) -> None:
    """Refuse the side of a window that has no middle, or no neighbours."""
    if not isinstance(window, int) or window < 3 or window % 2 == 0:
        raise ValueError(f"window must be odd and at least 3, not {window}")


def in_whole_numbers(image: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] → (H, W, 3), whole numbers from 0 to 255 in float32."""
    return (image[0].detach().float().clamp(0, 1) * 255).round().permute(1, 2, 0)


def _halved(sample):
    """The next coarser sample, (H, W, 3) → (H/2, W/2, 3): means of 2×2 pixels, rounded to whole numbers."""
    means = F.avg_pool2d(sample.permute(2, 0, 1)[None], 2, ceil_mode=True)  # sums of four whole numbers are exact
    return means[0].permute(1, 2, 0).round()


class _Level:
    """One picture being grown from one sample, perhaps on top of a coarser picture that is complete.

    The picture lies on a canvas with a margin all round, stored as one long list of pixels, so that a neighbour is a
    constant number of places away. The margin is black, or repeats the opposite side of a tileable picture.
    """

    def __init__(self, sample, size, half, epsilon, tileable, draws, coarser=None):
        self.sample, self.size, self.half, self.epsilon = sample, size, half, epsilon
        self.device = sample.device
        self.draws, self.coarser = draws.to(self.device), coarser
        height, width = size
        self.stride = width + 2 * half
        self.canvas = sample.new_zeros((height + 2 * half) * self.stride, 3)
        self.picture = sample.new_ones(height * width, 3)  # white, in [0, 1]
        self.source = torch.full((height * width, 2), -1, device=self.device)

        h, reach = half, range(-half, half + 1)
        square = [(dy, dx) for dy in reach for dx in reach if (dy, dx) != (0, 0)]
        own = torch.tensor([(dy, dx) for dy, dx in square if tileable or (dy, dx) < (0, 0)])
        around = torch.tensor([(dy, dx) for dy in range(-(h // 2), h // 2 + 1) for dx in range(-(h // 2), h // 2 + 1)])
        self.rounds = [[batch.to(self.device) for batch in batches] for batches in _rounds(size, half)]
        self._list_candidates(own, around)
        self._masks(own, around, tileable)
        self._addresses(own, around, tileable)

    def _list_candidates(self, own, around):
        """The pixels of the sample, in reading order, whose neighbours all lie inside it, and those neighbours."""
        row, column = (
            axis.flatten() for axis in torch.meshgrid(*map(torch.arange, self.sample.shape[:2]), indexing="ij")
        )
        views = [(self.sample, row, column, own)]
        if self.coarser:
            views.append((self.coarser.sample, row // 2, column // 2, around))
        inside = torch.ones_like(row, dtype=torch.bool)
        for picture, y, x, offsets in views:
            for at, reach, side in ((y, offsets[:, 0], picture.shape[0]), (x, offsets[:, 1], picture.shape[1])):
                inside &= (at + reach.min() >= 0) & (at + reach.max() < side)
        values = [
            picture[
                (y[inside, None] + offsets[:, 0]).to(self.device), (x[inside, None] + offsets[:, 1]).to(self.device)
            ]
            for picture, y, x, offsets in views
        ]
        self.values = torch.cat(values, 1)  # (candidates, neighbours, 3)
        self.candidates = torch.stack([row, column], 1)[inside].to(self.device)
        self.shown = self.sample[self.candidates[:, 0], self.candidates[:, 1]] / 255  # in [0, 1]
        self.begun = self.coarser is not None  # the very first pixel has no neighbours and is drawn from all

    def _masks(self, own, around, tileable):
        """Which neighbours are there when a pixel's turn comes: a pattern of ones and zeros, and each pixel's pattern.

        One is there if it comes earlier in reading order. Across the seams of a tileable picture the last rows and
        columns look ahead to the first; the first do not look back, for then a row could not begin before the one
        above is complete.
        """
        height, width = self.size
        (dy, dx), y, x = own.T, torch.arange(height)[:, None], torch.arange(width)[:, None]
        rows = torch.where(dy < 0, y + dy >= 0, (dy == 0) | (y + dy >= height))
        columns = torch.where((dy == 0) & (dx > 0), x + dx >= width, (x + dx >= 0) & (tileable | (x + dx < width)))
        if self.coarser:
            (dy, dx), (coarse_height, coarse_width) = around.T, self.coarser.size
            rows = torch.cat([rows, tileable | ((y // 2 + dy >= 0) & (y // 2 + dy < coarse_height))], 1)
            columns = torch.cat([columns, tileable | ((x // 2 + dx >= 0) & (x // 2 + dx < coarse_width))], 1)
        rows, of_row = rows.unique(dim=0, return_inverse=True)
        columns, of_column = columns.unique(dim=0, return_inverse=True)
        there = (rows[:, None] & columns).flatten(0, 1).to(self.device)
        self.pattern = (of_row[:, None] * len(columns) + of_column).flatten().to(self.device)

        # Σ m (s − o)² = Σ m s² − 2 Σ s·(m o) + Σ m o². Sums of whole numbers below 2^24 are exact in float32, and so
        # are even ones below 2^25, in any order.
        numbers = self.values[0].numel()
        exact = torch.float32 if numbers * 255**2 < 2**24 else torch.float64
        self.squares = (there.double() @ self.values.double().square().sum(2).T).to(exact)  # (patterns, candidates)
        self.values = self.values.flatten(1).T.to(exact).contiguous()  # (neighbours · 3, candidates)
        self.there = there.repeat_interleave(3, dim=1).to(exact)
        self.canvas = self.canvas.to(exact)
        self.colours = (self.shown * 255).round().to(exact)

    def _addresses(self, own, around, tileable):
        """Where pixels and their neighbours lie on the canvas, and where else each pixel must be written."""
        height, width = self.size
        y, x = (torch.arange(side) for side in self.size)
        self.place = self._at(y[:, None], x).flatten().to(self.device)
        self.own = (own[:, 0] * self.stride + own[:, 1]).to(self.device)
        if self.coarser:
            self.parent = self.coarser._at(y[:, None] // 2, x // 2).flatten().to(self.device)
            self.around = (around[:, 0] * self.coarser.stride + around[:, 1]).to(self.device)
        self.copies = []
        for down in (-height, 0, height) if tileable else ():
            for right in (-width, 0, width):
                row, column = (y + down)[:, None], x + right
                on = (row >= -self.half) & (row < height + self.half)
                on = on & (column >= -self.half) & (column < width + self.half)
                self.copies.append(torch.where(on, self._at(row, column), self._at(y[:, None], x)).flatten())
        self.copies = [copy.to(self.device) for copy in self.copies]

    def _at(self, row, column):
        return (row + self.half) * self.stride + column + self.half

    def match(self, batch):
        """Find and copy the pixels `batch` (their numbers in reading order), none of which looks at another."""
        pattern = self.pattern[batch]
        around = self.canvas[self.place[batch, None] + self.own]
        if self.coarser:
            parents = self.coarser.canvas[self.parent[batch, None] + self.around].to(around.dtype)
            around = torch.cat([around, parents], 1)
        around = around.flatten(1) * self.there[pattern]
        distances = torch.addmm(self.squares[pattern], around, self.values, alpha=-2)  # less Σ m o²
        if self.epsilon == 0 and self.begun:
            best = distances.argmin(1)  # of several, the first
        else:
            best = nearly_nearest(distances + around.square().sum(1, keepdim=True), self.epsilon, self.draws[batch])
        self.begun = True
        self.source[batch] = self.candidates[best]
        self.picture[batch] = self.shown[best]
        colours = self.colours[best]
        self.canvas[self.place[batch]] = colours
        for copy in self.copies:
            self.canvas[copy[batch]] = colours

    def growth(self, index, total, times, size):
        """The picture so far as a `Growth` of the given size, each pixel `times` as large."""
        picture, source = (values.view(*self.size, -1) for values in (self.picture, self.source))
        picture, source = _enlarged(picture, times, size), _enlarged(source, times, size)
        source = source.clone() if times == 1 else torch.where(source < 0, -1, source * times)  # in the finest sample
        image = picture.permute(2, 0, 1)[None].clone(memory_format=torch.contiguous_format)
        return Growth(index, total, image, {}, source)


def nearly_nearest(distances: Tensor, epsilon: float, draws: Tensor) -> Tensor:
    """One of those within (1 + ε) times the nearest, all equally likely.

    Args:
        distances: whole numbers, (B, candidates).
        draws: random numbers in [0, 1), (B,).

    Returns:
        The candidate drawn for each, (B,).
    """
    furthest = ((1 + epsilon) * distances.amin(1, keepdim=True).double()).floor()  # distances are whole
    near = distances <= furthest.to(distances.dtype)
    count = near.sum(1)
    return near.nonzero()[count.cumsum(0) - count + (draws * count).long(), 1]


def _enlarged(pixels, times, size):
    if times == 1:
        return pixels
    return pixels.repeat_interleave(times, 0).repeat_interleave(times, 1)[: size[0], : size[1]]


def _rounds(size, half):
    """The pixels in an order that respects who looks at whom: a list of rounds, each a list of batches.

    Pixel (y, x) looks as far as (y − 1, x + h). On the diagonals x + (h + 1)·y = t it looks at smaller t only, so all
    pixels of one t are matched together. A round is h + 1 diagonals: a row begins.
    """
    y, x = torch.arange(size[0])[:, None], torch.arange(size[1])
    diagonal = (x + (half + 1) * y).flatten()
    batches = [batch for batch in diagonal.argsort(stable=True).split(diagonal.bincount().tolist()) if len(batch)]
    return [batches[i : i + half + 1] for i in range(0, len(batches), half + 1)]


# ── What was copied from where ───────────────────────────────────────────────────────────────────────────────


def coherence(source: Tensor) -> float:
    """How much of a picture was copied in one piece: the share of neighbouring pixels, side by side or one above the
    other, that were neighbours in the sample too. 0: a new choice at every pixel; 1: a plain crop of the sample.

    Args:
        source: the (row, column) in the sample of each pixel, (H, W, 2), as in `Growth.source`, complete.

    Raises:
        ValueError: another shape, fewer than two pixels, or pixels that have not grown yet.
    """
    if source.ndim != 3 or source.shape[2] != 2 or source.shape[0] * source.shape[1] < 2:
        raise ValueError(f"source must have shape (H, W, 2) with at least 2 pixels, not {tuple(source.shape)}")
    if (source < 0).any():
        raise ValueError("source must be complete, but some pixels have not grown yet")
    right = (source.diff(dim=1) == source.new_tensor([0, 1])).all(2)
    below = (source.diff(dim=0) == source.new_tensor([1, 0])).all(2)
    return float(torch.cat([right.flatten(), below.flatten()]).double().mean())


def provenance(source: Tensor, sample_size: tuple[int, int]) -> Tensor:
    """The map of sources as an image (1, 3, H, W): the sample's left blue, its right red to yellow, its top dark.

    Pieces copied whole show as smooth ramps, new choices as jumps. White where nothing has grown yet.
    """
    height, width = sample_size
    row, column = source[..., 0] / max(height - 1, 1), source[..., 1] / max(width - 1, 1)
    light = (1 + row) / 2  # blue against the rest and dark against light: no place is told by red against green
    colours = torch.stack([light * column, 0.8 * row, light * (1 - column)])
    return torch.where(source[..., 0] < 0, 1.0, colours)[None].float()


# ── Holes ────────────────────────────────────────────────────────────────────────────────────────────────────


def fill(
    distances: Callable[[Tensor, Tensor, Tensor], Tensor],
    image: Image,
    known: Tensor,
    sample: Image,
    order: Order = "inwards",
    half: int = 6,
) -> Tensor:
    """Fill a hole pixel by pixel, as Efros and Leung (1999) do: each is the middle of the sample's nearest window.

    Of a window around a pixel what is known counts, with weights that fall off from its middle as a Gaussian of
    standard deviation 2 pixels.

    Args:
        distances: how far a window (1, 3, k, k) is, with weights (k, k), from every window of a sample (1, 3, H, W):
            called with the sample, the window and the weights, it returns (H − k + 1, W − k + 1).
        image: (1, 3, H, W); in the hole it may hold anything.
        known: (H, W), 1 where the image is known and 0 in the hole.
        sample: what pixels are copied from, (1, 3, H', W').
        order: "inwards" fills the pixel next that has most known neighbours.
        half: of the window's side 2 · half + 1; the hole is that far from the border.

    Raises:
        ValueError: another order, or a hole too near to the border.
    """
    one_of("order", order, Order)
    image, known = image.clone(), known.clone()
    if (known == 0).sum() != (known[half:-half, half:-half] == 0).sum():
        raise ValueError(f"known must be 1 within {half} pixels of the border")
    bell = torch.exp(-torch.arange(-half, half + 1, device=image.device).square() / 8)
    while (known == 0).any():
        count = F.pad(known, (half,) * 4).unfold(0, 2 * half + 1, 1).unfold(1, 2 * half + 1, 1).sum((2, 3))
        rank = count if order == "inwards" else torch.zeros_like(count)
        y, x = divmod(int(rank.masked_fill(known > 0, -1).argmax()), known.shape[1])
        window = (..., slice(y - half, y + half + 1), slice(x - half, x + half + 1))
        nearest = distances(sample, image[window], known[window] * bell[:, None] * bell)
        row, column = divmod(int(nearest.argmin()), nearest.shape[1])
        image[..., y, x], known[y, x] = sample[..., row + half, column + half], 1
    return image
