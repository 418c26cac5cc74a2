"""Every exercise: right answers pass, plausible wrong ones fail with the message meant for them."""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from read_answers import read_all

from helpers.core.lessons import LESSONS
from helpers.exercises import check, yours
from helpers.exercises import exercise as exercise_module
from helpers.exercises.calls import NotYet, answer
from helpers.exercises.exercise import Draw, compare, exercise, exercises, find_exercise, find_stand_in
from helpers.exercises.toys import toy
from helpers.grading.assemble import exercise_cells

KNOWN = exercises()
BLANKS = [cell for lesson in LESSONS for cell in exercise_cells(nbformat.read(lesson.notebook, as_version=4)).values()]
SOLUTIONS, SECOND, MISTAKES = (read_all(kind) for kind in ("solution", "second", "mistakes"))
SEEDS = range(3)


def verdict(number, namespace, seed=None):
    function = namespace[KNOWN[number].name]
    return KNOWN[number].verdict(lambda *arguments: answer(function, arguments), seed)


def said(number, namespace, capsys):
    """The line that a reader's notebook shows."""
    exec("from helpers.exercises import check", namespace)
    exec(f"check({number!r})", namespace)
    return capsys.readouterr().out


# ── The answers ──


def test_there_are_enough_of_them():
    lessons = Counter(number.partition(".")[0] for number in KNOWN)
    assert set(lessons) == {str(i + 1) for i in range(len(LESSONS))} and min(lessons.values()) >= 3
    assert len(KNOWN) >= 30
    assert [a.number for a in SOLUTIONS] == list(KNOWN) == [a.number for a in SECOND]
    mistakes = Counter(answer.number for answer in MISTAKES)
    assert set(mistakes) == set(KNOWN) and min(mistakes.values()) >= 4 and len(MISTAKES) >= 590
    print(
        f"\n{len(KNOWN)} exercises, {len(SOLUTIONS)} + {len(SECOND)} solutions accepted, {len(MISTAKES)} mistakes told"
    )


@pytest.mark.parametrize("solution", SOLUTIONS + SECOND, ids=lambda a: a.number)
def test_a_solution_passes_whatever_the_numbers_drawn(solution, capsys):
    space = solution.namespace()
    assert {str(verdict(solution.number, space, seed)) for seed in SEEDS} == {f"Exercise {solution.number} — passed"}
    assert said(solution.number, space, capsys) == f"Exercise {solution.number} — passed\n"


def test_the_second_solutions_are_not_the_first():
    for first, second in zip(SOLUTIONS, SECOND, strict=True):
        assert first.source != second.source


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda a: f"{a.number} {a.verdict[9:50]}")
def test_a_mistake_is_told_by_name_whatever_the_numbers_drawn(mistake, capsys):
    space = mistake.namespace()
    expected = f"Exercise {mistake.number} — {mistake.verdict}"
    assert {str(verdict(mistake.number, space, seed)) for seed in SEEDS} == {expected}
    assert said(mistake.number, space, capsys) == expected + "\n"


@pytest.mark.parametrize("number", KNOWN)
def test_what_is_no_answer_is_refused(number, capsys):
    name = KNOWN[number].name
    odd = {
        "": "not attempted",
        f"{name} = None": "not attempted",
        f"def {name}(*arguments): ...": "not attempted",
        f"def {name}(*arguments):\n    '''words'''\n    pass": "not attempted",
        f"def {name}(*arguments): raise NotImplementedError": "not attempted",
        f"{name} = 3": f"not yet: {name} must be a function, not int",
        f"def {name}(*arguments): return len(arguments) and None": "not yet: it returns None; is a return missing?",
        f"def {name}(*arguments): 1 / 0": "not yet: it raises ZeroDivisionError: division by zero",
        f"def {name}(*arguments): raise SystemExit": "not yet: it raises SystemExit",
    }
    for source, expected in odd.items():
        space = {"__name__": "answer"}
        exec(source, space)
        assert said(number, space, capsys) == f"Exercise {number} — {expected}\n"
    for wrong in ("'words'", "object()", "[]", "float('nan')", "__import__('torch').tensor(float('nan'))", "print"):
        space = {"__name__": "answer"}
        exec(f"def {name}(*arguments): return {wrong}", space)
        assert said(number, space, capsys).startswith(f"Exercise {number} — not yet: "), wrong


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda a: a.number)
def test_an_answer_of_another_type_or_shape_is_refused(solution):
    """The right values with one thing changed; answers that are no tensors are wrapped in a list."""
    function = solution.namespace()[KNOWN[solution.number].name]

    def changed(change):
        def student(*arguments):
            found = answer(function, arguments)
            return change(found) if isinstance(found, torch.Tensor) and found.is_floating_point() else [found]

        return KNOWN[solution.number].verdict(student)

    for change in (torch.Tensor.half, lambda t: t[None], lambda t: t * float("nan"), lambda t: -t - 1):
        assert changed(change).outcome == "not yet"


