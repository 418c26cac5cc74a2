"""What only a browser can prove of a panel: uploads, drops, the keyboard, a kernel that is busy, a cell run again."""

import io
import os
import time

import pytest
from lab import Page
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image, ImageOps

from helpers.core.photos import DATA

SETUP = """
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
import torch
from helpers import plots
from helpers.core import photos
from helpers.core.images import Image
from helpers.core.networks import Category, Channel, Layer, Network
from helpers.core.steps import Seed, Step
from helpers.panels import living, panel

photos.MINE = Path("mine")

def look(
    network: Network, image: Image, layer: Layer = "blocks.1", channel: Channel = 3, category: Category = "espresso",
    strength_of_the_overlay: Annotated[float, (0.0, 1.0, 0.1)] = 0.6,
    level: Annotated[float, (1e-4, 1.0, "log")] = 0.01,
    mode: Literal["grey", "colour"] = "colour", signed: bool = True, seed: Seed = 0,
):
    \"\"\"What a channel sees.

    Args:
        network: that looks.
        category: the "class" < 1000.
        strength_of_the_overlay: see `overlay`;
            0 hides it.
        mode: of the colours.
        signed: whether below zero too.
        seed: at most 99.
    \"\"\"
    if seed > 99:
        raise ValueError(f"seed must be at most 99, not {seed}")
    return network.activation(image, layer)[0, channel]

def overlay(heat, image, strength_of_the_overlay):
    return plots.overlay(image, heat, strength_of_the_overlay), f"largest activation {heat.max():.2f}"

def fade(image: Image, steps: Annotated[int, (10, 3000, 10)] = 2000, slow: bool = False) -> Iterator[Step]:
    for index in range(1, steps + 1):
        time.sleep(2 if slow and index > 3 else 0.02)
        yield Step(index, steps, image * (1 - index / steps), {"loss": 1 / index, "rest": 1 - index / steps})
"""
CELLS = [SETUP, "panel(look, overlay, image='coffee')", "panel(fade)"]
LOOK, FADE = 1, 2  # cells


@pytest.fixture(scope="module")
def page(browser, lab):
    opened = Page(browser, lab, new_notebook(cells=[new_code_cell(cell) for cell in CELLS]), "panels.ipynb")
    opened.run_all_cells()
    yield opened
    assert opened.errors == []
    opened.close()
    lab.end_kernels()


@pytest.fixture
def look(page):
    panel = page.panels()[0]
    panel.until(panel.picture)
    return panel


@pytest.fixture
def fade(page):
    panel = page.panels()[1]
    panel.until(lambda: not panel.is_running() and panel.button("run").is_enabled())
    return panel


def red_square():
    file = io.BytesIO()
    Image.new("RGB", (300, 300), "red").save(file, format="PNG")
    return file.getvalue()


def test_the_first_picture_and_the_menus_come_by_themselves(look):
    look.until(lambda: look.error() == "" and "s" in look.status())
    layers = look.box.locator(".knob-layer option").all_inner_texts()
    assert "blocks.6" in layers and len(layers) > 8
    assert look.box.locator(".knob-category datalist option").count() > 990
    look.screenshot("panel-look-light")


@pytest.mark.parametrize("knob", ["channel", "strength_of_the_overlay", "image", "layer"])
def test_each_kind_of_control_reaches_the_picture(look, knob):
    before = look.picture()
    assert look.turn(f"knob-{knob}")
    look.until(lambda: look.picture() != before)
    look.button("reset").click()
    look.until(lambda: look.picture() == before)


def test_a_class_is_typed(look):
    field = look.box.locator(".knob-category input")
    field.fill("koal")
    field.press("Enter")
    look.until(lambda: "did you mean 'koala'?" in look.error())
    field.fill("koala")
    field.press("Enter")
    look.until(lambda: look.error() == "")
    look.button("reset").click()


FOLDED = ["knob-mode", "knob-signed", "knob-seed"]


def in_sight(panel):
    return [knob for knob in panel.knobs() if panel.box.locator(f".{knob}").is_visible()]


