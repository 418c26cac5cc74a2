"""Occlusion: answers by hand, captum's answers, every pixel covered, and curves that say whether a map is right."""

import re

import numpy as np
import pytest
import torch
from bench import seeded
from captum.attr import Occlusion
from scipy.interpolate import RegularGridInterpolator
from torch import nn

from helpers.core import photos
from helpers.core.networks import Network
from helpers.core.steps import finish
from helpers.occlusion import (
    average,
    channel_occlusion,
    cover,
    deletion,
    insertion,
    make_filler,
    occlusion,
    starts,
    strongest_channel,
)


class Linear(nn.Module):
    """Two classes: w · x, and nothing."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images):
        score = (images * self.weight).sum(dim=(1, 2, 3))
        return torch.stack([score, torch.zeros_like(score)], dim=1)


def linear(weight, **options):
    return Network(Linear(weight), categories=("thing", "nothing"), layers={"logits": ""}, **options)


@pytest.mark.parametrize("side", range(5, 24))
def test_windows_cover_every_pixel_and_stay_inside(side):
    for patch in range(1, 6):
        for stride in range(1, patch + 1):
            found = starts(side, patch, stride)
            covered = {pixel for first in found for pixel in range(first, first + patch)}
            assert covered == set(range(side)) and found == sorted(set(found))
            assert all(gap == stride for gap in np.diff(found[:-1])) and found[-1] + patch == side


def test_a_4_by_4_picture_by_hand():
    image, weight = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    image[0, 0] = torch.arange(16.0).view(4, 4) / 16
    last = finish(occlusion(linear(weight), image, "thing", 2, 2, "black", "logit"))
    # 16ths in the four windows: 0+1+4+5, 2+3+6+7, 8+9+12+13, 10+11+14+15, of 120
    assert torch.allclose(last.scores * 16, torch.tensor([[110.0, 102.0], [78.0, 70.0]]))
    assert torch.allclose(last.image[0, 0, [0, 0, 3, 3], [0, 3, 0, 3]] * 16, torch.tensor([110.0, 102.0, 78.0, 70.0]))
    assert last.clean == pytest.approx(120 / 16) and last.worst == (2, 2, 4, 4)
    assert last.losses["lowest"] == pytest.approx(70 / 16)


def test_the_fall_of_a_linear_score_is_the_weight_times_the_pixels_under_the_window(device):
    torch.manual_seed(0)
    network = linear(torch.randn(1, 3, 11, 9)).to(device)
    image = seeded(1, 3, 11, 9)
    last = finish(occlusion(network, image, 0, 4, 3, "black", "logit"))
    product = (network.model.weight.cpu() * image).sum(dim=1)[0]
    for i, top in enumerate(last.tops):
        for j, left in enumerate(last.lefts):
            under = product[top : top + 4, left : left + 4].sum().item()
            assert last.clean - last.scores[i, j].item() == pytest.approx(under, abs=1e-4)


def test_a_probability_is_followed_as_it_is_or_by_its_logarithm():
    torch.manual_seed(0)
    network, image = linear(torch.randn(1, 3, 8, 8)), seeded(1, 3, 8, 8)
    logit, probability, logarithm = (
        finish(occlusion(network, image, "thing", 4, 2, score=score))
        for score in ("logit", "probability", "log-probability")
    )
    assert torch.allclose(probability.scores, logit.scores.sigmoid(), atol=1e-6)  # the other class scores 0
    assert torch.allclose(logarithm.scores, probability.scores.log(), atol=1e-5)
    assert logarithm.clean == pytest.approx(torch.tensor(probability.clean).log().item(), abs=1e-5)


def test_overlap_is_averaged_and_a_map_that_fills_is_clean_elsewhere():
    torch.manual_seed(0)
    size, patch, tops, lefts = (7, 8), 3, [0, 2, 4], [0, 3, 5]
    scores = torch.rand(3, 3)
    scores[2, 1:] = torch.nan
    expected = torch.full(size, 9.0)
    for y in range(size[0]):
        for x in range(size[1]):
            over = [
                scores[i, j].item()
                for i, top in enumerate(tops)
                for j, left in enumerate(lefts)
                if top <= y < top + patch and left <= x < left + patch and not scores[i, j].isnan()
            ]
            if over:
                expected[y, x] = sum(over) / len(over)
    assert torch.allclose(average(scores, tops, lefts, patch, size, 9.0)[0, 0], expected)


def test_steps_fill_the_map_row_by_row():
    network = linear(torch.ones(1, 3, 8, 8))
    steps = list(occlusion(network, seeded(1, 3, 8, 8), 0, 2, 2, "black", "logit", batch=4))
    assert [(step.index, step.total) for step in steps] == [(i, 4) for i in range(1, 5)]
    first = steps[0]
    assert (first.image[..., 2:, :] == first.clean).all() and (first.image[..., :2, :] != first.clean).all()
    assert first.scores[0].isfinite().all() and first.scores[1:].isnan().all() and first.worst[0] == 0
    assert first.upsampled().isfinite().all()
    assert steps[-1].scores.isfinite().all()
    lowest = [step.losses["lowest"] for step in steps]
    assert lowest == sorted(lowest, reverse=True)


def test_each_window_has_its_winner_its_change_and_its_place():
    weight = torch.zeros(1, 3, 4, 4)
    weight[0, 0, :2, :2], weight[0, 0, 2:, 2:] = 1.0, -0.5  # 4 · 1 − 4 · 0.5 = 2 in a white picture
    steps = list(occlusion(linear(weight), torch.ones(1, 3, 4, 4), "thing", 2, 2, "black", "logit", batch=3))
    assert steps[0].winners.tolist() == [[1, 0], [0, -1]]  # behind the first window "nothing" wins
    last = steps[-1]
    assert last.scores.tolist() == [[-2, 2], [2, 4]] and last.winners.tolist() == [[1, 0], [0, 0]]
    assert last.worst == (0, 0, 2, 2) and last.best == (2, 2, 4, 4)
    assert last.change[0, 0].tolist() == [[-4, -4, 0, 0], [-4, -4, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]]


@pytest.mark.parametrize("read", ["total", "strongest"])
def test_a_channel_is_followed_as_loops_follow_it(device, read):
    torch.manual_seed(0)
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())).to(device)
    image = seeded(1, 3, 8, 10)
    last = finish(channel_occlusion(network, image, "1", 2, read, patch=4, stride=3, fill="white", batch=2))
    filler = torch.ones_like(image)
    for i, top in enumerate(last.tops):
        for j, left in enumerate(last.lefts):
            units = network.activation(cover(image, filler, (top, left, top + 4, left + 4)), "1")[0, 2]
            expected = units.sum() if read == "total" else units.max()
            assert last.scores[i, j].item() == pytest.approx(expected.item(), abs=1e-4)
    assert (last.tops, last.lefts, last.winners) == ([0, 3, 4], [0, 3, 6], None)
    totals = network.activation(image, "1")[0].sum((1, 2))
    strongest = strongest_channel(network, image, "1")
    assert strongest == totals.argmax()
    usual = finish(channel_occlusion(network, image, "1", patch=4, stride=4))
    assert usual.clean == pytest.approx(totals[strongest].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "7"}, "layer '7' is unknown to custom"),
        ({"channel": 4}, "channel must be a whole number from 0 to 3 for layer '0', not 4"),
        ({"read": "mean"}, "read must be one of 'total', 'strongest', not 'mean'"),
        ({"patch": 17}, "patch must be from 1 to the picture's shorter side 16, not 17"),
        ({"fill": "purple"}, "fill must be one of"),
        ({"layer": "2"}, "layer '2' has no positions"),
        ({"image": torch.zeros(2, 3, 16, 16)}, "image must be a single picture, not a batch of 2"),
    ],
)
def test_bad_channels_are_named_before_the_first_step(arguments, message):
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    good = {"network": network, "image": seeded(1, 3, 16, 16), "layer": "0", "channel": 0, "patch": 8, "stride": 8}
    with pytest.raises(ValueError, match=re.escape(message)):
        channel_occlusion(**good | arguments)


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize(("size", "patch", "stride"), [((64, 96), 32, 16), ((64, 64), 16, 16)])
def test_captum_agrees_where_the_windows_fit(lite0, score, size, patch, stride):
    image = photos.photo("coffee", size)
    target = lite0(image).argmax().item()
    score_of = lite0 if score == "logit" else lite0.probabilities
    theirs = Occlusion(score_of).attribute(
        image,
        (3, patch, patch),
        strides=(3, stride, stride),
        baselines=lite0.mean_pixel.view(1, 3, 1, 1).expand_as(image),
        target=target,
        perturbations_per_eval=4,
    )
    last = finish(occlusion(lite0, image, target, patch, stride, score=score))
    assert (last.clean - last.image - theirs[:, :1]).abs().max() < 1e-4  # float32: rounding depends on the batch
    assert last.scores.std() > 0.01 * last.clean


# ── Fillings, curves, errors ─────────────────────────────────────────────────────────────────────────────────


def test_fillings(lite0):
    image = photos.photo("chelsea", 64)
    for fill, value in (("grey", 0.5), ("black", 0.0), ("white", 1.0)):
        assert (make_filler(lite0, image, fill) == value).all()
    assert torch.allclose(make_filler(lite0, image, "mean")[0, :, 5, 7], lite0.mean_pixel)
    red = make_filler(lite0, image, colour=(1, 0, 0.25))
    assert red.shape == image.shape and torch.equal(red[0, :, 9, 9], torch.tensor([1, 0, 0.25]))
    noise = make_filler(lite0, image, "noise", seed=3)
    assert torch.equal(noise, make_filler(lite0, image, "noise", seed=3))
    assert not torch.equal(noise, make_filler(lite0, image, "noise", seed=4)) and 0 <= noise.min() < noise.max() <= 1
    blur = make_filler(lite0, image, "blur", patch=16)
    assert blur.mean() == pytest.approx(image.mean().item(), abs=0.02) and blur.std() < 0.8 * image.std()
    assert make_filler(lite0, image[..., :3, :3], "blur", patch=3).isfinite().all()
    with pytest.raises(ValueError, match=r"colour must be three numbers in \[0, 1\]"):
        make_filler(lite0, image, colour=(0, 255, 0))


def test_cover_copies_one_box_and_leaves_the_picture_alone():
    image, filler = torch.zeros(1, 3, 4, 5), torch.ones(1, 3, 4, 5)
    covered = cover(image, filler, (1, 2, 3, 5))
    assert covered.sum() == 3 * 2 * 3 and (covered[..., 1:3, 2:5] == 1).all() and image.sum() == 0


def test_a_coarse_grid_is_interpolated_between_window_centres():
    torch.manual_seed(0)
    network = linear(torch.randn(1, 3, 13, 10))
    last = finish(occlusion(network, seeded(1, 3, 13, 10), 0, 4, 3, score="logit"))
    down, across = (np.array(firsts) + 2.0 for firsts in (last.tops, last.lefts))
    oracle = RegularGridInterpolator((down, across), last.scores.numpy())
    y, x = np.meshgrid(np.arange(13) + 0.5, np.arange(10) + 0.5, indexing="ij")
    expected = oracle(np.stack([y.clip(down[0], down[-1]), x.clip(across[0], across[-1])], axis=-1))
    assert last.upsampled()[0, 0].numpy() == pytest.approx(expected, abs=1e-4)
    whole = finish(occlusion(network, seeded(1, 3, 13, 10), 0, 10, 10, score="logit"))
    assert whole.upsampled()[0, 0, 0].unique().numel() == 1


def test_deletion_and_insertion_by_hand():
    """A linear score in which pixel i is worth i: what is left of it is known at every point."""
    weight = torch.zeros(1, 3, 2, 2)
    weight[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    network, image = linear(weight), torch.ones(1, 3, 2, 2)
    curve = deletion(network, image, weight[0, 0], "thing", points=4, batch=3)
    left = torch.tensor([10.0, 6.0, 3.0, 1.0, 0.0])
    assert torch.allclose(curve.shares, torch.linspace(0, 1, 5)) and torch.allclose(curve.scores, left.sigmoid())
    trapezoids = sum((a + b) / 2 for a, b in zip(left.sigmoid()[:-1], left.sigmoid()[1:], strict=True)) / 4
    assert curve.area == pytest.approx(trapezoids.item())
    other_way = deletion(network, image, -weight[0, 0], "thing", points=4)
    assert torch.allclose(other_way.scores, torch.tensor([10.0, 9.0, 7.0, 4.0, 0.0]).sigmoid())


def test_insertion_starts_blurred_and_ends_with_the_picture(lite0):
    image = photos.photo("coffee", 96)
    torch.manual_seed(0)
    curve = insertion(lite0, image, torch.rand(1, 1, 96, 96), "espresso", points=3)
    assert curve.scores[-1].item() == pytest.approx(
        lite0.probabilities(image)[0, lite0.category("espresso")].item(), abs=1e-5
    )
    assert curve.scores.shape == (4,) and 0 <= curve.area <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch": 17}, "patch must be from 1 to the picture's shorter side 16, not 17"),
        ({"patch": 0}, "patch must be from 1"),
        ({"stride": 0}, "stride must be from 1 to patch (8), so that every pixel is covered, not 0"),
        ({"stride": 9}, "stride must be from 1 to patch (8)"),
        ({"fill": "purple"}, "fill must be one of 'mean', 'grey', 'black', 'white', 'blur', 'noise', not 'purple'"),
        ({"score": "log"}, "score must be one of 'logit', 'probability', 'log-probability', not 'log'"),
        ({"category": 2}, "category must be from 0 to 1, not 2"),
        ({"category": "thin"}, "did you mean 'thing'"),
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"image": torch.zeros(2, 3, 16, 16)}, "image must be a single picture, not a batch of 2"),
        ({"image": torch.full((1, 3, 16, 16), torch.nan)}, "image must be finite"),
        ({"network": Network(nn.Conv2d(3, 3, 1))}, "network custom has no classes; ask for one of its layers instead"),
    ],
)
def test_bad_arguments_are_named_before_the_first_step(arguments, message):
    good = {
        "network": linear(torch.ones(1, 3, 16, 18)),
        "image": seeded(1, 3, 16, 18),
        "category": 0,
        "patch": 8,
        "stride": 4,
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        occlusion(**good | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"importance": torch.zeros(4, 5)}, "importance must be one map of 4×4 pixels, not (4, 5)"),
        ({"importance": torch.zeros(2, 1, 4, 4)}, "importance must be one map of 4×4 pixels, not (2, 1, 4, 4)"),
        ({"importance": torch.full((4, 4), torch.nan)}, "importance must be finite"),
        ({"points": 0}, "points must be at least 1, not 0"),
    ],
)
def test_bad_curves_are_named(arguments, message):
    good = {"importance": torch.zeros(4, 4), "category": 0}
    for curve in (deletion, insertion):
        with pytest.raises(ValueError, match=re.escape(message)):
            curve(linear(torch.ones(1, 3, 4, 4)), seeded(1, 3, 4, 4), **good | arguments)
