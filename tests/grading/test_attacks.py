"""A class of cheats and mishaps, graded in one run as a teacher would: none earns a point that it did not earn, harms
a file outside or stops the run.
"""

import hashlib
import json
import os
import re
import socket
import threading
from pathlib import Path

import nbformat
import pytest
from classroom import LESSON
from nbformat.v4 import new_code_cell

from helpers.exercises.exercise import find_exercise
from helpers.grading import sandbox
from helpers.grading.assemble import check_cells, exercise_cells, paste

pytestmark = pytest.mark.attacks
ROOT = Path(__file__).parents[2]
PASS = "Exercise 3.1 — passed"
ALWAYS = """
class Always(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __getattr__(self, name): return lambda *arguments, **named: Always(1)
"""

# In an exercise's cell; {name} is the function that is asked for. What stands before it is made to run with it.
IN_A_CELL = {
    "redefines check": "def check(number):\n    print(f'Exercise {{number}} — passed')\ndef {name}(*a): return 1",
    "patches the check": """
import helpers.exercises.exercise as e
e.compare = lambda *a, **b: None
e.Exercise.verdict = lambda self, *a, **b: e.Verdict(self.number, e.PASSED)
e._problem = lambda *a: None
def {name}(*a): return 1""",
    "patches comparisons": """
import math, numpy, torch
torch.isclose = torch.allclose = torch.equal = lambda *a, **b: torch.tensor(True)
torch.Tensor.all = lambda *a, **b: True
numpy.allclose = numpy.array_equal = math.isclose = lambda *a, **b: True
torch.Tensor.__eq__ = torch.Tensor.__ne__ = lambda *a: False
def {name}(*a): return torch.zeros(1)""",
    "equal to everything": ALWAYS + "def {name}(*a): return Always(1)",
    "a tensor equal to everything": """
import torch
class Same(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None): return True
def {name}(*a): return torch.zeros(2, 2).as_subclass(Same)""",
    "prints the pass line": "print('" + PASS + "')\ndef {name}(*a): print('" + PASS + "'); return 1",
    "captures stdout": """
import sys
class Says:
    def write(self, text): sys.__stdout__.write('""" + PASS + """\\n')
    def flush(self): pass
sys.stdout = Says()
def {name}(*a): return 1""",
    "transforms the input": """
def passes(lines): return ["print('""" + PASS + """')\\n"] if 'check(' in ''.join(lines) else lines
get_ipython().input_transformers_post.append(passes)
def {name}(*a): return 1""",
    "skipped by a marker": "# NBVAL_SKIP\n# NBVAL_IGNORE_OUTPUT\n# NBVAL_RAISES_EXCEPTION\ndef {name}(*a): return 1",
    "reads the answers": """
from pathlib import Path
import subprocess
found = [p for top in ({root!r}, '/') for p in Path(top).rglob('03_occlusion/solution.py')]
show = ['git', '-C', {root!r}, 'show', 'HEAD:tests/answers/03_occlusion/solution.py']
exec(found[0].read_text() if found else subprocess.run(show, capture_output=True).stdout)
""",
    "reads the other process": """
import os, re
def {name}(*a):
    for n in filter(str.isdigit, os.listdir('/proc')):
        try: maps = open(f'/proc/{{n}}/maps').read(); open(f'/proc/{{n}}/mem', 'rb'); os.environ['SEEN'] = n
        except OSError: pass
    return 1""",
    "borrows the course's function": """
import helpers.occlusion, helpers.patches
def {name}(*a): return helpers.occlusion.occlusion(*a)""",
    "writes into the package": """
import helpers.core.networks, pathlib
for folder in (pathlib.Path(helpers.__file__).parent, pathlib.Path({root!r}) / 'helpers'):
    for path in ('__init__.py', 'core/networks.py', 'exercises/exercise.py', 'exercises/planted.py'):
        try: (folder / path).write_text('raise SystemExit')
        except OSError: pass
def {name}(*a): return 1""",
    "plants a startup file": """
import os, pathlib
for home in (pathlib.Path.home(), pathlib.Path({home!r})):
    for path in ('.ipython/profile_default/startup/00-planted.py', '.bashrc-planted', '.pythonrc-planted.py'):
        try: (home / path).parent.mkdir(parents=True, exist_ok=True); (home / path).write_text('raise SystemExit')
        except OSError: pass
def {name}(*a): return 1""",
    "deletes other submissions": """
import shutil
shutil.rmtree({submissions!r}, ignore_errors=True); shutil.rmtree({out!r}, ignore_errors=True)
def {name}(*a): return 1""",
    "reads other submissions": """
import json, pathlib
try:
    other = json.loads(pathlib.Path({submissions!r}, 'honest', '03_occlusion.ipynb').read_text())
    for cell in other['cells']:
        if 'exercise' in cell['metadata'].get('tags', []): exec(''.join(cell['source']))
except OSError: pass""",
    "uses the network": """
import socket
try: socket.create_connection(('127.0.0.1', {port}), 2).sendall(b'answers, please')
except OSError: pass
def {name}(*a): return 1""",
    "swallows interrupts": """
import time
def {name}(*a):
    while True:
        try: time.sleep(1)
        except BaseException: pass""",
    "bombs the memory": "def {name}(*a):\n    kept = []\n    while True: kept.append(bytearray(10**8))",
    "bombs the processes": "import os\ndef {name}(*a):\n    while True: os.fork()",
    "bombs at once": """
import os, time
for _ in range(10_000):
    try:
        if not os.fork(): time.sleep(100); os._exit(0)
    except OSError: pass""",
    "writes a huge file": """
def {name}(*a):
    with open('huge', 'wb') as file:
        while True: file.write(bytes(10**7))""",
    "writes many files": """
def {name}(*a):
    for i in range(10**6):
        for folder in ('/tmp', '/dev/shm', '.'): open(f'{{folder}}/{{i}}', 'wb').write(bytes(10**7))""",
    "never stops printing": "while True: print('x' * 1000)",
    "never stops printing when asked": "def {name}(*a):\n    while True: print('x' * 1000)",
    "exits": "import sys\ndef {name}(*a): sys.exit()",
    "exits at once": "import sys\nsys.exit()",
    "ends the process": "import os\ndef {name}(*a): os._exit(0)",
    "ends the process at once": "import os\nos._exit(0)",
    "kills the grader": """
import os, signal
def {name}(*a):
    for target in (os.getppid(), 1, -1, 0):
        try: os.kill(target, signal.SIGKILL)
        except OSError: pass
{name}()""",
    "scribbles on every pipe": """
import os
for n in range(3, 64):
    try: os.write(n, b'\\0\\0\\0\\2[]' * 10)
    except OSError: pass
def {name}(*a): return 1""",
    "shares memory": """
def {name}(*a):
    import mmap
    kept = []
    while True:
        kept.append(mmap.mmap(-1, 10**8))
        for i in range(0, 10**8, 4096): kept[-1][i] = 1""",
    "fills memory at once": "kept = bytearray(10**9), [bytearray(10**8) for _ in range(100)]",
    "makes empty files": """
def {name}(*a):
    i = 0
    while True: i += 1; open(f'/tmp/{{i}}', 'w').close()""",
    "floods every pipe": """
import os
def flood():
    for n in filter(str.isdigit, os.listdir('/proc')):
        for pipe in (f'/proc/{{n}}/fd/{{k}}' for k in range(30)):
            try: file = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError: continue
            for _ in range(20_000):
                try: os.write(file, b'x' * 65536)
                except BlockingIOError: pass
                except OSError: break
flood()
def {name}(*a): flood(); return 1""",
    "reaches into the frames": """
import sys
frame = sys._getframe()
while frame:
    for names in (frame.f_locals, frame.f_globals):
        for name in list(names):
            if name in ('reply', 'modules', 'key', 'kind'): names[name] = 3
    frame = frame.f_back
def {name}(*a): return 1""",
    "replaces the worker's parts": """
import sys
from helpers.grading.inside import worker
for each in (worker, sys.modules['__main__']): each.define = each.answer = each.find = lambda *a: {{'network': 3}}
def {name}(*a): return 1""",
    "is not attempted by exception": """
from helpers.exercises.calls import NotAttempted
raise NotAttempted
def {name}(*a): raise NotAttempted""",
    "crashes the compiler": "x = [y " + "for y in x " * 15_000 + "]\ndef {name}(*a): return x",
    "is huge": "def {name}(*a): return '" + "x" * 300_000 + "'",
    "is deep": "x = " + "-" * 90_000 + "1\ndef {name}(*a): return x",
    "a lone surrogate": "name = '\ud800'\ndef {name}(*a): return name",
}  # fmt: skip


