"""Each lesson has one name, and everything of it lies where that name says."""

import importlib

import nbformat
import pytest

from helpers.core.lessons import LESSONS, NOTEBOOKS, lesson, lesson_of


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.stem)
def test_notebook_checks_and_answers_are_there(each):
    assert each.notebook.is_file() and importlib.import_module(each.checks)
    answers = {path.name for path in each.answers.glob("*.py")}
    assert answers - {"more.py"} == {"solution.py", "second.py", "mistakes.py"}
    code = [cell for cell in nbformat.read(each.notebook, as_version=4).cells if cell.cell_type == "code"]
    assert code[0].id == each.first_cell and "plots.setup(" in code[0].source


def test_there_is_no_other_lesson():
    assert sorted(NOTEBOOKS.glob("*.ipynb")) == [each.notebook for each in LESSONS]


def test_lessons_are_found_by_number_and_by_notebook():
    assert lesson(3).stem == "03_occlusion" == lesson_of("/elsewhere/03_occlusion.ipynb").stem
    with pytest.raises(ValueError, match="lesson must be from 1 to 9, not 10"):
        lesson(10)
    with pytest.raises(ValueError, match=r"notebook must be one of 01_filters, .*, not 10_gradcam"):
        lesson_of("10_gradcam.ipynb")
