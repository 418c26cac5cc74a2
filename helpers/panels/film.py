"""A panel as a film: the steps of its run, or a knob turned from end to end, for pages behind which is no kernel."""

import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from itertools import pairwise

import ipywidgets
import numpy as np
from PIL import Image as pillow

from helpers.panels.controls import opened
from helpers.panels.knobs import USUAL, Channels, Knob, Layers, Menu, Number, Switch
from helpers.panels.look import fitted
from helpers.panels.plain import Paper, Plain, as_text
from helpers.panels.run import Frame

MIME = "application/vnd.seeing-convnets.film+json"
MOST = 14  # frames of a film; the one at the lesson's settings may come in addition
RUNS = 7  # runs of a film that turns a knob of a stepwise method
DRAWN = 48  # steps from which those of a film are chosen
LARGEST = 45_000  # bytes of a frame
MANY = 4  # entries of a menu that is turned before shorter ones
EFFORT = ("size", "steps")  # how much is computed, not what


class Reel(Paper):
    """Keeps every picture that is shown, as (frame, picture)."""

    def __init__(self):
        super().__init__()
        self.shots: list[tuple[Frame, pillow.Image]] = []

    def show(self, frame, picture, losses=None):
        super().show(frame, picture)
        if not (self.shots and self.shots[-1][0] is frame):  # the end shows the last step again
            self.shots.append((frame, picture))


class Filmed(Plain):
    """What `panel` returns where a page is made of the notebook: a picture, and in the same output the film."""

    drawn = DRAWN

    def __init__(self, why, function, draw, knobs, constants, size, title, turned: str | None = None):
        super().__init__(why, function, draw, knobs, constants, size, title)
        self._turned = turned

    def _paper(self):
        return Reel()

    def outputs(self):
        self.see()
        film = self.film()
        data, metadata = self._picture()
        return [(data | {MIME: film}, metadata)]

    def film(self) -> dict:
        """What a page needs to show the film, as JSON.

        Returns:
            "title"; "knob": the name of what is turned, "steps" of a run; "frames", each with its "jpeg" in base64,
            its "label" and its "text"; "start": which frame is at the lesson's settings, of a run the last;
            "call" and "alt": of that frame.
        """
        said = {"title": self.title, "call": self.call, "alt": self.alt}
        knob = self.work.knobs.get(self._turned)
        if not (knob or self.work.iterative):
            knob = telling(self.work.knobs.values())
        if knob:
            name, (labels, shots, start) = knob.name, self._turn(knob)
        elif self.work.iterative:
            name, shots = "steps", spread(self.paper.shots, MOST)
            labels, start = [f"step {frame.index} of {frame.total}" for frame, _ in shots], len(shots) - 1
        else:
            name, labels, shots, start = "", [""], self.paper.shots, 0
        jpegs = fitted(of_one_size([picture for _, picture in shots]), LARGEST, 75)
        frames = [
            {"jpeg": b64encode(jpeg).decode(), "label": label, "text": frame.text}
            for jpeg, label, (frame, _) in zip(jpegs, labels, shots, strict=True)
        ]
        return said | {"knob": name, "frames": frames, "start": start}

    def _turn(self, knob):
        """The labels and pictures at the values that a knob goes through, and which is the lesson's own.

        Of a run it is the last picture. A value that is refused is left out.
        """
        own, paper = knob.widget.value, self.paper
        at_rest, labels, shots, start = (paper.frame, paper.picture), [], [], 0
        for value in values(knob, RUNS if self.work.iterative else MOST):
            knob.widget.value = value
            if value == own:
                start, shot = len(shots), at_rest
            else:
                try:
                    self._compute(math.inf)
                except (ValueError, FloatingPointError):
                    continue
                shot = paper.frame, paper.picture
            labels.append(f"{knob.name.replace('_', ' ')} = {as_text(knob)}")
            shots.append(shot)
        knob.widget.value, (paper.frame, paper.picture), paper.error = own, at_rest, None
        return labels, shots, start


def of_one_size(pictures: Sequence[pillow.Image]) -> list[pillow.Image]:
    """The pictures with white to their right and below, where others are larger: a page holds still beneath them."""
    size = max(picture.width for picture in pictures), max(picture.height for picture in pictures)
    sheets = [pillow.new("RGB", size, "white") for _ in pictures]
    for sheet, picture in zip(sheets, pictures, strict=True):
        sheet.paste(picture)
    return sheets


# ── Which knob, and how far ──


def telling(knobs: Iterable[Knob]) -> Knob | None:
    """The knob that a film turns: the first in sight that has a range or a long menu, but for `EFFORT`.

    Where there is none, it is the first menu of layers, then any other menu, then a switch.
    """
    able = [knob for knob in opened(knobs)[0] if knob.name not in EFFORT and len(values(knob)) > 1]
    long = [knob for knob in able if isinstance(knob, Menu) and len(knob.widget.options) >= MANY]
    ranges = [knob for knob in able if isinstance(knob, (Number, Channels)) or knob in long]
    kinds = [[knob for knob in able if isinstance(knob, kind)] for kind in (Layers, Menu, Switch)]
    return next((knob for group in (ranges, *kinds) for knob in group), None)


def values(knob: Knob, most: int = MOST) -> list:
    """What the control of a knob goes through, in order: so many values and the one at which it stands."""
    widget = knob.widget
    if isinstance(knob, (Menu, Layers)):
        options = [option[1] if isinstance(option, tuple) else option for option in widget.options]
        options = [option for option in options if option != USUAL or widget.value == USUAL]
        few = thinned(options, most)
        return [option for option in options if option in few or option == widget.value]
    if isinstance(knob, Switch):
        return [False, True]
    if not isinstance(knob, (Number, Channels)):
        return [widget.value]
    steps = range(math.floor((widget.max - widget.min) / widget.step + 1e-9) + 1)
    few = [widget.min + index * widget.step for index in thinned(steps, most)]
    if isinstance(widget, ipywidgets.FloatLogSlider):
        few = [float(f"{widget.base**power:.2g}") for power in few]
        whole = knob.kind is int
        few = [round(value) if whole else value for value in few]
    elif not isinstance(widget, ipywidgets.IntSlider):
        few = [float(f"{value:.6g}") for value in few]
    return sorted({*few, widget.value})


def thinned(items: Sequence, most: int) -> list:
    """At most so many of the items, from the first to the last as evenly as can be."""
    last, most = len(items) - 1, min(len(items), most)
    return [items[round(index * last / (most - 1))] for index in range(most)] if most > 1 else list(items)


def spread(shots: Sequence[tuple[Frame, pillow.Image]], most: int) -> list[tuple[Frame, pillow.Image]]:
    """At most so many of the shots, the first and the last included: many where the picture changes fast."""
    small = [np.asarray(picture.convert("L").resize((32, 32), pillow.Resampling.BOX), float) for _, picture in shots]
    change = np.cumsum([0.0, *(np.abs(after - before).mean() for before, after in pairwise(small))])
    way = change / (change[-1] or 1) + np.linspace(0, 1, len(shots))  # half by change, half by count
    return [shots[index] for index in sorted({int(np.abs(way - at).argmin()) for at in np.linspace(0, 2, most)})]
