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
    balanced,
    blur_slightly,
    decorrelated,
    from_spectrum,
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


@pytest.mark.parametrize("power", [0.7, 2.0])
@pytest.mark.parametrize("shape", [(8, 8), (6, 9), (7, 4)])
def test_balanced_equals_a_sum_over_waves(shape, power):
    """An independent road: every wave of the whole transform, its frequency from NumPy, in a loop."""
    gradients = torch.randn(2, 3, *shape, generator=seeded(0), dtype=torch.float64)
    waves = np.fft.fft2(gradients.numpy())
    down, across = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1])
    for i, j in np.ndindex(*shape):
        frequency = max(math.hypot(down[i], across[j]), 1 / max(shape))  # the mean counts as the longest wave
        waves[..., i, j] /= frequency**power
    np.testing.assert_allclose(balanced(gradients, power).numpy(), np.fft.ifft2(waves).real, atol=1e-12)


def test_balanced_makes_waves_longer_and_keeps_the_mean_and_its_place():
    gradients = torch.randn(1, 3, 16, 12, generator=seeded(1), dtype=torch.float64)
    assert balanced(gradients, 0) is gradients
    found = balanced(gradients, 0.8)
    torch.testing.assert_close(found.mean((2, 3)), gradients.mean((2, 3)) * 16**0.8)
    moved = balanced(gradients.roll((5, -3), (2, 3)), 0.8)
    torch.testing.assert_close(moved, found.roll((5, -3), (2, 3)))
    with pytest.raises(ValueError, match="power must be at least 0, not -1"):
        balanced(gradients, -1)


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


def test_colours_go_together_as_in_photos():
    """ImageNet's matrix beside the ten photos of the course: the same three axes, with other shares."""
    root = torch.tensor(COLOURS)
    brightness, red_blue, magenta_green = root.T
    assert brightness.min() > 0.95 * brightness.max()
    assert red_blue[0] > 0 > red_blue[2] and red_blue[1] == 0
    assert magenta_green[1] < 0 < min(magenta_green[0], magenta_green[2])
    pixels = torch.cat([photos.photo(name, 128)[0].flatten(1) for name in photos.SCENES], dim=1)
    ours, theirs = (each / each.trace() for each in (torch.cov(pixels), root @ root.T))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=0.1)


def test_a_wave_of_a_spectrum():
    """One coefficient of brightness: a cosine of that frequency, in proportion to 1/f, and grey nearly enough."""
    heights = []
    for waves in (2, 4):
        spectrum = torch.zeros(1, 3, 16, 9, 2, dtype=torch.float64)
        spectrum[0, 0, 0, waves, 0] = 1.0
        image = from_spectrum(spectrum, 16)
        cosine = torch.cos(2 * torch.pi * waves * torch.arange(16, dtype=torch.float64) / 16)
        torch.testing.assert_close(image, image[..., :1] * cosine)
        heights.append(image[0, :, 0, 0])
    torch.testing.assert_close(heights[0], 2 * heights[1])
    assert heights[0].min() > 0.95 * heights[0].max() > 0


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
