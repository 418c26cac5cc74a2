"""Controls made from a function's signature: one knob for each parameter that says what it may be.

    image: Image                            menu of pictures, and an upload
    network: Network                        menu of the registry
    layer: Layer, channel: Channel          menu and slider that follow the network beside them
    category: Category                      the classes of the network, searched by typing
    seed: Seed                              a number
    Annotated[int, (8, 96, 8)]              slider from 8 to 96 in steps of 8
    Annotated[float, (1e-4, 1.0, "log")]    logarithmic slider
    Literal["a", "b"], bool                 menu, check box

A parameter annotated in any other way is no knob.
"""

import inspect
import math
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import ipywidgets
from ipywidgets import fixed

from helpers.core import photos
from helpers.core.networks import Network
from helpers.core.registry import SOURCES

NONE = "none"  # how a menu shows None
USUAL = "the usual one"  # how a menu of layers does: the function has its own choice for each network
MARKERS = ("image", "layer", "channel", "category", "seed")


class Knob:
    """One parameter and the widget that turns it.

    Attributes:
        name: of the parameter.
        widget: the control.
        default: what `reset` returns to.
        hidden: whether the panel leaves the control out.
    """

    hidden = False
    note = ""  # what the label says after the name

    def __init__(self, name: str, widget: ipywidgets.Widget):
        self.name, self.widget, self.default = name, widget, widget.value

    @property
    def value(self) -> Any:
        """What the function is called with, or what stands for it (the name of a network or picture)."""
        return self.widget.value

    def reset(self) -> None:
        self.widget.value = self.default

    def code(self, value) -> str:
        """The value as Python source."""
        return repr(value)


class Number(Knob):
    """A slider; numbers are kept as short as a person would write them."""

    def __init__(self, name, widget, kind):
        self.kind = kind
        super().__init__(name, widget)

    @property
    def value(self):
        value = self.widget.value
        return round(value) if self.kind is int else float(f"{value:.6g}")


class Pictures(Knob):
    """A menu of photos, of the reader's pictures and of whatever tensor the panel was given."""

    def __init__(self, name, default, nullable, names=None):
        self.given = default if not isinstance(default, (str, type(None))) else None
        self.names, self.nullable = names, nullable
        default = "as given" if self.given is not None else default
        widget = ipywidgets.Dropdown(options=self._options(default), value=default or NONE)
        super().__init__(name, widget)

    def _options(self, *needed):
        names = list(self.names or [*photos.PHOTOS, *photos.mine()])
        first = [NONE] * self.nullable + ["as given"] * (self.given is not None)
        return list(dict.fromkeys([*first, *names, *(name for name in needed if name)]))

    def refresh(self, choose=None):
        """Look again at what there is, and choose `choose` if it is given."""
        options = self._options(self.value, choose)
        if list(self.widget.options) != options:
            chosen = self.widget.value
            self.widget.options = options
            self.widget.value = chosen
        if choose:
            self.widget.value = choose

    @property
    def value(self):
        return None if self.widget.value == NONE and self.nullable else self.widget.value

    def reset(self):
        self.widget.options = self._options(self.default)
        self.widget.value = self.default


class Networks(Knob):
    """The menu of networks; each says whether it is here and what it would cost to download."""

    def __init__(self, name, default, names=None):
        self.given = default if isinstance(default, Network) else None
        default = default.name if self.given else default
        options = [(self.label(n), n) for n in names or SOURCES]
        if default not in dict(map(reversed, options)):
            if self.given is None and default not in SOURCES:
                raise ValueError(f"network {default!r} is unknown; networks: {', '.join(SOURCES)}")
            options.insert(0, (self.label(default), default))
        super().__init__(name, ipywidgets.Dropdown(options=options, value=default))

    def label(self, name):
        if name not in SOURCES:
            return f"{name} (yours)"
        source = SOURCES[name]
        if source.here or (self.given and self.given.name == name):
            return f"{name} (here)"
        verb = "to download" if source.url else f"in the package {source.origin}"
        return f"{name} ({source.megabytes} MB {verb})"

    def refresh(self):
        """Say anew what is here, after a download."""
        options = [(self.label(name), name) for _, name in self.widget.options]
        if list(self.widget.options) != options:
            chosen = self.widget.value
            self.widget.options = options
            self.widget.value = chosen

    def code(self, value):
        return f'networks.load("{value}")' if value in SOURCES else value


