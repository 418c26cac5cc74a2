"""Panels: a technique with its knobs, its picture and, if it works step by step, its Run and Stop.

    panel(occlude, draw=lambda heat, image: plots.overlay(image, heat), image="chelsea")

The controls come from the function's signature (`helpers.panels.signature`). Everything that takes time happens in
one thread a panel (`helpers.panels.work`), which touches nothing but widgets (`helpers.panels.screen`).
Where no front end answers (nbval, nbconvert, papermill) a panel draws nothing, loads nothing and starts no thread,
unless the environment variable PANELS asks for what a stored notebook or a page shows (`helpers.panels.plain`).
"""

import atexit
import html
import inspect
import re
import weakref
from base64 import b64encode
from collections.abc import Callable
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import ipywidgets
from ipywidgets import fixed

from helpers.core import images, photos
from helpers.panels.accessible import ACCESSIBLE
from helpers.panels.call import call_of, name_of
from helpers.panels.controls import Controls
from helpers.panels.film import Filmed
from helpers.panels.knobs import Size
from helpers.panels.look import STYLE
from helpers.panels.plain import Plain, reason, stored
from helpers.panels.run import Frame
from helpers.panels.screen import Screen
from helpers.panels.signature import make
from helpers.panels.work import Work

__all__ = ["Panel", "fixed", "living", "panel"]


def panel(
    function: Callable,
    draw: Callable | None = None,
    *,
    size: int | None = None,
    longest: int | None = None,
    title: str | None = None,
    film: str | None = None,
    **knobs,
) -> "Panel | Plain":
    """Knobs for `function`, and the picture of what it returns. Where knobs cannot be turned: the picture alone.

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
        film: the knob that a film of the panel turns (see `helpers.panels.film`); default: what is telling.
        **knobs: by parameter a default (`steps=100`, `image="coffee"`), a range (`patch=(8, 96, 8)`,
            `mode=["a", "b"]`), an ipywidgets widget, or `fixed(value)` for no control. What is named here comes
            before what is not; seven knobs are open, the others are under "more".

    Raises:
        ValueError: `film` is no knob of the panel.
    """
    if size is not None and "size" in inspect.signature(function).parameters:
        size, knobs["size"] = None, size
    made, constants = make(function, knobs)
    parts = function, draw, made, constants, Size(size or 224, longest), title or name_of(function).replace("_", " ")
    if film is not None and film not in made:
        raise ValueError(f"film must be a knob of the panel ({', '.join(made)}), not {film!r}")
    why = reason()
    if why:
        return Filmed(why, *parts, film) if stored() == "film" else Plain(why, *parts)
    return Panel(*parts)


def living() -> list["Panel"]:
    """The panels of this kernel that have not been closed."""
    return list(_living)


_living: "weakref.WeakSet[Panel]" = weakref.WeakSet()


@atexit.register
def _stop_all():
    for each in living():
        each.stop()


