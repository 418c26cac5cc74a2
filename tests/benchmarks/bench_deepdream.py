"""DeepDream beside the loop that is usually written: a hook on the layer, a whole forward pass, `backward()`."""

import torch
import torch.nn.functional as F

from helpers.core import photos
from helpers.core.images import resize
from helpers.deepdream import deepdream
from tests.benchmarks.beside import beside, both, last

SIZE, STEPS, OCTAVES, SCALE, RATE, JITTER, LAYER = 384, 5, 3, 1.4, 0.01, 32, "blocks.4"


def usual(network, photo, steps=STEPS):
    """The same dream with the network run to its end and gradients for its parameters too, as it comes."""
    model, seen = network.model.requires_grad_(True), {}
    handle = model.get_submodule(LAYER).register_forward_hook(lambda _, __, output: seen.update(a=output))
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
    handle.remove()
    return x


def rows() -> list[dict]:
    network, plain = both("efficientnet_lite0")
    photo = photos.photo("china", (SIZE, SIZE))

    def ours(steps=STEPS):
        return last(deepdream(network, photo, LAYER, None, "signed", 0, steps, OCTAVES, SCALE, RATE, JITTER)).image

    return [
        beside(
            f"DeepDream of {LAYER}, {OCTAVES} octaves × {STEPS} steps, {SIZE} px",
            ours,
            {"a loop over the whole network": lambda: usual(plain, photo)},
            5.0,
            same=(lambda: ours(1), lambda: usual(plain, photo, 1)),
            distance=lambda a, b: float((a - b).abs().mean()),
            tolerance=1e-3,
            note="mean difference of the pictures after one step an octave",
        )
    ]
