"""A decoder learns to paint what a layer was shown, the same for a seed; the shipped ones find colours again."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import decoder
from helpers.core.images import psnr
from helpers.core.networks import Network
from helpers.core.photos import PHOTOS, photo
from helpers.core.steps import finish
from helpers.decoder import SIZE, UNSEEN, Examples, blank, decode, learn_to_invert, paint
from helpers.inversion import gallery


@pytest.fixture(scope="module")
def halves():
    """A network whose one map is the picture at an eighth of its size, and a vector of it."""
    layers = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(1))
    return Network(layers, "halves", mean=(0.5,) * 3, layers={"map": "0", "vector": "1"})


@pytest.fixture(scope="module")
def plain():
    """Pictures of one colour each."""
    colours = torch.rand(24, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    return list(colours.expand(-1, 3, SIZE, SIZE))


# ── Learning ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("layer", "enough"), [("map", 60), ("vector", 160)])
def test_a_decoder_learns_what_it_needs(halves, plain, layer, enough):
    """The colour of plain pictures, of which a layer says enough; it is asked about one that it has not seen."""
    image = torch.tensor([0.7, 0.4, 0.3]).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)
    steps = list(learn_to_invert(halves, image, layer, steps=enough, batch=8, rate=1e-2, pictures=plain))
    assert steps[-1].losses["error"] < 0.2 * steps[0].losses["error"]
    found = steps[-1].image[..., 16:-16, 16:-16].mean((2, 3))
    assert (found - image[..., 0, 0]).abs().max() < 0.15


def test_a_step_is_one_of_adamw_on_the_mean_square(halves, plain):
    """The first step by hand: the decoder of the seed, the first pictures, Adam's step of one rate."""
    image = torch.full((1, 3, SIZE, SIZE), 0.5)
    (step,) = learn_to_invert(halves, image, "map", steps=1, batch=3, rate=0.01, seed=2, pictures=plain)
    fresh, chosen = blank(halves, "map", 2), torch.stack(plain[:3])
    loss = (fresh(F.avg_pool2d(chosen, 8)) - chosen).square().mean()
    assert step.losses["error"] == pytest.approx(loss.item())
    last = fresh.layers[-2].weight
    (gradient,) = torch.autograd.grad(loss, last)
    expected = last * (1 - 0.01 * 0.01) - 0.01 * gradient / (gradient.abs() + 1e-8)  # weight decay is 0.01
    torch.testing.assert_close(step.decoder.layers[-2].weight, expected, atol=1e-5, rtol=0)


def test_the_seed_decides_and_the_global_one_is_left_alone(halves, plain):
    def error(seed):
        image = torch.full((1, 3, SIZE, SIZE), 0.5)
        return finish(learn_to_invert(halves, image, "vector", steps=2, batch=2, seed=seed, pictures=plain)).losses

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert error(1) == error(1) != error(2)
    assert torch.equal(torch.rand(1), expected)


def test_the_watched_image_is_shown_and_not_learned_from(lite0):
    images = torch.cat([photo(name, SIZE) for name in UNSEEN[:2]])
    steps = list(learn_to_invert(lite0, images, "blocks.2", steps=2, batch=2))
    assert [(step.index, step.total, tuple(step.image.shape)) for step in steps] == [
        (1, 2, (2, 3, SIZE, SIZE)),
        (2, 2, (2, 3, SIZE, SIZE)),
    ]
    assert steps[-1].image.min() >= 0 and steps[-1].image.max() <= 1
    alone = list(learn_to_invert(lite0, images[:1], "blocks.2", steps=2, batch=2))
    assert [step.losses for step in alone] == [step.losses for step in steps]


def test_painting_lets_a_decoder_go_on_learning(halves):
    one = blank(halves, "map")
    before = {name: values.clone() for name, values in one.state_dict().items()}
    paint(one.train(), torch.rand(2, 3, 16, 16))
    assert one.training and all(torch.equal(before[name], values) for name, values in one.state_dict().items())
    assert not paint(one, torch.rand(1, 3, 16, 16)).requires_grad


@pytest.mark.parametrize("layer", ["blocks.1", "blocks.2", "blocks.4", "blocks.5", "penultimate", "logits"])
def test_every_layer_paints_the_size_that_it_was_shown(lite0, layer):
    image = photo("chelsea", SIZE)
    if layer == "blocks.0":
        with pytest.raises(
            ValueError, match="layer must be a vector, or a map with places 4, 8, 16 or 32 pixels apart"
        ):
            blank(lite0, layer)
        return
    assert paint(blank(lite0, layer), lite0.activation(image, layer)).shape == image.shape


