"""Every style keeps what `paint` promises, and has what makes it that style: cells, lines, circles, stones, cuts."""

import functools
import re

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.measure import label, regionprops

from helpers import paintings
from helpers.core import photos
from helpers.core.images import psnr, resize
from helpers.paintings import AFTER, OWN, STYLES, paint
from helpers.strokes import PALETTES


def pixels(*arguments, **knobs):
    return paint(*arguments, **knobs)[0].permute(1, 2, 0).double().cpu().numpy()


@functools.cache
def small(style):
    return paint(style, 200)


@functools.cache
def drawn(style):
    return paint(style)


def colours(text):
    return np.array([[int(each[i : i + 2], 16) / 255 for i in (0, 2, 4)] for each in text.split()])


def direction(colour):
    return colour / np.linalg.norm(colour, axis=-1, keepdims=True)


# ── What holds for all ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("style", STYLES)
def test_a_painting_is_an_image_and_the_same_every_time(style):
    for painting, size in ((small(style), 200), (paint(style, 64), 64)):
        assert painting.shape == (1, 3, size, size) and painting.dtype == torch.float32
        assert 0 <= painting.min() < 0.2 and 0.8 < painting.max() <= 1
    assert torch.equal(painting, paint(style, 64))


@pytest.mark.parametrize("style", STYLES)
def test_a_larger_painting_has_the_same_strokes(style):
    assert psnr(resize(drawn(style), 200), small(style)) > 19


@pytest.mark.parametrize("knobs", [{"seed": 1}, {"scale": 0.5}, {"scale": 2.0}, {"flow": 0.0}, {"flow": 2.0}], ids=str)
@pytest.mark.parametrize("style", STYLES)
def test_every_knob_moves_strokes_in_every_style(style, knobs):
    assert psnr(paint(style, 200, **knobs), small(style)) < 18.5


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("style", STYLES)
def test_the_colours_of_a_palette_are_on_the_painting(style, palette):
    wanted = colours(PALETTES[palette])
    if style in ("woodcut", "engraving"):  # two inks
        wanted = wanted[[0, -1]]
    found = pixels(style, 256, palette=palette).reshape(-1, 3)
    assert max(np.abs(found - colour).max(1).min() for colour in wanted) < 0.08


@pytest.mark.parametrize("style", STYLES)
def test_its_own_colours_are_on_the_painting(style):
    found = pixels(style, 256).reshape(-1, 3)
    assert max(np.abs(found - colour).max(1).min() for colour in colours(OWN[style])) < 0.08


@pytest.mark.parametrize("text", [*OWN.values(), *PALETTES.values()])
def test_palettes_go_from_dark_to_light(text):
    lightness = colours(text) @ [0.299, 0.587, 0.114]
    assert lightness.argmin() == 0 and lightness.argmax() == len(lightness) - 1


@pytest.mark.parametrize("style", STYLES)
def test_the_stored_painting_is_the_one_that_is_drawn(style):
    stored = photos.photo(style)
    assert stored.shape == (1, 3, 512, 512) and psnr(stored, drawn(style)) > 30


