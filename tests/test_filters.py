"""Filters: what is drawn is what the network computes, and every number has an independent check."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bench import seeded, with_statistics
from torch import nn

from helpers import filters
from helpers.core import images, photos
from helpers.core.networks import Network
from helpers.core.registry import SOURCES


@pytest.fixture(scope="module")
def random_filters():
    return torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))


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
        network = untrained(name)
        path = filters.first_layer(network)
        field = network.receptive_field(path, 64)
        row = column = 32 // field.stride[0]
        top, left, bottom, right = field.box(row, column)
        image = seeded(1, 3, 64, 64).requires_grad_(True)
        response = network.activation(image, path)[0, :, row, column]
        (gradient,) = torch.autograd.grad(response[17], image)
        expected = filters.filters(network)[17]
        torch.testing.assert_close(gradient[0, :, top:bottom, left:right], expected, rtol=1e-4, atol=1e-5)


def test_filters_laid_over_a_photo_give_the_networks_response(lite0):
    photo = photos.photo("chelsea", 64)
    centred = photo - lite0.mean_pixel.view(1, 3, 1, 1)
    by_hand = F.conv2d(F.pad(centred, (0, 1, 0, 1)), filters.filters(lite0), stride=2)
    torch.testing.assert_close(by_hand, lite0.activation(photo, "conv1"), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(filters.response(lite0, photo, "conv1", 5), by_hand[:, 5:6], rtol=1e-4, atol=1e-4)


RELU = {
    "resnet18": "relu",
    "densenet121": "features.relu0",
    "googlenet": "conv1",
    "alexnet": "features.1",
    "vgg16_edges": "features.1",
}


@pytest.mark.parametrize("name", RELU)
def test_effective_filters_give_what_the_first_relu_puts_out(name, untrained):
    """Through BGR, deviations, GoogLeNet's own normalisation, biases and batch norms with statistics."""
    network = with_statistics(untrained(name))
    weights, offsets = filters.effective(network)
    conv = next(iter(filters.convolutions(network.model).values()))
    stride, padding = conv.stride[0], conv.padding[0]
    border = padding // stride + 1  # so many places see the padding
    start = border * stride - padding
    image = seeded(1, 3, 64, 64)
    seen = (image - network.mean_pixel.view(1, 3, 1, 1))[..., start:, start:]
    by_hand = F.conv2d(seen, weights, offsets, stride).relu()[..., :9, :9]
    theirs = network.activation(image, RELU[name])[..., border : border + 9, border : border + 9]
    torch.testing.assert_close(by_hand, theirs, rtol=1e-3, atol=1e-4)


def test_effective_filters_of_the_default_network(lite0):
    photo = photos.photo("chelsea", 64)
    weights, offsets = filters.effective(lite0)
    centred = F.pad(photo - lite0.mean_pixel.view(1, 3, 1, 1), (0, 1, 0, 1))
    z = F.conv2d(centred, weights, offsets, stride=2)
    torch.testing.assert_close(z.clamp(0, 6), lite0.activation(photo, "relu1"), rtol=1e-4, atol=1e-4)


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
    with pytest.raises(ValueError, match="channel must be a whole number from 0 to 31 for layer 'conv1', not 32"):
        filters.response(lite0, seeded(1, 3, 32, 32), "conv1", 32)
    with pytest.raises(ValueError, match="network 'lenet' is unknown; networks: efficientnet_lite0, alexnet"):
        filters.weight_shape("lenet")
    with pytest.raises(ValueError, match="number must be from 1 to 5, the convolutions of alexnet, not 6"):
        filters.weight_shape("alexnet", 6)


def test_a_second_layer_of_three_channels_does_not_pass_for_pixels():
    network = Network(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3)))
    assert filters.filters(network, "0").shape == (3, 3, 1, 1)
    with pytest.raises(ValueError, match="does not see pixels"):
        filters.filters(network, "1")


