"""The pages, read without a browser: what is on them, what is not, and that nothing is fetched."""

import re
from base64 import b64decode
from collections import Counter
from io import BytesIO
from itertools import pairwise
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from helpers.core.lessons import LESSONS, ROOT
from helpers.exercises.solutions import solutions
from helpers.grading.assemble import exercise_cells
from helpers.panels.film import MIME
from helpers.site import films, pages
from helpers.site.__main__ import main
from helpers.site.formulas import lines, mathml
from helpers.site.pages import Headings, cards, lesson_page, prose, with_films
from helpers.site.slices import slice_for_panels

STOCK = "No description has been provided"  # what nbconvert says where nothing is known of a picture
PAGES = ["index", *(lesson.stem for lesson in LESSONS)]
EACH = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)


@pytest.fixture(scope="session")
def soup(site):
    """Reads a page once."""
    read = {}

    def page(name):
        if name not in read:
            read[name] = BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")
        return read[name]

    return page


def notebook_of(lesson):
    return nbformat.read(lesson.notebook, as_version=4)


# ── Every page ──


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_is(soup, name):
    page = soup(name)
    assert page.html["lang"] == "en" and page.title.string.strip()
    assert len(page.find("meta", attrs={"name": "description"})["content"]) > 20
    assert page.find("meta", attrs={"name": "viewport"})
    assert len(page.find_all("h1")) == len(page.find_all("main")) == 1
    levels = [int(heading.name[1]) for heading in page.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels)), levels
    assert page.find("a", class_="skip")["href"] == f"#{page.main['id']}"
    if name != "index":
        assert all(heading.get("id") for heading in page.main.find_all(["h1", "h2", "h3"]))


