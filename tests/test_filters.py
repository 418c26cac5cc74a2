"""Filters: what is drawn is what the network computes, and every number has an independent check."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.filters import gabor_kernel
from torch import nn

from helpers import filters, gabor, stimulus
from helpers.core import images, networks, photos
from helpers.core.networks import Network
from helpers.core.registry import SOURCES


@pytest.fixture(scope="module")
def random_filters():
    return torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def noise(height, width, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


# ── Weights ──────────────────────────────────────────────────────────────────────────────────────────────────

LECTURE = {
    "alexnet": (64, 3, 11, 11),
    "resnet18": (64, 3, 7, 7),
    "resnet101": (64, 3, 7, 7),
    "densenet121": (64, 3, 7, 7),
    "vgg16": (64, 3, 3, 3),
    "efficientnet_lite0": (32, 3, 3, 3),
}


@pytest.mark.parametrize("name", LECTURE)
def test_first_layers_have_the_shapes_of_the_lecture(name):
    assert filters.weight_shape(name) == LECTURE[name] == SOURCES[name].first_layer


def test_second_layers_as_their_papers_have_them():
    assert filters.weight_shape("alexnet", 2) == (192, 64, 5, 5)
    assert filters.weight_shape("vgg16", 2) == (64, 64, 3, 3)
    assert filters.weight_shape("densenet121", 2) == (128, 64, 1, 1)
    assert filters.weight_shape("efficientnet_lite0", 2) == (32, 1, 3, 3)  # depthwise


def test_filters_are_the_gradient_of_the_response(untrained):
    """A linear layer's gradient is its filter: true through BGR, deviations and GoogLeNet's own normalisation."""
    for name in ("alexnet", "googlenet", "vgg16_edges", "efficientnet_lite0"):
        net = untrained(name)
        path = filters.first_layer(net)
        field = net.receptive_field(path, 64)
        row = column = 32 // field.stride[0]
        top, left, bottom, right = field.box(row, column)
        image = noise(64, 64).requires_grad_(True)
        response = net.activation(image, path)[0, :, row, column]
        (gradient,) = torch.autograd.grad(response[17], image)
        expected = filters.filters(net)[17]
        torch.testing.assert_close(gradient[0, :, top:bottom, left:right], expected, rtol=1e-4, atol=1e-5)


def test_filters_laid_over_a_photo_give_the_networks_response(lite0):
    photo = photos.photo("chelsea", 64)
    centred = photo - lite0.mean_pixel.view(1, 3, 1, 1)
    by_hand = F.conv2d(F.pad(centred, (0, 1, 0, 1)), filters.filters(lite0), stride=2)
    torch.testing.assert_close(by_hand, lite0.activation(photo, "conv1"), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(filters.response(lite0, photo, "conv1", 5), by_hand[:, 5:6], rtol=1e-4, atol=1e-4)


def test_a_block_is_named_by_the_convolution_that_it_begins_with(untrained):
    assert filters.convolution(untrained("googlenet"), "conv1") == "conv1.conv"
    assert filters.convolution(untrained("vgg16_edges"), "conv1_1") == "features.0"


def test_layers_without_drawable_filters_are_refused(lite0, untrained):
    with pytest.raises(ValueError, match="'relu1' of efficientnet_lite0 holds no convolution"):
        filters.filters(lite0, "relu1")
    with pytest.raises(ValueError, match="holds no convolution"):
        filters.convolution(lite0, "penultimate")
    with pytest.raises(ValueError, match="does not see pixels: its filters have 64 input channels"):
        filters.filters(untrained("vgg16_edges"), "conv1_2")
    with pytest.raises(ValueError, match="layer 'nowhere' is unknown"):
        filters.filters(lite0, "nowhere")
    with pytest.raises(ValueError, match="channel must be from 0 to 31, not 32"):
        filters.response(lite0, noise(32, 32), "conv1", 32)
    with pytest.raises(ValueError, match="network 'lenet' is unknown"):
        filters.weight_shape("lenet")
    with pytest.raises(ValueError, match="number must be from 1 to 5, the convolutions of alexnet, not 6"):
        filters.weight_shape("alexnet", 6)


def test_a_second_layer_of_three_channels_does_not_pass_for_pixels():
    net = Network(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3)))
    assert filters.filters(net, "0").shape == (3, 3, 1, 1)
    with pytest.raises(ValueError, match="does not see pixels"):
        filters.filters(net, "1")


def test_untrained_filters_are_seeded_noise_of_pytorchs_range():
    one, again, other = (filters.untrained("resnet18", seed) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    bound = 1 / math.sqrt(3 * 7 * 7)
    assert 0.99 * bound < one.abs().max() <= bound
    assert one.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    with pytest.raises(ValueError, match="network 'lenet' is unknown"):
        filters.untrained("lenet")


# ── Drawing ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_three_scalings_by_hand():
    weights = torch.tensor([[-1.0, 0.0, 3.0], [0.0, 1.0, -0.5]]).view(2, 3, 1, 1)
    scaled = {s: filters.rescale(weights, s).flatten(1).tolist() for s in filters.Scaling.__args__}
    assert scaled["per filter"] == [[0, 0.25, 1], pytest.approx([1 / 3, 1, 0])]
    assert scaled["per layer"] == [[0, 0.25, 1], [0.25, 0.5, 0.125]]
    assert scaled["symmetric"] == [pytest.approx([1 / 3, 0.5, 1]), [0.5, 1, 0.25]]


@pytest.mark.parametrize("scaling", filters.Scaling.__args__)
def test_a_dead_filter_is_grey_and_any_filter_fits_the_screen(scaling, random_filters):
    assert (filters.rescale(torch.zeros(2, 3, 3, 3), scaling) == 0.5).all()
    scaled = filters.rescale(random_filters, scaling)
    assert scaled.min() >= 0 and scaled.max() <= 1
    pixels = np.asarray(images.to_pil(images.grid(scaled)))
    assert pixels.min() == 0 or scaling == "symmetric"
    assert pixels.max() == 255


def test_frequency_is_that_of_a_wave_and_agrees_with_a_plain_sum(random_filters):
    x = torch.arange(32.0)
    for expected in (0.125, 0.25, 0.375):
        wave = torch.cos(2 * math.pi * expected * x).expand(1, 3, 32, 32)
        assert filters.frequency(wave).item() == pytest.approx(expected, abs=0.03)
    u = np.arange(64)
    wave = np.exp(-2j * math.pi * np.outer(u, np.arange(4)) / 64)
    spectra = np.einsum("uh,nchw,vw->ncuv", wave, random_filters.double().numpy(), wave)
    cycles = np.minimum(u, 64 - u) / 64
    power, radius = (abs(spectra) ** 2).sum(1), np.hypot(cycles[:, None], cycles[None, :])
    expected = (power * radius).sum((1, 2)) / power.sum((1, 2))
    np.testing.assert_allclose(filters.frequency(random_filters).numpy(), expected, rtol=1e-5)
    assert filters.frequency(torch.zeros(1, 3, 3, 3)).item() == 0


def test_orders():
    flat, fine = torch.ones(1, 3, 4, 4), torch.tensor([1.0, -1.0]).repeat(2).expand(1, 3, 4, 4)
    weights = torch.cat([0.1 * fine, flat, 3 * fine.flip(-1)])
    assert filters.order(weights, "variance").tolist() == [2, 0, 1]
    assert filters.order(weights, "frequency").tolist()[0] == 1
    assert filters.order(weights, "index").tolist() == [0, 1, 2]


def test_enlarged_pixels_are_squares():
    picture = noise(2, 3)
    large = filters.enlarge(picture, 5)
    assert large.shape == (1, 3, 10, 15)
    assert torch.equal(large, F.interpolate(picture, scale_factor=5, mode="nearest"))
    with pytest.raises(ValueError, match="zoom must be at least 1, not 0"):
        filters.enlarge(picture, 0)


def test_tiles_hold_every_filter_once(random_filters):
    sheet = filters.tiles(random_filters, "per filter", "index", zoom=2, columns=3)
    assert sheet.shape == (1, 3, 2 * 8 + 4, 3 * 8 + 2 * 4)
    expected = filters.enlarge(filters.rescale(random_filters, "per filter"), 2)
    assert torch.equal(sheet[0, :, 12:20, 12:20], expected[4])


def test_colour_slices_are_grey(random_filters):
    sheet = filters.tiles(random_filters, sort="index", view="red, green, blue", zoom=1)
    assert (sheet[:, 0] == sheet[:, 1]).all() and (sheet[:, 1] == sheet[:, 2]).all()
    expected = filters.rescale(random_filters)[0]
    for colour, left in enumerate((0, 5, 10)):
        assert torch.equal(sheet[0, 0, :4, left : left + 4], expected[colour])


def test_a_sheet_needs_only_a_network(lite0):
    assert filters.sheet(lite0, zoom=1).shape == (1, 3, 4 * 3 + 3 * 4, 8 * 3 + 7 * 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: filters.rescale(w, "loud"), "scaling must be one of 'per filter', 'per layer', 'symmetric', not"),
        (lambda w: filters.order(w, "colour"), "sort must be one of 'variance', 'frequency', 'index', not 'colour'"),
        (lambda w: filters.tiles(w, view="grey"), "view must be one of 'colour', 'red, green, blue', not 'grey'"),
        (lambda w: filters.rescale(w[0]), r"filters must be a tensor of shape \(C, 3, h, w\), not \(3, 4, 4\)"),
        (lambda w: filters.frequency([1]), r"filters must be a tensor of shape \(C, 3, h, w\), not list"),
        (lambda w: filters.order(w[:0]), r"not \(0, 3, 4, 4\)"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(call, message, random_filters):
    with pytest.raises(ValueError, match=message):
        call(random_filters)


def test_slices_lie_at_row_filter_and_column_input():
    net = Network(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 3)))
    weight = net.model[1].weight
    picture = filters.slices(net, 2, rows=5, columns=3, scaling="per layer", zoom=2)
    assert picture.shape == (1, 3, 5 * 6 + 4 * 2, 3 * 6 + 2 * 2)
    shown = weight[:5, :3]
    expected = (shown - shown.min()) / (shown.max() - shown.min())
    torch.testing.assert_close(picture[0, 0, 32:38:2, 8:14:2], expected[4, 1])


def test_slices_of_a_depthwise_layer_fill_the_rows(lite0):
    picture = filters.slices(lite0, 2, rows=3, columns=8, zoom=1)
    assert picture.shape == (1, 3, 3 * 3 + 2 * 2, 8 * 3 + 7 * 2)
    weight = lite0.model.blocks[0][0].conv_dw.weight
    torch.testing.assert_close(picture[0, 0, 5:8, 5:8], 0.5 + 0.5 * weight[9, 0] / weight[9].abs().max())


def test_slices_of_one_pixel_are_one_square(lite0):
    assert filters.slices(lite0, 3, rows=4, columns=5, zoom=1).shape == (1, 3, 4 + 3 * 2, 5 + 4 * 2)


def test_slices_say_what_is_wrong(lite0):
    with pytest.raises(ValueError, match="number must be from 1 to 49, the convolutions of efficientnet_lite0, not 99"):
        filters.slices(lite0, 99)
    with pytest.raises(ValueError, match="rows and columns must be at least 1, not 0 and 16"):
        filters.slices(lite0, rows=0)
    with pytest.raises(ValueError, match="scaling must be one of"):
        filters.slices(lite0, scaling="loud")


# ── The best stimulus ────────────────────────────────────────────────────────────────────────────────────────


def exhaustive(weights, pictures, origin, mean, contrast):
    """(cosine, picture, corner) of the best patch of each filter, patch by patch in NumPy."""
    weights = weights.double().numpy()
    best = [(-2, None, None)] * len(weights)
    height, width = weights.shape[-2:]
    for index, picture in enumerate(pictures):
        pixels = picture[0].double().numpy()
        for top in range(pixels.shape[1] - height + 1):
            for left in range(pixels.shape[2] - width + 1):
                patch = pixels[:, top : top + height, left : left + width]
                if origin == "the network's mean":
                    patch = patch - mean[:, None, None]
                if origin == "the patch's mean":
                    patch = patch - patch.mean((1, 2), keepdims=True)
                if math.sqrt((patch**2).mean()) < contrast:
                    continue
                for i, w in enumerate(weights):
                    w = w - w.mean((1, 2), keepdims=True) if origin == "the patch's mean" else w
                    cosine = (w * patch).sum() / np.linalg.norm(w) / np.linalg.norm(patch)
                    best[i] = max(best[i], (cosine, index, (top, left)), key=lambda found: found[0])
    return best


@pytest.mark.parametrize("origin", stimulus.Origin.__args__)
def test_the_closest_patch_is_that_of_an_exhaustive_search(origin, random_filters, device):
    pictures = [noise(9, 11, 2), noise(3, 20, 3), noise(12, 7, 4)]  # the second is too low for a patch
    mean = torch.tensor([0.4, 0.5, 0.6])
    found = stimulus.closest_patches(random_filters.to(device), iter(pictures), origin, mean, contrast=0.2)
    expected = exhaustive(random_filters, pictures, origin, mean.numpy(), 0.2)
    assert found.seen == 6 * 8 + 9 * 4
    for i, (cosine, index, (top, left)) in enumerate(expected):
        assert found.cosines[i].item() == pytest.approx(cosine, abs=1e-5)
        assert (found.pictures[i], found.corners[i]) == (index, (top, left))
        patch = pictures[index][0, :, top : top + 4, left : left + 4]
        torch.testing.assert_close(found.patches[i].cpu(), patch)


def test_a_hidden_filter_is_found_and_reaches_the_bound(random_filters):
    picture = noise(40, 50)
    stimulus = 0.5 + 0.1 * random_filters[2] / random_filters[2].abs().max()
    picture[0, :, 21:25, 33:37] = stimulus
    found = stimulus.closest_patches(random_filters, [picture])
    assert found.corners[2] == (21, 33)
    assert found.cosines[2].item() == pytest.approx(1, abs=1e-6)
    assert found.cosines.max() <= 1 + 1e-6


def test_bands_change_nothing(random_filters, monkeypatch):
    picture = noise(30, 20)
    whole = stimulus.closest_patches(random_filters, [picture])
    bands = stimulus._bands
    monkeypatch.setattr(filters, "_bands", lambda *shape: bands(*shape, largest=48 * 17 * 4))
    assert len(list(stimulus._bands(picture, 4, 4, 5))) == 7
    cut = stimulus.closest_patches(random_filters, [picture])
    assert whole.corners == cut.corners and whole.seen == cut.seen == 27 * 17
    torch.testing.assert_close(whole.cosines, cut.cosines)


def test_flat_patches_are_no_match(random_filters):
    found = stimulus.closest_patches(random_filters, [torch.full((1, 3, 8, 8), 0.7)], "the patch's mean")
    assert found.cosines.isnan().all() and found.seen == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"origin": "white"}, "origin must be one of"),
        ({"contrast": 0}, "contrast must be above 0, not 0"),
        ({"pictures": []}, "pictures must hold at least one patch of 4×4 pixels"),
        ({"pictures": [torch.zeros(1, 3, 3, 9)]}, "pictures must hold at least one patch"),
        ({"pictures": [torch.zeros(3, 9, 9)]}, "picture must have shape"),
        ({"weights": torch.zeros(4, 4)}, "filters must be a tensor"),
    ],
)
def test_a_search_says_what_is_wrong(arguments, message, random_filters):
    with pytest.raises(ValueError, match=message):
        stimulus.closest_patches(**({"weights": random_filters, "pictures": [noise(9, 9)]} | arguments))


@pytest.mark.parametrize(("name", "layer", "channel"), [("alexnet", "conv1", 7), ("vgg16_edges", "conv1_1", 3)])
def test_the_climb_ends_at_the_filter(name, layer, channel, untrained):
    net = untrained(name)
    steps = list(stimulus.ascent(net, layer, channel, steps=12, seed=3))
    weight = filters.filters(net)[channel]
    closed_form = weight / weight.norm()
    torch.testing.assert_close(steps[-1].image[0], closed_form, atol=1e-3, rtol=0)
    cosines = [step.losses["cosine"] for step in steps]
    assert cosines == sorted(cosines) and cosines[-1] > 0.9999
    bound = (
        steps[-1].losses["response"]
        - net.activation(net.mean_pixel.view(1, 3, 1, 1).expand(1, 3, 64, 64), layer)[0, channel, 5, 5].item()
    )  # less the bias
    assert bound == pytest.approx(weight.norm().item(), rel=1e-3)
    assert [step.index for step in steps] == list(range(1, 13)) and {step.total for step in steps} == {12}


def test_the_climb_follows_its_formula_and_its_seed(lite0):
    weight = filters.filters(lite0)[:1]
    x = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(5))
    x = x / x.norm() + 0.3 * weight / weight.norm()
    first, again, other = (next(stimulus.ascent(lite0, rate=0.3, seed=seed)).image for seed in (5, 5, 6))
    torch.testing.assert_close(first, x / x.norm())
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_climb_runs_on_any_device(device):
    net = networks.load("efficientnet_lite0", device=device)
    step = list(stimulus.ascent(net, channel=3, steps=10))[-1]
    assert step.image.device.type == device and step.losses["cosine"] > 0.999


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": 32}, "channel must be from 0 to 31, not 32"),
        ({"channel": -1}, "channel must be from 0 to 31, not -1"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"rate": 0.0}, "rate must be above 0, not 0.0"),
        ({"layer": "blocks.1"}, "does not see pixels"),
    ],
)
def test_the_climb_is_refused_before_its_first_step(arguments, message, lite0):
    with pytest.raises(ValueError, match=message):
        stimulus.ascent(lite0, **arguments)


# ── Where such filters come from ─────────────────────────────────────────────────────────────────────────────


def test_random_patches_are_centred_seeded_and_not_flat():
    picture = noise(30, 40)
    picture[..., :20] = 0.3  # half of it is flat
    patches = gabor.random_patches([picture], 5, 400)
    assert 150 < len(patches) < 300 and patches.shape[1:] == (3, 5, 5)
    assert patches.mean((1, 2, 3)).abs().max() < 1e-6 and patches.flatten(1).std(1).min() >= 0.02
    assert torch.equal(patches, gabor.random_patches([picture], 5, 400))
    assert not torch.equal(patches[:50], gabor.random_patches([picture], 5, 400, seed=1)[:50])


@pytest.mark.parametrize(
    ("pictures", "size", "count", "message"),
    [
        ([], 3, 9, "pictures must hold at least one picture"),
        ([torch.zeros(1, 3, 9, 9)], 0, 9, "size and count must be at least 1, not 0 and 9"),
        ([torch.zeros(1, 3, 9, 9)], 3, 0, "size and count must be at least 1, not 3 and 0"),
        ([torch.zeros(1, 3, 9, 4)], 5, 9, "pictures must be at least 5 pixels high and wide, not 9×4"),
        ([torch.zeros(1, 3, 9, 9)], 3, 9, "no patch has a contrast of 0.02 or more"),
    ],
)
def test_random_patches_say_what_is_wrong(pictures, size, count, message):
    with pytest.raises(ValueError, match=message):
        gabor.random_patches(pictures, size, count)


def test_components_mixed_by_hand_are_found_again():
    """Sparse sources through a known mixture: each stimulus is found up to its sign."""
    random = torch.Generator().manual_seed(0)
    sources = torch.rand(4000, 6, generator=random).log() * torch.randn(4000, 6, generator=random).sign()
    true = torch.randn(6, 3, 2, 2, generator=random)
    patches = torch.einsum("nk,kchw->nchw", sources, true)
    found = gabor.independent_components(patches, 6)
    cosines = F.cosine_similarity(found.flatten(1)[:, None], true.flatten(1)[None], dim=2).abs()
    assert cosines.amax(1).min() > 0.97 and len(set(cosines.argmax(1).tolist())) == 6
    strengths = found.flatten(1).norm(dim=1)
    assert (strengths.diff() <= 0).all()
    inverse = gabor.independent_components(patches, 6, "filter")
    torch.testing.assert_close(inverse.flatten(1) @ found.flatten(1).T, torch.eye(6), atol=1e-3, rtol=0)


def test_components_of_photos_are_waves_under_a_bell():
    scenes = [photos.photo(name) for name in photos.SCENES[:5]]
    learned = gabor.independent_components(gabor.random_patches(scenes, 9, 2000), 20)
    explained = [gabor.fit_gabor(learned[i : i + 1]).explained for i in range(4, 10)]
    before = [gabor.fit_gabor(filters.untrained("alexnet")[i : i + 1]).explained for i in range(3)]
    assert np.median(explained) > 0.7 and max(before) < 0.2


def test_components_say_what_is_wrong(random_filters):
    with pytest.raises(ValueError, match="count must be from 1 to 4 for these patches, not 5"):
        gabor.independent_components(random_filters, 5)
    with pytest.raises(ValueError, match="shown must be 'stimulus' or 'filter', not 'both'"):
        gabor.independent_components(random_filters, 3, "both")


# ── Gabor ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("angle", "phase", "aspect"), [(0, 0, 1.0), (30, 90, 0.7), (115, 200, 0.5)])
def test_gabor_is_scikit_images(angle, phase, aspect):
    ours = gabor.gabor(21, 0.12, angle, phase, 2.5, aspect)
    kernel = gabor_kernel(
        0.12,
        math.radians(angle),
        sigma_x=2.5,
        sigma_y=2.5 / aspect,
        n_stds=6,
        offset=math.radians(phase),
    ).real
    cut = [(side - 21) // 2 for side in kernel.shape]
    kernel = kernel[cut[0] : cut[0] + 21, cut[1] : cut[1] + 21] * (2 * math.pi * 2.5 * 2.5 / aspect)
    np.testing.assert_allclose(ours.numpy(), kernel, atol=1e-6)


def test_gabor_moves_with_its_centre():
    middle = gabor.gabor(15, 0.2, 40, 60, 2)
    moved = gabor.gabor(15, 0.2, 40, 60, 2, centre=(2, -3))
    torch.testing.assert_close(moved[:12, 2:], middle[3:, :13])


@pytest.mark.parametrize("bad", [{"size": 0}, {"width": 0.0}, {"aspect": -1.0}])
def test_gabor_says_what_is_wrong(bad):
    with pytest.raises(ValueError, match="size, width and aspect must be above 0"):
        gabor.gabor(**bad)


@pytest.mark.parametrize(("angle", "phase"), [(20, 90), (130, 300), (75, 10)])
def test_a_fit_finds_the_gabor_that_was_drawn(angle, phase):
    wave = gabor.gabor(11, 0.15, angle, phase, 2.0, 0.8, centre=(0.7, -1.2))
    colour = torch.tensor([0.2, -0.9, 0.5]).view(1, 3, 1, 1)
    fit = gabor.fit_gabor(3 * colour * wave)
    assert fit.explained > 0.999
    torch.testing.assert_close(fit.picture, 3 * colour * wave, atol=0.05, rtol=0)
    assert fit.frequency == pytest.approx(0.15, abs=0.01) and fit.angle == pytest.approx(angle, abs=2)
    # the sign of the colour is free: a phase half a turn further with the colours turned round is the same filter
    turns = (fit.phase - phase) / 180
    assert abs(turns - round(turns)) < 0.06
    again = gabor.gabor(11, fit.frequency, fit.angle, fit.phase, fit.width, fit.aspect, fit.centre)
    assert abs(F.cosine_similarity(again.flatten(), wave.flatten(), dim=0)) > 0.999


def test_a_fit_of_nothing_and_of_the_wrong_shape():
    assert gabor.fit_gabor(torch.full((1, 3, 7, 7), 0.3)).explained > 0.9  # one flat colour: a very wide bell
    for weights in (torch.zeros(2, 3, 5, 5), torch.zeros(1, 3, 5, 4)):
        with pytest.raises(ValueError, match=r"weights must be one square filter \(1, 3, n, n\)"):
            gabor.fit_gabor(weights)
