"""Scanline texture against the plain NumPy loop of its test, and its cost per pixel as the output grows."""

import time

import numpy as np

from helpers.core import photos
from helpers.core.images import resize
from helpers.scanline import scanline
from tests.test_scanline import numpy_scanline

SIDE, WINDOW = 128, 11


def rows() -> list[dict]:
    sample = resize(photos.photo("ihc"), 256)[..., :64, :64].cpu()  # where NumPy is
    whole = (sample[0].permute(1, 2, 0) * 255).round().long().numpy()

    def ours(side):
        start = time.perf_counter()
        last = list(scanline(sample, side, WINDOW, epsilon=0.0))[-1]
        return time.perf_counter() - start, last

    ours(32)  # the first call sets up threads
    before = [ours(SIDE) for _ in range(2)]
    start = time.perf_counter()
    _, source = numpy_scanline(whole, (SIDE, SIDE), WINDOW)
    numpy_s = time.perf_counter() - start
    runs = before + [ours(SIDE) for _ in range(2)]
    ours_s = float(np.median([seconds for seconds, _ in runs]))
    different = int((runs[0][1].source.numpy() != source).any(2).sum())

    small_s, large_s = (min(ours(side)[0] for _ in range(3)) for side in (SIDE // 2, 2 * SIDE))
    return [
        {
            "name": f"scanline, {SIDE}×{SIDE} from 64×64, window {WINDOW}",
            "ours_s": ours_s,
            "peer": "NumPy loop over pixels",
            "peer_s": numpy_s,
            "ratio": numpy_s / ours_s,
            "note": f"{different} of {SIDE**2} pixels differ",
        },
        {
            "name": f"scanline, {2 * SIDE}×{2 * SIDE} pixels",
            "ours_s": large_s,
            "peer": f"16 times {SIDE // 2}×{SIDE // 2} pixels",
            "peer_s": 16 * small_s,
            "ratio": 16 * small_s / large_s,
            "note": f"{large_s / (2 * SIDE) ** 2 * 1e6:.0f} and {small_s / (SIDE // 2) ** 2 * 1e6:.0f} µs a pixel",
        },
    ]


if __name__ == "__main__":
    from tests.benchmarks.__main__ import describe

    for row in rows():
        print(describe(row))
