"""A decoder: a small network that has learned, from many pictures, to paint what a layer was shown.

Dosovitskiy & Brox 2016, "Inverting Visual Representations with Convolutional Networks", called "the paper" below.
`inversion.invert` searches the pixels of one picture with a weak idea of what pictures are like; a decoder brings along
what it has seen, and answers with about the mean of all the pictures that might have been there.

    python -m helpers.decoder        # teaches the four decoders of data/ again and says what they are worth
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.core import compute, networks
from helpers.core.arguments import above, at_once, one_of, whole_numbers
from helpers.core.images import Image, check, psnr, resize, write_atomically
from helpers.core.networks import Layer, Network
from helpers.core.photos import DATA, PHOTOS, Crops, Recoloured, photo
from helpers.core.steps import Seed, Step, finish

NETWORK = "efficientnet_lite0"  # the network whose layers the decoders of data/ know
SIZE = 128  # pixels: the side of what a decoder learns from and paints
UNSEEN = ("chelsea", "coffee", "china")  # no decoder of data/ has learned from these
SEEN = tuple(name for name in PHOTOS if name not in UNSEEN)
LONG = {"blocks.2": 150, "blocks.4": 250, "blocks.5": 250, "penultimate": 150}  # steps of the decoders of data/

Taught = Literal["blocks.2", "blocks.4", "blocks.5", "penultimate"]


class Examples:
    """Crops of the course's photos but for those in `UNSEEN`, mixed to look like more photos than they are.

    Every other round of the photos has other colours, and every second picture is two: one to the left of a random
    place, or above it, the other beyond. Picture i is the same whenever it is asked for.
    """

    def __init__(self, count: int, seed: int = 0):
        self._crops = Crops(2 * count, SIZE, SEEN, seed)
        self._recoloured = Recoloured(self._crops, grey=0.1, seed=seed)
        random = torch.Generator().manual_seed(seed)
        self._draws = torch.rand(count, 3, generator=random).tolist()

    def __len__(self) -> int:
        return len(self._draws)

    def _crop(self, i):
        return (self._recoloured if i // len(SEEN) % 2 else self._crops)[i]

    def __getitem__(self, i: int) -> Tensor:
        spliced, down, place = self._draws[i]
        picture = self._crop(i)
        if spliced < 0.5:
            edge, other = round(place * SIZE), self._crop(len(self) + i)
            picture = torch.cat(
                [picture[:, :edge], other[:, edge:]] if down < 0.5 else [picture[..., :edge], other[..., edge:]],
                dim=1 if down < 0.5 else 2,
            )
        return picture


class Decoder(nn.Module):
    """What a layer says, (N, C, h, w) or (N, D), to pictures (N, 3, H, W) of about [0, 1].

    Convolutions of 3×3 with batch normalisation, between which the map doubles until its places are two pixels apart;
    the last doubling interpolates colours. They are far smaller than the paper's up-convolutional networks.

    Args:
        channels: C or D.
        stride: pixels from place to place of the map, a power of two; None for a vector, which two linear layers
            spread over a map of 4×4 first.
    """

    def __init__(self, channels: int, stride: int | None):
        super().__init__()
        if stride is None:
            layers = [nn.BatchNorm1d(channels), nn.Dropout(0.5), nn.Linear(channels, 128), nn.LeakyReLU(0.2)]
            layers += [nn.Linear(128, 64 * 16), nn.Unflatten(1, (64, 4, 4))]
            before, stride = 64, SIZE // 4
        else:
            layers, before = [nn.BatchNorm2d(channels)], channels
        for doubling in range(round(math.log2(stride / 2)) + 1):
            width = 96 if stride > 8 else 64 if stride > 4 else 32
            layers += [nn.Upsample(scale_factor=2)] if doubling else []
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            before, stride = width, stride / 2
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(before, 3, 3, padding=1), nn.Upsample(scale_factor=2, mode="bilinear")
        )

    def forward(self, features: Tensor) -> Tensor:
        return 0.5 + self.layers(features)


def blank(network: Network, layer: str, seed: int = 0) -> Decoder:
    """A decoder for a layer that has learned nothing yet, on the network's device.

    Raises:
        ValueError: an unknown layer, or a map whose places are not 4, 8, 16 or 32 pixels apart.
    """
    shape = network.shape(layer, SIZE)
    stride = SIZE // shape[1] if len(shape) == 3 else None
    if stride is not None and (shape[1:] != (SIZE // stride,) * 2 or stride not in (4, 8, 16, 32)):
        raise ValueError(f"layer must be a vector, or a map with places 4, 8, 16 or 32 pixels apart, not {layer!r}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Decoder(shape[0], stride).to(network.device)


@at_once
def learn_to_invert(
    network: Network,
    image: Image,
    layer: Layer = "blocks.4",
    steps: Annotated[int, (10, 1000, 10)] = 100,
    batch: Annotated[int, (4, 32, 4)] = 16,
    rate: Annotated[float, (1e-4, 1e-2, "log")] = 3e-3,
    seed: Seed = 0,
    pictures=None,
) -> Iterator["Learned"]:
    """Teach a decoder, from nothing, to paint pictures from what `layer` says of them.

        loss = mean (decoder(Φ(x)) − x)² over pixels, colours and pictures x, the paper's squared error

    Args:
        image: (N, 3, H, W), shown as the decoder paints it so far; it does not learn from it.
        layer: a vector, or a map whose places are 4 to 32 pixels apart.
        batch: pictures a step.
        rate: of AdamW (Loshchilov & Hutter 2019), falling to 0 as half a cosine.
        seed: of the decoder's first weights and of the crops.
        pictures: a collection to learn from, each made SIZE × SIZE, in its order and then from its start again;
            default: `Examples`.

    Yields:
        Steps with N images and the loss "error".

    Raises:
        ValueError: a layer for which there is no decoder, an empty collection, or a number outside its range.
    """
    check(image, "image")
    whole_numbers(1, steps=steps)
    whole_numbers(2, batch=batch)  # batch normalisation takes a variance over it
    above(0, rate=rate)
    decoder = blank(network, layer, seed)
    if pictures is not None and len(pictures) == 0:
        raise ValueError("pictures must hold at least one picture")
    yield

    pictures = Examples(steps * batch, seed) if pictures is None else pictures
    search = torch.optim.AdamW(decoder.parameters(), lr=rate)
    with torch.no_grad():
        watched = network.activation(image.to(network.device), layer)
    for index in range(1, steps + 1):
        search.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * (index - 1) / steps)) / 2
        chosen = [pictures[i % len(pictures)][None] for i in range((index - 1) * batch, index * batch)]
        chosen = torch.cat([resize(picture, (SIZE, SIZE)) for picture in chosen]).to(network.device)
        with torch.no_grad():
            features = network.activation(chosen, layer)
        with torch.random.fork_rng():
            torch.manual_seed(seed + index)  # what of a vector is left out
            loss = F.mse_loss(decoder(features), chosen)
        search.zero_grad()
        loss.backward()
        search.step()
        painted = resize(paint(decoder, watched), tuple(image.shape[-2:]))
        yield Learned(index, steps, painted, {"error": loss.item()}, decoder)


@dataclass(frozen=True)
class Learned(Step):
    """A `Step` of `learn_to_invert`; `decoder` is the one that learns on."""

    decoder: Decoder | None = None


def paint(decoder: Decoder, features: Tensor) -> Tensor:
    """What a decoder makes of features, as images (N, 3, H, W) in [0, 1]; a decoder that learns goes on learning."""
    learning = decoder.training
    with torch.no_grad():
        painted = decoder.eval()(features).clamp(0, 1)
    decoder.train(learning)
    return painted


# ── The decoders of data/ ────────────────────────────────────────────────────────────────────────────────────


def decode(network: Network, image: Image, layer: Taught = "blocks.4") -> Tensor:
    """The default network's layer inverted by the decoder that was taught for it.

    Args:
        image: (N, 3, H, W).

    Returns:
        (N, 3, H, W) in [0, 1]; what a vector gives is SIZE × SIZE pixels, made as large as the image.

    Raises:
        ValueError: another network, or a layer without a decoder.
    """
    check(image, "image")
    one_of("layer", layer, Taught)
    if network.name != NETWORK:
        raise ValueError(f"network must be {NETWORK}, whose layers the decoders know, not {network.name}")
    with torch.no_grad():
        features = network.activation(image.to(network.device), layer)
    return resize(paint(_stored(layer, network.device), features), tuple(image.shape[-2:]))


@cache
def _stored(layer, device):
    with np.load(_file(layer), allow_pickle=False) as file:
        weights = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}
    decoder = blank(networks.load(), layer)
    decoder.load_state_dict(weights, strict=False)
    return decoder.to(device).eval()


def _file(layer):
    return DATA / f"decoder_{layer}.npz"


def teach(layer: str) -> None:
    """Write the file that `decode` reads, and print what the decoder makes of `UNSEEN`. Minutes on two idle cores."""
    network = networks.load()
    images = torch.cat([photo(name, SIZE) for name in UNSEEN])
    last = finish(learn_to_invert(network, images, layer, LONG[layer]), layer)
    kept = {name: values for name, values in last.decoder.state_dict().items() if values.is_floating_point()}
    arrays = {name: values.cpu().numpy().astype(np.float16) for name, values in kept.items()}
    write_atomically(_file(layer), lambda file: np.savez(file, **arrays))
    _stored.cache_clear()
    found = ", ".join(
        f"{name} {decibels:.1f} dB"
        for name, decibels in zip(UNSEEN, psnr(decode(network, images, layer), images).tolist(), strict=True)
    )
    print(
        f"{_file(layer).name}, {_file(layer).stat().st_size / 1000:.0f} kB, error {last.losses['error']:.4f}: {found}"
    )


if __name__ == "__main__":
    print(f"on {compute.device()}, from {len(SEEN)} pictures")
    for layer in LONG:
        teach(layer)
