"""Which pixels a score hangs on: gradients, their remedies, and guided backprop.

Every map is a gradient with respect to the picture's own pixels, values in [0, 1], whatever the network's
normalisation. Forward and backward run once for a batch; only the pixels are differentiated.

Sources:
    Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks", section 3 (saliency)
    Springenberg et al. 2015, "Striving for Simplicity", section 3.4 (guided backprop)
    Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 2.1 (deconvnet)
    Smilkov et al. 2017, "SmoothGrad", on smoothing noisy gradients
    Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks", sections 3 and 5
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from helpers.core.arguments import at_least, channels, one_of, single, targets
from helpers.core.images import Image, check
from helpers.core.networks import Category, Channel, Layer, Network, Score
from helpers.core.relus import ReluRule, Rule
from helpers.core.steps import Seed

Colours = Literal["max", "l2", "signed", "all"]
Baseline = Literal["mean", "black", "white"]
Spacing = Literal["even", "early"]


# ── The gradient of a class score ────────────────────────────────────────────────────────────────────────────


def saliency(
    network: Network,
    image: Image,
    category: Category,
    score: Score = "logit",
    rule: Rule = "gradient",
    times_input: bool = False,
    colours: Colours = "max",
) -> Tensor:
    """How strongly each pixel pulls at a class score: |∂score/∂pixel|, the largest over the colours.

    Simonyan et al. 2014, section 3.1; all images in one forward and one backward pass.

    Args:
        image: (N, 3, H, W) in [0, 1].
        category: one class for all images, or a sequence of N of them.
        score: the class score before softmax, or what softmax makes of it.
        rule: how the gradient passes a ReLU; see `ReluRule`.
        times_input: multiply the gradient by pixel − mean pixel: the first-order share of each pixel in what
            sets the picture apart from a plain one.
        colours: what becomes of the three colours; see `join_colours`.

    Returns:
        (N, 1, H, W), or (N, 3, H, W) for `colours="all"`.

    Raises:
        ValueError, TypeError: a bad image, category or choice; the message names it.
    """
    wanted, image = _prepare(network, image, category, score=score, colours=colours)
    gradient = _gradient(image, rule, lambda pixels: _of(network.scores(pixels, score), wanted))
    if times_input:
        gradient = gradient * (image - _baseline(network, image, "mean"))
    return join_colours(gradient, colours)


def join_colours(gradient: Tensor, colours: Colours = "max") -> Tensor:
    """Three numbers a pixel (N, 3, H, W) as one (N, 1, H, W).

    "max": the largest absolute value, max_c |g_c| (Simonyan et al. 2014, section 3.1); "l2": √Σ_c g_c²;
    "signed": Σ_c g_c, the change when the pixel brightens in all colours; "all": left as they are.
    """
    one_of("colours", colours, Colours)
    if colours == "max":
        return gradient.abs().amax(1, keepdim=True)
    if colours == "l2":
        return gradient.norm(dim=1, keepdim=True)
    return gradient.sum(1, keepdim=True) if colours == "signed" else gradient


def _gradient(image, rule, value):
    """∂ Σ value(image) / ∂ image, with `rule` at every ReLU."""
    pixels = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        with nullcontext() if one_of("rule", rule, Rule) == "gradient" else ReluRule(rule):
            total = value(pixels).sum()  # images do not influence one another: one sum serves them all
        return torch.autograd.grad(total, pixels)[0]


def _of(scores, wanted):
    """Each picture's score of its own class, (N,)."""
    return scores.gather(1, wanted[:, None])[:, 0]


def _prepare(network, image, category, **choices):
    """Check the arguments that all maps share; the classes as a tensor (N,), and the image on the device."""
    image = check(image, "image").detach().to(network.device)
    for name, kind in (("score", Score), ("colours", Colours)):
        if name in choices:
            one_of(name, choices[name], kind)
    return targets(network, category, len(image)), image


def _baseline(network, image, baseline):
    colour = {"mean": network.mean_pixel, "black": torch.zeros(3), "white": torch.ones(3)}[baseline]
    return colour.to(image).view(1, 3, 1, 1).expand_as(image)


# ── The remedies for noise ───────────────────────────────────────────────────────────────────────────────────


