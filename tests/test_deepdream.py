"""DeepDream follows the gradient of ½‖a‖², octave by octave, whatever the tiles."""

import copy
import itertools

import pytest
import torch
from torch import nn

from helpers import deepdream as module
from helpers.core.networks import Network
from helpers.core.photos import photo
from helpers.core.priors import balanced
from helpers.core.steps import finish, record
from helpers.deepdream import best_match, closer_up, deepdream, dream_along, gradients, tiled_gradients, zoom_film


@pytest.fixture(scope="module")
def small():
    """Two convolutions, in float64: small enough to be checked by hand and by finite differences."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 5, 3, stride=2, padding=1))
    return Network(layers.double(), "small", layers={"conv1": "0", "conv2": "2"})


def picture(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ── The gradient ─────────────────────────────────────────────────────────────────────────────────────────────


OBJECTIVES = {
    "signed": lambda a: 0.5 * a.square(),
    "positive": lambda a: 0.5 * a.clamp(min=0).square(),
}


@pytest.mark.parametrize("target", OBJECTIVES)
@pytest.mark.parametrize("layer", ["conv1", "blocks.2", "penultimate", "logits"])
def test_the_gradient_is_that_of_half_the_squared_activation(lite0, layer, target):
    images = picture(2, 3, 64, 64)
    found, energies = gradients(lite0, images, [layer], target=target)
    images.requires_grad_()
    objective = OBJECTIVES[target](lite0.activation(images, layer))
    objective.sum().backward()
    torch.testing.assert_close(found[layer], images.grad)
    torch.testing.assert_close(energies[layer], objective.flatten(1).mean(1))


@pytest.mark.parametrize("target", OBJECTIVES)
def test_the_gradient_agrees_with_finite_differences(small, target):
    images = picture(1, 3, 6, 6, dtype=torch.float64)
    found = gradients(small, images, ["conv2"], target=target)[0]["conv2"]

    def objective(x):
        return OBJECTIVES[target](small.activation(x, "conv2")).sum()

    for place in [(0, 0, 0, 0), (0, 1, 3, 2), (0, 2, 5, 5)]:
        nudge = torch.zeros_like(images)
        nudge[place] = 1e-6
        slope = (objective(images + nudge) - objective(images - nudge)) / 2e-6
        assert found[place].item() == pytest.approx(slope.item(), rel=1e-6)


def test_behind_a_relu_both_targets_are_one_and_elsewhere_they_are_two(lite0):
    images = picture(1, 3, 64, 64)
    for layer, alike in [("blocks.5.0.bn1", True), ("blocks.4", False)]:
        signed, positive = (gradients(lite0, images, [layer], target=target)[0][layer] for target in OBJECTIVES)
        assert torch.equal(signed, positive) is alike


def test_several_layers_in_one_pass_give_what_each_gives_alone(lite0):
    network, images = copy.deepcopy(lite0).double(), picture(1, 3, 64, 64, dtype=torch.float64)
    together, _ = gradients(network, images, ["blocks.3", "conv1"])
    for layer in ("blocks.3", "conv1"):
        torch.testing.assert_close(together[layer], gradients(network, images, [layer])[0][layer])


def test_a_channel_is_amplified_alone(small):
    images = picture(2, 3, 8, 8, dtype=torch.float64)
    found, energies = gradients(small, images, ["conv1"], channel=2, target="signed")
    images.requires_grad_()
    chosen = small.activation(images, "conv1")[:, 2]
    (0.5 * chosen.square().sum()).backward()
    torch.testing.assert_close(found["conv1"], images.grad)
    torch.testing.assert_close(energies["conv1"], 0.5 * chosen.square().mean((1, 2)))


def test_only_the_picture_is_differentiated(lite0):
    images = picture(1, 3, 64, 64)
    gradients(lite0, images, ["blocks.1"])
    assert not images.requires_grad and images.grad is None
    assert all(parameter.grad is None for parameter in lite0.parameters())


# ── The guide ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("products", [2**24, 7])
def test_best_match_by_hand_written_loops(monkeypatch, products):
    monkeypatch.setattr(module, "PRODUCTS", products)
    activation, guide = torch.randn(2, 3, 4, 5), torch.randn(1, 3, 2, 3)
    found = best_match(activation, guide)
    for n, row, column in itertools.product(range(2), range(4), range(5)):
        own = activation[n, :, row, column]
        offers = [guide[0, :, r, c] for r in range(2) for c in range(3)]
        best = max(offers, key=lambda offer: torch.dot(own, offer).item())
        assert torch.equal(found[n, :, row, column], best)


def test_best_match_of_a_layer_without_places():
    assert torch.equal(
        best_match(torch.randn(2, 4), torch.tensor([[1.0, 2, 3, 4]])), torch.tensor([[1.0, 2, 3, 4]] * 2)
    )


def test_a_guide_gives_the_gradient_of_the_best_agreement(small):
    images = picture(1, 3, 8, 8, dtype=torch.float64)
    guide = {"conv2": small.activation(picture(1, 3, 6, 6, seed=1, dtype=torch.float64), "conv2")}
    found = gradients(small, images, ["conv2"], guide=guide)[0]["conv2"]
    images.requires_grad_()
    agreement = torch.einsum("nchw,ncxy->hwxy", small.activation(images, "conv2"), guide["conv2"])
    agreement.flatten(2).amax(2).sum().backward()
    torch.testing.assert_close(found, images.grad)


def test_a_guide_with_a_channel(small):
    images = picture(1, 3, 8, 8, dtype=torch.float64)
    guide = {"conv1": small.activation(images.flip(3), "conv1")}
    found = gradients(small, images, ["conv1"], channel=1, guide=guide)[0]["conv1"]
    images.requires_grad_()
    own, offered = small.activation(images, "conv1")[0, 1], guide["conv1"][0, 1]
    torch.maximum(own * offered.max(), own * offered.min()).sum().backward()
    torch.testing.assert_close(found, images.grad)


def test_a_guide_changes_the_dream(lite0):
    image, guide = picture(1, 3, 64, 64), picture(1, 3, 50, 70, seed=3)
    plain = finish(deepdream(lite0, image, "blocks.2", steps=2, octaves=1))
    guided = finish(deepdream(lite0, image, "blocks.2", steps=2, octaves=1, guide=guide))
    assert not torch.equal(plain.image, guided.image)


# ── Tiles ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tile", [192, 512])
def test_tiles_cover_every_pixel_once_and_begin_on_the_grid(tile):
    for length in range(1, 2100, 7):
        spans = module._spans(length, tile)
        assert [start for start, _ in spans] == [0] + [end for _, end in spans[:-1]] and spans[-1][1] == length
        assert all(0 < end - start <= tile and start % module.GRID == 0 for start, end in spans)
        if length > tile:
            assert min(end - start for start, end in spans) > tile // 4


def test_one_tile_is_the_plain_gradient(lite0):
    images = picture(1, 3, 96, 64)
    found, energies = tiled_gradients(lite0, images, ["blocks.1"], tile=192)
    expected, means = gradients(lite0, images, ["blocks.1"])
    assert torch.equal(found["blocks.1"], expected["blocks.1"])
    torch.testing.assert_close(energies["blocks.1"], means["blocks.1"])


def test_inside_a_tile_the_gradient_is_that_of_the_whole_picture(lite0):
    images = picture(1, 3, 192, 384)
    whole = gradients(lite0, images, ["blocks.1"])[0]["blocks.1"]
    tiled = tiled_gradients(lite0, images, ["blocks.1"], tile=192)[0]["blocks.1"]
    margin = lite0.receptive_field("blocks.1").size[1]
    inside = torch.ones(384, dtype=torch.bool)
    inside[192 - margin : 192 + margin] = False
    torch.testing.assert_close(tiled[..., inside], whole[..., inside])
    assert not torch.allclose(tiled[..., ~inside], whole[..., ~inside])


def test_no_pass_sees_more_than_a_tile(lite0, monkeypatch):
    seen = []
    forward = Network.normalise
    monkeypatch.setattr(Network, "normalise", lambda self, x: seen.append(tuple(x.shape[-2:])) or forward(self, x))
    finish(deepdream(lite0, picture(1, 3, 400, 250), "conv1", steps=1, octaves=2, tile=192))
    assert max(max(size) for size in seen) <= 192
    assert sum(h * w for h, w in seen) == 400 * 250 + 286 * 179


def test_seams_vanish_as_they_move(small):
    """After many steps on a flat picture no column stands out; with seams that stay, the seam's columns would."""
    flat = torch.full((1, 3, 192, 384), 0.5, dtype=torch.float64)
    knobs = {"balance": 0, "steps": 30, "octaves": 1, "jitter": 0, "rate": 0.001}
    last = finish(deepdream(small, flat, "conv2", tile=192, **knobs))
    assert 0.8 < _near_the_middle(last.image - flat) < 1.25

    def in_tiles(x):
        return tiled_gradients(small, x, ["conv2"], tile=192)[0]["conv2"]

    still = finish(dream_along(in_tiles, flat, **knobs))
    assert not 0.8 < _near_the_middle(still.image - flat) < 1.25


