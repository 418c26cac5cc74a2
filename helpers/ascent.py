"""Gradient ascent over the pixels of an image: the lecture's loop, and the tricks that keep noise out of it.

Simonyan, Vedaldi & Zisserman 2014, "Deep Inside Convolutional Networks", section 2 (the score before softmax, L2);
Yosinski et al. 2015, "Understanding Neural Networks Through Deep Visualization", section 3 (blur, clipping);
Olah, Mordvintsev & Schubert 2017, "Feature Visualization" (jitter and scaling; their other space is in
`visualisation`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from helpers.core.arguments import above, at_least, at_once, classes, from_to_below, one_of, with_knobs_of
from helpers.core.images import Image, check, interpolation_weights
from helpers.core.networks import Category, Network
from helpers.core.priors import blur_slightly, total_variation
from helpers.core.steps import Seed, Step, within_memory

Start = Literal["mean", "grey", "noise"]
Where = Literal["channel", "centre"]
Percent = Annotated[float, (0, 95, 5)]

PRESETS = {
    "plain": {},  # nothing but the gradient
    # The four of Yosinski et al., for pixels in [0, 1]. Decay, radii (in pixels of 227) and percentiles are relative
    # and stay theirs but for D; their learning rates are replaced by steps of a fixed length.
    "yosinski A": {"rate": 0.05, "blur": 0.5, "small_pixels": 50},
    "yosinski B": {"rate": 0.25, "decay": 0.3, "small_pixels": 20},
    "yosinski C": {"rate": 0.05, "decay": 0.0001, "blur": 1.0},
    # 90 in the original; with steps of a fixed length nothing would grow
    "yosinski D": {"rate": 0.05, "blur": 0.5, "small_gradients": 50},
}


# ── Regularisers ─────────────────────────────────────────────────────────────────────────────────────────────


def clip_small_pixels(images: Tensor, percent: float, zero: Tensor | float = 0.0) -> Tensor:
    """Set pixels with a small norm to zero.

    Args:
        images: (N, 3, H, W).
        percent: of each image's pixels, those whose norm over the colours, measured from `zero`, lies below this
            percentile become `zero`.
        zero: a colour, (3, 1, 1), or a number: what counts as no signal.
    """
    return _clip(images, lambda: (images - zero).square().sum(1, keepdim=True), percent, zero)


def clip_small_gradients(images: Tensor, gradients: Tensor, percent: float, zero: Tensor | float = 0.0) -> Tensor:
    """Set pixels that contribute little to the score to zero.

    To first order, taking a pixel away changes the score by Σ g·x over its colours; those for which the size of
    this lies below the percentile become `zero`. Arguments as in `clip_small_pixels`.
    """
    return _clip(images, lambda: (gradients * (images - zero)).sum(1, keepdim=True).abs(), percent, zero)


def _clip(images, find_sizes, percent, zero):
    if percent == 0:
        return images
    sizes = find_sizes()
    threshold = sizes.flatten(1).quantile(percent / 100, dim=1).view(-1, 1, 1, 1)
    return torch.where(sizes < threshold, torch.as_tensor(zero, dtype=images.dtype, device=images.device), images)


def jittered(images: Tensor, pixels: int, zoom: float, randoms: Sequence[torch.Generator]) -> Tensor:
    """Each image moved round its edges by up to `pixels` and scaled by 1 ± `zoom` about its centre, mirrored beyond."""
    if pixels:
        shifts = [torch.randint(-pixels, pixels + 1, (2,), generator=random).tolist() for random in randoms]
        images = torch.stack([image.roll(shift, (1, 2)) for image, shift in zip(images, shifts, strict=True)])
    if zoom:
        factors = torch.stack([1 + zoom * (2 * torch.rand((), generator=random) - 1) for random in randoms])
        down, across = (_scaling(side, factors).to(images)[:, None] for side in images.shape[-2:])
        images = down @ images @ across.mT
    return images


def _scaling(side, factors):
    """What each place of a line, scaled about its centre and mirrored beyond its ends, takes from the places of the
    line itself: (N, side, side).
    """
    middles = torch.arange(side) + 0.5
    places = (middles - side / 2) / factors[:, None] + side / 2
    return interpolation_weights(side - (places.remainder(2 * side) - side).abs(), middles)


# ── Ascent ───────────────────────────────────────────────────────────────────────────────────────────────────


@at_once
@within_memory("lower size ({size}) or the number of pictures at once ({count})")
def ascend(
    network: Network,
    objective: Callable[[Tensor], Tensor],
    count: int,
    image: Image | None = None,
    start: Start = "mean",
    size: Annotated[int, (96, 320, 32)] = 224,
    steps: Annotated[int, (10, 400, 10)] = 100,
    rate: Annotated[float, (0.002, 0.1, "log")] = 0.02,
    decay: Annotated[float, (0.0, 0.3, 0.005)] = 0.0,
    blur: Annotated[float, (0.0, 2.0, 0.1)] = 0.0,
    blur_every: Annotated[int, (1, 20)] = 4,
    small_pixels: Percent = 0.0,
    small_gradients: Percent = 0.0,
    variation: Annotated[float, (0.0, 500.0, 10.0)] = 0.0,
    jitter: Annotated[int, (0, 32, 2)] = 0,
    zoom: Annotated[float, (0.0, 0.3, 0.01)] = 0.0,
    seed: Seed = 0,
) -> Iterator[Step]:
    """Climb any objective over `count` pictures at once; what happens to one does not depend on the others.

    Args:
        objective: images (count, 3, H, W) → what each is to make large, (count,).
        count: how many pictures.
        image: where to begin, (1 or count, 3, H, W); in place of `start` and `size`.
        start: "mean" is the colour that the network sees as 0, "grey" is 0.5, "noise" is white about that colour, of
            deviation 0.1.
        size: side in pixels.
        steps: how many.
        rate: root mean square change of an image in its first step; it falls linearly to a tenth of that at the last.
            Simonyan et al. and Yosinski et al. multiply the gradient itself; steps of known length need no tuning.
        decay: the share of x that −λ‖x‖² takes away in every step; x is measured from the network's mean pixel.
        blur: radius in pixels, every `blur_every` steps.
        blur_every: steps from one blur to the next.
        small_pixels: percentile, see `clip_small_pixels`.
        small_gradients: percentile, see `clip_small_gradients`.
        variation: weight of the total variation a pixel (β = 1), subtracted from the objective.
        jitter: every step sees the picture moved by up to so many pixels.
        zoom: every step sees the picture scaled by 1 ± this much.
        seed: picture i has its own random numbers, those that a single run with `seed + i` has.

    Returns:
        Steps with `image` in [0, 1], after the step, and `losses`: the mean "score" over the pictures, as the step
        saw them, and their mean total "variation" a pixel.

    Raises:
        ValueError: a number outside its range, or `image` not one or `count` pictures.
        MemoryError: not enough memory on the GPU.
    """
    one_of("start", start, Start)
    above(0, rate=rate)
    at_least(32, size=size)
    at_least(1, steps=steps, blur_every=blur_every)
    at_least(0, blur=blur, variation=variation, jitter=jitter)
    from_to_below(0, 1, decay=decay, zoom=zoom)
    from_to_below(0, 100, small_pixels=small_pixels, small_gradients=small_gradients)
    if image is not None and len(check(image, "image")) not in (1, count):
        raise ValueError(f"image must be one picture, or one for each of {count} targets, not {len(image)}")
    yield

    randoms = [torch.Generator().manual_seed(seed + i) for i in range(count)]
    zero = network.mean_pixel.view(3, 1, 1)
    image = _begin(start, size, zero, randoms) if image is None else image
    image = image.detach().to(network.device).expand(count, -1, -1, -1)
    for step in range(1, steps + 1):
        image = image.detach().requires_grad_()
        scores = objective(jittered(image, jitter, zoom, randoms))
        with torch.set_grad_enabled(variation > 0):
            roughness = total_variation(image, beta=1) / image[0, 0].numel()
        # a sum, so that no picture's gradient depends on how many there are
        (gradients,) = torch.autograd.grad((scores - variation * roughness).sum(), image)
        with torch.no_grad():
            falling = rate * (1 - 0.9 * (step - 1) / steps)
            image = image + falling * _unit(or_random(gradients, randoms))
            image = zero + (1 - decay) * (image - zero)
            if blur and step % blur_every == 0:
                image = blur_slightly(image, blur)
            image = clip_small_pixels(image, small_pixels, zero)
            # the original leaves pixels unbounded; pictures are in [0, 1]
            image = clip_small_gradients(image, gradients, small_gradients, zero).clamp(0, 1)
        yield Step(step, steps, image, {"score": scores.mean().item(), "variation": roughness.mean().item()})


def _begin(start, size, zero, randoms):
    """One image (1 or N, 3, size, size) to begin with."""
    if start == "noise":
        noise = torch.stack([torch.randn(3, size, size, generator=random) for random in randoms])
        return (zero + 0.1 * noise.to(zero)).clamp(0, 1)
    return zero.new_full((1, 3, size, size), 0.5) if start == "grey" else zero.expand(1, 3, size, size)


def _unit(gradients):
    """Each image's gradient, divided by its root mean square."""
    size = gradients.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return gradients / size.clamp_min(torch.finfo(gradients.dtype).tiny)


