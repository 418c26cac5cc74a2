"""The lessons as they ship, and as they run from top to bottom, each exercise blank and then solved."""

import ast
import re
import shutil
import subprocess
import sys
import time

import nbformat
import pytest
from cells import leaks
from nbformat.v4 import new_code_cell, new_output

from helpers.core.lessons import LESSONS, NOTEBOOKS
from helpers.exercises.calls import is_blank
from helpers.exercises.exercise import exercises
from helpers.exercises.verdict import BLANK, Verdict
from helpers.grading.assemble import check_cells, exercise_cells, paste
from helpers.notebooks import normalise, solutions
from helpers.site.slices import slice_for_panels, statements

EACH = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)


@EACH
def test_a_shipped_lesson_is_tidy(lesson):
    notebook = nbformat.read(lesson.notebook, as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids)) and not any(re.fullmatch("[0-9a-f]{8}", name) for name in ids), "readable ids"
    assert lesson.notebook.stat().st_size < 1_500_000
    assert normalise(nbformat.read(lesson.notebook, as_version=4)) == notebook, (
        "stored outputs are not what `make notebooks` writes"
    )
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert any("image/jpeg" in output.get("data", {}) for output in outputs)


@EACH
def test_every_picture_of_a_lesson_says_what_is_to_be_seen(lesson):
    """Each in its own words; neither is it a file's name, nor what nbconvert writes where nothing is said."""
    said = {}
    for cell in nbformat.read(lesson.notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            for kind in (kind for kind in output.get("data", {}) if kind.startswith("image/")):
                alt = output.metadata.get(kind, {}).get("alt", "").strip()
                assert len(alt.split()) > 3, f"{cell.id}: {alt!r} says too little"
                assert not re.search(r"\.(png|jpe?g|gif|svg|webp)\b|No description has been", alt), (
                    f"{cell.id}: {alt!r}"
                )
                assert alt not in said, f"{cell.id} says the same as {said[alt]}: {alt!r}"
                said[alt] = cell.id
    assert said


@EACH
def test_every_panel_of_a_lesson_is_stored_as_its_picture_and_its_call(lesson):
    """As `make notebooks` leaves it; the call is Python, and names no second, machine or device."""
    made = [cell for cell in nbformat.read(lesson.notebook, as_version=4).cells if makes_panel(cell)]
    assert made
    for cell in made:
        picture, words = cell.outputs[-2:]
        assert "image/jpeg" in picture.get("data", {}) and set(words.data) == {"text/markdown", "text/plain"}, cell.id
        text = words.data["text/plain"]
        assert "in JupyterLab to turn the knobs" in text and not re.search(r"steps/s|\d s\b|cuda|cpu", text), cell.id
        (call,) = re.findall(r"```python\n(.+)\n```", words.data["text/markdown"], re.DOTALL)
        assert ast.parse(call).body and text.endswith(call), cell.id


def makes_panel(cell):
    """Whether a panel is the last thing in a cell, so that it is shown."""
    if cell.cell_type != "code" or not (body := statements(cell)):
        return False
    last = body[-1]
    return isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) and ast.unparse(last.value.func) == "panel"


@EACH
def test_no_panel_of_a_lesson_is_made_and_not_shown(lesson):
    notebook = nbformat.read(lesson.notebook, as_version=4)
    made = [cell.id for cell in slice_for_panels(notebook).cells if re.search(r"^panel\(", cell.source, re.MULTILINE)]
    assert made == [cell.id for cell in notebook.cells if makes_panel(cell)]


