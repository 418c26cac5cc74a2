"""Gradients of neurons: any unit of any layer, where it is strongest or where one asks, and what it can see."""

import pytest
import torch
from bench import close, seeded
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from helpers.core.networks import Network
from helpers.core.photos import photo
from helpers.patches import crop
from helpers.saliency import as_picture, neurons, saliency


def pictures(count=1, side=4, seed=0, dtype=torch.float64):
    return seeded(count, 3, side, side, seed=seed, dtype=dtype)


def nothing_left_behind():
    return not _get_current_function_mode_stack() and not _get_current_dispatch_mode_stack()


def test_the_class_score_is_a_neuron_like_any_other(lite0):
    image = photo("chelsea", 64)
    found = neurons(lite0, image, "logits", 281)
    assert close(found.gradient, saliency(lite0, image, 281, rule="guided", colours="all"))
    assert found.boxes == [(0, 0, 64, 64)] and found.position.tolist() == [[0, 0]]
    assert torch.allclose(found.activation, lite0(image)[:, 281], atol=1e-4)


def test_a_neuron_is_taken_where_its_channel_is_strongest_and_sees_its_box_only(lite0):
    image = photo("chelsea", 96)
    found = neurons(lite0, image, "blocks.2", [3, 11, 30], rule="gradient")
    maps = lite0.activation(image, "blocks.2")[0]
    for i, channel in enumerate((3, 11, 30)):
        row, column = found.position[i].tolist()
        assert maps[channel].max() == maps[channel, row, column]
        assert float(found.activation[i]) == pytest.approx(float(maps[channel].max()), rel=1e-4)
        assert found.boxes[i] == lite0.receptive_field("blocks.2", 96).box(row, column)
        top, left, bottom, right = (max(0, edge) for edge in found.boxes[i])
        outside = found.gradient[i].clone()
        outside[:, top:bottom, left:right] = 0
        assert outside.abs().max() == 0 and found.gradient[i].abs().max() > 0


def test_several_channels_at_once_are_what_each_is_alone(lite0):
    image = photo("coffee", 64)
    together = neurons(lite0, image, "blocks.3", range(4))
    alone = [neurons(lite0, image, "blocks.3", channel) for channel in range(4)]
    assert close(together.gradient, torch.cat([one.gradient for one in alone]))
    assert together.boxes == [one.boxes[0] for one in alone] and together.channel.tolist() == [0, 1, 2, 3]


def test_a_position_may_be_given_for_all_or_for_each(lite0):
    images = torch.cat([photo(name, 64) for name in ("chelsea", "coffee")])
    found = neurons(lite0, images, "blocks.2", 5, position=[(0, 1), (7, 7)])
    expected = lite0.activation(images, "blocks.2")[[0, 1], 5, [0, 7], [1, 7]]
    assert torch.allclose(found.activation, expected, atol=1e-4) and found.position.tolist() == [[0, 1], [7, 7]]
    assert neurons(lite0, images, "blocks.2", [5, 6], position=(3, 4)).position.tolist() == [[3, 4]] * 2


def test_a_neuron_at_the_border_has_a_box_that_reaches_into_the_padding():
    network, image = convolution(), pictures(1, 6, dtype=torch.float32)
    found = neurons(network, image, "conv", 0, position=(0, 5))
    assert found.boxes == [(-1, 4, 2, 7)]
    assert torch.allclose(found.gradient[0, :, :2, 4:], network.model[0].weight[0, :, 1:, :2])
    pixels = crop(as_picture(found.gradient, clip=1.0), found.boxes[0])
    assert pixels.shape == (1, 3, 3, 3) and (pixels[0, :, 0] == 0.5).all() and (pixels[0, :, :, 2] == 0.5).all()


def convolution():
    torch.manual_seed(0)
    return Network(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1)), layers={"conv": "0"})


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_any_layer_of_any_network_has_neurons(untrained, name):
    network = untrained(name)
    for layer in list(network.layers)[:: 3 if name == "googlenet" else 1]:
        found = neurons(network, pictures(1, 64, dtype=torch.float32), layer, [0, 1])
        assert found.gradient.shape == (2, 3, 64, 64) and found.gradient.isfinite().all()


def test_no_hook_survives_an_error_in_the_middle_of_a_neuron():
    class Broken(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), Broken(), nn.Conv2d(2, 2, 1))
    network = Network(model)
    network.shape = lambda *_: (2, 4, 4)  # which a broken model cannot tell
    with pytest.raises(ZeroDivisionError):
        neurons(network, pictures(dtype=torch.float32), "3", 0)
    assert nothing_left_behind()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_pictures_of_gradients_are_grey_at_zero():
    gradient = torch.tensor([-2.0, 0.0, 1.0] * 4).view(1, 3, 2, 2)
    picture = as_picture(gradient, clip=1.0)
    assert torch.allclose(picture, 0.5 + gradient / 4)
    assert (as_picture(torch.zeros(1, 3, 2, 2)) == 0.5).all()
    assert as_picture(gradient, clip=0.1).max() <= 1
    with pytest.raises(ValueError, match="clip must be above 0 and at most 1, not 0"):
        as_picture(gradient, clip=0)


NAN = torch.full((1, 3, 8, 8), float("nan"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": NAN}, "image must be finite"),
        ({"layer": "conv99"}, "layer 'conv99' is unknown"),
        ({"channel": 32}, "channel must be a whole number from 0 to 31 for layer 'relu1', not 32"),
        ({"channel": -1}, "channel must be a whole number from 0 to 31 for layer 'relu1', not -1"),
        ({"channel": 1.5}, "channel must be a whole number"),
        ({"channel": []}, "channel must be a whole number from 0 to 31 for layer 'relu1', not \\[\\]"),
        ({"image": torch.rand(2, 3, 8, 8), "channel": [1, 2, 3]}, "one for each of the 2 images, not 3"),
        ({"position": (4, 0)}, r"position must lie in the 4×4 map of layer 'relu1', not \(4, 0\)"),
        ({"rule": "relu"}, "rule must be one of"),
    ],
)
def test_bad_neurons_are_named(lite0, arguments, message):
    with pytest.raises(ValueError, match=message):
        neurons(lite0, **{"image": torch.rand(1, 3, 8, 8), "layer": "relu1", "channel": 0} | arguments)
