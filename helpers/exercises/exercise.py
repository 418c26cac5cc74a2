"""What an exercise is: a number, the name of the function to write, and a check that calls it on fresh inputs."""

import importlib
import math
import numbers
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from helpers.core import lessons
from helpers.core.lessons import LESSONS
from helpers.exercises.calls import NotAttempted, NotYet
from helpers.exercises.verdict import BLANK, PASSED, WRONG, Verdict

_known: dict[str, "Exercise"] = {}


class Draw:
    """Random inputs of a check: float64, so that rounding never decides, on one device."""

    def __init__(self, seed: int, device: str = "cpu"):
        self.device, self._random = device, torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self._random, dtype=torch.float64).to(self.device)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers between `low` and `high`."""
        values = torch.rand(shape, generator=self._random, dtype=torch.float64)
        return (low + (high - low) * values).to(self.device)

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(torch.randint(low, high + 1, (), generator=self._random))

    def order(self, count: int) -> Tensor:
        """The numbers 0 … count − 1 in random order."""
        return torch.randperm(count, generator=self._random).to(self.device)

    def tensor(self, values) -> Tensor:
        """Numbers written out in a check, as a float64 tensor."""
        return torch.tensor(values, dtype=torch.float64, device=self.device)


@dataclass(frozen=True)
class Check:
    """One check of an exercise.

    Attributes:
        judge: calls its first argument, the reader's function, with inputs made by its second, a Draw; returns if all
            answers are right, and raises NotYet otherwise. What follows are the numbers of one case.
        cases: it is called once with each.
    """

    judge: Callable[..., None]
    cases: Sequence[tuple] = ((),)

    def __call__(self, student: Callable, draw: Draw) -> None:
        for case in self.cases:
            self.judge(student, draw, *case)


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        number: such as "4.1".
        name: of the function that the reader writes.
        checks: by the name of the function that judges, in the order in which they are made.
    """

    number: str
    name: str
    checks: dict[str, Check] = field(default_factory=dict)

    def verdict(self, student: Callable, seed: int | None = None, devices: Sequence[str] | None = None) -> Verdict:
        """Judge `student`, a function that takes and returns tensors and numbers, on every device that is here.

        Args:
            seed: of the inputs; fresh ones by default.
        """
        devices = devices or ["cpu"] + ["cuda"] * torch.cuda.is_available()
        seed = secrets.randbits(32) if seed is None else seed
        try:
            for device in devices:
                with torch.random.fork_rng(devices=[]):  # the reader's own random numbers go on as they would
                    draw = Draw(seed, device)
                    for check in self.checks.values():
                        check(student, draw)
        except NotAttempted:
            return Verdict(self.number, BLANK)
        except NotYet as problem:
            return Verdict(self.number, WRONG, str(problem))
        except Exception as error:  # an answer so odd that comparing it fails
            return Verdict(self.number, WRONG, f"the answer cannot be compared ({type(error).__name__})")
        return Verdict(self.number, PASSED)


def exercise(number: str, name: str, cases: Sequence[tuple] = ((),)):
    """Register the decorated function as a check of exercise `number`, in which the reader writes the function `name`.

    Args:
        cases: the check is made once for each, with these numbers behind its first two arguments.
    """

    def register(judge):
        known = _known.setdefault(number, Exercise(number, name))
        if known.name != name:
            raise ValueError(f"exercise {number} asks for {known.name} already, not for {name}")
        known.checks[judge.__name__] = Check(judge, cases)
        return judge

    return register


@dataclass(frozen=True)
class StandIn:
    """What a lesson uses while an exercise is unsolved.

    Attributes:
        function: with the parameters of the reader's.
        weaker: what it does less well than what is asked; empty where it is the course's own function.
    """

    function: Callable
    weaker: str = ""

    def __str__(self):
        return (
            f"something simpler is used here: {self.weaker}"
            if self.weaker
            else "the course's own function is used here"
        )


_stand_ins: dict[str, StandIn] = {}


def stand_in(number: str, weaker: str = ""):
    """Register the decorated function as what a lesson uses until exercise `number` is solved.

    It calls the course's technique, or does less than is asked: pasted as an answer it must not pass.

    Args:
        weaker: in a few words, what it does instead of all that is asked.
    """

    def register(function):
        _stand_ins[number] = StandIn(function, weaker)
        return function

    return register


