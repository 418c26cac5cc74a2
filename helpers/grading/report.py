"""What a teacher gets: a table on the screen, CSV, JSON, a page for the class and one for each student."""

import csv
import html
import io
import json
import os
import unicodedata
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from helpers.core.images import write_atomically
from helpers.exercises.exercise import by_number
from helpers.exercises.verdict import BLANK, PASSED, UNJUDGED, WRONG
from helpers.grading.grade import disagrees
from helpers.grading.submissions import file_names

# student → lesson → what `grade` returned, with `handed` (when it came, and whether marked as late), with `problem` and
# `remark` of a Submission where there are such, and with what `marks.marked` adds
Grades = dict[str, dict[int, dict]]
NO_LESSON = {"verdicts": {}, "seconds": 0.0}  # at 0, for files that belong to no lesson
WIDEST = 40  # columns of a name on the screen
COMMONEST = 3  # mistakes that the page of the class names for an exercise
JOINERS = "\u200c\u200d"  # within letters of some languages, and within emoji

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .8em;border-bottom:1px solid #8884;
vertical-align:top}th{width:2.5em}td[class]{width:7em;white-space:nowrap}
pre{white-space:pre-wrap;overflow-wrap:anywhere}
.passed{color:#17803d}.wrong{color:#b3261e}.blank{color:#777}:root{color-scheme:light dark}"""

WIDE = "body{max-width:none}.grid td,.grid th{width:auto;padding:.2em .5em}"


def write(grades: Grades, folder: Path) -> None:
    """Write grades.csv, grades.json, class.html and a page for each student, each file whole or not at all."""
    _write(folder / "grades.csv", table(grades))
    _write(folder / "grades.json", json.dumps(grades, indent=1, ensure_ascii=False) + "\n")
    names = file_names(grades)
    _write(folder / "class.html", class_page(grades, names))
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
    """Students × exercises as CSV: points, ? for what was not judged, nothing for a lesson that was not handed in."""
    columns, file = numbers(grades), io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["student", *columns, "total"])
    for student in sorted(grades):
        verdicts = {n: v for result in grades[student].values() for n, v in result["verdicts"].items()}
        marks = [_mark(verdicts[n]) if n in verdicts else "" for n in columns]
        total = round(sum(mark for mark in marks if isinstance(mark, (int, float))), 2)
        writer.writerow([_harmless(student), *marks, total])
    return file.getvalue()


def _mark(verdict):
    """The points of an exercise, or a question mark."""
    if verdict["outcome"] == UNJUDGED and not verdict.get("why"):
        return "?"
    return verdict.get("mark", int(verdict["outcome"] == PASSED))


def _harmless(name):
    """A name that a spreadsheet does not take for a formula."""
    return f"'{plain(name)}" if name.startswith(("=", "+", "-", "@")) else plain(name)


def plain(text: str) -> str:
    """Line ends and all that would steer a terminal, spelled out."""
    return "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text)


def shortened(name: str, wide: int = WIDEST) -> str:
    """A name as it is shown on the screen, in so many columns at most."""
    name = cut = plain(name)
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
    return "\n".join([*lines, *map(plain, remarks(grades))])


def _solved(*results):
    """Solved of those that were judged, such as "3/4"; with a question mark where others were not."""
    outcomes = [verdict["outcome"] for result in results for verdict in result["verdicts"].values()]
    unjudged = outcomes.count(UNJUDGED)
    return f"{outcomes.count(PASSED)}/{len(outcomes) - unjudged}{'?' * bool(unjudged)}"


def remarks(grades: Grades) -> list[str]:
    """A line for every choice among files, file that could not be used or came late, answer that was not judged, and
    pass that the judge does not confirm.
    """
    lines = []
    for student in sorted(grades):
        for lesson, result in sorted(grades[student].items()):
            who = f"{student}, lesson {lesson}" if lesson else student
            lines += [f"{who}: {result[key]}" for key in ("remark", "problem", "late") if result.get(key)]
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
        said += "".join(f"<p class=wrong>{html.escape(result[k])}</p>" for k in ("problem", "late") if result.get(k))
        parts.append(f"<h2>{title}</h2>{said}<table>{''.join(rows)}</table>")
    name = html.escape(plain(student))
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
    points = ""
    if verdict.get("why") or verdict.get("of", 1) != 1 or verdict.get("mark", 0) % 1:
        why = f": {verdict['why']}" if verdict.get("why") else ""
        points = f"<br><small>{_mark(verdict)} of {verdict['of']:g}{html.escape(why)}</small>"
    return f"<tr><th>{number}<td class={kind}>{verdict['outcome']}{points}<td>{said}"


# ── The class on one page ──


def class_page(grades: Grades, names: dict[str, str]) -> str:
    """What a teacher asks of a class, as HTML: who has what, what was hard, which mistakes came up, what to read.

    Args:
        names: of the students' pages, see `file_names`.
    """
    columns = numbers(grades)
    verdicts = {
        student: {n: v for result in lessons.values() for n, v in result["verdicts"].items()}
        for student, lessons in grades.items()
    }
    rows = [
        f'<tr><th><a href="{html.escape(quote(os.fsencode(names[student])))}.html">{html.escape(plain(student))}</a>'
        + "".join(f"<td>{_mark(own[n]) if n in own else ''}" for n in columns)
        + f"<td>{round(sum(v.get('mark', v['outcome'] == PASSED) for v in own.values()), 2):g}"
        for student, own in sorted(verdicts.items())
    ]
    table_ = f"<table class=grid><tr><th>student{''.join(f'<th>{n}' for n in columns)}<th>total{''.join(rows)}</table>"
    hard = [_exercise(number, [own[number] for own in verdicts.values() if number in own]) for number in columns]
    said = "".join(f"<li>{html.escape(plain(line))}" for line in remarks(grades))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>The class</title><style>{STYLE}{WIDE}</style>'
        "<h1>The class</h1>"
        f"{table_}<h2>Exercises</h2><table><tr><th>exercise<th>solved<th>the commonest mistakes{''.join(hard)}</table>"
        f"<h2>To look at</h2><ul>{said or '<li>nothing'}</ul></html>\n"
    )


def _exercise(number, verdicts):
    """A row: how many solved it, and the three commonest mistakes with their counts."""
    solved = sum(verdict["outcome"] == PASSED for verdict in verdicts)
    said = Counter(v["message"] for v in verdicts if v["outcome"] == WRONG and v["message"]).most_common(COMMONEST)
    mistakes = "<br>".join(f"{count} × {html.escape(plain(message))}" for message, count in said)
    return f"<tr><th>{number}<td>{solved} of {len(verdicts)}<td>{mistakes}"
