"""Scanline texture beside the plain NumPy loop of its test."""

import torch

from helpers.core import photos
from helpers.core.images import resize
from helpers.scanline import scanline
from tests.benchmarks.beside import beside
from tests.test_scanline import numpy_scanline

SIDE, WINDOW = 64, 11


def rows() -> list[dict]:
    sample = resize(photos.photo("ihc"), 256)[..., :64, :64].cpu()  # where NumPy is
    whole = (sample[0].permute(1, 2, 0) * 255).round().long().numpy()

    def ours():
        *_, last = scanline(sample, SIDE, WINDOW, epsilon=0.0)
        return last.source

    return [
        beside(
            f"scanline texture, {SIDE}×{SIDE} from 64×64, window {WINDOW}",
            ours,
            {"NumPy loop over pixels": lambda: torch.from_numpy(numpy_scanline(whole, (SIDE, SIDE), WINDOW)[1])},
            50.0,
            tolerance=0.001,
            distance=lambda a, b: float((a != b).any(2).float().mean()),
            rounds=1,
            note="share of pixels taken from another place",
        )
    ]
