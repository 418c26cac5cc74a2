"""Lesson 5: ascent."""

import math

import torch
import torch.nn.functional as F

from helpers.exercises.exercise import compare, exercise, stand_in
from helpers.exercises.toys import toy

LEVELS = 255


# ── 5.1 ──


@exercise("5.1", "objective_gradient", cases=[(3, 4, 5), (2, 5, 3)])
def objective_gradient(student, draw, count, height, width):
    # of a linear network, S is known by hand: every class has one row of weights, which is its gradient
    head, mean = draw.normal(4, 3 * height * width) / 5, draw.uniform(3, low=0.2, high=0.8).tolist()
    network = toy(head=head, mean=mean, std=[0.5, 0.7, 0.9])
    rows, zero = head.view(4, 3, height, width) / network.std, network.mean_pixel.view(3, 1, 1)
    images, weight = draw.uniform(count, 3, height, width), draw.uniform(1, low=0.2, high=0.6).item()
    categories, far = draw.order(4)[:count].tolist(), images - zero
    scores, penalty = rows[categories], 2 * weight * far
    probabilities = network.probabilities(images)
    logs = scores - torch.einsum("nk,kchw->nchw", probabilities, rows)
    chosen = probabilities[range(count), categories].view(-1, 1, 1, 1)
    truth = scores - penalty
    mistakes = {
        "this leads downhill: the sign of the whole gradient is turned": -truth,
        "the score before softmax is asked for, not the probability": chosen * logs - penalty,
        "the score before softmax is asked for, not the logarithm of the probability": logs - penalty,
        "the penalty has the wrong sign: a picture far from zero must lose by it": scores + penalty,
        "the penalty is missing from the gradient": scores,
        "a factor is missing: differentiate the square of the penalty again": scores - penalty / 2,
        "the penalty is measured from black; zero is the network's mean pixel": scores - 2 * weight * images,
        "the penalty is the length itself; the formula has its square": scores - weight * far / _lengths(far),
        "the penalty is a mean over the values; the formula has their sum": scores - penalty / far[0].numel(),
        "every picture climbs the class of the first; each has its own": rows[categories[:1]] - penalty,
        "every picture climbs all the classes; pick one score for each": rows[categories].sum(0) - penalty,
        "the gradient depends on how many pictures there are: add the objectives up, no mean": truth / count,
    }
    compare(student(network, images, categories, weight), truth, mistakes)
    used, old, categories = draw.uniform(count, 3, height, width), draw.normal(*images.shape), categories[::-1]
    truth = rows[categories] - 2 * weight * (used - zero)
    used.requires_grad_().grad = old.clone()
    stale = {"an old gradient is added in: the picture came with a .grad of its own": truth + old}
    compare(student(network, used, categories, weight), truth.detach(), stale)


@exercise("5.1", "objective_gradient")
def objective_gradient_of_a_curved_network(student, draw):
    network, images, categories = _curved(draw)
    zero = network.mean_pixel.view(3, 1, 1)

    def objective(batch, i):
        return network(batch)[:, categories[i]] - 0.1 * (batch - zero).square().sum((1, 2, 3))

    compare(student(network, images, categories, 0.1), _slopes(objective, images))


@stand_in("5.1")
def slope_by_saliency(network, images, categories, weight):
    from helpers.saliency import saliency

    far = images - network.mean_pixel.view(1, 3, 1, 1)
    return saliency(network, images, categories, colours="all") - 2 * weight * far


# ── 5.2 ──


