"""What of a submitted notebook is an answer: the function that an exercise asks for, with all that it needs.

The function is sought by its name among all that the notebook defines, and what it needs likewise: helpers above and
below, constants, imports, in the order of the notebook. Nothing else of a submission is ever used: edited checks,
outputs, tags, plots, shell commands and what a reader tried beside the answer have no effect and can do no harm.
"""

import builtins
import json
import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

import nbformat

from helpers.core import lessons
from helpers.exercises.exercise import exercises
from helpers.grading.assemble import exercise_cells
from helpers.grading.statements import Statement, statements, without_comments

LARGEST = 50_000_000  # bytes of a submission
LONGEST = 200_000  # characters of an answer
LONGEST_CELL, LONGEST_CODE = 400_000, 3_000_000  # characters that are read for answers, of a cell and in all
CANDIDATES = 4  # definitions of one function that are tried
# what an answer may use without importing it
USUAL = """\
import math
import numpy
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import display
from torch import Tensor, nn
"""
AGAIN = "open it in JupyterLab, save it and hand it in again"


class Unreadable(ValueError):
    """A submission that is no notebook; the message says in one line why, and how to mend it."""


@dataclass(frozen=True)
class Answer:
    """A module that defines the function of an exercise; or the problem that keeps it from being one, in one line."""

    source: str
    problem: str = ""


def answers_of(submission: bytes, lesson: int) -> dict[str, list[Answer]]:
    """The answers of a submitted notebook: for each exercise that was tried one or more, the likeliest first.

    Raises:
        Unreadable: the file is too large, no JSON, or no notebook.
    """
    names = {number: exercise.name for number, exercise in exercises(lesson).items()}
    return _Notebook(cells_of(submission), _released(lesson), lessons.lesson(lesson).first_cell, names).answers()


@cache
def _released(lesson):
    return nbformat.read(lessons.lesson(lesson).notebook, as_version=4)