def test_draw_writes_every_painting_for_everybody_to_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(photos, "DATA", tmp_path)
    monkeypatch.setattr(paintings, "paint", lambda name: torch.full((1, 3, 8, 8), 0.5))
    paintings.draw()
    files = list((tmp_path / "paintings").iterdir())
    assert {file.stem for file in files} == set(STYLES) and all(file.stat().st_mode & 0o777 == 0o644 for file in files)
    assert re.fullmatch(r"(\w+ +\d\.\d s\n){9}", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("knobs", "error", "message"),
    [
        ({"style": "cubism"}, ValueError, "style must be one of 'night', .*, not 'cubism'"),
        ({"palette": "pastel"}, ValueError, "palette must be one of 'its own', .*, not 'pastel'"),
        ({"size": 63}, ValueError, "size must be from 64 to 2048, not 63"),
        ({"size": 4096}, ValueError, "size must be from 64 to 2048, not 4096"),
        ({"size": 99.5}, ValueError, "size must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be a whole number of at least 0, not -1"),
        ({"scale": 0.1}, ValueError, "scale must be from 0.5 to 4, not 0.1"),
        ({"scale": float("nan")}, ValueError, "scale must be from 0.5 to 4, not nan"),
        ({"flow": -1.0}, ValueError, "flow must be from 0 to 3, not -1.0"),
        ({"after": torch.zeros(2, 3, 8, 8)}, ValueError, "after must be a single picture, not a batch of 2"),
        ({"style": "brush", "after": "chelsea"}, TypeError, "after must be a tensor"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(knobs, error, message):
    with pytest.raises(error, match=message) as caught:
        paint(**{"size": 64, **knobs})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("knobs", [{"scale": 0.5, "flow": 3.0}, {"scale": 4.0, "flow": 3.0}], ids=str)
def test_the_ends_of_the_knobs_are_paintings_too(style, knobs):
    painting = paint(style, 64, **knobs)
    assert painting.isfinite().all() and painting.std() > 0.05


# ── What makes each style ────────────────────────────────────────────────────────────────────────────────────


def test_night_is_light_about_its_stars_and_darkest_on_the_land():
    night = pixels("night", 256).mean(-1)
    assert night[220:].mean() < 0.5 * night[:200].mean()
    assert gaussian_filter(night, 4).max() > 2.5 * np.median(night)


def test_every_pane_of_the_window_has_one_colour_of_the_palette():
    window = pixels("window", 512, flow=0.0)
    panes = label(window.max(-1) > 0.35)  # leads are darker
    large = [each for each in regionprops(panes) if each.area > 600]
    assert len(large) > 60
    wanted = direction(colours(OWN["window"])[1:])
    for pane in large:
        inside = window[panes == pane.label]
        middle = np.median(inside[inside.max(1) < 0.99], 0)  # what is not clipped
        assert (direction(middle) @ wanted.T).max() > 0.995


def test_without_flow_the_window_is_a_rose_of_six_parts():
    window = torch.from_numpy(pixels("window", 301, flow=0.0)).mean(-1)
    leads = (window < 0.12).double()
    turned = torch.rot90(leads, 2)
    both = np.corrcoef(leads.flatten(), turned.flatten())[0, 1]
    assert both > 0.8
    wild = (torch.from_numpy(pixels("window", 301)).mean(-1) < 0.12).double()
    assert np.corrcoef(wild.flatten(), torch.rot90(wild, 2).flatten())[0, 1] < 0.3


@pytest.mark.parametrize("knobs", [{}, {"seed": 3}, {"flow": 0.0}, {"scale": 2.0}], ids=str)
def test_the_two_inks_of_the_woodcut_cover_half_each(knobs):
    woodcut = pixels("woodcut", 400, **knobs)
    assert 0.42 < (woodcut.mean(-1) < 0.5).mean() < 0.58


def test_without_flow_the_lines_of_the_woodcut_are_straight_and_equally_far_apart():
    down = pixels("woodcut", 480, flow=0.0).mean((1, 2))
    spectrum = np.abs(np.fft.rfft(down - down.mean()))
    assert spectrum.argmax() == 24 and pixels("woodcut", 480, flow=0.0).std(1).mean() < 0.1


def test_without_flow_rings_are_circles():
    rings = torch.from_numpy(pixels("rings", 512, flow=0.0)).permute(2, 0, 1)[None]
    for top in range(0, 512, 128):
        square = rings[..., top : top + 128, 128:256]
        assert psnr(square, square.flip(-1)) > 23 and psnr(square, square.mT) > 23
    trembling = paint("rings", 512)[..., :128, 128:256].cpu()
    assert psnr(trembling, trembling.flip(-1)) < 20


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_stones_of_the_mosaic_have_their_size(scale):
    mosaic = pixels("mosaic", 768, scale=scale, palette="sweets")
    stones = label(mosaic.max(-1) > 0.6)
    areas = [each.area for each in regionprops(stones) if each.area > 30]
    assert (np.median(areas) ** 0.5) / 768 == pytest.approx(0.026 * scale * 0.88, rel=0.15)


def test_a_wave_is_printed_in_flat_colours():
    wave = pixels("wave", 512)
    off = np.abs(wave[..., None, :] - colours(OWN["wave"])).max(-1).min(-1)
    assert (off < 0.1).mean() > 0.75
    sun = np.abs(wave - colours(OWN["wave"])[3]).max(-1) < 0.1
    rows, columns = np.nonzero(sun)
    assert rows.max() < 0.55 * 512 and abs(np.median(columns) / 512 - 0.66) < 0.05


def test_straight_cuts_make_convex_facets_and_bent_ones_do_not():
    def solidity(flow):
        pieces = label(pixels("facets", 512, flow=flow, palette="sweets").max(-1) > 0.4)
        found = [each for each in regionprops(pieces) if each.area > 400]
        assert len(found) > 50
        return np.array([each.solidity for each in found])

    straight, bent = solidity(0.0), solidity(2.0)
    assert np.median(straight) > 0.95 and (bent < 0.9).mean() > (straight < 0.9).mean() + 0.1


def test_finer_strokes_come_nearer_to_the_photo():
    coffee = resize(photos.photo("coffee", 384), 256)
    fine, middle, coarse = (psnr(paint("brush", 256, scale=scale, after=coffee), coffee) for scale in (0.5, 1.0, 2.0))
    assert fine > middle > coarse > 11


def test_an_engraving_is_as_dark_as_its_photo_and_its_lines_are_as_many_as_told():
    photo = photos.photo("camera", 384)
    grey = gaussian_filter(photo[0].mean(0).cpu().numpy(), 8)
    engraved = gaussian_filter(pixels("engraving", 384, after=photo).mean(-1), 8)
    assert np.corrcoef(grey.ravel(), engraved.ravel())[0, 1] > 0.85
    lines = pixels(
        "engraving", 512, after=torch.from_numpy(np.random.default_rng(0).random((1, 3, 384, 384))), flow=0.0
    ).mean(-1)
    spectrum = np.abs(np.fft.fft2(lines - lines.mean()))
    down, right = (min(each, 512 - each) for each in np.unravel_index(spectrum.argmax(), spectrum.shape))
    assert np.hypot(down, right) == pytest.approx(62, abs=1.5)


@pytest.mark.parametrize("style", AFTER)
def test_a_photo_of_ones_own_is_painted(style):
    by_default, named = paint(style, 128), paint(style, 128, after=photos.photo(AFTER[style]))
    assert torch.equal(by_default, named)
    assert psnr(by_default, paint(style, 128, after=photos.photo("horse"))) < 15
    assert torch.equal(paint("night", 64), paint("night", 64, after=photos.photo("horse"))), "others need none"