def smoothgrad(
    network: Network,
    image: Image,
    category: Category,
    level: Annotated[float, (0.0, 0.5, 0.01)] = 0.15,
    samples: Annotated[int, (1, 64, 1)] = 24,
    rule: Rule = "gradient",
    colours: Colours = "max",
    score: Score = "logit",
    seed: Seed = 0,
    batch: int | None = None,
) -> Tensor:
    """The mean gradient over noisy copies of the picture (Smilkov et al. 2017).

    The noise is normal with σ = level × (max − min of the picture), as in the paper; the same noise serves every
    image of a batch, so that each gets what it would get alone. The signed gradients are averaged, and only
    their mean is joined over the colours.

    Args:
        level: σ as a part of the picture's range; the paper advises 0.1 to 0.2.
        samples: how many copies.
        batch: how many pictures go through the network at once; default: 8 on a CPU, 64 on a GPU.
        image, category, score, rule, colours: as in `saliency`.

    Returns:
        (N, 1, H, W), or (N, 3, H, W) for `colours="all"`.
    """
    wanted, image = _prepare(network, image, category, score=score, colours=colours)
    at_least(0, level=level)
    at_least(1, samples=samples)
    copies = _copies_at_once(batch, network, image)
    sigma = level * (image.amax((1, 2, 3), keepdim=True) - image.amin((1, 2, 3), keepdim=True))
    random = torch.Generator().manual_seed(seed)

    def noisy(count):
        # one by one, so that they do not depend on how many go through the network together
        noise = [torch.randn(1, *image.shape[1:], generator=random, dtype=image.dtype) for _ in range(count)]
        return image + sigma * torch.stack(noise).to(image.device)

    total = torch.zeros_like(image)
    for count in _chunks(samples, copies):
        total += _summed_gradient(network, noisy(count), wanted, score, rule)
    return join_colours(total / samples, colours)


def integrated_gradients(
    network: Network,
    image: Image,
    category: Category,
    baseline: Baseline = "mean",
    steps: Annotated[int, (1, 256, 1)] = 32,
    spacing: Spacing = "even",
    colours: Colours = "signed",
    score: Score = "logit",
    batch: int | None = None,
) -> Tensor:
    """The gradient gathered on the straight way from a plain picture to this one, times that way.

    IG = (x − x₀) · ∫₀¹ ∂score(x₀ + α (x − x₀))/∂x dα (Sundararajan et al. 2017, equation 1). Complete: the sum
    over all pixels and colours is score(x) − score(x₀) but for the error of the sum that stands for ∫.

    Args:
        baseline: the plain picture x₀: the network's mean pixel everywhere, or black, or white.
        steps: points on the way. The paper sums at the right ends of the steps (equation 3); the midpoints
            taken here come closer with as many.
        spacing: "even", as in the paper, or "early": the points are dense near the baseline, where a score changes
            fastest. With α = t² the integral is ∫ f(t²) 2t dt, and the midpoints lie evenly in t.
        batch: how many pictures go through the network at once; default: 8 on a CPU, 64 on a GPU.
        image, category, score, colours: as in `saliency`; "signed" keeps completeness.

    Returns:
        (N, 1, H, W), or (N, 3, H, W) for `colours="all"`.
    """
    wanted, image = _prepare(network, image, category, score=score, colours=colours)
    one_of("baseline", baseline, Baseline)
    one_of("spacing", spacing, Spacing)
    at_least(1, steps=steps)
    copies = _copies_at_once(batch, network, image)
    plain = _baseline(network, image, baseline)
    middles = (torch.arange(steps, dtype=image.dtype, device=image.device) + 0.5) / steps
    alphas, weights = (middles, torch.ones_like(middles)) if spacing == "even" else (middles**2, 2 * middles)
    total = torch.zeros_like(image)
    for some, weight in zip(alphas.split(copies), weights.split(copies), strict=True):
        points = plain + some.view(-1, 1, 1, 1, 1) * (image - plain)
        total += _summed_gradient(network, points, wanted, score, weights=weight)
    return join_colours((image - plain) * total / steps, colours)


@dataclass(frozen=True)
class Way:
    """What a score does on the straight way from a baseline to a picture, at K points.

    Attributes:
        alphas: where on the way, from 0, the baseline, to 1, the picture, (K,).
        scores: the class score there, (K,).
        norms: the length of its gradient with respect to all pixels, (K,).
    """

    alphas: Tensor
    scores: Tensor
    norms: Tensor


def way(
    network: Network,
    image: Image,
    category: Category,
    baseline: Baseline = "mean",
    points: Annotated[int, (2, 201, 1)] = 101,
    score: Score = "logit",
) -> Way:
    """Score and gradient on the way that `integrated_gradients` takes: where a score saturates, and where it rises.

    Sturmfels, Lundberg, Lee 2020, "Visualizing the Impact of Feature Attribution Baselines", on saturation.

    Args:
        image: one picture, (1, 3, H, W).
        points: evenly spaced, both ends included.
        category, baseline, score: as in `integrated_gradients`.
    """
    wanted, image = _prepare(network, single("image", image), category, score=score)
    one_of("baseline", baseline, Baseline)
    at_least(2, points=points)
    plain = _baseline(network, image, baseline)
    alphas = torch.linspace(0, 1, points, dtype=image.dtype, device=image.device)
    scores, norms = [], []
    for some in alphas.split(8):
        pixels = plain + some.view(-1, 1, 1, 1) * (image - plain)
        heights = []

        def value(x, heights=heights):
            heights.append(_of(network.scores(x, score), wanted.expand(len(x))))
            return heights[0]

        norms.append(_gradient(pixels, "gradient", value).flatten(1).norm(dim=1))
        scores.append(heights[0].detach())
    return Way(alphas, torch.cat(scores), torch.cat(norms))


