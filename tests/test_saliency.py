"""Saliency maps: hand-computed answers, identities, and the remedies for noise."""

import pytest
import torch
import torch.nn.functional as F
from bench import close, linear, network_of, seeded
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from helpers.core.photos import photo
from helpers.saliency import (
    integrated_gradients,
    join_colours,
    neurons,
    saliency,
    smoothgrad,
    way,
)


def pictures(count=1, side=4, seed=0, dtype=torch.float64):
    return seeded(count, 3, side, side, seed=seed, dtype=dtype)


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
    assert torch.allclose(saliency(network, image, 0, score="log-probability", colours="all")[0], logarithm, atol=1e-12)
    assert torch.allclose(
        saliency(network, image, 0, score="probability", colours="all")[0], p[0] * logarithm, atol=1e-12
    )


def test_a_certain_answer_has_no_gradient_after_softmax_and_a_full_one_before():
    network, weights = linear(classes=2)
    network.model[1].bias.data[0] = 60
    assert saliency(network, pictures(), 0, score="probability").max() < 1e-20
    assert torch.allclose(saliency(network, pictures(), 0), weights[:1].abs().amax(1, keepdim=True))


# ── The backward rule ──


def test_a_relu_out_of_reach_is_an_error_and_not_a_wrong_picture():
    network = network_of(lambda x: torch.ops.aten.relu.default(x).sum((2, 3)), ["a", "b", "c"])
    with pytest.raises(RuntimeError, match="'guided' reached 0 of the 1 ReLUs"):
        saliency(network, pictures(), 0, rule="guided")
    assert saliency(network, pictures(), 0).shape == (1, 1, 4, 4)  # the plain gradient needs no rule
    assert nothing_left_behind()


def test_no_mode_survives_an_exception():
    def fail(x):
        F.relu(x)
        raise ZeroDivisionError("a model that breaks")

    for method in (saliency, smoothgrad):
        with pytest.raises(ZeroDivisionError):
            method(network_of(fail), pictures(), 0, rule="guided")
        assert nothing_left_behind()


# ── The remedies ──


def test_smoothgrad_without_noise_is_the_gradient(lite0):
    image = photo("chelsea", 64)
    plain = saliency(lite0, image, "tabby", colours="all")
    assert close(smoothgrad(lite0, image, "tabby", level=0, samples=3, colours="all"), plain)


@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
@pytest.mark.parametrize("colours", ["max", "l2", "signed", "all"])
def test_smoothgrad_with_one_sample_and_level_0_is_the_gradient_to_the_last_bit(lite0, rule, colours):
    image = photo("chelsea", 64)
    one = smoothgrad(lite0, image, "tabby", level=0, samples=1, rule=rule, colours=colours)
    assert torch.equal(one, saliency(lite0, image, "tabby", rule=rule, colours=colours))


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


def test_early_points_balance_the_books_sooner(lite0):
    image = photo("coffee", 96)
    plain = lite0.mean_pixel.view(1, 3, 1, 1).expand_as(image)
    with torch.no_grad():
        gained = float((lite0(image) - lite0(plain))[0, 967])
    errors = {
        spacing: abs(float(integrated_gradients(lite0, image, 967, steps=64, spacing=spacing).sum()) - gained)
        for spacing in ("even", "early")
    }
    assert errors["early"] < 0.15 * gained and errors["early"] < errors["even"]


def test_early_points_integrate_a_square_root_better_and_a_line_exactly():
    # the score √Σx has its whole rise near 0
    network = network_of(lambda x: x.sum((1, 2, 3))[:, None].sqrt()).double()
    image = pictures() + 0.5
    exact = float(network(image))
    even, early = (
        float(integrated_gradients(network, image, 0, "black", steps=8, spacing=spacing).sum())
        for spacing in ("even", "early")
    )
    # ∂/∂α √(αs) = √s / 2√α: under α = t² it is constant in t, and the midpoints are exact
    assert early == pytest.approx(exact) and abs(even - exact) > 0.05 * exact


def test_the_way_from_the_baseline_is_the_score_and_its_gradients_length():
    network, weights = linear()
    image = pictures()
    found = way(network, image, 1, "white", points=5)
    plain = torch.ones_like(image)
    assert found.alphas.tolist() == [0, 0.25, 0.5, 0.75, 1]
    for alpha, score, norm in zip(found.alphas, found.scores, found.norms, strict=True):
        assert score == pytest.approx(float(network(plain + alpha * (image - plain))[0, 1]))
        assert norm == pytest.approx(float(weights[1].norm()))


def test_the_way_of_a_real_network_in_chunks(lite0):
    image = photo("coffee", 64)
    found = way(lite0, image, 967, points=11)
    assert found.scores.shape == found.norms.shape == (11,) and not found.scores.requires_grad
    assert found.scores[-1] == pytest.approx(float(lite0(image)[0, 967]), abs=1e-4)
    assert found.norms[-1] == pytest.approx(float(saliency(lite0, image, 967, colours="all").norm()), rel=1e-3)


# ── The deconvnet ──


def test_a_deconvnet_without_pooling_gives_one_map_to_all_pictures(lite0):
    batch = torch.cat([photo(name, 64) for name in ("chelsea", "coffee")])
    chelsea, coffee = saliency(lite0, batch, 281, rule="deconvnet", colours="all")
    assert close(chelsea, coffee)


# ── Devices and errors ──


def test_every_method_runs_on_every_device(device):
    network = network_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(4 * 36, 3)), "abc")
    image = pictures(2, 8, dtype=torch.float32)
    methods = {
        "saliency": lambda n: saliency(n, image, 0, rule="guided", times_input=True),
        "smoothgrad": lambda n: smoothgrad(n, image, [0, 2], samples=3),
        "integrated": lambda n: integrated_gradients(n, image, "b", steps=3),
        "neurons": lambda n: neurons(n, image, "0", [1, 3]).gradient,
        "way": lambda n: way(n, image[:1], 0, points=3).norms,
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
        ({"score": "softmax"}, "score must be one of 'logit', 'probability', 'log-probability', not 'softmax'"),
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


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (smoothgrad, {"level": -0.1}, "level must be at least 0, not -0.1"),
        (smoothgrad, {"samples": 0}, "samples must be at least 1, not 0"),
        (smoothgrad, {"batch": 0}, "batch must be at least 1, not 0"),
        (integrated_gradients, {"steps": 0}, "steps must be at least 1, not 0"),
        (integrated_gradients, {"batch": 0}, "batch must be at least 1, not 0"),
        (integrated_gradients, {"baseline": "grey"}, "baseline must be one of 'mean', 'black', 'white', not 'grey'"),
        (integrated_gradients, {"spacing": "dense"}, "spacing must be one of 'even', 'early', not 'dense'"),
        (way, {"points": 1}, "points must be at least 2, not 1"),
        (way, {"baseline": "grey"}, "baseline must be one of 'mean', 'black', 'white', not 'grey'"),
        (way, {"image": torch.rand(2, 3, 8, 8)}, "image must be a single picture, not a batch of 2"),
    ],
)
def test_bad_knobs_are_named(lite0, method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(lite0, **{"image": torch.rand(1, 3, 8, 8), "category": 0} | arguments)


def test_a_network_without_classes_has_neurons_but_no_class_score(untrained):
    with pytest.raises(ValueError, match=r"network vgg16_edges has no classes; ask for one of its layers instead"):
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
