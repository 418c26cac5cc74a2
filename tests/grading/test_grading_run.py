"""The teacher's command: its reports, what it does after a crash, and on a cluster."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from classroom import LESSON, command

from helpers.grading import __main__ as commands
from helpers.grading import report
from helpers.grading.__main__ import main
from helpers.grading.submissions import find


def verdict(outcome, message="", nbval=""):
    return {"outcome": outcome, "message": message, "nbval": nbval}


GRADES = {
    "zoë <b>": {3: {"verdicts": {"3.1": verdict("passed", "", "passed"), "3.10": verdict("not attempted")}}},
    "=ann": {
        3: {"verdicts": {"3.1": verdict("not yet", "<i> turn", "passed"), "3.10": verdict("passed")}},
        1: {"verdicts": {"1.1": verdict("passed")}, "problem": "a problem"},
    },
    "none": {},
}


def test_the_table_has_a_row_a_student_and_a_column_an_exercise():
    assert list(csv.reader(report.table(GRADES).splitlines())) == [
        ["student", "1.1", "3.1", "3.10", "total"],
        ["'=ann", "1", "0", "1", "2"],
        ["none", "", "", "", "0"],
        ["zoë <b>", "", "1", "0", "1"],
    ]


def test_the_screen_shows_lessons_totals_and_what_to_look_at():
    lines = report.screen(GRADES).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["student", "1", "3", "total"],
        ["=ann", "1/1", "1/2", "2/3"],
        ["none", "–", "–", "0/0"],
        ["zoë", "<b>", "–", "1/2", "1/2"],
    ]
    assert lines[4:] == [
        "=ann, lesson 1: a problem",
        "=ann, lesson 3: the notebook says that 3.1 passed and the judge does not; read the answer",
    ]


def test_a_page_shows_every_message_and_runs_nothing():
    text = report.page("zoë <b>", GRADES["=ann"])
    assert "<b>" not in text and "<i>" not in text and "&lt;i&gt; turn" in text and "a problem" in text
    assert text.index("Lesson 1") < text.index("Lesson 3: 1 of 2") and "in the notebook: passed" in text


def test_reports_are_written_whole(tmp_path):
    report.write(GRADES, tmp_path)
    assert json.loads((tmp_path / "grades.json").read_text())["=ann"]["1"]["problem"] == "a problem"
    assert {path.name for path in tmp_path.iterdir()} == {
        "grades.csv",
        "grades.json",
        "=ann.html",
        "none.html",
        "zoë <b>.html",
    }


# ── The command ──


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "SUBMISSIONS must be a folder that holds a folder for each student, not nowhere"),
        (["."], "SUBMISSIONS must hold a folder for each student; . holds none"),
        ([".", "--jobs", "0"], "--jobs must be more than 0, not 0"),
        ([".", "--cell", "-1"], "--cell must be more than 0, not -1.0"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(arguments)
    assert capsys.readouterr().err.splitlines()[-1].endswith(message)
    assert not any(tmp_path.iterdir())


def test_files_are_found_by_the_lessons_name(tmp_path, hand_in):
    name = LESSON.notebook.name
    for student, file in (("a", name), ("b", f"deep/down/my {name}"), ("c", f".ipynb_checkpoints/{name}")):
        path = tmp_path / "class" / student / file
        path.parent.mkdir(parents=True)
        path.write_text("")
    for file in (f"z {name}", name, "notes.ipynb"):
        (tmp_path / "class" / "a" / file).write_text("")
    (tmp_path / "class" / "d").symlink_to(tmp_path / "class" / "a")
    found = find(tmp_path / "class")
    assert [(s.student, s.lesson, s.path.name) for s in found] == [
        ("a", LESSON.number, name),
        ("b", LESSON.number, f"my {name}"),
    ]


def test_answers_are_graded_and_the_next_run_repeats_nothing(tmp_path, hand_in, grading, solutions):
    first, *others = solutions
    hand_in("ann", solutions)
    hand_in("ben", {number: solutions[number] for number in others} | {first: "def nothing(): pass"})
    hand_in("cleo")
    done = grading(tmp_path / "class", "--out", tmp_path / "grades")
    count = len(solutions)
    assert re.findall(r"^(\w+) +\d/\d +(\d/\d)$", done.stdout, re.MULTILINE) == [
        ("ann", f"{count}/{count}"),
        ("ben", f"{count - 1}/{count}"),
        ("cleo", f"0/{count}"),
    ]
    table = (tmp_path / "grades" / "grades.csv").read_bytes()
    start = time.perf_counter()
    grading(tmp_path / "class", "--out", tmp_path / "grades")
    assert (tmp_path / "grades" / "grades.csv").read_bytes() == table
    result = tmp_path / "grades" / "results" / "ann" / f"{LESSON.number:02}.json"
    kept = json.loads(result.read_text())["result"]["seconds"]
    print(f"\n{kept:.1f} s a notebook; {time.perf_counter() - start:.1f} s for the run that found all graded")
    before = result.stat().st_mtime_ns
    hand_in("ann", {first: solutions[first]})
    grading(tmp_path / "class", "--out", tmp_path / "grades")
    assert result.stat().st_mtime_ns != before, "another answer is graded anew"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_goes_on_where_it_was(tmp_path, hand_in, grading, solutions, end):
    some = [*solutions][:3]
    for number in some:
        hand_in(f"student {number}", {number: solutions[number]})
    out = tmp_path / "grades"
    ours = {"TMPDIR": str(tmp_path)}  # by which its processes are known from those of other tests
    process = subprocess.Popen(
        command(tmp_path / "class", "--out", out, "--jobs", 1), stderr=subprocess.PIPE, env=os.environ | ours
    )
    until = time.monotonic() + 240
    while not list(out.rglob("0*.json")) or len(running(tmp_path)) < 2:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    os.kill(process.pid, end)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode != 0 and not (out / "grades.csv").exists()
    assert end == signal.SIGKILL or "the same command grades the rest" in said
    done = {path: path.stat().st_mtime_ns for path in out.rglob("0*.json")}
    assert 0 < len(done) < 3
    grading(tmp_path / "class", "--out", out)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items()), "what was done is not done again"
    assert list(csv.reader((out / "grades.csv").read_text().splitlines())) == [
        ["student", *solutions, "total"],
        *([f"student {number}", *(str(int(each == number)) for each in solutions), "1"] for number in some),
    ]
    assert not running(tmp_path), "nothing is left behind"


def running(folder):
    """The processes whose environment names a folder."""
    return [path for path in Path("/proc").glob("[0-9]*/environ") if _mentions(path, str(folder))]


def _mentions(path, word):
    try:
        return word.encode() in path.read_bytes()
    except OSError:
        return False


def test_a_cluster_of_two_workers_grades_as_well(tmp_path, hand_in, grading, solutions):
    distributed = pytest.importorskip("dask.distributed")
    first, *others = solutions
    hand_in("ann", {first: solutions[first]})
    hand_in("ben", {first: "def nothing(): pass"})
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        grading(tmp_path / "class", "--out", tmp_path / "grades", "--dask", cluster.scheduler_address)
    none = ["0"] * len(others)
    assert list(csv.reader((tmp_path / "grades" / "grades.csv").read_text().splitlines())) == [
        ["student", first, *others, "total"],
        ["ann", "1", *none, "1"],
        ["ben", "0", *none, "0"],
    ]


@pytest.mark.parametrize("changed", ["core/networks.py", "exercises/occlusion.py", "grading/inside/worker.py"])
def test_a_change_of_what_a_verdict_rests_on_is_graded_anew(changed, tmp_path, monkeypatch):
    copy = tmp_path / "helpers"
    shutil.copytree(commands.HELPERS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(commands, "HELPERS", copy)
    before = commands.fingerprint(LESSON.number, {"3.1": "answer"}, (20.0, 120.0))
    assert commands.fingerprint(LESSON.number, {"3.1": "answer"}, (20.0, 120.0)) == before
    assert commands.fingerprint(LESSON.number, {"3.1": "another"}, (20.0, 120.0)) != before
    assert commands.fingerprint(LESSON.number, {"3.1": "answer"}, (21.0, 120.0)) != before
    with (copy / changed).open("a") as file:
        file.write("# another line\n")
    assert commands.fingerprint(LESSON.number, {"3.1": "answer"}, (20.0, 120.0)) != before
