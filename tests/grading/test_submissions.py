"""A notebook is found under whatever name and in whatever folder or ZIP file it comes, and which one counts is said."""

import json
import os
import random
import re
import stat
import zipfile
from pathlib import Path

import pytest
from classroom import LESSON

from helpers.core.lessons import LESSONS
from helpers.exercises.exercise import exercises
from helpers.grading import answers as answering
from helpers.grading import files, intake, submissions
from helpers.grading.files import in_folder
from helpers.grading.submissions import file_names, find

NAME = LESSON.notebook.name


def notebook(count, lesson=LESSON, value=1):
    """A file in which so many exercises of a lesson are answered."""
    names = [exercise.name for exercise in exercises(lesson.number).values()][:count]
    cells = [{"cell_type": "code", "source": f"def {name}(*inputs): return {value}"} for name in names]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


@pytest.fixture
def hand_in(tmp_path):
    """Writes files, by name, oldest first, into a student's folder, and returns what is found there."""

    def write(files, student="ann"):
        (tmp_path / "class" / student).mkdir(parents=True, exist_ok=True)
        for day, (name, data) in enumerate(files.items()):
            path = tmp_path / "class" / student / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.utime(path, (1e9 + 86400 * day,) * 2)
        return find(in_folder(tmp_path / "class" / student))

    return write


def zipped(path, files, method=zipfile.ZIP_DEFLATED, year=2024):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), data, compress_type=method)
    return Path(path).read_bytes()


# ── Names ──


def names(lesson):
    stem, spoken = lesson.stem, lesson.stem.replace("_", " ").title()
    yield from (f"{stem}{end}" for end in (".ipynb", " (1).ipynb", " (12).ipynb", " copy.ipynb", " copy 2.ipynb"))
    yield from (
        f"{stem}{end}" for end in ("-Copy1.ipynb", "_mueller_final.ipynb", ".ipynb.txt", ".ipynb.json", ".json")
    )
    yield from (f"{start}{stem}.ipynb" for start in ("Copy of ", "Kopie von ", "Müller 🎓 ", "2024-", "s1234567_"))
    yield from (f"{spoken}.IPYNB", stem.replace("_", "-") + ".ipynb", stem.upper() + ".Ipynb", stem[1:] + ".ipynb")
    yield from (f"deep/er/and deeper/{stem}.ipynb", f"{stem}/{stem}.ipynb", "Untitled.ipynb", "my work/Untitled1.ipynb")
    yield from (f"work.zip/{stem}.ipynb", f"WORK.ZIP/a folder/Copy of {stem}.ipynb", "work.zip/./Untitled.ipynb")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_every_name_is_found(lesson, tmp_path):
    data = notebook(2, lesson)
    for i, name in enumerate(names(lesson)):
        path = tmp_path / "class" / f"{i}" / name
        archive = next((p for p in path.parents if p.suffix.lower() == ".zip"), None)
        (archive or path).parent.mkdir(parents=True, exist_ok=True)
        if archive:
            zipped(archive, {name.partition("/")[2]: data})
        else:
            path.write_bytes(data)
        (found,) = find(in_folder(tmp_path / "class" / f"{i}"))
        assert (found.lesson, found.name, found.remark, found.problem) == (lesson.number, name, "", "")
        assert len(found.answers) == 2


def test_what_systems_leave_beside_the_work_is_left_out(hand_in, tmp_path):
    left = {f"{folder}/{NAME}": b"?" for folder in (".ipynb_checkpoints", "__MACOSX", ".venv/lib")} | {
        f"._{NAME}": b"?"
    }
    left |= {"helpers.py": b"", "cat.png": b"", "data.json": b"[]", f"{LESSON.stem}_files/1.png": b""}
    assert hand_in(left) == []
    archive = zipped(tmp_path / "all.zip", left | {NAME: notebook(1)})
    assert [found.name for found in hand_in({"all.zip": archive})] == [f"all.zip/{NAME}"]


def test_names_that_are_no_text_are_read_as_well(tmp_path, hand_in):
    student = os.fsdecode(b"\xff\xfeann")
    (found,) = hand_in({os.fsdecode(b"\xe4\r " + NAME.encode()): notebook(3)}, student=student)
    assert (found.lesson, len(found.answers)) == (LESSON.number, 3)
    assert list(intake.read(tmp_path / "class").students) == [student]


# ── Of several ──


def told(hand_in, files):
    (found,) = hand_in(files)
    assert found.problem == ""
    return found.name, found.remark


