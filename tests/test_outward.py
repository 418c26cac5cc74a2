"""Outward growth against a NumPy loop that fills one pixel after the other."""

import numpy as np
import pytest
import torch

from helpers.core import photos
from helpers.core.images import resize
from helpers.core.steps import record
from helpers.outward import outward
from helpers.scanline import coherence, scanline


def numpy_outward(sample, size, window, epsilon, seed):
    """(H, W, 3) whole numbers → the grown picture (H', W', 3) and its sources (H', W', 2), one pixel at a time."""
    (height, width), h = size, window // 2
    random = torch.Generator().manual_seed(seed)
    draws = torch.rand(size, generator=random, dtype=torch.float64).numpy()
    turns = torch.rand(size, generator=random, dtype=torch.float64).numpy()
    row, column = (int(torch.randint(side - 2, (), generator=random)) for side in sample.shape[:2])
    source = np.full((height, width, 2), -1)
    known = np.zeros((height, width), bool)
    for y, x in np.ndindex(3, 3):
        source[(height - 3) // 2 + y, (width - 3) // 2 + x] = row + y, column + x
        known[(height - 3) // 2 + y, (width - 3) // 2 + x] = True
    candidates = [(i, j) for i, j in np.ndindex(*sample.shape[:2]) if h <= i < len(sample) - h]
    candidates = np.array([(i, j) for i, j in candidates if h <= j < sample.shape[1] - h])

    def window_of(y, x):
        reach = [(a, b) for a in range(-h, h + 1) for b in range(-h, h + 1)]
        return [(a, b) for a, b in reach if 0 <= y + a < height and 0 <= x + b < width and known[y + a, x + b]]

    while not known.all():
        touching = [
            (y, x)
            for y, x in np.ndindex(height, width)
            if not known[y, x] and known[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].any()
        ]
        for y, x in sorted(touching, key=lambda p: -(len(window_of(*p)) + turns[p])):
            distances = np.zeros(len(candidates), np.int64)
            for a, b in window_of(y, x):
                weight = round(1000 * np.exp(-(a**2 + b**2) / (2 * (window / 6.4) ** 2)))
                there = sample[tuple(source[y + a, x + b])]
                far = (sample[candidates[:, 0] + a, candidates[:, 1] + b] - there) ** 2
                distances += max(weight, 1) * far.sum(1)
            near = np.flatnonzero(distances <= np.floor((1 + epsilon) * distances.min()))
            source[y, x] = candidates[near[int(draws[y, x] * len(near))]]
            known[y, x] = True
    return sample[source[..., 0], source[..., 1]], source


def as_image(sample):
    return torch.from_numpy(sample / 255).float().permute(2, 0, 1)[None]


PHOTO = (resize(photos.photo("ihc"), 128)[0, :, :22, :26].permute(1, 2, 0).cpu() * 255).round().long().numpy()
CASES = {
    "photo": ((17, 20), {"window": 7, "epsilon": 0.1, "seed": 0}),
    "the nearest alone": ((12, 15), {"window": 5, "epsilon": 0.0, "seed": 1}),
    "wide": ((6, 31), {"window": 9, "epsilon": 0.3, "seed": 2}),
    "smaller than the window": ((5, 4), {"window": 11, "epsilon": 0.1, "seed": 3}),
    "the seed alone and a row": ((4, 3), {"window": 5, "epsilon": 0.1, "seed": 4}),
}


@pytest.mark.parametrize("name", CASES)
def test_equal_to_the_loop_pixel_for_pixel(name):
    size, knobs = CASES[name]
    expected, expected_source = numpy_outward(PHOTO, size, **knobs)
    *_, last = outward(as_image(PHOTO), size, **knobs)
    np.testing.assert_array_equal(last.source.cpu().numpy(), expected_source)
    pixels = (last.image[0].permute(1, 2, 0) * 255).round().long().cpu().numpy()
    np.testing.assert_array_equal(pixels, expected)


def test_on_every_device_alike(device):
    image = as_image(PHOTO)
    *_, here = outward(image.cpu(), 20, window=7)
    *_, there = outward(image.to(device), 20, window=7)
    assert there.image.device.type == device
    assert torch.equal(there.source.cpu(), here.source)


def test_it_grows_ring_by_ring_from_the_middle():
    steps = list(outward(as_image(PHOTO), (13, 17), window=5))
    assert [step.index for step in steps] == list(range(1, 8)) and {step.total for step in steps} == {7}
    for step in steps:
        there = step.source[..., 0] >= 0
        ring = torch.zeros(13, 17, dtype=torch.bool, device=there.device)
        ring[max(0, 5 - step.index) : 8 + step.index, max(0, 7 - step.index) : 10 + step.index] = True
        assert torch.equal(there, ring)
        assert (step.image[0][:, ~there] == 1).all()  # white
    assert len(record(iter(steps), every=3).steps) == 3


def test_a_periodic_sample_continues_its_period():
    tile = np.random.default_rng(1).integers(0, 256, (4, 5, 3))
    *_, last = outward(as_image(np.tile(tile, (5, 5, 1))), (21, 24), window=9)
    pixels = last.image[0]
    assert torch.equal(pixels[:, 4:], pixels[:, :-4]) and torch.equal(pixels[:, :, 5:], pixels[:, :, :-5])


def test_it_copies_larger_pieces_than_scanline_order_with_the_same_freedom():
    sample = resize(photos.photo("gravel"), 180)[..., 30:78, 30:78]
    *_, ours = outward(sample, 48, window=11, epsilon=0.1)
    *_, rows = scanline(sample, 48, window=11, epsilon=0.1)
    assert coherence(ours.source) > coherence(rows.source)


def test_seeds_decide_the_draws_and_the_global_seed_is_left_alone():
    before = torch.get_rng_state()
    first, again, other = (list(outward(as_image(PHOTO), 12, window=5, seed=seed))[-1].source for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"size": 2}, "height must be a whole number of at least 3, not 2"),
        ({"size": "large"}, r"size must be the side of a square, or \(height, width\), not large"),
        ({"window": 4}, "window must be odd and at least 3, not 4"),
        ({"window": 25}, "image must be at least 25×25 for window 25, not 22×26"),
        ({"epsilon": -0.1}, "epsilon must be at least 0, not -0.1"),
    ],
)
def test_bad_knobs_are_named_at_once(knobs, message):
    with pytest.raises(ValueError, match=message):
        outward(as_image(PHOTO), **knobs)


def test_bad_images_are_named_at_once():
    with pytest.raises(ValueError, match="image must be a single picture, not a batch of 2"):
        outward(as_image(PHOTO).repeat(2, 1, 1, 1))
    with pytest.raises(TypeError, match="image must be a tensor"):
        outward("brick")
