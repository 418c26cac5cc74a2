"""The top 9 patches of all channels against the bare forward passes, and the memory of a larger collection.

python -m tests.benchmarks.bench_patches [pictures] [pictures of the memory test]
"""

import resource
import subprocess
import sys
import time

import torch

from helpers.core import networks, photos
from helpers.patches import strongest

LAYER, BATCH = "blocks.2", 16


def rows(count: int = 1000, many: int = 10_000) -> list[dict]:
    """Seconds for `count` crops beside the passes alone; megabytes for `many` beside those for a tenth."""
    network, collection = networks.load(), photos.Crops(count)
    chunk = 5 * BATCH  # ours and the passes take turns, so that both meet the same machine
    ours = bare = 0.0
    for first in range(0, count, chunk):
        part = [collection[i] for i in range(first, min(first + chunk, count))]
        start = time.perf_counter()
        with torch.inference_mode():
            for images in photos.batches(part, BATCH):
                network.activation(images, LAYER)
            if network.device.type == "cuda":
                torch.cuda.synchronize()
        middle = time.perf_counter()
        strongest(network, part, LAYER, k=9, batch=BATCH)
        bare, ours = bare + middle - start, ours + time.perf_counter() - middle
    few, all_of_them = peak_megabytes(many // 10), peak_megabytes(many)
    return [
        {
            "name": f"top 9 patches of all channels of {LAYER}, {count} pictures",
            "ours_s": ours,
            "peer": "the bare forward passes",
            "peer_s": bare,
            "ratio": bare / ours,
            "note": f"{ours / bare:.2f} times the passes; peak memory {few:.0f} MB for {many // 10} pictures, "
            f"{all_of_them:.0f} MB for {many}",
        }
    ]


def peak_megabytes(count: int) -> float:
    """The resident memory that a fresh process reaches over `count` pictures (32 pixels, all channels)."""
    command = [sys.executable, "-c", f"from tests.benchmarks.bench_patches import watch; watch({count})"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def watch(count: int) -> None:
    strongest(networks.load(device="cpu"), photos.Crops(count, size=32), LAYER, k=9, batch=BATCH)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))


if __name__ == "__main__":
    for row in rows(*map(int, sys.argv[1:])):
        print(row)
