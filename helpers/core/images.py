"""One kind of picture for the whole course.

An image is a float32 RGB tensor of shape (N, 3, H, W) with values in [0, 1]. Everything here takes and
returns that; only `helpers.core.networks` knows means, deviations, BGR or 0–255.
"""

import os
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as pillow
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor

from helpers.core import compute

# In a signature `image: Image` says: shape (N, 3, H, W), values in [0, 1].
Image = Annotated[Tensor, "image"]

UMASK = os.umask(0o22)  # which can only be read by setting it
os.umask(UMASK)
LARGEST = 100_000_000  # pixels; a file that claims more is treated as a decompression bomb


def load(source, size=None):
    """Read one picture as a tensor of shape (1, 3, H, W) in [0, 1], on the device where networks are loaded too.

    PNG, JPEG, WebP, GIF (first frame), TIFF …; grey, palette, CMYK and 16-bit pixels become RGB, transparency
    is laid on white, EXIF rotation is applied.

    Args:
        source: a path, the bytes of a file, an open binary file, or a `PIL.Image.Image`.
        size: None keeps the picture's own size; otherwise as in `fit`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a folder, an empty or truncated file, not a picture, or over 100 megapixels.
    """
    if isinstance(source, pillow.Image):
        name, picture = "the picture", source
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name, picture = "the bytes given", _open(BytesIO(source), "the bytes given")
    elif isinstance(source, (str, os.PathLike)):
        name, path = str(source), Path(source)
        if path.is_dir():
            raise ValueError(f"{name} is a folder; give the path of one picture")
        if not path.exists():
            raise FileNotFoundError(f"{name}: no such file")
        with path.open("rb") as file:
            picture = _open(file, name)
    elif hasattr(source, "read"):
        name = str(getattr(source, "name", "the file given"))
        picture = _open(source, name)
    else:
        raise TypeError(f"source must be a path, bytes, an open file or a PIL image, not {type(source).__name__}")
    image = _to_tensor(picture, name).to(compute.device())
    return image if size is None else fit(image, size)


