"""The nine lessons: number, name, title, and where their notebooks, checks and answers lie."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
ANSWERS = ROOT / "tests" / "answers"
NAMES = ("filters", "tsne", "occlusion", "saliency", "ascent", "deepdream", "inversion", "texture", "style")


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Attributes:
        number: from 1.
        name: one word, the same for its notebook, its checks and its answers.
    """

    number: int
    name: str

    @property
    def stem(self) -> str:
        """Such as "03_occlusion"."""
        return f"{self.number:02}_{self.name}"

    @property
    def notebook(self) -> Path:
        """The lesson as it is given out."""
        return NOTEBOOKS / f"{self.stem}.ipynb"

    @property
    def title(self) -> str:
        """The heading of its notebook, without the number; the name where there is no such notebook."""
        try:
            first = json.loads(self.notebook.read_text("utf-8"))["cells"][0]["source"]
        except (OSError, ValueError, LookupError):
            return self.name
        return re.sub(r"^# (Lesson )?\d+ · ", "", "".join(first).partition("\n")[0])

    @property
    def first_cell(self) -> str:
        """The id of the cell that imports what the lesson uses."""
        return f"{self.name}-imports"

    @property
    def checks(self) -> str:
        """The module that holds the checks of its exercises."""
        return f"helpers.exercises.{self.name}"

    @property
    def answers(self) -> Path:
        """The folder of its solution.py, second.py and mistakes.py."""
        return ANSWERS / self.stem


LESSONS = tuple(Lesson(number, name) for number, name in enumerate(NAMES, start=1))


def lesson(number: int) -> Lesson:
    """The lesson of that number.

    Raises:
        ValueError: there is none.
    """
    if number not in range(1, len(LESSONS) + 1):
        raise ValueError(f"lesson must be from 1 to {len(LESSONS)}, not {number}")
    return LESSONS[number - 1]


def lesson_of(notebook: Path) -> Lesson:
    """The lesson whose notebook has that name, wherever the file lies.

    Raises:
        ValueError: it is none of the lessons.
    """
    for each in LESSONS:
        if each.stem == Path(notebook).stem:
            return each
    raise ValueError(f"notebook must be one of {', '.join(each.stem for each in LESSONS)}, not {Path(notebook).stem}")
