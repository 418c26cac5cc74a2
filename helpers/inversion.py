"""Inversion: which picture makes a layer say what it said about a photo? What it cannot tell, the layer has lost.

Mahendran & Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them", called "the paper" below.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.ascent import total_variation
from helpers.images import Image, check
from helpers.networks import Layer, Network
from helpers.steps import Seed, Step, within_memory

# (λ_α, λ_V) for the first, the middle and the last third of a network's layers. As in the paper's experiments the
# weight of total variation grows tenfold from third to third; the values are for pixels in [0, 1] and for the means
# below, and were chosen by eye.
PRESETS = ((0.03, 0.3), (0.03, 3.0), (0.3, 30.0))

START = 0.1  # standard deviation of the noise that a run starts from
OPPONENTS = (1.7, 0.5, 0.2)  # deviations of brightness, red−blue, green−magenta: their ratios in the course's photos

Objective = Callable[[Tensor, Tensor], dict[str, Tensor]]


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
    """TV^β as a mean over pixels and colours, (N,); see `helpers.ascent.total_variation`."""
    return total_variation(images, beta) / images[0].numel()


def distance(activation: Tensor, target: Tensor) -> Tensor:
    """‖Φ(x) − Φ₀‖² / ‖Φ₀‖² for each image, (N,): 0 where the layer says the same, 1 where it says nothing."""
    squared = (activation - target).flatten(1).square().sum(dim=1)
    return squared / target.flatten(1).square().sum(dim=1).clamp_min(torch.finfo(target.dtype).tiny)


def invert(
    network: Network,
    image: Image,
    layer: Layer = "blocks.2",
    optimiser: Literal["L-BFGS", "Adam"] = "L-BFGS",
    steps: Annotated[int, (10, 400, 10)] = 100,
    restarts: Annotated[int, (1, 4)] = 1,
    tv: Annotated[float, (0.01, 100.0, "log")] = 1.0,
    decay: Annotated[float, (0.01, 100.0, "log")] = 1.0,
    beta: Annotated[float, (1.0, 3.0, 0.25)] = 2.0,
    alpha: Annotated[float, (2.0, 10.0, 1.0)] = 6.0,
    rate: Annotated[float, (0.002, 0.1, "log")] = 0.02,
    space: Literal["frequencies", "pixels"] = "frequencies",
    seed: Seed = 0,
    relative: bool = True,
) -> Iterator[Step]:
    """From noise to pictures that a layer cannot tell from `image`.

    argmin_x  ‖Φ(x) − Φ₀‖² / ‖Φ₀‖²  +  λ_α ‖x‖_α^α  +  λ_V TV^β(x), equation 1 of the paper with its section 2.1.

    Args:
        image: (N, 3, H, W); Φ₀ is what `layer` puts out for it.
        optimiser: "L-BFGS" with a line search that keeps the strong Wolfe conditions, or "Adam". The paper has
            gradient descent with momentum.
        steps: of the optimiser; a step is one evaluation of network and gradient, with L-BFGS now and then more.
        restarts: how many pictures are made of each image, from different noise.
        tv: λ_V, as a multiple of the layer's `preset`.
        decay: λ_α, as a multiple of the layer's `preset`.
        beta, alpha: the exponents.
        rate: learning rate of Adam.
        space: what the optimiser moves. "pixels" as in the paper, or, a departure, "frequencies": see `natural`. The
            objective and its minima are the same, but the way there is far shorter.
        seed: of the noise.
        relative: False takes `tv` and `decay` for λ_V and λ_α themselves.

    Returns:
        Steps with N·restarts images, the restarts of one image side by side. `losses` hold the weighted terms
        "features", "norm" and "variation" of just these images (before values outside [0, 1] are cut off), as means
        over the batch. No picture of a batch
        influences another: with Adam they share the passes through the network, with L-BFGS, whose line search and
        memory belong to one objective, each has its own.

    Raises:
        ValueError: an unknown layer or optimiser, a number outside its range, or pictures too small for the network.
        MemoryError: not enough memory on the GPU.
    """
    check(image, "image")
    if optimiser not in ("L-BFGS", "Adam"):
        raise ValueError(f"optimiser must be 'L-BFGS' or 'Adam', not {optimiser!r}")
    if space not in ("frequencies", "pixels"):
        raise ValueError(f"space must be 'frequencies' or 'pixels', not {space!r}")
    for name, value, least in (
        ("steps", steps, 1),
        ("restarts", restarts, 1),
        ("tv", tv, 0),
        ("decay", decay, 0),
        ("beta", beta, 1),
        ("alpha", alpha, 1),
    ):
        if not least <= value < float("inf"):
            raise ValueError(f"{name} must be at least {least}, not {value}")
    if not rate > 0:
        raise ValueError(f"rate must be over 0, not {rate}")
    size = tuple(image.shape[-2:])
    try:
        network.shape(layer, size)
    except RuntimeError:
        raise ValueError(
            f"image has {size[0]}×{size[1]} pixels, too few for layer {layer!r} of {network.name}"
        ) from None
    weights = (decay, tv)
    if relative:
        weights = tuple(weight * usual for weight, usual in zip(weights, preset(network, layer), strict=True))
    run = _invert(network, image, layer, optimiser, steps, restarts, *weights, alpha, beta, rate, space, seed)
    return within_memory(
        run, f"lower restarts ({restarts}), the size of the picture, or how many there are ({len(image)})"
    )


def _invert(network, image, layer, optimiser, steps, restarts, decay, tv, alpha, beta, rate, space, seed):
    random = torch.Generator().manual_seed(seed)
    image = image.detach().to(network.device)
    noise = torch.randn(restarts, *image.shape[1:], generator=random).to(image)
    start = (START * noise).repeat(len(image), 1, 1, 1)  # the same restarts for every image
    grey = network.mean_pixel.to(image)
    with torch.no_grad():
        targets = network.activation(image, layer).repeat_interleave(restarts, dim=0)

    def picture(z):
        return grey.view(1, 3, 1, 1) + (z if space == "pixels" else natural(z))

    def objective(z, target):
        x = picture(z)
        return {
            "features": distance(network.activation(x, layer), target),
            "norm": decay * norm(x, grey, alpha),
            "variation": tv * variation(x, beta),
        }

    descent = _adam(objective, start, targets, rate) if optimiser == "Adam" else _lbfgs(objective, start, targets)
    for index, (z, terms) in zip(range(1, steps + 1), descent, strict=False):
        losses = {name: values.mean().item() for name, values in terms.items()}
        # values outside [0, 1] are cut off in what is shown, never in what is optimised: that would spoil the
        # curvature which L-BFGS gathers
        yield Step(index, steps, picture(z).clamp(0, 1), losses)


def natural(z: Tensor) -> Tensor:
    """White noise to noise with the statistics of photos, linearly and invertibly: (N, 3, H, W) → the same shape.

    Frequency f is scaled by 1/f (Field 1987), and the three planes become brightness, red against blue and green
    against magenta (Ohta, Kanade & Sakai 1980) with deviations like those of photos. A change of z by one unit then
    is a likely change of a photo in whatever direction, which is what gradient methods take for granted (the
    idea of Olah, Mordvintsev & Schubert 2017, "Feature Visualization").
    """
    height, width = z.shape[-2:]
    down = torch.fft.fftfreq(height, device=z.device, dtype=z.dtype)[:, None]
    across = torch.fft.rfftfreq(width, device=z.device, dtype=z.dtype)[None]
    scale = 1 / (down**2 + across**2).sqrt().clamp_min(1 / max(height, width))
    scale = scale / scale.square().mean().sqrt()
    planes = torch.fft.irfft2(torch.fft.rfft2(z) * scale, s=(height, width))
    axes = torch.tensor([[1.0, 1, 1], [1, 0, -1], [-1, 2, -1]], device=z.device, dtype=z.dtype)
    axes = axes / axes.norm(dim=1, keepdim=True) * axes.new_tensor(OPPONENTS)[:, None]
    return torch.einsum("nphw,pc->nchw", planes, axes)


def _adam(
    objective: Objective, start: Tensor, targets: Tensor, rate: float
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """All pictures at once, (N, 3, H, W): Adam treats every number by itself, and terms are summed."""
    problem = _Problem(objective, start, targets)
    adam = torch.optim.Adam([problem.z], lr=rate)
    problem.evaluate()
    while True:
        adam.step()
        problem.evaluate()
        yield problem.z.detach(), problem.terms


def _lbfgs(objective: Objective, start: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """One L-BFGS for each picture, in turn: a shared one would take one step length and one curvature for all."""
    problems = [_Problem(objective, *pair) for pair in zip(start.split(1), targets.split(1), strict=True)]
    searches = [
        # torch's tolerances are absolute and would end a run early whose loss is small
        torch.optim.LBFGS(
            [problem.z], max_iter=1, max_eval=25, history_size=20, tolerance_grad=0, tolerance_change=0,
            line_search_fn="strong_wolfe",
        )
        for problem in problems
    ]  # fmt: skip
    while True:
        for problem, search in zip(problems, searches, strict=True):
            search.step(problem.evaluate)
            problem.evaluate()  # the line search may have tried a further point last
        z = torch.cat([problem.z.detach() for problem in problems])
        yield z, {name: torch.cat([problem.terms[name] for problem in problems]) for name in problems[0].terms}


class _Problem:
    """What is optimised, its objective, and the value and gradient at the point where it is now.

    L-BFGS asks again for the value at the point where its last line search ended; nothing is computed twice.
    """

    def __init__(self, objective: Objective, start: Tensor, target: Tensor):
        self.objective, self.target = objective, target
        self.z = start.clone().requires_grad_()
        self.terms: dict[str, Tensor] = {}
        self._at: Tensor | None = None

    def evaluate(self) -> Tensor:
        if self._at is None or not torch.equal(self._at, self.z):
            with torch.enable_grad():
                terms = self.objective(self.z, self.target)
                # torch's L-BFGS drops curvatures below 1e-10: sums over pixels keep clear of that, means do not
                loss = self.z[0].numel() * sum(values.sum() for values in terms.values())
                (self.z.grad,) = torch.autograd.grad(loss, self.z)
            self.terms = {name: values.detach() for name, values in terms.items()}
            self._loss, self._at = loss.detach(), self.z.detach().clone()
        return self._loss


# ── What is kept ─────────────────────────────────────────────────────────────────────────────────────────────


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels, 10 log₁₀ (1 / mean squared error), for each image, (N,).

    From about 30 on two pictures look alike; of unrelated photos it is about 10; equal pictures have infinity.
    """
    return -10 * (images - reference).square().mean(dim=(1, 2, 3)).log10()


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
        "colour": _correlation(_blur(images - grey, broad), _blur(reference - true, broad)),
        "layout": _correlation(_blur(grey, broad), _blur(true, broad)),
        "texture": _correlation(grey - _blur(grey, fine), true - _blur(true, fine)),
    }


def _blur(images, sigma):
    """Gaussian blur with mirrored borders."""
    reach = min(3 * sigma, min(images.shape[-2:]) - 1)
    bell = torch.exp(-(torch.arange(-reach, reach + 1, device=images.device) ** 2) / (2 * sigma**2)).to(images)
    bell = bell / bell.sum()
    colours = images.shape[1]
    padded = F.pad(images, (reach,) * 4, mode="reflect")
    down = F.conv2d(padded, bell.view(1, 1, -1, 1).expand(colours, 1, -1, 1), groups=colours)
    return F.conv2d(down, bell.view(1, 1, 1, -1).expand(colours, 1, 1, -1), groups=colours)


def _correlation(first, second):
    """Pearson's, over everything in an image but channel means; 0 where one of the two is constant."""
    first, second = (x - x.mean(dim=(2, 3), keepdim=True) for x in (first, second))
    first, second = first.flatten(1), second.expand(len(first), *second.shape[1:]).flatten(1)
    return F.cosine_similarity(first, second, dim=1, eps=1e-6).mean().item()
