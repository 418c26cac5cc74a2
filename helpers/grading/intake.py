"""A class as it comes: a folder a student, a flat folder, or the ZIP files of Canvas and Moodle; and its roster.

Sources of the two layouts: how Canvas names what it sends down and takes back (`generate_comments_from_files` in its
assignment.rb: name_user_attachment_file), and how Moodle does (importziplib.php of assignfeedback_file:
name_participant_plugintype_pluginname/file).
"""

import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from helpers.grading.answers import Unreadable
from helpers.grading.files import MOST_MEMBERS, File, hidden, in_folder, in_zip, on_disk, opened, parts

LARGEST_TABLE = 20_000_000  # bytes of a roster
CANVAS = re.compile(r"(?P<name>[^_]+)_(?:(?P<late>LATE)_)?(?P<id>\d+)_(?P<attachment>\d+)_(?P<file>.+)", re.IGNORECASE)
TRY = re.compile(r"-(\d+)(?=\.\w+$)")  # Canvas calls the second file of one name "file-1.ipynb"
MOODLE = re.compile(r"(?P<name>[^/]+)_(?P<id>\d+)_assignsubmission_file_?(?:/|$)")
NAME, FIRST, LAST, ID, MAIL = (
    ("student", "name", "full name"),
    ("first name", "firstname"),
    ("last name", "lastname", "surname"),
    ("id", "identifier", "user id"),
    ("email address", "email", "sis login id", "sis user id", "id number", "username"),
)


@dataclass(frozen=True)
class Student:
    """One of the class.

    Attributes:
        name: that no other of the class has.
        files: what was handed in.
        ids: what else the student is known by: the number of a learning platform, a login, an address.
        places: for each ZIP file of a learning platform, by its name, what the names of files for this student begin
            with, so that what goes back is known there.
        remark: what a teacher should know, such as that the roster does not have this name.
    """

    name: str
    files: tuple[Iterable[File], ...] = ()
    ids: frozenset[str] = frozenset()
    places: dict[str, str] = field(default_factory=dict)
    remark: str = ""

    def handed_in(self) -> Iterator[File]:
        """Every file, of all folders and ZIP files."""
        return chain.from_iterable(self.files)


@dataclass(frozen=True)
class Class:
    """Everybody, in order of the names, and what could not be given to anybody.

    Attributes:
        students: by name.
        remarks: a line for each file that is nobody's.
    """

    students: dict[str, Student]
    remarks: list[str]


def read(source: Path, roster: Path | None = None, pattern: str | None = None) -> Class:
    """The class in `source`.

    Args:
        source: a ZIP file of Canvas or Moodle, or a folder with any number of these, of folders that bear the name of
            a student, and, if there is a pattern, of files.
        roster: a table (CSV) of those who should be there, see `names_of`.
        pattern: of the names of single files, such as "{student}_*.ipynb"; * is anything.

    Raises:
        ValueError: nothing of the kind is there, it cannot be read, or the pattern does not say where the name stands.
    """
    wanted = _compiled(pattern) if pattern is not None else None
    try:
        if source.is_dir():
            found, remarks = _from_folder(source, wanted)
        elif source.suffix.lower() == ".zip":
            found, remarks = _from_zip(source)
        else:
            raise ValueError(f"SUBMISSIONS must be a folder or a ZIP file of Canvas or Moodle, not {source}")
    except OSError as error:
        raise ValueError(f"SUBMISSIONS cannot be read: {error}") from None
    listed = [] if roster is None else names_of(roster)
    if not found and not listed:
        hint = f": {remarks[0]}" if remarks else ""
        raise ValueError(f"SUBMISSIONS must hold a folder for each student; {source} holds none{hint}")
    return Class(_unlike(_joined(found, listed, bool(roster))), remarks)


# ── Layouts ──


def _from_folder(folder, wanted):
    found, remarks = [], []
    for path in sorted(folder.iterdir()):
        if hidden(path.name) or path.is_symlink():
            continue
        if path.is_dir():
            found.append(Student(path.name, (_Below(path),)))
        elif wanted is not None and (match := wanted.fullmatch(path.name)):
            found.append(Student(match["student"], (_One(path),)))
        elif path.suffix.lower() == ".zip":
            more, said = _from_zip(path)
            found, remarks = [*found, *more], [*remarks, *said]
        elif path.suffix.lower() == ".ipynb":
            remarks.append(f"`{path.name}`: whose this is, no pattern says; it was left out")
    return _same_person(found), remarks


