"""Bad arguments are refused when a method is called, in one wording; knobs are written once and shown everywhere."""

import inspect
from collections.abc import Iterator
from typing import Annotated, Literal, get_type_hints

import pytest
import torch

from helpers.core import arguments
from helpers.core.arguments import at_once, with_knobs_of, words

CALLS = [
    (lambda: arguments.one_of("mode", "c", Literal["a", "b"]), "mode must be one of 'a', 'b', not 'c'"),
    (lambda: arguments.one_of("depth", 6, range(1, 4)), "depth must be one of 1, 2, 3, not 6"),
    (lambda: arguments.known("network", "lite", {"a": 1, "b": 2}), "network 'lite' is unknown; networks: a, b"),
    (lambda: arguments.at_least(1, steps=2, size=0), "size must be at least 1, not 0"),
    (lambda: arguments.at_least(0, weight=float("nan")), "weight must be at least 0, not nan"),
    (lambda: arguments.at_least(0, weight=float("inf")), "weight must be at least 0, not inf"),
    (lambda: arguments.whole_numbers(1, count=1.5), "count must be a whole number of at least 1, not 1.5"),
    (lambda: arguments.whole_numbers(1, count=0), "count must be a whole number of at least 1, not 0"),
    (lambda: arguments.above(0, rate=0.0), "rate must be above 0, not 0.0"),
    (lambda: arguments.above(0, rate=float("inf")), "rate must be above 0, not inf"),
    (lambda: arguments.from_to(0, 1, blend=1.1), "blend must be from 0 to 1, not 1.1"),
    (lambda: arguments.from_to(0, 1, blend=float("nan")), "blend must be from 0 to 1, not nan"),
    (lambda: arguments.from_to_below(0, 1, decay=1), "decay must be from 0 to below 1, not 1"),
    (lambda: arguments.between(0, 1, confidence=1), "confidence must be above 0 and below 1, not 1"),
    (lambda: arguments.single("style", torch.rand(2, 3, 4, 4)), "style must be a single picture, not a batch of 2"),
    (
        lambda: arguments.channels(4, 4, "conv1"),
        "channel must be a whole number from 0 to 3 for layer 'conv1', not 4",
    ),
    (
        lambda: arguments.channels([], 4, "conv1"),
        "channel must be a whole number from 0 to 3 for layer 'conv1', not []",
    ),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[message[:30] for _, message in CALLS])
def test_a_refusal_names_the_argument_and_what_is_allowed(call, message):
    with pytest.raises(ValueError) as told:
        call()
    assert str(told.value) == message


def test_what_is_allowed_passes():
    assert arguments.one_of("mode", "b", Literal["a", "b"]) == "b" and arguments.one_of("mode", "x", {"x": 1}) == "x"
    arguments.at_least(1, steps=1)
    arguments.whole_numbers(1, count=1)
    arguments.above(0, rate=1e-9)
    arguments.from_to(0, 1, low=0, high=1)
    arguments.from_to_below(0, 1, decay=0)
    arguments.between(0, 1, confidence=0.5)
    image = torch.rand(1, 3, 4, 4)
    assert arguments.single("image", image) is image
    assert arguments.channels(3, 4, "conv1") == [3] and arguments.channels(torch.tensor([0, 2]), 4, "conv1") == [0, 2]


def test_one_class_serves_all_pictures_and_a_list_gives_each_its_own(lite0):
    cat, koala = lite0.category("Egyptian cat"), lite0.category("koala")
    assert arguments.targets(lite0, "koala", 2).tolist() == [koala, koala]
    assert arguments.targets(lite0, ["koala", cat], 2).tolist() == [koala, cat]
    assert arguments.targets(lite0, torch.tensor([cat, koala]), 2).tolist() == [cat, koala]
    with pytest.raises(ValueError, match="category must be one class, or one for each of the 2 images, not 3"):
        arguments.targets(lite0, [1, 2, 3], 2)


def test_a_layer_without_positions_says_so(lite0):
    arguments.positions(lite0, "blocks.4")
    with pytest.raises(ValueError, match=r"layer 'penultimate' has no positions: its shape is \(1280,\)"):
        arguments.positions(lite0, "penultimate")
    with pytest.raises(ValueError, match="layer 'conv9' is unknown"):
        arguments.positions(lite0, "conv9")


def test_a_network_without_classes_says_so(untrained):
    with pytest.raises(ValueError, match="network vgg16_edges has no classes; ask for one of its layers instead"):
        arguments.targets(untrained("vgg16_edges"), 1, 2)


# ── Methods ──


@at_once
def counting(steps: Annotated[int, (1, 9, 1)] = 3, start: int = 0) -> Iterator[int]:
    """Count.

    Args:
        steps: how many,
            in words that take two lines.
        start: where to begin.
    """
    arguments.at_least(1, steps=steps)
    yield
    yield from range(start, start + steps)


def test_a_method_refuses_when_it_is_called_and_works_when_it_is_asked():
    with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
        counting(0)
    assert list(counting(2)) == [0, 1]
    assert list(inspect.signature(counting).parameters) == ["steps", "start"]
    assert get_type_hints(counting, include_extras=True)["steps"] == Annotated[int, (1, 9, 1)]


def test_inference_mode_holds_at_every_step():
    @at_once
    @torch.inference_mode()
    def modes():
        yield
        yield torch.is_inference_mode_enabled()
        yield torch.is_inference_mode_enabled()

    found = []
    for mode in modes():
        found += [mode, torch.is_inference_mode_enabled()]
    assert found == [True, False, True, False]


def test_words_are_those_of_the_docstring():
    assert words(counting) == {"steps": "how many, in words that take two lines.", "start": "where to begin."}
    assert words(len) == {} and words(test_words_are_those_of_the_docstring) == {}


@with_knobs_of(counting, start=5)
def twice(name: str = "x", **knobs) -> Iterator[int]:
    """Count twice.

    Args:
        name: a word.
        **knobs: those of `counting`.

    Returns:
        Numbers.
    """
    return [name, *counting(**knobs), *counting(**knobs)]


def test_a_method_shows_the_knobs_it_takes_over_and_hands_them_on():
    signature = inspect.signature(twice)
    assert list(signature.parameters) == ["name", "steps", "start"]
    assert signature.parameters["steps"].annotation == Annotated[int, (1, 9, 1)]
    assert [p.default for p in signature.parameters.values()] == ["x", 3, 5]
    assert "knobs" not in get_type_hints(twice) and get_type_hints(twice, include_extras=True)["start"] is int
    assert twice(steps=1) == ["x", 5, 5], "the default that differs holds"
    assert twice("y", 2, 0) == ["y", 0, 1, 0, 1], "and may be given by place"
    with pytest.raises(TypeError, match="stepps"):
        twice(stepps=1)
    page = inspect.getdoc(twice)
    assert "    steps: how many, in words that take two lines.\n    start: where to begin.\n\nReturns:" in page
    assert "knobs" not in page and words(twice) == words(counting) | {"name": "a word."}


def test_only_some_knobs_may_be_taken():
    @with_knobs_of(counting, only=("steps",))
    def few(**knobs): ...

    @with_knobs_of(counting, without=("steps",))
    def others(**knobs): ...

    @with_knobs_of(counting)
    def own(start: float = 0.5, **knobs): ...

    assert list(inspect.signature(few).parameters) == ["steps"]
    assert list(inspect.signature(others).parameters) == ["start"]
    assert list(inspect.signature(own).parameters) == ["start", "steps"], "its own knob stays its own"
    assert inspect.signature(own).parameters["start"].default == 0.5
