"""What `check` notes of a reader's progress, wherever it can be written, and whom `solution` shows an answer."""

import json
import os

import pytest
from read_answers import read_all

from helpers import notebooks
from helpers.core.lessons import LESSONS, ROOT
from helpers.exercises import check, progress, solution, solved
from helpers.exercises.exercise import exercises
from helpers.exercises.solutions import find_solution

KNOWN = exercises()
SOLUTIONS = {answer.number: answer for answer in read_all("solution")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a reader's notebooks, in which the kernel works."""
    (tmp_path / LESSONS[0].notebook.name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(solved.OFF, raising=False)
    return tmp_path


def pass_(number):
    """Check the course's own answer."""
    exec(f"check({number!r})", SOLUTIONS[number].namespace() | {"check": check})


def rows(capsys):
    """What `progress` prints: a line for each lesson, and those below."""
    capsys.readouterr()
    progress()
    lines = capsys.readouterr().out.splitlines()
    return lines[: len(LESSONS)], lines[len(LESSONS) :]


# ── Progress ──


def test_a_pass_is_kept_and_shown(folder, capsys):
    check("1.1")
    assert not (folder / solved.NAME).exists(), "nothing was attempted"
    for number in ("3.2", "1.2", "1.1", "1.2"):
        pass_(number)
        assert capsys.readouterr().out.splitlines()[-1] == f"Exercise {number} — passed"
    assert json.loads((folder / solved.NAME).read_text()) == ["1.1", "1.2", "3.2"]
    lessons, below = rows(capsys)
    count = len(exercises(1))
    assert lessons[0].endswith(f"  ✓✓{'·' * (count - 2)}   2 of {count}  next: 1.3")
    assert "·✓·" in lessons[2] and "0 of" in lessons[1]
    assert below == [f"3 of {len(KNOWN)} exercises solved"]
    assert {path.name for path in folder.iterdir()} == {LESSONS[0].notebook.name, solved.NAME}


def test_a_lesson_that_is_done_says_so_and_has_the_title_of_its_notebook(folder, capsys):
    (folder / solved.NAME).write_text(json.dumps(list(exercises(6))))
    row = rows(capsys)[0][5]
    assert row.startswith(f"6 · {LESSONS[5].title} ") and row.endswith("  done")
    heading = json.loads(LESSONS[5].notebook.read_text("utf-8"))["cells"][0]["source"]
    assert f"# 6 · {LESSONS[5].title}" in "".join(heading).splitlines()[0]


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff\xfe", b"[", b"[" * 100_000, b"{}", b"3", b'[1, null, ["1.1"], "words", "1.1"]', b'["9.99"]'],
    ids=lambda damage: repr(damage[:20]),
)
def test_a_damaged_file_breaks_nothing_and_is_written_anew(folder, capsys, damage):
    (folder / solved.NAME).write_bytes(damage)
    lessons, below = rows(capsys)
    assert len(lessons) == 9 and below[0].split()[0] == str(int(b'"1.1"' in damage and b"null" in damage))
    pass_("1.2")
    assert capsys.readouterr().out == "Exercise 1.2 — passed\n"
    assert "1.2" in json.loads((folder / solved.NAME).read_text())


def test_a_folder_that_cannot_be_written_breaks_nothing(folder, capsys, monkeypatch):
    (folder / solved.NAME).mkdir()
    pass_("1.1")
    (folder / solved.NAME).rmdir()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(solved, "write_atomically", refuse)
    pass_("1.1")
    assert capsys.readouterr().out == "Exercise 1.1 — passed\n" * 2
    assert [path.name for path in folder.iterdir()] == [LESSONS[0].notebook.name]


def test_nothing_is_kept_elsewhere(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pass_("1.1")
    assert list(tmp_path.iterdir()) == []
    assert rows(capsys)[1][1].startswith("Nothing is kept here: ")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")
    pass_("1.1")
    assert rows(capsys)[1][1].startswith("Nothing is kept here: ")


def test_what_the_course_solves_itself_is_nobodys_progress(folder):
    cells = ["from helpers.exercises import check", SOLUTIONS["1.1"].source, "check('1.1')"]
    path = folder / LESSONS[0].notebook.name
    notebooks.nbformat.write(
        notebooks.nbformat.v4.new_notebook(cells=[notebooks.nbformat.v4.new_code_cell(cell) for cell in cells]), path
    )
    assert notebooks.run(path).cells[2].outputs[0].text == "Exercise 1.1 — passed\n"
    assert list(folder.iterdir()) == [path]


def test_git_ignores_it():
    assert solved.NAME in (ROOT / ".gitignore").read_text().splitlines()


# ── Solutions ──


@pytest.mark.parametrize("number", KNOWN)
def test_a_solution_is_shown_after_a_pass_or_when_really_asked_for(number, capsys):
    answer = SOLUTIONS[number]
    blank = {"solution": solution}
    exec(f"solution({number!r})", blank)
    asked = capsys.readouterr().out
    assert asked.count("\n") == 1 and f'solution("{number}", really=True)' in asked and "not solved yet" in asked
    exec(f'solution("{number}", really=True)', blank)
    exec(f"solution({number!r})", answer.namespace() | blank)
    assert capsys.readouterr().out == f"{answer.source}\n" * 2
    assert KNOWN[number].name in answer.source


def test_where_there_are_no_solutions_a_line_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("helpers.core.lessons.ANSWERS", tmp_path)
    solution("3.1", really=True)
    assert capsys.readouterr().out == "Exercise 3.1: the solutions are not part of this copy of the course.\n"
    assert find_solution("3.1") is None


def test_an_unknown_number_is_one_clear_error():
    with pytest.raises(ValueError, match=r"there is no exercise '3\.99'"):
        solution("3.99")


@pytest.mark.parametrize(
    "answer",
    [
        "def {name}(*arguments): return solution('{number}', really=True)",
        "def {name}(*arguments): return solution('{number}')",
        "def {name}(*arguments): return yours('{number}')(*arguments)",
        "def {name}(*arguments): return check('{number}')",
        """
def {name}(*arguments):
    from helpers.exercises.solutions import find_solution
    space = dict(globals())
    exec(find_solution('{number}'), space)
    return space['{name}'](*arguments)""",
    ],
)
def test_a_call_of_it_is_no_answer(answer, capsys):
    for number in ("1.1", "4.1", "8.4"):
        space = {"__name__": "answer"}
        source = answer.format(name=KNOWN[number].name, number=number)
        exec(f"from helpers.exercises import check, solution, yours\n{source}\ncheck({number!r})", space)
        told = capsys.readouterr().out
        assert told.startswith(f"Exercise {number} — not yet: it calls helpers.exercises."), told
        assert told.endswith(": write the lines yourself\n") and told.count("\n") == 1
