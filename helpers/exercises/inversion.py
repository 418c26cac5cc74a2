"""Lesson 7: inversion. Its first exercise is in `helpers/exercises/loop.py`."""

import math

import torch
import torch.nn.functional as F

import helpers.exercises.loop  # noqa: F401  registers exercise 7.1
from helpers.exercises.calls import NotYet
from helpers.exercises.exercise import ROUNDED, agrees, compare, exercise, fits, stand_in
from helpers.exercises.toys import toy

# ── 7.2 ──


@exercise("7.2", "feature_distance", cases=[(6, 5, "relu1", "tanh"), (5, 8, "logits", "tanh"), (7, 4, "conv1", "none")])
def feature_distance(student, draw, height, width, layer, activation):
    kernel, places = 0.7 * draw.normal(4, 3, 2, 3), (height - 1) * (width - 2)
    network = toy([kernel], draw.normal(5, 4 * places), activation, mean=draw.uniform(3).tolist())
    images, photo = draw.normal(3, 3, height, width), draw.normal(1, 3, height, width)
    phi, target = network.activation(images, layer).flatten(1), network.activation(photo, layer).flatten()
    squares = draw.tensor([math.fsum(((one - target) ** 2).tolist()) for one in phi])
    whole = draw.tensor(math.fsum((target**2).tolist()))
    truth = squares / whole
    mistakes = {
        "this is one number for the whole batch; every image has its own": truth.sum(),
        "this is the mean over the batch; every image has a number of its own": truth.mean(),
        "it is not divided by the squared length of the photo's features": squares,
        "this is the mean squared difference; divide by the squared length of the photo's features": (
            squares / len(target)
        ),
        "it is divided by the length of the photo's features; square that, too": squares / whole.sqrt(),
        "it is divided by the features of the images; divide by those of the photo": squares / (phi**2).sum(1),
        "there is a root too many: both lengths are squared": truth.sqrt(),
        "the absolute differences are summed; square them": (phi - target).abs().sum(1) / target.abs().sum(),
        "every difference is divided by its own feature; sum first, then divide": (
            ((phi - target) ** 2 / target**2).sum(1)
        ),
        "these are distances of the pixels; compare what the layer says": (
            ((images - photo) ** 2).sum((1, 2, 3)) / (photo**2).sum()
        ),
        "the squared lengths are subtracted; subtract the features, then square": (
            ((phi**2).sum(1) - whole).abs() / whole
        ),
    }
    compare(student(network, layer, images, photo), truth, mistakes)


@exercise("7.2", "feature_distance")
def feature_distance_by_hand(student, draw):
    # the layer doubles red: twice the photo is as far from it as nothing at all, and the photo itself is not far
    photo = draw.tensor([[[[1.0, -2.0, 0.5]], [[3.0, 0.0, 1.0]], [[0.0, 7.0, 2.0]]]])
    network = toy([draw.tensor([2.0, 0.0, 0.0]).view(1, 3, 1, 1)], activation="none")
    images = torch.cat([photo, 0 * photo, 2 * photo, -photo])
    compare(student(network, "conv1", images, photo), draw.tensor([0.0, 1.0, 1.0, 4.0]))


@stand_in("7.2")
def feature_distance_stand_in(network, layer, images, photo):
    from helpers.core.activations import distance

    return distance(network.activation(images, layer), network.activation(photo, layer))


# ── 7.3 ──

RESTARTS = [(5, 7, 3.0, 1.5), (6, 4, 6.0, 2.0)]  # height, width, α, β
WEIGHED = {"feature": (0.0, 0.0), "α-norm": (1.0, 0.0), "TV": (0.0, 1.0)}  # whether λ_α and λ_V are above 0


