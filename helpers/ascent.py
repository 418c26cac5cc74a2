"""Pictures that a network would like to see: gradient ascent over the image.

Simonyan, Vedaldi & Zisserman 2014, "Deep Inside Convolutional Networks", section 2 (the score before softmax, L2);
Yosinski et al. 2015, "Understanding Neural Networks Through Deep Visualization", section 3 (blur, clipping);
Olah, Mordvintsev & Schubert 2017, "Feature Visualization" (jitter, scaling, a decorrelated space).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from helpers.images import Image, check, resize
from helpers.networks import Category, Channel, Layer, Network
from helpers.steps import Seed, Step, within_memory

Start = Literal["zeros", "grey", "noise"]
Space = Literal["fourier", "pixels"]
Where = Literal["channel", "centre"]
Percent = Annotated[float, (0, 95, 5)]

# Covariance of red, green and blue over the ten photos `photos.SCENES`, scaled to trace 3; a test measures it again.
COLOURS = ((1.2457, 0.7933, 0.6178), (0.7933, 0.8523, 0.8199), (0.6178, 0.8199, 0.9020))
POWER = 0.7  # of the covariance, see `decorrelated`

PLAIN = {"space": "pixels", "momentum": 0.0, "decay": 0.0, "jitter": 0, "zoom": 0.0}  # nothing but the gradient
PRESETS = {
    "clear": {},
    "plain": PLAIN,
    # The four of Yosinski et al., for pixels in [0, 1]. Decay, radii (in pixels of 227) and percentiles are relative
    # and stay theirs but for D; their learning rates are replaced by steps of a fixed length.
    "yosinski A": PLAIN | {"rate": 0.05, "blur": 0.5, "small_pixels": 50},
    "yosinski B": PLAIN | {"rate": 0.25, "decay": 0.3, "small_pixels": 20},
    "yosinski C": PLAIN | {"rate": 0.05, "decay": 0.0001, "blur": 1.0},
    # 90 in the original; with steps of a fixed length nothing would grow
    "yosinski D": PLAIN | {"rate": 0.05, "blur": 0.5, "small_gradients": 50},
}


# ── Regularisers ─────────────────────────────────────────────────────────────────────────────────────────────


def total_variation(images: Tensor, beta: float = 2.0) -> Tensor:
    """TV^β = Σ ((x[i, j+1] − x[i, j])² + (x[i+1, j] − x[i, j])²)^(β/2) over pixels and colours, by image.

    Mahendran & Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them", section 2.1. A difference
    that would leave the image counts as 0. Where an image is flat and β < 2 the root has no derivative; the
    gradient there is 0, which is one of its subgradients.

    Args:
        images: (N, 3, H, W).
        beta: at least 1. Below 2 it allows sharp edges, above 2 it spreads them out.

    Returns:
        (N,), differentiable.

    Raises:
        ValueError: `beta` below 1, or `images` that are none.
    """
    check(images)
    if not beta >= 1:
        raise ValueError(f"beta must be at least 1, not {beta}")
    across = F.pad(images[..., :, 1:] - images[..., :, :-1], (0, 1))
    down = F.pad(images[..., 1:, :] - images[..., :-1, :], (0, 0, 0, 1))
    squared = across**2 + down**2
    flat = squared == 0
    # the power is taken of 1 where the image is flat: otherwise its infinite slope times 0 would be NaN
    power = torch.where(flat, 1, squared) ** (beta / 2)
    return torch.where(flat, 0, power).sum(dim=(1, 2, 3))


def blur_slightly(images: Tensor, radius: float) -> Tensor:
    """Gaussian blur of standard deviation `radius` pixels; the image is mirrored at its border. 0 changes nothing."""
    if radius == 0:
        return images
    reach = min(max(1, round(3 * radius)), min(images.shape[-2:]) - 1)
    return gaussian_blur(images, 2 * reach + 1, radius)


def clip_small_pixels(images: Tensor, percent: float, zero: Tensor | float = 0.0) -> Tensor:
    """Set pixels with a small norm to zero.

    Args:
        images: (N, 3, H, W).
        percent: of each image's pixels, those whose norm over the colours, measured from `zero`, lies below this
            percentile become `zero`.
        zero: a colour, (3, 1, 1), or a number: what counts as no signal.
    """
    norms = (images - zero).norm(dim=1, keepdim=True)
    return _clip(images, norms, percent, zero)


def clip_small_gradients(images: Tensor, gradients: Tensor, percent: float, zero: Tensor | float = 0.0) -> Tensor:
    """Set pixels that contribute little to the score to zero.

    To first order, taking a pixel away changes the score by Σ g·x over its colours; those for which the size of
    this lies below the percentile become `zero`. Arguments as in `clip_small_pixels`.
    """
    contributions = (gradients * (images - zero)).sum(dim=1, keepdim=True).abs()
    return _clip(images, contributions, percent, zero)


def _clip(images, sizes, percent, zero):
    if percent == 0:
        return images
    threshold = sizes.flatten(1).quantile(percent / 100, dim=1).view(-1, 1, 1, 1)
    return torch.where(sizes < threshold, torch.as_tensor(zero, dtype=images.dtype, device=images.device), images)


def decorrelated(gradients: Tensor) -> Tensor:
    """The step to take in a space in which natural images are white noise: Σ^POWER · g.

    Images x = M·z made from independent numbers z have the covariance Σ = M·Mᵀ, and a step along the gradient by z
    moves x along M·Mᵀ·g. Natural images have amplitudes that fall as 1/f over the spatial frequencies (Field 1987,
    "Relations between the statistics of natural images", figure 7) and colours that go together (`COLOURS`), so Σ
    multiplies frequencies by 1/f² and mixes colours.

    Departure from Olah et al.: they keep z and let Adam move it; here the metric acts on the pixels, so that every
    regulariser that works on pixels goes with it. Steepest ascent by z would be Σ. Adam moves every z alike, which
    comes to Σ^½. Between the two, POWER was chosen by looking: Σ paints clouds, Σ^½ grain.
    """
    height, width = gradients.shape[-2:]
    down = torch.fft.fftfreq(height, device=gradients.device, dtype=gradients.dtype)
    across = torch.fft.rfftfreq(width, device=gradients.device, dtype=gradients.dtype)
    squared = down[:, None] ** 2 + across**2
    squared[0, 0] = 1 / max(height, width) ** 2  # the mean colour: as if the image were one period
    smooth = torch.fft.irfft2(torch.fft.rfft2(gradients) / squared**POWER, s=(height, width))
    variances, colours = torch.linalg.eigh(gradients.new_tensor(COLOURS))
    return torch.einsum("ij,njhw->nihw", colours * variances**POWER @ colours.T, smooth)


def jittered(images: Tensor, pixels: int, zoom: float, randoms: Sequence[torch.Generator]) -> Tensor:
    """Each image moved round its edges by up to `pixels` and scaled by 1 ± `zoom` about its centre, mirrored beyond."""
    if pixels:
        shifts = [torch.randint(-pixels, pixels + 1, (2,), generator=random).tolist() for random in randoms]
        images = torch.stack([image.roll(shift, (1, 2)) for image, shift in zip(images, shifts, strict=True)])
    if zoom:
        factors = torch.stack([1 + zoom * (2 * torch.rand((), generator=random) - 1) for random in randoms])
        down, across = (_tents(side, factors).to(images)[:, None] for side in images.shape[-2:])
        images = down @ images @ across.mT  # as F.grid_sample, whose gradient on CUDA is not the same twice
    return images


def _tents(side, factors):
    """What each place of a line scaled about its centre takes from the places of the line, (N, side, side): linear
    interpolation, mirrored beyond the ends."""
    middles = torch.arange(side) + 0.5
    places = (middles - side / 2) / factors[:, None] + side / 2
    inside = side - (places.remainder(2 * side) - side).abs()
    nearest = inside.clamp(0.5, side - 0.5)
    return (1 - (nearest[..., None] - middles).abs()).clamp_min(0)


# ── Ascent ───────────────────────────────────────────────────────────────────────────────────────────────────


def class_ascent(
    network: Network,
    category: Category = "goldfish",
    image: Image | None = None,
    start: Start = "zeros",
    space: Space = "fourier",
    size: Annotated[int, (96, 320, 32)] = 224,
    steps: Annotated[int, (10, 400, 10)] = 128,
    rate: Annotated[float, (0.002, 0.1, "log")] = 0.02,
    momentum: Annotated[float, (0.0, 0.95, 0.05)] = 0.8,
    decay: Annotated[float, (0.0, 0.3, 0.005)] = 0.005,
    blur: Annotated[float, (0.0, 2.0, 0.1)] = 0.0,
    blur_every: Annotated[int, (1, 20)] = 4,
    small_pixels: Percent = 0.0,
    small_gradients: Percent = 0.0,
    variation: Annotated[float, (0.0, 50.0, 1.0)] = 0.0,
    jitter: Annotated[int, (0, 32, 2)] = 12,
    zoom: Annotated[float, (0.0, 0.3, 0.01)] = 0.15,
    octaves: Annotated[int, (1, 4)] = 1,
    seed: Seed = 0,
) -> Iterator[Step]:
    """The picture that the network takes most for a class: x* = argmax S_c(x) − λ‖x‖², with all that helps.

    Args:
        category: by name or index; a list of several makes a batch, one picture a class.
        image, start, …, seed: see `ascend`.

    Raises:
        ValueError: no such class, no classifier, or as `ascend`.
    """
    wanted = [category] if isinstance(category, (int, str)) else list(category)
    if "logits" not in network.layers:
        raise ValueError(f"network {network.name} has no classes; take unit_ascent and one of its layers")
    channels = [network.category(each) for each in wanted]
    if not channels:
        raise ValueError("category must name at least one class")
    objective = partial(_unit_score, network, "logits", channels, "channel")
    return ascend(
        network, objective, len(channels), image, start, space, size, steps, rate, momentum, decay, blur, blur_every,
        small_pixels, small_gradients, variation, jitter, zoom, octaves, seed,
    )  # fmt: skip


def unit_ascent(
    network: Network,
    layer: Layer = "blocks.4",
    channel: Channel = 0,
    where: Where = "channel",
    image: Image | None = None,
    start: Start = "zeros",
    space: Space = "fourier",
    size: Annotated[int, (96, 320, 32)] = 160,
    steps: Annotated[int, (10, 400, 10)] = 80,
    rate: Annotated[float, (0.002, 0.1, "log")] = 0.02,
    momentum: Annotated[float, (0.0, 0.95, 0.05)] = 0.8,
    decay: Annotated[float, (0.0, 0.3, 0.005)] = 0.005,
    blur: Annotated[float, (0.0, 2.0, 0.1)] = 0.0,
    variation: Annotated[float, (0.0, 50.0, 1.0)] = 0.0,
    jitter: Annotated[int, (0, 32, 2)] = 12,
    zoom: Annotated[float, (0.0, 0.3, 0.01)] = 0.15,
    seed: Seed = 0,
) -> Iterator[Step]:
    """The picture that one neuron, or one channel, of any layer responds to most.

    Args:
        channel: of the layer; a list of several makes a batch, one picture a channel.
        where: the mean over the whole "channel", or only the neuron at its "centre". A layer without places has one
            neuron a channel.
        image, start, …, seed: see `ascend`.

    Raises:
        ValueError: no such layer or channel, or as `ascend`.
    """
    _one_of("where", where, Where)
    channels = [channel] if isinstance(channel, int) else list(channel)
    count = network.shape(layer)[0]
    if not channels or not all(0 <= each < count for each in channels):
        raise ValueError(f"channel must be from 0 to {count - 1} for layer {layer!r}, not {channel}")
    objective = partial(_unit_score, network, layer, channels, where)
    return ascend(
        network, objective, len(channels), image, start, space, size, steps, rate, momentum, decay, blur,
        variation=variation, jitter=jitter, zoom=zoom, seed=seed,
    )  # fmt: skip


def direction_ascent(network: Network, layer: str, directions: Tensor, **knobs) -> Iterator[Step]:
    """The picture whose representation goes furthest along a direction: the mean over places of a·d/‖d‖.

    Args:
        layer: such as "penultimate" (in AlexNet and VGG also "fc6").
        directions: (N, C), one picture each: a unit vector is a neuron, a photo's activation is what the network
            kept of the photo, a difference of two is what tells them apart.
        **knobs: see `ascend`.

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

    def objective(images):
        activation = network.activation(images, layer)
        return (activation.flatten(2).mean(2) if activation.ndim > 2 else activation).mul(units).sum(1)

    return ascend(network, objective, len(directions), **knobs)


