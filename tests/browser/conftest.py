"""JupyterLab and Chromium, started once for all browser tests."""

import os

import pytest
from lab import Lab, find_browser


def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    missing = None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "no browser tests: the Python package playwright is not installed"
    path = find_browser()
    if path is None:
        missing = "no browser tests: no Chromium is installed (CHROMIUM=/path/to/it names one)"
    if missing and os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium's own does not work for root
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*sandbox, "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.close()
