"""Lesson 3: patches and occlusion."""

import math
from itertools import pairwise

import torch

from helpers.exercises.exercise import compare, exercise, stand_in
from helpers.exercises.toys import toy

# ── 3.1: the strongest so far ──


@exercise("3.1", "merge")
def merge(student, draw):
    values, images = _descending(draw.uniform(3, 4, low=2.5, high=3.5)), draw.order(12).view(3, 4)
    maps, numbers = draw.normal(5, 3, 4, 6), 200 + draw.order(5)
    for channel, strong in enumerate(draw.uniform(3, low=5.0, high=6.0)):  # each in a picture of its own, and twice
        maps[channel, channel, 0, 0], maps[channel, channel, 1, 2] = strong, strong - 0.5
    maps[3, :, 3, 5] = -7.0
    given, k = (values, images, maps, numbers), 4

    def mistakes():
        best, order = torch.cat([values, maps.amax((2, 3)).T], dim=1).topk(k)
        everything = torch.cat([images, numbers.expand(3, -1)], dim=1)
        return {
            "strongest first: the values are in another order": tuple(t.flip(1) for t in _merged(*given)),
            "these are places in the joined list; ask the list of picture numbers what stands there": (best, order),
            "the pictures are ranked by one channel; every channel has an order of its own": (
                best,
                everything[:, order[0]],
            ),
            "one picture fills several places; only its strongest unit counts": _merged(
                values, images, maps.flatten(2).permute(2, 0, 1).flatten(0, 1)[..., None, None], numbers.repeat(24)
            ),
            "a picture counts by its strongest unit, not by the mean of its map": _merged(
                values, images, maps.mean((2, 3), keepdim=True), numbers
            ),
            "a unit far below zero is not excited: leave the sign": _merged(values, images, maps.abs(), numbers),
            "these are the weakest; the largest values are to be kept": _merged(*given, strongest=False),
            "the best so far are forgotten: the new pictures have to beat them": _merged(
                values[:, :0], images[:, :0], maps, numbers, k
            ),
            "channels and pictures are mixed up: a reshape is no transpose": _merged(
                values, images, maps.amax((2, 3)).reshape(3, 5).T[..., None, None], numbers
            ),
        }

    compare(student(*given), _merged(*given), mistakes)


@exercise("3.1", "merge")
def merge_from_nothing(student, draw):
    values, images = draw.normal(2, 3).fill_(-math.inf), draw.order(6).view(2, 3).fill_(-1)
    for count in (1, 4, 2):  # one batch after the other, the first of a single picture
        given = values, images, draw.normal(count, 2, 3, 2), draw.order(count) + 10 * count
        values, images = _merged(*given)
        compare(student(*given), (values, images))


@stand_in("3.1")
def merge_stand_in(values, images, maps, numbers):
    from helpers.patches import merged

    found = {"value": maps.amax((2, 3)).T, "image": numbers.expand(len(values), -1)}
    best = merged({"value": values, "image": images}, found, values.shape[1])
    return best["value"], best["image"]


def _descending(values):
    return values.sort(dim=1, descending=True).values


def _merged(values, images, maps, numbers, k=None, strongest=True):
    """Channel by channel: all pairs of value and picture in a list, sorted."""
    k, rows = k or values.shape[1], []
    for channel in range(len(values)):
        new = zip((float(m[channel].max()) for m in maps), numbers.tolist(), strict=True)
        pairs = [*zip(values[channel].tolist(), images[channel].tolist(), strict=True), *new]
        rows.append(sorted(pairs, key=lambda pair: pair[0], reverse=strongest)[:k])
    return (
        values.new_tensor([[value for value, _ in row] for row in rows]),
        images.new_tensor([[image for _, image in row] for row in rows]),
    )


# ── 3.2: what a unit can see ──


