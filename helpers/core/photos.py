"""The pictures of the course: named photos that arrive with the installed packages, paintings, collections of many.

A collection is anything with `len()`, `collection[i]` → a picture (3, H, W) in [0, 1], `labels` (an integer a
picture) and `classes` (their names). Pictures are made when asked for, so a collection may be larger than memory.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from helpers.core.arguments import from_to, known
from helpers.core.downloads import impatient
from helpers.core.images import load, resize

DATA = Path(__file__).parent.parent.parent / "data"
MINE = DATA / "mine"  # the reader's own pictures
CACHE = DATA / "cache"  # data sets that were downloaded
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Photo:
    """One picture; `file` lies inside the installed `package`, or in data/ if `package` is "the course"."""

    name: str
    title: str
    author: str
    licence: str
    package: str
    file: str

    @property
    def path(self) -> Path:
        if self.package == "the course":
            return DATA / self.file
        root = importlib.util.find_spec(self.package).submodule_search_locations[0]
        return Path(root) / self.file


def _scikit_image(name, title, author, licence, file):
    return Photo(name, title, author, licence, "skimage", f"data/{file}")


PHOTOS = {
    photo.name: photo
    for photo in [
        _scikit_image("chelsea", "Chelsea the cat", "Stefan van der Walt", "CC0", "chelsea.png"),
        _scikit_image("coffee", "A cup of espresso", "Rachel Michetti", "CC0", "coffee.png"),
        _scikit_image("rocket", "Falcon 9 lifts off with DSCOVR", "SpaceX", "public domain", "rocket.jpg"),
        _scikit_image("camera", "A photographer and his tripod", "Lav Varshney", "CC0", "camera.png"),
        _scikit_image(
            "motorcycle",
            "A motorcycle in a garage (Middlebury stereo benchmark 2014)",
            "N. Nesic, D. Scharstein and others",
            "free to use with attribution",
            "motorcycle_left.png",
        ),
        Photo("china", "A palace in China", "danielbuechele", "CC BY 2.0", "sklearn", "datasets/images/china.jpg"),
        Photo("flower", "A flower", "vultilion", "CC BY 2.0", "sklearn", "datasets/images/flower.jpg"),
        _scikit_image("astronaut", "Eileen Collins", "NASA", "public domain", "astronaut.png"),
        _scikit_image("horse", "Silhouette of a horse", "Andreas Preuss", "CC0", "horse.png"),
        _scikit_image("coins", "Greek coins from Pompeii", "Brooklyn Museum", "no known restrictions", "coins.png"),
        _scikit_image("moon", "The surface of the moon", "NASA", "public domain", "moon.png"),
        _scikit_image("retina", "The retina of a left eye", "Mikael Häggström", "CC0", "retina.jpg"),
        _scikit_image("ihc", "Colonic glands, stained", "CMMI", "no known restrictions", "ihc.png"),
        _scikit_image("hubble", "Hubble's deep field", "NASA", "public domain", "hubble_deep_field.jpg"),
        _scikit_image("brick", "A brick wall", "CC0 Textures", "CC0", "brick.png"),
        _scikit_image("grass", "Grass", "CC0 Textures", "CC0", "grass.png"),
        _scikit_image("gravel", "Gravel", "CC0 Textures", "CC0", "gravel.png"),
    ]
}

# Drawn by `helpers/paintings.py`, in the order in which they are made there.
PAINTINGS = {
    name: Photo(name, title, "the course", "MIT", "the course", f"paintings/{name}.jpg")
    for name, title in {
        "night": "A night of whirling strokes",
        "window": "A window of stained glass",
        "woodcut": "A woodcut in two inks",
        "rings": "Squares with rings",
        "mosaic": "A mosaic of stones in rows",
        "wave": "Curling waves under a red sun",
        "facets": "A square cut into facets",
        "brush": "A cup of espresso in curved strokes",
        "engraving": "Grace Hopper, engraved in one ink",
    }.items()
}

# Photos with something to tell apart; the textures and the silhouette have no place among them.
SCENES = ("chelsea", "coffee", "rocket", "camera", "motorcycle", "china", "flower", "astronaut", "coins", "retina")

# Sixteen, with more than one photo of some kinds: camera, astronaut and hopper show people, page and text show writing,
# brick and gravel are stone.
SIXTEEN = (*SCENES, "hopper", "page", "text", "brick", "gravel", "hubble")


def photo(name: str, size: int | tuple[int, int] | None = None) -> Tensor:
    """A photo, a painting, or a picture in data/mine by its file name, as a tensor (1, 3, H, W) in [0, 1].

    Args:
        name: a key of `PHOTOS`, `PAINTINGS` or `mine()`.
        size: None keeps the photo's own size; otherwise as in `images.fit`.

    Raises:
        ValueError: no picture of that name.
    """
    ours, own = PHOTOS | PAINTINGS, mine()
    known("photo", name, [*ours, *own])
    return load(ours[name].path if name in ours else own[name], size)


def mine() -> dict[str, Path]:
    """The reader's own pictures: file name → path of everything in data/mine that may be a picture."""
    files = sorted(MINE.iterdir()) if MINE.is_dir() else []
    return {file.name: file for file in files if file.suffix.lower() in SUFFIXES}


