"""Neural texture: pictures that share a photo's feature statistics, and nothing else of it.

Gatys, Ecker and Bethge, "Texture Synthesis Using Convolutional Neural Networks", NeurIPS 2015. A texture is what
remains of a feature map when one forgets where things are: which features fire, and which fire together.
Berger and Memisevic, "Incorporating Long-Range Consistency in CNN-based Texture Generation", ICLR 2017.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.core.activations import distance
from helpers.core.arguments import at_least, at_once, channels, one_of, positions, sides_of, single, whole_numbers
from helpers.core.descent import Objective, lbfgs
from helpers.core.folding import sharing
from helpers.core.images import Image, noise, resize
from helpers.core.networks import Channel, Layer, Network
from helpers.core.steps import Seed, Step

Pooling = Literal["as trained", "average"]
Statistics = Literal["gram", "diagonal", "means"]
SMALLEST = 32  # pixels; below it the deepest layers have no room for their windows

_VGG = ("relu1_1", "pool1", "pool2", "pool3", "pool4")
_RESNET = ("relu1", "layer1", "layer2", "layer3", "layer4")
# One layer for each depth, "up to conv1" … "up to conv5". Chosen for the default network and for vgg16_edges by looking
# at brick, gravel, grass and ihc; for the others the last layer of each resolution.
DEPTHS = {
    "efficientnet_lite0": ("relu1", "blocks.0", "blocks.1", "blocks.2", "blocks.4"),
    "alexnet": ("relu1", "relu2", "relu3", "relu4", "relu5"),
    "vgg16": _VGG,
    "vgg19": _VGG,
    "vgg16_edges": _VGG,
    "resnet18": _RESNET,
    "resnet101": _RESNET,
    "densenet121": ("relu1", "block1", "block2", "block3", "block4"),
    "squeezenet1_1": ("relu1", "fire3", "fire5", "fire7", "fire9"),
    "googlenet": ("conv1", "conv3", "inception3b", "inception4d", "inception5b"),
}


# ── The loss ─────────────────────────────────────────────────────────────────────────────────────────────────


def gram(features: Tensor) -> Tensor:
    """How strongly each two channels fire together, wherever in the picture they do: (N, C, H, W) → (N, C, C).

    G_ij = 1/(H·W) Σ_p F_ip F_jp, equation 1 of Gatys et al. (2015) divided by the number of positions p, so that
    pictures of any size can be compared.

    Raises:
        ValueError: `features` is not (N, C, H, W).
    """
    if features.ndim != 4:
        raise ValueError(f"features must have shape (N, C, H, W), not {tuple(features.shape)}")
    places = features.permute(0, 2, 3, 1).flatten(1, 2)  # (N, H·W, C), no copy of maps as they lie in a network
    return places.mT @ places / places.shape[1]  # normalised by H·W, as in Gatys' own code; not by C


def statistics_of(features: Tensor, statistics: Statistics = "gram") -> Tensor:
    """What is kept of maps (N, C, H, W) when one forgets where things are: means over their positions p.

    "gram": (N, C, C), see `gram`. "diagonal": only its diagonal, 1/(H·W) Σ_p F_ip², (N, C): how strongly each channel
    fires, but not which fire together. "means": 1/(H·W) Σ_p F_ip, (N, C). Li et al. 2017, "Demystifying Neural Style
    Transfer", ask what of the Gram matrix is needed; theirs are means and standard deviations at once.

    Raises:
        ValueError: `features` is not (N, C, H, W), or an unknown name.
    """
    one_of("statistics", statistics, Statistics)
    if statistics == "gram" or features.ndim != 4:
        return gram(features)
    return (features if statistics == "means" else features.square()).mean((2, 3))


def products(
    network: Network, image: Image, layer: Layer = "blocks.0", channel: Channel = 0, other: Channel = 1
) -> Tensor:
    """Two maps of a layer and their product, place by place; its mean is their entry of the Gram matrix, see `gram`.

    Args:
        image: a single picture (1, 3, H, W).
        layer: one whose output is (1, C, h, w).
        channel: the first map, i.
        other: the second map, j; with j = i the product is a square.

    Returns:
        F_i, F_j and F_i F_j, (3, h, w).

    Raises:
        ValueError: a batch of pictures, a layer without positions, or no such channel.
    """
    single("image", image)
    positions(network, layer)
    with torch.no_grad():
        maps = network.activation(image, layer)[0]
    first, second = channels([channel, other], len(maps), layer)
    return torch.stack([maps[first], maps[second], maps[first] * maps[second]])


def signed(maps: Tensor) -> Tensor:
    """Maps (K, h, w) as pictures (K, 3, h, w): red above 0, blue below; full at each one's strongest hundredth."""
    limits = maps.abs().flatten(1).quantile(0.99, dim=1).clamp_min(1e-12)
    shares = (maps / limits[:, None, None]).clamp(-1, 1)
    return 1 - torch.stack([(-shares).clamp_min(0), shares.abs(), shares.clamp_min(0)], 1)


