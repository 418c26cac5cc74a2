"""Answers come out of a submission whatever happened to its cells, and nothing else does."""

import json

import nbformat
import pytest
from classroom import LESSON
from nbformat.v4 import new_code_cell, new_markdown_cell

from helpers.grading import assemble
from helpers.grading.assemble import Unreadable, from_script, from_submission, only_exercises, paste

FIRST = "exercise-3-1"


def place(notebook, name):
    return next(i for i, cell in enumerate(notebook.cells) if cell.id == name)


def answers(notebook, lesson):
    return from_submission(json.dumps(notebook).encode(), lesson)


@pytest.fixture
def solved(lesson, solutions):
    return paste(lesson, solutions)


def test_what_was_pasted_comes_back(solved, lesson, solutions):
    assert answers(solved, lesson) == solutions and len(solutions) >= 3
    assert answers(lesson, lesson) == {}, "a blank is no answer"
    assert answers(paste(lesson, {"3.1": "mine", "9.9": "nobody asked"}), lesson) == {"3.1": "mine"}


def test_everything_else_of_a_submission_is_left_out(solved, lesson, solutions):
    for cell in solved.cells:
        if "check" in cell.metadata.get("tags", []):
            cell.source = "print('Exercise 3.1 — passed')"
        elif "exercise" not in cell.metadata.get("tags", []):
            cell.source = "import os; os._exit(0)"
    pasted = paste(lesson, answers(solved, lesson))
    assert [c.source for c in pasted.cells if "exercise" not in c.metadata.get("tags", [])] == [
        c.source for c in lesson.cells if "exercise" not in c.metadata.get("tags", [])
    ]
    assert answers(pasted, lesson) == solutions


def test_a_split_a_copied_and_an_added_cell_belong_to_the_exercise_above(lesson, solutions):
    solved = paste(lesson, {})
    at = place(solved, FIRST)
    whole = solved.cells[at]
    upper = new_code_cell("first = 1", id="new-id", metadata=whole.metadata)  # JupyterLab's split: a new id above
    whole.source = "second = 2"
    below = [new_markdown_cell("a note", id="note"), new_code_cell("third = 3", id="added")]
    solved.cells[at : at + 1] = [upper, whole, *below]
    assert answers(solved, lesson) == {"3.1": "first = 1\n\nsecond = 2\n\nthird = 3"}


def test_a_cell_elsewhere_belongs_to_nothing(lesson):
    solved = paste(lesson, {})
    solved.cells.insert(place(solved, "check-3-1") + 1, new_code_cell("stray = 1", id="stray"))
    solved.cells.insert(0, new_code_cell("first = 1", id="first"))
    assert answers(solved, lesson) == {}


def test_cells_with_the_same_id_are_all_taken(lesson):
    solved = paste(lesson, {"3.1": "one = 1"})
    solved.cells.append(new_code_cell("two = 2", id=FIRST))
    assert answers(solved, lesson) == {"3.1": "one = 1\n\ntwo = 2"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is not JSON"),
        (b"{", "the file is not JSON"),
        (b"\xff\xfe\x00", "the file is not JSON"),
        (b"[" * 100_000, "the file is not JSON"),
        (b"[]", "the file is no notebook of version 3 or 4 (nbformat: None)"),
        (b'{"nbformat": 5, "cells": []}', "the file is no notebook of version 3 or 4 (nbformat: 5)"),
        (b'{"nbformat": 4, "cells": {}}', "the notebook has no cells"),
        (b'{"nbformat": 3, "worksheets": 1}', "the notebook has no cells"),
    ],
)
def test_what_is_no_notebook_is_one_clear_error(data, message, lesson):
    with pytest.raises(Unreadable) as told:
        from_submission(data, lesson)
    assert str(told.value) == message


def test_sizes_have_a_limit(lesson, monkeypatch):
    with pytest.raises(Unreadable, match=r"the answer to 3\.1 has 200001 characters; 200000 are allowed"):
        answers(paste(lesson, {"3.1": "#" * 200_001}), lesson)
    monkeypatch.setattr(assemble, "LARGEST", 1000)
    with pytest.raises(Unreadable, match="the file is larger than"):
        from_submission(b" " * 1001, lesson)


def test_odd_cells_and_old_versions_are_read_all_the_same(lesson):
    old = {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "metadata": {"exercise": "3.1"}}]}]}
    old["worksheets"][0]["cells"][0]["input"] = ["a = 1\n", "b = 2"]
    assert answers(old, lesson) == {"3.1": "a = 1\nb = 2"}
    cells = [3, None, {"cell_type": "code"}, {"cell_type": "code", "metadata": 7, "source": 5, "id": FIRST}]
    cells += [{"cell_type": "code", "metadata": {"tags": "check", "exercise": []}, "source": ["c", 4], "id": FIRST}]
    assert answers({"nbformat": 4, "cells": cells}, lesson) == {"3.1": "5\n\nc4"}


def test_half_a_surrogate_pair_can_be_written_afterwards(lesson):
    data = b'{"nbformat": 4, "cells": [{"cell_type": "code", "id": "exercise-3-1", "source": "a = \'\\ud800\'"}]}'
    found = from_submission(data, lesson)
    assert found == {"3.1": "a = '?'"}
    nbformat.writes(paste(lesson, found)).encode()


def test_the_short_notebook_has_imports_exercises_and_checks(solved):
    short = only_exercises(solved, LESSON.first_cell)
    assert all(line.startswith(("import ", "from ")) for line in short.cells[0].source.splitlines())
    assert "from helpers.exercises import check" in short.cells[0].source and "panel" not in short.cells[0].source
    assert [cell.id.rpartition("-3-")[0] for cell in short.cells[1:]] == ["exercise", "check"] * (len(short.cells) // 2)


def test_a_script_is_read_cell_by_cell(tmp_path):
    path = tmp_path / "answers.py"
    path.write_text("import torch\n\n# %% 3.1\n\na = 1\n\n# %% 3.10 — not yet: why\n\nb = 2\n")
    assert from_script(path) == ("import torch\n\n", [("3.1", None, "a = 1"), ("3.10", "not yet: why", "b = 2")])
