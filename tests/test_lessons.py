"""The lessons as they ship, and as they run from top to bottom with the network cut off."""

import json
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from helpers.notebooks import LESSONS, normalise

PATHS = sorted(LESSONS.glob("[0-9]*.ipynb"))
EACH = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


@EACH
def test_a_shipped_lesson_is_tidy(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids)) and not any(re.fullmatch("[0-9a-f]{8}", name) for name in ids), "readable ids"
    assert path.stat().st_size < 1_500_000
    assert normalise(nbformat.read(path, as_version=4)) == notebook, (
        "stored outputs are not what `make notebooks` writes"
    )
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert any("image/jpeg" in output.get("data", {}) for output in outputs)


@EACH
def test_a_lesson_has_the_lesson_shape(path):
    notebook = nbformat.read(path, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.cells[0].source.startswith("# ")
    assert "## What to remember" in prose and "## References" in prose
    assert sum("plots.setup(" in source for source in code) == 1
    assert sum(source.lstrip().startswith(("import ", "from ")) for source in code) == 1, "one cell of imports"
    assert any("panel(" in source for source in code)
    assert not any(word in source for source in code for word in ("sys.path", "!pip", "%pip", "!wget"))


RUN = """
import json, resource, sys, time
from pathlib import Path
from helpers import notebooks

from nbclient import NotebookClient
first, start = [], time.monotonic()

class Watched(NotebookClient):
    def process_message(self, message, cell, index):
        if message["msg_type"] in ("display_data", "execute_result") and not first:
            if any(kind.startswith("image/") for kind in message["content"]["data"]):
                first.append(time.monotonic() - start)
        return super().process_message(message, cell, index)

notebooks.NotebookClient = Watched
notebooks.run(Path(sys.argv[1]))
seconds = time.monotonic() - start
memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
print(json.dumps({"seconds": seconds, "first": first[0], "gigabytes": memory}))
"""


def without_network():
    """A command prefix that leaves its program only the loopback, which the kernel's own sockets need."""
    wrap = ["bwrap", "--dev-bind", "/", "/", "--unshare-net"]
    if shutil.which("bwrap") and subprocess.run([*wrap, "true"], capture_output=True).returncode == 0:
        return wrap
    return []


@pytest.mark.notebook
@EACH
def test_a_lesson_runs_offline_from_top_to_bottom(path):
    run = subprocess.run([*without_network(), sys.executable, "-c", RUN, path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    measured = json.loads(run.stdout.splitlines()[-1])
    print(
        f"\n{path.stem}: {measured['seconds']:.0f} s, first picture after {measured['first']:.0f} s, "
        f"{measured['gigabytes']:.1f} GB{'' if without_network() else ' (bubblewrap is not here: network left on)'}"
    )
    assert measured["gigabytes"] < 3