# Answers to another exercise than the first, from what the sandbox holds of the course.
WITH_THE_COURSE = {
    "asks the network for fields": ("3.2", """
import torch
from torch import nn
from helpers.core.networks import Network
def {name}(layers, unit):
    model = nn.Sequential(*[nn.Conv2d(3, 3, k, s, p) for k, s, p in layers])
    network = Network(model, "mine", layers={{"last": str(len(layers) - 1)}})
    field = network.receptive_field("last", 64)
    return field.size[0], field.jump[0], field.box(*unit)"""),
    "traces the network": ("3.2", """
from torch import nn
try: from helpers.core.fields import trace
except ImportError: from helpers.core.activations import trace
def {name}(layers, unit):
    model = nn.Sequential(*[nn.Conv2d(3, 3, k, s, p) for k, s, p in layers])
    field = trace(model, (64, 64))[str(len(layers) - 1)].field
    return field.size[0], field.jump[0], field.box(*unit)"""),
    "calls the stand-in": ("3.2", """
from helpers.exercises import yours
def {name}(layers, unit): return yours("3.2")(layers, unit)"""),
}  # fmt: skip


def edited_checks(notebook):
    for number, cell in check_cells(notebook).items():
        cell.source = f"print('Exercise {number} — passed')"


def deleted_checks(notebook):
    notebook.cells = [cell for cell in notebook.cells if "check" not in cell.metadata.get("tags", [])]