@exercise("5.2", "keep_pixels", cases=[(5, 7, 12), (6, 4, 9), (4, 6, 1), (5, 3, 15)])
def keep_pixels(student, draw, height, width, count):
    images, zero = draw.uniform(2, 3, height, width), draw.uniform(3, low=0.4, high=0.6)
    gradients = draw.normal(2, 3, height, width)
    gradients[1] *= 10  # one ranking for both pictures would take nearly all of the second
    far = images - zero.view(3, 1, 1)
    signed, sizes = (gradients * far).sum(1), (gradients * far).sum(1).abs()

    def kept(ranking):
        return _paint(images, _masks(ranking, count), zero)

    both = _largest(sizes, 2 * count)
    colours = torch.stack([_masks(each, count) for each in (gradients * far).abs()])
    mistakes = {
        "a pixel that speaks strongly against the class counts too: take the size of the sum": kept(signed),
        "sizes are taken colour by colour; a pixel's colours are added up first": kept((gradients * far).abs().sum(1)),
        "contributions are measured from black; the picture is measured from zero": kept(
            (gradients * images).sum(1).abs()
        ),
        "the gradient alone decides; the contribution is gradient times picture": kept(gradients.sum(1).abs()),
        "the gradient alone decides, colour by colour; the contribution needs the picture": kept(gradients.norm(dim=1)),
        "the largest pixels are kept; look at what they contribute": kept(far.norm(dim=1)),
        "the pixels that contribute least are kept": kept(-sizes),
        "all pictures share one ranking; rank each by itself": _paint(images, both, zero),
        "single colours are removed; a pixel stays or goes as a whole": _paint(images, colours, zero),
        "removed pixels are black; give them the colour zero": _paint(images, _masks(sizes, count), 0 * zero),
        "one pixel too few is kept": _paint(images, _masks(sizes, count - 1), zero),
        "one pixel too many is kept": _paint(images, _masks(sizes, count + 1), zero),
        "the others are kept: the mask is turned round": _paint(images, ~_masks(sizes, count), zero),
        "this is the distance from zero; the picture itself is asked for": kept(sizes) - zero.view(3, 1, 1),
    }
    compare(student(images, gradients, zero, count), kept(sizes), mistakes)


@exercise("5.2", "keep_pixels")
def keep_pixels_by_hand(student, draw):
    # the contributions are (0.3, 0, −1.2) and (0, −1.2, 0.2): a size counts, and a large gradient alone does not
    images = draw.tensor([[0.6, 0.9, 0.1], [0.5, 0.3, 0.7]]).expand(1, 3, 2, 3).contiguous()
    gradients = draw.tensor([[[1, 1, 1], [9, 2, 0]], [[1, -1, 1], [9, 2, 0]], [[1, 0, 1], [9, 2, 1]]])[None]
    expected = draw.tensor([[0.5, 0.5, 0.1], [0.5, 0.3, 0.5]]).expand(1, 3, 2, 3)
    compare(student(images, gradients, draw.tensor([0.5, 0.5, 0.5]), 2), expected)


@stand_in("5.2")
def kept_by_percentile(images, gradients, zero, count):
    from helpers.ascent import clip_small_gradients

    percent = 100 * (1 - count / images[0, 0].numel())
    return clip_small_gradients(images, gradients, percent, zero.view(3, 1, 1))


def _largest(values, count):
    """A mask of the `count` largest of all values."""
    mask = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    mask[values.flatten().argsort(descending=True)[:count]] = True
    return mask.view(values.shape)


def _masks(sizes, count):
    return torch.stack([_largest(each, count) for each in sizes])


def _paint(images, mask, zero):
    """Where the mask (N, H, W) or (N, 3, H, W) does not hold, the colour zero."""
    mask = mask if mask.ndim == 4 else mask[:, None]
    return torch.where(mask, images, zero.view(3, 1, 1))


# ── 5.3 ──