@EACH
def test_a_lesson_has_the_lesson_shape(lesson):
    notebook = nbformat.read(lesson.notebook, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.cells[0].source.startswith("# ")
    assert "## What to remember" in prose and "## References" in prose
    assert sum("plots.setup(" in source for source in code) == 1
    assert sum(source.lstrip().startswith(("import ", "from ")) for source in code) == 1, "one cell of imports"
    assert any("panel(" in source for source in code)
    assert not any(word in source for source in code for word in ("sys.path", "!pip", "%pip", "!wget"))


@EACH
def test_the_exercises_of_a_lesson_are_those_that_are_checked(lesson):
    notebook = nbformat.read(lesson.notebook, as_version=4)
    known = exercises(lesson.number)
    blanks, checks = exercise_cells(notebook), check_cells(notebook)
    assert list(blanks) == list(checks) == list(known) == list(solutions(lesson))
    order = [cell.id for cell in notebook.cells]
    for number, exercise in known.items():
        name = number.replace(".", "-")
        text, blank, check, picture, why = (
            f"exercise-{name}-text",
            f"exercise-{name}",
            f"check-{name}",
            f"exercise-{name}-picture",
            f"exercise-{name}-why",
        )
        at, number_cell = order.index(text), f"exercise-{name}-number"
        shown = [picture, number_cell] if number_cell in order else [picture]
        assert order[at : order.index(why) + 1] == [text, blank, check, *shown, why]
        statement, cell, checked, reward = notebook.cells[at : at + 4]
        meaning = notebook.cells[order.index(why)]
        for each in notebook.cells[at + 3 : order.index(why)]:
            lines = each.source.splitlines()
            assert len(lines) <= 10 and max(map(len, lines)) <= 100, f"{each.id} is for eyes"
        assert statement.source.startswith(f"### Exercise {number} · ") and statement.source.count("<summary>Hint") == 2
        assert re.search(r"^[●○]{5} · \d+ minutes$", statement.source, re.MULTILINE)
        assert cell.metadata == {"exercise": number, "tags": ["exercise"]}
        space = {}
        exec(cell.source, space)
        assert is_blank(space[exercise.name]) and space[exercise.name].__doc__
        assert checked.source == f'check("{number}")'
        assert checked.metadata == {
            "exercise": number,
            "tags": ["check", "nbval-check-output"],
            "editable": False,
            "deletable": False,
        }
        assert [output.text for output in checked.outputs] == [f"Exercise {number} — passed\n"]
        assert f'mine_{number.replace(".", "_")} = yours("{number}")' in reward.source.splitlines()
        assert any("image/jpeg" in o.get("data", {}) for o in reward.outputs)
        assert "<summary>Why it matters</summary>" in meaning.source


@EACH
def test_what_an_exercise_gives_is_used_in_its_own_cells_only(lesson):
    """Thus all other cells do the same whether it is blank or solved, and need to run once only."""
    assert list(leaks(nbformat.read(lesson.notebook, as_version=4))) == []


# ── A whole run ──


NBVAL = """
import resource, sys, pytest

class Silent:
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        yield
        told = [out.text for out in item.test_outputs if out.get("name") == "stderr"]
        assert not told, told

options = ["--nbval-lax", "-q", "--color=no", "-p", "no:cacheprovider"]
verdict = pytest.main([*options, sys.argv[1]], plugins=[Silent()])
print(f"peak of the kernel: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.1f} GB")
sys.exit(verdict)
"""


def without_network():
    """A command prefix that leaves its program only the loopback, which the kernel's own sockets need."""
    wrap = ["bwrap", "--dev-bind", "/", "/", "--unshare-net"]
    if shutil.which("bwrap") and subprocess.run([*wrap, "true"], capture_output=True).returncode == 0:
        return wrap
    return []


def blank_and_solved(lesson):
    """A lesson as a reader goes through it: each exercise is run as it ships, and again when it is solved."""
    shipped = nbformat.read(lesson.notebook, as_version=4)
    notebook, order = paste(shipped, solutions(lesson)), [cell.id for cell in shipped.cells]
    for number in reversed(exercises(lesson.number)):
        name = number.replace(".", "-")
        start, end = order.index(f"exercise-{name}"), order.index(f"exercise-{name}-why")
        blank = [new_code_cell(cell.source, id=f"blank-{cell.id}") for cell in shipped.cells[start:end]]
        blank[1].metadata.tags, blank[1].execution_count = ["nbval-check-output"], 1
        blank[1].outputs = [new_output("stream", text=f"{Verdict(number, BLANK)}\n")]
        notebook.cells[start:start] = blank
    return notebook


@pytest.mark.notebook
@EACH
def test_a_lesson_passes_nbval_offline_cell_by_cell(lesson, tmp_path):
    """Its one whole run: no cell raises or writes on stderr; each check says that its exercise waits, then passes."""
    shutil.copy(NOTEBOOKS / "conftest.py", tmp_path)
    notebook = blank_and_solved(lesson)
    nbformat.write(notebook, tmp_path / lesson.notebook.name)
    command = [*without_network(), sys.executable, "-c", NBVAL, tmp_path / lesson.notebook.name]
    start = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - start
    count = len(exercises(lesson.number))
    assert run.returncode == 0, run.stdout[-3000:]
    assert f"{count} of {count} exercises solved" in run.stdout
    code = sum(cell.cell_type == "code" for cell in notebook.cells)
    assert re.search(rf"^{code} passed in", run.stdout, re.MULTILINE)
    (memory,) = re.findall(r"^peak of the kernel: (.+) GB$", run.stdout, re.MULTILINE)
    online = "" if without_network() else " (bubblewrap is not here: network left on)"
    print(f"\n{lesson.stem}: {seconds:.0f} s, {memory} GB{online}")
    assert float(memory) < 2, "Binder gives no more"
