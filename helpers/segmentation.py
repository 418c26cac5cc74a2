"""Objects cut out of a picture by a saliency map: quantiles make seeds, GrabCut makes the rest.

Sources:
    Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks", section 3.2
    Rother, Kolmogorov, Blake 2004, "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts"
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from helpers.core.arguments import at_least, one_of, single, with_knobs_of
from helpers.core.images import Image
from helpers.core.networks import Category, Network
from helpers.saliency import saliency, smoothgrad

Heat = Literal["smoothgrad", "gradient", "guided"]
FEWEST = 5  # pixels of each kind that GrabCut needs: it fits five colours to the object and five to the rest


@dataclass(frozen=True)
class Segmentation:
    """An object and what it was grown from.

    Attributes:
        mask: (H, W), True on the object.
        seeds: (H, W), 1 where the object was taken for granted, −1 where the background was, 0 where it was open.
    """

    mask: Tensor
    seeds: Tensor

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the smallest box round the mask."""
        rows, columns = self.mask.any(1).nonzero(), self.mask.any(0).nonzero()
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1

    def cut_out(self, image: Tensor, fill: float = 1.0) -> Tensor:
        """The picture (1, 3, H, W) with `fill` for everything but the object."""
        return torch.where(self.mask, image.detach().to(self.mask.device), fill)

    def marked(self, image: Tensor) -> Tensor:
        """The picture (1, 3, H, W) with its seeds: the object's in green, the background's under a red veil."""
        image = image.detach().to(self.seeds.device)
        green, red = image.new_tensor([[0.1, 1.0, 0.1], [1.0, 0.1, 0.1]]).view(2, 1, 3, 1, 1)
        return torch.where(self.seeds > 0, green, torch.where(self.seeds < 0, 0.5 * image + 0.5 * red, image))


def grabcut(
    image: Tensor,
    heat: Tensor,
    foreground: Annotated[float, (0.5, 0.99, 0.01)] = 0.95,
    background: Annotated[float, (0.05, 0.9, 0.05)] = 0.3,
    blur: Annotated[float, (0.0, 12.0, 0.5)] = 4.0,
    iterations: Annotated[int, (1, 10, 1)] = 5,
    largest: bool = True,
) -> Segmentation:
    """Grow an object from the hottest pixels of a map by the colours of the picture (OpenCV's GrabCut).

    The same arguments give the same mask every time.

    Args:
        image: one picture (1, 3, H, W) in [0, 1].
        heat: a map of its pixels, (H, W), (1, H, W) or (1, 1, H, W).
        foreground: what lies above this quantile of the map is taken for the object (the paper: 0.95).
        background: what lies at or below this one is taken for background (the paper: 0.3).
        blur: standard deviation in pixels of the Gaussian that first evens out the map; 0 for none, as in the paper.
        iterations: how often GrabCut fits its colours and cuts.
        largest: keep only the largest connected piece, as the paper does.

    Raises:
        ValueError: more than one picture, a map of another size or with NaN, quantiles not in the order
            0 < background < foreground < 1, or a map without enough pixels above or below its quantiles.
    """
    single("image", image)
    at_least(1, iterations=iterations)
    height, width = image.shape[-2:]
    if heat.numel() != height * width or tuple(heat.shape[-2:]) != (height, width):
        raise ValueError(f"heat must be one map of {height}×{width} pixels, not {tuple(heat.shape)}")
    sure = seeds(heat, foreground, background, blur).to(image.device)
    pixels = (image[0].detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    known = sure.cpu().numpy()
    # pixels without a seed start as probable background: the object has to win them
    labels = np.select([known > 0, known < 0], [cv2.GC_FGD, cv2.GC_BGD], cv2.GC_PR_BGD).astype(np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))  # OpenCV's scratch paper for the two mixtures of colours
    cv2.setRNGSeed(0)  # its clustering of colours starts at random
    cv2.grabCut(np.ascontiguousarray(pixels[..., ::-1]), labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    mask = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    mask = _largest_piece(mask) if largest else mask
    return Segmentation(torch.from_numpy(mask).to(image.device), sure)


def seeds(heat: Tensor, foreground: float, background: float, blur: float = 0.0) -> Tensor:
    """What one map is sure of, (H, W): 1 above its quantile `foreground`, −1 at or below `background`, else 0.

    Args:
        heat, foreground, background, blur: as in `grabcut`.

    Raises:
        ValueError: as `grabcut`.
    """
    if not 0 < background < foreground < 1:
        raise ValueError(
            f"0 < background < foreground < 1 must hold, not background {background} and foreground {foreground}"
        )
    at_least(0, blur=blur)
    values = heat.detach().cpu().reshape(heat.shape[-2:]).double().numpy()
    if not np.isfinite(values).all():
        raise ValueError("heat must be finite, but holds NaN or infinity")
    if blur > 0:
        values = ndimage.gaussian_filter(values, blur)
    low, high = np.quantile(values, [background, foreground])
    sure = (values > high).astype(np.int8) - (values <= low).astype(np.int8)
    for name, sign, quantile in (("above", 1, foreground), ("below", -1, background)):
        if (sure == sign).sum() < FEWEST:
            raise ValueError(
                f"heat has fewer than {FEWEST} pixels {name} its quantile {quantile}: the map is (nearly) constant, "
                "or its largest value is shared by too many pixels, so it gives no seeds"
            )
    return torch.from_numpy(sure).to(heat.device)


def _largest_piece(mask):
    pieces, count = ndimage.label(mask)  # pixels that share an edge belong together
    return pieces == 1 + np.argmax(ndimage.sum_labels(mask, pieces, range(1, count + 1)))


@with_knobs_of(grabcut)
def segment(network: Network, image: Image, category: Category, heat: Heat = "smoothgrad", **knobs) -> Segmentation:
    """The object that a class score hangs on, cut out without ever having been shown an outline.

    Departure from Simonyan et al. 2014: they take the plain gradient (`heat="gradient"`, `blur=0`), and cut the
    graph once, with colours that stay as the map gave them.

    Args:
        image: one picture (1, 3, H, W) in [0, 1].
        heat: the saliency map whose quantiles make the seeds.
        **knobs: those of `grabcut`.
    """
    one_of("heat", heat, Heat)
    single("image", image)  # before any work is done
    maps = {"gradient": saliency, "smoothgrad": smoothgrad}
    values = maps[heat](network, image, category) if heat in maps else saliency(network, image, category, rule=heat)
    return grabcut(image, values, **knobs)


def overlap(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes (top, left, bottom, right), from 0 to 1."""
    height = max(0, min(box[2], other[2]) - max(box[0], other[0]))
    width = max(0, min(box[3], other[3]) - max(box[1], other[1]))
    areas = [(bottom - top) * (right - left) for top, left, bottom, right in (box, other)]
    return height * width / (sum(areas) - height * width)
