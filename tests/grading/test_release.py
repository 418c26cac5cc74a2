"""What students get: it stands by itself, gives nothing away, and comes back to be graded."""

import ast
import csv
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import nbformat
import pytest
from classroom import LESSON
from read_answers import read_all

from helpers.core.lessons import LESSONS, ROOT
from helpers.exercises.exercise import exercises
from helpers.grading import release as releases
from helpers.grading.answers import answers_of
from helpers.grading.assemble import only_exercises, paste
from helpers.grading.release import main, release

# a process that finds the course nowhere but where it is told: -S leaves out what an installed course has added
ALONE = [sys.executable, "-S", "-P", "-c"]
PACKAGES = sysconfig.get_path("purelib")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Each lesson alone, by its number."""
    folder = tmp_path_factory.mktemp("released")
    for lesson in LESSONS:
        release([lesson.number], folder / str(lesson.number))
    return {lesson.number: folder / str(lesson.number) for lesson in LESSONS}


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def alone(source, given):
    """What a program prints that sees only Python and its packages."""
    run = subprocess.run([*ALONE, source, PACKAGES], input=json.dumps(given), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


# ── What is in it ──


def test_a_release_holds_its_lesson_and_no_other(released):
    names = files(released[3])
    assert {name for name in names if "/" not in name} == {
        ".gitignore",
        "LICENSE",
        "Makefile",
        "README.md",
        "environment.yml",
        "pyproject.toml",
    }
    assert {name.partition("/")[0] for name in names if "/" in name} == {".jupyterlab", "data", "helpers", "notebooks"}
    assert [name for name in names if name.startswith("notebooks/")] == [f"notebooks/{LESSON.notebook.name}"]
    assert (released[3] / "notebooks" / LESSON.notebook.name).read_bytes() == LESSON.notebook.read_bytes()
    kept = {"__init__", "calls", "exercise", "occlusion", "solutions", "solved", "toys", "verdict"}
    assert {name for name in names if "exercises/" in name} == {f"helpers/exercises/{name}.py" for name in kept}
    assert (
        "helpers/occlusion.py" in names and not {"helpers/style.py", "helpers/tsne.py", "helpers/notebooks.py"} & names
    )


def test_whatever_is_imported_is_there(released):
    """Also where only a stand-in imports it, when it is called."""
    words = re.compile(r"^ *from (helpers[\w.]*) import ([\w, ]+)", re.MULTILINE)
    for folder in released.values():
        for path in (folder / "helpers").rglob("*.py"):
            for module, names in words.findall(path.read_text()):
                for name in [module, *(f"{module}.{name}" for name in names.split(", "))]:
                    place = name.replace(".", "/")
                    own = [each for each in (f"{place}.py", f"{place}/__init__.py") if (ROOT / each).exists()]
                    assert all((folder / each).exists() for each in own), (folder.name, path, name)


def test_nothing_is_given_away(released):
    """No grading, no tests, and no line of an answer that is not the course's own already."""
    told = [answer.source for kind in ("solution", "second", "mistakes", "more") for answer in read_all(kind)]
    for folder in released.values():
        assert not [name for name in files(folder) if "grading" in name or "tests" in name or "conftest" in name]
        texts = [path.read_text() for path in folder.rglob("*") if path.suffix in (".py", ".md", ".toml", ".yml")]
        notebook = nbformat.read(next((folder / "notebooks").iterdir()), as_version=4)
        texts += [cell.source for cell in notebook.cells]
        assert not [source for source in told if any(source in text for text in texts)]


def test_data_comes_with_the_lessons_that_need_it(released):
    assert {name for name in files(released[3]) if name.startswith("data/")} >= {
        "data/README.md",
        "data/mine/README.md",
    }
    for number, name, command in ((1, "imitation_11.npy", "helpers.imitation"), (5, "portraits.png", "helpers.visual")):
        page, rules = ((released[number] / each).read_text() for each in ("data/README.md", "Makefile"))
        assert (released[number] / "data" / name).exists() and name in page and command in rules
        page, rules = ((released[3] / each).read_text() for each in ("data/README.md", "Makefile"))
        assert not (released[3] / "data" / name).exists() and name not in page and "data:" not in rules
        assert "## Photos" in page and "pictures/" not in page


def test_every_file_of_data_is_somebodys():
    listed = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    apart = ("data/README.md", "data/mine/", "data/pictures/")
    known = {
        f"data/{path.relative_to(releases.DATA)}" for name in releases.READ_BY for path in releases.DATA.glob(name)
    }
    assert {name for name in listed if not name.startswith(apart)} <= known


def test_its_own_page_names_what_is_there(tmp_path):
    release([9, 3, 3, 4], tmp_path / "out")
    page = (tmp_path / "out" / "README.md").read_text()
    assert page.startswith("# Seeing Convnets: lessons 3, 4 and 9\n") and "Exercise 3.1 — passed" in page
    for name in ("03_occlusion.ipynb", "04_saliency.ipynb", "09_style.ipynb"):
        assert f"`{name}`" in page and (tmp_path / "out" / "notebooks" / name).exists()
    texts = [page, *((tmp_path / "out" / name).read_text() for name in ("Makefile", "environment.yml"))]
    assert not any("@" in text.replace("touch $@", "") or "[test]" in text for text in texts)


