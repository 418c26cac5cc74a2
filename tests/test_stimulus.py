"""The best stimulus: the search against an exhaustive one, the climb against its closed form."""

import math

import numpy as np
import pytest
import torch
from bench import seeded

from helpers import filters, stimulus
from helpers.core import networks, photos


@pytest.fixture(scope="module")
def random_filters():
    return torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))


# ── The nearest patch ────────────────────────────────────────────────────────────────────────────────────────


def exhaustive(weights, pictures, origin, mean, contrast):
    """(cosine, picture, corner) of the best patch of each filter, patch by patch in NumPy."""
    weights = weights.double().numpy()
    best = [(-2, None, None)] * len(weights)
    height, width = weights.shape[-2:]
    for index, picture in enumerate(pictures):
        pixels = picture[0].double().numpy()
        for top in range(pixels.shape[1] - height + 1):
            for left in range(pixels.shape[2] - width + 1):
                patch = pixels[:, top : top + height, left : left + width]
                if origin == "the network's mean":
                    patch = patch - mean[:, None, None]
                if origin == "the patch's mean":
                    patch = patch - patch.mean((1, 2), keepdims=True)
                if math.sqrt((patch**2).mean()) < contrast:
                    continue
                for i, w in enumerate(weights):
                    w = w - w.mean((1, 2), keepdims=True) if origin == "the patch's mean" else w
                    cosine = (w * patch).sum() / np.linalg.norm(w) / np.linalg.norm(patch)
                    best[i] = max(best[i], (cosine, index, (top, left)), key=lambda found: found[0])
    return best


@pytest.mark.parametrize("origin", stimulus.Origin.__args__)
def test_the_closest_patch_is_that_of_an_exhaustive_search(origin, random_filters, device):
    pictures = [
        seeded(1, 3, 9, 11, seed=2),
        seeded(1, 3, 3, 20, seed=3),
        seeded(1, 3, 12, 7, seed=4),
    ]  # the second is too low for a patch
    mean = torch.tensor([0.4, 0.5, 0.6])
    found = stimulus.closest_patches(random_filters.to(device), iter(pictures), origin, mean, contrast=0.2)
    expected = exhaustive(random_filters, pictures, origin, mean.numpy(), 0.2)
    assert found.seen == 6 * 8 + 9 * 4
    for i, (cosine, index, (top, left)) in enumerate(expected):
        assert found.cosines[i].item() == pytest.approx(cosine, abs=1e-5)
        assert (found.pictures[i], found.corners[i]) == (index, (top, left))
        patch = pictures[index][0, :, top : top + 4, left : left + 4]
        torch.testing.assert_close(found.patches[i].cpu(), patch)


def test_a_hidden_filter_is_found_and_reaches_the_bound(random_filters):
    picture = seeded(1, 3, 40, 50)
    picture[0, :, 21:25, 33:37] = 0.5 + 0.1 * random_filters[2] / random_filters[2].abs().max()
    found = stimulus.closest_patches(random_filters, [picture])
    assert found.corners[2] == (21, 33)
    assert found.cosines[2].item() == pytest.approx(1, abs=1e-6)
    assert found.cosines.max() <= 1 + 1e-6


def test_bands_change_nothing(random_filters, monkeypatch):
    picture = seeded(1, 3, 30, 20)
    whole = stimulus.closest_patches(random_filters, [picture])
    bands = stimulus._bands
    monkeypatch.setattr(stimulus, "_bands", lambda *shape: bands(*shape, largest=48 * 17 * 4))
    assert len(list(stimulus._bands(picture, 4, 4, 5))) == 7
    cut = stimulus.closest_patches(random_filters, [picture])
    assert whole.corners == cut.corners and whole.seen == cut.seen == 27 * 17
    torch.testing.assert_close(whole.cosines, cut.cosines)


