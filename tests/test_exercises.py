"""Every exercise: right answers pass, plausible wrong ones fail with the message meant for them."""

import ast
import inspect
import math
import re
import sys
import textwrap
from collections import Counter
from dataclasses import replace
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
SOLUTIONS, SECOND, MISTAKES, MORE = (read_all(kind) for kind in ("solution", "second", "mistakes", "more"))
SEEDS = range(3)
NAN = float("nan")


def verdict(number, namespace, seed=None, changed=lambda found: found):
    """Of a function as it is, or of one whose answers are changed."""
    function = namespace[KNOWN[number].name]
    return KNOWN[number].verdict(lambda *arguments: changed(answer(function, arguments)), seed, trusted=True)


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


@pytest.mark.parametrize("other", MORE, ids=lambda a: f"{a.number} {a.verdict}")
def test_what_is_right_passes_however_it_is_written_and_no_shortcut_does(other):
    space = other.namespace()
    assert {verdict(other.number, space, seed).outcome for seed in SEEDS} == {other.verdict}


# ── What is right in other types, with guards, in other containers ──


def deeply(change):
    """`change` of every tensor of an answer; gradients that it came with stay."""

    def changed(found):
        if isinstance(found, (list, tuple)):
            return type(found)(map(changed, found))
        if not isinstance(found, torch.Tensor):
            return found
        new = change(found)
        if hasattr(found, "slopes"):
            new.slopes = found.slopes
        return new

    return changed


def exchanged(found):
    """Lists for tuples, tuples for lists."""
    if not isinstance(found, (list, tuple)):
        return found
    return (tuple if isinstance(found, list) else list)(map(exchanged, found))


def of_kind(old, new):
    return deeply(lambda tensor: tensor.to(new) if tensor.dtype in old else tensor)


RIGHT = {
    "float32": of_kind([torch.float64], torch.float32),
    "int32": of_kind([torch.int64], torch.int32),
    "int16": of_kind([torch.int64], torch.int16),
    "uint8": of_kind([torch.bool], torch.uint8),
    "int64": of_kind([torch.bool], torch.int64),
    "another container": exchanged,
}


@pytest.mark.parametrize("changed", RIGHT.values(), ids=list(RIGHT))
@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda a: a.number)
def test_right_values_pass_in_every_type_that_holds_them(solution, changed):
    space = solution.namespace()
    assert {verdict(solution.number, space, seed, changed).outcome for seed in SEEDS} == {"passed"}


class Guarded(ast.NodeTransformer):
    """Adds a little below every fraction line; with `roots` to every root and length as well."""

    def __init__(self, little, roots):
        self.little, self.roots = little, roots

    def guard(self, node):
        return ast.BinOp(node, ast.Add(), ast.Constant(self.little))

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.Div) and not isinstance(node.right, ast.Constant):
            node.right = self.guard(node.right)
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        called = getattr(node.func, "attr", "")
        return self.guard(node) if self.roots and called in ("sqrt", "norm") else node


@pytest.mark.parametrize(("little", "roots"), [(1e-8, True), (1e-5, False)])
@pytest.mark.parametrize("solution", SOLUTIONS + SECOND, ids=lambda a: a.number)
def test_a_guard_against_division_by_zero_is_no_mistake(solution, little, roots):
    tree = Guarded(little, roots).visit(ast.parse(solution.source))
    space = replace(solution, source=ast.unparse(ast.fix_missing_locations(tree))).namespace()
    assert {verdict(solution.number, space, seed).outcome for seed in SEEDS} == {"passed"}


# ── What is no answer ──


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