def _near_the_middle(change):
    columns = change.abs().mean((0, 1, 2))
    return columns[188:196].mean() / columns.mean()


def test_the_seam_moves_by_up_to_half_a_tile():
    random = torch.Generator().manual_seed(0)
    alone = [module._draw(500, 8, 512, random) for _ in range(300)]
    several = [module._draw(513, 8, 512, random) for _ in range(300)]
    assert min(alone) == -8 and max(alone) == 8
    assert -256 <= min(several) < -230 and 230 < max(several) <= 256


# ── The dream ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("target", OBJECTIVES)
@pytest.mark.parametrize("power", [0, 0.7])
def test_one_step_by_hand(small, target, power):
    image = picture(1, 3, 12, 10, dtype=torch.float64)
    knobs = {"steps": 1, "octaves": 1, "jitter": 0, "rate": 0.02}
    step = next(deepdream(small, image, "conv2", target=target, balance=power, **knobs))
    x = image.clone().requires_grad_()
    objective = OBJECTIVES[target](small.activation(x, "conv2"))
    objective.sum().backward()
    direction = balanced(x.grad, power)
    torch.testing.assert_close(step.image, (image + 0.02 * direction / direction.abs().mean()).clamp(0, 1))
    assert step.losses["conv2"] == pytest.approx(objective.mean().item())


