"""Where the work is done, and that it gives the same numbers every time."""

import pytest
import torch

from helpers.core import compute, images, networks, photos

pytestmark = pytest.mark.usefixtures("settings_of_torch")


def test_pictures_and_networks_start_on_the_same_device(tmp_path):
    image = photos.photo("chelsea", 64)
    images.save(image, tmp_path / "cat.png")
    assert image.device == images.load(tmp_path / "cat.png").device == networks.load().device == compute.device()


def test_a_seed_is_the_same_numbers_again():
    compute.repeatable(3)
    first = torch.rand(4)
    compute.repeatable(3)
    assert torch.equal(torch.rand(4), first)
    compute.repeatable(4)
    assert not torch.equal(torch.rand(4), first)


def test_products_are_not_rounded():
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    compute.repeatable()
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 4, 5)])
def test_noise_of_a_seed_does_not_depend_on_the_device(shape, device):
    like = torch.zeros(1, dtype=torch.float64, device=device)
    noise = images.noise(shape, 7, like)
    assert noise.dtype == like.dtype and noise.device == like.device and tuple(noise.shape) == shape
    assert torch.equal(noise.cpu(), torch.randn(shape, generator=torch.Generator().manual_seed(7)).double())