def test_more_shows_the_folded_knobs_and_is_pressed_by_keyboard(page, look):
    every = look.knobs()
    assert in_sight(look) == every[:7] and every[7:] == FOLDED
    look.screenshot("panel-folded")
    busy = page.run_cell("time.sleep(3); print('woke')")
    more = look.button("more")
    more.focus()
    more.press("Space")
    look.until(lambda: in_sight(look) == every, seconds=2.5)  # without the kernel, which is busy
    look.screenshot("panel-unfolded")
    more.press("Enter")
    look.until(lambda: in_sight(look) == every[:7])
    assert page.text_of(busy).strip() == "woke"


def test_an_error_about_a_folded_knob_shows_it(look):
    look.unfold(False)
    assert look.box.locator(".knob-seed").is_hidden()
    seed = look.control("knob-seed").locator("input")
    seed.fill("100")
    seed.press("Enter")
    look.until(lambda: look.error() == "seed must be at most 99, not 100")
    look.unfold(False)
    look.turn("knob-channel")
    look.until(lambda: in_sight(look) == look.knobs())
    look.button("reset").click()
    look.until(lambda: look.error() == "")
    look.unfold(False)


@pytest.mark.parametrize(
    ("knob", "words"),
    [
        ("network", "that looks."),
        ("image", ""),
        ("channel", ""),
        ("category", 'the "class" < 1000.'),
        ("strength_of_the_overlay", "see overlay; 0 hides it."),
        ("mode", "of the colours."),
        ("signed", "whether below zero too."),
        ("seed", "at most 99."),
    ],
)
def test_over_the_name_of_a_knob_is_its_line_of_the_docstring(look, knob, words):
    name = look.control(f"knob-{knob}").get_by_text(knob.replace("_", " "), exact=True).first
    name.scroll_into_view_if_needed()
    box = name.bounding_box()
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    tooltip = "(at) => document.elementFromPoint(...at).closest('[title]')?.title || ''"
    assert look.page.page.evaluate(tooltip, middle) == words


def test_every_control_is_reached_by_tab(look):
    look.unfold()
    look.box.locator(".knob-network select").focus()
    reached = set()
    for _ in range(40):
        look.page.page.keyboard.press("Tab")
        reached |= set(
            look.page.page.evaluate("() => [...(document.activeElement.closest('[class*=knob-]')?.classList || [])]")
        ) | set(look.page.page.evaluate("() => [...document.activeElement.classList]"))
    wanted = {k for k in look.knobs() if k != "knob-network"} | {
        "panel-more",
        "panel-reset",
        "panel-save-png",
        "panel-show-the-call",
    }
    assert wanted <= reached


