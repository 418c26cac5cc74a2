"""Answers out of a notebook or a script, and into a released lesson. Nothing else of a submission is ever used:
edited checks, outputs, tags and cells elsewhere have no effect.
"""

import ast
import json
import re
from copy import deepcopy
from pathlib import Path

from nbformat import NotebookNode

LARGEST = 50_000_000  # bytes of a submission
LONGEST = 200_000  # characters of one answer
HEADER = re.compile(r"^# %% (\d\.\d+)(?: — (.*))?$", re.MULTILINE)


class Unreadable(ValueError):
    """A submission that is no notebook; the message says why in one line."""


def exercise_cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The cells that a reader fills in, by number."""
    return {cell.metadata.exercise: cell for cell in notebook.cells if "exercise" in cell.metadata.get("tags", [])}


def check_cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The cells that print a verdict, by number."""
    return {cell.metadata.exercise: cell for cell in notebook.cells if "check" in cell.metadata.get("tags", [])}


def paste(released: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """A copy of a released lesson with the source of its exercise cells replaced; unknown numbers are left out."""
    notebook = deepcopy(released)
    for number, cell in exercise_cells(notebook).items():
        cell.source = answers.get(number, cell.source)
    return notebook


def only_exercises(notebook: NotebookNode, first_cell: str) -> NotebookNode:
    """A copy that keeps just what the checks need: the exercises, their checks, and the imports that these name.

    Args:
        first_cell: the id of the cell that imports what the lesson uses.
    """
    notebook = deepcopy(notebook)
    kept = [cell for cell in notebook.cells if cell.cell_type == "code" and "exercise" in cell.metadata]
    words = {word for cell in kept for word in re.findall(r"\w+", cell.source)}
    start = next(cell for cell in notebook.cells if cell.id == first_cell)
    start.source = "\n".join(_imports(start.source, words))
    notebook.cells = [start, *kept]
    return notebook


def _imports(source, words):
    """The import statements of a cell, as far as they bind one of `words`."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            node.names = [name for name in node.names if (name.asname or name.name.partition(".")[0]) in words]
            if node.names:
                yield ast.unparse(node)


def from_script(path: Path) -> tuple[str, list[tuple[str, str | None, str]]]:
    """What a Python file in cells (`# %% 3.1`, `# %% 3.1 — a note`) holds: its imports, and (number, note, source)."""
    imports, *cells = HEADER.split(Path(path).read_text())
    return imports, [
        (number, note, source.strip())
        for number, note, source in zip(cells[::3], cells[1::3], cells[2::3], strict=True)
    ]


def from_submission(submission: bytes, released: NotebookNode) -> dict[str, str]:
    """The answers of a submitted notebook by number, where they differ from the blank of the released lesson.

    An answer is what stands in the exercise's cell and in cells that the reader put directly below it. JupyterLab
    gives the upper half of a split cell a new id, and copies metadata to both: either of the two is enough.

    Raises:
        Unreadable: the file is too large, no JSON, or no notebook.
    """
    blanks = {number: cell.source for number, cell in exercise_cells(released).items()}
    home = {cell.id: number for number, cell in exercise_cells(released).items()}
    known = {cell.id for cell in released.cells}
    found: dict[str, list[str]] = {}
    number = None  # of the exercise that a cell belongs to
    for kind, name, metadata, source in _cells(submission):
        own = home.get(name) or (metadata.get("exercise") if name not in known else None)
        if own in blanks:
            number = own
        elif name in known or "check" in _tags(metadata):
            number = None
        if number and kind == "code" and source.strip():
            found.setdefault(number, []).append(source)
    answers = {number: "\n\n".join(sources) for number, sources in found.items()}
    for number, answer in answers.items():
        if len(answer) > LONGEST:
            raise Unreadable(f"the answer to {number} has {len(answer)} characters; {LONGEST} are allowed")
    return {number: answer for number, answer in answers.items() if answer.strip() != blanks[number].strip()}


def _tags(metadata):
    tags = metadata.get("tags")
    return tags if isinstance(tags, list) else []


def _cells(submission):
    """The cells of a notebook file as (kind, id, metadata, source), whatever else is wrong with it."""
    if len(submission) > LARGEST:
        raise Unreadable(f"the file is larger than the {LARGEST / 1e6:.0f} MB that are allowed")
    try:
        notebook = json.loads(submission.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        raise Unreadable("the file is not JSON") from None
    version = notebook.get("nbformat") if isinstance(notebook, dict) else None
    if version == 4:
        cells = notebook.get("cells")
    elif version == 3:
        sheets = notebook.get("worksheets")
        cells = [cell for sheet in sheets for cell in sheet.get("cells", [])] if isinstance(sheets, list) else None
    else:
        raise Unreadable(f"the file is no notebook of version 3 or 4 (nbformat: {str(version)[:20]})")
    if not isinstance(cells, list):
        raise Unreadable("the notebook has no cells")
    for cell in cells:
        if isinstance(cell, dict):
            metadata = cell.get("metadata")
            source = cell.get("source", cell.get("input", ""))
            source = "".join(map(str, source)) if isinstance(source, list) else str(source)
            yield (
                cell.get("cell_type"),
                str(cell.get("id")),
                metadata if isinstance(metadata, dict) else {},
                source.encode("utf-8", "replace").decode(),  # half a surrogate pair cannot be written
            )
