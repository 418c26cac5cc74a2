"""One run: what its steps looked like, how its losses went, and when the next picture is due."""

import threading
import time
from dataclasses import dataclass
from io import BytesIO

from PIL import Image as pillow

from helpers.core.images import save_film
from helpers.core.steps import Step

FRAMES_A_SECOND = 8
CURVES_A_SECOND = 2
FRAMES_KEPT = 200


@dataclass
class Frame:
    """A picture with its text; what one step looked like, if it is one of a run."""

    jpeg: bytes
    text: str
    index: int | None = None
    total: int | None = None


class Film:
    """The frames of a run, thinned evenly to at most `most`; the last one is always kept."""

    def __init__(self, most: int = FRAMES_KEPT):
        self.frames: list[Frame] = []
        self._most, self._every = most, 1

    def add(self, frame: Frame) -> None:
        if len(self.frames) > 1 and self.frames[-1].index < self.frames[-2].index + self._every:
            self.frames.pop()  # it stood there only for being the last
        self.frames.append(frame)
        if len(self.frames) > self._most:
            self.frames = self.frames[:-1:2] + self.frames[-1:]
            self._every *= 2

    def gif(self, file, seconds: float = 4.0) -> None:
        save_film([pillow.open(BytesIO(frame.jpeg)) for frame in self.frames], file, seconds)


class Run:
    """One computation: what it was started with, whether it has been stopped, and what came of it so far."""

    def __init__(self):
        self.settings: dict | None = None
        self.stopped = threading.Event()
        self.film, self.losses = Film(), {}
        self.picture = None  # the last one without JPEG's losses
        self.start = time.perf_counter()
        self.drawing = self.shown = self.curve = 0.0
        self.first: tuple[int, float] | None = None
        self.step: Step | None = None

    def take(self, step: Step) -> None:
        self.step = step
        self.first = self.first or (step.index, time.perf_counter())
        for name, value in step.losses.items():
            self.losses.setdefault(name, []).append((step.index, value))

    @property
    def wants_frame(self) -> bool:
        """Whether to draw this step: one to show is due, or drawing has cost little more than a fifth of the time."""
        return self.is_due or self.drawing < 0.5 + 0.2 * (time.perf_counter() - self.start)

    @property
    def is_due(self) -> bool:
        return time.perf_counter() - self.shown >= 1 / FRAMES_A_SECOND or self.step.index >= self.step.total

    @property
    def curves_are_due(self) -> bool:
        return bool(self.losses) and time.perf_counter() - self.curve >= 1 / CURVES_A_SECOND

    @property
    def progress(self) -> str:
        index, total = self.step.index, self.step.total
        text = f"Step {index} of {total}"
        if index > self.first[0]:
            rate = (index - self.first[0]) / (time.perf_counter() - self.first[1])
            text += f" · {rate:.3g} steps/s · {(total - index) / rate:.0f} s left"
        return text


class Planned(Run):
    """A run that is drawn at steps settled beforehand, not when there is time: the same ones whenever it is run.

    These are the first step, the last, and as many between them, at even distances, as make `most`.
    """

    def __init__(self, most: int):
        super().__init__()
        self._most, self._next, self._due = most, 0, False

    def take(self, step: Step) -> None:
        super().take(step)
        first = self.first[0]
        place = (step.index - first) * (self._most - 1) // max(1, step.total - first)
        self._due = place >= self._next
        if self._due:
            self._next = place + 1

    @property
    def wants_frame(self) -> bool:
        return self._due

    @property
    def is_due(self) -> bool:
        return self._due
