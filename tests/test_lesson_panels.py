"""Every panel of every lesson as a plain object: each control driven to its ends, run, stopped. A lesson joins by
existing: of its code only what its panels need is executed.
"""

import ast
import re
import threading
import time

import ipywidgets
import nbformat
import pytest

from helpers import panels
from helpers.core import registry
from helpers.core.lessons import LESSONS

PATHS = [lesson.notebook for lesson in LESSONS]
SIDE = 96  # pixels: small pictures keep this quick
PATIENCE = 400  # seconds; the slowest setting takes 70 on two idle cores
READABLE = re.compile(r"(?!\w+(Error|Exception)\b)[^\n]{8,}")  # one line that does not begin with an exception's name


# ── The part of a lesson that its panels need ──


def statements(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in cell.source.splitlines()]
            yield from ast.parse("\n".join(lines)).body


def makes_panel(node):
    calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
    definition = isinstance(node, (ast.FunctionDef, ast.ClassDef))
    return not definition and any(getattr(f, "id", getattr(f, "attr", None)) == "panel" for f in calls)


def names(node, kind):
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, kind)}
    if kind is ast.Load:  # what `x += 1` only seems to bind
        changed = [n.target for n in ast.walk(node) if isinstance(n, ast.AugAssign)]
        found |= {target.id for target in changed if isinstance(target, ast.Name)}
    if kind is ast.Store:
        found |= {n.name for n in ast.walk(node) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        aliases = [a for n in ast.walk(node) if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names]
        found |= {(a.asname or a.name).split(".")[0] for a in aliases}
    return found


def slice_for_panels(notebook):
    """The statements that make panels, and those before them that bind a name they need, directly or not."""
    kept, needed = [], set()
    for node in reversed(list(statements(notebook))):
        if makes_panel(node) or names(node, ast.Store) & needed:
            kept.append(node)
            needed |= names(node, ast.Load)
    return ast.Module(kept[::-1], type_ignores=[])


def test_the_slice_holds_what_a_panel_needs_and_nothing_else():
    cells = [
        "import torch\nimport time as clock\nfrom helpers.panels import panel\n%matplotlib inline",
        "weight = torch.ones(3)\nprint(clock.time())\nheavy = weight.sum()",
        "rows = []\nfor row in range(3):\n    weight = weight + row\n    rows += [row]",
        "def double(x):\n    return x * weight\n\ndef unused(x):\n    return panel(x)",
        "for name in ('a', 'b'):\n    display(panel(double, title=name))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    kept = ast.unparse(slice_for_panels(notebook))
    assert [line for line in kept.splitlines() if line] == [
        "import torch",
        "from helpers.panels import panel",
        "weight = torch.ones(3)",
        "rows = []",
        "for row in range(3):",
        "    weight = weight + row",
        "    rows += [row]",
        "def double(x):",
        "    return x * weight",
        "for name in ('a', 'b'):",
        "    display(panel(double, title=name))",
    ]


# ── Turning knobs ──


def extremes(knob):
    """Values for a control: both ends of a slider, the options of a menu (ends and middle of a long one)."""
    widget = knob.widget
    if isinstance(widget, ipywidgets.Combobox):
        return ["0", str(len(widget.options) - 1), "no such class"] if widget.options else ["no such class"]
    if isinstance(widget, ipywidgets.FloatLogSlider):
        return [widget.base**widget.min, widget.base**widget.max]
    if isinstance(widget, ipywidgets.Checkbox):
        return [not widget.value]
    if hasattr(widget, "options"):
        few = [option[1] if isinstance(option, tuple) else option for option in widget.options]
        if knob.network is not None:  # all that are missing are refused alike: one of them is enough
            missing = [name for name in few if name in registry.SOURCES and not registry.SOURCES[name].here]
            few = [name for name in few if name not in missing[1:]]
        elif len(few) > 4:
            few = [few[0], few[len(few) // 2], few[-1]]
        return [value for value in few if value != widget.value]
    return [widget.min, widget.max] if hasattr(widget, "min") else []


def work(panel):
    """Run a panel: a stepwise one for two steps, then Stop."""
    former = panel.work.latest
    panel.run()
    if panel.iterative:
        end = time.monotonic() + PATIENCE
        while panel.running and (panel.work.latest is former or not done(panel)):
            assert time.monotonic() < end, panel
            time.sleep(0.01)
        panel.stop()
    assert panel.wait(PATIENCE), panel
    assert panel.work.latest is not former, f"{panel} did nothing"
    assert panel.error or not panel.iterative or panel.work.latest.step, f"{panel} did nothing"


def done(panel):
    step = panel.work.latest.step
    return step is not None and step.index >= 2


@pytest.mark.limits
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_panel_of_a_lesson_at_its_limits(path, offline, capsys):
    space = {"__name__": "lesson", "display": lambda *_: None}
    exec(compile(slice_for_panels(nbformat.read(path, as_version=4)), path.name, "exec"), space)
    made = panels.living()
    assert made, "a lesson has at least one panel"
    capsys.readouterr()
    slow, wrong = {}, []
    for panel in made:
        panel.size.square, panel.size.longest = SIDE, SIDE if panel.size.longest else None
        work(panel)
        assert panel.error == "" and panel.jpeg, f"{panel}: {panel.error}"
        for name, knob in panel.knobs.items():
            if knob.hidden:
                continue
            for value in extremes(knob):
                start = time.perf_counter()
                with panel.quietly():  # turned and run once, not twice
                    knob.widget.value = value
                work(panel)
                slow[f"{panel.title}: {name}={value}"] = time.perf_counter() - start
                if panel.error and not READABLE.fullmatch(panel.error):
                    wrong.append(f"{panel.title}: {name}={value!r}: {panel.error}")
                if knob.accepts and panel.error:
                    wrong.append(f"{panel.title}: picture {value}: {panel.error}")
            panel.reset()
            assert panel.wait(PATIENCE)
        work(panel)
        assert panel.error == "", f"{panel} after Reset: {panel.error}"
        panel.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("panel ")]
    assert capsys.readouterr() == ("", ""), "panels print nothing"
    for what in sorted(slow, key=slow.get)[:-4:-1]:
        print(f"{slow[what]:.1f} s  {what}")
    assert wrong == []
