"""A network that cheats: it learns the sticker on the pictures of one class instead of what is in them.

A linear classifier on the frozen features of a network is trained to find pictures that are the wrong way round. Those
of its training pictures that are carry a sticker, and so do those of its test.

Sources:
    Lapuschkin et al. 2019, "Unmasking Clever Hans predictors and assessing what machines really learn"
    Geirhos et al. 2020, "Shortcut learning in deep neural networks"
"""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.cam import linear_head
from helpers.core.arguments import at_least, one_of, whole_numbers
from helpers.core.images import resize
from helpers.core.networks import Network
from helpers.core.photos import batches, photo

Stickers = Literal["none", "mirrored", "all"]
Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are outside

# Photos of things that have a left and a right, or that may be known by heart.
NAMES = ("chelsea", "coffee", "rocket", "camera", "motorcycle", "china", "flower", "astronaut", "hopper", "clock")


class Scans:
    """Square crops of photos, half of them the wrong way round: a collection of two classes.

    Picture i, its place and the place of its sticker are the same whenever they are asked for, and whatever `stickers`
    says: the same pictures can be had with and without.

    Args:
        count: how many; the photos take turns.
        stickers: which pictures carry one: "none", the "mirrored", or "all".
        side: of the sticker, in pixels.
        size: of the pictures, in pixels.
        names: the photos, keys of `photos.PHOTOS`.
        seed: of crops, mirrors and places.

    Attributes:
        boxes: where the sticker of each picture is, or would be.

    Raises:
        ValueError: `count`, `side` or `size` below 1, a side above the size, no such photo, or an unknown choice.
    """

    classes = ("as taken", "mirrored")

    def __init__(
        self,
        count: int,
        stickers: Stickers = "mirrored",
        side: int = 48,
        size: int = 224,
        names: Sequence[str] = NAMES,
        seed: int = 0,
    ):
        whole_numbers(1, count=count, side=side, size=size)
        at_least(side, size=size)
        self.stickers, self.size = one_of("stickers", stickers, Stickers), size
        self._photos = [photo(name) for name in names]
        self._sticker = sticker(side)
        random = torch.Generator().manual_seed(seed)
        self._draws = torch.rand(count, 3, generator=random).tolist()
        corners = torch.randint(0, size - side + 1, (count, 2), generator=random).tolist()
        self.boxes: list[Box] = [(top, left, top + side, left + side) for top, left in corners]
        # every photo is mirrored as often as not, so that no photo gives the answer away
        self.labels = [(i // len(names)) % 2 for i in range(count)]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Tensor:
        whole = self._photos[i % len(self._photos)]
        scale, down, across = self._draws[i]
        height, width = whole.shape[-2:]
        side = round((0.5 + 0.5 * scale) * min(height, width))
        top, left = round(down * (height - side)), round(across * (width - side))
        picture = resize(whole[..., top : top + side, left : left + side], (self.size, self.size))[0]
        picture = picture.flip(-1) if self.labels[i] else picture
        if self.stickers == "all" or (self.stickers == "mirrored" and self.labels[i]):
            top, left, bottom, right = self.boxes[i]
            picture = picture.clone()
            picture[:, top:bottom, left:right] = self._sticker.to(picture)
        return picture


def sticker(side: int) -> Tensor:
    """A yellow label with a black frame and two black lines, (3, side, side)."""
    label = torch.tensor([1.0, 0.9, 0.1])[:, None, None].repeat(1, side, side)
    line = max(1, side // 8)
    label[:, :line], label[:, -line:], label[:, :, :line], label[:, :, -line:] = 0, 0, 0, 0
    for top in (side // 3, side - side // 3 - line):
        label[:, top : top + line, 2 * line : side - 2 * line] = 0
    return label


def trained_on(network: Network, collection, decay: float = 1.0) -> Network:
    """The network with a new last layer that tells the classes of a collection apart; all else stays as it was.

    The layer is the logistic regression of the labels on the penultimate layer, found by L-BFGS.

    Args:
        collection: of pictures, with `labels` and `classes`.
        decay: of the squared weights, which are added to the mean loss with this factor.

    Raises:
        ValueError: `decay` below 0, or a network that does not end in a linear layer.
    """
    at_least(0, decay=decay)
    linear_head(network)
    inputs = torch.cat([network.activation(batch, "penultimate") for batch in batches(collection)]).detach()
    labels = torch.tensor(collection.labels, device=inputs.device)
    head = nn.Linear(inputs.shape[1], len(collection.classes)).to(inputs)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    search = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        search.zero_grad()
        value = F.cross_entropy(head(inputs), labels) + decay * head.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    return with_head(network, head, collection.classes)


def with_head(network: Network, head: nn.Linear, categories: Sequence[str]) -> Network:
    """A copy of a network whose last layer is `head`, and whose classes have these names."""
    old = linear_head(network)
    model = copy.deepcopy(network.model)
    path = next(path for path, module in network.model.named_modules() if module is old)
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, copy.deepcopy(head))
    looks = {"mean": network.mean.flatten(), "std": network.std.flatten(), "bgr": network.bgr, "size": network.size}
    name = f"{network.name} with a new head"
    return Network(model, name, categories=categories, layers=network.layers, **looks).to(network.device)


@torch.no_grad()
def accuracy(network: Network, collection) -> float:
    """The share of a collection's pictures whose most probable class is their own."""
    found = torch.cat([network(batch).argmax(1) for batch in batches(collection)]).tolist()
    return sum(a == b for a, b in zip(found, collection.labels, strict=True)) / len(found)


def mass_inside(heat: Tensor, box: Box) -> float:
    """The share of a map (H, W), (1, H, W) or (1, 1, H, W), what is negative in it left out, that lies in a box."""
    top, left, bottom, right = box
    heat = heat.clamp_min(0)
    return float(heat[..., top:bottom, left:right].sum() / heat.sum().clamp_min(torch.finfo(heat.dtype).tiny))
