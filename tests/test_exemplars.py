"""The samples of the lesson on texture, and whether the stored sheet shows what is claimed of it."""

import pytest
import torch

from helpers.core.images import cut, load
from helpers.exemplars import COLUMNS, NAMES, SHEET, SIDE, TILES, draw, gallery, loss_of, page, sample, tile, untrained
from helpers.texture import gram


@pytest.fixture(scope="module")
def made():
    return gallery()


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_a_square_and_a_smaller_one_is_its_corner(name):
    whole = sample(name)
    assert whole.shape == (1, 3, SIDE, SIDE)
    assert torch.equal(sample(name, 40), whole[..., :40, :40])


def test_a_page_is_black_on_white_and_fills_its_square():
    printed = page(side=100)
    assert printed.shape == (1, 3, 100, 100) and torch.equal(printed, page(side=100))
    assert torch.equal(printed[:, 0], printed[:, 1]) and torch.equal(printed[:, 0], printed[:, 2])
    assert 0.1 < float((printed < 0.5).float().mean()) < 0.4
    for corner in cut(printed, 2, 2):
        assert float((corner < 0.5).float().mean()) > 0.05
    assert not torch.equal(page("other words", side=100), printed)


def test_an_untrained_network_has_other_weights_of_the_same_architecture(lite0):
    before = torch.get_rng_state()
    first, again, other = untrained(lite0, 1), untrained(lite0, 1), untrained(lite0, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(first.layers) == list(lite0.layers)
    for name, weights in first.model.named_parameters():
        assert torch.equal(weights, again.model.get_parameter(name))
    path = next(name for name, weights in first.model.named_parameters() if weights.ndim == 4)
    weights = first.model.get_parameter(path)
    assert not torch.equal(weights, other.model.get_parameter(path))
    assert not torch.equal(weights, lite0.model.get_parameter(path))


def test_the_loss_is_the_mean_of_the_distances_of_the_five_gram_matrices(lite0):
    picture, given = sample("coins"), sample("gravel")
    large = [torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear") for x in (picture, given)]
    layers = ("relu1", "blocks.0", "blocks.1", "blocks.2", "blocks.4")
    found, aims = (lite0.activations(x, layers) for x in large)
    far = [(gram(found[k]) - gram(aims[k])).square().sum() / gram(aims[k]).square().sum() for k in layers]
    assert loss_of(lite0, picture, "gravel") == pytest.approx(float(sum(far)) / 5, rel=1e-3)
    assert loss_of(lite0, given, "gravel") < 1e-9


def test_the_sheet_has_the_promised_tiles(made):
    assert [(method, name) for method, each in made.items() for name in each] == sorted(
        TILES, key=lambda pair: list(made).index(pair[0])
    )
    for method, name in TILES:
        assert made[method][name].shape == (1, 3, SIDE, SIDE)
        assert made[method][name].std() > 0.02, "a blank tile"
    for name in NAMES:  # as it was when the sheet was drawn, but for JPEG
        assert float((made["sample"][name] - sample(name)).abs().mean()) < 0.03
    assert SHEET.stat().st_size < 650_000


@pytest.mark.parametrize("name", NAMES)
def test_what_was_grown_has_the_colours_of_its_sample_and_is_no_copy(made, name):
    grown = made["pixel by pixel"][name][0].flatten(1).T
    given = sample(name)[0].flatten(1).T
    nearest = torch.cat([torch.cdist(part, given).amin(1) for part in grown.split(1024)])
    assert float(nearest.mean()) < 0.03
    assert float((grown - given).abs().mean()) > 0.03


@pytest.mark.parametrize("name", NAMES)
def test_what_the_network_made_has_the_gram_matrices_of_its_sample(lite0, made, name):
    ours = loss_of(lite0, made["default network"][name], name)
    others = [loss_of(lite0, made["sample"][other], name) for other in NAMES if other != name]
    assert ours < 0.08 and ours < 0.2 * min(others)


def test_what_is_matched_is_what_agrees(lite0, made):
    far = {method: loss_of(lite0, each["window"], "window") for method, each in made.items()}
    assert far["default network"] < far["means"] < far["diagonal"]
    assert far["default network"] < far["up to conv4"] < far["up to conv3"] < far["up to conv2"] < far["up to conv1"]
    assert far["default network"] < far["untrained"] and far["default network"] < far["vgg16_edges"]


def test_a_sheet_that_was_drawn_is_read_back(monkeypatch, tmp_path):
    path = tmp_path / "sheet.jpg"
    monkeypatch.setattr("helpers.exemplars.SHEET", path)
    shades = torch.linspace(0, 1, len(TILES))
    draw([shade.expand(1, 3, SIDE, SIDE) for shade in shades])
    assert load(path).shape[-1] == COLUMNS * SIDE
    found = gallery()
    for (method, name), shade in zip(TILES, shades, strict=True):
        assert float((found[method][name].cpu() - shade).abs().max()) < 0.02


def test_a_tile_of_a_sample_is_the_sample():
    assert torch.equal(tile("sample", "text"), page())
    with pytest.raises(ValueError, match="sample 'tiles' is unknown"):
        sample("tiles")
