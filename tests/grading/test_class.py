"""A class in which everybody has habits of his own, graded as a teacher would: every mark is what it should be.

STUDENTS=20 python -m pytest tests/grading/test_class.py -s     # a class of twenty, with the seconds a notebook
"""

import csv
import json
import os
import random
import re
import time
import zipfile

import nbformat
import pytest
from habits import WAYS_TO_SAVE, WAYS_TO_WRITE, write
from read_answers import read_all

from helpers.core.lessons import LESSONS
from helpers.exercises.exercise import exercises

STUDENTS = int(os.environ.get("STUDENTS", "1"))
FILES = (
    "{}.ipynb",
    "{} (1).ipynb",
    "Copy of {}.ipynb",
    "{}-Copy1.IPYNB",
    "{}.ipynb.txt",
    "deep/down/{}.ipynb",
    "{}.zip",
)


def answers():
    """Every answer of the course by exercise, the right ones and the wrong ones."""
    found = {number: ([], []) for number in exercises()}
    for kind in ("solution", "second", "mistakes"):
        for each in read_all(kind):
            found[each.number][kind == "mistakes"].append(f"{each.imports.strip()}\n\n{each.source}")
    return found


def hand_in(folder, lesson, notebook, chance):
    data = nbformat.writes(notebook, version=nbformat.NO_CONVERT).encode()
    path = folder / chance.choice(FILES).format(lesson.stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"course/notebooks/{lesson.notebook.name}", data)
    else:
        path.write_bytes(chance.choice(["", "\ufeff"]).encode() + data)
    if chance.random() < 0.2 and path != folder / lesson.notebook.name:
        (folder / lesson.notebook.name).write_bytes(lesson.notebook.read_bytes())  # the blank lies beside it


@pytest.fixture(scope="module")
def graded(tmp_path_factory, grading):
    folder, known, how, chance = tmp_path_factory.mktemp("habits"), {}, {}, random.Random(11)
    every = answers()
    for student in (f"student {i}" for i in range(STUDENTS)):
        for lesson in LESSONS:
            released = nbformat.read(lesson.notebook, as_version=4)
            sources, ways = {}, {}
            for number in exercises(lesson.number):
                right, wrong = every[number]
                kind = chance.choices(["right", "wrong", "blank"], [5, 2, 1])[0]
                ways[number] = chance.choice([*WAYS_TO_WRITE.values()])
                if kind != "blank":
                    sources[number] = chance.choice(right if kind == "right" else wrong)
                known[student, number] = str(int(kind == "right"))
                how[student, number] = kind, next(name for name, way in WAYS_TO_WRITE.items() if way is ways[number])
            notebook = write(released, lesson.first_cell, sources, ways)
            saved = chance.choice([*WAYS_TO_SAVE])
            WAYS_TO_SAVE[saved](notebook)
            for number in exercises(lesson.number):
                how[student, number] += (saved,)
            hand_in(folder / "class" / student, lesson, notebook, chance)
    start = time.perf_counter()
    grading(folder / "class", "--out", folder / "grades")
    seconds = time.perf_counter() - start
    print(f"\n{STUDENTS * len(LESSONS)} notebooks, {seconds / STUDENTS / len(LESSONS):.1f} s each by the clock")
    return folder / "grades", known, how


def test_every_mark_is_what_it_should_be(graded):
    folder, known, how = graded
    rows = csv.DictReader((folder / "grades.csv").read_text().splitlines())
    marks = {(row["student"], number): row[number] for row in rows for number in exercises()}
    pages = json.loads((folder / "grades.json").read_text())
    said = {key: (how[key], pages[key[0]][key[1][0]]["verdicts"][key[1]]) for key in known if marks[key] != known[key]}
    assert marks == known, said
    print(f"{len(known)} marks, {sum(map(int, known.values()))} of them 1")


def test_a_notebook_that_was_written_in_order_says_the_same_itself(graded):
    """nbval's run informs; what it says of a right answer is never worse than "not yet"."""
    pages = json.loads((graded[0] / "grades.json").read_text())
    verdicts = [v for lessons in pages.values() for result in lessons.values() for v in result["verdicts"].values()]
    agree = sum((v["nbval"] == "passed") == (v["outcome"] == "passed") for v in verdicts)
    print(f"nbval agrees in {agree} of {len(verdicts)}")
    assert agree == len(verdicts), [v for v in verdicts if (v["nbval"] == "passed") != (v["outcome"] == "passed")]
    assert not any(re.search("not judged", v["outcome"]) for v in verdicts)
