"""Lesson 4: saliency."""

import math

import torch
import torch.nn.functional as F

from helpers.exercises.exercise import compare, exercise, stand_in
from helpers.exercises.toys import toy


class _Curved:
    """A toy of one convolution, tanh and a head, and the gradients of its scores as worked out on paper."""

    def __init__(self, draw, height, width):
        self.kernel, self.head = draw.normal(3, 3, 2, 2), 0.3 * draw.normal(5, 3 * (height - 1) * (width - 1))
        mean, std = draw.uniform(3).tolist(), draw.uniform(3, low=0.5).tolist()
        self.network = toy([self.kernel], self.head, "tanh", mean, std)

    def gradients(self, images):
        """Of every class score with respect to every pixel: (N, classes, 3, H, W)."""
        maps = F.conv2d(self.network.normalise(images), self.kernel).tanh()[:, None]
        back = self.head.view(-1, *maps.shape[2:]) * (1 - maps.square())
        return F.conv_transpose2d(back.flatten(0, 1), self.kernel).unflatten(0, back.shape[:2]) / self.network.std

    def gradient(self, images, categories):
        """Of one class score a picture: (N, 3, H, W)."""
        return self.gradients(images)[range(len(images)), categories]

    def of_probability(self, images, categories):
        """The same of one probability a picture."""
        p = self.network.probabilities(images)[:, :, None, None, None]
        others = (p * self.gradients(images)).sum(1)
        return p[range(len(images)), categories] * (self.gradient(images, categories) - others)

    def categories(self, images, draw):
        """A class for each picture, no two the same, and none the one that the network prefers."""
        chosen = []
        for best in self.network(images).argmax(1).tolist():
            chosen += [next(c for c in draw.order(5).tolist() if c not in (best, *chosen))]
        return torch.tensor(chosen, device=images.device)


def _joined(gradient):
    """The largest absolute value over the colours."""
    return gradient.abs().amax(1)


# ── 4.1: where a score comes from ──


@exercise("4.1", "class_maps", cases=[(2, 3, 4, 5, 6), (3, 2, 6, 4, 3)])
def class_maps(student, draw, count, asked, channels, height, width):
    features = draw.normal(count, channels, height, width).clamp_min(0) * 3  # behind a ReLU
    weight = draw.normal(7, channels)
    categories = torch.stack([draw.order(7)[:asked] for _ in range(count)])
    truth = _weighted(features, weight[categories])

    def mistakes():
        every = torch.einsum("ck,nkhw->nchw", weight, features)
        asked_for = categories[:, :, None, None].expand(-1, -1, height, width)
        pooled = features.mean((2, 3), keepdim=True).expand_as(features)
        low, high = truth.amin((2, 3), keepdim=True), truth.amax((2, 3), keepdim=True)
        return {
            "each picture is asked for the classes of the first; each has its own": _weighted(
                features, weight[categories[:1].expand(count, -1)]
            ),
            "what is negative is cut off; here a place may speak against a class": truth.clamp_min(0),
            "the weights are missing: all channels count alike": features.sum(1, keepdim=True).expand_as(truth),
            "the weighted channels are averaged; add them up": truth / channels,
            "the signs of the weights are lost": _weighted(features, weight[categories].abs()),
            "this is what softmax makes of each place; the map is made of scores": every.softmax(1).gather(
                1, asked_for
            ),
            "the maps are divided by the number of places; their mean is to be the score": truth / (height * width),
            "the features are averaged over the places first, so the map is flat": _weighted(
                pooled, weight[categories]
            ),
            "the maps are stretched to a largest value of 1; leave them as they are": truth / high,
            "the maps are stretched to the range from 0 to 1; leave them as they are": (truth - low) / (high - low),
        }

    compare(student(features, weight, categories), truth, mistakes)


@exercise("4.1", "class_maps")
def class_maps_by_hand(student, draw):
    features = draw.tensor([[[[1, 0, 2]], [[0, 3, 1]]]])  # two channels of a row of three places
    weight = draw.tensor([[1, 2], [-1, 0.5], [0, 4]])
    categories = torch.tensor([[2, 1]], device=draw.device)
    compare(student(features, weight, categories), draw.tensor([[[[0, 12, 4]], [[-1, 1.5, -1.5]]]]))


@stand_in("4.1")
def class_maps_stand_in(features, weight, categories):
    from helpers import cam

    return cam.class_maps(features, weight, categories)


def _weighted(features, weights):
    """Channels (N, K, h, w) times weights (N, M, K), added up as one matrix product a picture: (N, M, h, w)."""
    return (weights @ features.flatten(2)).unflatten(2, features.shape[2:])


# ── 4.2: SmoothGrad ──


