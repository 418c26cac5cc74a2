"""Panels as plain objects: their knobs, their runs, their messages. No kernel, no front end."""

import builtins
import io
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Annotated, Literal

import ipywidgets
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure
from PIL import Image as pillow
from torch import Tensor

from helpers import panels
from helpers.core import images, networks, photos, registry
from helpers.core.arguments import with_knobs_of
from helpers.core.images import Image
from helpers.core.networks import Category, Channel, Layer, Network
from helpers.core.steps import Seed, Step
from helpers.panels import fixed, look, panel, run, work


@pytest.fixture(autouse=True)
def no_panel_outlives_its_test():
    yield
    for each in panels.living():
        each.close()
        assert each.wait(20)


def settled(made):
    assert made.wait(60)
    return made


def computed(made):
    made.run()
    return settled(made)


def await_(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def shown(made):
    return images.load(made.screen.image.value)


def answer(made):
    """Do what the link makes a front end do."""
    made.screen.status.set_state({"tabbable": False})


# ── Functions to make panels of ──


def everything(
    network: Network,
    image: Image,
    layer: Layer = "blocks.2",
    channel: Channel = 3,
    category: Category = "espresso",
    seed: Seed = 7,
    patch: Annotated[int, (8, 96, 8)] = 32,
    level: Annotated[float, (0.1, 0.9, 0.1)] = 0.5,
    rate: Annotated[float, (1e-4, 1.0, "log")] = 0.01,
    mode: Literal["grey", "blur"] = "blur",
    signed: bool = True,
    guide: Image | None = None,
    target: Category | None = None,
    plain: int = 3,
    extra: Tensor | None = None,
) -> Tensor:
    heat = network.activation(image, layer)[0, channel]
    return (heat - heat.min()) / (heat.max() - heat.min() + 1e-9) * torch.ones(1, 3, 1, 1)


def brighten(image: Image, by: Annotated[float, (0.0, 1.0, 0.1)] = 0.5) -> Tensor:
    return (image + by).clamp(0, 1)


def unchanged(network: Network, image: Image) -> Tensor:
    return image


def fade(steps: Annotated[int, (1, 50, 1)] = 5, start: Annotated[float, (0.0, 1.0, 0.5)] = 1.0) -> Iterator[Step]:
    if start == 0:
        raise ValueError("start must be above 0, not 0")
    return _fade(steps, start)


def _fade(steps, start):
    for index in range(1, steps + 1):
        yield Step(index, steps, torch.full((1, 3, 8, 8), start * index / steps), {"loss": 1 / index})


class Gate:
    """A stepwise method whose every step waits to be let through."""

    def __init__(self):
        self.through, self.begun, self.closed = threading.Semaphore(0), 0, 0

    def method(self):
        def gated(steps: Annotated[int, (1, 20, 1)] = 10) -> Iterator[Step]:
            try:
                for index in range(1, steps + 1):
                    self.begun += 1
                    assert self.through.acquire(timeout=20)
                    yield Step(index, steps, torch.full((1, 3, 8, 8), index / steps))
            finally:
                self.closed += 1

        return gated

    def let_through(self, steps):
        """The first `steps`; returns when the next has begun."""
        self.through.release(steps)
        await_(lambda: self.begun == steps + 1)


# ── Knobs ──


def test_each_kind_of_parameter_gets_its_control():
    made = panel(everything)
    kinds = {name: type(knob.widget).__name__ for name, knob in made.knobs.items()}
    assert kinds == {
        "network": "Dropdown",
        "image": "Dropdown",
        "layer": "Dropdown",
        "channel": "IntSlider",
        "category": "Combobox",
        "seed": "BoundedIntText",
        "patch": "IntSlider",
        "level": "FloatSlider",
        "rate": "FloatLogSlider",
        "mode": "Dropdown",
        "signed": "Checkbox",
        "guide": "Dropdown",
        "target": "Combobox",
    }
    assert made.settings() == {
        "network": "efficientnet_lite0",
        "image": "chelsea",
        "layer": "blocks.2",
        "channel": 3,
        "category": "espresso",
        "seed": 7,
        "patch": 32,
        "level": 0.5,
        "rate": 0.01,
        "mode": "blur",
        "signed": True,
        "guide": None,
        "target": None,
    }
    patch, rate = made.knobs["patch"].widget, made.knobs["rate"].widget
    assert (patch.min, patch.max, patch.step) == (8, 96, 8)
    assert rate.base**rate.min == pytest.approx(1e-4) and rate.base**rate.max == pytest.approx(1)


def test_no_slider_works_while_it_is_dragged():
    for knob in panel(everything).knobs.values():
        assert not getattr(knob.widget, "continuous_update", False), knob.name


def test_a_keyword_sets_the_default_the_range_or_both():
    own = ipywidgets.IntSlider(value=5, min=1, max=9)
    made = panel(
        everything,
        image="coffee",
        category=967,
        patch=(4, 16, 2),
        mode=["blur"],
        rate=(0.1, 10.0, "log"),
        seed=own,
        level=0.3,
        layer=["blocks.1", "blocks.2"],
        signed=fixed(False),
        channel=2,
    )
    settings = made.settings()
    assert settings["image"] == "coffee" and settings["category"] == 967 and settings["level"] == 0.3
    assert "signed" not in settings and made.constants["signed"] is False
    assert made.knobs["seed"].widget is own and settings["seed"] == 5
    patch = made.knobs["patch"].widget
    assert (patch.min, patch.max, patch.step, patch.value) == (4, 16, 2, 16)  # the signature's default gives way
    assert made.knobs["mode"].widget.options == ("blur",)
    assert settings["rate"] == 0.1
    assert panel(everything, patch=128).knobs["patch"].widget.max == 128
    assert made.knobs["layer"].widget.options == ("blocks.1", "blocks.2") and settings["layer"] == "blocks.2"


def test_a_wrong_keyword_is_one_clear_error(capsys):
    with pytest.raises(TypeError, match="brighten has no parameter 'size_'; its parameters: image, by"):
        panel(brighten, size_=3)
    with pytest.raises(ValueError, match="network 'lite' is unknown; networks: efficientnet_lite0"):
        panel(everything, network="lite")

    def needy(image: Image, weight: Tensor): ...

    with pytest.raises(TypeError, match="weight of needy has no knob and no default"):
        panel(needy)
    assert capsys.readouterr() == ("", "")


def test_fixed_pictures_and_networks_are_still_loaded():
    made = computed(panel(everything, network=fixed("efficientnet_lite0"), image=fixed("moon"), size=64))
    assert made.error == "" and made.jpeg
    assert "network" not in repr(made) and "image" not in repr(made)
    assert 'photos.photo("moon", 64)' in made.call


def test_the_menu_says_what_each_network_costs():
    options = dict(map(reversed, panel(everything).knobs["network"].widget.options))
    assert options["efficientnet_lite0"] == "efficientnet_lite0 (here)"
    assert set(options) == set(registry.SOURCES)
    for source in networks.available():
        label = options[source.name]
        assert label.endswith("(here)") if source.here else f"({source.megabytes} MB" in label


def test_layers_channels_and_classes_follow_the_network(untrained, monkeypatch):
    monkeypatch.setattr(work, "kept", OrderedDict())
    real = networks.load
    monkeypatch.setattr(networks, "load", lambda name: real(name) if "lite0" in name else untrained(name))
    monkeypatch.setattr(untrained("alexnet"), "categories", tuple(f"class {i}" for i in range(1000)))
    made = computed(panel(everything, size=64))
    layer, channel = made.knobs["layer"].widget, made.knobs["channel"].widget
    assert list(layer.options) == list(real("efficientnet_lite0").layers)
    assert channel.max == real("efficientnet_lite0").shape("blocks.2")[0] - 1
    assert "koala" in made.knobs["category"].widget.options and len(made.knobs["category"].widget.options) > 990
    made.knobs["network"].widget.value = "alexnet"
    settled(made)
    assert list(layer.options) == list(untrained("alexnet").layers) and layer.value in untrained("alexnet").layers
    assert channel.max == untrained("alexnet").shape(layer.value)[0] - 1
    assert "espresso" in made.error  # its classes have other names: said, not raised
    made.reset()
    settled(made)
    assert made.error == "" and layer.value == "blocks.2" and channel.value == 3


def test_a_layer_that_may_be_left_to_the_function():
    seen = []

    def asked(network: Network, image: Image, layer: Layer | None = None) -> Tensor:
        seen.append(layer)
        return image

    made = computed(panel(asked, size=16))
    menu = made.knobs["layer"].widget
    assert menu.options[0] == menu.value == "the usual one" and len(menu.options) > 5 and "layer=None" in made.call
    menu.value = "blocks.2"
    settled(made)
    made.reset()
    settled(made)
    assert seen == [None, "blocks.2", None]


def test_a_channel_beyond_the_new_layer_is_brought_back():
    made = computed(panel(everything, layer="head", channel=1279, size=64))
    assert made.error == "" and made.knobs["channel"].value == 1279
    made.knobs["layer"].widget.value = "conv1"
    settled(made)
    assert made.error == "" and made.knobs["channel"].value == 31


def test_a_class_is_found_by_name_or_by_index_and_else_explained(lite0):
    seen = []

    def asked(network: Network, image: Image, category: Category = "koala", other: Category | None = None) -> Tensor:
        seen.append((category, other))
        return image

    made = panel(asked, size=16)
    made.knobs["category"].widget.value = "504"
    settled(made)
    made.knobs["other"].widget.value = "daisy"
    settled(made)
    assert seen == [(504, None), (504, lite0.category("daisy"))]
    made.knobs["category"].widget.value = "koal"
    settled(made)
    assert made.error == "category 'koal' is not a class of efficientnet_lite0; did you mean 'koala'?"
    made.knobs["category"].widget.value = "koala"
    settled(made)
    assert made.error == "" and seen[-1][0] == lite0.category("koala")


def test_the_readers_own_network_is_used_without_its_hooks(untrained):
    own = untrained("squeezenet1_1")
    seen = []

    def look(network: Network, image: Image) -> Tensor:
        seen.append(network)
        return image

    made = computed(panel(look, network=own, size=32))
    assert made.knobs["network"].value == "squeezenet1_1" and made.error == ""
    assert seen[0] is not own and seen[0].name == own.name
    pairs = list(zip(seen[0].parameters(), own.parameters(), strict=True))
    assert all(theirs.data_ptr() == ours.data_ptr() for theirs, ours in pairs)
    assert not {id(m) for m in seen[0].modules()} & {id(m) for m in own.modules()}
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(seen[0](x), own(x))


# ── The fold ──


def named(knobs):
    return [knob.name for knob in knobs]


def test_at_most_seven_knobs_are_open_and_the_others_are_under_more():
    made = panel(everything, rate=0.1, guide="moon", signed=fixed(True))
    controls = made.controls
    assert named(controls.opened) == ["network", "image", "rate", "guide", "layer", "channel", "category"]
    assert named(controls.folded) == ["seed", "patch", "level", "mode", "target"]
    assert controls.more.description == "more" and not controls.more.value
    grid, more, fold = controls.children
    assert more is controls.more and "panel-folded" in fold._dom_classes  # the fold follows its button: see STYLE
    assert [knob.widget for knob in controls.folded] == list(fold.children)
    assert {"image", "guide"} == set(made.uploads) and len(grid.children) == 7


def test_a_panel_of_seven_knobs_has_no_fold():
    def seven(image: Image, a=1, b=1, c=1, d=1, e=1, f=1, g=1) -> Tensor:
        return image

    ranges = dict.fromkeys("abcdefg", (0, 9))
    made = panel(seven, **ranges | {"b": fixed(2)})
    assert named(made.controls.opened) == ["image", *"acdefg"] and made.controls.folded == []
    assert made.controls.more is None and len(made.controls.children) == 1
    assert named(panel(seven, **ranges).controls.folded) == ["g"]


def test_what_is_folded_is_turned_written_and_reset_like_the_rest():
    made = panel(everything, rate=0.1, size=32)
    assert "patch" in named(made.controls.folded)
    made.knobs["patch"].widget.value = 64
    settled(made)
    assert made.jpeg and made.settings()["patch"] == 64 and "patch=64" in made.call
    written = [line.split("=")[0].strip() for line in made.call.splitlines() if line.startswith("    ")]
    assert written == list(made.knobs)  # the signature's order, not that of the screen
    made.reset()
    settled(made)
    assert made.settings()["patch"] == 32


def test_an_error_about_a_folded_knob_opens_the_fold():
    def picky(
        image: Image, a=1, b=1, c=1, d=1, e=1, f=1, blur_every: Annotated[int, (0, 9, 1)] = 3, last: bool = False
    ) -> Tensor:
        for name, value in {"a": a, "blur_every": blur_every}.items():
            if value == 0:
                raise ValueError(f"{name} must be at least 1, not 0")
        return image

    made = computed(panel(picky, size=16, **dict.fromkeys("abcdef", (0, 9, 1))))
    assert named(made.controls.folded) == ["blur_every", "last"] and made.error == ""
    made.knobs["a"].widget.value = 0
    settled(made)
    assert made.error == "a must be at least 1, not 0" and not made.controls.more.value
    made.knobs["a"].widget.value = 1
    made.knobs["blur_every"].widget.value = 0
    settled(made)
    assert made.error == "blur_every must be at least 1, not 0" and made.controls.more.value
    made.controls.more.value = False
    computed(made)
    assert made.controls.more.value  # as often as it is refused


class Titles(HTMLParser):
    """The titles and the text in a piece of HTML."""

    def __init__(self, source):
        super().__init__()
        self.titles, self.text = [], ""
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.titles += [value for name, value in attributes if name == "title"]

    def handle_data(self, data):
        self.text += data


def test_the_tooltip_of_a_knob_is_its_line_of_the_docstring():
    def described(image: Image, by: Annotated[float, (0.0, 1.0)] = 0.5, on: bool = True, mute: Seed = 0) -> Tensor:
        """A method.

        Args:
            image: one picture, as "photos" gives it.
            by: what is added to `image`; 0 < by
                is brighter.
            on: "on" & off.
        """
        return image

    @with_knobs_of(described, by=0.3)
    def taken_over(image: Image, **knobs) -> Tensor:
        """Another.

        Args:
            image: of its own.
            **knobs: see `described`.
        """
        return image

    said = {"by": "what is added to image; 0 < by is brighter.", "on": '"on" & off.'}
    for method, of_image in ((described, 'one picture, as "photos" gives it.'), (taken_over, "of its own.")):
        made = panel(method)
        for name, words in {"image": of_image, **said}.items():
            label = Titles(made.knobs[name].widget.description)
            assert made.knobs[name].widget.description_allow_html
            assert (label.titles, label.text) == ([words], name) and made.knobs[name].words == words
        mute = made.knobs["mute"].widget
        assert (mute.description, mute.tooltip, mute.description_allow_html) == ("mute", "", False)


# ── Silence ──


def test_nothing_happens_before_a_front_end_answers(monkeypatch):
    monkeypatch.setattr(networks, "load", lambda *_: pytest.fail("a network was loaded"))
    before = threading.active_count()
    made = panel(everything)
    bundle = made._repr_mimebundle_()
    assert threading.active_count() == before
    assert bundle["text/plain"].startswith(
        "Panel everything: open in JupyterLab to turn network, image, layer, channel"
    )
    assert set(bundle) == {"text/plain", "application/vnd.jupyter.widget-view+json"}


@pytest.mark.parametrize("displayed_first", [True, False])
def test_the_first_picture_comes_when_a_front_end_shows_the_panel(displayed_first):
    made = panel(brighten, size=32)
    if displayed_first:
        made._repr_mimebundle_()
    assert made.jpeg is None
    answer(made)
    if not displayed_first:
        assert not made.working
        made._repr_mimebundle_()
    settled(made)
    assert made.jpeg and "image/jpeg" in made._repr_mimebundle_()
    made.screen.image.value = b""
    made._repr_mimebundle_()
    assert not made.working and made.screen.image.value == b""  # only the first time


def test_a_stepwise_panel_only_gets_ready():
    made = panel(fade)
    made._repr_mimebundle_()
    answer(made)
    settled(made)
    assert "Press Run." in made.status and made.jpeg is None


# ── One result at a time ──


def test_the_picture_is_what_the_function_returns():
    made = computed(panel(brighten, image="moon", size=400, by=0.2))
    assert (shown(made) - brighten(photos.photo("moon", 400), 0.2)).abs().mean() < 0.01


def test_size_goes_to_the_function_if_it_asks_for_one():
    def square(image: Image, size: Annotated[int, (8, 64, 8)] = 32) -> Tensor:
        return images.resize(image, size)

    made = computed(panel(square, size=48))
    assert made.settings()["size"] == 48 and 'photos.photo("chelsea", 224)' in made.call


def test_steps_without_the_annotation_are_explained():
    def unmarked(steps: Annotated[int, (1, 9, 1)] = 3):
        return fade(steps)

    assert computed(panel(unmarked)).error == "unmarked works step by step: annotate it with -> Iterator[Step]"


def test_longest_keeps_the_shape_of_a_photo():
    made = computed(panel(brighten, longest=451))
    assert shown(made).shape[-2:] == (300, 451)


def test_draw_gets_the_result_and_what_it_asks_for():
    def draw(result, image, by, unrelated="untouched"):
        return image, f"<{by:g} {unrelated} {(result - image).max():.2f}>"

    made = computed(panel(brighten, draw, image="moon", size=400))
    assert "&lt;0.5 untouched 0.50&gt;" in made.screen.text.value
    assert (shown(made) - photos.photo("moon", 400)).abs().mean() < 0.01


def test_draw_may_return_a_figure_a_pil_image_or_small_pixels():
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 2])
    for picture in (figure, pillow.new("L", (50, 40)), torch.rand(5, 3, 8, 8)):
        made = computed(panel(brighten, lambda _, picture_=picture: picture_))
        assert made.error == "" and made.jpeg
    assert shown(made).shape[-1] >= 224  # eight pixels are enlarged


