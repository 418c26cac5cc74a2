"""The patches of a collection that excite each channel of a layer most.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014), figure 2, show the top nine;
Girshick et al., "Rich Feature Hierarchies for Accurate Object Detection" (CVPR 2014), section 3.1, the first. How
much of a receptive field counts: Luo et al., "Understanding the Effective Receptive Field in Deep CNNs" (NIPS 2016).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from helpers.core.arguments import at_least, channels, single
from helpers.core.fields import ReceptiveField
from helpers.core.images import check
from helpers.core.networks import Layer, Network
from helpers.core.photos import batches

PADDING = 0.5  # neutral grey: what lies outside the picture


@dataclass(frozen=True)
class Strongest:
    """Where each channel of a layer was excited most, strongest first; tensors of shape (channels, k).

    Attributes:
        values: the activations.
        images: the index of each one's picture in the collection.
        rows: the unit's row in the layer's map; 0 in a layer without a map.
        columns: the unit's column.
        field: the pixels that the layer's units see.
    """

    values: Tensor
    images: Tensor
    rows: Tensor
    columns: Tensor
    field: ReceptiveField

    def first(self, k: int) -> "Strongest":
        """The `k` strongest of each channel."""
        few = (each[:, :k] for each in (self.values, self.images, self.rows, self.columns))
        return Strongest(*few, self.field)

    def boxes(self, channel: int) -> list[tuple[int, int, int, int]]:
        """(top, left, bottom, right) in pixels of each patch of a channel; it may reach beyond the picture."""
        at = zip(self.rows[channel].tolist(), self.columns[channel].tolist(), strict=True)
        return [self.field.box(row, column) for row, column in at]


def strongest(
    network: Network,
    collection,
    layer: Layer,
    k: int = 9,
    per_image: int = 1,
    batch: int = 16,
    per_label: int | None = None,
    inside: bool = False,
) -> Strongest:
    """The `k` strongest activations of every channel of a layer over a collection, in one pass through it.

    Only the best so far are kept, so memory does not grow with the collection, and all channels are ranked at once.

    Args:
        collection: pictures of one size; anything with `len()` and `collection[i]` → (3, H, W).
        layer: any layer; each unit of a fully connected one is a channel that sees the whole picture.
        k: how many a channel; fewer come back where the collection has fewer.
        per_image: how many of them may come from one picture.
        batch: pictures a forward pass.
        per_label: how many of them may come from pictures that share a label, such as crops of one photo, by
            `collection.labels`; None: any number.
        inside: only units whose field lies in the picture, so that none sees padding; in a layer where no field
            does, all of them.

    Raises:
        ValueError: an empty collection, a number below 1, an unknown layer, or pictures that are not finite.
    """
    return strongest_of(network, collection, [layer], k, per_image, batch, per_label, inside)[layer]


@torch.inference_mode()
def strongest_of(
    network: Network,
    collection,
    layers: Iterable[Layer],
    k: int = 9,
    per_image: int = 1,
    batch: int = 16,
    per_label: int | None = None,
    inside: bool = False,
) -> dict[str, Strongest]:
    """`strongest` for several layers in the same pass: layer → what was found there."""
    at_least(1, k=k, per_image=per_image, batch=batch, per_label=1 if per_label is None else per_label)
    layers = list(layers)
    for layer in layers:
        network.path(layer)  # an unknown layer is named before the first picture is read
    labels = None if per_label is None else torch.as_tensor(collection.labels, device=network.device)
    kept: dict[str, dict[str, Tensor]] = {layer: {} for layer in layers}
    done = 0
    for images in batches(collection, batch):
        size = tuple(images.shape[-2:])
        for layer, maps in network.activations(images, layers).items():
            if inside and maps.ndim == 4:
                maps = maps.masked_fill(~_inside(network.receptive_field(layer, size), maps, size), -torch.inf)
            best = _best(maps, per_image, done)
            if labels is None:
                kept[layer] = merged(kept[layer], best, k)
            else:
                kept[layer] = merged({}, _few_of_a_label(kept[layer], best, labels, per_label), k)
        done += len(images)
    return {
        layer: _found(kept[layer], network.shape(layer, size), network.receptive_field(layer, size)) for layer in layers
    }


def _inside(field, maps, size):
    """Which units of a map see nothing but the picture, (H, W); all of them, if none does."""
    rows, columns = (
        torch.tensor([field.box(i, i)[axis] >= 0 and field.box(i, i)[axis + 2] <= size[axis] for i in range(side)])
        for axis, side in enumerate(maps.shape[2:])
    )
    units = rows[:, None] & columns
    return (units if units.any() else ~units).to(maps.device)


def _found(kept, shape, field):
    """The strongest units, without the places in a row for which the collection has too few labels or units."""
    there = kept["value"].isfinite().all(0)
    value, image, unit = (kept[name][:, there] for name in ("value", "image", "unit"))
    width = shape[2] if len(shape) == 3 else 1
    return Strongest(value, image, unit // width, unit % width, field)


def _few_of_a_label(kept, found, labels, most):
    """Those kept so far and those found, strongest first; what has `most` stronger ones of its label counts as −∞."""
    count = found["value"].shape[1] + (kept["value"].shape[1] if kept else 0)
    joined = merged(kept, found, count)
    label = labels[joined["image"]]
    stronger = (label[:, :, None] == label[:, None, :]).tril(-1).sum(2)
    return joined | {"value": joined["value"].masked_fill(stronger >= most, -torch.inf)}


def merged(kept: dict[str, Tensor], found: dict[str, Tensor], k: int) -> dict[str, Tensor]:
    """The `k` strongest of each channel among those kept so far and those found in a batch, strongest first.

    Args:
        kept: "value" and whatever goes with a value, by name, each (channels, at most k); empty before the first batch.
        found: the same of new pictures, each (channels, any number).
    """
    joined = {name: torch.cat([kept[name], new], dim=1) for name, new in found.items()} if kept else found
    order = joined["value"].topk(min(k, joined["value"].shape[1]), dim=1).indices
    return {name: values.gather(1, order) for name, values in joined.items()}


def _best(maps, per_image, first):
    """The strongest units of a batch whose pictures are numbered from `first`, each (channels, N · per_image)."""
    units = maps.flatten(2) if maps.ndim > 2 else maps[..., None]  # (N, C, H·W)
    count = min(per_image, units.shape[2])
    value, unit = units.max(dim=2, keepdim=True) if count == 1 else units.topk(count, dim=2)
    image = torch.arange(first, first + len(maps), device=maps.device).view(-1, 1, 1).expand_as(unit)
    best = {"value": value, "image": image, "unit": unit}
    return {name: each.transpose(0, 1).flatten(1) for name, each in best.items()}


# ── Their pictures ───────────────────────────────────────────────────────────────────────────────────────────


def patches(collection, found: Strongest, channel: int, longest: int | None = None, whole: bool = False) -> Tensor:
    """The patches of one channel, strongest first, (k, 3, h, w): its receptive field in each picture.

    Args:
        collection: the one that `found` was made from.
        channel: from 0.
        longest: as in `crop`.
        whole: the whole picture, where the field is larger than it.

    Raises:
        ValueError: no such channel.
    """
    if not 0 <= channel < len(found.values):
        raise ValueError(f"channel must be from 0 to {len(found.values) - 1}, not {channel}")
    places = zip(found.images[channel].tolist(), found.boxes(channel), strict=True)
    return torch.cat([crop(collection[i], *_shown(collection[i], box, longest, whole)) for i, box in places])


def _shown(image, box, longest, whole):
    """The box to cut, and its longest side."""
    height, width = image.shape[-2:]
    larger = whole and box[2] - box[0] >= height and box[3] - box[1] >= width
    return ((0, 0, height, width), None) if larger else (box, longest)


def crop(image: Tensor, box: tuple[int, int, int, int], longest: int | None = None) -> Tensor:
    """The pixels of a box, (1, 3, h, w); what lies beyond the picture is grey.

    Args:
        image: (3, H, W) or (1, 3, H, W).
        box: (top, left, bottom, right) in pixels; bottom and right are outside.
        longest: at most this many pixels a side, from the middle of the box, where a field weighs most
            (Luo et al. 2016); None keeps the whole box.
    """
    return _crop(check(image[None] if image.ndim == 3 else image, "image"), box, longest, PADDING)


def _crop(maps, box, longest, beyond):
    top, left, bottom, right = box
    if longest is not None:
        at_least(1, longest=longest)
        top, bottom = _middle(top, bottom, longest)
        left, right = _middle(left, right, longest)
    height, width = maps.shape[-2:]
    # a negative pad crops
    return F.pad(maps, (-left, right - width, -top, bottom - height), value=beyond)


def _middle(first, last, longest):
    spare = max(0, last - first - longest)
    return first + spare // 2, first + spare // 2 + min(longest, last - first)


def boxed(image: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    """A picture (1, 3, H, W) with a white line, one pixel wide, along the inside of a box, as far as both overlap."""
    top, left, bottom, right = box
    y = torch.arange(image.shape[-2], device=image.device)[:, None]
    x = torch.arange(image.shape[-1], device=image.device)
    whole = (top <= y) & (y < bottom) & (left <= x) & (x < right)
    middle = (top < y) & (y < bottom - 1) & (left < x) & (x < right - 1)
    return image.masked_fill(whole & ~middle, 1.0)


def influence(
    network: Network, image: Tensor, layer: Layer, position: tuple[int, int], channel: int | None = None
) -> Tensor:
    """How much each pixel moves a unit, its colours together: Σ |∂a / ∂ pixel|, (H, W).

    Outside the unit's receptive field it is 0, and inside it is largest in the middle (Luo et al. 2016).

    Args:
        image: one picture, (1, 3, H, W).
        layer: one with a map.
        position: (row, column) of the unit in the layer's map.
        channel: of the unit; None takes a = ‖a(position)‖, the length of all channels there.

    Raises:
        ValueError: a batch, an unknown layer, or a unit that it does not have.
    """
    pixels = single("image", image).detach().to(network.device).requires_grad_()
    shape = network.shape(layer, tuple(image.shape[-2:]))
    if len(shape) != 3:
        raise ValueError(f"layer must be one with a map, not {layer!r}")
    rows, columns = shape[1:]
    if not (0 <= position[0] < rows and 0 <= position[1] < columns):
        raise ValueError(f"position must lie in the {rows}×{columns} map of layer {layer!r}, not {position}")
    wanted = slice(None) if channel is None else channels(channel, shape[0], layer)
    with torch.enable_grad():
        strength = network.activation(pixels, layer)[0, wanted, position[0], position[1]].norm()
        return torch.autograd.grad(strength, pixels)[0].abs().sum(1)[0]


def evidence(
    network: Network,
    collection,
    found: Strongest,
    layer: Layer,
    channel: int,
    longest: int | None = None,
    whole: bool = False,
) -> Tensor:
    """The patches of one channel with only the pixels that move its unit, (k, 3, h, w): grey where none do.

    A pixel is shown in full where its `influence` on the channel is above the patch's 95th percentile, and below that
    the fainter the less it has. In fields of more than 9 pixels the influence is smoothed, as single pixels flicker.

    Args:
        collection: the one that `found` was made from.
        layer: the one in which `found` was found; it must have a map.
        channel, longest, whole: as in `patches`.

    Raises:
        ValueError: no such channel, or a layer without a map.
    """
    shown, cut = [], patches(collection, found, channel, longest, whole)
    places = torch.stack([found.images[channel], found.rows[channel], found.columns[channel]], 1).tolist()
    for patch, (i, row, column), box in zip(cut, places, found.boxes(channel), strict=True):
        image = collection[i][None]
        moves = influence(network, image, layer, (row, column), channel)[None, None]
        if min(found.field.size) > 9:
            moves = gaussian_blur(moves, 9, 2.0)
        moves = _crop(moves, *_shown(image, box, longest, whole), 0.0)
        visible = (moves / moves.quantile(0.95).clamp_min(1e-12)).clamp(max=1)
        shown.append(PADDING + visible * (patch - PADDING))
    return torch.cat(shown)


def lit(image: Tensor, influence: Tensor) -> Tensor:
    """A picture (1, 3, H, W) as bright as the square root of each pixel's influence (H, W), a quarter at least."""
    return image * (influence / influence.max()).sqrt().clamp_min(0.25)
