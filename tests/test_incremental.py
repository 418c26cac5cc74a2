"""The shortcut of occlusion: equal to the definition, and used only where it is."""

import pytest
import torch
from bench import seeded, with_statistics
from torch import nn

from helpers.core.networks import Network
from helpers.core.steps import finish
from helpers.incremental import Incremental, fastest
from helpers.occlusion import definition, occlusion, starts

NETWORKS = {  # name: (size of the picture, patch, at least so many stages)
    "alexnet": ((96, 112), 20, 2),
    "vgg16": ((48, 40), 11, 3),
    "resnet18": ((128, 97), 16, 3),
    "densenet121": ((96, 96), 25, 2),
    "squeezenet1_1": ((96, 101), 16, 3),
}


def every_corner(size, patch, stride):
    return [(top, left) for top in starts(size[0], patch, stride) for left in starts(size[1], patch, stride)]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_shortcut_is_exact_for_untrained_networks(untrained, name):
    size, patch, stages = NETWORKS[name]
    assert_exact(with_statistics(untrained(name)), size, patch, patch, stages)


@pytest.mark.parametrize(
    ("size", "patch", "stride"), [((96, 96), 24, 18), ((97, 130), 20, 19), ((64, 75), 9, 9), ((224, 160), 1, 1000)]
)
def test_the_shortcut_is_exact_for_the_default_network(lite0, size, patch, stride):
    assert_exact(lite0, size, patch, stride, 4)


@torch.inference_mode()
def assert_exact(network, size, patch, stride, stages):
    image, filler = seeded(1, 3, *size), seeded(1, 3, *size, seed=1)
    corners = every_corner(size, patch, stride)
    shortcut = Incremental(network, image, filler, patch)
    assert len(shortcut.stages) >= stages
    expected = torch.cat(
        [definition(network, image, filler, patch)(corners[i : i + 8]) for i in range(0, len(corners), 8)]
    )
    found = torch.cat([shortcut(corners[i : i + 7]) for i in range(0, len(corners), 7)])
    scale = expected.abs().max()
    assert expected.std(dim=0).max() > 1e-4 * scale  # the windows do change the scores
    assert (found - expected).abs().max() < 2e-5 * scale


def test_early_stages_compute_only_what_a_window_can_reach(lite0):
    image = seeded(1, 3, 224, 224)
    with torch.inference_mode():
        stages = Incremental(lite0, image, image, 32).stages
    reached, box = [], ((96, 128), (96, 128))
    for stage in stages:
        box = tuple(stage.reached(axis, *box[axis]) for axis in range(2))
        _, height = stage.crops(0, [box[0]])
        reached.append((height / stage.inputs.shape[2]) ** 2)
    assert reached[0] < 0.03 and sum(share < 0.2 for share in reached) >= 4


@torch.inference_mode()
def test_windows_that_a_stride_steps_over_change_nothing():
    """Neither the last rows, behind the last step of a kernel, nor those between two of them are seen."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 2, stride=4), nn.Conv2d(4, 8, 1), nn.Flatten(), nn.Linear(8 * 36, 3))
    network = Network(model, layers={"logits": ""}, categories="abc", size=25)
    image, filler = seeded(1, 3, 25, 25), seeded(1, 3, 25, 25, seed=1)
    corners = [(24, 24), (24, 3), (2, 6), (4, 4)]
    shortcut = Incremental(network, image, filler, 1)
    expected = definition(network, image, filler, 1)(corners)
    assert len(shortcut.stages) >= 1 and torch.allclose(shortcut(corners), expected, atol=1e-6)
    assert torch.allclose(expected[:3], network(image).expand(3, 3), atol=1e-6)


class Shortcutting(nn.Module):
    """Its forward pass does more than call its modules in the order of their registration."""

    def __init__(self):
        super().__init__()
        self.second, self.first = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, images):
        first = self.first(images)
        return (self.second(first) * first).mean(dim=(2, 3))


class Residual(nn.Module):
    """Uses a map again after the modules that follow it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images):
        return (self.second(self.first(images)) + images).amax(dim=(2, 3))


@pytest.mark.parametrize("model", [Shortcutting, Residual])
@torch.inference_mode()
def test_networks_that_are_no_chain_get_the_definition(model):
    torch.manual_seed(0)
    network = Network(model(), layers={"logits": ""}, categories="abcdefgh")
    image, filler = seeded(1, 3, 32, 32), seeded(1, 3, 32, 32, seed=1)
    corners = every_corner((32, 32), 8, 8)
    whole = definition(network, image, filler, 8)
    found = fastest(whole, network, image, filler, 8, corners)
    assert found is whole and not isinstance(found, Incremental)
    assert torch.allclose(found(corners), definition(network, image, filler, 8)(corners))


@torch.inference_mode()
def test_a_chain_gets_the_shortcut_and_googlenet_its_own_answers(lite0, untrained):
    image, filler, corners = seeded(1, 3, 64, 64), seeded(1, 3, 64, 64, seed=1), every_corner((64, 64), 16, 24)
    whole = definition(lite0, image, filler, 16)
    assert isinstance(fastest(whole, lite0, image, filler, 16, corners), Incremental)
    googlenet = untrained("googlenet")
    whole = definition(googlenet, image, filler, 16)
    found = fastest(whole, googlenet, image, filler, 16, corners)
    assert torch.allclose(found(corners), whole(corners), rtol=1e-3, atol=1e-4)


def test_the_network_is_left_as_it_was(lite0):
    image = seeded(1, 3, 64, 64)
    before = lite0(image)
    finish(occlusion(lite0, image, 0, 32, 32))
    assert torch.equal(lite0(image), before)
    assert not any(module._forward_hooks for module in lite0.modules())
