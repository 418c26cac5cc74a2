"""Occlusion against captum's at 224 pixels, patch 32, stride 8 (625 windows), default network.

python -m tests.benchmarks.bench_occlusion [stride]
"""

import sys
import time

import torch
from captum.attr import Occlusion

from helpers.core import networks, photos
from helpers.occlusion import occlusion

PATCH = 32
PERTURBATIONS = (1, 4, 8, 16, 32)  # captum's batch sizes; the fastest of them is compared


def rows(stride: int = 8, rounds: int = 2) -> list[dict]:
    """Ours in part and in full, each beside captum at its best; seconds are the least of `rounds` alternating runs."""
    network, image = networks.load(), photos.photo("coffee", 224)
    target = network.category("espresso")
    baseline = network.mean_pixel.view(1, 3, 1, 1).expand_as(image)

    def ours(incremental):
        *_, last = occlusion(network, image, target, PATCH, stride, incremental=incremental)
        return (last.clean - last.image).cpu()

    def theirs(perturbations):
        found = Occlusion(network.probabilities).attribute(
            image,
            (3, PATCH, PATCH),
            strides=(3, stride, stride),
            baselines=baseline,
            target=target,
            perturbations_per_eval=perturbations,
        )
        return found[:, :1].cpu()

    seconds, maps = {}, {}
    contestants = {"in part": lambda: ours(True), "in full": lambda: ours(False)}
    contestants |= {f"captum {p}": lambda p=p: theirs(p) for p in PERTURBATIONS}
    with torch.inference_mode():
        network(image)
        for _ in range(rounds):
            for name, run in contestants.items():
                start = time.perf_counter()
                maps[name] = run()  # ends on the CPU, so the device has finished
                seconds[name] = min(seconds.get(name, torch.inf), time.perf_counter() - start)
    best = min((name for name in seconds if name.startswith("captum")), key=seconds.get)
    return [
        {
            "name": f"occlusion {name}, patch {PATCH}, stride {stride}",
            "ours_s": seconds[name],
            "peer": f"captum Occlusion, perturbations_per_eval={best.split()[1]}",
            "peer_s": seconds[best],
            "ratio": seconds[best] / seconds[name],
            "note": f"largest difference of the map {(maps[name] - maps[best]).abs().max():.0e}",
        }
        for name in ("in part", "in full")
    ]


if __name__ == "__main__":
    for row in rows(*map(int, sys.argv[1:])):
        print(row)
