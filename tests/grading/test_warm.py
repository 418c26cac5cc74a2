"""What a forked answer finds, and what the next one finds of it: each trace is left, seen in the same process, and gone
in the next; what is forked has the rights and limits of what is started.
"""

import json
import os
import signal
import time

import psutil
import pytest
from classroom import LESSON

from helpers.exercises.calls import NotYet
from helpers.exercises.exercise import find_exercise
from helpers.grading import grade as grading_of_one
from helpers.grading import judge as judging
from helpers.grading import sandbox, warm
from helpers.grading.answers import Answer
from helpers.grading.grade import grade
from helpers.grading.judge import Gone, Worker, judge
from helpers.grading.sandbox import FOR_ANSWERS, Limits
from helpers.grading.warm import Ready

needs_forks = pytest.mark.skipif(bool(sandbox.unprotected()), reason="bubblewrap is not here: nothing is forked")


@pytest.fixture
def ready():
    """Answers as the judge runs them, with a process of the test's own that forks."""
    made = Ready("helpers.grading.inside.worker", FOR_ANSWERS)
    yield made
    made._end()


@pytest.fixture
def worker():
    made = Worker(Limits())
    yield made
    made.close()


def told(worker, source, seconds=30):
    """What the function `f` of a source returns in a worker."""
    until = worker.within(seconds)
    worker.ask(("define", "3.1", source), until)
    return worker.ask(("call", "3.1", "f", ()), until)


@needs_forks
def test_answers_and_notebooks_are_forked(worker, solutions, answers):
    assert worker.forked
    number = next(iter(solutions))
    assert grade(LESSON.number, answers({number: solutions[number]}))["verdicts"][number]["nbval"] == "passed"
    assert grading_of_one.NBVAL._source is not None


# ── What one leaves and the next finds ──

# by kind: how it is left, and an expression that is true where it can be seen
TRACES = {
    "a file": ("open('/tmp/trace', 'w').close()", "os.path.exists('/tmp/trace')"),
    "a file in memory": ("open('/dev/shm/trace', 'w').close()", "os.path.exists('/dev/shm/trace')"),
    "shared memory": ("ctypes.CDLL(None).shmget(4711, 4096, 0o1666)", "ctypes.CDLL(None).shmget(4711, 0, 0) != -1"),
    "a semaphore": ("ctypes.CDLL(None).semget(4711, 1, 0o1666)", "ctypes.CDLL(None).semget(4711, 0, 0) != -1"),
    "a queue": ("ctypes.CDLL(None).msgget(4711, 0o1666)", "ctypes.CDLL(None).msgget(4711, 0) != -1"),
    "a socket": ("torch.trace_socket = s = socket.socket(socket.AF_UNIX); s.bind('\\0trace'); s.listen()",
        "socket.socket(socket.AF_UNIX).connect_ex('\\0trace') == 0"),
    "a port": ("torch.trace_port = s = socket.create_server(('127.0.0.1', 4711))",
        "socket.socket().connect_ex(('127.0.0.1', 4711)) == 0"),
    "a process": ("DAEMON", "'trace' in [open(f'/proc/{n}/comm').read().strip() for n in os.listdir('/proc') "
        "if n.isdigit()]"),
    "the environment": ("os.environ['TRACE'] = '1'", "'TRACE' in os.environ"),
    "the folder": ("os.chdir('/dev')", "os.getcwd() != '/tmp'"),
    "the mask": ("os.umask(0o777)", "os.umask(0o22) == 0o777"),
    "a signal": ("signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN"),
    "a timer": ("signal.setitimer(signal.ITIMER_VIRTUAL, 9999)", "signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0"),
    "a limit": ("resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))",
        "resource.getrlimit(resource.RLIMIT_NOFILE)[1] == 99"),
    "a module": ("sys.modules['trace_of_mine'] = torch", "'trace_of_mine' in sys.modules"),
    "a changed module": ("torch.equal = print", "torch.equal is print"),
    "a changed builtin": ("builtins.sum = print", "builtins.sum is print"),
    "a changed class": ("torch.Tensor.trace_of_mine = 1", "hasattr(torch.Tensor, 'trace_of_mine')"),
    "a changed part of the worker": ("sys.modules['helpers.grading.inside.wire'].LARGEST = 1",
        "sys.modules['helpers.grading.inside.wire'].LARGEST == 1"),
    "the path": ("sys.path.insert(0, '/tmp/trace')", "'/tmp/trace' in sys.path"),
    "an import hook": ("sys.meta_path.append(type('Trace', (), {'find_spec': staticmethod(lambda *a: None)}))",
        "any(getattr(each, '__name__', '') == 'Trace' for each in sys.meta_path)"),
    "the default type": ("torch.set_default_dtype(torch.float16)", "torch.get_default_dtype() == torch.float16"),
    "a seed": ("torch.manual_seed(4711)", "torch.initial_seed() == 4711"),
    "an open file": ("os.dup2(os.open('/dev/null', os.O_RDONLY), 77)", "os.path.exists('/proc/self/fd/77')"),
}  # fmt: skip
LEAVES = """
import builtins, ctypes, os, resource, signal, socket, sys, time
import torch

def daemon():
    ready, done = os.pipe()
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        open("/proc/self/comm", "w").write("trace")
        os.write(done, b"1")
        time.sleep(600)
    os.read(ready, 1)

def f():
    DO
    return SEEN
"""


