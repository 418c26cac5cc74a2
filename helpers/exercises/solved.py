"""What a reader has solved so far: a small file beside the notebooks, and the table that is made of it."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from helpers.core.images import write_atomically
from helpers.core.lessons import LESSONS
from helpers.exercises.exercise import by_number, exercises

NAME = ".progress.json"
OFF = "SEEING_CONVNETS_NO_PROGRESS"  # set where answers that are tried are not the reader's own


def place() -> Path | None:
    """Where progress is kept: in the working folder, which is the notebook's, if lessons lie there."""
    with suppress(OSError):
        folder = Path.cwd()
        if OFF not in os.environ and any((folder / lesson.notebook.name).exists() for lesson in LESSONS):
            return folder / NAME
    return None


def solved() -> set[str]:
    """The numbers that have been noted; none where the file is missing or damaged."""
    path = place()
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text("utf-8")) if path else []
        numbers = found if isinstance(found, list) else []
        return {each for each in numbers if isinstance(each, str) and re.fullmatch(r"\d\.\d+", each)}
    return set()


def note(number: str) -> None:
    """Keep that an exercise has been solved, where that can be written; a check goes on where it cannot."""
    path, known = place(), solved()
    if path and number not in known:
        text = json.dumps(sorted({*known, number}, key=by_number))
        with suppress(OSError):
            write_atomically(path, lambda file: file.write(text.encode()))


def table() -> str:
    """A line for each lesson that is here: ✓ for each exercise that is solved, · for each that is not."""
    known, rows = solved(), []
    for lesson in LESSONS:
        if numbers := list(exercises(lesson.number)):  # a release holds some lessons only
            left = [number for number in numbers if number not in known]
            marks = "".join("·" if number in left else "✓" for number in numbers)
            count = f"{len(numbers) - len(left)} of {len(numbers)}"
            rows.append((f"{lesson.number} · {lesson.title}", marks, count, f"next: {left[0]}" if left else "done"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    every = exercises().keys()
    lines.append(f"{len(known & every)} of {len(every)} exercises solved")
    if place() is None:
        lines.append("Nothing is kept here: progress lies beside the notebooks, and this is not their folder.")
    return "\n".join(lines)
