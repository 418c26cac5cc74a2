"""The teacher's command: what it refuses, keeps and does after a crash, and on a cluster."""

import csv
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
import zipfile
from concurrent import futures
from pathlib import Path

import nbformat
import pytest
from classroom import LESSON, STRANGE, command, verdict

from helpers.grading import __main__ as commands
from helpers.grading import intake, report
from helpers.grading.__main__ import grade_all, main
from helpers.grading.answers import Answer
from helpers.grading.assemble import paste
from helpers.grading.grade import ungraded

PATIENCE = (20.0, 120.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "SUBMISSIONS must be a folder or a ZIP file of Canvas or Moodle, not nowhere"),
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


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "--out must be a folder, not the file file"),
        ("file/below", "--out cannot be written to: [Errno 20] Not a directory: 'file/below'"),
        ("class", "--out must lie outside class, where it would be a student: class does not"),
        (
            "class/ann/../grades",
            "--out must lie outside class, where it would be a student: class/ann/../grades does not",
        ),
        ("link/grades", "--out must lie outside class, where it would be a student: link/grades does not"),
    ],
)
def test_a_place_where_no_report_can_be_is_refused(tmp_path, monkeypatch, capsys, out, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "class" / "ann").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("class")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(["class", "--out", out])
    assert ended.value.code == 2 and capsys.readouterr().err.splitlines()[-1].endswith(f"error: {message}")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_usual_place_is_refused_within_the_class(tmp_path, monkeypatch, capsys):
    (tmp_path / "ann").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["."])
    assert "--out must lie outside ." in capsys.readouterr().err


def test_any_name_is_graded_on_an_old_console(tmp_path, grading):
    for name in STRANGE.values():
        (tmp_path / "class" / name).mkdir(parents=True)
    done = grading(tmp_path / "class", "--out", tmp_path / "grades", PYTHONIOENCODING="cp1252")
    assert len(done.stdout.splitlines()) == len(STRANGE) + 2 and "Traceback" not in done.stderr
    assert len(list((tmp_path / "grades").glob("*.html"))) == len(STRANGE) + 1


def test_a_full_disk_is_one_line(tmp_path, grading):
    (tmp_path / "class" / "ann").mkdir(parents=True)
    where = tmp_path / "class", "--out", tmp_path / "grades"
    done = grading(*where, code=1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9, 9)))
    assert done.stdout == "" and "Traceback" not in done.stderr
    said = "Ended: [Errno 27] File too large. What has been graded is kept: the same command grades the rest."
    assert done.stderr.splitlines()[-1] == said


# ── Around a grader that only counts ──