@needs_forks
@pytest.mark.parametrize("kind", TRACES)
def test_a_trace_is_gone_for_the_next(kind):
    leave, seen = TRACES[kind]
    leave = leave.replace("DAEMON", "daemon()")
    for step, found in ((leave, True), ("pass", False)):
        worker = Worker(Limits())
        try:
            assert worker.forked
            assert told(worker, LEAVES.replace("DO", step).replace("SEEN", seen)) is found
        finally:
            worker.close()


@needs_forks
def test_of_two_at_once_neither_sees_the_other(worker):
    source = "import os\ndef f(): return [n for n in os.listdir('/proc') if n.isdigit()]"
    other = Worker(Limits())
    try:
        assert len(told(worker, source)) == len(told(other, source)) == 3, "of a sandbox's two and its own"
    finally:
        other.close()


@needs_forks
def test_what_one_writes_late_does_not_reach_the_next():
    late = "import os, time\nif not os.fork():\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
    late += "    while True:\n        for n in range(64):\n            try: os.write(n, b'\\0\\0\\0\\2[]')\n"
    late += "            except OSError: pass\ndef f(): return 1"
    gone = []
    for _ in range(3):
        worker = Worker(Limits())
        try:
            with pytest.raises(Gone):
                told(worker, late)
                while True:  # till the two write at once
                    told(worker, "def f(): return 2")
            gone += worker._program._all()
        finally:
            worker.close()
        worker = Worker(Limits())
        try:
            assert told(worker, "def f(): return 3") == 3
        finally:
            worker.close()
    assert len(gone) >= 15
    until = time.monotonic() + 20
    while any(map(runs, gone)):
        assert time.monotonic() < until, "something of it runs on"
        time.sleep(0.1)


def runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ── What it may do ──

LOOK = """
import os, resource, signal, sys

def f():
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
    kept = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "SigBlk", "SigIgn", "Threads")
    mounts = [line.split()[3:6] for line in open("/proc/self/mountinfo")]
    return {
        "status": {name: status[name].split() for name in kept if name not in HIDDEN},
        "limits": [str(resource.getrlimit(kind)) for kind in range(16) if kind != resource.RLIMIT_NPROC],
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name != "LC_CTYPE"},
        "folder": os.getcwd(),
        "files": sorted(os.listdir("/proc/self/fd")),
        "mounts": mounts,
        "mask": os.umask(0o22),
        "path": sys.path,
        "course": sorted(n for n in sys.modules if n.startswith("helpers")),
        "leader": os.getsid(0) == os.getpgid(0),
        "owner": os.stat("/proc/self/maps").st_uid == os.getuid(),
        "host": os.uname().nodename,
        "niceness": os.nice(0),
    }
"""


