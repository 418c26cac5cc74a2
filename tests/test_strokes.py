"""Lines against the circles they should follow, polygons against their areas, random fields against their promises."""

import numpy as np
import pytest

from helpers import strokes


def easel(size=40, seed=0):
    return strokes.Easel(size, 1.0, 1.0, np.array([[0.0, 0, 0], [1, 1, 1]]), np.random.default_rng(seed))


# ── Places and fields ──


def test_places_are_the_centres_of_pixels_x_first():
    assert strokes.places(4)[0, :, 0].tolist() == [0.125, 0.375, 0.625, 0.875]
    assert strokes.places(4)[2, 3].tolist() == [0.875, 0.625]


def test_a_map_is_read_exactly_at_its_pixels_and_linearly_between():
    values = np.random.default_rng(0).random((6, 6))
    assert strokes.at(values, strokes.places(6)) == pytest.approx(values)
    assert strokes.at(values, np.array([[3 / 6, 2.5 / 6]])) == pytest.approx(values[2, 2:4].mean())
    picture = np.stack([values, 2 * values, 1 - values], -1)
    assert strokes.at(picture, strokes.places(6)) == pytest.approx(picture)


def test_a_smooth_field_is_the_same_at_every_size_and_mostly_from_minus_2_to_2():
    field = easel().smooth(12)
    values = field(strokes.places(300))
    assert abs(values.mean()) < 0.15 and 0.85 < (np.abs(values) < 2).mean() < 0.95
    assert np.abs(np.diff(values, axis=0)).max() < 0.4, "no jumps: the bumps are 25 pixels wide"
    assert field(strokes.places(100)) == pytest.approx(values[1::3, 1::3])
    assert easel(seed=1).smooth(12)(strokes.places(9)) != pytest.approx(field(strokes.places(9)))


def test_grain_is_about_1():
    grain = easel(200).grain(0.1)
    assert grain.shape == (200, 200, 1) and abs(grain.mean() - 1) < 0.01 and grain.std() == pytest.approx(0.1)


def test_soft_edges_pass_the_middle_and_end_flat():
    assert strokes.soft_step(np.array([-3.0, -1, 0, 1, 3]), 1.0).tolist() == [0, 0, 0.5, 1, 1]
    x = strokes.places(40)[..., 0]
    covered = easel().cover(x - 0.31, np.ones(3), np.zeros(3))
    assert covered.shape == (40, 40, 3) and covered.mean() == pytest.approx(0.69, abs=0.005)


def test_colours_are_mixed_between_neighbours():
    colours = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0]])
    mixed = strokes.between(colours, np.array([-1, 0, 0.25, 0.5, 0.75, 1, 2]))
    assert mixed[:, :2].tolist() == [[0, 0], [0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [1, 1]]


# ── Lines ──


def test_lines_go_half_of_their_length_to_either_side():
    starts, lengths = np.array([[0.5, 0.5], [0.2, 0.7]]), np.array([0.2, 0.4])
    lines = strokes.flow_lines(starts, lambda spot: strokes.towards(np.full(len(spot), np.pi / 6)), lengths, points=5)
    assert lines.shape == (2, 5, 2) and lines[:, 2] == pytest.approx(starts)
    assert np.linalg.norm(lines[:, -1] - lines[:, 0], axis=1) == pytest.approx(lengths)
    assert (lines[0, -1] - lines[0, 0]) == pytest.approx([0.2 * 3**0.5 / 2, 0.1])


def test_lines_of_a_whirl_stay_on_their_circle():
    starts = np.array([[0.5, 0.1], [0.7, 0.5]])
    lines = strokes.flow_lines(starts, lambda spot: strokes.unit(strokes.across(spot - 0.5)), 0.4, points=201)
    radius = np.linalg.norm(lines - 0.5, axis=-1)
    assert radius == pytest.approx(np.repeat(radius[:, 100:101], 201, 1), abs=0.003)


def test_lines_never_turn_back_where_a_direction_has_no_sign():
    def sometimes_backwards(spot):
        return np.where(np.sin(40 * spot[:, :1]) > 0, 1.0, -1.0) * [1, 0]

    lines = strokes.flow_lines(np.array([[0.3, 0.5]]), sometimes_backwards, 0.5)
    assert np.ptp(lines[0, :, 0]) == pytest.approx(0.5) and len(set(np.sign(np.diff(lines[0, :, 0])))) == 1


def test_ribbons_are_as_wide_as_asked_in_the_middle_and_pointed_at_the_ends():
    line = np.stack([np.linspace(0, 1, 9), np.full(9, 0.5)], -1)[None]
    outline = strokes.ribbons(line, 0.1)[0]
    upper, lower = outline[:9], outline[9:][::-1]
    assert (upper - lower)[4] == pytest.approx([0, 0.1]) and upper[[0, 8]] == pytest.approx(lower[[0, 8]])
    assert strokes.ribbons(line, 0.1, shift=0.5)[0, 4, 1] == pytest.approx(0.6)


# ── The canvas ──


def test_polygons_cover_their_area_in_their_colour():
    canvas = strokes.Canvas(50, np.array([0.0, 0, 1]))
    square = np.array([[[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.6]]])
    canvas.fill((square, np.array([1.0, 0.2, 0])))
    pixels = canvas.pixels()
    assert pixels.shape == (50, 50, 3) and pixels[20, 20] == pytest.approx([1, 0.2, 0]) and pixels[0, 0, 2] == 1
    assert pixels[..., 0].mean() == pytest.approx(0.16, abs=0.01)
    assert canvas.pixels(10)[3, 3] == pytest.approx([1, 0.2, 0])


def test_a_stroke_is_finished_before_the_next_begins():
    """The second polygon's first layer lies over the first polygon's last."""
    canvas = strokes.Canvas(20, np.zeros(3))
    whole = np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]] * 2, dtype=float)
    left = whole * [0.5, 1]
    canvas.fill((whole, np.array([[1.0, 0, 0], [0, 1, 0]])), (left, np.array([[1.0, 1, 1], [0, 0, 1]])))
    assert canvas.pixels()[10, 3].tolist() == [0, 0, 1] and canvas.pixels()[10, 16].tolist() == [0, 1, 0]


def test_a_stroke_has_a_dark_rim_and_its_ridge_towards_the_light():
    """Along x, and back: the light comes from above either way."""
    for ends in ([0.1, 0.9], [0.9, 0.1]):
        canvas = strokes.Canvas(200, np.ones(3))
        line = np.stack([np.linspace(*ends, 9), np.full(9, 0.5)], -1)[None]
        strokes.strokes(canvas, line, 0.2, np.array([[0.5, 0.5, 0.5]]))
        across = canvas.pixels()[:, 100, 0]
        assert across[[60, 80, 84, 105, 117]] == pytest.approx([1, 0.3, 0.5, 0.5, 0.3], abs=0.01)
        assert across[90:97] == pytest.approx(0.67, abs=0.01)