class Pretended:
    """Grades at once: every answer passes, but one that holds the word "fault"; counts what it is asked."""

    def __init__(self, folder, out):
        self.folder, self.out, self.asked = folder, out, 0

    def grade(self, lesson, answers, cell, notebook):
        self.asked += 1
        if any("fault" in answer.source for candidates in answers.values() for answer in candidates):
            raise KeyError("a mistake\nof ours")
        result = ungraded(lesson)
        for number in answers:
            result["verdicts"][number] |= verdict("passed", nbval="passed", answer=answers[number][0].source)
        return result

    def submit(self, function, *arguments):
        future = futures.Future()
        try:
            future.set_result(self.grade(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def __call__(self):
        return grade_all(intake.read(self.folder).students, self.out, PATIENCE, self.submit, futures.wait, 1)


@pytest.fixture
def pretended(tmp_path):
    return Pretended(tmp_path / "class", tmp_path / "grades")


def outcomes(result):
    return [verdict["outcome"] for verdict in result["verdicts"].values()]


def test_our_own_fault_costs_nothing_is_told_and_tried_again(pretended, hand_in, solutions):
    first, second, *_ = solutions
    for student in "ann", "ben", "cleo":
        hand_in(student, {first: solutions[first], second: solutions[second]})
    hand_in("ben", {first: f"{solutions[first]}  # fault"})
    grades = pretended()
    assert outcomes(grades["ann"][3])[:2] == outcomes(grades["cleo"][3])[:2] == ["passed", "passed"]
    assert outcomes(grades["ben"][3]) == ["not judged", *["not attempted"] * (len(solutions) - 1)]
    assert grades["ben"][3]["verdicts"][first]["answer"].count("fault") >= 1
    (line,) = report.remarks(grades)
    assert line == (
        "ben, lesson 3: our own fault: KeyError: 'a mistake\\nof ours'; nothing is counted against the student"
    )
    pretended()
    assert pretended.asked == 4, "what was graded is kept, and only that"


OLD_SHAPES = (
    "{}",
    "[]",
    "null",
    '{"verdicts": []}',
    '{"verdicts": {}, "seconds": 0.0}',
    '{"verdicts": {"3.1": 1}, "seconds": 0.0}',
    '{"verdicts": {"3.1": {"outcome": "passed", "message": "", "nbval": ""}}, "seconds": 1.5}',
)


@pytest.mark.parametrize(
    "kept", ["", "{", "{}", "[]", "[" * 100_000, *(f'{{"fingerprint": MARK, "result": {each}}}' for each in OLD_SHAPES)]
)
def test_what_an_earlier_run_left_in_another_shape_is_graded_anew(pretended, hand_in, solutions, kept):
    hand_in("ann", solutions)
    before = pretended()
    (path,) = pretended.out.rglob("03.json")
    whole = path.read_text()
    path.write_text(kept.replace("MARK", json.dumps(json.loads(whole)["fingerprint"])))
    assert pretended() == before and pretended.asked == 2 and path.read_text() == whole
    pretended()
    assert pretended.asked == 2


def test_a_disk_that_is_full_loses_nothing_that_was_graded(pretended, hand_in, solutions, monkeypatch):
    for student in "ann", "ben", "cleo":
        hand_in(student, solutions)
    write, written = commands.write_atomically, []

    def filling(path, how):
        if len(written) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, how)

    monkeypatch.setattr(commands, "write_atomically", filling)
    with pytest.raises(OSError, match="No space left"):
        pretended()
    monkeypatch.undo()
    assert len(pretended()) == 3 and pretended.asked == 2 + 2


def test_what_could_not_be_used_and_what_was_chosen_is_in_the_grades(pretended, hand_in, solutions):
    folder = hand_in("ann", solutions)
    (folder / f"old {LESSON.notebook.name}").write_bytes(b"")
    (folder / "work.zip").write_bytes(b"")
    (folder / "04_saliency.ipynb").write_bytes(b"{")
    grades = pretended()["ann"]
    assert grades[0] == report.NO_LESSON | {
        "handed": {"when": None, "late": None},
        "problem": "`work.zip`: this ZIP file is broken: hand in the notebook itself",
    }
    assert "2 files for lesson 3" in grades[3]["remark"] and set(outcomes(grades[3])) == {"passed"}
    assert "not JSON" in grades[4]["problem"] and set(outcomes(grades[4])) == {"not attempted"}
    assert all("remark" not in path.read_text() for path in pretended.out.rglob("*.json")), "others' files may change"
    assert report.screen({"ann": grades}).count("\n") == 1 + 3


# ── Around the real one ──


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

    def mark(source="answer", problem="", cell=20.0):
        return commands.fingerprint(LESSON.number, {"3.1": [Answer(source, problem)]}, (cell, 120.0))

    before = mark()
    assert mark() == before
    assert before not in (mark("another"), mark(problem="another"), mark(cell=21.0))
    with (copy / changed).open("a") as file:
        file.write("# another line\n")
    assert mark() != before


# ── From a platform and back ──


def test_a_class_goes_from_a_zip_file_to_a_gradebook_and_marks_follow_the_rules(tmp_path, grading, lesson, solutions):
    first, *_ = solutions
    half = {number: source for number, source in solutions.items() if number != first}
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        for start, answers in (("doejane_101_1_", solutions), ("liubo_LATE_102_2_", half), ("../evil_103_3_", {})):
            archive.writestr(f"{start}{LESSON.notebook.name}", nbformat.writes(paste(lesson, answers)))
    (tmp_path / "roster.csv").write_text("name,id\nJane Doe,101\nBo Liu,102\nAda Lovelace,104\n")
    where = (tmp_path / "class.zip", "--out", tmp_path / "grades", "--roster", tmp_path / "roster.csv")
    said = grading(*where).stdout
    assert "Ada Lovelace: nothing was handed in" in said and "leads out of it and was left out" in said
    assert "canvas.csv, feedback for class.zip and a page for each student" in said

    def marks():
        with (tmp_path / "grades" / "grades.csv").open() as file:
            return {row["student"]: row["total"] for row in csv.DictReader(file)}

    count = len(solutions)
    assert marks() == {"Jane Doe": f"{count}", "Bo Liu": f"{count - 1}", "Ada Lovelace": "0"}
    (tmp_path / "rules.toml").write_text(f'[weights]\n"{first}" = 3\n[late]\nper_day = 0.5\n')
    (tmp_path / "hand.csv").write_text(f"student,exercise,mark,reason\nBo Liu,{first},2,nearly\n")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "grades" / "results").rglob("*.json")}
    start = time.monotonic()
    grading(*where, "--rules", tmp_path / "rules.toml", "--overrides", tmp_path / "hand.csv")
    print(f"\nother rules, the same verdicts: {time.monotonic() - start:.1f} s")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept and len(kept) == 2, "nothing was graded again"
    assert marks() == {"Jane Doe": f"{count + 2}", "Bo Liu": f"{(count - 1) / 2 + 2:g}", "Ada Lovelace": "0"}
