"""The files that were handed in: one folder a student, any number of the lessons' notebooks in it."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from helpers.core.lessons import LESSONS
from helpers.grading.assemble import LARGEST, Unreadable


@dataclass(frozen=True)
class Submission:
    """One student's notebook of one lesson (1 to 9)."""

    student: str
    lesson: int
    path: Path

    def read(self) -> bytes:
        """The file, as far as LARGEST + 1 bytes.

        Raises:
            Unreadable: it is no plain file; a link might lead to another's work.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            raise Unreadable(f"the file cannot be opened, or is a link ({type(error).__name__})") from None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unreadable("this is no plain file")
            return file.read(LARGEST + 1)


def students(folder: Path) -> list[str]:
    """Every student, those who handed in nothing too.

    Raises:
        ValueError: there is no such folder, or no student's folder in it.
    """
    if not folder.is_dir():
        raise ValueError(f"SUBMISSIONS must be a folder that holds a folder for each student, not {folder}")
    own = [p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith(".")]
    if not own:
        raise ValueError(f"SUBMISSIONS must hold a folder for each student; {folder} holds none")
    return sorted(p.name for p in own)


def find(folder: Path) -> list[Submission]:
    """What was handed in, by student and lesson: `03_occlusion.ipynb`, or else the last by name that holds this name.

    Raises:
        ValueError: as `students`.
    """
    found = []
    for student in students(folder):
        notebooks = sorted(p for p in (folder / student).rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
        for lesson in LESSONS:
            own = [p for p in notebooks if lesson.stem in p.name]
            if own:
                path = next((p for p in own if p.name == lesson.notebook.name), own[-1])
                found.append(Submission(student, lesson.number, path))
    return found