@dataclass(frozen=True)
class _Below:
    """The files below a folder, looked for when they are asked for."""

    path: Path

    def __iter__(self):
        return in_folder(self.path)


@dataclass(frozen=True)
class _One:
    """One file of a flat folder."""

    path: Path

    def __iter__(self):
        return on_disk(self.path, self.path.name)


@dataclass(frozen=True)
class _Members:
    """Some members of a ZIP file: (member, name for the student, late, which try)."""

    archive: ZipFile
    members: tuple[tuple[ZipInfo, str, bool | None, int], ...]

    def __iter__(self):
        for info, name, late, attempt in self.members:
            for file in in_zip(self.archive, info, name):
                yield replace(file, late=late, read=partial(_later, file.read, attempt))


def _later(read, attempt):
    data, when = read()
    return data, when + attempt  # one ZIP file gives all of its members one date


def _from_zip(path):
    """Students of one ZIP file, and a line for each of its files that is nobody's."""
    try:
        archive = ZipFile(opened(path))
        infos = [info for info in archive.infolist() if not info.is_dir()]
    except (Unreadable, BadZipFile, ValueError, NotImplementedError) as error:
        return [], [f"`{path.name}`: {error if isinstance(error, Unreadable) else 'this ZIP file is broken'}"]
    if len(infos) > MOST_MEMBERS:
        return [], [f"`{path.name}`: it holds more than the {MOST_MEMBERS} files that are allowed"]
    owned, remarks = {}, []
    for info in infos:
        steps = parts(info.filename)
        if any(map(hidden, steps)):
            continue
        if ".." in steps or info.filename.startswith(("/", "\\")) or ":" in steps[0]:
            remarks.append(f"`{path.name}`: `{info.filename}` leads out of it and was left out")
            continue
        owner, name, place, late, attempt = _owner(info.filename, steps)
        if owner is None:
            remarks.append(f"`{path.name}`: whose `{info.filename}` is, its name does not say; it was left out")
            continue
        owned.setdefault(owner, (place, []))[1].append((info, name, late, attempt))
    return [
        Student(who, (_Members(archive, tuple(members)),), frozenset({number}), {path.name: place})
        for (who, number), (place, members) in owned.items()
    ], remarks


def _owner(filename, steps):
    """(name, number), the file's own name, the beginning that its platform knows again, late, and which try."""
    if match := MOODLE.search(filename):
        start = f"{match['name']}_{match['id']}_assignsubmission_file_"
        return (match["name"], match["id"]), filename[match.end() :] or steps[-1], start, None, 0
    if match := CANVAS.fullmatch(steps[-1]):
        tried = TRY.search(match["file"])
        start = f"{match['name']}_{'LATE_' * bool(match['late'])}{match['id']}_{match['attachment']}_"
        attempt = int(tried[1]) if tried and len(tried[1]) < 4 else 0
        return (match["name"], match["id"]), match["file"], start, bool(match["late"]), attempt
    return None, "", "", None, 0


def _compiled(pattern):
    if pattern.count("{student}") != 1:
        raise ValueError(f"--pattern must hold {{student}} once, where the name stands, not {pattern!r}")
    text = re.escape(pattern).replace(re.escape("{student}"), "(?P<student>.+?)").replace(re.escape("*"), ".*")
    return re.compile(text, re.IGNORECASE | re.DOTALL)


# ── Who is who ──


def _same_person(found):
    """Students of several ZIP files and folders, those with the same name joined.

    Canvas numbers people, so two numbers are two people. Moodle numbers the participants of each assignment anew; there
    one name is one person, unless a ZIP file has it twice.
    """
    numbers = defaultdict(set)
    for each in found:
        for place, start in each.places.items():
            numbers[each.name, place if from_moodle(start) else "Canvas"] |= each.ids
    several = {name for (name, _), ids in numbers.items() if len(ids) > 1}
    joined = {}
    for each in found:
        key = (each.name, *(sorted(each.ids) if each.name in several else ()))
        joined[key] = _and(joined[key], each) if key in joined else each
    return list(joined.values())


def _and(one, other):
    ids, places = one.ids | other.ids, one.places | other.places
    return replace(one, files=(*one.files, *other.files), ids=ids, places=places)


