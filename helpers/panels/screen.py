"""What is seen of a panel's work: how it stands, the picture, the curves, the film, and which buttons are enabled."""

import html
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO

import ipywidgets
from PIL import Image as pillow

from helpers.panels.look import one_line, shown_width, sparkline
from helpers.panels.run import FRAMES_KEPT, Frame


class Screen:
    """The work speaks to it in four words: `tell`, `show`, `end`, `fail`.

    Attributes:
        left, right: the widgets, for below the knobs and for beside them.
        told: how things stand, as text.
        error: the message shown, or "".
        jpeg: the picture shown, or None.
    """

    def __init__(self, buttons: Mapping[str, ipywidgets.Widget], knobs: Iterable[str]):
        self._buttons, self._knobs = buttons, knobs
        self.told = self.error = ""
        self.jpeg, self._picture = None, None
        self._held: Sequence[Frame] = ()
        self.bar = ipywidgets.FloatProgress(max=1, layout={"width": "auto", "height": "16px", "display": "none"})
        self.status = ipywidgets.HTML(layout={"width": "auto"})
        self.message = ipywidgets.HTML(layout={"width": "auto", "display": "none"})
        self.curve = ipywidgets.HTML(layout={"display": "none", "max_width": "100%"})
        self.image = ipywidgets.Image(format="jpeg", layout={"display": "none", "max_width": "calc(100% - 4px)"})
        self.image.add_class("panel-picture")
        self.text = ipywidgets.HTML(layout={"display": "none", "max_width": "100%"})
        self.scrubber = ipywidgets.IntSlider(  # its End key keeps to the first max, and stops at a later, smaller one
            description="recorded", readout=False, min=0, max=FRAMES_KEPT, layout={"width": "auto", "display": "none"}
        )
        self.scrubber.add_class("panel-scrubber")
        self.scrubber.observe(self._scrub, "value")
        self.left = [self.bar, self.status, self.message, self.curve]
        self.right = ipywidgets.VBox(
            [self.image, self.scrubber, self.text], layout={"flex": "0 1 auto", "min_width": "0", "display": "none"}
        )

    # ── The four words ──

    def tell(self, text: str) -> None:
        """How things stand."""
        self.told = text
        self.status.value = f'<span class="panel-status" role="status">{html.escape(text)}</span>'

    def show(self, frame: Frame, picture: pillow.Image | None = None, losses: Mapping | None = None) -> None:
        """A picture and its text; of a step also how far the run is.

        Args:
            picture: the same one before JPEG, where it is still there.
            losses: the terms of the objective so far, by name as (step, value); None leaves the curves as they are.
        """
        self._put(frame, picture)
        if frame.total is not None:
            self.bar.layout.display = None
            self.bar.value = frame.index / frame.total
        if losses is not None:
            self.curve.value = "".join(sparkline(name, values) for name, values in losses.items())
            self.curve.layout.display = None if losses else "none"

    def end(self, text: str, frames: Sequence[Frame]) -> None:
        """The run is over: the buttons and the scrubber are as they are between runs."""
        self._buttons["Run"].disabled, self._buttons["Stop"].disabled = False, True
        self._buttons["Save GIF"].disabled = len(frames) < 2
        self._held = ()  # the scrubber goes to its end by itself, which shows nothing
        if len(frames) > 1:
            self.scrubber.max = self.scrubber.value = len(frames) - 1
            self.scrubber.description = f"step {frames[-1].index}"
            self.scrubber.style.description_width = f"{6 + len(str(frames[-1].total))}ch"
            self.scrubber.layout.display = None
        self._held = frames
        self.tell(text)

    def fail(self, error: Exception | None) -> None:
        """Show an error as one line, or take the last one away."""
        self.error = "" if error is None else one_line(error, self._knobs)
        self.message.value = f'<div class="panel-error" role="alert">{html.escape(self.error)}</div>'
        self.message.layout.display = None if self.error else "none"

    # ── What the reader does ──

    def begin(self) -> None:
        """A stepwise run begins: it can be stopped, and the scrubber rests until its end."""
        self._buttons["Run"].disabled, self._buttons["Stop"].disabled = True, False
        self._buttons["Save GIF"].disabled = True
        self._held = ()

    @property
    def picture(self) -> pillow.Image | None:
        """The picture shown, without JPEG's losses where it is still there."""
        return self._picture or (pillow.open(BytesIO(self.jpeg)) if self.jpeg else None)

    def _scrub(self, change):
        if change.new >= len(self._held):
            return
        frame = self._held[change.new]
        self.scrubber.description = f"step {frame.index}"
        self._put(frame)

    def _put(self, frame, picture=None):
        width = f"{shown_width(picture or pillow.open(BytesIO(frame.jpeg)))}px"
        if self.image.layout.width != width:
            self.image.layout.width, self.right.layout.flex = width, f"0 1 calc({width} + 4px)"
        self.image.layout.display = self.right.layout.display = None
        self.jpeg, self._picture = frame.jpeg, picture
        self.image.value = frame.jpeg
        self.text.value = f'<div class="panel-text">{html.escape(frame.text)}</div>' if frame.text else ""
        self.text.layout.display = None if frame.text else "none"
        self._buttons["Save PNG"].disabled = False
