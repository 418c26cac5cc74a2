"""Texture that grows outward from a seed of nine pixels: the pixel next whose surroundings are known best.

Efros and Leung, "Texture Synthesis by Non-parametric Sampling", ICCV 1999, with the constants of the algorithm that
they published beside the paper (seed 3×3, deviation of the Gaussian a 6.4th of the window, ε = 0.1). Weights are
rounded to whole numbers, so that everything is counted exactly, as in `helpers.scanline`, and the result is the same,
pixel for pixel, as that of a loop over the pixels.
"""

from collections.abc import Iterator
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.core.arguments import at_least, at_once, sides_of, single, whole_numbers
from helpers.core.images import Image
from helpers.core.steps import Seed
from helpers.scanline import Growth, checked_window, in_whole_numbers, nearly_nearest

SEED = 3  # the side of the square that is copied first
FINEST = 1000  # the weight of a window's middle; those of its corners become about 3


@at_once
def outward(
    image: Image,
    size: Annotated[int, (32, 160, 16)] = 96,
    window: Annotated[int, (5, 25, 2)] = 11,
    epsilon: Annotated[float, (0.0, 0.5, 0.02)] = 0.1,
    seed: Seed = 0,
) -> Iterator[Growth]:
    """Grow a texture from a seed in the middle, ring by ring: what has most known neighbours comes first.

    Each round lists the pixels that touch what is known, those first that know most of their window (of equals, one
    at random), and fills one after the other. A pixel's window is compared with all windows inside the sample; only
    what is known counts, with weights that fall off from the middle as a Gaussian of standard deviation
    window / 6.4. One of those no further than (1 + ε) times the nearest is drawn at random, and its middle copied.

    Pixels of a round that do not see each other are matched as one batch; that changes nothing in the result.
    Departure: Efros and Leung come back later to a pixel whose best match is poor; here its turn is its turn.

    Args:
        image: the sample, (1, 3, H, W); its values are rounded to 8 bits.
        size: of the result: the side of a square, or (height, width).
        window: side of the square window, odd: the size of the largest thing that belongs together.
        epsilon: ε, how much further than the nearest a window may be.
        seed: of the draws, and of the place in the sample that the first nine pixels are copied from.

    Returns:
        An iterator of `Growth`, one for each round.

    Raises:
        ValueError, TypeError: an argument that is out of range.
    """
    single("image", image)
    sides = sides_of(size)
    whole_numbers(SEED, height=sides[0], width=sides[1])
    checked_window(window)
    at_least(0, epsilon=epsilon)
    if min(image.shape[-2:]) < window:
        shape = "×".join(str(side) for side in image.shape[-2:])
        raise ValueError(f"image must be at least {window}×{window} for window {window}, not {shape}")
    yield

    picture = _Picture(in_whole_numbers(image), sides, window, float(epsilon), seed)
    total = max(max(first, side - first - SEED) for first, side in zip(picture.corner, sides, strict=True))
    if total == 0:
        yield picture.growth(1, 1)  # the seed is all there is
    for index in range(1, total + 1):
        for batch in picture.next_round():
            picture.match(batch)
        yield picture.growth(index, total)


