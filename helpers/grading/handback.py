"""What goes back to a learning platform: Canvas' gradebook, Moodle's worksheet, pages under names that they know.

Sources: how Canvas reads a gradebook (gradebook_importer.rb) and files that come back (assignment.rb,
`infer_comment_context_from_filename`); how Moodle reads a worksheet (importgradeslib.php of assignfeedback_offline) and
files (importziplib.php of assignfeedback_file).
"""

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from helpers.core import lessons
from helpers.core.images import write_atomically
from helpers.grading.files import lesson_named
from helpers.grading.intake import CANVAS, Student, best_fit, fit, from_moodle, table
from helpers.grading.marks import points
from helpers.grading.report import page

MOODLE_TIMES = ("%A, %d %B %Y, %I:%M %p", "%A, %d %B %Y, %H:%M")  # by this machine's clock
# columns of Canvas' gradebook that are no assignment's, and that it wants back
FIXED = ("Student", "ID", "SIS User ID", "SIS Login ID", "Integration ID", "Root Account", "Section")


def check(canvas_export: Path | None, moodle_exports: Sequence[Path]) -> None:
    """Refuse what is no export before anything is graded.

    Raises:
        ValueError: one cannot be read, or lacks a column.
    """
    if canvas_export is not None:
        _exported(canvas_export, "--canvas", "a gradebook that Canvas has exported", ("Student", "ID"))
    for path in moodle_exports:
        _exported(path, "--moodle", "a grading worksheet of Moodle", ("Identifier", "Full name", "Grade"))
    if len({path.stem for path in moodle_exports}) < len(moodle_exports):
        raise ValueError("--moodle: two worksheets have the same file name, and so would their results")


def write(
    grades: Mapping,
    students: Mapping[str, Student],
    folder: Path,
    canvas_export: Path | None = None,
    moodle_exports: Sequence[Path] = (),
) -> list[str]:
    """Write into `folder` what the platforms take back, and return the names of the files.

    Canvas' gradebook is written if there is an export, or if a ZIP file came from there.
    """
    made: dict[str, bytes] = {}
    if canvas_export or any(not from_moodle(start) for each in students.values() for start in each.places.values()):
        made["canvas.csv"] = canvas(grades, students, canvas_export).encode("utf-8", "replace")
    for path in moodle_exports:
        made[f"moodle {path.stem}.csv"] = moodle(grades, students, path).encode("utf-8", "replace")
    made |= feedback(grades, students)
    for name, data in made.items():
        write_atomically(folder / name, lambda file, data=data: file.write(data))
    return list(made)


def canvas(grades: Mapping, students: Mapping[str, Student], exported: Path | None = None) -> str:
    """Marks as Canvas' gradebook imports them: a column for each lesson, in the units of the row "Points Possible".

    Args:
        grades: with marks, see `marks.marked`.
        exported: the gradebook as Canvas exports it. Its rows are kept, and of its columns those of assignments whose
            title names a lesson, such as "Lesson 3 · Occlusion (1234)". Without it, rows are made for those whose
            number a ZIP file has told.
    """
    rows = _rows(exported) if exported else [_row(name, each) for name, each in students.items() if _number_of(each)]
    titles = list(rows[0]) if exported else list(FIXED[:2])
    named = {lesson_named(title): title for title in titles if lesson_named(title)}
    columns = {lesson: named.get(lesson, _title(lesson)) for lesson in _lessons(grades)}
    given = next((row for row in rows if row["Student"].strip().casefold() == "points possible"), {})
    possible = {lesson: _number(given.get(title)) or _most(grades, lesson) for lesson, title in columns.items()}
    fixed = [title for title in titles if title in FIXED]
    lines = [
        [*fixed, *columns.values()],
        ["Points Possible", *[""] * (len(fixed) - 1), *map(_plain, possible.values())],
    ]
    for row in rows:
        if number := row["ID"].strip():
            results = grades.get(_who(students, row["Student"], number), {})
            marks = [_scaled(results.get(n), possible[n], row.get(title, "")) for n, title in columns.items()]
            lines.append([*(row[title] for title in fixed), *marks])
    return _csv(lines)


