"""What an exercise is: a number, the name of the function to write, and a check that calls it on fresh inputs."""

import importlib
import importlib.util
import math
import numbers
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

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

    def verdict(
        self,
        student: Callable,
        seed: int | None = None,
        devices: Sequence[str] | None = None,
        trusted: bool = False,
    ) -> Verdict:
        """Judge `student`, a function that takes and returns tensors and numbers, on every device that is here.

        Args:
            seed: of the inputs; fresh ones by default.
            trusted: what it returns is plain, so that whatever else the check raises is the check's own fault; and all
                cases are tried, so that the verdict on a wrong answer knows its share of right ones.

        Raises:
            Exception: whatever the check raises, if `trusted`.
        """
        devices = devices or ["cpu"] + ["cuda"] * torch.cuda.is_available()
        seed = secrets.randbits(32) if seed is None else seed
        first, right, cases = None, 0, len(devices) * sum(len(check.cases) for check in self.checks.values())
        try:
            with torch.random.fork_rng(devices=[]):  # the reader's own random numbers go on as they would
                for judge, case, draw in self._cases(seed, devices):
                    try:
                        judge(student, draw, *case)
                        right += 1
                    except Exception as problem:
                        # what a check stumbles over behind a wrong answer is that answer's fault
                        if first is None and not isinstance(problem, NotYet):
                            raise
                        first = first or NotYet(str(problem), problem.difference)  # without the frames it came from
                        if not trusted:
                            break
        except NotAttempted:
            return Verdict(self.number, BLANK)
        except Exception as error:  # an answer so odd that comparing it fails
            if trusted:
                raise
            return Verdict(self.number, WRONG, f"the answer cannot be compared ({type(error).__name__})")
        if first is None:
            return Verdict(self.number, PASSED, share=1.0)
        return Verdict(self.number, WRONG, str(first), first.difference, right / cases if trusted else 0.0)

    def _cases(self, seed, devices):
        for device in devices:
            draw = Draw(seed, device)
            for check in self.checks.values():
                for case in check.cases:
                    yield check.judge, case, draw


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
        if importlib.util.find_spec(each.checks):  # a release holds only those of its own lessons
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


class Near(NamedTuple):
    """How far a number may be from the true one: by a part of itself, and a part of the largest of the answer's."""

    itself: float
    largest: float


# What is right in the eyes of a good engineer: float32, whose seven digits lose two in sums over a picture and on the
# way through a network, and a guard of up to 1e-5 below a fraction line. The nearest mistake is ten times as far.
USUAL = Near(1e-4, 5e-5)
EXACTLY = Near(1e-9, 1e-9)
# 2.4 asks for a perplexity right to four digits; the authors' own search ends at 1e-5 in the entropy
SEARCHED = Near(1e-3, 1e-5)
# 7.3, 7.4: a tiny number under the root, a usual way round NaN, lifts what is flat and bends what is nearly so
ROUNDED = Near(2e-3, 2e-4)

Mistakes = Mapping[str, object] | Callable[[], Mapping[str, object]]


def compare(answer, truth, mistakes: Mistakes | None = None, near: Near = USUAL):
    """Accept `answer` if it equals `truth`; otherwise say what is wrong, without saying what is right.

    Numbers may be of any floating type from float32 up, whole numbers of any integer type, and True and False may be 1
    and 0.

    Args:
        answer: what the reader's function returned.
        truth: a tensor, a number, a bool, a string, or a list or tuple of such.
        mistakes: by message, the answer that a likely mistake gives; the first that `answer` hits is told. Or a
            function that returns these, which is called only if the answer is wrong.

    Raises:
        NotYet: with a message of one line.
    """
    problem = _problem(answer, truth, near)
    if problem is None:
        return
    known = mistakes() if callable(mistakes) else mistakes or {}
    # two mistakes may come near each other by chance: what one hits exactly goes before what is only near
    told = (message for how in (EXACTLY, near) for message, wrong in known.items() if agrees(answer, wrong, how))
    raise NotYet(next(told, problem), _difference(answer, truth, near)[:500])


def agrees(answer, truth, near: Near = USUAL) -> bool:
    """Whether `compare` would accept `answer`, for a mistake that comes in many sizes."""
    return _problem(answer, truth, near) is None


