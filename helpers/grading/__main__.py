"""Grade a class: a folder with one for each student, or what Canvas or Moodle sends down.

python -m helpers.grading submissions --out grades
"""

import argparse
import hashlib
import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from helpers.core import lessons
from helpers.core.images import write_atomically
from helpers.exercises.verdict import UNJUDGED
from helpers.grading import handback, intake, report, sandbox, submissions
from helpers.grading.answers import Answer
from helpers.grading.grade import grade, points, ungraded
from helpers.grading.intake import Student
from helpers.grading.marks import Rules, marked, overrides_of, rules_of

HELPERS = Path(__file__).parent.parent
Submit = Callable[..., object]  # (function, *arguments) → a future


# ── What has been graded already ──


def fingerprint(lesson: int, answers: dict[str, list[Answer]], patience: tuple) -> str:
    """Changes when the answers, the lesson, the checks, what they stand on or the patience do."""
    digest = hashlib.sha256(json.dumps([lesson, answers, patience], sort_keys=True, default=asdict).encode())
    code = [path for folder in ("core", "exercises", "grading") for path in sorted((HELPERS / folder).rglob("*.py"))]
    for path in [lessons.lesson(lesson).notebook, *code]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(path, mark, lesson):
    """The result that an earlier run has left, if it still holds and is whole."""
    try:
        kept = json.loads(path.read_text())
        result = kept["result"]
        return result if kept["fingerprint"] == mark and _shape(result) == _shape(ungraded(lesson)) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _shape(result):
    verdicts = result["verdicts"].items()
    return type(result["seconds"]), {n: {key: type(value) for key, value in each.items()} for n, each in verdicts}


def _judged(result):
    return all(verdict["outcome"] != UNJUDGED for verdict in result["verdicts"].values())


def _our_fault(lesson, answers, error):
    """The result where grading itself fails: what was tried is not judged, and costs nothing."""
    result = ungraded(lesson)
    for number in answers.keys() & result["verdicts"].keys():
        result["verdicts"][number] |= {"outcome": UNJUDGED, "answer": answers[number][0].source}
    why = f"our own fault: {type(error).__name__}: {str(error)[:200]}; nothing is counted against the student"
    return result | {"problem": why}


def grade_all(
    students: Mapping[str, Student], out: Path, patience: tuple, submit: Submit, wait: Callable, width: int
) -> report.Grades:
    """Grade what was handed in; each result is kept in `out/results` as soon as it is there.

    Args:
        students: by name.
        patience: seconds for a cell and for a notebook.
        submit, wait, width: where the work is done, see `threads`.
    """
    grades: report.Grades = {student: {} for student in students}
    names, running = submissions.file_names(grades), {}
    with tqdm(total=len(grades), unit="student", desc="grading") as bar:

        def note(student, handed, result):
            said = {"problem": handed.problem, "remark": handed.remark}
            came = {"handed": {"when": handed.arrived, "late": handed.late}}
            grades[student][handed.lesson] = result = result | came | {key: said[key] for key in said if said[key]}
            solved = f"{points(result)}/{len(result['verdicts'])}"
            bar.set_postfix_str(f"{report.shortened(student)} {handed.lesson}: {solved}")

        def collect():
            for future in wait(list(running), return_when="FIRST_COMPLETED").done:
                student, handed, path, mark = running.pop(future)
                try:
                    result = future.result()
                except Exception as error:
                    result = _our_fault(handed.lesson, handed.answers, error)
                if _judged(result):
                    text = json.dumps({"fingerprint": mark, "result": result}).encode()
                    write_atomically(path, lambda file, text=text: file.write(text))
                note(student, handed, result)

        for student in grades:
            for handed in submissions.find(students[student].handed_in()):
                if handed.problem:
                    note(student, handed, ungraded(handed.lesson) if handed.lesson else dict(report.NO_LESSON))
                    continue
                path = out / "results" / names[student] / f"{handed.lesson:02}.json"
                mark = fingerprint(handed.lesson, handed.answers, patience)
                if (kept := _kept(path, mark, handed.lesson)) is not None:
                    note(student, handed, kept)
                    continue
                running[submit(grade, handed.lesson, handed.answers, *patience)] = student, handed, path, mark
                while len(running) >= width:
                    collect()
            bar.update()
        while running:
            collect()
    return grades


# ── Where the work is done: what `grade_all` needs to hand out work, to await some of it, and how much at once ──


@contextmanager
def threads(jobs: int) -> Iterator[tuple[Submit, Callable, int]]:
    """Threads of this process, each of which waits for sandboxed processes."""
    # they compare while sandboxed processes compute: one thread each, for torch's would spin and slow them all
    with futures.ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool.submit, futures.wait, jobs


@contextmanager
def cluster(address: str) -> Iterator[tuple[Submit, Callable, int]]:
    """The workers of a dask.distributed cluster; the course must be installed there."""
    from dask import distributed

    with distributed.Client(address) as client:

        def submit(function, *arguments):
            return client.submit(function, *arguments, pure=False)

        def wait(running: Iterable, return_when: str):
            return distributed.wait(running, return_when=return_when)

        yield submit, wait, 2 * max(1, len(client.scheduler_info()["workers"]))


