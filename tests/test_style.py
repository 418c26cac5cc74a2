"""Style transfer: its terms by hand, its limits, its independence, and every refusal."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.core.activations import distance
from helpers.core.images import load
from helpers.core.networks import Network
from helpers.core.photos import photo
from helpers.core.priors import total_variation
from helpers.core.steps import finish
from helpers.style import (
    CONTENT,
    LUMINANCE,
    blended_grams,
    guided_objective,
    style_objective,
    style_transfer,
    with_colour_of,
)
from helpers.texture import DEPTHS, gram, gram_distance, texture


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
    grams = blended_grams(small, [style], [1.0], ["1"])
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
    grams = blended_grams(network, [style], [1.0], ["1", "4"])
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
    mixed = blended_grams(small, styles, [0.3, 0.7], ["4"])["4"]
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
        small, content, blended_grams(small, [style], [1.0], ["1", "4"]), style_weights={"1": 1.5, "4": 1.5}, **weighing
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


def test_content_weight_zero_is_texture_synthesis(small):
    """From the same noise, of the same weights: step for step the same pictures."""
    style = pictures(size=(48, 48), seed=2)
    ours = style_transfer(
        small, pictures(size=(64, 64)), style, 1.0, 0.0, start="noise", layers=["1", "4"], content_layer="4",
        steps=4, seed=7, doubled=False, levels=1, tv_weight=0.0,
    )  # fmt: skip
    theirs = texture(small, style, size=64, steps=4, seed=7, layers=["1", "4"], doubled=False)
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


def test_style_scale_changes_the_target(small):
    style = photo("brick", 96)
    one, half = (
        finish(style_transfer(small, pictures(), style, style_scale=scale, **PICTURE)).losses for scale in (1.0, 0.5)
    )
    assert one["style 4"] != pytest.approx(half["style 4"], rel=1e-3)


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


def test_the_default_network_puts_a_texture_on_the_cat(lite0):
    content, style = photo("chelsea", 96), photo("ihc", 96)
    steps = list(style_transfer(lite0, content, style, steps=25))
    first, last = steps[0].losses, steps[-1].losses
    assert first["content"] < 1e-6 and 0 < last["content"] < 1
    assert sum(v for k, v in last.items() if k != "content") < 0.3 * sum(first.values())
