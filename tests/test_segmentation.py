"""Segmentation: seeds, cuts with a known answer, and maps that give no seeds."""

import cv2
import pytest
import torch

from helpers.core.photos import photo
from helpers.saliency import saliency, smoothgrad
from helpers.segmentation import (
    OUTLINES,
    Segmentation,
    as_published,
    grabcut,
    outline,
    overlap,
    seeds,
    segment,
    ten_crops,
)


@pytest.fixture
def disc():
    """A red disc on a green lawn, both a little uneven, and a map that is hot inside the disc."""
    random = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    distance = ((x - 30) ** 2 + (y - 34) ** 2).sqrt()
    inside = distance < 15
    colours = torch.where(
        inside, torch.tensor([0.8, 0.2, 0.1]).view(3, 1, 1), torch.tensor([0.1, 0.5, 0.2]).view(3, 1, 1)
    )
    image = (colours + 0.05 * torch.randn(3, 64, 64, generator=random)).clamp(0, 1)[None]
    return image, torch.exp(-distance / 10), inside


def test_a_few_hot_pixels_grow_to_the_whole_object(disc):
    image, heat, inside = disc
    found = grabcut(image, heat, blur=0)
    assert (found.seeds == 1).sum() < 0.4 * inside.sum() and overlap(found.mask, inside) > 0.97
    assert found.box == pytest.approx((20, 16, 49, 45), abs=1)


def test_seeds_are_the_quantiles_of_the_map(disc):
    image, heat, _ = disc
    seeds = grabcut(image, heat, foreground=0.9, background=0.4, blur=0).seeds
    assert torch.equal(seeds == 1, heat > heat.quantile(0.9)) and torch.equal(seeds == -1, heat <= heat.quantile(0.4))
    assert (seeds == 1).sum() == pytest.approx(0.1 * 4096, abs=8)
    assert (seeds == -1).sum() == pytest.approx(0.4 * 4096, abs=8)


def test_seeds_need_a_map_alone():
    heat = torch.arange(100.0).view(1, 1, 10, 10)
    found = seeds(heat, 0.9, 0.3)
    assert found.shape == (10, 10) and found.dtype == torch.int8
    assert (found == 1).sum() == 10 and (found == -1).sum() == 30  # 90 … 99 lie above 89.1, 0 … 29 below 29.7
    with pytest.raises(ValueError, match=r"heat has fewer than 5 pixels above its quantile 0\.97"):
        seeds(heat, 0.97, 0.3)


def test_seeds_are_never_overruled(disc):
    image, heat, inside = disc
    found = grabcut(image, 1 - heat, largest=False, blur=0)  # the map points at the lawn
    assert found.mask[found.seeds == 1].all() and not found.mask[found.seeds == -1].any()
    assert overlap(found.mask, inside) < 0.1


def test_only_the_largest_piece_is_kept_if_asked(disc):
    image, heat, inside = disc
    image = image.clone()
    image[..., 2:8, 54:60] = image[..., 30:36, 30:36]  # a second, small object of the same colour
    heat = heat.clone()
    heat[2:8, 54:60] = 2
    both, one = (grabcut(image, heat, blur=0, largest=largest).mask for largest in (False, True))
    assert both[4, 56] and not one[4, 56] and both[34, 30] and one[34, 30]
    assert overlap(one, inside) > 0.95


def test_the_same_arguments_give_the_same_mask(disc):
    image, heat, _ = disc
    first = grabcut(image, heat)
    cv2.setRNGSeed(12345)
    assert torch.equal(grabcut(image, heat).mask, first.mask)
    for shape in ((1, 64, 64), (1, 1, 64, 64)):
        assert torch.equal(grabcut(image, heat.view(shape)).mask, first.mask)


def test_blur_evens_out_a_speckled_map(disc):
    image, heat, _ = disc
    speckled = heat * (torch.rand(64, 64, generator=torch.Generator().manual_seed(1)) < 0.3)
    coarse, even = (grabcut(image, speckled, blur=blur).seeds == 1 for blur in (0, 3))

    def edges(seeds):
        return (seeds[1:] != seeds[:-1]).sum() + (seeds[:, 1:] != seeds[:, :-1]).sum()

    assert edges(even) < 0.3 * edges(coarse)


def test_colours_that_stay_are_those_of_the_seeds_alone(disc):
    image, heat, inside = disc
    found = grabcut(image, heat, blur=0, refit=False)
    assert overlap(found.mask, inside) > 0.97  # two clear colours need no second round
    # what lies between the quantiles must not colour the background: here it is the object's own colour
    wide = torch.where(inside, 1.0, 0.0) + 0.01 * heat
    other = grabcut(image, wide, foreground=0.98, background=0.5, blur=0, refit=False)
    assert overlap(other.mask, inside) > 0.97
    assert torch.equal(other.mask, grabcut(image, wide, 0.98, 0.5, 0, iterations=9, refit=False).mask), "one cut"


@pytest.mark.parametrize("heat", ["smoothgrad", "gradient", "ten crops", "guided"])
def test_segment_is_the_map_followed_by_the_cut(lite0, heat):
    image = photo("flower", 96)
    maps = {"smoothgrad": smoothgrad, "ten crops": ten_crops}
    values = maps[heat](lite0, image, "daisy") if heat in maps else saliency(lite0, image, "daisy", rule=heat)
    assert torch.equal(segment(lite0, image, "daisy", heat).mask, grabcut(image, values).mask)