def test_untrained_filters_are_seeded_noise_of_pytorchs_range():
    one, again, other = (filters.untrained("resnet18", seed) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    bound = 1 / math.sqrt(3 * 7 * 7)
    assert 0.99 * bound < one.abs().max() <= bound
    assert one.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    with pytest.raises(ValueError, match="network 'lenet' is unknown; networks: efficientnet_lite0, alexnet"):
        filters.untrained("lenet")


# ── Drawing ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_scalings_by_hand():
    weights = torch.tensor([[-1.0, 0.0, 3.0], [0.0, 1.0, -0.5]]).view(2, 3, 1, 1)
    scaled = {s: filters.rescale(weights, s).flatten(1).tolist() for s in filters.Scaling.__args__}
    assert scaled["per filter"] == [[0, 0.25, 1], pytest.approx([1 / 3, 1, 0])]
    assert scaled["per layer"] == [[0, 0.25, 1], [0.25, 0.5, 0.125]]
    assert scaled["symmetric"] == [pytest.approx([1 / 3, 0.5, 1]), [0.5, 1, 0.25]]
    assert scaled["one scale"] == [pytest.approx([1 / 3, 0.5, 1]), pytest.approx([0.5, 2 / 3, 5 / 12])]
    amplified = filters.rescale(weights, "one scale", 2).flatten(1)
    assert amplified.tolist() == [pytest.approx([1 / 6, 0.5, 1]), pytest.approx([0.5, 5 / 6, 1 / 3])]
    assert filters.rescale(weights, "one scale", 9).flatten(1).tolist()[0] == [0, 0.5, 1]


@pytest.mark.parametrize("scaling", filters.Scaling.__args__)
def test_a_dead_filter_is_grey_and_any_filter_fits_the_screen(scaling, random_filters):
    assert (filters.rescale(torch.zeros(2, 3, 3, 3), scaling) == 0.5).all()
    scaled = filters.rescale(random_filters, scaling)
    assert scaled.min() >= 0 and scaled.max() <= 1
    pixels = np.asarray(images.to_pil(images.grid(scaled)))
    assert pixels.min() == 0 or scaling in ("symmetric", "one scale")
    assert pixels.max() == 255 or scaling == "one scale"


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
    picture = seeded(1, 3, 2, 3)
    large = filters.magnify(picture, 5)
    assert large.shape == (1, 3, 10, 15)
    assert torch.equal(large, F.interpolate(picture, scale_factor=5, mode="nearest"))
    with pytest.raises(ValueError, match="times must be at least 1, not 0"):
        filters.magnify(picture, 0)


def test_tiles_hold_every_filter_once(random_filters):
    sheet = filters.tiles(random_filters, "per filter", "index", times=2, columns=3)
    assert sheet.shape == (1, 3, 2 * 8 + 4, 3 * 8 + 2 * 4)
    expected = filters.magnify(filters.rescale(random_filters, "per filter"), 2)
    assert torch.equal(sheet[0, :, 12:20, 12:20], expected[4])


def test_colour_slices_are_grey(random_filters):
    sheet = filters.tiles(random_filters, sort="index", view="red, green, blue", times=1)
    assert (sheet[:, 0] == sheet[:, 1]).all() and (sheet[:, 1] == sheet[:, 2]).all()
    expected = filters.rescale(random_filters)[0]
    for colour, left in enumerate((0, 5, 10)):
        assert torch.equal(sheet[0, 0, :4, left : left + 4], expected[colour])


def test_a_sheet_needs_only_a_network(lite0):
    assert filters.sheet(lite0, times=1).shape == (1, 3, 4 * 3 + 3 * 4, 8 * 3 + 7 * 4)
    stored = filters.sheet(lite0, "stored", "symmetric", 1.0, times=1)
    assert torch.equal(stored, filters.tiles(filters.filters(lite0), times=1))
    with pytest.raises(ValueError, match="weights must be one of 'effective', 'stored', not 'raw'"):
        filters.sheet(lite0, "raw")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda w: filters.rescale(w, "loud"),
            "scaling must be one of 'per filter', 'per layer', 'symmetric', 'one scale'",
        ),
        (lambda w: filters.rescale(w, contrast=0), "contrast must be above 0, not 0"),
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
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 3)))
    weight = network.model[1].weight
    picture = filters.slices(network, 2, rows=5, columns=3, scaling="per layer", times=2)
    assert picture.shape == (1, 3, 5 * 6 + 4 * 2, 3 * 6 + 2 * 2)
    shown = weight[:5, :3]
    expected = (shown - shown.min()) / (shown.max() - shown.min())
    torch.testing.assert_close(picture[0, 0, 32:38:2, 8:14:2], expected[4, 1])


def test_slices_of_a_depthwise_layer_fill_the_rows(lite0):
    picture = filters.slices(lite0, 2, rows=3, columns=8, times=1)
    assert picture.shape == (1, 3, 3 * 3 + 2 * 2, 8 * 3 + 7 * 2)
    weight = lite0.model.blocks[0][0].conv_dw.weight
    torch.testing.assert_close(picture[0, 0, 5:8, 5:8], 0.5 + 0.5 * weight[9, 0] / weight[9].abs().max())


def test_slices_of_one_pixel_are_one_square(lite0):
    assert filters.slices(lite0, 3, rows=4, columns=5, times=1).shape == (1, 3, 4 + 3 * 2, 5 + 4 * 2)


def test_slices_say_what_is_wrong(lite0):
    with pytest.raises(ValueError, match="number must be from 1 to 49, the convolutions of efficientnet_lite0, not 99"):
        filters.slices(lite0, 99)
    with pytest.raises(ValueError, match="rows must be at least 1, not 0"):
        filters.slices(lite0, rows=0)
    with pytest.raises(ValueError, match="columns must be at least 1, not 0"):
        filters.slices(lite0, columns=0)
    with pytest.raises(ValueError, match="scaling must be one of"):
        filters.slices(lite0, scaling="loud")


# ── How far the weights explain ──────────────────────────────────────────────────────────────────────────────


def test_straight_lines_are_those_of_least_squares():
    torch.manual_seed(0)
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.ReLU6()))
    pictures = seeded(3, 3, 9, 9)
    linear = filters.straightened(network, pictures)
    x = network.activation(pictures, "0").transpose(0, 1).flatten(1)
    lines = linear.activation(pictures, "1").transpose(0, 1).flatten(1)
    for given, line in zip(x.double().numpy(), lines.numpy(), strict=True):
        slope, offset = np.polyfit(given, given.clip(0), 1)
        np.testing.assert_allclose(line, slope * given + offset, atol=1e-5)
    one, two = seeded(1, 3, 9, 9, seed=1), seeded(1, 3, 9, 9, seed=2)
    ends = [linear.activation(each, "3") for each in (one, two, (one + two) / 2)]
    torch.testing.assert_close((ends[0] + ends[1]) / 2, ends[2], rtol=1e-4, atol=1e-6)
    assert isinstance(network.model[1], nn.ReLU)


def test_a_relu_that_runs_twice_has_no_line(untrained):
    with pytest.raises(ValueError, match="network resnet18 calls a ReLU more than once"):
        filters.straightened(untrained("resnet18"), seeded(1, 3, 64, 64))
