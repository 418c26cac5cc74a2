"""Answers into a released lesson: the cells of its exercises and checks."""

import ast
import re
from copy import deepcopy

from nbformat import NotebookNode


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