def test_messages_are_short_and_give_no_numbers_away():
    for mistake in MISTAKES:
        assert mistake.verdict.startswith("not yet: ") and 10 < len(mistake.verdict) < 160, mistake
        assert not re.search(r"\d\.\d{2,}", mistake.verdict), mistake


# ── Messages ──


def told_messages():
    """(lesson, message) of every message that is written out in a check: the keys of its dictionaries of mistakes."""
    for lesson in LESSONS:
        for node in ast.walk(ast.parse(Path(importlib.import_module(lesson.checks).__file__).read_text())):
            keys = [key for key in node.keys if isinstance(key, ast.Constant)] if isinstance(node, ast.Dict) else []
            yield from ((lesson, key.value) for key in keys if isinstance(key.value, str) and " " in key.value)


def test_every_message_that_a_check_knows_is_earned_by_a_mistake():
    earned = {mistake.verdict.removeprefix("not yet: ") for mistake in MISTAKES}
    messages = list(told_messages())
    assert len(messages) > 400
    assert [(lesson.stem, message) for lesson, message in messages if message not in earned] == []


# ── Stand-ins ──


@pytest.mark.parametrize("number", KNOWN)
def test_a_stand_in_pasted_as_an_answer_does_not_pass(number):
    function = find_stand_in(number).function
    source = re.sub(r"\A@stand_in\((?:[^()]|\([^()]*\))*\)\n", "", textwrap.dedent(inspect.getsource(function)))
    space = dict(vars(sys.modules[function.__module__]))
    exec(compile(source, "<answer>", "exec"), space)
    pasted = space[function.__name__]
    assert verdict(number, {KNOWN[number].name: pasted}).outcome != "passed"


@pytest.mark.parametrize("number", KNOWN)
def test_a_stand_in_takes_what_the_readers_function_takes(number):
    blank = next(cell for cell in BLANKS if cell.metadata.exercise == number)
    space = {}
    exec(blank.source, space)
    asked = list(inspect.signature(space[KNOWN[number].name]).parameters)
    assert list(inspect.signature(find_stand_in(number).function).parameters) == asked


# ── The machinery ──


def test_a_check_is_made_for_each_case_in_order(monkeypatch):
    monkeypatch.setattr("helpers.exercises.exercise._known", {})
    seen = []

    @exercise("0.1", "double", cases=[(1, 2), (3, 4)])
    def sizes(student, draw, height, width):
        seen.append((height, width))
        compare(student(height * width), 2 * height * width)

    @exercise("0.1", "double")
    def by_hand(student, draw):
        seen.append("by hand")
        compare(student(5), 10)

    known = exercise_module._known["0.1"]
    assert known.verdict(lambda x: 2 * x, devices=["cpu"]).outcome == "passed" and seen == [(1, 2), (3, 4), "by hand"]
    assert known.verdict(lambda x: 10 if x == 5 else 0).outcome == "not yet"
    assert known.verdict(lambda x: 0 if x == 5 else 2 * x).outcome == "not yet"
    with pytest.raises(ValueError, match=r"exercise 0\.1 asks for double already, not for half"):
        exercise("0.1", "half")(by_hand)


def test_mistakes_are_worked_out_only_when_an_answer_is_wrong():
    def never():
        raise AssertionError("worked out for a right answer")

    compare(2, 2, never)
    with pytest.raises(NotYet, match="one too many"):
        compare(3, 2, lambda: {"one too many": 3})


def test_check_prints_and_keeps_the_random_numbers_of_the_reader(capsys):
    space = SOLUTIONS[0].namespace()
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    said(SOLUTIONS[0].number, space, capsys)
    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_number_is_one_clear_error():
    for number in ("3.99", "0.1", "12.1", "words"):
        with pytest.raises(ValueError, match=re.escape(f"there is no exercise {number!r}; exercises: 1.1, ")):
            check(number)
    assert find_exercise("3.1").number == "3.1"


def test_yours_is_the_readers_function_only_when_it_passes(capsys):
    solution = SOLUTIONS[0]
    space = solution.namespace() | {"yours": yours}
    exec(f"found = yours({solution.number!r})", space)
    assert space["found"] is space[KNOWN[solution.number].name] and capsys.readouterr().out == ""
    space[KNOWN[solution.number].name] = lambda *arguments: 1 / 0
    exec(f"found = yours({solution.number!r})", space)
    assert space["found"] is find_stand_in(solution.number).function
    printed = capsys.readouterr().out
    assert printed.startswith(f"Exercise {solution.number} is not solved yet: ") and printed.count("\n") == 1


