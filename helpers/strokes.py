"""What paintings are made with: palettes, random fields, a canvas, strokes along a flow.

Everything is laid out in a unit square, x to the right and y downwards, before it is drawn: a painting of another size
has the same strokes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image as pillow
from PIL import ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates

# Each from its darkest colour, which outlines have, to its lightest, which paper and highlights have.
PALETTES = {
    "sea": "0b1f3a 14466b 1f7a8c 5fb3b3 e8b04a f5efdc",
    "embers": "1d0f14 5c1a1b a8321f e2711d f6b23c fdf0c8",
    "meadow": "14261c 2f5d34 c1574b 6a994e e9c46a f7f4e3",
    "sweets": "2b1a4a 8a2e8c e8436f f58f3c 5cc8d7 fdeef2",
    "ink": "16161d 3d3d4a 77767f aaa69f d6cfc0 f4efe3",
}


def colours_of(text: str) -> np.ndarray:
    """Colours (P, 3) in [0, 1] of hexadecimal numbers with spaces between."""
    return np.array([list(bytes.fromhex(each)) for each in text.split()]) / 255


@dataclass(frozen=True)
class Easel:
    """What a style is handed: knobs of `paint`, colours (P, 3) from dark to light, random numbers, perhaps a photo."""

    size: int
    scale: float
    flow: float
    colours: np.ndarray
    random: np.random.Generator
    photo: np.ndarray | None = None  # (384, 384, 3)

    @property
    def dark(self) -> np.ndarray:
        return self.colours[0]

    @property
    def light(self) -> np.ndarray:
        return self.colours[-1]

    def smooth(self, bumps: float) -> Callable[[np.ndarray], np.ndarray]:
        """A random function of places (…, 2), smooth, mostly from −2 to 2, with so many bumps a side."""
        values = self.random.standard_normal((int(bumps) + 8,) * 2) * 1.5

        def field(places):
            return map_coordinates(values, np.moveaxis(places[..., ::-1] * bumps + 3, -1, 0), order=3, mode="reflect")

        return field

    def cover(self, share: np.ndarray, paint: np.ndarray, ground: np.ndarray) -> np.ndarray:
        """`paint` where a signed distance `share` (H, W), in sides, is above 0, `ground` where it is below."""
        return ground + soft_step(share, 1 / self.size)[..., None] * (paint - ground)

    def grain(self, amount: float) -> np.ndarray:
        """Noise about 1, (size, size, 1), as fine as paper: to multiply a picture by."""
        noise = gaussian_filter(self.random.standard_normal((self.size, self.size)), self.size / 700, mode="wrap")
        return 1 + amount * (noise / noise.std())[..., None]


def places(side: int) -> np.ndarray:
    """The centres of `side` × `side` pixels as x and y from 0 to 1: (side, side, 2)."""
    centres = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(centres, centres), -1)


def at(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """A map (H, H) or a picture (H, H, 3) at places (…, 2), linearly between its pixels."""
    if values.ndim == 3:
        return np.stack([at(values[..., i], where) for i in range(3)], -1)
    return map_coordinates(values, np.moveaxis(where[..., ::-1] * len(values) - 0.5, -1, 0), order=1, mode="nearest")


def soft_step(values: np.ndarray, soft: float) -> np.ndarray:
    """From 0 to 1 where `values` pass 0, without a kink, over ± `soft`."""
    t = (values / (2 * soft) + 0.5).clip(0, 1)
    return t * t * (3 - 2 * t)


def bump(values: np.ndarray, width: float) -> np.ndarray:
    """1 where `values` are 0, next to nothing two widths away: for rims and ridges."""
    return np.exp(-((values / width) ** 2))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, 2) of length 1; none stays none."""
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)


def towards(angle: np.ndarray) -> np.ndarray:
    """Unit vectors (…, 2) at `angle` (…) from the x axis, clockwise as y runs down."""
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def across(vectors: np.ndarray) -> np.ndarray:
    """Vectors (…, 2) turned by 90°."""
    return np.stack([-vectors[..., 1], vectors[..., 0]], -1)


