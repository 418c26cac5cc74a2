"""Films of panels: a run, or a knob turned from end to end, as pages get them."""

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from PIL import Image as pillow

from helpers.core.images import Image
from helpers.core.networks import Channel, Layer, Network
from helpers.core.steps import Seed, Step
from helpers.panels import film, fixed, panel
from helpers.panels.run import Frame


@pytest.fixture(autouse=True)
def filming(monkeypatch):
    monkeypatch.setenv("PANELS", "film")


Few, Many = Literal["a", "b", "c"], Literal["a", "b", "c", "d"]
Range = Annotated[int, (0, 9, 1)]


def filmed(made):
    """The film of a panel, as it is after a way through JSON, and its frames' pictures."""
    ((data, metadata),) = made.outputs()
    assert set(data) == {"text/plain", "image/jpeg", film.MIME} and metadata["image/jpeg"]["alt"] == made.alt
    bundle = json.loads(json.dumps(data[film.MIME]))
    assert set(bundle) == {"title", "knob", "frames", "start", "call", "alt"}
    assert all(set(frame) == {"jpeg", "label", "text"} for frame in bundle["frames"])
    assert (bundle["call"], bundle["alt"]) == (made.call, made.alt)
    return bundle, [pillow.open(BytesIO(b64decode(frame["jpeg"]))) for frame in bundle["frames"]]


def labels(bundle):
    return [frame["label"] for frame in bundle["frames"]]


def level(picture):
    return np.asarray(picture).mean() / 255


def grey(value, side=32):
    return torch.full((1, 3, side, side), float(value))


# ── A run ──


def fade(steps: Annotated[int, (1, 500, 1)] = 40, seed: Seed = 0) -> Iterator[Step]:
    for index in range(1, steps + 1):
        yield Step(index, steps, grey(index / steps), {"loss": 1 / index})


def test_a_run_is_its_steps_from_the_first_to_the_last():
    bundle, pictures = filmed(panel(fade, lambda step: (step.image, f"at {step.index}"), title="Fade"))
    said = labels(bundle)
    assert (bundle["title"], bundle["knob"]) == ("Fade", "steps")
    assert said[0] == "step 1 of 40" and said[-1] == "step 40 of 40" and 8 <= len(said) <= 16
    assert bundle["start"] == len(said) - 1
    numbers = [int(label.split()[1]) for label in said]
    assert numbers == sorted(set(numbers))
    assert [frame["text"] for frame in bundle["frames"]] == [f"at {number}" for number in numbers]
    assert [level(picture) for picture in pictures] == pytest.approx([number / 40 for number in numbers], abs=0.01)


def test_a_short_run_is_all_of_its_steps():
    assert labels(filmed(panel(fade, steps=3))[0]) == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]
    assert labels(filmed(panel(fade, steps=1))[0]) == ["step 1 of 1"]


def test_there_are_more_frames_where_the_picture_changes_faster():
    shots = [(Frame(b"", "", index), pillow.new("RGB", (8, 8), (min(index, 10) * 20,) * 3)) for index in range(48)]
    chosen = [frame.index for frame, _ in film.spread(shots, 12)]
    assert chosen[0] == 0 and chosen[-1] == 47 and sum(index <= 10 for index in chosen) >= 6
    still = [(frame, shots[0][1]) for frame, _ in shots]
    assert [frame.index for frame, _ in film.spread(still, 2)] == [0, 47], "where nothing changes: by their number"


# ── A knob ──


def shade(by: Annotated[float, (0.0, 1.0, 0.1)] = 0.3, side: Annotated[int, (8, 64, 8)] = 32):
    return grey(by, side)


def test_a_knob_goes_from_end_to_end_through_the_lessons_value_and_back():
    made = panel(shade, lambda result, by: (result, f"{by:.1f}"), by=0.35, side=fixed(16))
    call = made.call
    bundle, pictures = filmed(made)
    values = [0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    assert bundle["knob"] == "by" and bundle["alt"].endswith("at by 0.35")
    assert labels(bundle) == [f"by = {value:g}" for value in values] and bundle["start"] == 4
    assert [level(picture) for picture in pictures] == pytest.approx(values, abs=0.01)
    assert [frame["text"] for frame in bundle["frames"]][3:6] == ["0.3", "0.3", "0.4"]
    assert made.call == call and made.outputs()[0][0][film.MIME] == bundle


def test_a_knob_that_is_hidden_is_no_setting():
    def corner(image: Image, few: Few = "a"):
        return image[..., :32, :32]

    bundle, _ = filmed(panel(corner, image=fixed("coffee")))
    assert bundle["alt"].endswith("at few a") and "coffee" not in bundle["alt"] and 'photo("coffee"' in bundle["call"]


def test_a_value_that_is_refused_is_left_out_and_a_fault_is_not():
    def picky(by: Annotated[int, (0, 9, 1)] = 6, fault: bool = False):
        if by in (0, 4):
            raise {False: ValueError, True: KeyError}[fault](f"by must not be {by}")
        return grey(by / 9)

    made = panel(picky)
    bundle, pictures = filmed(made)
    assert labels(bundle) == [f"by = {value}" for value in (1, 2, 3, 5, 6, 7, 8, 9)] and made.paper.error is None
    assert bundle["start"] == 4 and level(pictures[4]) == pytest.approx(6 / 9, abs=0.01)
    with pytest.raises(ValueError, match="by must not be 4"):
        panel(picky, by=4).outputs()
    with pytest.raises(KeyError, match="by must not be 0"):
        panel(picky, fault=True).outputs()


def test_frames_are_of_one_size_and_small_files():
    def noise(side: Annotated[int, (300, 900, 100)] = 600):
        return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))

    bundle, pictures = filmed(panel(noise))
    assert len({picture.size for picture in pictures}) == 1 and len(pictures) == 7
    assert all(len(b64decode(frame["jpeg"])) <= film.LARGEST for frame in bundle["frames"])
    corners = [level(picture.crop((picture.width - 20, picture.height - 20, *picture.size))) for picture in pictures]
    assert corners[0] > 0.95 and corners[-1] < 0.7, "white beside the small ones"


