"""The films of a lesson: its panels run in a kernel of their own, at some settings each, and kept for the next time."""

import hashlib
import json
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from PIL import Image, ImageSequence

from helpers.core.images import write_atomically
from helpers.core.lessons import ROOT, Lesson
from helpers.notebooks import execute
from helpers.panels.film import MIME
from helpers.site.slices import slice_for_panels

KEPT = ROOT / "build" / "films"
# what a film depends on beside its lesson
MAKES = ("helpers/*.py", "helpers/core/*.py", "helpers/panels/*.py", "data/*.np?", "data/*.png", "data/paintings/*")


def films_of(lesson: Lesson, tell=print, kept: Path = KEPT) -> dict[str, list[dict]]:
    """The films of a lesson's panels, by the id of the cell, in the order in which it shows them.

    They are recorded once: again only when what the panels need of the lesson changes, or the code that they run.

    Args:
        tell: is handed one line for each panel that fails, which then has no film.
        kept: the folder of what is recorded.
    """
    panels = slice_for_panels(nbformat.read(lesson.notebook, as_version=4))
    file = kept / f"{lesson.stem}-{_key(panels)}.json"
    if file.exists():
        return json.loads(file.read_text("utf-8"))
    films, failures = record(panels, lesson.notebook.parent)
    for failure in failures:
        tell(f"{lesson.stem}: no film: {failure}")
    if not failures:
        for former in kept.glob(f"{lesson.stem}-*.json"):
            former.unlink()
        write_atomically(file, lambda stream: stream.write(json.dumps(films).encode()))
    return films


def record(notebook: NotebookNode, folder: Path) -> tuple[dict[str, list[dict]], list[str]]:
    """Run a notebook of panels as films; what came of it, and a line for each cell that raised, or a dead kernel."""
    films, failures = {}, []
    try:
        execute(notebook, folder, "film", timeout=None, allow_errors=True)  # a film takes as long as ten panels
    except DeadKernelError as error:
        failures.append(str(error))
    for cell in notebook.cells:
        shown = [output.data[MIME] for output in cell.outputs if MIME in output.get("data", {})]
        if shown:
            films[cell.id] = [json.loads(each) if isinstance(each, str) else each for each in shown]
        for output in cell.outputs:
            if output.output_type == "error":
                failures.append(f"{cell.id}: {output.ename}: {output.evalue.partition(chr(10))[0]}")
    return films, failures


def _key(notebook):
    """Tells apart what may look different."""
    made = hashlib.sha256("\0".join(cell.source for cell in notebook.cells).encode())
    for pattern in MAKES:
        for path in sorted(ROOT.glob(pattern)):
            made.update(path.read_bytes())
    return made.hexdigest()[:16]


def film_of_gif(gif: str, alt: str) -> dict:
    """A film of a GIF (base64), so that it moves only when asked to."""
    picture = Image.open(BytesIO(b64decode(gif)))
    frames = []
    for i, frame in enumerate(ImageSequence.Iterator(picture), start=1):
        file = BytesIO()
        frame.convert("RGB").save(file, "JPEG", quality=90)
        label = f"frame {i} of {picture.n_frames}"
        frames.append({"jpeg": b64encode(file.getvalue()).decode(), "label": label, "text": ""})
    return {
        "title": "",
        "knob": "frame",
        "frames": frames,
        "start": len(frames) - 1,
        "call": "",
        "alt": alt,
    }
