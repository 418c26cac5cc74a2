"""The files with which a platform grades: the grader itself, what installs and runs it, and what to do with them.

python -m helpers.grading.adapters gradescope 3 4 --out autograder
"""

import argparse
import sys
from collections.abc import Collection
from pathlib import Path

import nbformat

from helpers.core import lessons
from helpers.core.lessons import LESSONS, ROOT
from helpers.grading.adapters.run import PLATFORMS, Assignment
from helpers.grading.bundle import copy, pyproject, whole
from helpers.grading.marks import Rules, rules_of

HERE = Path(__file__).parent
FILES = HERE / "files"
TOOLS = ("nbval", "pytest")  # of the packages that tests need, those that grade
# by platform: where its grader lies, and its own files with their places
GRADER = {"gradescope": ".", "classroom50": ".", "github": ".github/grader"}
OWN = {
    "gradescope": {FILES / "run_autograder": "run_autograder", FILES / "Dockerfile": "Dockerfile"},
    "classroom50": {HERE / "autograder.py": "autograder.py", FILES / "runtime.json": "runtime.json"},
    "github": {FILES / "exercises.yml": ".github/workflows/exercises.yml"},
}


def write(platform: str, numbers: Collection[int], out: Path, rules: Rules) -> None:
    """Write what a platform needs to grade these lessons into a new folder, whole or not at all.

    Raises:
        ValueError: there is no such lesson, or `out` is there already.
    """
    chosen = tuple(lessons.lesson(number).number for number in sorted(set(numbers)))
    with whole(out) as folder:
        grader = folder / GRADER[platform]
        files = sorted((ROOT / "helpers").rglob("*.py"))
        copy([*files, ROOT / "LICENSE"], grader)
        for lesson in LESSONS:
            _write(grader / lesson.notebook.relative_to(ROOT), _without_outputs(lesson.notebook))
        _write(grader / "pyproject.toml", pyproject(files, TOOLS))
        _write(grader / "assignment.json", Assignment(chosen, rules.weights, rules.partial).text())
        _write(grader / "setup.sh", (FILES / "setup.sh").read_text("utf-8"))
        _write(grader / "README.md", (FILES / f"{platform}.md").read_text("utf-8"))
        for own, place in OWN[platform].items():
            _write(folder / place, own.read_text("utf-8"))


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")  # bash reads no other line ends
    if text.startswith("#!"):
        path.chmod(0o755)


def _without_outputs(path):
    """A lesson as text, all that the judge needs of it: small, and nothing of a solution is seen in it."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the files as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m helpers.grading.adapters", description="Grade on a platform.")
    parser.add_argument("platform", choices=PLATFORMS)
    parser.add_argument("lessons", type=int, nargs="+", help=f"that count: numbers from 1 to {len(LESSONS)}")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--rules", type=Path, help="weights and partial credit, as for the class: grading.toml")
    options = parser.parse_args(arguments)
    try:
        write(options.platform, options.lessons, options.out, rules_of(options.rules) if options.rules else Rules())
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"the files cannot be written: {error}")
    print(f"Written to {options.out}: {Path(GRADER[options.platform], 'README.md')} says what to do with it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