def test_a_film_is_the_same_bytes_each_time_and_leaves_no_thread():
    before = threading.active_count()
    for method in (fade, shade):
        first, again = (json.dumps(panel(method).outputs()) for _ in range(2))
        assert first == again
    assert threading.active_count() == before


def test_where_nothing_can_be_turned_the_film_is_one_picture():
    def still(seed: Seed = 3):
        return grey(0.5)

    bundle, pictures = filmed(panel(still))
    assert (bundle["knob"], labels(bundle), bundle["start"]) == ("", [""], 0) and len(pictures) == 1


# ── Which knob ──


def one(size: Range = 3, few: Few = "a", by: Range = 3, many: Many = "b"): ...
def two(few: Few = "a", many: Many = "b", by: Range = 3): ...
def three(on: bool = False, few: Few = "a", seed: Seed = 0): ...
def four(network: Network, image: Image, few: Few = "a", channel: Channel = 3): ...
def five(few: Few = "a", on: bool = True, steps: Range = 3): ...
def six(on: bool = False, seed: Seed = 0): ...
def seven(seed: Seed = 0): ...
def eight(one: Few = "a", two: Few = "a", three: Few = "a", *, by: Range = 3, named: Range = 3): ...


@pytest.mark.parametrize(
    ("method", "given", "name"),
    [
        (one, {}, "by"),
        (two, {}, "many"),
        (three, {}, "few"),
        (four, {}, "channel"),
        (five, {"few": fixed("a")}, "on"),
        (six, {}, "on"),
        (seven, {}, None),
        (eight, {}, "by"),
        (eight, {"named": 4}, "named"),
    ],
)
def test_the_knob_is_the_first_in_sight_with_a_range_or_a_long_menu(method, given, name):
    knob = film.telling(panel(method, **given).work.knobs.values())
    assert (knob and knob.name) == name


def test_layers_come_before_short_menus_once_the_network_has_said_which_it_has(lite0):
    def look(network: Network, image: Image, few: Few = "a", layer: Layer | None = None):
        return image

    bundle, _ = filmed(panel(look, network=lite0, layer="blocks.4"))
    said = labels(bundle)
    assert bundle["knob"] == "layer" and 8 <= len(said) <= 16 and said[bundle["start"]] == "layer = blocks.4"
    assert not any("usual" in label for label in said)


def test_a_lesson_may_say_which_knob_is_turned_and_a_run_then_gives_its_last_picture():
    def brighten(image: Image, by: Annotated[float, (0.0, 1.0, 0.05)] = 0.5, steps: int = 3) -> Iterator[Step]:
        for index in range(1, steps + 1):
            yield Step(index, steps, torch.full((1, 3, 16, 16), by * index / steps), {})

    bundle, pictures = filmed(panel(brighten, film="by"))
    assert bundle["knob"] == "by" and labels(bundle)[bundle["start"]] == "by = 0.5"
    values = [float(label.removeprefix("by = ")) for label in labels(bundle)]
    assert (values[0], values[-1]) == (0, 1) and len(values) in (film.RUNS, film.RUNS + 1)
    assert [level(picture) for picture in pictures] == pytest.approx(values, abs=0.01), "each run to its end"
    with pytest.raises(ValueError, match=r"film must be a knob of the panel \(image, by\), not 'rate'"):
        panel(brighten, film="rate")


# ── How far ──


@pytest.mark.parametrize(
    ("hint", "start", "values"),
    [
        (Annotated[int, (8, 96, 8)], 32, [8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96]),
        (Annotated[int, (0, 31, 1)], 4, [0, 2, 4, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 29, 31]),
        (Annotated[int, (8, 100, 40)], 8, [8, 48, 88]),
        (Annotated[float, (0.0, 0.6, 0.2)], 0.2, [0.0, 0.2, 0.4, 0.6]),
        (
            Annotated[float, (0.01, 100.0, "log")],
            1.0,
            [0.01, 0.021, 0.04, 0.083, 0.17, 0.33, 0.69, 1.0, 1.4, 3.0, 5.8, 12.0, 25.0, 48.0, 100.0],
        ),
        (Literal["x", "y", "z"], "y", ["x", "y", "z"]),
        (bool, True, [False, True]),
    ],
)
def test_what_a_knob_goes_through(hint, start, values):
    def method(knob=None): ...

    method.__annotations__["knob"] = hint
    (knob,) = panel(method, knob=start).work.knobs.values()
    assert film.values(knob) == values


def test_a_long_menu_is_thinned_but_keeps_the_lessons_entry():
    names = [f"name {index}" for index in range(40)]

    def method(knob="name 1"): ...

    made = panel(method, knob=names)
    assert film.values(made.work.knobs["knob"]) == ["name 0", "name 1", *names[3::3]]
