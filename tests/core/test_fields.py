"""Receptive fields are exact to the pixel."""

import pytest
import torch
from torch import nn
from torch.autograd import grad

from helpers.core.fields import ReceptiveField, trace
from helpers.core.networks import Network
from helpers.core.registry import SOURCES


def test_trace_composes_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 4, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten())
    traced = trace(model, (224, 200))
    assert traced["0"] == ReceptiveField(size=(11, 11), stride=(4, 4), start=(-2, -2))
    assert traced["2"] == ReceptiveField(size=(19, 19), stride=(8, 8), start=(-2, -2))
    assert traced["2"].box(1, 2) == (6, 14, 25, 33)
    assert traced["3"].box() == (0, 0, 224, 200)


def test_trace_knows_dilation_average_pooling_padding_and_oblong_kernels():
    model = nn.Sequential(
        nn.ZeroPad2d((1, 2, 3, 4)), nn.Conv2d(3, 1, (1, 5), dilation=(1, 2)), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(4)
    )
    traced = trace(model, (9, 21))
    assert traced["1"] == ReceptiveField(size=(1, 9), stride=(1, 1), start=(-3, -1))
    assert traced["2"] == ReceptiveField(size=(2, 10), stride=(2, 2), start=(-3, -1))
    assert traced["3"] == ReceptiveField(size=(4, 12), stride=(4, 4), start=(-3, -1))


def test_uneven_adaptive_pooling_and_gates_see_everything():
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sigmoid())

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.pool = gate, nn.AdaptiveAvgPool2d(3)

        def forward(self, x):
            return self.pool(x * self.gate(x))

    traced = trace(Gated(), (8, 8))
    assert traced["gate"].box() == traced["pool"].box() == (0, 0, 8, 8)


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
