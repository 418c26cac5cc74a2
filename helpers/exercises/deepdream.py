"""Lesson 6: deepdream."""

import torch
import torch.nn.functional as F

from helpers.exercises.exercise import compare, exercise, stand_in
from helpers.exercises.toys import toy

# ── 6.1 ──


@exercise("6.1", "pulls", cases=[(5, 8, "conv2", "tanh"), (7, 4, "conv1", "none"), (6, 9, "relu2", "tanh")])
def pulls(student, draw, height, width, layer, activation):
    network = _network(draw, activation)
    images = draw.uniform(3, 3, height, width) * draw.tensor([1.0, 0.4, 1.5]).view(3, 1, 1, 1)
    truth = _pulls(network, images, layer)
    compare(student(network, images, layer), truth, lambda: _wrong_pulls(*truth, network, images, layer))


@exercise("6.1", "pulls")
def pulls_by_hand(student, draw):
    # a = red − green. Where that is 2 it pulls red up and green down; where it is −3 it pulls the other way
    image = draw.tensor([[[[2.0, 1.0]], [[0.0, 4.0]], [[5.0, 5.0]]]])
    up = draw.tensor([[[[2.0, 0.0]], [[-2.0, 0.0]], [[0.0, 0.0]]]])
    down = draw.tensor([[[[0.0, -3.0]], [[0.0, 3.0]], [[0.0, 0.0]]]])
    kernel = draw.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1)
    compare(student(toy([kernel], activation="none"), image, "conv1"), (up, down))


def _pulls(network, images, layer, target=lambda a: a):
    """What reaches the pixels from units above zero, and from those below."""
    above = _gradient(network, images, layer, lambda a: target(a) * (a > 0))
    return above, _gradient(network, images, layer, lambda a: target(a) * (a < 0))


def _wrong_pulls(up, down, network, images, layer):
    whole = up + down
    of_the_sum = _pulls(network, images, layer, torch.ones_like)
    by_image = [_pulls(network, image[None], layer) for image in images]
    means = [network.activation(images, layer).mean((0, 2, 3), keepdim=True)]
    return {
        "the two have changed places: first what the positive units pull": (down, up),
        "the second has the wrong sign: a negative unit is to become more negative": (up, -down),
        "it is the gradient at the pixels that is split; split what is set at the layer": (
            whole.clamp(min=0),
            whole.clamp(max=0),
        ),
        "the first holds the pull of all units; leave the negative ones out": (whole, down),
        "the first gradient is still in .grad and is added to the second": (up, whole),
        "both hold the pull of all units": (whole, whole),
        "a 1 stands at every unit that pulls; what belongs there is its activation": of_the_sum,
        "a 1 stands at every positive unit and a −1 at every negative one": (of_the_sum[0], -of_the_sum[1]),
        "a unit counts as positive when it lies above the mean; the border is zero": tuple(
            _gradient(network, images, layer, lambda a, side=side: a * ((a > means[0]) == side))
            for side in (True, False)
        ),
        "the activation is squared on the way; its gradient is the activation itself": _pulls(
            network, images, layer, torch.square
        ),
        "each gradient is normalised; here they are asked for as they are": (_unit(up), _unit(down)),
        "only the first image has been looked at": tuple(
            torch.cat([by_image[0][part], torch.zeros_like(whole[1:])]) for part in (0, 1)
        ),
        "the gradients of all images are added up; each image has its own": tuple(
            part.sum(0, keepdim=True).expand_as(part) for part in (up, down)
        ),
    }


@stand_in("6.1")
def pulls_of_the_gradients(network, images, layer):
    from helpers.deepdream import gradients

    both, up = (gradients(network, images, [layer], target=target)[0][layer] for target in ("signed", "positive"))
    return up, both - up


# ── 6.2 ──


@exercise(
    "6.2",
    "jittered_gradient",
    cases=[
        (6, 8, "relu1", [(1, -2), (2, 3), (-1, 1)]),
        (9, 5, "relu2", [(0, 1), (-3, 2)]),
        (5, 7, "conv1", [(2, 0), (1, 1), (-2, 3), (1, -1)]),
    ],
)
def jittered_gradient(student, draw, height, width, layer, shifts):
    arguments = (_network(draw), draw.normal(2, 3, height, width), layer, shifts)
    back = [_move(g, -dy, -dx) for g, (dy, dx) in zip(_moved_gradients(*arguments), shifts, strict=True)]
    compare(student(*arguments), _average(back), lambda: _wrongly_jittered(back, *arguments))


