"""Panels where knobs cannot be turned, in Colab, under ipywidgets 7 and stored: a picture, a sentence and the call."""

import os
import re
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from html import unescape
from io import BytesIO
from types import ModuleType
from typing import Annotated

import ipywidgets
import pytest
import torch
from nbconvert.filters import markdown2html
from PIL import Image as pillow

from helpers.core.images import Image
from helpers.core.lessons import ROOT
from helpers.core.steps import Step
from helpers.panels import Panel, living, panel, plain


@pytest.fixture
def colab(monkeypatch):
    """A kernel of Colab's, as far as it can be told."""
    google = ModuleType("google")
    google.colab = ModuleType("google.colab")
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", google.colab)


@pytest.fixture
def seven(monkeypatch):
    monkeypatch.setattr(ipywidgets, "__version__", "7.8.5")


@pytest.fixture
def stored(monkeypatch):
    """A kernel of `make notebooks`."""
    monkeypatch.setenv("PANELS", "picture")


def seen(made):
    """What a front end shows of a panel: its picture or None, and its text, the same with Markdown and without."""
    *pictures, (words, _) = made.outputs()
    assert set(words) == {"text/plain", "text/markdown"}
    html = re.sub(r"<br ?/?>", "", markdown2html(words["text/markdown"]))
    lines = [line.strip() for line in unescape(re.sub(r"<[^>]+>", "", html)).splitlines()]
    text = words["text/plain"]
    assert list(filter(None, lines)) == [line.strip() for line in text.splitlines() if line.strip()]
    if not pictures:
        return None, text
    ((data, metadata),) = pictures
    assert data["text/plain"] == repr(made) and metadata["image/jpeg"]["alt"] == made.alt
    return pillow.open(BytesIO(b64decode(data["image/jpeg"]))), text


calls = []


def brighten(image: Image, by: Annotated[float, (0.0, 1.0, 0.1)] = 0.5, size: int = 64):
    calls.append((by, size))
    return (image + by).clamp(0, 1)


def fade(steps: Annotated[int, (1, 500, 1)] = 3, pause: Annotated[float, (0.0, 1.0, 0.1)] = 0.0) -> Iterator[Step]:
    for index in range(1, steps + 1):
        time.sleep(pause)
        yield Step(index, steps, torch.full((1, 3, 8, 8), index / steps), {"loss": 1 / index})


def test_where_knobs_can_be_turned_there_are_knobs():
    assert plain.reason() == ""
    made = panel(fade)
    assert isinstance(made, Panel)
    made.close()


def test_in_colab_the_picture_a_sentence_and_the_call_are_shown(colab):
    calls.clear()
    made = panel(brighten, lambda result: (result, "as <bright> as can be"), by=0.2, size=48, title="A & *B*")
    assert calls == [] and made not in living(), "nothing happens before it is seen"
    picture, text = seen(made)
    assert picture.width > 40 and calls == [(0.2, 48)]
    assert text.startswith("A & *B*\nas <bright> as can be\n")
    assert f"\nimage chelsea · by 0.2\n{plain.reason()}\n" in text
    assert "open the notebook in JupyterLab" in plain.reason()
    assert 'brighten(image=photos.photo("chelsea", 224), by=0.2, size=48)' in text
    assert made.alt == "A & *B*: the picture at image chelsea, by 0.2"
    assert len(calls) == 1, "seen twice, computed once"


@pytest.mark.parametrize("line", ["- x", "+ 1", "1. x", "2) x", "===", "---", "&amp; <b>", "# x", "0.5 of all"])
def test_a_line_that_markdown_would_read_as_its_own_is_seen_as_it_is(colab, line):
    _, text = seen(panel(brighten, lambda result: (result, f"above\n{line}"), size=48, title="T"))
    assert text.startswith(f"T\nabove\n{line}\n")


def test_under_ipywidgets_7_the_sentence_says_what_to_install(seven):
    picture, text = seen(panel(fade))
    assert picture and "need ipywidgets 8 and here is 7.8.5: run pip install -U ipywidgets" in text
    assert "3 steps in" in text and "finish(fade(steps=3, pause=0.0))" in text


def test_a_long_run_ends_early_with_the_step_that_it_has_reached(colab, monkeypatch):
    monkeypatch.setattr(plain, "PATIENCE", 0.3)
    made = panel(fade, steps=500, pause=0.1)
    start = time.monotonic()
    picture, text = seen(made)
    assert picture and time.monotonic() - start < 10
    reached = int(re.search(r"^Stopped at step (\d+)\.$", text, re.MULTILINE)[1])
    assert 1 <= reached < 90
    assert seen(made)[1] == text


