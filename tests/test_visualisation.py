"""Portraits: one step by hand, moves against SciPy, and pictures that survive being saved."""

import inspect
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from torch import nn

from helpers.core import images, photos
from helpers.core.arguments import words
from helpers.core.networks import Network
from helpers.core.priors import from_spectrum, total_variation
from helpers.core.steps import finish
from helpers.visualisation import (
    class_portrait,
    direction_portrait,
    moved,
    portraits,
    unit_portrait,
    visualise,
)

STILL = {"turn": 0, "zoom": 0, "jitter": 0}
BARE = STILL | {"variation": 0, "coarse": 0, "centre": 0}


@pytest.fixture
def tiny():
    """Two convolutions and a classifier in float64."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2), nn.Tanh(), nn.Conv2d(4, 6, 3, stride=2), nn.Tanh(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    layers = {"conv1": "0", "conv2": "2", "penultimate": "input of 6", "logits": ""}
    return Network(model.double(), "tiny", mean=(0.4, 0.5, 0.6), categories=("a", "b", "c"), layers=layers).double()


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


# ── The moves ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_move_is_scipys():
    """Turned, scaled and moved about the centre, with the numbers that were drawn; the border is mirrored."""
    image = torch.rand(1, 3, 24, 24, dtype=torch.float64)
    found = moved(image, 30, 0.4, 3, generators(5))
    draws = 2 * torch.rand(4, generator=generators(5)[0], dtype=torch.float32).double().numpy() - 1
    angle, factor = np.radians(30) * draws[0], 1 + 0.4 * (2 * draws[1] - 1) / 3
    # from the place in the result, (row, column), to the place in the image
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / factor
    shift = 3 * draws[2:]
    for colour in range(3):
        offset = 11.5 - back @ np.array([11.5, 11.5]) + shift
        theirs = affine_transform(image[0, colour].numpy(), back, offset, order=1, mode="reflect")
        np.testing.assert_allclose(found[0, colour].numpy(), theirs, atol=1e-5)


def test_no_move_and_the_bounds_of_the_scale():
    image = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(moved(image, 0, 0, 0, generators(0, 1)), image, rtol=0, atol=1e-5)
    disc = torch.zeros(1, 3, 65, 65)
    disc[..., 22:43, 22:43] = 1
    areas = [moved(disc, 0, 0.6, 0, generators(seed)).mean().item() / disc.mean().item() for seed in range(40)]
    assert 0.4**2 * 0.9 < min(areas) < 0.45 and 1.2 < max(areas) < 1.2**2 * 1.1


# ── The climb ────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_step_by_hand(tiny):
    """Adam's first step moves every coefficient by `rate`, along the sign of its gradient."""
    spectrum = 0.01 * torch.randn(3, 40, 21, 2, generator=generators(7)[0]).double()[None]
    spectrum.requires_grad_()
    score = tiny(torch.sigmoid(from_spectrum(spectrum, 40)))[0, 1]
    (gradient,) = torch.autograd.grad(score, spectrum)
    expected = torch.sigmoid(from_spectrum(spectrum.detach() + 0.05 * gradient.sign(), 40))
    (step,) = class_portrait(tiny, "b", size=40, steps=1, rate=0.05, seed=7, **BARE)
    torch.testing.assert_close(step.image, expected, rtol=0, atol=1e-4)
    assert step.losses["score"] == pytest.approx(score.item()) and step.losses["variation"] > 0


def test_what_each_knob_of_the_picture_does(tiny):
    def last(**knobs):
        return finish(class_portrait(tiny, "a", size=48, steps=12, **(BARE | knobs))).image

    plain, height = last(), torch.arange(48) - 23.5
    rim = (height[:, None] ** 2 + height**2).sqrt() > 30
    faded = last(centre=0.4)
    assert (faded - 0.5)[..., rim].abs().mean() < 0.2 * (plain - 0.5)[..., rim].abs().mean()
    assert total_variation(last(variation=300.0), 1) < 0.8 * total_variation(plain, 1)
    first = next(class_portrait(tiny, "a", size=48, steps=12, **(BARE | {"coarse": 1.0}))).image
    waves = torch.fft.rfft2(first - first.mean((2, 3), keepdim=True)).abs()
    assert waves[..., 8:-8, 8:].sum() < 1e-3 * waves.sum()  # nothing fine is there yet


