"""The pages as a reader opens them: from a file, without a network, with a mouse, by keyboard, on a phone."""

import base64
import io

import pytest
from axe import violations
from PIL import Image

from helpers.core.lessons import LESSONS
from helpers.site.pages import cards, lesson_page

PAGES = ["index", *(lesson.stem for lesson in LESSONS if lesson.number != 4), "with_film"]  # the latter is lesson 4
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
FRAMES = 12
# axe takes a minute for a lesson's ten thousand coloured words: of a colour on a ground one is as good as all
ONE_OF_A_KIND = """() => {
  const seen = new Set();
  for (const word of document.querySelectorAll(".highlight span, math")) {
    const kind = [word.className, word.closest(".exercise, details, .film")?.className].join();
    if (seen.has(kind)) word.replaceWith(word.textContent);
    seen.add(kind);
  }
}"""


class Reader:
    """A page that is open in the browser, with what it has asked for and complained of."""

    def __init__(self, browser, path, scheme="light", size=DESK, **options):
        self.context = browser.new_context(color_scheme=scheme, viewport=size, offline=True, **options)
        self.page = self.context.new_page()
        self.asked, self.complaints = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


@pytest.fixture(scope="module")
def folder(site):
    """The pages of the site, and on that of lesson 4 a film in the place of its first panel."""
    frames = []
    for i in range(FRAMES):
        file = io.BytesIO()
        Image.new("RGB", (600, 200), (50 * i, 90, 120)).save(file, "JPEG")
        jpeg = base64.b64encode(file.getvalue()).decode()
        frames.append({"jpeg": jpeg, "label": f"patch = {8 * i}", "text": f"p = 0.{i}"})
    said = {"title": "Cover & see", "call": "occlusion(network, image, patch=16)  # " + 60 * "long ", "alt": "A square"}
    film = said | {"knob": "patch", "frames": frames, "start": 2}
    there = {lesson.stem for lesson in LESSONS}
    (site / "with_film.html").write_text(lesson_page(cards()[3], there, {"saliency-panel": [film]}), "utf-8")
    return site


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_fits_its_screen_and_has_no_violation(browser, folder, name):
    path, papers = folder / f"{name}.html", set()
    for scheme, size in (("light", PHONE), ("dark", DESK)):
        with Reader(browser, path, scheme, size) as reader:
            reader.page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
            assert reader.page.evaluate("document.documentElement.scrollWidth") == size["width"]
            papers.add(reader.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
            reader.page.evaluate(ONE_OF_A_KIND)
            assert violations(reader.page) == [], scheme
            assert [url for url in reader.asked if not url.startswith("data:")] == [path.as_uri()]
            assert reader.complaints == []
    assert len(papers) == 2


def label(film):
    """What a film shows: label, text, and which frames are to be seen, as the slider says it."""
    shown = [i for i, frame in enumerate(film.locator(".frames img").all()) if frame.is_visible()]
    slider = film.locator("input")
    words = film.locator(".label").inner_text(), film.locator(".text").inner_text()
    return [*words, slider.get_attribute("aria-valuetext"), shown, int(slider.input_value())]


def expected(i):
    return [f"patch = {8 * i}", f"p = 0.{i}", f"patch = {8 * i}", [i], i]


def test_arrow_keys_change_the_frame_of_a_film(browser, folder):
    with Reader(browser, folder / "with_film.html") as reader:
        film = reader.page.locator(".film")
        assert label(film) == expected(2)
        slider = reader.page.get_by_role("slider", name="Cover & see: patch")
        slider.focus()
        for key, i in (("ArrowRight", 3), ("ArrowLeft", 2), ("ArrowLeft", 1), ("Home", 0), ("End", FRAMES - 1)):
            slider.press(key)
            assert label(film) == expected(i)
        assert film.get_by_role("status").inner_text() == f"p = 0.{FRAMES - 1}", "the slider says the label by itself"


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_a_film_plays_to_its_end_when_asked_to_and_says_only_where_it_ends(browser, folder, motion):
    with Reader(browser, folder / "with_film.html", reduced_motion=motion) as reader:
        page, film = reader.page, reader.page.locator(".film")
        page.clock.install(time=0)
        page.reload()
        page.clock.pause_at(60_000)
        assert label(film) == expected(2), "nothing moves by itself"
        button = film.get_by_role("button")
        button.press("Enter")
        assert button.inner_text() == "Pause" and film.get_by_role("status").inner_text() == ""
        page.clock.run_for(600)
        assert label(film) == expected(3 if motion == "no-preference" else 2)
        button.click()
        i = 3 if motion == "no-preference" else 2
        assert button.inner_text() == "Play"
        assert film.get_by_role("status").inner_text() == f"patch = {8 * i}: p = 0.{i}"
        page.clock.run_for(20_000)
        assert label(film) == expected(3 if motion == "no-preference" else 2)
        button.click()
        page.clock.run_for(20_000)
        assert label(film) == expected(FRAMES - 1) and button.inner_text() == "Play"
        button.click()
        assert label(film) == expected(0), "from the start again"


def test_the_skip_link_the_folds_and_the_contents_work_by_keyboard(browser, folder):
    with Reader(browser, folder / "04_saliency.html") as reader:
        page = reader.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        fold = page.locator(".exercise details").first
        assert not fold.locator("p").first.is_visible()
        fold.locator("summary").press("Enter")
        assert fold.locator("p").first.is_visible()
        link = page.locator(".contents a").nth(3)
        assert link.is_visible(), "the contents stand open beside the text"
        link.click()
        assert page.evaluate("document.querySelector(':target').getBoundingClientRect().top") >= 0


def test_without_javascript_a_film_shows_its_picture_and_no_controls(browser, folder):
    with Reader(browser, folder / "with_film.html", java_script_enabled=False) as reader:
        film = reader.page.locator(".film")
        assert [frame.is_visible() for frame in film.locator(".frames img").all()] == [i == 2 for i in range(FRAMES)]
        assert not film.locator("button, input").first.is_visible() and film.locator(".call").is_visible()


def test_what_is_wider_than_a_phone_scrolls_in_itself_by_keyboard(browser, folder):
    with Reader(browser, folder / "with_film.html", size=PHONE) as reader:
        reader.page.locator(".call summary").click()
        call = reader.page.locator(".film pre")
        call.focus()
        for _ in range(3):
            reader.page.keyboard.press("ArrowRight")
        reader.page.wait_for_function("document.activeElement.scrollLeft > 0")
        assert not reader.page.locator(".film .text").get_attribute("tabindex")
