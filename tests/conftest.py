"""Fixtures that every test may ask for."""

import pytest
import torch

from helpers import networks

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


@pytest.fixture(params=DEVICES)
def device(request):
    """The CPU, and CUDA where there is one."""
    return request.param


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
            source = networks.SOURCES[name]
            torch.manual_seed(0)
            model = source.build()
            built[name] = networks.Network(
                model,
                name,
                mean=source.mean,
                std=source.std,
                bgr=source.bgr,
                categories=[f"class {i}" for i in range(1000)] if source.classes else (),
                layers=source.name_layers(model),
            )
        return built[name]

    return build


@pytest.fixture
def offline(monkeypatch):
    """What is not here is refused at once, as it is without internet after a while."""

    def refuse(url):
        raise ConnectionError(f"no answer from {url}")

    monkeypatch.setattr("helpers.networks.impatient", refuse)
    monkeypatch.setattr("helpers.photos.impatient", refuse)
