"""The knobs: each knows its control, what its value is once loaded, what it follows, and how its value is written.

Which parameter gets which of them, `helpers.panels.signature` decides: it makes a `Wish` of the parameter, and the
first kind of knob that it suits is made from it.
"""

import math
from dataclasses import dataclass
from typing import Any

import ipywidgets
from torch import Tensor

from helpers.core import images, photos
from helpers.core.arguments import known
from helpers.core.networks import Network
from helpers.core.registry import SOURCES
from helpers.panels.call import Code, written

NONE = "none"  # how a menu shows None
GIVEN = "as given"  # how a menu of pictures shows the tensor that the panel was given
USUAL = "the usual one"  # how a menu of layers shows None: the function has its own choice for each network


@dataclass
class Wish:
    """What a signature, and a keyword of the panel, ask of the knob of one parameter.

    Attributes:
        name: of the parameter.
        kind: its type, without what is annotated to it and without None; None: it has none.
        mark: "network", "image", "layer", "channel", "category", "seed" or None.
        nullable: whether it may be None.
        start: what it is at first; None: that is left to the knob.
        choices: what it may be, as a list or by label; None: that is left to the knob.
        bounds: (low, high), (low, high, step), (low, high, "log") or None.
    """

    name: str
    kind: Any = None
    mark: str | None = None
    nullable: bool = False
    start: Any = None
    choices: list | tuple | dict | None = None
    bounds: tuple | None = None


@dataclass
class Size:
    """How large pictures are loaded: cropped to a square, or in their own shape with a longer side of `longest`."""

    square: int = 224
    longest: int | None = None

    def load(self, name: str) -> Tensor:
        if self.longest:
            return images.resize(photos.photo(name), self.longest)
        return photos.photo(name, self.square)

    def code(self, name: str) -> Code:
        if self.longest:
            return Code(f'images.resize(photos.photo("{name}"), {self.longest})', ("images", "photos"))
        return Code(f'photos.photo("{name}", {self.square})', ("photos",))


class Knob:
    """One parameter and the widget that turns it; by itself a knob for a widget of the reader's.

    Attributes:
        name: of the parameter.
        widget: the control.
        default: what `reset` returns to.
        words: what the function's docstring says of it, in one line.
        first: whether it comes before others: the function cannot do without it, or the panel was given it.
        hidden: whether the panel leaves the control out.
        leads: whether other knobs follow it.
        accepts: the files that may be uploaded to it, as HTML names them.
        note: what the label says after the name.
    """

    mark: str | None = None  # of the parameters that this kind is for
    first = hidden = leads = False
    words = accepts = note = ""

    def __init__(self, name: str, widget: ipywidgets.Widget):
        self.name, self.widget, self.default = name, widget, widget.value

    @classmethod
    def suits(cls, wish: Wish) -> bool:
        """Whether this kind is the one for such a parameter, if none before it was."""
        return wish.mark == cls.mark

    @property
    def value(self) -> Any:
        """What the function is called with, or what stands for it (the name of a network or picture)."""
        return self.widget.value

    @property
    def network(self) -> Network | str | None:
        """The network that is chosen, or the name of one of the registry; None: this knob chooses none."""
        return None

    def follow(self, network: Network, layer: str | None) -> str | None:
        """Offer what `network`, and its layer, have; return the layer for the knobs after this one."""
        return layer

    def load(self, value: Any, network: Network | None, size: Size) -> Any:
        """What the function is called with when the knob's value is `value`."""
        return value

    def code(self, value: Any, size: Size) -> Code:
        """The same as Python source."""
        return written(self.name, value)

    def refresh(self, choose: str | None = None) -> None:
        """Look again at what is on this machine, and choose `choose` if it is given."""

    def reset(self) -> None:
        self.widget.value = self.default


# ── Plain values ─────────────────────────────────────────────────────────────────────────────────────────────


class Menu(Knob):
    """A few values, from a `Literal` or named by the panel."""

    def __init__(self, wish: Wish):
        value = dict(wish.choices)[wish.start] if isinstance(wish.choices, dict) else wish.start
        super().__init__(wish.name, ipywidgets.Dropdown(options=wish.choices, value=value))

    @classmethod
    def suits(cls, wish):
        return wish.choices is not None


class Switch(Knob):
    def __init__(self, wish: Wish):
        super().__init__(wish.name, ipywidgets.Checkbox(value=bool(wish.start)))

    @classmethod
    def suits(cls, wish):
        return wish.kind is bool


class Seeds(Knob):
    mark = "seed"

    def __init__(self, wish: Wish):
        super().__init__(wish.name, ipywidgets.BoundedIntText(value=wish.start or 0, min=0, max=2**31 - 1))


class Number(Knob):
    """A slider; numbers are kept as short as a person would write them."""

    def __init__(self, wish: Wish):
        whole = all(isinstance(bound, int) for bound in wish.bounds)
        self.kind = wish.kind if wish.kind in (int, float) else int if whole else float
        super().__init__(wish.name, _slider(self.kind, wish.bounds, wish.start))

    @classmethod
    def suits(cls, wish):
        return wish.bounds is not None

    @property
    def value(self):
        value = self.widget.value
        return round(value) if self.kind is int else float(f"{value:.6g}")


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


def _offer(menu, options, value):
    """Let a menu show `options`, if it does not already, and stand at `value`."""
    if list(menu.options) != options:
        menu.options = options
    if menu.value != value:
        menu.value = value


# ── What is loaded ───────────────────────────────────────────────────────────────────────────────────────────


