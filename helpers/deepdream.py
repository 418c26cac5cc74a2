"""DeepDream: a photo changed until a layer sees more of what it sees already.

Mordvintsev, Olah & Tyka 2015, "Inceptionism: Going Deeper into Neural Networks", and the notebook that Google
published with it (`google/deepdream`), called "the original" below.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.core.arguments import above, at_least, at_once, channels, one_of, single, with_knobs_of
from helpers.core.images import Image, check, fit, resize
from helpers.core.networks import Channel, Layer, Network
from helpers.core.priors import balanced
from helpers.core.steps import Seed, Step, within_memory

Target = Literal["positive", "signed"]

PRODUCTS = 2**24  # dot products between a picture's places and a guide's that are held at once: 64 MiB
GRID = 32  # tiles begin at multiples of this many pixels, the largest stride of the course's networks


def gradients(
    network: Network,
    images: Tensor,
    layers: list[str],
    channel: int | None = None,
    guide: Mapping[str, Tensor] | None = None,
    target: Target = "positive",
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What reaches the pixels when the gradient at a layer is set to the layer's own activation a, or to max(a, 0).

    It is the gradient of ½‖a‖² ("signed": the original) or of ½‖max(a, 0)‖² ("positive"), summed over units. Behind a
    ReLU the two are one. With a guide every place p of the layer is given the vector y_q of the guide that agrees with
    it most: the gradient of Σ_p max_q a_p·y_q.

    Args:
        images: (N, 3, H, W).
        layers: each is treated by itself, in one forward pass.
        channel: only this one of every layer; None takes them all.
        guide: layer → activation of the guide, (1, C, h, w) or (1, D), all channels.
        target: "signed" pushes a negative unit further below zero, "positive" leaves it alone; a guide overrides both.

    Returns:
        By layer the gradient, (N, 3, H, W), and by layer the mean over its units of ½a·t, where t is what was set as
        the gradient there, (N,).
    """
    images = images.detach().to(network.device).requires_grad_()
    pixels, energies = {}, {}
    activations = network.activations(images, layers)
    for layer, activation in activations.items():
        activation = _only(activation, channel)
        own = activation.detach()
        if guide is None:
            pull = own if target == "signed" else own.clamp(min=0)
        else:
            pull = best_match(own, _only(guide[layer], channel))
        last = len(pixels) + 1 == len(activations)
        (pixels[layer],) = torch.autograd.grad(activation, images, pull, retain_graph=not last)
        energies[layer] = (own * pull).flatten(1).mean(dim=1) / 2
    return pixels, energies


def _only(activation, channel):
    return activation if channel is None else activation[:, channel : channel + 1]


