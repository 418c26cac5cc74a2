"""DeepDream against the loop that is usually written: a hook on the layer, a whole forward pass, `backward()`.

python -m tests.benchmarks.bench_deepdream
"""

import copy
import time

import torch
import torch.nn.functional as F

from helpers.core import networks, photos
from helpers.core.images import resize
from helpers.deepdream import deepdream

SIZE, STEPS, OCTAVES, SCALE, RATE, JITTER = 224, 5, 3, 1.4, 0.01, 32
REPEATS = 2


def plain(network, photo, layer, steps=STEPS):
    """The same dream with the network run to its end and gradients for its parameters too, as it comes."""
    model = copy.deepcopy(network.model).requires_grad_(True)
    seen = {}
    model.get_submodule(network.path(layer)).register_forward_hook(lambda _, __, output: seen.update(a=output))
    random = torch.Generator().manual_seed(0)
    dream = torch.zeros(1, 3, 1, 1, device=network.device)
    for octave in reversed(range(OCTAVES)):
        size = tuple(round(side / SCALE**octave) for side in photo.shape[-2:])
        base = resize(photo, size)
        x = base + F.interpolate(dream, size=size, mode="bilinear")
        for _ in range(steps):
            shift = [int(torch.randint(-JITTER, JITTER + 1, (), generator=random)) for _ in size]
            rolled = x.roll(shift, (2, 3)).requires_grad_()
            model(network.normalise(rolled))
            (0.5 * seen["a"].square().sum()).backward()
            g = rolled.grad.roll([-s for s in shift], (2, 3))
            x = (x + RATE * g / g.abs().mean()).clamp(0, 1).detach()
            model.zero_grad()
        dream = x - base
    return x


def ours(network, photo, layer, steps=STEPS):
    for step in deepdream(network, photo, layer, None, steps, OCTAVES, SCALE, RATE, JITTER):
        last = step
    return last.image


def rows() -> list[dict]:
    network = networks.load()
    photo = photos.photo("china", SIZE)
    found = []
    for layer in ("blocks.2", "blocks.4"):
        seconds = {ours: [], plain: []}
        for _ in range(REPEATS):
            for run in (ours, plain):
                start = time.perf_counter()
                run(network, photo, layer).cpu()  # .cpu() waits for the GPU
                seconds[run].append(time.perf_counter() - start)
        mine, theirs = (min(seconds[run]) for run in (ours, plain))
        # one step an octave: later on rounding grows, as a dream follows whatever is there a little more of
        difference = (ours(network, photo, layer, 1) - plain(network, photo, layer, 1)).abs().mean()
        found.append(
            {
                "name": f"DeepDream of {layer}, {OCTAVES} octaves × {STEPS} steps, {SIZE} px",
                "ours_s": mine,
                "peer": "whole network, parameters not frozen",
                "peer_s": theirs,
                "ratio": theirs / mine,
                "note": f"mean difference after one step an octave {difference:.1e}",
            }
        )
    return found


if __name__ == "__main__":
    for row in rows():
        print(row)