@exercise("6.2", "jittered_gradient")
def jittered_gradient_by_hand(student, draw):
    # differences of neighbours in a row of red: by hand (-2, -2, 4) unmoved, and (-8, 2, 6) moved by 1 and back
    kernel, row = draw.tensor([[[[1.0, -1.0]], [[0.0, 0.0]], [[0.0, 0.0]]]]), draw.tensor([[[[1.0, 3.0, 7.0]]]])
    image, truth = row.expand(1, 3, 1, 3), draw.tensor([[[[-5.0, 0.0, 5.0]], [[0.0] * 3], [[0.0] * 3]]])
    compare(student(toy([kernel], activation="none"), image, "conv1", [(0, 0), (0, 1)]), truth)


def _wrongly_jittered(back, network, images, layer, shifts):
    def average(sees, returns, target=lambda a: a):
        """The mean when the picture moves by `sees(shift)`, and the gradient afterwards by `returns(shift)`."""
        gradients = _moved_gradients(network, images, layer, [sees(*shift) for shift in shifts], target)
        return _average(_move(g, *returns(*shift)) for g, shift in zip(gradients, shifts, strict=True))

    def there(dy, dx):
        return dy, dx

    def opposite(dy, dx):
        return -dy, -dx

    walk = [(sum(dy for dy, _ in shifts[: i + 1]), sum(dx for _, dx in shifts[: i + 1])) for i in range(len(shifts))]
    walked = zip(_moved_gradients(network, images, layer, walk), shifts, strict=True)
    return {
        "the gradients are not moved back; each belongs to a picture that was moved": average(there, lambda *_: (0, 0)),
        "the picture never moves: this is the gradient where it stands": _gradient(network, images, layer),
        "the gradients are moved on by the same shift; they have to go back": average(there, there),
        "they are moved back twice; a gradient by the picture before the move needs no move": average(
            there, lambda dy, dx: (-2 * dy, -2 * dx)
        ),
        "dy and dx have changed places: dy moves down, along the height": average(
            lambda dy, dx: (dx, dy), lambda dy, dx: (-dx, -dy)
        ),
        "the picture moves up and left; a positive shift moves it down and right": average(opposite, there),
        "the gradients are added up; take their mean": sum(back),
        "this is the gradient of the last shift alone; take the mean over all": back[-1],
        "every shift starts where the one before ended; start from the picture itself": _average(
            _move(g, -dy, -dx) for g, (dy, dx) in walked
        ),
        "gradients of earlier shifts are still in .grad and are added again": _average(
            sum(back[: i + 1]) for i in range(len(back))
        ),
        "each gradient is normalised; here the plain ones are averaged": _average(map(_unit, back)),
        "a 1 stands at every unit; what belongs there is the activation itself": average(
            there, opposite, torch.ones_like
        ),
    }


@stand_in("6.2")
def mean_of_moved_gradients(network, images, layer, shifts):
    from helpers.deepdream import gradients

    moved = [gradients(network, images.roll(each, (2, 3)), [layer], target="signed")[0][layer] for each in shifts]
    return sum(g.roll((-dy, -dx), (2, 3)) for g, (dy, dx) in zip(moved, shifts, strict=True)) / len(shifts)


def _moved_gradients(network, images, layer, shifts, target=lambda a: a):
    """The gradient of the picture moved by each shift, not moved back."""
    return [_gradient(network, _move(images, *shift), layer, target) for shift in shifts]


def _move(images, dy, dx):
    return images.roll((dy, dx), (2, 3))


def _average(tensors):
    return torch.stack(list(tensors)).mean(0)


# ── 6.3 ──


@exercise(
    "6.3",
    "dream_octaves",
    cases=[
        ([(5, 4), (7, 6), (10, 8)], 2, "conv1"),
        ([(6, 7)], 3, "relu2"),
        ([(4, 5), (5, 7), (7, 9), (8, 12)], 1, "conv2"),
    ],
)
def dream_octaves(student, draw, sizes, steps, layer):
    # photos that have nothing to do with one another: what is taken from the wrong one shows
    photos, rate = [draw.uniform(2, 3, *size) for size in sizes], draw.uniform(1, low=0.05, high=0.1).item()
    arguments = (_network(draw, "relu"), photos, layer, steps, rate)  # tanh would saturate, and g become tiny
    compare(student(*arguments), _octaves(*arguments), lambda: _wrong_octaves(*arguments))


