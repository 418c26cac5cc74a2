"""JupyterLab as `make lab` sets it up: it opens without a question, and asks nobody for anything."""

import time
from urllib.parse import urlsplit

from lab import Page, options_of_make
from nbformat.v4 import new_code_cell, new_notebook

ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"


def test_it_opens_without_a_pop_up_and_without_a_request_to_the_network(browser, lab):
    assert len(options_of_make()) == 2
    page = Page(browser, lab, new_notebook(cells=[new_code_cell("print(6 * 7)")]), "quiet.ipynb")
    page.page.evaluate("async () => { await jupyterapp.restored; }")
    page.run_all_cells()
    assert page.text_of(0).strip() == "42"
    time.sleep(2)  # for what comes late
    assert page.page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == []
    assert not page.page.evaluate("(name) => jupyterapp.isPluginActivated(name)", ANNOUNCEMENTS)
    hosts = {urlsplit(each).netloc for each in page.asked if urlsplit(each).scheme not in ("data", "blob")}
    assert hosts == {f"127.0.0.1:{lab.port}"}
    assert lab.asked_elsewhere() == []
    assert page.errors == []
    page.close()
    lab.end_kernels()
