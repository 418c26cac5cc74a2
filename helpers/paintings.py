"""Paintings to take a style from: nine kinds, drawn stroke by stroke, cell by cell or line by line from random numbers.

What a style is good for transfer by stands in every one of them: strokes of about a fortieth of the side, few colours,
a darker rim or a lighter ridge beside each stroke, and no empty places.
"""

import time
from typing import Annotated, Literal

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter, maximum, minimum
from scipy.spatial import cKDTree
from skimage.exposure import equalize_adapthist
from skimage.measure import find_contours
from torch import Tensor

from helpers.core import compute, photos
from helpers.core.arguments import from_to, one_of, single, whole_numbers
from helpers.core.images import Image, fit, save
from helpers.core.steps import Seed
from helpers.strokes import (
    CIRCLE,
    PALETTES,
    Canvas,
    Easel,
    across,
    at,
    between,
    bump,
    colours_of,
    flow_lines,
    places,
    ribbons,
    soft_step,
    strokes,
    towards,
    unit,
)

Style = Literal["night", "window", "woodcut", "rings", "mosaic", "wave", "facets", "brush", "engraving"]
Palette = Literal["its own", "sea", "embers", "meadow", "sweets", "ink"]

# Each from its darkest colour to its lightest, as in `PALETTES`.
OWN = {
    "night": "0b1622 1d3b35 17357a 2f62b0 78abd6 e8ad30 fbeeb0",
    "window": "0d0b12 8c1740 2347b5 1f9a86 d2322f e2912e 86cbe8 f6d863",
    "woodcut": "1b2140 f0e4c8",
    "rings": "23273f 7b3fb0 1d5f6f c8352b 2f86d6 2a9d6e f08a24 f4bb4e f3e6c8",
    "mosaic": "2a211f 7a3b2b 2d5f73 b5654a 6d9a8c d39a4e d9c7a3 efe6d2",
    "wave": "13213f 1f4278 3b73a8 d8523f 84afc4 ddc9a0 f6efdc",
    "facets": "1c1a26 5a2a27 29506d a8472f 6f8f8a d98a3d e3bf86 f3e5c6",
    "brush": "15130f f5efdc",  # and those of the photo
    "engraving": "1a1c2c f2e6cd",
}
AFTER = {"brush": "coffee", "engraving": "hopper"}  # the photos that these two are painted after
SAMPLED = 384  # pixels: the side of the photo from which colours and directions are taken


# ── The styles ───────────────────────────────────────────────────────────────────────────────────────────────


