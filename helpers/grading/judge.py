"""Verdicts made outside the process that runs the answers: inputs are drawn and compared here, where no line of a
submission ever runs.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace

from helpers.exercises.calls import NotAttempted, NotYet
from helpers.exercises.exercise import Exercise, exercises
from helpers.exercises.verdict import BLANK, PASSED, UNJUDGED, WRONG, Verdict
from helpers.grading.answers import Answer
from helpers.grading.inside.wire import receive, send
from helpers.grading.sandbox import FOR_ANSWERS, PATIENCE, Excess, Limits, Until
from helpers.grading.warm import STARTING, Ready

ANSWERS = Ready("helpers.grading.inside.worker", FOR_ANSWERS)


class Gone(NotYet):
    """The process has ended, keeps silent, uses too much, or talks nonsense."""


class Worker:
    """A sandboxed process that holds answers.

    Attributes:
        forked: whether another is there at once.
    """

    def __init__(self, limits: Limits):
        self._stack = ExitStack()
        self._program = self._stack.enter_context(ANSWERS.running(limits))
        self.forked = self._program.forked is not None
        try:
            self.ask(("define", "0", ""), self.within(STARTING))
        except BaseException:
            self.close()
            raise

    def within(self, seconds: float) -> Until:
        """From now on so many seconds of processor time."""
        return self._program.within(seconds)

    def ask(self, request: tuple, until: Until):
        """The answer to a request of `worker.serve`.

        Raises:
            NotAttempted, NotYet: as the worker found.
            Gone: no sensible answer in time; the message does not say how long that is.
        """
        try:
            send(_Pipe(self._program, until), request)
            reply = receive(lambda count: self._program.read(count, until))
            outcome, content = reply
        except TimeoutError:
            raise Gone("it takes too long") from None
        except Excess as problem:
            raise Gone(str(problem)) from None
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


@dataclass
class _Pipe:
    """What `send` writes to."""

    program: object
    until: Until

    def write(self, data):
        self.program.write(data, self.until)

    def flush(self):
        pass


@dataclass(frozen=True)
class Judgement:
    """The verdict on an exercise, the source of the answer that it is about, and whether this was `Gone`."""

    verdict: Verdict
    source: str = ""
    gone: bool = False


def judge(
    lesson: int, answers: dict[str, list[Answer]], limits: Limits | None = None, seconds: float = 20.0
) -> list[Judgement]:
    """The judgements on every exercise of a lesson, in order.

    Args:
        answers: by number, the definitions to try, best first: one that passes is enough.
        seconds: of processor time that one of them may take; limits of memory, files and processes are in `limits`.
    """
    court = _Court(replace(limits or Limits(), seconds=int(30 * seconds)), seconds)
    try:
        return [court.judge(exercise, answers.get(number, [])) for number, exercise in exercises(lesson).items()]
    finally:
        court.close()


class _Court:
    """Judges one answer after the other, each in a process of its own where that is there at once. Where it has to
    start, the answers of a notebook share one; whoever ends it leaves the next a new one.
    """

    def __init__(self, limits, seconds):
        self.limits, self.seconds, self.worker = limits, seconds, None

    def judge(self, exercise: Exercise, candidates: list[Answer]) -> Judgement:
        judgements = []
        for answer in candidates:
            judgements.append(self.judgement(exercise, answer))
            if judgements[-1].verdict.outcome == PASSED:
                return judgements[-1]
        return next((j for j in judgements if j.verdict.outcome != BLANK), Judgement(Verdict(exercise.number, BLANK)))

    def judgement(self, exercise, answer):
        if answer.problem:
            return Judgement(Verdict(exercise.number, WRONG, answer.problem), answer.source)
        student = None
        try:
            self.worker = self.worker or Worker(self.limits)
            student = _Student(self.worker, exercise, answer, self.seconds)
            verdict = exercise.verdict(student, devices=["cpu"], trusted=True)
            return Judgement(verdict, answer.source, bool(student.gone))
        except Exception as error:  # ours, since an answer is plain numbers and words here
            where = f"{type(error).__name__}: {str(error)[:200]}"
            verdict = Verdict(exercise.number, UNJUDGED, f"the grader itself failed on this answer ({where})")
            return Judgement(verdict, answer.source)
        finally:
            if student is None or student.gone or self.worker.forked:
                self.close()

    def close(self):
        if self.worker is not None:
            self.worker.close()
        self.worker = None


class _Student:
    """Calls the function of an exercise in a worker as if it were here."""

    def __init__(self, worker, exercise, answer, seconds):
        self._worker, self._number, self._name, self._source = worker, exercise.number, exercise.name, answer.source
        self._until, self._seconds = worker.within(seconds), seconds
        self.gone, self._defined = "", False

    def __call__(self, *arguments):
        if not self._defined:
            self._ask(("define", self._number, self._source))
            self._defined = True
        return self._ask(("call", self._number, self._name, arguments))

    def _ask(self, request):
        try:
            if self.gone:
                raise Gone(self.gone)
            return self._worker.ask(request, self._until)
        except Gone as problem:
            self.gone = str(problem).replace("it takes too long", self._too_long())
            raise Gone(self.gone) from None

    def _too_long(self):
        return f"it takes longer than {self._seconds:.0f} seconds, or {PATIENCE * self._seconds:.0f} by the clock"
