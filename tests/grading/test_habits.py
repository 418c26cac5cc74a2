"""Whatever a student does to a notebook without meaning harm, each answer is worth what it is worth by itself."""

import functools
import json
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from habits import WAYS_TO_SAVE, WAYS_TO_WRITE, write

from helpers import notebooks
from helpers.core.lessons import LESSONS
from helpers.exercises.calls import NotAttempted, NotYet, answer, find
from helpers.exercises.exercise import exercises
from helpers.exercises.verdict import BLANK, WRONG, Verdict
from helpers.grading.answers import answers_of
from helpers.grading.inside.worker import define


@functools.cache
def released(lesson):
    return nbformat.read(lesson.notebook, as_version=4)


@functools.cache
def solutions(lesson):
    return notebooks.solutions(lesson)


@functools.cache  # most ways lead to the same source
def verdict(lesson, number, candidate):
    """What the judge says of an answer, without the sandbox around it."""
    exercise = exercises(lesson)[number]
    try:
        assert not candidate.problem
        # in a thread, for a browser's test may have left a loop running in this one, and an answer may await
        with ThreadPoolExecutor(1) as thread:
            space, problem = thread.submit(define, candidate.source, f"answer_{number.replace('.', '_')}").result()
        function = find(exercise.name, space)
    except NotAttempted:
        return Verdict(number, BLANK, problem)
    except NotYet as error:
        return Verdict(number, WRONG, str(error))
    return exercise.verdict(lambda *arguments: answer(function, arguments))


def passed(lesson, notebook):
    """The exercises of a submitted notebook that pass, and what is said of the others."""
    said, count = {}, 0
    for number, candidates in answers_of(json.dumps(notebook).encode(), lesson.number).items():
        found = [verdict(lesson.number, number, candidate) for candidate in candidates]
        said[number] = next((str(v) for v in found if v.outcome == "passed"), str(found[0]))
        count += said[number] == f"Exercise {number} — passed"
    return count, said


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
@pytest.mark.parametrize("way", WAYS_TO_WRITE)
def test_a_way_to_write_loses_nothing(lesson, way):
    notebook = write(released(lesson), lesson.first_cell, solutions(lesson), WAYS_TO_WRITE[way])
    count, said = passed(lesson, notebook)
    assert count == len(solutions(lesson)), said


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
@pytest.mark.parametrize("way", WAYS_TO_SAVE)
@pytest.mark.parametrize("written", ["as it is", "helper of the same name"])
def test_a_way_to_save_loses_nothing(lesson, way, written):
    notebook = write(released(lesson), lesson.first_cell, solutions(lesson), WAYS_TO_WRITE[written])
    WAYS_TO_SAVE[way](notebook)
    count, said = passed(lesson, notebook)
    assert count == len(solutions(lesson)), said
    blank = write(released(lesson), lesson.first_cell, {}, WAYS_TO_WRITE[written])
    WAYS_TO_SAVE[way](blank)
    assert answers_of(json.dumps(blank).encode(), lesson.number) == {}
