"""Captured layers hold what the layer put out, and receptive fields are exact to the pixel."""

import copy

import pytest
import torch
from bench import close, seeded
from captum._utils.gradient import compute_layer_gradients_and_eval
from torch import nn
from torch.autograd import grad
from torchvision.models.feature_extraction import create_feature_extractor

from helpers.core.activations import ReceptiveField, capture, distance, split_path, trace
from helpers.core.registry import SOURCES

TORCHVISION = [name for name, source in SOURCES.items() if source.url]


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


def test_trace_composes_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 4, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten())
    traced = trace(model, (224, 200))
    assert traced["0"].shape == (4, 55, 49)
    assert traced["0"].field == ReceptiveField(size=(11, 11), stride=(4, 4), start=(-2, -2))
    assert traced["2"].field == ReceptiveField(size=(19, 19), stride=(8, 8), start=(-2, -2))
    assert traced["2"].field.box(1, 2) == (6, 14, 25, 33)
    assert traced["3"].field.box() == (0, 0, 224, 200)


def test_trace_knows_dilation_average_pooling_padding_and_oblong_kernels():
    model = nn.Sequential(
        nn.ZeroPad2d((1, 2, 3, 4)), nn.Conv2d(3, 1, (1, 5), dilation=(1, 2)), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(4)
    )
    traced = trace(model, (9, 21))
    assert traced["1"].field == ReceptiveField(size=(1, 9), stride=(1, 1), start=(-3, -1))
    assert traced["2"].field == ReceptiveField(size=(2, 10), stride=(2, 2), start=(-3, -1))
    assert traced["3"].field == ReceptiveField(size=(4, 12), stride=(4, 4), start=(-3, -1))


def test_uneven_adaptive_pooling_and_gates_see_everything():
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sigmoid())

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.pool = gate, nn.AdaptiveAvgPool2d(3)

        def forward(self, x):
            return self.pool(x * self.gate(x))

    traced = trace(Gated(), (8, 8))
    assert traced["gate"].field.box() == traced["pool"].field.box() == (0, 0, 8, 8)


def test_trace_is_the_same_in_inference_mode():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 3))
    expected = trace(model, (32, 32))
    with torch.inference_mode():
        assert trace(model, (32, 32)) == expected


def excite_every_path(model):
    """Make every gradient that can be non-zero positive, so that its support is the true field."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.reset_parameters()


def seen_by(network, layer, row, column, size):
    """The box of pixels with a gradient, found from the real network with its maxima turned into averages."""
    image = torch.rand(1, 3, *size).requires_grad_()
    output = network.activation(image, layer)
    (gradient,) = grad(output[0, :, row, column].sum(), image)
    rows, columns = gradient[0].abs().sum(0).nonzero(as_tuple=True)
    return rows.min().item(), columns.min().item(), rows.max().item() + 1, columns.max().item() + 1


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("alexnet", ["conv1", "pool2", "conv5"]),
        ("vgg16", ["relu2_2", "conv4_1"]),
        ("resnet18", ["layer1.0", "layer2", "layer3.0"]),
        ("resnet101", ["layer2.1", "layer3.0"]),
        ("densenet121", ["block1", "transition1", "block2"]),
        ("squeezenet1_1", ["fire2", "fire5"]),
        ("googlenet", ["conv3", "inception3b", "inception4a"]),
        ("efficientnet_lite0", ["conv1", "blocks.1", "blocks.3"]),
    ],
)
def test_receptive_fields_equal_the_gradient_mask(monkeypatch, name, layers):
    from helpers.core.networks import Network

    # a maximum passes its gradient to one pixel only; an average shows every pixel it could have been
    average = torch.nn.functional.avg_pool2d
    monkeypatch.setattr(
        torch.nn.functional,
        "max_pool2d",
        lambda x, k, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False: average(
            x, k, stride, padding, ceil_mode
        ),
    )
    source = SOURCES[name]
    model = source.build()
    excite_every_path(model)
    network = Network(model, name, layers=source.name_layers(model))
    size = (227, 227) if name == "squeezenet1_1" else (224, 224)  # at 224 its strides leave the last row unseen
    for layer in layers:
        _, height, width = network.shape(layer, size)
        field = network.receptive_field(layer, size)
        for row, column in [(0, 0), (height // 2, width // 2), (height - 1, width // 3)]:
            top, left, bottom, right = field.box(row, column)
            inside = max(top, 0), max(left, 0), min(bottom, size[0]), min(right, size[1])
            assert seen_by(network, layer, row, column, size) == inside, (layer, row, column)


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
