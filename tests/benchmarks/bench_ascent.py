"""Class ascent beside a plain loop as CS231n's third assignment writes it: same network, steps, size and picture.

python -m tests.benchmarks.bench_ascent
"""

import time

import torch
from scipy.ndimage import gaussian_filter1d

from helpers.ascent import class_ascent
from helpers.core import networks
from helpers.core.steps import finish

SIZE, STEPS, RATE, DECAY, EVERY = 224, 40, 0.02, 0.01, 10
ROUNDS = 2


def ours(network, category):
    return finish(
        class_ascent(
            network, category, space="pixels", size=SIZE, steps=STEPS, rate=RATE, momentum=0.0, decay=DECAY,
            blur=0.5, blur_every=EVERY, jitter=0, zoom=0.0,
        )
    ).image  # fmt: skip


def plain(network, category):
    """As the assignment: score, backward, a normalised step, decay, SciPy's blur now and then."""
    zero = network.mean_pixel.view(1, 3, 1, 1)
    image = zero.expand(1, 3, SIZE, SIZE).clone()
    for step in range(1, STEPS + 1):
        image = image.detach().requires_grad_()
        network(image)[0, network.category(category)].backward()
        with torch.no_grad():
            g = image.grad
            falling = RATE * (1 - 0.9 * (step - 1) / STEPS)
            image = image + falling * g / g.square().mean().sqrt()
            image = zero + (1 - DECAY) * (image - zero)
            if step % EVERY == 0:
                pixels = image.cpu().numpy()
                for axis in (2, 3):
                    pixels = gaussian_filter1d(pixels, 0.5, axis=axis, mode="mirror")
                image = torch.from_numpy(pixels).to(zero.device)
            image = image.clamp(0, 1)
    return image


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def compare(name, peer, first, second):
    """Both in turn, the better of each."""
    seconds = [[], []]
    for _ in range(ROUNDS):
        a, mine = timed(first)
        b, theirs = timed(second)
        seconds[0].append(a)
        seconds[1].append(b)
    ours_s, peer_s = min(seconds[0]), min(seconds[1])
    far = (mine - theirs).abs().mean().item()
    note = f"mean difference of the pictures {far:.4f}"
    return {"name": name, "ours_s": ours_s, "peer": peer, "peer_s": peer_s, "ratio": peer_s / ours_s, "note": note}


def rows() -> list[dict]:
    network, trainable = networks.load(), networks.load()
    trainable.model.requires_grad_(True)
    wanted = ["goldfish", "teapot", "koala", "monarch"]
    label = f"class ascent, {STEPS} steps, {SIZE} px"
    return [
        compare(
            label,
            "a plain loop, weights frozen (CS231n)",
            lambda: ours(network, "goldfish"),
            lambda: plain(network, "goldfish"),
        ),
        compare(
            label,
            "a plain loop, weights not frozen",
            lambda: ours(network, "goldfish"),
            lambda: plain(trainable, "goldfish"),
        ),
        compare(
            label + ", four classes",
            "a plain loop, one class after the other",
            lambda: ours(network, wanted),
            lambda: torch.cat([plain(network, each) for each in wanted]),
        ),
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