class Crops:
    """Random crops of photos, labelled by photo: a collection that needs no download.

    Each crop is a square of 0.35 to 0.8 of the photo's shorter side, mirrored half of the time, scaled to `size`.
    Crop i is the same whenever it is asked for.

    Args:
        count: how many crops; the photos take turns.
        size: side of the crops in pixels.
        names: the photos, keys of `PHOTOS`.
        seed: of the random boxes.

    Raises:
        ValueError: `count` or `size` below 1, or no such photo.
    """

    def __init__(self, count: int = 1000, size: int = 224, names: Sequence[str] = SCENES, seed: int = 0):
        if count < 1 or size < 1:
            raise ValueError(f"count and size must be at least 1, not {count} and {size}")
        self.size, self.classes = size, list(names)
        # no photo is kept larger than the smallest crop needs
        self._photos = [_no_larger_than(photo(name), short=round(size / 0.35)) for name in names]
        self.labels = [i % len(names) for i in range(count)]
        random = torch.Generator().manual_seed(seed)
        self._draws = torch.rand(count, 4, generator=random).tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Tensor:
        picture = self._photos[self.labels[i]]
        scale, down, across, mirror = self._draws[i]
        height, width = picture.shape[-2:]
        side = round((0.35 + 0.45 * scale) * min(height, width))
        top, left = round(down * (height - side)), round(across * (width - side))
        crop = resize(picture[..., top : top + side, left : left + side], (self.size, self.size))[0]
        return crop.flip(-1) if mirror < 0.5 else crop


def _no_larger_than(picture, short):
    height, width = picture.shape[-2:]
    if min(height, width) <= short:
        return picture
    return resize(picture, round(max(height, width) * short / min(height, width)))


class Recoloured:
    """A collection whose colours say nothing: some pictures are grey, the hues of all others are turned and tinted.

    What is done is one 3 × 3 matrix on the colours of a picture: a mean of the three, or a turn by a random angle about
    the grey axis, then a dimming of each of them by a factor of its own. Light and dark stay where they are; labels and
    classes stay, too. Picture i is the same whenever it is asked for.

    Args:
        collection: of pictures.
        grey: the share of grey pictures, from 0 to 1.
        tint: by how much the three are dimmed at most, from 0 to 1; it gives a colour to what is grey by nature.
        seed: of what is done to which picture.

    Raises:
        ValueError: `grey` or `tint` out of their range.
    """

    def __init__(self, collection, grey: float = 0.5, tint: float = 0.5, seed: int = 0):
        from_to(0, 1, grey=grey, tint=tint)
        self.collection, self.classes, self.labels = collection, collection.classes, collection.labels
        random = torch.Generator().manual_seed(seed)
        draws = torch.rand(len(collection), 5, generator=random)
        turned = (1 - tint * draws[:, 2:, None]) * turns(2 * torch.pi * draws[:, 1])
        self.matrices = torch.where(draws[:, :1, None] < grey, torch.full((3, 3), 1 / 3), turned)

    def __len__(self) -> int:
        return len(self.collection)

    def __getitem__(self, i: int) -> Tensor:
        picture = self.collection[i]
        return torch.einsum("ij,jhw->ihw", self.matrices[i].to(picture), picture).clamp(0, 1)


