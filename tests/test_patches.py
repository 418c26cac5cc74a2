"""Maximally activating patches: the same as a loop over everything, exact boxes, a flat memory, pixels that count."""

import copy
import gc
import re

import pytest
import torch
from torch import nn

from helpers.core.networks import Network
from helpers.core.photos import photo
from helpers.patches import PADDING, boxed, crop, evidence, influence, lit, merged, patches, strongest, strongest_of


class Random:
    """`count` random pictures, made when asked for; remembers how many were alive at once."""

    def __init__(self, count, size=(12, 10)):
        self.count, self.size = count, size

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return torch.rand(3, *self.size, generator=torch.Generator().manual_seed(i))


def small(device="cpu"):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 6 * 5, 4))
    return Network(model).to(device)


def by_loops(maps, k, per_image):
    """For each channel the best (value, image, row, column), with nothing but loops and sorting."""
    maps = maps.reshape(*maps.shape[:2], *(maps.shape[2:] or (1, 1)))
    expected = []
    for channel in range(maps.shape[1]):
        best = []
        for image in range(len(maps)):
            units = [
                (maps[image, channel, row, column].item(), image, row, column)
                for row in range(maps.shape[2])
                for column in range(maps.shape[3])
            ]
            best += sorted(units, reverse=True)[:per_image]
        expected.append(sorted(best, reverse=True)[:k])
    return expected


def as_lists(found):
    table = torch.stack([found.values.double(), found.images, found.rows, found.columns], dim=2)
    return [[tuple(entry) for entry in channel] for channel in table.tolist()]


@pytest.mark.parametrize(("k", "per_image", "batch"), [(1, 1, 1), (4, 1, 3), (9, 2, 4), (3, 1000, 7), (50, 1, 16)])
@pytest.mark.parametrize("layer", ["0", "3"])
def test_every_channel_is_ranked_as_loops_rank_it(device, layer, k, per_image, batch):
    network, collection = small(device), Random(11)
    maps = network.activation(torch.stack([collection[i] for i in range(11)]), layer)
    expected = by_loops(maps.cpu(), k, per_image)
    found = as_lists(strongest(network, collection, layer, k, per_image, batch))
    for channel, wanted in zip(found, expected, strict=True):
        assert [entry[1:] for entry in channel] == [entry[1:] for entry in wanted]
        assert torch.tensor(channel)[:, 0] == pytest.approx(torch.tensor(wanted)[:, 0], rel=1e-5)


def test_what_is_kept_gives_way_only_to_what_is_stronger():
    kept = {"value": torch.tensor([[9.0, 5.0], [3.0, 1.0]]), "image": torch.tensor([[4, 2], [0, 7]])}
    found = {"value": torch.tensor([[7.0, 4.0, 8.0], [0.0, -1.0, 0.5]]), "image": torch.tensor([[10, 11, 12]] * 2)}
    best = merged(kept, found, 2)
    assert best["value"].tolist() == [[9, 8], [3, 1]] and best["image"].tolist() == [[4, 12], [0, 7]]
    first = merged({}, found, 9)  # before the first batch, and fewer than asked for
    assert first["value"].tolist() == [[8, 7, 4], [0.5, 0, -1]] and first["image"].tolist() == [[12, 10, 11]] * 2


class Labelled(Random):
    """Random pictures of which each third shares a label."""

    @property
    def labels(self):
        return [i % 3 for i in range(self.count)]


@pytest.mark.parametrize("per_label", [1, 2])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_no_label_has_more_than_its_share_and_each_its_strongest(device, per_label, batch):
    network, collection = small(device), Labelled(11)
    maps = network.activation(torch.stack([collection[i] for i in range(11)]), "0").cpu()
    found = as_lists(strongest(network, collection, "0", k=5, per_image=2, batch=batch, per_label=per_label))
    for channel, wanted in zip(found, by_loops(maps, 22, 2), strict=True):
        allowed, count = [], {0: 0, 1: 0, 2: 0}
        for entry in wanted:
            count[entry[1] % 3] += 1
            allowed += [entry] if count[entry[1] % 3] <= per_label else []
        assert [entry[1:] for entry in channel] == [entry[1:] for entry in allowed[:5]]
    assert len(found[0]) == min(5, 3 * per_label)  # fewer labels than asked for: a shorter row