def gram_distance(grams: Tensor, target: Tensor) -> Tensor:
    """‖G − A‖² / ‖A‖² for each of a batch: (N, C, C) and (N or 1, C, C) → (N,). 0: the same; 1: as far as G = 0.

    Diagonals and means, (N, C), are compared alike. The paper's E_l = ‖G − A‖² / 4C² (with H·W inside G) depends on how
    large a network's activations happen to be. Dividing by the target's own size is the departure that lets one weight
    mean the same at every layer of every network.
    """
    return distance(grams, target)


def twice_as_large(network: Network, images: Tensor) -> Tensor:
    """Twice the size where the network's first layer skips pixels, so that every pixel is looked at alike.

    A convolution with stride 2 meets even and odd pixels with different weights, and a picture made for it shows
    the grid. VGG's first layer has stride 1: nothing is done.
    """
    first = next(iter(network.layers), None)
    if first is None or network.receptive_field(first).stride == (1, 1):
        return images
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def viewer(network: Network, doubled: bool) -> Callable[[Tensor], Tensor]:
    """What the network is shown of images: `twice_as_large` where `doubled`, else the images themselves."""
    return (lambda images: twice_as_large(network, images)) if doubled else (lambda images: images)


def texture_objective(
    network: Network,
    image: Tensor,
    weights: Mapping[str, float],
    doubled: bool = True,
    statistics: Statistics = "gram",
) -> Objective:
    """The texture loss of `image`: a function from images (N, 3, H, W) of any size to its terms by layer, each (N,).

    Term of layer l: w_l ‖G_l − A_l‖² / ‖A_l‖², equation 3 of Gatys et al. (2015); A_l are the Gram matrices of
    `image` (1, 3, H, W). See `gram_distance` for the one departure. No item of a batch enters another's terms.

    Args:
        weights: layer → w_l.
        doubled: `twice_as_large`, what the network is shown.
        statistics: G_l in full, or what `statistics_of` leaves of it.
    """
    show = viewer(network, doubled)

    def measured(images):
        values = network.activations(show(images), weights, as_they_lie=True)
        return {layer: statistics_of(values[layer], statistics) for layer in weights}

    with torch.no_grad():
        targets = measured(image)

    def terms(images):
        found = measured(images)
        return {layer: weight * gram_distance(found[layer], targets[layer]) for layer, weight in weights.items()}

    return terms


def shifted_objective(
    network: Network,
    image: Tensor,
    layers: Sequence[str],
    shifts: Sequence[tuple[int, int]],
    shifted_gram: Callable[[Tensor, int, int], Tensor],
) -> Objective:
    """As `texture_objective`, with tables of what fires together over a distance: Berger and Memisevic (2017).

    Every layer and every shift has one term, and all the same weight.

    Args:
        shifts: (dy, dx) in places of a layer; (0, 0) is the Gram matrix.
        shifted_gram: of features (N, C, H, W), dy and dx a table (N, C, C).
    """

    def tables(images):
        features = network.activations(twice_as_large(network, images), layers)
        return {f"{layer} {shift}": shifted_gram(features[layer], *shift) for layer in layers for shift in shifts}

    with torch.no_grad():
        targets = tables(image)

    def terms(images):
        found = tables(images)
        return {name: gram_distance(found[name], targets[name]) / len(targets) for name in targets}

    return terms


# ── The synthesis ────────────────────────────────────────────────────────────────────────────────────────────


