"""Pages of the lessons and their index: one file each, with all that it shows in it."""

import io
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from PIL import Image
from traitlets.config import Config

from helpers.core.lessons import LESSONS, ROOT, Lesson
from helpers.panels.film import MIME
from helpers.site.films import film_of_gif
from helpers.site.formulas import lines, mathml

HERE = Path(__file__).parent
LOOK = {
    "style": (HERE / "template" / "site.css").read_text("utf-8"),
    "script": (HERE / "template" / "site.js").read_text("utf-8"),
}
README = ROOT / "README.md"
LARGEST = 8_000_000  # bytes of a page
WIDE = 700  # pixels from which a picture scrolls on a phone
SMALLEST = 480  # CSS pixels of the longer side of a film, where there is room
ORDER = [MIME, "image/jpeg", "image/png", "text/html", "text/plain"]  # which form of an output is shown


@dataclass(frozen=True)
class Card:
    """A lesson as README's table has it.

    Attributes:
        lesson: which.
        name: with its number, as "3 · Patches and occlusion".
        words: what one sees in it.
        picture: a data: address.
    """

    lesson: Lesson
    name: str
    words: str
    picture: str

    @property
    def page(self) -> str:
        return f"{self.lesson.stem}.html"


def cards() -> list[Card]:
    """A card for each lesson, in order."""
    rows = re.findall(r'^\| <img src="([^"]+)".*?> \| \[(.+?)\]\((.+?)\) \| (.+?) \|$', README.read_text("utf-8"), re.M)
    found = {Path(notebook).stem: (picture, name, words) for picture, name, notebook, words in rows}
    made = []
    for lesson in LESSONS:
        picture, name, words = found[lesson.stem]
        data = b64encode((ROOT / picture).read_bytes()).decode()
        made.append(Card(lesson, name, f"{words[0].upper()}{words[1:]}.", f"data:image/jpeg;base64,{data}"))
    return made


# ── Prose ──


@dataclass
class Headings:
    """The headings of one page, each with an anchor that no other has: (level, anchor, words as HTML)."""

    found: list[tuple[int, str, str]] = field(default_factory=list)

    def anchor(self, level: int, words: str) -> str:
        plain = re.sub(r"<math.*?</math>|<[^>]+>|&#?\w+;", " ", words, flags=re.DOTALL).casefold()
        name = re.sub(r"\W+", "-", plain).strip("-") or "section"
        others = [anchor for _, anchor, _ in self.found]
        count = 2
        free = name
        while free in others:
            free, count = f"{name}-{count}", count + 1
        self.found.append((level, free, words))
        return free


class Prose(IPythonRenderer):
    """Markdown as the pages have it: formulas in MathML, headings with anchors, links that lead somewhere."""

    def __init__(self, there: set[str], headings: Headings):
        super().__init__(escape=False)
        self.there, self.headings = there, headings

    def heading(self, text, level, **attributes):
        anchor = self.headings.anchor(level, text)
        words = text if level == 1 else f'<a href="#{anchor}">{text}</a>'
        return f'<h{level} id="{anchor}">{words}</h{level}>\n'

    def block_math(self, body):
        return "".join(f'<span class="formula">{mathml(line, display=True)}</span>' for line in lines(body))

    def inline_math(self, body):
        return mathml(body, display=False)

    def latex_environment(self, name, body):
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def link(self, text, url, title=None):
        """To another lesson: to its page. To a file of the course, which a page has not beside it: its name alone."""
        if re.match(r"https?://", url):
            return super().link(text, url, title)
        stem = Path(url.partition("#")[0]).stem
        if stem in self.there:
            return f'<a href="{stem}.html">{text}</a>'
        return text

    def image(self, text, url, title=None):
        raise ValueError(f"picture must be the output of a cell, not {url}")


def prose(source: str, there: set[str], headings: Headings) -> str:
    """Markdown as HTML. `there`: the stems of the lessons that have a page."""
    made = MarkdownWithMath(renderer=Prose(there, headings)).render(source)
    made = re.sub(r"<th([^>]*)></th>", r"<td\1></td>", made)  # a corner that heads nothing
    return made.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")


# ── Lessons ──


def kind_of(cell: NotebookNode, lesson: Lesson) -> str:
    """What a cell is to a reader: "imports", "exercise", its "check", "solved" (drawn by a solution) or ""."""
    if cell.id == lesson.first_cell:
        return "imports"
    tags = cell.metadata.get("tags", [])
    for kind in ("exercise", "check"):
        if kind in tags:
            return kind
    return "solved" if cell.cell_type == "code" and cell.id.startswith("exercise-") else ""


def exercise_of(cell: NotebookNode) -> str:
    """The number of the exercise that a cell belongs to, "3.1", or ""."""
    number = re.match(r"(?:exercise|check)-(\d+)-(\d+)", cell.id)
    return f"{number[1]}.{number[2]}" if number else ""


def with_films(notebook: NotebookNode, films: dict[str, list[dict]]) -> None:
    """Put each film in the place of its panel's picture and words, by the id of the cell and the order there."""
    for cell in notebook.cells:
        left, kept = list(films.get(cell.id, [])), []
        for output in cell.get("outputs", []):
            if kept and MIME in kept[-1].get("data", {}) and "text/markdown" in output.get("data", {}):
                continue  # the words below the picture: the film has its own
            if is_panel(output) and left:
                output.data[MIME] = named(left.pop(0))
            if "image/gif" in output.get("data", {}):
                alt = output.metadata.get("image/gif", {}).get("alt", "")
                output.data[MIME] = film_of_gif(output.data["image/gif"], alt)
            kept.append(output)
        if cell.cell_type == "code":
            cell.outputs = kept