def test_a_layer_that_is_too_fine_is_refused(lite0):
    with pytest.raises(
        ValueError, match="layer must be a vector, or a map with places 4, 8, 16 or 32 pixels apart, not"
    ):
        blank(lite0, "blocks.0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "block4"}, "layer 'block4' is unknown"),
        ({"steps": 0}, "steps must be"),
        ({"batch": 1}, "batch must be"),
        ({"rate": 0}, "rate must be above 0, not 0"),
        ({"pictures": []}, "pictures must hold at least one picture"),
    ],
)
def test_bad_arguments_are_named_before_the_first_step(lite0, options, message):
    with pytest.raises(ValueError, match=message):
        learn_to_invert(lite0, torch.rand(1, 3, SIZE, SIZE), **options)


# ── What is learned from ─────────────────────────────────────────────────────────────────────────────────────


def test_examples_are_the_same_whenever_they_are_asked_for():
    one, again, other = Examples(8), Examples(8), Examples(8, seed=1)
    assert len(one) == 8 and one[3].shape == (3, SIZE, SIZE)
    assert all(torch.equal(one[i], again[i]) for i in range(8))
    assert not any(torch.equal(one[i], other[i]) for i in range(8))
    assert all(one[i].min() >= 0 and one[i].max() <= 1 for i in range(8))


def test_no_decoder_learns_from_what_the_lesson_inverts():
    assert set(decoder.SEEN) | set(UNSEEN) == set(PHOTOS) and not set(decoder.SEEN) & set(UNSEEN)
    assert set(Examples(2)._crops.classes) == set(decoder.SEEN)


# ── The decoders of data/ ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layer", ["blocks.2", "blocks.4"])
def test_of_photos_that_it_has_not_seen_a_decoder_paints_more_than_the_mean_colour(lite0, layer):
    """And what it paints of one is nearer to that one than to the other two."""
    images = torch.cat([photo(name, 192) for name in UNSEEN])
    painted, flat = decode(lite0, images, layer), images.mean((2, 3), keepdim=True).expand_as(images)
    assert painted.shape == images.shape
    assert (psnr(painted, images) > psnr(flat, images)).all()
    between = torch.stack([psnr(painted[i : i + 1], images) for i in range(len(images))])
    assert between.argmax(1).tolist() == [0, 1, 2]


def test_the_colours_of_blocks_4_are_not_lost(lite0):
    """Its inverses of the cat and the cup are bluish; the decoder, which has seen neither, comes twice as near."""
    tiles = gallery()
    for name in ("chelsea", "coffee"):
        image = photo(name, 192)
        searched, decoded = (
            (found - image).mean((2, 3)).norm() for found in (tiles[name, "blocks.4"], decode(lite0, image, "blocks.4"))
        )
        assert decoded < searched / 2


def test_the_shipped_decoders_have_learned_and_the_deeper_the_less(lite0):
    """On new crops of photos that they have seen: squared errors, beside those of one colour for everything."""
    examples = Examples(32, seed=99)
    images = torch.stack([examples[i] for i in range(32)])
    one_colour = (images - images.mean((0, 2, 3), keepdim=True)).square().mean()
    errors = torch.stack([F.mse_loss(decode(lite0, images, layer), images) for layer in decoder.LONG])
    assert errors.sort().values.equal(errors) and errors[-1] < 0.95 * one_colour and errors[2] < 0.6 * one_colour


def test_the_shipped_files_are_small_half_precision_and_on_the_page():
    page = (decoder.DATA / "README.md").read_text()
    for layer, steps in decoder.LONG.items():
        file = decoder._file(layer)
        assert file.stat().st_size < 1_200_000
        with np.load(file, allow_pickle=False) as arrays:
            assert {arrays[name].dtype for name in arrays.files} == {np.dtype(np.float16)}
        assert f"| `{file.name}` | `{layer}` | {steps} steps" in page


def test_other_networks_and_layers_are_refused(lite0, halves):
    image = torch.rand(1, 3, SIZE, SIZE)
    with pytest.raises(ValueError, match="network must be efficientnet_lite0, whose layers the decoders know"):
        decode(halves, image)
    with pytest.raises(ValueError, match=r"layer must be one of 'blocks\.2', 'blocks\.4'"):
        decode(lite0, image, "blocks.3")


def test_teaching_writes_what_is_read(lite0, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(decoder, "DATA", tmp_path)
    monkeypatch.setattr(decoder, "LONG", {"blocks.5": 1})
    monkeypatch.setattr(decoder, "Examples", lambda count, seed: [torch.rand(3, SIZE, SIZE)] * 2)
    decoder.teach("blocks.5")
    assert [file.name for file in tmp_path.iterdir()] == ["decoder_blocks.5.npz"]
    assert "decoder_blocks.5.npz, " in capsys.readouterr().out
    assert decode(lite0, photo("chelsea", SIZE), "blocks.5").shape == (1, 3, SIZE, SIZE)
    decoder._stored.cache_clear()