@pytest.mark.parametrize("wrong", [torch.rand(7, 7), "text", None])
def test_what_is_no_picture_is_explained(wrong):
    made = computed(panel(brighten, lambda _: wrong, size=16))
    assert "picture" in made.error and made.jpeg is None


def test_the_last_setting_wins():
    seen, gate = [], threading.Event()

    def slow(image: Image, by: Annotated[int, (0, 9, 1)] = 0) -> Tensor:
        seen.append(by)
        gate.wait(20)
        return image

    made = panel(slow, size=16)
    made.run()
    await_(lambda: seen)
    for value in (1, 2, 3, 4):
        made.knobs["by"].widget.value = value
    gate.set()
    settled(made)
    assert seen == [0, 4]


def test_panels_take_turns():
    busy, most = [], []

    def count(image: Image) -> Tensor:
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.02)
        busy.pop()
        return image

    made = [panel(count, size=16, title=str(i)) for i in range(4)]
    for each in made:
        each.run()
    assert all(each.wait() and each.jpeg for each in made)
    assert most == [1, 1, 1, 1]


def test_two_stepwise_panels_share_the_machine_step_by_step():
    order = []

    def make(name):
        def method(steps: Annotated[int, (1, 9, 1)] = 6) -> Iterator[Step]:
            for index in range(1, steps + 1):
                order.append(name)
                time.sleep(0.02)
                yield Step(index, steps, torch.zeros(1, 3, 4, 4))

        return method

    one, two = panel(make("one"), title="one"), panel(make("two"), title="two")
    one.run(), two.run()
    assert one.wait() and two.wait()
    assert order.count("one") == order.count("two") == 6
    assert order[3:9] != order[3:4] * 6  # they alternate