class Layers(Knob):
    """The layers of the network beside it. After another network is chosen it stays at a like depth."""

    def __init__(self, name, default, nullable, names=None):
        self.names, self.nullable = names, nullable
        options = list(names or ([default] if default else []))
        options = [USUAL] * nullable + options
        if default is None and not nullable:
            default = options[0] if options else None
        super().__init__(
            name, ipywidgets.Dropdown(options=options, value=USUAL if nullable and not default else default)
        )

    @property
    def value(self):
        return None if self.widget.value == USUAL else self.widget.value

    def follow(self, network: Network) -> str | None:
        """Show the layers of `network`; return the one that is chosen now."""
        before, chosen = list(self.widget.options), self.widget.value
        layers = [name for name in self.names or network.layers if name in network.layers] or list(network.layers)
        options = [USUAL] * self.nullable + layers
        if chosen not in options and chosen is not None and _has_layer(network, chosen):
            options.append(chosen)  # a module path
        if chosen not in options:
            known = chosen in before and len(before) > 1
            depth = before.index(chosen) / (len(before) - 1) if known else 0.5
            chosen = options[round(depth * (len(options) - 1))]
        if before != options:
            self.widget.options = options
        if self.widget.value != chosen:
            self.widget.value = chosen
        return self.value

    def reset(self):
        if self.default is not None:
            if self.default not in self.widget.options:
                self.widget.options = [*self.widget.options, self.default]
            self.widget.value = self.default


def _has_layer(network, layer):
    try:
        network.path(layer)
    except ValueError:
        return False
    return True


class Channels(Knob):
    """A slider over the channels of the layer beside it; −1 stands for None where that is allowed."""

    def __init__(self, name, default, nullable):
        self.nullable, self.note = nullable, " (−1: all)" if nullable else ""
        low = -1 if nullable else 0
        value = low if default is None else default
        super().__init__(name, ipywidgets.IntSlider(value=value, min=low, max=max(31, value), continuous_update=False))

    @property
    def value(self):
        return None if self.nullable and self.widget.value < 0 else self.widget.value

    def follow(self, count: int) -> int | None:
        """Let the slider end at the last of `count` channels; return the channel that is chosen now."""
        if self.widget.max != count - 1:
            if self.widget.value > count - 1:
                self.widget.value = count - 1
            self.widget.max = count - 1
        return self.value

    def reset(self):
        self.widget.max = max(self.widget.max, self.default)
        self.widget.value = self.default


class Categories(Knob):
    """A field that finds a class by any part of its name, and takes an index as well."""

    def __init__(self, name, default, nullable, names=None):
        self.nullable, self.names = nullable, names
        value = "" if default is None else str(default)
        placeholder = "type to search, or an index" + (" (empty: none)" if nullable else "")
        widget = ipywidgets.Combobox(
            value=value, options=list(names or []), placeholder=placeholder, continuous_update=False
        )
        super().__init__(name, widget)

    @property
    def value(self):
        text = self.widget.value.strip()
        if not text and self.nullable:
            return None
        return int(text) if text.lstrip("-").isdigit() else text

    def follow(self, network: Network) -> None:
        options = tuple(self.names or dict.fromkeys(network.categories))
        if self.widget.options != options:
            self.widget.options = options


def make(function: Callable, given: dict[str, Any]) -> tuple[dict[str, Knob], dict[str, Any]]:
    """The knobs of `function`, and the values of the parameters without a knob, by parameter name.

    Args:
        given: by parameter name a default, a range (as an ipywidgets abbreviation), a widget or `fixed(value)`.

    Raises:
        TypeError: a name in `given` is no parameter, or a parameter without a default has no knob.
    """
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(getattr(function, "func", function), include_extras=True)
    for name in given:
        if name not in parameters:
            raise TypeError(f"{_name(function)} has no parameter {name!r}; its parameters: {', '.join(parameters)}")
    knobs, constants = {}, {}
    for name, parameter in parameters.items():
        made = _make(name, hints.get(name), parameter.default, given.get(name, _MISSING))
        if isinstance(made, Knob):
            made.widget.description = name.replace("_", " ") + made.note
            knobs[name] = made
        elif made is not _MISSING:
            constants[name] = made.value
        elif parameter.default is inspect.Parameter.empty:
            raise TypeError(f"{name} of {_name(function)} has no knob and no default: give {name}=… to the panel")
    return knobs, constants


