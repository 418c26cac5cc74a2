"""Three classes of thirty go in as Canvas, Moodle and folders have them, and come out as these take them back."""

import csv
import io
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from classroom import LESSON, verdict
from test_submissions import notebook

from helpers.grading import handback, intake
from helpers.grading.marks import Late, Rules, marked
from helpers.grading.report import table
from helpers.grading.submissions import find

GOLDEN = Path(__file__).parent / "golden"
NAME = LESSON.notebook.name
FIRST = ["Ada", "Bo", "Chloë", "Dmitri", "Éva", "Fatima", "Grace", "Hồ", "Iñaki", "Jane"]
LAST = ["Lovelace", "O'Neil", "von Neumann"]
PEOPLE = [
    (f"{first} {last}", 100 + i) for i, (last, first) in enumerate((last, first) for last in LAST for first in FIRST)
]
MISSING, LATE, TWICE = {3, 17}, {5, 6, 20}, {7, 20}
RULES = Rules(weights={"3.1": 2}, deadlines={3: datetime(2027, 1, 15, tzinfo=UTC)}, late=Late(per_day=0.25))


def short(name):
    """As Canvas writes a name in the name of a file."""
    first, _, last = name.partition(" ")
    return re.sub(r"\W", "", f"{last}{first}").lower()


def canvas_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        for i, (name, number) in enumerate(PEOPLE):
            start = f"{short(name)}_{'LATE_' * (i in LATE)}{number}_{9000 + i}_"
            if i not in MISSING:
                archive.writestr(f"{start}{NAME}", notebook(1))
            if i in TWICE:
                archive.writestr(f"{start}{LESSON.stem}-1.ipynb", notebook(2))
    return path


def canvas_export(path):
    rows = [
        ["Student", "ID", "SIS Login ID", "Section", "Essay (7)", "3 Occlusion (8)", "Current Score"],
        ["    Points Possible", "", "", "", "10", "50", "(read only)"],
        *([", ".join(name.split(" ", 1)[::-1]), number, short(name), "A", "9", "", "90"] for name, number in PEOPLE),
        ["Student, Test", "1", "", "", "", "", ""],
    ]
    csv.writer(path.open("w", newline="")).writerows(rows)
    return path


def moodle_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        for i, (name, number) in enumerate(PEOPLE):
            if i not in MISSING:
                archive.writestr(f"{name}_{number}_assignsubmission_file_/{NAME}", notebook(1))
    return path


def worksheet(path):
    head = ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed"]
    rows = [[f"Participant {n}", name, f"{short(name)}@x.org", "Submitted", "", "10,00", "Yes"] for name, n in PEOPLE]
    rows = [[*row, "Friday, 15 January 2027, 9:00 AM", "-", ""] for row in rows]
    head += ["Last modified (submission)", "Last modified (grade)", "Feedback comments"]
    csv.writer(path.open("w", newline="", encoding="utf-8-sig")).writerows([head, *rows])
    return path


def graded(students):
    """Verdicts as if they had been made: both of two answers are right, and every second single one."""
    grades = {}
    for i, (name, student) in enumerate(students.items()):
        grades[name] = {}
        for found in find(student.handed_in()):
            right = len(found.answers) == 2 or i % 2
            verdicts = {
                "3.1": verdict(
                    "passed" if right else "not yet", "" if right else "the stride is ignored", answer="def"
                ),
                "3.2": verdict("passed" if len(found.answers) == 2 else "not attempted"),
            }
            grades[name][3] = {"verdicts": verdicts, "handed": {"when": found.arrived, "late": found.late}}
    return marked(grades, RULES, {})


def golden(name, text):
    assert text == (GOLDEN / name).read_text("utf-8"), f"{name} has changed"


def canvas_reads(path):
    """Which students' submissions the files of a ZIP are about, as Canvas finds it out: (user, attachment)."""
    for name in zipfile.ZipFile(path).namelist():
        numbers = [part for part in Path(name).name.split("_") if part.isdigit()][:2]
        yield (*map(int, numbers),)


def moodle_reads(path):
    """As Moodle finds it out: (participant, plugin, file)."""
    for name in zipfile.ZipFile(path).namelist():
        for part in (steps := name.split("/")):
            info = part.split("_", 4)
            if len(info) >= 4 and info[1].isdigit():
                rest = [info[4] if len(info) > 4 else "", *steps[steps.index(part) + 1 :]]
                yield int(info[1]), f"{info[2]}_{info[3]}", "/".join(rest).strip("/")
                break


# ── Canvas ──


@pytest.fixture(scope="module")
def from_canvas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("canvas")
    export = canvas_export(folder / "export.csv")
    students = intake.read(canvas_zip(folder / "3 Occlusion.zip"), export).students
    (folder / "out").mkdir()
    names = handback.write(graded(students), students, folder / "out", export)
    return folder, students, names


def test_a_class_from_canvas_comes_back_as_its_gradebook(from_canvas):
    folder, students, names = from_canvas
    assert names == ["canvas.csv", "feedback for 3 Occlusion.zip"]
    assert sum(each.remark == "nothing was handed in" for each in students.values()) == len(MISSING) == 30 - 28
    golden("canvas.csv", (folder / "out" / "canvas.csv").read_text("utf-8"))
    rows = list(csv.DictReader((folder / "out" / "canvas.csv").open(encoding="utf-8")))
    assert len(rows) == 32 and rows[0]["Student"] == "Points Possible"
    assert "Essay (7)" not in rows[0] and "Current Score" not in rows[0]
    marks = {int(row["ID"]): row["3 Occlusion (8)"] for row in rows[1:]}
    assert marks.pop(1) == ""  # the test student
    possible = sum(RULES.weights.get(number, 1) for number in ("3.1", "3.2"))
    assert marks[107] == "50" and marks[120] == f"{50 * 0.75:g}"  # twice, and twice but late
    assert [marks[100 + i] for i in MISSING] == ["", ""] and f"{50 * 2 / possible:.2f}" in marks.values()


