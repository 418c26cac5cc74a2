"""A panel in the front ends beside JupyterLab: it draws, turns, runs, stops, unfolds, shows its call, and has names."""

import importlib.util
import os

import pytest
from lab import Lab, Page
from nbformat.v4 import new_code_cell, new_notebook
from test_panels_in_browser import CELLS

PANELS = len(CELLS) - 1
SHOWN = f"() => document.querySelectorAll('.panel b').length === {PANELS}"


class Notebook7(Page):
    """Built of JupyterLab's parts. Opened without its file browser, it complains of that, before any cell is run."""

    address = "notebooks/{name}"

    def run_all_cells(self):
        self.page.evaluate("async () => { await jupyterapp.restored; }")
        self.errors.clear()
        super().run_all_cells()


class Classic(Page):
    """nbclassic, of another build: it has no commands, cells have no ids, and extensions of others are missed."""

    address = "nbclassic/notebooks/{name}"

    def await_kernel(self):
        self.until("() => window.Jupyter?.notebook?.kernel?.is_connected() && Jupyter.notebook.kernel.widget_manager")
        for _ in range(2):  # it asks the kernel for widgets that are there already, and confuses them with new ones
            self.page.evaluate("() => new Promise(answer => Jupyter.notebook.kernel.kernel_info(answer)).then(() => 0)")

    def run_all_cells(self):
        self.errors.clear()
        self.page.evaluate("() => Jupyter.notebook.execute_all_cells()")
        self.until(SHOWN)


class Voila(Page):
    """The outputs without the code. It runs all by itself, asks the network for icons, and loads Notebook 7's parts."""

    address = "voila/render/{name}"

    def await_kernel(self):
        self.until(SHOWN)

    def run_all_cells(self):
        pass

    def errors_of_panels(self):
        own = ("net::ERR_", "@jupyter-notebook/lab-extension")
        return [error for error in self.errors if not any(part in error for part in own)]


FRONT_ENDS = {"notebook": Notebook7, "nbclassic": Classic, "voila": Voila}


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    """Not the server of the other tests: Jupyter's finds a file by the name it once had, whose ever it was, and the
    icons of JupyterLab and Notebook 7 have one name.
    """
    started = Lab(tmp_path_factory.mktemp("front-ends"))
    yield started
    started.close()


@pytest.fixture(scope="module", params=FRONT_ENDS)
def page(request, browser, server):
    if importlib.util.find_spec(request.param) is None:
        missing = f"{request.param} is not installed: make frontends"
        (pytest.fail if os.environ.get("BROWSER_TESTS") == "required" else pytest.skip)(missing)
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in CELLS])
    opened = FRONT_ENDS[request.param](browser, server, notebook, f"{request.param}.ipynb")
    opened.name = request.param
    opened.run_all_cells()
    opened.until(SHOWN)
    yield opened
    opened.close()
    server.end_kernels()


@pytest.fixture
def look(page):
    return page.panels()[0]


@pytest.fixture
def fade(page):
    return page.panels()[1]


def test_the_first_picture_comes_by_itself_and_a_turned_knob_changes_it(look):
    first = look.until(look.picture)
    look.until(lambda: "largest activation" in look.said_of_picture())
    said = look.said_of_picture()
    assert look.turn("knob-channel")
    look.until(lambda: look.picture() != first and look.said_of_picture() != said)


def test_run_shows_pictures_and_stop_stops(fade):
    fade.until(lambda: "Press Run." in fade.status())
    fade.button("run").click()
    first = fade.until(fade.picture)
    fade.until(lambda: fade.picture() != first and fade.box.locator(".panel-curve polyline").count() == 2)
    assert fade.stop() is not None and "Stopped at step" in fade.status()
    last, said = fade.picture(), fade.said_of_picture()
    fade.box.locator(".panel-scrubber .noUi-handle").press("Home")
    fade.until(lambda: fade.picture() != last and fade.said_of_picture() != said)


def test_more_unfolds_and_the_call_is_shown(look):
    assert look.box.locator(".knob-seed").is_hidden()
    look.unfold()
    look.until(look.box.locator(".knob-seed").is_visible)
    look.button("show-the-call").click()
    look.until(look.box.locator(".panel-source").is_visible)
    assert 'image=photos.photo("coffee", 224)' in look.box.locator(".panel-source").text_content()


def test_a_panel_can_be_read_seen_or_heard(page, look, fade):
    look.control("knob-seed").locator("input").fill("100")
    look.control("knob-seed").locator("input").press("Enter")
    look.until(lambda: look.error() == "seed must be at most 99, not 100")
    for panel in (look, fade):
        assert panel.faults() == [] == panel.violations(), panel
        panel.screenshot(f"{page.name}-{panel.title}")
    assert {'slider "channel"', 'combobox "category": espresso', 'button "more" [expanded]'} < set(look.said())


def test_the_console_reports_no_error_of_the_panels(page):
    assert page.errors_of_panels() == []
