"""What opens the course elsewhere says what the course says: containers, Binder, uv, and JupyterLab's own settings.

None of them is built or started here: there is neither Docker nor a way to their images.
"""

import json
import os
import re
import subprocess
import tomllib
from fnmatch import fnmatch

import pytest

from helpers.core.lessons import ROOT
from helpers.exercises.solved import NAME
from helpers.grading.release import HANDOUT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^(\w+):", MAKEFILE, re.MULTILINE))
DOCKERFILE = (ROOT / ".devcontainer" / "Dockerfile").read_text()
POST_BUILD = ROOT / ".binder" / "postBuild"
CPU = "https://download.pytorch.org/whl/cpu"
NOT_TRIED = r"has (not|never) been (tried|opened)"


def instructions():
    """The (name, argument) of each instruction of the Dockerfile."""
    lines = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def python_allowed(version):
    least = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["project"]["requires-python"])
    return tuple(map(int, version.split("."))) >= tuple(map(int, least.groups()))


# ── Where torch without CUDA comes from ──


def test_one_address_of_torch_without_cuda():
    pages = [MAKEFILE, POST_BUILD.read_text(), (ROOT / "README.md").read_text()]
    assert all(page.count(CPU) == 1 for page in pages)
    assert [each for page in pages for each in re.findall(r"--index-url (\S+)", page)] == [CPU] * 3


def test_uv_takes_torch_and_torchvision_from_there_and_nothing_else():
    (index,) = PROJECT["tool"]["uv"]["index"]
    assert index == {"name": "pytorch-cpu", "url": CPU, "explicit": True}
    source = [{"index": index["name"], "marker": "sys_platform == 'linux'"}]
    assert PROJECT["tool"]["uv"]["sources"] == {"torch": source, "torchvision": source}


def test_make_takes_it_when_asked():
    def shown(*options):
        make = ["make", "--no-print-directory", "-n", "install", "VENV=build/none", *options]
        return subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()

    plain, cpu = shown(), shown("CPU=1")
    (extra,) = set(cpu) - set(plain)
    assert extra.endswith(f"pip install -q torch torchvision --index-url {CPU}")
    assert cpu.index(extra) == 1 and len(cpu) == len(plain) + 1, "before the course, which is then content with it"


# ── Containers ──


def test_the_dockerfile_makes_and_opens_the_course():
    steps = instructions()
    assert {name for name, _ in steps} == {"FROM", "RUN", "USER", "WORKDIR", "COPY", "EXPOSE", "CMD"}
    bases = [argument.split() for name, argument in steps if name == "FROM"]
    assert [base[2] for base in bases] == ["tools", "course"] and bases[1][0] == "tools"
    assert python_allowed(re.fullmatch(r"python:([\d.]+)-slim", bases[0][0])[1])
    command = json.loads(dict(steps)["CMD"])
    assert command[:2] == ["make", "lab"] and command[2].startswith("LAB_OPTIONS=")
    assert set(re.findall(r"make (\w+) CPU=1", DOCKERFILE)) == {"install"} <= TARGETS
    assert dict(steps)["EXPOSE"] == "8888" and "127.0.0.1:8888:8888" in DOCKERFILE
    assert re.search(NOT_TRIED, DOCKERFILE)


def test_the_devcontainer_stands_on_the_dockerfile():
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    assert re.search(NOT_TRIED, text)
    said = json.loads(re.sub(r"^//.*$", "", text, flags=re.MULTILINE))
    build = said["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).exists()
    assert (ROOT / ".devcontainer" / build["context"]).resolve() == ROOT.resolve()
    assert f"AS {build['target']}\n" in DOCKERFILE and f"USER {said['remoteUser']}\n" in DOCKERFILE
    assert said["postCreateCommand"] == "make install CPU=1"
    assert [str(port) for port in said["forwardPorts"]] == [dict(instructions())["EXPOSE"]]
    python = said["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert python == "${containerWorkspaceFolder}/.venv/bin/python" and "VENV := .venv\n" in MAKEFILE


@pytest.mark.parametrize("private", [".venv", "data/mine/me.jpg", "data/cache", f"notebooks/{NAME}", "grades"])
def test_an_image_holds_nothing_of_the_readers(private):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert any(fnmatch(private, line.removeprefix("**/")) or fnmatch(private, line) for line in lines)
    assert "!data/mine/README.md" in lines


# ── Binder ──


def test_binder_installs_the_course():
    version = (ROOT / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert python_allowed(version)
    text = POST_BUILD.read_text()
    assert text.startswith("#!/bin/bash\n") and "set -euo pipefail" in text and re.search(NOT_TRIED, text)
    assert os.access(POST_BUILD, os.X_OK)
    subprocess.run(["bash", "-n", POST_BUILD], check=True)
    assert re.search(r"pip install \S+ -e \.$", text, re.MULTILINE)
    assert not (ROOT / "binder").exists(), "of two folders repo2docker takes neither"


def test_the_memory_of_binder_is_what_lessons_may_take():
    lessons, readme = ((ROOT / name).read_text() for name in ("tests/test_lessons.py", "README.md"))
    assert "float(memory) < 2" in lessons and "2 GB" in POST_BUILD.read_text() and "2 GB" in readme


# ── JupyterLab's settings ──


def test_the_question_about_news_is_off_everywhere():
    (off,) = json.loads((ROOT / ".jupyterlab" / "page_config.json").read_text())["disabledExtensions"]
    assert f'labextension disable "{off}"' in POST_BUILD.read_text()
    quiet = re.search(r"^QUIET := .*$", MAKEFILE, re.MULTILINE)[0]
    handout = (HANDOUT / "Makefile").read_text()
    assert "--LabApp.app_settings_dir=$(CURDIR)/.jupyterlab" in quiet and quiet in handout
    assert all("jupyter lab $(ROOT) $(QUIET) " in page for page in (MAKEFILE, handout))
