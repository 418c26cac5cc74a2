"""A first layer that learns, as a film: noise turns into edges and colours while it imitates a trained network.

These filters are **taught by imitation, not by labels**: they become whatever makes the early features of a trained
network predictable, on a few photos. They are no copy, for that network's own filters may have any size; but what it
knows, it knows from a million labelled pictures. That a pupil predicts what a teacher puts out is the idea of Hinton,
Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network"; that it predicts a hidden layer, through a
regressor of its own, that of the hints of Romero et al. 2015, "FitNets: Hints for Thin Deep Nets".

    python -m helpers.imitation        # teaches the two layers of data/ again and says what they are worth
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.core import compute, networks
from helpers.core.arguments import above, at_least, at_once, one_of, positions, whole_numbers
from helpers.core.images import check, write_atomically
from helpers.core.networks import Layer, Network
from helpers.core.photos import DATA, Crops
from helpers.core.steps import Seed, Step, finish
from helpers.filters import check_filters, tiles
from helpers.gabor import fit_gabor

Stride = Literal[1, 2, 4]
PADDING = 2  # AlexNet's; what the pupil sees then lies within half a pixel of what the default network's blocks see
# how the layers of data/ were taught
LONG = {11: {"layer": "blocks.2", "stride": 4, "steps": 1200}, 7: {"layer": "blocks.1", "stride": 2, "steps": 800}}


@dataclass(frozen=True)
class Taught(Step):
    """A `Step` of `learn_by_imitation`; `image` is the sheet of all filters, (1, 3, H, W), each at a place of its own.

    Attributes:
        filters: (C, 3, k, k), as they act on RGB pixels in [0, 1], measured from the network's mean colour.
    """

    filters: Tensor | None = None


@at_once
def learn_by_imitation(
    network: Network,
    layer: Layer = "blocks.2",
    kernel: Annotated[int, (3, 15, 2)] = 11,
    stride: Stride = 4,
    filters: Annotated[int, (8, 96, 8)] = 64,
    steps: Annotated[int, (50, 1000, 50)] = 300,
    batch: Annotated[int, (4, 32, 4)] = 16,
    rate: Annotated[float, (1e-4, 1e-2, "log")] = 5e-3,
    decay: Annotated[float, (0.0, 30.0, 1.0)] = 10.0,
    seed: Seed = 0,
    images: Tensor | None = None,
) -> Iterator[Taught]:
    """Teach a first layer, from noise, to predict what `layer` of a trained network makes of photos.

        pupil(x) = w₂ ∗ ReLU(BN(w₁ ∗ pool(ReLU(BN(w ∗ (x − mean))))))      loss = mean (pupil(x) − t)²

    The filters are w. w₁, of 3×3, and w₂, of 1×1, are thrown away afterwards. t is the layer's activation, each channel
    with mean 0 and variance 1 over the batch, so that the loss is the part of the variance that is not predicted.

    Args:
        kernel: side of the filters in pixels.
        stride: how far apart they are laid on the picture: AlexNet's is 4, ResNet's 2.
        filters: how many.
        batch: pictures a step.
        rate: of AdamW (Loshchilov & Hutter 2019), falling to 0 as half a cosine.
        decay: each step multiplies the filters by 1 − rate · decay. What learning does not renew is forgotten: first of
            all the noise that they began with. Batch normalisation makes their size arbitrary, so nothing else is lost.
        seed: of the noise, and of the order of the pictures.
        images: (N, 3, H, W) to learn from; default: 1000 crops of the course's photos.

    Yields:
        Steps whose loss is "unexplained": 1 says that nothing is predicted.

    Raises:
        ValueError: a layer without a map, a stride that does not divide its stride, images smaller than the pupil
            needs, or a number outside its range.
    """
    whole_numbers(1, kernel=kernel, filters=filters, steps=steps)
    whole_numbers(2, batch=batch)  # a variance is taken over it
    one_of("stride", stride, Stride)
    above(0, rate=rate)
    at_least(0, decay=decay)
    positions(network, layer)
    coarser, rest = divmod(network.receptive_field(layer).stride[0], stride)
    if rest or not coarser:
        raise ValueError(f"stride must divide that of layer {layer!r}, {coarser * stride + rest}, not {stride}")
    if images is not None:
        height, width = check(images).shape[-2:]
        least = kernel + 2 * coarser * stride
        if min(height, width) < least:
            raise ValueError(f"images must be at least {least} pixels high and wide, not {height}×{width}")
    yield

    images = torch.stack(list(Crops(1000, 112, seed=seed))) if images is None else images
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pupil = _pupil(kernel, stride, filters, coarser, network.shape(layer)[0]).to(network.device)
    weights, *others = pupil.parameters()
    groups = [{"params": [weights], "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    search = torch.optim.AdamW(groups, lr=rate)
    for index in range(1, steps + 1):
        for group in search.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * (index - 1) / steps)) / 2
        chosen = images[torch.randint(len(images), (batch,), generator=random)].to(network.device)
        chosen = chosen.rot90(int(torch.randint(4, (), generator=random)), (2, 3))  # edges at every angle
        with torch.no_grad():
            target = F.batch_norm(network.activation(chosen, layer), None, None, training=True, eps=1e-12)
        guess = pupil(chosen - network.mean_pixel.view(1, 3, 1, 1))
        height, width = (min(sides) for sides in zip(guess.shape[2:], target.shape[2:], strict=True))
        loss = F.mse_loss(guess[..., :height, :width], target[..., :height, :width])
        search.zero_grad()
        loss.backward()
        search.step()
        found = weights.detach().clone()
        yield Taught(index, steps, sheet(found), {"unexplained": loss.item()}, found)


def _pupil(kernel, stride, filters, coarser, channels):
    """The first layer, and the regressor that predicts from it: its largest answers within `coarser` strides."""
    return nn.Sequential(
        nn.Conv2d(3, filters, kernel, stride, PADDING, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        nn.MaxPool2d(2 * coarser - 1, coarser),
        nn.Conv2d(filters, filters, 3, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        nn.Conv2d(filters, channels, 1),
    )


def sheet(weights: Tensor) -> Tensor:
    """Filters (C, 3, k, k) in the order in which they stand, as one picture (1, 3, H, W) about 560 pixels wide."""
    return tiles(weights, sort="index", times=max(1, 66 // weights.shape[-1]))


def explained(weights: Tensor) -> Tensor:
    """Which part of each filter's sum of squares one Gabor function explains, (C,); see `gabor.fit_gabor`."""
    return torch.tensor([fit_gabor(each).explained for each in check_filters(weights).split(1)])