def test_coarse_is_over_when_it_says(tiny):
    """From then on the picture is the whole spectrum's: with all steps coarse the last picture still has every wave."""
    image = finish(class_portrait(tiny, "a", size=48, steps=6, **(BARE | {"coarse": 0.5}))).image
    waves = torch.fft.rfft2(image).abs()
    assert waves[..., 20:-20, 20:].min() > 0


def test_a_batch_gives_what_single_runs_give(tiny):
    knobs = {"size": 48, "steps": 6}
    together = finish(class_portrait(tiny, ["a", "c", 1], seed=3, **knobs)).image
    for i, name in enumerate(["a", "c", "b"]):
        alone = finish(class_portrait(tiny, name, seed=3 + i, **knobs)).image
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-9)


def test_a_run_repeats_and_keeps_what_it_gave(tiny):
    runs = [list(class_portrait(tiny, "a", size=40, steps=4, seed=seed)) for seed in (1, 1, 2)]
    assert torch.equal(runs[0][-1].image, runs[1][-1].image) and not torch.equal(runs[0][-1].image, runs[2][-1].image)
    assert [step.index for step in runs[0]] == [1, 2, 3, 4] and runs[0][0].total == 4
    assert not torch.equal(runs[0][0].image, runs[0][3].image)
    assert not runs[0][-1].image.requires_grad
    for _ in class_portrait(tiny, "a", size=40, steps=1):
        assert torch.is_grad_enabled()


# ── Units and directions ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["channel", "centre"])
def test_units_rise(tiny, where):
    def response(image):
        activation = tiny.activation(image, "conv2")[0, 3]
        return (activation.mean() if where == "channel" else activation[tuple(n // 2 for n in activation.shape)]).item()

    stream = list(unit_portrait(tiny, "conv2", 3, where, size=48, steps=6, **STILL))
    assert response(stream[-1].image) > stream[0].losses["score"]
    assert stream[-1].losses["score"] == pytest.approx(response(stream[-2].image), abs=1e-5)


def test_a_unit_vector_is_a_neuron(tiny):
    knobs = {"size": 40, "steps": 3, "seed": 1}
    neuron = finish(unit_portrait(tiny, "penultimate", 4, **knobs)).image
    basis = torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(finish(direction_portrait(tiny, "penultimate", 7 * basis[4:5], **knobs)).image, neuron)
    places = finish(direction_portrait(tiny, "conv2", basis[:2], **knobs)).image
    torch.testing.assert_close(places, finish(unit_portrait(tiny, "conv2", [0, 1], **knobs)).image)
    least = finish(direction_portrait(tiny, "penultimate", -basis[4:5], **knobs)).image
    assert tiny.activation(least, "penultimate")[0, 4] < tiny.activation(neuron, "penultimate")[0, 4]


def test_a_silent_neuron_is_found_by_random_steps():
    """At mid-grey this neuron is 0 behind its ReLU, and so is every gradient."""
    conv = nn.Conv2d(3, 1, 1)
    nn.init.constant_(conv.weight, 1.0)
    nn.init.constant_(conv.bias, -0.2)
    network = Network(nn.Sequential(conv, nn.ReLU()), "shy", mean=(0.5, 0.5, 0.5), layers={"relu": "1"})
    scores = [
        step.losses["score"] for step in unit_portrait(network, "relu", 0, size=32, steps=60, rate=0.1, variation=0)
    ]
    assert scores[0] == 0 and scores[-1] > 0.1


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18"])
def test_other_networks(untrained, name):
    scores = [step.losses["score"] for step in class_portrait(untrained(name), 7, size=64, steps=6, **STILL)]
    assert scores[-1] > scores[0]


def test_device(device, lite0):
    network = lite0.to(device)
    try:
        assert finish(class_portrait(network, ["koala", "teapot"], size=64, steps=2)).image.device.type == device
        direction = network.activation(photos.photo("chelsea", 64).to(device), "penultimate")
        last = finish(direction_portrait(network, "penultimate", direction, size=64, steps=2))
        assert last.image.device.type == device
    finally:
        lite0.to("cpu")


# ── The ten that come with the course ────────────────────────────────────────────────────────────────────────


def test_the_portraits_convince_the_network_as_they_were_saved(lite0):
    shown = portraits()
    assert len(shown) == 10
    pictures = torch.cat([images.resize(each, 224) for each in shown.values()])
    probabilities = lite0.probabilities(pictures)[range(10), [lite0.category(name) for name in shown]]
    assert min(each.shape[-1] for each in shown.values()) >= 224
    assert probabilities.min() > 0.9


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"size": 16}, "size must be at least 32, not 16"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"rate": 0}, "rate must be above 0, not 0"),
        ({"variation": -1}, "variation must be at least 0, not -1"),
        ({"jitter": -1}, "jitter must be at least 0, not -1"),
        ({"centre": -0.5}, r"centre must be at least 0, not -0\.5"),
        ({"turn": 181}, "turn must be from 0 to 180, not 181"),
        ({"zoom": 1}, "zoom must be from 0 to below 1, not 1"),
        ({"coarse": 1.5}, r"coarse must be from 0 to 1, not 1\.5"),
        ({"category": "d"}, "'d' is not a class of tiny"),
        ({"category": []}, "category must name at least one class"),
    ],
)
def test_bad_knobs_are_refused_at_once(tiny, knobs, message):
    with pytest.raises(ValueError, match=message):
        class_portrait(tiny, **({"category": "a", "size": 40} | knobs))


