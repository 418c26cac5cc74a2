"""How figures and pictures are shown in a notebook: as small JPEGs that say in words what is to be seen.

The words are stored beside the picture, as `alt` in the metadata of its kind: there IPython puts those of its own
pictures, and there nbconvert's classic page looks for them. JupyterLab 4 leaves them in the file.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from io import BytesIO
from textwrap import shorten

from IPython import get_ipython
from IPython.display import Image as Film
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image as pillow

JPEG = {"quality": 82, "optimize": True, "progressive": True}
LONGEST = 250  # characters of a text alternative
FILE = re.compile(r".*\.(png|jpe?g|gif|svg|webp|bmp|tiff?)", re.IGNORECASE | re.DOTALL)


def as_jpeg() -> None:
    """From now on the notebook stores figures and pictures as JPEG: photos as PNG would make it ten times as large."""
    shell = get_ipython()
    if shell is None:  # a plain script has no display
        return
    formatters = shell.display_formatter.formatters
    for kind, shown in ((Figure, _figure), (pillow.Image, _picture)):
        formatters["image/jpeg"].for_type(kind, shown)
        formatters["image/png"].for_type(kind, lambda _: None)


def _figure(figure):
    file = BytesIO()
    figure.savefig(file, format="jpeg", bbox_inches="tight", pil_kwargs=JPEG)
    return file.getvalue(), {"alt": getattr(figure, "alt", None) or in_words(figure)}


def _picture(picture):
    file = BytesIO()
    picture.convert("RGB").save(file, format="JPEG", **JPEG)
    alt = getattr(picture, "alt", None)
    return file.getvalue(), {"alt": alt} if alt else None


# ── Text alternatives ────────────────────────────────────────────────────────────────────────────────────────


def described(picture: Figure | pillow.Image | Film, alt: str):
    """`picture`, which from now on is shown with the text alternative `alt`: what is to be seen, for who cannot see it.

    Raises:
        TypeError: nothing that is shown as a picture.
        ValueError: no text, one that is too long to be listened to, or a file's name.
    """
    if not isinstance(picture, (Figure, pillow.Image, Film)):
        raise TypeError(f"picture must be a figure or a picture of PIL, not {type(picture).__name__}")
    text = " ".join(alt.split()) if isinstance(alt, str) else ""
    if not text:
        raise ValueError(f"alt must say in words what is to be seen, not {alt!r}")
    if len(text) > LONGEST:
        raise ValueError(f"alt must have at most {LONGEST} characters, not the {len(text)} of {text[:40]!r} …")
    if FILE.fullmatch(text):
        raise ValueError(f"alt must say in words what is to be seen, not name a file: {text!r}")
    picture.alt = text
    return picture


def takes_alt(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """A function that draws a figure takes `alt`, its text alternative; the default is made of the figure's words."""

    @wraps(draw)
    def drawn(*arguments, alt: str | None = None, **options):
        figure = draw(*arguments, **options)
        return figure if alt is None else described(figure, alt)

    own = signature(draw)
    alt = Parameter("alt", Parameter.KEYWORD_ONLY, default=None, annotation=str | None)
    drawn.__signature__ = own.replace(parameters=[*own.parameters.values(), alt])
    return drawn


def in_words(figure: Figure) -> str:
    """How the parts of a figure are arranged, and what titles, axis labels and legends say of them.

    "3 pictures in a row: photo; map; both." or "1 plot: loss over steps (SGD, Adam)."
    """
    parts = [axis for axis in figure.axes if axis.has_data() and axis.get_label() != "<colorbar>"]
    kinds = Counter("picture" if axis.images else "plot" for axis in parts)
    head = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in kinds.items()) or "An empty figure"
    places = [axis.get_subplotspec() for axis in parts]
    rows = len({place.rowspan.start for place in places if place})
    if len(parts) > 1 and rows:
        head += f" in {rows} rows" if rows > 1 else " in a row"
    said = [figure.get_suptitle(), *map(_said_of, parts), *map(_names, figure.legends)]
    said = "; ".join(text for text in said if text)
    return shorten(f"{head}: {said}." if said else f"{head}.", LONGEST, placeholder=" …")


def _said_of(axis: Axes):
    over = " over ".join(label for label in (axis.get_ylabel(), axis.get_xlabel()) if label)
    names = axis.get_legend() and f"({_names(axis.get_legend())})"
    return " ".join(filter(None, (": ".join(filter(None, (axis.get_title(), over))), names)))


def _names(legend):
    return ", ".join(text.get_text() for text in legend.get_texts())
