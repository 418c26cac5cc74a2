"""DeepDream: a photo changed until a layer sees more of what it sees already.

Mordvintsev, Olah & Tyka 2015, "Inceptionism: Going Deeper into Neural Networks", and the notebook that Google
published with it (`google/deepdream`), called "the original" below.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.core.arguments import above, at_least, at_once, channels, single
from helpers.core.images import Image, check, fit, resize
from helpers.core.networks import Channel, Layer, Network
from helpers.core.steps import Seed, Step, within_memory

PRODUCTS = 2**24  # dot products between a picture's places and a guide's that are held at once: 64 MiB
GRID = 32  # tiles begin at multiples of this many pixels, the largest stride of the course's networks


def gradients(
    network: Network,
    images: Tensor,
    layers: list[str],
    channel: int | None = None,
    guide: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What reaches the pixels when the gradient at a layer is set to the layer's own activation a.

    It is the gradient of ½‖a‖², summed over units. With a guide every place p of the layer is given, instead of its
    own a_p, the vector y_q of the guide that agrees with it most: the gradient of Σ_p max_q a_p·y_q.

    Args:
        images: (N, 3, H, W).
        layers: each is treated by itself, in one forward pass.
        channel: only this one of every layer; None takes them all.
        guide: layer → activation of the guide, (1, C, h, w) or (1, D), all channels.

    Returns:
        By layer the gradient, (N, 3, H, W), and by layer the mean of ½a² (or ½a·y) over its units, (N,).
    """
    images = images.detach().to(network.device).requires_grad_()
    pixels, energies = {}, {}
    activations = network.activations(images, layers)
    for layer, activation in activations.items():
        activation = _only(activation, channel)
        own = activation.detach()
        target = own if guide is None else best_match(own, _only(guide[layer], channel))
        last = len(pixels) + 1 == len(activations)
        (pixels[layer],) = torch.autograd.grad(activation, images, target, retain_graph=not last)
        energies[layer] = (own * target).flatten(1).mean(dim=1) / 2
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
            pixels, energies = gradients(network, images[box], layers, channel, guide)
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
    layer: Layer = "blocks.4",
    channel: Channel | None = None,
    steps: Annotated[int, (1, 40)] = 15,
    octaves: Annotated[int, (1, 6)] = 3,
    scale: Annotated[float, (1.1, 2.0, 0.1)] = 1.4,
    rate: Annotated[float, (0.001, 0.05, "log")] = 0.01,
    jitter: Annotated[int, (0, 64, 4)] = 32,
    guide: Image | None = None,
    seed: Seed = 0,
    layers: Mapping[str, float] | None = None,
    tile: int = 512,
) -> Iterator[Step]:
    """Let a layer exaggerate what it sees in `image`, from a small copy of it up to its full size.

    Each step is  x ← x + rate · g / mean|g|  with the g of `gradients`, normalised for each image by itself.

    Args:
        image: (N, 3, H, W) of any size.
        layer: what is amplified; see `gradients`.
        channel: only this channel of the layer; None amplifies all.
        steps: in each octave.
        octaves: how many sizes, each `scale` times the one before; the last is the picture's own.
        rate: the mean change of a pixel's value in a step, of the range [0, 1].
        jitter: every step sees the picture moved, round its edges, by up to so many pixels.
        guide: one picture (1, 3, h, w) whose features are amplified instead of those of `image`.
        seed: of the jitter.
        layers: layer → weight, in place of `layer`. Each gradient is normalised before it is weighted, so weights
            compare layers of any depth; a negative one takes away what that layer sees.
        tile: larger pictures are treated in tiles of at most this side, a multiple of 32. Their seams lie elsewhere
            in every step, so they vanish.

    Returns:
        `steps` Steps an octave. `image` always has the full size: the photo with the dream so far enlarged on top of
        it. `losses` hold for each layer the mean of ½a² over units and images.

    Raises:
        ValueError: an unknown layer or channel, a number outside its range, or octaves too small for the network.
        MemoryError: not enough memory on the GPU.

    Departures from the original: smaller octaves are resampled from the photo with antialiasing, not one from the
    other with linear interpolation, and the rate is 1.5/255 there.
    """
    weights = {layer: 1.0} if layers is None else dict(layers)
    check(image, "image")
    at_least(1, steps=steps, octaves=octaves)
    at_least(0, jitter=jitter)
    at_least(192, tile=tile)
    if tile % GRID:
        raise ValueError(f"tile must be a multiple of {GRID}, not {tile}")
    above(1, scale=scale)
    above(0, rate=rate)
    if not any(weights.values()):
        raise ValueError("layers must give at least one layer a weight that is not 0")
    height, width = image.shape[-2:]
    sizes = [(round(height / scale**k), round(width / scale**k)) for k in reversed(range(octaves))]
    _check_layers(network, weights, channel, sizes[0])
    if guide is not None:
        single("guide", guide)
    yield

    photo, random = image.detach().to(network.device), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        features = None if guide is None else network.activations(fit(guide, network.size), weights)
    dream = torch.zeros_like(photo[..., :1, :1])  # what the octaves so far have added to the photo
    for octave, size in enumerate(sizes):
        base = resize(photo, size)
        image = base + F.interpolate(dream, size=size, mode="bilinear")
        for step in range(steps):
            shift = [_draw(length, jitter, tile, random) for length in size]
            seen = image.roll(shift, (2, 3))
            pixels, energies = tiled_gradients(network, seen, list(weights), channel, features, tile)
            change = sum(weight * _unit(pixels[name]) for name, weight in weights.items())
            change = change / sum(abs(weight) for weight in weights.values())
            image = (image + rate * change.roll([-s for s in shift], (2, 3))).clamp(0, 1)
            dream = image - base
            yield Step(
                index=octave * steps + step + 1,
                total=octaves * steps,
                image=(photo + F.interpolate(dream, size=photo.shape[-2:], mode="bilinear")).clamp(0, 1),
                losses={name: energy.mean().item() for name, energy in energies.items()},
            )


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
    reach = max(jitter, tile // 2) if length > tile else jitter
    return int(torch.randint(-reach, reach + 1, (), generator=random))


def _unit(pixels):
    """Each image's gradient, divided by its mean absolute value."""
    return pixels / pixels.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(pixels.dtype).tiny)


@at_once
def zoom_film(
    network: Network,
    image: Image,
    layer: Layer = "blocks.4",
    channel: Channel | None = None,
    frames: Annotated[int, (2, 100)] = 24,
    closer: Annotated[float, (1.0, 1.2, 0.01)] = 1.05,
    steps: Annotated[int, (1, 20)] = 3,
    octaves: Annotated[int, (1, 4)] = 2,
    rate: Annotated[float, (0.001, 0.05, "log")] = 0.01,
    seed: Seed = 0,
) -> Iterator[Step]:
    """A film into the dream: dream a little, step closer, dream on what is there now.

    `steps.record(zoom_film(…)).gif("film.gif")` writes it.

    Args:
        frames: how many; each is one Step.
        closer: the centre is enlarged so much between two frames.
        steps, octaves, rate, seed: of the `deepdream` of each frame; its jitter is drawn anew for every frame.

    Raises:
        ValueError, MemoryError: as `deepdream`; or `frames` below 1, `closer` below 1.
    """
    at_least(1, frames=frames, closer=closer)

    def dream(picture, frame):
        return deepdream(network, picture, layer, channel, steps, octaves, rate=rate, seed=seed + frame)

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