@pytest.mark.parametrize("method", [brighten, fade])
def test_an_error_is_one_line_in_place_of_the_picture(colab, method):
    def broken(_):
        raise ValueError("draw is broken\nfor good")

    picture, text = seen(panel(method, broken))
    assert picture is None and text.splitlines()[1] == "draw is broken" and "for good" not in text


def test_a_wrong_keyword_is_the_same_error_as_ever(colab):
    with pytest.raises(TypeError, match="fade has no parameter 'paws'"):
        panel(fade, paws=3)


# ── Stored ──


def test_a_stored_run_is_at_its_end_and_only_that_is_drawn(stored, monkeypatch):
    monkeypatch.setattr(plain, "PATIENCE", 0.1)
    drawn = []

    def draw(step):
        drawn.append(step.index)
        return step.image, f"{step.index} of {step.total}"

    made = panel(fade, draw, steps=20, pause=0.05)
    assert drawn == [], "nothing happens before it is seen"
    picture, text = seen(made)
    assert picture and drawn == [1, 20]
    assert text.splitlines()[:4] == ["fade", "20 of 20", "steps 20 · pause 0.05", plain.reason()]
    assert "in JupyterLab to turn the knobs" in plain.reason() and not re.search(r"\d s\b|steps/s", text)
    assert made.alt == "fade: the picture at steps 20, pause 0.05"
    assert panel(fade, draw, steps=20, pause=0.0).outputs()[0][0]["image/jpeg"] == made.outputs()[0][0]["image/jpeg"]


def test_a_run_that_ends_before_it_said_is_stored_as_it_ended(stored):
    def early() -> Iterator[Step]:
        for index in range(1, 6):
            yield Step(index, 100, torch.full((1, 3, 8, 8), index / 100))

    assert "\n5 of 100\n" in seen(panel(early, lambda step: (step.image, f"{step.index} of {step.total}")))[1]


@pytest.mark.parametrize("method", [brighten, fade])
def test_an_error_stops_what_would_store_it(stored, method):
    def broken(_):
        raise ValueError("draw is broken")

    with pytest.raises(ValueError, match="draw is broken"):
        panel(method, broken).outputs()


def test_a_stored_picture_is_a_small_file_of_the_largest_width_that_is(stored):
    def noise(side: Annotated[int, (16, 2000, 1)] = 900):
        return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))

    def flat(side: Annotated[int, (16, 2000, 1)] = 900):
        return torch.full((1, 3, side, side), 0.5)

    for method, side, widths, shown in (
        (flat, 900, [860], 860),
        (flat, 300, [300], 400),
        (noise, 600, range(200, 240), 600),
    ):
        data, metadata = panel(method, side=side).outputs()[0]
        jpeg = b64decode(data["image/jpeg"])
        assert pillow.open(BytesIO(jpeg)).width in widths and metadata["image/jpeg"]["width"] == shown
        assert len(jpeg) <= plain.LARGEST


def test_what_is_said_in_place_of_a_picture_is_short(stored):
    def many(one="a" * 90, two="b" * 90, three="c" * 90):
        return torch.zeros(1, 3, 8, 8)

    made = panel(many, **{name: [letter * 90] for name, letter in zip(("one", "two", "three"), "abc", strict=True)})
    assert made.alt == f"many: the picture at one {'a' * 90}, two {'b' * 90}"


def test_nobody_asks_for_anything_else(monkeypatch):
    monkeypatch.setenv("PANELS", "movie")
    with pytest.raises(ValueError, match="PANELS must be one of 'picture', 'film', not 'movie'"):
        panel(fade)


# ── ipywidgets 7 itself ──

SEVEN = """
import ipywidgets
from helpers import deepdream, filters
from helpers.panels import panel

assert ipywidgets.__version__.startswith("7."), ipywidgets.__version__
for made in (
    panel(deepdream.deepdream, size=64, steps=2, octaves=2, layer="blocks.2", title="dream"),
    panel(filters.sheet, times=4),
):
    (picture, _), (words, _) = made.outputs()
    assert "image/jpeg" in picture and "pip install -U ipywidgets" in words["text/plain"], words
"""


@pytest.mark.skipif(
    "IPYWIDGETS_7" not in os.environ,
    reason="IPYWIDGETS_7 names no folder (pip install --no-deps --target folder 'ipywidgets<8' ipython_genutils)",
)
def test_it_is_so_with_ipywidgets_7_itself():
    path = os.pathsep.join([os.environ["IPYWIDGETS_7"], str(ROOT)])
    run = subprocess.run(
        [sys.executable, "-c", SEVEN],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
