"""What a platform reads: a student's marks as Gradescope's results.json, Classroom 50's result.json, and Markdown.

Sources: Gradescope, "Autograder Specifications" (docs/specs.md of gradescope/autograder_samples); Classroom 50,
schemas/result-v1.schema.json and wiki/Advanced-Autograding.md of foundation50/classroom50; GitHub, "Workflow commands",
"Adding a job summary".
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from helpers.exercises.verdict import BLANK, PASSED, UNJUDGED
from helpers.grading.marks import points
from helpers.grading.report import plain

Results = Mapping[int, dict]  # lesson → result with marks: one student's part of `report.Grades`, see `marks.marked`
LONGEST = 1000  # characters of one line; a file's name alone may have more
SIGNS = {PASSED: "✅", BLANK: "⬜", UNJUDGED: "❔"}
# where Classroom 50 says what is graded; `owner` and `assignment_type` it writes over whatever stands there
PLACE = {
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "assignment_type": "ASSIGNMENT_TYPE",
    "owner": "OWNER",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
    "review": "REVIEW_URL",
}


def gradescope(results: Results) -> str:
    """Gradescope's results.json. What was not judged has no score: its points are the teacher's to give."""
    tests = [
        {"name": f"Exercise {number}", "status": "passed" if verdict["outcome"] == PASSED else "failed"}
        | ({} if verdict["outcome"] == UNJUDGED else {"score": verdict["mark"], "max_score": verdict["of"]})
        | {"output": _said(verdict), "output_format": "text", "visibility": "visible"}
        for number, verdict in _verdicts(results)
    ]
    written = {
        "score": _points(results)[0],
        "execution_time": round(sum(result["seconds"] for result in results.values())),
        "output": "\n".join(line for lesson in sorted(results) for line in _heads(lesson, results[lesson])),
        "output_format": "text",  # what a file is called is text, and no HTML
        "tests": tests,
    }
    return _json(written)


def classroom50(results: Results, place: Mapping[str, str], when: datetime, unit: int = 1) -> str:
    """Classroom 50's result.json.

    Args:
        place: the environment in which it runs an autograder, see `PLACE`.
        when: now; the time that counts is written over it.
        unit: how many of its points, which are whole, make one of ours.

    Raises:
        KeyError: something of `PLACE` is not said.
    """
    tests = []
    for number, verdict in _verdicts(results):
        judged = verdict["outcome"] != UNJUDGED
        tests.append(
            {
                "test-name": f"Exercise {number}",
                "passed": verdict["outcome"] == PASSED,
                "score": round(unit * verdict["mark"]) if judged else 0,
                "max-score": round(unit * verdict["of"]) if judged else 0,
                "output": _said(verdict),
            }
        )
    written = {"schema": "classroom50/result/v1"}
    written |= {field: place[name] for field, name in PLACE.items()}
    written |= {"datetime": f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    written |= {name: sum(test[name] for test in tests) for name in ("score", "max-score")} | {"tests": tests}
    return _json(written)


def summary(results: Results, warning: str = "") -> str:
    """Markdown: a table for each lesson, for a job's summary or a page.

    Args:
        warning: to the teacher, such as `sandbox.unprotected`.
    """
    lines = [f"## {_of(*_points(results))} points"]
    for lesson, result in sorted(results.items()):
        head, *others = _heads(lesson, result)
        lines += ["", f"### {head}", *(f"\n{_escaped(other)}" for other in others)]
        if result["verdicts"]:
            lines += ["", "| exercise | verdict | points |", "|---|---|---|"]
        for number, verdict in _verdicts({lesson: result}):
            sign, worth = SIGNS.get(verdict["outcome"], "❌"), _of(verdict["mark"], verdict["of"])
            worth = "–" if verdict["outcome"] == UNJUDGED else worth
            lines.append(f"| {number} | {sign} {_escaped(_said(verdict))} | {worth} |")
    return "\n".join([*lines, *(["", f"For the teacher: {_escaped(warning)}."] if warning else []), ""])


def _verdicts(results):
    return [each for lesson in sorted(results) for each in results[lesson]["verdicts"].items()]


def _points(results):
    """Points given, and points to be had, in all."""
    each = [points(result) for result in results.values()]
    return round(sum(given for given, _ in each), 2), round(sum(of for _, of in each), 2)


def _of(mark, of):
    return f"{mark:g} of {of:g}"


def _said(verdict):
    """The verdict in a line, such as "not yet: the weights are missing"."""
    return _line(": ".join(filter(None, (verdict["outcome"], verdict["message"], verdict.get("why")))))


def _heads(lesson, result):
    """The lines above a lesson's exercises."""
    head = f"Lesson {lesson}: {_of(*_points({lesson: result}))}" if lesson else "Other files"
    return [head, *(_line(result[key]) for key in ("remark", "problem") if result.get(key))]


def _line(text):
    return plain(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _escaped(text):
    """Text that Markdown shows as it is: no table, link, mention or HTML comes of it."""
    return re.sub(r"([\\`*_~|<>\[\]#&@$])", r"\\\1", text)


def _json(written):
    return json.dumps(written, indent=1, ensure_ascii=False) + "\n"
