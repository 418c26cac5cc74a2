"""How an answer was found. Apart from the rest, since whoever only reads verdicts need not load torch."""

from dataclasses import dataclass

PASSED, BLANK, WRONG = "passed", "not attempted", "not yet"
UNJUDGED = "not judged"  # the judge itself has failed


@dataclass(frozen=True)
class Verdict:
    """How an answer was found.

    Attributes:
        number: of the exercise.
        outcome: PASSED, BLANK, WRONG or UNJUDGED.
        message: what to look at.
        difference: for a teacher: where the answer differs, with what should stand there; at most 500 characters.
        share: of the judge's cases that are right, from 0 to 1, where all of them were tried.
    """

    number: str
    outcome: str
    message: str = ""
    difference: str = ""
    share: float = 0.0

    def __str__(self):
        return f"Exercise {self.number} — {self.outcome}{f': {self.message}' if self.message else ''}"