@exercise("5.3", "smooth_step", cases=[(6, 7, 0.6), (8, 5, 1.0), (5, 6, 0.3)])
def smooth_step(student, draw, height, width, power):
    gradients = draw.normal(2, 3, height, width) + draw.normal(2, 3, 1, 1)
    gradients[1] *= 5
    spectrum = _dft(height, gradients) @ gradients.to(torch.complex128) @ _dft(width, gradients)
    down, across = _waves(height, gradients)[:, None], _waves(width, gradients)
    side, length = max(height, width), (down**2 + across**2).sqrt()
    f = (side * length).clamp(min=1)

    def back(factor):
        images = _dft(height, factor).conj() @ (spectrum * factor) @ _dft(width, factor).conj()
        return images.real / (height * width)

    def smooth(f):
        return back(f.clamp(min=1) ** (-2 * power))

    step, without_mean = smooth(f), f ** (-2 * power)
    without_mean[0, 0] = 0
    mistakes = {
        "frequencies are divided by f, not by its square": _unit(back(f**-power)),
        "high frequencies grow; they should shrink": _unit(back(f ** (2 * power))),
        "nothing is filtered: f counts periods in the longer side, not in a pixel": _unit(gradients),
        "the mean colour is lost; f = 0 counts as 1": _unit(back(without_mean)),
        "f counts periods in the shorter side": _unit(smooth(min(height, width) * length)),
        "f counts periods in the height and in the width; take the longer side for both": _unit(
            smooth(((down * height) ** 2 + (across * width) ** 2).sqrt())
        ),
        "f is the length of (u, v), not their sum": _unit(smooth(side * (down.abs() + across.abs()))),
        "the factors stand in another order than the spectrum: where is frequency zero?": _unit(
            smooth(f.roll((height // 2, width // 2), (0, 1)))
        ),
        "the step is filtered, but its length is not 1": step,
        "the length is a sum over the values; take the root of the mean of squares": step / _lengths(step),
        "the pictures share one length; each has its own": step / step.square().mean().sqrt(),
        "each colour is scaled by itself; a picture has one length": step
        / step.square().mean((2, 3), keepdim=True).sqrt(),
        "the gradient was scaled before the filter; scale the step": step
        / gradients.square().mean((1, 2, 3), keepdim=True).sqrt(),
    }
    compare(student(gradients, power), _unit(step), mistakes)
    compare(student(gradients, 0.0), _unit(gradients))


@exercise("5.3", "smooth_step")
def smooth_step_of_a_wave(student, draw):
    wave = torch.cos(2 * math.pi * 2 * torch.arange(8, device=draw.device, dtype=torch.float64) / 8)
    both = (4 + wave).expand(1, 3, 4, 8).contiguous()  # f = 0 stays, f = 2 is divided by 4
    compare(student(both, 1.0), _unit((4 + wave / 4).expand(1, 3, 4, 8)))


@stand_in("5.3", weaker="a pyramid of averages in place of frequencies")
def smooth_by_averages(gradients, power):
    levels = [4 ** (k * power) * F.avg_pool2d(gradients, 2**k) for k in range(7)]
    step = sum(F.interpolate(level, gradients.shape[-2:], mode="bilinear") for level in levels)
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


def _dft(side, like):
    """The matrix of the Fourier transform of `side` numbers."""
    places = torch.arange(side, device=like.device, dtype=torch.float64)
    return torch.exp(-2j * math.pi * torch.outer(places, places) / side)


def _waves(side, like):
    """Periods a pixel of every frequency; what lies above one half is a negative frequency."""
    places = torch.arange(side, device=like.device, dtype=torch.float64)
    return torch.where(places > side / 2, places - side, places) / side


# ── 5.4 ──


@exercise("5.4", "fast_sign", cases=[(3, 4, 5, 20), (2, 5, 3, 7.5)])
def fast_sign(student, draw, count, height, width, levels):
    head = draw.normal(4, 3 * height * width) / 5
    network = toy(head=head, mean=[0.5, 0.4, 0.3], std=[0.5, 0.7, 0.9])
    rows = head.view(4, 3, height, width) / network.std
    images = _half_at_the_limits(draw, count, height, width)
    categories, limit = draw.order(4)[:count].tolist(), levels / LEVELS
    away = torch.einsum("nk,kchw->nchw", network.probabilities(images), rows)
    gradients = rows[categories] - away

    def moved(direction):
        return (images + limit * direction).clamp(0, 1)

    truth, turned = moved(gradients.sign()), moved(-gradients.sign())
    mistakes = {
        "the direction is turned: towards=True must make the class likelier": turned,
        "values leave [0, 1]": images + limit * gradients.sign(),
        "this is the sign for the score; log p also sinks when other classes rise": moved(rows[categories].sign()),
        "the gradient itself is added; every value moves by the same amount": moved(gradients),
        "the gradient is scaled to the limit, but only its largest value moves so far": moved(
            gradients / gradients.abs().amax((1, 2, 3), keepdim=True)
        ),
        "the gradient has length 1 in each picture; every value moves by the same amount": moved(
            gradients / _lengths(gradients)
        ),
        "the gradient has size 1 on average; every value moves by the same amount": moved(_unit(gradients)),
        "the levels are taken for values in [0, 1]; there are 255 of them": moved(LEVELS * gradients.sign()),
        "every picture moves to the class of the first; each has its own": moved((rows[categories[:1]] - away).sign()),
        "every picture moves to all the classes; pick one for each": moved(
            (rows[categories].sum(0) - count * away).sign()
        ),
        "this is the change alone; add it to the picture": limit * gradients.sign(),
    }
    compare(student(network, images, categories, levels, True), truth, mistakes)
    ignored = {
        "towards=False still leads towards the class": truth,
        "values leave [0, 1]": images - (truth - images),
    }
    compare(student(network, images, categories, levels, False), turned, ignored)


@exercise("5.4", "fast_sign")
def fast_sign_of_a_curved_network(student, draw):
    network, images, categories = _curved(draw)
    slopes = _slopes(lambda batch, i: network(batch).log_softmax(1)[:, categories[i]], images)
    expected = (images - 3 / LEVELS * slopes.sign()).clamp(0, 1)
    compare(student(network, images, categories, 3, False), expected)


@stand_in("5.4", weaker="away from a class, values near black and white move by less than asked")
def fast_sign_mirrored(network, images, categories, levels, towards):
    from helpers.fooling import fast_gradient_sign

    moved = fast_gradient_sign(network, images, categories, levels)
    return moved if towards else (2 * images - moved).clamp(0, 1)


# ── 5.5 ──


@exercise("5.5", "project", cases=[(4, 5), (5, 3)])
def project_linf(student, draw, height, width):
    photos, change = _changes(draw, height, width)
    changed, limit = photos + change, 0.15
    cut, largest = change.clamp(-limit, limit), change.abs().amax((1, 2, 3), keepdim=True)
    mistakes = {
        "L∞: values leave [0, 1]": photos + cut,
        "L∞: the picture itself is cut; it is the change that must be small": changed.clamp(0, limit),
        "L∞: the whole change is scaled; each value goes to the nearest one allowed": _within(
            photos, _shortened(change, limit, largest)
        ),
        "L∞: the limit is divided by 255; it is in units of [0, 1] here": _within(
            photos, change.clamp(-limit / LEVELS, limit / LEVELS)
        ),
        "L∞: nothing is moved back into the ball": _within(photos, change),
        "this is the change alone; add it to the photo": cut,
        "L∞: this is the ball of L2": _within(photos, _shortened(change, limit, _lengths(change))),
    }
    compare(student(photos, changed, limit, "Linf"), _within(photos, cut), mistakes)


@exercise("5.5", "project", cases=[(4, 5), (5, 3)])
def project_l2(student, draw, height, width):
    photos, change = _changes(draw, height, width)
    changed, limit = photos + change, 0.2
    lengths, squares = _lengths(change), change.square()
    inside, cut = _shortened(change, limit, lengths), changed.clamp(0, 1) - photos
    mistakes = {
        "L2: values leave [0, 1]": photos + inside,
        "L2: a change that is short enough stays as it is": _within(photos, change * limit / lengths),
        "L2: the pictures share one length; each has its own": _within(
            photos, _shortened(change, limit, squares.sum().sqrt())
        ),
        "L2: each pixel has its own length; take one length a picture": _within(
            photos, _shortened(change, limit, change.norm(dim=1, keepdim=True))
        ),
        "L2: each colour has its own length; take one length a picture": _within(
            photos, _shortened(change, limit, change.norm(dim=(2, 3), keepdim=True))
        ),
        "L2: the length is the root of a sum of squares; the root is missing": _within(
            photos, _shortened(change, limit, lengths.square())
        ),
        "L2: the length is the root of a sum of squares, not of their mean": _within(
            photos, _shortened(change, limit, squares.mean((1, 2, 3), keepdim=True).sqrt())
        ),
        "L2: [0, 1] comes last; here it was first": photos + _shortened(cut, limit, _lengths(cut)),
        "L2: the change is cut value by value, which is the ball of L∞": _within(photos, change.clamp(-limit, limit)),
        "L2: nothing is moved back into the ball": _within(photos, change),
        "L2: the picture is scaled; it is the change that must be short": _shortened(
            changed, limit, _lengths(changed)
        ).clamp(0, 1),
        "this is the change alone; add it to the photo": inside,
    }
    compare(student(photos, changed, limit, "L2"), _within(photos, inside), mistakes)


@exercise("5.5", "project", cases=[("L2",), ("Linf",)])
def project_what_has_not_changed(student, draw, norm):
    photos = _half_at_the_limits(draw, 3, 4, 5)
    nothing = {"L2: a photo that has not changed at all gives NaN": photos * float("nan")}
    compare(student(photos, photos.clone(), 0.2, norm), photos, nothing)


@exercise("5.5", "project", cases=[("L2", [0.65, 0.3]), ("Linf", [0.75, 0.25])])
def project_by_hand(student, draw, norm, expected):
    # the pixel (0.5, 0.5) of red moves by (0.3, −0.4), which is 0.5 long
    photo = draw.tensor([0.5, 0.5]).expand(1, 3, 1, 2).contiguous()
    moved, truth = photo.clone(), photo.clone()
    moved[0, 0, 0], truth[0, 0, 0] = draw.tensor([0.8, 0.1]), draw.tensor(expected)
    compare(student(photo, moved, 0.25, norm), truth)


@stand_in("5.5", weaker="the largest box inside the L2 ball in place of the ball")
def project_into_boxes(photos, changed, limit, norm):
    from helpers.fooling import box

    return changed.clamp(*box(photos, limit if norm == "Linf" else limit / photos[0].numel() ** 0.5))


def _changes(draw, height, width):
    """Photos, and changes of which some are longer than any limit and some shorter."""
    change = draw.normal(3, 3, height, width) * draw.tensor([0.5, 0.3, 0.01]).view(3, 1, 1, 1)
    return _half_at_the_limits(draw, 3, height, width), change


def _within(photos, change):
    return (photos + change).clamp(0, 1)


def _shortened(change, limit, lengths):
    """What of the change stays if it may be no longer than `limit`."""
    return change * (limit / lengths).clamp(max=1)


# ── Tools ──


def _half_at_the_limits(draw, count, height, width):
    """Pictures in [0, 1], half of whose values are 0 or 1."""
    return draw.uniform(count, 3, height, width, low=-0.5, high=1.5).clamp(0, 1)


def _curved(draw):
    """A network whose gradient is another one everywhere, three pictures, and a class for each."""
    network = toy([draw.normal(2, 3, 2, 2)], draw.normal(3, 2 * 3 * 2), "tanh", mean=[0.5, 0.4, 0.3])
    return network, draw.uniform(3, 3, 4, 3), [2, 0, 2]


def _slopes(function, images, small=1e-5):
    """The gradient of function(batch, i), one number a picture, at each picture i, by finite differences."""
    moves = small * torch.eye(images[0].numel(), dtype=images.dtype, device=images.device).view(-1, *images.shape[1:])
    slopes = [(function(image + moves, i) - function(image - moves, i)) / (2 * small) for i, image in enumerate(images)]
    return torch.stack(slopes).view_as(images)


def _lengths(images):
    return images.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def _unit(images):
    return images / images.square().mean((1, 2, 3), keepdim=True).sqrt()
