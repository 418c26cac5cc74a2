"""Where knobs cannot be turned: the picture at the lesson's settings, a sentence that says what to do, and the call."""

import html
import time
from base64 import b64encode
from collections.abc import Callable, Mapping

import ipywidgets

from helpers.panels.call import call_of
from helpers.panels.knobs import Knob, Size
from helpers.panels.look import one_line
from helpers.panels.run import Frame
from helpers.panels.work import Work

PATIENCE = 20.0  # seconds after which a stepwise method ends where it is, once it has a picture


def reason() -> str:
    """Why knobs cannot be turned here and what to do about it, in one sentence; empty where they can."""
    if _in_colab():  # it has the widgets of ipywidgets 7, and shows nothing that comes from a thread
        return (
            "Colab shows this panel as a plain picture: "
            "to turn its knobs, open the notebook in JupyterLab, or change the call below and run it."
        )
    if int(ipywidgets.__version__.partition(".")[0]) < 8:
        return (
            f"This panel is a plain picture, since its knobs need ipywidgets 8 and here is {ipywidgets.__version__}: "
            "run pip install -U ipywidgets and restart the kernel, or change the call below and run it."
        )
    return ""


def _in_colab():
    try:
        import google.colab  # noqa: F401
    except ImportError:
        return False
    return True


class Paper:
    """What the work speaks to in place of a screen (`helpers.panels.screen`): the last of each word is kept.

    Attributes:
        told: how things stand.
        error: what went wrong, or "".
        frame: the picture with its text, or None.
    """

    def __init__(self):
        self.told, self.error, self.frame = "", "", None

    def tell(self, text: str) -> None:
        self.told = text

    def show(self, frame: Frame, picture=None, losses=None) -> None:
        self.frame = frame

    def end(self, text: str, frames) -> None:
        self.told = text

    def fail(self, error: Exception | None) -> None:
        self.error = "" if error is None else one_line(error, ())


class Plain:
    """What `panel` returns where there are no knobs. Nothing is computed before it is displayed.

    Attributes:
        why: the sentence, `reason()`.
        call: the Python source that makes the picture's content.
    """

    def __init__(
        self,
        why: str,
        function: Callable,
        draw: Callable | None,
        knobs: Mapping[str, Knob],
        constants: Mapping,
        size: Size,
        title: str,
    ):
        self.why, self.title, self.paper = why, title, Paper()
        self._work = Work(function, draw, knobs, constants, size, self.paper)
        self.name = self._work.name
        self._drawn = False

    @property
    def call(self) -> str:
        work = self._work
        return call_of(work.function, work.knobs, work.constants, work.size, work.iterative)

    def __repr__(self):
        return f"Panel {self.name}: {self.why}"

    def _draw(self):
        """Compute the picture, once. A stepwise method ends early, with the step reached, where it takes long."""
        if self._drawn:
            return
        self._drawn, work, end = True, self._work, time.monotonic() + PATIENCE
        try:
            work.start()
            while work.working and not (work.iterative and self.paper.frame and time.monotonic() > end):
                work.wait(0.1)
        finally:
            work.stop()
            work.wait(PATIENCE)

    def _repr_mimebundle_(self, **kwargs):
        self._draw()
        parts = [f"<p>{html.escape(self.why)}</p>"]
        frame, told = self.paper.frame, [self.paper.error or self.paper.told]
        if frame:
            alt = html.escape(f"{self.title}, at the lesson's settings", quote=True)
            source = b64encode(frame.jpeg).decode()
            parts.append(f'<img alt="{alt}" style="max-width: 100%" src="data:image/jpeg;base64,{source}">')
            told = [frame.text, *told]
        parts.append(f"<p>{'<br>'.join(html.escape(line) for line in told if line)}</p>")
        parts.append(f"<pre>{html.escape(self.call)}</pre>")
        return {"text/plain": repr(self), "text/html": "\n".join(parts)}
