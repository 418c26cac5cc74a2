"""The house: which room may import which, that CONTRIBUTING.md speaks of what is there, and that the wheel is whole."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest

from helpers.core.lessons import LESSONS, ROOT

HELPERS = ROOT / "helpers"
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
FILES = sorted(HELPERS.rglob("*.py"))
OTHERS = [path for path in HELPERS.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
AROUND = {"panels", "exercises", "grading", "plots", "showing", "notebooks", "site"}  # stand above the techniques
WIDGETS = {"ipywidgets", "IPython", "jupyterlab", "nbformat", "nbclient"}
LONGEST = 400  # lines


def room(path):
    """A file's dotted name below helpers: "core.images", "ascent", "panels"."""
    return ".".join(path.relative_to(HELPERS).with_suffix("").parts).removesuffix(".__init__")


ROOMS = {room(path): path for path in FILES}


def imported(path):
    """Every module that a file imports anywhere, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def arrows(path):
    """The rooms of the house that a file imports."""
    names = {name.removeprefix("helpers.") for name in imported(path) if name.startswith("helpers.")}
    return {name for name in names if name in ROOMS} - {room(path)}


ARROWS = {name: arrows(path) for name, path in ROOMS.items()}
TECHNIQUES = {name for name in ROOMS if "." not in name and name not in AROUND and name not in ("__init__", "core")}


def test_no_arrow_leads_in_a_circle():
    left = dict(ARROWS)
    while left:
        free = [name for name, to in left.items() if not to & left.keys()]
        assert free, f"these import each other: {left}"
        for name in free:
            del left[name]


def test_the_shelf_imports_nothing_above_itself():
    for name, to in ARROWS.items():
        if name.startswith("core."):
            assert all(each.startswith("core") for each in to), name


def test_techniques_import_the_shelf_and_what_the_page_allows():
    rows = re.findall(r"^\| \d \| `helpers/(\w+)\.py` \|([\w ,]*)\|$", PAGE, re.MULTILINE)
    allowed = {name: {other.strip() for other in others.split(",") if other.strip()} for name, others in rows}
    assert set(allowed) == TECHNIQUES
    for name in TECHNIQUES:
        others = {each for each in ARROWS[name] if not each.startswith("core")}
        assert others == allowed[name], name


def test_widgets_and_notebooks_stay_above_the_techniques():
    for name in [*TECHNIQUES, *(name for name in ROOMS if name.startswith("core"))]:
        assert not {module.partition(".")[0] for module in imported(ROOMS[name])} & WIDGETS, name


def test_what_runs_beside_a_strangers_answers_imports_only_what_is_given():
    from helpers.exercises.calls import GIVEN

    inside = {name for name in ROOMS if name.startswith("grading.inside")}
    asked_for = {"core.networks": {"core.fields"}}  # exercise 3.2: imported only when `receptive_field` is called
    for name in [*GIVEN, *inside]:
        assert ARROWS[name] - asked_for.get(name, set()) <= {*GIVEN, *inside, "core"}, name


def test_every_room_has_one_subject():
    long = {name: len(path.read_text().splitlines()) for name, path in ROOMS.items()}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}
    assert all(ast.get_docstring(ast.parse(path.read_text())) for path in FILES), "the first line says which"


def test_no_method_is_written_twice():
    """A private function that takes a public one's arguments over, most of them, is a twin."""
    for name in TECHNIQUES:
        functions = [node for node in ast.parse(ROOMS[name].read_text()).body if isinstance(node, ast.FunctionDef)]
        parameters = {f.name: {a.arg for a in [*f.args.args, *f.args.kwonlyargs]} for f in functions}
        for public in filter(lambda each: not each.startswith("_"), parameters):
            for private in filter(lambda each: each.startswith("_"), parameters):
                assert len(parameters[public] & parameters[private]) < 6, (name, public, private)


# ── The page ──


def test_the_page_names_files_that_are_there():
    named = set(re.findall(r"`((?:helpers|tests|notebooks|data)/[\w./<>]*)`", PAGE))
    assert len(named) > 40
    made_up = {"helpers/hirescam.py", "tests/test_hirescam.py"}
    for path in named - made_up:
        for lesson in LESSONS if "<lesson>" in path else LESSONS[:1]:
            assert (ROOT / path.replace("<lesson>", lesson.stem)).exists(), path


def test_the_page_has_a_line_for_every_room():
    on_page = {f"core.{name}" for name in re.findall(r"^\| `helpers/core/(\w+)\.py` \|", PAGE, re.MULTILINE)}
    assert on_page == {name for name in ROOMS if name.startswith("core.")}
    assert {path.name for path in (HELPERS / "panels").glob("[a-z]*.py")} <= set(re.findall(r"`(\w+\.py)`", PAGE))


def test_the_page_names_commands_that_are_there():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make (\w+)`", PAGE)) <= set(targets)


def test_the_words_that_are_not_used_are_not_used():
    """The knobs and choices that the page's list of words has replaced."""
    old = re.compile(r'\bnet\b|start="zeros"|"frequencies"|\bof="')
    for lesson in LESSONS:
        for cell in nbformat.read(lesson.notebook, as_version=4).cells:
            if cell.cell_type == "code":
                assert not old.search(cell.source), (lesson.stem, cell.id)
    for path in FILES:
        assert not re.search(r'"zeros"|"frequencies"|fmt: skip', path.read_text()), path


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_notebook_moves_nothing_between_devices(lesson):
    for cell in nbformat.read(lesson.notebook, as_version=4).cells:
        if cell.cell_type == "code":
            assert ".to(" not in cell.source and ".cpu()" not in cell.source and ".cuda()" not in cell.source, cell.id


# ── The wheel ──


def test_the_wheel_holds_every_room(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for path in [*FILES, *OTHERS]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path / "made"]
    subprocess.run([*pip, tmp_path], check=True, capture_output=True)
    (wheel,) = (tmp_path / "made").glob("*.whl")
    assert wheel.name.split("-")[1] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "installed")
    assert sorted(path for path in (tmp_path / "installed" / "helpers").rglob("*") if path.is_file()) == sorted(
        tmp_path / "installed" / path.relative_to(ROOT) for path in [*FILES, *OTHERS]
    )
    everything = [f"helpers.{name}".removesuffix(".__init__") for name in ROOMS if "__main__" not in name]
    source = (
        f"import importlib, helpers\nfor name in {everything}: importlib.import_module(name)\nprint(helpers.__file__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        cwd=tmp_path / "made",
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": "/usr/bin"},
    )
    assert Path(run.stdout.strip()).is_relative_to(tmp_path / "installed"), run.stderr
