"""Lesson 7: the inversion loop. The other exercises are in `helpers/exercises/inversion.py`."""

from functools import partial
from itertools import islice

import torch
import torch.nn.functional as F

from helpers.exercises.exercise import compare, exercise, stand_in
from helpers.exercises.toys import toy

LOOPS = [("relu1", 5, 6, 6), ("conv1", 6, 4, 4), ("logits", 4, 5, 7)]  # layer, height, width, steps


@exercise("7.1", "inversion_loop", cases=LOOPS)
def inversion_loop(student, draw, layer, height, width, steps):
    kernel, places = 0.7 * draw.normal(4, 3, 2, 3), (height - 1) * (width - 2)
    head = draw.normal(5, 4 * places) / places**0.5
    network = toy([kernel], head, "tanh", mean=draw.uniform(3, low=0.3, high=0.7).tolist(), std=[0.5, 0.7, 0.9])
    photo, start = draw.uniform(1, 3, height, width), draw.uniform(1, 3, height, width)
    rate, weight = draw.uniform(1, low=0.05, high=0.1).item(), draw.uniform(1, low=2, high=4).item()
    target, zero = network.activation(photo, layer), network.mean_pixel.view(3, 1, 1)

    def by_chain_rule(x):
        units = F.conv2d((x - zero) / network.std.view(3, 1, 1), kernel)
        slopes = 2 * (network.activation(x, layer) - target) / target.square().sum()
        if layer == "logits":
            slopes = (slopes @ head).view_as(units)
        if layer != "conv1":
            slopes = slopes * (1 - units.tanh() ** 2)
        return F.conv_transpose2d(slopes, kernel) / network.std.view(3, 1, 1)

    def pull(x):
        return 2 * weight * (x - zero) / x.numel()

    def slope(x):
        return by_chain_rule(x) + pull(x)

    truth = _with_adam(slope, start, steps, rate).clamp(0, 1)
    mistakes = partial(_wrong_loops, network, layer, photo, start, steps, rate, weight, by_chain_rule)
    compare(student(network, layer, photo, start, steps, rate, weight), truth, mistakes)


@exercise("7.1", "inversion_loop")
def inversion_loop_by_hand(student, draw):
    # the layer is the picture, so every pixel goes by Adam's first step, one rate, towards the photo; black stays black
    network = toy([torch.eye(3, dtype=torch.float64, device=draw.device).view(3, 3, 1, 1)], activation="none")
    photo = draw.tensor([[[[0.5, 0.0]], [[1.0, 0.25]], [[0.0, 0.75]]]])
    start = draw.tensor([[[[0.25, 0.05]], [[0.95, 0.75]], [[0.5, 0.25]]]])
    truth = draw.tensor([[[[0.35, 0.0]], [[1.0, 0.65]], [[0.4, 0.35]]]])
    compare(student(network, "conv1", photo, start, 1, 0.1, 0.0), truth)


def _with_adam(slope, x, steps, rate):
    """`steps` steps of Adam (Kingma & Ba 2015, algorithm 1, with its defaults) against the slopes."""
    mean, power = torch.zeros_like(x), torch.zeros_like(x)
    for t in range(1, steps + 1):
        gradient = slope(x)
        mean = 0.9 * mean + 0.1 * gradient
        power = 0.999 * power + 0.001 * gradient**2
        x = x - rate * (mean / (1 - 0.9**t)) / ((power / (1 - 0.999**t)).sqrt() + 1e-8)
    return x


