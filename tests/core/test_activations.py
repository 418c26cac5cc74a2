"""Captured layers hold what the layer put out."""

import copy

import pytest
import torch
from bench import close, seeded
from captum._utils.gradient import compute_layer_gradients_and_eval
from torch import nn
from torch.autograd import grad
from torchvision.models.feature_extraction import create_feature_extractor

from helpers.core.activations import capture, distance, shapes, split_path


class Counting(nn.Module):
    """A stack that counts how often its last layer ran."""

    def __init__(self):
        super().__init__()
        self.first, self.relu, self.last = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3)
        self.ran = 0

    def forward(self, x):
        x = self.relu(self.first(x))
        x = self.relu(x - 0.5)
        self.ran += 1
        return self.last(x)


def test_a_capture_survives_in_place_operations():
    model, x = Counting(), torch.randn(2, 3, 8, 8)
    held = capture(model, x, ["first", "relu"])
    assert torch.equal(held["first"], model.first(x)) and held["first"].min() < 0
    assert torch.equal(held["relu"], model.first(x).relu())


def test_the_pass_ends_at_the_deepest_layer_asked_for():
    model, x = Counting(), torch.randn(1, 3, 8, 8)
    capture(model, x, ["first", "relu"])
    assert model.ran == 0
    capture(model, x, ["last"])
    assert model.ran == 1


def test_later_calls_and_inputs_are_named():
    model, x = Counting(), torch.randn(1, 3, 8, 8)
    held = capture(model, x, ["relu_1", "input of last", "input of relu_1", ""])
    second = (model.first(x).relu() - 0.5).relu()
    assert torch.equal(held["relu_1"], second) and torch.equal(held["input of last"], second)
    assert torch.equal(held["input of relu_1"], model.first(x).relu() - 0.5)
    assert torch.equal(held[""], model.last(second))


@pytest.mark.parametrize("asked", [["first"], ["last", "first"], ["relu_7"], ["first", "relu_7"]])
def test_no_hook_survives(asked):
    model = Counting()
    before = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    try:
        capture(model, torch.randn(1, 3, 8, 8), asked)
    except ValueError as error:
        assert "'relu_7' is not reached" in str(error)
    with pytest.raises(RuntimeError):
        capture(model, torch.randn(1, 9, 8, 8), ["last"])  # the model itself raises: nine channels
    after = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    assert before == after == [0] * len(before)


def test_split_path_knows_only_modules():
    with pytest.raises(KeyError):
        split_path(Counting(), "second")
    assert split_path(Counting(), "relu_3")[1] == 3


def test_captured_layers_carry_gradients():
    model, x = Counting(), torch.randn(1, 3, 8, 8, requires_grad=True)
    (gradient,) = grad(capture(model, x, ["first"])["first"].sum(), x)
    assert torch.allclose(gradient, grad(model.first(x).sum(), x)[0])


def test_a_capture_leaves_the_callers_tensor_without_hooks():
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    capture(Counting(), x, ["input of first", "last"])
    assert not x._backward_hooks


def test_captured_layers_lie_on_the_path_to_what_follows():
    model, x = Counting(), torch.randn(2, 3, 8, 8, requires_grad=True)
    held = capture(model, x, ["first", "relu", "input of relu_1", "relu_1", ""])
    output = held[""]
    # worked out backwards by hand: what a unit of one layer does to the output
    behind = torch.conv_transpose2d(torch.ones_like(output), model.last.weight)
    before = behind * (held["relu_1"] > 0)
    assert torch.allclose(grad(output.sum(), held["relu_1"], retain_graph=True)[0], behind)
    assert torch.allclose(grad(output.sum(), held["input of relu_1"], retain_graph=True)[0], before)
    assert torch.allclose(grad(output.sum(), held["relu"], retain_graph=True)[0], before)
    assert torch.allclose(grad(output.sum(), held["first"], retain_graph=True)[0], before * (held["first"] > 0))
    assert torch.allclose(grad(output.sum(), x)[0], grad(model(x).sum(), x)[0]), "gradients to the pixels stay"


@pytest.mark.parametrize(
    ("name", "layers"),
    {
        "efficientnet_lite0": ["conv1", "blocks.2", "blocks.6"],
        "alexnet": ["conv5", "relu5", "pool5"],
        "resnet18": ["relu1", "layer2", "layer4"],
        "densenet121": ["conv1", "block2", "norm5"],
    }.items(),
)
def test_gradients_of_a_score_by_any_layer_are_captums(name, layers, untrained, lite0, device):
    # in float64: the network folds its batch norms, captum's hooks keep it from that, and rounding turns ReLUs over
    network = copy.deepcopy(lite0 if name == "efficientnet_lite0" else untrained(name)).double().to(device)
    image = seeded(2, 3, 112, 112, dtype=torch.float64).to(device)
    held = network.activations(image.clone().requires_grad_(), [*layers, "logits"])
    ours = grad(held["logits"][:, 5].sum(), [held[layer] for layer in layers])
    for layer, gradient in zip(layers, ours, strict=True):
        module = network.model.get_submodule(network.path(layer))
        (theirs,), (values,) = compute_layer_gradients_and_eval(network, module, image, 5)
        assert gradient.abs().max() > 0
        assert close(held[layer], values, 1e-12) and close(gradient, theirs, 1e-12)


def test_distance_is_relative_to_the_target_and_by_item(device):
    features = torch.tensor([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]], device=device)
    assert distance(features, features[:1]).tolist() == [0, 1, 1]
    assert distance(features[[1, 2]], features[[1, 0]]).tolist() == [0, 1], "silence agrees with silence"


def test_alexnet_keeps_a_convolution_apart_from_its_relu(untrained):
    network, image = untrained("alexnet"), torch.rand(1, 3, 224, 224)
    held = network.activations(image, ["conv1", "relu1"])
    assert held["conv1"].min() < 0 and torch.equal(held["conv1"].relu(), held["relu1"])


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "squeezenet1_1"])
def test_later_calls_agree_with_torchvision(untrained, name):
    network, image = untrained(name), torch.rand(1, 3, 224, 224)
    node = {"resnet18": "layer1.0.relu_1", "vgg16": "features.15", "squeezenet1_1": "features.6.expand3x3"}[name]
    theirs = create_feature_extractor(network.model, [node])(network.normalise(image))[node]
    assert close(network.activation(image, node), theirs)


def test_shapes_are_those_of_a_pass(lite0):
    size = (64, 96)
    found = shapes(lite0.model, size)
    for layer, path in lite0.layers.items():
        held = lite0.activation(torch.rand(1, 3, *size), layer)
        assert found[path] == held.shape[1:] == lite0.shape(layer, size)
    assert {"relu_1", "input of relu_1", "input of last", ""} <= shapes(Counting(), (8, 8)).keys()


def test_a_gradient_of_odd_strides_is_read_rightly(device):
    """Batch norm on the CPU misreads a gradient whose strides are (1, 1, W·C, C)."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5).requires_grad_(False).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    model = nn.Sequential(norm, nn.Identity()).to(device)
    x = torch.rand(1, 5, 4, 6, device=device, requires_grad=True)
    odd = torch.rand(5 * 4 * 6, device=device).as_strided((1, 5, 4, 6), (1, 1, 30, 5))
    for layers in (["0"], ["0", "1"]):
        held = capture(model, x, layers)["0"]
        (found,) = torch.autograd.grad(held, x, odd)
        expected = odd / (norm.running_var + norm.eps).sqrt().view(1, -1, 1, 1)
        assert torch.allclose(found, expected, atol=1e-6)