def night(easel: Easel) -> np.ndarray:
    """Strokes along a flow that whirls about stars, over a hill and beside a tree; after van Gogh's night of 1889."""
    random, bend, shade, ridge = easel.random, easel.smooth(3), easel.smooth(5), easel.smooth(4)
    stars = np.array([[0.78, 0.17], [0.4, 0.13], [0.57, 0.43], [0.93, 0.46], [0.1, 0.12], [0.6, 0.04], [0.31, 0.6]])
    stars = stars + random.uniform(-0.03, 0.03, stars.shape)
    reach = np.array([0.15, 0.09, 0.17, 0.08, 0.08, 0.05, 0.06]) * random.uniform(0.85, 1.15, len(stars))
    turn = np.where(random.random(len(stars)) < 0.3, -1, 1) * min(easel.flow, 1.5)

    def hill(spot):  # how far below the ridge
        return spot[..., 1] - 0.8 + 0.05 * ridge(spot * [1, 0]) + 0.07 * spot[..., 0]

    def tree(spot):  # above 0 inside
        x, y = spot[..., 0] - 0.16 - 0.02 * np.sin(21 * spot[..., 1]), spot[..., 1]
        return 0.13 * (y - 0.22).clip(0) ** 0.6 * (1 + 0.2 * np.sin(47 * y)) - np.abs(x)

    def direction(spot):
        away = spot[..., None, :] - stars
        distance = np.linalg.norm(away, axis=-1) + 1e-6
        whirl = 4 * turn * bump(distance, 1.5 * reach) / distance
        sky = towards(0.75 * easel.flow * bend(spot)) + (whirl[..., None] * across(away)).sum(-2)
        sway = 0.35 * easel.flow * np.sin(25 * spot[..., 1] + 9 * spot[..., 0])
        sky = np.where(hill(spot)[..., None] > 0, towards(sway - 0.3), sky)
        return unit(np.where(tree(spot)[..., None] > 0, towards(sway - np.pi / 2), sky))

    def colour(spot):
        away = np.linalg.norm(spot[:, None] - stars, axis=-1) / reach
        glow = 0.7 * bump(away, 0.75).max(1) + 0.3 * (np.cos(9 * away) * np.exp(-1.2 * away)).max(1)
        sky = (0.43 + 0.11 * shade(spot) + glow).clip(0.3)
        land = 0.1 + 0.06 * shade(2 * spot) + 0.3 * bump(hill(spot) - 0.02, 0.02)
        tone = np.where(tree(spot) > 0, 0.05 + 0.05 * shade(3 * spot), np.where(hill(spot) > 0, land, sky))
        mixed = between(easel.colours, tone + random.normal(0, 0.06, len(spot)))
        return mixed + random.normal(0, 0.025, mixed.shape)

    canvas = Canvas(easel.size, between(easel.colours, 0.25))
    halo = reach[:, None, None] * CIRCLE
    canvas.fill((stars[:, None] + 0.9 * halo, easel.colours[-2]), (stars[:, None] + 0.4 * halo, easel.light))
    for width, length, layers in ((1 / 26, 0.16, 3), (1 / 42, 0.12, 3), (1 / 60, 0.09, 2)):
        width, length = width * easel.scale, length * min(easel.scale, 1.5)
        spots = random.uniform(-0.05, 1.05, (int(layers / (width * length)), 2))
        near = np.linalg.norm(spots[:, None] - stars, axis=-1).min(1)
        lengths = np.minimum(length * random.uniform(0.6, 1.2, len(spots)), width + 2 * near)  # shorter inside a whirl
        strokes(canvas, flow_lines(spots, direction, lengths), width, colour(spots))
    return canvas.pixels()


def window(easel: Easel) -> np.ndarray:
    """Stained glass: Voronoi's cells about points on circles, leads between them, glass of uneven thickness."""
    random, spots, gap = easel.random, places(easel.size), 0.095 * easel.scale
    points, kinds = [np.zeros((1, 2))], [np.zeros(1, int)]
    for ring in range(1, int(0.85 / gap) + 2):
        points.append(ring * gap * towards(2 * np.pi * (np.arange(6 * ring) + 0.5 * (ring % 2)) / (6 * ring)))
        kinds.append(2 * ring + np.arange(6 * ring) % 2)
    points, kinds = np.concatenate(points), np.concatenate(kinds)
    points = 0.5 + points + 0.33 * gap * easel.flow * random.standard_normal(points.shape)
    panes = easel.colours[1:]
    kinds = np.where(random.random(len(kinds)) < 0.8 * easel.flow, random.permutation(len(kinds)), kinds) % len(panes)
    distance, nearest = cKDTree(points).query(spots, k=5)
    apart = np.linalg.norm(points[nearest[..., 1:]] - points[nearest[..., :1]], axis=-1)
    edge = ((distance[..., 1:] ** 2 - distance[..., :1] ** 2) / (2 * apart)).min(-1)  # how far the nearest border is
    light = 1 + 0.1 * easel.smooth(4)(spots) + 0.09 * easel.smooth(34)(spots) + 0.05 * easel.smooth(90)(spots)
    light *= random.uniform(0.85, 1.2, len(points))[nearest[..., 0]] * (0.6 + 0.5 * soft_step(edge - 0.02, 0.02))
    lead = 0.007 * easel.scale**0.5
    leads = easel.dark + 0.25 * bump(edge, 0.4 * lead)[..., None] * (easel.light - easel.dark)
    return easel.cover(edge - lead, panes[kinds[nearest[..., 0]]] * light[..., None] * 1.1, leads)


