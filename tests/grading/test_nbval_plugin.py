"""`pytest --nbval-lax` on a lesson: an unsolved check fails, and whatever went wrong is said in one line."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from classroom import LESSON
from nbformat.v4 import new_code_cell, new_notebook

from helpers.core.lessons import NOTEBOOKS
from helpers.grading.assemble import only_exercises, paste


@pytest.fixture
def nbval(tmp_path):
    """Runs pytest over a notebook that lies beside the lessons' conftest; returns what it printed."""

    def run(notebook, *options):
        shutil.copy(NOTEBOOKS / "conftest.py", tmp_path)
        nbformat.write(notebook, tmp_path / "03_tiny.ipynb")
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "-p", "no:cacheprovider", "--color=no", *options]
        return subprocess.run([*command, tmp_path / "03_tiny.ipynb"], capture_output=True, text=True).stdout

    return run


def test_a_solved_and_a_blank_notebook(nbval, lesson, solutions):
    solved = nbval(only_exercises(paste(lesson, solutions), LESSON.first_cell))
    count = len(solutions)
    assert f"{2 * count + 1} passed" in solved and f"03_tiny.ipynb: {count} of {count} exercises solved" in solved
    blank = only_exercises(lesson, LESSON.first_cell)
    for cell in blank.cells:  # as after Clear All Outputs, or with the student's own
        cell.outputs, cell.execution_count = [], None
    printed = nbval(blank)
    assert f"{count} failed, {count + 1} passed" in printed
    for number in solutions:
        assert f"· {number:5} not attempted" in printed
        assert f"\nExercise {number} — not attempted\n" in printed


def test_markers_of_the_readers_do_not_skip_a_check(nbval, lesson):
    notebook = only_exercises(lesson, LESSON.first_cell)
    for cell in notebook.cells[1:]:
        cell.source = f"# NBVAL_SKIP\n{cell.source}"
        cell.metadata.tags = [*cell.metadata.tags, "nbval-skip", "raises-exception"]
    assert re.search(r"(\d+) failed", nbval(notebook))[1] == str((len(notebook.cells) - 1) // 2)


def exercise(source):
    def cell(name, source, tag):
        return new_code_cell(source, id=name, metadata={"exercise": "3.3", "tags": [tag]})

    start = new_code_cell("from helpers.exercises import check", id=LESSON.first_cell)
    cells = [start, cell("exercise-3-3", source, "exercise"), cell("check-3-3", "check('3.3')", "check")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=[*cells, new_code_cell("1", id="last")], metadata={"kernelspec": kernel})


def test_a_kernel_that_dies_and_a_cell_that_takes_too_long_are_failures(nbval):
    printed = nbval(exercise("import os; os._exit(1)"))
    assert "3 failed, 1 passed" in printed and "✗ 3.3   not run: the kernel has died" in printed
    printed = nbval(exercise("import time; time.sleep(600)"), "--nbval-cell-timeout=4")
    assert "3 failed, 1 passed" in printed and "✗ 3.3   not run: an earlier cell took too long" in printed


def test_a_cell_that_raises_fails_and_the_others_run(nbval):
    printed = nbval(exercise("1 / 0"))
    assert "2 failed, 2 passed" in printed and "ZeroDivisionError" in printed and "· 3.3   not attempted" in printed
