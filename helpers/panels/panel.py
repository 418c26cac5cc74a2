"""Panels: a technique with its knobs, its picture and, if it works step by step, its Run and Stop.

    panel(occlude, draw=lambda heat, image: plots.overlay(image, heat), image="chelsea")

The controls come from the function's signature (`helpers.panels.knobs`). Everything that takes time happens in one
thread a panel, which touches nothing but widgets; panels take turns, so that several of them share the machine.
Where no front end answers (nbval, nbconvert, papermill) a panel draws nothing, loads nothing and starts no thread.
"""

import atexit
import copy
import html
import inspect
import math
import re
import threading
import time
import typing
import weakref
from base64 import b64encode
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import ipywidgets
import torch
from ipywidgets import fixed
from matplotlib.figure import Figure
from PIL import Image as pillow
from torch import Tensor

from helpers.core import images, networks, photos, registry
from helpers.core.networks import Network
from helpers.core.steps import Step
from helpers.panels.knobs import Categories, Channels, Layers, Networks, Pictures, make

__all__ = ["Panel", "fixed", "living", "panel"]

FRAMES_A_SECOND = 8
CURVES_A_SECOND = 2
FRAMES_KEPT = 200
NETWORKS_KEPT = 3
WIDEST = 860  # pixels of a picture; the whole panel fits 900


def panel(
    function: Callable,
    draw: Callable | None = None,
    *,
    size: int | None = None,
    longest: int | None = None,
    title: str | None = None,
    **knobs,
) -> "Panel":
    """Knobs for `function`, and the picture of what it returns.

    Args:
        function: a technique. One that returns `Iterator[Step]` gets Run and Stop, any other is computed anew
            whenever a knob has been moved.
        draw: turns a result (or a Step) into a picture: images (N, 3, H, W), a PIL image, a Figure, or a tuple
            of such a picture and a text. Its further parameters that are named like the function's are passed
            too. Default: the tensor itself, or `step.image`.
        size: photos are cropped to a square of so many pixels, by default 224. If the function itself has a
            parameter of that name, it is set instead.
        longest: instead of a square, keep the photo's shape and make its longer side so long.
        title: default: the function's name.
        **knobs: by parameter a default (`steps=100`, `image="coffee"`), a range (`patch=(8, 96, 8)`,
            `mode=["a", "b"]`), an ipywidgets widget, or `fixed(value)` for no control.
    """
    return Panel(function, draw, size=size, longest=longest, title=title, **knobs)


def living() -> list["Panel"]:
    """The panels of this kernel that have not been closed."""
    return list(_living)


# ── What all panels share ────────────────────────────────────────────────────────────────────────────────────


class _Turns:
    """One computation at a time, first come, first served."""

    def __init__(self):
        self._waiting, self._changed = deque(), threading.Condition()

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    @contextmanager
    def turn(self, given_up: Callable[[], bool] = lambda: False):
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            while self._waiting[0] is not ticket and not given_up():
                self._changed.wait(0.1)
        try:
            yield
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()


_turns = _Turns()
_living: "weakref.WeakSet[Panel]" = weakref.WeakSet()
_networks: OrderedDict[str, Network] = OrderedDict()  # the few used last
_loading = threading.Lock()


def _network(name: str) -> Network:
    """A network of the registry, for the panels only: one that a cell uses meanwhile would share its hooks."""
    with _loading:
        if name not in _networks:
            _networks[name] = networks.load(name)
        _networks.move_to_end(name)
        while len(_networks) > NETWORKS_KEPT:
            _networks.popitem(last=False)
        return _networks[name]


def _twin(network: Network) -> Network:
    """The same weights in modules of their own, so that the hooks of a cell and of a panel never meet."""
    weights = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(tensor): tensor for tensor in weights})


@atexit.register
def _stop_all():
    for each in living():
        each.stop()


# ── One panel ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Frame:
    """What one step looked like."""

    index: int
    total: int
    jpeg: bytes
    text: str