# ── Taught for longer ────────────────────────────────────────────────────────────────────────────────────────


def learned(kernel: int = 11) -> Tensor:
    """The 64 filters (64, 3, kernel, kernel) of a long run, as AlexNet has them (11×11) or ResNet (7×7).

    Raises:
        ValueError: another kernel.
    """
    one_of("kernel", kernel, LONG)
    return torch.from_numpy(np.load(_file(kernel)).astype(np.float32)).to(compute.device())


def _file(kernel):
    return DATA / f"imitation_{kernel}.npy"


def teach(kernel: int) -> None:
    """Write the file that `learned` reads, and print what can be measured of it. Minutes on two idle cores."""
    last = finish(learn_by_imitation(networks.load(), kernel=kernel, **LONG[kernel]), f"{kernel}×{kernel}")
    write_atomically(_file(kernel), lambda file: np.save(file, last.filters.cpu().numpy().astype(np.float16)))
    print(f"{_file(kernel).name}, {_file(kernel).stat().st_size / 1000:.0f} kB:", describe(last))


def describe(step: Taught) -> str:
    """What can be measured of the filters of a step, in a line. A filter is dead below a twentieth of the longest."""
    parts, lengths = explained(step.filters), step.filters.flatten(1).norm(dim=1)
    return (
        f"{step.total} steps, {step.losses['unexplained']:.0%} unexplained; one Gabor explains {parts.median():.0%} of "
        f"the median filter, more than 60 % of {(parts > 0.6).sum()} of {len(parts)}; "
        f"{(lengths < lengths.max() / 20).sum()} dead"
    )


if __name__ == "__main__":
    for kernel in LONG:
        teach(kernel)
    print("a short run:", describe(finish(learn_by_imitation(networks.load()))))