@at_once
def texture(
    network: Network,
    image: Image,
    depth: Annotated[int, (1, 5, 1)] = 5,
    size: Annotated[int, (64, 384, 32)] = 128,
    count: Annotated[int, (1, 4, 1)] = 1,
    steps: Annotated[int, (10, 1000, 10)] = 700,
    statistics: Statistics = "gram",
    levels: Annotated[int, (1, 3, 1)] = 2,
    pooling: Pooling = "as trained",
    doubled: bool = True,
    range_weight: Annotated[float, (0.0, 200.0, 10.0)] = 100.0,
    seed: Seed = 0,
    layers: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
) -> Iterator[Step]:
    """Noise that becomes a texture: pictures whose Gram matrices approach those of `image`, by L-BFGS.

    Args:
        image: the texture, (1, 3, H, W); any size.
        depth: match the layers up to conv1 (1) … conv5 (5), see `layers_to`.
        size: of the result: the side of a square, or (height, width). It need not be the input's.
        count: how many results; number k starts from the noise of `seed + k` and depends on no other.
        steps: evaluations of network and gradient, all levels together.
        statistics: what of each layer is matched: the Gram matrix, its diagonal, or the channels' means.
        levels: 1, or the number of sizes, each half of the next, at which the problem is solved from coarse to fine,
            each from the enlarged result of the one before. See `shares` for who gets how many of the evaluations.
            Sizes at which a side of the result or of the texture were below 32 pixels are left out.
        pooling: "average" replaces maximum pooling, see `with_average_pooling`.
        doubled: show the network enlarged pictures where its first layer skips pixels, see `twice_as_large`.
        range_weight: of the mean squared excess of pixels beyond [0, 1], the term "range" of the loss. With 0 they run
            free, and what is shown, cut to [0, 1], has several times the loss of what was found.
        layers: instead of `depth`, any layers whose output is (N, C, H, W).
        weights: w_l, one for each layer; default: all alike. They are divided by their sum.

    Raises:
        ValueError, TypeError: an argument that is out of range.
    """
    single("image", image)
    if min(image.shape[-2:]) < SMALLEST:
        raise ValueError(
            f"image must have at least {SMALLEST}×{SMALLEST} pixels, not {image.shape[2]}×{image.shape[3]}"
        )
    sides = sides_of(size)
    whole_numbers(SMALLEST, height=sides[0], width=sides[1])
    whole_numbers(1, count=count, levels=levels)
    levels = min(levels, 1 + int(math.log2(min(*sides, *image.shape[-2:]) / SMALLEST)))
    whole_numbers(levels, steps=steps)
    at_least(0, range_weight=range_weight)
    one_of("pooling", pooling, Pooling)
    one_of("statistics", statistics, Statistics)
    layers = layers_to(network, depth) if layers is None else list(layers)
    weights = layer_weights(network, layers, weights)
    yield

    image = image.to(network.device)
    if pooling == "average":
        network = with_average_pooling(network, image)
    images, done = None, 0
    for level, evaluations in zip(reversed(range(levels)), shares(steps, levels), strict=True):
        extent, reduced = (tuple(side >> level for side in pair) for pair in (sides, image.shape[-2:]))
        small = resize(image, reduced)
        objective = texture_objective(network, small, weights, doubled, statistics)
        objective = _in_range(objective, range_weight) if range_weight else objective
        if images is None:
            start = torch.cat([noise_about(small, extent, seed + k) for k in range(count)])
        else:
            start = resize(images, extent)
        for step in descend([objective] * count, start, evaluations):
            images = step.image
            yield Step(done + step.index, steps, resize(images, tuple(sides)), step.losses)
        done += evaluations


def _in_range(objective: Objective, weight: float) -> Objective:
    """The objective with one more term, for pixels beyond [0, 1]."""

    def terms(images):
        excess = (images - images.clamp(0, 1)).square().mean((1, 2, 3))
        return {**objective(images), "range": weight * excess}

    return terms


