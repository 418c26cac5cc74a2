"""Style transfer beside the recipe of PyTorch's neural-transfer tutorial: same layers, start and evaluations."""

import torch

from helpers.core import photos, registry
from helpers.style import CONTENT, style_transfer
from helpers.texture import layers_to
from tests.benchmarks.beside import beside, both, last

SIZE, EVALUATIONS = 224, 12


def tutorial(network, content, style, content_layer, layers, frozen=True, evaluations=EVALUATIONS):
    """As the tutorial: layers behind the last loss cut off, losses as means of squares, L-BFGS, weights frozen.

    It freezes them since 2023; the many copies made before differentiate the weights too.
    """
    network.model.requires_grad_(not frozen)
    seen, deepest = {}, [*layers, content_layer]
    modules = dict(network.model.named_modules())
    deepest = max(deepest, key=lambda layer: list(modules).index(network.path(layer)))

    class Cut(Exception):
        pass

    def keep(layer):
        def hook(_, __, output):
            seen[layer] = output
            if layer == deepest:
                raise Cut

        return hook

    handles = [modules[network.path(layer)].register_forward_hook(keep(layer)) for layer in {*layers, content_layer}]

    def activations(images):
        try:
            network(images)
        except Cut:
            return dict(seen)

    def gram(x):
        flat = x.reshape(x.shape[0] * x.shape[1], -1)
        return (flat @ flat.t()).div(x.numel())

    with torch.no_grad():
        goal = activations(content)[content_layer]
        targets = {layer: gram(x) for layer, x in activations(style).items() if layer in layers}
    image = content.clone().requires_grad_()
    search, done = torch.optim.LBFGS([image]), 0

    def closure():
        nonlocal done
        done += 1
        with torch.no_grad():
            image.clamp_(0, 1)
        search.zero_grad()
        found = activations(image)
        loss = sum(1e6 * (gram(found[layer]) - targets[layer]).square().mean() for layer in layers)
        loss = loss + (found[content_layer] - goal).square().mean()
        loss.backward()
        return loss

    while done < evaluations:
        search.param_groups[0]["max_eval"] = evaluations - done
        search.step(closure)
    for handle in handles:
        handle.remove()
    return image.detach()


def rows() -> list[dict]:
    content, style = photos.photo("chelsea", SIZE), photos.photo("ihc", SIZE)
    found = []
    for name, must in (("efficientnet_lite0", 2.5), ("vgg16_edges", 1.7)):
        if not registry.SOURCES[name].here:
            continue
        network, plain = both(name)
        layers = layers_to(network)

        def ours(network=network):
            steps = style_transfer(network, content, style, steps=EVALUATIONS, levels=1, tv_weight=0.0, doubled=False)
            return last(steps).image

        def theirs(frozen, plain=plain, layers=layers, name=name):
            return tutorial(plain, content, style, CONTENT[name], layers, frozen)

        for frozen, recipe in (
            (False, "PyTorch tutorial's recipe until 2023"),
            (True, "PyTorch tutorial's recipe today"),
        ):
            found.append(
                beside(
                    f"style, {name}, {EVALUATIONS} evaluations, {SIZE} px",
                    ours,
                    {recipe: lambda frozen=frozen, theirs=theirs: theirs(frozen)},
                    must,
                    tolerance=0.2,
                    distance=lambda a, b: float((a - b).abs().mean()),
                    rounds=2,
                    note="mean difference of the pictures, whose losses are weighed differently",
                )
            )
    return found
