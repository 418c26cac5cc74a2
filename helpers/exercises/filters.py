"""Lesson 1: filters."""

import math

import torch
import torch.nn.functional as F

from helpers.exercises.exercise import compare, exercise, stand_in
from helpers.exercises.toys import toy

LAYERS = [((5, 3, 2, 4), 2.5, 1.0), ((4, 3, 3, 2), 40.0, 5.0), ((2, 3, 1, 5), 1.0, 0.2)]  # shape, contrast, scale


@exercise("1.1", "amplified", cases=LAYERS)
def amplified(student, draw, shape, contrast, scale):
    weights = scale * draw.normal(*shape)
    weights = -weights.flatten()[weights.abs().argmax()].sign() * weights  # the strongest is negative
    size, low, high = weights.abs(), weights.min(), weights.max()

    def cut(units):
        return (0.5 + 0.5 * contrast * units).clamp(0, 1)

    units = weights / size.max()
    mistakes = {
        "each filter has its own maximum; one of the whole layer is needed": cut(
            weights / size.amax((1, 2, 3), keepdim=True)
        ),
        "each colour has its own maximum; one of the whole layer is needed": cut(
            weights / size.amax((0, 2, 3), keepdim=True)
        ),
        "the strongest weight may be negative: look for the largest size, whatever the sign": cut(weights / high),
        "values leave [0, 1]; cut them off at black and white": 0.5 + 0.5 * contrast * units,
        "a weight of zero is black; it should be mid-grey": (contrast * units).clamp(0, 1),
        "the contrast moves zero away from mid-grey; let it act on the weights alone": (
            contrast * (0.5 + 0.5 * units)
        ).clamp(0, 1),
        "the least weight goes to black and the greatest to white, so zero is not mid-grey": cut(
            2 * (weights - low) / (high - low) - 1
        ),
        "a larger contrast makes the picture flatter; it should do the opposite": cut(units / contrast**2),
    }
    compare(student(weights, contrast), cut(units), mistakes)


@stand_in("1.1")
def amplified_stand_in(weights, contrast):
    from helpers.filters import rescale

    limit = weights.abs().max() / contrast
    both = torch.cat([weights, -weights]).clamp(-limit, limit)  # a layer and its negative: zero lies in the middle
    return rescale(both, "per layer")[: len(weights)]


@exercise("1.2", "by_colour", cases=[((4, 3, 2, 3), (2, 3, 5, 7)), ((2, 3, 3, 1), (3, 3, 6, 4))])
def by_colour(student, draw, kernel_shape, shape):
    kernel, images = draw.normal(*kernel_shape), draw.uniform(*shape)
    mean, std = draw.uniform(3, low=0.2, high=0.8).tolist(), draw.uniform(3, low=0.2, high=0.6).tolist()
    network = toy([kernel], mean=mean, std=std)
    mean, std = network.mean, network.std  # (1, 3, 1, 1)

    def split(pixels, weights):
        return torch.stack([F.conv2d(pixels[:, c : c + 1], weights[:, c : c + 1]) for c in range(3)], 2)

    def asked(other, keep):
        mixed = (torch.where(keep[c].view(1, 3, 1, 1), images, other) for c in range(3))
        return torch.stack([network.activation(x, "conv1") for x in mixed], 2)

    truth = split(images - mean, kernel / std)

    def mistakes():
        one = torch.eye(3, device=images.device).bool()
        in_a_row = truth.movedim(2, 0).flatten(0, 1)  # (3N, C, H', W'), colour by colour
        n, c, _, *size = truth.shape
        return {
            "the other two colours are black, which the network does not see as zero": asked(torch.zeros(()), one),
            "the other two colours are white, which the network does not see as zero": asked(torch.ones(()), one),
            "the other two colours have one grey between them; each has its own zero": asked(mean.mean(), one),
            "the other two colours are the picture's own mean, not what the network sees as zero": asked(
                images.mean((2, 3), keepdim=True), one
            ),
            "this silences one colour; keep one and silence the other two": asked(mean, ~one),
            "right numbers in wrong places: see which axis of the batch is the colour before reshaping": in_a_row.view(
                n, c, 3, *size
            ),
            "the contributions are measured from black, not from the colour that the network sees as zero": split(
                images, kernel / std
            ),
            "the network's stored weights act on (pixel − mean) / deviation; the deviation is missing": split(
                images - mean, kernel
            ),
            "the sign is lost; a colour may also speak against": truth.abs(),
        }

    compare(student(network, images, "conv1"), truth, mistakes)


@stand_in("1.2")
def by_colour_stand_in(network, images, layer):
    from copy import deepcopy

    from helpers.core.activations import split_path
    from helpers.filters import convolution, filters

    conv = deepcopy(split_path(network.model, convolution(network, layer))[0])  # with its stride and padding
    one_colour_each = filters(network, layer).transpose(0, 1).flatten(0, 1)[:, None]
    conv.weight, conv.bias, conv.groups = torch.nn.Parameter(one_colour_each, requires_grad=False), None, 3
    return conv(images - network.mean_pixel.view(1, 3, 1, 1)).unflatten(1, (3, -1)).transpose(1, 2)