def preset_ascent(
    network: Network,
    category: Category = "goldfish",
    preset: Literal["clear", "plain", "yosinski A", "yosinski B", "yosinski C", "yosinski D"] = "clear",
    size: Annotated[int, (96, 320, 32)] = 224,
    steps: Annotated[int, (10, 400, 10)] = 128,
    seed: Seed = 0,
) -> Iterator[Step]:
    """`class_ascent` with the knobs of one of the `PRESETS`."""
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    return class_ascent(network, category, size=size, steps=steps, seed=seed, **PRESETS[preset])


def ascend(
    network: Network,
    objective: Callable[[Tensor], Tensor],
    count: int,
    image: Tensor | None = None,
    start: Start = "zeros",
    space: Space = "fourier",
    size: int = 224,
    steps: int = 128,
    rate: float = 0.02,
    momentum: float = 0.8,
    decay: float = 0.005,
    blur: float = 0.0,
    blur_every: int = 4,
    small_pixels: float = 0.0,
    small_gradients: float = 0.0,
    variation: float = 0.0,
    jitter: int = 12,
    zoom: float = 0.15,
    octaves: int = 1,
    seed: int = 0,
) -> Iterator[Step]:
    """Climb any objective over `count` pictures at once; what happens to one does not depend on the others.

    Args:
        objective: images (count, 3, H, W) → what each is to make large, (count,).
        image: where to begin, (1 or count, 3, H, W); in place of `start` and `size`.
        start: "zeros" is the colour that the network sees as 0, "grey" is 0.5, "noise" is smooth in Fourier space
            and white in pixels, of deviation 0.1.
        space: steepest ascent in "pixels", or in a space in which natural images are white: see `decorrelated`.
        size: side in pixels.
        steps: of all octaves together.
        rate: root mean square change of an image in its first step; it falls linearly to a tenth of that at the last.
            Simonyan et al. and Yosinski et al. multiply the gradient itself; steps of known length need no tuning.
        momentum: how much of the last direction is kept.
        decay: the share of x that −λ‖x‖² takes away in every step; x is measured from the network's zero.
        blur: radius in pixels, every `blur_every` steps.
        small_pixels, small_gradients: percentiles, see `clip_small_pixels` and `clip_small_gradients`.
        variation: weight of the total variation a pixel (β = 1), subtracted from the objective.
        jitter: every step sees the picture moved by up to so many pixels.
        zoom: every step sees the picture scaled by 1 ± this much.
        octaves: begin with a smaller picture, each 1.4 times the one before.
        seed: picture i has its own random numbers, those that a single run with `seed + i` has.

    Returns:
        Steps with `image` in [0, 1], after the step, and `losses`: the mean "score" over the pictures, as the step
        saw them, and their mean total "variation" a pixel.

    Raises:
        ValueError: a number outside its range, or `image` not one or `count` pictures.
        MemoryError: not enough memory on the GPU.
    """
    _one_of("start", start, Start)
    _one_of("space", space, Space)
    if not rate > 0:
        raise ValueError(f"rate must be over 0, not {rate}")
    _at_least(32, size=size)
    _at_least(1, steps=steps, blur_every=blur_every, octaves=octaves)
    _at_least(0, blur=blur, variation=variation, jitter=jitter)
    _from_0_to_below(1, momentum=momentum, decay=decay, zoom=zoom)
    _from_0_to_below(100, small_pixels=small_pixels, small_gradients=small_gradients)
    if image is not None and len(check(image, "image")) not in (1, count):
        raise ValueError(f"image must be one picture, or one for each of {count} targets, not {len(image)}")
    randoms = [torch.Generator().manual_seed(seed + i) for i in range(count)]
    zero = network.mean_pixel.view(3, 1, 1)
    along = decorrelated if space == "fourier" else lambda gradients: gradients
    if image is None:
        image = _begin(start, size, along, zero, randoms)
    image = image.detach().to(network.device).expand(count, -1, -1, -1)

    def regularise(images, gradients, step):
        images = zero + (1 - decay) * (images - zero)
        if blur and step % blur_every == 0:
            images = blur_slightly(images, blur)
        images = clip_small_pixels(images, small_pixels, zero)
        # the original leaves pixels unbounded; pictures are in [0, 1]
        return clip_small_gradients(images, gradients, small_gradients, zero).clamp(0, 1)

    def move(gradients):
        return along(_or_random(gradients, randoms))

    see = partial(jittered, pixels=jitter, zoom=zoom, randoms=randoms)
    run = _ascend(image, objective, see, move, regularise, steps, rate, momentum, variation, octaves)
    return within_memory(run, f"lower size ({image.shape[-1]}) or the number of pictures at once ({count})")


