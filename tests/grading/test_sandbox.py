"""What a sandboxed program can do and what it cannot, tried from inside; and what passes between it and the judge."""

import io
import json
import os
import select
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.exercises.calls import GIVEN, NotAttempted, NotYet
from helpers.exercises.toys import toy
from helpers.grading import sandbox
from helpers.grading.inside import wire
from helpers.grading.judge import Gone, Worker, judge
from helpers.grading.sandbox import FOR_ANSWERS, Limits, started

# where no limit of processes holds, a program that only tries it is a danger
needs_a_limit_of_processes = pytest.mark.skipif(
    bool(sandbox.unprotected()) and os.geteuid() == 0, reason="root without bubblewrap may start any number"
)
needs_bubblewrap = pytest.mark.skipif(bool(sandbox.unprotected()), reason="bubblewrap is not here")


def inside(source, limits=None, helpers=FOR_ANSWERS):
    with started([sys.executable, "-c", source], limits or Limits(), helpers) as process:
        return process.communicate(timeout=60)[0].decode().strip()


def test_python_runs_inside():
    assert inside("print(6 * 7)") == "42"


@needs_bubblewrap
def test_neither_files_nor_network_nor_other_processes_are_seen(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("seen")
    here = Path(__file__)
    for source in (
        f"print(open({str(secret)!r}).read())",
        f"print(open({str(here)!r}).read())",
        f"open({str(here.parents[2] / 'helpers' / 'core' / 'images.py')!r}, 'a')",
        "import helpers.saliency; print('seen')",
        "import helpers.core.priors; print('seen')",
        "import helpers.exercises.exercise; print('seen')",
        "import helpers.grading.judge; print('seen')",
        "import socket; socket.create_connection(('127.0.0.1', 22), 2); print('seen')",
        "import os; print('seen' if len([n for n in os.listdir('/proc') if n.isdigit()]) > 3 else '')",
        "import os; print('seen' if os.environ.get('SECRET') else '')",
        "open('/usr/planted', 'w'); print('seen')",
        "open('/planted', 'w'); print('seen')",
        "import os; os.setuid(0); print('seen')",
    ):
        assert inside(source) == "", source
    assert inside("import helpers.saliency; print('seen')", helpers=None) == "seen", "a notebook needs the course"


@needs_bubblewrap
def test_the_course_that_an_answer_sees_is_what_it_may_stand_on():
    given = [f"helpers.{name}" for name in GIVEN]
    source = f"import importlib, json, sys\nfor name in {given}: importlib.import_module(name)\n"
    source += "import helpers.grading.inside.worker\n"
    source += "print(json.dumps([name for name in sys.modules if name.split('.')[0] == 'helpers']))"
    seen = set(json.loads(inside(source)))
    packages = {"helpers", "helpers.core", "helpers.exercises", "helpers.grading", "helpers.grading.inside"}
    assert seen == {*given, *packages, "helpers.grading.inside.worker", "helpers.grading.inside.wire"}
    assert {name for name in FOR_ANSWERS if "inside" not in name and "__init__" not in name} == {
        f"{name.replace('.', '/')}.py" for name in GIVEN
    }


def test_memory_and_files_end_somewhere():
    small = Limits(memory=300_000_000, file=1_000_000)
    assert inside("b = bytearray(10**9)\nprint('all')", small) == ""
    assert inside("b = bytearray(10**8)\nprint('all')", small) == "all"
    assert inside("open('/tmp/x', 'wb').write(bytes(2_000_000))\nprint('all')", small) == ""


@needs_a_limit_of_processes
def test_processes_end_somewhere():
    bomb = "import os, time\nfor i in range(100):\n    if not os.fork(): time.sleep(9), os._exit(0)\nprint('all')"
    assert inside(bomb, Limits(processes=30)) == ""


@needs_bubblewrap
@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_many_files_end_somewhere_too(folder):
    many = f"for i in range(9): open(f'{folder}/{{i}}', 'wb').write(bytes(900_000))\nprint('all')"
    assert inside(many, Limits(file=1_000_000)) == ""


def test_everything_is_dead_afterwards():
    with started([sys.executable, "-c", "import time; time.sleep(60)"], Limits()) as process:
        assert process.poll() is None and process in sandbox._running
    assert process.poll() is not None and process not in sandbox._running
    with started([sys.executable, "-c", "import time; time.sleep(60)"], Limits()) as process:
        sandbox.kill_all()
        assert process.wait(10) != 0


@pytest.mark.parametrize("bubblewrap", [pytest.param(True, marks=needs_bubblewrap), False])
def test_what_a_program_left_running_is_dead_too(bubblewrap, monkeypatch):
    if not bubblewrap:
        monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    source = "import os, time\nif os.fork(): print('over', flush=True), os._exit(0)\ntime.sleep(60)"
    with started([sys.executable, "-c", source], Limits()) as process:
        assert process.stdout.read(5) == b"over\n" and process.wait(10) == 0
        copy = os.dup(process.stdout.fileno())
    with os.fdopen(copy, "rb") as rest:  # at its end as soon as nobody is left to write
        assert select.select([rest], [], [], 10)[0] and rest.read() == b""


def test_without_bubblewrap_the_limits_hold_and_a_line_says_what_does_not(monkeypatch):
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    assert "bubblewrap is not here" in sandbox.unprotected()
    assert inside("print(6 * 7)") == "42"
    assert inside("b = bytearray(10**9)\nprint('all')", Limits(memory=300_000_000)) == ""


# ── Wire ──


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b) and a.requires_grad == b.requires_grad
    return all(map(same, a, b)) if isinstance(a, (list, tuple)) else a == b and type(a) is type(b)