class Pictures(Knob):
    """A menu of photos, of the reader's pictures and of whatever tensor the panel was given."""

    mark, accepts = "image", "image/*"

    def __init__(self, wish: Wish):
        self.names, self.nullable = wish.choices, wish.nullable
        start = wish.start if wish.start is not None or wish.nullable else "chelsea"
        self.given = start if not isinstance(start, (str, type(None))) else None
        if self.given is not None:
            start = GIVEN
        super().__init__(wish.name, ipywidgets.Dropdown(options=self._options(start), value=start or NONE))

    def _options(self, *needed):
        names = list(self.names or [*photos.PHOTOS, *photos.PAINTINGS, *photos.mine()])
        first = [NONE] * self.nullable + [GIVEN] * (self.given is not None)
        return list(dict.fromkeys([*first, *names, *(name for name in needed if name)]))

    @property
    def value(self):
        return None if self.widget.value == NONE and self.nullable else self.widget.value

    def load(self, value, network, size):
        if value is None or value == GIVEN:
            return self.given
        self.refresh()
        return size.load(value)

    def code(self, value, size):
        if value == GIVEN:
            return Code(self.name, given=True)
        return written(self.name, None) if value is None else size.code(value)

    def refresh(self, choose=None):
        _offer(self.widget, self._options(self.value, choose), choose or self.widget.value)

    def reset(self):
        self.widget.options = self._options(self.default)
        self.widget.value = self.default


class Networks(Knob):
    """The menu of networks; each says whether it is here and what it would cost to download."""

    mark, leads = "network", True

    def __init__(self, wish: Wish):
        start = wish.start or "efficientnet_lite0"
        self.given = start if isinstance(start, Network) else None
        start = start.name if self.given else start
        options = [(self.label(name), name) for name in wish.choices or SOURCES]
        if start not in dict(map(reversed, options)):
            if self.given is None:
                known("network", start, SOURCES)
            options.insert(0, (self.label(start), start))
        super().__init__(wish.name, ipywidgets.Dropdown(options=options, value=start))

    def label(self, name: str) -> str:
        if name not in SOURCES:
            return f"{name} (yours)"
        source = SOURCES[name]
        if source.here or (self.given and self.given.name == name):
            return f"{name} (here)"
        verb = "to download" if source.url else f"in the package {source.origin}"
        return f"{name} ({source.megabytes} MB {verb})"

    @property
    def network(self):
        return self.given if self.given is not None and self.given.name == self.value else self.value

    def load(self, value, network, size):
        return network

    def code(self, value, size):
        return Code(f'networks.load("{value}")', ("networks",)) if value in SOURCES else Code(self.name, given=True)

    def refresh(self, choose=None):
        _offer(self.widget, [(self.label(name), name) for _, name in self.widget.options], self.widget.value)


# ── What follows the network ─────────────────────────────────────────────────────────────────────────────────


class Layers(Knob):
    """The layers of the network beside it. After another network is chosen it stays at a like depth."""

    mark, leads = "layer", True

    def __init__(self, wish: Wish):
        self.names, self.nullable, start = wish.choices, wish.nullable, wish.start
        options = [USUAL] * self.nullable + list(self.names or ([start] if start else []))
        if start is None and not self.nullable:
            start = options[0] if options else None
        value = USUAL if self.nullable and not start else start
        super().__init__(wish.name, ipywidgets.Dropdown(options=options, value=value))

    @property
    def value(self):
        return None if self.widget.value == USUAL else self.widget.value

    def follow(self, network, layer):
        before, chosen = list(self.widget.options), self.widget.value
        layers = [name for name in self.names or network.layers if name in network.layers] or list(network.layers)
        options = [USUAL] * self.nullable + layers
        if chosen not in options and chosen is not None and _has_layer(network, chosen):
            options.append(chosen)  # a module path
        if chosen not in options:
            known = chosen in before and len(before) > 1
            depth = before.index(chosen) / (len(before) - 1) if known else 0.5
            chosen = options[round(depth * (len(options) - 1))]
        _offer(self.widget, options, chosen)
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

    mark = "channel"

    def __init__(self, wish: Wish):
        self.nullable, self.note = wish.nullable, " (−1: all)" if wish.nullable else ""
        low = -1 if self.nullable else 0
        value = low if wish.start is None else wish.start
        widget = ipywidgets.IntSlider(value=value, min=low, max=max(31, value), continuous_update=False)
        super().__init__(wish.name, widget)

    @property
    def value(self):
        return None if self.nullable and self.widget.value < 0 else self.widget.value

    def follow(self, network, layer):
        if layer is None:
            return layer
        last = network.shape(layer)[0] - 1
        if self.widget.max != last:
            self.widget.value = min(self.widget.value, last)
            self.widget.max = last
        return layer

    def reset(self):
        self.widget.max = max(self.widget.max, self.default)
        self.widget.value = self.default


class Categories(Knob):
    """A field that finds a class by any part of its name, and takes an index as well."""

    mark = "category"

    def __init__(self, wish: Wish):
        self.nullable, self.names = wish.nullable, wish.choices
        start = wish.start if wish.start is not None or wish.nullable else 0
        widget = ipywidgets.Combobox(
            value="" if start is None else str(start),
            options=list(self.names or []),
            placeholder="type to search, or an index" + (" (empty: none)" if self.nullable else ""),
            continuous_update=False,
        )
        super().__init__(wish.name, widget)

    @property
    def value(self):
        text = self.widget.value.strip()
        if not text and self.nullable:
            return None
        return int(text) if text.lstrip("-").isdigit() else text

    def follow(self, network, layer):
        options = tuple(self.names or dict.fromkeys(network.categories))
        if self.widget.options != options:
            self.widget.options = options
        return layer

    def load(self, value, network, size):
        return value if network is None or value is None else network.category(value)


KINDS = (Networks, Pictures, Layers, Categories, Menu, Number, Channels, Seeds, Switch)  # the first that suits is made