PLAIN = [
    *(0, -3, 10**400, 0.5, NAN, math.inf, 1j, True, "", "words", b"bytes", ..., [], (), {}, {"a": 1}, set()),
    *([None], [[]], [1, 2], (1, 2, 3), [[1, 2], [3]], {1: [2]}, [1.0, "a"], (torch.ones(1), None)),
    *(torch.tensor(each) for each in (NAN, 1, True, 1j, [], [1.0, 2.0])),
    *(torch.zeros(0, 3), torch.ones(2, 2, 2, 2, 2), torch.ones(2, 2).to_sparse(), torch.ones(1).to_sparse()),
    *(torch.zeros(3, device="meta"), torch.zeros((), device="meta"), torch.ones(3, dtype=torch.uint16)),
    *([torch.ones(2, 2)] * 2, (torch.tensor(NAN),) * 2),
]
NEARLY = {  # the right answer with one thing changed
    "of another shape": lambda t: t[None],
    "the first alone": lambda t: t[0] if t.ndim else t[None],
    "nothing": lambda t: t[:0] if t.ndim else t[None],
    "flat": lambda t: t.flatten()[None],
    "complex": lambda t: t.to(torch.complex64),
    "sparse": lambda t: t.to_sparse(),
    "float16": lambda t: t.half(),
    "bfloat16": lambda t: t.bfloat16(),
    "elsewhere": lambda t: t.to("meta"),
    "NaN": lambda t: t.double() * NAN,
    "infinite": lambda t: t.double().nan_to_num() * 0 + math.inf,
    "whole numbers": lambda t: (t.double().nan_to_num() * 0 + 77).to(torch.uint32),
    "other numbers": lambda t: -t.double().nan_to_num() - 1,
}
ODD = {
    **{name: deeply(change) for name, change in NEARLY.items()},
    "as a list": lambda found: found.tolist() if isinstance(found, torch.Tensor) else [found],
    "in a tuple": lambda found: (found,),
    "in a dictionary": lambda found: {"answer": found},
    "in words": str,
}


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda a: a.number)
def test_an_odd_answer_is_refused_in_words_wherever_it_comes(solution):
    """Outcome and message, not an error of the check: neither at once nor after some calls with right answers."""
    exercise, space = KNOWN[solution.number], solution.namespace()
    for odd in PLAIN:
        found = exercise.verdict(lambda *_, odd=odd: odd, 0, trusted=True)
        assert found.outcome == "not yet" and found.message and len(found.difference) <= 500, odd
    calls = 0

    def after(right, change):
        def changed(found):
            nonlocal calls
            calls += 1
            return found if calls <= right else change(found)

        return changed

    for name, change in ODD.items():
        if solution.number in ("3.2", "3.4") and name in NEARLY:
            continue  # these return numbers, which hold no tensor
        for right in (0, 1, 3):
            calls = 0
            found = verdict(solution.number, space, 0, after(right, change))
            assert calls <= right or (found.outcome == "not yet" and found.message), (name, right)


def test_messages_are_short_and_give_no_numbers_away():
    for mistake in MISTAKES:
        assert mistake.verdict.startswith("not yet: ") and 10 < len(mistake.verdict) < 160, mistake
        assert not re.search(r"\d\.\d{2,}", mistake.verdict), mistake


# ── Messages ──


