"""Style transfer: the content of one picture in the texture of another.

Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016. One deep layer says
where things are (feature reconstruction), Gram matrices of several layers say what the surface is like; the picture
is optimised until it satisfies both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from helpers.core.activations import distance
from helpers.core.arguments import above, at_least, at_once, from_to, one_of, single
from helpers.core.descent import Objective, adam, lbfgs
from helpers.core.images import Image, check, resize
from helpers.core.networks import Layer, Network
from helpers.core.priors import total_variation
from helpers.core.steps import Seed, Step
from helpers.texture import SMALLEST, gram, gram_distance, layer_weights, layers_to, noise_about, viewer

Start = Literal["content", "noise"]
Optimiser = Literal["L-BFGS", "Adam"]

# The layer whose activations are the content; chosen by looking, at a depth like that of Gatys' conv4_2 in VGG.
CONTENT = {
    "efficientnet_lite0": "blocks.2",
    "alexnet": "relu4",
    "vgg16": "relu4_2",
    "vgg19": "relu4_2",
    "vgg16_edges": "relu4_2",
    "resnet18": "layer2",
    "resnet101": "layer2",
    "densenet121": "block2",
    "squeezenet1_1": "fire5",
    "googlenet": "inception3b",
}

# Luminance and two chrominances of the NTSC standard (YIQ).
LUMINANCE = (0.299, 0.587, 0.114)


def blended_grams(network: Network, styles: Sequence[Tensor], shares: Sequence[float], layers, doubled=True):
    """The Gram matrices that stand for several styles at once: layer → Σ_k share_k G_k, shape (1, C, C).

    Σ_k share_k ‖G − G_k‖² and ‖G − Σ_k share_k G_k‖² differ by a constant when the shares add up to 1, so aiming at
    the mixed matrix is the same as weighing the losses, at the price of one.
    """
    show = viewer(network, doubled)
    mixed = dict.fromkeys(layers, 0.0)
    with torch.no_grad():
        for style, share in zip(styles, shares, strict=True):
            for layer, values in network.activations(show(style), layers).items():
                mixed[layer] = mixed[layer] + share * gram(values)
    return mixed


def style_objective(
    network: Network,
    content: Tensor,
    grams: Mapping[str, Tensor],
    *,
    content_layer: str,
    content_weight: float,
    style_weights: Mapping[str, float],
    tv_weight: float = 0.0,
    doubled: bool = True,
) -> Objective:
    """Equation 7 of Gatys et al. (2016) as a function from images (N, 3, H, W) to its terms by name, each (N,).

    L = α · content + Σ_l w_l · style_l + tv: the content term compares one layer's activations with those of
    `content` (N or 1, 3, H, W), each style term one layer's Gram matrix with that of `grams`. Departure from equation
    1, which has ½‖F − P‖²: dividing by ‖P‖² lets one weight mean the same in every network.
    """
    show = viewer(network, doubled)
    with torch.no_grad():
        target = network.activation(show(content), content_layer) if content_weight else None
    asked = list(dict.fromkeys([*style_weights, *([content_layer] if content_weight else [])]))

    def terms(images):
        values = network.activations(show(images), asked, as_they_lie=True) if asked else {}
        found = {}
        if content_weight:
            found["content"] = content_weight * distance(values[content_layer], target)
        for layer, weight in style_weights.items():
            found[f"style {layer}"] = weight * gram_distance(gram(values[layer]), grams[layer])
        if tv_weight:  # an addition to the paper: it takes out the grain that Gram matrices leave open
            found["tv"] = tv_weight * total_variation(images, 2.0) / images[0].numel()
        return found

    return terms


def guided_objective(
    network: Network,
    content: Tensor,
    styles: Sequence[Tensor],
    masks: Tensor,
    guided_grams: Callable[[Tensor, Tensor], Tensor],
    *,
    content_weight: float = 1.0,
    style_weight: float = 1.0,
    tv_weight: float = 0.0,
    content_layer: str | None = None,
    layers: Sequence[str] | None = None,
    doubled: bool = True,
) -> Objective:
    """A style for each region, as a function from images (N, 3, H, W) to terms by name, each (N,).

    Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (CVPR 2017), on spatial control: a style
    term for each region, named "style 1", "style 2", …, in place of one for each layer. It is the mean over `layers`
    of the distances between the region's Gram matrices and those of its style.

    Args:
        styles: one for each region, (1, 3, h, w).
        masks: where each region is, (R, H, W).
        guided_grams: from activations (N, C, H', W') and the masks to the regions' Gram matrices (N, R, C, C).
        content_layer, layers: default: as in `style_transfer`.

    Raises:
        ValueError: not one style for each mask, or no layers are known for the network.
    """
    if len(styles) != len(masks):
        raise ValueError(f"styles must be one for each of the {len(masks)} masks, not {len(styles)}")
    layers = layers_to(network) if layers is None else list(layers)
    show = viewer(network, doubled)
    by_style = [blended_grams(network, [style], [1.0], layers, doubled) for style in styles]
    targets = {layer: torch.cat([grams[layer] for grams in by_style]) for layer in layers}
    rest = style_objective(
        network,
        content,
        {},
        content_layer=_content_layer(network, content_layer),
        content_weight=content_weight,
        style_weights={},
        tv_weight=tv_weight,
        doubled=doubled,
    )

    def terms(images):
        found, far = rest(images), 0.0
        for layer, values in network.activations(show(images), layers).items():
            grams = guided_grams(values, masks)
            far = far + torch.stack([gram_distance(each, targets[layer]) for each in grams]) / len(layers)  # (N, R)
        return found | {f"style {i}": style_weight * values for i, values in enumerate(far.unbind(1), start=1)}

    return terms


def with_colour_of(image: Tensor, content: Tensor) -> Tensor:
    """The luminance of `image` with the colours of `content`, both (N or 1, 3, H, W).

    Gatys et al., "Preserving Color in Neural Artistic Style Transfer" (2016), section 3.2, with the transfer run in
    colour and its colours exchanged afterwards.
    """
    weights = torch.tensor(LUMINANCE, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    brightness = (image * weights).sum(1, keepdim=True)
    return (content + brightness - (content * weights).sum(1, keepdim=True)).clamp(0, 1)


@at_once
def style_transfer(
    network: Network,
    content: Image,
    style: Image,
    style_weight: Annotated[float, (0.1, 10000.0, "log")] = 100.0,
    content_weight: Annotated[float, (0.0, 2.0, 0.1)] = 1.0,
    content_layer: Layer | None = None,
    depth: Annotated[int, (1, 5, 1)] = 5,
    start: Start = "content",
    tv_weight: Annotated[float, (0.0, 1000.0, 10.0)] = 30.0,
    style_scale: Annotated[float, (0.25, 2.0, 0.25)] = 1.0,
    keep_colour: bool = False,
    second: Image | None = None,
    blend: Annotated[float, (0.0, 1.0, 0.1)] = 0.5,
    levels: Annotated[int, (1, 3, 1)] = 2,
    optimiser: Optimiser = "L-BFGS",
    steps: Annotated[int, (10, 500, 10)] = 200,
    seed: Seed = 0,
    doubled: bool = True,
    layers: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
) -> Iterator[Step]:
    """Pictures that keep the layout of `content` and take the texture of `style`.

    Args:
        content: (N, 3, H, W); each of the batch is transferred on its own.
        style: (1, 3, h, w); its size may be another.
        style_weight: the weight of all style terms together; with `content_weight` the α and β of the paper.
        content_weight: 0 leaves pure texture synthesis.
        content_layer: whose activations are to be kept; default: the network's entry in `CONTENT`.
        depth: take the style from the layers up to conv1 (1) … conv5 (5), see `texture.layers_to`.
        start: the content itself, or noise of `seed`.
        tv_weight: weight of the total variation, the mean squared step between neighbouring pixels.
        style_scale: the style picture is scaled by this first; larger means coarser strokes.
        keep_colour: the result keeps the colours of the content.
        second: another style picture (1, 3, h, w), mixed in with the share `blend`.
        levels: solve at 1/2^(levels−1) of the size first and enlarge, so that strokes may grow large. Each level
            has half of the evaluations of the one before, as each costs four times as much.
        steps: evaluations of network and gradient, all levels together.
        doubled: show the network pictures of twice the size where its first layer skips pixels, four times the work;
            see `texture.twice_as_large`.
        layers: instead of `depth`, any layers whose output is (N, C, H, W).
        weights: one for each style layer; default: all alike. They are divided by their sum.

    Raises:
        ValueError, TypeError: an argument that is out of range.
    """
    check(content, "content")
    single("style", style)
    if second is not None:
        single("second", second)
    at_least(0, style_weight=style_weight, content_weight=content_weight, tv_weight=tv_weight)
    if style_weight == content_weight == 0:
        raise ValueError("style_weight and content_weight must not both be 0")
    above(0, style_scale=style_scale)
    from_to(0, 1, blend=blend)
    at_least(1, levels=levels)
    at_least(levels, steps=steps)
    one_of("start", start, Start)
    one_of("optimiser", optimiser, Optimiser)
    if min(content.shape[-2:]) // 2 ** (levels - 1) < SMALLEST:
        raise ValueError(f"content must have at least {SMALLEST} pixels a side at the coarsest of {levels} levels")
    content_layer = _content_layer(network, content_layer)
    layers = layers_to(network, depth) if layers is None else list(layers)
    shares = layer_weights(network, layers, weights)
    style_weights = {layer: style_weight * share for layer, share in shares.items() if style_weight}
    yield

    content = content.to(network.device)
    styles, parts = ([style], [1.0]) if second is None else ([style, second], [1 - blend, blend])
    styles = [_scaled(picture.to(network.device), style_scale) for picture in styles]
    grams = blended_grams(network, styles, parts, list(style_weights), doubled)
    weighing = {
        "content_layer": content_layer,
        "content_weight": content_weight,
        "style_weights": style_weights,
        "tv_weight": tv_weight,
        "doubled": doubled,
    }
    full, done = tuple(content.shape[-2:]), 0
    image = content
    if start == "noise":
        image = torch.cat([noise_about(styles[0], full, seed + k) for k in range(len(content))])
    for level in reversed(range(levels)):  # the same problem at one size after another, each from the one before
        size = tuple(side // 2**level for side in full)
        small, begin = resize(content, size), resize(image.clamp(0, 1), size)
        if optimiser == "Adam":
            points = adam(style_objective(network, small, grams, **weighing), begin, rate=0.02, within=(0, 1))
        else:
            points = lbfgs([style_objective(network, one, grams, **weighing) for one in small.split(1)], begin)
        share = -(-(steps - done) * 2**level // (2 ** (level + 1) - 1))  # 4:2:1 for three levels
        for index, (point, terms) in zip(range(done + 1, done + share + 1), points, strict=False):
            image = point.clamp(0, 1)
            shown = resize(image, full)
            losses = {name: values.mean().item() for name, values in terms.items()}
            yield Step(index, steps, with_colour_of(shown, content) if keep_colour else shown, losses)
        done += share


def _content_layer(network, layer):
    """The layer asked for, or the network's entry in `CONTENT`."""
    layer = layer or CONTENT.get(network.name)
    if layer is None:
        raise ValueError(f"content_layer must be named for network {network.name}")
    network.path(layer)
    return layer


def _scaled(picture, scale):
    height, width = picture.shape[-2:]
    size = (max(SMALLEST, round(height * scale)), max(SMALLEST, round(width * scale)))
    return resize(picture, size)