def test_weights_share_the_step(small):
    image = picture(1, 3, 12, 12, dtype=torch.float64)
    weights = {"conv1": 3.0, "conv2": -1.0}
    step = next(deepdream(small, image, layers=weights, balance=0.5, steps=1, octaves=1, jitter=0, rate=0.001))
    way = {layer: balanced(g, 0.5) for layer, g in gradients(small, image, list(weights))[0].items()}
    both = 3 * way["conv1"] / way["conv1"].abs().mean() - way["conv2"] / way["conv2"].abs().mean()
    torch.testing.assert_close(step.image, (image + 0.001 * both / both.abs().mean()).clamp(0, 1))


@pytest.mark.parametrize("jitter", [0, 5])
def test_a_balanced_step_is_smoother_and_as_long(small, jitter):
    """Measured on a photo whose values stay away from 0 and 1."""
    image = 0.4 + 0.2 * picture(1, 3, 48, 48, dtype=torch.float64)
    roughness = []
    for power in (0, 0.7, 1.4):
        step = next(deepdream(small, image, "conv2", balance=power, steps=1, octaves=1, jitter=jitter, rate=0.001))
        change = step.image - image
        assert change.abs().mean().item() == pytest.approx(0.001)
        roughness.append(change.diff(dim=3).abs().mean().item())
    assert roughness[0] > 1.2 * roughness[1] > 1.44 * roughness[2]


def test_a_dream_along_the_layers_gradient_is_its_dream(lite0):
    image, knobs = picture(1, 3, 96, 80), {"steps": 2, "octaves": 2, "seed": 3}

    def direction(x):
        return gradients(lite0, x, ["blocks.2"])[0]["blocks.2"]

    along = list(dream_along(direction, image, balance=0.7, **knobs))
    dreamt = list(deepdream(lite0, image, "blocks.2", balance=0.7, **knobs))
    assert [step.index for step in along] == [1, 2, 3, 4] and not along[0].losses
    torch.testing.assert_close(along[-1].image, dreamt[-1].image)


def test_a_direction_of_zero_leaves_the_picture():
    image = picture(2, 3, 20, 20)
    assert torch.equal(finish(dream_along(torch.zeros_like, image, steps=2, octaves=1)).image, image)