def test_bad_units_and_directions(tiny):
    with pytest.raises(ValueError, match="channel must be a whole number from 0 to 3 for layer 'conv1', not 4"):
        unit_portrait(tiny, "conv1", 4)
    with pytest.raises(ValueError, match="where must be one of 'channel', 'centre', not 'edge'"):
        unit_portrait(tiny, "conv1", 0, "edge")
    with pytest.raises(ValueError, match="layer 'conv9' is unknown"):
        unit_portrait(tiny, "conv9", 0)
    with pytest.raises(ValueError, match=r"directions must have shape \(N, 6\)"):
        direction_portrait(tiny, "penultimate", torch.ones(1, 5))
    with pytest.raises(ValueError, match="directions must not be 0"):
        direction_portrait(tiny, "penultimate", torch.zeros(1, 6))


def test_any_objective_can_be_climbed(tiny):
    """Bright red, told in one line."""
    last = finish(
        visualise(tiny, lambda pictures: pictures[:, 0].mean((1, 2)), 1, size=40, steps=60, rate=0.2, centre=0)
    )
    assert last.image[:, 0].mean() > 0.9


def test_too_little_memory_is_said_in_one_line(tiny):
    def objective(pictures):
        raise torch.cuda.OutOfMemoryError("no room")

    with pytest.raises(MemoryError, match=r"lower size \(40\) or the number of pictures at once \(2\)"):
        next(visualise(tiny, objective, 2, size=40))


def knobs_of(method):
    """The parameters that have a default, by name."""
    return {n: p for n, p in inspect.signature(method).parameters.items() if p.default is not p.empty}


@pytest.mark.parametrize(
    ("method", "own", "defaults"),
    [
        (class_portrait, {"category"}, {}),
        (unit_portrait, {"layer", "channel", "where"}, {"size": 160, "coarse": 0.0, "centre": 0.0}),
        (direction_portrait, set(), {"size": 160, "coarse": 0.0, "centre": 0.0}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_knob_is_the_same_in_every_method(method, own, defaults):
    """Its range, its default but where another is told, and a line of help."""
    theirs, found = knobs_of(visualise), knobs_of(method)
    assert set(found) == own | set(theirs)
    for name in theirs:
        assert found[name].annotation == theirs[name].annotation
        assert found[name].default == defaults.get(name, theirs[name].default)
        assert words(method)[name] == words(visualise)[name] != ""
    for name in set(theirs) - {"seed"}:
        kind, (low, high, *_) = get_args(found[name].annotation)
        assert low <= found[name].default <= high and isinstance(found[name].default, kind)
