"""Ascent: regularisers on tensors made by hand, and pictures the network believes."""

import inspect
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import ascent
from helpers.ascent import (
    PRESETS,
    ascend,
    class_ascent,
    clip_small_gradients,
    clip_small_pixels,
    jittered,
    or_random,
    preset_ascent,
    unit_score,
)
from helpers.core.arguments import words
from helpers.core.networks import Network
from helpers.core.priors import total_variation
from helpers.core.steps import finish


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


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


# ── Regularisers ─────────────────────────────────────────────────────────────────────────────────────────────


def test_clip_small_pixels_by_hand():
    """Norms 1, 2, 3, 4 from the zero colour: half of them lie below the median 2.5."""
    zero = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    image = zero.expand(1, 3, 2, 2).clone()
    for k, (i, j) in enumerate(np.ndindex(2, 2)):
        image[0, k % 3, i, j] += k + 1  # all of it in one colour
    clipped = clip_small_pixels(image, 50, zero)
    assert torch.equal(clipped[0, :, 0], zero.expand(3, 1, 2)[:, 0])
    assert torch.equal(clipped[0, :, 1], image[0, :, 1])
    assert clip_small_pixels(image, 0, zero) is image


def test_clip_small_gradients_by_hand():
    """Colours can cancel: the first pixel has large gradients that contribute nothing together."""
    image = torch.tensor([[1.0, 1, 2, 0.5], [1, 0, 0, 0], [0, 0, 0, 0]]).view(1, 3, 2, 2)
    gradient = torch.tensor([[9.0, 1, -3, 4], [-9, 7, 7, 7], [5, 5, 5, 5]]).view(1, 3, 2, 2)
    # contributions |9 − 9| = 0, 1, |−6| = 6, 2; the median is 1.5
    clipped = clip_small_gradients(image, gradient, 50)
    assert clipped[0, :, 0].eq(0).all()
    assert torch.equal(clipped[0, :, 1], image[0, :, 1])


def test_clipping_treats_each_image_by_itself():
    images = torch.rand(3, 3, 8, 8)
    images[1] *= 0.01
    together = clip_small_pixels(images, 30)
    alone = torch.cat([clip_small_pixels(image[None], 30) for image in images])
    assert torch.equal(together, alone)
    zeroed = together.eq(0).all(dim=1).flatten(1).sum(1)
    assert zeroed.tolist() == [19, 19, 19] or all(18 <= n <= 20 for n in zeroed.tolist())  # 30 % of 64


def test_jitter_moves_round_the_edges():
    images = torch.rand(2, 3, 8, 8)
    moved = jittered(images, 3, 0, generators(1, 2))
    assert not torch.equal(moved, images)
    assert torch.equal(moved.flatten(1).sort().values, images.flatten(1).sort().values)
    single = jittered(images[1:], 3, 0, generators(2))
    assert torch.equal(moved[1:], single)
    assert torch.equal(jittered(images, 0, 0, generators(1, 2)), images)


def test_zoom_keeps_the_centre_and_flat_images():
    image = torch.zeros(1, 3, 33, 33)
    image[..., 12:21, 12:21] = 1
    areas = {round(jittered(image, 0, 0.3, generators(seed)).sum().item()) for seed in range(5)}
    assert len(areas) == 5 and all(243 * 0.4 < area < 243 * 2 for area in areas)
    for seed in range(3):
        seen = jittered(image, 0, 0.3, generators(seed))
        torch.testing.assert_close(seen, seen.flip(2, 3), atol=1e-4, rtol=0)
    flat = torch.full((1, 3, 16, 16), 0.7)
    torch.testing.assert_close(jittered(flat, 0, 0.3, generators(0)), flat)


