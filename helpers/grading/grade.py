"""One notebook graded: its answers run with nbval, and judged. From plain values to plain values, so that it may run
in a thread or on another machine.
"""

import json
import time

import nbformat

from helpers.core import lessons
from helpers.exercises.exercise import exercises
from helpers.exercises.verdict import BLANK, PASSED
from helpers.grading.answers import Answer
from helpers.grading.assemble import only_exercises, paste
from helpers.grading.judge import Judgement, judge
from helpers.grading.sandbox import PATIENCE, Limits
from helpers.grading.warm import Ready

NBVAL = Ready("helpers.grading.nbval_run")
LARGEST_REPORT = 1_000_000  # bytes of what nbval's process says
NOTHING = {"outcome": BLANK, "message": "", "nbval": "", "answer": "", "difference": "", "share": 0.0}


def grade(lesson: int, answers: dict[str, list[Answer]], cell: float = 20.0, notebook: float = 120.0) -> dict:
    """What one notebook earns.

    Args:
        answers: the definitions to try by number, best first.
        cell: seconds of processor time that one cell or exercise may take.
        notebook: the same for nbval's run in all.

    Returns:
        `verdicts` by exercise, each with `outcome` and `message` (the judge's), `nbval`, what the check in the notebook
        said, `answer`, the source that was judged, `difference`, where it differs from what is right, and `share`, how
        many of the judge's cases it gets right, from 0 to 1; and `seconds`, by the clock.
    """
    start = time.perf_counter()
    result = ungraded(lesson)
    if answers:
        NBVAL.prepare()
    judgements = judge(lesson, answers, seconds=cell)
    said = _nbval(lesson, judgements, cell, notebook)
    for judgement in judgements:
        verdict = judgement.verdict
        result["verdicts"][verdict.number] |= {
            "outcome": verdict.outcome,
            "message": verdict.message,
            "nbval": said.get(verdict.number, ""),
            "answer": judgement.source,
            "difference": verdict.difference,
            "share": float(verdict.share),
        }
    return result | {"seconds": round(time.perf_counter() - start, 1)}


def ungraded(lesson: int) -> dict:
    """What a notebook without answers earns."""
    return {"verdicts": {number: dict(NOTHING) for number in exercises(lesson)}, "seconds": 0.0}


def disagrees(verdict: dict) -> bool:
    """Whether the notebook claims a pass that the judge does not see: a person should look."""
    return verdict["nbval"] == PASSED and verdict["outcome"] != PASSED


def points(result: dict) -> int:
    """How many exercises of a graded notebook are solved."""
    return sum(verdict["outcome"] == PASSED for verdict in result["verdicts"].values())


def _nbval(lesson, judgements: list[Judgement], cell, seconds):
    """What the checks in the notebook say of what was judged, by number; nothing after a crash.

    An answer that has ended its process or used up its time is left out: it would do so to the kernel as well, where
    the others would pay for it.
    """
    found = lessons.lesson(lesson)
    sources = {each.verdict.number: each.source for each in judgements if each.source and not each.gone}
    if not sources:
        return {}
    notebook = only_exercises(paste(nbformat.read(found.notebook, as_version=4), sources), found.first_cell)
    try:
        with NBVAL.running(Limits(seconds=int(seconds)), found.notebook.name, str(PATIENCE * cell)) as running:
            until = running.within(seconds)
            running.write(nbformat.writes(notebook).encode(), until)
            said = json.loads(running.rest(LARGEST_REPORT, until))
            return {number: " ".join(str(said.get(number, "")).split())[:300] for number in sources}
    except Exception:  # too slow, ended before it had read the notebook, or its words are forged
        return {}