class _Picture:
    """The picture being grown, on a canvas with a margin of half a window all round that is never known."""

    def __init__(self, sample: Tensor, size: tuple[int, int], window: int, epsilon: float, seed: int):
        self.size, self.window, self.half, self.epsilon = size, window, window // 2, epsilon
        self.sample, device = sample, sample.device
        random = torch.Generator().manual_seed(seed)
        self.draws = torch.rand(size, generator=random, dtype=torch.float64).to(device)
        self.turns = torch.rand(size, generator=random, dtype=torch.float64).to(device)  # who is first of equals

        offsets = torch.arange(window, dtype=torch.float64) - self.half
        bell = torch.exp(-offsets.square() / (2 * (window / 6.4) ** 2))
        self.weights = (FINEST * bell[:, None] * bell).round().clamp_min(1).flatten().to(device)  # whole numbers
        windows = sample.double().unfold(0, window, 1).unfold(1, window, 1)  # (H', W', 3, window, window)
        self.columns = windows.shape[1]
        self.values = windows.permute(3, 4, 2, 0, 1).reshape(3 * window**2, -1).contiguous()  # (places · 3, candidates)
        self.squares = self.values.square().view(window**2, 3, -1).sum(1)  # (places, candidates)

        self.canvas = self.values.new_zeros(size[0] + 2 * self.half, size[1] + 2 * self.half, 3)
        self.known = torch.zeros(self.canvas.shape[:2], dtype=torch.bool, device=device)
        self.source = torch.full((*size, 2), -1, device=device)
        self.corner = tuple((side - SEED) // 2 for side in size)
        place = [int(torch.randint(side - SEED + 1, (), generator=random)) for side in sample.shape[:2]]
        for y in range(SEED):
            for x in range(SEED):
                self._copy(
                    torch.tensor([[self.corner[0] + y, self.corner[1] + x]], device=device),
                    torch.tensor([[place[0] + y, place[1] + x]], device=device),
                )

    def next_round(self) -> list[Tensor]:
        """The unknown pixels (row, column) that touch a known one, in batches: no two of one batch see each other."""
        inside = (..., slice(self.half, -self.half), slice(self.half, -self.half))
        known = self.known[None].float()
        touched = F.max_pool2d(known, 3, 1, 1)[inside][0] > known[inside][0]
        count = F.avg_pool2d(known, self.window, 1, divisor_override=1)[0]  # sums of at most 625 ones are exact
        rank = (count + self.turns)[touched]  # a turn is below 1: it decides among equals only
        pixels = touched.nonzero()[rank.argsort(descending=True)]
        apart = (pixels[:, None] - pixels).abs().amax(2).cpu()
        batch = torch.zeros(len(pixels), dtype=torch.long)
        for i in range(1, len(pixels)):  # one later than the last before it that it sees
            batch[i] = torch.where(apart[i, :i] <= self.half, batch[:i] + 1, 0).max()
        return [pixels[(batch == k).to(pixels.device)] for k in range(int(batch.max()) + 1)]

    def match(self, pixels: Tensor) -> None:
        """Find and copy pixels (B, 2), none of which sees another."""
        steps = torch.arange(self.window, device=pixels.device)
        rows, columns = (pixels[:, axis, None] + steps for axis in (0, 1))  # of the canvas, whose margin is half
        at = rows[:, :, None], columns[:, None, :]
        weights = self.known[at].flatten(1) * self.weights  # (B, places)
        seen = self.canvas[at].flatten(1, 2)  # (B, places, 3)
        # Σ w (s − o)² = Σ w s² − 2 Σ s·(w o) + Σ w o², all of it in whole numbers below 2^53
        distances = weights @ self.squares - 2 * (weights[..., None] * seen).flatten(1) @ self.values
        distances += (weights * seen.square().sum(2)).sum(1, keepdim=True)
        best = nearly_nearest(distances, self.epsilon, self.draws[pixels[:, 0], pixels[:, 1]])
        self._copy(pixels, torch.stack([best // self.columns, best % self.columns], 1) + self.half)

    def _copy(self, pixels: Tensor, source: Tensor) -> None:
        rows, columns = pixels.T
        self.source[rows, columns] = source
        self.canvas[rows + self.half, columns + self.half] = self.sample[source[:, 0], source[:, 1]].double()
        self.known[rows + self.half, columns + self.half] = True

    def growth(self, index: int, total: int) -> Growth:
        there = self.source[..., 0] >= 0
        shown = self.canvas[self.half : -self.half, self.half : -self.half].float() / 255
        image = torch.where(there, shown.permute(2, 0, 1), 1.0)[None]  # white where nothing has grown yet
        return Growth(index, total, image.contiguous(), {}, self.source.clone())
