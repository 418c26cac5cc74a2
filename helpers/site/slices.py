"""The statements of a lesson that its panels need, by the names that each takes and leaves."""

import ast
import dis
import types

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
