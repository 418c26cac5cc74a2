"""What tests of several techniques stand on: seeded pictures, and networks that can be worked out by hand."""

import copy

import torch
from torch import Tensor, nn

from helpers.core.networks import Network


def seeded(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers in [0, 1) of any shape: `seeded(2, 3, 8, 9)` are two pictures, the same for the same seed."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tiny() -> Network:
    """Two convolutions and a classifier in float64: a real network in milliseconds, smooth enough to be differenced."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.Softplus()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)).double()
    names = {"conv1": "0", "tanh1": "1", "conv2": "2", "soft2": "3", "penultimate": "input of 6", "logits": ""}
    return Network(model, "tiny", mean=(0.4, 0.5, 0.6), categories=("a", "b", "c"), layers=names).double()


class Function(nn.Module):
    """A plain function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def network_of(function, categories=("one",), **arguments) -> Network:
    """A network whose scores are a module's or a function's."""
    model = function if isinstance(function, nn.Module) else Function(function)
    return Network(model, categories=categories, layers={"logits": ""}, **arguments)


def linear(classes: int = 3, side: int = 4, seed: int = 0) -> tuple[Network, Tensor]:
    """A network in float64 that is one linear layer, and its weights as pictures (classes, 3, side, side)."""
    torch.manual_seed(seed)
    layer = nn.Linear(3 * side * side, classes).double()
    network = network_of(nn.Sequential(nn.Flatten(), layer), [f"class {i}" for i in range(classes)]).double()
    return network, layer.weight.detach().view(classes, 3, side, side)


def with_statistics(network: Network) -> Network:
    """A copy with running statistics that a wrongly folded batch norm would not survive."""
    network = copy.deepcopy(network)
    random = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.1), (module.running_var, 0.8), (module.bias, -0.1)):
                tensor.copy_(torch.rand(tensor.shape, generator=random) * 0.2 + low)
    return network


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether the largest difference is within `tolerance` of the largest value."""
    return float((ours - theirs).detach().abs().max()) <= tolerance * float(theirs.detach().abs().max())