@exercise("7.3", "restart_objectives", cases=[(name, *sizes) for sizes in RESTARTS for name in WEIGHED])
def restart_objectives_term_by_term(student, draw, name, height, width, alpha, beta):
    network, images, target = _restarts(draw, height, width)
    terms = _terms(network, images.detach(), target, alpha, beta)
    decay, tv = (draw.tensor(WEIGHED[name]) * draw.uniform(2, low=0.5, high=1.0)).tolist()
    features, (truth, mistakes) = terms["feature"][0], terms[name]
    if weight := decay + tv:
        truth = features + weight * truth
        mistakes = {message: features + weight * wrong for message, wrong in mistakes.items()}
    answer = student(network, "relu1", images, target, decay, tv, alpha, beta)
    try:
        compare(answer, truth, mistakes)
    except NotYet as problem:
        if "values not" not in str(problem):
            raise
        message = f"the {name} term is not right yet; it shows where the others weigh nothing"
        raise NotYet(message, problem.difference) from None
    _flows_back(answer, _true_slopes(network, images.detach(), target, decay, tv, alpha, beta))


@exercise("7.3", "restart_objectives", cases=RESTARTS)
def restart_objectives(student, draw, height, width, alpha, beta):
    network, images, target = _restarts(draw, height, width)
    decay, tv = draw.uniform(2, low=0.5, high=1.0).tolist()
    features, norm, variation = (term for term, _ in _terms(network, images.detach(), target, alpha, beta).values())
    answer = student(network, "relu1", images, target, decay, tv, alpha, beta)
    compare(answer, features + decay * norm + tv * variation)


@exercise("7.3", "restart_objectives")
def restart_objectives_by_hand(student, draw):
    # features (0.5² + 1.5²) / (1² + 2²), 2 · (1 + 1 + 0.5⁴) / 6, and 12 · 0.25 / 6
    network = toy([draw.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)], activation="none", mean=(0.5, 0.5, 0.5))
    images, target = draw.tensor([[[[1.0, 1.0]], [[0.5, 0.75]], [[0.5, 0.5]]]]), draw.tensor([[[[1.0, 2.0]]]])
    truth = draw.tensor([0.5 + 2.0625 / 3 + 0.5])
    compare(student(network, "conv1", images, target, 2.0, 12.0, 4.0, 1.0), truth, near=ROUNDED)


def _flows_back(answer, truth):
    """Whether the gradients that `calls.answer` has followed back to the images are right."""
    slopes = getattr(answer, "slopes", None)
    slopes = slopes[0] if isinstance(slopes, list) and slopes else None
    if not fits(slopes, truth):
        raise NotYet("the answer is cut off from the images: no gradient can flow back to them")
    border = torch.ones_like(truth, dtype=torch.bool)
    border[..., :-1, :-1] = False
    slopes = slopes.where(~(slopes.isnan() & border), truth)  # in the corner TV may be flat: see exercise 7.4
    if not agrees(slopes, truth, ROUNDED):
        raise NotYet("a part of the answer is cut off from the images: the gradient that flows back is not all of it")


def _true_slopes(network, images, target, decay, tv, alpha, beta):
    """The gradient of the sum of all objectives by the images."""
    pixels = images.clone().requires_grad_()
    features = (network.activation(pixels, "relu1") - target).square().sum() / target.square().sum()
    powers = (2 * (pixels - network.mean_pixel.view(3, 1, 1))).abs().pow(alpha).sum()
    count = images[0].numel()
    return torch.autograd.grad(features + decay * powers / count, pixels)[0] + tv * _slopes(images, beta) / count


def _restarts(draw, height, width):
    """A network, three restarts that ask for gradients, and what its layer "relu1" says about a photo."""
    network = toy([0.7 * draw.normal(4, 3, 2, 3)], mean=(0.3, 0.45, 0.6), activation="tanh")
    images, photo = draw.uniform(3, 3, height, width), draw.uniform(1, 3, height, width)
    return network, images.requires_grad_(), network.activation(photo, "relu1")