def or_random(gradients: Tensor, randoms: Sequence[torch.Generator]) -> Tensor:
    """A neuron that is silent behind its ReLU gives no gradient: look for it by random steps until it answers."""
    silent = gradients.flatten(1).eq(0).all(dim=1).nonzero()[:, 0].tolist()
    for i in silent:
        gradients[i] = torch.randn(gradients.shape[1:], generator=randoms[i]).to(gradients)
    return gradients


# ── Objectives ───────────────────────────────────────────────────────────────────────────────────────────────


@with_knobs_of(ascend)
def class_ascent(network: Network, category: Category = "goldfish", **knobs) -> Iterator[Step]:
    """The picture that the network takes most for a class: x* = argmax S_c(x) − λ‖x‖², pixel by pixel.

    Args:
        category: by name or index; a list of several makes a batch, one picture a class.
        **knobs: those of `ascend`.

    Raises:
        ValueError: no such class, no classifier, or as `ascend`.
    """
    wanted = categories(network, category)
    return ascend(network, unit_score(network, "logits", wanted), len(wanted), **knobs)


@with_knobs_of(ascend, only=("size", "steps", "seed"))
def preset_ascent(
    network: Network,
    category: Category = "goldfish",
    preset: Literal["plain", "yosinski A", "yosinski B", "yosinski C", "yosinski D"] = "plain",
    **knobs,
) -> Iterator[Step]:
    """`class_ascent` with the knobs of one of the `PRESETS`.

    Args:
        preset: "plain" is the gradient alone, the others are those of Yosinski et al.
        **knobs: those of `ascend` that no preset sets.

    Raises:
        ValueError: no such preset, or as `class_ascent`.
    """
    return class_ascent(network, category, **knobs, **PRESETS[one_of("preset", preset, PRESETS)])


def categories(network: Network, category: Category | Sequence[Category]) -> list[int]:
    """One class or several, by name or index, as a list of indices.

    Raises:
        ValueError: no such class, none at all, or a network without classes.
    """
    classes(network)
    wanted = [network.category(each) for each in ([category] if isinstance(category, (int, str)) else category)]
    if not wanted:
        raise ValueError("category must name at least one class")
    return wanted


def unit_score(
    network: Network, layer: str, channels: Sequence[int], where: Where = "channel"
) -> Callable[[Tensor], Tensor]:
    """An objective for `ascend`: picture i (of N) is to make `channels[i]` of the layer large, (N, 3, H, W) → (N,)."""

    def score(images):
        activation = network.activation(images, layer)
        chosen = activation[torch.arange(len(channels)), channels]
        if chosen.ndim == 1:
            return chosen
        if where == "centre":
            return chosen[:, chosen.shape[1] // 2, chosen.shape[2] // 2]
        return chosen.mean(dim=(1, 2))

    return score