@exercise("1.3", "nearest_patches", cases=[((4, 3, 2, 3), (2, 3, 7, 10), 0.02), ((5, 3, 3, 2), (3, 3, 11, 8), 0.04)])
def nearest_patches(student, draw, filters_shape, shape, contrast):
    (_, _, height, width), (number, _, high, wide) = filters_shape, shape
    weights, mean = draw.normal(*filters_shape), draw.uniform(3, low=0.3, high=0.7)
    zero, unit = mean.view(3, 1, 1), weights / weights.square().mean((1, 2, 3), keepdim=True).sqrt()
    images = zero + 0.5 * draw.normal(*shape)
    images[0, :, :height, :width] = zero + 0.5 * contrast * unit[0]  # too faint, though longer than `contrast`
    images[1, :, :height, -width:] = zero + 0.05 * contrast * unit[1]  # too faint, and shorter
    images[1, :, -height:, -width:] = zero + 0.1 * unit[2]  # in the last row and column
    images[0, :, -height:, -width:] = zero - 0.3 * unit[0]  # the opposite of a filter
    top, left = (high - height) // 2, (wide - width) // 2
    images[0, :, top : top + height, left : left + width] = zero + 0.1 * unit[3]  # near, but not loud
    down, across = high - height + 1, wide - width + 1
    places = torch.cartesian_prod(*(torch.arange(count, device=images.device) for count in (number, down, across)))
    patches = torch.stack([images[n, :, y : y + height, x : x + width].flatten() for n, y, x in places.tolist()])
    flat, each = weights.flatten(1), weights[0].numel()
    centred = patches - mean.repeat_interleave(height * width)

    def best(scores):
        values, at = scores.max(0)
        return values, places[at]

    def without(scores, too_low):
        return scores.masked_fill(too_low, -math.inf)

    lengths = centred.norm(dim=1, keepdim=True)
    answers = centred @ flat.T  # (patches, C)
    cosines, faint = answers / lengths / flat.norm(dim=1), lengths < contrast * math.sqrt(each)
    right = without(cosines, faint)
    truth = best(right)

    def mistakes():
        loudest = answers.argmax(0)
        n, y, x = truth[1].unbind(1)
        place = y * across + x
        black = without(patches @ flat.T / patches.norm(dim=1, keepdim=True) / flat.norm(dim=1), faint)
        own = centred - centred.view(-1, 3, height * width).mean(2).repeat_interleave(height * width, 1)
        own = own @ flat.T / own.norm(dim=1, keepdim=True) / flat.norm(dim=1)
        inside = ((places[:, 1] < down - 1) & (places[:, 2] < across - 1))[:, None]
        return {
            "the loudest patch wins: its own length is not divided out": best(answers / flat.norm(dim=1)),
            "the loudest patch wins: neither its length nor the filter's is divided out": best(answers),
            "this is the cosine at the place of the largest response; look for the largest cosine": (
                cosines.gather(0, loudest[None])[0],
                places[loudest],
            ),
            "the filter's own length is not divided out": best(right * flat.norm(dim=1)),
            "lengths are squared: is a root missing": best(
                without(answers / lengths.square() / flat.square().sum(1), faint)
            ),
            "patches are measured from black, not from the mean": best(black),
            "patches lose their own mean; measure them from the mean that is given": best(without(own, faint)),
            "the sign is lost: a patch like the filter's negative is not near": best(without(cosines.abs(), faint)),
            "a patch without contrast wins; leave such patches out": best(cosines),
            "faint patches slip through: contrast is the root of the mean square, not the length": best(
                without(cosines, lengths < contrast)
            ),
            "the last row and the last column of patches are left out": best(without(right, ~inside)),
            "row and column have changed places": (truth[0], torch.stack([n, x, y], 1)),
            "a row of places is shorter than a row of the picture: see where a flat place becomes row and column": (
                truth[0],
                torch.stack([n, place // wide, place % wide], 1),
            ),
            "the place is the middle of the patch; its top left corner is asked for": (
                truth[0],
                torch.stack([n, y + height // 2, x + width // 2], 1),
            ),
        }

    compare(student(images, weights, mean, contrast), truth, mistakes)


@stand_in("1.3")
def nearest_patches_stand_in(images, weights, mean, contrast):
    from helpers.stimulus import closest_patches

    found = closest_patches(weights, images.split(1), "the network's mean", mean, contrast)
    places = [(picture, *corner) for picture, corner in zip(found.pictures, found.corners, strict=True)]
    return found.cosines, torch.tensor(places, device=weights.device)


PAIRS = [(0.2, 0.7, 3, 6, 9, 0.17, 1.8, 0.6), (0.2, 0.7, 2, 7, 5, 0.24, 1.3, 1.4), (-3, 3, 4, 5, 6, 0.1, 2.5, 1.0)]


@exercise("1.4", "gabor_pairs", cases=PAIRS)
def gabor_pairs(student, draw, low, high, count, height, width, frequency, sigma, aspect):
    angles = torch.cat([draw.uniform(1, low=low, high=high), draw.uniform(count - 1, low=0.9, high=1.4)])
    numbers = {"height": height, "width": width, "frequency": frequency, "sigma": sigma, "aspect": aspect}
    given = {"angles": angles} | numbers

    def pairs(**changed):
        return _unit(_centred(_waves(**given | changed)))

    truth = pairs()

    def mistakes():
        raw = _waves(**given)
        centred = _centred(raw)
        return {
            "the angles are radians already": pairs(angles=angles * math.pi / 180),
            "x and y have changed places: x counts columns, y counts rows": pairs(swap=True),
            "the middle is wrong: in a row of 4 it lies between two pixels": pairs(middle=(height // 2, width // 2)),
            "the origin is in a corner; it belongs in the middle of the filter": pairs(middle=(0, 0)),
            "the frequency counts cycles per pixel, the cosine wants radians": pairs(
                frequency=frequency / (2 * math.pi)
            ),
            "the aspect is to be squared as y' is": pairs(aspect=math.sqrt(aspect)),
            "the bell is too narrow: look at its denominator": pairs(sigma=sigma / math.sqrt(2)),
            "the bell is too wide: look at its denominator": pairs(sigma=sigma * math.sqrt(2)),
            "the sigma of the bell is to be squared": pairs(sigma=math.sqrt(sigma)),
            "the aspect belongs to the direction across the wave, not along it": pairs(aspect_along=True),
            "x' and y' are not at right angles: look at the signs": pairs(skewed=True),
            "the wave is turned the other way: look at the signs in x' and y'": pairs(angles=-angles),
            "the second of each pair has the wrong sign: what does a quarter turn make of a cosine": torch.stack(
                [truth[:, 0], -truth[:, 1]], 1
            ),
            "the two of a pair have changed places": truth.flip(1),
            "the phase is a quarter turn in radians, not in degrees": pairs(phase=90.0),
            "neither the mean is taken off nor the length divided out": raw,
            "the mean is not taken off": _unit(raw),
            "the length is not divided out": centred,
            "the mean must go before the length is measured": _centred(_unit(raw)),
            "each filter is to have length one, not each pair": _unit(centred, (1, 2, 3)),
            "each filter is to have length one, not all together": _unit(centred, (0, 1, 2, 3)),
            "the sum of sizes is one; the length is the root of the sum of squares": centred
            / centred.abs().sum((2, 3), keepdim=True),
        }

    compare(student(*given.values()), truth, mistakes)


def _waves(
    angles,
    height,
    width,
    frequency,
    sigma,
    aspect,
    swap=False,
    middle=None,
    skewed=False,
    aspect_along=False,
    phase=math.pi / 2,
):
    """Gabor functions (K, 2, h, w) by way of complex numbers, or with a mistake."""
    middle = middle or ((height - 1) / 2, (width - 1) / 2)
    y = torch.arange(height).to(angles)[:, None] - middle[0]
    x = torch.arange(width).to(angles)[None, :] - middle[1]
    point = torch.complex(*torch.broadcast_tensors(*((y, x) if swap else (x, y))))
    turned = point * torch.polar(torch.ones_like(angles), -angles)[:, None, None]
    along, across = turned.real, turned.imag
    bell_along, bell_across = along, across
    if skewed:
        bell_across = across + 2 * point.real * angles.sin()[:, None, None]
    bell_along, bell_across = (aspect * along, across) if aspect_along else (bell_along, aspect * bell_across)
    bell = torch.exp(-(bell_along**2 + bell_across**2) / (2 * sigma**2))
    wave = torch.polar(bell, 2 * math.pi * frequency * along)
    return torch.stack([wave.real, math.cos(phase) * wave.real - math.sin(phase) * wave.imag], 1)


def _centred(waves):
    return waves - waves.mean((2, 3), keepdim=True)


def _unit(waves, axes=(2, 3)):
    return waves / waves.square().sum(axes, keepdim=True).sqrt()


@stand_in("1.4")
def gabor_pairs_stand_in(angles, height, width, frequency, sigma, aspect):
    from helpers.gabor import gabor

    size = max(height, width)
    centre = ((width - size) / 2, (height - size) / 2)  # of the part of the square that is kept
    pairs = [
        [gabor(size, frequency, math.degrees(angle), phase, sigma, aspect, centre) for phase in (0, 90)]
        for angle in angles.tolist()
    ]
    pairs = torch.stack([torch.stack(pair) for pair in pairs])[..., :height, :width].to(angles)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return F.normalize(pairs.flatten(2), dim=2).unflatten(2, (height, width))
