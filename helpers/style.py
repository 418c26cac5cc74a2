"""Style transfer: the content of one picture in the texture of another.

Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016. One deep layer says
where things are (feature reconstruction), Gram matrices of several layers say what the surface is like; the picture
is optimised until it satisfies both.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from helpers.core import networks
from helpers.core.activations import distance
from helpers.core.arguments import above, at_least, at_once, from_to, one_of, single, whole_numbers
from helpers.core.descent import Objective, adam, lbfgs
from helpers.core.images import Image, check, cut, grid, load, resize, save
from helpers.core.networks import Layer, Network
from helpers.core.photos import DATA, photo
from helpers.core.priors import total_variation
from helpers.core.registry import SOURCES
from helpers.core.steps import Seed, Step, finish
from helpers.texture import (
    SMALLEST,
    Statistics,
    gram_distance,
    layer_weights,
    layers_to,
    noise_about,
    statistics_of,
    viewer,
)

Start = Literal["content", "noise"]
Optimiser = Literal["L-BFGS", "Adam"]

# The layer whose activations are the content; chosen by looking, at a depth like that of Gatys' conv4_2 in VGG: of
# pictures shown `doubled`, blocks.3 has a place for every 8 pixels, as conv4_2 has.
CONTENT = {
    "efficientnet_lite0": "blocks.3",
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

# How much the layers up to conv1 … conv5 weigh. On six paintings this left the content nearer to the photo than equal
# weights did, by a tenth; the style was nearer to two of them and a seventh further from four.
FALLING = (1.0, 0.8, 0.6, 0.5, 0.4)

# Luminance and two chrominances of the NTSC standard (YIQ).
LUMINANCE = (0.299, 0.587, 0.114)


def style_targets(
    network: Network,
    styles: Sequence[Tensor],
    shares: Sequence[float],
    layers: Sequence[str],
    doubled: bool = True,
    statistics: Statistics = "gram",
) -> dict[str, Tensor]:
    """What the style layers aim at, for one style or several at once: layer → Σ_k share_k G_k, shape (1, C, C).

    Σ_k share_k ‖G − G_k‖² and ‖G − Σ_k share_k G_k‖² differ by a constant when the shares add up to 1, so aiming at
    the mixed matrix is the same as weighing the losses, at the price of one. With other `statistics` than "gram" the
    targets are (1, C), see `texture.statistics_of`.
    """
    show = viewer(network, doubled)
    mixed = dict.fromkeys(layers, 0.0)
    with torch.no_grad():
        for style, share in zip(styles, shares, strict=True):
            for layer, values in network.activations(show(style), layers).items():
                mixed[layer] = mixed[layer] + share * statistics_of(values, statistics)
    return mixed


def style_objective(
    network: Network,
    content: Tensor,
    targets: Mapping[str, Tensor],
    *,
    content_layer: str,
    content_weight: float,
    style_weights: Mapping[str, float],
    tv_weight: float = 0.0,
    doubled: bool = True,
    statistics: Statistics = "gram",
) -> Objective:
    """Equation 7 of Gatys et al. (2016) as a function from images (N, 3, H, W) to its terms by name, each (N,).

    L = α · content + Σ_l w_l · style_l + tv: the content term compares one layer's activations with those of
    `content` (N or 1, 3, H, W), each style term what `statistics` leaves of one layer's Gram matrix with `targets`.
    Departure from equation 1, which has ½‖F − P‖²: dividing by ‖P‖² lets one weight mean the same in every network.
    """
    show = viewer(network, doubled)
    with torch.no_grad():
        kept = network.activation(show(content), content_layer) if content_weight else None
    asked = list(dict.fromkeys([*style_weights, *([content_layer] if content_weight else [])]))

    def terms(images):
        values = network.activations(show(images), asked, as_they_lie=True) if asked else {}
        found = {}
        if content_weight:
            found["content"] = content_weight * distance(values[content_layer], kept)
        for layer, weight in style_weights.items():
            found[f"style {layer}"] = weight * gram_distance(statistics_of(values[layer], statistics), targets[layer])
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
        styles: one for each region, (1, 3, h, w); resized to the longer side of `content`.
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
    styles = [_at_the_size_of(content, style) for style in styles]
    by_style = [style_targets(network, [style], [1.0], layers, doubled) for style in styles]
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


def distances(
    network: Network,
    image: Tensor,
    content: Tensor,
    style: Tensor,
    *,
    content_layer: str | None = None,
    layers: Sequence[str] | None = None,
    doubled: bool = True,
    statistics: Statistics = "gram",
) -> dict[str, float]:
    """How far a picture is from the content and from the style, by the two questions of `style_transfer`.

    "content": the content term with weight 1; "style": the mean of the style terms over the layers. 0 is the same,
    1 as far as silence. `style` (1, 3, h, w) is resized to the longer side of `content` (1, 3, H, W).
    """
    layers = layers_to(network) if layers is None else list(layers)
    targets = style_targets(network, [_at_the_size_of(content, style)], [1.0], layers, doubled, statistics)
    objective = style_objective(
        network,
        content,
        targets,
        content_layer=_content_layer(network, content_layer),
        content_weight=1.0,
        style_weights=layer_weights(network, layers, None),
        doubled=doubled,
        statistics=statistics,
    )
    with torch.no_grad():
        terms = {name: values.mean().item() for name, values in objective(image).items()}
    kept = terms.pop("content")
    return {"content": kept, "style": sum(terms.values())}


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
    style_weight: Annotated[float, (0.3, 300.0, "log")] = 10.0,
    content_weight: Annotated[float, (0.0, 2.0, 0.1)] = 1.0,
    content_layer: Layer | None = None,
    depth: Annotated[int, (1, 5, 1)] = 5,
    statistics: Statistics = "gram",
    start: Start = "content",
    tv_weight: Annotated[float, (0.0, 300.0, 5.0)] = 10.0,
    style_scale: Annotated[float, (0.25, 2.0, 0.25)] = 1.0,
    keep_colour: bool = False,
    second: Image | None = None,
    blend: Annotated[float, (0.0, 1.0, 0.1)] = 0.5,
    levels: Annotated[int, (1, 3, 1)] = 2,
    optimiser: Optimiser = "L-BFGS",
    steps: Annotated[int, (10, 500, 10)] = 200,
    seed: Seed = 0,
    size: Annotated[int, (96, 512, 32)] | None = None,
    doubled: bool = True,
    layers: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
) -> Iterator[Step]:
    """Pictures that keep the layout of `content` and take the texture of `style`.

    Args:
        content: (N, 3, H, W); each of the batch is transferred on its own.
        style: (1, 3, h, w), of any size; the larger, the better, as it is resized once, see `style_scale`.
        style_weight: the weight of all style terms together; with `content_weight` the α and β of the paper.
        content_weight: 0 leaves pure texture synthesis.
        content_layer: whose activations are to be kept; default: the network's entry in `CONTENT`.
        depth: take the style from the layers up to conv1 (1) … conv5 (5), see `texture.layers_to`.
        statistics: what of each style layer is matched: the Gram matrix, its diagonal, or the channels' means.
        start: the content itself, or noise of `seed`.
        tv_weight: weight of the total variation, the mean squared step between neighbouring pixels.
        style_scale: the longer side of the style picture as the network sees it, in longer sides of the content;
            larger means larger strokes, as long as the picture given has the pixels.
        keep_colour: the result keeps the colours of the content.
        second: another style picture (1, 3, h, w), mixed in with the share `blend`.
        levels: solve at 1/2^(levels−1) of the size first and enlarge, so that strokes may grow large. Each level
            has half of the evaluations of the one before, as each costs four times as much.
        steps: evaluations of network and gradient, all levels together.
        size: the content is resized to this longer side first; default: its own.
        doubled: show the network pictures of twice the size where its first layer skips pixels, four times the work;
            see `texture.twice_as_large`.
        layers: instead of `depth`, any layers whose output is (N, C, H, W).
        weights: one for each style layer, divided by their sum; default: `FALLING`, for other `layers` all alike.

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
    one_of("statistics", statistics, Statistics)
    one_of("optimiser", optimiser, Optimiser)
    if size is not None:
        whole_numbers(SMALLEST, size=size)
        content = resize(content, size)
    if min(content.shape[-2:]) // 2 ** (levels - 1) < SMALLEST:
        raise ValueError(f"content must have at least {SMALLEST} pixels a side at the coarsest of {levels} levels")
    content_layer = _content_layer(network, content_layer)
    if layers is None:
        layers = layers_to(network, depth)
        weights = FALLING[:depth] if weights is None else weights
    shares = layer_weights(network, list(layers), weights)
    style_weights = {layer: style_weight * share for layer, share in shares.items() if style_weight}
    yield

    content = content.to(network.device)
    styles, parts = ([style], [1.0]) if second is None else ([style, second], [1 - blend, blend])
    styles = [_at_the_size_of(content, picture.to(network.device), style_scale) for picture in styles]
    targets = style_targets(network, styles, parts, list(style_weights), doubled, statistics)
    weighing = {
        "content_layer": content_layer,
        "content_weight": content_weight,
        "style_weights": style_weights,
        "tv_weight": tv_weight,
        "doubled": doubled,
        "statistics": statistics,
    }
    full, done = tuple(content.shape[-2:]), 0
    image = content
    if start == "noise":
        image = torch.cat([noise_about(styles[0], full, seed + k) for k in range(len(content))])
    for level in reversed(range(levels)):  # the same problem at one size after another, each from the one before
        size = tuple(side // 2**level for side in full)
        small, begin = resize(content, size), resize(image.clamp(0, 1), size)
        if optimiser == "Adam":
            points = adam(style_objective(network, small, targets, **weighing), begin, rate=0.02, within=(0, 1))
        else:
            points = lbfgs([style_objective(network, one, targets, **weighing) for one in small.split(1)], begin)
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


def _at_the_size_of(content, style, scale=1.0):
    """The style picture, resized once: its longer side becomes `scale` times that of the content."""
    long, short = max(style.shape[-2:]), min(style.shape[-2:])
    return resize(style, round(max(max(content.shape[-2:]) * scale, SMALLEST * long / short)))


# ── What comes with the course ───────────────────────────────────────────────────────────────────────────────

CONTENTS, STYLES = ("chelsea", "astronaut", "china"), ("night", "window", "woodcut", "wave")

# Title → the painting, and the knobs of a run on the cat, 192 pixels, 300 evaluations.
EXPERIMENTS = {
    f"start {start}, content weight {weight}": ("night", {"start": start, "content_weight": float(weight)})
    for start in ("content", "noise")
    for weight in (1, 0)
}
EXPERIMENTS |= {
    f"β/α = {ratio}, up to conv{depth}": ("window", {"style_weight": float(ratio), "depth": depth})
    for ratio in (1, 10, 100)
    for depth in (1, 3, 5)
}
EXPERIMENTS |= {name: ("window", {"statistics": name}) for name in ("means", "diagonal")}
EXPERIMENTS |= {"vgg16_edges": ("night", {})}


def gallery() -> dict[tuple[str, str], Tensor]:
    """(content, style) → what `style_transfer` makes of them with its defaults, 256 px a side, from data/style.jpg."""
    tiles = cut(load(DATA / "style.jpg"), len(CONTENTS), len(STYLES)).split(1)
    return dict(zip(itertools.product(CONTENTS, STYLES), tiles, strict=True))


def experiments() -> dict[str, Tensor]:
    """Title → the result of each of `EXPERIMENTS`, 192 px a side, from data/style_runs.jpg."""
    return dict(zip(EXPERIMENTS, cut(load(DATA / "style_runs.jpg"), 4, 4).split(1), strict=True))


def draw() -> None:
    """Write the files that `gallery` and `experiments` read. A quarter of an hour on two idle cores."""
    network, cat = networks.load(), photo("chelsea", 192)
    pairs = itertools.product(CONTENTS, STYLES)
    runs = {pair: style_transfer(network, photo(pair[0], 256), photo(pair[1])) for pair in pairs}
    save(grid(torch.cat([finish(run, str(pair)).image for pair, run in runs.items()]), 4, gap=0), DATA / "style.jpg")
    made = []
    for name, (style, knobs) in EXPERIMENTS.items():
        shown = networks.load(name) if name in SOURCES else network
        made.append(finish(style_transfer(shown, cat, photo(style), steps=300, **knobs), name).image)
    save(grid(torch.cat(made), 4, gap=0), DATA / "style_runs.jpg")


if __name__ == "__main__":
    draw()
