"""What the project says of itself in several places agrees."""

import re
import tomllib
from pathlib import Path

import yaml

from helpers.core.photos import PAINTINGS, PHOTOS
from helpers.core.registry import SOURCES

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_lists_nothing_that_pyproject_lists():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, last = environment["dependencies"]
    assert last == {"pip": ["-e .[test]"]} and "test" in PROJECT["optional-dependencies"]
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]


def test_no_package_is_listed_twice():
    listed = PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in listed]
    assert len(names) == len(set(names))


def test_the_data_page_names_every_photo_and_network_with_its_licence():
    page = (ROOT / "data" / "README.md").read_text()
    for entry in PHOTOS.values():
        origin = {"skimage": "scikit-image", "sklearn": "scikit-learn"}.get(entry.package, entry.package)
        assert f"| `{entry.name}` | {entry.title} | {entry.author} | {entry.licence} | {origin} |" in page
    assert all(f"`{name}`" in page for name in ("efficientnet_lite0", "vgg16_edges", "alexnet", "googlenet"))


def test_the_data_page_names_every_painting_with_its_licence():
    page = (ROOT / "data" / "README.md").read_text()
    for entry in PAINTINGS.values():
        assert re.search(rf"^\| `{entry.name}` \| {entry.title} \| .+ \| {entry.licence}\b", page, re.MULTILINE), entry


def test_the_readme_names_every_lesson_network_and_command():
    readme = (ROOT / "README.md").read_text()
    lessons = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    assert lessons and all(f"notebooks/{name}" in readme for name in lessons)
    assert all(f"`{name}`" in readme for name in SOURCES)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make (\w+)", readme)) <= set(targets)
    assert {"lab", "test"} <= set(re.findall(r"make (\w+)", readme))


def test_the_pictures_of_the_readme_say_what_is_to_be_seen():
    readme = (ROOT / "README.md").read_text()
    alternatives = re.findall(r'<img [^>]*alt="([^"]*)"|!\[([^\]]*)\]', readme)
    said = ["".join(each) for each in alternatives]
    assert len(said) == readme.count("<img ") + readme.count("![") == len(set(said)) > 9
    assert all(len(words.split()) > 3 for words in said)


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+) · (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == newest[1] == PROJECT["version"] and citation["date-released"] == newest[2]


def test_the_citation_is_valid():
    """By the schema of the Citation File Format 1.2.0: what it requires, and no key that it does not know."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    required = {"authors", "cff-version", "message", "title"}
    known = {"abstract", "date-released", "keywords", "license", "type", "version"}
    assert required <= set(citation) <= required | known
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all(set(author) == {"name"} and author["name"] for author in citation["authors"])
    words = [value for key, value in citation.items() if key not in ("authors", "keywords")]
    assert all(isinstance(value, str) and value for value in words)
    assert len(set(citation["keywords"])) == len(citation["keywords"]) > 0
    assert citation["license"] == PROJECT["license"]


def test_every_link_of_the_pages_leads_somewhere():
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "data" / "README.md"):
        for target in re.findall(r"(?:\]\(|src=\")([^)\"#]+)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), (page.name, target)