@exercise("4.2", "smoothgrad_maps", cases=[(2, 3, 5, 6), (3, 5, 6, 4)])
def smoothgrad_maps(student, draw, count, copies, height, width):
    curved = _Curved(draw, height, width)
    # the first picture has all of [0, 1], the others less, so that each has a range of its own
    scale = 1 / torch.arange(1, count + 1, dtype=torch.float64, device=draw.device).view(-1, 1, 1, 1)
    images, noise = scale * draw.uniform(count, 3, height, width), draw.normal(copies, 3, height, width)
    categories, level = curved.categories(images, draw), float(draw.uniform(1, low=0.2, high=0.4))

    def gradients(sigma, of=curved.gradient, clip=math.inf):
        noisy = (images + sigma * noise[:, None]).clamp(0 if clip == 1 else -clip, clip)  # (copies, N, 3, H, W)
        return of(noisy.flatten(0, 1), categories.repeat(copies)).unflatten(0, (copies, -1))

    def maps(sigma, **other):
        return _joined(gradients(sigma, **other).mean(0))

    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    sigma = level * (high - low)

    def mistakes():
        spread = images.std((1, 2, 3), keepdim=True)
        by_colour = images.amax((2, 3), keepdim=True) - images.amin((2, 3), keepdim=True)
        of_mean = curved.gradient(images + sigma * noise.mean(0), categories)
        found = gradients(sigma)
        return {
            "σ is the level alone; the range of the picture is missing": maps(level),
            "σ takes the range of the whole batch; each picture has its own": maps(level * (high.max() - low.min())),
            "σ has one value a colour; the range is that of the whole picture": maps(level * by_colour),
            "σ takes the largest value; the range is the largest minus the smallest": maps(level * high),
            "σ takes the standard deviation; the range is the largest minus the smallest value": maps(level * spread),
            "the noisy pictures are cut off to [0, 1]; leave them as they are": maps(sigma, clip=1),
            "maps without sign are averaged; average the signed gradients first": found.abs().amax(2).mean(0),
            "absolute values are averaged; average the signed gradients first": found.abs().mean(0).amax(1),
            "the absolute value is missing in the end": found.mean(0).amax(1),
            "the colours are averaged; the map keeps the largest of the three": found.mean(0).abs().mean(1),
            "the gradients are added up; SmoothGrad is their mean": _joined(found.sum(0)),
            "only the last noisy picture counts; average over all of them": _joined(found[-1]),
            "the noisy pictures are averaged, and with them the noise; average the gradients": _joined(of_mean),
            "this is the gradient of the probability; take the score before softmax": maps(
                sigma, of=curved.of_probability
            ),
        }

    compare(student(curved.network, images, categories, noise, level), maps(sigma), mistakes)


@exercise("4.2", "smoothgrad_maps")
def smoothgrad_maps_by_hand(student, draw):
    linear = toy(head=draw.tensor([[1, -2, 3, 0, -5, 4]]))  # its gradient is the same with noise as without
    image, categories = draw.uniform(1, 3, 1, 2), torch.tensor([0], device=draw.device)
    compare(student(linear, image, categories, draw.normal(2, 3, 1, 2), 0.5), draw.tensor([[[5, 4]]]))


@stand_in("4.2", weaker="SmoothGrad with noise of its own")
def smoothgrad_maps_stand_in(network, images, categories, noise, level):
    from helpers.saliency import smoothgrad

    return smoothgrad(network, images, categories, level, len(noise))[:, 0]


# ── 4.3: the books of a score ──


@exercise("4.3", "book_scores", cases=[(2, 4, 6, 3), (3, 5, 4, 4), (1, 4, 5, 1)])
def book_scores(student, draw, count, height, width, steps):
    curved = _Curved(draw, height, width)
    images, plain = draw.uniform(count, 3, height, width), draw.uniform(count, 3, height, width)
    categories, way = curved.categories(images, draw), images - plain

    def mean(alphas, of=curved.gradient, start=plain, way=way):
        points = torch.stack([start + a * way for a in alphas]).flatten(0, 1)
        return of(points, categories.repeat(len(alphas))).unflatten(0, (len(alphas), -1)).mean(0)

    middle = [(i + 0.5) / steps for i in range(steps)]
    gradient = mean(middle)
    truth = way * gradient

    def mistakes():
        left, right = [i / steps for i in range(steps)], [(i + 1) / steps for i in range(steps)]
        both_ends = torch.linspace(0, 1, steps, dtype=torch.float64).tolist()
        first = images - plain[:1]
        return {
            "this is the mean gradient; it is not multiplied by the way from the plain picture yet": gradient,
            "the mean gradient is multiplied by the picture, not by the way to it": images * gradient,
            "the signs are turned: the way leads from the plain picture to the image": -truth,
            "the sum is taken at the right ends of the steps; take it at their midpoints": way * mean(right),
            "the sum is taken at the left ends of the steps; take it at their midpoints": way * mean(left),
            "the points run from end to end, both included; take the midpoints of the steps": way * mean(both_ends),
            "the gradients are added up; a step is only 1/steps of the way": truth * steps,
            "this is the gradient at the image alone; collect it on the whole way": way * mean([1.0]),
            "the gradient is collected between black and the image; start at the plain picture": way
            * mean(middle, start=0, way=images),
            "the whole image is added to the plain picture; the points lie between the two": way
            * mean(middle, way=images),
            "each picture starts from the first plain one; each has its own": first
            * mean(middle, start=plain[:1], way=first),
            "the absolute value is taken; what pulls the score down is booked with its sign": truth.abs(),
            "this books the probability; take the score before softmax": way * mean(middle, curved.of_probability),
        }

    compare(student(curved.network, images, plain, categories, steps), truth, mistakes)