def test_a_key_pressed_on_a_control_is_for_that_control(page, look):
    before, count, menu = look.picture(), len(page.cells()), look.box.locator(".knob-layer select")
    menu.select_option("blocks.1")
    menu.press("ArrowDown")  # JupyterLab would go to the next cell
    assert menu.input_value() == "blocks.2"
    menu.press("b")  # and put a new one here
    look.button("reset").press("b")
    page.page.wait_for_timeout(300)
    assert menu.input_value() == "blocks.3" and len(page.cells()) == count
    menu.press("Control+s")  # this goes to JupyterLab as ever
    page.until("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    look.button("reset").click()
    look.until(lambda: look.picture() == before)


def test_an_upload_joins_the_menu(look):
    before = look.picture()
    with look.page.page.expect_file_chooser() as chooser:
        look.box.locator(".panel-upload").click()
    chooser.value.set_files({"name": "red.png", "mimeType": "image/png", "buffer": red_square()})
    look.until(lambda: look.picture() != before)
    menu = look.box.locator(".knob-image select")
    assert menu.evaluate("menu => menu.selectedOptions[0].text") == "red.png"
    look.button("reset").click()
    look.until(lambda: look.picture() == before)


def drop(panel, name, content):
    panel.box.locator(".panel-drop").evaluate(
        """(zone, [name, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name));
          zone.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        [name, list(content)],
    )


def test_a_picture_may_be_dropped(look):
    before = look.picture()
    drop(look, "dropped.png", red_square())
    look.until(lambda: look.picture() != before)
    assert look.box.locator(".knob-image select").evaluate("m => m.selectedOptions[0].text") == "dropped.png"
    drop(look, "broken.png", b"not a picture")
    look.until(lambda: look.error() == "broken.png is not a picture that Pillow can read")
    look.screenshot("panel-error-light")
    look.button("reset").click()
    look.until(lambda: look.picture() == before and look.error() == "")


def test_run_shows_progress_a_curve_and_a_scrubber(fade):
    fade.button("run").click()
    fade.until(lambda: "s left" in fade.status() and fade.box.locator(".panel-curve polyline").count() == 2)
    assert not fade.button("run").is_enabled()
    fade.screenshot("panel-fade-running")
    assert fade.stop() is not None and "Stopped at step" in fade.status()
    last = fade.picture()
    fade.box.locator(".panel-scrubber .noUi-handle").press("Home")
    fade.until(lambda: fade.picture() != last)
    fade.screenshot("panel-fade-stopped")
    fade.box.locator(".panel-scrubber .noUi-handle").press("End")
    fade.until(lambda: fade.picture() == last)
    fade.button("save-gif").click()
    fade.until(lambda: "Saved fade-1.gif" in fade.status())


@pytest.mark.parametrize("slow", [False, True], ids=["quick steps", "steps of two seconds"])
def test_stop_takes_less_than_a_second(page, fade, slow):
    if slow:
        fade.turn("knob-slow")
    fade.button("run").click()
    fade.until(lambda: "Step 3 " in fade.status() or "Step 4" in fade.status())
    assert fade.stop() < 1
    kept = fade.picture()
    if slow:
        time.sleep(2.5)  # the step that was under way has ended meanwhile
        assert fade.picture() == kept and "Stopped" in fade.status()
        fade.turn("knob-slow")


def test_other_cells_run_while_a_panel_works_and_a_panel_works_while_a_cell_runs(page, fade):
    fade.button("run").click()
    fade.until(lambda: "s left" in fade.status())
    assert page.text_of(page.run_cell("print(6 * 7)")).strip() == "42"
    assert fade.is_running()
    busy = page.run_cell("time.sleep(3); print('slept')")
    first = fade.picture()
    fade.until(lambda: fade.picture() != first, seconds=2.5)
    assert page.text_of(busy).strip() == "slept"
    assert fade.stop() is not None


def test_a_knob_turned_during_a_run_is_announced(fade):
    fade.button("run").click()
    fade.until(lambda: "s left" in fade.status())
    fade.turn("knob-steps")
    fade.until(lambda: "to use the new settings" in fade.status())
    fade.button("stop").click()
    fade.button("reset").click()


def test_the_call_can_be_pasted_and_run(page, look):
    look.button("show-the-call").click()
    look.until(lambda: look.box.locator(".panel-source").is_visible())
    source = look.box.locator(".panel-source").text_content()
    assert page.text_of(page.run_cell(source + "\nprint(tuple(result.shape))")).strip() == "(56, 56)"
    look.button("show-the-call").click()


NAMED = [
    'group "look":',
    'combobox "network":',
    'combobox "image":',
    'button "Upload: image"',
    'combobox "layer":',
    'slider "channel"',
    'textbox "channel, typed"',
    'combobox "category": espresso',
    'slider "strength of the overlay"',
    'textbox "strength of the overlay, typed"',
    'slider "level"',
    'textbox "level, typed"',
    'button "more" [expanded]',
    'combobox "mode":',
    'checkbox "signed" [checked]',
    'spinbutton "seed": "100"',
    'button "Reset"',
    'button "Save PNG"',
    'button "Show the call" [expanded]',
    "status",
    "alert: seed must be at most 99, not 100",
]


def test_every_control_has_a_name_and_the_picture_an_alternative(look, fade):
    look.unfold()
    look.button("show-the-call").click()
    look.control("knob-seed").locator("input").fill("100")
    look.control("knob-seed").locator("input").press("Enter")
    look.until(look.error)
    heard = [line.strip("'").split("':")[0] for line in look.said()]
    assert [line for line in heard if not line.startswith(("text:", "option ", "img "))] == NAMED
    assert 'img "look: largest activation 29.96"' in heard
    fade.button("run").click()
    fade.until(lambda: fade.box.locator(".panel-curve polyline").count() == 2)
    fade.stop()
    heard = fade.said()
    assert {"'progressbar \"fade: steps\"'", 'slider "recorded step"', 'img "loss over the steps"'} < set(heard)
    scrubber = fade.box.locator(".panel-scrubber .noUi-handle")
    scrubber.press("Home")
    fade.until(lambda: fade.said_of_picture() == "fade, step 1 of 2000")
    assert scrubber.get_attribute("aria-valuetext") == "step 1"
    level = look.control("knob-level").locator(".noUi-handle")
    assert level.get_attribute("aria-valuetext") == "0.0100"  # and not -2, which is how far it stands


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_axe_finds_nothing_wrong_with_a_panel(page, look, fade, theme):
    page.theme(theme)
    look.unfold()
    if not look.error():
        look.control("knob-seed").locator("input").fill("100")
        look.control("knob-seed").locator("input").press("Enter")
        look.until(look.error)
    assert look.violations() == [] == fade.violations()


def test_what_was_wrong_is_put_right(look):
    look.button("reset").click()
    look.until(lambda: look.error() == "")
    assert "alert" not in " ".join(look.said())
    if look.box.locator(".panel-source").is_visible():
        look.button("show-the-call").click()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_panel_can_be_read_at_every_width(page, look, fade, theme):
    page.theme(theme)
    look.unfold()
    look.button("show-the-call").click()
    for width in (1400, 1000, 700):
        page.page.set_viewport_size({"width": width, "height": 1800})
        for panel in (look, fade):
            panel.box.scroll_into_view_if_needed()
            assert panel.faults() == [], (panel, width)
            panel.screenshot(f"{panel.title}-{theme.split()[1].lower()}-{width}")
    page.page.set_viewport_size({"width": 1400, "height": 1800})
    look.button("show-the-call").click()


def test_running_the_cell_again_leaves_one_panel_and_stops_the_former_run(page, fade):
    fade.button("run").click()
    fade.until(lambda: "s left" in fade.status())
    page.run_cell("", at=FADE)
    fade.until(lambda: "Press Run." in fade.status())
    count = page.run_cell("print(len(living()), sum(p.working for p in living()))")
    assert page.text_of(count).strip() == "2 0"


README = """
from helpers.deepdream import deepdream
from helpers.panels import panel

panel(deepdream, image="chelsea", layer="blocks.4")
"""


@pytest.mark.skipif("README_PICTURE" not in os.environ, reason="README_PICTURE=1 draws the README's panel anew")
def test_the_picture_of_the_readme(browser, lab):
    page = Page(browser, lab, new_notebook(cells=[new_code_cell(README)]), "readme.ipynb")
    page.run_all_cells()
    panel = page.panels()[0]
    panel.until(lambda: "Press Run." in panel.status())
    panel.button("run").click()
    frames, seen = [], {""}
    while panel.is_running() and len(frames) < 60:
        panel.until(lambda: panel.picture() not in seen or not panel.is_running())
        seen.add(panel.picture())
        frames.append(Image.open(io.BytesIO(panel.box.screenshot())).convert("RGB"))
    page.close()
    few = [frames[round(i * (len(frames) - 1) / 7)] for i in range(8)]
    high = max(frame.height for frame in few)
    few = [
        ImageOps.pad(frame, (900, high), color="white", centering=(0, 0)).resize((540, high * 3 // 5)) for frame in few
    ]
    path = DATA / "pictures" / "panel.gif"
    path.parent.mkdir(parents=True, exist_ok=True)
    for colours in (128, 96, 64, 48):
        drawn = [frame.quantize(colours, dither=Image.Dither.NONE) for frame in few]
        drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=[500] * 7 + [2500], loop=0)
        if path.stat().st_size < 400_000:
            break
    assert path.stat().st_size < 400_000
