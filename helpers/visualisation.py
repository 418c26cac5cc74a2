"""Feature visualisation: portraits of a class, a unit or a direction, drawn in a space in which photos are white.

Olah, Mordvintsev & Schubert 2017, "Feature Visualization", section "The Enemy of Feature Visualization" (random
transformations, Fourier coefficients, decorrelated colours); Nguyen, Yosinski & Clune 2016, "Multifaceted Feature
Visualization" (centre-biased: one subject, in the middle).
"""

import math
from collections.abc import Callable, Iterator
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.ascent import Where, categories, or_random, unit_score
from helpers.core import networks
from helpers.core.arguments import above, at_least, at_once, channels, from_to, from_to_below, one_of, with_knobs_of
from helpers.core.images import cut, grid, load, save
from helpers.core.networks import Category, Channel, Layer, Network
from helpers.core.photos import DATA
from helpers.core.priors import from_spectrum, squared_frequencies, total_variation
from helpers.core.steps import Seed, Step, finish, within_memory

SHEET = DATA / "portraits.png"
# Of each class the picture that looked most like it to us, among a few seeds.
SEEDS = {
    "strawberry": 2,
    "king penguin": 6,
    "airliner": 10,
    "goldfish": 2,
    "zebra": 1,
    "African elephant": 9,
    "monarch": 7,
    "flamingo": 5,
    "pineapple": 3,
    "lion": 7,
}
COARSEST, FINEST = 0.05, 1.5  # cycles a pixel: where `coarse` begins, and well beyond the last wave there is