def woodcut(easel: Easel) -> np.ndarray:
    """Contour lines of a smooth height field in two inks; where they run apart a new line begins between them."""
    spots = places(easel.size)
    hills = easel.smooth(3)(spots * [1, 1.4]) + 0.15 * easel.smooth(8)(spots)
    height = 0.8 * easel.flow * hills + 3 * spots[..., 1]
    steep = np.hypot(*np.gradient(height, 1 / easel.size)) + 1e-3
    level = np.log2(44 / easel.scale / steep).clip(-2, 6)  # after so many doublings the lines are equally far apart
    lines = 2 ** np.floor(level)
    newer = (level % 1 - 0.1).clip(0) / 0.9
    line = np.round(height * lines)
    half = np.where(line % 2 == 0, 0.5 - 0.25 * newer, 0.25 * newer)  # the older lines give room to the new,
    half = np.where(half < 0.04, -1, half)  # none of which is thinner than a knife
    away = (np.abs(height * lines - line) - half) / (lines * steep) + 0.0004 * easel.smooth(70)(spots)
    return easel.cover(away, easel.light, easel.dark) * easel.grain(0.03)


def rings(easel: Easel) -> np.ndarray:
    """Squares with rings in them, painted by hand; after Kandinsky's study of colours of 1913."""
    random, count = easel.random, max(1, round(4 / easel.scale))
    spots = places(easel.size) * count
    x, y = np.moveaxis(spots % 1 - 0.5, -1, 0)
    cell = spots[..., 1].astype(int) * count + spots[..., 0].astype(int)
    trembling = 0.013 * easel.smooth(4 * count)(spots / count) + 0.005 * easel.smooth(12 * count)(spots / count)
    hand = easel.flow * trembling
    radius = np.hypot(x, y) + hand
    bands = (np.sort(random.uniform(0.06, 0.46, (count**2, 5)), 1) + np.linspace(0.08, 0.47, 5)) / 2
    kinds = random.permuted(np.tile(np.arange(len(easel.colours)), (count**2, 1)), axis=1)
    edge = 0.5 - np.maximum(np.abs(x), np.abs(y)) + 0.4 * hand
    picture, relief = easel.colours[kinds[cell, 0]], 1 - 0.4 * bump(edge, 0.012)
    for band in range(4, -1, -1):
        away = bands[cell, band] - radius
        picture = easel.cover(away / count, easel.colours[kinds[cell, 5 - band]], picture)
        relief = relief - 0.35 * bump(away, 0.012) + 0.1 * bump(away - 0.03, 0.015)
    hairs = easel.smooth(60)(np.stack([radius, 0.02 * np.arctan2(y, x) ** 2 + cell / count**2], -1))
    return picture * (relief + 0.05 * hairs)[..., None] * easel.grain(0.03)


def mosaic(easel: Easel) -> np.ndarray:
    """Stones in rows along the outlines of shapes, each cut to fit, grout between them; as in a Roman floor."""
    random, tile = easel.random, 0.026 * easel.scale
    coarse = places(320)  # rows are laid on a coarse map: the same for every size
    shape = np.sin(9 * coarse[..., 1] + 2 * coarse[..., 0]) + 0.9 * easel.flow * easel.smooth(3.5)(coarse)
    away = (distance_transform_edt(shape > 0) + distance_transform_edt(shape <= 0) - 0.5) / len(coarse)
    away = gaussian_filter(away, 1.5)
    points = _in_rows(away, tile, random)
    down, right = np.gradient(away)
    facing = np.arctan2(at(down, points), at(right, points)) + random.normal(0, 0.06, len(points))
    spots = places(easel.size)
    _, near = cKDTree(points).query(spots, k=5)
    offset = spots[:, :, None] - points[near]
    ahead, aside = towards(facing)[near], across(towards(facing))[near]
    reach = np.maximum(np.abs((offset * ahead).sum(-1)), np.abs((offset * aside).sum(-1)))  # squares, not circles
    order = np.argsort(reach, -1)  # a pixel belongs to the stone that reaches it first
    first, second = np.moveaxis(np.take_along_axis(reach, order[..., :2], -1), -1, 0)
    stone = np.take_along_axis(near, order[..., :1], -1)[..., 0]
    row, inner = np.floor(at(away, points) / tile).astype(int), len(easel.colours) // 2
    band, inside, last = (row + 1) // 2, at(shape, points) > 0, len(easel.colours) - 1
    kinds = np.where(inside, band % inner, inner + band % (last + 1 - inner))
    kinds = np.where(random.random(len(points)) < 0.1, random.integers(1, last + 1, len(points)), kinds)
    kinds = np.where(row == 0, np.where(inside, 0, last), kinds)  # an outline, dark inside and light outside
    stones = easel.colours[kinds] * random.normal(1, 0.12, (len(points), 1))
    slope = 1 - 0.16 * (spots - points[stone]).sum(-1) / tile  # lit from above left
    edge = np.minimum((second - first) / 2, 0.64 * tile - first) - 0.07 * tile
    return easel.cover(edge, (stones[stone] * slope[..., None]) * easel.grain(0.03), easel.dark * 0.7 + 0.1)


