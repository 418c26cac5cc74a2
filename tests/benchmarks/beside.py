"""Ours and its peers in alternation, on the same weights, with the same result."""

import copy
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers.core import compute, networks, registry
from helpers.core.networks import Network
from helpers.core.steps import Step

Run = Callable[[], Tensor]


class Plain(nn.Module):
    """A network as a library's own users would run it: batch norms apart, channels first; (N, 3, H, W) in [0, 1]."""

    def __init__(self, model: nn.Module, like: Network):
        super().__init__()
        self.model, self.bgr = model.eval().requires_grad_(False), like.bgr
        self.mean, self.std = like.mean, like.std
        self.mean_pixel, self.device, self.path, self.category = like.mean_pixel, like.device, like.path, like.category

    def normalise(self, images: Tensor) -> Tensor:
        normalised = (images - self.mean) / self.std
        return normalised.flip(1) if self.bgr else normalised

    def forward(self, images: Tensor) -> Tensor:
        return self.model(self.normalise(images))


def both(name: str) -> tuple[Network, Plain]:
    """A network of the registry and the plain one; with seeded random weights where there are none."""
    source = registry.SOURCES[name]
    torch.manual_seed(0)
    model = source.build()
    if source.here:
        model.load_state_dict(source.weights(model))
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # captum's hooks do not go with it
    network = networks.wrap(copy.deepcopy(model), source).to(compute.device())
    return network, Plain(model.to(compute.device()), network)


def last(steps: Iterable[Step]) -> Step:
    """The last step of a method, run without a progress bar."""
    return deque(steps, maxlen=1)[0]


def beside(
    name: str,
    ours: Run,
    peers: Mapping[str, Run],
    must: float,
    *,
    tolerance: float,
    same: tuple[Run, Run] | None = None,
    distance: Callable[[Tensor, Tensor], float] | None = None,
    rounds: int = 3,
    warm: bool = True,
    note: str = "",
) -> dict:
    """Run ours and every peer in turn and compare ours with the quickest of them.

    Args:
        must: how many times quicker ours is to be; it is reported, not asserted.
        tolerance: how far the two results may be apart; further is an error, for then the times say nothing.
        same: in place of the results timed, those of two shorter runs, where rounding grows with every step.
        rounds: how many times each is timed, after one that warms up where `warm`.
        distance: of two results; default: the length of their difference, as a share of the peer's length.
    """
    runs, seconds, results = {"ours": ours, **peers}, {}, {}
    for turn in range(-warm, rounds):
        for key, run in runs.items():
            began = _now()
            results[key] = run()
            if turn >= 0:
                seconds.setdefault(key, []).append(_now() - began)
    best = min(peers, key=lambda key: min(seconds[key]))
    mine, theirs = [run() for run in same] if same else (results["ours"], results[best])
    apart = (distance or _length)(mine.detach().cpu(), theirs.detach().cpu())
    if not apart <= tolerance:
        raise AssertionError(f"{name}: the results are {apart:.1e} apart, over {tolerance:.0e}: the times say nothing")
    return {
        "name": name,
        "peer": best,
        "ours_s": min(seconds["ours"]),
        "peer_s": min(seconds[best]),
        "ours_median_s": statistics.median(seconds["ours"]),
        "peer_median_s": statistics.median(seconds[best]),
        "ratio": min(seconds[best]) / min(seconds["ours"]),
        "must": must,
        "apart": apart,
        "tolerance": tolerance,
        "note": note,
    }


def _length(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm())


def _now():
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def machine() -> dict:
    """What the times were measured on."""
    known = Path("/proc/cpuinfo")  # platform.processor() is empty on Linux
    lines = known.read_text().splitlines() if known.exists() else []
    cpu = next((line.split(": ")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}