@pytest.mark.parametrize("zoom", [0.1, 0.5, 0.9])
def test_zoom_is_that_of_grid_sample(zoom):
    images = torch.rand(3, 3, 33, 20)
    factors = [1 + zoom * (2 * torch.rand((), generator=random).item() - 1) for random in generators(1, 2, 3)]
    towards = torch.eye(2, 3)[None] / torch.tensor(factors).view(-1, 1, 1)
    places = F.affine_grid(towards, images.shape, align_corners=False)
    expected = F.grid_sample(images, places, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(jittered(images, 0, zoom, generators(1, 2, 3)), expected, rtol=0, atol=1e-4)


# ── Ascent ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_plain_step_by_hand(tiny):
    """Pixels, no regulariser: x + rate · g / rms(g), from the colour that the network sees as zero."""
    image = tiny.mean_pixel.view(1, 3, 1, 1).expand(1, 3, 40, 40).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(tiny(image)[0, 1], image)
    expected = image.detach() + 0.01 * gradient / gradient.square().mean().sqrt()
    knobs = {"rate": 0.01, "size": 40, "steps": 1}
    (step,) = class_ascent(tiny, "b", **knobs)
    torch.testing.assert_close(step.image, expected.clamp(0, 1))
    assert step.losses["score"] == pytest.approx(tiny(image)[0, 1].item())
    assert step.losses["variation"] == 0


def test_every_regulariser_is_used(tiny, monkeypatch):
    """In the order and with the arguments that the documentation gives."""
    calls = []
    for name in ("blur_slightly", "clip_small_pixels", "clip_small_gradients"):
        real = getattr(ascent, name)
        monkeypatch.setattr(ascent, name, lambda *a, real=real, name=name: calls.append((name, a[-2])) or real(*a))
    list(class_ascent(tiny, "a", size=40, steps=4, blur=0.7, blur_every=3, small_pixels=20, small_gradients=35))
    assert [name for name, _ in calls].count("blur_slightly") == 1  # in step 3 of 4
    assert [a for name, a in calls if name == "clip_small_pixels"] == [20] * 4
    assert [a for name, a in calls if name == "clip_small_gradients"] == [35] * 4


def test_decay_pulls_towards_zero(tiny):
    photo = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    knobs = {"rate": 1e-9, "steps": 1, "decay": 0.25}
    (step,) = class_ascent(tiny, "a", photo, **knobs)
    zero = tiny.mean_pixel.view(1, 3, 1, 1)
    torch.testing.assert_close(step.image, zero + 0.75 * (photo - zero), atol=1e-6, rtol=0)


def test_variation_smooths(tiny):
    photo = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    runs = [finish(class_ascent(tiny, "a", photo, steps=12, rate=0.02, variation=v)).image for v in (0.0, 50.0)]
    assert total_variation(runs[1]) < 0.8 * total_variation(runs[0])


def test_a_batch_gives_what_single_runs_give(tiny):
    """Summed scores, images normalised one by one, seeds of their own: item i is the run with seed + i."""
    knobs = {"size": 48, "steps": 6, "jitter": 5, "zoom": 0.2, "start": "noise", "blur": 0.5}
    together = finish(class_ascent(tiny, ["a", "c", 1], seed=3, **knobs)).image
    for i, name in enumerate(["a", "c", "b"]):
        alone = finish(class_ascent(tiny, name, seed=3 + i, **knobs)).image
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-9)


def test_a_run_repeats(tiny):
    runs = [finish(class_ascent(tiny, "a", size=40, steps=4, jitter=4, seed=seed)).image for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("start", ["mean", "grey", "noise"])
def test_starts(tiny, start):
    (step,) = class_ascent(tiny, "a", start=start, size=40, steps=1, rate=1e-6)
    spread = step.image.std(dim=(2, 3))
    if start == "noise":
        assert spread.min() > 0.03
    else:
        colour = tiny.mean_pixel if start == "mean" else torch.full((3,), 0.5, dtype=torch.float64)
        torch.testing.assert_close(step.image.mean(dim=(0, 2, 3)), colour, atol=1e-5, rtol=0)
        assert spread.max() < 1e-5


def test_photos_keep_their_size_and_stay_untouched(tiny):
    photo = torch.rand(1, 3, 40, 56, dtype=torch.float64)
    before = photo.clone()
    stream = list(class_ascent(tiny, ["a", "b"], photo, steps=4))
    assert torch.equal(photo, before)
    assert all(step.image.shape == (2, 3, 40, 56) for step in stream)
    assert [step.index for step in stream] == [1, 2, 3, 4] and stream[0].total == 4
    assert not torch.equal(stream[2].image, stream[3].image)
    assert all(step.image.min() >= 0 and step.image.max() <= 1 for step in stream)
    assert torch.is_grad_enabled() and not stream[-1].image.requires_grad


def test_the_consumer_keeps_its_grad_mode(tiny):
    for _ in class_ascent(tiny, "a", size=40, steps=1):
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "efficientnet_lite0"])
def test_the_score_rises_over_the_first_steps(untrained, name):
    knobs = {"size": 64, "steps": 4, "rate": 0.01, "start": "noise"}
    scores = [step.losses["score"] for step in class_ascent(untrained(name), 7, **knobs)]
    assert scores == sorted(scores) and scores[-1] > scores[0]


def test_a_network_without_classes():
    network = Network(nn.Conv2d(3, 4, 3), "bare", layers={"conv": ""})
    scores = [step.losses["score"] for step in ascend(network, unit_score(network, "conv", [2]), 1, size=32, steps=4)]
    assert scores[-1] > scores[0]
    with pytest.raises(ValueError, match="network bare has no classes; ask for one of its layers instead"):
        class_ascent(network, 0)


def test_the_default_network_believes_the_noise(lite0):
    """Nothing but the gradient: sure of three classes in which nobody sees anything."""
    wanted = ["African elephant", "goldfish", "espresso"]
    last = finish(class_ascent(lite0, wanted, size=128, steps=40))
    with torch.no_grad():
        probabilities = lite0.probabilities(last.image)[range(3), [lite0.category(name) for name in wanted]]
    assert probabilities.min() > 0.9


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_climb(lite0, preset):
    stream = list(preset_ascent(lite0, "goldfish", preset, size=96, steps=5))
    assert stream[-1].losses["score"] > stream[0].losses["score"] + 1