def named(film: dict) -> dict:
    """The film, whose title does not ask a reader of the page to turn knobs."""
    asked = re.compile(r"^Turn the knobs: (.)")
    return film | {key: asked.sub(lambda found: found[1].upper(), film[key]) for key in ("title", "alt")}


def is_panel(output: NotebookNode) -> bool:
    """Whether a stored output is what a panel has left of itself."""
    data = output.get("data", {})
    return data.get("text/plain", "").startswith("Panel ") and "text/markdown" not in data


def picture(output: NotebookNode, kind: str) -> str:
    """The `<img>` of an output, in its own size."""
    data = output.data[kind]
    width, height = Image.open(io.BytesIO(b64decode(data))).size
    alt = escape(output.metadata.get(kind, {}).get("alt", ""), quote=True)
    source = f"data:{kind};base64,{data.strip()}"
    wide = ' class="wide"' if width > WIDE else ""
    return f'<img src="{source}" alt="{alt}" width="{width}" height="{height}"{wide}>'


def frames(film: dict) -> list[dict]:
    """The frames of a film, with what their `<img>` needs."""
    sizes = [Image.open(io.BytesIO(b64decode(frame["jpeg"]))).size for frame in film["frames"]]
    made = []
    for i, (frame, (width, height)) in enumerate(zip(film["frames"], sizes, strict=True)):
        first = i == film["start"]
        alt = film["alt"] if first or not film["title"] else f"{film['title']}: {frame['label']}"
        smallest = SMALLEST if width >= height else SMALLEST * width // height  # the longer side
        made.append(
            {**frame, "width": width, "height": height, "shown": max(width, smallest), "first": first, "alt": alt}
        )
    return made


def exporter() -> HTMLExporter:
    """nbconvert, with the template that lies beside this file."""
    return HTMLExporter(
        config=Config(NbConvertBase={"display_data_priority": ORDER}),
        extra_template_basedirs=[str(HERE)],
        template_name="template",
        filters={"picture": picture, "frames": frames, "is_panel": is_panel},
    )


def lesson_page(card: Card, there: set[str], films: dict[str, list[dict]]) -> str:
    """A lesson as HTML.

    Args:
        card: of the lesson.
        there: the stems of the lessons that have a page.
        films: of its panels, by the id of the cell.

    Raises:
        ValueError: a formula cannot be converted, or the page is larger than a page may be.
    """
    notebook = nbformat.read(card.lesson.notebook, as_version=4)
    headings = Headings()
    with_films(notebook, films)
    before, shown = "", set()
    for cell in notebook.cells:
        cell.metadata.kind, cell.metadata.number = kind_of(cell, card.lesson), exercise_of(cell)
        cell.metadata.opens = bool(cell.metadata.number) and cell.metadata.number != before
        cell.metadata.closes = bool(before) and cell.metadata.number != before
        before = cell.metadata.number
        if cell.metadata.kind == "solved" and cell.outputs:
            cell.metadata.first_of_solution = cell.metadata.number not in shown
            shown.add(cell.metadata.number)
        if cell.cell_type == "markdown":
            cell.metadata.html = prose(cell.source, there, headings)
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data["text/html"] = prose(output.data["text/markdown"], there, headings)
    notebook.metadata.open_at_the_end = bool(before)
    all_cards = cards()
    at = card.lesson.number - 1
    resources = LOOK | {
        "film": MIME,
        "card": card,
        "cards": [each for each in all_cards if each.lesson.stem in there],
        "title": card.name,
        "description": card.words,
        "contents": [each for each in headings.found if each[0] in (2, 3) and each[2] != "Turn the knobs"],
        "former": next((each for each in all_cards[:at][::-1] if each.lesson.stem in there), None),
        "next": next((each for each in all_cards[at + 1 :] if each.lesson.stem in there), None),
    }
    page, _ = exporter().from_notebook_node(notebook, resources)
    if len(page.encode()) > LARGEST:
        raise ValueError(f"{card.page} must have at most {LARGEST:,} bytes, not {len(page.encode()):,}")
    return page


# ── The index ──


def index_page(there: set[str]) -> str:
    """The first page: README's opening, a card for each lesson that has a page, and README's two commands."""
    readme = README.read_text("utf-8")
    opening = re.search(r"^# (.+?)\n\n(.+?)\n\n", readme, re.DOTALL)
    commands = re.search(r"^## Two commands\n.+?(?=^## )", readme, re.DOTALL | re.MULTILINE)
    commands = re.sub(r", see \[[^]]+\]\(#[^)]+\)", "", commands[0])  # that section is not here
    promise = prose(opening[2], there, Headings())
    return (
        exporter()
        .environment.get_template("home.html.j2")
        .render(
            resources=LOOK
            | {
                "title": opening[1],
                "description": re.sub(r"<[^>]+>", "", promise).strip(),
                "cards": [card for card in cards() if card.lesson.stem in there],
                "promise": promise,
                "commands": prose(commands, there, Headings()),
            }
        )
    )
