"""What a teacher reads: the table, the screen, and a page for each student, whatever students are called."""

import csv
import json
import re

from classroom import STRANGE, verdict

from helpers.grading import report

GRADES = {
    "zoë <b>": {3: {"verdicts": {"3.1": verdict("passed", "", "passed"), "3.10": verdict("not attempted")}}},
    "=ann": {
        3: {
            "verdicts": {
                "3.1": verdict("not yet", "<i> turn", "passed", "def f(): '<u>'", "<s> 2 of 4"),
                "3.10": verdict("passed", answer="def passed(): ..."),
            }
        },
        1: {"verdicts": {"1.1": verdict("passed")}, "problem": "a problem", "remark": "`a` counts"},
        0: {"verdicts": {}, "problem": "`x.zip`: broken"},
    },
    "none": {},
    "the grader failed": {
        3: {"verdicts": {"3.1": verdict("not judged", "it failed", "passed", "def g"), "3.10": verdict("passed")}},
    },
}


def test_the_table_has_a_row_a_student_and_a_column_an_exercise():
    assert list(csv.reader(report.table(GRADES).splitlines())) == [
        ["student", "1.1", "3.1", "3.10", "total"],
        ["'=ann", "1", "0", "1", "2"],
        ["none", "", "", "", "0"],
        ["the grader failed", "", "?", "1", "1"],
        ["zoë <b>", "", "1", "0", "1"],
    ]


def test_the_screen_shows_lessons_totals_and_what_to_look_at():
    assert report.screen(GRADES).splitlines() == [
        "student                1      3  total",
        "=ann                 1/1    1/2  2/3",
        "none                   –      –  0/0",
        "the grader failed      –   1/1?  1/1?",
        "zoë <b>                –    1/2  1/2",
        "=ann: `x.zip`: broken",
        "=ann, lesson 1: `a` counts",
        "=ann, lesson 1: a problem",
        "=ann, lesson 3: the notebook says that 3.1 passed and the judge does not; read the answer",
        "the grader failed, lesson 3: our own fault: 3.1 not judged; nothing is counted against the student",
    ]


def test_a_page_shows_every_message_and_runs_nothing():
    text = report.page("zoë <b>", GRADES["=ann"])
    assert not re.search("<[bisu]>", text) and "&lt;i&gt; turn" in text and "a problem" in text
    assert text.index("Other files") < text.index("`x.zip`: broken") < text.index("`a` counts")
    assert text.index("Lesson 1") < text.index("Lesson 3: 1 of 2") and "in the notebook: passed" in text
    assert re.search("<details>.*def f.*&lt;s&gt; 2 of 4.*</details>", text, re.DOTALL)
    assert "def passed" not in text, "nobody need read what is right"
    text = report.page("the grader failed", GRADES["the grader failed"])
    assert re.search("not judged.*it failed.*<details>.*def g.*</details>", text) and "Lesson 3: 1 of 1?" in text


def test_whatever_a_student_is_called_the_report_is_whole(tmp_path):
    grades = dict.fromkeys(STRANGE.values(), GRADES["=ann"])
    report.write(grades, tmp_path)
    assert len(list(tmp_path.glob("*.html"))) == len(grades) + 1  # that of the class
    assert json.loads((tmp_path / "grades.json").read_text()).keys() == grades.keys()
    rows = list(csv.reader((tmp_path / "grades.csv").read_text().splitlines()))[1:]
    assert len({row[0] for row in rows}) == len(grades) and {len(row) for row in rows} == {5}
    assert not any(row[0].startswith("=") for row in rows) and ["x" * 255, "1", "0", "1", "2"] in rows
    first, *lines = report.screen(grades).split("\n")
    assert {report._columns(line.partition("1/1")[0]) for line in lines[: len(grades)]} == {first.index("1") - 2}
    assert all(char.isprintable() or char in report.JOINERS for line in lines for char in line)


def test_reports_are_written_whole(tmp_path):
    report.write(GRADES, tmp_path)
    assert json.loads((tmp_path / "grades.json").read_text())["=ann"]["1"]["problem"] == "a problem"
    assert {path.name for path in tmp_path.iterdir()} == {
        "class.html",
        "grades.csv",
        "grades.json",
        "=ann.html",
        "none.html",
        "the grader failed.html",
        "zoë <b>.html",
    }