def find_stand_in(number: str) -> StandIn:
    """What stands in for exercise `number`.

    Raises:
        ValueError: there is no such exercise.
    """
    return _stand_ins[find_exercise(number).number]


def exercises(lesson: int | None = None) -> dict[str, Exercise]:
    """The exercises of a lesson (1 to 9), or of all, by number and in order."""
    for each in LESSONS if lesson is None else [lessons.lesson(lesson)]:
        importlib.import_module(each.checks)
    chosen = {n: e for n, e in _known.items() if lesson is None or n.startswith(f"{lesson}.")}
    return {number: chosen[number] for number in sorted(chosen, key=by_number)}


def by_number(number: str) -> tuple[int, ...]:
    """The key that sorts "3.10" behind "3.2"."""
    return tuple(map(int, number.split(".")))


def find_exercise(number: str) -> Exercise:
    """The exercise of that number.

    Raises:
        ValueError: there is none.
    """
    lesson = str(number).partition(".")[0]
    known = exercises(int(lesson)) if lesson.isdigit() and 1 <= int(lesson) <= len(LESSONS) else {}
    if number not in known:
        raise ValueError(f"there is no exercise {number!r}; exercises: {', '.join(exercises())}")
    return known[number]


# ── Comparing ──


Mistakes = Mapping[str, object] | Callable[[], Mapping[str, object]]


def compare(answer, truth, mistakes: Mistakes | None = None, rtol: float = 1e-6, atol: float = 1e-9):
    """Accept `answer` if it equals `truth`; otherwise say what is wrong, without saying what is right.

    Args:
        answer: what the reader's function returned.
        truth: a tensor, a number, a bool, a string, or a list or tuple of such.
        mistakes: by message, the answer that a likely mistake gives; the first that `answer` equals is told. Or a
            function that returns these, which is called only if the answer is wrong.

    Raises:
        NotYet: with a message of one line.
    """
    problem = _problem(answer, truth, rtol, atol)
    if problem is None:
        return
    known = mistakes() if callable(mistakes) else mistakes or {}
    for message, wrong in known.items():
        if _problem(answer, wrong, rtol, atol) is None:
            raise NotYet(message)
    raise NotYet(problem)


def _problem(answer, truth, rtol, atol):
    """What keeps `answer` from being `truth`, or None."""
    if answer is None:
        return "it returns None; is a return missing?"
    if isinstance(truth, Tensor):
        return _tensor_problem(answer, truth, rtol, atol)
    if isinstance(truth, (list, tuple)):
        if not isinstance(answer, (list, tuple)) or len(answer) != len(truth):
            return f"it should return {len(truth)} things, not {_what(answer)}"
        problems = [_problem(a, t, rtol, atol) for a, t in zip(answer, truth, strict=True)]
        found = next((i for i, problem in enumerate(problems) if problem), None)
        return None if found is None else f"of the {len(truth)} things returned, number {found + 1}: {problems[found]}"
    if isinstance(answer, Tensor) and answer.numel() == 1:
        answer = answer.item()
    if isinstance(truth, (bool, str)):
        return None if type(answer) is type(truth) and answer == truth else "the answer is not right yet"
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        return f"it should return a number, not {_what(answer)}"
    if math.isnan(answer):
        return "it returns NaN"
    return None if math.isclose(answer, truth, rel_tol=rtol, abs_tol=atol) else "the number is not right yet"


def _tensor_problem(answer, truth, rtol, atol):
    if not isinstance(answer, Tensor):
        return f"it should return a tensor, not {_what(answer)}"
    if answer.shape != truth.shape:
        return f"the shape is {tuple(answer.shape)}, but should be {tuple(truth.shape)} here"
    if answer.dtype != truth.dtype:
        why = " as the input is" if truth.is_floating_point() else ""
        return f"the numbers are {answer.dtype}, but should be {truth.dtype}{why}".replace("torch.", "")
    if answer.device != truth.device:
        return f"the answer is on {answer.device.type}, but the input is on {truth.device.type}"
    answer = answer.detach()
    if answer.isnan().any() and not truth.isnan().any():
        return "the answer holds NaN"
    right = torch.isclose(answer, truth, rtol=rtol, atol=atol, equal_nan=True)
    return None if right.all() else f"shape and type are right, but {int((~right).sum())} of {right.numel()} values not"


def _what(answer):
    kind = type(answer).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return f"{article} {kind} of {len(answer)}" if isinstance(answer, (list, tuple)) else f"{article} {kind}"