def _terms(network, images, target, alpha, beta):
    """Each of the three terms, (N,), and by message what mistakes in it give."""
    phi, whole, count = network.activation(images, "relu1"), (target**2).sum(), images[0].numel()
    squares = ((phi - target) ** 2).sum((1, 2, 3))
    x = 2 * (images - network.mean_pixel.view(1, 3, 1, 1))
    powers = (x.abs() ** alpha).sum((1, 2, 3))

    def norm(values):
        return (values.abs() ** alpha).mean((1, 2, 3))

    def variation(**mistake):
        return images.new_tensor([_variation(image.tolist(), beta, **mistake) for image in images]) / count

    wrong_features = {
        "this is one number for the whole batch; every restart has its own": squares.sum() / whole,
        "this is the mean over the batch; every restart has a number of its own": squares.mean() / whole,
        "the target counts once for every restart; its length is that of one": squares / whole / len(images),
        "the feature distance is not divided by the squared length of the target": squares,
        "the feature distance is a mean here; divide by the squared length of the target": squares / phi[0].numel(),
        "the feature distance is divided by the length of the target; square that, too": squares / whole.sqrt(),
        "there is a root too many in the feature distance": (squares / whole).sqrt(),
    }
    wrong_norms = {
        "the α-norm is summed; take its mean over pixels and colours": powers,
        "the α-norm lacks the absolute value: dark pixels count as negative": (x**alpha).mean((1, 2, 3)),
        "in the α-norm x is measured from 0; measure it from the network's grey": norm(2 * images),
        "in the α-norm x is measured from 0.5; measure it from the network's own grey": norm(2 * images - 1),
        "in the α-norm x is measured in whole ranges; half a range is its unit": norm(x / 2),
        "the α-norm has a root too many: its α-th power is asked for": (powers / count) ** (1 / alpha),
        "both weights have changed places": variation(),
    }
    wrong_variations = {
        "TV is summed; take its mean over pixels and colours": variation() * count,
        "TV wraps round the border; what would leave the image counts as 0": variation(wrap=True),
        "TV leaves out the last row and column; there one of the two differences is left": variation(inner=True),
        "TV raises both differences one by one; sum their squares first": variation(apart=True),
        "TV takes the power β of a sum of squares; that is twice the exponent": variation(exponent=beta),
        "TV takes the root only; its exponent is β / 2": variation(exponent=0.5),
        "TV sums the squares only; their sum has an exponent": variation(exponent=1.0),
    }
    return {
        "feature": (squares / whole, wrong_features),
        "α-norm": (powers / count, wrong_norms),
        "TV": (variation(), wrong_variations),
    }


def _variation(image, beta, wrap=False, inner=False, apart=False, exponent=None):
    """TV^β of a nested list (colours, rows, columns), summed; every keyword is a mistake."""
    total = 0.0
    for plane in image:
        height, width = len(plane), len(plane[0])
        for i in range(height - inner):
            for j in range(width - inner):
                across = plane[i][(j + 1) % width] - plane[i][j] if wrap or j + 1 < width else 0.0
                down = plane[(i + 1) % height][j] - plane[i][j] if wrap or i + 1 < height else 0.0
                if apart:
                    total += abs(across) ** beta + abs(down) ** beta
                else:
                    total += (across**2 + down**2) ** (beta / 2 if exponent is None else exponent)
    return total


@stand_in("7.3")
def restart_objectives_stand_in(network, layer, images, target, decay, tv, alpha, beta):
    from helpers.core.activations import distance
    from helpers.inversion import norm, variation

    features = distance(network.activation(images, layer), target)
    return features + decay * norm(images, network.mean_pixel, alpha) + tv * variation(images, beta)


# ── 7.4 ──

SLOPES = [(1.5, 5, 6, False), (1.0, 6, 4, False), (1.5, 6, 5, True), (1.0, 5, 7, True), (3.0, 4, 5, True)]


@exercise("7.4", "variation_gradient", cases=SLOPES)
def variation_gradient(student, draw, beta, height, width, flat):
    images = _without_near_ties(draw, height, width)
    if flat:
        images[0, :, 1:4, 1:4] = -0.5
        images[1] = images[1, :, :1, :1]
    answer, truth = student(images, beta), _slopes(images, beta)
    if fits(answer, truth) and answer.isnan().any():
        raise NotYet("where both differences are 0, infinity times 0 gives NaN; that term has the gradient 0")
    compare(answer, truth, lambda: _wrong_slopes(images, beta, truth), ROUNDED)


