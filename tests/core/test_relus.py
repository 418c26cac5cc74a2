"""Another backward rule for every ReLU: gradients by hand for every spelling, and none that slips through."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from helpers.core.networks import Network
from helpers.core.relus import ReluRule, with_backward

RELUS = {
    "alexnet": 7,
    "vgg16": 15,
    "resnet18": 17,
    "resnet101": 100,
    "densenet121": 121,
    "squeezenet1_1": 26,
    "googlenet": 57,
}
X = torch.tensor([[2.0, -1.0, 3.0, -2.0], [1.0, 1.0, -1.0, -1.0], [0.0, 4.0, -3.0, 5.0], [-1.0, 2.0, 1.0, 7.0]])
WEIGHT = torch.tensor([[1.0, 1.0, -2.0, -2.0], [3.0, -3.0, 3.0, -3.0], [5.0, -1.0, 1.0, 2.0], [4.0, 0.5, -1.0, 1.0]])
# score = Σ WEIGHT · relu(x), so that WEIGHT is the gradient that arrives at the ReLU
BY_HAND = {
    "gradient": [[1.0, 0.0, -2.0, 0.0], [3.0, -3.0, 0.0, 0.0], [0.0, -1.0, 0.0, 2.0], [0.0, 0.5, -1.0, 1.0]],
    "guided": [[1.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0], [0.0, 0.5, 0.0, 1.0]],
    "deconvnet": [[1.0, 1.0, 0.0, 0.0], [3.0, 0.0, 3.0, 0.0], [5.0, 0.0, 1.0, 2.0], [4.0, 0.5, 0.0, 1.0]],
}
SPELLINGS = {
    "F.relu": F.relu,
    "F.relu by name": lambda x: F.relu(input=x),
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "Tensor.relu_, result unused": lambda x: (x.relu_(), x)[1],
    "torch.ops": torch.ops.aten.relu,
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.Threshold": nn.Threshold(0, 0),
    "F.threshold_": lambda x: F.threshold_(x, 0.0, 0.0),
    "torch.threshold": lambda x: torch.threshold(x, 0, 0),
    "F.hardtanh": lambda x: F.hardtanh(x, 0.0, 100.0),
    "F.hardtanh_": lambda x: F.hardtanh_(x, min_val=0.0, max_val=100.0),
}
SPELLINGS_OF_6 = {
    "F.relu6": F.relu6,
    "F.relu6 in place": lambda x: F.relu6(x, True),
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.hardtanh": lambda x: F.hardtanh(x, 0, 6),
}


def random_image(side):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def backward(function, rule):
    """∂ Σ WEIGHT · function(x) / ∂x under a rule, and the rule's counters."""
    x = X.clone().requires_grad_()
    with ReluRule(rule) as counted:
        score = (WEIGHT * function(x * 1)).sum()  # × 1: a leaf cannot be changed in place
    return torch.autograd.grad(score, x)[0], counted.met, counted.changed


@pytest.mark.parametrize("rule", BY_HAND)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_relu_obeys_the_rule(spelling, rule):
    found, met, changed = backward(SPELLINGS[spelling], rule)
    assert torch.equal(found, torch.tensor(BY_HAND[rule]))
    assert (met, changed) == (1, 0 if rule == "gradient" else 1)


@pytest.mark.parametrize("rule", BY_HAND)
@pytest.mark.parametrize("spelling", SPELLINGS_OF_6)
def test_relu6_is_closed_above_six_too(spelling, rule):
    expected = torch.tensor(BY_HAND[rule])
    if rule != "deconvnet":
        expected[3, 3] = 0  # x = 7
    found, met, changed = backward(SPELLINGS_OF_6[spelling], rule)
    assert torch.equal(found, expected) and (met, changed) == (1, 0 if rule == "gradient" else 1)


@pytest.mark.parametrize(
    "function",
    [F.hardtanh, lambda x: F.hardtanh(x, -1.0, 1.0), lambda x: F.threshold(x, 1.0, 0.0), F.leaky_relu, torch.tanh],
)
def test_what_is_not_a_relu_is_left_alone(function):
    plain = backward(function, "gradient")
    assert plain[1:] == (0, 0)
    found, *counts = backward(function, "guided")
    assert torch.equal(found, plain[0]) and counts == [0, 0]