def moodle(grades: Mapping, students: Mapping[str, Student], exported: Path) -> str:
    """A grading worksheet of Moodle with its columns Grade and Feedback comments filled in, all else as it was.

    The worksheet belongs to one assignment; which lesson that is, its file name says ("Grades-…-03 occlusion-….csv"),
    or there is only one.

    Raises:
        ValueError: it does not say its lesson.
    """
    rows, lesson = _rows(exported), lesson_of(exported, grades)
    for row in rows:
        number = row["Identifier"].removeprefix("Participant").strip()
        result = grades.get(_who(students, row["Full name"], number), {}).get(lesson)
        if result is not None:
            row["Grade"] = _scaled(result, _number(row.get("Maximum Grade")) or points(result)[1], row["Grade"])
            if "Feedback comments" in row:
                row["Feedback comments"] = comments(result)
    return _csv([list(rows[0]), *(list(row.values()) for row in rows)])


def lesson_of(exported: Path, grades: Mapping) -> int:
    """The lesson that a worksheet is about.

    Raises:
        ValueError: its name does not say, and there are several.
    """
    known = _lessons(grades)
    lesson = lesson_named(exported.name) or (known[0] if len(known) == 1 else 0)
    if not lesson:
        raise ValueError(f"--moodle: which lesson it is must stand in its name, such as 03_occlusion: {exported}")
    return lesson


def handed_in_at(students: Mapping[str, Student], exported: Path) -> dict[str, float]:
    """When each student has handed in, in seconds, as a worksheet of Moodle says it in English; others are left out."""
    times = {}
    for row in _rows(exported):
        said = " ".join(row.get("Last modified (submission)", "").split())
        for form in MOODLE_TIMES:
            with suppress(ValueError):
                number = row["Identifier"].removeprefix("Participant").strip()
                times[_who(students, row["Full name"], number)] = datetime.strptime(said, form).timestamp()
    return times


def comments(result: Mapping) -> str:
    """Every verdict of a lesson, a line each."""
    said = [": ".join(filter(None, (n, v["outcome"], v["message"]))) for n, v in result["verdicts"].items()]
    return "\n".join(filter(None, [*said, *(result.get(key, "") for key in ("late", "remark", "problem"))]))


def feedback(grades: Mapping, students: Mapping[str, Student]) -> dict[str, bytes]:
    """A ZIP file for each that a platform has sent: a page for each student under the name that it knows again.

    Canvas takes it at "Upload submissions", Moodle at "Upload multiple feedback files in a zip".
    """
    pages: dict[str, dict[str, str]] = {}
    for name, student in students.items():
        for source, start in student.places.items():
            own = f"{start}/feedback.html" if from_moodle(start) else f"{start}feedback.html"
            pages.setdefault(source, {})[own] = page(name, grades[name])
    return {f"feedback for {source}": _zipped(files) for source, files in pages.items()}


def _zipped(files):
    made = io.BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(ZipInfo(name), text.encode("utf-8", "replace"), ZIP_DEFLATED)
    return made.getvalue()


def _exported(path, option, what, columns):
    rows = table(path, option)
    if missing := [title for title in columns if title not in (rows[0] if rows else ())]:
        raise ValueError(f"{option} must be {what}; {path} has no column {missing[0]!r}, or no row")


def _rows(path):
    return table(path, "the export")


def _row(name, student):
    return {"Student": name, "ID": _number_of(student)}


def _number_of(student):
    """The student's number in Canvas, if a ZIP file of Canvas has told it."""
    found = (CANVAS.fullmatch(f"{start}x") for start in student.places.values())
    return next((match["id"] for match in found if match), "")


def _lessons(grades):
    return sorted({lesson for results in grades.values() for lesson in results if lesson})


def _title(lesson):
    return f"Lesson {lesson} · {lessons.lesson(lesson).name.capitalize()}"


def _who(students, name, number):
    """The student that a row is about, see `intake.fit`; empty for nobody."""
    everybody = list(students.values())
    best = best_fit([fit(each, name, {number} - {""}) for each in everybody])
    return "" if best is None else everybody[best].name


def _most(grades, lesson):
    return max((points(results[lesson])[1] for results in grades.values() if lesson in results), default=0)


def _scaled(result, possible, before):
    """Points in the platform's unit; what stood there before where nothing was handed in or judged."""
    if result is None or not (of := points(result)[1]):
        return before
    return _plain(points(result)[0] / of * possible)


def _number(text):
    try:
        return float((text or "").replace(",", "."))
    except ValueError:
        return 0.0


def _plain(value):
    return f"{round(value, 2):g}"


def _csv(lines):
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(lines)
    return file.getvalue()