# ── Steps ──


def test_a_run_shows_every_part_of_itself():
    made = panel(fade, steps=9)
    made.run()
    assert made.buttons["Run"].disabled and not made.buttons["Stop"].disabled
    settled(made)
    assert not made.buttons["Run"].disabled and made.buttons["Stop"].disabled
    assert made.error == "" and "9 steps in" in made.status and made.screen.bar.value == 1
    assert shown(made).mean() > 0.98
    assert "loss 0.1111" in made.screen.curve.value and "<polyline" in made.screen.curve.value
    assert made.screen.scrubber.layout.display is None and made.screen.scrubber.value == made.screen.scrubber.max
    made.screen.scrubber.value = 0
    assert shown(made).mean() < 0.2 and made.screen.scrubber.description == "step 1"


def test_frames_are_the_steps_that_the_scrubber_holds():
    made = panel(fade, steps=4)
    assert made.frames == []
    computed(made)
    assert [frame.index for frame in made.frames] == [1, 2, 3, 4] and made.screen.scrubber.max == 3
    for place, frame in enumerate(made.frames):
        made.screen.scrubber.value = place
        assert made.jpeg == made.screen.image.value == frame.jpeg and frame.total == 4


def test_the_scrubber_rests_during_a_run():
    gate = Gate()
    made = panel(gate.method(), steps=3)
    gate.through.release(3)
    computed(made)
    made.run()
    await_(lambda: gate.begun == 4)
    last = made.screen.image.value
    made.screen.scrubber.value = 0
    assert made.screen.image.value == last == made.frames[-1].jpeg
    gate.through.release(20)
    settled(made)
    made.screen.scrubber.value = 1
    assert made.screen.image.value == made.frames[1].jpeg


