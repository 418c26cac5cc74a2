"""Panels in a live kernel: silent without a front end, and in order with one.

The first tests execute a notebook with nbclient, which shows no widgets. In the others the test itself is the
front end: it sends the messages that a browser would send, and reads what comes back.
"""

import time
from queue import Empty

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

PANELS = """
import threading, time
from collections.abc import Iterator
from typing import Annotated
import torch
from helpers.core.images import Image
from helpers.core.networks import Network
from helpers.core.steps import Step
from helpers.panels import living, panel

def steps(
    steps: Annotated[int, (1, 5000, 1)] = 3000, pause: Annotated[float, (0.0, 0.1, 0.01)] = 0.01
) -> Iterator[Step]:
    for index in range(1, steps + 1):
        time.sleep(pause)
        yield Step(index, steps, torch.full((1, 3, 8, 8), index / steps), {"loss": 1 / index})

def brighten(image: Image, by: Annotated[float, (0.0, 1.0, 0.1)] = 0.5):
    return (image + by).clamp(0, 1)

def look(network: Network, image: Image):
    return image

def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("panel ")]
"""


# ── Without a front end ──


class Counting(NotebookClient):
    """Counts what each cell sends."""

    def process_message(self, message, cell, index):
        self.counts = getattr(self, "counts", {})
        self.counts[index] = self.counts.get(index, 0) + 1
        return super().process_message(message, cell, index)


def test_without_a_front_end_a_panel_is_silent_and_instant():
    check = "from helpers.panels import work\nprint(threads(), len(work.kept), [p.jpeg for p in living()])"
    cells = [PANELS, "panel(look)", "panel(brighten)", "panel(steps)", "time.sleep(0.3)\n" + check]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    client = Counting(notebook, timeout=120, kernel_name="python3", store_widget_state=False)
    client.execute()
    outputs = [[(o.output_type, o.get("data", {}).get("text/plain")) for o in cell.outputs] for cell in notebook.cells]
    assert outputs[1:4] == [
        [("execute_result", "Panel look: open in JupyterLab to turn network, image")],
        [("execute_result", "Panel brighten: open in JupyterLab to turn image, by")],
        [("execute_result", "Panel steps: open in JupyterLab to turn steps, pause")],
    ]
    assert all("image/jpeg" not in o.data for cell in notebook.cells[1:4] for o in cell.outputs)
    assert notebook.cells[4].outputs[0].text == "[] 0 [None, None, None]\n"
    assert max(client.counts.values()) < 250, "nbval reads at most 1000 messages a cell in time"


# ── With the test as the front end ──


