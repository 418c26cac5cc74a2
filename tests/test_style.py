"""Style transfer: its terms by hand, its limits, its independence, and every refusal."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.core.activations import distance
from helpers.core.images import load, resize
from helpers.core.networks import Network
from helpers.core.photos import photo
from helpers.core.priors import total_variation
from helpers.core.steps import finish
from helpers.style import (
    CONTENT,
    CONTENTS,
    EXPERIMENTS,
    FALLING,
    LUMINANCE,
    STYLES,
    distances,
    experiments,
    gallery,
    guided_objective,
    style_objective,
    style_targets,
    style_transfer,
    with_colour_of,
)
from helpers.texture import DEPTHS, gram, gram_distance, statistics_of, texture


@pytest.fixture
def small(device):
    """Two random convolutions: real activations of a layer with and without structure, in milliseconds."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU())
    return Network(model, "small").to(device)


PICTURE = {"layers": ["1", "4"], "content_layer": "4", "steps": 5, "levels": 1, "tv_weight": 0.0}


def pictures(count=1, size=(40, 48), seed=1):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def test_the_distance_of_contents_by_hand():
    target = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    both = torch.cat([target, torch.zeros_like(target), target + 5])
    assert torch.allclose(distance(both, target), torch.tensor([0.0, 1.0, 2.0]))
    assert torch.equal(distance(target, torch.zeros_like(target)).isfinite(), torch.tensor([True]))


def test_the_objective_is_the_sum_of_its_terms(small, device):
    content, style, image = (pictures(seed=s).to(device) for s in (1, 2, 3))
    grams = style_targets(small, [style], [1.0], ["1"])
    terms = style_objective(
        small, content, grams, content_layer="4", content_weight=2.0, style_weights={"1": 3.0}, tv_weight=4.0
    )(image)
    f, p = small.activation(image, "4"), small.activation(content, "4")
    g, a = gram(small.activation(image, "1")), gram(small.activation(style, "1"))
    assert terms["content"].item() == pytest.approx(2 * ((f - p).square().sum() / p.square().sum()).item(), rel=1e-5)
    assert terms["style 1"].item() == pytest.approx(3 * ((g - a).square().sum() / a.square().sum()).item(), rel=1e-5)
    assert terms["tv"].item() == pytest.approx(4 * total_variation(image, 2.0).item() / image.numel(), rel=1e-5)
    assert list(terms) == ["content", "style 1", "tv"]


def test_the_gradient_agrees_with_finite_differences(small):
    network = small.double().to("cpu")
    content, style = pictures(size=(8, 8)).double(), pictures(size=(10, 9), seed=2).double()
    grams = style_targets(network, [style], [1.0], ["1", "4"])
    objective = style_objective(
        network,
        content,
        grams,
        content_layer="4",
        content_weight=1.0,
        style_weights={"1": 1.0, "4": 0.5},
        tv_weight=0.1,
        doubled=False,
    )
    image = pictures(size=(8, 8), seed=3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sum(objective(x).values()), image)


def test_mixed_grams_have_the_gradient_of_mixed_losses(small, device):
    styles = [pictures(seed=s).to(device) for s in (2, 3)]
    image = pictures(seed=4).to(device).requires_grad_()
    mixed = style_targets(small, styles, [0.3, 0.7], ["4"])["4"]
    g = gram(small.activation(image, "4"))
    (ours,) = torch.autograd.grad((g - mixed).square().sum(), image, retain_graph=True)
    apart = sum(
        share * (g - gram(small.activation(style, "4"))).square().sum()
        for share, style in zip((0.3, 0.7), styles, strict=True)
    )
    (theirs,) = torch.autograd.grad(apart, image)
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * theirs.abs().max())


def guided(features, masks):
    """The Gram matrix of each region: an answer to exercise 9.4."""
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    flat = features.flatten(2)[:, None] * small[:, None]
    return flat @ flat.mT / small.square().sum(1)[:, None, None]