def test_stop_is_at_once_and_keeps_the_last_picture():
    gate = Gate()
    made = panel(gate.method())
    made.run()
    gate.let_through(3)
    start = time.perf_counter()
    made.stop()
    assert time.perf_counter() - start < 1 and not made.running
    assert "Stopped at step 3." in made.status and abs(shown(made).mean() - 0.3) < 0.02
    assert len(made.frames) == 3 and not made.screen.scrubber.layout.display
    kept = made.screen.image.value
    gate.through.release()  # the step under way ends, and nobody hears of it
    settled(made)
    assert made.screen.image.value == kept and "Stopped at step 3." in made.status
    assert gate.closed == 1 and gate.begun == 4


def test_run_may_follow_stop_while_a_step_still_works():
    gate = Gate()
    made = panel(gate.method(), steps=3)
    made.run()
    await_(lambda: gate.begun == 1)
    made.stop()
    assert "Stopped." in made.status
    made.run()
    assert made.running
    gate.through.release(20)
    settled(made)
    assert "3 steps in" in made.status and gate.closed == 2 and made.frames[-1].index == 3


def test_a_run_stopped_before_it_began_claims_no_step():
    gate = Gate()
    made = panel(gate.method(), steps=3)
    made.run()
    gate.let_through(1)
    made.stop()
    assert "Stopped at step 1." in made.status
    made.run()
    made.stop()
    assert "Stopped." in made.status and not made.running
    gate.through.release(20)
    settled(made)
    assert "Stopped." in made.status and gate.begun == 2


