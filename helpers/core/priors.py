"""What photos are like: neighbours that agree, amplitudes that fall as 1/f, and colours that go together.

Models of the same statistics, each for the method that needs it: `decorrelated` says how a step moves in a space in
which photos are white noise, `natural` and `from_spectrum` map such a space to pixels. Field 1987, "Relations between
the statistics of natural images", figure 7: the amplitude of spatial frequency f falls as 1/f.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from helpers.core.arguments import at_least
from helpers.core.images import check

# A square root M of the covariance of red, green and blue over ImageNet, Σ = M·Mᵀ, as published in the code of Olah et
# al. 2017 (tensorflow/lucid, optvis/param/color.py): its columns are brightness, red−blue and green−magenta.
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
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


def balanced(gradients: Tensor, power: float) -> Tensor:
    """Every wave of a picture divided by f^power: (N, 3, H, W), each colour by itself.

    f is the frequency in cycles a pixel, from 1 / the longer side to about 0.7, so nothing shrinks and long waves grow
    most. The mean colour counts as the longest wave, one period over the longer side; it grows like that one and does
    not vanish. What leaves at one edge comes in at the other, as with `torch.roll`. Power 0 changes nothing. It is the
    frequency part of `decorrelated`, whose 1/f^(2 · POWER) is power = 2 · POWER here.

    Raises:
        ValueError: `power` below 0.
    """
    at_least(0, power=power)
    if power == 0:
        return gradients
    waves = torch.fft.rfft2(gradients) * squared_frequencies(gradients) ** (-power / 2)
    return torch.fft.irfft2(waves, s=gradients.shape[-2:])


def decorrelated(gradients: Tensor) -> Tensor:
    """The step to take in a space in which photos are white noise: Σ^POWER · g, (N, 3, H, W).

    Images x = M·z made from independent numbers z have the covariance Σ = M·Mᵀ, and a step along the gradient by z
    moves x along M·Mᵀ·g. In photos amplitudes fall as 1/f and colours go together (`COLOURS`), so Σ multiplies
    frequencies by 1/f² and mixes colours.

    Departure from Olah et al. 2017: they keep z and let Adam move it (`from_spectrum`); here the metric acts on the
    pixels, so that every regulariser that works on pixels goes with it. Steepest ascent by z would be Σ. POWER was
    chosen by looking, between Σ, which paints clouds, and Σ^½, which leaves grain.
    """
    smooth = balanced(gradients, 2 * POWER)
    root = gradients.new_tensor(COLOURS)
    variances, colours = torch.linalg.eigh(root @ root.T)
    return torch.einsum("ij,njhw->nihw", colours * variances**POWER @ colours.T, smooth)


def from_spectrum(spectrum: Tensor, size: int) -> Tensor:
    """Fourier coefficients of independent colours to a picture with the statistics of photos, linearly.

    The coefficients of frequency f are divided by f, and the three planes become brightness, red against blue and
    green against magenta by `COLOURS`: Olah et al. 2017, section "Preconditioning and Parameterization". Departure:
    half of the amplitude, where their code takes a quarter; pictures of few steps then have more contrast.

    Args:
        spectrum: (N, 3, size, size // 2 + 1, 2), real and imaginary parts, in the order of `torch.fft.rfft2`.
        size: side of the picture.

    Returns:
        (N, 3, size, size), about 0.
    """
    scale = squared_frequencies(spectrum.new_empty(1, 1, size, size)).rsqrt()
    planes = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(size, size), norm="ortho")
    root = spectrum.new_tensor(COLOURS)
    return torch.einsum("cp,nphw->nchw", root / root.norm(dim=0).max(), planes) / 2


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