@needs_forks
def test_what_is_forked_is_as_what_is_started(monkeypatch):
    found = []
    hidden = ("Uid", "Gid") if os.geteuid() == 0 else ()  # of root's each has another
    for cold in (False, True):
        monkeypatch.setattr(judging.ANSWERS, "_cold", cold)
        worker = Worker(Limits(seconds=77))
        try:
            assert worker.forked is not cold
            found.append(told(worker, LOOK.replace("HIDDEN", repr(hidden))))
        finally:
            worker.close()
    forked, started = found
    more = {*forked.pop("course")} - {*started.pop("course")}
    assert more == {"helpers.grading.inside.rlimits", "helpers.grading.inside.worker"}, "there it is __main__"
    assert forked == started
    assert forked["status"]["CapEff"] == ["0" * 16] and forked["status"]["NoNewPrivs"] == ["1"]


PEEKS = """
import os

def tried(path, how):
    try:
        os.close(os.open(path, how))
        return True
    except OSError:
        return False

def f():
    return {
        "parent": os.getppid(),
        "written to": [path for path in ("/proc/self/exe", "/proc/1/exe") if tried(path, os.O_WRONLY)],
        "shared": [line for line in open("/proc/self/maps") if line.split()[1][1] == "w" and line.split()[1][3] == "s"],
        "pipes": sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in os.listdir("/proc/self/fd")[:-1]),
        "root": os.getuid() == 0 or os.getgid() == 0,
        "others": [n for n in os.listdir("/proc") if n.isdigit() and open(f"/proc/{n}/comm").read().strip()
                   not in ("bwrap", "cat", "", open("/proc/self/comm").read().strip())],
    }
"""


@needs_forks
def test_nothing_of_the_one_that_forks_is_in_reach(worker):
    found = told(worker, PEEKS)
    pipes = found.pop("pipes")
    assert set(pipes) <= {"/dev/null", "pipe"} and pipes.count("pipe") == 2
    assert found == {"parent": 0, "written to": [], "shared": [], "root": False, "others": []}
    run_by = psutil.Process(worker._program.forked).children()[0]
    assert os.readlink(f"/proc/{run_by.pid}/exe").startswith("/memfd:python")


@needs_forks
@pytest.mark.parametrize("target", ["[-1]", "[0]", "[1]", "[os.getppid()]", "range(1, 40_000)"])
def test_whom_it_kills_is_itself(target):
    other, worker = Worker(Limits()), Worker(Limits())
    source = judging.ANSWERS._source
    try:
        kill = f"import os, signal\ndef f():\n    for each in {target}:\n"
        kill += "        try: os.kill(each, signal.SIGKILL)\n        except OSError: pass\n    return 1"
        try:
            told(worker, kill)
        except Gone as problem:
            assert str(problem).startswith("it ends the whole process")
        assert told(other, "def f(): return 1") == 1
        assert judging.ANSWERS._source is source and source._process.poll() is None
    finally:
        other.close()
        worker.close()


@needs_forks
@pytest.mark.parametrize(
    ("source", "limits", "message"),
    [
        ("def f():\n    while True: pass", Limits(), "it takes too long"),
        ("import os, time\ndef f():\n    if os.fork(): os._exit(0)\n    time.sleep(600)", Limits(),
         "it ends the whole process"),
        ("def f(): return len(bytearray(10**9))", Limits(memory=600_000_000), "it raises MemoryError"),
        ("import mmap, time\ndef f():\n    m = mmap.mmap(-1, 10**9)\n    for i in range(0, 10**9, 4096): m[i] = 1\n"
         "    time.sleep(60)", Limits(memory=600_000_000), "it needs more than 0.6 GB of memory"),
        ("def f():\n    open('/tmp/x', 'wb').write(bytes(2_000_000))", Limits(file=1_000_000), "it raises OSError"),
        ("import time\ndef f():\n    for i in range(3000): open(f'/tmp/{i}', 'w').close()\n    time.sleep(60)",
         Limits(files=1000), "it makes more than 1000 files"),
        ("import os, time\ndef f():\n    for i in range(100):\n        if not os.fork(): time.sleep(9), os._exit(0)",
         Limits(processes=30), "it raises BlockingIOError"),
        ("import os\ndef f():\n    if not os.fork():\n        while True: pass\n    os.wait()", Limits(),
         "it takes too long"),
    ],
)  # fmt: skip
def test_its_limits_hold(source, limits, message):
    worker = Worker(limits)
    try:
        assert worker.forked
        with pytest.raises(NotYet) as found:
            told(worker, source, seconds=1.5 if "long" in message else 30)
        assert str(found.value).startswith(message)
    finally:
        worker.close()


