"""Figures hold what they are given."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import plots
from helpers.ascent import class_ascent
from helpers.core import networks, photos
from helpers.core.steps import finish
from helpers.deepdream import deepdream
from helpers.inversion import invert
from helpers.occlusion import occlusion
from helpers.style import style_transfer
from helpers.texture import texture

pytestmark = pytest.mark.usefixtures("settings_of_torch")


def drawn_images(figure):
    return [axis.images[0].get_array() for axis in figure.axes if axis.images]


def test_show_draws_every_picture_with_its_title():
    batch = torch.rand(5, 3, 8, 12)
    figure = plots.show(batch, [f"p{i}" for i in range(5)], columns=3)
    assert [axis.get_title() for axis in figure.axes] == ["p0", "p1", "p2", "p3", "p4", ""]
    pixels = drawn_images(figure)
    assert len(pixels) == 5
    assert torch.equal(torch.tensor(pixels[4]), (batch[4].permute(1, 2, 0) * 255).round().byte())


def test_show_takes_pictures_of_different_sizes():
    figure = plots.show([torch.rand(1, 3, 8, 8), torch.rand(1, 3, 5, 9)])
    assert [pixels.shape for pixels in drawn_images(figure)] == [(8, 8, 3), (5, 9, 3)]


def test_show_refuses_titles_that_do_not_fit():
    with pytest.raises(ValueError, match="one entry for each of the 2 pictures, not 1"):
        plots.show(torch.rand(2, 3, 4, 4), ["one"])


@pytest.mark.parametrize("shape", [(6, 7), (1, 6, 7), (1, 1, 6, 7)])
def test_heat_draws_the_values_themselves(shape):
    values = torch.randn(shape)
    figure = plots.heat(torch.rand(1, 3, 6, 7), {"a": values, "b": -values})
    _, first, second = drawn_images(figure)[:3]
    assert torch.allclose(torch.tensor(first), values.view(6, 7)) and torch.allclose(
        torch.tensor(second), -values.view(6, 7)
    )


def test_overlay_mixes_photo_and_map():
    image = torch.rand(1, 3, 8, 8)
    assert torch.allclose(plots.overlay(image, torch.rand(4, 4), strength=0), image)
    flat = plots.overlay(image, torch.zeros(4, 4), strength=1)
    assert flat.shape == (1, 3, 8, 8) and torch.allclose(flat, flat[..., :1, :1].expand_as(flat))
    ramp = plots.overlay(image, torch.arange(8.0).expand(8, 8), strength=1, cmap="gray")
    assert ramp[0, 0, 0, 0] == 0 and ramp[0, 0, 0, -1] == 1


def test_curves_draw_every_line():
    figure = plots.curves({"a": [3, 2, 1], "b": [1, 1, 1]}, "step", "loss", log=True)
    (axis,) = figure.axes
    assert [list(line.get_ydata()) for line in axis.lines] == [[3, 2, 1], [1, 1, 1]]
    assert list(axis.lines[0].get_xdata()) == [1, 2, 3] and axis.get_yscale() == "log"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]
    (axis,) = plots.curves({"a": [3, 2]}, "taken away", "probability", first=0).axes
    assert list(axis.lines[0].get_xdata()) == [0, 1]


CAT = photos.photo("chelsea", 64)
RUNS = {
    "ascent": lambda network: class_ascent(network, "goldfish", size=96, steps=8),
    "dream": lambda network: deepdream(network, CAT, steps=4, octaves=2),
    "inversion": lambda network: invert(network, CAT, steps=8),
    "texture": lambda network: texture(network, CAT, size=64, steps=8),
    "style": lambda network: style_transfer(network, CAT, photos.photo("ihc", 64), steps=8),
}


@pytest.mark.parametrize("technique", RUNS)
def test_after_setup_a_seed_gives_the_same_picture_every_time(technique, device, recwarn):
    plots.setup()
    network = networks.load(device=device)
    first, second = (finish(RUNS[technique](network)).image for _ in range(2))
    assert torch.equal(first, second)
    assert not [str(warning.message) for warning in recwarn if "determinis" in str(warning.message)]


def test_after_setup_occlusion_in_part_is_that_in_full(device):
    plots.setup()
    network, photo = networks.load(device=device), photos.photo("coffee", 224)
    part, full = (
        finish(occlusion(network, photo, "espresso", stride=32, incremental=incremental)).scores
        for incremental in (True, False)
    )
    torch.testing.assert_close(part, full, rtol=0, atol=1e-5)


def test_setup_seeds_and_says_where(capsys):
    plots.setup()
    first = torch.rand(3)
    plots.setup()
    assert torch.equal(first, torch.rand(3))
    assert capsys.readouterr().out.startswith("Running on ")


def test_responses_are_symmetric_about_zero():
    maps = torch.linspace(-1, 3, 48).reshape(2, 4, 6)
    figure = plots.responses(torch.rand(1, 3, 8, 12), torch.rand(2, 3, 3, 3), maps, ["a", "b"])
    drawn = [axis for axis in figure.axes if axis.images and axis.images[0].get_array().shape == (4, 6)]
    assert len(drawn) == 2
    for axis, values in zip(drawn, maps, strict=True):
        low, high = axis.images[0].get_clim()
        assert low == -high and high == pytest.approx(np.quantile(values.abs(), 0.99))
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["a", "b"]
    with pytest.raises(ValueError, match="filters, maps and titles must be as many, not 1, 2"):
        plots.responses(torch.rand(1, 3, 8, 12), torch.rand(1, 3, 3, 3), maps)


# ── Maps of pictures ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_covers_the_edge_and_nothing_else():
    grey = torch.full((2, 3, 6, 8), 0.5)
    images = plots.framed(grey, ["red", "lime"], width=2)
    assert torch.equal(images[:, :, 2:-2, 2:-2], grey[:, :, 2:-2, 2:-2]) and (grey == 0.5).all()
    assert images[0, :, 1, 4].tolist() == [1, 0, 0] and images[1, :, 3, 7].tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="colours must have one entry for each of the 2 images, not 1"):
        plots.framed(grey, ["red"])


def test_pictures_lie_at_their_points_y_upwards_and_both_axes_to_scale():
    shades = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    corners = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 5.0]])
    sheet = plots.picture_map(corners, shades, size=44)
    assert sheet.shape == (1, 3, 44, 44)
    at = [(sheet[0, 0] - shade).abs().lt(1e-6).nonzero().amin(0).tolist() for shade in (0.1, 0.2, 0.3)]
    assert at == [[30, 0], [30, 40], [10, 0]]  # rows 10 to 30, columns 0 to 40: 5 units are half of 10
    assert (sheet == 1).sum() == 3 * (44 * 44 - 3 * 16)
    one = plots.picture_map(torch.zeros(1, 2), shades[:1], size=10, labels=[3])
    assert (one[0, 0, 3:7, 3:7] != 1).all() and one[0, 0, 4, 4] == shades[0, 0, 0, 0] != one[0, 0, 3, 3]
    with pytest.raises(ValueError, match=r"embedding must have shape \(3, 2\)"):
        plots.picture_map(corners[:2], shades)
    with pytest.raises(ValueError, match="size must be above the pictures' 4 pixels, not 4"):
        plots.picture_map(corners, shades, size=4)


def test_pictures_fill_their_cells():
    shades = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1).expand(3, 3, 2, 4)
    sheet = plots.picture_grid(torch.tensor([[0, 1], [1, 0], [0, 0]]), shades)
    assert sheet.shape == (1, 3, 4, 8)
    expected = torch.tensor([[0.3, 0.1], [0.2, 1.0]]).repeat_interleave(2, 0).repeat_interleave(4, 1)
    assert torch.allclose(sheet[0, 1], expected)
    framed = plots.picture_grid(torch.tensor([[0, 0]]), torch.zeros(1, 3, 5, 5), labels=[11])
    assert framed[0, :, 2, 2].eq(0).all() and framed[0, :, 0, 0].gt(0).any()
    with pytest.raises(ValueError, match=r"cells must have shape \(3, 2\)"):
        plots.picture_grid(torch.zeros(2, 2, dtype=torch.int64), shades)


def test_a_table_of_shares_has_its_heads_above_and_beside_it():
    heads = torch.tensor([0.2, 0.4, 0.6]).view(3, 1, 1, 1).expand(3, 3, 2, 4)
    shares = torch.tensor([[1, 0, 0], [0.25, 0.5, 0.25], [0, 0, 0]], dtype=torch.float64)
    sheet = plots.picture_table(shares, heads)
    assert sheet.shape == (1, 3, 4 * 2 + 3 * 2, 4 * 4 + 3 * 2) and sheet.dtype == heads.dtype
    expected = [[1, 0.2, 0.4, 0.6], [0.2, 0, 1, 1], [0.4, 0.75, 0.5, 0.75], [0.6, 1, 1, 1]]
    for down in range(2):
        for across in range(4):
            assert torch.allclose(sheet[0, 1, down::4, across::6], torch.tensor(expected))
    with pytest.raises(ValueError, match=r"shares must have shape \(3, 3\), not \(2, 3\)"):
        plots.picture_table(shares[:2], heads)


def test_every_point_is_in_the_scatter_in_the_colour_of_its_label():
    points = torch.arange(10.0).view(5, 2)
    figure = plots.scatter({"a": points, "b": -points}, [0, 1, 0, 1, 1], ["x", "y"])
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    drawn = [dots.get_offsets().tolist() for dots in figure.axes[0].collections]
    assert drawn == [points[[0, 2]].tolist(), points[[1, 3, 4]].tolist()]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["x", "y"]
    assert not plots.scatter({"a": points}, torch.zeros(5, dtype=torch.int64)).legends


def test_named_islands_carry_their_names_at_their_middle():
    points = torch.tensor([[0.0, 0], [2, 0], [10, 10], [12, 10]])
    figure = plots.named({"one": points, "two": -points}, [0, 0, 1, 1], ["cat", "dog"])
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("one", "two")
    assert [(word.get_text(), word.get_position()) for word in first.texts] == [("cat", (1, 0)), ("dog", (11, 10))]
    assert len(first.collections) == 2


def test_what_differs_by_colour_differs_by_line_or_mark_as_well():
    (axis,) = plots.curves({name: [1, 2] for name in "abcdefg"}, "step", "loss").axes
    assert len({(line.get_linestyle(), line.get_linewidth()) for line in axis.lines}) == 7
    points, labels, names = torch.rand(20, 2), range(20), [str(i) for i in range(20)]
    for figure in (plots.scatter({"": points}, labels), plots.named({"": points}, labels, names)):
        drawn = figure.axes[0].collections
        marks = [dots.get_paths()[0].vertices.tobytes() for dots in drawn]
        assert len(set(marks[:10])) == len(set(marks[10:])) == 10
        assert len({(mark, dots.get_facecolor().tobytes()) for mark, dots in zip(marks, drawn, strict=True)}) == 20


def test_ranked_shares_stand_in_order_and_in_two_colours():
    shares = torch.tensor([0.1, 0.5, 0.0, 0.4])
    figure = plots.ranked({"a": shares, "b": shares}, torch.tensor([True, True, False, False]), most=3)
    axis = figure.axes[0]
    own, others = axis.containers
    assert [(bar.get_center()[0], round(bar.get_height(), 3)) for bar in own] == [(1, 0.5), (3, 0.1)]
    assert [(bar.get_center()[0], round(bar.get_height(), 3)) for bar in others] == [(2, 0.4)]
    assert own[0].get_facecolor() != others[0].get_facecolor()


def test_response_maps_have_one_scale_and_what_passes_another():
    filters, maps = torch.rand(2, 3, 4, 4), torch.stack([torch.ones(5, 6), -4 * torch.ones(5, 6)])
    figure = plots.response_maps(filters, maps, ["a", "b"])
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a", "b"]
    assert [axis.images[0].get_clim() for axis in figure.axes[2:4]] == [(-4, 4), (-4, 4)]
    figure = plots.response_maps(filters, maps, ["a", "b"], passed=maps.clamp(0, 6), limit=6)
    assert [axis.images[0].get_clim() for axis in figure.axes[2:6]] == [(-6, 6), (-6, 6), (0, 1), (0, 1)]
    with pytest.raises(ValueError, match="filters, maps and titles must be as many, not 2, 2 and 1"):
        plots.response_maps(filters, maps, ["a"])


def test_changes_share_one_scale_and_name_the_winners():
    photo, maps = torch.rand(1, 3, 8, 8), {"a": torch.full((1, 1, 8, 8), -0.3), "b": torch.zeros(8, 8)}
    scan = SimpleNamespace(winners=torch.tensor([[3, 3], [3, 1]]), tops=[0, 4], lefts=[0, 4], patch=4)
    figure = plots.changes(photo, maps, (0, 0, 4, 4), scan, ["w", "x", "y", "z"], limit=0.5)
    first, a, b, winners = figure.axes[:4]
    assert [image.get_clim() for axis in (a, b) for image in axis.images] == [(-0.5, 0.5)] * 2
    assert [axis.get_title() for axis in (a, b)] == ["a", "b"] and first.lines
    assert [text.get_text() for text in winners.get_legend().get_texts()] == ["z (3)", "x (1)"]
    assert winners.collections[1].get_offsets().tolist() == [[6, 6]]  # (x, y) of the centre of the last window
