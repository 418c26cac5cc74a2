"""Which of a student's files counts for which lesson, and what it answers."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256

from helpers.core.lessons import LESSONS
from helpers.grading.answers import LARGEST, Answer, Unreadable, answers_of
from helpers.grading.files import NO_NOTEBOOK, File, lesson_named

MOST_FILES, MOST_BYTES = 200, 10 * LARGEST  # that are read of one student
MOST_NAMED = 5  # files in one line of a report
SHORT = 80  # bytes of a student's name in the name of a file
TAKEN = ("class",)  # names of files that are no student's
UNFIT = re.compile(r"[/\\\0]|^\.+$|-[0-9a-f]{8}$")  # leads elsewhere, or looks like a name that was made unlike others


@dataclass(frozen=True)
class Submission:
    """What counts of a student's files for one lesson.

    Attributes:
        lesson: 1 to 9, or 0 for files that belong to none.
        name: of the file, in the student's folder; empty where none can be used.
        answers: by number of the exercise, the likeliest first.
        remark: why this file, where there are several.
        problem: why none can be used, and how to mend that.
        arrived: when the file came, in seconds; None where nobody says.
        late: whether the learning platform has marked it as late; None where nobody says.
    """

    lesson: int
    name: str
    answers: dict[str, list[Answer]]
    remark: str = ""
    problem: str = ""
    arrived: float | None = None
    late: bool | None = None


def file_names(students: Collection[str]) -> dict[str, str]:
    """For each student a name for files: short, and no two alike, not even where case makes no difference."""
    count, names = Counter(map(_alike, [*students, *TAKEN])), {}
    for student in students:
        data = os.fsencode(student)
        plain = len(data) <= SHORT and count[_alike(student)] == 1 and not UNFIT.search(student)
        cut = re.sub(r"[/\\\0]", "_", data[:SHORT].decode("utf-8", "ignore"))
        names[student] = student if plain else f"{cut}-{sha256(data).hexdigest()[:8]}"
    return names


def _alike(name):
    return unicodedata.normalize("NFD", name.casefold())


# ── Which file counts ──


def find(files: Iterable[File]) -> list[Submission]:
    """What a student handed in, by lesson: of several files that with the most answers, of those the newest."""
    found: dict[int, list[_Candidate]] = {}
    read = 0
    for count, file in enumerate(files):
        if count == MOST_FILES or read > MOST_BYTES:
            problem = f"of more than {MOST_FILES} files or {MOST_BYTES / 1e6:.0f} MB the rest was not looked at"
            found.setdefault(0, []).append(_Candidate(file.name, problem=problem))
            break
        lesson, answers, when, problem = lesson_named(file.name), None, 0.0, ""
        try:
            data, when = file.read()
            read += len(data)
            lesson, answers = (lesson, answers_of(data, lesson)) if lesson else _most_answered(data)
        except Unreadable as error:
            problem = str(error)
        except Exception as error:  # whatever one file does, the others are graded
            problem = f"it cannot be read ({type(error).__name__})"
        found.setdefault(lesson, []).append(_Candidate(file.name, when, answers, problem, file))
    return [_chosen(lesson, found[lesson]) for lesson in sorted(found)]


@dataclass(frozen=True)
class _Candidate:
    """A file that may be the one that counts; `answers` is None where there is a problem."""

    name: str
    when: float = 0.0  # of the last change, in seconds
    answers: dict[str, list[Answer]] | None = None
    problem: str = ""
    file: File | None = None

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
    remark = remark if others else ""
    return Submission(lesson, best.name, best.answers, remark, "", best.file.arrived, best.file.late)


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


def _most_answered(data):
    """The lesson that a notebook answers most of, and the answers."""
    found = {lesson.number: answers_of(data, lesson.number) for lesson in LESSONS}
    best = max(found, key=lambda number: len(found[number]))
    if not found[best]:
        raise Unreadable("no exercise of any lesson is answered in it, and its name is no lesson's")
    return best, found[best]