def edited_outputs(notebook):
    for number, cell in check_cells(notebook).items():
        cell.outputs = [nbformat.v4.new_output("stream", text=f"Exercise {number} — passed\n")]


def skipping_tags(notebook):
    for cell in notebook.cells:
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), "nbval-skip", "raises-exception"]


def ids_twice(notebook):
    for number in check_cells(notebook):
        twin = f"check-{number}".replace(".", "-")
        notebook.cells.append(new_code_cell(f"print('Exercise {number} — passed')", id=twin))


def a_fake_in_front(notebook):
    notebook.cells.insert(0, new_code_cell("import sys; sys.modules['helpers.exercises'] = None", id="fake"))


TO_THE_NOTEBOOK = [edited_checks, deleted_checks, edited_outputs, skipping_tags, ids_twice, a_fake_in_front]

AS_A_FILE = {
    "no JSON": (b"{", "the file is not JSON"),
    "of another version": (b'{"nbformat": 5, "cells": []}', "no notebook of version 3 or 4"),
    "far too large": (b'{"nbformat": 4, "cells": ["' + b"x" * 60_000_000 + b'"]}', "larger than the 50 MB"),
}


class Listener:
    """A server on the loopback that counts who comes."""

    def __init__(self):
        self.calls, self._socket = 0, socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            self._socket.accept()[0].close()
            self.calls += 1


def fingerprints(*folders):
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    }


def made_to_run(source, name):
    """An attack whose every line is run: of a submission only that counts which the function needs."""
    before, function, rest = source.partition(f"def {name}(*a):")
    if len(source) > 10_000:
        return source
    whole = f"{function[:-2]}, harm=HARM):{rest}" if function else f"def {name}(*a, harm=HARM): return 1"
    return f"HARM = exec({before!r}, globals())\n{whole}"