def _one_of(name, value, choices):
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, not {value!r}")


def _at_least(lowest, **numbers):
    for name, value in numbers.items():
        if not value >= lowest:
            raise ValueError(f"{name} must be at least {lowest}, not {value}")


def _from_0_to_below(limit, **numbers):
    for name, value in numbers.items():
        if not 0 <= value < limit:
            raise ValueError(f"{name} must be from 0 to below {limit}, not {value}")


def _begin(start, size, along, zero, randoms):
    """One image (1 or N, 3, size, size) to begin with."""
    if start == "noise":
        noise = torch.stack([torch.randn(3, size, size, generator=random) for random in randoms])
        return (zero + 0.1 * _unit(along(noise.to(zero)))).clamp(0, 1)
    return torch.full((1, 3, size, size), 0.5) if start == "grey" else zero.expand(1, 3, size, size)


def _unit(gradients):
    """Each image's gradient, divided by its root mean square."""
    size = gradients.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return gradients / size.clamp_min(torch.finfo(gradients.dtype).tiny)


def _or_random(gradients, randoms):
    """A neuron that is silent behind its ReLU gives no gradient: look for it by random steps until it answers."""
    silent = gradients.flatten(1).eq(0).all(dim=1).nonzero()[:, 0].tolist()
    for i in silent:
        gradients[i] = torch.randn(gradients.shape[1:], generator=randoms[i]).to(gradients)
    return gradients