def test_yours_says_truthfully_what_is_used():
    for number in KNOWN:
        found = find_stand_in(number)
        if found.weaker:
            assert str(found) == f"something simpler is used here: {found.weaker}" and not found.weaker.endswith(".")
        else:
            assert str(found) == "the course's own function is used here"


def test_what_a_call_may_not_do():
    given = [torch.zeros(3), torch.ones(2)]

    def spoils(values):
        values[1][0] = 5
        return values[0]

    with pytest.raises(NotYet, match="it changes what it was given"):
        answer(spoils, (given,))
    assert given[1].tolist() == [1, 1], "the reader's function had a copy"

    def borrows(image):
        from helpers.core.priors import total_variation

        return total_variation(image)

    told = "it calls helpers.core.priors.total_variation: write the lines yourself"
    with pytest.raises(NotYet, match=re.escape(told)):
        answer(borrows, (torch.rand(1, 3, 4, 4),))

    def peeps(values):
        from helpers.exercises.saliency import _joined

        return _joined(values)

    with pytest.raises(NotYet, match=re.escape("it calls helpers.exercises.saliency._joined: write the lines")):
        answer(peeps, (torch.rand(1, 3, 4, 4),))
    network = toy(head=torch.rand(2, 12))
    assert answer(lambda n, x: n.activation(x, "logits"), (network, torch.rand(1, 3, 2, 2))).shape == (1, 2)


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (None, torch.zeros(2), "it returns None; is a return missing?"),
        ([0.0, 0.0], torch.zeros(2), "it should return a tensor, not a list of 2"),
        (torch.zeros(3), torch.zeros(2), "the shape is (3,), but should be (2,) here"),
        (torch.zeros(2), torch.zeros(2).double(), "the numbers are float32, but should be float64 as the input is"),
        (torch.zeros(2, device="meta"), torch.zeros(2), "the answer is on meta, but the input is on cpu"),
        (torch.tensor([0, float("nan")]), torch.zeros(2), "the answer holds NaN"),
        (torch.tensor([0.0, 1.0]), torch.zeros(2), "shape and type are right, but 1 of 2 values not"),
        ((1, 2), (1, 2, 3), "it should return 3 things, not a tuple of 2"),
        ((1, 3), (1, 2), "of the 2 things returned, number 2: the number is not right yet"),
        ("1", 1, "it should return a number, not a str"),
        (True, 1.0, "it should return a number, not a bool"),
        (float("nan"), 1.0, "it returns NaN"),
        (2.0, 1, "the number is not right yet"),
        (1, True, "the answer is not right yet"),
    ],
)
def test_compare_says_what_is_wrong(found, truth, message):
    with pytest.raises(NotYet) as told:
        compare(found, truth)
    assert str(told.value) == message


def test_compare_accepts_what_is_right_and_tells_a_known_mistake():
    compare(torch.ones(2, requires_grad=True), torch.ones(2))
    compare(torch.tensor(1.5), 1.5)
    compare((np.int64(2), np.float32(0.5)), (2, 0.5))
    compare([torch.ones(1), 2], (torch.ones(1), 2))
    with pytest.raises(NotYet, match="the sign is turned"):
        compare(-torch.ones(2), torch.ones(2), {"another": torch.zeros(2), "the sign is turned": -torch.ones(2)})


def test_the_draws_are_new_every_time_and_the_same_for_a_seed(device):
    assert torch.equal(Draw(1, device).normal(4), Draw(1, device).normal(4))
    assert not torch.equal(Draw(1, device).normal(4), Draw(2, device).normal(4))
    draw = Draw(0, device)
    assert draw.uniform(50, low=2, high=3).min() >= 2 and draw.normal(1).device.type == device
    assert {draw.integer(1, 3) for _ in range(60)} == {1, 2, 3}
    assert sorted(draw.order(5).tolist()) == [0, 1, 2, 3, 4] and draw.tensor([1, 2]).dtype == torch.float64


def test_a_toy_is_the_network_that_its_weights_say():
    kernel, head = torch.tensor([[[[2.0]], [[0.0]], [[-1.0]]]]), torch.tensor([[1.0, 1, 1, 1]])
    network = toy([kernel], head, mean=(0.5, 0, 0))
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[0.5, 1.0], [0.0, 0.5]])
    assert network.activation(image, "conv1").tolist() == [[[[0, 1], [-1, 0]]]]
    assert network(image).tolist() == [[1]] and network.activation(image, "penultimate").shape == (1, 4)
    assert network.mean_pixel.tolist() == [0.5, 0, 0]
    assert toy([kernel], head, "none", mean=(0.5, 0, 0))(image).tolist() == [[0]]