# ── Where it cannot be ──


@needs_forks
def test_one_that_forks_and_is_killed_has_a_successor(ready, monkeypatch):
    monkeypatch.setattr(judging, "ANSWERS", ready)
    other = Worker(Limits())
    ready._source._process.send_signal(signal.SIGKILL)
    ready._source._process.wait()
    worker = Worker(Limits())
    try:
        assert worker.forked and told(worker, "def f(): return 2") == 2
        assert told(other, "def f(): return 3") == 3, "what it had forked goes on"
    finally:
        other.close()
        worker.close()


@needs_forks
def test_nothing_is_forked_where_there_is_no_sandbox(ready):
    with ready.running(Limits()):
        pipes = os.pipe()
        try:
            request = {"holder": os.getpid(), "limits": sandbox.own_limits(Limits(), 0), "arguments": []}
            reply = ready._source.ask(json.dumps(request).encode(), pipes)
        finally:
            os.close(pipes[0])
            os.close(pipes[1])
    assert reply == {"problem": "RuntimeError: this is no sandbox: ipc, mnt, net, pid, uts"}


@pytest.mark.parametrize("missing", ["bubblewrap", "the program", "the way in"])
def test_where_it_cannot_be_forked_it_is_started(ready, monkeypatch, missing):
    if missing == "bubblewrap":
        monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    if missing == "the program":

        def refuses(program):
            raise PermissionError

        monkeypatch.setattr(warm, "_sealed", refuses)
    if missing == "the way in":
        monkeypatch.setattr(warm, "_open", lambda process: os.getpid())
    monkeypatch.setattr(judging, "ANSWERS", ready)
    worker = Worker(Limits())
    try:
        assert not worker.forked and ready._source is None
        assert told(worker, "def f(): return 2") == 2
    finally:
        worker.close()


@needs_forks
def test_a_sandbox_that_cannot_be_made_is_a_fault_of_ours(ready, monkeypatch, solutions):
    monkeypatch.setattr(judging, "ANSWERS", ready)
    monkeypatch.setattr(warm, "HOLD", ("there is no such program",))
    number = next(iter(solutions))
    verdict = judge(LESSON.number, {number: [Answer(solutions[number])]})[0].verdict
    assert verdict.outcome == "not judged" and "a sandbox cannot be made" in verdict.message


# ── One answer after the other ──


@needs_forks  # where processes must start, the answers of a notebook share one
def test_an_answer_costs_no_other_anything(solutions, answers):
    first = next(iter(solutions))
    breaks = "import torch\ntorch.set_default_dtype(torch.float16)\ntorch.stack = torch.zeros = torch.cat = print\n"
    breaks += f"def {find_exercise(first).name}(*a): return torch.ones(1)"
    broken = answers(solutions) | {first: [Answer(breaks)]}
    outcomes = {each.verdict.number: each.verdict.outcome for each in judge(LESSON.number, broken)}
    assert outcomes.pop(first) == "not yet" and set(outcomes.values()) == {"passed"}


def test_an_endless_loop_costs_its_time_once(solutions, answers, monkeypatch):
    """Neither its further cases nor nbval are tried again, and what nbval says of the others is there."""
    first, *others = solutions
    run, asked = judging.Worker.ask, []

    def ask(worker, request, until):
        asked.append(request[:2])
        return run(worker, request, until)

    monkeypatch.setattr(judging.Worker, "ask", ask)
    loop = f"def {find_exercise(first).name}(*a):\n    while True: pass"
    verdicts = grade(LESSON.number, answers(solutions | {first: loop}), cell=1.0)["verdicts"]
    assert verdicts[first]["message"] == "it takes longer than 1 seconds, or 5 by the clock"
    assert verdicts[first]["nbval"] == "" and asked.count(("call", first)) == 1
    assert [verdicts[number]["nbval"] for number in others] == ["passed"] * len(others)
