"""What a sandboxed program can do and what it cannot, tried from inside; and what passes between it and the judge."""

import io
import json
import os
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from classroom import LESSON

from helpers.exercises.calls import GIVEN, NotAttempted, NotYet
from helpers.exercises.exercise import Check, find_exercise
from helpers.exercises.toys import toy
from helpers.grading import sandbox
from helpers.grading.answers import Answer
from helpers.grading.inside import wire
from helpers.grading.judge import Gone, Worker, judge
from helpers.grading.sandbox import FOR_ANSWERS, Excess, Limits, started

# where no limit of processes holds, a program that only tries it is a danger
needs_a_limit_of_processes = pytest.mark.skipif(
    bool(sandbox.unprotected()) and os.geteuid() == 0, reason="root without bubblewrap may start any number"
)
needs_bubblewrap = pytest.mark.skipif(bool(sandbox.unprotected()), reason="bubblewrap is not here")


def inside(source, limits=None, helpers=FOR_ANSWERS, seconds=30):
    with started([sys.executable, "-c", source], limits or Limits(), helpers) as program:
        return program.rest(100_000, program.within(seconds)).decode().strip()


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


@needs_bubblewrap
@pytest.mark.parametrize(
    "source",
    [
        "import mmap, time\nm = mmap.mmap(-1, 10**9)\nfor i in range(0, 10**9, 4096): m[i] = 1\ntime.sleep(60)",
        "import os, time\nfor i in range(6):\n    if not os.fork(): break\nb = bytearray(10**8)\n"
        "for i in range(0, 10**8, 4096): b[i] = 1\ntime.sleep(60)",
        "import time\nfor k in range(9): open(f'/dev/shm/{k}', 'wb').write(bytes(10**8))\ntime.sleep(60)",
    ],
    ids=["shared", "of many processes", "of files"],
)
def test_memory_ends_somewhere_however_it_is_held(source):
    with pytest.raises(Excess, match=r"it needs more than 0\.5 GB of memory"):
        inside(source, Limits(memory=500_000_000, file=400_000_000))


@needs_bubblewrap
@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_empty_files_end_somewhere(folder):
    many = f"import time\nfor i in range(3000): open(f'{folder}/{{i}}', 'w').close()\ntime.sleep(60)"
    with pytest.raises(Excess, match="it makes more than 1000 files"):
        inside(many, Limits(files=1000))


def test_output_ends_somewhere():
    with pytest.raises(Excess, match="it says more than 100000 bytes"):
        inside("while True: print('x' * 1000)")


BUSY = "import time\nwhile time.process_time() < 1.0: pass\nprint('done')"


def test_processor_time_counts_and_not_the_clock():
    assert inside("import time; time.sleep(2.5); print('done')", seconds=1) == "done"
    assert inside(BUSY, seconds=3) == "done"
    with pytest.raises(TimeoutError):
        inside("while True: pass", seconds=0.5)
    with pytest.raises(TimeoutError):  # that of processes that it has started counts as well
        inside("import os\nif os.fork(): os.wait()\nwhile True: pass", seconds=0.5)
    with pytest.raises(TimeoutError):
        inside("import time; time.sleep(60)", seconds=0.2)


