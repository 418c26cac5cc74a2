"""The lesson that is graded in the tests, and the command that grades."""

import sys

LESSON = 3


def command(*arguments):
    """The teacher's command, as typed."""
    return [sys.executable, "-m", "helpers.grading", *map(str, arguments)]
