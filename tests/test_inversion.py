"""Inversion finds a picture that a layer cannot tell from the photo, each restart by itself."""

import copy

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from helpers import inversion
from helpers.core.activations import distance
from helpers.core.images import load, noise, psnr
from helpers.core.networks import Network
from helpers.core.photos import photo
from helpers.core.priors import blur_slightly
from helpers.core.steps import finish
from helpers.inversion import PRESETS, compare, gallery, invert, kept, norm, preset, settle, variation


@pytest.fixture(scope="module")
def identity():
    """A network whose only layer puts out the picture itself."""
    return Network(nn.Sequential(nn.Identity()), "identity", mean=(0.5,) * 3, layers={"pixels": "0"})


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Softplus(), nn.Conv2d(8, 6, 3, stride=2))
    return Network(layers.double(), "small", mean=(0.5,) * 3, layers={"conv1": "0", "conv2": "2"})


def picture(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ── The terms ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("alpha", [2.0, 6.0])
def test_norm_by_numpy(alpha):
    images, grey = picture(2, 3, 4, 5), torch.tensor([0.2, 0.5, 0.6])
    expected = (np.abs(2 * (images.numpy() - grey.numpy().reshape(1, 3, 1, 1))) ** alpha).reshape(2, -1).mean(1)
    np.testing.assert_allclose(norm(images, grey, alpha), expected, rtol=1e-5)


def test_norm_is_one_at_black_and_white():
    images = torch.cat([torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)])
    assert norm(images, torch.full((3,), 0.5)).tolist() == [1, 1, 0]


def test_variation_of_a_ramp_does_not_depend_on_the_size():
    """Steps of 0.1 from column to column: TV² is 0.01 a pixel, but for the last column."""
    for size in (6, 11):
        ramp = 0.1 * torch.arange(size, dtype=torch.float64).expand(1, 3, size, size)
        assert variation(ramp, 2.0).item() == pytest.approx(0.01 * (size - 1) / size)


