"""Panels where knobs cannot be turned, in Colab and under ipywidgets 7: a picture, a sentence and the call."""

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
from IPython.core.formatters import DisplayFormatter
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


def seen(made):
    """What a front end shows of a panel: its picture or None, and its text."""
    data, _ = DisplayFormatter().format(made)
    assert set(data) == {"text/plain", "text/html"} and data["text/plain"] == repr(made)
    source = re.search(r'src="data:image/jpeg;base64,([^"]+)"', data["text/html"])
    text = unescape(re.sub(r"<[^>]+>", "", data["text/html"].replace("<br>", "\n")))
    return source and pillow.open(BytesIO(b64decode(source[1]))), text


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
    made = panel(brighten, lambda result: (result, "as <bright> as can be"), by=0.2, size=48, title="A & B")
    assert calls == [] and made not in living(), "nothing happens before it is seen"
    picture, text = seen(made)
    assert picture.width > 40 and calls == [(0.2, 48)]
    assert text.startswith(f"{plain.reason()}\n") and "open the notebook in JupyterLab" in plain.reason()
    assert "as <bright> as can be\n" in text
    assert 'brighten(image=photos.photo("chelsea", 224), by=0.2, size=48)' in text
    assert 'alt="A &amp; B, at the lesson&#x27;s settings"' in made._repr_mimebundle_()["text/html"]
    assert len(calls) == 1, "seen twice, computed once"


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
    assert picture is None and text.splitlines()[1] == "draw is broken"


def test_a_wrong_keyword_is_the_same_error_as_ever(colab):
    with pytest.raises(TypeError, match="fade has no parameter 'paws'"):
        panel(fade, paws=3)


SEVEN = """
import ipywidgets
from IPython.core.formatters import DisplayFormatter
from helpers import deepdream, filters
from helpers.panels import panel

assert ipywidgets.__version__.startswith("7."), ipywidgets.__version__
for made in (
    panel(deepdream.deepdream, size=64, steps=2, octaves=2, layer="blocks.2", title="dream"),
    panel(filters.sheet, times=4),
):
    page = DisplayFormatter().format(made)[0]["text/html"]
    assert "<img alt=" in page and "pip install -U ipywidgets" in page, page
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
