"""Fixtures that every test may ask for."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # torch's threads spin while they wait: those of two processes for each other
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, here and by all that the tests start

import pytest
import torch

from helpers.core import networks, registry

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


@pytest.fixture(params=DEVICES)
def device(request):
    """The CPU, and CUDA where there is one."""
    return request.param


def pytest_addoption(parser):
    parser.addoption("--on-gpu", action="store_true", help="networks and pictures start where the course puts them")


@pytest.fixture(autouse=True)
def pictures_on_the_cpu(monkeypatch, request):
    """Networks and pictures start on the CPU, as on most machines; a test moves to its `device` by itself."""
    if request.config.getoption("--on-gpu"):
        return
    monkeypatch.setattr("helpers.core.compute.device", lambda: torch.device("cpu"))


@pytest.fixture
def settings_of_torch():
    """What `compute.repeatable` sets for the whole process is as it was after a test."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    yield
    products.allow_tf32, convolutions.allow_tf32 = before
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def lite0():
    """The default network with its real weights."""
    return networks.load("efficientnet_lite0", device="cpu")


@pytest.fixture(scope="session")
def untrained():
    """Builds a network of the registry with seeded random weights: the real architecture, nothing downloaded."""
    built = {}

    def build(name: str) -> networks.Network:
        if name not in built:
            source = registry.SOURCES[name]
            torch.manual_seed(0)
            built[name] = networks.wrap(source.build(), source)
        return built[name]

    return build


@pytest.fixture
def offline(monkeypatch):
    """What is not here is refused at once, as it is without internet after a while."""

    def refuse(url):
        raise ConnectionError(f"no answer from {url}")

    monkeypatch.setattr("helpers.core.registry.impatient", refuse)
    monkeypatch.setattr("helpers.core.photos.impatient", refuse)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder with the pages of all lessons as stored, without films."""
    from helpers.site.__main__ import main

    folder = tmp_path_factory.mktemp("site")
    assert main(["--no-films", "--out", str(folder)]) == 0
    return folder
