"""What may be asked: the refusals of bad arguments, each in one wording, and methods that refuse when they are called.

@at_once
def method(network: Network, image: Image, steps: Annotated[int, (10, 400, 10)] = 100) -> Iterator[Step]:
    single("image", image)
    at_least(1, steps=steps)
    yield
    for index in range(1, steps + 1):
        ...
        yield Step(index, steps, image)
"""

import inspect
import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import get_args

import torch
from torch import Tensor

from helpers.core.images import check

# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────────────────


def one_of(name: str, value, options):
    """`value`, if it is one of `options`: a `Literal`, or anything that can be iterated.

    Raises:
        ValueError: it is none of them.
    """
    options = get_args(options) or tuple(options)
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, not {value!r}")
    return value


def known(name: str, value: str, names: Iterable[str]) -> str:
    """`value`, if it is among the `names` that things of this kind have.

    Raises:
        ValueError: it is none of them.
    """
    names = tuple(names)
    if value not in names:
        raise ValueError(f"{name} {value!r} is unknown; {name}s: {', '.join(names)}")
    return value


def at_least(least: float, /, **numbers: float) -> None:
    """Refuse numbers below `least`, NaN and infinity.

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in numbers.items():
        if not least <= value < math.inf:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def whole_numbers(least: int, /, **values: int) -> None:
    """Refuse what is no whole number, or below `least`.

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in values.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value}")


def above(limit: float, /, **numbers: float) -> None:
    """Refuse numbers not above `limit`, NaN and infinity.

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in numbers.items():
        if not limit < value < math.inf:
            raise ValueError(f"{name} must be above {limit}, not {value}")


def from_to(low: float, high: float, /, **numbers: float) -> None:
    """Refuse numbers outside [low, high].

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in numbers.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}, not {value}")


def from_to_below(low: float, limit: float, /, **numbers: float) -> None:
    """Refuse numbers outside [low, limit).

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in numbers.items():
        if not low <= value < limit:
            raise ValueError(f"{name} must be from {low} to below {limit}, not {value}")


def between(low: float, high: float, /, **numbers: float) -> None:
    """Refuse numbers outside (low, high).

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in numbers.items():
        if not low < value < high:
            raise ValueError(f"{name} must be above {low} and below {high}, not {value}")


def single(name: str, image: Tensor) -> Tensor:
    """`image`, if it is one picture (1, 3, H, W).

    Raises:
        TypeError, ValueError: it is a batch, or none at all; see `images.check`.
    """
    if len(check(image, name)) != 1:
        raise ValueError(f"{name} must be a single picture, not a batch of {len(image)}")
    return image


def channels(channel: int | Iterable[int], count: int, layer: str) -> list[int]:
    """One channel or several of a layer that has `count`, as a list.

    Raises:
        ValueError: none, or one that the layer does not have.
    """
    wanted = [channel] if isinstance(channel, int) else list(channel)
    if not wanted or not all(int(each) == each and 0 <= each < count for each in wanted):
        raise ValueError(f"channel must be a whole number from 0 to {count - 1} for layer {layer!r}, not {channel}")
    return [int(each) for each in wanted]


def positions(network, layer: str) -> None:
    """Refuse a layer without height and width.

    Raises:
        ValueError: it has none, or is unknown to the network.
    """
    shape = network.shape(layer)
    if len(shape) != 3:
        raise ValueError(f"layer {layer!r} has no positions: its shape is {shape}")


def classes(network) -> None:
    """Refuse a network without a classifier.

    Raises:
        ValueError: it has none.
    """
    if "logits" not in network.layers:
        raise ValueError(f"network {network.name} has no classes; ask for one of its layers instead")


def targets(network, category, count: int) -> Tensor:
    """The class of each of `count` pictures as indices (count,) on the network's device.

    Args:
        category: one class for all, by index or name, or a sequence of `count` of them.

    Raises:
        ValueError: no such class, no classifier, or a sequence of another length.
    """
    classes(network)
    several = isinstance(category, (Sequence, Tensor)) and not isinstance(category, str)
    wanted = list(category) if several else [category] * count
    if len(wanted) != count:
        raise ValueError(f"category must be one class, or one for each of the {count} images, not {len(wanted)}")
    found = [network.category(each if isinstance(each, str) else int(each)) for each in wanted]
    return torch.tensor(found, device=network.device)


# ── Methods ──────────────────────────────────────────────────────────────────────────────────────────────────


def at_once(method: Callable) -> Callable:
    """What stands before a method's first bare `yield` runs when it is called, so bad arguments are refused there.

    A generator runs nothing before its first step is asked for; this one runs up to the bare `yield`.
    """

    @wraps(method)
    def begin(*arguments, **knobs):
        steps = method(*arguments, **knobs)
        next(steps)
        return steps

    return begin


def with_knobs_of(source: Callable, *, only: Iterable[str] = (), without: Iterable[str] = (), **defaults) -> Callable:
    """A method that ends in `**knobs` gets the knobs of `source` in its signature and in its docstring.

    A knob is a parameter with a default. Its type, its range and its words stay those of `source`.

    Args:
        only: take no others; by default all are taken.
        without: leave these.
        **defaults: where the method's differ from those of `source`.
    """
    theirs = inspect.signature(source).parameters

    def decorate(method):
        own = [p for p in inspect.signature(method).parameters.values() if p.kind is not p.VAR_KEYWORD]
        left_out = {*without, *(p.name for p in own)}
        taken = [
            p.replace(default=defaults.get(p.name, p.default))
            for p in theirs.values()
            if p.default is not p.empty and p.name not in left_out and (not only or p.name in only)
        ]
        signature = inspect.signature(method).replace(parameters=[*own, *taken])

        @wraps(method)
        def begin(*arguments, **knobs):
            return method(**defaults | signature.bind(*arguments, **knobs).arguments)

        begin.__signature__ = signature
        begin.__annotations__ = method.__annotations__ | {p.name: p.annotation for p in taken}
        begin.__annotations__.pop("knobs", None)
        begin.__doc__ = _with_words(method.__doc__, words(source), [p.name for p in taken])
        return begin

    return decorate


def words(method: Callable) -> dict[str, str]:
    """What a docstring's section "Args" says of each parameter; one that is described with others has their words."""
    described = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", inspect.getdoc(method) or "", re.MULTILINE)
    found = {}
    for names, text in re.findall(
        r"^ {4}([\w*, ]+): (.*(?:\n {8,}.*)*)", described[1] if described else "", re.MULTILINE
    ):
        found |= {name.strip("* "): " ".join(text.split()) for name in names.split(",")}
    return found


def _with_words(page, known, names):
    """A docstring whose line about `**knobs` has become one line for each knob."""
    lines = [f"{name}: {known[name]}" for name in names if name in known]
    return re.sub(
        r"^( *)\*\*knobs: .*(?:\n\1 +.*)*",
        lambda line: "\n".join(line[1] + each for each in lines),
        page or "",
        flags=re.MULTILINE,
    )


def sides_of(size) -> tuple[int, int]:
    """(height, width) of a `size` that is that pair, or the side of a square."""
    sides = (size, size) if isinstance(size, int) else size
    if not isinstance(sides, (tuple, list)) or len(sides) != 2:
        raise ValueError(f"size must be the side of a square, or (height, width), not {size}")
    return tuple(sides)
