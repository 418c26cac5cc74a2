"""Pictures of every kind become the same kind of tensor, and bad ones say so in one line."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from helpers.core import images

RED_GREEN = np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8)  # one row: red, green


def encoded(picture, format, **options):
    file = io.BytesIO()
    picture.save(file, format=format, **options)
    return file.getvalue()


def is_image(tensor):
    assert tensor.dtype == torch.float32 and tensor.ndim == 4 and tensor.shape[:2] == (1, 3)
    assert tensor.min() >= 0 and tensor.max() <= 1
    return True


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_lossless_formats_keep_every_pixel(format):
    options = {"lossless": True} if format == "WEBP" else {}
    tensor = images.load(encoded(Image.fromarray(RED_GREEN), format, **options))
    assert is_image(tensor)
    assert tensor[0, :, 0, 0].tolist() == [1, 0, 0] and tensor[0, :, 0, 1].tolist() == [0, 1, 0]


def test_jpeg_is_close():
    picture = Image.new("RGB", (16, 16), (200, 100, 50))
    tensor = images.load(encoded(picture, "JPEG", quality=95))
    assert is_image(tensor) and tensor.shape == (1, 3, 16, 16)
    assert torch.allclose(tensor.mean((0, 2, 3)) * 255, torch.tensor([200.0, 100, 50]), atol=3)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    tensor = images.load(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert tensor[0, :, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes_become_rgb(mode):
    picture = Image.new("RGB", (5, 4), "white").convert(mode) if mode != "LAB" else Image.new("LAB", (5, 4))
    tensor = images.load(picture)
    assert is_image(tensor) and tensor.shape == (1, 3, 4, 5)
    if mode not in ("LAB", "HSV"):
        assert tensor.min() > 0.99


def test_grey_is_repeated():
    tensor = images.load(Image.new("L", (3, 2), 51))
    assert torch.allclose(tensor, torch.full((1, 3, 2, 3), 0.2))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode):
    clear, half = (0,) * len(mode), (0,) * (len(mode) - 1) + (128,)
    picture = Image.new(mode, (2, 1))
    picture.putpixel((0, 0), clear)
    picture.putpixel((1, 0), half)
    tensor = images.load(encoded(picture, "PNG"))
    assert tensor[0, :, 0, 0].tolist() == [1, 1, 1]
    assert torch.allclose(tensor[0, :, 0, 1], torch.full((3,), 127 / 255), atol=0.005)


def test_transparent_palette_entry_is_white():
    picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    picture.putpalette([255, 0, 0, 0, 0, 255])
    tensor = images.load(encoded(picture, "PNG", transparency=0))
    assert tensor[0, :, 0].T.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_sixteen_bits_keep_their_range():
    grey = np.array([[0, 32768, 65535]], dtype=np.uint16)
    tensor = images.load(encoded(Image.fromarray(grey), "PNG"))
    assert is_image(tensor)
    assert torch.allclose(tensor[0, 0, 0], torch.tensor([0, 32768 / 65535, 1]))


def test_exif_rotation_is_applied():
    tall = Image.new("RGB", (2, 4), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to view
    data = encoded(tall, "JPEG", exif=exif)
    assert images.load(data).shape == (1, 3, 2, 4)
    assert ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size == (4, 2)


def test_paths_files_and_pictures_agree(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(RED_GREEN), "PNG"))
    with path.open("rb") as file:
        versions = [images.load(source) for source in (path, str(path), path.read_bytes(), file, Image.open(path))]
    assert all(torch.equal(version, versions[0]) for version in versions)


def png_that_claims(width, height):
    """The header of a PNG of any size in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "is empty"),
        ("words.png", b"this is not a picture", "is not a picture"),
        ("cut.png", encoded(Image.effect_noise((64, 64), 50), "PNG")[:600], "damaged or truncated"),
        ("cut.jpg", encoded(Image.effect_noise((64, 64), 50), "JPEG")[:600], "damaged or truncated"),
        ("bomb.png", png_that_claims(20000, 20000), "100 megapixels"),
        ("big.png", png_that_claims(10100, 10000), "100 megapixels"),
        ("float.tif", encoded(Image.new("F", (2, 2)), "TIFF"), "floating-point"),
    ],
)
def test_bad_files_give_one_clear_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        images.load(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_folder_missing_file_and_wrong_type(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        images.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        images.load(tmp_path / "nothing.png")
    with pytest.raises(TypeError, match="source must be"):
        images.load(3)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.zeros((1, 3, 4, 4)), TypeError, "must be a tensor"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), TypeError, "floating point"),
        (torch.zeros(3, 4, 4), ValueError, r"\(N, 3, H, W\)"),
        (torch.zeros(1, 1, 4, 4), ValueError, r"\(N, 3, H, W\)"),
        (torch.zeros(0, 3, 4, 4), ValueError, r"\(N, 3, H, W\)"),
        (torch.full((1, 3, 4, 4), torch.nan), ValueError, "NaN"),
    ],
)
def test_check_names_what_is_wrong(value, error, message):
    with pytest.raises(error, match=message):
        images.check(value)