@at_once
@within_memory("lower size ({size}) or the number of pictures at once ({count})")
def visualise(
    network: Network,
    objective: Callable[[Tensor], Tensor],
    count: int,
    size: Annotated[int, (96, 320, 32)] = 224,
    steps: Annotated[int, (10, 400, 10)] = 128,
    rate: Annotated[float, (0.01, 0.2, "log")] = 0.06,
    variation: Annotated[float, (0.0, 300.0, 10.0)] = 40.0,
    turn: Annotated[float, (0.0, 45.0, 5.0)] = 15.0,
    zoom: Annotated[float, (0.0, 0.6, 0.05)] = 0.3,
    jitter: Annotated[int, (0, 32, 2)] = 16,
    coarse: Annotated[float, (0.0, 1.0, 0.1)] = 0.6,
    centre: Annotated[float, (0.0, 2.0, 0.1)] = 0.7,
    seed: Seed = 0,
) -> Iterator[Step]:
    """Climb any objective with Adam on Fourier coefficients; what happens to one picture does not depend on the others.

    The picture is the sigmoid of `priors.from_spectrum`: waves of frequency f count 1/f, and colours go together as
    in ImageNet. Before each step it is turned, scaled and moved at random, mirrored beyond its edges.

    Args:
        objective: images (count, 3, size, size) → what each is to make large, (count,).
        count: how many pictures.
        size: side in pixels.
        steps: how many.
        rate: Adam's: about how far a coefficient moves in the first step; it falls linearly to a tenth at the last.
        variation: weight of the total variation a value (β = 1), subtracted from the objective.
        turn: every step sees the picture turned by up to so many degrees.
        zoom: every step sees the picture scaled by a factor from 1 − zoom to 1 + zoom / 3: mostly smaller, so that a
            subject is drawn as large as the picture.
        jitter: every step sees the picture moved by up to so many pixels.
        coarse: the share of the steps in which finer and finer waves come in; with 0 all are there from the first.
        centre: standard deviation of a Gaussian window in half sides, outside of which the picture fades to grey; 0
            for none.
        seed: picture i has its own random numbers, those that a single run with `seed + i` has.

    Returns:
        Steps with `image` in [0, 1], after the step, and `losses`: the mean "score" over the pictures, as the step
        saw them, and their mean total "variation" a value.

    Raises:
        ValueError: a number outside its range.
        MemoryError: not enough memory on the GPU.

    Departures from Olah et al.: waves come in from coarse to fine (0 switches that off), and the picture fades towards
    its border (0 too). The window stands for the centre-biased regularisation of Nguyen et al., which favours changes
    near the centre; here the picture itself is narrowed.
    """
    above(0, rate=rate)
    at_least(32, size=size)
    at_least(1, steps=steps)
    at_least(0, variation=variation, jitter=jitter, centre=centre)
    from_to(0, 180, turn=turn)
    from_to_below(0, 1, zoom=zoom)
    from_to(0, 1, coarse=coarse)
    yield

    randoms = [torch.Generator().manual_seed(seed + i) for i in range(count)]
    like = network.mean_pixel.new_empty(1, 3, size, size)
    noise = [torch.randn(3, size, size // 2 + 1, 2, generator=random) for random in randoms]
    spectrum = (0.01 * torch.stack(noise).to(like)).requires_grad_()
    search = torch.optim.Adam([spectrum], lr=rate, eps=1e-12)  # 1e-8 is much beside the gradients of a faint unit
    window = _window(like, centre)

    def picture(step):
        passed = spectrum * _passed(like, step / (coarse * steps) if coarse else 1.0)[..., None]
        return torch.sigmoid(window * from_spectrum(passed, size))

    image = picture(0)
    for step in range(1, steps + 1):
        scores = objective(moved(image, turn, zoom, jitter, randoms))
        roughness = total_variation(image, beta=1) / image[0].numel()
        # sums, so that no picture's gradient depends on how many there are
        (slopes,) = torch.autograd.grad(scores.sum(), image)
        (rough,) = torch.autograd.grad(roughness.sum(), image, retain_graph=True)
        (spectrum.grad,) = torch.autograd.grad(image, spectrum, variation * rough - or_random(slopes, randoms))
        search.param_groups[0]["lr"] = rate * (1 - 0.9 * (step - 1) / steps)
        search.step()
        image = picture(step)
        losses = {"score": scores.mean().item(), "variation": roughness.mean().item()}
        yield Step(step, steps, image.detach(), losses)


def _passed(like, progress):
    """How much of each wave there is yet, (H, W // 2 + 1): the limit rises from COARSEST to FINEST, as a power."""
    if progress >= 1:
        return torch.ones_like(squared_frequencies(like))
    limit = COARSEST * (FINEST / COARSEST) ** progress
    return torch.sigmoid((limit - squared_frequencies(like).sqrt()) / (0.15 * limit))


def _window(like, centre):
    """(H, W), 1 in the centre."""
    if centre == 0:
        return torch.ones_like(like[0, 0])
    places = (torch.arange(like.shape[-1]).to(like) + 0.5) / like.shape[-1] * 2 - 1
    return torch.exp(-(places[:, None] ** 2 + places**2) / (2 * centre**2))


def moved(images: Tensor, turn: float, zoom: float, jitter: int, randoms: list[torch.Generator]) -> Tensor:
    """Each square image (N, 3, S, S) turned by up to `turn` degrees, scaled by 1 − `zoom` to 1 + `zoom` / 3 and moved
    by up to `jitter` pixels, mirrored beyond its edges.
    """
    draws = torch.stack([2 * torch.rand(4, generator=random) - 1 for random in randoms]).to(images)
    angles, factors = draws[:, 0] * math.radians(turn), 1 + zoom * (2 * draws[:, 1] - 1) / 3
    cosines, sines = angles.cos() / factors, angles.sin() / factors
    down, across = 2 * jitter / images.shape[-1] * draws[:, 2:].T
    rows = torch.stack([cosines, -sines, across], 1), torch.stack([sines, cosines, down], 1)
    places = F.affine_grid(torch.stack(rows, 1), images.shape, align_corners=False)
    return F.grid_sample(images, places, padding_mode="reflection", align_corners=False)


# ── What is drawn ────────────────────────────────────────────────────────────────────────────────────────────


@with_knobs_of(visualise)
def class_portrait(network: Network, category: Category = "goldfish", **knobs) -> Iterator[Step]:
    """The picture that makes the score of a class before softmax largest.

    Args:
        category: by name or index; a list of several makes a batch, one picture a class.
        **knobs: those of `visualise`.

    Raises:
        ValueError: no such class, no classifier, or as `visualise`.
    """
    wanted = categories(network, category)
    return visualise(network, unit_score(network, "logits", wanted), len(wanted), **knobs)


@with_knobs_of(visualise, size=160, coarse=0.0, centre=0.0)
def unit_portrait(
    network: Network, layer: Layer = "blocks.4", channel: Channel = 0, where: Where = "channel", **knobs
) -> Iterator[Step]:
    """The picture that one neuron, or one channel, of any layer responds to most.

    Args:
        channel: of the layer; a list of several makes a batch, one picture a channel.
        where: the mean over the whole "channel", or only the neuron at its "centre". A layer without places has one
            neuron a channel.
        **knobs: those of `visualise`.

    Raises:
        ValueError: no such layer or channel, or as `visualise`.
    """
    one_of("where", where, Where)
    wanted = channels(channel, network.shape(layer)[0], layer)
    return visualise(network, unit_score(network, layer, wanted, where), len(wanted), **knobs)


@with_knobs_of(visualise, size=160, coarse=0.0, centre=0.0)
def direction_portrait(network: Network, layer: Layer, directions: Tensor, **knobs) -> Iterator[Step]:
    """The picture whose representation goes furthest along a direction: the mean over places of a·d/‖d‖.

    Args:
        layer: such as "penultimate" (in AlexNet and VGG also "fc6").
        directions: (N, C), one picture each: a unit vector is a neuron and its negative what makes that neuron
            smallest, a photo's activation is what the network kept of the photo, a difference of two is what tells
            them apart.
        **knobs: those of `visualise`.

    Raises:
        ValueError: the directions have another length than the layer, or are 0.
    """
    count = network.shape(layer)[0]
    if directions.ndim != 2 or directions.shape[1] != count:
        raise ValueError(f"directions must have shape (N, {count}) for layer {layer!r}, not {tuple(directions.shape)}")
    lengths = directions.norm(dim=1, keepdim=True)
    if not (lengths > 0).all():
        raise ValueError("directions must not be 0")
    units = (directions / lengths).detach().to(network.device)

    def along(images):
        activation = network.activation(images, layer)
        return (activation.flatten(2).mean(2) if activation.ndim > 2 else activation).mul(units).sum(1)

    return visualise(network, along, len(directions), **knobs)


# ── The ten that come with the course ────────────────────────────────────────────────────────────────────────


def portraits() -> dict[str, Tensor]:
    """The ten portraits of `SEEDS` as `make data` has drawn and saved them: category → picture (1, 3, 224, 224)."""
    return dict(zip(SEEDS, cut(load(SHEET), 2, 5).split(1), strict=True))


def draw() -> None:
    """Write the file that `portraits` reads, and print how sure the network is of each. Minutes on two idle cores."""
    network = networks.load()
    drawn = [finish(class_portrait(network, name, seed=seed), name).image for name, seed in SEEDS.items()]
    save(grid(torch.cat(drawn), columns=5, gap=0), SHEET)
    for name, picture in portraits().items():
        print(f"{name}: {network.probabilities(picture)[0, network.category(name)]:.3f}")


if __name__ == "__main__":
    draw()