@exercise("6.3", "dream_octaves")
def dream_octaves_by_hand(student, draw):
    # a = red: a lone red pixel of 2 moves by 0.1 · 3, and with that the pair (1, 3) by 0.1 · 6 / 4.6 of itself
    photos = [draw.tensor([[[[2.0]], [[0.0]], [[0.0]]]]), draw.tensor([[[[1.0, 3.0]], [[0.0, 0.0]], [[0.0, 0.0]]]])]
    truth = draw.tensor([[[[1.3, 3.3]], [[0.0, 0.0]], [[0.0, 0.0]]]]) * (1 + 0.6 / 4.6)
    network = toy([draw.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)], activation="none")
    compare(student(network, photos, "conv1", 1, 0.1), truth)


def _wrong_octaves(network, photos, layer, steps, rate):
    def octaves(steps=steps, rate=rate, **mistake):
        return _octaves(network, photos, layer, steps, rate, **mistake)

    return {
        "the whole dream is enlarged; enlarge the detail and lay it on the photo of the next size": octaves(whole=True),
        "the detail is only what the last octave added; that of the octaves before is lost": octaves(fresh=True),
        "the detail never reaches the next octave": octaves(carried=False),
        "the detail is enlarged in blocks; enlarge it bilinearly": octaves(mode="nearest"),
        "the corner pixels are aligned; leave align_corners at its default": octaves(corners=True),
        "one mean serves the whole batch; every image has a mean of its own": octaves(
            unit=lambda g: g / g.abs().mean()
        ),
        "the gradient is not divided by its mean absolute value yet": octaves(unit=lambda g: g),
        "no step is taken on the largest photo": octaves(last=0),
        "one step too few in every octave": octaves(steps - 1),
        "one step too many in every octave": octaves(steps + 1),
        "this is the detail alone; return the picture that holds it": octaves() - photos[-1],
        "the steps go downhill: the layer sees less and less": octaves(rate=-rate),
    }


def _octaves(
    network,
    photos,
    layer,
    steps,
    rate,
    whole=False,
    fresh=False,
    carried=True,
    mode="bilinear",
    corners=None,
    unit=None,
    last=None,
):
    """The dream on the largest photo; every keyword is a mistake."""
    detail = torch.zeros_like(photos[0])
    for i, photo in enumerate(photos):
        laid = F.interpolate(detail, photo.shape[2:], mode=mode, align_corners=corners)
        x = start = laid if whole and i else photo + laid
        for _ in range(steps if last is None or i < len(photos) - 1 else last):
            x = x + rate * (unit or _unit)(_gradient(network, x, layer))
        detail = x if whole else x - (start if fresh else photo)
        detail = detail if carried else torch.zeros_like(detail)
    return x


@stand_in("6.3", weaker="it makes the smaller photos itself, each 1.4 times smaller, and cuts values off at 0 and 1")
def octaves_of_the_last_photo(network, photos, layer, steps, rate):
    from helpers.core.steps import finish
    from helpers.deepdream import deepdream

    return finish(
        deepdream(network, photos[-1], layer, None, "signed", 0, steps, len(photos), rate=rate, jitter=0)
    ).image


# ── 6.4 ──


@exercise(
    "6.4",
    "guided_gradient",
    cases=[(7, 9, "relu1", (3, 4), "tanh"), (9, 6, "conv1", (5, 2), "none"), (6, 8, "conv2", (2, 3), "tanh")],
)
def guided_gradient(student, draw, height, width, layer, places, activation):
    network, images = _network(draw, activation), draw.normal(2, 3, height, width)
    channels = network.activation(images, layer).shape[1]
    # vectors of very different length: the nearest and the most parallel one are seldom the one that agrees most
    guide = draw.normal(1, channels, *places) * draw.uniform(*places, low=-1.5, high=1.5).exp()
    vectors = guide.flatten(2)[0]
    truth = _drawn_to(network, images, layer, lambda a: vectors.T[(a @ vectors).argmax(2)])
    answer = student(network, images, layer, guide)
    compare(answer, truth, lambda: _wrongly_guided(truth, network, images, layer, guide))