def test_fit_covers_and_crops_the_centre():
    wide = torch.zeros(1, 3, 10, 40)
    wide[..., 15:25] = 1
    assert torch.equal(images.fit(wide, 10), torch.ones(1, 3, 10, 10))
    assert images.fit(torch.rand(2, 3, 37, 91), (20, 30)).shape == (2, 3, 20, 30)


def test_resize_keeps_the_aspect_and_the_mean(device):
    image = torch.rand(1, 3, 60, 30, device=device)
    small = images.resize(image, 20)
    assert small.shape == (1, 3, 20, 10) and small.device.type == device
    assert torch.allclose(small.mean(), image.mean(), atol=0.02)
    assert images.resize(image, (60, 30)) is image


def test_resize_and_fit_refuse_nothing():
    for function in (images.resize, images.fit):
        with pytest.raises(ValueError, match="at least 1 pixel"):
            function(torch.rand(1, 3, 4, 4), (0, 3))


def test_grid_places_every_picture():
    batch = torch.stack([torch.full((3, 2, 2), value) for value in (0.1, 0.2, 0.3)])
    sheet = images.grid(batch, columns=2, gap=1)
    assert sheet.shape == (1, 3, 5, 5)
    assert [sheet[0, 0, y, x].item() for y, x in ((0, 0), (0, 3), (3, 0))] == pytest.approx([0.1, 0.2, 0.3])
    assert sheet[0, 0, 2].eq(1).all() and sheet[0, 0, 3, 3] == 1
    assert images.grid(batch).shape == (1, 3, 6, 6)
    with pytest.raises(ValueError, match="columns"):
        images.grid(batch, columns=0)


def test_cut_undoes_grid():
    batch = torch.rand(6, 3, 4, 5)
    assert torch.equal(images.cut(images.grid(batch, columns=3, gap=0), 2, 3), batch)
    for rows, columns in ((3, 3), (2, 4), (0, 3)):
        with pytest.raises(ValueError, match="rows and columns must divide a sheet of 8×15 pixels"):
            images.cut(images.grid(batch, columns=3, gap=0), rows, columns)


def test_save_and_load_return_the_same_pixels(tmp_path):
    image = torch.randint(0, 256, (1, 3, 5, 7)) / 255
    images.save(image, tmp_path / "new" / "a.png")
    assert torch.allclose(images.load(tmp_path / "new" / "a.png"), image)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "new" / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_values_outside_are_clamped():
    assert images.to_pil(torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1)).getpixel((0, 0)) == (0, 128, 255)


def test_save_refuses_a_batch_and_an_unknown_suffix(tmp_path):
    with pytest.raises(ValueError, match="single picture"):
        images.save(torch.rand(2, 3, 4, 4), tmp_path / "a.png")
    with pytest.raises(ValueError, match="suffix"):
        images.save(torch.rand(1, 3, 4, 4), tmp_path / "a.xyz")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        images.write_atomically(path, half)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]

    def full(file):
        file.write(b"new")
        os.close(file.fileno())  # so that closing the file fails, as it does on a full disk

    with pytest.raises(OSError):
        images.write_atomically(path, full)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_one_number_that_is_not_finite_is_found(wrong, device):
    values = torch.tensor([[-3e38, 0.0], [3e38, 1.0]], device=device)  # whose sum and spread are not finite
    assert images.all_finite(values) and images.all_finite(values[:0])
    for place in ((0, 0), (1, 1)):
        spoilt = values.clone()
        spoilt[place] = wrong
        assert not images.all_finite(spoilt)