def _in_rows(away, tile, random):
    """Points (N, 2) a stone apart, on the contour lines, a stone apart, of a map `away` of distances."""
    points = [random.random((1, 2))]
    for row in np.arange(0.5, away.max() / tile):
        for contour in find_contours(away, row * tile):
            line = (contour[:, ::-1] + 0.5) / len(away)
            walked = np.append(0, np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum())
            stops = np.arange(0.3 * random.random() * tile, walked[-1], 1.04 * tile)
            points.append(np.stack([np.interp(stops, walked, line[:, i]) for i in (0, 1)], -1))
    return np.concatenate(points)


def wave(easel: Easel) -> np.ndarray:
    """Row behind row of curling waves in flat colours with dark outlines, under a sun; after Hokusai's Great Wave."""
    random, colours, size = easel.random, easel.colours, easel.scale**0.7
    canvas = Canvas(easel.size, easel.light)
    canvas.fill((0.207 * CIRCLE[None] + [0.66, 0.27], easel.dark), (0.2 * CIRCLE[None] + [0.66, 0.27], colours[3]))
    for y in np.arange(0.02, 0.5, 0.036 * size):
        begin = np.stack([random.uniform(0, 1, 3), np.full(3, y)], -1)
        wind = flow_lines(
            begin,
            lambda spot: towards(0.12 * easel.flow * np.sin(9 * spot[:, 0] + 5 * spot[:, 1])),
            random.uniform(0.2, 0.7, 3),
            points=31,
        )
        canvas.fill((ribbons(wind, 0.016 * size), easel.dark), (ribbons(wind, 0.009 * size), colours[-2]))
    rows = max(3, round(6 / size))
    for near in np.linspace(0, 1, rows):
        high = (0.18 + 0.24 * near) * size
        for x in np.arange(-0.35, 1.1, 0.95 * high) + random.uniform(0, 0.9) * high:
            foot = np.array([x, 0.5 + 0.58 * near + random.normal(0, 0.02)])
            _curl(canvas, easel, foot, high * random.uniform(0.85, 1.2))
    return canvas.pixels() * easel.grain(0.025)


def _curl(canvas, easel, foot, high):
    """One wave: its back rises from `foot` and bends more and more towards its tip; stripes follow it; foam."""
    s, colours = np.linspace(0, 1, 60), easel.colours
    angle = 0.25 - 1.25 * np.sin(0.75 * np.pi * s) + (2.2 + 2.2 * easel.flow) * s**5
    back = foot + 1.9 * high * towards(angle).cumsum(0) / len(s)
    body = high * (0.62 * (1 - s) ** 0.75 * (1.6 - 0.6 * s) + 0.03)
    inward = across(towards(angle)) * body[:, None]

    def below(share, colour):
        canvas.fill((np.concatenate([back + share * inward, (back + 1.5 * inward)[::-1]])[None], colour))

    below(-0.04, easel.dark)
    below(-0.03, easel.light)
    for i, share in enumerate(np.arange(0.07, 1.3, 0.13)):
        below(share, easel.dark)
        below(share + 0.02, (colours[4], colours[1], colours[2], easel.light)[i % 4])
    tip = np.linspace(36, 59, 20).astype(int)
    centres = back[tip] + easel.random.normal(0, 0.022 * high, (len(tip), 2))
    radii = high * easel.random.uniform(0.02, 0.06, (len(tip), 1, 1))
    canvas.fill((centres[:, None] + (radii + 0.004) * CIRCLE, easel.dark))
    canvas.fill((centres[:, None] + radii * CIRCLE, easel.light))


