"""What the pictures of lessons 5 to 7 cost with the settings that ship; there is no peer, the limit stands beside.

python -m tests.benchmarks.bench_presets
"""

import time

from helpers.ascent import class_ascent
from helpers.core import networks, photos
from helpers.core.steps import finish
from helpers.deepdream import deepdream
from helpers.inversion import invert


def rows() -> list[dict]:
    network = networks.load()
    small, large = photos.photo("chelsea", 224), photos.photo("china", (384, 384))
    runs = {
        "class ascent, 250 steps, 224 px": (25, lambda: class_ascent(network, "goldfish", steps=250)),
        "DeepDream, 3 octaves × 15 steps, 384 px": (20, lambda: deepdream(network, large, steps=15, octaves=3)),
        "inversion of blocks.2, 200 evaluations, 224 px": (20, lambda: invert(network, small, "blocks.2", steps=200)),
    }
    found = []
    for name, (limit, steps) in runs.items():
        start = time.perf_counter()
        finish(steps()).image.cpu()  # .cpu() waits for the GPU
        note = f"limit on two cores {limit} s"
        found.append({"name": name, "ours_s": time.perf_counter() - start, "note": note})
    return found


if __name__ == "__main__":
    for row in rows():
        print(row)
