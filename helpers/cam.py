"""Where a network looks: the last maps of a network, weighted by what a class makes of them.

The maps are as coarse as their layer, 7×7 where the default network pools; each place stands for a part of the picture.

Sources:
    Zhou, Khosla, Lapedriza, Oliva, Torralba 2016, "Learning Deep Features for Discriminative Localization" (CAM)
    Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization"
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.core.activations import INPUT
from helpers.core.arguments import classes, one_of, positions, targets
from helpers.core.images import Image, check
from helpers.core.networks import Category, Layer, Network, Score, as_scores


def cam(network: Network, image: Image, category: Category) -> Tensor:
    """Class activation maps: what each place of the last map adds to a class score.

    M_c(y, x) = Σ_k w_ck A_k(y, x) (Zhou et al. 2016, equation 2), where A are the maps that are averaged and w the
    weights of the linear layer behind. Exact: the mean of a map plus the bias of its class is the score.

    Args:
        image: (N, 3, H, W) in [0, 1].
        category: one class for all images, a sequence of N of them, or any number for one image.

    Returns:
        (N, 1, h, w) with the sign of what is added; h and w are the layer's. One image and M classes: (M, 1, h, w).

    Raises:
        ValueError, TypeError: a bad image or category, or a network that does not end in a global average and one
            linear layer.
    """
    image, wanted = _prepare(network, image, category)
    head, maps = linear_head(network), pooled_maps(network, image)
    return class_maps(maps, head.weight.to(maps), wanted.view(len(image), -1)).flatten(0, 1)[:, None]


def class_maps(features: Tensor, weight: Tensor, categories: Tensor) -> Tensor:
    """Features (N, K, h, w) in the weights (classes, K) of the classes (N, M) that each picture is asked for.

    Returns:
        (N, M, h, w): map m of picture n is Σ_k weight[categories[n, m], k] · features[n, k].
    """
    return torch.einsum("nmk,nkhw->nmhw", weight[categories], features)


def grad_cam(
    network: Network,
    image: Image,
    category: Category,
    layer: Layer | None = None,
    score: Score = "logit",
    positive: bool = True,
) -> Tensor:
    """Gradient-weighted class activation maps: CAM for any layer of any network.

    A channel counts as much as the score rises with it, α_k = mean over places of ∂score/∂A_k, and the map is
    ReLU(Σ_k α_k A_k) (Selvaraju et al. 2017, equations 1 and 2).

    Args:
        layer: one with a map; by default the last one of the network.
        score: the class score before softmax, as in the paper, or what softmax makes of it.
        positive: keep only what speaks for the class, as the paper does; otherwise the map has a sign.
        image, category: as in `cam`.

    Returns:
        (N, 1, h, w), where h and w are the layer's. One image and M classes: (M, 1, h, w).

    Raises:
        ValueError, TypeError: a bad image, category or choice, or a layer without a map.
    """
    image, wanted = _prepare(network, image, category)
    one_of("score", score, Score)
    layer = last_map(network) if layer is None else layer
    positions(network, layer)
    pixels = image.expand(len(wanted), -1, -1, -1).clone().requires_grad_()
    with torch.enable_grad():
        found = network.activations(pixels, [layer, "logits"])
        scores = as_scores(found["logits"], score).gather(1, wanted[:, None])
        (gradient,) = torch.autograd.grad(scores.sum(), found[layer])
    alpha = gradient.mean((2, 3), keepdim=True)
    heat = (alpha * found[layer].detach()).sum(1, keepdim=True)
    return heat.clamp_min(0) if positive else heat


def enlarged(maps: Tensor, image: Tensor) -> Tensor:
    """Maps (N, 1, h, w) in the size of a picture, (N, 1, H, W), interpolated linearly between their places."""
    return F.interpolate(maps, size=tuple(image.shape[-2:]), mode="bilinear", align_corners=False)


def last_map(network: Network) -> str:
    """The name of the deepest layer that has height and width.

    Raises:
        ValueError: there is none.
    """
    for layer in reversed(network.layers):
        if len(network.shape(layer)) == 3:
            return layer
    raise ValueError(f"network {network.name} has no layer with a map")


def linear_head(network: Network) -> nn.Linear:
    """The linear layer that turns the penultimate numbers (N, K) into class scores.

    Raises:
        ValueError: the network ends in something else.
    """
    classes(network)
    path = network.layers.get("penultimate", "")
    head = network.model.get_submodule(path.removeprefix(INPUT)) if path.startswith(INPUT) else None
    if not isinstance(head, nn.Linear):
        raise ValueError(f"network {network.name} {NO_CAM}")
    return head


NO_CAM = "does not end in a global average and one linear layer, so it has no CAM; take Grad-CAM"


@torch.no_grad()
def pooled_maps(network: Network, image: Image) -> Tensor:
    """The maps (N, K, h, w) whose mean over the places is the penultimate layer.

    Raises:
        ValueError: no layer has such maps.
    """
    last = last_map(network)
    found = network.activations(image, [last, "penultimate"])
    maps, pooled = found[last], found["penultimate"]
    if maps.shape[:2] == pooled.shape:
        for candidate in (maps, maps.clamp_min(0)):  # DenseNet has a ReLU behind its last named layer
            if torch.allclose(candidate.mean((2, 3)), pooled, rtol=1e-3, atol=1e-4 * float(pooled.abs().max())):
                return candidate
    raise ValueError(f"network {network.name} {NO_CAM}")


def _prepare(network, image, category):
    """The images on the network's device, and the classes as indices: as many as there will be maps."""
    image = check(image, "image").detach().to(network.device)
    classes(network)
    several = not isinstance(category, (str, int)) and len(image) == 1
    return image, targets(network, category, len(category) if several else len(image))
