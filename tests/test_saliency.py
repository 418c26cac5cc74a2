"""Saliency maps: hand-computed answers, identities, captum where captum is right, and what it gets wrong."""

import warnings

import captum.attr as captum
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from helpers.core.networks import Network
from helpers.core.photos import photo
from helpers.core.relus import ReluRule
from helpers.patches import crop
from helpers.saliency import (
    as_picture,
    integrated_gradients,
    join_colours,
    neurons,
    rank_correlation,
    saliency,
    sanity_check,
    smoothgrad,
    stages,
)

RELUS = {
    "alexnet": 7,
    "vgg16": 15,
    "resnet18": 17,
    "resnet101": 100,
    "densenet121": 121,
    "squeezenet1_1": 26,
    "googlenet": 57,
}
WHERE_CAPTUM_IS_RIGHT = ["alexnet", "vgg16", "resnet18", "resnet101"]


class Function(nn.Module):
    """A plain function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def network_of(function, categories=("one",), **arguments):
    model = function if isinstance(function, nn.Module) else Function(function)
    return Network(model, categories=categories, layers={"logits": ""}, **arguments)


def linear(classes=3, side=4, seed=0):
    """A network that is one linear layer, and its weights as pictures (classes, 3, side, side)."""
    torch.manual_seed(seed)
    layer = nn.Linear(3 * side * side, classes).double()
    network = network_of(nn.Sequential(nn.Flatten(), layer), [f"class {i}" for i in range(classes)]).double()
    return network, layer.weight.detach().view(classes, 3, side, side)


def pictures(count=1, side=4, seed=0, dtype=torch.float64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def close(ours, theirs, tolerance=1e-5):
    """Whether the largest difference is within `tolerance` of the largest value."""
    return float((ours - theirs).abs().max()) <= tolerance * float(theirs.abs().max())


def nothing_left_behind():
    return not _get_current_function_mode_stack() and not _get_current_dispatch_mode_stack()


# ── The gradient ──


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        ("max", lambda w: w.abs().amax(1, keepdim=True)),
        ("l2", lambda w: w.square().sum(1, keepdim=True).sqrt()),
        ("signed", lambda w: w.sum(1, keepdim=True)),
        ("all", lambda w: w),
    ],
)
def test_a_linear_networks_saliency_is_its_weights(colours, expected):
    network, weights = linear()
    found = saliency(network, pictures(), 1, colours=colours)
    assert torch.allclose(found, expected(weights[1:2]), atol=1e-12)


def test_pixels_are_the_pictures_own_whatever_the_normalisation():
    network = network_of(lambda x: x.sum((1, 2, 3))[:, None], mean=(0.5,) * 3, std=(0.1, 0.2, 0.5))
    found = saliency(network, pictures(dtype=torch.float32), 0, colours="all")
    assert torch.allclose(found, torch.tensor([10.0, 5.0, 2.0]).view(1, 3, 1, 1).expand_as(found))


def test_each_picture_of_a_batch_may_have_its_own_class():
    network, weights = linear()
    found = saliency(network, pictures(2), ["class 2", 0], colours="all")
    assert torch.allclose(found, weights[[2, 0]], atol=1e-12)
    assert torch.equal(found, saliency(network, pictures(2), torch.tensor([2, 0]), colours="all"))


def test_times_input_is_each_pixels_share_against_a_plain_picture():
    network, weights = linear()
    network.mean += 0.25
    image = pictures()
    shares = saliency(network, image, 0, times_input=True, colours="all")
    assert torch.allclose(shares, weights[:1] * (image - 0.25), atol=1e-12)
    plain = torch.full_like(image, 0.25)
    assert torch.allclose(shares.sum(), (network(image) - network(plain))[0, 0])


def test_a_probabilitys_gradient_is_that_of_the_scores_times_what_softmax_leaves():
    network, weights = linear()
    image = pictures()
    p = network.probabilities(image)[0]
    logarithm = weights[0] - torch.einsum("k,kchw->chw", p, weights)  # ∂ log p₀ / ∂x = w₀ − Σ p_k w_k
    assert torch.allclose(saliency(network, image, 0, of="log-probability", colours="all")[0], logarithm, atol=1e-12)
    assert torch.allclose(saliency(network, image, 0, of="probability", colours="all")[0], p[0] * logarithm, atol=1e-12)


def test_a_certain_answer_has_no_gradient_after_softmax_and_a_full_one_before():
    network, weights = linear(classes=2)
    network.model[1].bias.data[0] = 60
    assert saliency(network, pictures(), 0, of="probability").max() < 1e-20
    assert torch.allclose(saliency(network, pictures(), 0), weights[:1].abs().amax(1, keepdim=True))


# ── The backward rule ──

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


def test_a_second_reader_of_the_relus_input_keeps_its_gradient():
    h = torch.tensor([1.0, -1.0, 2.0]).view(1, 3, 1, 1)
    network = network_of(nn.Sequential(Function(lambda x: x), ReluMinusTwice(), nn.Flatten(), Summed()))
    assert saliency(network, h, 0, rule="guided", colours="all").flatten().tolist() == [-1.0, -2.0, -1.0]
    assert by_captum(captum.GuidedBackprop, network, h, 0).flatten().tolist() == [0.0, 0.0, 0.0]  # its known fault


class ReluMinusTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, h):
        return self.relu(h) - 2 * h


class Summed(nn.Module):
    def forward(self, x):
        return x.sum(1, keepdim=True)


@pytest.mark.parametrize("name", RELUS)
def test_every_relu_of_a_network_is_met_and_changed(untrained, name):
    image = pictures(1, 64, dtype=torch.float32)
    for rule in ("guided", "deconvnet"):
        with ReluRule(rule) as counted, torch.no_grad():
            untrained(name)(image)
        assert (counted.met, counted.changed) == (RELUS[name], RELUS[name])


def test_every_relu6_of_the_default_network_is_met_and_changed(lite0):
    with ReluRule("guided") as counted, torch.no_grad():
        lite0(pictures(1, 64, dtype=torch.float32))
    modules = [module for module in lite0.modules() if isinstance(module, nn.ReLU6)]
    assert counted.met == counted.changed == len(modules) == 33


def test_a_relu_out_of_reach_is_an_error_and_not_a_wrong_picture():
    network = network_of(lambda x: torch.ops.aten.relu.default(x).sum((2, 3)), ["a", "b", "c"])
    with pytest.raises(RuntimeError, match="'guided' reached 0 of the 1 ReLUs"):
        saliency(network, pictures(), 0, rule="guided")
    assert saliency(network, pictures(), 0).shape == (1, 1, 4, 4)  # the plain gradient needs no rule
    assert nothing_left_behind()


def test_no_mode_survives_an_exception(untrained):
    def fail(x):
        F.relu(x)
        raise ZeroDivisionError("a model that breaks")

    for method in (saliency, smoothgrad):
        with pytest.raises(ZeroDivisionError):
            method(network_of(fail), pictures(), 0, rule="guided")
        assert nothing_left_behind()
    with pytest.raises(ZeroDivisionError), ReluRule("guided"):
        raise ZeroDivisionError
    assert nothing_left_behind()
    assert torch.equal(backward(F.relu, "gradient")[0], torch.tensor(BY_HAND["gradient"]))


# ── Against captum, and where captum is wrong against a second way of our own ──


def by_captum(explain, network, image, target, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return explain(network).attribute(image.clone().requires_grad_(), target=target, **arguments).detach()


def by_patching(monkeypatch, network, image, target):
    """Guided backprop by other means: F.relu and F.hardtanh replaced by clamps with a hook on their result."""

    def guided(x, low=0.0, high=None, **_):
        y = x.clamp(low, high)
        y.register_hook(lambda gradient: gradient.clamp_min(0))
        return y

    with monkeypatch.context() as patched:
        patched.setattr(F, "relu", lambda x, inplace=False: guided(x))
        patched.setattr(F, "hardtanh", lambda x, low, high, inplace=False: guided(x, low, high))
        pixels = image.clone().requires_grad_()
        return torch.autograd.grad(network(pixels)[:, target].sum(), pixels)[0]


@pytest.fixture
def small_batch():
    return torch.cat([photo(name, 64) for name in ("chelsea", "coffee")])


@pytest.mark.parametrize("name", WHERE_CAPTUM_IS_RIGHT)
def test_captum_agrees(untrained, small_batch, name):
    network = untrained(name)
    ours = saliency(network, small_batch, 7, colours="all")
    assert close(ours.abs(), by_captum(captum.Saliency, network, small_batch, 7))
    for rule, method in (("guided", captum.GuidedBackprop), ("deconvnet", captum.Deconvolution)):
        assert close(
            saliency(network, small_batch, 7, rule=rule, colours="all"), by_captum(method, network, small_batch, 7)
        )


@pytest.mark.parametrize("name", [*WHERE_CAPTUM_IS_RIGHT, "efficientnet_lite0"])
def test_captum_agrees_on_the_remedies(untrained, lite0, name):
    network, image = (lite0 if name == "efficientnet_lite0" else untrained(name)), photo("chelsea", 64)
    ours = integrated_gradients(network, image, 7, "black", steps=3, colours="all")
    theirs = by_captum(captum.IntegratedGradients, network, image, 7, baselines=0.0, n_steps=3, method="riemann_middle")
    assert close(ours, theirs)

    # captum draws from the global generator, all samples at once: the same seed gives it our noise
    ours = smoothgrad(network, image, 7, level=0.2, samples=2, colours="all", seed=3)
    sigma = 0.2 * float(image.max() - image.min())
    with torch.random.fork_rng():
        torch.manual_seed(3)
        tunnel = captum.NoiseTunnel(captum.Saliency(network))
        theirs = tunnel.attribute(image, nt_samples=2, stdevs=sigma, target=7, abs=False)
    assert close(ours, theirs)


def test_captum_agrees_on_the_default_network(lite0, small_batch):
    targets = torch.tensor([281, 967])
    ours = saliency(lite0, small_batch, targets, colours="all")
    assert close(ours.abs(), by_captum(captum.Saliency, lite0, small_batch, targets))
    plain = lite0.mean_pixel.view(1, 3, 1, 1)
    shares = saliency(lite0, small_batch, targets, times_input=True, colours="all")
    assert close(shares, by_captum(captum.InputXGradient, lite0.model, lite0.normalise(small_batch), targets))
    assert close(shares, ours * (small_batch - plain))


@pytest.mark.parametrize("name", ["densenet121", "googlenet", "efficientnet_lite0", "resnet18"])
def test_guided_backprop_is_right_where_hooks_on_modules_miss_relus(untrained, lite0, monkeypatch, name):
    network, image = (lite0 if name == "efficientnet_lite0" else untrained(name)), photo("chelsea", 64)
    ours = saliency(network, image, 7, rule="guided", colours="all")
    assert close(ours, by_patching(monkeypatch, network, image, 7))
    theirs = by_captum(captum.GuidedBackprop, network, image, 7)
    assert close(ours, theirs) == (name == "resnet18")
    if name in ("googlenet", "efficientnet_lite0"):  # no nn.ReLU anywhere: captum gives the plain gradient
        assert close(theirs, saliency(network, image, 7, colours="all"))


# ── The remedies ──


def test_smoothgrad_without_noise_is_the_gradient(lite0):
    image = photo("chelsea", 64)
    plain = saliency(lite0, image, "tabby", colours="all")
    assert close(smoothgrad(lite0, image, "tabby", level=0, samples=3, colours="all"), plain)


def test_the_noise_is_a_part_of_the_range_between_darkest_and_brightest():
    # score = Σ x³/3, so that the gradient is x², and its mean under noise x² + σ²
    network = network_of(lambda x: (x**3 / 3).sum((1, 2, 3))[:, None]).double()
    image = pictures() * 0.5 + 0.2
    level, spread = 0.3, float(image.max() - image.min())
    found = smoothgrad(network, image, 0, level=level, samples=2000, batch=1000, colours="all")
    assert float((found - image**2).mean()) == pytest.approx((level * spread) ** 2, rel=0.05)


def test_smoothgrad_gives_a_batch_what_each_picture_gets_alone_in_any_chunks():
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)), "abc")
    network, batch = network.double(), pictures(2, 8)
    together = smoothgrad(network, batch, "b", samples=7)
    alone = torch.cat([smoothgrad(network, image[None], "b", samples=7, batch=3) for image in batch])
    assert not close(together, smoothgrad(network, batch, "b", samples=7, seed=1), 1e-2)
    assert close(together, alone, 1e-12)


def test_integrated_gradients_of_a_linear_network_are_exact_after_one_step():
    network, weights = linear()
    image = pictures()
    for baseline, value in (("mean", 0.0), ("black", 0.0), ("white", 1.0)):
        found = integrated_gradients(network, image, 2, baseline, steps=1, colours="all")
        assert torch.allclose(found, weights[2:] * (image - value), atol=1e-12)


def test_integrated_gradients_are_complete(lite0):
    image = photo("chelsea", 64)
    with torch.no_grad():
        gained = float((lite0(image) - lite0(lite0.mean_pixel.view(1, 3, 1, 1).expand_as(image)))[0, 281])
    errors = [float(integrated_gradients(lite0, image, 281, steps=steps).sum()) - gained for steps in (2, 100)]
    assert abs(errors[1]) < 0.1 * abs(gained) and abs(errors[1]) < 0.3 * abs(errors[0])


# ── Neurons ──


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


def test_no_hook_survives_an_error_in_the_middle_of_a_neuron(lite0):
    class Broken(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), Broken(), nn.Conv2d(2, 2, 1))
    network = Network(model)
    network._traces[(4, 4)] = {"3": lite0._traced("blocks.0", 4)}  # a broken model cannot be traced
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


# ── The sanity check ──


def test_stages_hold_every_weight_once_and_begin_at_the_top(lite0, untrained):
    for network in (lite0, untrained("resnet18"), untrained("densenet121"), untrained("alexnet")):
        held = [p for name in stages(network) for p in network.model.get_submodule(name).parameters()]
        assert len(held) == len({id(p) for p in held}) == len(list(network.parameters()))
    assert stages(lite0)[0] == "classifier" and stages(lite0)[-1] == "conv_stem"


def test_the_gradient_changes_at_once_and_guided_backprop_hardly(lite0):
    before = {name: value.clone() for name, value in lite0.state_dict().items()}
    image = photo("chelsea", 64)
    ranks = {
        method: [step.losses["rank correlation"] for step in sanity_check(lite0, image, "tabby", method)]
        for method in ("gradient", "guided")
    }
    assert len(ranks["guided"]) == len(stages(lite0)) + 1
    assert ranks["gradient"][0] == pytest.approx(1) and ranks["guided"][0] == pytest.approx(1)
    assert max(ranks["gradient"][1:]) < 0.6 and min(ranks["guided"][1:5]) > 0.9
    assert abs(ranks["guided"][-1]) < 0.5
    assert all(torch.equal(value, before[name]) for name, value in lite0.state_dict().items())


def test_one_stage_alone_can_be_randomised(lite0):
    image = photo("chelsea", 64)
    first, *others = sanity_check(lite0, image, "tabby", "guided", cascade=False)
    assert (first.index, first.total, first.image.shape) == (1, 22, (1, 1, 64, 64))
    ranks = {name: step.losses["rank correlation"] for name, step in zip(stages(lite0), others, strict=True)}
    assert ranks["classifier"] > 0.9 and min(ranks.values()) < 0.8


@pytest.mark.parametrize("method", ["smoothgrad", "integrated", "deconvnet"])
def test_other_methods_can_be_checked_and_stopped_midway(untrained, method):
    network, image = untrained("squeezenet1_1"), photo("chelsea", 64)
    steps = sanity_check(network, image, 7, method, seed=1)
    first, second = next(steps), next(steps)
    steps.close()
    assert first.losses["rank correlation"] == pytest.approx(1) and second.losses["rank correlation"] < 0.999
    assert nothing_left_behind()
    again = sanity_check(network, image, 7, method, seed=1)
    assert torch.equal(next(again).image, first.image) and torch.equal(next(again).image, second.image)


def test_a_deconvnet_without_pooling_gives_one_map_to_all_pictures(lite0):
    batch = torch.cat([photo(name, 64) for name in ("chelsea", "coffee")])
    chelsea, coffee = saliency(lite0, batch, 281, rule="deconvnet", colours="all")
    assert close(chelsea, coffee)


def test_rank_correlation_is_spearmans():
    a = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    b = torch.tensor([[10.0, 30.0, 20.0], [40.0, 60.0, 50.0]])
    assert rank_correlation(a, b) == pytest.approx(1 - 6 * 4 / (6 * 35))  # 1 − 6 Σd² / n (n² − 1)
    assert rank_correlation(a, -(b**3)) == pytest.approx(-rank_correlation(a, b))
    ties = torch.tensor([[0.0, 0.0, 1.0], [1.0, 2.0, 0.0]])
    assert rank_correlation(a, ties) == pytest.approx(stats.spearmanr(a.flatten(), ties.flatten()).statistic)
    assert rank_correlation(a, torch.ones(2, 3)) == 0
    with pytest.raises(ValueError, match=r"one shape, not \(2, 3\) and \(3, 2\)"):
        rank_correlation(a, b.T)


# ── Devices and errors ──


def test_every_method_runs_on_every_device(device):
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(4 * 36, 3)), "abc")
    image = pictures(2, 8, dtype=torch.float32)
    methods = {
        "saliency": lambda n: saliency(n, image, 0, rule="guided", times_input=True),
        "smoothgrad": lambda n: smoothgrad(n, image, [0, 2], samples=3),
        "integrated": lambda n: integrated_gradients(n, image, "b", steps=3),
        "neurons": lambda n: neurons(n, image, "0", [1, 3]).gradient,
        "sanity": lambda n: list(sanity_check(n, image[:1], 0))[-1].image,
    }
    on_cpu = {name: method(network.to("cpu")) for name, method in methods.items()}
    network.to(device)
    for name, method in methods.items():
        found = method(network)
        assert found.device.type == device and torch.allclose(found.cpu(), on_cpu[name], atol=1e-4), name


NAN = torch.full((1, 3, 8, 8), float("nan"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": NAN}, "image must be finite"),
        ({"image": torch.rand(3, 8, 8)}, r"image must have shape \(N, 3, H, W\)"),
        ({"category": "tabbby"}, "category 'tabbby' is not a class of"),
        ({"category": 1000}, "category must be from 0 to 999, not 1000"),
        ({"category": [1, 2, 3]}, "category must be one class, or one for each of the 1 images"),
        ({"of": "softmax"}, "of must be one of 'logit', 'probability', 'log-probability', not 'softmax'"),
        ({"rule": "relu"}, "rule must be one of 'gradient', 'guided', 'deconvnet', not 'relu'"),
        ({"colours": "mean"}, "colours must be one of 'max', 'l2', 'signed', 'all', not 'mean'"),
    ],
)
def test_bad_arguments_are_named(lite0, arguments, message):
    given = {"image": torch.rand(1, 3, 8, 8), "category": 0} | arguments
    with pytest.raises(ValueError, match=message):
        saliency(lite0, **given)
    if "rule" not in arguments:
        with pytest.raises(ValueError, match=message):
            integrated_gradients(lite0, **given)
        if not arguments.keys() & {"of", "colours"}:
            with pytest.raises(ValueError, match=message):
                sanity_check(lite0, **given)  # before the first step is asked for


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (smoothgrad, {"level": -0.1}, "level must be at least 0, not -0.1"),
        (smoothgrad, {"samples": 0}, "samples must be at least 1, not 0"),
        (smoothgrad, {"batch": 0}, "batch must be at least 1, not 0"),
        (integrated_gradients, {"steps": 0}, "steps must be at least 1, not 0"),
        (integrated_gradients, {"batch": 0}, "batch must be at least 1, not 0"),
        (integrated_gradients, {"baseline": "grey"}, "baseline must be one of 'mean', 'black', 'white', not 'grey'"),
        (sanity_check, {"method": "lrp"}, "method must be one of .*'integrated', not 'lrp'"),
        (sanity_check, {"image": torch.rand(2, 3, 8, 8)}, "image must be one picture, not a batch of 2"),
    ],
)
def test_bad_knobs_are_named(lite0, method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(lite0, **{"image": torch.rand(1, 3, 8, 8), "category": 0} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": NAN}, "image must be finite"),
        ({"layer": "conv99"}, "layer 'conv99' is unknown"),
        ({"channel": 32}, "channel must be a whole number from 0 to 31 in layer 'relu1', not 32"),
        ({"channel": -1}, "channel must be a whole number from 0 to 31 in layer 'relu1', not -1"),
        ({"channel": 1.5}, "channel must be a whole number"),
        ({"channel": []}, "channel must be one number, or one for each of the 1 images, not 0"),
        ({"image": torch.rand(2, 3, 8, 8), "channel": [1, 2, 3]}, "one for each of the 2 images, not 3"),
        ({"position": (4, 0)}, r"position must lie in the 4×4 map of layer 'relu1', not \(4, 0\)"),
        ({"rule": "relu"}, "rule must be one of"),
    ],
)
def test_bad_neurons_are_named(lite0, arguments, message):
    with pytest.raises(ValueError, match=message):
        neurons(lite0, **{"image": torch.rand(1, 3, 8, 8), "layer": "relu1", "channel": 0} | arguments)


def test_a_network_without_classes_has_neurons_but_no_class_score(untrained):
    with pytest.raises(ValueError, match=r"vgg16_edges has no classifier; use neurons\(\)"):
        saliency(untrained("vgg16_edges"), torch.rand(1, 3, 32, 32), 0)
    assert neurons(untrained("vgg16_edges"), torch.rand(1, 3, 32, 32), "relu2_1", 0).gradient.shape == (1, 3, 32, 32)


def test_the_inputs_are_left_alone(lite0):
    image = photo("chelsea", 64).requires_grad_()
    before = image.detach().clone()
    with torch.no_grad():  # a caller's setting must not stop the gradient
        heat = saliency(lite0, image, 281)
    assert torch.equal(image.detach(), before) and image.grad is None and not heat.requires_grad
    with pytest.raises(ValueError, match="colours must be one of"):
        join_colours(image, "sum")
