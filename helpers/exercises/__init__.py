"""Exercises: `check("4.1")` says in one line how far the function of exercise 4.1 is.

A check works on tiny networks and fresh random numbers, so it needs no weights, takes milliseconds and says the same
on every machine.
"""

import sys
from collections.abc import Callable

__all__ = ["check", "yours"]


def check(number: str) -> None:
    """Print one line: `Exercise 4.1 — passed`, `— not attempted`, or `— not yet: ` and the likely mistake.

    Raises:
        ValueError: there is no such exercise.
    """
    print(_verdict(number, sys._getframe(1).f_globals)[0])


def yours(number: str) -> Callable:
    """The reader's function of an exercise if it passes; until then what stands in for it, with a line that says so."""
    verdict, function = _verdict(number, sys._getframe(1).f_globals)
    if verdict.outcome == "passed":
        return function
    from helpers.exercises.exercise import find_stand_in

    found = find_stand_in(number)
    print(f"Exercise {number} is not solved yet: {found}.")
    return found.function


def _verdict(number, namespace):
    # imported here: the process that runs a stranger's answers imports this package but must not hold the checks
    from helpers.exercises.calls import NotAttempted, NotYet, answer, find
    from helpers.exercises.exercise import find_exercise
    from helpers.exercises.verdict import BLANK, WRONG, Verdict

    exercise = find_exercise(number)
    try:
        function = find(exercise.name, namespace)
    except NotAttempted:
        return Verdict(number, BLANK), None
    except NotYet as problem:
        return Verdict(number, WRONG, str(problem)), None
    return exercise.verdict(lambda *arguments: answer(function, arguments)), function