def turns(angles: Tensor) -> Tensor:
    """Rotations of RGB about the grey axis (1, 1, 1) by `angles` (N,) in radians: (N, 3, 3), each row of sum 1."""
    grey = torch.full((3, 3), 1 / 3)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    return grey + cos * (torch.eye(3) - grey) + sin * across


class Folder:
    """The pictures below a folder, labelled by the folder that each lies in.

    Raises:
        ValueError: no such folder, or no picture in it.
    """

    def __init__(self, path, size: int = 224):
        path = Path(path)
        if not path.is_dir():
            raise ValueError(f"{path} is not a folder")
        self.size = size
        self.paths = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not self.paths:
            raise ValueError(f"{path} holds no picture ({', '.join(sorted(SUFFIXES))})")
        self.classes = sorted({file.parent.name for file in self.paths})
        self.labels = [self.classes.index(file.parent.name) for file in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor:
        return load(self.paths[i], self.size)[0]


class Labelled:
    """Any data set of (PIL picture, label) pairs, such as torchvision's, as a collection."""

    def __init__(self, pairs, classes: Sequence[str], labels: Sequence[int], size: int = 224):
        self.pairs, self.classes, self.labels, self.size = pairs, list(classes), list(labels), size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Tensor:
        return load(self.pairs[i][0], self.size)[0]


def digits(size: int = 32) -> Labelled:
    """scikit-learn's 1797 handwritten digits (8×8 pixels), enlarged to `size`."""
    from PIL.Image import fromarray
    from sklearn.datasets import load_digits

    data = load_digits()
    pictures = [fromarray((page * (255 / 16)).round().astype("uint8")) for page in data.images]
    pairs = list(zip(pictures, data.target, strict=True))
    return Labelled(pairs, [str(name) for name in data.target_names], data.target.tolist(), size)


class DataUnavailable(RuntimeError):
    """A data set is not on this machine and could not be downloaded."""


def cifar10(size: int = 32) -> Labelled:
    """The 10 000 test pictures of CIFAR-10 (32×32 pixels, 170 MB, downloaded once into data/cache).

    Raises:
        DataUnavailable: not here and not to be downloaded.
    """
    from torchvision.datasets import CIFAR10

    data = _here_or_downloaded(lambda download: CIFAR10(CACHE, train=False, download=download), CIFAR10.url)
    return Labelled(data, data.classes, data.targets, size)


def imagenette(size: int = 224) -> Labelled:
    """The 3 925 validation pictures of Imagenette (ten ImageNet classes, 99 MB, downloaded once into data/cache).

    Raises:
        DataUnavailable: not here and not to be downloaded.
    """
    from torchvision.datasets import Imagenette

    def make(download):
        return Imagenette(CACHE, split="val", size="160px", download=download)

    data = _here_or_downloaded(make, "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz")
    return Labelled(data, [names[0] for names in data.classes], [label for _, label in data._samples], size)


def _here_or_downloaded(make, url):
    try:
        return make(False)
    except RuntimeError:
        pass
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        with impatient(url):
            return make(True)
    except OSError as error:
        raise DataUnavailable(f"the data set is not in {CACHE} and its download failed ({error})") from error


def batches(collection, size: int = 16) -> Iterator[Tensor]:
    """The pictures of a collection, in order, as tensors (at most `size`, 3, H, W).

    Raises:
        ValueError: `size` below 1, or an empty collection.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if len(collection) == 0:
        raise ValueError("collection must hold at least one picture")
    for start in range(0, len(collection), size):
        yield torch.stack([collection[i] for i in range(start, min(start + size, len(collection)))])


# ── More photos, for what needs many different pictures ──────────────────────────────────────────────────────

PHOTOS |= {
    photo.name: photo
    for photo in [
        Photo(
            "hopper",
            "Grace Hopper",
            "US Navy",
            "public domain",
            "matplotlib",
            "mpl-data/sample_data/grace_hopper.jpg",
        ),
        _scikit_image(
            "clock", "A wall clock, blurred by motion", "Stefan van der Walt", "public domain", "clock_motion.png"
        ),
        _scikit_image("cell", "A cell floating in saline", "Paul Müller and others", "CC0", "cell.png"),
        _scikit_image("page", "A page of print", "unknown", "no known restrictions", "page.png"),
        _scikit_image("text", "A handwritten formula", "unknown, from Wikipedia", "public domain", "text.png"),
    ]
}