def best_match(activation: Tensor, guide: Tensor) -> Tensor:
    """For every place of `activation` the vector of `guide` that has the largest dot product with it.

    Args:
        activation: (N, C, H, W), or (N, C), which is a single place.
        guide: (1, C, h, w) or (1, C).

    Returns:
        Vectors of the guide, in the shape of `activation`.
    """
    places = activation.reshape(*activation.shape[:2], -1)  # (N, C, HW)
    offered = guide.reshape(guide.shape[1], -1)  # (C, hw)
    most = max(1, PRODUCTS // (len(places) * offered.shape[1]))
    found = [
        offered[:, (some.transpose(1, 2) @ offered).argmax(dim=2)].transpose(0, 1) for some in places.split(most, dim=2)
    ]
    return torch.cat(found, dim=2).reshape(activation.shape)


def tiled_gradients(
    network: Network,
    images: Tensor,
    layers: list[str],
    channel: int | None = None,
    guide: Mapping[str, Tensor] | None = None,
    tile: int = 512,
    target: Target = "positive",
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """`gradients`, one tile after the other, so that memory is bounded by a tile and not by the picture.

    A tile does not see its neighbours: within a receptive field of a seam the gradient is another one. The pixels
    that lie further inside get the gradient of the whole picture.
    """
    total: dict[str, Tensor] = {}
    mean: dict[str, Tensor] = {}
    height, width = images.shape[-2:]
    for top, bottom in _spans(height, tile):
        for left, right in _spans(width, tile):
            box = (..., slice(top, bottom), slice(left, right))
            pixels, energies = gradients(network, images[box], layers, channel, guide, target)
            share = (bottom - top) * (right - left) / (height * width)
            for layer in layers:
                total.setdefault(layer, torch.empty_like(images))[box] = pixels[layer]
                mean[layer] = mean.get(layer, 0) + share * energies[layer]
    return total, mean


def _spans(length, tile):
    """The fewest (start, end) of at most `tile` pixels that cover `length`, of about equal size, on the grid."""
    count = -(-length // tile)
    ends = [min(length, -(-length * i // (count * GRID)) * GRID) for i in range(count)] + [length]
    return list(pairwise(ends))


@at_once
@within_memory("lower tile ({tile}), the size of the picture, or how many there are ({image.shape[0]})")
def deepdream(
    network: Network,
    image: Image,
    layer: Layer = "blocks.5.0.bn1",
    channel: Channel | None = None,
    target: Target = "positive",
    balance: Annotated[float, (0.0, 2.0, 0.1)] = 0.8,
    steps: Annotated[int, (1, 40)] = 12,
    octaves: Annotated[int, (1, 6)] = 4,
    scale: Annotated[float, (1.1, 2.0, 0.1)] = 1.4,
    rate: Annotated[float, (0.001, 0.05, "log")] = 0.01,
    jitter: Annotated[int, (0, 64, 4)] = 32,
    guide: Image | None = None,
    seed: Seed = 0,
    layers: Mapping[str, float] | None = None,
    tile: int = 512,
) -> Iterator[Step]:
    """Let a layer exaggerate what it sees in `image`, from a small copy of it up to its full size.

    Each step is  x ← x + rate · d / mean|d|  with d = g / f^balance and the g of `gradients`, for each image by itself.
    Where there are several layers, d is the sum of their d / mean|d|, weighted.

    Args:
        image: (N, 3, H, W) of any size.
        layer: what is amplified; see `gradients`.
        channel: only this channel of the layer; None amplifies all.
        target: "positive" makes positive units more positive; "signed" makes negative ones more negative, too.
        balance: the power by which a step favours long waves (`priors.balanced`); 0 is the plain gradient.
        steps: in each octave.
        octaves: how many sizes, each `scale` times the one before; the last is the picture's own.
        scale: from one octave to the next.
        rate: the mean change of a pixel's value in a step, of the range [0, 1].
        jitter: every step sees the picture moved, round its edges, by up to so many pixels.
        guide: one picture (1, 3, h, w) whose features are amplified instead of those of `image`; see `gradients`.
        seed: of the jitter.
        layers: layer → weight, in place of `layer`. Each step is normalised before it is weighted, so weights
            compare layers of any depth; a negative one takes away what that layer sees.
        tile: larger pictures are treated in tiles of at most this side, a multiple of 32. Their seams lie elsewhere
            in every step, so that their errors do not add up.

    Returns:
        `steps` Steps an octave. `image` always has the full size: the photo with the dream so far enlarged on top of
        it. `losses` hold for each layer the mean over units and images that `gradients` gives.

    Raises:
        ValueError: an unknown layer or channel, a number outside its range, or octaves too small for the network.
        MemoryError: not enough memory on the GPU.

    Departures from the original: the step is balanced (0 switches that off); negative units are left alone (in the
    original's network a ReLU has made them 0); smaller octaves are resampled from the photo with antialiasing, not one
    from the other with linear interpolation; the rate is 1.5/255 there.
    """
    weights = {layer: 1.0} if layers is None else dict(layers)
    check(image, "image")
    at_least(192, tile=tile)
    if tile % GRID:
        raise ValueError(f"tile must be a multiple of {GRID}, not {tile}")
    at_least(0, balance=balance)
    one_of("target", target, Target)
    if not any(weights.values()):
        raise ValueError("layers must give at least one layer a weight that is not 0")
    seen = {}

    def direction(images):
        pixels, seen["energies"] = tiled_gradients(network, images, list(weights), channel, features, tile, target)
        return sum(weight * _unit(balanced(pixels[name], balance)) for name, weight in weights.items())

    photo = image.detach().to(network.device)
    run = dream_along(direction, photo, 0, steps, octaves, scale, rate, jitter, seed, seams=tile)
    _check_layers(network, weights, channel, _sizes(image, octaves, scale)[0])
    if guide is not None:
        single("guide", guide)
    yield

    with torch.no_grad():
        features = None if guide is None else network.activations(fit(guide, network.size), weights)
    for step in run:
        yield replace(step, losses={name: energy.mean().item() for name, energy in seen["energies"].items()})


@at_once
def dream_along(
    direction: Callable[[Tensor], Tensor],
    image: Image,
    balance: float = 0.8,
    steps: int = 12,
    octaves: int = 4,
    scale: float = 1.4,
    rate: float = 0.01,
    jitter: int = 32,
    seed: Seed = 0,
    seams: int | None = None,
) -> Iterator[Step]:
    """The octaves, the jitter and the balanced step of `deepdream`, along any direction.

    Args:
        direction: pictures (N, 3, h, w) as they are moved and sized in a step → the way to go, of the same shape. It
            is balanced and divided by its mean absolute value, for each picture by itself.
        image, balance, steps, octaves, scale, rate, jitter, seed: as in `deepdream`.
        seams: where `direction` works in tiles of this side, the seams between them are moved through the whole tile.

    Returns:
        Steps as those of `deepdream`, without losses.

    Raises:
        ValueError: a number outside its range, or an image that is none.
    """
    check(image, "image")
    at_least(1, steps=steps, octaves=octaves)
    at_least(0, balance=balance, jitter=jitter)
    above(1, scale=scale)
    above(0, rate=rate)
    yield

    photo, random = image.detach(), torch.Generator().manual_seed(seed)
    dream = torch.zeros_like(photo[..., :1, :1])  # what the octaves so far have added to the photo
    for octave, size in enumerate(_sizes(photo, octaves, scale)):
        base = resize(photo, size)
        image = base + F.interpolate(dream, size=size, mode="bilinear")
        for step in range(steps):
            shift = [_draw(length, jitter, seams, random) for length in size]
            way = _unit(balanced(direction(image.roll(shift, (2, 3))), balance))
            image = (image + rate * way.roll([-s for s in shift], (2, 3))).clamp(0, 1)
            dream = image - base
            yield Step(
                index=octave * steps + step + 1,
                total=octaves * steps,
                image=(photo + F.interpolate(dream, size=photo.shape[-2:], mode="bilinear")).clamp(0, 1),
            )


def _sizes(image, octaves, scale):
    """Height and width of every octave, the smallest first."""
    height, width = image.shape[-2:]
    return [(round(height / scale**k), round(width / scale**k)) for k in reversed(range(octaves))]


def _check_layers(network, layers, channel, size):
    for layer in layers:
        try:
            count = network.shape(layer, size)[0]
        except RuntimeError:
            raise ValueError(
                f"the first octave would have {size[0]}×{size[1]} pixels, too few for {network.name}: "
                "lower octaves or scale, or take a larger picture"
            ) from None
        if channel is not None:
            channels(channel, count, layer)


def _draw(length, jitter, tile, random):
    """A shift of up to `jitter` pixels; where there are several tiles their seams must reach every pixel."""
    reach = max(jitter, tile // 2) if tile is not None and length > tile else jitter
    return int(torch.randint(-reach, reach + 1, (), generator=random))


def _unit(direction):
    """Each image's direction, divided by its mean absolute value."""
    return direction / direction.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(direction.dtype).tiny)


@with_knobs_of(
    deepdream,
    only=("layer", "channel", "target", "balance", "steps", "octaves", "scale", "rate", "jitter", "seed"),
    steps=3,
    octaves=2,
)
@at_once
def zoom_film(
    network: Network,
    image: Image,
    frames: Annotated[int, (2, 100)] = 24,
    closer: Annotated[float, (1.0, 1.2, 0.01)] = 1.05,
    **knobs,
) -> Iterator[Step]:
    """A film into the dream: dream a little, step closer, dream on what is there now.

    `steps.record(zoom_film(…)).gif("film.gif")` writes it.

    Args:
        frames: how many; each is one Step.
        closer: the centre is enlarged so much between two frames.
        **knobs: of the `deepdream` of each frame; `seed` counts up from frame to frame.

    Raises:
        ValueError, MemoryError: as `deepdream`; or `frames` below 1, `closer` below 1.
    """
    at_least(1, frames=frames, closer=closer)
    first = knobs.pop("seed", 0)

    def dream(picture, frame):
        return deepdream(network, picture, seed=first + frame, **knobs)

    dream(image, 0)  # refuses what there is to refuse
    yield

    for frame in range(frames):
        (last,) = deque(dream(image, frame), maxlen=1)
        yield Step(frame + 1, frames, last.image, last.losses)
        image = closer_up(last.image, closer)


def closer_up(images: Tensor, factor: float) -> Tensor:
    """The centre of each image, enlarged `factor` times, in the size of the whole: (N, 3, H, W)."""
    towards = torch.eye(2, 3, dtype=images.dtype, device=images.device) / factor
    grid = F.affine_grid(towards.expand(len(images), 2, 3), images.shape, align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