_MISSING = object()


def _name(function):
    return getattr(getattr(function, "func", function), "__name__", "function")


def _make(name, hint, default, given):
    """A Knob, `fixed(value)`, or _MISSING for a parameter that is left alone."""
    if isinstance(given, ipywidgets.Widget):
        return Knob(name, given)
    hint, nullable = _without_none(hint)
    kind, marks = hint, ()
    if get_origin(hint) is Annotated:
        kind, *marks = get_args(hint)
    choices = given if isinstance(given, (list, dict)) else None
    default = None if default is inspect.Parameter.empty else default
    plain = given if given is not _MISSING and choices is None and not _is_range(given) else default
    marker = next((mark for mark in marks if isinstance(mark, str) and mark in MARKERS), None)
    if isinstance(given, fixed):
        if given.value is None or (kind is not Network and marker != "image"):
            return given
        knob = Networks(name, given.value) if kind is Network else Pictures(name, given.value, nullable)
        knob.hidden = True
        return knob
    if choices is not None and plain not in choices:
        plain = next(iter(choices), None)
    if kind is Network:
        return Networks(name, plain or "efficientnet_lite0", choices)
    if marker == "image":
        return Pictures(name, plain if plain is not None or nullable else "chelsea", nullable, choices)
    if marker == "layer":
        return Layers(name, plain, nullable, choices)
    if marker == "category":
        return Categories(name, plain if plain is not None or nullable else 0, nullable, choices)
    if choices is not None:
        return Knob(
            name,
            ipywidgets.Dropdown(options=choices, value=dict(choices)[plain] if isinstance(choices, dict) else plain),
        )
    if marker == "channel" and not _is_range(given):
        return Channels(name, plain if plain is not None or nullable else 0, nullable)
    if marker == "seed" and not _is_range(given):
        return Knob(name, ipywidgets.BoundedIntText(value=plain or 0, min=0, max=2**31 - 1))
    bounds = given if _is_range(given) else next((mark for mark in marks if _is_range(mark)), None)
    if bounds is not None:
        kind = kind if kind in (int, float) else int if all(isinstance(b, int) for b in bounds) else float
        if _is_range(given) and plain is not None:
            plain = min(max(plain, given[0]), given[1])  # the range asked for holds, not the signature's default
        return Number(name, _slider(kind, bounds, plain), kind)
    if get_origin(kind) is Literal:
        return Knob(
            name, ipywidgets.Dropdown(options=get_args(kind), value=plain if plain is not None else get_args(kind)[0])
        )
    if kind is bool or (isinstance(given, bool) and kind is None):
        return Knob(name, ipywidgets.Checkbox(value=bool(plain)))
    return fixed(given) if given is not _MISSING else _MISSING


def _without_none(hint):
    """The hint without `| None`, and whether it had that."""
    if get_origin(hint) in (Union, types.UnionType):
        others = [h for h in get_args(hint) if h is not type(None)]
        if len(others) == 1:
            return others[0], True
    return hint, False


def _is_range(value):
    """(min, max), (min, max, step) or (min, max, "log")."""
    if not isinstance(value, tuple) or len(value) not in (2, 3):
        return False
    return all(isinstance(v, (int, float)) for v in value[:2]) and (
        len(value) == 2 or isinstance(value[2], (int, float)) or value[2] == "log"
    )


def _slider(kind, bounds, value):
    low, high, *step = bounds
    value = low if value is None else value
    low, high = min(low, value), max(high, value)  # a default that was asked for widens the range
    if step == ["log"]:
        ends = {"min": math.log10(low), "max": math.log10(high)}
        form = "d" if kind is int else ".3g"
        return ipywidgets.FloatLogSlider(
            value=value, **ends, step=(ends["max"] - ends["min"]) / 100, readout_format=form, continuous_update=False
        )
    if kind is int:
        return ipywidgets.IntSlider(
            value=value, min=low, max=high, step=step[0] if step else 1, continuous_update=False
        )
    step = step[0] if step else (high - low) / 100
    digits = max(0, math.ceil(-math.log10(step) - 1e-9))
    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=step, readout_format=f".{digits}f", continuous_update=False
    )
