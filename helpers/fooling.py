"""Adversarial examples: pictures changed so little that nobody sees it, and the network calls them something else.

The attacks are white-box: they take the network's own gradient. Szegedy et al. 2014, "Intriguing properties of neural
networks"; Goodfellow, Shlens & Szegedy 2015, "Explaining and Harnessing Adversarial Examples" (FGSM, one step); Madry
et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", section 2.1 (PGD, many steps).
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Annotated

import torch
from torch import Tensor

from helpers.core.arguments import above, at_least, at_once, between, from_to, targets
from helpers.core.images import Image, check, load, psnr, to_pil
from helpers.core.networks import Category, Network
from helpers.core.steps import Step, within_memory

LEVELS = 255  # a change of 1 is one level of an 8-bit picture


@at_once
@within_memory("lower the number of pictures at once ({image.shape[0]}) or their size")
def fool(
    network: Network,
    image: Image,
    category: Category = "koala",
    limit: Annotated[float, (0.5, 16.0, 0.5)] = 8.0,
    confidence: Annotated[float, (0.5, 0.99, 0.01)] = 0.9,
    steps: Annotated[int, (1, 100)] = 40,
    rate: Annotated[float, (0.1, 4.0, 0.1)] = 1.0,
) -> Iterator[Step]:
    """PGD, projected gradient: x ← Π(x + rate · sign ∇ log p_c(x)), where Π keeps values within `limit` of the photo.

    It starts at the photo; Madry et al. also start at random points of the ball.

    Args:
        image: (N, 3, H, W) in [0, 1].
        category: what the network shall see; a list gives each picture its own.
        limit: of the change of any value, L∞, in levels of 1/255. It is kept exactly, in float32 too.
        confidence: a picture is left alone from the step on in which the class has this probability.
        steps: at most; the run ends when every picture is done.
        rate: of one step, in levels.

    Returns:
        Steps with the changed pictures, and `losses`: the "probability" of the class, the smallest of the batch, and
        how many pictures are "fooled", both for the pictures that the Step holds.

    Raises:
        ValueError: no such class, no classifier, a number outside its range, or a list of another length.
        MemoryError: not enough memory on the GPU.
    """
    check(image, "image")
    wanted = targets(network, category, len(image))
    above(0, rate=rate)
    above(0, limit=limit)
    from_to(0, LEVELS, limit=limit)
    between(0, 1, confidence=confidence)
    at_least(1, steps=steps)
    yield

    image = image.detach().to(network.device)
    lowest, highest = box(image, limit / LEVELS)
    changed = image.clone()
    probabilities, gradients = _gradients(network, changed, wanted)
    gradients = gradients[probabilities < confidence]
    for step in range(1, steps + 1):
        open_ = (probabilities < confidence).nonzero()[:, 0]  # the others are neither changed nor computed
        if len(open_):
            moved = changed[open_] + rate / LEVELS * gradients.sign()
            changed = changed.index_copy(0, open_, moved.clamp(lowest[open_], highest[open_]))
            now, gradients = _gradients(network, changed[open_], wanted[open_])
            probabilities = probabilities.index_copy(0, open_, now)
            gradients = gradients[now < confidence]
        done = int((probabilities >= confidence).sum())
        yield Step(step, steps, changed, {"probability": probabilities.min().item(), "fooled": done})
        if done == len(image):
            return


def fast_gradient_sign(
    network: Network, image: Image, category: Category = "koala", limit: float = 8.0, towards: bool = True
) -> Tensor:
    """FGSM, the attack of one step: the photo plus `limit` · sign ∇ log p_c, all at once.

    Goodfellow et al., section 4.

    Args:
        image, category, limit: as in `fool`.
        towards: the class; if not, away from it, as in the paper.

    Returns:
        (N, 3, H, W) in [0, 1].

    Raises:
        ValueError: as in `fool`.
    """
    wanted = targets(network, category, len(check(image, "image")))
    above(0, limit=limit)
    from_to(0, LEVELS, limit=limit)
    image = image.detach().to(network.device)
    lowest, highest = box(image, limit / LEVELS)
    _, gradients = _gradients(network, image, wanted)
    step = limit / LEVELS * gradients.sign()
    return (image + step if towards else image - step).clamp(lowest, highest)


def box(image: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """The least and the greatest value that each value may take: within `limit` of it, and in [0, 1].

    Rounding could put x ± limit a little too far away; such a bound is moved to the next number towards x.
    """
    exact, bounds = image.double(), []
    for end in (exact - limit, exact + limit):
        rounded = end.to(image.dtype)
        outside = (rounded.double() - exact).abs() > limit
        bounds.append(torch.where(outside, torch.nextafter(rounded, image), rounded).clamp(0, 1))
    return bounds[0], bounds[1]


def distances(image: Tensor, changed: Tensor) -> list[dict[str, float]]:
    """How far each changed picture is from its photo.

    Returns:
        For each picture "L2", the root of the sum of squares in units of [0, 1]; "L∞", the largest change, in levels
        of 1/255; "PSNR" in decibels, infinite where nothing has changed.
    """
    if image.shape != changed.shape:
        raise ValueError(f"changed must have the shape of image, {tuple(image.shape)}, not {tuple(changed.shape)}")
    image, changed = image.detach().to(changed.device).double(), changed.detach().double()
    change = (changed - image).flatten(1)
    rows = zip(change.norm(dim=1), change.abs().amax(dim=1) * LEVELS, psnr(changed, image), strict=True)
    return [{"L2": a.item(), "L∞": b.item(), "PSNR": c.item()} for a, b, c in rows]


def difference(image: Tensor, changed: Tensor, times: float = 1.0) -> Tensor:
    """The change as a picture: grey where there is none, ½ + times · (changed − image), clamped to [0, 1]."""
    return (0.5 + times * (changed.detach() - image.detach().to(changed.device))).clamp(0, 1)


def saved(images: Image, quality: int | None = None) -> Image:
    """What comes back from a file: pictures of 8 bits a colour, on their device.

    Args:
        images: (N, 3, H, W) in [0, 1].
        quality: of a JPEG, from 1 to 95, as Pillow counts; None writes a PNG, which loses nothing but the fractions of
            a level.

    Raises:
        ValueError: `quality` outside its range, or `images` that are none.
    """
    check(images)
    if quality is not None:
        from_to(1, 95, quality=quality)
    pictures = []
    for image in images:
        file = BytesIO()
        if quality is None:
            to_pil(image).save(file, "PNG")
        else:
            to_pil(image).save(file, "JPEG", quality=quality)
        pictures.append(load(file.getvalue()))
    return torch.cat(pictures).to(images)


def _gradients(network, images, wanted):
    """The probability of each picture's class, and the gradient of its logarithm."""
    images = images.detach().requires_grad_()
    logs = network(images).log_softmax(dim=1).gather(1, wanted[:, None])[:, 0]
    (gradients,) = torch.autograd.grad(logs.sum(), images)
    return logs.detach().exp(), gradients