def _wrong_loops(network, layer, photo, start, steps, rate, weight, features):
    """What likely mistakes give, by message; `features` is the gradient of the feature distance."""
    target, zero = network.activation(photo, layer), network.mean_pixel.view(3, 1, 1)
    heap, count = torch.zeros_like(start), start.numel()

    def run(slope, steps=steps, start=start):
        return _with_adam(slope, start, steps, rate).clamp(0, 1)

    def of(objective):
        """Autograd's slope of a feature distance of another kind, and the right pull."""

        def slope(x):
            x = x.detach().requires_grad_()
            return torch.autograd.grad(objective(network.activation(x, layer)), x)[0] + pull(x.detach())

        return slope

    def pull(x):
        return 2 * weight * (x - zero) / count

    def right(x):
        return features(x) + pull(x)

    def downhill(x):
        for _ in range(steps):
            x = x - rate * right(x)
        return x.clamp(0, 1)

    def cut_on_the_way():
        x = torch.nn.Parameter(start.clone())
        search = torch.optim.Adam([x], lr=rate)
        for _ in range(steps):
            x.grad = right(x.detach())
            search.step()
            x.data.clamp_(0, 1)
        return x.detach()

    def of_scores(x):
        x, wanted = x.detach().requires_grad_(), network(photo)
        return torch.autograd.grad((network(x) - wanted).square().sum() / wanted.square().sum(), x)[0]

    return {
        "this is the photo itself; only what the layer says about it may be used": photo,
        "this is the start; nothing has moved": start,
        "this leads uphill: a step goes against the gradient of the objective": run(lambda x: -right(x)),
        "only the regulariser pulls: Φ₀ is what the layer says about the photo, whatever x is": run(pull),
        "the regulariser is missing from the objective": run(features),
        "the regulariser is summed; take its mean over pixels and colours": run(
            lambda x: features(x) + count * pull(x)
        ),
        "the regulariser is measured from black; measure it from the network's grey": run(
            lambda x: features(x) + 2 * weight * x / count
        ),
        "the regulariser is measured from 0.5; measure it from the network's own grey": run(
            lambda x: features(x) + 2 * weight * (x - 0.5) / count
        ),
        "the regulariser has the wrong sign: a picture far from grey must lose by it": run(
            lambda x: features(x) - pull(x)
        ),
        "the feature distance is not divided by the squared length of Φ₀": run(
            of(lambda phi: (phi - target).square().sum())
        ),
        "the feature distance is a mean here; divide by the squared length of Φ₀": run(
            of(lambda phi: (phi - target).square().mean())
        ),
        "the feature distance is divided by the length of Φ₀; square that, too": run(
            of(lambda phi: (phi - target).square().sum() / target.norm())
        ),
        "the feature distance is divided by what the layer says about x; divide by Φ₀": run(
            of(lambda phi: (phi - target).square().sum() / phi.square().sum())
        ),
        "there is a root too many in the feature distance": run(of(lambda phi: (phi - target).norm() / target.norm())),
        "these are distances of the pixels; compare what the layer says": run(
            lambda x: 2 * (x - photo) / photo.square().sum() + pull(x)
        ),
        "these are the class scores; compare what `layer` says": run(lambda x: of_scores(x) + pull(x)),
        "the gradients of earlier steps are added in; each step has its own": run(
            lambda x: heap.add_(right(x)).clone()
        ),
        "the gradient is that of the start, in every step; take a new one": run(lambda x: right(start)),
        "one step too few is made": run(right, steps - 1),
        "one step too many is made": run(right, steps + 1),
        "it starts from the photo; start from `start`": run(right, start=photo),
        "this is plain gradient descent; the steps are Adam's": downhill(start),
        "values leave [0, 1]: cut the result off": _with_adam(right, start, steps, rate),
        "the picture is cut off on the way, too; only the result is": cut_on_the_way(),
    }


@stand_in("7.1")
def inversion_loop_stand_in(network, layer, photo, start, steps, rate, weight):
    from helpers.core.activations import distance
    from helpers.core.descent import adam

    target, zero = network.activation(photo, layer), network.mean_pixel.view(3, 1, 1)

    def objective(x):
        pull = (x - zero).square().mean((1, 2, 3))
        return {"features": distance(network.activation(x, layer), target), "regulariser": weight * pull}

    return next(islice(adam(objective, start, rate), steps, None))[0].clamp(0, 1)