@exercise("6.4", "guided_gradient")
def guided_gradient_by_hand(student, draw):
    # a = (red, green); (1, 0.2) agrees most with (1, 0), and (0.2, 0.5) with (0, 3)
    kernel = draw.tensor([[1.0, 0, 0], [0, 1.0, 0]]).view(2, 3, 1, 1)
    guide = draw.tensor([[[[1.0], [0]], [[0], [3.0]]]])
    image = draw.tensor([[[[1.0, 0.2]], [[0.2, 0.5]], [[9.0, 9.0]]]])
    truth = draw.tensor([[[[1.0, 0]], [[0, 3.0]], [[0, 0]]]])
    compare(student(toy([kernel], activation="none"), image, "conv1", guide), truth)


def _wrongly_guided(truth, network, images, layer, guide):
    vectors = guide.flatten(2)[0]  # (C, Q)
    scrambled = guide.reshape(-1, guide.shape[1])  # (Q, C), but the wrong ones

    def drawn_to(choose):
        return _drawn_to(network, images, layer, choose)

    def liked_by_guide(a):
        pull = torch.zeros_like(a)
        for n, places in enumerate((a @ vectors).argmax(1).tolist()):  # the place that each vector of the guide likes
            for q, place in enumerate(places):
                pull[n, place] += vectors[:, q]
        return pull

    def best_of_all(a):
        scores = a @ vectors
        return (scores == scores.amax((1, 2), keepdim=True)).to(a) @ vectors.T

    return {
        "each place is pulled towards its own activation; the guide has no say": drawn_to(lambda a: a),
        "the match is made by cosine; take the inner product, where long vectors count more": drawn_to(
            lambda a: vectors.T[(a @ F.normalize(vectors, dim=0)).argmax(2)]
        ),
        "the match is the nearest vector; take the one with the largest inner product": drawn_to(
            lambda a: vectors.T[torch.cdist(a, vectors.T[None]).argmin(2)]
        ),
        "the match is the vector that agrees least": drawn_to(lambda a: vectors.T[(a @ vectors).argmin(2)]),
        "each vector of the guide looks for a place; each place has to look for a vector": drawn_to(liked_by_guide),
        "only the best place of all is pulled; every place has a match of its own": drawn_to(best_of_all),
        "every place is pulled towards all vectors of the guide; only the best one counts": drawn_to(
            lambda a: vectors.sum(1).expand_as(a)
        ),
        "every place is pulled towards the guide's mean; only the best vector counts": drawn_to(
            lambda a: vectors.mean(1).expand_as(a)
        ),
        "every vector pulls a little (softmax); only the best one counts": drawn_to(
            lambda a: (a @ vectors).softmax(2) @ vectors.T
        ),
        "channels and places are mixed up: a reshape does not transpose": drawn_to(
            lambda a: scrambled[(a @ scrambled.T).argmax(2)]
        ),
        "this shortens the distance to the match; the rule puts the match itself there": truth - drawn_to(lambda a: a),
        "here the gradient is asked for as it is, not normalised": _unit(truth),
        "the sign is turned: this leads away from the guide": -truth,
    }


def _drawn_to(network, images, layer, choose):
    """The gradient when every place of the activation (N, P, C) is pulled towards what `choose` gives for it."""
    return _gradient(
        network, images, layer, lambda a: choose(a.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(a.shape)
    )


@stand_in("6.4")
def gradient_with_a_guide(network, images, layer, guide):
    from helpers.deepdream import gradients

    return gradients(network, images, [layer], guide={layer: guide})[0][layer]


# ── Tools ──


def _network(draw, activation="tanh"):
    kernels = [0.5 * draw.normal(4, 3, 2, 3), 0.5 * draw.normal(5, 4, 2, 1)]
    return toy(kernels, activation=activation, mean=draw.uniform(3).tolist(), std=[0.5, 0.6, 0.7])


def _gradient(network, images, layer, target=lambda a: a):
    """What reaches the pixels when `target(activation)` is set as the gradient of the layer."""
    x = images.detach().clone().requires_grad_()
    a = network.activation(x, layer)
    return torch.autograd.grad((a * target(a.detach())).sum(), x)[0]


def _mean(g, reduce=torch.mean):
    """One number an image, (N, 1, 1, 1)."""
    return torch.stack([reduce(one) for one in g]).view(-1, 1, 1, 1)


def _unit(g):
    return g / _mean(g.abs())
