"""Gram matrices and the texture loss: hand-computed answers, invariants and finite differences."""

import pytest
import torch
from torch import nn

from helpers.core import networks, photos, registry
from helpers.core.images import resize
from helpers.core.networks import Network
from helpers.texture import (
    DEPTHS,
    descend,
    gram,
    gram_distance,
    layer_weights,
    layers_to,
    noise_about,
    products,
    shares,
    shifted_objective,
    signed,
    statistics_of,
    texture,
    texture_objective,
    twice_as_large,
    with_average_pooling,
)


@pytest.fixture(scope="module")
def gravel():
    return photos.photo("gravel", 64).cpu()  # made before `pictures_on_the_cpu` is in force


@pytest.fixture(scope="module")
def tiny():
    """A real if small network in float64, for finite differences: smooth, so that they are exact."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Tanh(), nn.Conv2d(5, 4, 3), nn.Softplus()).double()
    return Network(model, "tiny", layers={"first": "1", "second": "3"})


def test_gram_by_hand():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]]])
    # Σ F1² = 30, Σ F1 F2 = 2 − 4, Σ F2² = 2, each over 4 positions
    assert gram(features).tolist() == [[[7.5, -0.5], [-0.5, 0.5]]]


def test_gram_does_not_know_where_things_are():
    torch.manual_seed(0)
    features = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    shuffled = features.flatten(2)[..., torch.randperm(42)].view(2, 5, 7, 6)  # another shape, too
    torch.testing.assert_close(gram(shuffled), gram(features))


def test_gram_does_not_depend_on_how_much_of_a_texture_there_is():
    features = torch.rand(1, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(gram(features.tile(1, 1, 2, 3)), gram(features))


def test_what_is_left_of_the_gram_matrix_by_hand():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]]])
    assert statistics_of(features, "diagonal").tolist() == [[7.5, 0.5]]  # of the matrix above
    assert statistics_of(features, "means").tolist() == [[2.5, 0.0]]
    assert torch.equal(statistics_of(features), gram(features))
    with pytest.raises(ValueError, match="statistics must be one of 'gram', 'diagonal', 'means', not 'median'"):
        statistics_of(features, "median")


@pytest.mark.parametrize("statistics", ["diagonal", "means"])
def test_the_objective_of_less_than_the_gram_matrix_written_out(tiny, statistics):
    torch.manual_seed(0)
    image, other = torch.rand(1, 3, 9, 8).double(), torch.rand(2, 3, 9, 8).double()
    term = texture_objective(tiny, image, {"first": 0.5}, statistics=statistics)(other)["first"]
    maps, aims = tiny.activation(other, "first"), tiny.activation(image, "first")[0]
    for k in range(2):
        kept = [[float((m**2 if statistics == "diagonal" else m).mean()) for m in each] for each in (maps[k], aims)]
        off = sum((a - b) ** 2 for a, b in zip(*kept, strict=True)) / sum(b**2 for b in kept[1])
        assert float(term[k]) == pytest.approx(0.5 * off)


def test_gram_never_mixes_the_items_of_a_batch():
    features = torch.randn(3, 4, 5, 6)
    separate = torch.cat([gram(item) for item in features.split(1)])
    torch.testing.assert_close(gram(features), separate)
    features.requires_grad_()
    gram(features)[1].square().sum().backward()
    assert features.grad[0].abs().max() == 0 and features.grad[2].abs().max() == 0 and features.grad[1].abs().max() > 0


def test_gram_gradient_against_finite_differences():
    features = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gram, features)


def test_gram_distance_by_hand():
    grams = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    target = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]])
    assert gram_distance(grams, target).tolist() == [0.5, 0.0, 1.0]
    assert gram_distance(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)).tolist() == [0.0]


def test_the_objective_is_zero_on_the_texture_itself(lite0, gravel):
    terms = texture_objective(lite0, gravel, {"relu1": 0.5, "blocks.1": 0.5})(gravel)
    assert all(term.shape == (1,) and float(term) < 1e-10 for term in terms.values())


def test_the_objective_is_the_weighted_sum_written_out(lite0, gravel):
    other = photos.photo("brick", 64)
    term = texture_objective(lite0, gravel, {"blocks.1": 0.25}, doubled=False)(other)["blocks.1"]
    f, a = (lite0.activation(picture, "blocks.1")[0].flatten(1).double() for picture in (other, gravel))
    g, t = f @ f.T / f.shape[1], a @ a.T / a.shape[1]
    assert float(term) == pytest.approx(float(0.25 * (g - t).pow(2).sum() / t.pow(2).sum()), rel=1e-4)


def test_the_objective_keeps_items_apart(lite0, gravel):
    pair = torch.cat([gravel, photos.photo("brick", 64)])
    objective = texture_objective(lite0, photos.photo("grass", 64), {"relu1": 1.0, "blocks.2": 1.0})
    together, apart = objective(pair), [objective(item) for item in pair.split(1)]
    for layer in together:
        torch.testing.assert_close(together[layer], torch.cat([terms[layer] for terms in apart]), rtol=1e-4, atol=1e-7)


def test_the_gradient_of_the_objective_against_finite_differences(tiny):
    torch.manual_seed(0)
    target, start = torch.rand(1, 3, 9, 8).double(), torch.rand(2, 3, 7, 8).double().requires_grad_()
    objective = texture_objective(tiny, target, {"first": 0.3, "second": 0.7})
    assert torch.autograd.gradcheck(lambda images: sum(objective(images).values()), start)


def first_with_the_one_beside(features, dy, dx):
    height, width = features.shape[2:]
    return torch.einsum("nihw,njhw->nij", features[..., : height - dy, : width - dx], features[..., dy:, dx:])


def test_the_shifted_objective_is_the_mean_over_layers_and_shifts(tiny):
    torch.manual_seed(0)
    image, other = torch.rand(1, 3, 9, 8).double(), torch.rand(2, 3, 9, 8).double()
    shifts = [(0, 0), (1, 2)]
    terms = shifted_objective(tiny, image, ["first", "second"], shifts, first_with_the_one_beside)(other)
    assert list(terms) == ["first (0, 0)", "first (1, 2)", "second (0, 0)", "second (1, 2)"]
    tables = [first_with_the_one_beside(tiny.activation(x, "second"), 1, 2) for x in (other, image)]
    torch.testing.assert_close(terms["second (1, 2)"], gram_distance(*tables) / 4)


def test_without_a_shift_the_shifted_objective_is_that_of_the_texture(tiny):
    torch.manual_seed(0)
    image, other = torch.rand(1, 3, 9, 8).double(), torch.rand(2, 3, 9, 8).double()
    shifted = shifted_objective(tiny, image, ["first"], [(0, 0)], lambda features, dy, dx: gram(features))(other)
    plain = texture_objective(tiny, image, {"first": 1.0})(other)
    torch.testing.assert_close(shifted["first (0, 0)"], plain["first"])


def test_descend_shows_the_start_first_and_each_image_with_its_own_loss():
    start = torch.rand(1, 3, 4, 4)
    run = list(descend([lambda image: {"sum": image.square().sum((1, 2, 3))}], start, 5))
    assert torch.equal(run[0].image, start)
    assert [step.index for step in run] == [1, 2, 3, 4, 5]
    for step in run[:1]:
        assert step.losses["sum"] == pytest.approx(float(step.image.square().sum()))


def test_descend_cuts_what_is_shown_and_not_what_is_optimised():
    target = torch.full((1, 3, 4, 4), 1.5)
    run = list(descend([lambda image: {"d": (image - target).square().sum((1, 2, 3))}], torch.zeros(1, 3, 4, 4), 30))
    assert float(run[-1].image.max()) == 1.0
    assert run[-1].losses["d"] < 1e-6  # reached only by pixels of 1.5


def test_texture_comes_nearer_step_by_step(lite0, gravel, device):
    network = lite0 if device == "cpu" else networks.load(device=device)
    run = list(texture(network, gravel, depth=3, size=(64, 48), levels=1, steps=30))
    assert run[-1].image.shape == (1, 3, 64, 48) and run[-1].image.device.type == device
    assert run[0].image.min() >= 0 and run[-1].image.max() <= 1
    assert list(run[0].losses) == [*layers_to(lite0, 3), "range"]
    assert sum(run[-1].losses.values()) < 0.1 * sum(run[0].losses.values())


def test_coarse_to_fine_each_level_begins_with_the_enlarged_result_of_the_one_before(tiny):
    image = torch.rand(1, 3, 70, 66, generator=torch.Generator().manual_seed(0)).double()
    run = list(texture(tiny, image, size=(64, 80), steps=40, layers=["first"], seed=3))
    coarse = list(texture(tiny, resize(image, (35, 33)), size=(32, 40), steps=10, levels=1, layers=["first"], seed=3))
    assert [step.index for step in run] == list(range(1, 41)) and {step.total for step in run} == {40}
    assert all(step.image.shape == (1, 3, 64, 80) for step in run)
    for step, alone in zip(run[:10], coarse, strict=True):
        torch.testing.assert_close(step.image, resize(alone.image, (64, 80)))
    near = texture_objective(tiny, image, {"first": 1.0})

    def objective(images):
        return {**near(images), "range": 100 * (images - images.clamp(0, 1)).square().mean((1, 2, 3))}

    enlarged = resize(coarse[-1].image, (64, 80))
    descent = list(descend([objective], enlarged, 30))
    for step, alone in zip(run[10:], descent, strict=True):
        assert step.losses == pytest.approx(alone.losses, rel=1e-6)
    torch.testing.assert_close(run[-1].image, descent[-1].image)


@pytest.mark.parametrize(("size", "levels", "as_with"), [(63, 2, 1), ((64, 48), 3, 1), (128, 3, 2)])
def test_sizes_that_are_too_small_are_left_out(tiny, size, levels, as_with):
    image = torch.rand(1, 3, 64, 70, generator=torch.Generator().manual_seed(0)).double()
    runs = [list(texture(tiny, image, size=size, levels=k, steps=8, layers=["first"])) for k in (levels, as_with)]
    assert [step.losses for step in runs[0]] == [step.losses for step in runs[1]]


def test_pixels_stay_in_range_unless_they_may_run_free(lite0):
    vivid = photos.photo("window", 64)
    runs = [list(texture(lite0, vivid, 3, 64, steps=60, range_weight=weight))[-1] for weight in (0.0, 100.0)]
    assert list(runs[0].losses) == layers_to(lite0, 3) and list(runs[1].losses) == [*layers_to(lite0, 3), "range"]
    objective = texture_objective(lite0, vivid, layer_weights(lite0, layers_to(lite0, 3), None))
    shown = [float(sum(objective(run.image).values())) for run in runs]  # cut to [0, 1]
    found = [sum(run.losses.values()) for run in runs]
    assert shown[0] > 2 * found[0] and shown[0] > 2 * shown[1]
    assert shown[1] == pytest.approx(found[1], rel=0.1)


@pytest.mark.parametrize(
    ("steps", "levels", "expected"),
    [(700, 2, [175, 525]), (700, 3, [87, 87, 526]), (700, 1, [700]), (3, 3, [1, 1, 1]), (2, 2, [1, 1])],
)
def test_the_finest_level_has_three_quarters_of_the_evaluations(steps, levels, expected):
    assert shares(steps, levels) == expected


def test_the_mean_of_a_product_is_an_entry_of_the_gram_matrix(lite0, gravel):
    maps = lite0.activation(gravel, "blocks.1")
    first, second, both = products(lite0, gravel, "blocks.1", 3, 7)
    assert torch.equal(first, maps[0, 3]) and torch.equal(second, maps[0, 7]) and torch.equal(both, first * second)
    torch.testing.assert_close(both.mean(), gram(maps)[0, 3, 7])
    torch.testing.assert_close(products(lite0, gravel, "blocks.1", 5, 5)[2].mean(), gram(maps)[0, 5, 5])


def test_signed_maps_are_red_above_zero_and_blue_below():
    pictures = signed(torch.tensor([[[2.0, -2.0, 0.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]]))
    assert pictures.shape == (2, 3, 1, 4)
    assert pictures[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 1], [1, 1, 1], [1, 0.5, 0.5]]
    assert (pictures[1] == 1).all()


def test_several_results_are_those_of_the_seeds_one_by_one(lite0, gravel):
    both = list(texture(lite0, gravel, depth=2, size=64, steps=6, count=2, seed=5))[-1].image
    for k in range(2):
        alone = list(texture(lite0, gravel, depth=2, size=64, steps=6, seed=5 + k))[-1].image
        assert torch.equal(alone, both[k : k + 1])
    assert not torch.equal(both[0], both[1])


def test_only_the_layers_with_weight_count(lite0, gravel):
    knobs = {"size": 40, "levels": 1, "steps": 5}
    one = list(texture(lite0, gravel, layers=["relu1"], **knobs))[-1].image
    weighted = list(texture(lite0, gravel, layers=["relu1", "blocks.1"], weights=[3, 0], **knobs))[-1].image
    torch.testing.assert_close(weighted, one, atol=1e-4, rtol=0)


def test_the_global_seed_is_left_alone(lite0, gravel):
    before = torch.get_rng_state()
    list(texture(lite0, gravel, depth=1, size=64, steps=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_has_the_colour_of_the_picture(gravel):
    values = noise_about(gravel, (64, 80), seed=3)
    assert values.shape == (1, 3, 64, 80)
    torch.testing.assert_close(values.mean((2, 3)), gravel.mean((2, 3)), atol=0.01, rtol=0)
    assert torch.equal(values, noise_about(gravel, (64, 80), seed=3))


def test_doubled_only_where_the_first_layer_skips_pixels(lite0, untrained, gravel):
    assert twice_as_large(lite0, gravel).shape == (1, 3, 128, 128)
    assert twice_as_large(untrained("vgg16_edges"), gravel) is gravel
    assert twice_as_large(Network(nn.Sequential(nn.Conv2d(3, 4, 3))), gravel) is gravel


def test_average_pooling_works_on_a_copy(untrained, gravel):
    network = untrained("vgg16_edges")
    kept = network.activation(gravel, "pool2")
    average = with_average_pooling(network, gravel)
    assert torch.equal(network.activation(gravel, "pool2"), kept)  # the original as it was
    assert next(average.parameters()) is next(network.parameters())  # one set of weights
    assert not any(isinstance(module, nn.MaxPool2d) for module in average.modules())
    before = average.activation(gravel, "relu1_2")
    expected = nn.functional.avg_pool2d(before, 2)
    ratio = network.activation(gravel, "pool1").mean() / expected.mean()
    torch.testing.assert_close(average.activation(gravel, "pool1"), ratio * expected)
    assert float(ratio) > 1
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_average_pooling_keeps_every_shape(untrained, gravel, name):
    network = untrained(name)
    average = with_average_pooling(network, gravel)
    layers = layers_to(network)
    shapes = [values.shape for values in network.activations(gravel, layers).values()]
    assert [values.shape for values in average.activations(gravel, layers).values()] == shapes


def test_texture_with_average_pooling_differs(untrained, gravel):
    knobs = {"depth": 2, "size": 32, "levels": 1, "steps": 3}
    runs = [list(texture(untrained("vgg16_edges"), gravel, pooling=p, **knobs)) for p in ("as trained", "average")]
    assert runs[0][-1].losses != runs[1][-1].losses


@pytest.mark.parametrize("name", registry.SOURCES)
def test_every_network_has_five_depths(untrained, name):
    network = untrained(name)
    layers = layers_to(network)
    assert len(layers) == 5 and len(layers_to(network, 2)) == 2
    places = [list(network.layers).index(layer) for layer in layers]
    assert places == sorted(places)
    assert all(len(network.shape(layer)) == 3 for layer in layers)
    assert set(DEPTHS) == set(registry.SOURCES)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"depth": 0}, "depth must be one of 1, 2, 3, 4, 5, not 0"),
        ({"depth": 6}, "depth must be one of 1, 2, 3, 4, 5, not 6"),
        ({"size": 31}, "height must be a whole number of at least 32, not 31"),
        ({"size": (64, 64, 64)}, r"size must be the side of a square, or \(height, width\), not \(64, 64, 64\)"),
        ({"size": 64.0}, r"size must be the side of a square, or \(height, width\), not 64.0"),
        ({"steps": 2.5}, "steps must be a whole number of at least 2, not 2.5"),
        ({"count": 0}, "count must be a whole number of at least 1, not 0"),
        ({"steps": 0, "levels": 1}, "steps must be a whole number of at least 1, not 0"),
        ({"levels": 0}, "levels must be a whole number of at least 1, not 0"),
        ({"levels": 2, "steps": 1}, "steps must be a whole number of at least 2, not 1"),
        ({"range_weight": -1}, "range_weight must be at least 0, not -1"),
        ({"statistics": "all"}, "statistics must be one of 'gram', 'diagonal', 'means', not 'all'"),
        ({"pooling": "median"}, "pooling must be one of 'as trained', 'average', not 'median'"),
        ({"layers": []}, "layers must name at least one layer"),
        ({"layers": ["relu1", "relu1"]}, "layers must name at least one layer, and each only once"),
        ({"layers": ["relu9"]}, "layer 'relu9' is unknown to efficientnet_lite0"),
        ({"layers": ["logits"]}, "layer 'logits' has no positions"),
        ({"weights": [1, 2]}, "weights must have one entry for each of the 5 layers, not 2"),
        ({"weights": [1, 1, 1, 1, -1]}, "weights must be finite, at least 0 and not all 0"),
        ({"weights": [0] * 5}, "weights must be finite, at least 0 and not all 0"),
        ({"weights": [1, 1, 1, 1, float("nan")]}, "weights must be finite"),
    ],
)
def test_bad_knobs_are_named_at_once(lite0, gravel, knobs, message):
    with pytest.raises(ValueError, match=message):
        texture(lite0, gravel, **knobs)


def test_bad_images_are_named_at_once(lite0, gravel):
    with pytest.raises(ValueError, match="image must be a single picture, not a batch of 2"):
        texture(lite0, gravel.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match="image must have at least 32×32 pixels, not 20×64"):
        texture(lite0, gravel[:, :, :20])
    with pytest.raises(TypeError, match="image must be a tensor"):
        texture(lite0, "gravel")


def test_the_rest_says_what_it_needs(tiny):
    with pytest.raises(ValueError, match=r"features must have shape \(N, C, H, W\), not \(3, 4\)"):
        gram(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="channel must be a whole number from 0 to 4 for layer 'first'"):
        products(tiny, torch.zeros(1, 3, 9, 9).double(), "first", 0, 5)
    with pytest.raises(ValueError, match="image must be a single picture, not a batch of 2"):
        products(tiny, torch.zeros(2, 3, 9, 9).double(), "first")
    with pytest.raises(ValueError, match="network tiny has no chosen layers"):
        layers_to(tiny)
    assert layer_weights(tiny, ["first", "second"], [1, 3]) == {"first": 0.25, "second": 0.75}
