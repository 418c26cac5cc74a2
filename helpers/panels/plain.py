"""Where knobs cannot be turned: the picture at the lesson's settings, and below it these, a sentence and the call."""

import math
import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping

import ipywidgets
from IPython.display import display
from PIL import Image as pillow

from helpers.core.arguments import one_of
from helpers.panels.call import call_of
from helpers.panels.controls import opened
from helpers.panels.knobs import Knob, Menu, Size
from helpers.panels.look import fitted, one_line, shown_width
from helpers.panels.run import Frame, Planned
from helpers.panels.work import Work

PATIENCE = 20.0  # seconds after which a stepwise method ends where it is, once it has a picture
LARGEST = 25_000  # bytes of a picture
LONGEST = 250  # characters of what is said in place of a picture


def stored() -> str:
    """What panels leave in a notebook that is run to be stored, by the environment variable PANELS.

    Returns:
        "picture", "film", or "" where the variable is not set: there somebody may turn the knobs.
    """
    asked = os.environ.get("PANELS", "")
    return asked and one_of("PANELS", asked, ("picture", "film"))


def reason() -> str:
    """Why knobs cannot be turned here and what to do about it, in one sentence; empty where they can."""
    if stored():
        return "Run this cell in JupyterLab to turn the knobs."
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
        error: what went wrong, or None.
        frame: the picture with its text, or None.
        picture: the same one before JPEG, or None.
    """

    def __init__(self):
        self.told, self.error, self.frame, self.picture = "", None, None, None

    def tell(self, text: str) -> None:
        self.told = text

    def show(self, frame: Frame, picture: pillow.Image, losses=None) -> None:
        self.frame, self.picture = frame, picture

    def end(self, text: str, frames) -> None:
        self.told = text

    def fail(self, error: Exception | None) -> None:
        self.error = error


class Plain:
    """What `panel` returns where there are no knobs. Nothing is computed before it is displayed.

    It is displayed as two outputs, since front ends show but one kind of each: the picture, and the words. Neither
    is HTML, which a notebook that is not trusted loses.

    Attributes:
        why: the sentence, `reason()`.
        call: the Python source that makes the picture's content.
        settings: the open knobs as they stand, as text by name.
        alt: what is said in place of the picture.
    """

    drawn = 2  # steps of a run that is stored: the first, and the last, which is shown

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
        self.why, self.title, self.paper = why, title, self._paper()
        self.work = Work(function, draw, knobs, constants, size, self.paper)
        self.name = self.work.name
        self._stored, self._seen = bool(stored()), False
        if self._stored:
            self.work.new_run = lambda: Planned(self.drawn)

    def _paper(self):
        return Paper()

    @property
    def call(self) -> str:
        work = self.work
        return call_of(work.function, work.knobs, work.constants, work.size, work.iterative)

    @property
    def settings(self) -> dict[str, str]:
        return {knob.name: as_text(knob) for knob in opened(self.work.knobs.values())[0]}

    @property
    def alt(self) -> str:
        pairs = [f"{name.replace('_', ' ')} {text}" for name, text in self.settings.items()]
        while pairs and len(f"{self.title}: the picture at {', '.join(pairs)}") > LONGEST:
            pairs.pop()
        return f"{self.title}: the picture at {', '.join(pairs) or 'the settings of the lesson'}"

    def __repr__(self):
        return f"Panel {self.name}: {self.why}"

    # ── Computed ──

    def see(self) -> None:
        """Compute what there is to see, once."""
        if not self._seen:
            self._seen = True
            self._compute(math.inf if self._stored else PATIENCE)

    def _compute(self, patience):
        """A stepwise method ends with the step that it has reached, once it has a picture and patience is over.

        Raises:
            Exception: what went wrong, where the notebook is run to be stored.
        """
        work, end = self.work, time.monotonic() + patience
        try:
            work.start()
            while work.working and not (work.iterative and self.paper.frame and time.monotonic() > end):
                work.wait(0.1)
        finally:
            work.stop()
            if work.iterative:  # else nothing ends it before it is done
                work.wait(PATIENCE)
        if self._stored and self.paper.error:
            raise self.paper.error

    # ── Displayed ──

    def _ipython_display_(self):
        for data, metadata in self.outputs():
            display(data, metadata=metadata, raw=True)

    def outputs(self) -> list[tuple[dict, dict]]:
        """What is displayed: the data by MIME type, and what is said of it, of each output."""
        self.see()
        return [*([self._picture()] if self.paper.frame else []), (self._words(), {})]

    def _picture(self):
        (jpeg,) = fitted([self.paper.picture], LARGEST)
        data = {"image/jpeg": b64encode(jpeg).decode(), "text/plain": repr(self)}
        return data, {"image/jpeg": {"alt": self.alt, "width": shown_width(self.paper.picture)}}

    def _words(self):
        settings = " · ".join(f"{name.replace('_', ' ')} {text}" for name, text in self.settings.items())
        told = "" if self._stored else self.paper.told  # with the seconds that it took
        if self.paper.error:
            told = one_line(self.paper.error, ())
        text = self.paper.frame.text if self.paper.frame else ""
        lines = [line for part in (text, told, settings, self.why) for line in part.splitlines() if line]
        marked = [f"**{_escaped(self.title)}**  ", *(f"{_escaped(line)}  " for line in lines)]
        return {
            "text/plain": "\n".join([self.title, *lines, "", self.call]),
            "text/markdown": "\n".join([*marked, "", "```python", self.call, "```"]),
        }


def as_text(knob: Knob) -> str:
    """The value of a knob as the reader sees it."""
    if isinstance(knob, Menu):
        return str(knob.widget.label)
    value = knob.value
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _escaped(line):
    """A line of text in which Markdown finds nothing to do."""
    line = re.sub(r"([\\`*_\[\]<>$#|~&])", r"\\\1", line)
    return re.sub(r"^(\s*\d*)([-+.)](?=-*(?:\s|$))|=)", r"\1\\\2", line)  # a list, or the line below a heading