def test_it_installs_by_itself(released, tmp_path):
    said, ours = (tomllib.loads((folder / "pyproject.toml").read_text())["project"] for folder in (released[3], ROOT))
    assert said["dependencies"] == ours["dependencies"] and said["optional-dependencies"].keys() == {"vgg"}
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    subprocess.run([*pip, released[3]], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    assert packed == {name for name in files(released[3]) if name.endswith(".py") and not name.startswith("build/")}


# ── It works ──

EVERY_LESSON = """
import json, sys
sys.path.insert(0, sys.argv[1])
for number, (folder, imports, numbers) in json.load(sys.stdin).items():
    for name in [name for name in sys.modules if name.partition(".")[0] == "helpers"]:
        del sys.modules[name]
    sys.path.insert(0, folder)
    space = {}
    exec(imports, space)
    for each in numbers:
        space["check"](each)
    try:
        space["check"]("0.0")
    except ValueError as error:
        print(error)
    assert all(module.__file__.startswith(folder) for name, module in sys.modules.items() if name[:7] == "helpers")
    del sys.path[0]
"""


def test_every_lesson_alone_has_its_imports_and_its_checks(released):
    given = {}
    for lesson in LESSONS:
        notebook = nbformat.read(lesson.notebook, as_version=4)
        first = ast.parse(next(cell.source for cell in notebook.cells if cell.id == lesson.first_cell)).body
        imports = "\n".join(ast.unparse(each) for each in first if isinstance(each, (ast.Import, ast.ImportFrom)))
        given[lesson.number] = str(released[lesson.number]), imports, list(exercises(lesson.number))
    lines = []
    for _, _, numbers in given.values():
        lines += [f"Exercise {number} — not attempted" for number in numbers]
        lines.append(f"there is no exercise '0.0'; exercises: {', '.join(numbers)}")
    assert alone(EVERY_LESSON, given).splitlines() == lines


SELF_TAUGHT = """
import json, os, sys
folder = json.load(sys.stdin)
sys.path[:0] = [folder, sys.argv[1]]
os.chdir(folder + "/notebooks")
from helpers.exercises import progress, solution
solution("3.1", really=True)
progress()
"""


def test_it_has_no_solutions_and_knows_its_own_lessons(released):
    first, *table = alone(SELF_TAUGHT, str(released[3])).splitlines()
    assert first == "Exercise 3.1: the solutions are not part of this copy of the course."
    count = len(exercises(3))
    assert [line.split(" · ")[0] for line in table] == ["3", f"0 of {count} exercises solved"]
    assert table[0].startswith(f"3 · {LESSON.title} ")


CELLS = """
import json, sys
given = json.load(sys.stdin)
sys.path[:0] = [given[0], sys.argv[1]]
space = {"__name__": "__main__"}
for cell in given[1]:
    exec(cell, space)
"""


def test_a_student_solves_it_and_hands_it_in(released, solutions, grading, tmp_path):
    folder = released[3]
    blank = nbformat.read(folder / "notebooks" / LESSON.notebook.name, as_version=4)
    for student, answers, said in (("solved", solutions, "passed"), ("blank", {}, "not attempted")):
        notebook = paste(blank, answers)
        cells = [cell.source for cell in only_exercises(notebook, LESSON.first_cell).cells]
        lines = alone(CELLS, [str(folder), cells]).splitlines()
        assert lines == [f"Exercise {number} — {said}" for number in exercises(3)]
        (tmp_path / "class" / student).mkdir(parents=True)
        nbformat.write(notebook, tmp_path / "class" / student / LESSON.notebook.name)
    grading(tmp_path / "class", "--out", tmp_path / "grades")
    rows = csv.DictReader((tmp_path / "grades" / "grades.csv").read_text().splitlines())
    marks = {row["student"]: [row[number] for number in exercises(3)] for row in rows}
    assert marks == {"solved": ["1"] * len(exercises(3)), "blank": ["0"] * len(exercises(3))}


# ── What it refuses ──


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["12"], "lesson must be from 1 to 9, not 12"),
        (["3", "0"], "lesson must be from 1 to 9, not 0"),
        (["three"], "argument lessons: invalid int value: 'three'"),
        ([], "the following arguments are required: lessons"),
        (["3", "--out", "full"], "--out must be a new or an empty folder; there is something at full"),
        (["3", "--out", "full/file"], "--out must be a new or an empty folder; there is something at full/file"),
        (["3", "--out", "full/file/below"], "error: the release cannot be written: [Errno "),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_it_is_whole_or_not_there(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "empty").mkdir()
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(releases, "_about_data", full)
        main(["3", "--out", str(tmp_path / "empty")])
    assert capsys.readouterr().err.endswith("the release cannot be written: [Errno 28] No space left on device\n")
    assert [*tmp_path.rglob("*")] == [tmp_path / "empty"]
    assert main(["3", "--out", str(tmp_path / "empty")]) == 0
    assert [*tmp_path.iterdir()] == [tmp_path / "empty"] and (tmp_path / "empty" / "README.md").exists()
    assert os.stat(tmp_path / "empty").st_mode & 0o055 == 0o055 & ~_umask(), "others may read it"


def _umask():
    os.umask(mask := os.umask(0))
    return mask


def test_a_notebook_with_answers_is_not_given_out(tmp_path, monkeypatch, lesson, solutions):
    assert answers_of(LESSON.notebook.read_bytes(), 3) == {}
    nbformat.write(paste(lesson, {"3.2": solutions["3.2"]}), tmp_path / LESSON.notebook.name)
    monkeypatch.setattr("helpers.core.lessons.NOTEBOOKS", tmp_path)
    with pytest.raises(ValueError, match=r"^03_occlusion.ipynb must be blank; it holds answers to 3.2$"):
        release([3], tmp_path / "out")
    assert not (tmp_path / "out").exists()
