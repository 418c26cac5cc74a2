"""What tests of grading share: the lesson, the command, and names and verdicts of students."""

import os
import sys

from helpers.core.lessons import lesson

LESSON = lesson(3)


def command(*arguments):
    """The teacher's command, as typed."""
    return [sys.executable, "-m", "helpers.grading", *map(str, arguments)]


def verdict(outcome, message="", nbval="", answer="", difference=""):
    """As `grade` returns it for an exercise."""
    return {"outcome": outcome, "message": message, "nbval": nbval, "answer": answer, "difference": difference}


# what folders of students may be called
STRANGE = {
    "bytes": os.fsdecode(b"\xff\xfe"),
    "other bytes": os.fsdecode(b"\xff\xff"),
    "controls": "a\r\n,b\x1b[31m\t",
    "right to left": "\u202eann",
    "formula": "=1+1\n",
    "long": "x" * 255,
    "longer": "é" * 127,
    "emoji": "👩‍👩‍👧🎓" * 8,
    "wide": "学生" * 40,
    "case": "ann",
    "other case": "Ann",
}
