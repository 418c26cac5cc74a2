"""Objects cut out of a picture by a saliency map: quantiles make seeds, GrabCut makes the rest.

Sources:
    Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks", section 3.2
    Rother, Kolmogorov, Blake 2004, "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts"
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from PIL import Image as pillow
from PIL import ImageDraw
from scipy import ndimage
from torch import Tensor

from helpers.core import compute
from helpers.core.arguments import at_least, known, one_of, single, with_knobs_of
from helpers.core.images import Image
from helpers.core.networks import Category, Network
from helpers.saliency import saliency, smoothgrad

Heat = Literal["smoothgrad", "gradient", "ten crops", "guided"]
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
        """The picture (1, 3, H, W) with its seeds: the object's in yellow, the background's under a blue veil."""
        image = image.detach().to(self.seeds.device)
        yellow, blue = image.new_tensor([[1.0, 0.9, 0.1], [0.1, 0.3, 1.0]]).view(2, 1, 3, 1, 1)
        return torch.where(self.seeds > 0, yellow, torch.where(self.seeds < 0, 0.5 * image + 0.5 * blue, image))


def grabcut(
    image: Tensor,
    heat: Tensor,
    foreground: Annotated[float, (0.5, 0.99, 0.01)] = 0.95,
    background: Annotated[float, (0.05, 0.9, 0.05)] = 0.3,
    blur: Annotated[float, (0.0, 12.0, 0.5)] = 4.0,
    iterations: Annotated[int, (1, 10, 1)] = 5,
    refit: bool = True,
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
        refit: fit the colours anew in each round. Otherwise they stay as the seeds gave them, and there is one cut,
            as in the paper.
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
    pixels = np.ascontiguousarray(pixels[..., ::-1])
    seeded = sure.cpu().numpy()
    # pixels without a seed start as probable background: the object has to win them
    labels = np.select([seeded > 0, seeded < 0], [cv2.GC_FGD, cv2.GC_BGD], cv2.GC_PR_BGD).astype(np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))  # OpenCV's scratch paper for the two mixtures of colours
    cv2.setRNGSeed(0)  # its clustering of colours starts at random
    if refit:
        cv2.grabCut(pixels, labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    else:
        # a picture of the seeds alone, one row high, gives the colours; no round is run on it
        strip, own = pixels[seeded != 0][None], labels[seeded != 0][None]
        cv2.grabCut(strip, own, None, *models, 0, cv2.GC_INIT_WITH_MASK)
        cv2.grabCut(pixels, labels, None, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
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

    Departure from Simonyan et al. 2014, see `as_published`: a smoother map, blurred, and GrabCut's rounds.

    Args:
        image: one picture (1, 3, H, W) in [0, 1].
        heat: the saliency map whose quantiles make the seeds.
        **knobs: those of `grabcut`.
    """
    one_of("heat", heat, Heat)
    single("image", image)  # before any work is done
    maps = {"gradient": saliency, "smoothgrad": smoothgrad, "ten crops": ten_crops}
    values = maps[heat](network, image, category) if heat in maps else saliency(network, image, category, rule=heat)
    return grabcut(image, values, **knobs)


def as_published(network: Network, image: Image, category: Category) -> Segmentation:
    """Simonyan et al. 2014, section 3.2: the plain gradient, no blur, the colours of the seeds, one cut.

    The gradient is the mean over ten crops, the way in which networks were tested at that time. Departure: the seeds
    are never overruled, and the cut is OpenCV's.
    """
    return segment(network, image, category, "ten crops", blur=0, refit=False)