def test_values_survive_the_wire():
    leaf = torch.rand(2, 3).double().requires_grad_()
    leaf.grad = torch.ones_like(leaf)
    values = [None, True, 3, 2.5, "words ∂", torch.arange(6).view(2, 3).T, torch.rand(2, 0), torch.tensor(True), leaf]
    again = wire.decode(wire.encode([*values, (1, [2])]))
    assert same(again, [*values, (1, [2])])
    assert torch.equal(again[8].grad, leaf.grad)
    network = toy([torch.rand(2, 3, 2, 2).double()], torch.rand(3, 8).double(), "tanh", mean=(0.1, 0.2, 0.3))
    image = torch.rand(2, 3, 3, 3).double()
    assert torch.equal(wire.decode(wire.encode(network))(image), network(image))


def test_numpy_numbers_arrive_as_plain_ones():
    assert same(wire.decode(wire.encode([np.int64(2), np.float64(0.5)])), [2, 0.5])


def test_what_cannot_be_sent_becomes_a_word_for_it():
    class Equal:
        def __eq__(self, other):
            return True

    for value, name in ((Equal(), "Equal"), (print, "builtin_function_or_method"), ({1}, "set")):
        again = wire.decode(wire.encode(value))
        assert type(again).__name__ == name and isinstance(again, wire.Odd)
    assert isinstance(wire.decode(wire.encode(torch.rand(2).to_sparse())), wire.Odd)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x00\x00",
        struct.pack(">I", 99) + b"{}",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x04\xff\xff\xff\xff",
        *(
            struct.pack(">I", len(tree)) + tree
            for tree in (
                b'{"tensor": "float64", "shape": [1000000000000], "start": 0}',
                b'{"tensor": "float64", "shape": [-1], "start": 0}',
                b'{"tensor": "float64", "shape": [2.5], "start": 0}',
                b'{"tensor": "load", "shape": [1], "start": 0}',
                b'{"tensor": "uint8", "shape": [1], "start": -1}',
                b'{"plain": [1]}',
                b'{"list": ' * 5000,
            )
        ),
    ],
)
def test_nonsense_on_the_wire_is_one_error(message):
    with pytest.raises(ValueError, match="not a message"):
        wire.decode(message)


def test_a_message_too_large_is_not_read():
    with pytest.raises(ValueError, match="are allowed"):
        wire.receive(io.BytesIO(struct.pack(">I", wire.LARGEST + 1)).read)


# ── Worker and judge ──


@pytest.fixture
def worker():
    made = Worker(Limits())
    yield made
    made.close()


def test_a_worker_defines_calls_and_tells(worker):
    worker.ask(("define", "def double(x):\n    print('noise')\n    return 2 * x"), 30)
    assert worker.ask(("call", "double", (torch.ones(2),)), 30).tolist() == [2, 2]
    for source, problem in (
        ("def double(x): ...", NotAttempted),
        ("def double(x): return missing", "it raises NameError: name 'missing' is not defined"),
        ("def double(x): x += 1; return x", "it changes what it was given; work on a copy"),
        ("double = 3", "double must be a function, not int"),
        ("import unheard_of", "its cell raises ModuleNotFoundError"),
        ("double = (", "its cell raises SyntaxError"),
        ("import sys; sys.exit()", "its cell raises SystemExit"),
    ):
        with pytest.raises(problem if problem is NotAttempted else NotYet) as told:
            worker.ask(("define", source), 30)
            worker.ask(("call", "double", (torch.ones(2),)), 30)
        assert problem is NotAttempted or str(told.value) == problem


@needs_bubblewrap
def test_a_worker_cannot_answer_with_what_the_course_has(worker):
    with pytest.raises(NotYet, match="its cell raises ModuleNotFoundError"):
        worker.ask(("define", "from helpers.saliency import saliency"), 30)


SCRIBBLES = """
import os

def f(x):
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, b"0" * 99)
        except OSError:
            pass
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os\ndef f(x): os._exit(0)", "it ends the whole process, or needs more memory than is allowed"),
        ("import time\ndef f(x): time.sleep(60)", "it takes longer than 2 seconds"),
        (SCRIBBLES, "its answer cannot be read"),
        ("def f(x): return 'x' * 70_000_000", "its answer cannot be read"),
    ],
)
def test_a_worker_that_gives_no_answer_is_gone(worker, source, message):
    worker.ask(("define", source), 30)
    with pytest.raises(Gone) as told:
        worker.ask(("call", "f", (1,)), 2 if "sleep" in source else 30)
    assert str(told.value) == message


def test_one_bad_answer_costs_only_itself(solutions):
    assert all(verdict.outcome == "passed" for verdict in judge(3, solutions))
    first, second, *others = solutions
    broken = solutions | {
        first: "import os; os._exit(0)",
        second: f"import time\n\n\ndef {_name(second)}(*arguments):\n    time.sleep(60)",
    }
    verdicts = {verdict.number: verdict for verdict in judge(3, broken, seconds=5)}
    assert verdicts[first].message.startswith("it ends the whole process")
    assert verdicts[second].message == "it takes longer than 5 seconds"
    assert [verdicts[number].outcome for number in others] == ["passed"] * len(others)
    assert [verdict.outcome for verdict in judge(3, {})] == ["not attempted"] * len(solutions)


def _name(number):
    from helpers.exercises.exercise import find_exercise

    return find_exercise(number).name