def test_guided_by_one_mask_of_ones_it_is_the_plain_objective(small, device):
    content, style, images = pictures(seed=1).to(device), pictures(seed=2).to(device), pictures(2, seed=3).to(device)
    weighing = {"content_layer": "4", "content_weight": 2.0, "tv_weight": 4.0}
    plain = style_objective(
        small, content, style_targets(small, [style], [1.0], ["1", "4"]), style_weights={"1": 1.5, "4": 1.5}, **weighing
    )(images)
    ones = torch.ones(1, 40, 48, device=device)
    found = guided_objective(small, content, [style], ones, guided, style_weight=3.0, layers=["1", "4"], **weighing)(
        images
    )
    assert list(found) == ["content", "tv", "style 1"]
    torch.testing.assert_close(found["style 1"], plain["style 1"] + plain["style 4"], rtol=1e-4, atol=0)
    assert torch.equal(found["content"], plain["content"]) and torch.equal(found["tv"], plain["tv"])


def test_each_region_has_its_own_style_and_sees_no_other(small, device):
    styles = [pictures(seed=s).to(device) for s in (2, 3)]
    masks = torch.zeros(2, 40, 48, device=device)
    masks[0, :, :24], masks[1, :, 24:] = 1, 1
    image = pictures(seed=4).to(device).requires_grad_()
    found = guided_objective(
        small, image.detach(), styles, masks, guided, content_weight=0, content_layer="4", layers=["1"], doubled=False
    )(image)
    assert list(found) == ["style 1", "style 2"]
    values = small.activation(image, "1")
    for name, half, style in zip(found, (values[..., :24], values[..., 24:]), styles, strict=True):
        torch.testing.assert_close(found[name], gram_distance(gram(half), gram(small.activation(style, "1"))))
    (gradient,) = torch.autograd.grad(found["style 1"].sum(), image)
    assert gradient[..., :25].abs().amin((0, 1, 2)).max() > 0 and gradient[..., 25:].abs().max() == 0


def test_guided_styles_that_do_not_fit_the_masks_are_refused(small):
    with pytest.raises(ValueError, match="styles must be one for each of the 2 masks, not 1"):
        guided_objective(small, pictures(), [pictures()], torch.ones(2, 40, 48), guided)
    with pytest.raises(ValueError, match="content_layer must be named for network small"):
        guided_objective(small, pictures(), [pictures()], torch.ones(1, 40, 48), guided, layers=["1"])


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
def test_style_weight_zero_returns_the_content(small, optimiser):
    content = pictures()
    last = finish(style_transfer(small, content, pictures(seed=2), style_weight=0, optimiser=optimiser, **PICTURE))
    assert torch.allclose(last.image.cpu(), content, atol=1e-6) and last.losses == {"content": 0}


