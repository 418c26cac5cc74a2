"""Points from verdicts: weights, partial credit, deadlines and late work, and what a teacher overrules by hand.

Marks are worked out anew at every run from verdicts that are kept, so a moved deadline moves them within seconds.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from helpers.core.lessons import LESSONS
from helpers.exercises.exercise import exercises
from helpers.exercises.verdict import PASSED, UNJUDGED
from helpers.grading.grade import ungraded
from helpers.grading.intake import table

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Late:
    """What late work loses.

    Attributes:
        per_day: share of its points that it loses for each day that has begun.
        at_most: the largest share that it loses.
        days: after so many nothing counts.
    """

    per_day: float = 0.0
    at_most: float = 1.0
    days: float = math.inf


@dataclass(frozen=True)
class Rules:
    """What grading.toml says. The defaults: a point for each exercise that is solved, whenever it came.

    Attributes:
        weights: points of an exercise; 1 for one that is not named.
        partial: whether a wrong answer earns the share of the judge's cases that it gets right.
        deadlines: by lesson.
        extensions: by student, then by lesson: a deadline of their own.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    partial: bool = False
    deadlines: Mapping[int, datetime] = field(default_factory=dict)
    late: Late = Late()
    extensions: Mapping[str, Mapping[int, datetime]] = field(default_factory=dict)

    def deadline(self, student: str, lesson: int) -> datetime | None:
        """Until when a student may hand in a lesson."""
        return self.extensions.get(student, {}).get(lesson, self.deadlines.get(lesson))


@dataclass(frozen=True)
class Override:
    """A mark set by hand."""

    mark: float
    reason: str


Overrides = Mapping[tuple[str, str], Override]  # (student, exercise)


def marked(grades: Mapping, rules: Rules, overrides: Overrides) -> dict:
    """Grades with the marks written in.

    Args:
        grades: student → lesson → result, see `report.Grades`; `handed` says when it came.

    Returns:
        A copy in which every verdict has `mark` and `of`, points given and points to be had, and `why` where it is not
        plain; and every result that came late has `late`, in words.
    """
    grades = {student: dict(lessons) for student, lessons in grades.items()}
    for student, number in overrides:  # a mark may be set by hand where nothing was handed in
        lesson = int(number.partition(".")[0])
        if student in grades:
            grades[student].setdefault(lesson, ungraded(lesson))
    return {
        student: {lesson: _result(student, lesson, result, rules, overrides) for lesson, result in lessons.items()}
        for student, lessons in grades.items()
    }


def _result(student, lesson, result, rules, overrides):
    keep, said = _kept(result.get("handed", {}), rules, student, lesson)
    verdicts = {}
    for number, verdict in result["verdicts"].items():
        of = rules.weights.get(number, 1)
        share, why = _share(verdict, rules.partial), ""
        if keep < 1 and share:
            why = f"{share * of:g} less {1 - keep:.0%}, being late"
        mark = _round(share * of * keep)
        if (student, number) in overrides:
            mine = overrides[student, number]
            mark, why = _round(mine.mark), f"set by hand: {mine.reason}" if mine.reason else "set by hand"
        verdicts[number] = verdict | {"mark": mark, "of": of} | ({"why": why} if why else {})
    return result | {"verdicts": verdicts} | ({"late": said} if said else {})


def _share(verdict, partial):
    if verdict["outcome"] == PASSED:
        return 1
    return verdict.get("share", 0) if partial and verdict["outcome"] != UNJUDGED else 0


def _round(value):
    """To hundredths; whole numbers without a point."""
    value = round(value, 2)
    return int(value) if value == int(value) else value


def _kept(handed, rules, student, lesson):
    """The share of its points that a submission keeps, and what to say of its time."""
    until, came, flagged = rules.deadline(student, lesson), handed.get("when"), handed.get("late")
    own = lesson in rules.extensions.get(student, {})
    if came is not None and until is not None:
        over = datetime.fromtimestamp(came, UTC) - until
        if over <= timedelta(0):
            return 1, ""
        days = math.ceil(over / DAY)
        if days > rules.late.days:
            return 0, f"{days} days late: it counts no more"
        lost = min(rules.late.at_most, days * rules.late.per_day)
        return 1 - lost, f"{days} day{'s' * (days > 1)} late" + (f": {lost:.0%} less" if lost else "")
    if not flagged:
        return 1, ""
    if own:
        return 1, "marked as late where it was handed in; the extension is taken to cover it, its time is not known"
    lost = min(rules.late.at_most, rules.late.per_day)
    return 1 - lost, "marked as late where it was handed in; its time is not known" + (
        f", so one day counts: {lost:.0%} less" if lost else ""
    )


