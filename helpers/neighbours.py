"""Pictures as vectors: features, colours or pixels of a collection, their nearest neighbours, and how pure those are.

Source:
    Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks",
    section 6.1 (neighbours by Euclidean distance between 4096-dimensional last-layer vectors)
    Swain, Ballard 1991, "Color indexing" (the colour histogram)
    Stricker, Orengo 1995, "Similarity of color images" (colour moments; they take the skewness, too)
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from helpers.core.arguments import at_least, one_of
from helpers.core.images import check, resize
from helpers.core.networks import Layer, Network
from helpers.core.photos import batches
from helpers.core.steps import may_draw_a_bar

Metric = Literal["l2", "cosine"]


class Sample:
    """Some pictures of a collection, at most `count`, drawn without replacement and kept in their order.

    Raises:
        ValueError: `count` below 1.
    """

    def __init__(self, collection, count: int = 1000, seed: int = 0):
        at_least(1, count=count)
        random = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(collection), generator=random)[:count]
        self.collection, self.chosen = collection, chosen.sort().values.tolist()
        self.classes, self.labels = collection.classes, [collection.labels[i] for i in self.chosen]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, i: int) -> Tensor:
        return self.collection[self.chosen[i]]


def vectors(network: Network, collection, layer: Layer = "penultimate", batch: int = 8) -> Tensor:
    """What a layer says about each picture of a collection, shape (N, D).

    A layer with height and width is averaged over both, so that D is its number of channels. Only `batch`
    pictures are held at a time: memory grows with the vectors, not with the pictures.

    Raises:
        ValueError: an unknown layer, an empty collection, or `batch` below 1.
    """
    return vectors_at(network, collection, [layer], batch)[layer]


def vectors_at(network: Network, collection, layers: Sequence[Layer], batch: int = 8) -> dict[str, Tensor]:
    """`vectors` for several layers, by name; each picture goes through the network once.

    Raises:
        ValueError: as in `vectors`, or no layer.
    """
    at_least(1, layers=len(layers))
    for layer in layers:
        network.path(layer)
    found = {layer: [] for layer in layers}
    with torch.inference_mode():
        for pictures in _watched(collection, batch, network.name):
            for layer, activation in network.activations(pictures, layers, as_they_lie=True).items():
                found[layer].append(_flat(activation))
    # a tensor of inference mode takes part in no gradient; its copy does
    return {layer: torch.cat(rows).clone() for layer, rows in found.items()}


def _flat(activation):
    return activation.mean(dim=(2, 3)) if activation.ndim == 4 else activation.flatten(1)


def pixels(collection, size: int = 32, batch: int = 64) -> Tensor:
    """The pictures themselves, shrunk to `size` × `size` pixels, as vectors (N, 3·size·size).

    Raises:
        ValueError: an empty collection, or `size` or `batch` below 1.
    """
    return thumbnails(collection, size, batch).flatten(1)


def thumbnails(collection, size: int = 32, batch: int = 64) -> Tensor:
    """The pictures of a collection shrunk to `size` × `size` pixels, (N, 3, size, size).

    Raises:
        ValueError: an empty collection, or `size` or `batch` below 1.
    """
    return torch.cat([resize(pictures, (size, size)) for pictures in _watched(collection, batch, f"{size} pixels")])


def colour_moments(images: Tensor) -> Tensor:
    """Six numbers for each of the images (N, 3, H, W): mean and deviation of each of the three colours, (N, 6)."""
    return torch.cat([check(images).mean((2, 3)), images.std((2, 3))], 1)


def colour_histogram(images: Tensor, levels: int = 4) -> Tensor:
    """How the pixels of each of the images (N, 3, H, W) spread over the colours: (N, levels³), each row of sum 1.

    Red, green and blue are each cut into `levels` equal steps, so there are levels³ boxes of like colours.

    Raises:
        ValueError: `levels` below 1.
    """
    at_least(1, levels=levels)
    red, green, blue = (check(images) * levels).long().clamp(0, levels - 1).flatten(2).unbind(1)
    boxes = (red * levels + green) * levels + blue
    counts = torch.zeros(len(images), levels**3, device=images.device)
    return counts.scatter_add_(1, boxes, torch.ones_like(boxes, dtype=counts.dtype)) / boxes.shape[1]


def _watched(collection, batch, description) -> Iterator[Tensor]:
    """The batches of a collection behind a progress bar that counts pictures."""
    with tqdm(total=len(collection), desc=description, leave=False, disable=not may_draw_a_bar()) as bar:
        for pictures in batches(collection, batch):
            yield check(pictures)
            bar.update(len(pictures))


def nearest(
    queries: Tensor,
    vectors: Tensor,
    k: int = 5,
    metric: Metric = "l2",
    skip: Sequence[int] | Tensor | None = None,
    chunk: int = 512,
) -> tuple[Tensor, Tensor]:
    """The `k` vectors nearest to each query, by brute force, `chunk` queries at a time.

    Euclidean distances come from the inner products, ‖q − v‖² = ‖q‖² + ‖v‖² − 2 q·v; the cosine distance is
    1 − q·v / ‖q‖‖v‖, and 1 for a vector of zeros. Both are computed in float64.

    Args:
        queries: (Q, D).
        vectors: (N, D).
        k: how many neighbours.
        metric: "l2" or "cosine".
        skip: for each query the index of one vector that does not count, such as its own; None: all count.
        chunk: of the Q × N distances, how many rows are held at a time.

    Returns:
        distances (Q, k), smallest first, and the indices (Q, k) of the vectors they lead to.

    Raises:
        ValueError: not two finite matrices of equal width, `k` beyond the vectors that count, another metric,
            `skip` of another length or out of range, or `chunk` below 1.
    """
    _matrix(queries, "queries")
    _matrix(vectors, "vectors")
    if queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"queries and vectors must be equally wide, not {queries.shape[1]} and {vectors.shape[1]}")
    most = len(vectors) - (skip is not None)
    if not 1 <= k <= most:
        raise ValueError(f"k must be from 1 to {most} (the vectors that count), not {k}")
    one_of("metric", metric, Metric)
    at_least(1, chunk=chunk)
    if skip is not None:
        skip = torch.as_tensor(skip, device=vectors.device)
        if skip.shape != (len(queries),) or not ((skip >= 0) & (skip < len(vectors))).all():
            last = len(vectors) - 1
            raise ValueError(f"skip must hold one index from 0 to {last} for each of the {len(queries)} queries")

    queries, vectors = queries.detach().to(vectors.device).double(), vectors.detach().double()
    if metric == "cosine":
        queries, vectors = F.normalize(queries), F.normalize(vectors)
    else:  # about their mean, where the norms are small, little is lost in the difference below
        centre = vectors.mean(0)
        queries, vectors = queries - centre, vectors - centre
    norms = vectors.square().sum(1)
    distances, indices = [], []
    for start in range(0, len(queries), chunk):
        rows = queries[start : start + chunk]
        products = rows @ vectors.T
        apart = 1 - products if metric == "cosine" else rows.square().sum(1, keepdim=True) + norms - 2 * products
        if skip is not None:
            apart.scatter_(1, skip[start : start + chunk, None], torch.inf)
        values, found = apart.topk(k, largest=False)
        distances.append(values.clamp_min(0))
        indices.append(found)
    distances = torch.cat(distances)
    return distances if metric == "cosine" else distances.sqrt(), torch.cat(indices)


def purity(vectors: Tensor, labels: Sequence[int] | Tensor, k: int = 5, metric: Metric = "l2") -> float:
    """The share of all pictures' `k` nearest neighbours (a picture is not its own) that have the picture's label.

    Raises:
        ValueError: as in `nearest`, or not one label for each vector.
    """
    _matrix(vectors, "vectors")
    labels = torch.as_tensor(labels, device=vectors.device)
    if labels.shape != (len(vectors),):
        raise ValueError(f"labels must hold one label for each of the {len(vectors)} vectors, not {labels.numel()}")
    _, indices = nearest(vectors, vectors, k, metric, skip=torch.arange(len(vectors)))
    return (labels[indices] == labels[:, None]).double().mean().item()


def preserved(vectors: Tensor, embedding: Tensor, k: int = 10) -> float:
    """The share of each point's `k` nearest neighbours among `vectors` that are among its `k` nearest on the map.

    Raises:
        ValueError: as in `nearest`, or not one point for each vector.
    """
    _matrix(vectors, "vectors")
    _matrix(embedding, "embedding")
    if len(vectors) != len(embedding):
        raise ValueError(f"embedding must hold one point for each of the {len(vectors)} vectors, not {len(embedding)}")
    itself = torch.arange(len(vectors))
    _, before = nearest(vectors, vectors, k, skip=itself)
    _, after = nearest(embedding, embedding, k, skip=itself)
    after = after.to(before.device)
    return (before[:, :, None] == after[:, None, :]).any(2).double().mean().item()


def _matrix(values, name):
    if not isinstance(values, Tensor) or values.ndim != 2 or values.numel() == 0:
        shape = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"{name} must be a tensor of shape (N, D), not {shape}")
    if not values.isfinite().all():
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
