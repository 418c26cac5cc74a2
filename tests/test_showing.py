"""A notebook stores small JPEGs that say in words what is to be seen, where nbconvert looks for it."""

import inspect
import re
from io import BytesIO

import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import Image as Film
from matplotlib.figure import Figure
from nbconvert import HTMLExporter
from PIL import Image as pillow

from helpers import notebooks, plots, showing
from helpers.core.images import to_pil

pytestmark = pytest.mark.usefixtures("settings_of_torch")
PHOTO, MAP = torch.rand(1, 3, 8, 8), torch.rand(8, 8)


@pytest.fixture(scope="module")
def formatted():
    """What a notebook's own formatter makes of an object: (data, metadata)."""
    shell = InteractiveShell.instance()
    showing.as_jpeg()
    return shell.display_formatter.format


def test_figures_and_pictures_are_small_jpegs_only(formatted):
    for shown in (plots.show(PHOTO), to_pil(torch.rand(1, 3, 64, 64))):
        data, _ = formatted(shown)
        picture = pillow.open(BytesIO(data["image/jpeg"]))
        assert picture.format == "JPEG" and "progressive" in picture.info and "image/png" not in data
        plain = BytesIO()
        picture.save(plain, format="JPEG", quality=85)
        assert len(data["image/jpeg"]) < len(plain.getvalue())


def test_what_is_given_goes_into_the_metadata_and_does_not_change_the_picture(formatted):
    data, metadata = formatted(plots.show(PHOTO, ["cat"], alt="A grey cat\n   on a red rug."))
    assert metadata == {"image/jpeg": {"alt": "A grey cat on a red rug."}}
    assert data["image/jpeg"] == formatted(plots.show(PHOTO, ["cat"]))[0]["image/jpeg"]
    assert formatted(plots.described(to_pil(PHOTO), "Noise."))[1] == {"image/jpeg": {"alt": "Noise."}}
    assert formatted(to_pil(PHOTO))[1] == {}
    gif = BytesIO()
    to_pil(PHOTO).save(gif, format="GIF")
    film = plots.described(Film(gif.getvalue()), "Noise that flickers.")
    assert formatted(film)[1]["image/gif"]["alt"] == "Noise that flickers."


FUNCTIONS = {
    name: each for name, each in inspect.getmembers(plots, inspect.isfunction) if each.__module__ == "helpers.plots"
}
FIGURES = {name: each for name, each in FUNCTIONS.items() if inspect.signature(each).return_annotation is Figure}


def test_every_function_that_draws_a_figure_takes_an_alternative():
    assert len(FIGURES) >= 9
    for name, function in FIGURES.items():
        alt = list(inspect.signature(function).parameters.values())[-1]
        assert (alt.name, alt.kind, alt.default) == ("alt", alt.KEYWORD_ONLY, None), name
    for name in FUNCTIONS.keys() - FIGURES.keys():
        assert "Figure" not in str(inspect.signature(FUNCTIONS[name]).return_annotation), name


MADE = {
    "1 picture.": lambda: plots.show(PHOTO),
    "3 pictures in a row: a; b; c.": lambda: plots.show([PHOTO] * 3, list("abc")),
    "5 pictures in 2 rows.": lambda: plots.show([PHOTO] * 5, columns=3),
    "2 pictures in a row: a map.": lambda: plots.heat(PHOTO, {"a map": MAP}),
    "1 plot: loss over step.": lambda: plots.curves({"Adam": [3, 2]}, "step", "loss"),
    "1 plot: loss over step (SGD, Adam).": lambda: plots.curves({"SGD": [3, 2], "Adam": [3, 1]}, "step", "loss"),
    "2 plots in a row: one; two; cat, dog.": lambda: plots.scatter(
        {"one": torch.rand(4, 2), "two": torch.rand(4, 2)}, [0, 0, 1, 1], ["cat", "dog"]
    ),
    "An empty figure.": Figure,
}


@pytest.mark.parametrize("words", MADE)
def test_without_one_it_is_made_of_titles_labels_and_legends(words, formatted):
    assert formatted(MADE[words]())[1] == {"image/jpeg": {"alt": words}}


def test_one_that_is_made_ends_where_nobody_would_listen_any_more():
    words = showing.in_words(plots.show([PHOTO] * 9, [f"{i} words and words and words" for i in range(9)]))
    assert words.endswith(" …") and 200 < len(words) <= showing.LONGEST


REFUSED = {
    "alt must say in words what is to be seen, not ''": "",
    "alt must say in words what is to be seen, not ' \\n'": " \n",
    "alt must say in words what is to be seen, not 7": 7,
    f"alt must have at most 250 characters, not the 251 of '{'a' * 40}' …": "a" * 251,
    "alt must say in words what is to be seen, not name a file: 'my cat.PNG'": "my cat.PNG",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_says_nothing_is_refused_in_one_line(message):
    with pytest.raises(ValueError) as error:
        plots.show(PHOTO, alt=REFUSED[message])
    assert str(error.value) == message


def test_what_is_no_picture_is_refused():
    with pytest.raises(TypeError, match=r"^picture must be a figure or a picture of PIL, not Tensor$"):
        plots.described(PHOTO, "A photo.")


def test_a_stored_notebook_and_its_page_carry_the_words(tmp_path):
    path, words = tmp_path / "01_filters.ipynb", "A cat & a dog."
    sources = [
        "import torch\nfrom helpers import plots\nplots.setup()",
        f"plots.show(torch.rand(1, 3, 8, 8), alt={words!r})",
        "plots.show(torch.rand(1, 3, 8, 8), ['noise'])",
    ]
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    notebook = notebooks.run(path)
    alternatives = [cell.outputs[0].metadata["image/jpeg"]["alt"] for cell in notebook.cells[1:]]
    assert alternatives == [words, "1 picture: noise."]
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert re.findall('<img alt="(.*?)"', page) == ["A cat &amp; a dog.", "1 picture: noise."]
    assert "No description has been provided" not in page
