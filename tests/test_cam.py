"""Class activation maps: a hand-computed one, what they add up to, and captum beside Grad-CAM at any layer."""

import captum.attr as captum
import pytest
import torch
import torch.nn.functional as F
from bench import close, seeded, tiny
from torch import nn

from helpers.cam import cam, class_maps, enlarged, grad_cam, last_map, linear_head, pooled_maps
from helpers.core.networks import Network
from helpers.core.photos import photo

POOLED = ["resnet18", "resnet101", "densenet121", "googlenet", "efficientnet_lite0"]


def real(name, untrained, lite0):
    return lite0 if name == "efficientnet_lite0" else untrained(name)


@pytest.fixture
def batch():
    return torch.cat([photo(name, 64) for name in ("chelsea", "coffee")])


# ── CAM ──


def by_hand():
    """Colours of the pixels as features, and two classes of them."""
    head = nn.Linear(3, 2)
    head.weight.data = torch.tensor([[1.0, 2.0, 0.0], [-1.0, 0.0, 3.0]])
    head.bias.data = torch.tensor([0.5, -0.5])
    model = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    layers = {"colours": "0", "penultimate": "input of 3", "logits": ""}
    return Network(model, "by hand", categories=("a", "b"), layers=layers)


def test_a_map_worked_out_by_hand():
    image = torch.tensor([[[0.0, 1.0]], [[0.5, 0.25]], [[1.0, 0.0]]])[None]
    assert torch.allclose(cam(by_hand(), image, "a"), torch.tensor([[[[1.0, 1.5]]]]))
    assert torch.allclose(cam(by_hand(), image, "b"), torch.tensor([[[[3.0, -1.0]]]]))
    assert torch.allclose(grad_cam(by_hand(), image, "b"), torch.tensor([[[[1.5, 0.0]]]]))  # divided by two places


def test_features_weighted_one_by_one():
    features, weight = seeded(2, 3, 4, 5, dtype=torch.float64), seeded(6, 3, seed=1, dtype=torch.float64)
    categories = torch.tensor([[5, 0], [2, 2]])
    found = class_maps(features, weight, categories)
    for n, m in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert torch.allclose(found[n, m], sum(weight[categories[n, m], k] * features[n, k] for k in range(3)))


@pytest.mark.parametrize("name", POOLED)
def test_the_mean_of_a_map_and_the_bias_are_the_score(untrained, lite0, batch, name):
    network = real(name, untrained, lite0)
    maps = cam(network, batch, [3, 7])
    found = maps.mean((1, 2, 3)) + linear_head(network).bias[[3, 7]]
    scores = network(batch)[[0, 1], [3, 7]]
    assert torch.allclose(found, scores, rtol=1e-5, atol=1e-5 * float(scores.abs().max()))


@pytest.mark.parametrize("name", POOLED)
def test_at_the_pooled_map_grad_cam_is_cam_over_the_places(untrained, lite0, batch, name):
    network = real(name, untrained, lite0)
    exact = cam(network, batch, 7)
    if name == "densenet121":  # its last named layer lies before a ReLU, which Grad-CAM there cannot know of
        assert not close(grad_cam(network, batch, 7, positive=False) * exact[0].numel(), exact, 1e-2)
        return
    found = grad_cam(network, batch, 7, positive=False)
    assert close(found * exact[0].numel(), exact)
    assert torch.equal(grad_cam(network, batch, 7), found.clamp_min(0))


def test_the_features_are_those_that_are_pooled(untrained, batch):
    maps = pooled_maps(untrained("densenet121"), batch)
    assert maps.min() >= 0
    assert close(maps.mean((2, 3)), untrained("densenet121").activation(batch, "penultimate"))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "squeezenet1_1"])
def test_a_network_without_global_pooling_has_grad_cam_alone(untrained, batch, name):
    with pytest.raises(ValueError, match=f"network {name} does not end in a global average and one linear layer"):
        cam(untrained(name), batch, 7)
    height, width = untrained(name).shape(last_map(untrained(name)), (64, 64))[1:]
    assert grad_cam(untrained(name), batch, 7).shape == (2, 1, height, width)


# ── Grad-CAM ──


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("efficientnet_lite0", "blocks.3"),
        ("efficientnet_lite0", "head"),
        ("resnet18", "layer2"),
        ("alexnet", "relu5"),
        ("vgg16", "conv4_2"),
        ("densenet121", "transition2"),
        ("googlenet", "inception4c"),
        ("squeezenet1_1", "fire6"),
    ],
)
@pytest.mark.parametrize("positive", [True, False])
def test_captum_agrees_at_any_layer(untrained, lite0, batch, name, layer, positive):
    network = real(name, untrained, lite0)
    ours = grad_cam(network, batch, [3, 7], layer, positive=positive)
    explain = captum.LayerGradCam(network.model, network.model.get_submodule(network.path(layer)))
    pixels = network.normalise(batch).requires_grad_()
    theirs = explain.attribute(pixels, torch.tensor([3, 7]), relu_attributions=positive)
    assert theirs.abs().max() > 0 or positive
    assert close(ours, theirs, 1e-4) or float((ours - theirs).abs().max()) < 1e-7