@exercise("4.3", "book_scores")
def book_scores_by_hand(student, draw):
    linear = toy(head=draw.tensor([[1, -2, 3, 0, -5, 4]]))  # its gradient is the same everywhere: one step is exact
    image, grey = draw.tensor([[[[0.5, 1]], [[0, 0.75]], [[1, 0.25]]]]), draw.tensor([[[[0.5]], [[0.5]], [[0.5]]]])
    categories = torch.tensor([0], device=draw.device)
    booked = student(linear, image, grey.expand_as(image).clone(), categories, 1)
    compare(booked, draw.tensor([[[[0, -1]], [[-1.5, 0]], [[-2.5, -1]]]]))


@stand_in("4.3")
def book_scores_stand_in(network, images, plain, categories, steps):
    from copy import copy

    from helpers.saliency import integrated_gradients

    moved = copy(network)  # the course's function starts from grey, black or white: put black where `plain` is
    moved.forward = lambda x: network(x + plain.repeat(len(x) // len(plain), 1, 1, 1))
    return integrated_gradients(moved, images - plain, categories, "black", steps, colours="all")


# ── 4.4: three rules for a ReLU with a ceiling ──

RULES = ("gradient", "deconvnet", "guided")


@exercise("4.4", "relu_backward", cases=[(rule,) for rule in RULES])
def relu_backward_by_hand(student, draw, rule):
    x = draw.tensor([[-3, -1, 0, 0, 2, 5, 4], [6, 6, 7, 9, 1, 3, -2]])
    g = draw.tensor([[2, -1, 3, -2, -4, 1.5, 8], [1, -1, 2.5, -3, 0.5, -0.25, 9]])
    passed = {
        "gradient": [[0, 0, 0, 0, -4, 1.5, 8], [0, 0, 0, 0, 0.5, -0.25, 0]],
        "deconvnet": [[2, 0, 3, 0, 0, 1.5, 8], [1, 0, 2.5, 0, 0.5, 0, 9]],
        "guided": [[0, 0, 0, 0, 0, 1.5, 8], [0, 0, 0, 0, 0.5, 0, 0]],
    }
    compare(student(x, g, rule, 6.0), draw.tensor(passed[rule]), lambda: _wrong(rule, x, g, 6.0))


@exercise(
    "4.4", "relu_backward", cases=[((2, 3, 4, 5), 2.5, r) for r in RULES] + [((3, 7), math.inf, r) for r in RULES]
)
def relu_backward(student, draw, shape, ceiling, rule):
    x, g = draw.uniform(*shape, low=-4.0, high=9.0), draw.normal(*shape)
    compare(student(x, g, rule, ceiling), _passes(x, g, ceiling)[rule], lambda: _wrong(rule, x, g, ceiling))


@stand_in("4.4")
def relu_backward_stand_in(x, gradient, rule, ceiling):
    from helpers.core.relus import ReluRule

    x = x.detach().requires_grad_()
    with torch.enable_grad(), ReluRule(rule):
        return torch.autograd.grad(F.hardtanh(x, 0.0, ceiling), x, gradient)[0]


def _passes(x, g, ceiling):
    active = (x > 0) & (x < ceiling)
    return {"gradient": g * active, "deconvnet": g.clamp_min(0), "guided": g.clamp_min(0) * active}


def _wrong(rule, x, g, ceiling):
    passes, upwards = _passes(x, g, ceiling), g.clamp_min(0)
    six, uncut = _passes(x, g, 6.0)[rule], _passes(x, g, math.inf)[rule]
    at_zero, at_ceiling = (x >= 0) & (x < ceiling), (x > 0) & (x <= ceiling)
    known = {
        "gradient": {
            "gradient: negative gradients are stopped, too; only the other two rules do that": passes["guided"],
            "gradient: it does not look at the unit at all": g,
            "gradient: it is turned into a mask; what passes is the gradient that arrives": (passes[rule] != 0).to(g),
        },
        "deconvnet": {
            "deconvnet: it asks whether the unit was active; this rule looks at the gradient alone": passes["guided"],
            "deconvnet: negative gradients pass": g,
            "deconvnet: this is the plain gradient": passes["gradient"],
            "deconvnet: it rectifies the unit's value; rectify the gradient": x.clamp_min(0),
            "deconvnet: the ceiling is for the unit's value; the gradient has none": g.clamp(0, ceiling),
            "deconvnet: a unit at its ceiling is stopped; this rule does not look at the unit": upwards * (x < ceiling),
            "deconvnet: negative gradients are turned round; stop them": g.abs(),
        },
        "guided": {
            "guided: it does not ask whether the unit was active": upwards,
            "guided: negative gradients pass": passes["gradient"],
            "guided: something passes where value and gradient are both negative": g * (x * g > 0) * (x < ceiling),
            "guided: negative gradients are turned round; stop them": passes["gradient"].abs(),
            "guided: it is turned into a mask; what passes is the gradient that arrives": (passes[rule] != 0).to(g),
        },
    }[rule]
    if rule != "deconvnet":
        arrives = g if rule == "gradient" else upwards
        known |= {
            f"{rule}: a unit at its ceiling is flat, so nothing may pass there": uncut,
            f"{rule}: a unit at exactly 0 is not active": arrives * at_zero,
            f"{rule}: a unit at exactly the ceiling is cut off": arrives * at_ceiling,
            f"{rule}: a unit at exactly 0 or at the ceiling is not active": arrives * (at_zero | at_ceiling),
            f"{rule}: the ceiling is not always 6; it is an argument": six,
        }
    return known


# ── 4.5: seeds ──


@exercise("4.5", "seed_masks", cases=[(3, 5, 9, 0.75, 0.25), (2, 4, 6, 0.9, 0.4)])
def seed_masks(student, draw, count, height, width, foreground, background):
    # maps of different size, skewed as maps are; in the first case both quantiles hit a pixel's own value
    scale = 30.0 ** torch.arange(count, dtype=torch.float64, device=draw.device).view(-1, 1, 1)
    heat = scale * (2 * draw.normal(count, height, width)).exp()
    dark = draw.order(height * width)[: round(0.4 * height * width)]
    heat.flatten(1)[:, dark] = 0  # a map of guided backprop is 0 in many pixels

    def parts(upper, lower):
        return heat > upper, heat <= lower

    def along(axis):
        return parts(*(heat.quantile(q, dim=axis, keepdim=True) for q in (foreground, background)))

    upper, lower = _quantile(heat, foreground), _quantile(heat, background)
    objects, rest = truth = parts(upper, lower)
    highest = heat.amax((1, 2), keepdim=True)
    mistakes = {
        "one quantile is taken for the whole batch; each map has its own": parts(
            heat.quantile(foreground), heat.quantile(background)
        ),
        "each row has its own quantile; take it over the whole map": along(2),
        "each column has its own quantile; take it over the whole map": along(1),
        "the two masks are swapped: the object comes first": (rest, objects),
        "all that is no object is background; what lies between the quantiles stays open": (objects, ~objects),
        "pixels exactly at the lower quantile are missing; where many are 0, they are the background": (
            objects,
            heat < lower,
        ),
        "pixels exactly at the upper quantile are taken; the object lies above it": (heat >= upper, rest),
        "these are parts of the largest value; a quantile is a part of the pixels": parts(
            foreground * highest, background * highest
        ),
        "foreground is a quantile: only a small part of the pixels lies above it": parts(
            _quantile(heat, 1 - foreground), lower
        ),
    }
    compare(student(heat, foreground, background), truth, mistakes)


@exercise("4.5", "seed_masks")
def seed_masks_by_hand(student, draw):
    heat = draw.tensor([[[1, 2, 3], [6, 5, 4]], [[0, 0, 0], [0, 7, 9]]])
    sure = [[[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 1]]], [[[1, 1, 0], [0, 0, 0]], [[1, 1, 1], [1, 0, 0]]]
    compare(student(heat, 0.9, 0.3), [draw.tensor(mask).bool() for mask in sure])


@stand_in("4.5")
def seed_masks_stand_in(heat, foreground, background):
    from helpers.segmentation import seeds

    found = torch.stack([seeds(each, foreground, background) for each in heat])
    return found > 0, found < 0


def _quantile(heat, q):
    return heat.flatten(1).quantile(q, dim=1)[:, None, None]