def test_canvas_finds_every_student_in_the_feedback(from_canvas):
    folder, _, names = from_canvas
    found = list(canvas_reads(folder / "out" / names[1]))
    assert sorted(found) == [(number, 9000 + i) for i, (_, number) in enumerate(PEOPLE) if i not in MISSING]


def test_without_an_export_the_numbers_of_the_zip_file_do(tmp_path):
    students = intake.read(canvas_zip(tmp_path / "3 Occlusion.zip")).students
    rows = list(csv.DictReader(io.StringIO(handback.canvas(graded(students), students))))
    assert list(rows[0]) == ["Student", "ID", "Lesson 3 · Occlusion"] and rows[0]["Lesson 3 · Occlusion"] == "3"
    assert {row["ID"] for row in rows[1:]} == {str(number) for i, (_, number) in enumerate(PEOPLE) if i not in MISSING}


def test_a_number_of_the_roster_is_not_taken_for_canvas_own(tmp_path):
    (tmp_path / "roster.csv").write_text("name,id\nAda Lovelace,100200\n")
    students = intake.read(canvas_zip(tmp_path / "c.zip"), tmp_path / "roster.csv").students
    assert students["Ada Lovelace"].ids == {"100", "100200"}
    assert "Ada Lovelace,100,0" in handback.canvas(graded(students), students)


def test_a_row_is_about_its_own_student():
    students = {name: intake.Student(name, ids=frozenset({number})) for name, number in (("Jane", "12"), ("Bo", "13"))}
    assert [handback._who(students, *row) for row in (("Bo", "12"), ("Jane", ""), ("", "13"), ("x", "9"))] == [
        "Bo",
        "Jane",
        "Bo",
        "",
    ]


# ── Moodle ──


def test_a_class_from_moodle_comes_back_as_its_worksheet(tmp_path):
    sheet = worksheet(tmp_path / "Grades-CV-03 occlusion-55.csv")
    students = intake.read(moodle_zip(tmp_path / "CV-03 occlusion-55.zip"), sheet).students
    grades = graded(students)
    (tmp_path / "out").mkdir()
    names = handback.write(grades, students, tmp_path / "out", None, [sheet])
    assert names == ["moodle Grades-CV-03 occlusion-55.csv", "feedback for CV-03 occlusion-55.zip"]
    golden("moodle.csv", (tmp_path / "out" / names[0]).read_text("utf-8"))
    before, after = intake.table(sheet, ""), intake.table(tmp_path / "out" / names[0], "")
    changed = {title for one, other in zip(before, after, strict=True) for title in one if one[title] != other[title]}
    assert changed == {"Grade", "Feedback comments"}
    assert [row["Grade"] for i, row in enumerate(after) if i in MISSING] == ["", ""]
    assert "3.1: not yet: the stride is ignored\n3.2: not attempted" in {row["Feedback comments"] for row in after}
    nine = datetime(2027, 1, 15, 9).timestamp()
    assert handback.handed_in_at(students, sheet) == {name: nine for name, _ in PEOPLE}
    found = list(moodle_reads(tmp_path / "out" / names[1]))
    wanted = [
        (number, "assignsubmission_file", "feedback.html") for i, (_, number) in enumerate(PEOPLE) if i not in MISSING
    ]
    assert sorted(found) == wanted


def test_a_worksheet_must_say_its_lesson(tmp_path):
    sheet = worksheet(tmp_path / "sheet.csv")
    students = intake.read(moodle_zip(tmp_path / "a.zip")).students
    grades = graded(students)
    assert handback.moodle(grades, students, sheet).count("not attempted") == 28  # there is one lesson only
    grades["Ada Lovelace"][4] = {"verdicts": {}}
    with pytest.raises(ValueError, match="--moodle: which lesson it is must stand in its name"):
        handback.moodle(grades, students, sheet)


# ── Folders ──


def test_a_class_in_folders_comes_back_as_a_table(tmp_path):
    for i, (name, _) in enumerate(PEOPLE):
        (tmp_path / "class" / name).mkdir(parents=True)
        if i not in MISSING:
            (tmp_path / "class" / name / NAME).write_bytes(notebook(1 + (i in TWICE)))
    students = intake.read(tmp_path / "class").students
    assert handback.write(graded(students), students, tmp_path) == []
    late = {
        name: {3: each[3] | {"handed": {"when": 1e12, "late": None}}} if each else {}
        for name, each in graded(students).items()
    }
    rules = Rules(weights=RULES.weights)
    golden("folders.csv", table(marked(late, rules, {})))


@pytest.mark.parametrize(
    ("canvas", "moodle", "message"),
    [
        (
            "a,b\n1,2\n",
            None,
            "--canvas must be a gradebook that Canvas has exported; .* has no column 'Student', or no row",
        ),
        (
            None,
            "Identifier,Full name\n1,x\n",
            "--moodle must be a grading worksheet of Moodle; .* has no column 'Grade'",
        ),
        (None, "", "--moodle must be a grading worksheet of Moodle; .* has no column 'Identifier', or no row"),
    ],
)
def test_what_is_no_export_is_refused_before_anything_is_graded(tmp_path, canvas, moodle, message):
    (tmp_path / "x.csv").write_text(canvas or moodle or "")
    with pytest.raises(ValueError, match=message):
        handback.check(canvas and tmp_path / "x.csv", [tmp_path / "x.csv"] if moodle is not None else [])