def test_flat_patches_are_no_match(random_filters):
    found = stimulus.closest_patches(random_filters, [torch.full((1, 3, 8, 8), 0.7)], "the patch's mean")
    assert found.cosines.isnan().all() and found.seen == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"origin": "white"}, "origin must be one of"),
        ({"contrast": 0}, "contrast must be above 0, not 0"),
        ({"pictures": []}, "pictures must hold at least one patch of 4×4 pixels"),
        ({"pictures": [torch.zeros(1, 3, 3, 9)]}, "pictures must hold at least one patch"),
        ({"pictures": [torch.zeros(3, 9, 9)]}, "picture must have shape"),
        ({"weights": torch.zeros(4, 4)}, "filters must be a tensor"),
    ],
)
def test_a_search_says_what_is_wrong(arguments, message, random_filters):
    with pytest.raises(ValueError, match=message):
        stimulus.closest_patches(**({"weights": random_filters, "pictures": [seeded(1, 3, 9, 9)]} | arguments))


def test_the_search_goes_through_the_ten_scenes(lite0, monkeypatch):
    monkeypatch.setattr(photos, "photo", lambda name: seeded(1, 3, 9, 9, seed=photos.SCENES.index(name)))
    found = stimulus.search(lite0, channel=5)
    pictures = [seeded(1, 3, 9, 9, seed=seed) for seed in range(10)]
    expected = stimulus.closest_patches(filters.filters(lite0)[5:6], pictures, mean=lite0.mean_pixel)
    assert torch.equal(found.cosines, expected.cosines) and found.pictures == expected.pictures
    with pytest.raises(ValueError, match="channel must be a whole number from 0 to 31 for layer 'conv1', not 32"):
        stimulus.search(lite0, channel=32)


def test_a_frame_lies_around_the_patch_and_not_on_it():
    picture = 0.5 * seeded(1, 3, 30, 40)
    shown = stimulus.surroundings(picture, (10, 20), (3, 4), margin=5, times=4)
    assert shown.shape == (1, 3, 13 * 4, 14 * 4)
    patch = filters.magnify(picture[..., 10:13, 20:24], 4)
    assert torch.equal(shown[..., 20:32, 20:36], patch)
    yellow = (shown == torch.tensor([1.0, 0.85, 0.0]).view(1, 3, 1, 1)).all(1)
    assert yellow.sum() == 18 * 22 - 12 * 16 and yellow[0, 17, 17] and yellow[0, 34, 38]
    corner = stimulus.surroundings(picture, (0, 36), (3, 4), margin=5, times=4)
    assert corner.shape == (1, 3, 8 * 4, 9 * 4) and torch.equal(
        corner[..., :12, 20:], filters.magnify(picture[..., :3, 36:], 4)
    )


# ── The loudest patch ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mean", [(0.4, 0.5, 0.6), (0.0, 0.0, 0.0)])
def test_the_loudest_patch_is_that_of_an_exhaustive_search(mean, random_filters, device):
    pictures = torch.cat([seeded(1, 3, 9, 11, seed=seed) for seed in range(3)])
    mean = torch.tensor(mean)
    windows = pictures.unfold(2, 4, 1).unfold(3, 4, 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)  # every patch
    responses = torch.einsum("kchw,nchw->kn", random_filters, windows - mean.view(1, 3, 1, 1))
    found = stimulus.loudest_patches(random_filters.to(device), pictures.to(device), mean.to(device))
    assert torch.equal(found.cpu(), windows[responses.argmax(1)])


def test_a_loud_patch_wins_over_a_near_one():
    weights = torch.tensor([1.0, -1.0]).expand(1, 3, 1, 2)
    pictures = torch.full((1, 3, 1, 4), 0.5)
    pictures[..., :2] += 0.1 * weights[0]  # the filter itself, but faint
    pictures[..., 2:] = torch.tensor([1.0, 0.4])
    found = stimulus.loudest_patches(weights, pictures, torch.full((3,), 0.5))
    assert torch.equal(found, pictures[..., 2:])
    assert stimulus.closest_patches(weights, [pictures]).corners == [(0, 0)]