def between(colours: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """Mixed colours (…, 3): share 0 is the first of `colours`, 1 the last, neighbours are mixed between."""
    share = np.clip(share, 0, 1) * (len(colours) - 1)
    low = np.minimum(share.astype(int), len(colours) - 2)
    return colours[low] + (share - low)[..., None] * (colours[low + 1] - colours[low])


# ── Strokes ──────────────────────────────────────────────────────────────────────────────────────────────────


CIRCLE = towards(np.linspace(0, 2 * np.pi, 60))  # a polygon of radius 1


class Canvas:
    """A picture twice as large as asked for, on which Pillow fills polygons; halving it smooths their edges.

    Args:
        size: side of what `pixels` returns.
        ground: what is there at first, one colour (3,) or a picture (H, W, 3) to be stretched.
    """

    def __init__(self, size: int, ground: np.ndarray):
        pixels = ((ground if ground.ndim == 3 else ground[None, None]) * 255).round().astype(np.uint8)
        self.side = 2 * size
        self.sheet = pillow.fromarray(pixels).resize((self.side, self.side), pillow.Resampling.BICUBIC)
        self.pen = ImageDraw.Draw(self.sheet)

    def fill(self, *layers: tuple[np.ndarray, np.ndarray]) -> None:
        """Polygons (N, K, 2) in colours (N, 3) or (3,), several layers of them: every layer's first, every second …"""
        ready = []
        for outlines, colours in layers:
            corners = (outlines * self.side).reshape(len(outlines), 2 * outlines.shape[1]).tolist()
            tones = (np.broadcast_to(colours, (len(outlines), 3)).clip(0, 1) * 255).round().astype(int)
            ready.append(zip(corners, map(tuple, tones.tolist()), strict=True))
        for parts in zip(*ready, strict=True):
            for corners, colour in parts:
                self.pen.polygon(corners, fill=colour)

    def pixels(self, side: int | None = None) -> np.ndarray:
        """What is painted, (side, side, 3); by default in the size asked for."""
        sheet = self.sheet.resize((side, side), pillow.Resampling.BOX) if side else self.sheet.reduce(2)
        return np.asarray(sheet, dtype=np.float64) / 255


def flow_lines(starts: np.ndarray, direction: Callable, length: np.ndarray | float, points: int = 9) -> np.ndarray:
    """Lines (N, points, 2) through `starts` (N, 2) along `direction(places)`, half of `length` to either side."""
    stride = np.broadcast_to(length, len(starts))[:, None] / (points - 1)
    halves = []
    for sign in (-1, 1):
        here, way = starts, sign * direction(starts)
        halves.append([])
        for _ in range(points // 2):
            here = here + stride * way
            halves[-1].append(here)
            turned = direction(here)
            way = np.where((turned * way).sum(-1, keepdims=True) < 0, -turned, turned)
    return np.stack([*halves[0][::-1], starts, *halves[1]], 1)


def ribbons(lines: np.ndarray, width: np.ndarray | float, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """Outlines (N, 2K, 2) of strokes of `width` along lines (N, K, 2), rounded at both ends, `shift` widths aside."""
    aside = across(unit(np.gradient(lines, axis=1)))
    round_ends = (1 - np.linspace(-1, 1, lines.shape[1]) ** 4) ** 0.5
    half = np.reshape(width, (-1, 1, 1)) / 2 * round_ends[:, None] * aside
    middle = lines + 2 * np.reshape(shift, (-1, 1, 1)) * half
    return np.concatenate([middle + half, (middle - half)[:, ::-1]], 1)


def strokes(canvas: Canvas, lines: np.ndarray, width: float, colours: np.ndarray) -> None:
    """Strokes of thick paint: a darker rim, the colour, and a lighter ridge towards the light, which is above left."""
    along = lines[:, -1] - lines[:, 0]
    lit = np.where(along[:, 0] - along[:, 1] > 0, -1.0, 1.0)
    canvas.fill(
        (ribbons(lines, width), colours * 0.6),
        (ribbons(lines, width * 0.78, lit * 0.07), colours),
        (ribbons(lines, width * 0.26, lit * 0.65), colours * 1.2 + 0.07),
    )