# ── The command ──


def main(arguments: list[str] | None = None) -> int:
    """Grade as the command line says; 0 when everything has been graded."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console may not know the letters of a name
    options = _options(arguments)
    work = cluster(options.dask) if options.dask else threads(options.jobs)
    with _nothing_lost(), work as where, _nothing_lost():  # inside too, since leaving `work` would await what runs
        students = options.handed_in.students
        grades = grade_all(students, options.out, (options.cell, options.notebook), *where)
        try:
            about = {worksheet: handback.lesson_of(worksheet, grades) for worksheet in options.moodle}
        except ValueError as error:
            print(f"{error}. What has been graded is kept: the same command goes on.", file=sys.stderr)
            return 2
        for worksheet, lesson in about.items():
            for student, when in handback.handed_in_at(students, worksheet).items():
                if lesson in grades.get(student, {}):
                    grades[student][lesson]["handed"]["when"] = when
        grades = marked(grades, options.rules, options.overrides)
        report.write(grades, options.out)
        returned = handback.write(grades, students, options.out, options.canvas, options.moodle)
        print(report.screen(grades))
        nobody = [name for name in options.rules.extensions if name not in students]
        for line in [
            *options.handed_in.remarks,
            *(f"{name}: {student.remark}" for name, student in students.items() if student.remark),
            *(f"--rules: an extension is given to {name}, whom this class does not have" for name in nobody),
        ]:
            print(report.plain(line))
        files = ", ".join(["grades.csv", "grades.json", "class.html", *returned])
        print(f"Written to {options.out}: {files} and a page for each student.")
    return 0


def _options(arguments):
    """What the command line says; what cannot be is refused before anything is started."""
    parser = argparse.ArgumentParser(prog="python -m helpers.grading", description="Grade a class.")
    parser.add_argument("submissions", type=Path, help="a folder for each student in one folder, or a ZIP of an LMS")
    parser.add_argument("--out", type=Path, default=Path("grades"), help="where the report goes (default: grades)")
    parser.add_argument("--roster", type=Path, help="CSV of who should be there (default: roster.csv in the folder)")
    parser.add_argument("--pattern", help='of single files in the folder, such as "{student}_*.ipynb"')
    parser.add_argument("--rules", type=Path, help="weights, deadlines … (default: grading.toml in the folder)")
    parser.add_argument("--overrides", type=Path, help="marks set by hand (default: overrides.csv in the folder)")
    parser.add_argument("--canvas", type=Path, help="the gradebook that Canvas has exported, to be filled in")
    parser.add_argument("--moodle", type=Path, nargs="+", default=[], help="grading worksheets of Moodle, the same")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="notebooks at once (default: all cores)")
    parser.add_argument("--dask", metavar="ADDRESS", help="a dask.distributed scheduler to send the work to")
    parser.add_argument("--cell", type=float, default=20.0, help="processor seconds for an exercise (default: 20)")
    parser.add_argument("--notebook", type=float, default=120.0, help="processor seconds for nbval (default: 120)")
    options = parser.parse_args(arguments)
    for name in ("jobs", "cell", "notebook"):
        if not 0 < getattr(options, name) < math.inf:
            parser.error(f"--{name} must be more than 0, not {getattr(options, name)}")
    for name, usual in (("roster", "roster.csv"), ("rules", "grading.toml"), ("overrides", "overrides.csv")):
        beside = options.submissions / usual
        if getattr(options, name) is None and beside.is_file():
            setattr(options, name, beside)
    try:
        options.handed_in = intake.read(options.submissions, options.roster, options.pattern)
        options.rules = rules_of(options.rules) if options.rules else Rules()
        students = options.handed_in.students
        options.overrides = overrides_of(options.overrides, students, options.rules) if options.overrides else {}
        handback.check(options.canvas, options.moodle)
        _usable(options.out, options.submissions)
    except ValueError as error:
        parser.error(str(error))
    if not options.dask and (warning := sandbox.unprotected()):
        print(f"Warning: {warning}.", file=sys.stderr)
    return options


def _usable(out, folder):
    """Refuse a folder that the report cannot be written to."""
    place = Path(os.path.realpath(out))
    try:
        if place.exists() and not place.is_dir():
            raise ValueError(f"--out must be a folder, not the file {out}")
        if any(path.exists() and path.samefile(folder) for path in (place, *place.parents)):
            raise ValueError(f"--out must lie outside {folder}, where it would be a student: {out} does not")
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise ValueError(f"--out cannot be written to: {error}") from None


@contextmanager
def _nothing_lost():
    """Whatever ends the run early, one line says that it may go on."""
    try:
        yield
    except KeyboardInterrupt:
        why, status = "Interrupted", 130
    except OSError as error:  # above all, a full disk
        why, status = f"Ended: {error}", 1
    else:
        return
    print(f"\n{why}. What has been graded is kept: the same command grades the rest.", file=sys.stderr, flush=True)
    sandbox.kill_all()
    os._exit(status)  # the threads that wait for them would start the next


if __name__ == "__main__":
    sys.exit(main())