def test_run_pressed_twice_is_one_run():
    gate = Gate()
    made = panel(gate.method(), steps=3)
    made.run()
    made.run()
    await_(lambda: gate.begun)
    made.buttons["Run"].click()
    gate.through.release(20)
    settled(made)
    assert gate.begun == 3


def test_a_knob_turned_during_a_run_waits_for_the_next():
    gate = Gate()
    made = panel(gate.method(), steps=4)
    made.run()
    gate.let_through(2)
    made.knobs["steps"].widget.value = 7
    assert "to use the new settings" in made.status
    made.knobs["steps"].widget.value = 4
    assert "to use the new settings" not in made.status
    made.knobs["steps"].widget.value = 2
    gate.through.release(20)
    settled(made)
    assert gate.begun == 4 and "4 steps in" in made.status
    made.run()
    settled(made)
    assert gate.begun == 6 and "2 steps in" in made.status


def test_a_run_asked_for_while_getting_ready_fails_can_be_stopped(monkeypatch, lite0):
    asked, answers, gate = threading.Event(), threading.Event(), Gate()

    def load(name):
        asked.set()
        assert answers.wait(20)
        monkeypatch.setattr(work, "load", lambda name: lite0)
        raise OSError("no answer")

    def gated(network: Network, steps: Annotated[int, (1, 20, 1)] = 10) -> Iterator[Step]:
        return gate.method()(steps)

    monkeypatch.setattr(work, "load", load)
    made = panel(gated)
    made._repr_mimebundle_()
    answer(made)
    assert asked.wait(20)
    made.run()
    answers.set()
    gate.let_through(2)
    assert made.running and not made.buttons["Stop"].disabled
    made.stop()
    assert "Stopped at step 2." in made.status
    gate.through.release(20)
    settled(made)
    assert gate.begun == 3 and gate.closed == 1