def test_of_several_files_that_with_the_most_answers_counts_then_the_newest(hand_in, lesson):
    blank = json.dumps(lesson).encode()
    files = {"Copy of 03_occlusion.ipynb": notebook(3), NAME: blank}
    start = f"2 files for lesson 3: `Copy of {NAME}` counts: 3 answers, the other"
    assert told(hand_in, files) == (f"Copy of {NAME}", f"{start} 0")
    files["Untitled.ipynb"] = notebook(3, value=2)
    assert told(hand_in, files) == (
        "Untitled.ipynb",
        "3 files for lesson 3: `Untitled.ipynb` counts: 3 answers, the others 3 (older), 0",
    )
    files["a/03_occlusion (1).ipynb"] = notebook(1)
    files["z.ipynb"] = files["Untitled.ipynb"]
    assert told(hand_in, files) == (
        "z.ipynb",
        "5 files for lesson 3: `z.ipynb` counts: 3 answers, the others the same, 3 (older), 1, 0",
    )


def test_a_file_in_a_zip_file_has_a_date_too(hand_in, tmp_path):
    new, old = (zipped(tmp_path / "z", {NAME: notebook(2, value=year)}, year=year) for year in (2030, 1999))
    assert told(hand_in, {NAME: notebook(2), "work.zip": new})[0] == f"work.zip/{NAME}"
    assert told(hand_in, {NAME: notebook(2), "work.zip": old}) == (
        NAME,
        f"2 files for lesson 3: `{NAME}` counts: 2 answers, the other 2 (older)",
    )


def test_an_unreadable_file_is_passed_over(hand_in):
    assert told(hand_in, {f"a {NAME}": notebook(1), NAME: b""}) == (
        f"a {NAME}",
        f"2 files for lesson 3: `a {NAME}` counts: 1 answer, the other unusable (the file is empty: hand it in again)",
    )
    assert told(hand_in, {f"a {NAME}": notebook(1), NAME: notebook(1), f"{LESSON.stem}.pdf": b"%PDF"})[0] == NAME


def test_several_lessons_are_several_submissions(hand_in):
    files = {lesson.notebook.name: notebook(1, lesson) for lesson in LESSONS[::-1]}
    assert [found.lesson for found in hand_in(files)] == list(range(1, 10))


# ── What cannot be used ──


@pytest.mark.parametrize(
    ("name", "data", "lesson", "problem"),
    [
        (NAME, b"", 3, "the file is empty: hand it in again"),
        (NAME, b"{", 3, "the file is not JSON: open it in JupyterLab, save it and hand it in again"),
        (NAME, b"{\n<<<<<<< HEAD\n1\n=======\n>>>>>>> x\n", 3, "the marks of a merge that was not finished"),
        (NAME, b" " * 50_000_001, 3, "the file is larger than the 50 MB that are allowed"),
        *(
            (f"{LESSON.stem}.{end}", b"?", 3, "this is no notebook: hand in the .ipynb")
            for end in ("py", "html", "pdf")
        ),
        ("Untitled.ipynb", b"{", 0, "the file is not JSON"),
        ("notes.ipynb", b'{"nbformat": 4, "cells": []}', 0, "no exercise of any lesson is answered in it"),
        (f"{LESSON.stem} 04_saliency.ipynb", b'{"nbformat": 4, "cells": []}', 0, "no exercise of any lesson"),
        ("work.zip", b"PK\3\4 and no more", 0, "this ZIP file is broken: hand in the notebook itself"),
        (f"{LESSON.stem}.zip", b"", 3, "this ZIP file is broken: hand in the notebook itself"),
    ],
)
def test_what_cannot_be_used_says_how_to_mend_it(hand_in, name, data, lesson, problem):
    (found,) = hand_in({name: data})
    assert (found.lesson, found.answers, found.remark) == (lesson, {}, "")
    assert found.problem.startswith(f"`{name}`: ") and problem in found.problem and "\n" not in found.problem


def test_links_are_never_followed(tmp_path, hand_in):
    hand_in({NAME: notebook(4), "deep/work.zip": zipped(tmp_path / "z", {NAME: notebook(4)})})
    (tmp_path / "class" / "ben").mkdir()
    for name, target in ((NAME, NAME), ("work.zip", "deep/work.zip"), ("folder", "deep"), (f"x {NAME}", "nowhere")):
        (tmp_path / "class" / "ben" / name).symlink_to(tmp_path / "class" / "ann" / target)
    (tmp_path / "class" / "cleo").symlink_to(tmp_path / "class" / "ann")
    assert list(intake.read(tmp_path / "class").students) == ["ann", "ben"]
    other, own = find(in_folder(tmp_path / "class" / "ben"))
    assert (other.lesson, own.lesson, own.answers) == (0, 3, {})
    assert "`work.zip`: the file cannot be opened, or is a link" in other.problem
    assert own.problem.count("or is a link (") == 2 and "hand in the file itself" in own.problem