def test_a_busy_machine_costs_nobody_anything():
    hogs = [  # a session each, for time may be shared out by session
        subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        start = time.monotonic()
        assert inside(BUSY, seconds=1.6) == "done"
        assert time.monotonic() - start > 1.6, "by the clock it would have been too late"
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@needs_a_limit_of_processes
def test_processes_of_another_submission_do_not_count():
    many = "import threading, time\nfor i in range(25): threading.Thread(target=time.sleep, args=(60,)).start()\n"
    limits = Limits(processes=30)
    with started([sys.executable, "-c", f"{many}print('all', flush=True)\ntime.sleep(60)"], limits) as other:
        assert other.read(4, other.within(20)) == b"all\n"
        assert inside(f"{many}import os\nprint('all', flush=True)\nos._exit(0)", limits) == "all"


def test_everything_is_dead_afterwards():
    with started([sys.executable, "-c", "import time; time.sleep(60)"], Limits()) as program:
        process = program.process
        assert process.poll() is None and process in sandbox._running
    assert process.poll() is not None and process not in sandbox._running
    with started([sys.executable, "-c", "import time; time.sleep(60)"], Limits()) as program:
        sandbox.kill_all()
        assert program.process.wait(10) != 0


@pytest.mark.parametrize("bubblewrap", [pytest.param(True, marks=needs_bubblewrap), False])
def test_what_a_program_left_running_is_dead_too(bubblewrap, monkeypatch):
    if not bubblewrap:
        monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    source = "import os, time\nif os.fork(): print('over', flush=True), os._exit(0)\ntime.sleep(60)"
    with started([sys.executable, "-c", source], Limits()) as program:
        process = program.process
        assert process.stdout.read(5) == b"over\n" and process.wait(10) == 0
        copy = os.dup(program.stdout.fileno())
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


@pytest.fixture(scope="module")
def lasting_worker():
    """One for all tests that do not end it."""
    made = Worker(Limits())
    yield made
    made.close()


def define(worker, source):
    return worker.ask(("define", "3.1", source), worker.within(30))


def call(worker, name, *arguments, seconds=30):
    return worker.ask(("call", "3.1", name, arguments), worker.within(seconds))


def test_a_worker_defines_calls_and_tells(lasting_worker):
    define(lasting_worker, "import torch\ndef double(x):\n    print('noise')\n    return 2 * x")
    assert call(lasting_worker, "double", torch.ones(2)).tolist() == [2, 2]
    for source, problem in (
        ("def double(x): ...", NotAttempted),
        ("def double(x): return missing", "it raises NameError: name 'missing' is not defined"),
        ("def double(x): x += 1; return x", "it changes what it was given; work on a copy"),
        ("double = 3", "double must be a function, not int"),
        ("import unheard_of", "its cell raises ModuleNotFoundError"),
        ("double = (", "its cell raises SyntaxError"),
        ("import sys; sys.exit()", "its cell raises SystemExit"),
        ("double = 1 / 0", "its cell raises ZeroDivisionError"),
    ):
        with pytest.raises(problem if problem is NotAttempted else NotYet) as told:
            define(lasting_worker, source)
            call(lasting_worker, "double", torch.ones(2))
        assert problem is NotAttempted or str(told.value) == problem


def test_a_statement_that_raises_costs_nothing_that_does_not_need_it(lasting_worker):
    define(lasting_worker, "first = 1 / 0\ndef double(x): return 2 * x\nassert False")
    assert call(lasting_worker, "double", 3) == 6


def test_every_exercise_has_a_module_of_its_own(lasting_worker):
    for number in ("3.1", "3.2"):
        lasting_worker.ask(
            ("define", number, f"NAME = {number!r}\ndef name(): return NAME, __name__"), lasting_worker.within(30)
        )
    for number in ("3.1", "3.2"):
        found = lasting_worker.ask(("call", number, "name", ()), lasting_worker.within(30))
        assert found == (number, f"answer_{number.replace('.', '_')}")


@needs_bubblewrap
@pytest.mark.parametrize(
    "source",
    [
        "from helpers.saliency import saliency as f",
        "from helpers import saliency\ndef f(x): return saliency.saliency(x)",
        "import helpers.saliency\ndef f(x): return helpers.saliency.saliency(x)",
        "from helpers.core.networks import Network\ndef f(x): return Network.receptive_field(x)",
        "from helpers.core import images\ndef f(x): return images.psnr(x, x)",
        "import sys\nfrom helpers.core.activations import distance\n"
        "def f(x):\n    sys.setprofile(None)\n    return distance(x, x)",
        "from helpers.exercises import yours\ndef f(x): return yours('3.1')",
        "from helpers.grading.judge import judge\ndef f(x): return judge(x)",
    ],
)
def test_a_worker_cannot_answer_with_what_the_course_has(lasting_worker, source):
    define(lasting_worker, source)
    with pytest.raises(NotYet, match=r"it (calls helpers\.\S+: write the lines yourself|raises)"):
        call(lasting_worker, "f", torch.ones(1))


@needs_bubblewrap
def test_a_worker_sees_no_answers(lasting_worker):
    path = LESSON.answers / "solution.py"
    assert path.exists()
    looks = [f"return open({str(path)!r}).read()", f"import os; return os.listdir({str(path.parents[2])!r})"]
    looks.append("from helpers.exercises.solutions import find_solution; return find_solution('3.1')")
    looks.append("from helpers.exercises import solution; return solution('3.1', really=True)")
    for look in looks:
        define(lasting_worker, f"def f(x):\n    {look}")
        with pytest.raises(NotYet, match=r"it (raises|calls helpers\.exercises\.\S+: write)"):
            call(lasting_worker, "f", torch.ones(1))


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
        ("import time\ndef f(x):\n    while True: pass", "it takes too long"),
        ("def f(x):\n    raise KeyboardInterrupt", "it ends the whole process, or needs more memory than is allowed"),
        (SCRIBBLES, "its answer cannot be read"),
        ("def f(x): return 'x' * 70_000_000", "its answer cannot be read"),
    ],
)
def test_a_worker_that_gives_no_answer_is_gone(worker, source, message):
    define(worker, source)
    with pytest.raises(Gone) as told:
        call(worker, "f", 1, seconds=1 if "while" in source else 30)
    assert str(told.value) == message