def facets(easel: Easel) -> np.ndarray:
    """The square cut in two again and again; each piece shaded from end to end and brushed, as Cubists did."""
    random, count = easel.random, max(8, int(90 / easel.scale**1.5))
    coarse, fine = places(200).reshape(-1, 2), places(easel.size).reshape(-1, 2)
    spots, counted = np.concatenate([coarse, fine]), slice(len(coarse))
    favoured = np.pi * (np.array([0.08, 0.3, 0.55, 0.8]) + 0.05 * random.standard_normal(4))
    label = _cut(spots, counted, count, favoured, 1.5 * easel.flow, random)
    ways = towards(random.choice(favoured, count) + np.pi * random.integers(0, 2, count))
    along, aside = (spots * ways[label]).sum(1), (spots * across(ways)[label]).sum(1)
    pieces = np.arange(count)
    low, high = minimum(along[counted], label[counted], pieces), maximum(along[counted], label[counted], pieces)
    label, along, aside = (each[len(coarse) :].reshape(easel.size, -1) for each in (label, along, aside))
    ramp = ((along - low[label]) / (high - low + 1e-6)[label]).clip(0, 1)[..., None]
    border = np.zeros(label.shape, bool)
    border[:, 1:] |= label[:, 1:] != label[:, :-1]
    border[1:] |= label[1:] != label[:-1]
    edge = gaussian_filter(distance_transform_edt(~border), 0.7) / easel.size
    paint = easel.colours[1 + random.permutation(count) % (len(easel.colours) - 1)][label]
    paint = paint + 0.35 * (1 - ramp) ** 2 * (easel.light - paint) - 0.45 * ramp**2 * (paint - easel.dark)
    stretched = np.stack([0.12 * along, aside], -1)
    hairs = easel.smooth(60)(stretched) + 0.6 * easel.smooth(110)(stretched)
    return easel.cover(edge - 0.0036, paint, easel.dark) * (1 + 0.06 * hairs[..., None]) * easel.grain(0.02)


def _cut(spots, counted, count, favoured, bow, random):
    """The piece, 0 to `count` − 1, of each of `spots` (N, 2) after the largest was cut in two again and again.

    Which is the largest and where it is cut is decided on the `counted` spots alone, which are the same for every size.
    """
    label = np.zeros(len(spots), int)
    for new in range(1, count):
        largest = np.bincount(label[counted]).argmax()
        centre = spots[counted][label[counted] == largest].mean(0) + random.normal(0, 0.15, 2) / new**0.5
        normal, bend = towards(random.choice(favoured) + random.normal(0, 0.08)), bow * random.normal()
        mine = np.flatnonzero(label == largest)
        away = spots[mine] - centre
        label[mine[away @ normal + bend * (away**2).sum(1) > 0]] = new
    return label


def brush(easel: Easel) -> np.ndarray:
    """A photo painted with curved strokes of three sizes along its edges, the finer ones where the coarser are wrong.

    Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes" (SIGGRAPH 1998). Departures: strokes
    begin in random places, not where a cell of a grid is most wrong, and go to both sides; their direction is smoothed.
    """
    random, photo, side, bend = easel.random, easel.photo, len(easel.photo), easel.smooth(6)
    canvas = Canvas(easel.size, gaussian_filter(photo, (20, 20, 0)))
    for width, layers, tolerance in ((1 / 16, 5, 0.0), (1 / 32, 3, 0.2), (1 / 60, 3, 0.2)):
        width = width * easel.scale
        blur = width * side / 3
        wanted, painted = gaussian_filter(photo, (blur, blur, 0)), canvas.pixels(side)
        down, right = np.gradient(wanted.mean(-1))
        xx, xy, yy = (gaussian_filter(each, 3 * blur) for each in (right**2, right * down, down**2))
        double = np.arctan2(2 * xy, xx - yy)  # twice the angle of the steepest way: it has no sign
        cos, sin = np.cos(double), np.sin(double)

        def direction(spot, cos=cos, sin=sin):
            return across(towards(np.arctan2(at(sin, spot), at(cos, spot)) / 2 + 0.3 * easel.flow * bend(spot)))

        spots = random.random((int(layers / (3 * width**2)), 2))
        wrong = gaussian_filter(np.abs(wanted - painted).sum(-1), blur)
        spots = spots[at(wrong, spots) >= tolerance]
        colours, lines = at(wanted, spots), flow_lines(spots, direction, 6 * width)
        there = at(wanted, lines)
        strays = np.abs(there - colours[:, None]).sum(-1) > np.abs(there - at(painted, lines)).sum(-1) + 0.06
        share = np.where(strays, np.abs(np.linspace(-1, 1, lines.shape[1])), 1).min(1)  # as far as the colour fits
        lines = flow_lines(spots, direction, 6 * width * share.clip(0.35))
        strokes(canvas, lines, width, colours + random.normal(0, 0.03, colours.shape))
    return canvas.pixels()