# ── The file ──


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook file, whatever else is wrong with it."""

    kind: str
    id: str
    exercise: str
    tags: tuple[str, ...]
    source: str


def cells_of(submission: bytes) -> list[Cell]:
    """The cells of a notebook file of version 3 or 4.

    Raises:
        Unreadable: as `answers_of`.
    """
    if len(submission) > LARGEST:
        raise Unreadable(
            f"the file is larger than the {LARGEST / 1e6:.0f} MB that are allowed: clear its outputs and save it"
        )
    if not submission.strip(b"\0 \r\n\t"):
        raise Unreadable("the file is empty: hand it in again")
    try:
        notebook = json.loads(submission.decode(json.detect_encoding(submission), "replace").lstrip("\ufeff"))
    except (ValueError, RecursionError):
        conflict = b"\n<<<<<<< " in submission and b"\n>>>>>>> " in submission
        why = "it holds the marks of a merge that was not finished" if conflict else AGAIN
        raise Unreadable(f"the file is not JSON: {why}") from None
    version = notebook.get("nbformat") if isinstance(notebook, dict) else None
    if version == 4:
        cells = notebook.get("cells")
    elif version == 3:
        sheets = notebook.get("worksheets")
        sheets = [sheet for sheet in sheets if isinstance(sheet, dict)] if isinstance(sheets, list) else []
        cells = [cell for sheet in sheets for cell in _list(sheet.get("cells"))] if sheets else None
    else:
        raise Unreadable(f"the file is no notebook of version 3 or 4 (nbformat: {str(version)[:20]}): {AGAIN}")
    if not isinstance(cells, list):
        raise Unreadable(f"the notebook has no cells: {AGAIN}")
    return [_cell(cell) for cell in cells if isinstance(cell, dict)]


def _cell(cell):
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    source = cell.get("source", cell.get("input", ""))
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return Cell(
        str(cell.get("cell_type")),
        str(cell.get("id")),
        str(metadata.get("exercise", "")),
        tuple(map(str, _list(metadata.get("tags")))),
        source.encode("utf-8", "replace").decode(),  # half a surrogate pair cannot be written
    )


def _list(value):
    return value if isinstance(value, list) else []


# ── The answers ──


class _Notebook:
    """The statements of a submitted notebook, behind those of the released lesson's first cell."""

    def __init__(self, cells, released, first_cell, names):
        self.names = names
        ids = {cell.id for cell in released.cells}
        sources = {cell.source.strip() for cell in released.cells}
        homes = {cell.id: number for number, cell in exercise_cells(released).items()}
        imports = next(cell.source for cell in released.cells if cell.id == first_cell)
        self.statements: list[Statement] = []
        self.read(USUAL + imports, -1)
        self.given = len(self.statements)
        self.home: dict[int, str] = {}  # the exercise that a cell belongs to
        self.released: set[int] = set()  # cells that are as they were given out, or stand where such a cell stood
        self.broken: dict[str, str] = {}  # by exercise, what keeps a cell from being read
        self.ends = [0]  # of each cell, the number of statements up to there
        number, left = None, LONGEST_CODE
        for i, cell in enumerate(cells):
            own = homes.get(cell.id) or (cell.exercise if cell.id not in ids and "check" not in cell.tags else "")
            if own in names:
                number = own
            elif cell.id in ids or cell.source.strip() in sources or "check" in cell.tags:
                number = None
                self.released.add(i)
            defined = self.defined_in(cell.source)
            if number or (defined and i not in self.released):
                self.home[i] = number or defined[-1]
            code = cell.kind == "code" or own in names or defined
            if code and len(cell.source) <= min(LONGEST_CELL, left):
                left -= len(cell.source)
                self.read(cell.source, i)
            elif code:
                self.break_down(cell.source, i, f"its cell has {len(cell.source)} characters; that is too long")
            self.ends.append(len(self.statements))
        self.binders, self.changers = defaultdict(list), defaultdict(list)
        for statement in self.statements:
            for word in statement.binds:
                if not (statement.blank and word in names.values()):
                    self.binders[word].append(statement)
            for word in statement.changes:
                self.changers[statement.cell, word].append(statement)

    def read(self, source, cell):
        try:
            self.statements += statements(source, cell, len(self.statements))
        except SyntaxError as error:
            self.break_down(source, cell, f"its cell raises {type(error).__name__}: {error.msg} (line {error.lineno})")

    def break_down(self, source, cell, problem):
        """A cell that cannot be read costs the exercise that it belongs to, and no other."""
        for number in {*self.defined_in(source), self.home.get(cell)} & {*self.names}:
            self.broken[number] = problem

    def defined_in(self, source):
        """The exercises whose functions a text defines, as it seems."""
        words = set(re.findall(r"^[ \t>.]*(?:async[ \t]+)?def[ \t]+(\w+)", source, re.MULTILINE))
        return [number for number, name in self.names.items() if name in words]

    def answers(self) -> dict[str, list[Answer]]:
        found = {}
        for number, name in self.names.items():
            tried = [statement for statement in self.binders[name] if statement.at >= self.given]
            # the last in the exercise's own cells, then the last anywhere
            tried.sort(key=lambda s: (self.home.get(s.cell) == number, s.at), reverse=True)
            answers = list(dict.fromkeys(self.answer(name, statement) for statement in tried[:CANDIDATES]))
            if not answers and number in self.broken:
                answers = [Answer("", self.broken[number])]
            if answers:
                found[number] = answers
        return found

    def answer(self, name, root) -> Answer:
        needed = sorted(self.needed(name, root), key=lambda statement: statement.at)
        future = [s.source for s in self.statements[: root.at] if s.source.startswith("from __future__ import ")]
        pieces = [*dict.fromkeys(future), *(s.source for s in needed if s.source not in future)]
        source = "\n\n".join(pieces) + "\n"
        if len(source) > LONGEST:
            source = without_comments(source)
        if len(source) > LONGEST:
            return Answer("", f"the answer has {len(source)} characters; {LONGEST} are allowed")
        return Answer(source)

    def needed(self, name, root) -> set[Statement]:
        """`root`, and all that it needs to do what it did in the notebook when its check was run."""
        end, found, waiting = self.end_of(root), set(), [root]
        while waiting:
            statement = waiting.pop()
            if statement in found:
                continue
            found.add(statement)
            for word in statement.loads:
                waiting += [root] if word == name else self.binding(word, statement.at, end)
            for word in statement.later:
                waiting += [root] if word == name else self.binding(word, end, end)
            if not statement.defines:
                for word in statement.binds:
                    waiting += [s for s in self.changers[statement.cell, word] if statement.at < s.at < end]
        return found

    def binding(self, word, before, end) -> list[Statement]:
        """What gave a name its value: the last before a statement, or else the first after it."""
        known = self.binders[word]
        own = bisect_left(known, self.given, key=_place)  # what the reader's notebook has goes before what we lend
        if own < len(known):
            return [known[max(own, bisect_left(known, before, key=_place) - 1)]]
        if known or hasattr(builtins, word):
            return known[-1:]
        return [statement for statement in self.binders["*"] if statement.at < end]

    def end_of(self, root) -> int:
        """Where the exercise of a statement ends: at the next cell that was given out or belongs to another."""
        mine = self.home.get(root.cell)
        for i in range(root.cell + 1, len(self.ends) - 1):
            if i in self.released or self.home.get(i, mine) != mine:
                return self.ends[i]
        return len(self.statements)


def _place(statement):
    return statement.at
