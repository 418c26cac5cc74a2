"""How a panel looks: its style, pictures as JPEG, errors as one line, losses as curves."""

import html
import math
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image as pillow
from torch import Tensor

from helpers.core import images

# Dropping a file hands it to the upload button beside: its file chooser, about to open, is given the file instead.
DROP = """<div class="panel-drop" title="Drop a picture here" ondragover="event.preventDefault()" ondrop="
event.preventDefault();
const files = event.dataTransfer.files, input = HTMLInputElement.prototype, click = input.click;
input.click = function () { this.files = files; this.dispatchEvent(new Event('change')); };
try { this.closest('.panel-row').querySelector('.panel-upload').click(); } finally { input.click = click; }
">drop</div>"""

STYLE = """<style>
.panel .widget-gridbox > *, .panel-row { min-width: 0; }
.panel .widget-upload { font-size: 0; }
.panel .widget-upload::after { content: "Upload"; font-size: var(--jp-widgets-font-size); }
.panel .widget-upload .fa { font-size: var(--jp-widgets-font-size); }
.panel .widget-inline-hbox input, .panel .widget-inline-hbox select { min-width: 0; }
.panel-drop { border: 1px dashed var(--jp-border-color1); color: var(--jp-ui-font-color2); padding: 0 6px;
  line-height: calc(var(--jp-widgets-inline-height) - 2px); }
.panel .widget-label > span { display: block; cursor: help; }
.panel-more .fa { width: 1em; margin-right: 2px; }
.panel-more.mod-active .fa { transform: rotate(90deg); }
.panel .panel-more + .panel-folded { display: none; }
.panel .panel-more.mod-active + .panel-folded { display: grid; }
.panel-status { color: var(--jp-ui-font-color2); font-size: var(--jp-ui-font-size1); }
.panel-error { color: var(--jp-ui-font-color1); border-left: 4px solid var(--jp-error-color1); padding: 2px 8px;
  line-height: 1.4; overflow-wrap: anywhere; }
.panel-text { color: var(--jp-ui-font-color1); white-space: pre-wrap; line-height: 1.4; }
.panel-source { color: var(--jp-content-font-color1); background: var(--jp-cell-editor-background); padding: 6px;
  border: 1px solid var(--jp-border-color2); white-space: pre-wrap; user-select: all; overflow-wrap: anywhere; }
.panel-curve { color: var(--jp-ui-font-color2); font-size: var(--jp-ui-font-size0); }
.panel-curve polyline { fill: none; stroke: var(--jp-brand-color1); stroke-width: 1.5; }
</style>"""

WIDEST = 860  # pixels of a picture; the whole panel fits 900
NARROWEST = 240  # pixels below which a picture does not become smaller for its file's sake

# Parameters that take less memory when they are lower.
LOWER = ("size", "batch", "batch_size", "count", "samples", "octaves", "scale", "steps", "width", "height")


def to_picture(shown: Any) -> pillow.Image:
    """What a `draw` returned, as a picture: images (N, 3, H, W) on any device, a PIL image or a Figure.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(shown, Tensor):
        if shown.ndim != 4 or shown.shape[1] != 3:
            raise TypeError(f"a picture must have shape (N, 3, H, W), not {tuple(shown.shape)}; give the panel a draw")
        picture = images.to_pil(images.grid(shown.detach().float().cpu()))
        enlarge = 256 // max(picture.size)
        if enlarge > 1:  # squares for pixels, not a blur
            picture = picture.resize((picture.width * enlarge, picture.height * enlarge), pillow.Resampling.NEAREST)
        return picture
    if isinstance(shown, Figure):
        file = BytesIO()
        shown.savefig(file, format="png", dpi=96, bbox_inches="tight", pil_kwargs={"compress_level": 1})
        return pillow.open(file).convert("RGB")
    if isinstance(shown, pillow.Image):
        return shown.convert("RGB")
    raise TypeError(f"draw must return a picture (N, 3, H, W), a PIL image or a Figure, not {type(shown).__name__}")


def to_jpeg(picture: pillow.Image) -> bytes:
    file = BytesIO()
    picture.save(file, format="JPEG", quality=90)
    return file.getvalue()


def shown_width(picture: pillow.Image) -> int:
    """How many pixels wide a picture is shown: a small one is easier to see when it is not."""
    wide, high = picture.size
    return min(WIDEST, max(wide, 400 if wide >= high else round(400 * wide / high)))


def fitted(pictures: Sequence[pillow.Image], most: int, quality: int = 80) -> list[bytes]:
    """Pictures as JPEGs, all on one scale: the largest at which none is wider than shown or has above `most` bytes."""
    whole = max(picture.width for picture in pictures)
    scale = min(1.0, WIDEST / whole)
    while True:
        files = [_scaled_jpeg(picture, scale, quality) for picture in pictures]
        if max(map(len, files)) <= most or scale * whole < NARROWEST:
            return files
        scale *= 0.9


def _scaled_jpeg(picture, scale, quality):
    if scale < 1:
        size = round(picture.width * scale), max(1, round(picture.height * scale))
        picture = picture.resize(size, pillow.Resampling.LANCZOS)
    file = BytesIO()
    picture.save(file, format="JPEG", quality=quality, optimize=True, progressive=True)
    return file.getvalue()


def one_line(error: Exception, knobs: Iterable[str]) -> str:
    """An error as a sentence for the reader; where memory was too small, it says which of the knobs to lower."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in text:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        smaller = ", ".join(name for name in knobs if name in LOWER)
        advice = f"lower {smaller} or choose" if smaller else "choose"
        return f"Out of memory: {advice} a smaller network"
    text = text.splitlines()[0]
    known = isinstance(error, (ValueError, TypeError, FloatingPointError, FileNotFoundError))
    known = known or type(error).__module__.startswith("helpers")
    return text if known else f"{type(error).__name__}: {text}"


def sparkline(name: str, values: Sequence[tuple[int, float]]) -> str:
    """One term of the objective as a small curve over the steps; logarithmic where it spans decades."""
    values = values[:: max(1, len(values) // 200)] + values[-1:]
    xs, ys = zip(*values, strict=True)
    heights = ys
    if min(ys) > 0 and max(ys) > 30 * min(ys):
        heights = [math.log(y) for y in ys]
    low, high = min(heights), max(heights)
    wide = max(1, xs[-1] - xs[0])
    points = " ".join(
        f"{(x - xs[0]) / wide * 240:.1f},{38 - (h - low) / ((high - low) or 1) * 36:.1f}"
        for x, h in zip(xs, heights, strict=True)
    )
    return (
        f'<div class="panel-curve">{html.escape(name)} {ys[-1]:.4g}<br>'
        f'<svg width="240" height="40" role="img" aria-label="{html.escape(name)} over the steps">'
        f'<polyline points="{points}"/></svg></div>'
    )
