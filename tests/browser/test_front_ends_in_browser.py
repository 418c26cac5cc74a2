"""A panel in every front end that the README names: it opens, draws, turns, runs, stops, unfolds and shows its call."""

import importlib.util
import os

import pytest
from lab import Page
from nbformat.v4 import new_code_cell, new_notebook
from test_panels_in_browser import CELLS


class Notebook7(Page):
    address = "notebooks/{name}"


class Classic(Page):
    """nbclassic, which is of another build: neither commands nor cell ids."""

    address = "nbclassic/notebooks/{name}"

    def await_kernel(self):
        self.until("() => window.Jupyter?.notebook?.kernel?.is_connected() && Jupyter.notebook.kernel.widget_manager")
        for _ in range(2):  # what asks the kernel for widgets that are there already must not meet new ones
            self.page.evaluate("() => new Promise(answer => Jupyter.notebook.kernel.kernel_info(answer)).then(() => 0)")

    def run_all_cells(self):
        self.page.evaluate("() => Jupyter.notebook.execute_all_cells()")
        self.until("() => Jupyter.notebook.get_cells().every(cell => cell.get_text() === '' || cell.input_prompt_number > 0)")


class Voila(Page):
    """The pictures and knobs of a notebook without its code, which Voila runs by itself."""

    address = "voila/render/{name}"

    def await_kernel(self):
        pass

    def run_all_cells(self):
        self.until(f"() => document.querySelectorAll('.panel').length === {len(CELLS) - 1}")


FRONT_ENDS = {"jupyterlab": Page, "notebook": Notebook7, "nbclassic": Classic, "voila": Voila}


@pytest.fixture(scope="module", params=FRONT_ENDS)
def page(request, browser, lab):
    if importlib.util.find_spec(request.param) is None:
        missing = f"{request.param} is not installed: .venv/bin/python -m pip install -e '.[front-ends]'"
        (pytest.fail if os.environ.get("BROWSER_TESTS") == "required" else pytest.skip)(missing)
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in CELLS])
    opened = FRONT_ENDS[request.param](browser, lab, notebook, f"{request.param}.ipynb")
    opened.name = request.param
    yield opened
    opened.close()
    lab.end_kernels()


def test_x(page):
    import time
    try:
        page.run_all_cells()
        time.sleep(8)
    finally:
        page.page.screenshot(path=f"/tmp/h18/f_{page.name}.png")
        print(page.name, page.errors, page.panels())
        print(page.page.evaluate("() => [document.querySelectorAll('.panel').length, !!window.jupyterapp]"))