@pytest.mark.parametrize("statistics", ["gram", "diagonal", "means"])
def test_content_weight_zero_is_texture_synthesis(small, statistics):
    """From the same noise, of the same weights: step for step the same pictures."""
    style = pictures(size=(64, 64), seed=2)
    asked = {"layers": ["1", "4"], "doubled": False, "statistics": statistics, "steps": 4, "levels": 1, "seed": 7}
    ours = style_transfer(
        small, pictures(size=(64, 64)), style, 1.0, 0.0, start="noise", content_layer="4", tv_weight=0.0, **asked
    )
    theirs = texture(small, style, size=64, range_weight=0.0, **asked)
    for our, their in zip(ours, theirs, strict=True):
        assert list(our.losses.values()) == pytest.approx(list(their.losses.values()), rel=1e-3)
        assert torch.allclose(our.image, their.image, atol=1e-4)


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
@pytest.mark.parametrize("start", ["content", "noise"])
def test_the_loss_falls(small, optimiser, start):
    steps = list(
        style_transfer(
            small, pictures(), pictures(seed=2) ** 4, start=start, optimiser=optimiser, **PICTURE | {"steps": 12}
        )
    )
    assert [step.index for step in steps] == list(range(1, 13))
    assert sum(steps[-1].losses.values()) < 0.8 * sum(steps[0].losses.values())
    assert all(step.image.min() >= 0 and step.image.max() <= 1 for step in steps)


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
def test_a_batch_gives_what_single_runs_give(small, optimiser):
    contents = pictures(2)
    asked = PICTURE | {"optimiser": optimiser}
    together = finish(style_transfer(small, contents, pictures(seed=2), **asked)).image
    alone = [finish(style_transfer(small, one[None], pictures(seed=2), **asked)).image for one in contents]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_a_seed_repeats_itself_and_another_does_not(small):
    runs = [
        finish(style_transfer(small, pictures(), pictures(seed=2), start="noise", seed=seed, **PICTURE)).image
        for seed in (3, 3, 4)
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.allclose(runs[0], runs[2])


def test_total_variation_smooths(small):
    rough, smooth = (
        finish(style_transfer(small, pictures(), pictures(seed=2), **PICTURE | {"steps": 15, "tv_weight": tv})).image
        for tv in (0.0, 50.0)
    )
    assert total_variation(smooth) < 0.7 * total_variation(rough)


def test_kept_colours_are_the_contents():
    content, image = pictures(seed=5) * 0.5 + 0.25, pictures(seed=6) * 0.2 + 0.4
    mixed = with_colour_of(image, content)
    weights = torch.tensor(LUMINANCE).view(1, 3, 1, 1)
    inside = (mixed > 0).all(1) & (mixed < 1).all(1)
    assert inside.float().mean() > 0.8
    brightness = ((mixed - image) * weights).sum(1)[inside]
    assert brightness.abs().max() < 1e-5
    chroma = lambda x: x - (x * weights).sum(1, keepdim=True)  # noqa: E731
    difference = (chroma(mixed) - chroma(content)).abs().amax(1)[inside]
    assert difference.max() < 1e-5


def test_keep_colour_changes_only_what_is_shown(small):
    content = pictures()
    plain, kept = (
        list(style_transfer(small, content, pictures(seed=2), keep_colour=keep, **PICTURE)) for keep in (False, True)
    )
    assert plain[-1].losses == kept[-1].losses
    assert torch.allclose(kept[-1].image, with_colour_of(plain[-1].image, content.to(plain[-1].image)), atol=1e-6)


def test_blend_goes_from_one_style_to_the_other(small):
    first, second = pictures(seed=2), pictures(seed=3) ** 3
    run = lambda **more: finish(style_transfer(small, pictures(), first, **PICTURE, **more)).image  # noqa: E731
    assert torch.allclose(run(second=second, blend=0.0), run(), atol=1e-5)
    assert not torch.allclose(run(second=second, blend=1.0), run(), atol=1e-2)


def test_levels_end_at_the_full_size_and_count_through(small):
    content = pictures(size=(136, 128))
    steps = list(style_transfer(small, content, pictures(seed=2), **PICTURE | {"steps": 14, "levels": 3}))
    assert [step.index for step in steps] == list(range(1, 15)) and steps[-1].total == 14
    assert all(step.image.shape == content.shape for step in steps)


def stripes(size, period):
    """Upright, soft stripes, so many pixels from one to the next."""
    return (0.5 + 0.4 * ((torch.arange(size) + 0.5) * 2 * torch.pi / period).sin()).expand(1, 3, size, size)


def test_the_style_is_resized_once_so_that_a_larger_scale_makes_larger_strokes(small):
    """Stripes of 32 pixels at four times the content's size are stripes of 8, of 16 at scale 2, of 32 at scale 4."""
    content = pictures(size=(48, 48))
    fine = stripes(192, 32)
    for scale, period in ((1.0, 8), (2.0, 16), (4.0, 32)):
        run = style_transfer(small, content, fine, style_scale=scale, **PICTURE)
        by_hand = style_targets(small, [stripes(round(48 * scale), period)], [1.0], ["1", "4"])
        first = style_objective(
            small, content, by_hand, content_layer="4", content_weight=0, style_weights={"1": 5.0, "4": 5.0}
        )(content)
        found = next(iter(run)).losses
        for name, term in first.items():
            assert found[name] == pytest.approx(term.item(), rel=0.1), (scale, name)
    small_style, large_style = fine[..., ::4, ::4], fine
    sharp, blurred = (
        next(iter(style_transfer(small, content, each, style_scale=4.0, **PICTURE))).losses["style 1"]
        for each in (large_style, small_style)
    )
    assert sharp != pytest.approx(blurred, rel=0.02)  # what was thrown away before does not come back


def test_a_size_resizes_the_content(small):
    content = pictures(size=(96, 120))
    step = next(iter(style_transfer(small, content, pictures(seed=2), size=60, **PICTURE)))
    assert torch.equal(step.image.cpu(), resize(content, 60)) and step.image.shape == (1, 3, 48, 60)


@pytest.mark.parametrize("statistics", ["gram", "diagonal", "means"])
def test_statistics_decide_what_is_matched(small, statistics):
    content, style = pictures(), pictures(seed=2) ** 3
    asked = PICTURE | {"steps": 30, "content_weight": 0.0, "statistics": statistics}
    last = finish(style_transfer(small, content, style, 1.0, **asked)).image
    far = {}
    for name, image in {"before": content, "after": last.cpu()}.items():
        pairs = zip(*(small.activations(each, ["1", "4"]).values() for each in (image, resize(style, 48))), strict=True)
        far[name] = sum(
            gram_distance(statistics_of(here, statistics), statistics_of(there, statistics)).item()
            for here, there in pairs
        )
    assert far["after"] < 0.05 * far["before"]


def test_the_layers_of_a_depth_weigh_less_with_depth(lite0):
    first = next(iter(style_transfer(lite0, pictures(size=(64, 64)), pictures(seed=2), depth=3, levels=1)))
    alike = next(
        iter(style_transfer(lite0, pictures(size=(64, 64)), pictures(seed=2), depth=3, levels=1, weights=[1, 1, 1]))
    )
    names = [name for name in first.losses if name.startswith("style")]
    assert len(names) == 3
    for name, weight in zip(names, FALLING, strict=False):
        share = weight / sum(FALLING[:3])
        assert first.losses[name] == pytest.approx(3 * share * alike.losses[name], rel=1e-4)


def test_distances_are_the_terms_of_weight_one(small):
    content, style, image = pictures(), pictures(size=(20, 24), seed=2), pictures(seed=3)
    asked = {"content_layer": "4", "layers": ["1", "4"]}
    found = distances(small, image, content, style, **asked)
    aims = small.activations(resize(style, 48), ["1", "4"])
    seen = small.activations(image, ["1", "4"])
    assert found["content"] == pytest.approx(distance(seen["4"], small.activation(content, "4")).item(), rel=1e-4)
    far = [gram_distance(gram(seen[layer]), gram(aims[layer])).item() for layer in ("1", "4")]
    assert found["style"] == pytest.approx(sum(far) / 2, rel=1e-4)
    assert distances(small, content, content, style, **asked)["content"] == 0


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_grey_and_transparent_pictures_of_any_size_work(small, mode, tmp_path):
    from PIL import Image

    path = tmp_path / "picture.png"
    Image.effect_noise((70, 50), 60).convert(mode).save(path)
    last = finish(style_transfer(small, load(path), pictures(size=(33, 91), seed=2), **PICTURE))
    assert last.image.shape == (1, 3, 50, 70)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"content": torch.rand(3, 40, 40)}, ValueError, r"content must have shape \(N, 3, H, W\)"),
        ({"style": torch.rand(2, 3, 40, 40)}, ValueError, "style must be a single picture, not a batch of 2"),
        ({"second": torch.full((1, 3, 40, 40), torch.nan)}, ValueError, "second must be finite"),
        ({"style_weight": -1.0}, ValueError, "style_weight must be at least 0, not -1"),
        ({"tv_weight": float("inf")}, ValueError, "tv_weight must be at least 0, not inf"),
        ({"style_weight": 0, "content_weight": 0}, ValueError, "must not both be 0"),
        ({"style_scale": 0}, ValueError, "style_scale must be above 0"),
        ({"blend": 1.5}, ValueError, "blend must be from 0 to 1"),
        ({"steps": 0}, ValueError, "steps must be at least 1, not 0"),
        ({"levels": 0}, ValueError, "levels must be at least 1, not 0"),
        ({"steps": 2, "levels": 3}, ValueError, "steps must be at least 3, not 2"),
        ({"levels": 2}, ValueError, "at least 32 pixels a side at the coarsest of 2 levels"),
        ({"size": 8}, ValueError, "size must be a whole number of at least 32, not 8"),
        ({"statistics": "mean"}, ValueError, "statistics must be one of 'gram', 'diagonal', 'means', not 'mean'"),
        ({"start": "grey"}, ValueError, "start must be one of 'content', 'noise', not 'grey'"),
        ({"optimiser": "SGD"}, ValueError, "optimiser must be one of 'L-BFGS', 'Adam', not 'SGD'"),
        ({"content_layer": "9"}, ValueError, "layer '9' is unknown"),
        ({"content_layer": None}, ValueError, "content_layer must be named"),
        ({"layers": []}, ValueError, "at least one layer"),
        ({"layers": None}, ValueError, "name them with layers"),
        ({"weights": [1.0]}, ValueError, "one entry for each of the 2 layers"),
    ],
)
def test_bad_arguments_are_refused_at_once(small, changes, error, message):
    arguments = {"content": pictures(), "style": pictures(seed=2), **PICTURE} | changes
    with pytest.raises(error, match=message) as caught:
        style_transfer(small, **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", CONTENT)
def test_every_network_has_a_content_layer_among_its_style_layers_depth(untrained, name):
    network = untrained(name)
    assert len(network.shape(CONTENT[name])) == 3 and name in DEPTHS


def test_the_default_network_paints_the_cat_and_keeps_it(lite0):
    content, style = photo("chelsea", 96), photo("night")
    before = distances(lite0, content, content, style)["style"]
    painted = distances(lite0, finish(style_transfer(lite0, content, style, steps=60)).image, content, style)
    free = finish(style_transfer(lite0, content, style, content_weight=0, steps=60)).image
    assert painted["content"] < 0.8 < distances(lite0, free, content, style)["content"]
    assert painted["style"] < 0.3 * before


# ── The stored pictures ──


def test_the_gallery_has_its_contents_in_its_styles(lite0):
    tiles, layer = gallery(), CONTENT[lite0.name]
    assert list(tiles) == [(content, style) for content in CONTENTS for style in STYLES]
    assert len(CONTENTS) >= 3 and len(STYLES) >= 4
    kept = {content: photo(content, 256) for content in CONTENTS}
    seen = {content: lite0.activation(image, layer) for content, image in kept.items()}
    for (content, style), tile in tiles.items():
        assert tile.shape == (1, 3, 256, 256)
        here = lite0.activation(tile, layer)
        assert min(CONTENTS, key=lambda name: distance(here, seen[name]).item()) == content, (content, style)
    for content, style in zip((*CONTENTS, CONTENTS[0]), STYLES, strict=True):  # each once: these are slow
        before = distances(lite0, kept[content], kept[content], photo(style))
        after = distances(lite0, tiles[content, style], kept[content], photo(style))
        assert after["content"] < 1 and after["style"] < 0.3 * before["style"], (content, style)  # JPEG adds to both


def test_the_stored_experiments_show_what_holds_the_picture_in_place(lite0):
    tiles, cat = experiments(), photo("chelsea", 192)
    assert list(tiles) == list(EXPERIMENTS) and all(tile.shape == (1, 3, 192, 192) for tile in tiles.values())
    far = {
        name: distances(lite0, tile, cat, photo(EXPERIMENTS[name][0]))
        for name, tile in tiles.items()
        if name.startswith("start")
    }
    before = distances(lite0, cat, cat, photo("night"))["style"]
    painted, free = (far[f"start content, content weight {weight}"] for weight in (1, 0))
    assert painted["content"] < min(0.7, free["content"] - 0.4)
    assert painted["style"] < 0.15 * before
    again, gone = (far[f"start noise, content weight {weight}"]["content"] for weight in (1, 0))
    assert again < 1 < gone


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_in_the_stored_grid_a_larger_ratio_costs_content(lite0, depth):
    tiles, cat = experiments(), photo("chelsea", 192)
    rows = [tiles[f"β/α = {ratio}, up to conv{depth}"] for ratio in (1, 10, 100)]
    layer = CONTENT[lite0.name]
    contents = distance(lite0.activation(torch.cat(rows), layer), lite0.activation(cat, layer)).tolist()
    assert contents == sorted(contents)
