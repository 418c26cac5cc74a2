"""Our exact t-SNE beside scikit-learn's two, on the same 1000 vectors with the same number of steps."""

import torch
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE

from helpers.core import compute
from helpers.neighbours import preserved
from helpers.tsne import tsne
from tests.benchmarks.beside import beside, last

POINTS, STEPS = 1000, 500


def rows() -> list[dict]:
    points = torch.from_numpy(load_digits().data[:POINTS]).float()

    def ours():
        return last(tsne(points.to(compute.device()), steps=STEPS)).image

    def theirs(method):
        return torch.from_numpy(TSNE(method=method, init="pca", max_iter=STEPS).fit_transform(points.numpy()))

    return [
        beside(
            f"t-SNE, {POINTS} points, {STEPS} steps",
            ours,
            {f"scikit-learn, {method}": lambda method=method: theirs(method)},
            must,
            tolerance=0.02,
            distance=lambda a, b: abs(preserved(points, a) - preserved(points, b)),
            rounds=2,
            note="share of the 10 nearest neighbours kept",
        )
        for method, must in (("exact", 3.0), ("barnes_hut", 0.6))
    ]
