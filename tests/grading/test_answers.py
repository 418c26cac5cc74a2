"""Answers come out of a submission whatever happened to its cells, and nothing else does."""

import json
from time import process_time

import nbformat
import pytest
from classroom import LESSON
from nbformat.v4 import new_code_cell, new_markdown_cell

from helpers.grading import answers as reading
from helpers.grading.answers import Answer, Unreadable, answers_of
from helpers.grading.assemble import paste

FIRST = "exercise-3-1"


def place(notebook, name):
    return next(i for i, cell in enumerate(notebook.cells) if cell.id == name)


def answers(notebook):
    data = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
    return answers_of(data, LESSON.number)


def sources(notebook, number="3.1"):
    return [answer.source for answer in answers(notebook).get(number, [])]


def function(body, name="merge"):
    return f"def {name}(*a): return {body}"


@pytest.fixture
def solved(lesson, solutions):
    return paste(lesson, solutions)


def test_what_was_pasted_comes_back(solved, lesson, solutions):
    assert answers(solved).keys() == solutions.keys() and len(solutions) >= 3
    for number, (answer,) in answers(solved).items():
        assert solutions[number] in answer.source and not answer.problem
    assert answers(lesson) == {}, "a blank is no answer"
    assert sources(paste(lesson, {"3.1": function("1"), "9.9": function("2")})) == [function("1") + "\n"]


def test_everything_else_of_a_submission_is_left_out(solved, solutions):
    before = answers(solved)
    for cell in solved.cells:
        if "check" in cell.metadata.get("tags", []):
            cell.source = "print('Exercise 3.1 — passed')"
        elif "exercise" not in cell.metadata.get("tags", []) and cell.cell_type == "code":
            cell.source = "import os; os._exit(0)"
    assert answers(solved) == before


def test_what_an_answer_needs_comes_with_it_in_the_notebooks_order(lesson):
    solved = paste(lesson, {"3.1": "SIZE = 2\nUNUSED = 3\n" + function("helper(SIZE * F.relu(a), np.pi)")})
    at = place(solved, FIRST)
    solved.cells.insert(at + 1, new_code_cell("def helper(*a):\n    # why\n    return later(a)", id="below"))
    solved.cells.insert(at, new_code_cell("x = 1; SIZE = 1; y = 2", id="above"))
    solved.cells.append(new_code_cell("def later(a): return a", id="last"))
    assert sources(solved) == [
        "import numpy as np\n\nimport torch.nn.functional as F\n\nSIZE = 2\n\n"
        + function("helper(SIZE * F.relu(a), np.pi)")
        + "\n\ndef helper(*a):\n    # why\n    return later(a)\n\ndef later(a): return a\n"
    ]


def test_two_exercises_may_call_their_helpers_the_same(lesson):
    solved = paste(
        lesson, {n: f"K = {n!r}\n" + function("K", name) for n, name in (("3.1", "merge"), ("3.2", "field_of"))}
    )
    assert sources(solved) == ["K = '3.1'\n\n" + function("K") + "\n"]
    assert sources(solved, "3.2") == ["K = '3.2'\n\n" + function("K", "field_of") + "\n"]


def test_the_last_definition_in_the_exercises_own_cells_comes_first_and_others_are_tried(lesson):
    solved = paste(lesson, {"3.1": function("2")})
    at = place(solved, FIRST)
    solved.cells.insert(at + 1, new_code_cell(function("3"), id="below"))
    solved.cells.insert(at, new_code_cell(function("1"), id="above"))
    solved.cells.append(new_code_cell("def merge(*a): ...", id="blank"))
    assert [source[-2] for source in sources(solved)] == ["3", "2", "1"]
    for i in range(9):
        solved.cells.append(new_code_cell(function(f"{i}"), id=f"more{i}"))
    assert len(sources(solved)) == reading.CANDIDATES


def test_a_split_and_a_copied_cell_belong_to_the_exercise(lesson):
    solved = paste(lesson, {})
    whole = solved.cells[place(solved, FIRST)]
    upper = new_code_cell("K = 1", id="new-id", metadata=whole.metadata)  # JupyterLab's split: a new id above
    whole.source = function("K, L")
    solved.cells[place(solved, FIRST) : place(solved, FIRST) + 1] = [
        upper,
        whole,
        new_markdown_cell("a note", id="note"),
        new_code_cell("L = 2", id="added"),
    ]
    assert sources(solved) == ["K = 1\n\n" + function("K, L") + "\n\nL = 2\n"]


def test_what_is_no_python_costs_its_own_exercise(solved, solutions):
    before = answers(solved)
    solved.cells[place(solved, FIRST)].source = "def merge(values):\n    return (("
    after = answers(solved)
    assert after.pop("3.1") == [Answer("", "its cell raises SyntaxError: '(' was never closed (line 2)")]
    assert after == {number: before[number] for number in solutions if number != "3.1"}
    solved.cells.append(new_code_cell("no python at all ((", id="scratch"))
    assert answers(solved) == after | {"3.1": answers(solved)["3.1"]}