@pytest.mark.parametrize("spelling", ["F.relu", "Tensor.relu_", "nn.ReLU6 in place"])
def test_the_forward_pass_is_the_same_under_every_rule(spelling):
    function = (SPELLINGS | SPELLINGS_OF_6)[spelling]
    with ReluRule("guided"), torch.no_grad():
        ruled = function(X * 1)
    assert torch.equal(ruled, function(X * 1))


def test_an_in_place_relu_may_act_on_a_slice():
    def function(x):
        x[:2].relu_()
        return x

    expected = WEIGHT.clone()
    expected[:2] = torch.tensor(BY_HAND["guided"])[:2]
    assert torch.equal(backward(function, "guided")[0], expected)


@pytest.mark.parametrize("name", RELUS)
def test_every_relu_of_a_network_is_met_and_changed(untrained, name):
    image = random_image(64)
    for rule in ("guided", "deconvnet"):
        with ReluRule(rule) as counted, torch.no_grad():
            untrained(name)(image)
        assert (counted.met, counted.changed) == (RELUS[name], RELUS[name])


def test_every_relu6_of_the_default_network_is_met_and_changed(lite0):
    with ReluRule("guided") as counted, torch.no_grad():
        lite0(random_image(64))
    modules = [module for module in lite0.modules() if isinstance(module, nn.ReLU6)]
    assert counted.met == counted.changed == len(modules) == 33


def test_no_mode_survives_an_exception():
    with pytest.raises(ZeroDivisionError), ReluRule("guided"):
        raise ZeroDivisionError
    assert not _get_current_function_mode_stack() and not _get_current_dispatch_mode_stack()
    assert torch.equal(backward(F.relu, "gradient")[0], torch.tensor(BY_HAND["gradient"]))


@pytest.mark.parametrize("rule", BY_HAND)
def test_a_rule_of_ones_own_is_asked_at_every_relu(untrained, rule):
    """Written as the table of the papers has it, it makes the gradients that `ReluRule` makes."""

    def passes(x, gradient, rule, ceiling):
        active = (x > 0) & (x < ceiling)
        table = {"gradient": active, "guided": active & (gradient > 0), "deconvnet": gradient > 0}
        return gradient * table[rule]

    network, pixels = untrained("alexnet"), random_image(64).requires_grad_()
    before = network(pixels)
    own = with_backward(network, passes, [rule] * 7)
    with ReluRule(rule) as counted:
        (expected,) = torch.autograd.grad(network(pixels)[0, 7], pixels)
    (found,) = torch.autograd.grad(own(pixels)[0, 7], pixels)
    assert counted.met == 7 and torch.allclose(found, expected, atol=1e-6 * float(expected.abs().max()))
    assert torch.equal(own(pixels), before) and torch.equal(network(pixels), before)


def test_each_relu_has_its_own_rule_and_its_own_ceiling():
    asked = []

    def passes(x, gradient, rule, ceiling):
        asked.append((rule, ceiling, x.flatten().tolist()))
        return 10 * gradient

    model = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU6(), nn.Sequential(nn.ReLU()))
    nn.init.ones_(model[0].weight)
    network = with_backward(Network(model), passes, ["first", "second"])
    pixels = torch.tensor([3.0, 0.5, -1.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3).clone().requires_grad_()
    out = network.activation(pixels, "2")
    assert out.flatten().tolist() == [6, 1.5, 0]
    (gradient,) = torch.autograd.grad(out.sum(), pixels)
    assert asked == [("second", float("inf"), [6, 1.5, 0]), ("first", 6.0, [9, 1.5, -3])]  # from the top down
    assert (gradient == 100).all()


def test_there_must_be_a_rule_for_every_relu():
    network = Network(nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU()))
    with pytest.raises(ValueError, match="rules must have one entry for each of the 1 ReLUs, not 2"):
        with_backward(network, lambda x, g, rule, ceiling: g, ["guided", "guided"])