def test_units_inside_see_no_padding_unless_every_unit_does(lite0):
    collection = Random(3, (64, 96))
    found = strongest_of(lite0, collection, ["blocks.1", "blocks.5"], k=3, inside=True)
    boxes = [box for channel in range(24) for box in found["blocks.1"].boxes(channel)]
    assert all(top >= 0 and left >= 0 and bottom <= 64 and right <= 96 for top, left, bottom, right in boxes)
    assert torch.equal(found["blocks.5"].values, strongest(lite0, collection, "blocks.5", k=3).values)
    assert torch.equal(found["blocks.5"].first(2).values, found["blocks.5"].values[:, :2])
    whole = patches(collection, found["blocks.5"], 7, whole=True)
    assert torch.equal(whole, torch.stack([collection[i] for i in found["blocks.5"].images[7].tolist()]))


def test_the_evidence_for_one_filter_is_where_its_weights_are():
    network, collection = small(), Random(6)
    with torch.no_grad():
        network.model[0].weight[2] = 0
        network.model[0].weight[2, :, 1, 1] = 1  # sees the middle pixel only
    found = strongest(network, collection, "0", k=4, inside=True)
    shown, cut = evidence(network, collection, found, "0", 2), patches(collection, found, 2)
    assert torch.allclose(shown[:, :, 1, 1], cut[:, :, 1, 1])
    rim = torch.ones(3, 3, dtype=torch.bool)
    rim[1, 1] = False
    assert (shown[:, :, rim] == PADDING).all()
    one = influence(network, collection[0][None], "0", (2, 3), channel=2)
    assert one.count_nonzero() == 1 and one[4, 6] == pytest.approx(3)  # stride 2, padding 1; three colours


def test_a_lit_picture_is_bright_where_pixels_count():
    bright = lit(torch.ones(1, 3, 1, 3), torch.tensor([[4.0, 1.0, 0.0]]))
    assert bright[0, 0, 0].tolist() == pytest.approx([1.0, 0.5, 0.25])


def test_a_patch_alone_excites_the_channel_as_much_as_in_its_picture():
    """The box is exact: convolving the patch alone, padding included, gives the activation back."""
    network, collection = small(), Random(20)
    network.mean += PADDING  # grey is then what the network's own padding is: zero
    found = strongest(network, collection, "0", k=6)
    convolution = network.model[0]
    for channel in range(5):
        pieces = patches(collection, found, channel)
        assert pieces.shape == (6, 3, 3, 3)
        alone = torch.nn.functional.conv2d(network.normalise(pieces), convolution.weight, convolution.bias)
        assert torch.allclose(alone[:, channel, 0, 0], found.values[channel], atol=1e-6)


def test_deep_and_fully_connected_layers_of_real_networks(lite0, untrained):
    collection = Random(3, (64, 96))
    found = strongest(lite0, collection, "blocks.3", k=2)
    shape = lite0.shape("blocks.3", (64, 96))
    assert found.values.shape == (shape[0], 2) and found.field == lite0.receptive_field("blocks.3", (64, 96))
    assert found.rows.max() < shape[1] and found.columns.max() < shape[2] and found.columns.max() > 0
    maps = lite0.activation(torch.stack([collection[i] for i in range(3)]), "blocks.3")
    channels = torch.arange(shape[0])[:, None]
    assert torch.allclose(maps[found.images, channels, found.rows, found.columns], found.values, atol=1e-4)
    logits = strongest(lite0, collection, "logits", k=1)
    assert logits.values.shape == (1000, 1) and logits.boxes(0) == [(0, 0, 64, 96)]
    assert patches(collection, logits, 0).shape == (1, 3, 64, 96)
    alexnet = untrained("alexnet")
    assert strongest(alexnet, collection, "fc6", k=2).values.shape == (4096, 2)


def test_what_is_kept_does_not_grow_with_the_collection():
    network = small()

    def most_elements_alive(count):
        """The largest number of tensor elements alive when a picture is asked for."""
        seen = []

        class Watched(Random):
            def __getitem__(self, i):
                if i % 8 == 7:
                    gc.collect()
                    seen.append(sum(o.numel() for o in gc.get_objects() if type(o) is torch.Tensor))
                return super().__getitem__(i)

        strongest(network, Watched(count), "0", k=3, batch=8)
        return max(seen)

    assert most_elements_alive(160) <= most_elements_alive(32)


