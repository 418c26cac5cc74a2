"""Lesson 5: ascent. The second half is in `helpers/exercises/fooling.py`."""

import math

import torch

from helpers.exercises.exercise import compare, exercise, stand_in
from helpers.exercises.fooling import clamped, curved, lengths_of, slopes_of, unit
from helpers.exercises.toys import toy

# ── 5.1 ──


@exercise("5.1", "climb", cases=[(3, 4, 5, 4), (2, 5, 3, 7)])
def climb(student, draw, count, height, width, steps):
    # S_k(x) = Σ_u head_ku tanh(kernel_u · (x − mean) / std), whose gradient is written out in `rows`
    kernel, head = draw.normal(6, 3, height, width) / (3 * height * width) ** 0.5, 4 * draw.normal(4, 6)
    network = toy([kernel], head, "tanh", mean=draw.uniform(3, low=0.2, high=0.8).tolist(), std=[0.5, 0.7, 0.9])
    zero = network.mean_pixel.view(3, 1, 1)
    start, categories = draw.uniform(count, 3, height, width), draw.order(4)[:count].tolist()
    rate, weight = draw.uniform(1, low=0.1, high=0.2).item(), draw.uniform(1, low=0.5, high=1).item()

    def rows(images):
        units = torch.einsum("nchw,uchw->nu", (images - zero) / network.std, kernel).tanh()
        return torch.einsum("ku,nu,uchw->nkchw", head, 1 - units**2, kernel) / network.std

    def chosen(images, categories=categories):
        return rows(images)[range(count), categories]

    def run(slope, steps=steps, scale=unit, keep=clamped, start=start):
        now = start
        for _ in range(steps):
            now = keep(now + rate * scale(slope(now)))
        return now

    def penalty(images):
        return 2 * weight * (images - zero)

    def slope(images):
        return chosen(images) - penalty(images)

    def of_logs(images):
        return chosen(images) - torch.einsum("nk,nkchw->nchw", network.probabilities(images), rows(images))

    def of_probability(images):
        return network.probabilities(images)[range(count), categories].view(-1, 1, 1, 1) * of_logs(images)

    heap = torch.zeros_like(start)
    truth = run(slope)
    compare(
        student(network, start, categories, steps, rate, weight),
        truth,
        lambda: {
            "this leads downhill: the sign of the step is turned": run(lambda x: -slope(x)),
            "the score before softmax is asked for, not the probability": run(lambda x: of_probability(x) - penalty(x)),
            "the score before softmax is asked for, not the logarithm of the probability": run(
                lambda x: of_logs(x) - penalty(x)
            ),
            "the penalty has the wrong sign: a picture far from zero must lose by it": run(
                lambda x: chosen(x) + penalty(x)
            ),
            "the penalty is missing from the gradient": run(chosen),
            "a factor is missing: differentiate the square of the penalty again": run(
                lambda x: chosen(x) - penalty(x) / 2
            ),
            "the penalty is measured from black; zero is the network's mean pixel": run(
                lambda x: chosen(x) - 2 * weight * x
            ),
            "the penalty is the length itself; the formula has its square": run(
                lambda x: chosen(x) - weight * (x - zero) / lengths_of(x - zero)
            ),
            "the penalty is a mean over the values; the formula has their sum": run(
                lambda x: chosen(x) - penalty(x) / start[0].numel()
            ),
            "the scores are averaged over the batch and the penalties are not: add both up": run(
                lambda x: chosen(x) / count - penalty(x)
            ),
            "only the score's gradient is scaled; the length is that of the whole gradient": run(
                lambda x: unit(chosen(x)) - penalty(x), scale=lambda step: step
            ),
            "every picture climbs the class of the first; each has its own": run(
                lambda x: rows(x)[:, categories[0]] - penalty(x)
            ),
            "every picture climbs all the classes; pick one score for each": run(
                lambda x: rows(x)[:, categories].sum(1) - penalty(x)
            ),
            "the gradient is that of the start, in every step; take a new one": run(lambda x: slope(start)),
            "the gradients of earlier steps are added in; each step has its own": run(
                lambda x: heap.add_(slope(x)).clone()
            ),
            "one step too few is made": run(slope, steps - 1),
            "one step too many is made": run(slope, steps + 1),
            "values leave [0, 1]": run(slope, keep=lambda x: x),
            "values leave [0, 1] on the way; clamp after every step": clamped(run(slope, keep=lambda x: x)),
            "the pictures share one length; each has its own": run(
                slope, scale=lambda step: step / step.square().mean().sqrt()
            ),
            "the step has the length of the gradient; divide by its root mean square": run(slope, scale=lambda g: g),
            "the length is the root of a sum; take that of the mean of squares": run(
                slope, scale=lambda step: step / lengths_of(step)
            ),
            "this is the sign of the gradient; divide by its root mean square": run(slope, scale=torch.sign),
        },
    )
    used, old, others = draw.uniform(*start.shape), draw.normal(*start.shape), categories[::-1]
    stale = iter([old])

    def theirs(images):
        return chosen(images, others) - penalty(images)

    truth = run(theirs, start=used)
    mistake = run(lambda x: theirs(x) + next(stale, 0), start=used)
    used.requires_grad_().grad = old
    told = {"an old gradient is added in: the picture came with a .grad of its own": mistake}
    compare(student(network, used, others, steps, rate, weight), truth, told)


