"""Lesson 8: texture."""

import torch
from torch.nn.functional import pad

from helpers.exercises.calls import NotYet
from helpers.exercises.exercise import compare, exercise, stand_in

# n: a new place of the sample; l, a, d: goes on where the left, upper, diagonal neighbour was; e, m: the left one's own
# place, the place before it; w, v: the place before that of the row's first, the column's first pixel
QUILTS = [
    ("nnlnll", "ndelaa", "aanlla", "nmalnw", "adalln", "annvln"),
    ("nln", "aal", "aad", "nme", "aaa", "anl", "nla"),
    ("nlnlnell", "anldmlal", "naladlae"),
]


@exercise("8.1", "new_choices", cases=[(quilt,) for quilt in QUILTS])
def new_choices(student, draw, quilt):
    source = _source(quilt, draw)
    truth = _chosen_anew(source)
    mistakes = {
        "this marks the pixels that go on; a new choice is one that does not": ~truth,
        "the neighbours are those to the right and below; they came later": _chosen_anew(source, ((0, 1), (1, 0))),
        "a pixel may also go on from the one above it": _chosen_anew(source, ((0, -1),)),
        "a pixel may also go on from the one to its left": _chosen_anew(source, ((-1, 0),)),
        "it is enough to go on from one of the two neighbours": _chosen_anew(source, enough=all),
        "the diagonal neighbour does not count": _chosen_anew(source, ((0, -1), (-1, 0), (-1, -1))),
        "a row's first pixel has no left neighbour, a column's first none above; roll goes round": (
            _chosen_anew(source, around=True)
        ),
        "in the first row and column there is still one neighbour to go on from": _with_border(truth, True),
        "the first row and column are left out": _with_border(truth, False),
        "going on means one place further in the sample, not the same place": (
            _chosen_anew(source, fits=lambda step, way: step == (0, 0))
        ),
        "going on means the next place in the same direction, not just a place beside": (
            _chosen_anew(source, fits=lambda step, way: abs(step[0]) + abs(step[1]) == 1)
        ),
        "row and column of the source must both fit": (
            _chosen_anew(source, fits=lambda step, way: step[0] == way[0] or step[1] == way[1])
        ),
        "source holds (row, column), in this order": _chosen_anew(source, fits=lambda step, way: step == way[::-1]),
    }
    compare(student(source), truth, mistakes)


def _source(quilt, draw):
    """Sources (H, W, 2) in whole numbers; new places are far from each other, so that none goes on by accident."""
    height, width = len(quilt), len(quilt[0])
    source = torch.stack([20 + 20 * draw.order(height * width).view(height, width) for _ in range(2)], 2)
    for y, row in enumerate(quilt):
        for x, letter in enumerate(row):
            before_y, before_x, *step = {
                "n": (y, x, 0, 0),
                "l": (y, x - 1, 0, 1),
                "a": (y - 1, x, 1, 0),
                "d": (y - 1, x - 1, 1, 1),
                "e": (y, x - 1, 0, 0),
                "m": (y, x - 1, 0, -1),
                "w": (y, 0, 0, -1),
                "v": (0, x, -1, 0),
            }[letter]
            source[y, x] = source[before_y, before_x] + source.new_tensor(step)
    return source


def _chosen_anew(source, looks=((0, -1), (-1, 0)), enough=any, around=False, fits=lambda step, way: step == way):
    (height, width), places = source.shape[:2], source.tolist()
    new = torch.ones(height, width, dtype=torch.bool)
    for y in range(height):
        for x in range(width):
            there = [(a, b) for a, b in looks if around or (0 <= y + a < height and 0 <= x + b < width)]
            goes_on = []
            for a, b in there:
                row, column = places[(y + a) % height][(x + b) % width]
                goes_on.append(fits((places[y][x][0] - row, places[y][x][1] - column), (-a, -b)))
            new[y, x] = not goes_on or not enough(goes_on)
    return new.to(source.device)


