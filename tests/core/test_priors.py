"""What photos are like: smoothness measured, a blur, and two models of their frequencies and colours."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from helpers.core import photos
from helpers.core.priors import (
    COLOURS,
    POWER,
    blur_slightly,
    decorrelated,
    natural,
    squared_frequencies,
    total_variation,
)

BETAS = (1, 1.5, 2, 2.5, 3)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# ── Total variation ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("beta", BETAS)
def test_variation_equals_a_numpy_loop(beta):
    image = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    found = total_variation(image, beta)
    for picture, value in zip(image.numpy(), found, strict=True):
        total = 0.0
        for c, i, j in np.ndindex(3, 4, 5):
            across = picture[c, i, j + 1] - picture[c, i, j] if j < 4 else 0
            down = picture[c, i + 1, j] - picture[c, i, j] if i < 3 else 0
            total += math.hypot(across, down) ** beta
        assert value.item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_variation_against_finite_differences(beta):
    image = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: total_variation(x, beta), image)


@pytest.mark.parametrize("beta", BETAS)
def test_variation_of_flat_images(beta):
    image = torch.full((2, 3, 4, 4), 0.3)
    image[1, :, 2:] = 0.8  # flat but for one edge
    image.requires_grad_()
    values = total_variation(image, beta)
    assert values[0] == 0 and values[1].item() == pytest.approx(12 * 0.5**beta, rel=1e-5)
    (gradient,) = torch.autograd.grad(values.sum(), image)
    assert gradient.isfinite().all() and gradient[0].eq(0).all() and gradient[1].ne(0).sum() == 24


def test_variation_refuses_small_beta():
    with pytest.raises(ValueError, match=r"beta must be at least 1, not 0\.5"):
        total_variation(torch.rand(1, 3, 4, 4), 0.5)


# ── Blur ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.7])
def test_blur_is_scipys(radius):
    image = torch.rand(1, 3, 16, 20, dtype=torch.float64)
    reach = max(1, round(3 * radius))
    theirs = gaussian_filter(image.numpy(), (0, 0, radius, radius), mode="mirror", radius=(0, 0, reach, reach))
    np.testing.assert_allclose(blur_slightly(image, radius), theirs, atol=1e-7)


def test_blur_of_nothing_and_of_tiny_images():
    image = torch.rand(1, 3, 4, 4)
    assert blur_slightly(image, 0) is image
    assert blur_slightly(image, 2.0).shape == image.shape  # the kernel is cut to what mirroring allows
    flat = torch.full((1, 3, 9, 9), 0.25)
    torch.testing.assert_close(blur_slightly(flat, 1.0), flat)


# ── Frequencies and colours ──────────────────────────────────────────────────────────────────────────────────


def test_frequencies_by_hand():
    """Four rows and six columns: 0, ¼, ½ and ¼ periods a pixel down, 0, ⅙, ⅓ and ½ across; the mean counts as ⅙."""
    found = squared_frequencies(torch.zeros(1, 3, 4, 6, dtype=torch.float64))
    down = torch.tensor([[0.0], [3], [6], [3]], dtype=torch.float64) / 12
    expected = down**2 + (torch.tensor([0.0, 2, 4, 6], dtype=torch.float64) / 12) ** 2
    expected[0, 0] = 1 / 36
    torch.testing.assert_close(found, expected)


def test_decorrelated_is_a_covariance():
    """⟨u, Σv⟩ = ⟨Σu, v⟩ and ⟨u, Σu⟩ > 0, for an odd width too; a wave of frequency f is scaled by f^(−2·POWER)."""
    u, v = torch.randn(2, 1, 3, 12, 15, dtype=torch.float64, generator=seeded(0))
    assert (u * decorrelated(v)).sum().item() == pytest.approx((decorrelated(u) * v).sum().item(), rel=1e-9)
    assert (u * decorrelated(u)).sum() > 0
    grey = torch.ones(1, 3, 1, 1, dtype=torch.float64)
    gains = []
    for waves in (1, 2, 4):
        wave = torch.cos(2 * torch.pi * waves * torch.arange(16, dtype=torch.float64) / 16).expand(1, 3, 16, 16)
        gains.append((decorrelated(wave * grey) * wave).sum().item())
    assert gains[0] / gains[1] == pytest.approx(4**POWER) and gains[1] / gains[2] == pytest.approx(4**POWER)


def test_colours_are_those_of_the_photos():
    pixels = torch.cat([photos.photo(name, 128)[0].flatten(1) for name in photos.SCENES], dim=1)
    covariance = torch.cov(pixels)
    torch.testing.assert_close(torch.tensor(COLOURS), 3 * covariance / covariance.trace(), rtol=0, atol=0.01)


@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (9, 5)])
def test_natural_is_linear_and_invertible(shape):
    count = 3 * shape[0] * shape[1]
    basis = torch.eye(count, dtype=torch.float64).view(count, 3, *shape)
    matrix = natural(basis).flatten(1)
    assert torch.linalg.matrix_rank(matrix) == count
    z = torch.rand(2, 3, *shape, generator=seeded(0), dtype=torch.float64)
    torch.testing.assert_close(natural(z).flatten(1), z.flatten(1) @ matrix)


def test_natural_noise_is_smooth_and_mostly_grey():
    z = torch.randn(4, 3, 64, 64, generator=seeded(0))
    x = natural(z)
    assert total_variation(x).mean() / x.var() < 0.3 * total_variation(z).mean() / z.var()
    grey = x.mean(1, keepdim=True)
    assert grey.var() > 5 * (x - grey).var()


def test_natural_scales_a_wave_by_its_wavelength():
    ramp = 2 * torch.pi * torch.arange(64, dtype=torch.float64) / 64
    gains = []
    for waves in (2, 8):
        z = torch.zeros(1, 3, 64, 64, dtype=torch.float64)
        z[:, 0] = torch.cos(waves * ramp)
        gains.append(natural(z).std() / z[:, 0].std())
    assert (gains[0] / gains[1]).item() == pytest.approx(4)
