"""Inversion beside torch's L-BFGS on the same objective, in the same space, with as many evaluations."""

import torch

from helpers.core import photos
from helpers.core.images import noise
from helpers.core.priors import natural
from helpers.inversion import START, invert, norm, preset, variation
from tests.benchmarks.beside import beside, both, last

SIZE, STEPS, LAYER = 224, 20, "blocks.4"


def with_torch(network, photo, weights, steps):
    """The objective as a closure, and `torch.optim.LBFGS` with its strong Wolfe line search: the last loss."""
    seen, grey = {}, network.mean_pixel.view(1, 3, 1, 1)
    handle = network.model.get_submodule(LAYER).register_forward_hook(lambda _, __, output: seen.update(a=output))
    with torch.no_grad():
        network(photo)
    target, losses = seen["a"], []
    z = (START * noise(photo.shape, 0, photo)).requires_grad_()
    search = torch.optim.LBFGS(
        [z], max_iter=steps, max_eval=steps, history_size=20, tolerance_grad=0, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        search.zero_grad()
        x = grey + natural(z)
        network(x)
        features = (seen["a"] - target).square().sum() / target.square().sum()
        loss = features + weights[0] * norm(x, network.mean_pixel).sum() + weights[1] * variation(x).sum()
        loss.backward()
        losses.append(loss.detach())
        return loss

    search.step(closure)
    handle.remove()
    return torch.stack(losses)


def rows() -> list[dict]:
    network, plain = both("efficientnet_lite0")
    photo, evaluations = photos.photo("chelsea", SIZE), 0
    weights, passes = preset(network, LAYER), network.activation

    def counted(images, layer):
        nonlocal evaluations
        evaluations += 1
        return passes(images, layer)

    network.activation = counted

    def ours():
        step = last(invert(network, photo, LAYER, steps=STEPS))
        return torch.tensor([sum(step.losses.values())])

    ours()
    asked = evaluations - 1  # the first pass is for the target
    return [
        beside(
            f"inversion of {LAYER}, {asked} evaluations, {SIZE} px",
            ours,
            {"torch's L-BFGS": lambda: with_torch(plain, photo, weights, asked).min()[None]},
            1.5,
            tolerance=0.2,
            note="share by which the losses reached differ",
        )
    ]