def shares(steps: int, levels: int) -> list[int]:
    """Of `steps` evaluations each level's, coarse to fine: the finest has three quarters or more, the others the rest.

    Measured at 128 px: 700 evaluations, a quarter of them at half the size, end at 0.0004 (gravel) and 0.0013 (ihc);
    1000 at the full size alone at 0.0002 and 0.0024.
    """
    coarse = [max(1, steps // (4 * (levels - 1)))] * (levels - 1) if levels > 1 else []
    return [*coarse, steps - sum(coarse)]


def descend(objectives: Sequence[Objective], start: Tensor, steps: int) -> Iterator[Step]:
    """Images that lower their objectives by L-BFGS, each its own; a Step for each evaluation, the first with `start`.

    Pixels that are optimised run free. Values outside [0, 1] are cut off in what is shown, never in what is optimised:
    that would spoil the curvature that L-BFGS has gathered.

    Args:
        objectives: for each of `start` a function from an image (1, 3, H, W) to its terms by name, each (1,).
        start: images (N, 3, H, W).
        steps: evaluations of each objective.
    """
    for index, (point, terms) in zip(range(1, steps + 1), lbfgs(objectives, start), strict=False):
        yield Step(index, steps, point.clamp(0, 1), {name: values.mean().item() for name, values in terms.items()})


def noise_about(image: Tensor, size: tuple[int, int], seed: int) -> Tensor:
    """White noise (1, 3, *size) about the mean colour of `image`, on its device; the same on every device."""
    return image.mean((2, 3), keepdim=True) + 0.1 * noise((1, 3, *size), seed, image)


# ── Layers and their weights ─────────────────────────────────────────────────────────────────────────────────


def layers_to(network: Network, depth: int = 5) -> list[str]:
    """The layers "up to conv1" (depth 1) … "up to conv5" (depth 5) of a network of the registry.

    Raises:
        ValueError: depth is not from 1 to 5, or the network is not in the registry.
    """
    one_of("depth", depth, range(1, 6))
    if network.name not in DEPTHS:
        raise ValueError(f"network {network.name} has no chosen layers; name them with layers=[…]")
    return list(DEPTHS[network.name][:depth])


def layer_weights(network: Network, layers: Sequence[str], weights: Sequence[float] | None) -> dict[str, float]:
    """layer → weight, the weights divided by their sum; all alike by default.

    Raises:
        ValueError: no layers, one twice, one unknown or not (N, C, H, W), or weights that do not fit.
    """
    if not layers or len(set(layers)) != len(layers):
        raise ValueError(f"layers must name at least one layer, and each only once, not {list(layers)}")
    for layer in layers:
        positions(network, layer)
    weights = [1.0] * len(layers) if weights is None else [float(weight) for weight in weights]
    if len(weights) != len(layers):
        raise ValueError(f"weights must have one entry for each of the {len(layers)} layers, not {len(weights)}")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) == 0:
        raise ValueError(f"weights must be finite, at least 0 and not all 0, not {weights}")
    return {layer: weight / sum(weights) for layer, weight in zip(layers, weights, strict=True)}


# ── Average pooling ──────────────────────────────────────────────────────────────────────────────────────────


def with_average_pooling(network: Network, image: Tensor) -> Network:
    """A copy of the network that averages where the original takes maxima; the original stays as it is.

    Gatys et al. (2015) replace the pooling and go on; here each average is also multiplied by the ratio that the
    means of the two poolings have on `image` (about 1.4 to 2.3 in VGG), so that later layers see activations as
    large as those they were trained on. The weights are shared with the original, not copied.
    """
    ratios: dict[str, float] = {}

    def measure(path):
        def hook(pool, inputs, output):
            average = _ScaledAverage(pool, 1.0)(inputs[0]).mean()
            ratios.setdefault(path, float(output.mean() / average) if average > 0 else 1.0)

        return hook

    pools = {path: module for path, module in network.model.named_modules() if isinstance(module, nn.MaxPool2d)}
    handles = [module.register_forward_hook(measure(path)) for path, module in pools.items()]
    try:
        with torch.no_grad():
            network.model(network.normalise(image))
    finally:
        for handle in handles:
            handle.remove()
    average = sharing(network)
    for path, ratio in ratios.items():
        parent, _, name = path.rpartition(".")
        setattr(average.model.get_submodule(parent), name, _ScaledAverage(pools[path], ratio))
    return average


class _ScaledAverage(nn.Module):
    """Average pooling where a network had maximum pooling, times a constant."""

    def __init__(self, pool: nn.MaxPool2d, scale: float):
        super().__init__()
        self.pool = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, count_include_pad=False)
        self.scale = scale

    def forward(self, x):
        return self.scale * self.pool(x)