def test_crop_by_hand():
    image = torch.arange(3 * 4 * 5.0).view(3, 4, 5) / 60
    assert torch.equal(crop(image, (1, 2, 3, 5)), image[None, :, 1:3, 2:5])
    beyond = crop(image, (-1, 3, 2, 7))
    assert beyond.shape == (1, 3, 3, 4)
    assert torch.equal(beyond[0, :, 1:, :2], image[:, :2, 3:])
    assert (beyond[0, :, 0] == PADDING).all() and (beyond[0, :, :, 2:] == PADDING).all()
    assert torch.equal(crop(image, (0, 0, 4, 5), longest=2), image[None, :, 1:3, 1:3])
    assert torch.equal(crop(image[None], (0, 0, 4, 5), longest=9), image[None])


def test_a_box_is_drawn_along_its_inside_and_no_further_than_the_picture():
    black = torch.zeros(1, 3, 5, 6)
    line = torch.tensor([[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 1, 0, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0] * 6])
    assert torch.equal(boxed(black, (1, 1, 4, 4)), line.expand(1, 3, 5, 6).float()) and not black.any()
    half = torch.tensor([[0, 0, 0, 0, 1, 0]] * 3 + [[1, 1, 1, 1, 1, 0], [0] * 6])
    assert torch.equal(boxed(black, (-2, -1, 4, 5)), half.expand(1, 3, 5, 6).float())
    assert torch.equal(boxed(black, (-9, -9, 20, 20)), black)


def test_the_influence_of_a_linear_layer_is_the_length_of_its_weights_direction():
    """∂ ‖a‖ / ∂ pixel = Wᵀ a / ‖a‖, worked out with the kernel's own numbers."""
    network, picture = small(), Random(1)[0][None]
    found = influence(network, picture, "0", (2, 3))
    kernel, (top, left) = network.model[0].weight, (3, 5)  # stride 2, padding 1
    a = network.activation(picture, "0")[0, :, 2, 3]
    expected = torch.zeros(12, 10)
    expected[top : top + 3, left : left + 3] = torch.einsum("o,oihw->ihw", a / a.norm(), kernel).abs().sum(0)
    assert torch.allclose(found, expected, atol=1e-6)


def test_no_pixel_outside_its_field_moves_a_unit_and_the_middle_moves_it_most(lite0, device):
    network, image = copy.deepcopy(lite0).to(device), photo("coffee", 96)
    for layer, unit in (("blocks.1", 12), ("blocks.2", 6)):
        found = influence(network, image, layer, (unit, unit))
        top, left, bottom, right = network.receptive_field(layer, (96, 96)).box(unit, unit)
        inside = found[top:bottom, left:right]
        assert found.count_nonzero() == inside.count_nonzero() > 0 and found.device.type == device
        quarter = (bottom - top) // 4
        assert inside[quarter:-quarter, quarter:-quarter].sum() > 0.5 * inside.sum()  # a quarter of the area


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": torch.zeros(2, 3, 12, 10)}, "image must be a single picture, not a batch of 2"),
        ({"layer": "blocks.9"}, "layer 'blocks.9' is unknown to custom"),
        ({"layer": "3"}, "layer must be one with a map, not '3'"),
        ({"position": (6, 0)}, "position must lie in the 6×5 map of layer '0', not (6, 0)"),
        ({"position": (0, -1)}, "position must lie in the 6×5 map of layer '0', not (0, -1)"),
        ({"channel": 5}, "channel must be a whole number from 0 to 4 for layer '0', not 5"),
    ],
)
def test_bad_units_are_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        influence(small(), **{"image": Random(1)[0][None], "layer": "0", "position": (0, 0)} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be at least 1, not 0"),
        ({"per_image": 0}, "per_image must be at least 1, not 0"),
        ({"batch": -1}, "batch must be at least 1, not -1"),
        ({"per_label": 0}, "per_label must be at least 1, not 0"),
        ({"collection": Random(0)}, "collection must hold at least one picture"),
        ({"layer": "blocks.9"}, "layer 'blocks.9' is unknown to custom"),
        ({"collection": [torch.full((3, 12, 10), torch.nan)]}, "images must be finite"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        strongest(small(), **{"collection": Random(2), "layer": "0"} | arguments)


def test_bad_channels_and_sizes_are_named():
    collection = Random(2)
    found = strongest(small(), collection, "0", k=1)
    for channel in (-1, 5):
        with pytest.raises(ValueError, match=f"channel must be from 0 to 4, not {channel}"):
            patches(collection, found, channel)
    with pytest.raises(ValueError, match="longest must be at least 1, not 0"):
        patches(collection, found, 0, longest=0)