def _copies_at_once(batch, network, image):
    """How many copies of a batch of images go through the network together, at least 1."""
    if batch is None:
        batch = 8 if network.device.type == "cpu" else 64
    at_least(1, batch=batch)
    return max(1, batch // len(image))


def _chunks(total, size):
    """`total` as parts of at most `size`."""
    return [min(size, total - start) for start in range(0, total, size)]


def _summed_gradient(network, copies, wanted, score, rule="gradient", weights=None):
    """The gradients at several copies of a batch, (K, N, 3, H, W), summed over the copies: (N, 3, H, W)."""
    count = len(copies)
    gradient = _gradient(copies.flatten(0, 1), rule, lambda x: _of(network.scores(x, score), wanted.repeat(count)))
    gradient = gradient.unflatten(0, (count, -1))
    return gradient.sum(0) if weights is None else torch.einsum("k,knchw->nchw", weights, gradient)


# ── The gradient of any neuron ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Neurons:
    """What N units see in N pictures.

    Attributes:
        gradient: of each unit with respect to its picture's pixels, (N, 3, H, W).
        activation: of each unit, (N,).
        channel: of each unit, (N,).
        position: row and column of each unit in its layer, (N, 2); zeros where the layer has no positions.
        boxes: (top, left, bottom, right) of the pixels that each unit can see; they may reach into the padding.
    """

    gradient: Tensor
    activation: Tensor
    channel: Tensor
    position: Tensor
    boxes: list[tuple[int, int, int, int]]


def neurons(
    network: Network,
    image: Image,
    layer: Layer,
    channel: Channel,
    rule: Rule = "guided",
    position: tuple[int, int] | None = None,
) -> Neurons:
    """The gradient of a unit of any layer: where a channel is strongest in the picture, or at `position`.

    Guided backprop of a neuron: Springenberg et al. 2015, section 3.4.

    Args:
        image: (N, 3, H, W) in [0, 1].
        channel: one for all pictures, or a sequence: N of them for N pictures, or any number for one picture.
        rule: how the gradient passes a ReLU; see `ReluRule`.
        position: (row, column) in the layer; default: the channel's strongest position in each picture. Also
            a sequence of them, one a unit. Without a meaning for layers that have no positions.

    Raises:
        ValueError, TypeError: a bad image, layer, channel, position or rule; the message names it.
    """
    image = check(image, "image").detach().to(network.device)
    one_of("rule", rule, Rule)
    size = tuple(image.shape[-2:])
    shape = network.shape(layer, size)
    several = isinstance(channel, (Sequence, Tensor))
    wanted = channels(channel if several or isinstance(channel, int) else [channel], shape[0], layer)
    wanted = wanted if several else wanted * len(image)
    if len(image) not in (1, len(wanted)):
        raise ValueError(f"channel must be one, or one for each of the {len(image)} images, not {len(wanted)}")
    wanted = torch.tensor(wanted, device=network.device)
    image = image.expand(len(wanted), -1, -1, -1)
    places = _places(position, shape, layer, len(wanted))
    index = torch.arange(len(wanted), device=network.device)
    seen = {}

    def unit(pixels):
        maps = network.activation(pixels, layer)[index, wanted]  # (N, H', W') or (N,)
        flat = maps.reshape(len(maps), -1)
        seen["place"] = flat.detach().argmax(1) if places is None else places.to(flat.device)
        seen["value"] = flat.gather(1, seen["place"][:, None])[:, 0]
        return seen["value"]

    gradient = _gradient(image, rule, unit)
    width = shape[2] if len(shape) == 3 else 1
    at = torch.stack([seen["place"] // width, seen["place"] % width], 1)
    field = network.receptive_field(layer, size)
    boxes = [field.box(row, column) for row, column in at.tolist()]
    return Neurons(gradient, seen["value"].detach(), wanted, at, boxes)


def _places(position, shape, layer, count):
    """Positions as indices into a flattened map, (N,); None leaves the choice to the activations."""
    if position is None:
        return None
    places = torch.as_tensor(position).reshape(-1, 2).expand(count, 2)
    rows, columns = shape[1:] if len(shape) == 3 else (1, 1)
    if (places < 0).any() or (places >= places.new_tensor([rows, columns])).any():
        raise ValueError(f"position must lie in the {rows}×{columns} map of layer {layer!r}, not {position}")
    return places[:, 0] * columns + places[:, 1]


def as_picture(gradient: Tensor, clip: float = 0.995) -> Tensor:
    """Signed gradients (N, 3, H, W) as pictures in [0, 1]: grey is zero.

    A few pixels are far larger than all others, so the scale of each picture is its `clip` quantile of |gradient|,
    and what exceeds it is cut off.
    """
    if not 0 < clip <= 1:
        raise ValueError(f"clip must be above 0 and at most 1, not {clip}")
    scale = gradient.abs().flatten(1).quantile(clip, dim=1).view(-1, 1, 1, 1)
    return (0.5 + 0.5 * gradient / scale.clamp_min(torch.finfo(gradient.dtype).tiny)).clamp(0, 1)
