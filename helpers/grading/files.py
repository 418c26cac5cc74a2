"""What one student handed in, as files: in folders and in ZIP files, at any depth, and without following a link."""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from helpers.core.lessons import LESSONS
from helpers.grading.answers import LARGEST, Unreadable

LARGEST_ZIP = 4 * LARGEST  # bytes; its table of contents alone takes memory and time
MOST_MEMBERS = 50_000  # files in a ZIP file
NOTEBOOK = re.compile(r"\.ipynb", re.IGNORECASE)
DISGUISED = re.compile(r"\.(json|txt)$", re.IGNORECASE)  # as some browsers save a notebook
MADE_OF_IT = re.compile(r"\.(py|html?|pdf)$", re.IGNORECASE)
NO_NOTEBOOK = "this is no notebook: hand in the .ipynb"


@dataclass(frozen=True)
class File:
    """A file that may be a notebook.

    What cannot be opened, be it a folder, raises Unreadable when it is read.

    Attributes:
        name: with the folders and ZIP files that it lies in.
        read: returns up to LARGEST + 1 bytes of it, and when it was changed, in seconds.
        arrived: when it came to lie in the teacher's folder, in seconds; what a ZIP file says of itself is its maker's.
        late: whether the learning platform has marked it as late; None where nobody says.
    """

    name: str
    read: Callable[[], tuple[bytes, float]]
    arrived: float | None = None
    late: bool | None = None


def lesson_named(name: str) -> int:
    """The lesson that the name of a file speaks of, or 0."""
    own = parts(name)[-1]
    named = [each for each in LESSONS if re.search(rf"(?<!\d)0?{each.number}[\W_]*{each.name}", own, re.IGNORECASE)]
    return named[0].number if len(named) == 1 else 0


def in_folder(top: Path) -> Iterator[File]:
    """Whatever may be a notebook below a folder, in ZIP files too."""
    folders = [(str(top), "")]
    while folders:
        folder, above = folders.pop()
        try:
            with os.scandir(folder) as entries:
                inside = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        except OSError as error:
            yield File(above or ".", partial(refuse, f"the folder cannot be opened ({type(error).__name__})"))
            continue
        for name, is_folder in inside:
            path = os.path.join(folder, name)
            if hidden(name):
                continue
            if is_folder:
                folders.append((path, f"{above}{name}/"))
            else:
                yield from on_disk(path, above + name)


def on_disk(path: str | Path, name: str) -> Iterator[File]:
    """One file of a folder, if it may be a notebook, or what lies in it if it is a ZIP file."""
    if name.lower().endswith(".zip"):
        found = _inside(partial(opened, path), name)
    else:
        found = _promising(name, partial(_plain_file, path))
    for file in found:
        with suppress(OSError):
            file = replace(file, arrived=os.lstat(path).st_mtime)
        yield file


def in_zip(archive: ZipFile, info: ZipInfo, name: str) -> Iterator[File]:
    """One member of a ZIP file, in the same way."""
    if name.lower().endswith(".zip"):
        yield from _inside(lambda: BytesIO(_member(archive, info, LARGEST_ZIP)[0]), name)
    else:
        yield from _promising(name, partial(_member, archive, info))


def _inside(open_it: Callable[[], BinaryIO], name: str) -> Iterator[File]:
    """What may be a notebook in a ZIP file that a student has made; one that lies in it is not opened."""
    try:
        with open_it() as file:
            if file.seek(0, os.SEEK_END) > LARGEST_ZIP:
                raise Unreadable(f"this ZIP file is larger than the {LARGEST_ZIP / 1e6:.0f} MB that are allowed")
            archive = ZipFile(file)
            if len(archive.infolist()) > MOST_MEMBERS:
                raise Unreadable("this ZIP file holds too many files: hand in the notebook itself")
            for info in archive.infolist():
                if not info.is_dir() and not any(map(hidden, parts(info.filename))):
                    yield from _promising(f"{name}/{info.filename}", partial(_member, archive, info))
    except Unreadable as problem:
        yield File(name, partial(refuse, str(problem)))
    except Exception:
        yield File(name, partial(refuse, "this ZIP file is broken: hand in the notebook itself"))


def _promising(name, read):
    own = parts(name)[-1]
    if MADE_OF_IT.search(own):
        if lesson_named(own):
            yield File(name, partial(refuse, NO_NOTEBOOK))
    elif NOTEBOOK.search(own) or (DISGUISED.search(own) and lesson_named(own)):
        yield File(name, read)


def parts(name: str) -> list[str]:
    """A name in a ZIP file, cut at slashes of both kinds."""
    return re.split(r"[/\\]", name.rstrip("/"))


def hidden(name: str) -> bool:
    """Whether a system, and no person, has made a file or folder of that name."""
    return name == "__MACOSX" or bool(name.startswith(".") and name.strip("."))


def refuse(problem: str):
    """Raise Unreadable with these words: what a file that cannot be used does when it is read."""
    raise Unreadable(problem)


def opened(path: str | Path) -> BinaryIO:
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
    with opened(path) as file:
        return file.read(LARGEST + 1), os.fstat(file.fileno()).st_mtime


def _member(archive: ZipFile, info: ZipInfo, largest: int | None = None):
    if info.flag_bits & 1:
        raise Unreadable("this ZIP file asks for a password: hand in the notebook itself")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Unreadable("this is a link: hand in the file itself")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # zipfile bounds what these two become
        raise Unreadable("this ZIP file is packed in an unusual way: hand in the notebook itself")
    try:
        with archive.open(info) as member:
            data = member.read((largest or LARGEST) + 1)
    except Exception:
        raise Unreadable("this ZIP file is broken: hand in the notebook itself") from None
    try:
        return data, time.mktime((*info.date_time, 0, 0, -1))
    except (OverflowError, ValueError):
        return data, 0.0