@exercise("7.4", "variation_gradient")
def variation_gradient_by_hand(student, draw):
    # red has one corner term, √(3² + 4²) = 5; in blue a row of three pixels falls by 2 and stays there
    images = draw.tensor([[[[0.0, 3.0, 3.0], [4.0, 4.0, 4.0]], [[1.0] * 3] * 2, [[2.0, 0.0, 0.0]] * 2]])
    red = [[-0.6 - 0.8, 0.6 - 1.0, -1.0], [0.8, 1.0, 1.0]]
    compare(student(images, 1.0), draw.tensor([[red, [[0.0] * 3] * 2, [[1.0, -1.0, 0.0]] * 2]]), near=ROUNDED)


def _wrong_slopes(images, beta, truth):
    across = F.pad(images[..., 1:] - images[..., :-1], (0, 1))
    down = F.pad(images[..., 1:, :] - images[..., :-1, :], (0, 0, 0, 1))
    return {
        "the sign is turned: this is the direction in which the variation falls": -truth,
        "this is the gradient of a mean over pixels and colours; they are summed": truth / images[0].numel(),
        "this is the gradient of a mean over the whole batch; all terms are summed": truth / images.numel(),
        "it wraps round the border; a difference that would leave the image is 0": _slopes(images, beta, wrap=True),
        "the last row and column are left out; there one of the two differences is left": _slopes(
            images, beta, inner=True
        ),
        "both differences are raised one by one; sum their squares first": _slopes(images, beta, apart=True),
        "a sum of squares is raised to β; that is twice the exponent": _slopes(images, 2 * beta),
        "a pixel stands in three terms: its own, its left neighbour's and its upper one's": _slopes(
            images, beta, own=True
        ),
        "the outer derivative lacks its factor: the exponent comes down": truth / beta,
        "half of it is missing: the squares have a derivative, too": truth / 2,
        "these are the terms of the sum; their derivative by every pixel is asked for": (across**2 + down**2)
        ** (beta / 2),
        "NaN at a flat place has swallowed the terms of its neighbours; keep it from arising": _autograd_slopes(
            images, beta
        ).nan_to_num(0.0),
    }


def _without_near_ties(draw, height, width):
    """Two images whose neighbours always differ by more than half a level: no root is taken near its singularity."""
    count = height * width
    levels = torch.stack([draw.order(count) for _ in range(6)]) + draw.uniform(6, count, high=0.4)
    return (levels / count).view(2, 3, height, width)


def _slopes(images, beta, wrap=False, inner=False, apart=False, own=False):
    """The gradient of TV^β by each pixel, term by term; every keyword is a mistake."""
    gradient = torch.zeros_like(images)
    height, width = images.shape[2:]
    for plane, slopes in zip(images.flatten(0, 1).tolist(), gradient.flatten(0, 1), strict=True):
        found = [[0.0] * width for _ in range(height)]
        for i in range(height - inner):
            for j in range(width - inner):
                right, below = (j + 1) % width, (i + 1) % height
                across = plane[i][right] - plane[i][j] if wrap or right else 0.0
                down = plane[below][j] - plane[i][j] if wrap or below else 0.0
                sums = (across**2, down**2) if apart else (across**2 + down**2,) * 2
                by_across, by_down = (
                    beta * total ** (beta / 2 - 1) * difference if total else 0.0
                    for total, difference in zip(sums, (across, down), strict=True)
                )
                found[i][j] -= by_across + by_down
                if not own:
                    found[i][right] += by_across
                    found[below][j] += by_down
        slopes.copy_(slopes.new_tensor(found))
    return gradient


def _autograd_slopes(images, beta):
    """The gradient as autograd gives it: NaN where an image is flat and β is below 2."""
    x = images.clone().requires_grad_()
    across, down = F.pad(x[..., 1:] - x[..., :-1], (0, 1)), F.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
    return torch.autograd.grad(((across**2 + down**2) ** (beta / 2)).sum(), x)[0]


@stand_in("7.4")
def variation_gradient_stand_in(images, beta):
    from helpers.core.priors import total_variation

    x = images.detach().requires_grad_()
    return torch.autograd.grad(total_variation(x, beta).sum(), x)[0]