def test_titles_and_descriptions_tell_pages_apart(soup):
    assert len({soup(name).title.string for name in PAGES}) == len(PAGES)
    assert len({soup(name).find("meta", attrs={"name": "description"})["content"] for name in PAGES}) == len(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fetches_nothing_and_leads_nowhere_in_vain(site, soup, name):
    page = soup(name)
    assert not page.find_all(["link", "iframe", "object", "embed", "base", "source", "video", "audio"])
    for element in page.find_all(src=True):
        assert element.name == "img" and element["src"].startswith("data:image/"), str(element)[:200]
    assert not page.find_all(srcset=True) and not page.find_all("script", src=True)
    styles = "".join(style.string for style in page.find_all("style"))
    styles += "".join(element["style"] for element in page.find_all(style=True))
    assert "--paper" in styles and not re.search(r"url\(|@import", styles)
    scripts = "".join(script.string for script in page.find_all("script"))
    assert scripts and not re.search(r"\b(fetch|import|XMLHttpRequest|WebSocket)\b", scripts)
    ids = Counter(element["id"] for element in page.find_all(id=True))
    assert [name for name, count in ids.items() if count > 1] == []
    for link in page.find_all("a"):
        target = link["href"]
        if not target.startswith("https://"):
            file, _, anchor = target.partition("#")
            assert (site / file).is_file() if file else anchor in ids, target


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_what_the_notebook_says_of_it_and_its_size(soup, name):
    for image in soup(name).find_all("img"):
        assert "alt" in image.attrs and STOCK not in image["alt"]
        kind, data = re.fullmatch(r"data:image/(\w+);base64,(.+)", image["src"], re.DOTALL).groups()
        picture = Image.open(BytesIO(b64decode(data)))
        assert picture.format.lower() == kind
        if name != "index":  # there all are cut to one shape
            assert picture.size == (int(image["width"]), int(image["height"]))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_no_larger_than_allowed(site, name):
    assert (site / f"{name}.html").stat().st_size < pages.LARGEST


def test_a_page_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(pages, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"01_filters\.html must have at most 1,000 bytes, not [\d,]+"):
        lesson_page(cards()[0], set(), {})


# ── Lessons ──


@EACH
def test_a_page_has_all_of_its_lesson_in_order(soup, lesson):
    page, notebook = soup(lesson.stem), notebook_of(lesson)
    code = [block.get_text().strip() for block in page.main.select(".highlight pre")]
    sources = [cell.source.strip() for cell in notebook.cells if cell.cell_type == "code"]
    at = -1
    for source in sources:
        at = code.index(source, at + 1)
    kinds = [kind for cell in notebook.cells for out in cell.get("outputs", []) for kind in out.get("data", {})]
    assert len(page.select("main figure")) == sum(kind in ("image/jpeg", "image/gif") for kind in kinds)
    folds = sum(cell.source.count("<details>") for cell in notebook.cells if cell.cell_type == "markdown")
    assert folds and len(page.main.select("details:has(> summary)")) == folds + 1  # and that of the imports


@EACH
def test_exercises_are_blank_with_their_hints_and_nobody_has_passed(soup, lesson):
    page, answers = soup(lesson.stem), solutions(lesson)
    text = page.get_text()
    assert "— passed" not in text and "not attempted" not in text
    for number, cell in exercise_cells(notebook_of(lesson)).items():
        section = page.find("section", attrs={"aria-label": f"Exercise {number}"})
        blocks = [block.get_text().strip() for block in section.select(".highlight pre")]
        assert blocks[0] == cell.source.strip() and blocks[0].endswith("...")
        assert answers[number].strip() not in text
        assert [fold.summary.get_text() for fold in section.select("details")][:2] == ["Hint 1", "Hint 2"]
        assert section.h3 and section.h3.get_text().startswith(f"Exercise {number}")
        assert [note.get_text().partition(" ")[0] for note in section.select("p.note")] == ["In", "Drawn"]


@EACH
def test_what_a_lesson_prints_is_on_its_page_but_for_its_checks(soup, lesson):
    shown = [block.get_text().strip("\n") for block in soup(lesson.stem).select("pre.output")]
    printed = [
        out.text.strip("\n")
        for cell in notebook_of(lesson).cells
        if cell.cell_type == "code" and "check" not in cell.metadata.get("tags", [])
        for out in cell.outputs
        if out.output_type == "stream"
    ]
    assert printed and shown == printed


def test_lessons_lead_to_each_other(soup):
    for lesson in LESSONS:
        page = soup(lesson.stem)
        there = [link["href"] for link in page.header.select("nav a")]
        assert there == [f"{each.stem}.html" for each in LESSONS]
        assert [link["href"] for link in page.header.select("nav [aria-current=page]")] == [f"{lesson.stem}.html"]
        contents = [link["href"] for link in page.select(".contents a")]
        headings = [each for each in page.main.select("h2, h3") if each.get_text() != "Turn the knobs"]
        assert contents == [f"#{each['id']}" for each in headings] and contents
    steps = [[link["href"] for link in soup(lesson.stem).select(".onward a")] for lesson in LESSONS]
    names = [f"{lesson.stem}.html" for lesson in LESSONS]
    assert steps == [[*names[max(i - 1, 0) : i], *names[i + 1 : i + 2]] for i in range(len(LESSONS))]


def test_the_index_has_a_card_for_each_lesson_and_readmes_own_words(soup):
    page, readme = soup("index"), " ".join((ROOT / "README.md").read_text().split())
    assert [link["href"] for link in page.select(".cards a")] == [f"{lesson.stem}.html" for lesson in LESSONS]
    for lesson, item in zip(LESSONS, page.select(".cards li"), strict=True):
        data = item.img["src"].partition(",")[2]
        assert b64decode(data) == (ROOT / "data" / "pictures" / f"{lesson.stem}.jpg").read_bytes()
        assert item.h3.get_text().startswith(f"{lesson.number} · ")
        assert item.p.get_text().lower().rstrip(".") in readme.lower()
    assert " ".join(page.select_one(".promise").get_text().split()) in readme
    assert "make lab" in page.select_one(".commands pre").get_text()


# ── Prose ──


def test_links_lead_to_pages_that_are_there_or_are_plain_words():
    text = "[a](03_occlusion.ipynb) [b](04_saliency.ipynb#x) [c](../data/README.md) [d](https://arxiv.org/abs/1)"
    made = BeautifulSoup(prose(text, {"03_occlusion"}, Headings()), "html.parser")
    assert [(link.get_text(), link["href"]) for link in made.find_all("a")] == [
        ("a", "03_occlusion.html"),
        ("d", "https://arxiv.org/abs/1"),
    ]
    assert made.get_text().split() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match=r"picture must be the output of a cell, not x\.png"):
        prose("![x](x.png)", set(), Headings())


def test_headings_have_anchors_of_their_own():
    headings = Headings()
    prose("# 3 · *One* $x^2$\n\n## Two & three\n\n## Two & three\n\n## Zwölf", set(), headings)
    assert [(level, anchor) for level, anchor, _ in headings.found] == [
        (1, "3-one"),
        (2, "two-three"),
        (2, "two-three-2"),
        (2, "zwölf"),
    ]


