"""Where edge filters come from: independent components of photos, and Gabor's function, which describes them."""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from helpers.core import images, photos
from helpers.core.arguments import above, at_least, from_to, one_of
from helpers.core.steps import Seed
from helpers.filters import check_filters, magnify

Shown = Literal["stimulus", "filter"]

# ── Independent components ───────────────────────────────────────────────────────────────────────────────────


def random_patches(pictures: Iterable[Tensor], size: int, count: int, seed: int = 0, contrast: float = 0.02) -> Tensor:
    """About `count` square patches (N, 3, size, size) from random places, each less its own mean.

    Patches whose standard deviation is below `contrast` are left out, so there may be fewer.

    Raises:
        ValueError: size or count below 1, a picture smaller than a patch, or no patch with enough contrast.
    """
    at_least(1, size=size, count=count)
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


def independent_components(patches: Tensor, count: int = 64, shown: Shown = "stimulus", seed: int = 0) -> Tensor:
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

    flat = check_filters(patches).flatten(1).cpu().numpy()
    one_of("shown", shown, Shown)
    from_to(1, min(flat.shape) - 1, count=count)
    ica = FastICA(count, whiten="unit-variance", max_iter=100, tol=1e-3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last component may still be turning
        ica.fit(flat)
    largest = np.linalg.norm(ica.mixing_, axis=0).argsort()[::-1]
    found = (ica.mixing_.T if shown == "stimulus" else ica.components_)[largest]
    return torch.from_numpy(found.astype(np.float32)).reshape(count, *patches.shape[1:]).to(patches.device)


def photo_components(
    size: Annotated[int, (3, 15, 2)] = 11,
    components: Annotated[int, (16, 100, 4)] = 64,
    patches: Annotated[int, (2000, 20000, 1000)] = 10_000,
    shown: Shown = "stimulus",
    seed: Seed = 0,
) -> Tensor:
    """Independent components of patches of the ten `photos.SCENES`: (components, 3, size, size), largest first.

    Args:
        shown: what a component stands for, or what measures how much of it is in a patch.
        patches: how many are drawn; those without contrast are left out.

    Raises:
        ValueError: more components than a patch has numbers, or a number below 1.
    """
    scenes = [photos.photo(name) for name in photos.SCENES]
    return independent_components(random_patches(scenes, size, patches, seed), components, shown, seed)


# ── Gabor's function ─────────────────────────────────────────────────────────────────────────────────────────


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
    above(0, size=size, width=width, aspect=aspect)
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

    device = weights.device
    weights = check_filters(weights).double().cpu()
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
        picture=picture.reshape(weights.shape).float().to(device),
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


# ── Directions ───────────────────────────────────────────────────────────────────────────────────────────────


def direction_map(energy: Tensor, angles: Tensor) -> Tensor:
    """Every place in the colour of the direction with most energy there, as bright as its square root: (1, 3, H, W).

    The strongest fiftieth of all places is fully bright; the root lifts faint lines out of the black.

    Args:
        energy: √(r₀² + r₁²) of each direction's pair of filters, (K, H, W) (Adelson & Bergen 1985).
        angles: the directions in radians, (K,).
    """
    strongest, at = energy.max(0)
    brightness = (strongest / strongest.quantile(0.98)).clamp(max=1).sqrt()
    return (brightness * _hues(angles)[at].permute(2, 0, 1))[None]


def direction_key(waves: Tensor, angles: Tensor) -> Tensor:
    """Waves (K, h, w) on mid-grey, on one scale, each in the colour that its direction has in `direction_map`."""
    pictures = 0.5 + 0.5 * waves[:, None] / waves.abs().max()
    return images.grid(magnify(pictures * _hues(angles)[:, :, None, None], 10), 4, gap=6)


def _hues(angles):
    """A colour for each angle, (K, 3): once round the colours in half a turn, as stripes look the same after it."""
    offsets = torch.arange(3, device=angles.device) * (2 * math.pi / 3)
    return 0.5 + 0.5 * torch.cos(2 * angles[:, None] - offsets)