def _open(file, name):
    """Decode the first frame of an open file fully, or raise a ValueError that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)  # our own limit is checked below
            picture = pillow.open(file)
            _refuse_bombs(picture, name)
            picture.load()
    except (pillow.DecompressionBombError, UnidentifiedImageError, OSError, SyntaxError, EOFError) as error:
        file.seek(0, os.SEEK_END)
        if file.tell() == 0:
            raise ValueError(f"{name} is empty (0 bytes)") from error
        if isinstance(error, pillow.DecompressionBombError):
            raise ValueError(f"{name} is over {LARGEST // 10**6} megapixels; shrink it first") from error
        if isinstance(error, UnidentifiedImageError):
            raise ValueError(f"{name} is not a picture that Pillow can read") from error
        raise ValueError(f"{name} is damaged or truncated: {error}") from error
    return picture


def _refuse_bombs(picture, name):
    width, height = picture.size
    if width * height > LARGEST:
        raise ValueError(f"{name} has {width}×{height} pixels, over {LARGEST // 10**6} megapixels; shrink it first")


def _to_tensor(picture, name):
    """A decoded PIL image of any mode as a (1, 3, H, W) tensor in [0, 1]."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow's own convert("RGB") would clip it to white
        grey = np.asarray(picture, dtype=np.float32).clip(0, 65535) / 65535
        return torch.from_numpy(grey).expand(1, 3, *grey.shape).clone()
    if picture.mode == "F":
        raise ValueError(f"{name} holds floating-point pixels of unknown range; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = pillow.new("RGBA", picture.size, "white")
        picture = pillow.alpha_composite(white, picture)
    pixels = np.array(picture.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def check(images, name="images"):
    """Return `images` if it is a floating-point tensor (N, 3, H, W) of finite values; raise otherwise.

    Raises:
        TypeError: not a tensor, or not floating point.
        ValueError: another shape, empty, or NaN or infinity among the values.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor of shape (N, 3, H, W), not {type(images).__name__}")
    if not images.is_floating_point():
        raise TypeError(f"{name} must be floating point with values in [0, 1], not {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise ValueError(f"{name} must have shape (N, 3, H, W), not {tuple(images.shape)}")
    if not all_finite(images):
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
    return images


def all_finite(values):
    """Whether a tensor holds neither NaN nor infinity, in one pass over it: methods ask at every step."""
    if values.numel() == 0:
        return True
    return bool(torch.stack(torch.aminmax(values.detach())).isfinite().all())


def resize(images, size):
    """Resample with antialiasing. `size`: (height, width), or the length of the longer side in pixels."""
    check(images)
    height, width = images.shape[-2:]
    if isinstance(size, int):
        scale = size / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
    if min(size) < 1:
        raise ValueError(f"size must be at least 1 pixel, not {size}")
    if tuple(size) == (height, width):
        return images
    return F.interpolate(images, size=tuple(size), mode="bicubic", antialias=True).clamp(0, 1)


def fit(images, size):
    """Scale until `size` (one side of a square, or (height, width)) is just covered, then crop the centre."""
    check(images)
    target = (size, size) if isinstance(size, int) else tuple(size)
    if min(target) < 1:
        raise ValueError(f"size must be at least 1 pixel, not {size}")
    height, width = images.shape[-2:]
    scale = max(target[0] / height, target[1] / width)
    covering = (max(target[0], round(height * scale)), max(target[1], round(width * scale)))
    top, left = (covering[0] - target[0]) // 2, (covering[1] - target[1]) // 2
    return resize(images, covering)[..., top : top + target[0], left : left + target[1]]


def to_pil(image):
    """One image, (1, 3, H, W) or (3, H, W), as an 8-bit `PIL.Image.Image`; values are clamped to [0, 1]."""
    image = check(image[None] if image.ndim == 3 else image, "image")
    if len(image) != 1:
        raise ValueError(f"image must be a single picture, not a batch of {len(image)}; join them with grid()")
    pixels = (image[0].detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return pillow.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def grid(images, columns=None, gap=2):
    """Lay a batch (N, 3, H, W) out in rows on white, as one image (1, 3, H', W')."""
    check(images)
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    count, _, height, width = images.shape
    columns = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = -(-count // columns)
    sheet = images.new_ones(3, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet[None]


def cut(sheet: Tensor, rows: int, columns: int) -> Tensor:
    """The pictures of a sheet (1, 3, H, W) that `grid` laid out without gaps: (rows · columns, 3, H', W').

    Raises:
        ValueError: `rows` or `columns` do not divide the sheet.
    """
    height, width = sheet.shape[-2:]
    if rows < 1 or columns < 1 or height % rows or width % columns:
        raise ValueError(f"rows and columns must divide a sheet of {height}×{width} pixels, not {rows} and {columns}")
    return torch.cat([picture for row in sheet.chunk(rows, dim=2) for picture in row.chunk(columns, dim=3)])


def save(image, path):
    """Write one image to `path` in the format of its suffix; a file that is there is replaced in one move.

    JPEG keeps its colours at full resolution.

    Raises:
        ValueError: not a single image, or a suffix that Pillow cannot write.
    """
    path = Path(path)
    formats = pillow.registered_extensions()
    if path.suffix.lower() not in formats:
        raise ValueError(f"path must end in a picture's suffix such as .png or .jpg, not {path.name!r}")
    picture = to_pil(image)
    how = {"format": formats[path.suffix.lower()]}
    if how["format"] == "JPEG":
        how |= {"quality": 90, "subsampling": 0}
    write_atomically(path, lambda file: picture.save(file, **how))


def save_film(pictures: Sequence[pillow.Image], file, seconds: float = 4.0) -> None:
    """Write pictures (PIL) into an open file as an endless GIF that lasts `seconds`."""
    pause = max(20, round(1000 * seconds / len(pictures)))  # milliseconds; many viewers ignore less than 20
    pictures[0].save(file, format="GIF", save_all=True, append_images=pictures[1:], duration=pause, loop=0)


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels, 10 log₁₀ (1 / mean squared error), for each image, (N,).

    From about 30 on two pictures look alike; of unrelated photos it is about 10; equal pictures have infinity.
    """
    return -10 * (images - reference).square().mean(dim=(1, 2, 3)).log10()


def noise(shape: Sequence[int], seed: int, like: Tensor) -> Tensor:
    """Standard normal numbers of a seed, the same on every device; with the type and device of `like`."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed)).to(like)


def interpolation_weights(places: Tensor, known: Tensor) -> Tensor:
    """Linear interpolation as a matrix: what each of `places` (…, P) takes from the places `known` (K,): (…, P, K).

    `known` rises. Beyond its ends the value at the end holds. With this matrix down and another across, maps are
    resampled by two matrix products, whose gradient on CUDA is the same every time, as that of `F.grid_sample` is not.
    """
    if len(known) == 1:
        return torch.ones_like(places)[..., None]
    places = places.clamp(known[0], known[-1])
    right = torch.searchsorted(known, places).clamp(1, len(known) - 1)
    share = (places - known[right - 1]) / (known[right] - known[right - 1])
    weights = places.new_zeros(*places.shape, len(known))
    weights.scatter_(-1, right[..., None], share[..., None])
    return weights.scatter_(-1, right[..., None] - 1, 1 - share[..., None])


def write_atomically(path, write):
    """Call `write(file)` on a temporary neighbour of `path` and move it there only when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
    os.close(descriptor)
    try:
        with suppress(OSError):  # some file systems have no modes
            os.chmod(name, 0o666 & ~UMASK)  # a temporary file would be its maker's alone
        with open(name, "w+b") as file:  # a full disk may not tell before it is closed
            write(file)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
