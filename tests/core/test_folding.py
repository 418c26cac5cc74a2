"""A network runs without batch norms, and nobody can tell but by the clock."""

import copy

import pytest
import torch
from bench import close, seeded, with_statistics
from torch import nn
from torch.autograd import grad

from helpers.core.activations import capture
from helpers.core.folding import Folded, sharing
from helpers.core.networks import Network
from helpers.core.registry import SOURCES
from helpers.core.relus import ReluRule

PAIRS = {"efficientnet_lite0": 49, "resnet18": 20, "resnet101": 104, "densenet121": 59, "googlenet": 57}
NORMS = PAIRS | {"densenet121": 121}  # the others stand before their convolution
QUICK = [name for name in PAIRS if name != "resnet101"]  # in float64 it takes half a minute


@pytest.fixture
def trained(untrained, lite0):
    """A network of the registry; all batch norms of those without weights have statistics."""
    return lambda name: lite0 if name == "efficientnet_lite0" else with_statistics(untrained(name))


def norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def plainly(network, images, layers):
    """What the model itself puts out at every layer."""
    paths = {layer: network.path(layer) for layer in layers}
    held = capture(network.model, network.normalise(images), list(dict.fromkeys(paths.values())))
    return {layer: held[path] for layer, path in paths.items()}


# ── The same numbers ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*PAIRS, "alexnet"])
def test_every_layer_puts_out_what_the_model_does(trained, name, device):
    network, images = trained(name).to(device), seeded(2, 3, 96, 80).to(device)
    layers = list(network.layers)
    with torch.no_grad():
        plain, together = plainly(network, images, layers), network.activations(images, layers)
        assert not norms(network.quickest())
        for layer in layers:
            assert close(network.activation(images, layer), plain[layer], 1e-5), layer
            assert close(together[layer], plain[layer], 1e-5), layer