def test_distance_by_hand():
    target = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    found = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert distance(found, target).tolist() == [0, 0.25]
    assert distance(torch.zeros(2, 2), target).tolist() == [1, 1]
    assert distance(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0


def test_the_losses_are_the_weighted_terms_of_the_image_shown(small):
    image = 0.3 + 0.4 * picture(1, 3, 12, 12, dtype=torch.float64)
    options = {"tv": 0.02, "decay": 0.5, "beta": 1.5, "alpha": 4.0, "relative": False, "steps": 4}
    last = finish(invert(small, image, "conv2", **options))
    assert last.image.min() > 0 and last.image.max() < 1  # nothing was cut off
    own, target = small.activation(last.image, "conv2"), small.activation(image, "conv2")
    assert last.losses["features"] == pytest.approx(((own - target).square().sum() / target.square().sum()).item())
    assert last.losses["variation"] == pytest.approx(0.02 * variation(last.image, 1.5).item())
    assert last.losses["norm"] == pytest.approx(0.5 * norm(last.image, small.mean_pixel, 4.0).item())


def test_presets_follow_the_thirds_of_the_network(lite0):
    found = [preset(lite0, layer) for layer in lite0.layers]
    assert found == [PRESETS[0]] * 4 + [PRESETS[1]] * 4 + [PRESETS[2]] * 4
    assert preset(lite0, "blocks.0.0") == PRESETS[0] and preset(lite0, "blocks.6.0.conv_pw") == PRESETS[2]
    assert preset(lite0, "input of blocks.6") == PRESETS[1]


def test_relative_weights_multiply_the_preset(lite0):
    decay, tv = preset(lite0, "conv1")
    image = picture(1, 3, 32, 32)
    relative = finish(invert(lite0, image, "conv1", steps=2, tv=3, decay=2))
    absolute = finish(invert(lite0, image, "conv1", steps=2, tv=3 * tv, decay=2 * decay, relative=False))
    assert torch.equal(relative.image, absolute.image)


# ── The inversion ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("space", ["fourier", "pixels"])
@pytest.mark.parametrize(("optimiser", "steps"), [("L-BFGS", 150), ("Adam", 250)])
def test_inverting_the_identity_returns_the_image(identity, optimiser, steps, space):
    image = photo("chelsea", 12)
    options = {"tv": 0, "decay": 0, "rate": 0.01}
    last = finish(invert(identity, image, "pixels", optimiser, steps=steps, space=space, **options))
    assert (last.image - image).abs().max() < (0.004 if optimiser == "L-BFGS" else 0.04)


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
def test_a_shallow_layer_keeps_the_photo(lite0, optimiser):
    image = photo("chelsea", 48)
    steps = list(invert(lite0, image, "conv1", optimiser, steps=20))
    totals = [sum(step.losses.values()) for step in steps]
    assert totals[-1] < 0.3 * totals[0]
    assert psnr(steps[-1].image, image) > psnr(steps[0].image, image) + 3
    if optimiser == "L-BFGS":
        assert totals == sorted(totals, reverse=True)  # the line search accepts no step uphill


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
def test_a_batch_gives_what_single_runs_give(small, optimiser, device):
    network = copy.deepcopy(small).to(device)
    images = picture(2, 3, 10, 12, dtype=torch.float64)
    images[1] = 0.5 + 0.05 * images[1]  # a far easier picture
    options = {"layer": "conv2", "optimiser": optimiser, "steps": 8, "restarts": 2}
    batch = finish(invert(network, images, **options)).image
    for i in range(2):
        single = finish(invert(network, images[i : i + 1], **options)).image
        torch.testing.assert_close(batch[2 * i : 2 * i + 2], single, atol=1e-7, rtol=0)
        assert not torch.allclose(single[0], single[1], atol=1e-3)


def test_lbfgs_does_not_stop_early_on_a_small_loss(identity):
    """torch's own tolerances would: the weight makes all gradients tiny."""
    image = 0.5 + 1e-4 * picture(1, 3, 16, 16)
    steps = list(invert(identity, image, "pixels", steps=12, tv=0, decay=0, space="pixels"))
    features = [step.losses["features"] for step in steps]
    assert features[-1] < 1e-3 * features[0]


def test_steps_are_counted_and_their_own(lite0):
    image = picture(1, 3, 32, 32)
    steps = list(invert(lite0, image, "conv1", steps=3, restarts=2))
    copies = [step.image.clone() for step in steps]
    assert [(step.index, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert all(step.image.shape == (2, 3, 32, 32) for step in steps)
    assert all(step.image.min() >= 0 and step.image.max() <= 1 for step in steps)
    assert len({step.image.data_ptr() for step in steps}) == 3
    assert all(torch.equal(step.image, copy) for step, copy in zip(steps, copies, strict=True))


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
def test_evaluations_are_those_of_the_network(small, optimiser, monkeypatch):
    asked, passes = [], small.activation
    monkeypatch.setattr(small, "activation", lambda images, layer: asked.append(len(images)) or passes(images, layer))
    image = picture(1, 3, 12, 12, dtype=torch.float64)
    for step in invert(small, image, "conv2", optimiser, steps=6, restarts=2):
        assert step.evaluations == (sum(asked) - 1) / 2  # the first pass was that of the photo
        assert step.evaluations >= step.index + 1


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
@pytest.mark.parametrize("space", ["fourier", "pixels"])
def test_stopping_leaves_the_last_good_image(lite0, optimiser, space):
    run = invert(lite0, picture(1, 3, 32, 32), "conv1", optimiser, steps=5, space=space)
    first = next(run)
    before = first.image.clone()
    second = next(run)
    run.close()
    assert torch.equal(first.image, before) and not torch.equal(first.image, second.image)


def test_the_seed_decides_and_the_global_one_is_left_alone(lite0):
    def last(seed):
        return finish(invert(lite0, picture(1, 3, 32, 32), "conv1", steps=2, seed=seed)).image

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(last(1), last(1)) and not torch.equal(last(1), last(2))
    assert torch.equal(torch.rand(1), expected)


def test_a_flat_start_is_no_trouble_for_any_beta(identity, monkeypatch):
    monkeypatch.setattr(inversion, "START", 0.0)
    for beta in (1.0, 1.5, 2.0, 3.0):
        last = finish(invert(identity, picture(1, 3, 8, 8), "pixels", steps=3, beta=beta))
        assert last.image.isfinite().all() and last.image.std() > 0.01


@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_every_kind_of_network_is_inverted(untrained, name):
    steps = list(invert(untrained(name), picture(1, 3, 64, 72), "logits", steps=3))
    assert steps[-1].image.shape == (1, 3, 64, 72)
    assert sum(steps[-1].losses.values()) <= sum(steps[0].losses.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "block4"}, "layer 'block4' is unknown"),
        ({"optimiser": "SGD"}, "optimiser must be one of 'L-BFGS', 'Adam', not 'SGD'"),
        ({"space": "frequencies"}, "space must be one of 'fourier', 'pixels', not 'frequencies'"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"restarts": 0}, "restarts must be at least 1, not 0"),
        ({"tv": -1}, "tv must be at least 0"),
        ({"tv": float("nan")}, "tv must be at least 0"),
        ({"decay": float("inf")}, "decay must be at least 0"),
        ({"beta": 0.5}, "beta must be at least 1, not 0.5"),
        ({"alpha": 0.5}, "alpha must be at least 1"),
        ({"rate": 0}, "rate must be above 0, not 0"),
    ],
)
def test_bad_knobs_are_named_before_the_first_step(lite0, options, message):
    with pytest.raises(ValueError, match=message):
        invert(lite0, picture(1, 3, 32, 32), **options)