class Panel(ipywidgets.VBox):
    """See `panel`. What a program may use:

    Attributes:
        knobs: parameter name → `helpers.panels.knobs.Knob`; `knobs["patch"].widget.value = 32` turns one.
        controls: what is seen of them, a `helpers.panels.controls.Controls`.
        constants: the values of the parameters without a knob, by name.
        size: how large pictures are loaded, a `helpers.panels.knobs.Size`.
        buttons: by what is written on them.
        uploads: the upload button of each menu of pictures, by parameter name.
        call: the Python source that does what the panel would do now.
        status: how things stand, as text.
        error: the message shown, or "".
        frames: the recorded steps that the scrubber holds, each with `index`, `total`, `jpeg` and `text`.
        jpeg: the picture shown, or None.
        running: whether a stepwise run is under way.
        working: whether something is being computed.
    """

    _link = None  # until the widgets are built

    def __init__(self, function, draw, knobs, constants, size, title):
        self.function, self.name, self.size, self.title = function, name_of(function), size, title
        self.knobs, self.constants = knobs, constants
        self._alive = self._shown = self._quiet = False
        super().__init__(layout={"max_width": "900px"})
        self.add_class("panel")
        self.buttons, self.controls = self._make_buttons(), Controls(self.knobs.values())
        self.uploads = self.controls.uploads
        self.screen = Screen(self.buttons, self.knobs)
        self.work = Work(function, draw, self.knobs, self.constants, self.size, self.screen)
        self.iterative = self.work.iterative
        self._build()
        self._cell = _executing_cell()
        self._replace_former()
        _living.add(self)

    # ── Widgets ──

    def _build(self):
        for knob in (*self.controls.opened, *self.controls.folded):
            knob.widget.observe(self._changed, "value")
        for name, upload in self.uploads.items():
            upload.observe(
                lambda change, knob=self.knobs[name]: self._guarded(lambda: self._keep(knob, change.new)), "value"
            )
        steps_only = ("Run", "Stop", "Save GIF")
        buttons = ipywidgets.HBox(
            [button for text, button in self.buttons.items() if self.iterative or text not in steps_only],
            layout={"flex_flow": "row wrap"},
        )
        self.source = ipywidgets.HTML(layout={"width": "auto", "display": "none"})
        bar, status, message, curve = self.screen.left
        left = ipywidgets.VBox(
            [self.controls, buttons, bar, status, message, self.source, curve],
            layout={"flex": "1 1 300px", "min_width": "0"},
        )
        body = ipywidgets.HBox(
            [left, self.screen.right], layout={"flex_flow": "row wrap", "grid_gap": "8px", "max_width": "900px"}
        )
        self.children = [ipywidgets.HTML(f"{STYLE}{ACCESSIBLE}<b>{html.escape(self.title)}</b>"), body]
        message.observe(lambda _: self.controls.reveal(self.error), "value")
        # A front end, and nothing else, copies one widget's property to the other: this says that there is one.
        bar.tabbable = False
        status.observe(self._front_end_answers, "tabbable")
        self._link = ipywidgets.jsdlink((bar, "tabbable"), (status, "tabbable"))

    def _make_buttons(self):
        """In the order of the screen; what there is nothing for yet is disabled."""
        made = [
            self._button("Run", "play", self.run, "Start with the settings above", "primary"),
            self._button("Stop", "stop", self.stop, "Stop at once, keeping the last picture"),
            self._button("Reset", "undo", self.reset, "Back to the lesson's settings"),
            self._button("Save PNG", "image", self.save_png, "Write the picture beside the notebook"),
            self._button("Save GIF", "film", self.save_gif, "Write the recorded steps beside the notebook"),
        ]
        for button in (made[1], *made[3:]):
            button.disabled = True
        show = ipywidgets.ToggleButton(
            description="Show the call", icon="code", tooltip="The Python that does the same", layout={"width": "auto"}
        )
        show.add_class("panel-show-the-call")
        show.observe(lambda _: self._show_call(), "value")
        return {button.description: button for button in (*made, show)}

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
        return bundle | ({"image/jpeg": b64encode(self.jpeg).decode()} if self.jpeg else {})

    # ── What is seen ──

    @property
    def status(self) -> str:
        return self.screen.told

    @property
    def error(self) -> str:
        return self.screen.error

    @property
    def jpeg(self) -> bytes | None:
        return self.screen.jpeg

    @property
    def frames(self) -> list[Frame]:
        return self.work.film.frames

    @property
    def running(self) -> bool:
        return self.work.running

    @property
    def working(self) -> bool:
        return self.work.working

    # ── When to work ──

    def _front_end_answers(self, _):
        self._alive = True
        self._begin()

    def _begin(self):
        """The first work of a panel that somebody looks at."""
        if self._alive and self._shown:
            self.work.begin()

    def _changed(self, _):
        if self._quiet or self.work.in_own_thread:
            return  # the panel's own doing
        self._show_call()
        self.work.turned()

    @contextmanager
    def quietly(self):
        """Knobs that are turned in here bring about nothing."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def run(self) -> None:
        """Compute with the settings of now; a stepwise run that is under way goes on."""
        with self.work.lock:
            if self.iterative and not self.running:
                self.screen.begin()
            self.work.start()

    def stop(self) -> None:
        """Stop at once: nothing more is shown, and the step being computed is thrown away."""
        self.work.stop()

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is being computed; False if that takes longer than `seconds`."""
        return self.work.wait(seconds)

    def reset(self) -> None:
        """Back to the settings that the lesson gave."""
        with self.quietly():
            for knob in self.knobs.values():
                knob.reset()
        self._changed(None)

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self.work.close()
            _living.discard(self)
            link.close()
            held = [knob.widget for knob in self.knobs.values()]  # hidden ones, and buttons left out, as well
            for each in [*list(_tree(self))[1:], *self.buttons.values(), *held]:
                each.close()
        super().close()

    def _guarded(self, action):
        try:
            self.screen.fail(None)
            action()
        except Exception as error:
            self.screen.fail(error)

    # ── What the other buttons do ──

    def settings(self) -> dict:
        """The knobs as they stand: parameter name → value, or the name of a network or picture."""
        return self.work.settings()

    @property
    def call(self) -> str:
        return call_of(self.function, self.knobs, self.constants, self.size, self.iterative)

    def _show_call(self):
        shown = self.buttons["Show the call"].value
        self.source.layout.display = None if shown else "none"
        if shown:
            self.source.value = f'<pre class="panel-source">{html.escape(self.call)}</pre>'

    def _keep(self, knob, files):
        """Keep uploaded pictures among the reader's own, and choose them."""
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

    def save_png(self) -> Path:
        """Write the picture into the working folder, which is the notebook's, under a name not taken."""
        picture = self.screen.picture
        return self._save(".png", lambda file: picture.save(file, format="PNG"))

    def save_gif(self) -> Path:
        """Write the recorded steps as an endless film of four seconds."""
        return self._save(".gif", self.work.film.gif)

    def _save(self, suffix, write):
        path = _free_name(Path.cwd(), self.name, suffix)
        images.write_atomically(path, write)
        self.screen.tell(f"Saved {path.name} beside the notebook.")
        return path

    # ── The cell that made it ──

    def _replace_former(self):
        """Close the panels that an earlier run of the same cell left behind."""
        for other in living():
            if self._cell[0] is not None and other._cell[0] == self._cell[0] and other._cell[1] != self._cell[1]:
                other.close()
            elif self._cell[0] is None and other.title == self.title:
                other.stop()


def _executing_cell():
    """(cell, execution) that is under way in the kernel, or (None, None)."""
    try:
        parent = get_ipython().kernel.get_parent("shell")
    except (NameError, AttributeError):
        return None, None
    return parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id")


def _tree(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _tree(child)


def _free_name(folder, stem, suffix):
    """The first of stem-1, stem-2, … that no file in `folder` has."""
    number = 1
    while (folder / f"{stem}-{number}{suffix}").exists():
        number += 1
    return folder / f"{stem}-{number}{suffix}"
