"""Class ascent beside a plain loop as CS231n's third assignment writes it: same weights, steps, size and picture."""

import torch
from scipy.ndimage import gaussian_filter1d

from helpers.ascent import class_ascent
from tests.benchmarks.beside import beside, both, last

SIZE, STEPS, RATE, DECAY, EVERY = 224, 20, 0.02, 0.01, 10
SIX = ["goldfish", "teapot", "koala", "monarch", "airliner", "African elephant"]
PLAIN = {"blur": 0.5, "blur_every": EVERY}


def cs231n(network, category, steps=STEPS):
    """As the assignment: score, backward, a normalised step, decay, SciPy's blur now and then."""
    zero = network.mean_pixel.view(1, 3, 1, 1)
    image = zero.expand(1, 3, SIZE, SIZE).clone()
    for step in range(1, steps + 1):
        image = image.detach().requires_grad_()
        network(image)[0, network.category(category)].backward()
        with torch.no_grad():
            g = image.grad
            falling = RATE * (1 - 0.9 * (step - 1) / steps)
            image = image + falling * g / g.square().mean().sqrt()
            image = zero + (1 - DECAY) * (image - zero)
            if step % EVERY == 0:
                pixels = image.cpu().numpy()
                for axis in (2, 3):
                    pixels = gaussian_filter1d(pixels, 0.5, axis=axis, mode="mirror")
                image = torch.from_numpy(pixels).to(zero.device)
            image = image.clamp(0, 1)
    return image


def rows() -> list[dict]:
    network, plain = both("efficientnet_lite0")

    def ours(wanted, steps=STEPS):
        return last(class_ascent(network, wanted, size=SIZE, steps=steps, rate=RATE, decay=DECAY, **PLAIN)).image

    def theirs(wanted, steps=STEPS):
        return torch.cat([cs231n(plain, category, steps) for category in wanted])

    return [
        beside(
            f"class ascent, {words}, {STEPS} steps, {SIZE} px",
            lambda wanted=wanted: ours(wanted),
            {peer: lambda wanted=wanted: theirs(wanted)},
            must,
            same=(lambda wanted=wanted: ours(wanted, 2), lambda wanted=wanted: theirs(wanted, 2)),
            distance=lambda a, b: float((a - b).abs().mean()),
            tolerance=5e-4,
            note="mean difference of the pictures after two steps",
        )
        for words, wanted, peer, must in (
            ("one class", SIX[:1], "CS231n's loop", 1.7),
            ("six at once", SIX, "CS231n's loop, one after the other", 2.0),
        )
    ]