def test_bad_pictures_are_named_before_the_first_step(lite0, untrained):
    with pytest.raises(ValueError, match="image must have shape"):
        invert(lite0, torch.rand(3, 32, 32))
    with pytest.raises(TypeError, match="image must be a tensor"):
        invert(lite0, "chelsea")
    with pytest.raises(ValueError, match="image has 16×16 pixels, too few for layer 'pool5' of alexnet"):
        invert(untrained("alexnet"), picture(1, 3, 16, 16), "pool5")


# ── A part of a layer, and features of your own ──────────────────────────────────────────────────────────────


def test_a_target_that_an_image_has_is_the_inversion_of_that_image(small):
    image, other = picture(2, 1, 3, 12, 12, dtype=torch.float64)
    options = {"layer": "conv2", "steps": 4}
    given = finish(invert(small, other, target=small.activation(image, "conv2"), **options))
    assert torch.equal(given.image, finish(invert(small, image, **options)).image)


def test_two_halves_come_back_each_in_its_place(identity):
    first, second = photo("chelsea", 12), photo("coffee", 12)
    spliced = torch.cat([first[..., :6], second[..., 6:]], dim=3)
    target = spliced - 0.5  # what this network's layer puts out for it
    last = finish(invert(identity, first, "pixels", steps=100, tv=0, decay=0, space="pixels", target=target))
    assert (last.image - spliced).abs().max() < 0.004


def test_only_what_counts_comes_back(identity):
    """Of one corner and two colours: nothing pulls the rest away from the noise that it started from."""
    image, where = photo("chelsea", 12), torch.zeros(3, 12, 12)
    where[1:, :4, :6] = 1
    last = finish(invert(identity, image, "pixels", steps=60, tv=0, decay=0, space="pixels", where=where)).image
    start = (0.5 + inversion.START * noise((1, 3, 12, 12), 0, image)).clamp(0, 1)
    torch.testing.assert_close(last, torch.where(where == 1, image, start), atol=0.004, rtol=0)


def test_the_distance_is_that_of_what_counts(small):
    image, where = picture(1, 3, 12, 12, dtype=torch.float64), torch.zeros(6, 1, 1)
    where[:3] = 1  # half of the channels
    last = finish(invert(small, image, "conv2", steps=3, where=where))
    own, true = small.activation(last.image, "conv2")[:, :3], small.activation(image, "conv2")[:, :3]
    assert last.losses["features"] == pytest.approx(((own - true).square().sum() / true.square().sum()).item())
    everything = [finish(invert(small, image, "conv2", steps=3, where=each)) for each in (None, torch.ones(5, 5))]
    assert torch.equal(everything[0].image, everything[1].image)


def test_targets_and_parts_that_fit_no_layer_are_refused(small):
    image = picture(1, 3, 12, 12, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"target must have the shape of 'conv2' for image, \(1, 6, 5, 5\)"):
        invert(small, image, "conv2", target=torch.zeros(1, 6, 4, 4))
    for shape in ((4, 4), (2, 6, 5, 5), (1, 1, 6, 5, 5)):
        with pytest.raises(ValueError, match=r"where must multiply what 'conv2' puts out, \(1, 6, 5, 5\), but has"):
            invert(small, image, "conv2", where=torch.ones(shape))


# ── Objectives of a reader's own ─────────────────────────────────────────────────────────────────────────────


