"""Iterative methods as generators of `Step`s, and what consumes such a stream.

The same generator feeds a plain `for` loop, a progress bar (`finish`), a film (`record`), a panel with Run and
Stop, a test and a benchmark.
"""

import inspect
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Annotated

import torch
from torch import Tensor
from tqdm.auto import tqdm

from helpers.core.images import all_finite, grid, save_film, to_pil, write_atomically

Seed = Annotated[int, "seed"]  # in a signature: the start of a method's random numbers


@dataclass(frozen=True)
class Step:
    """One step of an iterative method.

    Attributes:
        index: which step this is, counted from 1.
        total: how many steps there will be.
        image: what there is so far: images (N, 3, H, W), or whatever tensor the method grows, such as an
            embedding (N, 2). Never overwritten by a later step.
        losses: the terms of the objective by name, as plain numbers.

    Raises:
        FloatingPointError: on creation, when the image or a loss is NaN or infinite.
    """

    index: int
    total: int
    image: Tensor
    losses: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        for name, value in self.losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"step {self.index} of {self.total}: the loss {name!r} is {value}")
        if not all_finite(self.image):
            raise FloatingPointError(f"step {self.index} of {self.total}: the image holds NaN or infinity")


def within_memory(advice: str) -> Callable:
    """Where CUDA's memory is too small for the decorated method, it frees what it held and says what to lower.

    Args:
        advice: after the colon of the MemoryError's message; `{size}` stands for the argument of that name.
    """

    def decorate(method):
        @wraps(method)
        def steps(*arguments, **knobs):
            try:
                yield from method(*arguments, **knobs)
                return
            except torch.cuda.OutOfMemoryError:
                pass  # raising in here would keep the failed frames, and with them their tensors, as its context
            torch.cuda.empty_cache()
            given = inspect.signature(method).bind(*arguments, **knobs)
            given.apply_defaults()
            raise MemoryError(f"the GPU's memory is too small: {advice.format(**given.arguments)}")

        return steps

    return decorate


def finish(steps: Iterable[Step], description: str = "") -> Step:
    """Run a method to its end behind a progress bar and return its last `Step`.

    Raises:
        ValueError: the stream is empty.
    """
    last = deque(_with_progress(steps, description), maxlen=1)
    if not last:
        raise ValueError("steps must yield at least one Step")
    return last[0]


def may_draw_a_bar() -> bool:
    """Only a cell's own thread: the bar of a panel's thread would land in whichever cell ran last."""
    return threading.current_thread() is threading.main_thread()


def _with_progress(steps: Iterable[Step], description: str) -> Iterator[Step]:
    with tqdm(desc=description, leave=False, disable=not may_draw_a_bar()) as bar:
        for step in steps:
            bar.total = step.total
            bar.update(step.index - bar.n)
            yield step


@dataclass(frozen=True)
class Recording:
    """The steps that `record` kept: `steps[-1]` is the last one of the run."""

    steps: list[Step]

    def losses(self, name: str) -> list[float]:
        """One term of the objective over the kept steps."""
        return [step.losses[name] for step in self.steps]

    def gif(self, path, seconds: float = 4.0, columns: int | None = None):
        """Write the kept images as an endless GIF that lasts `seconds`; a batch becomes a grid."""
        frames = [to_pil(grid(step.image, columns)) for step in self.steps]
        write_atomically(path, lambda file: save_film(frames, file, seconds))


def record(steps: Iterable[Step], every: int = 1, description: str = "") -> Recording:
    """Run a method behind a progress bar and keep every `every`-th step, the first and the last, on the CPU.

    Raises:
        ValueError: `every` is below 1, or the stream is empty.
    """
    if every < 1:
        raise ValueError(f"every must be at least 1, not {every}")
    kept, last = [], None
    for last in _with_progress(steps, description):
        if (last.index - 1) % every == 0:
            kept.append(_on_cpu(last))
    if last is None:
        raise ValueError("steps must yield at least one Step")
    if kept[-1].index != last.index:
        kept.append(_on_cpu(last))
    return Recording(kept)


def _on_cpu(step: Step) -> Step:
    return replace(step, image=step.image.detach().cpu())  # keeps what a kind of Step adds
