"""A JupyterLab on 127.0.0.1 with folders and a token of its own, and its pages as a reader sees them.

The server shows notebooks in the other front ends too that are installed beside it.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import nbformat
from axe import violations

from helpers.core.lessons import ROOT
from helpers.notebooks import KERNEL

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SETTINGS = {"apputils-extension/themes": {"theme": "JupyterLab Light"}}
# imported by every Python that the server starts: which hosts it asks for, or speaks to
LISTEN = """
import sys

def note(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in (None, "", b"", "127.0.0.1", "::1", "localhost", b"127.0.0.1"):
        with open({log!r}, "a") as file:
            print(event, host, file=file)

sys.addaudithook(note)
"""


def find_browser() -> str | None:
    """The Chromium that CHROMIUM names, or the first that is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def options_of_make() -> list[str]:
    """How `make lab` sets JupyterLab up, apart from what it opens."""
    shown = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return re.findall(r"--LabApp\.(?!default_url)\S+", shown)


class Lab:
    """The server, set up as by `make lab`. Everything it writes stays in `folder`; notebooks lie in `root`."""

    def __init__(self, folder: Path):
        self.root, settings = folder / "root", folder / "settings"
        self.root.mkdir()
        for name, values in SETTINGS.items():
            path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        self.heard = folder / "heard.log"
        (folder / "listening").mkdir()
        (folder / "listening" / "sitecustomize.py").write_text(LISTEN.format(log=str(self.heard)))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.token = secrets.token_hex(16)
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}"]
        command += [f"--IdentityProvider.token={self.token}"]
        command += [f"--{app}.expose_app_in_browser=True" for app in ("LabApp", "JupyterNotebookApp")]
        command += options_of_make()
        command += [f"--ServerApp.root_dir={self.root}"] + ["--allow-root"] * (os.geteuid() == 0)
        folders = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        folders |= {"JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces")}
        path = [str(folder / "listening"), *filter(None, [os.environ.get("PYTHONPATH")])]
        folders |= {"PYTHONPATH": os.pathsep.join(path)}
        self.log = (folder / "lab.log").open("w")
        self.process = subprocess.Popen(command, env=os.environ | folders, stdout=self.log, stderr=self.log)
        self._await()

    def _await(self):
        for _ in range(900):
            if self.process.poll() is not None:
                break
            try:
                self.api("status")
                return
            except OSError:
                time.sleep(0.1)
        self.process.kill()
        raise RuntimeError(f"JupyterLab did not start:\n{Path(self.log.name).read_text()[-2000:]}")

    def api(self, what: str, method: str = "GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/{what}", method=method)
        request.add_header("Authorization", f"token {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def asked_elsewhere(self) -> list[str]:
        """The hosts that the server and its kernels have asked for or spoken to, this machine apart."""
        return self.heard.read_text().splitlines() if self.heard.exists() else []

    def end_kernels(self) -> None:
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")

    def close(self) -> None:
        try:
            self.end_kernels()
        finally:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self.log.close()


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as if it had never run, so that every picture seen is a new one."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.kernelspec = KERNEL  # without one JupyterLab asks which kernel to start
    return notebook


def _told(message) -> str:
    return f"{message.text} ({message.location['url']})"


class Page:
    """One notebook open in JupyterLab.

    Attributes:
        address: where the server shows a notebook.
        page: Playwright's page.
        errors: what the browser's console reported as errors.
        asked: the addresses of all that the page has asked for.
        opened: when the opening began, on `time.perf_counter`.
    """

    address = "lab/tree/{name}?reset"

    def __init__(self, browser, lab: Lab, notebook: nbformat.NotebookNode, name: str):
        nbformat.write(without_outputs(notebook), lab.root / name)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_page(viewport={"width": 1400, "height": 1800})
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(_told(message)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.opened = time.perf_counter()
        address = self.address.format(name=name)
        self.page.goto(f"http://127.0.0.1:{lab.port}/{address}{'&' if '?' in address else '?'}token={lab.token}")
        self.await_kernel()

    def await_kernel(self) -> None:
        self.until("() => window.jupyterapp?.commands.hasCommand('notebook:run-all-cells')")
        # clicks before the kernel is ready are silently lost
        self.until("() => jupyterapp.shell.currentWidget?.sessionContext?.isReady")
        self.page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.session.kernel.info; }")

    def errors_of_panels(self) -> list[str]:
        """The errors of the console without those that the front end has by itself."""
        return self.errors

    def until(self, condition: str, argument=None, seconds: float = 180.0):
        """Ask again and again until `condition` (a JavaScript function) returns something true; return that."""
        start = time.perf_counter()
        while not (answer := self.page.evaluate(condition, argument)):
            waited = time.perf_counter() - start
            assert waited < seconds, f"waited {seconds:.0f} s in vain for {condition} ({argument})"
            time.sleep(max(0.02, waited / 100))  # often enough for a time good to a hundredth
        return answer

    def start_all_cells(self) -> None:
        self.page.evaluate(
            "() => { window.ran = false; jupyterapp.commands.execute('notebook:run-all-cells')"
            ".then(() => { window.ran = true; }); }"
        )

    def run_all_cells(self) -> None:
        self.start_all_cells()
        self.until("() => window.ran", seconds=600)

    def cells(self) -> list[dict]:
        return self.page.evaluate("() => jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells")

    def run_cell(self, source: str, at: int | None = None) -> int:
        """Write `source` into a new last cell (or none into cell `at`), start it, and return its number."""
        return self.page.evaluate(
            """([source, at]) => {
              const notebook = jupyterapp.shell.currentWidget, model = notebook.content.model.sharedModel;
              if (at === null) { at = model.cells.length; model.insertCell(at, {cell_type: 'code', source}); }
              notebook.content.deselectAll();
              notebook.content.activeCellIndex = at;
              jupyterapp.commands.execute('notebook:run-cell');
              return at;
            }""",
            [source, at],
        )

    def text_of(self, at: int, seconds: float = 120.0) -> str:
        """What cell `at` has put out as text, waited for."""
        return self.until(
            """(at) => jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells[at].outputs
              .map(output => output.text || output.data?.['text/plain'] || output.evalue || '').join('')""",
            at,
            seconds,
        )

    def theme(self, name: str) -> None:
        self.page.evaluate("(theme) => jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
        self.until("(dark) => (document.body.dataset.jpThemeLight === 'false') === dark", "Dark" in name)

    def panels(self) -> list["PanelView"]:
        return [PanelView(self, i) for i in range(self.page.locator(".panel").count())]

    def close(self) -> None:
        self.page.close()


HASH = """async (image) => {
  if (image.naturalWidth < 2) return '';
  const bytes = await (await fetch(image.src)).arrayBuffer();
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, '0')).join('');
}"""

# what of a panel is cut off, sticks out, is too wide, or cannot be read on its background
FAULTS = """(panel) => {
  const faults = [], edge = panel.getBoundingClientRect();
  const seen = (element) => element.getClientRects().length > 0;
  const what = (element) => (element.innerText || element.className).slice(0, 40);
  if (edge.width > 900) faults.push(`panel is ${edge.width} px wide`);
  for (const e of panel.querySelectorAll('label, button, .widget-label, .widget-readout, .panel-status, .panel-drop'))
    if (seen(e) && e.scrollWidth > e.clientWidth + 1) faults.push(`cut off: ${what(e)}`);
  for (const e of panel.querySelectorAll('*'))
    if (seen(e) && e.getBoundingClientRect().right > edge.right + 1) faults.push(`sticks out: ${what(e)}`);
  const parse = (colour) => { const n = colour.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (top, below) => below.map((b, i) => i < 3 ? top[i] * top[3] + b * (1 - top[3]) : 1);
  const behind = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) {
      layers.push(parse(getComputedStyle(e).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const v = c[i] / 255;
    return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0.05);
  const texts = 'label, .widget-label, .widget-readout, button:enabled, select, input, b, .panel-status, .panel-text,'
    + '.panel-error, .panel-source, .panel-curve, .panel-drop';
  for (const e of panel.querySelectorAll(texts)) {
    if (!seen(e)) continue;
    const ground = behind(e), ink = over(parse(getComputedStyle(e).color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    if (a / b < 4) faults.push(`contrast ${(a / b).toFixed(1)}: ${what(e)}`);
  }
  return faults;
}"""


class PanelView:
    """One panel on a page."""

    def __init__(self, page: Page, number: int):
        self.page, self.number = page, number
        self.box = page.page.locator(".panel").nth(number)
        self.title = self.box.locator("b").first.text_content()
        self.iterative = self.box.locator(".panel-run").count() > 0

    def __repr__(self):
        return f"panel {self.title!r}"

    def picture(self) -> str:
        """A hash of the bytes of the picture on the screen; empty without one."""
        return self.box.locator("img.panel-picture").evaluate(HASH)

    def said_of_picture(self) -> str:
        return self.box.locator("img.panel-picture").get_attribute("alt") or ""

    def status(self) -> str:
        return self._text(".panel-status")

    def error(self) -> str:
        return self._text(".panel-error")

    def _text(self, selector):
        # not the inner text, which is empty while a cell is off the screen
        return self.box.evaluate("(panel, at) => (panel.querySelector(at)?.textContent || '').trim()", selector)

    def until(self, condition, seconds: float = 180.0):
        start = time.perf_counter()
        while not (answer := condition()):
            waited = time.perf_counter() - start
            assert waited < seconds, f"{self}: waited {seconds:.0f} s in vain, {self.status()!r} {self.error()!r}"
            time.sleep(max(0.02, waited / 100))
        return answer

    def button(self, name: str):
        return self.box.locator(f".panel-{name}")

    def is_running(self) -> bool:
        return self.button("stop").is_enabled()

    def stop(self) -> float | None:
        """Press Stop: the seconds from the click, as the page sees it, to the end; None if the run ended by itself."""
        from playwright.sync_api import TimeoutError  # here: without the package these tests are skipped

        stop = self.button("stop")
        stop.evaluate("button => button.addEventListener('click', () => { window.clicked = performance.now(); })")
        with suppress(TimeoutError):
            stop.click(timeout=2000)
        self.until(lambda: not self.is_running())
        seconds = self.page.page.evaluate("() => performance.now() - window.clicked") / 1000
        # the words arrive a moment after the button is grey
        self.until(lambda: any(word in self.status() for word in ("Stopped", "steps in")) or self.error())
        return seconds if "Stopped" in self.status() else None

    def knobs(self) -> list[str]:
        return self.box.evaluate(
            "(panel) => [...panel.querySelectorAll('[class*=knob-]')]"
            ".map(e => [...e.classList].find(c => c.startsWith('knob-')))"
        )

    def unfold(self, wanted: bool = True) -> None:
        """Press "more", if there is such a button, so that the knobs under it are in sight, or are not."""
        more = self.button("more")
        if more.count() and ("mod-active" in more.get_attribute("class")) != wanted:
            more.click()

    def control(self, knob: str):
        """The control of a knob, unfolded if it is under "more"."""
        if self.box.locator(f".panel-folded .{knob}").count():
            self.unfold()
        return self.box.locator(f".{knob}")

    def turn(self, knob: str) -> bool:
        """Turn a knob by keyboard or menu as a reader would; False where it has nowhere to go."""
        control = self.control(knob)
        if control.locator(".noUi-handle").count():
            handle = control.locator(".noUi-handle").first
            handle.focus()
            at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
            for _ in range(3):
                handle.press("ArrowLeft" if at_end else "ArrowRight")
            return True
        if control.locator("select").count():
            menu = control.locator("select")
            others = menu.evaluate(
                "m => [...m.options].filter(o => !o.selected && !o.text.includes(' MB ')).map(o => o.index)"
            )
            if others:
                menu.select_option(index=others[0])
            return bool(others)
        if control.locator("input[type=checkbox]").count():
            control.locator("input[type=checkbox]").press("Space")
            return True
        if control.locator("input[type=number]").count():
            control.locator("input[type=number]").press("ArrowUp")
            return True
        return False

    def faults(self) -> list[str]:
        return self.box.evaluate(FAULTS)

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the panel, found by its name; it looks at nothing that is off the screen."""
        self.box.scroll_into_view_if_needed()
        return violations(self.page.page, within=f".panel[aria-label={json.dumps(self.title)}]")

    def said(self) -> list[str]:
        """The panel as a screen reader meets it: a line for each control, picture and text, as Playwright writes it."""
        self.box.scroll_into_view_if_needed()
        return [line.strip().removeprefix("- ") for line in self.box.aria_snapshot().splitlines()]

    def screenshot(self, name: str) -> Path:
        path = SCREENSHOTS / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.box.screenshot(path=path)
        return path