class _Film:
    """The frames of a run, thinned evenly to at most `most`; the last one is always kept."""

    def __init__(self, most: int = FRAMES_KEPT):
        self.frames: list[_Frame] = []
        self._most, self._every = most, 1

    def add(self, frame: _Frame) -> None:
        if len(self.frames) > 1 and self.frames[-1].index < self.frames[-2].index + self._every:
            self.frames.pop()  # it stood there only for being the last
        self.frames.append(frame)
        if len(self.frames) > self._most:
            self.frames = self.frames[:-1:2] + self.frames[-1:]
            self._every *= 2

    def gif(self, file, seconds: float = 4.0) -> None:
        pictures = [pillow.open(BytesIO(frame.jpeg)) for frame in self.frames]
        pause = max(20, round(1000 * seconds / len(pictures)))
        pictures[0].save(file, format="GIF", save_all=True, append_images=pictures[1:], duration=pause, loop=0)


class _Run:
    """One computation: what it was started with, whether it has been stopped, and what came of it so far."""

    def __init__(self):
        self.settings: dict | None = None
        self.stopped = threading.Event()
        self.film, self.losses = _Film(), {}
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
    def progress(self) -> str:
        index, total = self.step.index, self.step.total
        text = f"Step {index} of {total}"
        if index > self.first[0]:
            rate = (index - self.first[0]) / (time.perf_counter() - self.first[1])
            text += f" · {rate:.3g} steps/s · {(total - index) / rate:.0f} s left"
        return text


