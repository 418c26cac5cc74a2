"""Components against a mixture made by hand, the function against scikit-image's, the fit against what was drawn."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bench import seeded
from skimage.filters import gabor_kernel

from helpers import filters, gabor
from helpers.core import photos


@pytest.fixture(scope="module")
def random_filters():
    return torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))


# ── Independent components ───────────────────────────────────────────────────────────────────────────────────


def test_random_patches_are_centred_seeded_and_not_flat():
    picture = seeded(1, 3, 30, 40)
    picture[..., :20] = 0.3  # half of it is flat
    patches = gabor.random_patches([picture], 5, 400)
    assert 150 < len(patches) < 300 and patches.shape[1:] == (3, 5, 5)
    assert patches.mean((1, 2, 3)).abs().max() < 1e-6 and patches.flatten(1).std(1).min() >= 0.02
    assert torch.equal(patches, gabor.random_patches([picture], 5, 400))
    assert not torch.equal(patches[:50], gabor.random_patches([picture], 5, 400, seed=1)[:50])


@pytest.mark.parametrize(
    ("pictures", "size", "count", "message"),
    [
        ([], 3, 9, "pictures must hold at least one picture"),
        ([torch.zeros(1, 3, 9, 9)], 0, 9, "size must be at least 1, not 0"),
        ([torch.zeros(1, 3, 9, 9)], 3, 0, "count must be at least 1, not 0"),
        ([torch.zeros(1, 3, 9, 4)], 5, 9, "pictures must be at least 5 pixels high and wide, not 9×4"),
        ([torch.zeros(1, 3, 9, 9)], 3, 9, "no patch has a contrast of 0.02 or more"),
    ],
)
def test_random_patches_say_what_is_wrong(pictures, size, count, message):
    with pytest.raises(ValueError, match=message):
        gabor.random_patches(pictures, size, count)


def test_components_mixed_by_hand_are_found_again():
    """Sparse sources through a known mixture: each stimulus is found up to its sign."""
    random = torch.Generator().manual_seed(0)
    sources = torch.rand(4000, 6, generator=random).log() * torch.randn(4000, 6, generator=random).sign()
    true = torch.randn(6, 3, 2, 2, generator=random)
    patches = torch.einsum("nk,kchw->nchw", sources, true)
    found = gabor.independent_components(patches, 6)
    cosines = F.cosine_similarity(found.flatten(1)[:, None], true.flatten(1)[None], dim=2).abs()
    assert cosines.amax(1).min() > 0.97 and len(set(cosines.argmax(1).tolist())) == 6
    strengths = found.flatten(1).norm(dim=1)
    assert (strengths.diff() <= 0).all()
    inverse = gabor.independent_components(patches, 6, "filter")
    torch.testing.assert_close(inverse.flatten(1) @ found.flatten(1).T, torch.eye(6), atol=1e-3, rtol=0)


def test_components_of_photos_are_waves_under_a_bell():
    scenes = [photos.photo(name) for name in photos.SCENES[:5]]
    learned = gabor.independent_components(gabor.random_patches(scenes, 9, 2000), 20)
    explained = [gabor.fit_gabor(learned[i : i + 1]).explained for i in range(4, 10)]
    before = [gabor.fit_gabor(filters.untrained("alexnet")[i : i + 1]).explained for i in range(3)]
    assert np.median(explained) > 0.7 and max(before) < 0.2


def test_components_say_what_is_wrong(random_filters):
    with pytest.raises(ValueError, match="count must be from 1 to 4, not 5"):
        gabor.independent_components(random_filters, 5)
    with pytest.raises(ValueError, match="shown must be one of 'stimulus', 'filter', not 'both'"):
        gabor.independent_components(random_filters, 3, "both")


def test_components_of_photos_are_those_of_the_ten_scenes():
    patches = gabor.random_patches([photos.photo(name) for name in photos.SCENES], 3, 2000, seed=1)
    expected = gabor.independent_components(patches, 16, "filter", 1)
    assert torch.equal(gabor.photo_components(3, 16, 2000, "filter", 1), expected)


# ── Gabor's function ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("angle", "phase", "aspect"), [(0, 0, 1.0), (30, 90, 0.7), (115, 200, 0.5)])
def test_gabor_is_scikit_images(angle, phase, aspect):
    ours = gabor.gabor(21, 0.12, angle, phase, 2.5, aspect)
    kernel = gabor_kernel(
        0.12,
        math.radians(angle),
        sigma_x=2.5,
        sigma_y=2.5 / aspect,
        n_stds=6,
        offset=math.radians(phase),
    ).real
    cut = [(side - 21) // 2 for side in kernel.shape]
    kernel = kernel[cut[0] : cut[0] + 21, cut[1] : cut[1] + 21] * (2 * math.pi * 2.5 * 2.5 / aspect)
    np.testing.assert_allclose(ours.numpy(), kernel, atol=1e-6)


def test_gabor_moves_with_its_centre():
    middle = gabor.gabor(15, 0.2, 40, 60, 2)
    moved = gabor.gabor(15, 0.2, 40, 60, 2, centre=(2, -3))
    torch.testing.assert_close(moved[:12, 2:], middle[3:, :13])


@pytest.mark.parametrize(("name", "value"), [("size", 0), ("width", 0.0), ("aspect", -1.0)])
def test_gabor_says_what_is_wrong(name, value):
    with pytest.raises(ValueError, match=f"{name} must be above 0, not {value}"):
        gabor.gabor(**{name: value})


@pytest.mark.parametrize(("angle", "phase"), [(20, 90), (130, 300), (75, 10)])
def test_a_fit_finds_the_gabor_that_was_drawn(angle, phase):
    wave = gabor.gabor(11, 0.15, angle, phase, 2.0, 0.8, centre=(0.7, -1.2))
    colour = torch.tensor([0.2, -0.9, 0.5]).view(1, 3, 1, 1)
    fit = gabor.fit_gabor(3 * colour * wave)
    assert fit.explained > 0.999
    torch.testing.assert_close(fit.picture, 3 * colour * wave, atol=0.05, rtol=0)
    assert fit.frequency == pytest.approx(0.15, abs=0.01) and fit.angle == pytest.approx(angle, abs=2)
    # the sign of the colour is free: a phase half a turn further with the colours turned round is the same filter
    turns = (fit.phase - phase) / 180
    assert abs(turns - round(turns)) < 0.06
    again = gabor.gabor(11, fit.frequency, fit.angle, fit.phase, fit.width, fit.aspect, fit.centre)
    assert abs(F.cosine_similarity(again.flatten(), wave.flatten(), dim=0)) > 0.999


def test_a_fit_of_nothing_and_of_the_wrong_shape():
    assert gabor.fit_gabor(torch.full((1, 3, 7, 7), 0.3)).explained > 0.9  # one flat colour: a very wide bell
    for weights in (torch.zeros(2, 3, 5, 5), torch.zeros(1, 3, 5, 4)):
        with pytest.raises(ValueError, match=r"weights must be one square filter \(1, 3, n, n\)"):
            gabor.fit_gabor(weights)


# ── Directions ───────────────────────────────────────────────────────────────────────────────────────────────


def test_each_place_has_the_colour_of_its_strongest_direction(device):
    angles = torch.tensor([0.0, math.pi / 3, 2 * math.pi / 3], device=device)  # a third of the colours apart: pure
    energy = torch.tensor([[[2.0, 0, 0, 1]], [[1, 4, 0, 0]], [[0, 1, 0, 2]]], device=device)
    picture = gabor.direction_map(energy, angles)
    assert picture.shape == (1, 3, 1, 4) and picture.device == energy.device
    colours = torch.tensor([[1, 0.25, 0.25], [0.25, 1, 0.25], [0.25, 0.25, 1]])  # ½ + ½ cos of 0 and of ±120°
    full = torch.tensor([2.0, 4, 0, 2]).quantile(0.98)
    expected = torch.tensor([2.0, 4, 0, 2]).div(full).clamp(max=1).sqrt()[:, None] * colours[[0, 1, 0, 2]]
    torch.testing.assert_close(picture[0, :, 0].T.cpu(), expected)


def test_stripes_seen_from_the_other_side_have_the_same_colour():
    angles, energy = torch.tensor([0.3, 1.2]), torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0))
    turned = gabor.direction_map(energy, angles + math.pi)
    torch.testing.assert_close(turned, gabor.direction_map(energy, angles))


def test_the_key_shows_the_waves_in_the_colours_of_the_map():
    angles = torch.arange(4) * math.pi / 4
    waves = torch.stack([gabor.gabor(5, 0.2, math.degrees(angle), 0) for angle in angles.tolist()])
    waves[2] *= 0.5
    key = gabor.direction_key(waves, angles)
    assert key.shape == (1, 3, 50, 4 * 50 + 3 * 6)
    for i, left in enumerate((0, 56, 112, 168)):
        flat = gabor.direction_map(torch.ones(1, 1, 1), angles[i : i + 1])
        square = (0.5 + 0.5 * waves[i] / waves.abs().max()) * flat[0]
        torch.testing.assert_close(key[0, :, ::10, left : left + 50 : 10], square)
