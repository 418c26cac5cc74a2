"""What a teacher gets: a table on the screen, CSV, JSON, and a page for each student."""

import csv
import html
import io
import json
import unicodedata
from pathlib import Path

from helpers.core.images import write_atomically
from helpers.exercises.exercise import by_number
from helpers.exercises.verdict import BLANK, PASSED, UNJUDGED
from helpers.grading.grade import disagrees
from helpers.grading.submissions import file_names

# student → lesson → what `grade` returned, with `problem` and `remark` of a Submission where there are such
Grades = dict[str, dict[int, dict]]
NO_LESSON = {"verdicts": {}, "seconds": 0.0}  # at 0, for files that belong to no lesson
WIDEST = 40  # columns of a name on the screen
JOINERS = "\u200c\u200d"  # within letters of some languages, and within emoji
SIGNS = {PASSED: 1, UNJUDGED: "?"}  # in the table; 0 for all else

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .8em;border-bottom:1px solid #8884;
vertical-align:top}th{width:2.5em}td[class]{width:7em;white-space:nowrap}
pre{white-space:pre-wrap;overflow-wrap:anywhere}
.passed{color:#17803d}.wrong{color:#b3261e}.blank{color:#777}:root{color-scheme:light dark}"""


def write(grades: Grades, folder: Path) -> None:
    """Write grades.csv, grades.json and a page for each student into `folder`, each file whole or not at all."""
    _write(folder / "grades.csv", table(grades))
    _write(folder / "grades.json", json.dumps(grades, indent=1, ensure_ascii=False) + "\n")
    names = file_names(grades)
    for student, lessons in grades.items():
        _write(folder / f"{names[student]}.html", page(student, lessons))


def _write(path, text):
    data = text.encode("utf-8", "backslashreplace")  # bytes of a name that are no letters; in JSON this is their escape
    write_atomically(path, lambda file: file.write(data))


def numbers(grades: Grades) -> list[str]:
    """The exercises that were graded, in order."""
    found = {number for lessons in grades.values() for result in lessons.values() for number in result["verdicts"]}
    return sorted(found, key=by_number)


def table(grades: Grades) -> str:
    """Students × exercises as CSV: 1 solved, 0 not solved, ? not judged, empty for a lesson that was not handed in."""
    columns, file = numbers(grades), io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["student", *columns, "total"])
    for student in sorted(grades):
        verdicts = {n: v for result in grades[student].values() for n, v in result["verdicts"].items()}
        marks = [SIGNS.get(verdicts[n]["outcome"], 0) if n in verdicts else "" for n in columns]
        writer.writerow([_harmless(student), *marks, marks.count(1)])
    return file.getvalue()


def _harmless(name):
    """A name that a spreadsheet does not take for a formula."""
    return f"'{_plain(name)}" if name.startswith(("=", "+", "-", "@")) else _plain(name)


def _plain(text):
    """Line ends and all that would steer a terminal, spelled out."""
    return "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text)


def shortened(name: str, wide: int = WIDEST) -> str:
    """A name as it is shown on the screen, in so many columns at most."""
    name = cut = _plain(name)
    while _columns(cut) > wide - (cut != name):
        cut = cut[:-1]
    return cut if cut == name else f"{cut}…"


def _columns(text):
    return sum(_column(char) for char in text)


def _column(char):
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def screen(grades: Grades) -> str:
    """The table that the terminal shows: solved exercises by lesson, and what a person should look at."""
    lessons = sorted({lesson for results in grades.values() for lesson in results if lesson})
    names = {student: shortened(student) for student in grades}
    wide = max(map(_columns, [*names.values(), "student"]))
    lines = ["  ".join([f"{'student':{wide}}", *(f"{lesson:>5}" for lesson in lessons), "total"])]
    for student in sorted(grades):
        results = grades[student]
        cells = [_solved(results[lesson]) if lesson in results else "–" for lesson in lessons]
        name = names[student] + " " * (wide - _columns(names[student]))
        lines.append("  ".join([name, *(f"{cell:>5}" for cell in cells), _solved(*results.values())]))
    return "\n".join([*lines, *map(_plain, remarks(grades))])


def _solved(*results):
    """Solved of those that were judged, such as "3/4"; with a question mark where others were not."""
    outcomes = [verdict["outcome"] for result in results for verdict in result["verdicts"].values()]
    unjudged = outcomes.count(UNJUDGED)
    return f"{outcomes.count(PASSED)}/{len(outcomes) - unjudged}{'?' * bool(unjudged)}"


def remarks(grades: Grades) -> list[str]:
    """A line for every choice among files, file that could not be used, answer that was not judged, and pass that the
    judge does not confirm.
    """
    lines = []
    for student in sorted(grades):
        for lesson, result in sorted(grades[student].items()):
            who = f"{student}, lesson {lesson}" if lesson else student
            lines += [f"{who}: {result[key]}" for key in ("remark", "problem") if result.get(key)]
            unjudged = [n for n, verdict in result["verdicts"].items() if verdict["outcome"] == UNJUDGED]
            if unjudged and not result.get("problem"):
                lines.append(
                    f"{who}: our own fault: {', '.join(unjudged)} not judged; nothing is counted against the student"
                )
            odd = [n for n, verdict in result["verdicts"].items() if disagrees(verdict) and n not in unjudged]
            if odd:
                lines.append(
                    f"{who}: the notebook says that {', '.join(odd)} passed and the judge does not; read the answer"
                )
    return lines


def page(student: str, lessons: dict[int, dict]) -> str:
    """One student's verdicts and messages as HTML."""
    parts = []
    for lesson, result in sorted(lessons.items()):
        rows = [_row(number, verdict) for number, verdict in result["verdicts"].items()]
        title = f"Lesson {lesson}: {_solved(result).replace('/', ' of ')}" if lesson else "Other files"
        said = f"<p>{html.escape(result['remark'])}</p>" if result.get("remark") else ""
        said += f"<p class=wrong>{html.escape(result['problem'])}</p>" if result.get("problem") else ""
        parts.append(f"<h2>{title}</h2>{said}<table>{''.join(rows)}</table>")
    name = html.escape(_plain(student))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
        f"<h1>{name}</h1>{''.join(parts)}</html>\n"
    )


def _row(number, verdict):
    kind = {PASSED: "passed", BLANK: "blank", UNJUDGED: "blank"}.get(verdict["outcome"], "wrong")
    said = html.escape(verdict["message"])
    if disagrees(verdict):
        said += f"<br><small>in the notebook: {html.escape(verdict['nbval'])}</small>"
    if disagrees(verdict) or verdict["outcome"] == UNJUDGED:
        shown = "\n\n".join(filter(None, (verdict["answer"], verdict["difference"])))
        said += f"<details><summary>the answer, and where it differs</summary><pre>{html.escape(shown)}</pre></details>"
    return f"<tr><th>{number}<td class={kind}>{verdict['outcome']}<td>{said}"