@pytest.mark.parametrize("layer", ["conv1", "blocks.2", "blocks.4"])
def test_the_layer_sees_more_and_more(lite0, layer):
    steps = list(deepdream(lite0, photo("chelsea", 96), layer, steps=4, octaves=1, jitter=0))
    energies = [step.losses[layer] for step in steps]
    assert energies == sorted(energies) and energies[-1] > 1.2 * energies[0]


def test_steps_are_counted_full_size_and_their_own(lite0):
    image = picture(1, 3, 100, 70)
    steps = list(deepdream(lite0, image, "conv1", steps=2, octaves=3))
    copies = [step.image.clone() for step in steps]
    assert [(step.index, step.total) for step in steps] == [(i, 6) for i in range(1, 7)]
    assert all(step.image.shape == image.shape and step.image.min() >= 0 and step.image.max() <= 1 for step in steps)
    assert len({step.image.data_ptr() for step in steps}) == 6
    assert all(torch.equal(step.image, copy) for step, copy in zip(steps, copies, strict=True))


def test_stopping_leaves_the_last_good_image_and_the_photo_alone(lite0):
    image = picture(1, 3, 64, 64)
    kept = image.clone()
    run = deepdream(lite0, image, "conv1", steps=5, octaves=1)
    last = list(itertools.islice(run, 2))[-1]
    before = last.image.clone()
    run.close()
    assert torch.equal(last.image, before) and torch.equal(image, kept)


def test_detail_of_small_octaves_is_laid_on_the_full_photo(lite0):
    """In the small octave the photo keeps its own fine detail: only a smooth change lies on top of it."""
    image = 0.25 + 0.5 * picture(1, 3, 96, 96)
    first = next(deepdream(lite0, image, "conv1", steps=1, octaves=2, scale=2.0, jitter=0, rate=0.001))
    change = first.image - image
    halved = torch.nn.functional.interpolate(
        torch.nn.functional.interpolate(change, scale_factor=0.5, mode="area"), scale_factor=2, mode="bilinear"
    )
    assert 0 < change.abs().max() < 0.1
    assert (change - halved).abs().mean() < 0.5 * change.abs().mean()


def test_a_batch_gives_what_single_runs_give(small, device):
    network = copy.deepcopy(small).to(device)
    images = picture(2, 3, 24, 28, dtype=torch.float64)
    images[1] *= 0.2  # the darker one has much smaller gradients
    options = {"layer": "conv2", "steps": 3, "octaves": 2}
    batch = finish(deepdream(network, images, **options)).image
    for i in range(2):
        single = finish(deepdream(network, images[i : i + 1], **options)).image
        torch.testing.assert_close(batch[i : i + 1], single)


def test_the_seed_decides(lite0):
    def last(seed):
        return finish(deepdream(lite0, picture(1, 3, 64, 64), "conv1", steps=2, octaves=1, seed=seed)).image

    assert torch.equal(last(1), last(1)) and not torch.equal(last(1), last(2))


def test_the_global_seed_is_left_alone(lite0):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    finish(deepdream(lite0, picture(1, 3, 64, 64), "conv1", steps=2, octaves=1))
    assert torch.equal(torch.rand(1), expected)


def test_a_dead_layer_leaves_the_picture(small):
    black = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    nn.init.zeros_(black[0].weight)
    nn.init.constant_(black[0].bias, -1)
    image = picture(1, 3, 16, 16)
    last = finish(deepdream(Network(black, layers={"relu": "1"}), image, "relu", steps=2, octaves=1))
    assert torch.equal(last.image, image)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "squeezenet1_1"])