def told_messages():
    """(file, message) of every message that is written out in a check: the keys of its dictionaries of mistakes."""
    for path in sorted(Path(exercise_module.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            keys = [key for key in node.keys if isinstance(key, ast.Constant)] if isinstance(node, ast.Dict) else []
            yield from ((path.stem, key.value) for key in keys if isinstance(key.value, str) and " " in key.value)


def test_every_message_that_a_check_knows_is_earned_by_a_mistake():
    earned = {mistake.verdict.removeprefix("not yet: ") for mistake in MISTAKES}
    messages = list(told_messages())
    assert len(messages) > 400
    assert [(file, message) for file, message in messages if message not in earned] == []


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

    def stumbles(image):
        from helpers.core.priors import total_variation

        return total_variation(image, 1 / 0 if total_variation(image).sum() else 0)

    with pytest.raises(NotYet, match=re.escape(told)):
        answer(stumbles, (torch.rand(1, 3, 4, 4),))
    used = torch.rand(2, requires_grad=True)
    used.grad = torch.ones(2)

    def clears(x):
        x.grad = None
        (3 * x).sum().backward()
        return x.grad

    def adds(x):
        (3 * x).sum().backward()
        return x.grad

    with pytest.raises(NotYet, match="it changes what it was given"):
        answer(clears, (used,))
    assert answer(adds, (used,)).tolist() == [4, 4], "an old gradient that shows is for the check to tell"
    network = toy(head=torch.rand(2, 12))
    assert answer(lambda n, x: n.activation(x, "logits"), (network, torch.rand(1, 3, 2, 2))).shape == (1, 2)


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (None, torch.zeros(2), "it returns None; is a return missing?"),
        ([0.0, 0.0], torch.zeros(2), "it should return a tensor, not a list of 2"),
        (torch.zeros(3), torch.zeros(2), "the shape is (3,), but should be (2,) here"),
        (torch.zeros(2).half(), torch.zeros(2), "the numbers are float16, but should be float32 or float64"),
        (torch.zeros(2), torch.zeros(2).long(), "the numbers are float32, but should be whole numbers"),
        (torch.zeros(2).bool(), torch.zeros(2).long(), "the numbers are bool, but should be whole numbers"),
        (torch.zeros(2), torch.zeros(2).bool(), "the numbers are float32, but should be True and False"),
        (2 * torch.ones(2).int(), torch.ones(2).bool(), "shape and type are right, but 2 of 2 values not"),
        (torch.zeros(2) + 0j, torch.zeros(2), "the numbers are complex64, but should be real"),
        (
            torch.zeros(2).to_sparse(),
            torch.zeros(2),
            "it should return an ordinary tensor, not one that is sparse, nested or quantised",
        ),
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
    compare(torch.ones(2), torch.ones(2).double() + 1e-6)
    compare(torch.ones(2).int(), torch.ones(2).long())
    compare(torch.ones(2).int(), torch.ones(2).bool())
    compare(torch.tensor([1e-6, 1.0]), torch.tensor([0.0, 1.0]))  # beside the largest it is nothing
    with pytest.raises(NotYet, match="the sign is turned"):
        compare(-torch.ones(2), torch.ones(2), {"another": torch.zeros(2), "the sign is turned": -torch.ones(2)})


def test_a_teacher_is_told_where_an_answer_differs():
    def difference(found, truth):
        with pytest.raises(NotYet) as told:
            compare(found, truth, {"the sign is turned": -truth} if isinstance(truth, torch.Tensor) else None)
        return told.value.difference

    truth = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double()
    start = "tensor float64 [2, 2] where tensor float64 [2, 2] is right"
    assert difference(-truth, truth) == f"{start}; worst at [1, 1]: -4, right is 4"
    assert difference(truth * torch.tensor([1, NAN]), truth).startswith(f"{start}; worst at [0, 1]: nan, right is 2")
    assert difference(torch.ones(3), truth) == "tensor float32 [3] where tensor float64 [2, 2] is right"
    assert difference((1, 3), (1, 2)) == "number 2 of 2: 3 where 2 is right"
    assert difference("x" * 900, 2).startswith("a str") or len(difference("x" * 900, 2)) <= 500
    wrong = KNOWN["8.4"].verdict(lambda features, dy, dx: features)
    assert wrong.difference.startswith("tensor float64 [2, 3, 5, 7] where") and wrong.difference not in str(wrong)


def test_an_error_of_the_check_itself_is_the_judges_to_tell(monkeypatch):
    monkeypatch.setattr("helpers.exercises.exercise._known", {})

    @exercise("0.1", "double")
    def broken(student, draw):
        compare(student(1) + 1, 2)

    known = exercise_module._known["0.1"]
    assert known.verdict(lambda x: "1").message == "the answer cannot be compared (TypeError)"
    with pytest.raises(TypeError):
        known.verdict(lambda x: "1", trusted=True)


def test_gradients_outlive_the_graph():
    x, y, plain = torch.rand(3, requires_grad=True), torch.rand(3, requires_grad=True), torch.rand(3)
    found = answer(lambda a, b, c: (a * c).square(), (x, y, plain))
    by_x, by_y = found.slopes
    assert torch.allclose(by_x, 2 * x * plain**2) and by_y is None
    assert torch.autograd.grad(found.sum(), found)[0].tolist() == [1, 1, 1], "the graph is still there"
    assert answer(lambda a: torch.ones(2, requires_grad=True), (x,)).slopes == [None]
    for cut in (lambda a: a.detach(), lambda a: [a], lambda a: a.shape and None, lambda a: 2.0):
        assert not hasattr(answer(cut, (x,)), "slopes")
    assert not hasattr(answer(lambda c: c.clone().requires_grad_(), (plain,)), "slopes")

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(context, a):
            return a.clone()

        @staticmethod
        def backward(context, gradient):
            raise RuntimeError

    assert not hasattr(answer(Broken.apply, (x,)), "slopes")


def test_a_refusal_inside_the_function_is_passed_on():
    def far_away(x):
        raise NotYet("said elsewhere", "here and there")

    with pytest.raises(NotYet, match="said elsewhere") as told:
        answer(far_away, (1,))
    assert told.value.difference == "here and there"


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