def test_device(device, lite0):
    network = lite0.to(device)
    try:
        for start in ("mean", "grey", "noise"):
            last = finish(class_ascent(network, ["koala", "teapot"], start=start, size=64, steps=2, jitter=4, zoom=0.1))
            assert last.image.device.type == device
    finally:
        lite0.to("cpu")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"start": "black"}, "start must be one of 'mean', 'grey', 'noise', not 'black'"),
        ({"size": 16}, "size must be at least 32, not 16"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"blur_every": 0}, "blur_every must be at least 1, not 0"),
        ({"rate": 0}, "rate must be above 0, not 0"),
        ({"blur": -1}, "blur must be at least 0, not -1"),
        ({"variation": -1}, "variation must be at least 0, not -1"),
        ({"jitter": -1}, "jitter must be at least 0, not -1"),
        ({"decay": 1.5}, "decay must be from 0 to below 1, not 1.5"),
        ({"zoom": float("nan")}, "zoom must be from 0 to below 1, not nan"),
        ({"small_pixels": 100}, "small_pixels must be from 0 to below 100, not 100"),
        ({"small_gradients": -5}, "small_gradients must be from 0 to below 100, not -5"),
        ({"image": torch.rand(3, 3, 40, 40)}, "image must be one picture, or one for each of 1 targets, not 3"),
        ({"image": torch.rand(3, 40, 40)}, "image must have shape"),
        ({"category": "d"}, "'d' is not a class of tiny"),
        ({"category": []}, "category must name at least one class"),
    ],
)
def test_bad_knobs_are_refused_at_once(tiny, knobs, message):
    with pytest.raises(ValueError, match=message):
        class_ascent(tiny, **({"category": "a", "size": 40} | knobs))


def test_a_bad_preset(tiny):
    with pytest.raises(ValueError, match="preset must be one of 'plain', 'yosinski A'"):
        preset_ascent(tiny, "a", "muddy")


def knobs_of(method):
    """The parameters that have a default, by name."""
    return {n: p for n, p in inspect.signature(method).parameters.items() if p.default is not p.empty}


@pytest.mark.parametrize(
    ("method", "own", "few", "defaults"),
    [
        (class_ascent, {"category"}, None, {}),
        (preset_ascent, {"category", "preset"}, {"size", "steps", "seed"}, {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_knob_of_ascend_is_the_same_in_every_method(method, own, few, defaults):
    """Its range, its default but where another is told, and a line of help."""
    theirs, found = knobs_of(ascend), knobs_of(method)
    taken = few or set(theirs)
    assert set(found) == own | taken
    for name in taken:
        assert found[name].annotation == theirs[name].annotation
        assert found[name].default == defaults.get(name, theirs[name].default)
        assert words(method)[name] == words(ascend)[name] != ""
    for name in taken & {"size", "steps", "rate", "jitter", "zoom", "small_pixels"}:
        kind, (low, high, *_) = get_args(found[name].annotation)
        assert low <= found[name].default <= high and isinstance(found[name].default, kind)
    assert "**knobs" not in inspect.getdoc(method)


def test_any_objective_can_be_climbed(tiny):
    """Bright red, told in one line."""
    last = finish(ascend(tiny, lambda images: images[:, 0].mean((1, 2)), 1, size=40, steps=10, rate=0.1))
    assert last.image[:, 0].mean() > 0.9


def test_too_little_memory_is_said_in_one_line(tiny):
    def objective(images):
        raise torch.cuda.OutOfMemoryError("no room")

    with pytest.raises(MemoryError, match=r"lower size \(40\) or the number of pictures at once \(2\)"):
        next(ascend(tiny, objective, 2, size=40))


def test_a_silent_neuron_is_found_by_random_steps():
    """At mid-grey this neuron is 0 behind its ReLU, and so is every gradient."""
    conv = nn.Conv2d(3, 1, 1)
    nn.init.constant_(conv.weight, 1.0)
    nn.init.constant_(conv.bias, -0.2)
    network = Network(nn.Sequential(conv, nn.ReLU()), "shy", mean=(0.5, 0.5, 0.5), layers={"relu": "1"})
    climb = ascend(network, unit_score(network, "relu", [0]), 1, size=32, steps=12, rate=0.1)
    scores = [step.losses["score"] for step in climb]
    assert scores[0] == 0 and scores[-1] > 0.1


def test_only_the_silent_are_drawn_at_random():
    gradients = torch.randn(3, 3, 4, 4)
    gradients[1] = 0
    before = gradients.clone()
    found = or_random(gradients, generators(0, 1, 2))
    assert torch.equal(found[::2], before[::2])
    assert torch.equal(found[1], torch.randn(3, 4, 4, generator=generators(1)[0]))