def _joined(found, listed, checked):
    """Those who handed in, under the names of the roster, and those of the roster who did not."""
    mine = defaultdict(list)
    for each in found:
        mine[best_fit([fit(each, name, ids) for name, ids in listed])].append(each)
    everybody = []
    for row, (name, ids) in enumerate(listed):
        student = Student(name, ids=ids, remark="" if mine[row] else "nothing was handed in")
        for each in mine[row]:
            student = _and(student, each)
        everybody.append(student)
    return [*everybody, *(replace(each, remark="not on the roster") if checked else each for each in mine[None])]


def fit(student: Student, name: str, ids: Set[str]) -> tuple[bool, bool, bool]:
    """How well a student fits a name and numbers of a table; the greatest of several fits best, and all False not.

    A name counts for more than a number: Moodle's participants and a roster's numbers may be alike by chance.
    """
    return same_name(student.name, name), bool(ids & {*student.ids, student.name}), student.name == name


def best_fit(fits: Sequence[tuple[bool, ...]]) -> int | None:
    """Which of several, by what `fit` says of them, or None if none fits; the first of equals."""
    best = max(range(len(fits)), key=fits.__getitem__, default=None)
    return best if best is not None and any(fits[best]) else None


def from_moodle(start: str) -> bool:
    """Whether the beginning of a file's name, see `Student.places`, is Moodle's; else it is Canvas'."""
    return bool(MOODLE.search(start))


def same_name(one: str, other: str) -> bool:
    """Whether two names may be the same person's, however they are written."""
    return bool(_ways(one) & _ways(other))


def _ways(name):
    """Ways to write a name that count as the same: "Doe, Jane" is "Jane Doe" and Canvas' "doejane"."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.replace("_", " ")) if not unicodedata.combining(c))
    words = re.findall(r"\w+", plain.casefold())
    ways = {"".join(words[i:] + words[:i]) for i in range(len(words))}  # whatever of it is the last name
    if "," in name:
        last, _, first = name.partition(",")
        ways |= _ways(f"{first} {last}")
    return ways - {""}


def _unlike(students):
    """By name; a name that several have gets the number of each."""
    count = Counter(each.name for each in students)
    named = {}
    for each in students:
        name = each.name
        if count[name] > 1:
            name = f"{name} ({', '.join(sorted(each.ids)) or 'no number'})"
        while name in named:
            name += "'"
        named[name] = replace(each, name=name)
    return dict(sorted(named.items()))


def names_of(roster: Path) -> list[tuple[str, frozenset[str]]]:
    """The students of a table with a head, and the other things that it knows each of them by.

    Canvas' gradebook and Moodle's grading worksheet as they are exported will do, and so will any table with a column
    "name" (or "first name" and "last name") and perhaps "id" and "email".

    Raises:
        ValueError: it cannot be read, or has no such column, or no row.
    """
    rows = table(roster, "--roster")
    head = {title.strip().casefold(): title for title in rows[0]} if rows else {}

    def cell(row, titles):
        return next((row[head[title]].strip() for title in titles if title in head and row[head[title]]), "")

    found = []
    for row in rows:
        name = cell(row, NAME) or " ".join(filter(None, (cell(row, FIRST), cell(row, LAST))))
        if not name or name.casefold() in ("points possible", "student, test"):  # rows of Canvas that are nobody
            continue
        number = cell(row, ID).removeprefix("Participant").strip()
        found.append((name, frozenset(filter(None, (number, cell(row, MAIL))))))
    if not found:
        raise ValueError(f"--roster must have a head with a column 'name' or 'Student', and a row for each: {roster}")
    return found


def table(path: Path, option: str) -> list[dict[str, str]]:
    """The rows of a CSV file by the titles of its columns; commas or semicolons, with or without a byte-order mark.

    Raises:
        ValueError: it cannot be read as such; the message begins with `option`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_TABLE + 1)
        if len(data) > LARGEST_TABLE:
            raise ValueError(f"{option} must be smaller than {LARGEST_TABLE // 10**6} MB: {path}")
        text = data.decode("utf-8-sig")
        first = text.partition("\n")[0]
        between = max(",;\t", key=first.count)
        return [
            {title or "": value or "" for title, value in row.items() if not isinstance(value, list)}
            for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=between)
        ]
    except UnicodeDecodeError:
        raise ValueError(f"{option} must be a CSV file in UTF-8: {path}") from None
    except (OSError, csv.Error) as error:
        raise ValueError(f"{option} cannot be read: {error}") from None