def test_one_bad_answer_costs_only_itself(solutions, answers):
    assert all(found.verdict.outcome == "passed" for found in judge(LESSON.number, answers(solutions)))
    first, second, *others = solutions
    broken = solutions | {
        first: f"import os\ndef {_name(first)}(*arguments): os._exit(0)",
        second: f"def {_name(second)}(*arguments):\n    while True: pass",
    }
    verdicts = {found.verdict.number: found.verdict for found in judge(LESSON.number, answers(broken), seconds=2)}
    assert verdicts[first].message.startswith("it ends the whole process")
    assert verdicts[second].message == "it takes longer than 2 seconds, or 10 by the clock"
    assert [verdicts[number].outcome for number in others] == ["passed"] * len(others)
    assert [found.verdict.outcome for found in judge(LESSON.number, {})] == ["not attempted"] * len(solutions)


FORGERIES = [
    "worker.answer = lambda *a: {'network': 3}",
    "worker.answer = lambda *a: {'dict': 1}",
    "worker.send = lambda *a: None",
    "worker.send = lambda file, value: file.write(bytes(10**9))",
    "worker.define = lambda *a: 3",
    "raise worker.NotAttempted",
    "wire.encode = lambda value: b'\\0\\0\\0\\2[]'",
    "wire.encode = lambda value: b'\\0\\0\\0\\x0e{\"network\": 3}'",
    "wire._tree = lambda *a: {'network': {'kernels': {'plain': 3}}}",
    "wire._tree = lambda *a: {'list': 7}",
    "wire._tree = lambda *a: {'list': [{'plain': 'ok'}]}",
    "wire._tree = lambda *a: {'list': [{'plain': 'ok'}, {'plain': None}, {'plain': None}]}",
    "wire._tree = lambda *a: {'list': [{'plain': 'ok'}, {'odd': 'a\\0b'}]}",
    "import sys; sys._getframe(1).f_locals.clear(); sys._getframe(2).f_globals['answer'] = None",
]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_a_worker_forges_is_read_with_care(solutions, forgery):
    """Answers run in the worker's own process, and may do with it what they like."""
    first = next(iter(solutions))
    name = _name(first)
    forged = f"from helpers.grading.inside import wire, worker\ndef {name}(*a): return 1\n"
    forged += f"def forge(worker):\n    {forgery}\nimport sys\n"
    forged += "forge(worker)\nforge(sys.modules['__main__'])\n"  # which of them runs it
    verdict = judge(LESSON.number, {first: [Answer(forged)]}, seconds=2)[0].verdict
    assert verdict.outcome in ("not yet", "not attempted")


def test_any_definition_that_passes_is_enough(solutions, answers):
    number = next(iter(solutions))
    wrong, blank = f"def {_name(number)}(*arguments): return 1", f"def {_name(number)}(*arguments): ..."
    tries = [Answer("", "too long"), Answer(blank), Answer(wrong), *answers(solutions)[number]]
    assert judge(LESSON.number, {number: tries})[0].verdict.outcome == "passed"
    assert judge(LESSON.number, {number: tries[1:3]})[0].verdict.outcome == "not yet"
    assert judge(LESSON.number, {number: tries[:1]})[0].verdict.message == "too long"
    assert judge(LESSON.number, {number: tries[1:2]})[0].verdict.outcome == "not attempted"


def test_a_fault_of_our_own_is_told_as_ours(solutions, answers, monkeypatch):
    first, *others = solutions

    def fails(*arguments):
        raise KeyError("ours")

    monkeypatch.setitem(find_exercise(first).checks, "fails", Check(fails))
    verdicts = [found.verdict for found in judge(LESSON.number, answers(solutions))]
    assert verdicts[0].outcome == "not judged"
    assert verdicts[0].message == "the grader itself failed on this answer (KeyError: 'ours')"
    assert [verdict.outcome for verdict in verdicts[1:]] == ["passed"] * len(others)


def _name(number):
    return find_exercise(number).name