@pytest.mark.parametrize("name", QUICK)
def test_activations_and_gradients_agree_to_the_last_digits(trained, name, device):
    network, images = copy.deepcopy(trained(name)).double().to(device), seeded(2, 3, 64, 64, dtype=torch.float64)
    images = images.to(device).requires_grad_()
    layers = [layer for layer in network.layers if len(network.shape(layer, 64)) == 3]
    plain = plainly(network, images, layers)
    for layer in [layers[0], layers[len(layers) // 2], layers[-1]]:
        found = network.activation(images, layer)
        assert close(found.detach(), plain[layer].detach(), 1e-12)
        (ours,), (theirs,) = (grad(x.square().sum(), images, retain_graph=True) for x in (found, plain[layer]))
        assert theirs.abs().max() > 0 and close(ours, theirs, 1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_every_batch_norm_behind_a_convolution_is_folded_and_the_others_are_one_operation(untrained, name):
    folded = Folded(untrained(name).model, 224)
    form = folded.form()
    assert len(norms(folded.model)) == NORMS[name] and not norms(form)
    kept = {id(tensor) for tensor in [*folded.model.parameters(), *folded.model.buffers()]}
    own = [tensor for tensor in [*form.parameters(), *form.buffers()] if id(tensor) not in kept]
    weights = [module.weight for module in folded.model.modules() if isinstance(module, nn.Conv2d)]
    assert sum(tensor.numel() for tensor in own) < 1.03 * sum(weight.numel() for weight in weights)


def test_between_a_convolution_and_its_batch_norm_the_numbers_are_those_before_it(lite0):
    images = seeded(1, 3, 64, 64)
    before = nn.functional.conv2d(  # TensorFlow's padding: all of it below and to the right
        nn.functional.pad(lite0.normalise(images), (0, 1, 0, 1)), lite0.model.conv_stem.weight, stride=2
    )
    held = lite0.activations(images, ["conv1", "input of bn1", "blocks.0.0.conv_dw", "relu1", "blocks.1"])
    assert close(held["conv1"], before) and close(held["input of bn1"], before)
    plain = plainly(lite0, images, held)
    assert all(close(held[layer], plain[layer]) for layer in held)
    assert close(lite0.activation(images, "bn1.act"), plain["relu1"])


# ── Where nothing may be folded ──────────────────────────────────────────────────────────────────────────────


class Branching(nn.Module):
    """Reads what lies between a convolution and its batch norm a second time, or runs one of them twice."""

    def __init__(self, way):
        super().__init__()
        torch.manual_seed(0)
        self.way, self.conv, self.norm = way, nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        between = self.conv(x)
        if self.way == "read again":
            return self.norm(between) + between
        if self.way == "handed out":
            self.norm(between)
            return between
        if self.way == "convolution twice":
            return self.norm(between) + self.conv(x + 1)
        return self.norm(between) + self.norm(x)


@pytest.mark.parametrize("way", ["read again", "handed out", "convolution twice", "norm twice"])
def test_what_is_read_twice_is_left_apart(way, device):
    network, images = Network(Branching(way), size=16).to(device), seeded(2, 3, 16, 16).to(device)
    assert close(network.activation(images, ""), network.model(network.normalise(images)))
    assert torch.equal(network.quickest().conv.weight, network.model.conv.weight)


def test_a_convolution_that_is_not_linear_in_its_weight_is_left_apart():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return nn.functional.conv2d(x, self.weight / self.weight.norm(), self.bias, padding=self.padding)

    model = nn.Sequential(Standardised(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    model[1].running_var.fill_(4)
    network, images = Network(model, size=16), seeded(1, 3, 16, 16)
    assert close(network.activation(images, "1"), model(images))


def test_a_model_that_needs_numbers_to_run_is_not_folded():
    class Deciding(nn.Sequential):
        def forward(self, x):
            return super().forward(x) if x.mean() > 0 else x

    network = Network(Deciding(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), size=16)
    images = seeded(1, 3, 16, 16)
    assert close(network.activation(images, ""), network.model(images))


def test_a_batch_norm_alone_without_weights_is_one_operation():
    network, images = Network(nn.Sequential(nn.BatchNorm2d(3, affine=False)), size=16), seeded(1, 3, 16, 16)
    network.model[0].running_var.fill_(4)
    assert close(network.activation(images, "0"), network.model(images)) and not norms(network.quickest())


def test_whoever_hooks_on_to_the_model_meets_its_passes(lite0):
    met, images = [], seeded(1, 3, 32, 32)
    handle = lite0.model.blocks[0].register_forward_hook(lambda *_: met.append("hook"))
    try:
        lite0(images)
    finally:
        handle.remove()
    assert met == ["hook"] and norms(lite0.model) and not norms(lite0.quickest())


def test_a_model_that_is_trained_gets_its_gradients(untrained):
    network = copy.deepcopy(untrained("resnet18"))
    network(seeded(1, 3, 64, 64))
    network.model.requires_grad_(True)
    network(seeded(1, 3, 64, 64))[0, 0].backward()
    assert network.model.conv1.weight.grad.abs().max() > 0 and network.model.bn1.bias.grad.abs().max() > 0


# ── A model that changes ─────────────────────────────────────────────────────────────────────────────────────


def double_weights(model):
    model[0].weight.mul_(2)


def new_data(model):
    model[1].weight.data = torch.full((4,), 3.0)


def new_parameter(model):
    model[3].weight = nn.Parameter(torch.ones(2, 4, 1, 1), requires_grad=False)


def new_statistics(model):
    model[1].load_state_dict({k: v + 1 for k, v in model[1].state_dict().items()})


def new_module(model):
    model[2] = nn.Tanh()


def double_precision(model):
    model.double()


@pytest.mark.parametrize(
    "change", [double_weights, new_data, new_parameter, new_statistics, new_module, double_precision]
)
def test_a_change_of_the_model_is_seen(change):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    network, images = Network(model, size=16), seeded(1, 3, 16, 16)
    before = network.activation(images, "")
    assert close(before, model(images))
    change(model)
    images = images.to(model[0].weight)
    after = network.activation(images, "")
    assert close(after, model(images)) and (change is double_precision or not close(after, before))


def test_a_copy_may_be_changed_and_copies_share_what_was_folded(lite0):
    images = seeded(1, 3, 32, 32)
    before = lite0(images)
    twin, own = sharing(lite0), copy.deepcopy(lite0)
    assert torch.equal(twin(images), before)
    assert twin.quickest().conv_stem.weight.data_ptr() == lite0.quickest().conv_stem.weight.data_ptr()
    own.model.bn1.weight.zero_()
    assert not close(own(images), before) and torch.equal(lite0(images), before)


def test_what_is_folded_in_inference_mode_serves_gradients_later(untrained):
    network, images = copy.deepcopy(untrained("resnet18")), seeded(1, 3, 64, 64)
    with torch.inference_mode():
        network(images)
    (gradient,) = grad(network(images.requires_grad_())[0, 0], images)
    assert gradient.abs().max() > 0


def test_a_first_pass_under_a_rule_counts_its_relus_once(untrained):
    network = copy.deepcopy(untrained("resnet18"))
    with ReluRule("guided") as rule:
        network(seeded(1, 3, 64, 64))
    assert rule.met == rule.changed == 17


# ── Channels last, all the way ───────────────────────────────────────────────────────────────────────────────


def lies_channels_last(tensor):
    return tensor.is_contiguous(memory_format=torch.channels_last)


def watched(model):
    """Hooks that note of every map in the model, and of every gradient that comes back to it, how it lies."""
    maps, gradients, seen = [], [], {}

    def note(_, arguments, output):
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            maps.append(lies_channels_last(output))
        given = arguments[0]
        if isinstance(given, torch.Tensor) and given.ndim == 4 and id(given) not in seen:
            seen[id(given)] = given  # kept, so that no two have one id
            given.register_hook(lambda gradient: gradients.append(lies_channels_last(gradient)))

    handles = [module.register_forward_hook(note) for module in model.modules()]
    return maps, gradients, handles


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("count", [1, 2])
def test_no_layout_is_undone_on_the_way(untrained, name, count, device):
    """Maps and gradients lie with their channels side by side wherever layers are asked for, and nobody sees it."""
    network, images = untrained(name).to(device), seeded(count, 3, 64, 64).to(device).requires_grad_()
    layers = [layer for layer in network.layers if len(network.shape(layer, 64)) == 3]
    layers = layers[:: max(1, len(layers) // 5)]
    model = network.quickest([network.path(layer) for layer in layers])
    maps, gradients, handles = watched(model)
    try:
        held = network.activations(images, layers)
        found = grad(sum(values.square().mean() for values in held.values()), images)[0]
    finally:
        for handle in handles:
            handle.remove()
    assert len(maps) > 10 and all(maps)
    # a layer that hands its input on meets the caller's gradient before it is laid out
    assert len(gradients) > 10 and gradients.count(False) < len(layers)
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert all(lies_channels_last(weight) for weight in weights)
    # what goes in and out has the layout that `.view()` takes for granted
    assert all(values.is_contiguous() for values in held.values()) and found.is_contiguous()
    as_they_lie = network.activations(images, layers, as_they_lie=True)
    assert all(lies_channels_last(values) and close(values, held[layer]) for layer, values in as_they_lie.items())
