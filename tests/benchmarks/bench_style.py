"""Style transfer beside the recipe of PyTorch's neural-transfer tutorial, and what the shipped preset costs.

python -m tests.benchmarks.bench_style
"""

import resource
import subprocess
import sys
import time

import torch

from helpers.core import networks, photos, registry
from helpers.core.steps import finish
from helpers.style import CONTENT, style_transfer
from helpers.texture import layers_to

EVALUATIONS = 12  # for the comparison; both sides cost the same at every evaluation


def tutorial(network, content, style, evaluations):
    """The tutorial's way: every layer runs, the weights are differentiated too, torch's L-BFGS on the pixels."""
    model = network.model.requires_grad_(True)
    wanted = {network.path(layer) for layer in [*layers_to(network), CONTENT[network.name]]}

    def activations(images):
        held, x = {}, network.normalise(images)
        for name, module in model.features.named_children():
            x = module(x)
            if f"features.{name}" in wanted:
                held[f"features.{name}"] = x
        return held

    def gram(x):
        flat = x.flatten(2)[0]
        return flat @ flat.T / x.numel()

    with torch.no_grad():
        goal, texture = activations(content), {k: gram(v) for k, v in activations(style).items()}
    image = content.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([image], max_iter=evaluations, max_eval=evaluations, tolerance_grad=0)
    done = 0

    def closure():
        nonlocal done
        done += 1
        optimiser.zero_grad()
        held = activations(image)
        loss = sum(1e6 * (gram(held[k]) - texture[k]).square().mean() for k in texture)
        key = network.path(CONTENT[network.name])
        loss = loss + (held[key] - goal[key]).square().mean()
        loss.backward()
        return loss

    while done < evaluations:
        optimiser.step(closure)
    model.requires_grad_(False)
    return done


def seconds(function, *arguments):
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    function(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def rows() -> list[dict]:
    found = []
    content, style = photos.photo("chelsea", 224), photos.photo("ihc", 224)
    for name in ("efficientnet_lite0", "vgg16_edges"):
        if not registry.SOURCES[name].here:
            continue
        taken = seconds(finish, style_transfer(networks.load(name), content, style, steps=200))
        found.append({"name": f"style, {name}, 224 px, 200 evaluations, shipped preset", "ours_s": taken})
    if registry.SOURCES["vgg16_edges"].here:
        network = networks.load("vgg16_edges")

        def ours():
            finish(style_transfer(network, content, style, steps=EVALUATIONS, levels=1, tv_weight=0.0))

        def theirs():
            assert tutorial(network, content, style, EVALUATIONS) == EVALUATIONS

        pairs = [(seconds(ours), seconds(theirs)) for _ in range(2)]
        best, peer = (min(side) for side in zip(*pairs, strict=True))
        found.append(
            {
                "name": f"style, vgg16_edges, 224 px, {EVALUATIONS} evaluations, one level",
                "ours_s": best,
                "peer": "PyTorch tutorial's recipe",
                "peer_s": peer,
                "ratio": peer / best,
            }
        )
    found.append(large())
    return found


def large() -> dict:
    """A 512 px result in a process of its own, so that its memory is its own."""
    start = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_style", "large"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return {
        "name": "style, default network, 512 px, 12 evaluations",
        "ours_s": time.perf_counter() - start,
        "note": f"peak memory {float(run.stdout):.1f} GB, the start of Python included",
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["large"]:
        finish(style_transfer(networks.load(), photos.photo("chelsea", 512), photos.photo("ihc", 512), steps=12))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    else:
        from tests.benchmarks.__main__ import describe

        for row in rows():
            print(describe(row))
