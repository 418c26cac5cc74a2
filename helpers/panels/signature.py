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
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import ipywidgets
from ipywidgets import fixed

from helpers.core.arguments import words
from helpers.core.networks import Network
from helpers.panels.call import inner, name_of
from helpers.panels.knobs import KINDS, Knob, Wish

MARKS = ("image", "layer", "channel", "category", "seed")  # what the core annotates to a parameter's type
LOADED = ("network", "image")  # the function never sees the name that stands for one

_MISSING = object()


def make(function: Callable, given: dict[str, Any]) -> tuple[dict[str, Knob], dict[str, Any]]:
    """The knobs of `function`, and the values of the parameters without a knob, by parameter name.

    Args:
        given: by parameter name a default, a range (as an ipywidgets abbreviation), a widget or `fixed(value)`.

    Raises:
        TypeError: a name in `given` is no parameter, or a parameter without a default has no knob.
    """
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(inner(function), include_extras=True)
    for name in given:
        if name not in parameters:
            raise TypeError(f"{name_of(function)} has no parameter {name!r}; its parameters: {', '.join(parameters)}")
    said, knobs, constants = words(inner(function)), {}, {}
    for name, parameter in parameters.items():
        made = _make(name, hints.get(name), parameter.default, given.get(name, _MISSING))
        if isinstance(made, Knob):
            made.first = name in given or parameter.default is parameter.empty
            made.words = said.get(name, "").replace("`", "")
            knobs[name] = made
        elif made is not _MISSING:
            constants[name] = made.value
        elif parameter.default is inspect.Parameter.empty:
            raise TypeError(f"{name} of {name_of(function)} has no knob and no default: give {name}=… to the panel")
    return knobs, constants


def _make(name, hint, default, given):
    """A Knob, `fixed(value)`, or _MISSING for a parameter that is left alone."""
    if isinstance(given, ipywidgets.Widget):
        return Knob(name, given)
    wish, marks = _read(name, hint)
    held = isinstance(given, fixed)
    if held and (given.value is None or wish.mark not in LOADED):
        return given
    _begin(wish, marks, None if default is inspect.Parameter.empty else default, given.value if held else given)
    kind = next((kind for kind in KINDS if kind.suits(wish)), None)
    if kind is None:
        return _MISSING if given is _MISSING else fixed(given)
    knob = kind(wish)
    knob.hidden = held
    return knob


def _read(name, hint):
    """What the annotation says, and what else is annotated to the type."""
    hint, nullable = _without_none(hint)
    kind, *marks = get_args(hint) if get_origin(hint) is Annotated else [hint]
    mark = next((mark for mark in marks if isinstance(mark, str) and mark in MARKS), None)
    return Wish(name, kind, "network" if kind is Network else mark, nullable), marks


def _begin(wish, marks, default, given):
    """Where the knob stands and how far it goes, by what the panel was given, else by the signature."""
    wish.start = default
    wish.bounds = next((mark for mark in marks if _is_range(mark)), None)
    if _is_range(given):
        wish.bounds = given
        if default is not None:  # the range asked for holds, not the signature's default
            wish.start = min(max(default, given[0]), given[1])
    elif isinstance(given, (list, dict)):
        wish.choices = given
        if default not in given:
            wish.start = next(iter(given), None)
    elif given is not _MISSING:
        wish.start = given
    if wish.choices is None and get_origin(wish.kind) is Literal:
        wish.choices = get_args(wish.kind)
        wish.start = wish.choices[0] if wish.start is None else wish.start
    if wish.kind is None and isinstance(given, bool):
        wish.kind = bool


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