def _with_border(new, value):
    new = new.clone()
    new[0], new[:, 0] = value, value
    return new


@exercise("8.1", "new_choices", cases=[(9, 13), (12, 7)])
def new_choices_of_any_quilt(student, draw, height, width):
    allowed = [["n", "nlem"], ["na", "nlademlla"]]  # in the corner and the first row, in the first column and elsewhere
    rows = [[allowed[y > 0][x > 0] for x in range(width)] for y in range(height)]
    source = _source([[letters[draw.integer(0, len(letters) - 1)] for letters in row] for row in rows], draw)
    compare(student(source), _chosen_anew(source))


@stand_in("8.1")
def new_choices_stand_in(source):
    from helpers.scanline import coherence

    new = torch.ones(source.shape[:2], dtype=torch.bool, device=source.device)
    for y in range(len(source)):
        for x in range(source.shape[1]):
            from_left = x > 0 and coherence(source[y : y + 1, x - 1 : x + 1]) == 1
            from_above = y > 0 and coherence(source[y - 1 : y + 1, x : x + 1]) == 1
            new[y, x] = not from_left and not from_above
    return new


@exercise("8.2", "window_distances", cases=[(7, 9, 3), (9, 6, 5), (5, 8, 1)])
def window_distances(student, draw, height, width, side):
    sample, window = draw.uniform(1, 3, height, width), draw.uniform(1, 3, side, side)
    weight = draw.uniform(side, side, low=0.2, high=0.9)
    if side > 1:
        weight[0, 0] = weight[-1, side // 2] = 0.0
        window = torch.where(weight > 0, window, 7.0)
    pairs = _differences(sample, window)  # (H', W', 3, side, side)
    weighted = (weight * pairs**2).sum((2, 3, 4))
    truth = _by_loops(sample, window, weight)
    mistakes = {
        "the weights are left out: what is not known counts in full": (pairs**2).sum((2, 3, 4)) / weight.sum(),
        "divide by the sum of the weights": weighted,
        "divide by the sum of the weights, not by the number of pixels": weighted / side**2,
        "divide by the sum of the weights, not by the number of known pixels": weighted / (weight > 0).sum(),
        "a mean divides by the number of terms; divide the sum by the sum of the weights": weighted / (3 * side**2),
        "the squares of the three colours are added, not averaged": weighted / weight.sum() / 3,
        "the weights are squared with the difference; they come after the square": (
            (weight * pairs).square().sum((2, 3, 4)) / weight.sum()
        ),
        "square each colour's difference before the colours are added": (
            (weight * pairs.sum(2) ** 2).sum((2, 3)) / weight.sum()
        ),
        "the differences are squared, not made positive": (weight * pairs.abs()).sum((2, 3, 4)) / weight.sum(),
        "the distance is a sum of squares; no root is taken": truth.sqrt(),
        "this counts what is not known; weight is 0 there": (
            ((1 - weight) * pairs**2).sum((2, 3, 4)) / (1 - weight).sum()
        ),
        "row and column of the weights are exchanged": (weight.T * pairs**2).sum((2, 3, 4)) / weight.sum(),
    }
    compare(student(sample, window, weight), truth, mistakes)


def _by_loops(sample, window, weight):
    side, (height, width) = len(weight), sample.shape[2:]
    distances = sample.new_zeros(height - side + 1, width - side + 1)
    for a in range(side):
        for b in range(side):
            shifted = sample[0, :, a : a + len(distances), b : b + distances.shape[1]]
            for colour in range(3):
                distances += weight[a, b] * (shifted[colour] - window[0, colour, a, b]) ** 2
    return distances / weight.sum()


def _differences(sample, window):
    side = window.shape[-1]
    return sample[0].unfold(1, side, 1).unfold(2, side, 1).permute(1, 2, 0, 3, 4) - window[0]


@stand_in("8.2")
def window_distances_stand_in(sample, window, weight):
    from helpers.neighbours import nearest

    root = weight.sqrt()
    windows = sample.unfold(2, len(weight), 1).unfold(3, len(weight), 1)
    vectors = (windows * root).permute(2, 3, 0, 1, 4, 5).flatten(0, 2).flatten(1)
    distances, indices = nearest((window * root).flatten(1), vectors, len(vectors))
    return distances.scatter(1, indices, distances.square() / weight.sum()).view(windows.shape[2:4])


MAPS = [  # the number of pictures; of each layer the channels, and height and width in the pictures and in the sample
    (2, [(3, 4, 5, 6, 3), (2, 3, 2, 5, 4)]),
    (3, [(4, 2, 3, 3, 3), (2, 5, 5, 2, 2), (5, 1, 4, 3, 2)]),
]


@exercise("8.3", "texture_loss", cases=MAPS)
def texture_loss(student, draw, count, layers):
    features = [draw.normal(count, c, height, width) + 0.3 for c, height, width, _, _ in layers]
    samples = [draw.normal(1, c, height, width) - 0.4 for c, _, _, height, width in layers]
    weights = [draw.integer(2, 4) / 10 + k for k in range(len(layers))]
    grams, targets = [_outer(maps) for maps in features], [_outer(maps) for maps in samples]
    ratios = [_places(here) / _places(there) for here, there in zip(features, samples, strict=True)]

    def with_term(term):
        return _loss(grams, targets, weights, term)

    def with_table(table):
        return _loss([table(maps) for maps in features], [table(maps) for maps in samples], weights)

    truth = _loss(grams, targets, weights)
    mistakes = {
        "average the outer products over the places; they are only added": (
            with_table(lambda maps: _outer(maps) * _places(maps))
        ),
        "divide the sample's Gram matrix by the sample's own number of places": (
            _loss(grams, [target / ratio for target, ratio in zip(targets, ratios, strict=True)], weights)
        ),
        "divide the pictures' Gram matrices by their own number of places, not the sample's": (
            _loss([table * ratio for table, ratio in zip(grams, ratios, strict=True)], targets, weights)
        ),
        "C² has been divided out twice: is G averaged over H·W alone, are the squares added?": (
            with_term(lambda d, target: d.square().mean((1, 2)) / (4 * d.shape[1] ** 2))
        ),
        "the denominator is 4 C², not 4 C": with_term(lambda d, target: d.square().sum((1, 2)) / (4 * d.shape[1])),
        "the 4 of the 4 C² is missing": with_term(lambda d, target: 4 * _paper(d, target)),
        "the 4 C² is missing": with_term(lambda d, target: d.square().sum((1, 2))),
        "this is the lesson's loss; Gatys et al. divide by 4 C²": (
            with_term(lambda d, target: d.square().sum((1, 2)) / target.square().sum((1, 2)))
        ),
        "square the distance between the Gram matrices; no root is taken": (
            with_term(lambda d, target: d.square().sum((1, 2)).sqrt() / (4 * d.shape[1] ** 2))
        ),
        "the differences are squared, not made positive": (
            with_term(lambda d, target: d.abs().sum((1, 2)) / (4 * d.shape[1] ** 2))
        ),
        "the weights of the layers are left out": _loss(grams, targets, [1.0] * len(weights)),
        "the weights are taken as they are, not divided by their sum": truth / sum(weights),
        "the layers are added, not averaged": truth / len(weights),
        "the Gram matrix is no covariance; no mean is subtracted": (
            with_table(lambda maps: _outer(maps - maps.mean((2, 3), keepdim=True)))
        ),
        "a reshape to (places, channels) mixes the two; it does not transpose": (
            with_table(lambda maps: _outer(maps.reshape(len(maps), -1, maps.shape[1]).mT[..., None]))
        ),
    }
    compare(student(features, samples, weights), truth, mistakes)


def _paper(difference, _=None):
    return difference.square().sum((1, 2)) / (4 * difference.shape[1] ** 2)


def _loss(grams, targets, weights, term=_paper):
    """The weighted sum over the layers of `term`, a function of G − A and A."""
    return sum(w * term(here - there, there) for w, here, there in zip(weights, grams, targets, strict=True))


def _places(maps):
    return maps.shape[2] * maps.shape[3]


def _outer(maps):
    """The mean outer product, place by place: (N, C, H, W) → (N, C, C)."""
    total = 0.0
    for y in range(maps.shape[2]):
        for x in range(maps.shape[3]):
            total = total + maps[:, :, None, y, x] * maps[:, None, :, y, x]
    return total / _places(maps)


@stand_in("8.3")
def texture_loss_stand_in(features, samples, weights):
    from helpers.texture import gram, gram_distance

    loss = 0.0
    for here, there, weight in zip(features, samples, weights, strict=True):
        target = gram(there)
        loss = loss + weight / (4 * here.shape[1] ** 2) * gram_distance(gram(here), target) * target.square().sum()
    return loss


@exercise("8.4", "shifted_gram", cases=[(2, 3, 5, 7, 1, 2), (2, 4, 4, 6, 0, 3), (1, 2, 5, 4, 2, 0), (3, 2, 3, 4, 0, 0)])
def shifted_gram(student, draw, count, channels, height, width, dy, dx):
    features = draw.normal(count, channels, height, width)
    truth, pairs = _mean_of_pairs(features, dy, dx), (height - dy) * (width - dx)
    first, second = features[..., : height - dy, : width - dx], features[..., dy:, dx:]
    rolled = features.roll((-dy, -dx), (2, 3))
    mixed = first.reshape(count, pairs, channels).mT @ second.reshape(count, pairs, channels)
    mistakes = {
        "roll goes round; only places whose partner lies inside count": (
            features.flatten(2) @ rolled.flatten(2).mT / (height * width)
        ),
        "divide by the number of pairs, which are fewer than H·W": truth * pairs / (height * width),
        "the outer products are only added; divide by the number of pairs": truth * pairs,
        "divide by the number of pairs alone, not by the channels": truth / channels,
        "rows are for the channel at p, columns for the channel at p + δ; here they are exchanged": truth.mT,
        "the table is not symmetric: the row is for p, the column for p + δ": (truth + truth.mT) / 2,
        "dy goes down, dx to the right; here they are exchanged": _mean_of_pairs(features.mT, dy, dx),
        "only dy is used": _mean_of_pairs(features, dy, 0),
        "only dx is used": _mean_of_pairs(features, 0, dx),
        "nothing is shifted: both factors leave out the first rows and columns": _mean_of_pairs(second, 0, 0),
        "nothing is shifted: both factors leave out the last rows and columns": _mean_of_pairs(first, 0, 0),
        "a reshape to (places, channels) mixes the two; it does not transpose": mixed / pairs,
    }
    try:
        answer = student(features, dy, dx)
    except NotYet as problem:
        if "it raises" in str(problem) and dy * dx == 0:  # it did not where both were above 0
            raise NotYet("it fails where dy or dx is 0: a slice that ends at -0 is empty") from None
        raise
    compare(answer, truth, mistakes)


def _mean_of_pairs(features, dy, dx):
    """The mean over all pairs of places, one after the other."""
    total, count = 0.0, 0
    for y in range(features.shape[2] - dy):
        for x in range(features.shape[3] - dx):
            total, count = total + features[:, :, None, y, x] * features[:, None, :, y + dy, x + dx], count + 1
    return total / count


@stand_in("8.4")
def shifted_gram_stand_in(features, dy, dx):
    from helpers.texture import gram

    channels, height, width = features.shape[1:]
    first, second = pad(features, (dx, 0, dy, 0)), pad(features, (0, dx, 0, dy))
    both = gram(torch.cat([first, second], 1))[:, :channels, channels:]
    return both * (height + dy) * (width + dx) / ((height - dy) * (width - dx))