def _problem(answer, truth, near):
    """What keeps `answer` from being `truth`, or None."""
    if answer is None:
        return "it returns None; is a return missing?"
    if isinstance(truth, Tensor):
        return _tensor_problem(answer, truth, near)
    if isinstance(truth, (list, tuple)):
        if not isinstance(answer, (list, tuple)) or len(answer) != len(truth):
            return f"it should return {len(truth)} things, not {_what(answer)}"
        problems = [_problem(a, t, near) for a, t in zip(answer, truth, strict=True)]
        found = next((i for i, problem in enumerate(problems) if problem), None)
        return None if found is None else f"of the {len(truth)} things returned, number {found + 1}: {problems[found]}"
    if is_ordinary(answer) and answer.numel() == 1 and not answer.is_meta:
        answer = answer.item()
    if isinstance(truth, (bool, str)):
        return None if type(answer) is type(truth) and answer == truth else "the answer is not right yet"
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        return f"it should return a number, not {_what(answer)}"
    answer = _as_float(answer)
    if math.isnan(answer):
        return "it returns NaN"
    return None if math.isclose(answer, truth, rel_tol=near.itself, abs_tol=1e-9) else "the number is not right yet"


def _as_float(number):
    try:
        return float(number)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def is_ordinary(answer) -> bool:
    """Whether an answer is a tensor that holds its numbers one by one: not sparse, nested or quantised."""
    odd = isinstance(answer, Tensor) and (answer.layout != torch.strided or answer.is_nested or answer.is_quantized)
    return isinstance(answer, Tensor) and not odd


def fits(answer, truth: Tensor) -> bool:
    """Whether an answer is a tensor of the shape, a type and the device that `truth` asks for, whatever its values."""
    return _misfit(answer, truth) is None


def _tensor_problem(answer, truth, near):
    if problem := _misfit(answer, truth):
        return problem
    if answer.is_floating_point() and answer.isnan().any() and not truth.isnan().any():
        return "the answer holds NaN"
    wrong = _wrong(answer, truth, near)
    return f"shape and type are right, but {int(wrong.sum())} of {wrong.numel()} values not" if wrong.any() else None


def _misfit(answer, truth):
    if not isinstance(answer, Tensor):
        return f"it should return a tensor, not {_what(answer)}"
    if not is_ordinary(answer):
        return "it should return an ordinary tensor, not one that is sparse, nested or quantised"
    if answer.shape != truth.shape:
        return f"the shape is {tuple(answer.shape)}, but should be {tuple(truth.shape)} here"
    if wanted := _wanted_instead(answer.dtype, truth.dtype):
        return f"the numbers are {_name(answer.dtype)}, but should be {wanted}"
    if answer.device != truth.device:
        return f"the answer is on {answer.device.type}, but the input is on {truth.device.type}"
    return None


def _wanted_instead(number, truth):
    """Which type of numbers should stand in place of `number`; empty where it will do."""
    if number.is_complex:
        return "real"
    if truth.is_floating_point:
        return "float32 or float64" if number.is_floating_point and number.itemsize < 4 else ""
    if truth == torch.bool:
        return "True and False" if number.is_floating_point else ""
    return "whole numbers" if number.is_floating_point or number == torch.bool else ""


def _name(number):
    return str(number).removeprefix("torch.")


def _wrong(answer, truth, near):
    """Where `answer`, of the shape of `truth` and of a type that will do, is not near enough."""
    if not truth.is_floating_point():
        return answer.to(torch.int64) != truth.to(torch.int64)
    largest = truth.where(truth.isfinite(), 0).abs().max().item() if truth.numel() else 0.0
    return ~torch.isclose(answer.detach().to(truth), truth, near.itself, near.largest * largest, equal_nan=True)


def _difference(answer, truth, near):
    """Where and by how much an answer differs, for a teacher."""
    if isinstance(truth, (list, tuple)) and isinstance(answer, (list, tuple)) and len(answer) == len(truth):
        pairs = enumerate(zip(answer, truth, strict=True), 1)
        number, pair = next((number, pair) for number, pair in pairs if _problem(*pair, near))
        return f"number {number} of {len(truth)}: {_difference(*pair, near)}"
    problem = f"{_described(answer)} where {_described(truth)} is right"
    if not isinstance(truth, Tensor) or not fits(answer, truth):
        return problem
    wrong, apart = _wrong(answer, truth, near), (answer.detach().double() - truth.double()).abs().nan_to_num(math.inf)
    worst = torch.where(wrong, apart, -1.0).argmax()
    at = [int(i) for i in torch.unravel_index(worst, truth.shape)]
    return f"{problem}; worst at {at}: {answer[tuple(at)].item():.9g}, right is {truth[tuple(at)].item():.9g}"


def _described(value):
    if is_ordinary(value):
        return f"tensor {_name(value.dtype)} {list(value.shape)}"
    if isinstance(value, (bool, str)):
        return f"{value!r:.80}"
    return f"{_as_float(value):.9g}" if isinstance(value, numbers.Real) else _what(value)


def _what(answer):
    kind = type(answer).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return f"{article} {kind} of {len(answer)}" if isinstance(answer, (list, tuple)) else f"{article} {kind}"