def test_a_layers_weights_are_finite_differences_of_the_score():
    network, image = tiny(), seeded(1, 3, 8, 9, dtype=torch.float64)
    maps = network.activation(image, "tanh1")
    found = grad_cam(network, image, "b", "tanh1", positive=False)
    expected = torch.zeros_like(found)
    rest = network.model[2:]
    for k in range(maps.shape[1]):
        step = torch.zeros_like(maps)
        step[:, k] = 1e-6
        slope = (rest(maps + step) - rest(maps - step))[0, 1] / 2e-6 / maps[0, 0].numel()
        expected += slope * maps[:, k : k + 1]
    assert torch.allclose(found, expected, atol=1e-8)


def test_the_gradient_may_be_that_of_the_probability():
    network, image = tiny(), seeded(1, 3, 8, 9, dtype=torch.float64)
    p = network.probabilities(image)[0]
    each = grad_cam(network, image, ["a", "b", "c"], "soft2", positive=False)[:, 0]
    expected = p[1] * (each[1] - (p[:, None, None] * each).sum(0))  # linear in the gradient
    found = grad_cam(network, image, "b", "soft2", score="probability", positive=False)
    assert torch.allclose(found[0, 0], expected)


# ── Both ──


@pytest.mark.parametrize("method", [cam, grad_cam])
def test_a_batch_gets_what_its_pictures_get_and_one_picture_any_number_of_classes(lite0, batch, method):
    together = method(lite0, batch, ["tabby", 967])
    alone = torch.cat([method(lite0, batch[:1], "tabby"), method(lite0, batch[1:], "espresso")])
    assert close(together, alone, 1e-4) and together.shape == (2, 1, 2, 2)
    several = method(lite0, batch[:1], ["tabby", 967, 3])
    each = torch.cat([method(lite0, batch[:1], category) for category in (281, 967, 3)])
    assert close(several, each, 1e-4) and not several.requires_grad
    with torch.no_grad():  # a caller's setting must not stop the gradient
        assert close(method(lite0, batch[:1], [281, 967, 3]), each, 1e-4)


def test_every_method_runs_on_every_device(device, lite0, batch):
    network = lite0.to(device)
    for method in (cam, grad_cam):
        assert method(network, batch, "tabby").device.type == device
    lite0.to("cpu")


def test_maps_in_the_size_of_the_picture():
    maps = torch.tensor([[[[0.0, 1.0]]]])
    found = enlarged(maps, torch.zeros(1, 3, 2, 8))
    assert found.shape == (1, 1, 2, 8) and torch.equal(found[0, 0, 0], found[0, 0, 1])
    assert torch.equal(found, F.interpolate(maps, size=(2, 8), mode="bilinear")) and (found.diff(dim=3) >= 0).all()


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (cam, {"image": torch.rand(3, 8, 8)}, r"image must have shape \(N, 3, H, W\)"),
        (cam, {"image": torch.full((1, 3, 8, 8), torch.nan)}, "image must be finite"),
        (cam, {"category": "tabbby"}, "category 'tabbby' is not a class of"),
        (cam, {"category": 1000}, "category must be from 0 to 999, not 1000"),
        (cam, {"image": torch.rand(2, 3, 8, 8), "category": [1, 2, 3]}, "one for each of the 2 images, not 3"),
        (grad_cam, {"score": "softmax"}, "score must be one of 'logit', 'probability', 'log-probability'"),
        (grad_cam, {"layer": "penultimate"}, r"layer 'penultimate' has no positions: its shape is \(1280,\)"),
        (grad_cam, {"layer": "blocks.9"}, "layer 'blocks.9' is unknown to efficientnet_lite0"),
        (grad_cam, {"category": -1}, "category must be from 0 to 999, not -1"),
    ],
)
def test_bad_arguments_are_named(lite0, method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(lite0, **{"image": torch.rand(1, 3, 8, 8), "category": 0} | arguments)


def test_a_network_without_classes_is_named(untrained):
    for method in (cam, grad_cam):
        with pytest.raises(ValueError, match="network vgg16_edges has no classes; ask for one of its layers instead"):
            method(untrained("vgg16_edges"), torch.rand(1, 3, 32, 32), 0)