# ── Formulas ──


@EACH
def test_every_formula_of_a_lesson_is_mathml(soup, lesson):
    page = soup(lesson.stem)
    text = "\n".join(cell.source for cell in notebook_of(lesson).cells if cell.cell_type == "markdown")
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    displayed = [line for body in re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL) for line in lines(body)]
    inline = re.findall(r"\$[^$]+\$", re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL))
    found = Counter(formula["display"] for formula in page.main.find_all("math"))
    assert (found["block"], found["inline"]) == (len(displayed), len(inline)) and sum(found.values())
    for formula in page.main.find_all("math"):
        assert not re.search(r"[\\$&]", formula.get_text()) and not formula.find("merror"), formula
        assert formula.find(["mi", "mn", "mo", "mtext"])
    words = BeautifulSoup(str(page.main), "html.parser")
    for block in words.select("pre, code, math"):
        block.decompose()
    assert not re.search(r"[\\$]", words.get_text())


def test_a_wide_formula_is_broken_at_its_gaps():
    assert lines(r"a = b \qquad c = d") == [r"a = b \qquad c = d"]
    left, right = f"a = {'b' * 40} ", f" c = {'d' * 40}"
    assert lines(rf"{left}\qquad\qquad{right}") == [left, right]
    assert lines(rf"{left}\qquad\text{{or}}\qquad{right}") == [left, rf"\text{{or}}\quad {right}"]
    cases = rf"\begin{{cases}} {left} \end{{cases}}\qquad{right}"
    assert lines(cases) == [cases]


def test_formulas_as_browsers_draw_them():
    assert "<munder><mo>max</mo><mi>x</mi></munder>" in mathml(r"\max_x f", display=True)
    assert "<msub><mo>max</mo><mi>x</mi></msub>" in mathml(r"\max_x f", display=False)
    assert mathml(r"\lVert x \rVert^2", display=False).count('<mo stretchy="false">&#x02016;</mo>') == 2
    assert "<mi>ℒ</mi>" in mathml(r"\mathcal L", display=False)
    assert "<mi>𝒩</mi>" in mathml(r"\mathcal N", display=False)
    assert '<mi>log</mi><mspace width="0.167em" /><mi>p</mi>' in mathml(r"\log p", display=False)
    assert '<mi>log</mi><mo stretchy="false">' in mathml(r"\log(p)", display=False)


@pytest.mark.parametrize("latex", [r"\arg\max_x f", r"\nosuch x", r"\frac{1}", r"\begin{aligned}x &= y\end{aligned}"])
def test_a_formula_that_is_left_in_part_is_refused(latex):
    with pytest.raises(ValueError, match="formula must be LaTeX that latex2mathml converts, not"):
        mathml(latex, display=True)


# ── Films ──