@exercise("3.2", "field_of")
def field_of(student, draw):
    layers, unit = [(7, 2, 3), (3, 3, 1), (4, 1, 2), (5, 2, 1)], (0, 3)
    size, jump, (top, left, bottom, right) = truth = _field(layers, unit)
    kernels = sum(kernel - 1 for kernel, _, _ in layers)
    without_padding = [(kernel, stride, 0) for kernel, stride, _ in layers]
    mistakes = {
        "the layers are taken from the wrong end: the first of the list stands next to the picture": _field(
            layers[::-1], unit
        ),
        "a kernel steps from unit to unit of the layer below it, so its own stride does not count yet": _upwards(
            layers, unit, of_kernel=lambda k, s, jump: (k - 1) * jump * s
        ),
        "the size counts steps of every layer as pixels; how many pixels is a step in the layer below?": (
            1 + kernels,
            jump,
            (top, left, top + 1 + kernels, left + 1 + kernels),
        ),
        "a unit that sees k in a row sees k, but there are fewer steps between them": _upwards(
            layers, unit, of_kernel=lambda k, s, jump: k * jump
        ),
        "the jump is the last layer's stride alone; the layers below have theirs too": _upwards(
            layers, unit, of_jump=lambda jump, s: s
        ),
        "strides are added; how far apart are every second of every third unit?": _upwards(
            layers, unit, of_jump=lambda jump, s: jump + s
        ),
        "the padding is forgotten: unit (0, 0) starts outside the picture": _field(without_padding, unit),
        "the padding is added; it lets the box start before the picture": _field(
            [(kernel, stride, -padding) for kernel, stride, padding in layers], unit
        ),
        "the padding of a layer is in its own units, not in pixels": _upwards(
            layers, unit, of_padding=lambda p, s, jump: p
        ),
        "the padding is in units of the layer below; this layer's stride has no part in it": _upwards(
            layers, unit, of_padding=lambda p, s, jump: p * jump * s
        ),
        "kernel and padding both reach over the layer below: use the jump from before this layer": _upwards(
            layers, unit, lambda k, s, jump: (k - 1) * jump * s, lambda p, s, jump: p * jump * s
        ),
        "the box is cut off at the picture's border; it may reach into the padding": (
            size,
            jump,
            (max(0, top), max(0, left), bottom, right),
        ),
        "bottom and right are the last pixels seen; they should lie just outside": (
            size,
            jump,
            (top, left, bottom - 1, right - 1),
        ),
        "rows and columns are swapped: top and bottom belong to the row": (size, jump, (left, top, right, bottom)),
        "the next unit's box lies one jump further, not one pixel": (size, jump, _box(size, 1, _start(layers), unit)),
        "the box is centred on unit times jump; where does that of unit (0, 0) start?": (
            size,
            jump,
            _box(size, jump, -(size // 2), unit),
        ),
    }
    compare(student(layers, unit), truth, mistakes)


@exercise("3.2", "field_of", cases=[()] * 3)
def field_of_any_layers(student, draw):
    layers = [(draw.integer(1, 5), draw.integer(1, 3), draw.integer(0, 2)) for _ in range(draw.integer(1, 4))]
    unit = draw.integer(0, 9), draw.integer(0, 9)
    compare(student(layers, unit), _field(layers, unit))


@stand_in("3.2")
def field_of_stand_in(layers, unit):
    return _field(layers, unit)


def _field(layers, unit):
    """Collects the units seen in layer after layer, downwards, and looks where they end."""
    (top, bottom), (left, right) = (_seen(layers, place) for place in unit)
    return bottom - top, _seen(layers, 1)[0] - _seen(layers, 0)[0], (top, left, bottom, right)


def _seen(layers, place):
    places = {place}
    for kernel, stride, padding in reversed(layers):
        places = {stride * place - padding + i for place in places for i in (0, kernel - 1)}
    return min(places), max(places) + 1


def _start(layers):
    return _seen(layers, 0)[0]


def _upwards(
    layers,
    unit,
    of_kernel=lambda k, s, jump: (k - 1) * jump,
    of_padding=lambda p, s, jump: p * jump,
    of_jump=lambda jump, s: jump * s,
):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size, start = size + of_kernel(kernel, stride, jump), start - of_padding(padding, stride, jump)
        jump = of_jump(jump, stride)
    return size, jump, _box(size, jump, start, unit)


def _box(size, jump, start, unit):
    top, left = (start + place * jump for place in unit)
    return top, left, top + size, left + size


# ── 3.3: the map ──


@exercise("3.3", "occlusion_map", cases=[(6, 6, 2, 2), (7, 5, 3, 2), (5, 8, 3, 3)])
def occlusion_map(student, draw, height, width, patch, stride):
    # small weights, so that softmax is never so sure that nothing matters
    network = toy(head=0.3 * draw.normal(4, 3 * height * width), mean=draw.uniform(3).tolist())
    image, category = draw.uniform(1, 3, height, width), draw.integer(0, 3)
    corners = [(y, x) for y in _starts(height, patch, stride) for x in _starts(width, patch, stride)]

    def ask(read=network.probabilities, black=False):
        return {(y, x): read(_cover(network, image, y, x, patch, black))[0, category] for y, x in corners}

    def twice(y, x):
        doubled = [top == side - patch and top % stride == 0 for top, side in ((y, height), (x, width))]
        return (1 + doubled[0]) * (1 + doubled[1])

    scores = ask()
    truth = _average(scores, image, patch)

    def mistakes():
        clean = network.probabilities(image)[0, category]
        regular = {(y, x): s for (y, x), s in scores.items() if y % stride == 0 and x % stride == 0}
        return {
            "these are scores before softmax; the map shows probabilities": _average(ask(network), image, patch),
            "the last rows and columns are missing: one more window must stand flush with the border": _average(
                regular, image, patch
            ).nan_to_num(0.0),
            "the window is black; paint it with the mean pixel": _average(ask(black=True), image, patch),
            "windows that overlap are added up; divide by how many hold the pixel": truth
            * _count(corners, image, patch),
            "a pixel keeps only the last window that held it; average over all of them": _last(scores, image, patch),
            "the window flush with the border is there twice where the stride leaves no rest": _average(
                scores, image, patch, twice
            ),
            "this is how far the probability falls; the map shows the probability itself": clean - truth,
        }

    compare(student(network, image, category, patch, stride), truth, mistakes)


@stand_in("3.3")
def occlusion_map_stand_in(network, image, category, patch, stride):
    from helpers.core.steps import finish
    from helpers.occlusion import occlusion

    return finish(occlusion(network, image, category, patch, stride)).image[0, 0]


def _starts(side, patch, stride):
    starts = list(range(0, side - patch + 1, stride))
    return starts + [side - patch] * (starts[-1] < side - patch)


def _cover(network, image, y, x, patch, black=False):
    covered = image.clone()
    covered[:, :, y : y + patch, x : x + patch] = 0 if black else network.mean_pixel[:, None, None]
    return covered


def _count(corners, image, patch):
    count = torch.zeros_like(image[0, 0])
    for y, x in corners:
        count[y : y + patch, x : x + patch] += 1
    return count


def _average(scores, image, patch, weight=lambda y, x: 1):
    total, weights = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    for (y, x), score in scores.items():
        total[y : y + patch, x : x + patch] += weight(y, x) * score
        weights[y : y + patch, x : x + patch] += weight(y, x)
    return total / weights


def _last(scores, image, patch):
    heat = torch.zeros_like(image[0, 0])
    for (y, x), score in scores.items():
        heat[y : y + patch, x : x + patch] = score
    return heat


# ── 3.4: is the map right? ──


LEVELS = [  # height, width, pixels of each level, the least importance and the steps between levels
    (5, 6, (2, 9, 1, 12, 6), -2.0, 1.0),
    (4, 3, (5, 7), 0.0, 3.0),
    (3, 4, (12,), 1.0, 1.0),
    (4, 6, (3, 8, 1, 7, 5), 1e-4, 1e-8),
]


@exercise("3.4", "area_by_levels", cases=LEVELS)
def area_by_levels(student, draw, height, width, sizes, least, step):
    # small weights, so that softmax is never so sure that nothing matters
    network = toy(head=0.2 * draw.normal(4, 3 * height * width), mean=draw.uniform(3).tolist())
    before, after = draw.uniform(1, 3, height, width), draw.uniform(1, 3, height, width)
    category, count = draw.integer(0, 3), len(sizes)
    levels = least + step * _descending(torch.arange(count).to(before) + draw.uniform(1, count, high=0.5))[0]
    importance = levels.repeat_interleave(torch.tensor(sizes, device=levels.device))
    importance = importance[draw.order(height * width)].view(height, width)

    def scores(masks, first=before, then=after, read=network.probabilities):
        return [float(read(torch.where(mask, then, first))[0, category]) for mask in masks]

    nothing = torch.zeros_like(importance, dtype=torch.bool)
    masks = [nothing, *(importance >= level for level in levels)]
    shares = [int(mask.sum()) / (height * width) for mask in masks]
    curve = scores(masks)
    truth = _area(shares, curve)

    def mistakes():
        steps = [i / len(sizes) for i in range(len(masks))]
        return {
            "levels hold different numbers of pixels: the steps along the curve are not all equal": _area(steps, curve),
            "pixels of equal importance change together, at one point of the curve": _one_by_one(
                scores, importance, height * width
            ),
            "the curve has a point for each level, however many; not a fixed number of equal steps": _one_by_one(
                scores, importance, 32
            ),
            "the curve runs backwards: from `before` to `after`, and the most important pixels go first": _area(
                shares, scores(masks, after, before)
            ),
            "these are scores before softmax; the curve is of the probability": _area(
                shares, scores(masks, read=network)
            ),
            "only one level's pixels are changed at a time; those above it have changed already": _area(
                shares, scores([nothing, *(importance == level for level in levels)])
            ),
            "the curve begins with nothing changed": _area(shares[1:], curve[1:]),
            "the curve ends with everything changed": _area(shares[:-1], curve[:-1]),
            "the area is over the share of the pixels, from nought to one; not over their number": truth
            * height
            * width,
            "this is the mean of the scores, not the area under them": sum(curve) / len(curve),
            "these are rectangles as high as the curve's right end; the curve is a straight line between points": _area(
                shares, curve, left=0
            ),
            "these are rectangles as high as the curve's left end; the curve is a straight line between points": _area(
                shares, curve, left=1
            ),
        }

    compare(student(network, before, after, importance, category), truth, mistakes)


@stand_in("3.4", weaker="insertion in 32 equal steps, from a blur of its own")
def area_by_levels_stand_in(network, before, after, importance, category):
    from helpers.occlusion import insertion

    return insertion(network, after, importance, category).area


def _area(shares, scores, left=0.5):
    """Step by step: the width times the mean of both ends; `left` is the weight of the left one."""
    widths = [b - a for a, b in pairwise(shares)]
    heights = [left * a + (1 - left) * b for a, b in pairwise(scores)]
    return sum(width * height for width, height in zip(widths, heights, strict=True))


def _one_by_one(scores, importance, points):
    """The curve of equal steps, which tears levels apart."""
    order = importance.flatten().argsort(descending=True, stable=True)
    rank = order.argsort().view_as(importance)
    counts = torch.linspace(0, len(order), points + 1).round().long().tolist()
    return _area([i / points for i in range(points + 1)], scores([rank < count for count in counts]))
