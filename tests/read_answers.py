"""The answers that stand in for readers: solutions, second solutions, and plausible mistakes with what they earn.

A mistake's cell is headed by what its check says: `# %% 3.1 — not yet: …`; one of `more.py` by nothing where it is
right, and by `not yet` where it must not pass, whatever is said.
"""

from dataclasses import dataclass

from helpers.core.lessons import LESSONS
from helpers.exercises.solutions import from_script


@dataclass(frozen=True)
class Answer:
    """One answer to one exercise; `verdict` is what follows the dash of the check's line."""

    number: str
    source: str
    imports: str
    verdict: str

    def namespace(self) -> dict:
        """What running it defines."""
        space = {"__name__": "answer"}
        exec(compile(f"{self.imports}\n{self.source}", f"<answer {self.number}>", "exec"), space)
        return space


def read_all(kind: str) -> list[Answer]:
    """Every answer of one kind: "solution", "second", "mistakes" or, where there are any, "more"."""
    found = []
    for lesson in LESSONS:
        if kind == "more" and not (lesson.answers / "more.py").exists():
            continue
        imports, cells = from_script(lesson.answers / f"{kind}.py")
        found += [Answer(number, source, imports, note or "passed") for number, note, source in cells]
    return found
