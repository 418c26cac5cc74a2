"""What was handed in: a folder for each student, with the lessons' notebooks anywhere in it, also in ZIP files."""

import os
import re
import stat
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from helpers.core.lessons import LESSONS
from helpers.grading.answers import LARGEST, Answer, Unreadable, answers_of

MOST_FILES, MOST_BYTES = 200, 10 * LARGEST  # that are read of one student
LARGEST_ZIP = 4 * LARGEST  # bytes; its table of contents alone takes memory and time
MOST_NAMED = 5  # files in one line of a report
SHORT = 80  # bytes of a student's name in the name of a file
NOTEBOOK = re.compile(r"\.ipynb", re.IGNORECASE)
DISGUISED = re.compile(r"\.(json|txt)$", re.IGNORECASE)  # as some browsers save a notebook
MADE_OF_IT = re.compile(r"\.(py|html?|pdf)$", re.IGNORECASE)
NO_NOTEBOOK = "this is no notebook: hand in the .ipynb"


@dataclass(frozen=True)
class Submission:
    """What counts of a student's files for one lesson.

    Attributes:
        lesson: 1 to 9, or 0 for files that belong to none.
        name: of the file, in the student's folder; empty where none can be used.
        answers: by number of the exercise, the likeliest first.
        remark: why this file, where there are several.
        problem: why none can be used, and how to mend that.
    """

    lesson: int
    name: str
    answers: dict[str, list[Answer]]
    remark: str = ""
    problem: str = ""


def students(folder: Path) -> list[str]:
    """Every student, those who handed in nothing too.

    Raises:
        ValueError: there is no such folder, it cannot be read, or no student's folder is in it.
    """
    try:
        if not folder.is_dir():
            raise ValueError(f"SUBMISSIONS must be a folder that holds a folder for each student, not {folder}")
        own = [p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith(".")]
    except OSError as error:
        raise ValueError(f"SUBMISSIONS cannot be read: {error}") from None
    if not own:
        raise ValueError(f"SUBMISSIONS must hold a folder for each student; {folder} holds none")
    return sorted(p.name for p in own)


def file_names(students: Collection[str]) -> dict[str, str]:
    """For each student a name for files: short, and no two alike, not even where case makes no difference."""
    count, names = Counter(map(_alike, students)), {}
    for student in students:
        data = os.fsencode(student)
        plain = len(data) <= SHORT and count[_alike(student)] == 1 and not re.search("-[0-9a-f]{8}$", student)
        cut = data[:SHORT].decode("utf-8", "ignore")
        names[student] = student if plain else f"{cut}-{sha256(data).hexdigest()[:8]}"
    return names


def _alike(name):
    return unicodedata.normalize("NFD", name.casefold())


# ── Which file counts ──


def find(folder: Path, student: str) -> list[Submission]:
    """What a student handed in, by lesson: of several files that with the most answers, of those the newest."""
    found: dict[int, list[_Candidate]] = {}
    read = 0
    for count, file in enumerate(_files(folder / student)):
        if count == MOST_FILES or read > MOST_BYTES:
            problem = f"of more than {MOST_FILES} files or {MOST_BYTES / 1e6:.0f} MB the rest was not looked at"
            found.setdefault(0, []).append(_Candidate(file.name, problem=problem))
            break
        lesson, answers, when, problem = _lesson_named(file.name), None, 0.0, ""
        try:
            data, when = file.read()
            read += len(data)
            lesson, answers = (lesson, answers_of(data, lesson)) if lesson else _most_answered(data)
        except Unreadable as error:
            problem = str(error)
        except Exception as error:  # whatever one file does, the others are graded
            problem = f"it cannot be read ({type(error).__name__})"
        found.setdefault(lesson, []).append(_Candidate(file.name, when, answers, problem))
    return [_chosen(lesson, found[lesson]) for lesson in sorted(found)]


@dataclass(frozen=True)
class _Candidate:
    """A file that may be the one that counts; `answers` is None where there is a problem."""

    name: str
    when: float = 0.0  # of the last change, in seconds
    answers: dict[str, list[Answer]] | None = None
    problem: str = ""

    @property
    def rank(self):
        return self.answers is not None, len(self.answers or ()), self.when, self.name


def _chosen(lesson, candidates):
    candidates = [each for each in candidates if each.problem != NO_NOTEBOOK] or candidates
    best, *others = sorted(candidates, key=lambda each: each.rank, reverse=True)
    if best.answers is None:
        return Submission(lesson, "", {}, problem=_few([f"`{each.name}`: {each.problem}" for each in candidates], "; "))
    count = len(best.answers)
    remark = f"{len(candidates)} files for lesson {lesson}: `{best.name}` counts: {count} answer{'s' * (count != 1)}, "
    remark += f"the other{'s' * (len(others) > 1)} {_few([_beside(each, best) for each in others], ', ')}"
    return Submission(lesson, best.name, best.answers, remark if others else "")


