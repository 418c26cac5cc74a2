"""The patches of a collection that excite each channel of a layer most.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014), figure 2, show the top nine;
Girshick et al., "Rich Feature Hierarchies for Accurate Object Detection" (CVPR 2014), section 3.1, the first.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.core.activations import ReceptiveField
from helpers.core.arguments import at_least
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

    def boxes(self, channel: int) -> list[tuple[int, int, int, int]]:
        """(top, left, bottom, right) in pixels of each patch of a channel; it may reach beyond the picture."""
        at = zip(self.rows[channel].tolist(), self.columns[channel].tolist(), strict=True)
        return [self.field.box(row, column) for row, column in at]


@torch.inference_mode()
def strongest(network: Network, collection, layer: Layer, k: int = 9, per_image: int = 1, batch: int = 16) -> Strongest:
    """The `k` strongest activations of every channel of a layer over a collection, in one pass through it.

    Only the best so far are kept, so memory does not grow with the collection, and all channels are ranked at once.

    Args:
        collection: pictures of one size; anything with `len()` and `collection[i]` → (3, H, W).
        layer: any layer; each unit of a fully connected one is a channel that sees the whole picture.
        k: how many a channel; fewer come back where the collection has fewer.
        per_image: how many of them may come from one picture.
        batch: pictures a forward pass.

    Raises:
        ValueError: an empty collection, a number below 1, an unknown layer, or pictures that are not finite.
    """
    at_least(1, k=k, per_image=per_image, batch=batch)
    network.path(layer)  # an unknown layer is named before the first picture is read
    kept, done = None, 0
    for images in batches(collection, batch):
        maps = network.activation(images, layer)
        units = maps.flatten(2) if maps.ndim > 2 else maps[..., None]  # (N, C, H·W)
        found = _best(units, min(per_image, units.shape[2]))
        found["image"] = torch.arange(done, done + len(images), device=units.device)[:, None, None].expand_as(
            found["unit"]
        )
        found = {name: value.transpose(0, 1).flatten(1) for name, value in found.items()}  # (C, N·per_image)
        if kept:
            found = {name: torch.cat([kept[name], value], dim=1) for name, value in found.items()}
        order = found["value"].topk(min(k, found["value"].shape[1]), dim=1).indices
        kept = {name: value.gather(1, order) for name, value in found.items()}
        done += len(images)
    width = maps.shape[3] if maps.ndim > 3 else 1
    at = kept["unit"]
    field = network.receptive_field(layer, tuple(images.shape[-2:]))
    return Strongest(kept["value"], kept["image"], at // width, at % width, field)


def _best(units, count):
    """The largest `count` of each channel of each picture, (N, C, count): their values and where they stand."""
    value, unit = units.max(dim=2, keepdim=True) if count == 1 else units.topk(count, dim=2)
    return {"value": value, "unit": unit}


def crop(image: Tensor, box: tuple[int, int, int, int], longest: int | None = None) -> Tensor:
    """The pixels of a box, (1, 3, h, w); what lies beyond the picture is grey.

    Args:
        image: (3, H, W) or (1, 3, H, W).
        box: (top, left, bottom, right) in pixels; bottom and right are outside.
        longest: at most this many pixels a side, from the middle of the box, where a field weighs most
            (Luo et al. 2016, "Understanding the Effective Receptive Field in Deep CNNs"); None keeps the whole box.
    """
    image = check(image[None] if image.ndim == 3 else image, "image")
    if longest is not None:
        at_least(1, longest=longest)
    top, left, bottom, right = box
    if longest is not None:
        top, bottom = _middle(top, bottom, longest)
        left, right = _middle(left, right, longest)
    height, width = image.shape[-2:]
    # a negative pad crops
    return F.pad(image, (-left, right - width, -top, bottom - height), value=PADDING)


def _middle(first, last, longest):
    spare = max(0, last - first - longest)
    return first + spare // 2, first + spare // 2 + min(longest, last - first)


def patches(collection, found: Strongest, channel: int, longest: int | None = None) -> Tensor:
    """The patches of one channel, strongest first, (k, 3, h, w): its receptive field in each picture.

    Args:
        collection: the one that `found` was made from.
        channel: from 0.
        longest: as in `crop`.

    Raises:
        ValueError: no such channel.
    """
    if not 0 <= channel < len(found.values):
        raise ValueError(f"channel must be from 0 to {len(found.values) - 1}, not {channel}")
    places = zip(found.images[channel].tolist(), found.boxes(channel), strict=True)
    return torch.cat([crop(collection[i], box, longest) for i, box in places])