def test_ten_crops_are_averaged_where_they_lie(lite0):
    image = photo("flower", 64)
    total, count = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    for top, left in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4)):
        for mirrored in (False, True):
            crop = image[..., top : top + 56, left : left + 56]
            heat = saliency(lite0, crop.flip(-1) if mirrored else crop, "daisy")
            total[..., top : top + 56, left : left + 56] += heat.flip(-1) if mirrored else heat
            count[..., top : top + 56, left : left + 56] += 1
    assert torch.allclose(ten_crops(lite0, image, "daisy"), total / count, rtol=1e-3, atol=1e-5)
    assert count.min() == 2 and count.max() == 10


def test_as_published_is_ten_crops_no_blur_and_one_cut(lite0):
    image = photo("flower", 96)
    expected = grabcut(image, ten_crops(lite0, image, "daisy"), blur=0, refit=False)
    assert torch.equal(as_published(lite0, image, "daisy").mask, expected.mask)


def test_a_flower_is_found_by_a_network_that_never_saw_an_outline(lite0):
    image = photo("flower", 224)
    assert overlap(segment(lite0, image, "daisy").mask, outline("flower")) > 0.9


@pytest.mark.parametrize("name", OUTLINES)
def test_an_outline_separates_what_it_surrounds(name):
    small, usual = outline(name, 112), outline(name)
    assert usual.shape == (224, 224) and usual.dtype == torch.bool and 0.03 < usual.float().mean() < 0.4
    larger = small.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert overlap(larger, usual) > (0.7 if name == "camera" else 0.95)


def test_the_outline_of_the_flower_holds_what_is_orange():
    image, mask = photo("flower", 224), outline("flower")
    orange = (image[0, 0] > 0.5) & (image[0, 2] < 0.6)
    orange[186:] = False  # a second flower
    assert overlap(orange, mask) > 0.9


def test_a_cut_out_keeps_the_object_and_nothing_else():
    mask = torch.tensor([[False, True], [False, False]])
    image = torch.rand(1, 3, 2, 2)
    cut = Segmentation(mask, mask.to(torch.int8)).cut_out(image, fill=0.25)
    assert torch.equal(cut[0, :, 0, 1], image[0, :, 0, 1]) and (cut[0, :, ~mask] == 0.25).all()
    assert Segmentation(mask, mask).box == (0, 1, 1, 2)


def test_seeds_are_marked_in_yellow_and_under_blue():
    image = torch.full((1, 3, 1, 3), 0.5)
    found = Segmentation(torch.zeros(1, 3, dtype=torch.bool), torch.tensor([[1, 0, -1]], dtype=torch.int8))
    expected = torch.tensor([[1.0, 0.9, 0.1], [0.5, 0.5, 0.5], [0.3, 0.4, 0.75]])
    assert torch.allclose(found.marked(image)[0, :, 0].T, expected)


def test_overlap_of_masks_by_hand():
    mask = torch.tensor([[True, True, False], [False, True, False]])
    other = torch.tensor([[False, True, True], [False, True, True]])
    assert overlap(mask, other) == 2 / 5 and overlap(mask, mask) == 1
    assert overlap(mask, ~mask) == 0 and overlap(mask & False, mask & False) == 0
    with pytest.raises(ValueError, match=r"masks must have one shape, not \(2, 3\) and \(3, 2\)"):
        overlap(mask, mask.T)


def test_an_unknown_outline_is_named():
    with pytest.raises(ValueError, match="outline 'coffee' is unknown; outlines: flower, china, camera"):
        outline("coffee")


PICTURE, HEAT = torch.rand(1, 3, 16, 16), torch.rand(16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": torch.full((1, 3, 16, 16), float("nan"))}, "image must be finite"),
        ({"image": torch.rand(2, 3, 16, 16)}, "image must be a single picture, not a batch of 2"),
        ({"heat": torch.rand(16, 15)}, r"heat must be one map of 16×16 pixels, not \(16, 15\)"),
        ({"heat": torch.rand(1, 3, 16, 16)}, r"heat must be one map of 16×16 pixels, not \(1, 3, 16, 16\)"),
        ({"heat": torch.full((16, 16), float("nan"))}, "heat must be finite"),
        ({"heat": torch.ones(16, 16)}, "heat has fewer than 5 pixels above its quantile 0.95"),
        ({"heat": (HEAT > 0.5).float()}, "shared by too many pixels"),
        ({"foreground": 0.999}, "heat has fewer than 5 pixels above its quantile 0.999"),
        ({"background": 0.001}, "heat has fewer than 5 pixels below its quantile 0.001"),
        ({"foreground": 0.3}, "0 < background < foreground < 1 must hold, not background 0.3 and foreground 0.3"),
        ({"foreground": 1.0}, "0 < background < foreground < 1 must hold"),
        ({"background": 0.0}, "0 < background < foreground < 1 must hold"),
        ({"blur": -1}, "blur must be at least 0, not -1"),
        ({"iterations": 0}, "iterations must be at least 1, not 0"),
    ],
)
def test_what_gives_no_seeds_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        grabcut(**{"image": PICTURE, "heat": HEAT, "blur": 0} | arguments)


def test_bad_arguments_of_segment_are_named_before_any_work(lite0):
    with pytest.raises(ValueError, match="heat must be one of 'smoothgrad', 'gradient', 'ten crops', 'guided'"):
        segment(lite0, PICTURE, 0, heat="occlusion")
    with pytest.raises(ValueError, match="image must be a single picture, not a batch of 2"):
        segment(lite0, torch.rand(2, 3, 16, 16), 0)
    with pytest.raises(ValueError, match="image must be a single picture, not a batch of 2"):
        ten_crops(lite0, torch.rand(2, 3, 16, 16), 0)
