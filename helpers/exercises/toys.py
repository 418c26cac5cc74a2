"""Tiny networks whose every answer can be worked out by hand. They stand in for the real ones in the checks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers.core.networks import Network

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "none": nn.Identity}


def toy(
    kernels: Sequence[Tensor] = (),
    head: Tensor | None = None,
    activation: str = "relu",
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
) -> Network:
    """A network with the weights given: convolutions of stride 1 without padding, then one linear layer.

    Its layers are conv1, relu1, conv2, relu2, … (whatever the activation), `penultimate` (the last map, flattened)
    and, if there is a head, `logits`. Its number type and device are those of the weights.

    Args:
        kernels: of each convolution, (out, in, height, width); the first has in = 3. None: a linear network.
        head: (classes, features), where features is the size of the last map.
        activation: "relu", "tanh" (smooth) or "none" (linear all the way).
    """
    modules, layers = {}, {}
    for i, kernel in enumerate(kernels, 1):
        convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2:], bias=False)
        convolution.weight = nn.Parameter(kernel.detach().clone())
        modules |= {f"conv{i}": convolution, f"relu{i}": ACTIVATIONS[activation]()}
        layers |= {f"conv{i}": f"conv{i}", f"relu{i}": f"relu{i}"}
    modules["penultimate"], layers["penultimate"] = nn.Flatten(), "penultimate"
    if head is not None:
        linear = nn.Linear(head.shape[1], head.shape[0], bias=False)
        linear.weight = nn.Parameter(head.detach().clone())
        modules["logits"], layers["logits"] = linear, "logits"
    model = nn.Sequential()
    for name, module in modules.items():
        model.add_module(name, module)
    classes = [] if head is None else [f"class {i}" for i in range(len(head))]
    network = Network(model, "toy", mean=mean, std=std, categories=classes, layers=layers)
    some = head if head is not None else kernels[0] if kernels else torch.zeros(1)
    network.to(device=some.device, dtype=some.dtype)
    network.recipe = {"kernels": list(kernels), "head": head, "activation": activation, "mean": mean, "std": std}
    return network
