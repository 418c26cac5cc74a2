"""The call that a panel shows: Python source that does the same without it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

WIDEST = 90  # characters; a longer call gets a line for each argument


def inner(function: Callable) -> Callable:
    """The function itself, if it is a `partial` of one."""
    return getattr(function, "func", function)


def name_of(function: Callable) -> str:
    return getattr(inner(function), "__name__", type(function).__name__)


class Code(NamedTuple):
    """One argument as Python source.

    Attributes:
        text: the source.
        modules: those of `helpers.core` that it needs.
        given: whether it is but a name, for what was given to the panel and no text can stand for.
    """

    text: str
    modules: tuple[str, ...] = ()
    given: bool = False


def written(name: str, value: Any) -> Code:
    """The value of the parameter `name`, whatever it is."""
    return Code(_source(value)) if _is_literal(value) else Code(name, given=True)


def call(function: Callable, arguments: Mapping[str, Code], iterative: bool) -> str:
    """The imports and the call; a stepwise method is run to its end."""
    name = name_of(function)
    modules = sorted({module for code in arguments.values() for module in code.modules})
    lines = [f"# {given}: what was given to the panel" for given, code in arguments.items() if code.given]
    if modules:
        lines.append(f"from helpers.core import {', '.join(modules)}")
    if iterative:
        lines.append("from helpers.core.steps import finish")
    if inner(function).__module__ != "__main__":
        lines.append(f"from {inner(function).__module__} import {name}")
    listed = [f"{argument}={code.text}" for argument, code in arguments.items()]
    text = f"{name}({', '.join(listed)})"
    if len(text) > WIDEST:
        text = f"{name}(\n    " + ",\n    ".join(listed) + ",\n)"
    return "\n".join([*lines, f"result = finish({text})" if iterative else f"result = {text}"])


def call_of(function: Callable, knobs: Mapping, constants: Mapping, size, iterative: bool) -> str:
    """The call with knobs as they stand, in the order of the signature.

    Args:
        knobs: by parameter name a `helpers.panels.knobs.Knob`.
        constants: the values of parameters without one.
        size: how large pictures are loaded, a `helpers.panels.knobs.Size`.
    """
    codes = {name: knob.code(knob.value, size) for name, knob in knobs.items()}
    codes |= {name: written(name, value) for name, value in constants.items()}
    ordered = {name: codes[name] for name in inspect.signature(function).parameters if name in codes}
    return call(function, ordered, iterative)


def _is_literal(value):
    if isinstance(value, (tuple, list)):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _source(value):
    """`value` as Python, strings in double quotes."""
    plain = isinstance(value, str) and repr(value).startswith("'") and '"' not in value
    return f'"{repr(value)[1:-1]}"' if plain else repr(value)
