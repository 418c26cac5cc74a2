"""Networks that take pictures: one class around any model, and the ways to get one of the registry."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor, nn

from helpers.core import compute
from helpers.core.activations import capture, shapes, split_path
from helpers.core.arguments import known
from helpers.core.folding import Folded
from helpers.core.images import check
from helpers.core.registry import SOURCES, Source

if TYPE_CHECKING:
    from helpers.core.fields import ReceptiveField

# In a signature these say what a plain string or number stands for.
Layer = Annotated[str, "layer"]  # a readable name or a module path of the network beside it
Channel = Annotated[int, "channel"]  # a channel of the layer beside it, from 0
Category = Annotated[int | str, "category"]  # a class of the network beside it, by index or by name

Score = Literal[
    "logit", "probability", "log-probability"
]  # the class score before softmax, or what softmax makes of it


class Network(nn.Module):
    """A model that takes images (N, 3, H, W) in [0, 1], in evaluation mode, its parameters frozen.

    Attributes:
        name: as in the registry.
        size: the side in pixels that the network was trained on; most take other sizes too.
        categories: the class names in the order of the logits; empty without a classifier.
        layers: readable name → module path, from the first layer to the last.
        mean_pixel: the colour that the network sees as zero, shape (3,), in [0, 1].
    """

    def __init__(
        self,
        model: nn.Module,
        name: str = "custom",
        *,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        bgr: bool = False,
        size: int = 224,
        categories: Sequence[str] = (),
        layers: dict[str, str] | None = None,
    ):
        super().__init__()
        self.name, self.size, self.categories = name, size, tuple(categories)
        self.layers = dict(layers or {})
        self.bgr = bgr
        self.model = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        for module in self.model.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # an in-place ReLU would overwrite what was captured before it
        self.register_buffer("mean", torch.as_tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.as_tensor(std).view(1, 3, 1, 1), persistent=False)
        self._folded = Folded(self.model, size)
        self._looked_through: dict[tuple, dict] = {}  # what `shapes` and `trace` found, by them and the image's size

    def train(self, mode: bool = False) -> "Network":
        """A network to look at stays in evaluation mode, whatever is asked."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def mean_pixel(self) -> Tensor:
        return self.mean.flatten()

    def normalise(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as the model was trained to see them, on its device, channels last in memory."""
        images = check(images).to(self.device)
        inside = images.contiguous(memory_format=torch.channels_last)
        if inside.requires_grad and inside is not images:
            # a gradient comes out as pictures are usually laid out; gradcheck may send none
            inside.register_hook(lambda gradient: None if gradient is None else gradient.contiguous())
        normalised = (inside - self.mean) / self.std
        return normalised.flip(1) if self.bgr else normalised

    def forward(self, images: Tensor) -> Tensor:
        """The class scores before softmax, shape (N, classes).

        Raises:
            ValueError: the network has no classifier, or `images` is not (N, 3, H, W) and finite.
        """
        if "logits" not in self.layers:
            raise ValueError(f"network {self.name} has no classifier; ask activations() for one of its layers")
        return self.quickest()(self.normalise(images))

    def quickest(self, paths: Iterable[str] = ()) -> nn.Module:
        """The form of the model that runs: it puts out the same at `paths` and at its end; see `Folded.form`."""
        return self._folded.form(paths)

    def path(self, layer: str) -> str:
        """The module path behind a readable layer name; a path is returned as it is.

        Raises:
            ValueError: the network has no such layer; the message lists the readable names.
        """
        if layer in self.layers:
            return self.layers[layer]
        try:
            split_path(self.model, layer)
        except (KeyError, TypeError):
            names = ", ".join(self.layers) or "module paths only"
            raise ValueError(f"layer {layer!r} is unknown to {self.name}; layers: {names}") from None
        return layer

    def activations(self, images: Tensor, layers: Iterable[str], as_they_lie: bool = False) -> dict[str, Tensor]:
        """What each of `layers` puts out for `images`, by the name asked for: (N, C, H, W) or (N, D).

        The pass runs no further than the deepest of them, gradients flow back to `images`, and nothing later
        overwrites a result.

        Args:
            as_they_lie: leave maps with their channels side by side in memory, as the network works on them: sooner
                where many are asked for, but `.view()` may refuse them.

        Raises:
            ValueError: an unknown layer, or one that the forward pass never reaches.
        """
        paths = {layer: self.path(layer) for layer in layers}
        wanted = list(dict.fromkeys(paths.values()))
        captured = capture(self.quickest(wanted), self.normalise(images), wanted, as_they_lie)
        return {layer: captured[path] for layer, path in paths.items()}

    def activation(self, images: Tensor, layer: str) -> Tensor:
        """What one layer puts out for `images`: (N, C, H, W) or (N, D). See `activations`."""
        return self.activations(images, [layer])[layer]

    def shape(self, layer: str, size: int | tuple[int, int] | None = None) -> tuple[int, ...]:
        """The shape of a layer's output for one image of `size`: (C, H, W) or (D,)."""
        return self._found(shapes, layer, size)

    def receptive_field(self, layer: str, size: int | tuple[int, int] | None = None) -> "ReceptiveField":
        """The pixels that each unit of a layer can see in images of `size` (default: the network's own)."""
        from helpers.core.fields import trace  # a stranger's answer works where that room is not

        return self._found(trace, layer, size)

    def _found(self, look_through, layer, size):
        size = size or self.size
        size = (size, size) if isinstance(size, int) else tuple(size)
        if (look_through, size) not in self._looked_through:
            self._looked_through[look_through, size] = look_through(self.model, size)
        found, path = self._looked_through[look_through, size], self.path(layer)
        if path not in found:
            raise ValueError(f"layer {layer!r} is not reached by the forward pass of {self.name}")
        return found[path]

    def category(self, category: int | str) -> int:
        """The index of a class given by index or by name.

        Raises:
            ValueError: there is no such class; a name that is close is suggested.
        """
        if isinstance(category, str):
            if category in self.categories:
                return self.categories.index(category)
            near = [name for name in self.categories if category.lower() in name.lower()][:3]
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(f"category {category!r} is not a class of {self.name}{hint}")
        if not 0 <= category < len(self.categories):
            raise ValueError(f"category must be from 0 to {len(self.categories) - 1}, not {category}")
        return int(category)

    def scores(self, images: Tensor, score: Score = "logit") -> Tensor:
        """What the network says of every class, shape (N, classes)."""
        return as_scores(self(images), score)

    def probabilities(self, images: Tensor) -> Tensor:
        """Softmax of the class scores, shape (N, classes)."""
        return self(images).softmax(dim=1)

    def top(self, images: Tensor, k: int = 5) -> list[list[tuple[str, float]]]:
        """For each image its `k` most probable classes as (name, probability), best first."""
        with torch.no_grad():
            best = self.probabilities(images).topk(min(k, len(self.categories)))
        rows = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        return [[(self.categories[i], p) for p, i in zip(*row, strict=True)] for row in rows]

    def __getstate__(self):
        """A copy finds its own quickest form: its model may then be changed."""
        return self.__dict__ | {"_folded": Folded(self.model, self.size)}

    def __repr__(self):
        return f"Network({self.name}, {len(self.layers)} named layers, on {self.device})"


def as_scores(logits: Tensor, score: Score = "logit") -> Tensor:
    """Class scores before softmax, (N, classes), as what is asked for."""
    if score == "probability":
        return logits.softmax(dim=1)
    return logits.log_softmax(dim=1) if score == "log-probability" else logits


def load(name: str = "efficientnet_lite0", device: str | torch.device | None = None) -> Network:
    """A network with its ImageNet weights, on `device` (default: CUDA when there is one, else the CPU).

    A torchvision network is downloaded once into torch's cache, behind a progress bar, and its file is checked
    against the published hash every time it is read.

    Raises:
        ValueError: no network of that name.
        WeightsUnavailable: not here and not to be downloaded; says size, file, folder and what is here instead.
        WeightsDamaged: the file does not match its hash.
    """
    source = SOURCES[known("network", name, SOURCES)]
    with torch.device("meta"):  # no random numbers are drawn that the weights would overwrite
        model = source.build()
    model.load_state_dict(source.weights(model), assign=True)
    return wrap(model, source).to(device or compute.device())


def wrap(model: nn.Module, source: Source) -> Network:
    """A model that `source` has built, whatever its weights, as a network of that name."""
    return Network(
        model,
        source.name,
        mean=source.mean,
        std=source.std,
        bgr=source.bgr,
        size=source.size,
        categories=source.categories(),
        layers=source.name_layers(model),
    )


class Availability(list):
    """The registry as a table; printing it shows which networks are here and what the others would cost."""

    def __repr__(self):
        head = ("name", "weights from", "MB", "here", "input", "first layer", "penultimate")
        rows = [head] + [
            (
                source.name,
                source.origin,
                str(source.megabytes),
                "yes" if source.here else "no",
                f"{source.size} px",
                "×".join(map(str, source.first_layer)),
                str(source.penultimate or "–"),
            )
            for source in self
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def available() -> Availability:
    """Every network of the course as a `Source`: name, origin, size, whether it is here, shapes."""
    return Availability(SOURCES.values())