PANEL = """
from typing import Annotated
from helpers.core.images import Image
from helpers.panels import panel

def brighten(image: Image, by: Annotated[float, (0.0, 1.0, 0.25)] = 0.5):
    return (image + by).clamp(0, 1)
"""


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A lesson with one small panel, its films, and the folder in which they are kept."""
    folder = tmp_path_factory.mktemp("films")
    cells = [PANEL, "print('not needed')", "panel(brighten, title='Light & dark', image='coffee', size=64)"]
    cells = [new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(cells)]
    nbformat.write(new_notebook(cells=cells), folder / "tiny.ipynb")
    lesson = SimpleNamespace(stem="tiny", notebook=folder / "tiny.ipynb")
    return lesson, films.films_of(lesson, pytest.fail, folder), folder


def test_a_film_has_frames_of_one_size_with_a_label_each(recorded):
    (film,) = recorded[1]["cell-2"]
    assert set(film) == {"title", "knob", "frames", "start", "call", "alt"}
    assert film["title"] == "Light & dark" and film["knob"] == "by" and "brighten(" in film["call"]
    assert [frame["label"] for frame in film["frames"]] == [f"by = {by:g}" for by in (0, 0.25, 0.5, 0.75, 1)]
    assert film["start"] == 2 and film["alt"].endswith("by 0.5")
    pictures = [Image.open(BytesIO(b64decode(frame["jpeg"]))) for frame in film["frames"]]
    assert len({picture.size for picture in pictures}) == 1
    light = [sum(picture.convert("L").resize((1, 1)).tobytes()) for picture in pictures]
    assert light == sorted(set(light))


def test_a_film_is_recorded_once(recorded, monkeypatch):
    lesson, made, folder = recorded

    def again(*_):
        raise AssertionError("recorded again")

    monkeypatch.setattr(films, "record", again)
    assert films.films_of(lesson, pytest.fail, folder) == made and len(list(folder.glob("*.json"))) == 1
    notebook = nbformat.read(lesson.notebook, as_version=4)
    notebook.cells[1].source = "print('still not needed')"
    other = SimpleNamespace(stem="tiny", notebook=folder / "other.ipynb")
    nbformat.write(notebook, other.notebook)
    assert films.films_of(other, pytest.fail, folder) == made
    notebook.cells[0].source += "    # and a line that panels need\n    more = 3\n"
    nbformat.write(notebook, other.notebook)
    with pytest.raises(AssertionError, match="recorded again"):
        films.films_of(other, pytest.fail, folder)


def test_a_panel_that_fails_is_one_line_and_keeps_its_stored_picture(tmp_path):
    source = "def panel(): raise ValueError('no such layer\\nand more')\npanel()"
    nbformat.write(new_notebook(cells=[new_code_cell(source, id="bad-panel")]), tmp_path / "tiny.ipynb")
    lesson, told = SimpleNamespace(stem="tiny", notebook=tmp_path / "tiny.ipynb"), []
    assert films.films_of(lesson, told.append, tmp_path / "kept") == {}
    assert told == ["tiny: no film: bad-panel: ValueError: no such layer"] and not (tmp_path / "kept").exists()


def stored(*names):
    """A cell as it is stored, with the picture and the words of each panel."""
    outputs = [new_output("stream", text="before\n")]
    for name in names:
        data = {"image/jpeg": "AAAA", "text/plain": f"Panel {name}: Run this cell."}
        outputs += [new_output("display_data", data), new_output("display_data", {"text/markdown": name})]
    return new_notebook(cells=[new_markdown_cell("x"), new_code_cell("…", id="two-panels", outputs=outputs)])


def titled(title):
    return {"title": title, "alt": f"{title}: the picture"}


def test_each_film_takes_the_place_of_its_panel():
    notebook = stored("one", "two")
    with_films(notebook, {"two-panels": [titled("Turn the knobs: one"), titled("t-SNE")], "elsewhere": [titled("3")]})
    shown = [output.get("data", {}).get(MIME, {}).get("title") for output in notebook.cells[1].outputs]
    assert shown == [None, "One", "t-SNE"], "a page has no knobs to turn"
    notebook = stored("one", "two")
    with_films(notebook, {})
    assert len(notebook.cells[1].outputs) == 5


def test_a_film_on_a_page(recorded):
    (film,) = recorded[1]["cell-2"]
    page = BeautifulSoup(lesson_page(cards()[3], set(), {"saliency-panel": [film]}), "html.parser")
    (figure,) = page.select("figure.film")
    assert (
        figure.figcaption.get_text() == "Light & dark" and figure.details.find("pre").get_text().strip() == film["call"]
    )
    frames = figure.select(".frames img")
    assert [frame["data-label"] for frame in frames] == [frame["label"] for frame in film["frames"]]
    assert [i for i, frame in enumerate(frames) if not frame.has_attr("hidden")] == [film["start"]]
    alts = [frame["alt"] for frame in frames]
    assert alts[2] == film["alt"] and len(set(alts)) == len(alts), "each frame says what it is"
    assert all(frame["data-label"] in alt for i, (frame, alt) in enumerate(zip(frames, alts, strict=True)) if i != 2)
    assert all(frame["style"] == "width: 480px" for frame in frames), "small ones are enlarged"
    slider = figure.input
    assert (slider["type"], slider["min"], slider["max"], slider["value"]) == ("range", "0", "4", "2")
    assert slider["aria-label"] and figure.button.get_text() == "Play" and figure.find(role="status")


def test_a_panel_with_nothing_to_turn_is_a_picture_without_a_slider(recorded):
    (film,) = recorded[1]["cell-2"]
    still = film | {"knob": "", "frames": film["frames"][:1], "start": 0}
    page = BeautifulSoup(lesson_page(cards()[3], set(), {"saliency-panel": [still]}), "html.parser")
    assert len(page.select(".film .frames img")) == 1 and not page.select(".film input, .film button")


def test_a_gif_moves_only_when_asked_to(soup):
    (figure,) = soup("06_deepdream").select("figure.film")
    gif = next(
        out.data["image/gif"]
        for cell in notebook_of(LESSONS[5]).cells
        for out in cell.get("outputs", [])
        if "image/gif" in out.get("data", {})
    )
    assert len(figure.select(".frames img")) == Image.open(BytesIO(b64decode(gif))).n_frames
    assert not soup("06_deepdream").select('img[src^="data:image/gif"]')


# ── The command ──


def test_some_lessons_alone_link_only_to_each_other(tmp_path, capsys):
    assert main(["2", "3", "--no-films", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "02_tsne.html", "03_occlusion.html"}
    page = BeautifulSoup((tmp_path / "03_occlusion.html").read_text("utf-8"), "html.parser")
    links = {link["href"] for link in page.find_all("a") if not link["href"].startswith(("#", "https://"))}
    assert links == {"index.html", "02_tsne.html", "03_occlusion.html"}
    assert capsys.readouterr().out.endswith(f"open {tmp_path / 'index.html'} in a browser.\n")


def test_what_goes_wrong_is_one_clear_line_and_leaves_what_was_there(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    for arguments, message in (
        (["10"], "lesson must be from 1 to 9, not 10"),
        (["1", "--no-films", "--out", str(tmp_path / "file")], "the pages cannot be written: "),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert message in capsys.readouterr().err
    monkeypatch.setattr("helpers.site.__main__.lesson_page", lambda *_: "\ud800")  # cannot be encoded
    (tmp_path / "01_filters.html").write_text("of yesterday")
    with pytest.raises(SystemExit):
        main(["1", "--no-films", "--out", str(tmp_path)])
    assert (tmp_path / "01_filters.html").read_text() == "of yesterday"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "01_filters.html"}


def test_a_film_that_is_missing_is_told_and_is_no_success(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("helpers.site.films._key", lambda _: "never-recorded")
    monkeypatch.setattr("helpers.site.films.record", lambda *_: ({}, ["saliency-panel: ValueError: no"]))
    assert main(["4", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "04_saliency: no film: saliency-panel: ValueError: no\n"
    assert (tmp_path / "04_saliency.html").exists()


def test_a_kernel_that_dies_is_one_line(tmp_path):
    cells = [new_code_cell("import os\nos._exit(1)")]
    assert films.record(new_notebook(cells=cells), tmp_path) == ({}, ["Kernel died"])


def test_the_workflow_publishes_what_the_command_writes():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    build, deploy = workflow["jobs"]["build"], workflow["jobs"]["deploy"]
    assert [step["run"] for step in build["steps"] if "run" in step] == ["make site CPU=1"]
    used = [step["uses"] for job in (build, deploy) for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used)
    (upload,) = (step for step in build["steps"] if "upload-pages-artifact" in step.get("uses", ""))
    assert upload["with"] == {"path": "site"} and deploy["needs"] == "build"
    assert workflow["permissions"] == {"contents": "read"}
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}


# ── What panels need ──


def test_the_slice_holds_what_a_panel_needs_and_nothing_else():
    cells = [
        "import torch\nimport time as clock\nfrom helpers.panels import panel\n%matplotlib inline",
        "weight = 'unused'\nname = weight",
        "weight = torch.ones(3)\nprint(clock.time())\nheavy = weight.sum()",
        "rows = []\nfor row in range(3):\n    weight = weight + row\n    rows += [row]",
        "for name in rows:\n    print(name)",
        "def double(x, heavy=2):\n    return x * weight * heavy\n\ndef unused(x):\n    return panel(x)",
        "for name in ('a', 'b'):\n    display(panel(double, title=name))",
    ]
    kept = slice_for_panels(new_notebook(cells=[new_code_cell(cell) for cell in cells]))
    assert [cell.source.splitlines() for cell in kept.cells] == [
        ["import torch", "from helpers.panels import panel"],
        ["weight = torch.ones(3)"],
        ["rows = []", "for row in range(3):", "    weight = weight + row", "    rows += [row]"],
        ["def double(x, heavy=2):", "    return x * weight * heavy"],
        ["for name in ('a', 'b'):", "    display(panel(double, title=name))"],
    ]