def test_patches_are_cut_where_they_lie():
    pictures = torch.cat([seeded(1, 3, 6, 9, seed=seed) for seed in range(2)])
    found = stimulus.patches_at(pictures, torch.tensor([[1, 0, 4], [0, 3, 7]]), (3, 2))
    assert torch.equal(found, torch.stack([pictures[1, :, 0:3, 4:6], pictures[0, :, 3:6, 7:9]]))


# ── The best picture that a screen can show ──────────────────────────────────────────────────────────────────


def test_no_picture_is_louder_than_that_of_the_signs(random_filters):
    mean = torch.tensor([0.4, 0.5, 0.6])
    itself, signs = stimulus.within_the_screen(random_filters, mean)
    parts = random_filters * (torch.stack([torch.zeros(5, 3, 4, 4), torch.ones(5, 3, 4, 4)]) - mean.view(3, 1, 1))
    loudest = parts.amax(0).sum((1, 2, 3))  # each pixel at its own better end
    torch.testing.assert_close((random_filters * (signs - mean.view(3, 1, 1))).sum((1, 2, 3)), loudest)
    along = torch.nn.functional.cosine_similarity((itself - mean.view(3, 1, 1)).flatten(1), random_filters.flatten(1))
    torch.testing.assert_close(along, torch.ones(5))
    assert itself.min() >= 0 and itself.max() <= 1
    assert (((itself - 0.5).abs() - 0.5).abs().amin((1, 2, 3)) < 1e-6).all()  # some pixel is at an end


# ── The climb ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "layer", "channel"), [("alexnet", "conv1", 7), ("vgg16_edges", "conv1_1", 3)])
def test_the_climb_ends_at_the_filter(name, layer, channel, untrained):
    network = untrained(name)
    steps = list(stimulus.filter_ascent(network, layer, channel, steps=12, seed=3))
    weight = filters.filters(network)[channel]
    closed_form = weight / weight.norm()
    torch.testing.assert_close(steps[-1].image[0], closed_form, atol=1e-3, rtol=0)
    cosines = [step.losses["cosine"] for step in steps]
    assert cosines == sorted(cosines) and cosines[-1] > 0.9999
    bound = (
        steps[-1].losses["response"]
        - network.activation(network.mean_pixel.view(1, 3, 1, 1).expand(1, 3, 64, 64), layer)[0, channel, 5, 5].item()
    )  # less the bias
    assert bound == pytest.approx(weight.norm().item(), rel=1e-3)
    assert [step.index for step in steps] == list(range(1, 13)) and {step.total for step in steps} == {12}


def test_the_climb_follows_its_formula_and_its_seed(lite0):
    weight = filters.filters(lite0)[:1]
    x = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(5))
    x = x / x.norm() + 0.3 * weight / weight.norm()
    first, again, other = (next(stimulus.filter_ascent(lite0, rate=0.3, seed=seed)).image for seed in (5, 5, 6))
    torch.testing.assert_close(first, x / x.norm())
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_climb_runs_on_any_device(device):
    network = networks.load("efficientnet_lite0", device=device)
    step = list(stimulus.filter_ascent(network, channel=3, steps=10))[-1]
    assert step.image.device.type == device and step.losses["cosine"] > 0.999


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": 32}, "channel must be a whole number from 0 to 31 for layer 'conv1', not 32"),
        ({"channel": -1}, "channel must be a whole number from 0 to 31 for layer 'conv1', not -1"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"rate": 0.0}, "rate must be above 0, not 0.0"),
        ({"layer": "blocks.1"}, "does not see pixels"),
    ],
)
def test_the_climb_is_refused_before_its_first_step(arguments, message, lite0):
    with pytest.raises(ValueError, match=message):
        stimulus.filter_ascent(lite0, **arguments)
