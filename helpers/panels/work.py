"""What a panel computes: one thread a panel, in which everything that takes time happens.

The thread lives while there is something to do. It speaks to the screen in four words, `tell`, `show`, `end` and
`fail` (see `helpers.panels.screen`), and panels take turns, so that several of them share the machine.
"""

import inspect
import threading
import time
import typing
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

from helpers.core import networks, registry
from helpers.core.folding import sharing
from helpers.core.networks import Network
from helpers.panels.call import inner, name_of
from helpers.panels.look import to_jpeg, to_picture
from helpers.panels.run import Film, Frame, Run

NETWORKS_KEPT = 3


# ── What all panels share ────────────────────────────────────────────────────────────────────────────────────


class Turns:
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


turns = Turns()
kept: OrderedDict[str, Network] = OrderedDict()  # the few networks used last
_loading = threading.Lock()


def load(name: str) -> Network:
    """A network of the registry, for the panels only: one that a cell uses meanwhile would share its hooks."""
    with _loading:
        if name not in kept:
            kept[name] = networks.load(name)
        kept.move_to_end(name)
        while len(kept) > NETWORKS_KEPT:
            kept.popitem(last=False)
        return kept[name]


# ── The work of one panel ────────────────────────────────────────────────────────────────────────────────────


class Work:
    """What one panel computes, from its knobs to the pictures on its screen.

    Attributes:
        iterative: whether the function works step by step.
        running: whether a stepwise run is under way: from `start` to its end, or to `stop`.
        latest: the computation under way, or the last one.
        film: of the last run that has shown a picture.
        new_run: makes the `Run` of a computation that begins.
        lock: whoever decides by `running` what the screen shows holds it.
    """

    def __init__(self, function, draw, knobs, constants, size, screen):
        self.function, self.draw, self.knobs, self.constants = function, draw, knobs, constants
        self.size, self.screen, self.name = size, screen, name_of(function)
        self.iterative = is_iterative(function)
        self.running, self.latest, self.film, self.lock = False, Run(), Film(), threading.RLock()
        self.new_run: Callable[[], Run] = Run
        self._begun, self._pending, self._thread, self._queue = False, None, None, threading.Lock()
        self._own: Network | None = None  # the reader's network in modules of the panel's own

    def settings(self) -> dict:
        """The knobs as they stand: parameter name → value, or the name of a network or picture."""
        return {name: knob.value for name, knob in self.knobs.items()}

    # ── When to work ──

    def begin(self) -> None:
        """The first work, once, for somebody who looks at the panel."""
        with self._queue:
            if self._begun:
                return
            self._begun = True
        self._submit(self._get_ready if self.iterative else self._compute)

    def turned(self) -> None:
        """A knob was turned: compute anew. A stepwise method only gets ready, where knobs follow one another."""
        if not self.iterative:
            self._submit(self._compute)
            return
        if self.running:
            self._tell_progress()
        if any(knob.leads for knob in self.knobs.values()) and self._pending != self._iterate:
            self._submit(self._get_ready)  # if a run is under way: after it

    def start(self) -> None:
        """Compute with the settings of now; a stepwise run that is under way goes on."""
        with self.lock:
            if self.running:
                return
            self.running = self.iterative
            self.screen.tell("Starting …")
            self._submit(self._iterate if self.iterative else self._compute)

    def stop(self) -> None:
        """End the run at once: nothing more is shown, and the step being computed is thrown away."""
        with self.lock:
            if not self.running:
                return
            with self._queue:
                if self._pending == self._iterate:  # not begun: the picture shown is of the run before
                    self._pending, self.latest = None, Run()
            run = self.latest
            run.stopped.set()
            self._end(f"Stopped at step {run.film.frames[-1].index}." if run.film.frames else "Stopped.")

    def close(self) -> None:
        self.stop()
        with self._queue:
            self._pending = None

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is being computed; False if that takes longer than `seconds`."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return not self.working

    @property
    def working(self) -> bool:
        """Whether something is being computed."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def in_own_thread(self) -> bool:
        """Whether the caller is the panel's own thread."""
        return threading.current_thread() is self._thread

    def _submit(self, job):
        """Let the thread do `job` next, in place of any other that it has not begun."""
        with self._queue:
            self._pending = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"panel {self.name}", daemon=True)
                self._thread.start()

    def _work(self):
        while True:
            with self._queue:
                job, self._pending = self._pending, None
                if job is None:
                    self._thread = None
                    return
                run = self.latest = self.new_run()
            try:
                if turns.busy:
                    self.screen.tell("Waiting for another panel …")
                job(run)
            except Exception as error:
                with self.lock:
                    if not run.stopped.is_set():
                        self.screen.fail(error)
                        if self._pending != self._iterate:  # else a run was asked for meanwhile, and comes now
                            self._end("")

    # ── From knobs to arguments ──

    def _get_ready(self, run):
        """Let the menus follow the knobs, so that only Run remains to be pressed."""
        self._arguments(run)
        self.screen.tell("" if self.film.frames else "Press Run.")

    def _arguments(self, run) -> dict:
        """Load what the knobs name, let the menus follow, and return what the function is called with."""
        network, chosen = None, None
        while (wanted := self._chosen_network()) != chosen:  # it may be turned while the network is loading
            network, chosen = self._load_network(wanted), wanted
        with turns.turn(run.stopped.is_set):
            if network is not None:
                self._follow(network)
            run.settings = self.settings()
            arguments = {name: knob.load(run.settings[name], network, self.size) for name, knob in self.knobs.items()}
        with self.lock:
            if not run.stopped.is_set():
                self.screen.fail(None)
        return self.constants | arguments

    def _chosen_network(self):
        return next((knob.network for knob in self.knobs.values() if knob.network is not None), None)

    def _load_network(self, wanted):
        if isinstance(wanted, Network):
            self._own = self._own or sharing(wanted)
            return self._own
        if wanted not in kept:
            source = registry.SOURCES[wanted]
            self.screen.tell(f"{'Loading' if source.here else 'Looking for'} {wanted} …")
            with nullcontext() if source.here else self._watching(source):
                load(wanted)
            for knob in self.knobs.values():
                knob.refresh()
        return load(wanted)

    @contextmanager
    def _watching(self, source):
        """While a download goes on, say how far it is: torch grows a `.partial` file beside its place."""
        over = threading.Event()

        def watch():
            while not over.wait(0.5):
                parts = source.file().parent.glob(f"{source.file().name}.*.partial") if source.url else ()
                done = max((part.stat().st_size for part in parts), default=0) / 1e6
                self.screen.tell(f"Downloading {source.name}: {done:.0f} of {source.megabytes} MB …")

        thread = threading.Thread(target=watch, name=f"panel {self.name} download", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _follow(self, network):
        """Let the menus of layers, channels and classes show what `network` has."""
        layer = self.constants.get("layer")
        for knob in self.knobs.values():
            layer = knob.follow(network, layer)

    # ── From arguments to pictures ──

    def _compute(self, run):
        arguments = self._arguments(run)
        with turns.turn():
            self.screen.tell("Computing …")
            start = time.perf_counter()
            result = self.function(**arguments)
            if isinstance(result, Iterator):
                raise TypeError(f"{self.name} works step by step: annotate it with -> Iterator[Step]")
            picture, text = self._draw(result, arguments)
        self.screen.show(Frame(to_jpeg(picture), text), picture)
        self.screen.tell(f"{time.perf_counter() - start:.2g} s")

    def _iterate(self, run):
        arguments = self._arguments(run)
        with turns.turn(run.stopped.is_set):
            steps = iter(self.function(**arguments))
        try:
            while self._advance(run, steps, arguments):
                pass
        finally:
            if hasattr(steps, "close"):
                steps.close()
        with self.lock:
            if not run.stopped.is_set():
                step, seconds = run.step, time.perf_counter() - run.start
                self._end(f"{step.index} steps in {seconds:.1f} s ({step.index / seconds:.3g} steps/s)")

    def _advance(self, run, steps, arguments) -> bool:
        """One step: compute it, draw it if there is time, show it if one is due. False at the end."""
        frame = None
        with turns.turn(run.stopped.is_set):
            if run.stopped.is_set():
                return False
            step = next(steps, None)
            if step is not None:
                run.take(step)
            elif run.step is None:
                raise ValueError(f"{self.name} yielded no step")
            ended_undrawn = step is None and run.film.frames[-1].index < run.step.index
            if ended_undrawn or (step is not None and run.wants_frame):
                frame = self._draw_step(run, arguments)
        with self.lock:
            if run.stopped.is_set():
                return False
            if frame is not None:
                run.film.add(frame)
                if step is None or run.is_due:
                    self._show_step(run, frame)
        return step is not None

    def _draw_step(self, run, arguments):
        start = time.perf_counter()
        run.picture, text = self._draw(run.step, arguments)
        frame = Frame(to_jpeg(run.picture), text, run.step.index, run.step.total)
        run.drawing += time.perf_counter() - start
        return frame

    def _draw(self, result, arguments):
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
        return to_picture(shown), str(text)

    def _show_step(self, run, frame):
        run.shown = time.perf_counter()
        self.film = run.film
        losses = run.losses if run.curves_are_due else None
        if losses:
            run.curve = run.shown
        self.screen.show(frame, run.picture, losses)
        self._tell_progress()

    def _tell_progress(self):
        run = self.latest
        if run.step is None or run.settings is None:
            return
        changed = run.settings != self.settings()
        self.screen.tell(run.progress + (" · press Stop, then Run, to use the new settings" if changed else ""))

    def _end(self, text):
        run, frames = self.latest, self.film.frames
        self.running = False
        if self.film is run.film and frames:
            self.screen.show(frames[-1], run.picture, run.losses)
        self.screen.end(text, frames)


def is_iterative(function: Callable) -> bool:
    """Whether the function works step by step: it is a generator, or its annotation says that it returns one."""
    if inspect.isgeneratorfunction(function):
        return True
    returns = typing.get_type_hints(inner(function)).get("return")
    return typing.get_origin(returns) in (Iterator, Iterable, typing.get_origin(typing.Generator[int, None, None]))
