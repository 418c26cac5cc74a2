"""How an answer was found. Apart from the rest, since whoever only reads verdicts need not load torch."""

from dataclasses import dataclass

PASSED, BLANK, WRONG = "passed", "not attempted", "not yet"


@dataclass(frozen=True)
class Verdict:
    """How an answer was found: `outcome` is PASSED, BLANK or WRONG; `message` says what to look at."""

    number: str
    outcome: str
    message: str = ""

    def __str__(self):
        return f"Exercise {self.number} — {self.outcome}{f': {self.message}' if self.message else ''}"