def test_a_long_comment_costs_nothing_and_a_long_answer_itself(solved, solutions):
    cell = solved.cells[place(solved, FIRST)]
    cell.source = cell.source.replace("\n", "\n    #" + "x" * 200_000 + "\n", 1)
    assert len(sources(solved)[0]) < 2000 and "return" in sources(solved)[0]
    cell.source = function(f"'{'x' * 200_001}'")
    assert answers(solved)["3.1"][0].problem == "the answer has 200029 characters; 200000 are allowed"
    cell.source = function(f"'{'x' * 500_000}'")
    assert answers(solved)["3.1"][0].problem == "its cell has 500024 characters; that is too long"
    assert len(answers(solved)) == len(solutions)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_any_unicode_is_read(solved, encoding):
    assert answers(json.dumps(solved, ensure_ascii=False).encode(encoding)) == answers(solved)


AGAIN = "open it in JupyterLab, save it and hand it in again"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty: hand it in again"),
        (b"\0" * 900, "the file is empty: hand it in again"),
        (b"{", f"the file is not JSON: {AGAIN}"),
        (b"\xff\xfe\x00", f"the file is not JSON: {AGAIN}"),
        (b"[" * 100_000, f"the file is not JSON: {AGAIN}"),
        (
            b'{\n<<<<<<< HEAD\n"a": 1\n=======\n"a": 2\n>>>>>>> other\n}',
            "the file is not JSON: it holds the marks of a merge that was not finished",
        ),
        (b"[]", f"the file is no notebook of version 3 or 4 (nbformat: None): {AGAIN}"),
        (b'{"nbformat": 5, "cells": []}', f"the file is no notebook of version 3 or 4 (nbformat: 5): {AGAIN}"),
        (b'{"nbformat": 4, "cells": {}}', f"the notebook has no cells: {AGAIN}"),
        (b'{"nbformat": 3, "worksheets": 1}', f"the notebook has no cells: {AGAIN}"),
        (b'{"nbformat": 3, "worksheets": [1]}', f"the notebook has no cells: {AGAIN}"),
    ],
)
def test_what_is_no_notebook_is_one_clear_error(data, message):
    with pytest.raises(Unreadable) as told:
        answers(data)
    assert str(told.value) == message


def test_a_file_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(reading, "LARGEST", 1000)
    with pytest.raises(Unreadable, match="the file is larger than"):
        answers(b" " * 1001)


def test_odd_cells_and_old_versions_are_read_all_the_same():
    old = {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "metadata": {"exercise": "3.1"}}]}, 7]}
    old["worksheets"][0]["cells"][0]["input"] = ["K = 1\n", function("K")]
    assert sources(old) == ["K = 1\n\n" + function("K") + "\n"]
    cells = [3, None, {"cell_type": "code"}, {"cell_type": "code", "metadata": 7, "source": 5, "id": FIRST}]
    cells += [
        {"cell_type": ["raw"], "metadata": {"tags": "check", "exercise": []}, "source": [function("4")], "id": {}}
    ]
    assert sources({"nbformat": 4, "cells": cells}) == [function("4") + "\n"]


def test_half_a_surrogate_pair_can_be_written_afterwards(lesson):
    source = b"def merge(): return '\\ud800'"
    data = b'{"nbformat": 4, "cells": [{"cell_type": "code", "id": "exercise-3-1", "source": "' + source + b'"}]}'
    found = sources(data)
    assert found == ["def merge(): return '?'\n"]
    nbformat.writes(paste(lesson, {"3.1": found[0]})).encode()


HOSTILE = {
    "many statements": "a = b\n" * 60_000,
    "many names": function("(" + ", ".join(f"n{i}" for i in range(30_000)) + ")"),
    "many uses": "".join(f"n{i} = n{i - 1}\n" for i in range(1, 20_000)) + function("n19999"),
    "many changes": "t = {}\n" + "t.x = 1\n" * 40_000 + function("t"),
    "many magics": "!ls\n" * 20_000 + function("1"),
    "many comprehensions": "x = [y " + "for y in x " * 20_000 + "]\n" + function("x"),
    "much depth": "x = " + "(" * 190 + ")" * 190 + "\n" + function("x"),
    "many definitions": (function("1") + "\n") * 10_000,
    "one long line": function("1") + "; " + "a=1;" * 60_000,
    "stars": "from x import *\n" * 10_000 + function("unknown"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_is_written_to_drown_the_reader_is_read_soon(hostile, lesson):
    solved = paste(lesson, {"3.1": HOSTILE[hostile], "3.2": function("1", "field_of")})
    start = process_time()
    assert "3.2" in answers(solved)
    assert process_time() - start < 30