def test_every_kind_of_network_dreams(untrained, name):
    network = untrained(name)
    layer = list(network.layers)[2]
    last = finish(deepdream(network, picture(1, 3, 80, 96), layer, steps=1, octaves=2, scale=1.1))
    assert last.image.shape == (1, 3, 80, 96)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "block4"}, "layer 'block4' is unknown"),
        ({"layers": {"nowhere": 1}}, "layer 'nowhere' is unknown"),
        ({"layers": {}}, "layers must give at least one layer a weight"),
        ({"layers": {"conv1": 0}}, "layers must give at least one layer a weight"),
        ({"layer": "conv1", "channel": 32}, "channel must be a whole number from 0 to 31 for layer 'conv1', not 32"),
        ({"channel": -1}, "channel must be a whole number from 0 to"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"octaves": 0}, "octaves must be at least 1, not 0"),
        ({"scale": 1.0}, "scale must be above 1, not 1.0"),
        ({"rate": 0}, "rate must be above 0, not 0"),
        ({"rate": float("nan")}, "rate must be above 0, not nan"),
        ({"jitter": -1}, "jitter must be at least 0"),
        ({"balance": -0.1}, "balance must be at least 0, not -0.1"),
        ({"balance": float("nan")}, "balance must be at least 0, not nan"),
        ({"target": "negative"}, "target must be one of 'positive', 'signed', not 'negative'"),
        ({"tile": 100}, "tile must be at least 192"),
        ({"tile": 200}, "tile must be a multiple of 32, not 200"),
        ({"guide": torch.rand(2, 3, 8, 8)}, "guide must be a single picture, not a batch of 2"),
        ({"guide": torch.rand(3, 8, 8)}, "guide must have shape"),
    ],
)
def test_bad_knobs_are_named_before_the_first_step(lite0, options, message):
    with pytest.raises(ValueError, match=message):
        deepdream(lite0, picture(1, 3, 64, 64), **options)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.rand(3, 64, 64), ValueError, "image must have shape"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), TypeError, "image must be floating point"),
        (torch.full((1, 3, 64, 64), float("nan")), ValueError, "image must be finite"),
        ("chelsea", TypeError, "image must be a tensor"),
    ],
)
def test_bad_pictures_are_named_before_the_first_step(lite0, image, error, message):
    with pytest.raises(error, match=message):
        deepdream(lite0, image)


def test_octaves_that_are_too_small_for_the_network_are_named(untrained):
    with pytest.raises(ValueError, match="first octave would have 16×16 pixels, too few for alexnet: lower octaves"):
        deepdream(untrained("alexnet"), picture(1, 3, 64, 64), "pool5", octaves=3, scale=2)


# ── The film ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_frame_is_a_dream_and_the_next_goes_closer(lite0):
    image = picture(1, 3, 64, 64)
    options = {"layer": "conv1", "steps": 2, "octaves": 1}
    frames = list(zoom_film(lite0, image, frames=3, closer=1.1, seed=4, **options))
    assert [(step.index, step.total) for step in frames] == [(1, 3), (2, 3), (3, 3)]
    first = finish(deepdream(lite0, image, seed=4, **options)).image
    second = finish(deepdream(lite0, closer_up(first, 1.1), seed=5, **options)).image
    assert torch.equal(frames[0].image, first) and torch.equal(frames[1].image, second)


def test_a_film_becomes_a_gif(lite0, tmp_path):
    film = record(zoom_film(lite0, picture(1, 3, 64, 64), frames=2, layer="conv1", steps=1, octaves=1))
    film.gif(tmp_path / "zoom.gif")
    assert (tmp_path / "zoom.gif").read_bytes()[:3] == b"GIF"


def test_closer_up_keeps_the_centre_and_cuts_the_rim():
    ramp = torch.linspace(-1, 1, 41).expand(1, 3, 41, 41)
    torch.testing.assert_close(closer_up(ramp, 2.0)[0, 0, 20], torch.linspace(-0.5, 0.5, 41), atol=1e-6, rtol=0)
    torch.testing.assert_close(closer_up(ramp, 1.0), ramp, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames must be at least 1"),
        ({"closer": 0.9}, "closer must be at least 1"),
        ({"steps": 0}, "steps"),
        ({"balance": -1}, "balance must be at least 0"),
        ({"target": "all"}, "target must be"),
    ],
)
def test_a_film_names_bad_knobs_before_its_first_frame(lite0, options, message):
    with pytest.raises(ValueError, match=message):
        zoom_film(lite0, picture(1, 3, 64, 64), **options)


# ── Memory ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_out_of_memory_says_what_to_lower_and_leaves_nothing_allocated(lite0):
    network = lite0.to("cuda")
    image = picture(1, 3, 1024, 1024)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction((before + 200e6) / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(MemoryError, match=r"lower tile \(1024\)"):
            finish(deepdream(network, image, octaves=1, tile=1024))
        assert torch.cuda.memory_allocated() == before
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        lite0.to("cpu")