def test_stop_without_a_run_does_nothing():
    made = panel(fade)
    made.stop()
    assert not made.running and made.error == ""


def test_every_step_reaches_the_screen_or_the_film_and_the_last_one_always():
    def quick(steps: Annotated[int, (1, 2000, 1)] = 1000) -> Iterator[Step]:
        for index in range(1, steps + 1):
            yield Step(index, steps, torch.full((1, 3, 4, 4), index / steps))

    made = panel(quick)
    sent = []
    made.screen.image.observe(lambda change: sent.append(time.perf_counter()), "value")
    start = time.perf_counter()
    settled(computed(made))
    assert len(sent) <= 3 + 10 * (time.perf_counter() - start)
    frames = made.frames
    assert len(frames) <= run.FRAMES_KEPT and frames[-1].index == 1000
    assert shown(made).mean() > 0.98


def test_a_stream_that_ends_early_still_shows_its_last_step():
    def early(steps: Annotated[int, (1, 9, 1)] = 9) -> Iterator[Step]:
        yield from (Step(i, steps, torch.full((1, 3, 4, 4), i / 4)) for i in range(1, 5))

    made = computed(panel(early))
    assert made.frames[-1].index == 4 and shown(made).mean() > 0.98

    def empty(steps: Annotated[int, (1, 9, 1)] = 9) -> Iterator[Step]:
        yield from ()

    assert computed(panel(empty)).error == "empty yielded no step"


def test_a_film_is_thinned_evenly_and_keeps_its_last_frame():
    film = run.Film(most=8)
    for index in range(1, 101):
        film.add(run.Frame(b"", "", index, 100))
        assert film.frames[-1].index == index and len(film.frames) <= 8
    steps = [frame.index for frame in film.frames]
    gaps = [after - before for before, after in itertools.pairwise(steps[:-1])]
    assert steps[0] == 1 and len(set(gaps)) == 1 and len(steps) >= 5


# ── Errors ──