def _unit_score(network, layer, channels, where, images):
    activation = network.activation(images, layer)
    chosen = activation[torch.arange(len(channels)), channels]
    if chosen.ndim == 1:
        return chosen
    if where == "centre":
        return chosen[:, chosen.shape[1] // 2, chosen.shape[2] // 2]
    return chosen.mean(dim=(1, 2))


def _ascend(image, objective, see, move, regularise, steps, rate, momentum, variation, octaves):
    full = image.shape[-2:]
    sizes = [tuple(max(32, round(side / 1.4**k)) for side in full) for k in reversed(range(octaves))]
    direction = torch.zeros_like(image)
    for step in range(1, steps + 1):
        size = sizes[(step - 1) * octaves // steps]
        if image.shape[-2:] != size:
            image, direction = resize(image, size), torch.zeros(*image.shape[:2], *size).to(image)
        image = image.detach().requires_grad_()
        scores, area = objective(see(image)), size[0] * size[1]
        roughness = total_variation(image, beta=1) / area
        # a sum, so that no picture's gradient depends on how many there are
        (gradients,) = torch.autograd.grad((scores - variation * roughness).sum(), image)
        with torch.no_grad():
            direction = momentum * direction + _unit(move(gradients))
            falling = rate * (1 - 0.9 * (step - 1) / steps)
            image = regularise(image + falling * _unit(direction), gradients, step)
            shown = image if image.shape[-2:] == full else resize(image, tuple(full))
        yield Step(step, steps, shown, {"score": scores.mean().item(), "variation": roughness.mean().item()})
