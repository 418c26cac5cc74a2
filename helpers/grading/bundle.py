"""What of the course goes to others: files that need each other, installed by themselves, in a folder that is whole."""

import ast
import json
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.core.lessons import ROOT


def imported(source: str) -> Iterator[str]:
    """The modules of the course that a piece of Python imports anywhere, also inside its functions.

    What a module has may be another module: of `from helpers.core import images` both are named.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "helpers")


def modules(roots: Iterable[str]) -> list[Path]:
    """The files of these modules of the course, of all that they import, and of the packages in which those lie."""
    found, waiting = {}, set(roots)
    while waiting:
        name = waiting.pop()
        if name not in found and (path := _file(name)):
            found[name] = path
            waiting |= {name.rpartition(".")[0], *imported(path.read_text("utf-8"))}
    return sorted(found.values())


def _file(name):
    """Where a module lies, or None where there is none of that name."""
    path = ROOT.joinpath(*name.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if name and p.is_file()), None)


def copy(paths: Iterable[Path], folder: Path) -> None:
    """Files of the course into `folder`, where they lie as they do in the course."""
    for path in paths:
        copied = folder / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)


def pyproject(files: Iterable[Path], tools: Collection[str] = ()) -> str:
    """The course's pyproject.toml, for some of its modules and without what only its tests need.

    Args:
        files: of the modules.
        tools: of the packages that tests need, those that remain, as the extra `grade`.
    """
    text = (ROOT / "pyproject.toml").read_text("utf-8").partition("[tool.setuptools]")[0]
    tests = tomllib.loads(text)["project"]["optional-dependencies"]["test"]
    kept = json.dumps([each for each in tests if re.match(r"[\w-]+", each)[0] in tools])
    text = re.sub(r"^test = \[.*?^\]\n", f"grade = {kept}\n" if tools else "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^frontends = .*\n", "", text, flags=re.MULTILINE)  # for tests that stay here
    packages = sorted({".".join(path.relative_to(ROOT).parent.parts) for path in files})
    return f"{text}[tool.setuptools]\npackages = {json.dumps(packages)}\n"


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A folder to write into. At the end it becomes `out`; when anything goes wrong before, nothing is left of it.

    Raises:
        ValueError: there is a file or a folder with something in it.
    """
    place = Path(os.path.realpath(out))
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise ValueError(f"--out must be a new or an empty folder; there is something at {out}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as beside:
        made = Path(beside) / place.name
        made.mkdir()
        yield made
        if place.exists():
            place.rmdir()
        made.rename(place)