def _beside(other, best):
    if other.answers is None:
        return f"unusable ({other.problem})"
    if other.answers == best.answers:
        return "the same"
    age = "older" if other.when < best.when else "as old"
    return f"{len(other.answers)}{f' ({age})' * (len(other.answers) == len(best.answers))}"


def _few(words, between):
    more = len(words) - MOST_NAMED
    return between.join([*words[:MOST_NAMED], *[f"and {more} more"] * (more > 0)])


def _lesson_named(name):
    """The lesson that the name of a file speaks of, or 0."""
    own = _parts(name)[-1]
    named = [each for each in LESSONS if re.search(rf"(?<!\d)0?{each.number}[\W_]*{each.name}", own, re.IGNORECASE)]
    return named[0].number if len(named) == 1 else 0


def _most_answered(data):
    """The lesson that a notebook answers most of, and the answers."""
    found = {lesson.number: answers_of(data, lesson.number) for lesson in LESSONS}
    best = max(found, key=lambda number: len(found[number]))
    if not found[best]:
        raise Unreadable("no exercise of any lesson is answered in it, and its name is no lesson's")
    return best, found[best]


# ── The files of a student ──


@dataclass(frozen=True)
class _File:
    """A file that may be a notebook. `read` returns up to LARGEST + 1 bytes of it, and when it was changed.

    What cannot be opened, be it a folder, raises Unreadable when it is read.
    """

    name: str
    read: Callable[[], tuple[bytes, float]]


def _files(top) -> Iterator[_File]:
    """Whatever may be a notebook, at any depth and in ZIP files; links are not followed."""
    folders = [(str(top), "")]
    while folders:
        folder, above = folders.pop()
        try:
            with os.scandir(folder) as entries:
                inside = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        except OSError as error:
            yield _File(above or ".", partial(_refuse, f"the folder cannot be opened ({type(error).__name__})"))
            continue
        for name, is_folder in inside:
            path = os.path.join(folder, name)
            if _hidden(name):
                continue
            if is_folder:
                folders.append((path, f"{above}{name}/"))
            elif name.lower().endswith(".zip"):
                yield from _members(path, above + name)
            else:
                yield from _promising(above + name, partial(_plain_file, path))


def _members(path, name):
    """The same for what lies in a ZIP file."""
    try:
        with _opened(path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST_ZIP:
                raise Unreadable(f"this ZIP file is larger than the {LARGEST_ZIP / 1e6:.0f} MB that are allowed")
            archive = ZipFile(file)
            for info in archive.infolist():
                if not info.is_dir() and not any(map(_hidden, _parts(info.filename))):
                    yield from _promising(f"{name}/{info.filename}", partial(_member, archive, info))
    except Unreadable as problem:
        yield _File(name, partial(_refuse, str(problem)))
    except Exception:
        yield _File(name, partial(_refuse, "this ZIP file is broken: hand in the notebook itself"))


def _promising(name, read):
    own = _parts(name)[-1]
    if MADE_OF_IT.search(own):
        if _lesson_named(own):
            yield _File(name, partial(_refuse, NO_NOTEBOOK))
    elif NOTEBOOK.search(own) or (DISGUISED.search(own) and _lesson_named(own)):
        yield _File(name, read)


def _parts(name):
    return re.split(r"[/\\]", name.rstrip("/"))


def _hidden(name):
    return name == "__MACOSX" or bool(name.startswith(".") and name.strip("."))


def _refuse(problem):
    raise Unreadable(problem)


def _opened(path) -> BinaryIO:
    """A plain file; a link might lead to another's work."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        why = type(error).__name__
        raise Unreadable(f"the file cannot be opened, or is a link ({why}): hand in the file itself") from None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise Unreadable("this is no plain file")
    return file


def _plain_file(path):
    with _opened(path) as file:
        return file.read(LARGEST + 1), os.fstat(file.fileno()).st_mtime


def _member(archive: ZipFile, info: ZipInfo):
    if info.flag_bits & 1:
        raise Unreadable("this ZIP file asks for a password: hand in the notebook itself")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Unreadable("this is a link: hand in the file itself")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # zipfile bounds what these two become
        raise Unreadable("this ZIP file is packed in an unusual way: hand in the notebook itself")
    try:
        with archive.open(info) as member:
            data = member.read(LARGEST + 1)
    except Exception:
        raise Unreadable("this ZIP file is broken: hand in the notebook itself") from None
    try:
        return data, time.mktime((*info.date_time, 0, 0, -1))
    except (OverflowError, ValueError):
        return data, 0.0
