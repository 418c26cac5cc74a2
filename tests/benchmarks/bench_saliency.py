"""Saliency, SmoothGrad, integrated gradients and guided backprop beside captum, on pictures of 224 px.

    python -m tests.benchmarks.bench_saliency

Both sides differentiate the same network, so what can be saved is bookkeeping; where captum is given the better
batch size it is noted. ResNet-18 has random weights, which take as long as trained ones.
"""

import time
import warnings

import captum.attr as captum
import torch

from helpers.core import networks, registry
from helpers.core.photos import photo
from helpers.saliency import integrated_gradients, saliency, smoothgrad

ROUNDS = 3
SAMPLES = 16


def rows() -> list[dict]:
    warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
    warnings.filterwarnings("ignore", message="Input Tensor 0 did not already require")
    default = networks.load()
    source = registry.SOURCES["resnet18"]
    torch.manual_seed(0)
    resnet = networks.wrap(source.build(), source).to(default.device)
    batch = torch.cat([photo(name, 224) for name in ("chelsea", "coffee", "rocket", "china")])
    one = batch[:1]
    sigma = 0.15 * float(one.max() - one.min())

    def tunnel(size):
        torch.manual_seed(0)  # captum's noise is then ours where it is drawn in chunks of the same size
        return captum.NoiseTunnel(captum.Saliency(default)).attribute(
            one, nt_samples=SAMPLES, nt_samples_batch_size=size, stdevs=sigma, target=281, abs=False
        )

    def path(size):
        return captum.IntegratedGradients(default).attribute(
            one, 0.5, 281, n_steps=SAMPLES, method="riemann_middle", internal_batch_size=size
        )

    return [
        compare(
            "saliency, 4 pictures",
            lambda: saliency(default, batch, 281, colours="all").abs(),
            {"Saliency": lambda: captum.Saliency(default).attribute(batch, target=281)},
        ),
        compare(
            f"SmoothGrad, {SAMPLES} samples",
            lambda: smoothgrad(default, one, 281, samples=SAMPLES, colours="all"),
            {f"NoiseTunnel, {size} at once": lambda size=size: tunnel(size) for size in (8, SAMPLES)},
        ),
        compare(
            f"integrated gradients, {SAMPLES} steps",
            lambda: integrated_gradients(default, one, 281, steps=SAMPLES, colours="all"),
            {f"IntegratedGradients, {size} at once": lambda size=size: path(size) for size in (8, SAMPLES)},
        ),
        compare(
            "guided backprop, ResNet-18, 4 pictures",
            lambda: saliency(resnet, batch, 281, rule="guided", colours="all"),
            {"GuidedBackprop": lambda: captum.GuidedBackprop(resnet).attribute(batch.clone(), target=281)},
        ),
    ]


def compare(name, ours, peers) -> dict:
    """Run ours and every peer in turn, keep the fastest round of each, and report the fastest peer."""
    seconds, results = {}, {}
    for _ in range(ROUNDS):
        for key, run in {"ours": ours, **peers}.items():
            began = _now()
            results[key] = run()
            seconds[key] = min(_now() - began, seconds.get(key, float("inf")))
    best = min(peers, key=seconds.get)
    difference = float((results["ours"] - results[best]).abs().max() / results[best].abs().max())
    return {
        "name": name,
        "ours_s": seconds["ours"],
        "peer": f"captum {best}",
        "peer_s": seconds[best],
        "ratio": seconds[best] / seconds["ours"],
        "note": f"largest difference {difference:.1e} of the largest value",
    }


def _now():
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    from tests.benchmarks.__main__ import describe

    for row in rows():
        print(describe(row))