class Panel(ipywidgets.VBox):
    """See `panel`. What a program may use:

    Attributes:
        knobs: parameter name → `helpers.panels.knobs.Knob`; `knobs["patch"].widget.value = 32` turns one.
        call: the Python source that does what the panel would do now.
        error: the message shown, or "".
        frames: how many frames the scrubber holds.
        working: whether something is being computed.
    """

    _link = None  # until the widgets are built

    def __init__(self, function, draw=None, *, size=None, longest=None, title=None, **knobs):
        if size is not None and "size" in inspect.signature(function).parameters:
            size, knobs["size"] = None, size
        self.function, self.draw, self.size, self.longest = function, draw, size or 224, longest
        self.knobs, self.constants = make(function, knobs)
        self.iterative = _is_iterative(function)
        self.name = _name(function)
        self.error = ""
        self._lock, self._screen = threading.Lock(), threading.RLock()
        self._pending, self._thread, self._run, self._quiet = None, None, _Run(), False
        self._film, self._jpeg, self._picture = _Film(), None, None
        self._alive = self._shown = self._begun = False
        self._own: Network | None = None  # the reader's network in modules of the panel's own
        super().__init__(layout={"max_width": "900px"})
        self.add_class("panel")
        self.title = title or self.name.replace("_", " ")
        self._build()
        self._cell = _executing_cell()
        self._replace_former()
        _living.add(self)

    # ── Widgets ──

    def _build(self):
        wide = max((len(k.widget.description) for k in self.knobs.values() if not k.hidden), default=0)
        controls = [self._control(knob, wide) for knob in self.knobs.values() if not knob.hidden]
        self._controls = ipywidgets.GridBox(
            controls,
            layout={"grid_template_columns": "repeat(auto-fit, minmax(290px, 1fr))", "grid_gap": "2px 16px"},
        )
        button = self._button
        self._run_button = button("Run", "play", self.run, "Start with the settings above", "primary")
        self._stop_button = button("Stop", "stop", self.stop, "Stop at once, keeping the last picture")
        self._stop_button.disabled = True
        self._png_button = button("Save PNG", "image", self.save_png, "Write the picture beside the notebook")
        self._gif_button = button("Save GIF", "film", self.save_gif, "Write the recorded steps beside the notebook")
        self._png_button.disabled = self._gif_button.disabled = True
        reset = button("Reset", "undo", self.reset, "Back to the lesson's settings")
        self._call_button = ipywidgets.ToggleButton(
            description="Show the call", icon="code", tooltip="The Python that does the same", layout={"width": "auto"}
        )
        self._call_button.add_class("panel-show-the-call")
        self._call_button.observe(lambda _: self._show_call(), "value")
        steps_only = [self._run_button, self._stop_button] if self.iterative else []
        film_only = [self._gif_button] if self.iterative else []
        buttons = ipywidgets.HBox(
            [*steps_only, reset, self._png_button, *film_only, self._call_button], layout={"flex_flow": "row wrap"}
        )
        self._bar = ipywidgets.FloatProgress(max=1, layout={"width": "auto", "height": "16px", "display": "none"})
        self._status = ipywidgets.HTML(layout={"width": "auto"})
        self._message = ipywidgets.HTML(layout={"width": "auto", "display": "none"})
        self._source = ipywidgets.HTML(layout={"width": "auto", "display": "none"})
        self._image = ipywidgets.Image(format="jpeg", layout={"display": "none", "max_width": "calc(100% - 4px)"})
        self._image.add_class("panel-picture")
        self._text = ipywidgets.HTML(layout={"display": "none", "max_width": "100%"})
        self._curve = ipywidgets.HTML(layout={"display": "none", "max_width": "100%"})
        self._scrubber = ipywidgets.IntSlider(  # its End key keeps to the first max, and stops at a later, smaller one
            description="recorded", readout=False, min=0, max=FRAMES_KEPT, layout={"width": "auto", "display": "none"}
        )
        self._scrubber.add_class("panel-scrubber")
        self._scrubber.observe(self._scrub, "value")
        self._left = ipywidgets.VBox(
            [self._controls, buttons, self._bar, self._status, self._message, self._source, self._curve],
            layout={"flex": "1 1 300px", "min_width": "0"},
        )
        self._right = ipywidgets.VBox(
            [self._image, self._scrubber, self._text], layout={"flex": "0 1 auto", "min_width": "0", "display": "none"}
        )
        body = ipywidgets.HBox(
            [self._left, self._right], layout={"flex_flow": "row wrap", "grid_gap": "8px", "max_width": "900px"}
        )
        self.children = [ipywidgets.HTML(f"{STYLE}<b>{html.escape(self.title)}</b>"), body]
        # A front end, and nothing else, copies one widget's property to the other: this says that there is one.
        self._bar.tabbable = False
        self._status.observe(self._front_end_answers, "tabbable")
        self._link = ipywidgets.jsdlink((self._bar, "tabbable"), (self._status, "tabbable"))

    def _control(self, knob, wide):
        widget = knob.widget
        widget.layout.width = "auto"
        widget.style.description_width = f"{wide + 1}ch"
        widget.add_class(f"knob-{knob.name}")
        widget.observe(self._changed, "value")
        if not isinstance(knob, Pictures):
            return widget
        upload = ipywidgets.FileUpload(
            accept="image/*", description="Upload", tooltip="A picture of your own", layout={"width": "auto"}
        )
        upload.observe(lambda change: self._upload(knob, change.new), "value")
        upload.add_class("panel-upload")
        widget.layout.flex, upload.layout.flex = f"1 1 calc({wide + 1}ch + 110px)", "0 0 auto"
        row = ipywidgets.HBox([widget, upload, ipywidgets.HTML(DROP)], layout={"flex_flow": "row wrap"})
        return row.add_class("panel-row")

    def _button(self, text, icon, action, tooltip, style=""):
        made = ipywidgets.Button(
            description=text, icon=icon, tooltip=tooltip, button_style=style, layout={"width": "auto"}
        )
        made.add_class("panel-" + text.lower().replace(" ", "-"))
        made.on_click(lambda _: self._guarded(action))
        return made

    def __repr__(self):
        verb = "turn " + ", ".join(name for name, knob in self.knobs.items() if not knob.hidden)
        return f"Panel {self.name}: open in JupyterLab to {verb}"

    def _repr_mimebundle_(self, **kwargs):
        self._shown = True
        self._begin()
        bundle = super()._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}
        return bundle | ({"image/jpeg": b64encode(self._jpeg).decode()} if self._jpeg else {})

    # ── When to work ──

    def _front_end_answers(self, _):
        self._alive = True
        self._begin()

    def _begin(self):
        """The first work of a panel that somebody looks at."""
        with self._lock:
            if self._begun or not (self._alive and self._shown):
                return
            self._begun = True
        self._submit(self._get_ready if self.iterative else self._compute)

    def _changed(self, change):
        if self._quiet or threading.current_thread() is self._thread:
            return  # the panel's own doing
        self._show_call()
        if not self.iterative:
            self._submit(self._compute)
            return
        if self.running:
            self._tell_progress()
        followed = any(isinstance(knob, (Networks, Layers)) for knob in self.knobs.values())
        if followed and self._pending != self._iterate:
            self._submit(self._get_ready)  # if a run is under way: after it

    @property
    def running(self) -> bool:
        """Whether a stepwise run is under way."""
        return not self._stop_button.disabled

    def run(self) -> None:
        """Compute with the settings of now; a stepwise run that is under way goes on."""
        if self.running:
            return
        if self.iterative:
            self._run_button.disabled, self._stop_button.disabled = True, False
            self._gif_button.disabled = True
        self._tell("Starting …")
        self._submit(self._iterate if self.iterative else self._compute)

    def stop(self) -> None:
        """Stop at once: nothing more is shown, and the step being computed is thrown away."""
        with self._screen:
            if not self.running:
                return
            with self._lock:
                if self._pending == self._iterate:  # not begun: the picture shown is of the run before
                    self._pending, self._run = None, _Run()
            run = self._run
            run.stopped.set()
            self._end(f"Stopped at step {run.film.frames[-1].index}." if run.film.frames else "Stopped.")

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is being computed; False if that takes longer than `seconds`."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return not self.working

    @property
    def working(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def reset(self) -> None:
        """Back to the settings that the lesson gave."""
        self._quiet = True
        try:
            for knob in self.knobs.values():
                knob.reset()
        finally:
            self._quiet = False
        self._changed(None)

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self.stop()
            with self._lock:
                self._pending = None
            _living.discard(self)
            link.close()
            for each in list(_tree(self))[1:]:
                each.close()
        super().close()

    def _submit(self, job):
        """Let the thread do `job` next, in place of any other that it has not begun."""
        with self._lock:
            self._pending = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"panel {self.name}", daemon=True)
                self._thread.start()

    def _work(self):
        while True:
            with self._lock:
                job, self._pending = self._pending, None
                if job is None:
                    self._thread = None
                    return
                run = self._run = _Run()
            try:
                if _turns.busy:
                    self._tell("Waiting for another panel …")
                job(run)
            except Exception as error:
                with self._screen:
                    if not run.stopped.is_set():
                        self._fail(error)
                        self._end("")

    def _guarded(self, action):
        try:
            self._fail(None)
            action()
        except Exception as error:
            self._fail(error)

    # ── The work itself, in the panel's thread ──

    def _get_ready(self, run):
        """Let the menus follow the knobs, so that only Run remains to be pressed."""
        self._arguments(run)
        self._tell("" if self._film.frames else "Press Run.")

    def _arguments(self, run) -> dict:
        """Load what the knobs name, let the menus follow, and return what the function is called with."""
        network, chosen = None, None
        while (name := self._network_name()) != chosen:  # it may be turned while the network is loading
            network, chosen = self._load_network(name), name
        with _turns.turn(run.stopped.is_set):
            self._follow(network)
            run.settings = self.settings()
            arguments = dict(run.settings)
            for name, knob in self.knobs.items():
                if isinstance(knob, Networks):
                    arguments[name] = network
                elif isinstance(knob, Pictures):
                    arguments[name] = self._load_picture(knob, arguments[name])
                elif isinstance(knob, Categories) and network is not None and arguments[name] is not None:
                    arguments[name] = network.category(arguments[name])
        with self._screen:
            if not run.stopped.is_set():
                self._fail(None)
        return self.constants | arguments

    def _network_name(self):
        return next((knob.value for knob in self.knobs.values() if isinstance(knob, Networks)), None)

    def _load_network(self, name):
        knob = next(knob for knob in self.knobs.values() if isinstance(knob, Networks))
        if knob.given is not None and knob.given.name == name:
            self._own = self._own or _twin(knob.given)
            return self._own
        if name not in _networks:
            source = registry.SOURCES[name]
            self._tell(f"{'Loading' if source.here else 'Looking for'} {name} …")
            with nullcontext() if source.here else self._watching(source):
                _network(name)
            knob.refresh()
        return _network(name)

    @contextmanager
    def _watching(self, source):
        """While a download goes on, say how far it is: torch grows a `.partial` file beside its place."""
        over = threading.Event()

        def watch():
            while not over.wait(0.5):
                parts = source.file().parent.glob(f"{source.file().name}.*.partial") if source.url else ()
                done = max((part.stat().st_size for part in parts), default=0) / 1e6
                self._tell(f"Downloading {source.name}: {done:.0f} of {source.megabytes} MB …")

        thread = threading.Thread(target=watch, name=f"panel {self.name} download", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _follow(self, network):
        """Let the menus of layers, channels and classes show what `network` has."""
        if network is None:
            return
        layer = self.constants.get("layer")
        for knob in self.knobs.values():
            if isinstance(knob, Layers):
                layer = knob.follow(network)
            elif isinstance(knob, Channels) and layer is not None:
                knob.follow(network.shape(layer)[0])
            elif isinstance(knob, Categories):
                knob.follow(network)

    def _load_picture(self, knob, name):
        if name is None or name == "as given":
            return knob.given
        knob.refresh()
        if self.longest:
            return images.resize(photos.photo(name), self.longest)
        return photos.photo(name, self.size)

    def _compute(self, run):
        arguments = self._arguments(run)
        with _turns.turn():
            self._tell("Computing …")
            start = time.perf_counter()
            result = self.function(**arguments)
            if isinstance(result, Iterator):
                raise TypeError(f"{self.name} works step by step: annotate it with -> Iterator[Step]")
            picture, text = self._render(result, arguments)
        self._show(_to_jpeg(picture), text, picture)
        self._tell(f"{time.perf_counter() - start:.2g} s")

    def _iterate(self, run):
        arguments = self._arguments(run)
        with _turns.turn(run.stopped.is_set):
            steps = iter(self.function(**arguments))
        try:
            while self._advance(run, steps, arguments):
                pass
        finally:
            if hasattr(steps, "close"):
                steps.close()
        with self._screen:
            if not run.stopped.is_set():
                step, seconds = run.step, time.perf_counter() - run.start
                self._end(f"{step.index} steps in {seconds:.1f} s ({step.index / seconds:.3g} steps/s)")

    def _advance(self, run, steps, arguments) -> bool:
        """One step: compute it, draw it if there is time, show it if one is due. False at the end."""
        frame = None
        with _turns.turn(run.stopped.is_set):
            if run.stopped.is_set():
                return False
            step = next(steps, None)
            if step is not None:
                run.take(step)
            elif run.step is None:
                raise ValueError(f"{self.name} yielded no step")
            ended_undrawn = step is None and run.film.frames[-1].index < run.step.index
            if ended_undrawn or (step is not None and run.wants_frame):
                frame = self._draw_frame(run, arguments)
        with self._screen:
            if run.stopped.is_set():
                return False
            if frame is not None:
                run.film.add(frame)
                if step is None or run.is_due:
                    self._show_progress(run, frame)
        return step is not None

    def _draw_frame(self, run, arguments):
        start = time.perf_counter()
        run.picture, text = self._render(run.step, arguments)
        frame = _Frame(run.step.index, run.step.total, _to_jpeg(run.picture), text)
        run.drawing += time.perf_counter() - start
        return frame

    # ── What is shown ──

    def _render(self, result, arguments):
        """The picture (PIL) and the text of a result."""
        shown = getattr(result, "image", result)
        if self.draw is not None:
            known = inspect.signature(self.function).bind(**arguments)
            known.apply_defaults()
            wanted = list(inspect.signature(self.draw).parameters)[1:]
            more = {name: known.arguments[name] for name in wanted if name in known.arguments}
            shown = self.draw(result, **more)
        text = ""
        if isinstance(shown, tuple):
            shown, text = shown
        return _to_picture(shown), str(text)

    def _show(self, jpeg, text, picture=None):
        """Put a picture on the screen; `picture` is the same one before JPEG, where it is still there."""
        wide, high = (picture or pillow.open(BytesIO(jpeg))).size
        width = f"{min(WIDEST, max(wide, 400 if wide >= high else round(400 * wide / high)))}px"
        if self._image.layout.width != width:
            self._image.layout.width, self._right.layout.flex = width, f"0 1 calc({width} + 4px)"
        self._image.layout.display = self._right.layout.display = None
        self._jpeg, self._picture = jpeg, picture
        self._image.value = jpeg
        self._text.value = f'<div class="panel-text">{html.escape(text)}</div>' if text else ""
        self._text.layout.display = None if text else "none"
        self._png_button.disabled = False

    def _show_progress(self, run, frame):
        run.shown = time.perf_counter()
        self._film = run.film
        self._show(frame.jpeg, frame.text, run.picture)
        self._bar.layout.display = None
        self._bar.value = frame.index / frame.total
        self._tell_progress()
        if run.losses and run.shown - run.curve >= 1 / CURVES_A_SECOND:
            run.curve = run.shown
            self._draw_curves(run)

    def _tell_progress(self):
        run = self._run
        if run.step is None or run.settings is None:
            return
        changed = run.settings != self.settings()
        self._tell(run.progress + (" · press Stop, then Run, to use the new settings" if changed else ""))

    def _tell(self, text):
        self._status.value = f'<span class="panel-status" role="status">{html.escape(text)}</span>'

    def _end(self, text):
        """The picture, the buttons and the scrubber as they are between runs."""
        run, frames = self._run, self._film.frames
        if self._film is run.film and frames:
            self._show(frames[-1].jpeg, frames[-1].text, run.picture)
            self._draw_curves(run)
            self._bar.value = frames[-1].index / frames[-1].total
        self._run_button.disabled, self._stop_button.disabled = False, True
        self._gif_button.disabled = len(frames) < 2
        if len(frames) > 1:
            self._quiet = True
            self._scrubber.max = self._scrubber.value = len(frames) - 1
            self._quiet = False
            self._scrubber.description = f"step {frames[-1].index}"
            self._scrubber.style.description_width = f"{6 + len(str(frames[-1].total))}ch"
            self._scrubber.layout.display = None
        self._tell(text)

    def _draw_curves(self, run):
        self._curve.value = "".join(_sparkline(name, values) for name, values in run.losses.items())
        self._curve.layout.display = None if run.losses else "none"

    def _fail(self, error):
        """Show an error as one line, or take the last one away."""
        self.error = "" if error is None else _one_line(error, self.knobs)
        self._message.value = f'<div class="panel-error" role="alert">{html.escape(self.error)}</div>'
        self._message.layout.display = None if self.error else "none"

    def _scrub(self, change):
        frames = self._film.frames
        if self._quiet or self.running or change.new >= len(frames):
            return
        frame = frames[change.new]
        self._scrubber.description = f"step {frame.index}"
        self._show(frame.jpeg, frame.text)

    # ── Buttons ──

    def settings(self) -> dict:
        """The knobs as they stand: parameter name → value, or the name of a network or picture."""
        return {name: knob.value for name, knob in self.knobs.items()}

    def _show_call(self):
        self._source.layout.display = None if self._call_button.value else "none"
        if self._call_button.value:
            self._source.value = f'<pre class="panel-source">{html.escape(self.call)}</pre>'

    @property
    def call(self) -> str:
        modules, notes, arguments = set(), [], []
        values = self.constants | self.settings()
        for name in filter(values.__contains__, inspect.signature(self.function).parameters):
            value = values[name]
            knob = self.knobs.get(name)
            code = _source(value)
            if isinstance(knob, Networks):
                code = f'networks.load("{value}")' if value in registry.SOURCES else name
                modules |= {"networks"} if value in registry.SOURCES else set()
            elif isinstance(knob, Pictures) and value not in (None, "as given"):
                code, modules = f'photos.photo("{value}", {self.size})', modules | {"photos"}
                if self.longest:
                    code, modules = f'images.resize(photos.photo("{value}"), {self.longest})', modules | {"images"}
            elif value == "as given" if isinstance(value, str) else not _is_literal(value):
                code = name
            if code == name:
                notes.append(f"# {name}: what was given to the panel")
            arguments.append(f"{name}={code}")
        lines = [f"from helpers import {', '.join(sorted(modules))}"] if modules else []
        if self.function.__module__ != "__main__":
            lines.append(f"from {self.function.__module__} import {self.name}")
        if self.iterative:
            lines.append("from helpers.steps import finish")
        call = f"{self.name}({', '.join(arguments)})"
        if len(call) > 90:
            call = f"{self.name}(\n    " + ",\n    ".join(arguments) + ",\n)"
        lines.append(f"result = {f'finish({call})' if self.iterative else call}")
        return "\n".join([*notes, *lines])

    def _upload(self, knob, files):
        def keep():
            for file in files:
                content = BytesIO(bytes(file["content"]))
                content.name = Path(file["name"]).name
                images.load(content)  # refuses what is no picture
                path = photos.MINE / re.sub(r"[^\w.-]+", "-", content.name)
                if path.suffix.lower() not in photos.SUFFIXES:  # or the menu would not list it
                    path = path.with_name(path.name + ".png")
                if path.exists():
                    path = _free_name(path.parent, path.stem, path.suffix)
                images.write_atomically(path, lambda stream, content=content: stream.write(content.getvalue()))
                knob.refresh(choose=path.name)

        self._guarded(keep)

    def save_png(self) -> Path:
        """Write the picture into the working folder, which is the notebook's, under a name not taken."""
        picture = self._picture or pillow.open(BytesIO(self._jpeg))
        return self._save(".png", lambda file: picture.save(file, format="PNG"))

    def save_gif(self) -> Path:
        """Write the recorded steps as an endless film of four seconds."""
        return self._save(".gif", self._film.gif)

    def _save(self, suffix, write):
        path = _free_name(Path.cwd(), self.name, suffix)
        images.write_atomically(path, write)
        self._tell(f"Saved {path.name} beside the notebook.")
        return path

    # ── The cell that made it ──

    def _replace_former(self):
        """Close the panels that an earlier run of the same cell left behind."""
        for other in living():
            if self._cell[0] is not None and other._cell[0] == self._cell[0] and other._cell[1] != self._cell[1]:
                other.close()
            elif self._cell[0] is None and other.title == self.title:
                other.stop()


# Dropping a file hands it to the upload button beside: its file chooser, about to open, is given the file instead.
DROP = """<div class="panel-drop" title="Drop a picture here" ondragover="event.preventDefault()" ondrop="
event.preventDefault();
const files = event.dataTransfer.files, input = HTMLInputElement.prototype, click = input.click;
input.click = function () { this.files = files; this.dispatchEvent(new Event('change')); };
try { this.closest('.panel-row').querySelector('.panel-upload').click(); } finally { input.click = click; }
">drop</div>"""

STYLE = """<style>
.panel .widget-gridbox > *, .panel-row { min-width: 0; }
.panel .widget-upload { font-size: 0; }
.panel .widget-upload::after { content: "Upload"; font-size: var(--jp-widgets-font-size); }
.panel .widget-upload .fa { font-size: var(--jp-widgets-font-size); }
.panel .widget-inline-hbox input, .panel .widget-inline-hbox select { min-width: 0; }
.panel-drop { border: 1px dashed var(--jp-border-color1); color: var(--jp-ui-font-color2); padding: 0 6px;
  line-height: calc(var(--jp-widgets-inline-height) - 2px); }
.panel-status { color: var(--jp-ui-font-color2); font-size: var(--jp-ui-font-size1); }
.panel-error { color: var(--jp-ui-font-color1); border-left: 4px solid var(--jp-error-color1); padding: 2px 8px;
  line-height: 1.4; overflow-wrap: anywhere; }
.panel-text { color: var(--jp-ui-font-color1); white-space: pre-wrap; line-height: 1.4; }
.panel-source { color: var(--jp-content-font-color1); background: var(--jp-cell-editor-background); padding: 6px;
  border: 1px solid var(--jp-border-color2); white-space: pre-wrap; user-select: all; overflow-wrap: anywhere; }
.panel-curve { color: var(--jp-ui-font-color2); font-size: var(--jp-ui-font-size0); }
.panel-curve polyline { fill: none; stroke: var(--jp-brand-color1); stroke-width: 1.5; }
</style>"""


def _tree(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _tree(child)


def _name(function):
    return getattr(getattr(function, "func", function), "__name__", type(function).__name__)


def _is_iterative(function):
    if inspect.isgeneratorfunction(function):
        return True
    returns = typing.get_type_hints(getattr(function, "func", function)).get("return")
    return typing.get_origin(returns) in (Iterator, Iterable, typing.get_origin(typing.Generator[int, None, None]))


def _executing_cell():
    """(cell, execution) that is under way in the kernel, or (None, None)."""
    try:
        parent = get_ipython().kernel.get_parent("shell")
    except (NameError, AttributeError):
        return None, None
    return parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id")


def _is_literal(value):
    if isinstance(value, (tuple, list)):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _source(value):
    """`value` as Python, strings in double quotes."""
    plain = isinstance(value, str) and repr(value).startswith("'") and '"' not in value
    return f'"{repr(value)[1:-1]}"' if plain else repr(value)


def _free_name(folder, stem, suffix):
    """The first of stem-1, stem-2, … that no file in `folder` has."""
    number = 1
    while (folder / f"{stem}-{number}{suffix}").exists():
        number += 1
    return folder / f"{stem}-{number}{suffix}"


def _to_picture(shown) -> pillow.Image:
    if isinstance(shown, Tensor):
        if shown.ndim != 4 or shown.shape[1] != 3:
            raise TypeError(f"a picture must have shape (N, 3, H, W), not {tuple(shown.shape)}; give the panel a draw")
        picture = images.to_pil(images.grid(shown.detach().float().cpu()))
        enlarge = 256 // max(picture.size)
        if enlarge > 1:  # squares for pixels, not a blur
            picture = picture.resize((picture.width * enlarge, picture.height * enlarge), pillow.Resampling.NEAREST)
        return picture
    if isinstance(shown, Figure):
        file = BytesIO()
        shown.savefig(file, format="png", dpi=96, bbox_inches="tight", pil_kwargs={"compress_level": 1})
        return pillow.open(file).convert("RGB")
    if isinstance(shown, pillow.Image):
        return shown.convert("RGB")
    raise TypeError(f"draw must return a picture (N, 3, H, W), a PIL image or a Figure, not {type(shown).__name__}")


def _to_jpeg(picture):
    file = BytesIO()
    picture.save(file, format="JPEG", quality=90)
    return file.getvalue()


LOWER = ("size", "batch", "batch_size", "count", "samples", "octaves", "scale", "steps", "width", "height")


def _one_line(error, knobs):
    text = str(error).strip() or type(error).__name__
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in text:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        smaller = [name for name in knobs if name in LOWER]
        return f"Out of memory: {f'lower {chr(32).join(smaller)} or ' if smaller else ''}choose a smaller network"
    text = text.splitlines()[0]
    known = isinstance(error, (ValueError, TypeError, FloatingPointError, FileNotFoundError))
    known = known or type(error).__module__.startswith("helpers")
    return text if known else f"{type(error).__name__}: {text}"


def _sparkline(name, values):
    """One term of the objective as a small curve over the steps; logarithmic where it spans decades."""
    values = values[:: max(1, len(values) // 200)] + values[-1:]
    xs, ys = zip(*values, strict=True)
    heights = ys
    if min(ys) > 0 and max(ys) > 30 * min(ys):
        heights = [math.log(y) for y in ys]
    low, high = min(heights), max(heights)
    wide = max(1, xs[-1] - xs[0])
    points = " ".join(
        f"{(x - xs[0]) / wide * 240:.1f},{38 - (h - low) / ((high - low) or 1) * 36:.1f}"
        for x, h in zip(xs, heights, strict=True)
    )
    return (
        f'<div class="panel-curve">{html.escape(name)} {ys[-1]:.4g}<br>'
        f'<svg width="240" height="40" role="img" aria-label="{html.escape(name)} over the steps">'
        f'<polyline points="{points}"/></svg></div>'
    )
