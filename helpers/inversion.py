"""Inversion: which picture makes a layer say what it said about a photo? What comes back was still in its numbers.

Mahendran & Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them", called "the paper" below.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.core import networks
from helpers.core.activations import distance
from helpers.core.arguments import above, at_least, at_once, one_of
from helpers.core.descent import adam, lbfgs
from helpers.core.images import Image, check, cut, grid, load, noise, psnr, save
from helpers.core.networks import Layer, Network
from helpers.core.photos import DATA, photo
from helpers.core.priors import blur_slightly, natural, total_variation
from helpers.core.steps import Seed, Step, finish, within_memory

Optimiser = Literal["L-BFGS", "Adam"]
Space = Literal["fourier", "pixels"]

# (λ_α, λ_V) for the first, the middle and the last third of a network's layers, for pixels in [0, 1] and for the means
# below; chosen by eye at 150 steps and more. In the paper's experiments λ_V grows tenfold from third to third; here
# that fades deep inverses to grey, for with half the contrast these layers say nearly the same.
PRESETS = ((0.03, 0.3), (0.03, 1.0), (0.03, 1.0))

START = 0.1  # standard deviation of the noise that a run starts from


def preset(network: Network, layer: str) -> tuple[float, float]:
    """(λ_α, λ_V) for the depth at which a layer lies in its network, counted in layers."""
    path = network.path(layer)
    named = list(network.layers.values())
    order = named if path in named else [name for name, _ in network.model.named_modules()]
    depth = order.index(path) / len(order) if path in order else 0.5  # an input or a repeated call has no module
    return PRESETS[int(depth * len(PRESETS))]


def norm(images: Tensor, grey: Tensor, alpha: float = 6.0) -> Tensor:
    """‖x‖_α^α of section 2.1, as a mean over pixels and colours, (N,): it keeps values near the network's grey.

    x is measured from `grey`, a colour (3,), in units of half the range of a pixel, so it is 1 at black and white
    where grey is 0.5. The paper sums; means let one weight serve every size.
    """
    return (2 * (images - grey.view(1, 3, 1, 1))).abs().pow(alpha).mean(dim=(1, 2, 3))


def variation(images: Tensor, beta: float = 2.0) -> Tensor:
    """TV^β as a mean over pixels and colours, (N,); see `priors.total_variation`."""
    return total_variation(images, beta) / images[0].numel()


@dataclass(frozen=True)
class Inverted(Step):
    """A `Step` of `invert`.

    Attributes:
        evaluations: of network and gradient so far; with L-BFGS, which goes through a batch one by one, of each image
            as a mean. Where the line search tries more than one point, a step costs more than one.
    """

    evaluations: float = 0.0


@at_once
@within_memory("lower restarts ({restarts}), the size of the picture, or how many there are ({image.shape[0]})")
def invert(
    network: Network,
    image: Image,
    layer: Layer = "blocks.2",
    optimiser: Optimiser = "L-BFGS",
    steps: Annotated[int, (10, 400, 10)] = 150,
    restarts: Annotated[int, (1, 4)] = 1,
    tv: Annotated[float, (0.0, 30.0, 0.5)] = 1.0,
    decay: Annotated[float, (0.01, 100.0, "log")] = 1.0,
    beta: Annotated[float, (1.0, 3.0, 0.25)] = 2.0,
    alpha: Annotated[float, (2.0, 10.0, 1.0)] = 6.0,
    rate: Annotated[float, (0.002, 0.1, "log")] = 0.03,
    space: Space = "fourier",
    seed: Seed = 0,
    relative: bool = True,
    target: Tensor | None = None,
    where: Tensor | None = None,
) -> Iterator[Inverted]:
    """From noise to pictures that a layer cannot tell from `image`.

    argmin_x  ‖Φ(x) − Φ₀‖² / ‖Φ₀‖²  +  λ_α ‖x‖_α^α  +  λ_V TV^β(x), equation 1 of the paper with its section 2.1.

    Args:
        image: (N, 3, H, W); Φ₀ is what `layer` puts out for it. With a `target` only its size matters.
        optimiser: "L-BFGS" with a line search that keeps the strong Wolfe conditions, or "Adam". The paper has
            gradient descent with momentum.
        steps: of the optimiser; a step is one evaluation of network and gradient, with L-BFGS now and then more.
        restarts: how many pictures are made of each image, from different noise.
        tv: λ_V, as a multiple of the layer's `preset`.
        decay: λ_α, as a multiple of the layer's `preset`.
        beta, alpha: the exponents.
        rate: learning rate of Adam; L-BFGS finds the length of its steps itself.
        space: what the optimiser moves. "pixels" as in the paper, or, a departure, "fourier": see `natural`. The
            objective and its minima are the same, but the way there is far shorter.
        seed: of the noise.
        relative: False takes `tv` and `decay` for λ_V and λ_α themselves.
        target: Φ₀ itself, (N, …) as `layer` puts it out, such as one that was put together from those of two photos.
        where: which of the layer's numbers count, 1, and which may become anything, 0: of any shape that multiplies
            the layer's own, such as (h, w) for places or (C, 1, 1) for channels; the same for all images.

    Returns:
        Steps with N·restarts images, the restarts of one image side by side. `losses` hold the weighted terms
        "features", "norm" and "variation" of just these images (before values outside [0, 1] are cut off), as means
        over the batch. No picture of a batch influences another: with Adam they share the passes through the network,
        with L-BFGS, whose line search and memory belong to one objective, each has its own.

    Raises:
        ValueError: an unknown layer or optimiser, a number outside its range, pictures too small for the network, or
            a `target` or `where` whose shape is not the layer's.
        MemoryError: not enough memory on the GPU.
    """
    check(image, "image")
    one_of("optimiser", optimiser, Optimiser)
    one_of("space", space, Space)
    at_least(1, steps=steps, restarts=restarts, beta=beta, alpha=alpha)
    at_least(0, tv=tv, decay=decay)
    above(0, rate=rate)
    size = tuple(image.shape[-2:])
    try:
        shape = (len(image), *network.shape(layer, size))
    except RuntimeError:
        raise ValueError(
            f"image has {size[0]}×{size[1]} pixels, too few for layer {layer!r} of {network.name}"
        ) from None
    if target is not None and tuple(target.shape) != shape:
        raise ValueError(f"target must have the shape of {layer!r} for image, {shape}, not {tuple(target.shape)}")
    if where is not None and not _multiplies(where, shape):
        raise ValueError(
            f"where must multiply what {layer!r} puts out, {(1, *shape[1:])}, but has shape {tuple(where.shape)}"
        )
    if relative:
        decay, tv = (weight * usual for weight, usual in zip((decay, tv), preset(network, layer), strict=True))
    yield

    image = image.detach().to(network.device)
    start = START * noise((restarts, *image.shape[1:]), seed, image).repeat(len(image), 1, 1, 1)  # the same for all
    grey = network.mean_pixel.to(image)
    where = image.new_ones(()) if where is None else where.to(image)
    with torch.no_grad():
        features = network.activation(image, layer) if target is None else target.detach().to(image)
        targets = (where * features).repeat_interleave(restarts, dim=0)

    def picture(z):
        return grey.view(1, 3, 1, 1) + (z if space == "pixels" else natural(z))

    seen = 0  # images, by network and gradient

    def objective(z, target):
        nonlocal seen
        seen += len(z)
        x = picture(z)
        return {
            "features": distance(where * network.activation(x, layer), target),
            "norm": decay * norm(x, grey, alpha),
            "variation": tv * variation(x, beta),
        }

    if optimiser == "Adam":
        points = adam(partial(objective, target=targets), start, rate)
    else:
        points = lbfgs([partial(objective, target=target) for target in targets.split(1)], start, line_search=True)
    next(points)  # the noise it starts from
    for index, (z, terms) in zip(range(1, steps + 1), points, strict=False):
        losses = {name: values.mean().item() for name, values in terms.items()}
        # values outside [0, 1] are cut off in what is shown, never in what is optimised: that would spoil the
        # curvature which L-BFGS gathers
        yield Inverted(index, steps, picture(z).clamp(0, 1), losses, seen / len(start))


def _multiplies(where, shape):
    """Whether a tensor times one of `shape` has that shape, and speaks of all pictures alike."""
    try:
        return torch.broadcast_shapes(where.shape, (1, *shape[1:])) == (1, *shape[1:])
    except RuntimeError:
        return False


def settle(
    objectives: Callable[..., Tensor],
    network: Network,
    image: Image,
    layer: Layer,
    restarts: int = 3,
    steps: int = 100,
    seed: Seed = 0,
) -> tuple[Tensor, Tensor]:
    """Pictures that lower objectives of your own, each its own, by L-BFGS in the space "fourier", as `invert` does.

    Args:
        objectives: called with the network, the layer, pictures (N, 3, H, W), what the layer puts out for `image`,
            λ_α and λ_V of the layer's `preset`, and the exponents α = 6 and β = 2; returns (N,).
        image: (1, 3, H, W).
        steps: of L-BFGS, as in `invert`.

    Returns:
        The pictures in [0, 1], (restarts, 3, H, W), and what their objectives were before values outside were cut off,
        (restarts,).
    """
    grey = network.mean_pixel.to(image).view(1, 3, 1, 1)
    with torch.no_grad():
        target = network.activation(image, layer)

    def objective(z):
        return {"objective": objectives(network, layer, grey + natural(z), target, *preset(network, layer), 6.0, 2.0)}

    start = START * noise((restarts, *image.shape[1:]), seed, image)
    z, terms = next(islice(lbfgs([objective] * restarts, start, line_search=True), steps, None))
    return (grey + natural(z)).clamp(0, 1), terms["objective"]


# ── What is kept ─────────────────────────────────────────────────────────────────────────────────────────────


def compare(network: Network, layer: str, images: Tensor, reference: Tensor) -> dict[str, float]:
    """How well `images` (N, 3, H, W) invert `reference` (1, 3, H, W), as means over the batch.

    Returns:
        "PSNR" in decibels; "distance", that of the features at `layer`; and, where the network has a classifier,
        "class", the share of images whose most probable class is that of the reference.
    """
    images, reference = images.to(network.device), reference.to(network.device)
    with torch.no_grad():
        layers = [layer, "logits"] if "logits" in network.layers else [layer]
        found, true = network.activations(images, layers), network.activations(reference, layers)
    result = {
        "PSNR": psnr(images, reference).mean().item(),
        "distance": distance(found[layer], true[layer].expand_as(found[layer])).mean().item(),
    }
    if "logits" in found:
        result["class"] = (found["logits"].argmax(1) == true["logits"].argmax(1)).float().mean().item()
    return result


def kept(images: Tensor, reference: Tensor) -> dict[str, float]:
    """How much of a picture's colour, layout and texture is still there: three correlations, 1 for all of it.

    Colour compares what blurred pixels have beside their brightness (three opponents, each less its mean), layout
    the blurred brightness, texture the brightness less a slightly blurred one. Means over the batch.
    """
    grey, true = images.mean(dim=1, keepdim=True), reference.mean(dim=1, keepdim=True)
    side = min(images.shape[-2:])
    broad, fine = max(1, side // 28), max(1, side // 112)
    return {
        "colour": _correlation(blur_slightly(images - grey, broad), blur_slightly(reference - true, broad)),
        "layout": _correlation(blur_slightly(grey, broad), blur_slightly(true, broad)),
        "texture": _correlation(grey - blur_slightly(grey, fine), true - blur_slightly(true, fine)),
    }


def _correlation(first, second):
    """Pearson's, over everything in an image but channel means; 0 where one of the two is constant."""
    first, second = (x - x.mean(dim=(2, 3), keepdim=True) for x in (first, second))
    first, second = first.flatten(1), second.expand(len(first), *second.shape[1:]).flatten(1)
    return F.cosine_similarity(first, second, dim=1, eps=1e-6).mean().item()


