"""Grade a folder of submissions: one folder a student, each with any number of the lessons' notebooks.

python -m helpers.grading submissions --out grades
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import nbformat
import torch
from tqdm import tqdm

from helpers.core import lessons
from helpers.core.images import write_atomically
from helpers.grading import report, sandbox, submissions
from helpers.grading.assemble import Unreadable, from_submission
from helpers.grading.grade import grade, points, ungraded

HELPERS = Path(__file__).parent.parent
Submit = Callable[..., object]  # (function, *arguments) → a future


# ── What has been graded already ──


def fingerprint(lesson: int, answers: dict[str, str], patience: tuple) -> str:
    """Changes when the answers, the lesson, the checks, what they stand on or the patience do."""
    digest = hashlib.sha256(json.dumps([lesson, answers, patience], sort_keys=True).encode())
    code = [path for folder in ("core", "exercises", "grading") for path in sorted((HELPERS / folder).rglob("*.py"))]
    for path in [lessons.lesson(lesson).notebook, *code]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(path, mark):
    """The result that an earlier run has left, if it still holds."""
    try:
        kept = json.loads(path.read_text())
        return kept["result"] if kept["fingerprint"] == mark else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def grade_all(folder: Path, out: Path, patience: tuple, submit: Submit, wait: Callable, width: int) -> report.Grades:
    """Grade what is in `folder`; each result is kept in `out/results` as soon as it is there.

    Args:
        patience: seconds for a cell and for a notebook.
        submit, wait, width: where the work is done, see `threads`.
    """
    grades: report.Grades = {student: {} for student in submissions.students(folder)}
    handed_in = submissions.find(folder)
    with tqdm(total=len(handed_in), unit="notebook", desc="grading") as bar:

        def note(handed, result):
            grades[handed.student][handed.lesson] = result
            bar.set_postfix_str(f"{handed.student} {handed.lesson}: {points(result)}/{len(result['verdicts'])}")
            bar.update()

        running = {}

        def collect():
            for future in wait(list(running), return_when="FIRST_COMPLETED").done:
                handed, path, mark = running.pop(future)
                result = future.result()
                text = json.dumps({"fingerprint": mark, "result": result}).encode()
                write_atomically(path, lambda file, text=text: file.write(text))
                note(handed, result)

        for handed in handed_in:
            try:
                released = nbformat.read(lessons.lesson(handed.lesson).notebook, as_version=4)
                answers = from_submission(handed.read(), released)
            except Unreadable as problem:
                note(handed, ungraded(handed.lesson) | {"problem": str(problem)})
                continue
            path = out / "results" / handed.student / f"{handed.lesson:02}.json"
            mark = fingerprint(handed.lesson, answers, patience)
            if (kept := _kept(path, mark)) is not None:
                note(handed, kept)
                continue
            running[submit(grade, handed.lesson, answers, *patience)] = handed, path, mark
            while len(running) >= width:
                collect()
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
    parser = argparse.ArgumentParser(prog="python -m helpers.grading", description="Grade a folder of submissions.")
    parser.add_argument("submissions", type=Path, help="a folder that holds a folder for each student")
    parser.add_argument("--out", type=Path, default=Path("grades"), help="where the report goes (default: grades)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="notebooks at once (default: all cores)")
    parser.add_argument("--dask", metavar="ADDRESS", help="a dask.distributed scheduler to send the work to")
    parser.add_argument("--cell", type=float, default=20.0, help="seconds for a cell or an exercise (default: 20)")
    parser.add_argument("--notebook", type=float, default=120.0, help="seconds for nbval's run (default: 120)")
    options = parser.parse_args(arguments)
    for name in ("jobs", "cell", "notebook"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} must be more than 0, not {getattr(options, name)}")
    if not options.dask and (warning := sandbox.unprotected()):
        print(f"Warning: {warning}.", file=sys.stderr)
    try:
        submissions.students(options.submissions)  # a wrong folder is told before anything is started
        with cluster(options.dask) if options.dask else threads(options.jobs) as where:
            grades = grade_all(options.submissions, options.out, (options.cell, options.notebook), *where)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\nInterrupted. What has been graded is kept: the same command grades the rest.", file=sys.stderr)
        sandbox.kill_all()
        os._exit(130)  # the threads that wait for them would start the next
    report.write(grades, options.out)
    print(report.screen(grades))
    print(f"Written to {options.out}: grades.csv, grades.json and a page for each student.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
