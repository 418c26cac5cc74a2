"""Fooling: the bound is exact, pictures do not depend on each other, and the network is really fooled."""

import math

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from helpers.core import photos
from helpers.core.networks import Network
from helpers.core.steps import finish
from helpers.fooling import box, difference, distances, fast_gradient_sign, fool, saved

SIDE = 128


@pytest.fixture
def linear():
    """Three classes whose scores are linear in a 4×4 picture, in float64."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3, bias=False)).double()
    names = ("red", "green", "blue")
    network = Network(model, "linear", categories=names, layers={"logits": ""})
    return network.double()


@pytest.fixture(scope="module")
def four():
    return torch.cat([photos.photo(name, SIDE) for name in ("chelsea", "coffee", "china", "flower")])


def test_real_photos_are_fooled_within_the_bound(lite0, four):
    wanted = ["koala", "goldfish", "teapot", "African elephant"]
    last = finish(fool(lite0, four, wanted))
    assert last.losses["fooled"] == 4
    assert last.index < last.total  # it stopped early
    indices = torch.tensor([lite0.category(name) for name in wanted])
    with torch.no_grad():
        probabilities = lite0.probabilities(last.image)[range(4), indices]
    assert probabilities.min() >= 0.9
    assert last.losses["probability"] == pytest.approx(probabilities.min().item(), abs=1e-5)
    assert all(row["L∞"] <= 8 and row["PSNR"] > 30 for row in distances(four, last.image))
    assert last.image.min() >= 0 and last.image.max() <= 1


def test_the_bound_is_exact_after_rounding(lite0, four):
    """Float32 rounds x + 8/255 up for some x; in float64 the change must still be at most 8/255."""
    limit = 8 / 255
    naive = (four + limit).double() - four.double()
    assert naive.max() > limit  # so this can go wrong
    last = finish(fool(lite0, four[:2], "koala", limit=8, confidence=0.999999, steps=6, rate=16))
    change = (last.image.double() - four[:2].double()).abs()
    assert change.max() <= limit
    assert change.max() > 0.999 * limit
    once = fast_gradient_sign(lite0, four[:2], "koala", limit=8)
    assert (once.double() - four[:2].double()).abs().max() <= limit


def test_box_is_as_wide_as_it_may_be():
    image = torch.rand(2, 3, 20, 20)
    low, high = box(image, 0.03)
    assert ((image.double() - low.double()).abs() <= 0.03).all() and ((high.double() - image.double()) <= 0.03).all()
    assert ((high - image)[image < 0.97] > 0.03 - 1e-6).all() and ((image - low)[image > 0.03] > 0.03 - 1e-6).all()
    assert low.min() >= 0 and high.max() <= 1


def test_one_step_is_the_sign_of_the_gradient(linear):
    """log p_c of a linear network has the gradient W_c − Σ p_k W_k."""
    image = torch.rand(1, 3, 4, 4, dtype=torch.float64) * 0.6 + 0.2
    weights = linear.model[1].weight
    with torch.no_grad():
        probabilities = (weights @ image.flatten()).softmax(0)
    by_hand = weights[2] - probabilities @ weights
    expected = image + 5 / 255 * by_hand.sign().view(1, 3, 4, 4)
    once = fast_gradient_sign(linear, image, "blue", limit=5)
    torch.testing.assert_close(once, expected, rtol=0, atol=1e-12)
    first = next(iter(fool(linear, image, "blue", limit=5, rate=5, confidence=0.999999)))
    torch.testing.assert_close(first.image, once, rtol=0, atol=0)


def test_one_step_away_is_one_step_towards_turned_round(linear):
    image = torch.rand(1, 3, 4, 4, dtype=torch.float64) * 0.6 + 0.2
    towards, away = (fast_gradient_sign(linear, image, "blue", limit=5, towards=way) for way in (True, False))
    torch.testing.assert_close(away - image, image - towards, rtol=0, atol=1e-12)
    before, after = linear.probabilities(image)[0, 2], linear.probabilities(away)[0, 2]
    assert after < before < linear.probabilities(towards)[0, 2]


def test_a_batch_gives_what_single_runs_give(lite0, four):
    wanted = ["koala", "teapot"]
    together = finish(fool(lite0, four[:2], wanted, steps=3, confidence=0.9999))
    alone = [finish(fool(lite0, four[i : i + 1], wanted[i], steps=3, confidence=0.9999)).image for i in range(2)]
    # the sign of a gradient of almost 0 may differ by rounding: nearly all values must agree
    agree = (together.image - torch.cat(alone)).abs() < 1e-6
    assert agree.float().mean() > 0.99


def test_a_picture_that_is_done_is_left_alone(linear):
    weights = linear.model[1].weight.detach()
    sure = (0.5 + 0.5 * weights[0].sign()).view(1, 3, 4, 4)
    unsure = (0.5 + 0.5 * weights[1].sign()).view(1, 3, 4, 4)
    images = torch.cat([unsure, sure])
    with torch.no_grad():
        high, low = linear.probabilities(sure)[0, 0].item(), linear.probabilities(unsure)[0, 0].item()
    assert high > low
    confidence = (high + low) / 2
    first = next(iter(fool(linear, images, "red", confidence=confidence)))
    assert torch.equal(first.image[1], images[1]) and not torch.equal(first.image[0], images[0])
    stream = list(fool(linear, sure, "red", confidence=confidence))
    assert len(stream) == 1 and torch.equal(stream[0].image, sure) and stream[0].losses["fooled"] == 1


def test_steps_are_independent_tensors(linear):
    image = torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64)
    stream = list(fool(linear, image, "red", steps=3, confidence=0.999999))
    assert [step.index for step in stream] == [1, 2, 3]
    assert not torch.equal(stream[0].image, stream[1].image)
    rising = [step.losses["probability"] for step in stream]
    assert rising == sorted(rising)
    assert image.eq(0.5).all()


def test_distances_by_hand_and_by_scikit_image():
    image = torch.full((1, 3, 2, 2), 0.5)
    changed = image.clone()
    changed[0, 0, 0, 0] += 0.3
    changed[0, 2, 1, 1] -= 0.4
    (row,) = distances(image, changed)
    assert row["L2"] == pytest.approx(0.5, abs=1e-6)
    assert row["L∞"] == pytest.approx(0.4 * 255, abs=1e-4)
    assert row["PSNR"] == pytest.approx(10 * math.log10(12 / 0.25), abs=1e-5)
    a, b = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    theirs = [peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1) for x, y in zip(a, b, strict=True)]
    assert [row["PSNR"] for row in distances(a, b)] == pytest.approx(theirs, rel=1e-5)
    assert distances(a, a)[0] == {"L2": 0, "L∞": 0, "PSNR": math.inf}


def test_difference_is_grey_where_nothing_changed():
    image = torch.full((1, 3, 2, 2), 0.2)
    changed = image.clone()
    changed[0, 1, 0, 1] += 0.01
    shown = difference(image, changed, times=20)
    assert shown[0, 1, 0, 1].item() == pytest.approx(0.7, abs=1e-5)
    assert shown.eq(0.5).sum() == 11
    assert difference(image, changed, times=1000).max() == 1


def test_a_saved_picture_is_what_pillow_reads_back(four, tmp_path):
    rounded = (four * 255).round() / 255
    assert torch.equal(saved(rounded), rounded), "a PNG keeps 8 bits"
    assert (saved(four) - four).abs().max() <= 0.5 / 255 + 1e-6
    for quality in (30, 90):
        pillow.fromarray((rounded[0] * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / "0.jpg", quality=quality)
        theirs = np.asarray(pillow.open(tmp_path / "0.jpg"))
        assert np.array_equal((saved(four, quality)[0] * 255).round().byte().permute(1, 2, 0).numpy(), theirs)
    coarse, fine = ((saved(four, quality) - four).square().mean() for quality in (30, 90))
    assert coarse > 2 * fine > 0
    assert saved(four.double()[:1], 75).dtype == torch.float64
    for quality in (0, 96):
        with pytest.raises(ValueError, match=f"quality must be from 1 to 95, not {quality}"):
            saved(four, quality)


def test_device(device, lite0):
    network = lite0.to(device)
    try:
        last = finish(fool(network, photos.photo("coffee", 96), "teapot", steps=2))
        assert last.image.device.type == device
        assert fast_gradient_sign(network, photos.photo("coffee", 96)).device.type == device
    finally:
        lite0.to("cpu")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"limit": 0}, "limit must be above 0, not 0"),
        ({"limit": 300}, "limit must be from 0 to 255, not 300"),
        ({"confidence": 1.0}, "confidence must be above 0 and below 1, not 1.0"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"rate": -1}, "rate must be above 0, not -1"),
        ({"category": ["red", "blue"]}, "category must be one class, or one for each of the 1 images, not 2"),
        ({"category": "mauve"}, "'mauve' is not a class of linear"),
        ({"category": 3}, "category must be from 0 to 2, not 3"),
    ],
)
def test_bad_numbers(linear, knobs, message):
    with pytest.raises(ValueError, match=message):
        fool(linear, torch.rand(1, 3, 4, 4, dtype=torch.float64), **({"category": "red"} | knobs))


def test_bad_pictures(linear):
    with pytest.raises(ValueError, match="image must have shape"):
        fool(linear, torch.rand(3, 4, 4), "red")
    with pytest.raises(ValueError, match="limit must be above 0, not -1"):
        fast_gradient_sign(linear, torch.rand(1, 3, 4, 4), "red", limit=-1)
    with pytest.raises(ValueError, match="network custom has no classes; ask for one of its layers instead"):
        fool(Network(nn.Conv2d(3, 4, 3), layers={"conv": ""}), torch.rand(1, 3, 32, 32), 0)
    with pytest.raises(ValueError, match="shape of image"):
        distances(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 5))