def ten_crops(network: Network, image: Image, category: Category) -> Tensor:
    """The mean saliency map of ten crops, (1, 1, H, W): four corners, the centre, and each of them mirrored.

    A crop has 7/8 of the picture's height and width, as 224 pixels are of 256. A pixel's value is the mean over the
    crops that hold it.
    """
    single("image", image)
    height, width = image.shape[-2:]
    high, wide = height - height // 8, width - width // 8
    corners = [(0, 0), (0, width - wide), (height - high, 0), (height - high, width - wide)]
    corners.append(((height - high) // 2, (width - wide) // 2))
    crops = torch.cat([image[..., top : top + high, left : left + wide] for top, left in corners])
    heat = saliency(network, torch.cat([crops, crops.flip(-1)]), category)
    straight = (heat[:5] + heat[5:].flip(-1)) / 2
    total, count = heat.new_zeros(1, 1, height, width), heat.new_zeros(1, 1, height, width)
    for (top, left), each in zip(corners, straight, strict=True):
        total[..., top : top + high, left : left + wide] += each
        count[..., top : top + high, left : left + wide] += 1
    return total / count


# ── How good is a cut? ───────────────────────────────────────────────────────────────────────────────────────


def overlap(mask: Tensor, other: Tensor) -> float:
    """Intersection over union of two masks (H, W), from 0 to 1; two empty ones have 0."""
    if mask.shape != other.shape:
        raise ValueError(f"the masks must have one shape, not {tuple(mask.shape)} and {tuple(other.shape)}")
    both, either = int((mask & other).sum()), int((mask | other).sum())
    return both / max(either, 1)


def outline(name: str, size: int = 224) -> Tensor:
    """The mask (size, size) of an object in a photo at that size, from an outline drawn by hand at 224 pixels.

    Args:
        name: of the photo, a key of `OUTLINES`.

    Raises:
        ValueError: there is no outline of that name.
    """
    drawing = pillow.new("L", (size, size))
    for polygon in OUTLINES[known("outline", name, OUTLINES)]:
        points = [(x * size / 224 - 0.5, y * size / 224 - 0.5) for x, y in _pairs(polygon)]
        ImageDraw.Draw(drawing).polygon(points, fill=1)
    return torch.from_numpy(np.array(drawing)).bool().to(compute.device())


def _pairs(numbers: Sequence[int]):
    return zip(numbers[::2], numbers[1::2], strict=True)


# x, y, x, y, … of polygons whose union is the object, in the middle square of the photo at 224 pixels.
# fmt: off
OUTLINES = {
    "flower": [[
        109, 45, 121, 49, 135, 51, 147, 58, 158, 65, 161, 72, 168, 78, 172, 89, 172, 98, 176, 107, 178, 115, 177, 126,
        172, 139, 168, 152, 160, 164, 152, 174, 141, 180, 126, 186, 115, 188, 99, 188, 86, 184, 73, 184, 62, 176,
        49, 168, 43, 157, 36, 141, 34, 126, 33, 111, 37, 102, 37, 91, 43, 89, 43, 78, 51, 69, 52, 62, 59, 60, 67, 59,
        74, 53, 86, 51, 98, 47,
    ]],
    "china": [[
        48, 16, 57, 16, 56, 25, 58, 32, 67, 40, 82, 51, 98, 59, 112, 62, 112, 66, 100, 68, 98, 83, 107, 86, 117, 91,
        116, 95, 112, 98, 112, 119, 117, 121, 116, 126, 128, 132, 127, 136, 123, 139, 123, 161, 127, 162, 127, 167,
        125, 170, 140, 176, 138, 179, 118, 195, 105, 195, 75, 204, 57, 201, 52, 194, 39, 189, 28, 184, 28, 179,
        18, 175, 0, 175, 0, 57, 8, 52, 24, 46, 44, 34, 46, 29,
    ]],
    "camera": [
        [127, 95, 131, 95, 131, 140, 127, 140],  # the column
        [122, 137, 136, 137, 136, 146, 131, 151, 127, 151, 122, 145],  # the head
        [134, 137, 142, 131, 148, 131, 148, 135, 143, 135, 136, 140],  # the handle
        [123, 144, 127, 146, 109, 224, 101, 224],  # left leg
        [126, 150, 131, 150, 131, 213, 126, 213],  # back leg
        [134, 145, 138, 145, 178, 224, 173, 224],  # right leg
    ],
}
# fmt: on
