"""Pictures that a network would like to see: gradient ascent over the image."""

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.images import check


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
    if not beta >= 1:
        raise ValueError(f"beta must be at least 1, not {beta}")
    across = F.pad(images[..., :, 1:] - images[..., :, :-1], (0, 1))
    down = F.pad(images[..., 1:, :] - images[..., :-1, :], (0, 0, 0, 1))
    squared = across**2 + down**2
    flat = squared == 0
    # the power is taken of 1 where the image is flat: otherwise its infinite slope times 0 would be NaN
    power = torch.where(flat, 1, squared) ** (beta / 2)
    return torch.where(flat, 0, power).sum(dim=(1, 2, 3))
