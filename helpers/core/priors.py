"""What photos are like: neighbours that agree, amplitudes that fall as 1/f, and colours that go together.

Two models of the same statistics, each for the method that needs it: `decorrelated` says how a step moves in a space in
which photos are white noise, `natural` maps that space to pixels. Field 1987, "Relations between the statistics of
natural images", figure 7: the amplitude of spatial frequency f falls as 1/f.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from helpers.core.arguments import at_least
from helpers.core.images import check

# Covariance of red, green and blue over the ten photos `photos.SCENES`, scaled to trace 3; a test measures it again.
COLOURS = ((1.2457, 0.7933, 0.6178), (0.7933, 0.8523, 0.8199), (0.6178, 0.8199, 0.9020))
POWER = 0.7  # of the covariance, see `decorrelated`
OPPONENTS = (1.7, 0.5, 0.2)  # deviations of brightness, red−blue, green−magenta: their ratios in the course's photos


def total_variation(images: Tensor, beta: float = 2.0) -> Tensor:
    """TV^β = Σ ((x[i, j+1] − x[i, j])² + (x[i+1, j] − x[i, j])²)^(β/2) over pixels and colours, by image.

    Mahendran & Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them", section 2.1. A difference
    that would leave the image counts as 0. Where an image is flat and β < 2 the root has no derivative; the
    gradient there is 0, which is one of its subgradients.

    Args:
        images: (N, 3, H, W).
        beta: at least 1. Below 2 it allows sharp edges, above 2 it spreads them out.

    Returns:
        (N,), differentiable.

    Raises:
        ValueError: `beta` below 1, or `images` that are none.
    """
    check(images)
    at_least(1, beta=beta)
    squared = F.pad(images.diff(dim=3).square(), (0, 1)) + F.pad(images.diff(dim=2).square(), (0, 0, 0, 1))
    if beta >= 2 or not squared.requires_grad:
        return squared.pow(beta / 2).sum(dim=(1, 2, 3))
    flat = squared == 0
    # the power is taken of 1 where the image is flat: otherwise its infinite slope times 0 would be NaN
    power = torch.where(flat, 1, squared).pow(beta / 2)
    return torch.where(flat, 0, power).sum(dim=(1, 2, 3))


def blur_slightly(images: Tensor, radius: float) -> Tensor:
    """Gaussian blur of standard deviation `radius` pixels; the image is mirrored at its border. 0 changes nothing."""
    if radius == 0:
        return images
    reach = min(max(1, round(3 * radius)), min(images.shape[-2:]) - 1)
    return gaussian_blur(images, 2 * reach + 1, radius)


def squared_frequencies(images: Tensor) -> Tensor:
    """f² of each coefficient that `torch.fft.rfft2` gives for images of this size, (H, W // 2 + 1), in cycles a pixel.

    The mean colour counts as if the image were one period of a wave.
    """
    height, width = images.shape[-2:]
    down = torch.fft.fftfreq(height, device=images.device, dtype=images.dtype)
    across = torch.fft.rfftfreq(width, device=images.device, dtype=images.dtype)
    return (down[:, None] ** 2 + across**2).clamp_min(1 / max(height, width) ** 2)


def decorrelated(gradients: Tensor) -> Tensor:
    """The step to take in a space in which photos are white noise: Σ^POWER · g, (N, 3, H, W).

    Images x = M·z made from independent numbers z have the covariance Σ = M·Mᵀ, and a step along the gradient by z
    moves x along M·Mᵀ·g. In photos amplitudes fall as 1/f and colours go together (`COLOURS`), so Σ multiplies
    frequencies by 1/f² and mixes colours.

    Departure from Olah et al. 2017: they keep z and let Adam move it; here the metric acts on the pixels, so that every
    regulariser that works on pixels goes with it. Steepest ascent by z would be Σ. Adam moves every z alike, which
    comes to Σ^½. Between the two, POWER was chosen by looking: Σ paints clouds, Σ^½ grain.
    """
    smooth = torch.fft.irfft2(
        torch.fft.rfft2(gradients) / squared_frequencies(gradients) ** POWER, s=gradients.shape[-2:]
    )
    variances, colours = torch.linalg.eigh(gradients.new_tensor(COLOURS))
    return torch.einsum("ij,njhw->nihw", colours * variances**POWER @ colours.T, smooth)


def natural(z: Tensor) -> Tensor:
    """White noise to noise with the statistics of photos, linearly and invertibly: (N, 3, H, W) → the same shape.

    Frequency f is scaled by 1/f, and the three planes become brightness, red against blue and green against magenta
    (Ohta, Kanade & Sakai 1980) with deviations like those of photos. A change of z by one unit then is a likely change
    of a photo in whatever direction, which is what gradient methods take for granted (the idea of Olah, Mordvintsev &
    Schubert 2017, "Feature Visualization").
    """
    scale = squared_frequencies(z).rsqrt()
    scale = scale / scale.square().mean().sqrt()
    planes = torch.fft.irfft2(torch.fft.rfft2(z) * scale, s=z.shape[-2:])
    axes = torch.tensor([[1.0, 1, 1], [1, 0, -1], [-1, 2, -1]], device=z.device, dtype=z.dtype)
    axes = axes / axes.norm(dim=1, keepdim=True) * axes.new_tensor(OPPONENTS)[:, None]
    return torch.einsum("nphw,pc->nchw", planes, axes)
