"""Scanline synthesis against a NumPy loop that does what the textbook says, one pixel after the other."""

import numpy as np
import pytest
import torch

from helpers.core import photos
from helpers.core.images import resize
from helpers.core.steps import record
from helpers.scanline import Growth, coherence, fill, provenance, scanline


def numpy_scanline(sample, size, window=11, epsilon=0.0, tileable=False, levels=1, seed=0):
    """(H, W, 3) whole numbers → the grown picture (H', W', 3) and its sources (H', W', 2), one pixel at a time."""
    random = torch.Generator().manual_seed(seed)
    pyramid, sizes = [sample.astype(np.int64)], [size]
    for _ in range(levels - 1):
        fine = pyramid[0]
        coarse = np.empty((-(-fine.shape[0] // 2), -(-fine.shape[1] // 2), 3), np.int64)
        for i, j in np.ndindex(*coarse.shape[:2]):
            coarse[i, j] = np.rint(fine[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((0, 1)))
        pyramid.insert(0, coarse)
        sizes.insert(0, (-(-sizes[0][0] // 2), -(-sizes[0][1] // 2)))
    parent = parent_sample = None
    for fine, (height, width) in zip(pyramid, sizes, strict=True):
        draws = torch.rand(height * width, generator=random, dtype=torch.float64).numpy().reshape(height, width)
        picture, source = _grow(fine, (height, width), window // 2, epsilon, tileable, draws, parent, parent_sample)
        parent, parent_sample = picture, fine
    return picture, source


def _grow(sample, size, h, epsilon, tileable, draws, parent, parent_sample):
    height, width = size
    square = [(dy, dx) for dy in range(-h, h + 1) for dx in range(-h, h + 1) if (dy, dx) != (0, 0)]
    own = [o for o in square if tileable or o < (0, 0)]
    q = h // 2
    around = [(dy, dx) for dy in range(-q, q + 1) for dx in range(-q, q + 1)] if parent is not None else []

    def fits(i, j):
        return all(0 <= i + dy < sample.shape[0] and 0 <= j + dx < sample.shape[1] for dy, dx in own) and all(
            0 <= i // 2 + dy < parent_sample.shape[0] and 0 <= j // 2 + dx < parent_sample.shape[1] for dy, dx in around
        )

    candidates = np.array([(i, j) for i, j in np.ndindex(*sample.shape[:2]) if fits(i, j)])
    i, j = candidates.T
    values = [sample[i + dy, j + dx] for dy, dx in own] + [parent_sample[i // 2 + dy, j // 2 + dx] for dy, dx in around]
    values = np.stack(values, 1)  # (candidates, neighbours, 3)
    picture, source = np.zeros((height, width, 3), np.int64), np.zeros((height, width, 2), np.int64)
    for y, x in np.ndindex(height, width):
        there, seen = [], []
        for k, (dy, dx) in enumerate(own):
            row, column = y + dy, x + dx
            if row < 0 or column < 0 or (not tileable and column >= width):
                continue
            row, column = row % height, column % width
            if (row, column) < (y, x):  # it comes earlier in reading order
                there.append(k)
                seen.append(picture[row, column])
        for k, (dy, dx) in enumerate(around, start=len(own)):
            row, column = y // 2 + dy, x // 2 + dx
            if tileable:
                row, column = row % parent.shape[0], column % parent.shape[1]
            if 0 <= row < parent.shape[0] and 0 <= column < parent.shape[1]:
                there.append(k)
                seen.append(parent[row, column])
        distances = ((values[:, there] - np.array(seen)) ** 2).sum((1, 2)) if there else np.zeros(len(values), np.int64)
        near = np.flatnonzero(distances <= (1 + epsilon) * distances.min())
        best = near[0] if epsilon == 0 and there else near[int(draws[y, x] * len(near))]
        source[y, x] = candidates[best]
        picture[y, x] = sample[i[best], j[best]]
    return picture, source


def as_image(sample):
    return torch.from_numpy(sample / 255).float().permute(2, 0, 1)[None]


def grown(sample, size, window=11, epsilon=0.0, **knobs):
    """The result of `scanline` as the oracle gives it."""
    last = list(scanline(as_image(sample), size, window, epsilon, **knobs))[-1]
    pixels = (last.image[0].permute(1, 2, 0) * 255).round().long().cpu().numpy()
    return pixels, last.source.cpu().numpy()


def random_sample(height, width, values, seed=0):
    return np.random.default_rng(seed).integers(0, values, (height, width, 3)) * (255 // (values - 1))


PHOTO = (resize(photos.photo("ihc"), 128)[0, :, :26, :30].permute(1, 2, 0) * 255).round().long().cpu().numpy()

CASES = {
    "photo": (PHOTO, (20, 23), {"window": 7}),
    "drawn": (PHOTO, (20, 23), {"window": 7, "epsilon": 0.2, "seed": 3}),
    "ties everywhere": (random_sample(14, 13, values=2), (17, 19), {"window": 5}),
    "grey, black and white": (random_sample(14, 13, values=2)[..., :1].repeat(3, 2), (9, 30), {"window": 3}),
    "tileable": (PHOTO, (20, 23), {"window": 5, "tileable": True}),
    "tileable, drawn": (PHOTO, (15, 12), {"window": 5, "tileable": True, "epsilon": 0.3}),
    "two levels": (PHOTO, (19, 22), {"window": 7, "levels": 2}),
    "three levels, drawn": (PHOTO, (21, 18), {"window": 5, "levels": 3, "epsilon": 0.1}),
    "two levels, tileable": (PHOTO, (20, 17), {"window": 5, "levels": 2, "tileable": True}),
    "sums beyond float32": (random_sample(20, 21, values=2), (16, 18), {"window": 15}),
    "narrower than the window": (PHOTO, (12, 3), {"window": 7}),
    "one column": (PHOTO, (12, 1), {"window": 7}),
    "one row": (PHOTO, (1, 12), {"window": 7}),
    "one pixel": (PHOTO, (1, 1), {"window": 3}),
    "three candidates": (random_sample(5, 5, values=256), (6, 6), {"window": 5}),
}


@pytest.mark.parametrize("name", CASES)
def test_equal_to_the_loop_pixel_for_pixel(name):
    sample, size, knobs = CASES[name]
    expected, expected_source = numpy_scanline(sample, size, **knobs)
    pixels, source = grown(sample, size, **knobs)
    np.testing.assert_array_equal(source, expected_source)
    np.testing.assert_array_equal(pixels, expected)


def test_on_every_device_alike(device):
    image = as_image(PHOTO)
    here = list(scanline(image, 24, window=5, epsilon=0.1))[-1]
    there = list(scanline(image.to(device), 24, window=5, epsilon=0.1))[-1]
    assert there.image.device.type == device
    assert torch.equal(there.source.cpu(), here.source)
    torch.testing.assert_close(there.image.cpu(), here.image, rtol=1e-6, atol=0)  # CUDA divides by 255 in its own way


@pytest.mark.parametrize("knobs", [{}, {"epsilon": 0.1}, {"levels": 2}, {"tileable": True}])
def test_a_constant_sample_gives_a_constant(knobs):
    pixels, _ = grown(np.full((12, 12, 3), [10, 200, 90]), 16, window=5, **knobs)
    assert (pixels == [10, 200, 90]).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_a_periodic_sample_continues_its_period(epsilon):
    tile = random_sample(4, 5, values=256, seed=1)  # all twenty pixels differ
    pixels, _ = grown(np.tile(tile, (4, 4, 1)), (30, 33), window=11, epsilon=epsilon, seed=2)
    assert (pixels[4:] == pixels[:-4]).all() and (pixels[:, 5:] == pixels[:, :-5]).all()
    assert {tuple(pixel) for pixel in pixels.reshape(-1, 3)} == {tuple(pixel) for pixel in tile.reshape(-1, 3)}


def test_a_tileable_result_of_a_periodic_sample_has_no_seam():
    tile = random_sample(4, 5, values=256, seed=1)
    pixels, _ = grown(np.tile(tile, (5, 5, 1)), (16, 20), window=7, tileable=True)
    twice = np.tile(pixels, (2, 2, 1))
    assert (twice[4:] == twice[:-4]).all() and (twice[:, 5:] == twice[:, :-5]).all()


def test_of_equals_the_first_in_reading_order():
    row = np.array([7, 1, 2, 9, 1, 2, 5, 8]) * 20  # (1, 2) is followed by 9 and by 5
    sample = np.broadcast_to(row[None, :, None], (4, 8, 3))
    for seed in range(20):
        pixels, source = grown(sample, (1, 9), window=3, seed=seed)
        assert (source[0, 1:, 0] == 1).all()  # the first row that has one above it
        ones = np.flatnonzero(pixels[0, 1:-1, 0] == 20) + 1
        assert (pixels[0, ones + 1, 0] == 40).all() and (source[0, ones + 1, 1] == 2).all()


def test_each_pixel_is_a_copy_of_its_source():
    pixels, source = grown(PHOTO, (20, 20), window=5, epsilon=0.3)
    assert (PHOTO[source[..., 0], source[..., 1]] == pixels).all()


def test_seeds_decide_the_draws():
    first, again, other = (grown(PHOTO, 20, window=5, epsilon=0.3, seed=seed)[0] for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_the_global_seed_is_left_alone():
    before = torch.get_rng_state()
    grown(PHOTO, 12, window=5, epsilon=0.3)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_grows_a_row_a_step():
    steps = list(scanline(as_image(PHOTO), (12, 10), window=5))
    assert [step.index for step in steps] == list(range(1, steps[-1].total + 1))
    assert all(isinstance(step, Growth) for step in steps)
    grown_pixels = [int((step.source[..., 0] >= 0).sum()) for step in steps]
    assert grown_pixels == sorted(grown_pixels) and grown_pixels[0] == 3 and grown_pixels[-1] == 120
    empty = steps[0].source[..., 0] < 0
    assert (steps[0].image[0][:, empty] == 1).all()  # white
    assert [int((step.source[:, 0, 0] >= 0).sum()) for step in steps[:4]] == [1, 2, 3, 4]


def test_coarse_levels_are_shown_at_the_size_of_the_result():
    steps = list(scanline(as_image(PHOTO), (13, 11), window=5, levels=3))
    assert {step.image.shape for step in steps} == {(1, 3, 13, 11)}
    assert {step.source.shape for step in steps} == {(13, 11, 2)}


def test_recording_keeps_the_sources():
    recording = record(scanline(as_image(PHOTO), (8, 8), window=5), every=3)
    assert all(step.source.shape == (8, 8, 2) for step in recording.steps)


def test_coherence_of_known_maps():
    crop = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij"), dim=2)
    assert coherence(crop) == 1.0
    assert coherence(torch.zeros(4, 5, 2, dtype=torch.long)) == 0.0
    halves = torch.cat([crop, crop], dim=1)  # 4×10: of 4·9 + 3·10 pairs only the 4 across the cut are broken
    assert coherence(halves) == pytest.approx((4 * 9 + 3 * 10 - 4) / (4 * 9 + 3 * 10))


def test_provenance_colours_the_corners_of_the_sample():
    corners = torch.tensor([[[0, 0], [0, 9]], [[4, 0], [-1, -1]]])
    colours = provenance(corners, (5, 10))
    assert colours.shape == (1, 3, 2, 2)
    assert colours[0, :, 0, 0].tolist() == [0, 0, 0.5]
    assert colours[0, :, 0, 1].tolist() == [0.5, 0, 0]
    assert colours[0, :, 1, 0].tolist() == pytest.approx([0, 0.8, 1])
    assert colours[0, :, 1, 1].tolist() == [1, 1, 1]


def test_provenance_tells_places_apart_without_red_against_green():
    """As who has no green cones sees it (Machado, Oliveira & Fernandes 2009), on linear light."""
    blind = torch.tensor([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    places = torch.stack(torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij"), 2)
    seen = (blind @ provenance(places, (5, 5)).flatten(2)[0] ** 2.2).clamp(0, 1) ** (1 / 2.2)
    far = torch.cdist(places.flatten(0, 1).float(), places.flatten(0, 1).float()) > 1.5
    assert torch.cdist(seen.T, seen.T)[far].min() > 0.1


def loop_distances(sample, window, weight):
    """Of a window from every window of a sample, one after the other."""
    side = len(weight)
    found = sample.new_zeros(sample.shape[2] - side + 1, sample.shape[3] - side + 1)
    for i, j in np.ndindex(*found.shape):
        found[i, j] = (weight * (sample[0, :, i : i + side, j : j + side] - window[0]) ** 2).sum() / weight.sum()
    return found


def holed(period=4):
    """A periodic picture (1, 3, 20, 22), and what is known of it beside a hole of 5×6."""
    tile = torch.rand(1, 3, period, period, generator=torch.Generator().manual_seed(0))
    known = torch.ones(20, 22)
    known[8:13, 9:15] = 0
    return tile.tile(1, 1, 6, 6)[..., :20, :22], known


@pytest.mark.parametrize("order", ["inwards", "in reading order"])
def test_a_hole_in_a_periodic_picture_closes_without_a_trace(order):
    image, known = holed()
    spoilt = torch.where(known > 0, image, 7.0)
    before = spoilt.clone(), known.clone()
    assert torch.equal(fill(loop_distances, spoilt, known, image[..., :14], order, half=3), image)
    assert torch.equal(spoilt, before[0]) and torch.equal(known, before[1])


def test_the_order_of_filling_is_the_one_asked_for():
    image, known = holed()
    seen = []

    def distances(sample, window, weight):
        seen.append(float(weight.sum()))
        return loop_distances(sample, window, weight)

    for order in ("inwards", "in reading order"):
        fill(distances, image, known, image, order, half=3)
    inwards, reading = seen[:30], seen[30:]
    # both begin in the upper left corner; then what is known decides, or the row goes on
    assert len(reading) == 30 and inwards[0] == reading[0]
    assert min(inwards) > min(reading) and max(inwards) == inwards[-1]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"size": 0}, "height must be a whole number of at least 1, not 0"),
        ({"size": (4, 5, 6)}, r"size must be the side of a square, or \(height, width\), not \(4, 5, 6\)"),
        ({"size": 9.5}, r"size must be the side of a square, or \(height, width\), not 9.5"),
        ({"window": 5.0}, "window must be odd and at least 3, not 5.0"),
        ({"window": 4}, "window must be odd and at least 3, not 4"),
        ({"window": 1}, "window must be odd and at least 3, not 1"),
        ({"window": 31}, "image must be at least 31×31 for window 31, levels 1, not 26×30"),
        ({"window": 11, "levels": 3}, "image must be at least 44×44 for window 11, levels 3"),
        ({"epsilon": -0.1}, "epsilon must be at least 0, not -0.1"),
        ({"epsilon": float("nan")}, "epsilon must be at least 0, not nan"),
        ({"levels": 0}, "levels must be a whole number of at least 1, not 0"),
        ({"size": 8, "tileable": True}, "size must be at least 11 for a tileable picture"),
    ],
)
def test_bad_knobs_are_named_at_once(knobs, message):
    with pytest.raises(ValueError, match=message):
        scanline(as_image(PHOTO), **knobs)


def test_bad_images_are_named_at_once():
    with pytest.raises(ValueError, match="image must be a single picture, not a batch of 2"):
        scanline(as_image(PHOTO).repeat(2, 1, 1, 1))
    with pytest.raises(TypeError, match="image must be a tensor"):
        scanline("brick")


def test_coherence_says_what_it_needs():
    with pytest.raises(ValueError, match="source must have shape"):
        coherence(torch.zeros(4, 5))
    with pytest.raises(ValueError, match="source must be complete"):
        coherence(torch.full((4, 5, 2), -1))


def test_fill_says_what_it_needs():
    image, known = holed()
    with pytest.raises(ValueError, match="order must be one of 'inwards', 'in reading order', not 'outwards'"):
        fill(loop_distances, image, known, image, "outwards")
    with pytest.raises(ValueError, match="known must be 1 within 9 pixels of the border"):
        fill(loop_distances, image, known, image, half=9)
