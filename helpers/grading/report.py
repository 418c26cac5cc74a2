"""What a teacher gets: a table on the screen, CSV, JSON, and a page for each student."""

import csv
import html
import io
import json
from pathlib import Path

from helpers.core.images import write_atomically
from helpers.exercises.exercise import by_number
from helpers.exercises.verdict import BLANK, PASSED
from helpers.grading.grade import disagrees, points

Grades = dict[str, dict[int, dict]]  # student → lesson → what `grade` returned

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .8em;border-bottom:1px solid #8884;
vertical-align:top}th{width:2.5em}td[class]{width:7em;white-space:nowrap}
.passed{color:#17803d}.wrong{color:#b3261e}.blank{color:#777}:root{color-scheme:light dark}"""


def write(grades: Grades, folder: Path) -> None:
    """Write grades.csv, grades.json and a page for each student into `folder`, each file whole or not at all."""
    _write(folder / "grades.csv", table(grades))
    _write(folder / "grades.json", json.dumps(grades, indent=1, ensure_ascii=False) + "\n")
    for student, lessons in grades.items():
        _write(folder / f"{student}.html", page(student, lessons))


def _write(path, text):
    data = text.encode("utf-8", "replace")
    write_atomically(path, lambda file: file.write(data))


def numbers(grades: Grades) -> list[str]:
    """The exercises that were graded, in order."""
    found = {number for lessons in grades.values() for result in lessons.values() for number in result["verdicts"]}
    return sorted(found, key=by_number)


def table(grades: Grades) -> str:
    """Students × exercises as CSV: 1 solved, 0 not solved, empty for a lesson that was not handed in."""
    columns, file = numbers(grades), io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["student", *columns, "total"])
    for student in sorted(grades):
        verdicts = {n: v for result in grades[student].values() for n, v in result["verdicts"].items()}
        marks = [int(verdicts[n]["outcome"] == PASSED) if n in verdicts else "" for n in columns]
        writer.writerow([_harmless(student), *marks, sum(mark or 0 for mark in marks)])
    return file.getvalue()


def _harmless(name):
    """A name that a spreadsheet does not take for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name


def screen(grades: Grades) -> str:
    """The table that the terminal shows: solved exercises by lesson, and what a person should look at."""
    lessons = sorted({lesson for results in grades.values() for lesson in results})
    wide = max(map(len, [*grades, "student"]))
    lines = ["  ".join([f"{'student':{wide}}", *(f"{lesson:>5}" for lesson in lessons), "total"])]
    for student in sorted(grades):
        results, cells, solved, most = grades[student], [], 0, 0
        for lesson in lessons:
            result = results.get(lesson)
            cells.append(f"{points(result)}/{len(result['verdicts'])}" if result else "–")
            solved, most = solved + (points(result) if result else 0), most + (len(result["verdicts"]) if result else 0)
        lines.append("  ".join([f"{student:{wide}}", *(f"{cell:>5}" for cell in cells), f"{solved}/{most}"]))
    return "\n".join([*lines, *remarks(grades)])


def remarks(grades: Grades) -> list[str]:
    """A line for every file that could not be used and every pass that the judge does not confirm."""
    lines = []
    for student in sorted(grades):
        for lesson, result in sorted(grades[student].items()):
            if result.get("problem"):
                lines.append(f"{student}, lesson {lesson}: {result['problem']}")
            odd = [number for number, verdict in result["verdicts"].items() if disagrees(verdict)]
            if odd:
                lines.append(
                    f"{student}, lesson {lesson}: the notebook says that {', '.join(odd)} passed and the judge does "
                    "not; read the answer"
                )
    return lines


def page(student: str, lessons: dict[int, dict]) -> str:
    """One student's verdicts and messages as HTML."""
    parts = []
    for lesson, result in sorted(lessons.items()):
        rows = [_row(number, verdict) for number, verdict in result["verdicts"].items()]
        problem = f"<p class=wrong>{html.escape(result['problem'])}</p>" if result.get("problem") else ""
        parts.append(
            f"<h2>Lesson {lesson}: {points(result)} of {len(rows)}</h2>{problem}<table>{''.join(rows)}</table>"
        )
    name = html.escape(student)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
        f"<h1>{name}</h1>{''.join(parts)}</html>\n"
    )


def _row(number, verdict):
    kind = {PASSED: "passed", BLANK: "blank"}.get(verdict["outcome"], "wrong")
    said = f"<br><small>in the notebook: {html.escape(verdict['nbval'])}</small>" if disagrees(verdict) else ""
    message = html.escape(verdict["message"])
    return f"<tr><th>{number}<td class={kind}>{verdict['outcome']}<td>{message}{said}"
