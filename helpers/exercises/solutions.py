"""The course's own answers, as they lie in `tests/answers/`. Where that folder is missing there are none to show."""

import re
from pathlib import Path

from helpers.core import lessons
from helpers.core.lessons import Lesson

HEADER = re.compile(r"^# %% (\d\.\d+)(?: — (.*))?$", re.MULTILINE)


def solutions(lesson: Lesson) -> dict[str, str]:
    """The course's answers to the exercises of a lesson, by number.

    Raises:
        OSError: they are not here.
    """
    return {number: source for number, _, source in from_script(lesson.answers / "solution.py")[1]}


def find_solution(number: str) -> str | None:
    """The source of the course's answer to an exercise that there is; None where it is not here."""
    try:
        return solutions(lessons.lesson(int(number.partition(".")[0]))).get(number)
    except OSError:
        return None


def from_script(path: Path) -> tuple[str, list[tuple[str, str | None, str]]]:
    """What a Python file in cells (`# %% 3.1`, `# %% 3.1 — a note`) holds: its imports, and (number, note, source)."""
    imports, *cells = HEADER.split(Path(path).read_text("utf-8"))
    return imports, [
        (number, note, source.strip())
        for number, note, source in zip(cells[::3], cells[1::3], cells[2::3], strict=True)
    ]
