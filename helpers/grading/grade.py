"""One notebook graded: its answers run with nbval, and judged. From plain values to plain values, so that it may run
in a thread or on another machine.
"""

import json
import sys
import time

import nbformat

from helpers.core import lessons
from helpers.exercises.verdict import BLANK, PASSED
from helpers.grading.assemble import exercise_cells, only_exercises, paste
from helpers.grading.judge import judge
from helpers.grading.sandbox import Limits, started

LARGEST_REPORT = 1_000_000  # bytes of what nbval's process says


def grade(lesson: int, answers: dict[str, str], cell: float = 20.0, notebook: float = 120.0) -> dict:
    """What one notebook earns.

    Args:
        answers: sources of exercise cells by number.
        cell: seconds that one cell or exercise may take.
        notebook: seconds that nbval's run may take in all.

    Returns:
        `verdicts` by exercise, each with `outcome` and `message` (the judge's) and `nbval`, what the check in the
        notebook said; and `seconds`.
    """
    start = time.perf_counter()
    blank = ungraded(lesson)
    said = _nbval(lesson, answers, cell, notebook) if answers else {}
    for verdict in judge(lesson, answers, seconds=cell):
        if verdict.number in blank["verdicts"]:
            claimed = said.get(verdict.number, "") if verdict.number in answers else ""
            blank["verdicts"][verdict.number] = {
                "outcome": verdict.outcome,
                "message": verdict.message,
                "nbval": claimed,
            }
    return blank | {"seconds": round(time.perf_counter() - start, 1)}


def ungraded(lesson: int) -> dict:
    """What a notebook without answers earns."""
    numbers = exercise_cells(nbformat.read(lessons.lesson(lesson).notebook, as_version=4))
    return {
        "verdicts": {number: {"outcome": BLANK, "message": "", "nbval": ""} for number in numbers},
        "seconds": 0.0,
    }


def disagrees(verdict: dict) -> bool:
    """Whether the notebook claims a pass that the judge does not see: a person should look."""
    return verdict["nbval"] == PASSED and verdict["outcome"] != PASSED


def points(result: dict) -> int:
    """How many exercises of a graded notebook are solved."""
    return sum(verdict["outcome"] == PASSED for verdict in result["verdicts"].values())


def _nbval(lesson, answers, cell, seconds):
    """What the checks in the notebook say, by number; nothing after a crash."""
    found = lessons.lesson(lesson)
    notebook = only_exercises(paste(nbformat.read(found.notebook, as_version=4), answers), found.first_cell)
    program = [sys.executable, "-m", "helpers.grading.nbval_run", found.notebook.name, str(cell)]
    limits = Limits(seconds=int(seconds))
    with started(program, limits) as process:
        try:
            output, _ = process.communicate(nbformat.writes(notebook).encode(), timeout=seconds)
            said = json.loads(output[:LARGEST_REPORT])
            return {str(number): " ".join(str(text).split())[:300] for number, text in said.items()}
        except Exception:  # too slow, ended before it had read the notebook, or its words are forged
            return {}