def test_an_error_is_one_line_and_the_panel_goes_on():
    made = panel(fade, start=0.0)
    made.run()
    settled(made)
    assert made.error == "start must be above 0, not 0" and not made.running
    assert "panel-error" in made.screen.message.value and made.screen.message.layout.display is None
    made.knobs["start"].widget.value = 1.0
    made.run()
    settled(made)
    assert made.error == "" and made.screen.message.layout.display == "none" and made.jpeg


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("<b>first</b>\nsecond"), "<b>first</b>"),
        (RuntimeError("shapes differ"), "RuntimeError: shapes differ"),
        (KeyError("conv9"), "KeyError: 'conv9'"),
        (AssertionError(), "AssertionError"),
        (MemoryError(), "Out of memory: lower steps or choose a smaller network"),
        (torch.OutOfMemoryError("CUDA out of memory"), "Out of memory: lower steps or choose a smaller network"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Out of memory: lower steps or"),
    ],
)
def test_whatever_is_raised_becomes_a_line_of_text(error, message):
    def breaks(steps: Annotated[int, (1, 9, 1)] = 9) -> Iterator[Step]:
        yield Step(1, steps, torch.full((1, 3, 4, 4), 0.5))
        raise error

    made = computed(panel(breaks))
    assert made.error.startswith(message) and "\n" not in made.error
    assert "<b>" not in made.screen.message.value
    assert made.jpeg and not made.running  # the last good picture stays


def test_a_step_that_is_not_a_number_is_named():
    def diverges(steps: Annotated[int, (1, 9, 1)] = 9) -> Iterator[Step]:
        yield Step(1, steps, torch.zeros(1, 3, 4, 4))
        yield Step(2, steps, torch.full((1, 3, 4, 4), float("nan")))

    assert computed(panel(diverges)).error == "step 2 of 9: the image holds NaN or infinity"


def test_a_network_that_cannot_be_had_leaves_the_menu_usable(monkeypatch):
    def refuse(source):
        raise registry.WeightsUnavailable(f"{source.name} is not here")

    monkeypatch.setattr(registry, "_download", refuse)
    missing = next(source for source in networks.available() if not source.here)
    made = panel(everything, size=64)
    made.knobs["network"].widget.value = missing.name
    settled(made)
    assert made.error == f"{missing.name} is not here"
    made.knobs["network"].widget.value = "efficientnet_lite0"
    settled(made)
    assert made.error == "" and made.jpeg


def test_a_download_says_how_far_it_is(tmp_path, monkeypatch, untrained):
    told, source = [], registry.SOURCES["squeezenet1_1"]
    monkeypatch.setattr(work, "kept", OrderedDict())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    made = panel(unchanged, network="squeezenet1_1", size=32)

    def slowly(name):
        part = tmp_path / "checkpoints" / f"{source.file().name}.0123.partial"
        part.write_bytes(bytes(3_000_000))
        await_(lambda: "3 of 5 MB" in made.status)
        part.unlink()
        told.append(name)
        return untrained(name)

    monkeypatch.setattr(networks, "load", slowly)
    computed(made)
    assert told == ["squeezenet1_1"] and made.error == "" and made.jpeg


# ── Buttons ──


def test_reset_goes_back_to_the_lessons_settings_with_one_computation():
    seen = []

    def note(image: Image, by: Annotated[int, (0, 9, 1)] = 1, on: bool = False) -> Tensor:
        seen.append((by, on))
        return image

    made = panel(note, size=16, by=3, image="coins")
    before = made.settings()
    made.knobs["by"].widget.value = 9
    settled(made)
    made.knobs["on"].widget.value = True
    settled(made)
    made.knobs["image"].widget.value = "moon"
    settled(made)
    seen.clear()
    made.buttons["Reset"].click()
    settled(made)
    assert made.settings() == before and seen == [(3, False)]


def test_the_call_does_what_the_panel_did():
    made = computed(panel(everything, image="coins", size=64, category="Egyptian cat", layer="blocks.1", channel=5))
    assert made.call.startswith(f"from helpers.core import networks, photos\nfrom {__name__} import everything\nresult")
    space = {}
    exec(made.call, space)
    drawn = shown(made)
    expected = images.load(look.to_jpeg(look.to_picture(space["result"])))
    torch.testing.assert_close(drawn, expected)
    made.buttons["Show the call"].value = True
    assert "Egyptian cat" in made.source.value and made.source.layout.display is None
    made.knobs["channel"].widget.value = 2
    settled(made)
    assert "channel=2" in made.source.value  # it follows the knobs


def test_the_call_of_a_stepwise_panel_runs_to_its_end():
    made = computed(panel(fade, steps=3))
    assert made.call.splitlines()[0] == "from helpers.core.steps import finish"
    assert made.call.splitlines()[-1] == "result = finish(fade(steps=3, start=1.0))"
    space = {}
    exec(made.call, space)
    assert space["result"].index == 3