def test_what_is_no_plain_file_is_not_waited_for(tmp_path, hand_in):
    hand_in({})
    os.mkfifo(tmp_path / "class" / "ann" / NAME)
    (found,) = hand_in({})
    assert found.problem == f"`{NAME}`: this is no plain file"


def damaged(data, what):
    """A ZIP file of which the directory says that its member is encrypted, a link, or has another check sum."""
    at = data.index(b"PK\1\2")
    offset, value = {"encrypted": (8, 1), "a link": (40, stat.S_IFLNK >> 8), "broken": (16, 0x5A)}[what]
    offset += what == "a link"
    return data[: at + offset] + bytes([value]) + data[at + offset + 1 :]


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("encrypted", "this ZIP file asks for a password: hand in the notebook itself"),
        ("a link", "this is a link: hand in the file itself"),
        ("broken", "this ZIP file is broken: hand in the notebook itself"),
    ],
)
def test_a_member_that_cannot_be_read_says_so(hand_in, tmp_path, what, problem):
    data = damaged(zipped(tmp_path / "z", {NAME: notebook(1)}), what)
    (found,) = hand_in({"work.zip": data})
    assert (found.lesson, found.problem) == (3, f"`work.zip/{NAME}`: {problem}")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_is_not_unpacked(hand_in, tmp_path, monkeypatch, method):
    monkeypatch.setattr(files, "LARGEST", 1_000_000)
    monkeypatch.setattr(answering, "LARGEST", 1_000_000)
    (found,) = hand_in({"bomb.zip": zipped(tmp_path / "z", {NAME: bytes(30_000_000)}, method)})
    assert ("larger than" if method == zipfile.ZIP_DEFLATED else "packed in an unusual way") in found.problem


def test_a_very_large_zip_file_is_not_opened(hand_in, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_ZIP", 10)
    (found,) = hand_in({"work.zip": bytes(11)})
    assert found.problem.startswith("`work.zip`: this ZIP file is larger than")


@pytest.mark.parametrize(("limit", "value"), [("MOST_FILES", 10), ("MOST_BYTES", 3000)])
def test_many_files_end_somewhere(hand_in, tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(submissions, limit, value)
    many = {f"{LESSON.stem} ({i}).ipynb": notebook(2) for i in range(40)}
    other, found = hand_in({"work.zip": zipped(tmp_path / "z", many)})
    assert "the rest was not looked at" in other.problem
    assert len(found.answers) == 2 and re.search(r"^\d+ files .* and \d+ more$", found.remark)


def test_a_folder_that_cannot_be_opened_costs_only_itself(hand_in, tmp_path, monkeypatch):
    hand_in({NAME: notebook(1), "closed/04_saliency.ipynb": b"", "open/05_ascent.ipynb": notebook(1, LESSONS[4])})
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    other, *found = find(in_folder(tmp_path / "class" / "ann"))
    assert other.problem == "`closed/`: the folder cannot be opened (PermissionError)"
    assert [each.lesson for each in found] == [3, 5]


def test_our_own_mistakes_cost_one_file(hand_in, monkeypatch):
    def fails(data, lesson):
        raise RecursionError

    hand_in({NAME: b"x"})
    monkeypatch.setattr(submissions, "answers_of", fails)
    (found,) = hand_in({})
    assert found.problem == f"`{NAME}`: it cannot be read (RecursionError)"


# ── Names of files for students ──


def test_no_name_leads_to_another_folder():
    names = ["../../Jane", "/tmp/x", "A/B", "..", ".", "a\\b", "n\0"]
    made = file_names(names)
    assert len(set(made.values())) == len(names)
    assert not any(re.search(r"[/\\\0]", name) or name.strip(".") == "" for name in made.values())


def test_short_names_stay_and_no_two_students_share_one():
    draw, taken = random.Random(0), {"ann", "zoë <b>", "=ann", "x" * 80}
    letters = ["a", "A", "é", "É", "e\u0301", "🎓", "ß", "\udcff", "-", "0", " "]
    class_ = {"".join(draw.choices(letters, k=k)) for k in (1, 2, 3, 100, 127) for _ in range(200)} | taken
    class_ |= {"x" * 81, "x" * 255, "x" * 254 + "y"}
    for _ in range(2):
        named = file_names(class_)
        assert named.keys() == class_ and all(named[student] == student for student in taken)
        assert len({submissions._alike(name) for name in named.values()}) == len(class_)
        assert all(len(os.fsencode(name)) <= 100 for name in named.values())
        class_ |= {name for name in named.values() if "\udcff" not in name}  # whoever is called as a file of another
