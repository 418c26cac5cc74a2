"""The samples of the lesson on texture, and one sheet on which each is made again by every method.

A sample is a square of a photo or a painting, or a page of print. What takes minutes is drawn once, by `make data`, and
read from the sheet by `gallery`; each tile is one line of code, see `tile`.
"""

import torch
from PIL import Image as pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from helpers.core import networks
from helpers.core.arguments import known
from helpers.core.images import cut, grid, load, resize, save
from helpers.core.networks import Network
from helpers.core.photos import DATA, photo
from helpers.core.steps import finish
from helpers.outward import outward
from helpers.texture import layer_weights, layers_to, texture, texture_objective

SIDE = 128
PLACES = {  # name → picture, its longer side, and the upper left corner of the square
    "gravel": ("gravel", 256, 0, 0),
    "ihc": ("ihc", 224, 20, 0),
    "petals": ("flower", 520, 150, 230),
    "coins": ("coins", 256, 20, 60),
    "brick": ("brick", 224, 40, 60),
    "window": ("window", 256, 60, 60),
    "woodcut": ("woodcut", 256, 60, 60),
}
WORDS = (
    "A texture is what stays the same when you move your eyes. Letters are drawn one by one, each where the letters "
    "before it ask for it. No word of this page was planned by anyone, and yet the lines keep their distance and the "
    "words their gaps. Read it aloud if you can."
)
NAMES = (*PLACES, "text")
# the sides of `outward`'s windows: a little more than what belongs together, a letter or the rim of a coin
WINDOWS = dict(zip(NAMES, (13, 13, 15, 21, 17, 15, 13, 15), strict=True))

SHEET = DATA / "textures.jpg"
COLUMNS = 8
CHANGED = {  # method → what is other than by default
    **{f"up to conv{depth}": {"depth": depth} for depth in range(1, 5)},
    "diagonal": {"statistics": "diagonal"},
    "means": {"statistics": "means"},
}
TILES = [
    *[(method, name) for method in ("sample", "pixel by pixel", "default network") for name in NAMES],
    *[(method, "window") for method in (*CHANGED, "untrained", "vgg16_edges")],
]


def sample(name: str, side: int = SIDE) -> Tensor:
    """The sample of that name, or its upper left corner: (1, 3, side, side).

    Raises:
        ValueError: no sample of that name.
    """
    known("sample", name, NAMES)
    if name == "text":
        return page()[..., :side, :side]
    picture, longest, top, left = PLACES[name]
    return resize(photo(picture), longest)[..., top : top + side, left : left + side]


def page(words: str = WORDS, side: int = SIDE, height: int = 11) -> Tensor:
    """A piece of a printed page, lines of `words` again and again in Pillow's own font: (1, 3, side, side).

    Args:
        height: of the font in pixels.
    """
    font = ImageFont.load_default(height)
    sheet = pillow.new("L", (side, side), "white")
    draw = ImageDraw.Draw(sheet)
    again, line, top = iter(words.split() * side), "", -height // 4
    while top < side:
        if draw.textlength(line, font) < 1.25 * side:
            line += next(again) + " "
        else:  # the page goes on to the left and to the right
            draw.text((-height // 2, top), line, "black", font)
            line, top = "", top + height + 2
    return load(sheet)


def untrained(network: Network, seed: int = 0) -> Network:
    """The same architecture with weights as before training, drawn from `seed`; torch's own seed is left alone."""
    source = networks.SOURCES[network.name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return networks.wrap(source.build(), source)


def loss_of(network: Network, picture: Tensor, name: str) -> float:
    """The texture loss of a picture (1, 3, H, W) against the sample of that name: all five layers, weighted alike."""
    weights = layer_weights(network, layers_to(network), None)
    with torch.no_grad():
        return float(sum(texture_objective(network, sample(name), weights)(picture).values()))


def tile(method: str, name: str) -> Tensor:
    """One tile of the sheet, (1, 3, SIDE, SIDE): half a minute to two minutes on one core, but for the samples."""
    given = sample(name)
    if method == "sample":
        return given
    if method == "pixel by pixel":
        return finish(outward(given, SIDE, WINDOWS[name]), name).image
    if method == "vgg16_edges":
        return finish(texture(networks.load("vgg16_edges"), given, steps=400), name).image
    network = networks.load()
    if method == "untrained":
        network = untrained(network)
    return finish(texture(network, given, **CHANGED.get(method, {})), name).image


def gallery() -> dict[str, dict[str, Tensor]]:
    """The sheet that `make data` has drawn: method → name of the sample → picture (1, 3, SIDE, SIDE)."""
    found: dict[str, dict[str, Tensor]] = {}
    pictures = cut(load(SHEET), -(-len(TILES) // COLUMNS), COLUMNS).split(1)
    for (method, name), picture in zip(TILES, pictures, strict=False):
        found.setdefault(method, {})[name] = picture
    return found


def draw(pictures: list[Tensor] | None = None) -> None:
    """Write the file that `gallery` reads. Half an hour on two idle cores, unless the tiles are given."""
    pictures = pictures or [tile(method, name) for method, name in TILES]
    save(grid(torch.cat(pictures), COLUMNS, gap=0), SHEET)


if __name__ == "__main__":
    draw()
