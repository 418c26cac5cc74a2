"""The answers that stand in for readers: solutions, second solutions, and plausible mistakes with what they earn.

A mistake's cell is headed by what its check says: `# %% 3.1 — not yet: …`.
"""

from dataclasses import dataclass
from pathlib import Path

from helpers.grading.assemble import from_script

HERE = Path(__file__).parent


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


def read_all(folder: str) -> list[Answer]:
    """Every answer of `solutions`, `solutions/second` or `mutants`."""
    found = []
    for path in sorted((HERE / folder).glob("[0-9]*.py")):
        imports, cells = from_script(path)
        found += [Answer(number, source, imports, note or "passed") for number, note, source in cells]
    return found