# ── Inverted for longer ──────────────────────────────────────────────────────────────────────────────────────

PICTURES, SIDE = ("chelsea", "coffee", "china"), 192
LONG = {
    "blocks.0": 150,
    "blocks.2": 150,
    "blocks.4": 300,
    "blocks.5": 150,
    "blocks.6": 150,
    "penultimate": 300,
}  # steps
LAYERS = tuple(LONG)
SHEET = DATA / "inverses.png"  # JPEG would add five times the distances that are left


def gallery() -> dict[tuple[str, str], Tensor]:
    """What `make data` has inverted and saved: (photo, layer) of `PICTURES` and `LAYERS` → picture (1, 3, 192, 192)."""
    tiles = cut(load(SHEET), len(PICTURES), len(LAYERS)).split(1)
    return dict(zip(product(PICTURES, LAYERS), tiles, strict=True))


def draw() -> None:
    """Write the file that `gallery` reads, and print how near each tile is. Minutes on two idle cores."""
    network = networks.load()
    drawn = []
    for name, layer in product(PICTURES, LAYERS):
        drawn.append(finish(invert(network, photo(name, SIDE), layer, steps=LONG[layer]), f"{name}, {layer}").image)
    save(grid(torch.cat(drawn), columns=len(LAYERS), gap=0), SHEET)
    for (name, layer), tile in gallery().items():
        print(f"{name}, {layer}: distance {compare(network, layer, tile, photo(name, SIDE))['distance']:.4f}")


if __name__ == "__main__":
    draw()
