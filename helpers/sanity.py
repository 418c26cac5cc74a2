"""A test of sanity: destroy what a network has learned, and see whether a map notices.

Sources:
    Adebayo et al. 2018, "Sanity Checks for Saliency Maps", the model parameter randomisation test
    Sundararajan, Taly 2018, "A Note about: Local Explanation Methods for Deep Neural Networks lack Sensitivity to
    Parameter Values", on the signs that the test ignores
"""

import copy
from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from helpers.cam import enlarged, grad_cam
from helpers.core.arguments import at_once, one_of, single, targets
from helpers.core.images import Image
from helpers.core.networks import Category, Network
from helpers.core.steps import Seed, Step
from helpers.saliency import integrated_gradients, saliency, smoothgrad

Method = Literal["gradient", "guided", "deconvnet", "smoothgrad", "integrated", "grad-cam"]
Sign = Literal["without", "with"]


@at_once
def sanity_check(
    network: Network,
    image: Image,
    category: Category,
    method: Method = "guided",
    cascade: bool = True,
    sign: Sign = "without",
    seed: Seed = 0,
) -> Iterator[Step]:
    """Destroy what the network has learned, part by part from the top, and watch whether a map notices.

    Adebayo et al. 2018, cascading and independent randomisation. A copy is randomised; the network itself is left
    alone. Step 1 is the trained network; step 1 + i has `parts(network)[i - 1]` randomised too. Departure: the paper
    draws new weights as before training; here the numbers of each tensor are shuffled, which leaves every layer its
    own range.

    Args:
        image: one picture (1, 3, H, W) in [0, 1].
        method: the map: the gradient, with one of three rules for ReLUs, a remedy for its noise, or Grad-CAM at the
            network's last map.
        cascade: randomise all parts from the top down to this one; otherwise this one alone.
        sign: "without" takes the largest |value| over the colours, "with" their signed sum, as Sundararajan and Taly
            (2018) ask for; Grad-CAM keeps or drops what is negative.

    Yields:
        Steps whose image is the map (1, 1, H, W). Of their losses "rank correlation" is Spearman's, between this map
        and that of the trained network, and "probability" what the network gives the class.

    Raises:
        ValueError, TypeError: a bad image, category or method; the message names it.
    """
    targets(network, category, len(single("image", image)))
    one_of("method", method, Method)
    one_of("sign", sign, Sign)
    yield

    heat_of = _maker(method, "signed" if sign == "with" else "max")
    names = parts(network)
    trained, randomised = None, copy.deepcopy(network)
    random = torch.Generator().manual_seed(seed)
    for i, name in enumerate([None, *names], start=1):
        if name is not None:
            if not cascade:
                randomised.load_state_dict(network.state_dict())
            _shuffle(randomised.model.get_submodule(name), random)
        heat = heat_of(randomised, image, category)
        trained = heat if trained is None else trained
        with torch.no_grad():
            sure = float(randomised.probabilities(image)[0, randomised.category(category)])
        told = {"rank correlation": rank_correlation(heat, trained), "probability": sure}
        yield Step(i, len(names) + 1, heat, told)


def _maker(method, colours):
    """The function of a network, an image and a category that draws the map."""
    if method == "grad-cam":
        return lambda *given: enlarged(grad_cam(*given, positive=colours == "max"), given[1])
    remedies = {"smoothgrad": smoothgrad, "integrated": integrated_gradients}
    if method in remedies:
        return partial(remedies[method], colours=colours)
    return partial(saliency, rule=method, colours=colours)


def parts(network: Network) -> list[str]:
    """The paths of a network's parts that hold weights, the last one first: what `sanity_check` randomises."""
    return list(reversed(_parts(network.model)))


def _parts(module, path=""):
    """Children in order; a chain of layers counts as its links, any other module as one."""
    found = []
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        if isinstance(child, nn.Sequential):
            found += _parts(child, below)
        elif any(True for _ in child.parameters()):
            found.append(below)
    return found


def _shuffle(module, random):
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.numel() > 1:
            order = torch.randperm(tensor.numel(), generator=random).to(tensor.device)
            tensor.data = tensor.data.flatten()[order].view_as(tensor)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation of two maps of one shape, from −1 to 1; 0 where one of them is constant."""
    from scipy.stats import spearmanr  # here, because it takes a second that the reader of a lesson would wait

    if a.shape != b.shape:
        raise ValueError(f"the maps must have one shape, not {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = a.detach().cpu().flatten(), b.detach().cpu().flatten()
    if a.min() == a.max() or b.min() == b.max():
        return 0.0  # a map that says nothing agrees with nothing
    return float(spearmanr(a, b).statistic)
