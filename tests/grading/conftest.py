"""Submissions to grade: the third lesson with this or that in its exercise cells."""

import os
import subprocess

import nbformat
import pytest
from classroom import LESSON, command

from helpers import notebooks
from helpers.grading.answers import answers_of
from helpers.grading.assemble import paste


@pytest.fixture(scope="session")
def lesson():
    """The third lesson as released; a fresh copy of it is `paste(lesson, {})`."""
    return nbformat.read(LESSON.notebook, as_version=4)


@pytest.fixture(scope="session")
def solutions():
    return notebooks.solutions(LESSON)


@pytest.fixture
def answers(lesson):
    """The answers of a notebook in whose exercise cells these sources stand, by number."""
    return lambda sources: answers_of(nbformat.writes(paste(lesson, sources)).encode(), LESSON.number)


@pytest.fixture
def hand_in(tmp_path, lesson):
    """Writes a student's notebook into `tmp_path / "class"`."""

    def write(student, answers=None, notebook=None):
        folder = tmp_path / "class" / student
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook or paste(lesson, answers or {}), folder / LESSON.notebook.name)
        return folder

    return write


@pytest.fixture(scope="session")
def grading():
    """Runs the teacher's command to its end and returns what it printed."""

    def run(*arguments, code=0, preexec_fn=None, **environment):
        done = subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | environment,
            preexec_fn=preexec_fn,
        )
        assert done.returncode == code, done.stderr[-3000:]
        return done

    return run