class FrontEnd:
    """A kernel and what it has sent to the widgets: `sent` holds (widget, state) in the order of arrival."""

    def __init__(self, manager, client):
        self.manager, self.client, self.sent = manager, client, []
        self.states = {}

    def read(self, seconds=0.2):
        try:
            message = self.client.get_iopub_msg(timeout=seconds)
        except Empty:
            return None
        content = message["content"]
        if message["msg_type"] == "comm_open":
            self.states[content["comm_id"]] = dict(content["data"]["state"])
        elif message["msg_type"] == "comm_msg" and content["data"].get("method") == "update":
            state = dict(content["data"]["state"])
            for path, buffer in zip(content["data"].get("buffer_paths", []), message["buffers"], strict=True):
                state[path[0]] = bytes(buffer)
            self.states.setdefault(content["comm_id"], {}).update(state)
            self.sent.append((content["comm_id"], state))
        assert message["msg_type"] != "error", content
        assert not (message["msg_type"] == "stream" and content["name"] == "stderr"), content
        return message

    def run(self, code, seconds=60.0):
        """Execute a cell to its end; return what it printed or displayed as text."""
        asked, text = self.client.execute(code), []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.read()
            if message is None or message["parent_header"].get("msg_id") != asked:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text.append(content["text"])
            elif message["msg_type"] == "execute_result":
                text.append(content["data"]["text/plain"])
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return "".join(text)
        raise AssertionError(f"{code!r} did not end in {seconds} s")

    def find(self, **wanted):
        """The widget whose state has these values."""
        found = [name for name, state in self.states.items() if wanted.items() <= state.items()]
        assert len(found) == 1, (wanted, found)
        return found[0]

    def send(self, widget, data):
        message = self.client.session.msg("comm_msg", {"comm_id": widget, "data": data})
        self.client.shell_channel.send(message)

    def click(self, description):
        self.send(self.find(description=description), {"method": "custom", "content": {"event": "click"}})

    def set(self, widget, **state):
        self.send(widget, {"method": "update", "state": state, "buffer_paths": []})

    def answer(self):
        """Do what the link asks a front end to do: copy `tabbable` from the bar to the status line."""
        link = next(state for state in self.states.values() if state.get("_model_name") == "DirectionalLinkModel")
        (source, name), (target, other) = link["source"], link["target"]
        source, target = source.removeprefix("IPY_MODEL_"), target.removeprefix("IPY_MODEL_")
        self.set(target, **{other: self.states[source][name]})

    def until(self, condition, seconds=60.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            self.read()

    def drain(self, seconds=0.5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.1)

    def status(self):
        texts = [state["value"] for state in self.states.values() if "panel-status" in state.get("_dom_classes", ())]
        return texts[-1] if texts else ""

    def pictures(self):
        image = self.find(_model_name="ImageModel")
        return [state["value"] for widget, state in self.sent if widget == image and state.get("value")]


@pytest.fixture(scope="module")
def kernel():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def front_end(kernel):
    """A kernel without a panel. It is the same for all tests, since importing torch takes longer than most of them."""
    cleaner = FrontEnd(*kernel)
    cleaner.run(f"{PANELS}\nfor each in living():\n    each.close()\n    assert each.wait()")
    return FrontEnd(*kernel)


def test_the_first_picture_comes_by_itself_and_a_knob_brings_the_next(front_end):
    front_end.run("panel(brighten, size=32)")
    front_end.drain()
    assert front_end.pictures() == []
    front_end.answer()
    front_end.until(lambda: len(front_end.pictures()) == 1 and front_end.status().endswith(" s"))
    slider = front_end.find(description="by", _model_name="FloatSliderModel")
    front_end.set(slider, value=0.9)
    front_end.until(lambda: len(front_end.pictures()) == 2)
    assert len(set(front_end.pictures())) == 2
    front_end.drain()
    assert front_end.run("print(threads())").strip() == "[]"
    assert "image/jpeg" in front_end.run("print(list(living()[0]._repr_mimebundle_()))")


def test_steps_arrive_in_order_while_other_cells_run_and_stop_is_the_end(front_end):
    front_end.run("panel(steps)")
    front_end.answer()
    front_end.until(lambda: "Press Run." in front_end.status())
    front_end.click("Run")
    front_end.until(lambda: len(front_end.pictures()) > 5)
    before = len(front_end.pictures())
    assert front_end.run("print(sum(range(10)), threads())").strip() == "45 ['panel steps']"
    front_end.until(lambda: len(front_end.pictures()) > before)
    start = time.monotonic()
    front_end.click("Stop")
    front_end.until(lambda: "Stopped at step" in front_end.status())
    assert time.monotonic() - start < 5  # a lost Stop would take half a minute; the browser tests measure it
    at = len(front_end.sent)
    front_end.drain(1)
    late = [state for _, state in front_end.sent[at:] if "value" in state and isinstance(state["value"], bytes)]
    assert late == [], "no picture after Stop"
    bar = [
        state["value"] for _, state in front_end.sent if isinstance(state.get("value"), float) and state["value"] <= 1
    ]
    assert bar == sorted(bar) and len(bar) > 5
    assert front_end.run("print(threads())").strip() == "[]"


def test_at_most_ten_pictures_a_second(front_end):
    front_end.run("panel(steps, steps=1000, pause=0.0)")
    front_end.answer()
    front_end.until(lambda: "Press Run." in front_end.status())
    start = time.monotonic()
    front_end.click("Run")
    front_end.until(lambda: "1000 steps in" in front_end.status())
    assert len(front_end.pictures()) <= 3 + 10 * (time.monotonic() - start)


def test_twenty_stops_none_lost(front_end):
    front_end.run("panel(steps)")
    front_end.answer()
    front_end.until(lambda: "Press Run." in front_end.status())
    for _ in range(20):
        count = len(front_end.pictures())
        front_end.click("Run")
        front_end.until(lambda count=count: len(front_end.pictures()) > count)
        front_end.click("Stop")
        front_end.until(lambda: "Stopped" in front_end.status(), seconds=20)
    front_end.drain()
    assert front_end.run("print(threads(), living()[0].running)").strip() == "[] False"


def test_names_elsewhere_may_be_deleted_and_rebound_while_a_panel_works(front_end):
    front_end.run("shown = panel(steps, steps=60)\nshown")
    front_end.answer()
    front_end.until(lambda: "Press Run." in front_end.status())
    front_end.click("Run")
    front_end.until(lambda: len(front_end.pictures()) > 1)
    front_end.run("del shown, look, panel\nbrighten = Image = None")
    front_end.until(lambda: "60 steps in" in front_end.status())


def test_a_cell_that_is_run_again_stops_its_former_panel(front_end):
    front_end.run("panel(steps, title='one')")
    front_end.answer()
    front_end.until(lambda: "Press Run." in front_end.status())
    front_end.click("Run")
    front_end.until(lambda: len(front_end.pictures()) > 1)
    front_end.run("panel(steps, title='one')")
    front_end.until(lambda: front_end.run("print(threads())").strip() == "[]")


def test_the_kernel_ends_in_good_order_while_a_panel_works(front_end):  # the last test, for it takes the kernel away
    front_end.run("panel(steps)")
    front_end.answer()
    front_end.until(lambda: "Press Run." in front_end.status())
    front_end.click("Run")
    front_end.until(lambda: len(front_end.pictures()) > 1)
    front_end.client.shutdown()
    end = time.monotonic() + 20
    while front_end.manager.is_alive():
        assert time.monotonic() < end, "the kernel hangs"
        time.sleep(0.1)
