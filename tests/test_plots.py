"""Figures hold what they are given; the display of a notebook stays small."""

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure

from helpers import plots


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


def test_setup_seeds_and_says_where(capsys):
    plots.setup()
    first = torch.rand(3)
    plots.setup()
    assert torch.equal(first, torch.rand(3))
    assert capsys.readouterr().out.startswith("Running on ")


def test_a_notebook_stores_figures_and_pictures_as_jpeg_only(monkeypatch):
    shell = InteractiveShell.instance()
    monkeypatch.setitem(plots.__dict__, "get_ipython", lambda: shell)
    plots.setup()
    figure = plots.show(torch.rand(1, 3, 64, 64))
    assert isinstance(figure, Figure)
    from helpers.images import to_pil

    for shown in (figure, to_pil(torch.rand(1, 3, 8, 8))):
        data, _ = shell.display_formatter.format(shown)
        assert data["image/jpeg"][:2] == b"\xff\xd8" and "image/png" not in data


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