def points(result: Mapping) -> tuple[float, float]:
    """Points given for a marked lesson, and points to be had; what was not judged counts for neither."""
    judged = [v for v in result["verdicts"].values() if v["outcome"] != UNJUDGED or v.get("why")]
    return round(sum(v["mark"] for v in judged), 2), round(sum(v["of"] for v in judged), 2)


# ── What the teacher has written ──


def rules_of(path: Path) -> Rules:
    """The rules in a file such as

        partial = true
        [weights]
        "3.1" = 2
        [deadlines]
        3 = 2027-01-15T23:59:00+01:00
        [late]
        per_day = 0.1
        at_most = 0.5
        days = 7
        [extensions."Ada Lovelace"]
        3 = 2027-01-18T23:59:00+01:00

    A time without an offset is this machine's.

    Raises:
        ValueError: it cannot be read, or says what cannot be; the message names the place.
    """
    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"--rules cannot be read: {path}: {error}") from None
    _named(said, ("weights", "partial", "deadlines", "late", "extensions"), "")
    for name in ("weights", "deadlines", "late", "extensions"):
        if not isinstance(said.get(name, {}), dict):
            raise ValueError(f"--rules: [{name}] must be a table, not {said[name]!r}")
    if not isinstance(said.get("partial", False), bool):
        raise ValueError(f"--rules: partial must be true or false, not {said['partial']!r}")
    weights, late = said.get("weights", {}), said.get("late", {})
    _named(weights, tuple(exercises()), "weights")
    _named(late, ("per_day", "at_most", "days"), "late")
    for name, table_, most in (("weights", weights, math.inf), ("late", late, 1)):
        for key, value in table_.items():
            top = math.inf if key == "days" else most
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= top:
                limit = f"from 0 to {top:g}" if top < math.inf else "at least 0"
                raise ValueError(f"--rules: {key} in [{name}] must be a number, {limit}, not {value!r}")
    extensions = said.get("extensions", {})
    return Rules(
        weights,
        said.get("partial", False),
        _times(said.get("deadlines", {}), "deadlines"),
        Late(**late),
        {student: _times(times, f"extensions.{student}") for student, times in extensions.items()},
    )


def _named(said, allowed, place):
    for name in said:
        if name not in allowed:
            known = ", ".join(allowed) if len(allowed) < 10 else f"{allowed[0]} … {allowed[-1]}"
            raise ValueError(f"--rules: {name!r}{f' in [{place}]' if place else ''} is unknown; there are {known}")


def _times(said, place):
    if not isinstance(said, dict):
        raise ValueError(f"--rules: [{place}] must be a table of lessons, not {said!r}")
    _named(said, tuple(str(lesson.number) for lesson in LESSONS), place)
    for lesson, when in said.items():
        if not isinstance(when, datetime):
            raise ValueError(f"--rules: {lesson} in [{place}] must be a time such as 2027-01-15T23:59:00, not {when!r}")
    return {int(lesson): when.astimezone(UTC) for lesson, when in said.items()}


def overrides_of(path: Path, students: Mapping, rules: Rules) -> dict[tuple[str, str], Override]:
    """Marks set by hand: a table (CSV) with the columns student, exercise, mark and reason. It is only read.

    Raises:
        ValueError: it cannot be read, or a line names nobody, no exercise, or a mark that cannot be had.
    """
    found = {}
    for line, row in enumerate(table(path, "--overrides"), start=1):
        row = {title.strip().casefold(): value.strip() for title, value in row.items()}
        where, of = f"--overrides: row {line} below the head of {path}", rules.weights.get(row.get("exercise", ""), 1)
        if row.get("student") not in students:
            raise ValueError(f"{where}: no student is called {row.get('student', '')!r}")
        if row.get("exercise") not in exercises():
            raise ValueError(f"{where}: there is no exercise {row.get('exercise', '')!r}")
        try:
            mark = float(row.get("mark", "").replace(",", "."))
        except ValueError:
            mark = math.nan
        if not 0 <= mark <= of:
            raise ValueError(f"{where}: the mark must be a number from 0 to {of:g}, not {row.get('mark', '')!r}")
        found[row["student"], row["exercise"]] = Override(mark, row.get("reason", ""))
    return found
