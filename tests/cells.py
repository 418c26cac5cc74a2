"""The cells of a lesson, by the names that they take from the kernel and those that they leave there."""

import ast
import dis
import re
import types
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode

CERTAIN = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)  # bind, come what may
OUTSIDE = ("LOAD_GLOBAL", "LOAD_NAME")  # what fetches a name from outside a function, and from outside a class


def statements(cell: NotebookNode) -> list[ast.stmt]:
    """The Python of a cell, without its magics."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in cell.source.splitlines()]
    return ast.parse("\n".join(lines)).body


def taken_and_given(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """The names that a statement takes from the kernel, and those that it leaves there."""
    code = compile(ast.Module([statement], type_ignores=[]), "cell", "exec")
    taken, given = set(), set()
    for step in dis.get_instructions(code):  # in order: what a loop binds itself it does not take
        if step.opname == "STORE_NAME":
            given.add(step.argval)
        elif step.opname == "LOAD_NAME" and step.argval not in given:
            taken.add(step.argval)
    return taken | (set(_taken_inside(code)) - given), given


def _taken_inside(code):
    """What the functions, classes and comprehensions of a piece of code take from outside themselves."""
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from (step.argval for step in dis.get_instructions(part) if step.opname in OUTSIDE)
            yield from _taken_inside(part)


# ── What panels need ──

# to be run first: knobs do the same with collections of small pictures, of which a thousand are described in seconds
SMALL = """
from helpers.core import photos

for kind in (photos.Crops, photos.Folder, photos.Labelled):
    kind.size = property(lambda _: 64, lambda *_: None)  # whatever is asked for
"""


def slice_for_panels(notebook: NotebookNode) -> NotebookNode:
    """The statements that make panels, and those before them that bind a name they need, directly or not."""
    cells, needed = [], set()
    for cell in reversed(notebook.cells):
        kept = []
        for statement in reversed(statements(cell) if cell.cell_type == "code" else []):
            taken, given = taken_and_given(statement)
            if _makes_panel(statement) or given & needed:
                kept.insert(0, ast.unparse(statement))
                needed = (needed - given if isinstance(statement, CERTAIN) else needed) | taken
        if kept:
            cells.insert(0, nbformat.v4.new_code_cell("\n".join(kept), id=cell.id))
    return nbformat.v4.new_notebook(cells=cells)


def _makes_panel(statement):
    calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    definition = isinstance(statement, (ast.FunctionDef, ast.ClassDef))
    return not definition and any(getattr(f, "id", getattr(f, "attr", None)) == "panel" for f in calls)


# ── What exercises give ──


def leaks(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    """The cells beside the exercises' own that use what an exercise gives, each with the name that it uses."""
    theirs = set()  # names that stand for a reader's function, or for what comes of calling it
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        blank, own = re.fullmatch(r"exercise-\d-\d+", cell.id), cell.id.startswith("exercise-")
        for statement in statements(cell):
            taken, given = taken_and_given(statement)
            touched = taken & (theirs | {"yours"})
            if blank or (own and touched):
                theirs |= given
                continue
            theirs -= given
            if not own:
                yield from ((cell.id, name) for name in sorted(touched))