def test_the_call_names_what_no_text_can_stand_for():
    tensor = torch.rand(1, 3, 16, 16)
    call = panel(brighten, image=tensor).call
    assert "# image: what was given to the panel" in call and "brighten(image=image, by=0.5)" in call
    assert computed(panel(brighten, image=tensor)).error == ""
    assert 'images.resize(photos.photo("chelsea"), 300)' in panel(brighten, longest=300).call


def test_pictures_and_films_are_saved_beside_the_notebook_under_new_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = computed(panel(fade, steps=4))
    assert not made.buttons["Save PNG"].disabled and not made.buttons["Save GIF"].disabled
    for _ in range(2):
        made.buttons["Save PNG"].click()
    assert "fade-2.png" in made.status
    made.buttons["Save GIF"].click()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fade-1.gif", "fade-1.png", "fade-2.png"]
    with pillow.open("fade-1.gif") as film:
        assert film.n_frames == len(made.frames) == 4
    with pillow.open("fade-1.png") as picture:
        assert picture.getpixel((0, 0)) == (255, 255, 255)
    made.screen.scrubber.value = 0
    made.buttons["Save PNG"].click()
    with pillow.open("fade-3.png") as picture:
        assert picture.getpixel((0, 0)) == pytest.approx((64, 64, 64), abs=2)


def test_a_folder_that_cannot_be_written_is_a_message(tmp_path, monkeypatch):
    made = computed(panel(fade, steps=2))

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(images, "write_atomically", full)
    made.buttons["Save PNG"].click()
    assert made.error == "OSError: no space left on device"


def uploaded(name, content):
    file = {"name": name, "content": memoryview(content), "type": "", "size": len(content)}
    return ({**file, "last_modified": datetime(2024, 1, 1)},)


def test_an_upload_joins_the_menu_and_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "MINE", tmp_path)
    made = panel(brighten, size=16)
    file = io.BytesIO()
    pillow.new("RGB", (40, 30), "red").save(file, format="PNG")
    made.uploads["image"].value = uploaded("../my cat.png", file.getvalue())
    settled(made)
    assert made.knobs["image"].value == "my-cat.png" and made.error == "" and made.jpeg
    assert [f.name for f in tmp_path.iterdir()] == ["my-cat.png"]
    made.uploads["image"].value = uploaded("my cat.png", file.getvalue())
    settled(made)
    assert made.knobs["image"].value == "my-cat-1.png"
    other = computed(panel(brighten, size=16))
    assert "my-cat.png" in other.knobs["image"].widget.options


def test_a_bad_upload_is_a_message_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "MINE", tmp_path)
    made = panel(brighten, size=16)
    for content, message in ((b"", "is empty"), (b"not a picture", "is not a picture")):
        made.uploads["image"].value = uploaded("x.png", content)
        assert message in made.error and "x.png" in made.error
    assert made.knobs["image"].value == "chelsea" and not list(tmp_path.iterdir())


# ── Cells ──


def test_running_a_cell_again_closes_the_panels_it_left(monkeypatch):
    def execute(cell, execution):
        parent = {"metadata": {"cellId": cell}, "header": {"msg_id": execution}}
        kernel = SimpleNamespace(get_parent=lambda channel: parent)
        monkeypatch.setattr(builtins, "get_ipython", lambda: SimpleNamespace(kernel=kernel), raising=False)

    gate = Gate()
    execute("cell-a", "first")
    one, two = panel(gate.method()), panel(fade)
    assert set(panels.living()) == {one, two}  # one cell may hold several
    one.run()
    await_(lambda: gate.begun)
    execute("cell-b", "second")
    other = panel(fade)
    assert set(panels.living()) == {one, two, other}
    execute("cell-a", "third")
    again = panel(fade)
    assert set(panels.living()) == {other, again} and not one.running
    gate.through.release(20)
    settled(one)
    assert gate.begun == 1


def test_without_a_cell_a_panel_of_the_same_title_is_stopped():
    gate = Gate()
    one = panel(gate.method(), title="dream")
    one.run()
    await_(lambda: gate.begun)
    panel(gate.method(), title="dream")
    assert not one.running
    gate.through.release(20)
    settled(one)


def test_a_closed_panel_leaves_no_thread_and_no_widget():
    made = computed(panel(everything, size=64))
    made.close()
    made.close()
    assert not made.working and made not in panels.living()
    assert not [t for t in threading.enumerate() if t.name.startswith("panel ")]
    left = {type(widget).__name__ for widget in _instances.values()}
    assert not left & {"Panel", "Image", "Combobox", "DirectionalLink"}
