"""The panels of every lesson as a reader meets them: drawn, turned, run, stopped. A lesson joins by existing: of its
code only what its panels need is executed; the whole of it is run by `tests/test_lessons.py`.
"""

import json
import time

import nbformat
import pytest
from cells import SMALL
from lab import SCREENSHOTS, Page
from nbformat.v4 import new_code_cell

from helpers.core.lessons import LESSONS
from helpers.site.slices import slice_for_panels

pytestmark = pytest.mark.limits
PATHS = [lesson.notebook for lesson in LESSONS]
TIMES = SCREENSHOTS.parent / "browser.json"


class Lesson(Page):
    """The panels of a lesson, in a notebook that has been opened and run, with the seconds that things took."""

    def __init__(self, browser, lab, path):
        self.name, self.times = path.stem, {}
        notebook = slice_for_panels(nbformat.read(path, as_version=4))
        notebook.cells.insert(0, new_code_cell(SMALL))
        super().__init__(browser, lab, notebook, path.name)
        self.note("ready")
        self.run_all_cells()
        self.note("all panels")

    def note(self, what, seconds=None):
        """Keep a time for build/browser.json; default: since the page was opened."""
        self.times[what] = round(time.perf_counter() - self.opened if seconds is None else seconds, 2)

    def close(self):
        known = json.loads(TIMES.read_text()) if TIMES.exists() else {}
        TIMES.parent.mkdir(exist_ok=True)
        TIMES.write_text(json.dumps(known | {self.name: self.times}, indent=1))
        super().close()


@pytest.fixture(scope="module", params=PATHS, ids=lambda path: path.stem)
def lesson(request, browser, lab):
    opened = Lesson(browser, lab, request.param)
    yield opened
    opened.close()
    lab.end_kernels()


def test_no_cell_is_red(lesson):
    cells = [cell for cell in lesson.cells() if cell["cell_type"] == "code"]
    outputs = [(cell["id"], output) for cell in cells for output in cell["outputs"]]
    red = [(name, output) for name, output in outputs if output["output_type"] == "error"]
    red += [(name, output) for name, output in outputs if output.get("name") == "stderr"]
    assert red == []
    assert all(cell["execution_count"] for cell in cells if cell["source"].strip())
    assert lesson.panels(), "a lesson has at least one panel"


def test_panels_draw_their_first_picture_by_themselves(lesson):
    for panel in lesson.panels():
        if not panel.iterative:
            panel.until(panel.picture)
            lesson.times.setdefault("first panel", round(time.perf_counter() - lesson.opened, 2))
            assert panel.error() == "", panel
        else:
            panel.until(lambda panel=panel: "Press Run" in panel.status())


def test_a_turned_knob_changes_the_picture(lesson):
    for panel in lesson.panels():
        if panel.iterative:
            continue
        before, turned = panel.until(panel.picture), []
        for knob in reversed(panel.knobs()):  # the technique's own knobs stand behind network and image
            start = time.perf_counter()
            if not panel.turn(knob):
                continue
            turned.append(knob)
            settled = time.perf_counter() + 0.5  # a picture may stay the same: then the next knob is tried
            panel.until(
                lambda panel=panel, settled=settled, before=before: (
                    panel.picture() != before or (time.perf_counter() > settled and panel.status().endswith(" s"))
                )
            )
            if panel.picture() != before:
                lesson.note(f"{panel.title}: {knob}", time.perf_counter() - start)
                break
        assert panel.picture() != before, f"{panel}: turned {turned}, {panel.status()!r}, {panel.error()!r}"
        assert panel.error() == "", panel
        panel.button("reset").click()
        panel.until(lambda panel=panel, before=before: panel.picture() == before)


def test_run_shows_pictures_and_stop_stops_at_once_while_other_cells_run(lesson):
    for panel in lesson.panels():
        if not panel.iterative:
            continue
        steps = panel.control("knob-steps").locator(".noUi-handle")
        if steps.count():
            steps.press("End")  # a long run, so that there is something to stop
        panel.button("run").click()
        first = panel.until(panel.picture)
        panel.until(lambda panel=panel, first=first: panel.picture() != first or not panel.is_running())
        start = time.perf_counter()
        cell = lesson.run_cell("print('meanwhile')")
        assert lesson.text_of(cell).strip() == "meanwhile"
        lesson.note(f"{panel.title}: another cell", time.perf_counter() - start)
        seconds = panel.stop()
        if seconds is None:  # too quick to be stopped by hand
            assert "steps in" in panel.status(), panel
            continue
        lesson.note(f"{panel.title}: stop", seconds)
        assert seconds < 1, panel
        last = panel.picture()
        time.sleep(0.5)
        assert panel.picture() == last and "Stopped" in panel.status() and panel.error() == "", panel
        panel.box.locator(".panel-scrubber .noUi-handle").press("Home")
        panel.until(lambda panel=panel, last=last: panel.picture() != last)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_panels_can_be_read_seen_or_heard(lesson, theme):
    lesson.theme(theme)
    faults, violations = {}, {}
    for panel in lesson.panels():
        panel.unfold()
        panel.button("show-the-call").click()
        panel.until(panel.box.locator(".panel-source").is_visible)
        faults[panel.title] = panel.faults()
        panel.screenshot(f"{lesson.name}-{panel.number}-{theme.split()[1].lower()}")
        violations[panel.title] = panel.violations()
        panel.button("show-the-call").click()
    assert not any(faults.values()), faults
    assert not any(violations.values()), violations


def test_the_console_reports_no_error(lesson):
    assert lesson.errors == []
