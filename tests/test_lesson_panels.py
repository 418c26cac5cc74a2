"""Every panel of every lesson as a plain object: each control driven to its ends, run, stopped. A lesson joins by
existing: of its code only what its panels need is executed.
"""

import re
import threading
import time

import ipywidgets
import nbformat
import pytest
from cells import SMALL

from helpers import panels
from helpers.core import photos, registry
from helpers.core.lessons import LESSONS
from helpers.site.slices import slice_for_panels

PATHS = [lesson.notebook for lesson in LESSONS]
SIDE = 96  # pixels: what a knob does is the same for a small picture
PATIENCE = 400  # seconds
READABLE = re.compile(r"(?!\w+(Error|Exception)\b)[^\n]{8,}")  # one line that does not begin with an exception's name


@pytest.fixture
def small_collections():
    exec(SMALL, {})
    yield
    for kind in (photos.Crops, photos.Folder, photos.Labelled):
        del kind.size


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
def test_every_panel_of_a_lesson_at_its_limits(path, offline, small_collections, capsys):
    space = {"__name__": "lesson", "display": lambda *_: None}
    for cell in slice_for_panels(nbformat.read(path, as_version=4)).cells:
        exec(compile(cell.source, cell.id, "exec"), space)
    made = panels.living()
    assert made, "a lesson has at least one panel"
    capsys.readouterr()
    slow, wrong = {}, []
    for panel in made:
        panel.size.square, panel.size.longest = SIDE, SIDE if panel.size.longest else None
        work(panel)
        assert panel.error == "" and panel.jpeg, f"{panel}: {panel.error}"
        settings = panel.settings()
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
            if knob.leads:
                panel.reset()  # the knobs that follow it follow it back
                assert panel.wait(PATIENCE)
            else:
                with panel.quietly():
                    knob.reset()
        with panel.quietly():  # all at once, so that Reset has something to do
            for knob in panel.knobs.values():
                knob.widget.value = [knob.widget.value, *extremes(knob)][-1]
        panel.reset()
        work(panel)
        assert panel.settings() == settings and panel.error == "", f"{panel} after Reset: {panel.error}"
        panel.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("panel ")]
    assert capsys.readouterr() == ("", ""), "panels print nothing"
    for what in sorted(slow, key=slow.get)[:-4:-1]:
        print(f"{slow[what]:.1f} s  {what}")
    assert wrong == []