@exercise("5.1", "climb")
def climb_a_curved_network(student, draw):
    network, images, categories = curved(draw)
    zero, now = network.mean_pixel.view(3, 1, 1), images

    def objective(batch, i):
        return network(batch)[:, categories[i]] - 0.1 * (batch - zero).square().sum((1, 2, 3))

    for _ in range(3):
        now = clamped(now + 0.1 * unit(slopes_of(objective, now)))
    compare(student(network, images, categories, 3, 0.1, 0.1), now)


@stand_in("5.1")
def climb_by_saliency(network, images, categories, steps, rate, weight):
    from helpers.saliency import saliency

    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        slopes = saliency(network, images, categories, colours="all") - 2 * weight * (images - zero)
        images = clamped(images + rate * unit(slopes))
    return images


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
        "frequencies are divided by f, not by its square": unit(back(f**-power)),
        "high frequencies grow; they should shrink": unit(back(f ** (2 * power))),
        "nothing is filtered: f counts periods in the longer side, not in a pixel": unit(gradients),
        "the mean colour is lost; f = 0 counts as 1": unit(back(without_mean)),
        "f counts periods in the shorter side": unit(smooth(min(height, width) * length)),
        "f counts periods in the height and in the width; take the longer side for both": unit(
            smooth(((down * height) ** 2 + (across * width) ** 2).sqrt())
        ),
        "f is the length of (u, v), not their sum": unit(smooth(side * (down.abs() + across.abs()))),
        "the factors stand in another order than the spectrum: where is frequency zero?": unit(
            smooth(f.roll((height // 2, width // 2), (0, 1)))
        ),
        "the step is filtered, but its length is not 1": step,
        "the length is a sum over the values; take the root of the mean of squares": step / lengths_of(step),
        "the pictures share one length; each has its own": step / step.square().mean().sqrt(),
        "each colour is scaled by itself; a picture has one length": step
        / step.square().mean((2, 3), keepdim=True).sqrt(),
        "the gradient was scaled before the filter; scale the step": step
        / gradients.square().mean((1, 2, 3), keepdim=True).sqrt(),
    }
    compare(student(gradients, power), unit(step), mistakes)
    compare(student(gradients, 0.0), unit(gradients))


@exercise("5.3", "smooth_step")
def smooth_step_of_a_wave(student, draw):
    wave = torch.cos(2 * math.pi * 2 * torch.arange(8, device=draw.device, dtype=torch.float64) / 8)
    both = (4 + wave).expand(1, 3, 4, 8).contiguous()  # f = 0 stays, f = 2 is divided by 4
    compare(student(both, 1.0), unit((4 + wave / 4).expand(1, 3, 4, 8)))


@stand_in("5.3")
def smooth_by_priors(gradients, power):
    from helpers.core.priors import balanced

    return unit(balanced(gradients, 2 * power))


def _dft(side, like):
    """The matrix of the Fourier transform of `side` numbers."""
    places = torch.arange(side, device=like.device, dtype=torch.float64)
    return torch.exp(-2j * math.pi * torch.outer(places, places) / side)


def _waves(side, like):
    """Periods a pixel of every frequency; what lies above one half is a negative frequency."""
    places = torch.arange(side, device=like.device, dtype=torch.float64)
    return torch.where(places > side / 2, places - side, places) / side