def engraving(easel: Easel) -> np.ndarray:
    """A photo in lines of one ink that swell where it is dark, bent by what they cross; as on a banknote."""
    spots = places(easel.size)
    tone = at(equalize_adapthist(easel.photo.mean(-1), clip_limit=0.02), spots)
    relief = gaussian_filter(tone, 0.018 * easel.size) + 0.25 * easel.smooth(2)(spots)
    edge = np.ones_like(tone)
    for angle, bright in ((0.35, 1.0), (1.95, 0.42)):  # the second set of lines only where it is darker than this
        phase = 62 / easel.scale * (spots @ towards(np.pi / 2 - angle) + 0.05 * easel.flow * relief)
        steep = np.hypot(*np.gradient(phase, 1 / easel.size)) + 1e-6
        half = np.where(tone < bright, 0.58 * (bright - tone), -1).clip(max=0.41)
        edge = np.minimum(edge, (np.abs(phase - np.round(phase)) - half) / steep)
    return easel.cover(edge, easel.light, easel.dark) * easel.grain(0.02)


STYLES = {maker.__name__: maker for maker in (night, window, woodcut, rings, mosaic, wave, facets, brush, engraving)}


def paint(
    style: Style = "night",
    size: Annotated[int, (128, 1024, 64)] = 512,
    scale: Annotated[float, (0.5, 2.0, 0.1)] = 1.0,
    palette: Palette = "its own",
    flow: Annotated[float, (0.0, 2.0, 0.1)] = 1.0,
    after: Image | None = None,
    seed: Seed = 0,
) -> Tensor:
    """A painting (1, 3, size, size) in [0, 1], drawn by rule and chance; the same for the same arguments.

    Args:
        style: "brush" and "engraving" are drawn after a photo, the others from nothing.
        size: side in pixels, from 64 to 2048.
        scale: of strokes, cells, stones, lines and waves, from 0.5 to 4; 1 makes them about a fortieth of the side.
        palette: "its own", or one of `PALETTES`, of which "woodcut" and "engraving" use the darkest and the lightest
            colour, and "brush" the one that is as light as its photo.
        flow: how far it departs from straight lines and rule, from 0 to 3: how the strokes of "night" whirl, the cells
            of "window" leave their circles, the lines of "woodcut" and the rows of "mosaic" wind, "rings" tremble, a
            "wave" curls, the cuts of "facets" are bent, "brush" strays from the edges, lines of "engraving" bow.
        after: the photo that "brush" or "engraving" is drawn after, (1, 3, H, W); None: one of the course.
        seed: of everything that is left to chance.

    Raises:
        ValueError, TypeError: an argument that is out of range.
    """
    one_of("style", style, Style)
    one_of("palette", palette, Palette)
    whole_numbers(0, size=size, seed=seed)
    from_to(64, 2048, size=size)
    from_to(0.5, 4, scale=scale)
    from_to(0, 3, flow=flow)
    if after is not None:
        single("after", after)
    colours = colours_of(OWN[style] if palette == "its own" else PALETTES[palette])
    photo = None
    if style in AFTER:
        photo = photos.photo(AFTER[style]) if after is None else after
        photo = fit(photo, SAMPLED)[0].permute(1, 2, 0).double().cpu().numpy()
        if style == "brush" and palette != "its own":
            photo = between(colours, photo.mean(-1))
    easel = Easel(size, scale, flow, colours, np.random.default_rng(seed), photo)
    pixels = STYLES[style](easel).clip(0, 1).astype(np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous().to(compute.device())


def draw() -> None:
    """Write the paintings of the course into data/paintings, and print how long each took."""
    for name in STYLES:
        begin = time.perf_counter()
        painting = paint(name)
        print(f"{name:10} {time.perf_counter() - begin:.1f} s")
        path = photos.PAINTINGS[name].path
        save(painting, path)


if __name__ == "__main__":
    draw()
