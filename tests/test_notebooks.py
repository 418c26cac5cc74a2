"""Running a lesson stores the same bytes every time, and nothing that dies with the kernel."""

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import notebooks

CELLS = [
    "import sys, warnings, ipywidgets; from pathlib import Path\n"
    "from helpers import plots; from helpers.core import photos; plots.setup()",
    "print('here', Path.cwd().name); warnings.warn('noise'); print('more noise', file=sys.stderr)",
    "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass",
    "plots.show(photos.photo('chelsea', 64))",
    "ipywidgets.IntSlider()",
    "6 * 7",
    "from helpers.panels import panel\nfrom helpers import gabor\n"
    "panel(gabor.gabor, lambda wave: (0.5 + 0.5 * wave).expand(1, 3, -1, -1), frequency=0.2, title='Waves')",
]


def written(folder, cells):
    path = folder / "01_filters.ipynb"
    cells = [new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(cells)]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Tiny", id="title"), *cells]), path)
    return path


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """A notebook, what was in its file before, and what came of running it."""
    path = written(tmp_path_factory.mktemp("notebooks"), CELLS)
    before = path.read_bytes()
    return path, before, notebooks.run(path)


def test_what_is_kept_and_what_is_not(lesson):
    path, _, notebook = lesson
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, 5, 6, 7]
    assert "execution" not in code[0].metadata and "widgets" not in notebook.metadata
    _, says, bar, picture, slider, answer, _ = code
    assert [(output.name, output.text) for output in says.outputs] == [("stdout", f"here {path.parent.name}\n")]
    assert bar.outputs == []
    assert set(picture.outputs[0].data) == {"image/jpeg", "text/plain"}
    assert list(slider.outputs[0].data) == ["text/plain"]
    assert answer.outputs[0].data["text/plain"] == "42"


def test_a_panel_leaves_its_picture_and_its_words(lesson):
    """As two outputs, since front ends show but one kind of each; and one of them, nbconvert, shows them."""
    *_, cell = lesson[2].cells
    picture, words = cell.outputs
    assert set(picture.data) == {"image/jpeg", "text/plain"} and set(words.data) == {"text/markdown", "text/plain"}
    assert picture.metadata["image/jpeg"]["alt"].startswith("Waves: the picture at frequency 0.2, size 11, angle")
    assert "Run this cell in JupyterLab to turn the knobs." in words.data["text/plain"]
    page, _ = HTMLExporter().from_notebook_node(new_notebook(cells=[cell]))
    assert picture.data["image/jpeg"] in page.replace("\n", "") and "<strong>Waves</strong>" in page


def test_the_command_alone_writes_the_file_and_two_runs_give_the_same_bytes(lesson, monkeypatch, capsys):
    path, before, notebook = lesson
    assert path.read_bytes() == before
    nbformat.write(notebook, path)
    first = path.read_bytes()
    monkeypatch.setattr("sys.argv", ["notebooks", str(path)])
    notebooks.main()
    assert first == path.read_bytes() != before and capsys.readouterr().out.startswith("01_filters.ipynb: ")


def test_printed_pieces_are_joined():
    pieces = [
        new_output("stream", text="one "),
        new_output("stream", name="stderr", text="x"),
        new_output("stream", text="two"),
    ]
    notebook = new_notebook(cells=[new_code_cell("", id="a", outputs=pieces)])
    assert [output.text for output in notebooks.normalise(notebook).cells[0].outputs] == ["one two"]


def test_a_cell_that_raises_stops_the_run_and_leaves_the_file(tmp_path):
    path = written(tmp_path, ["1 / 0"])
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebooks.run(path)
    assert path.read_bytes() == before


def test_an_error_that_a_cell_is_tagged_for_stays_in_the_outputs(tmp_path):
    path = written(tmp_path, ["1 / 0"])
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata.tags = ["raises-exception"]
    nbformat.write(notebook, path)
    assert notebooks.run(path).cells[-1].outputs[0].ename == "ZeroDivisionError"


def test_a_notebook_that_is_no_lesson_is_one_clear_error(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["notebooks", "10_gradcam.ipynb"])
    with pytest.raises(SystemExit):
        notebooks.main()
    assert "notebook must be one of 01_filters, 02_tsne, " in capsys.readouterr().err
