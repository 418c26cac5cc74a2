"""Verdicts made outside the process that runs the answers: inputs are drawn and compared here, where no line of a
submission ever runs.
"""

import os
import select
import sys
import time
from contextlib import ExitStack
from dataclasses import replace

from helpers.exercises.calls import NotAttempted, NotYet
from helpers.exercises.exercise import exercises
from helpers.exercises.verdict import BLANK, WRONG, Verdict
from helpers.grading.inside.wire import receive, send
from helpers.grading.sandbox import FOR_ANSWERS, Limits, started

PROGRAM = (sys.executable, "-m", "helpers.grading.inside.worker")
STARTING = 60.0  # seconds that Python and torch may take


class Gone(NotYet):
    """The process has ended, keeps silent, or talks nonsense."""


class Worker:
    """A sandboxed process that holds the answers of one notebook."""

    def __init__(self, limits: Limits):
        self._stack = ExitStack()
        self._process = self._stack.enter_context(started(PROGRAM, limits, FOR_ANSWERS))
        os.set_blocking(self._process.stdin.fileno(), False)
        self.ask(("define", ""), STARTING)

    def ask(self, request: tuple, seconds: float):
        """The answer to a request of `worker.serve`.

        Raises:
            NotAttempted, NotYet: as the worker found.
            Gone: no sensible answer within `seconds`.
        """
        end = time.monotonic() + seconds
        try:
            send(_Pipe(self._process.stdin, end), request)
            reply = receive(lambda count: _read(self._process.stdout, count, end))
            outcome, content = reply
        except TimeoutError:
            raise Gone(f"it takes longer than {seconds:.0f} seconds") from None
        except (OSError, EOFError):
            raise Gone("it ends the whole process, or needs more memory than is allowed") from None
        except (ValueError, TypeError):
            raise Gone("its answer cannot be read") from None
        if outcome == "blank":
            raise NotAttempted
        if outcome != "ok":
            raise NotYet(" ".join(str(content).split())[:300])
        return content

    def close(self) -> None:
        self._stack.close()


class _Pipe:
    """The writing end, which gives up when the other end does not read."""

    def __init__(self, pipe, end):
        self._pipe, self._end = pipe, end

    def write(self, data):
        while data:
            if not select.select([], [self._pipe], [], max(0.0, self._end - time.monotonic()))[1]:
                raise TimeoutError
            data = data[os.write(self._pipe.fileno(), data) :]

    def flush(self):
        pass


def _read(pipe, count, end):
    data = bytearray()
    while len(data) < count:
        if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError
        piece = os.read(pipe.fileno(), min(count - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def judge(lesson: int, answers: dict[str, str], limits: Limits | None = None, seconds: float = 20.0) -> list[Verdict]:
    """The verdict on every exercise of a lesson, in order.

    Args:
        answers: sources of exercise cells by number; a missing one was not attempted.
        seconds: that one exercise may take; limits of memory, files and processes are those of `limits`.
    """
    known, limits = exercises(lesson), replace(limits or Limits(), seconds=int(10 * seconds))
    verdicts, worker, broken = {}, None, {}
    try:
        for number, exercise in known.items():
            if number not in answers:
                verdicts[number] = Verdict(number, BLANK)
                continue
            if worker is None and number not in broken:
                worker, ended = _defined(answers, broken, limits, seconds)
                broken |= ended
            if number in broken:
                verdicts[number] = Verdict(number, WRONG, broken[number])
                continue
            student = _Student(worker, exercise.name, seconds)
            verdicts[number] = exercise.verdict(student, devices=["cpu"])
            if student.gone:  # the others get a new process, without the one that ended this
                verdicts[number] = Verdict(number, WRONG, student.gone)
                broken[number] = student.gone
                worker.close()
                worker = None
    finally:
        if worker is not None:
            worker.close()
    return list(verdicts.values())


def _defined(answers, broken, limits, seconds):
    """A worker in which all answers are defined but the broken ones, and those that broke while being defined."""
    broken = dict(broken)
    while True:
        worker = Worker(limits)
        for number, source in answers.items():
            if number in broken:
                continue
            try:
                worker.ask(("define", source), seconds)
            except Gone as problem:
                broken[number] = str(problem)
                worker.close()
                break
            except NotYet as problem:
                broken[number] = str(problem)
        else:
            return worker, broken


class _Student:
    """Calls the function `name` in a worker as if it were here."""

    def __init__(self, worker, name, seconds):
        self._worker, self._name, self._end = worker, name, time.monotonic() + seconds
        self._seconds, self.gone = seconds, ""

    def __call__(self, *arguments):
        left = self._end - time.monotonic()
        try:
            if self.gone or left <= 0:
                raise Gone(self.gone or f"it takes longer than {self._seconds:.0f} seconds")
            return self._worker.ask(("call", self._name, arguments), left)
        except Gone as problem:
            if "longer than" in str(problem):
                problem = Gone(f"it takes longer than {self._seconds:.0f} seconds")
            self.gone = str(problem)
            raise problem from None