def test_settling_the_objective_of_invert_gives_what_invert_gives(lite0):
    def objectives(network, layer, images, target, decay, tv, alpha, beta):
        features = distance(network.activation(images, layer), target)
        return features + decay * norm(images, network.mean_pixel, alpha) + tv * variation(images, beta)

    image = photo("chelsea", 48)
    pictures, reached = settle(objectives, lite0, image, "blocks.1", restarts=2, steps=6, seed=3)
    run = finish(invert(lite0, image, "blocks.1", steps=6, restarts=2, seed=3))
    torch.testing.assert_close(pictures, run.image, rtol=0, atol=1e-4)
    assert reached.mean().item() == pytest.approx(sum(run.losses.values()), rel=1e-3)
    assert reached.shape == (2,) and reached[0] != reached[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
def test_out_of_memory_says_what_to_lower_and_leaves_nothing_allocated(lite0, optimiser):
    network = copy.deepcopy(lite0).to("cuda")
    image = picture(1, 3, 1024, 1024)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction((before + 300e6) / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(MemoryError, match=r"lower restarts \(4\)"):
            finish(invert(network, image, "blocks.5", optimiser, restarts=4))
        assert torch.cuda.memory_allocated() == before
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


# ── What is kept ─────────────────────────────────────────────────────────────────────────────────────────────


def test_psnr_is_that_of_scikit_image():
    images, reference = picture(2, 3, 6, 7, seed=1), picture(1, 3, 6, 7)
    for i, found in enumerate(psnr(images, reference).tolist()):
        expected = peak_signal_noise_ratio(reference[0].numpy(), images[i].numpy(), data_range=1)
        assert found == pytest.approx(expected, rel=1e-5)
    assert psnr(reference, reference).item() == float("inf")


def test_compare_a_photo_with_itself_and_with_another(lite0):
    cat, cup = photo("chelsea", 128), photo("coffee", 128)
    same = compare(lite0, "blocks.3", cat, cat)
    assert same["PSNR"] == float("inf") and same["distance"] == 0 and same["class"] == 1
    both = compare(lite0, "blocks.3", torch.cat([cat, cup]), cat)
    assert both["class"] == 0.5 and both["distance"] > 0.1


def test_compare_without_a_classifier(identity):
    assert set(compare(identity, "pixels", picture(1, 3, 8, 8), picture(1, 3, 8, 8, seed=1))) == {"PSNR", "distance"}


def test_everything_is_kept_of_the_photo_itself():
    cat = photo("chelsea", 96)
    assert kept(cat, cat) == pytest.approx({"colour": 1, "layout": 1, "texture": 1}, abs=1e-3)


def test_each_loss_is_told_from_the_others():
    cat = photo("chelsea", 112)
    grey = cat.mean(1, keepdim=True).expand_as(cat)
    without_colour = kept(grey, cat)
    assert abs(without_colour["colour"]) < 0.1 and min(without_colour["layout"], without_colour["texture"]) > 0.99
    blurred = kept(blur_slightly(cat, 4), cat)
    assert blurred["texture"] < 0.3 and min(blurred["layout"], blurred["colour"]) > 0.95
    mirrored = kept(cat.flip(3), cat)
    assert mirrored["layout"] < 0.7 and mirrored["texture"] < 0.2


def test_nothing_is_kept_on_a_grey_card():
    found = kept(torch.full((1, 3, 64, 64), 0.5), photo("chelsea", 64))
    assert found == pytest.approx({"colour": 0, "layout": 0, "texture": 0}, abs=1e-3)


# ── Inverted for longer ──────────────────────────────────────────────────────────────────────────────────────


def test_the_gallery_shows_what_it_promises(lite0):
    """Each tile is nearer to its photo, in the eyes of its layer, than to the other two, and nearly the same."""
    tiles = gallery()
    assert list(tiles) == [(name, layer) for name in inversion.PICTURES for layer in inversion.LAYERS]
    assert all(tile.shape == (1, 3, inversion.SIDE, inversion.SIDE) for tile in tiles.values())
    photos = {name: photo(name, inversion.SIDE) for name in inversion.PICTURES}
    for (name, layer), tile in tiles.items():
        apart = {other: compare(lite0, layer, tile, image)["distance"] for other, image in photos.items()}
        assert apart.pop(name) < 0.07 < 0.5 < min(apart.values()), (name, layer)
    deep = [compare(lite0, layer, tiles["chelsea", layer], photos["chelsea"]) for layer in inversion.LAYERS[2:]]
    assert max(each["distance"] for each in deep) < 0.03


def test_the_gallery_is_small_and_its_page_says_how_it_was_made():
    assert inversion.SHEET.stat().st_size < 2_000_000
    page = (inversion.DATA / "README.md").read_text()
    assert f"| `{inversion.SHEET.name}` |" in page and "150 or 300 steps of `invert`" in page
    assert set(inversion.LONG.values()) == {150, 300}


def test_drawing_the_gallery(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inversion, "SHEET", tmp_path / "inverses.png")
    monkeypatch.setattr(inversion, "PICTURES", ("chelsea", "coffee"))
    monkeypatch.setattr(inversion, "LAYERS", ("conv1", "blocks.0", "blocks.1"))
    monkeypatch.setattr(inversion, "SIDE", 32)
    monkeypatch.setattr(inversion, "LONG", dict.fromkeys(inversion.LAYERS, 2))
    inversion.draw()
    assert load(tmp_path / "inverses.png").shape == (1, 3, 64, 96)
    assert len(capsys.readouterr().out.splitlines()) == 6 and len(gallery()) == 6