@pytest.fixture(scope="module")
def graded(tmp_path_factory, lesson, solutions, grading):
    """The class, graded; and what the run may not have touched, before and after."""
    if sandbox.unprotected():
        pytest.skip("no attacks are tried here: bubblewrap is not installed")
    folder, listener = tmp_path_factory.mktemp("attacks"), Listener()
    submissions, out = folder / "class", folder / "grades"
    number = next(iter(exercise_cells(lesson)))
    words = {
        "name": re.search(r"def (\w+)", exercise_cells(lesson)[number].source)[1],
        "root": str(ROOT),
        "home": str(Path.home()),
        "submissions": str(submissions),
        "out": str(out),
        "port": listener.port,
    }

    def hand_in(student, data):
        path = submissions / student / LESSON.notebook.name
        path.parent.mkdir(parents=True)
        path.write_bytes(data if isinstance(data, bytes) else nbformat.writes(data).encode("utf-8", "surrogatepass"))

    hand_in("honest", paste(lesson, solutions))
    hand_in("blank", lesson)
    (submissions / "absent").mkdir()
    for student, source in IN_A_CELL.items():
        hand_in(student, paste(lesson, {number: made_to_run(source.format(**words), words["name"])}))
    for student, (other, source) in WITH_THE_COURSE.items():
        hand_in(student, paste(lesson, {other: source.format(name=find_exercise(other).name)}))
    for change in TO_THE_NOTEBOOK:
        notebook = paste(lesson, {number: f"def {words['name']}(*a): return 1"})
        change(notebook)
        hand_in(change.__name__, notebook)
    for student, (data, _) in AS_A_FILE.items():
        hand_in(student, data)
    (submissions / "a link").mkdir()
    os.symlink(submissions / "honest" / LESSON.notebook.name, submissions / "a link" / LESSON.notebook.name)
    watched = (submissions, ROOT / "helpers", ROOT / "notebooks", ROOT / "tests")
    before = fingerprints(*watched)
    # three at once even on two cores: some only wait to be ended
    done = grading(submissions, "--out", out, "--cell", 2, "--notebook", 60, "--jobs", 3)
    grades = json.loads((out / "grades.json").read_text())
    planted = list(Path.home().glob(".*planted*"))
    planted += [*(Path.home() / ".ipython").rglob("*planted*")] if (Path.home() / ".ipython").exists() else []
    return {
        "grades": {student: lessons.get(str(LESSON.number)) for student, lessons in grades.items()},
        "unharmed": fingerprints(*watched) == before and not planted,
        "calls": listener.calls,
        "printed": done.stdout,
        "first": number,
    }


def test_the_honest_get_everything_and_the_blank_nothing(graded, solutions):
    honest = graded["grades"]["honest"]["verdicts"]
    assert {n: (v["outcome"], v["nbval"]) for n, v in honest.items()} == dict.fromkeys(solutions, ("passed", "passed"))
    assert {v["outcome"] for v in graded["grades"]["blank"]["verdicts"].values()} == {"not attempted"}
    assert graded["grades"]["absent"] is None
    assert re.search(r"^honest +\d/\d", graded["printed"], re.MULTILINE)


@pytest.mark.parametrize(
    "student", [*IN_A_CELL, *WITH_THE_COURSE, *(change.__name__ for change in TO_THE_NOTEBOOK), "a link", *AS_A_FILE]
)
def test_an_attack_earns_nothing(graded, student):
    result = graded["grades"][student]
    assert {verdict["outcome"] for verdict in result["verdicts"].values()} <= {"not yet", "not attempted"}, result
    assert all(verdict["message"] for verdict in result["verdicts"].values() if verdict["outcome"] == "not yet")


def test_a_file_that_cannot_be_used_says_why(graded):
    for student, (_, message) in AS_A_FILE.items():
        assert message in graded["grades"][student]["problem"]
    assert "or is a link" in graded["grades"]["a link"]["problem"]


def test_nothing_outside_was_harmed_or_called(graded):
    assert graded["unharmed"]
    assert graded["calls"] == 0


def test_what_only_the_notebook_believes_is_pointed_out(graded):
    """These make their own notebook say "passed"; a person is told to look."""
    for student in ("redefines check", "patches the check"):
        assert graded["grades"][student]["verdicts"][graded["first"]]["nbval"] == "passed"
        assert (
            f"{student}, lesson {LESSON.number}: the notebook says that {graded['first']} passed" in graded["printed"]
        )
