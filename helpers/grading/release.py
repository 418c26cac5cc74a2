"""The folder that students get: lessons, blank, with what they need to run and to check, and nothing that grades.

python -m helpers.grading.release 3 4 --out release
"""

import argparse
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import nbformat

from helpers.core import lessons
from helpers.core.lessons import LESSONS, ROOT, Lesson
from helpers.core.photos import DATA
from helpers.exercises.calls import GIVEN
from helpers.exercises.exercise import exercises
from helpers.grading.answers import answers_of
from helpers.grading.bundle import copy, imported, modules, pyproject, whole

HANDOUT = Path(__file__).parent / "handout"
AROUND = ("LICENSE", ".gitignore", ".jupyterlab/page_config.json", "data/mine/README.md")
# files of data/, and the module of the course that reads them
READ_BY = {
    "imitation_*.npy": "imitation",
    "portraits.png": "visualisation",
    "inverses.png": "inversion",
    "decoder_*.npz": "decoder",
    "textures.jpg": "exemplars",
    "style*.jpg": "style",
    "paintings/*.jpg": "core.photos",
}


def release(numbers: Collection[int], out: Path) -> None:
    """Write the lessons of these numbers into a new folder, whole or not at all.

    Raises:
        ValueError: there is no such lesson, a notebook holds answers, or `out` is there already.
    """
    chosen = [lessons.lesson(number) for number in sorted(set(numbers))]
    files = needed(chosen)
    read = {path for name, module in READ_BY.items() if _at(module) in files for path in DATA.glob(name)}
    for lesson in chosen:
        if tried := answers_of(lesson.notebook.read_bytes(), lesson.number):
            raise ValueError(f"{lesson.notebook.name} must be blank; it holds answers to {', '.join(tried)}")
    given = [*files, *read, *(lesson.notebook for lesson in chosen), *(ROOT / name for name in AROUND)]
    with whole(out) as folder:
        copy(given, folder)
        for name, text in {
            "README.md": _readme(chosen),
            "Makefile": _makefile(chosen, files),
            "pyproject.toml": pyproject(files),
            "environment.yml": (ROOT / "environment.yml").read_text("utf-8").replace(".[test]", "."),
            "data/README.md": _about_data({path.name for path in read}),
        }.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")


def needed(chosen: Sequence[Lesson]) -> list[Path]:
    """The modules that lessons import, their checks with all that these import, and what answers may stand on."""
    roots = {f"helpers.{name}" for name in GIVEN}
    for lesson in chosen:
        notebook = nbformat.read(lesson.notebook, as_version=4)
        imports = next(cell.source for cell in notebook.cells if cell.id == lesson.first_cell)
        roots |= {lesson.checks, *imported(imports)}
    return modules(roots)


def _at(module):
    return ROOT / "helpers" / f"{module.replace('.', '/')}.py"


# ── What a release says of itself ──


def _readme(chosen):
    rows = [
        f"| {each.number} | {each.title} | [{each.notebook.name}](notebooks/{each.notebook.name}) "
        f"| {', '.join(exercises(each.number))} |"
        for each in chosen
    ]
    said = {
        "WHICH": f"lesson{'s' * (len(chosen) > 1)} {_listed([str(each.number) for each in chosen])}",
        "ROWS": "\n".join(rows),
        "FIRST": chosen[0].notebook.name,
        "EXERCISE": next(iter(exercises(chosen[0].number))),
        "FILES": _listed([f"`{each.notebook.name}`" for each in chosen]),
    }
    return _filled("README.md", said)


def _listed(words):
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _makefile(chosen, files):
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\ndata:")[2].partition("\n\n")[0]
    made = [module for module in re.findall(r"-m helpers\.(\w+)", recipe) if _at(module) in files]
    lines = "".join(f"\n\t$(BIN)/python -m helpers.{module}" for module in made)
    data = f"\n# what the course makes itself, in data/; some minutes\ndata: .venv/installed{lines}\n" if made else ""
    return _filled("Makefile", {"FIRST": chosen[0].notebook.name, "DATA": data, "MADE": " data" if made else ""})


def _filled(name, said):
    text = (HANDOUT / name).read_text("utf-8")
    for word, value in said.items():
        text = text.replace(f"@{word}@", value)
    return text


def _about_data(read):
    """The course's own page about its data, without the sections on files that are not here."""
    left_out = {path.name for name in READ_BY for path in DATA.glob(name)} - read
    _, *sections = re.split(r"^(?=## )", (DATA / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    kept = [section for section in sections if not any(name in section for name in left_out)]
    return (HANDOUT / "data.md").read_text("utf-8") + "\n" + "".join(kept)


# ── The command ──


def main(arguments: list[str] | None = None) -> int:
    """Write a release as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m helpers.grading.release", description="Write what students get.")
    parser.add_argument("lessons", type=int, nargs="+", help=f"numbers from 1 to {len(LESSONS)}")
    parser.add_argument("--out", type=Path, default=Path("release"), help="a new folder (default: release)")
    options = parser.parse_args(arguments)
    try:
        release(options.lessons, options.out)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"the release cannot be written: {error}")
    print(f"Written to {options.out}: its README.md says how to install it, and what to hand in.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
