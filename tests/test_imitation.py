"""A pupil learns, the same for a seed, and the shipped filters are waves and colours, not noise."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from bench import seeded, tiny

from helpers import filters, imitation
from helpers.core import networks
from helpers.core.photos import Crops
from helpers.imitation import explained, learn_by_imitation, learned

SMALL = {"layer": "blocks.1", "kernel": 7, "stride": 2, "filters": 8, "batch": 4}


@pytest.fixture(scope="module")
def crops():
    return torch.stack(list(Crops(40, 48)))


@pytest.fixture(scope="module")
def taught(lite0, crops):
    """A short run that forgets quickly."""
    return list(learn_by_imitation(lite0, steps=60, rate=5e-3, images=crops, **SMALL))


# ── Learning ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_step_is_one_of_adamw_on_what_the_formula_says(crops):
    """The first step by hand: the pupil of the seed, the batch of the seed, the loss, Adam's step of one rate."""
    network = tiny().float()
    (step,) = learn_by_imitation(network, "conv2", 5, 2, 4, steps=1, batch=3, rate=0.01, decay=3.0, images=crops)
    torch.manual_seed(0)
    pupil = imitation._pupil(5, 2, 4, 1, 5)
    random = torch.Generator().manual_seed(0)
    chosen = crops[torch.randint(40, (3,), generator=random)]
    chosen = chosen.rot90(int(torch.randint(4, (), generator=random)), (2, 3))
    target = network.activation(chosen, "conv2")
    target = (target - target.mean((0, 2, 3), keepdim=True)) / target.std((0, 2, 3), correction=0, keepdim=True)
    weights = pupil[0].weight
    response = F.conv2d(chosen - network.mean_pixel.view(1, 3, 1, 1), weights, stride=2, padding=2)
    loss = (pupil[1:](response) - target).square().mean()
    assert step.losses["unexplained"] == pytest.approx(loss.item(), rel=1e-3)
    (gradient,) = torch.autograd.grad(loss, weights)
    expected = (1 - 0.01 * 3.0) * weights - 0.01 * gradient.sign()
    clear = gradient.abs() > 1e-4 * gradient.abs().max()
    torch.testing.assert_close(step.filters[clear], expected.detach()[clear], atol=2e-4, rtol=0)


def test_the_loss_falls_and_noise_becomes_smooth(taught):
    losses = [step.losses["unexplained"] for step in taught]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    start, end = filters.frequency(taught[0].filters), filters.frequency(taught[-1].filters)
    assert end.median() < 0.8 * start.median()


def test_steps_hold_the_filters_and_their_sheet(taught):
    assert [step.index for step in taught] == list(range(1, 61)) and {step.total for step in taught} == {60}
    for step in (taught[0], taught[-1]):
        assert step.filters.shape == (8, 3, 7, 7) and not step.filters.requires_grad
        assert torch.equal(step.image, filters.tiles(step.filters, sort="index", times=9))
    assert not torch.equal(taught[0].filters, taught[-1].filters), "no step overwrites another's filters"


def test_a_seed_gives_the_same_film_and_leaves_the_random_numbers_alone(lite0, crops):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (
        list(learn_by_imitation(lite0, steps=3, seed=seed, images=crops, **SMALL))[-1] for seed in (1, 1, 2)
    )
    assert torch.equal(first.filters, again.filters) and first.losses == again.losses
    assert not torch.equal(first.filters, other.filters)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_decay_the_noise_stays(lite0, crops, taught):
    kept = list(learn_by_imitation(lite0, steps=60, rate=5e-3, decay=0.0, images=crops, **SMALL))[-1].filters
    assert filters.frequency(kept).median() > 1.1 * filters.frequency(taught[-1].filters).median()


@pytest.mark.parametrize(("layer", "stride"), [("blocks.1", 4), ("blocks.1", 1), ("blocks.2", 2), ("conv1", 2)])
def test_any_map_may_be_imitated_on_any_device(layer, stride, device, crops):
    network = networks.load(device=device)
    step = next(learn_by_imitation(network, layer, 11, stride, 8, batch=2, images=crops[:, :, :40]))
    assert step.filters.shape == (8, 3, 11, 11)
    assert step.filters.device.type == step.image.device.type == device


def test_the_courses_photos_are_there_unless_others_are_given(lite0, monkeypatch):
    monkeypatch.setattr(imitation, "Crops", lambda count, size, seed: Crops(5, 40, seed=seed))
    step = next(learn_by_imitation(lite0, seed=3, **SMALL))
    given = next(learn_by_imitation(lite0, seed=3, images=torch.stack(list(Crops(5, 40, seed=3))), **SMALL))
    assert torch.equal(step.filters, given.filters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": 0}, "kernel must be a whole number of at least 1, not 0"),
        ({"filters": 0}, "filters must be a whole number of at least 1, not 0"),
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        ({"batch": 1}, "batch must be a whole number of at least 2, not 1"),
        ({"stride": 3}, "stride must be one of 1, 2, 4, not 3"),
        ({"layer": "conv1"}, "stride must divide that of layer 'conv1', 2, not 4"),
        ({"rate": 0.0}, "rate must be above 0, not 0.0"),
        ({"decay": -1.0}, "decay must be at least 0, not -1.0"),
        ({"layer": "penultimate"}, "layer 'penultimate' has no positions"),
        ({"layer": "conv7"}, "layer 'conv7' is unknown"),
        ({"images": seeded(2, 3, 26, 40)}, "images must be at least 27 pixels high and wide, not 26×40"),
        ({"images": seeded(3, 40, 40)}, "images must have shape"),
    ],
)
def test_learning_is_refused_before_its_first_step(arguments, message, lite0):
    with pytest.raises(ValueError, match=message):
        learn_by_imitation(lite0, **arguments)


@pytest.mark.parametrize(("layer", "kernel", "stride"), [("blocks.1", 11, 4), ("blocks.2", 7, 2), ("conv1", 3, 1)])
def test_the_smallest_pictures_that_are_not_refused_suffice(layer, kernel, stride, lite0):
    side = kernel + 2 * lite0.receptive_field(layer).stride[0]
    assert next(learn_by_imitation(lite0, layer, kernel, stride, 8, batch=2, images=seeded(2, 3, side, side)))


# ── Taught for longer ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kernel", imitation.LONG)
def test_the_shipped_filters_are_waves_under_a_bell(kernel):
    found = learned(kernel)
    assert found.shape == (64, 3, kernel, kernel) and found.dtype == torch.float32
    lengths = found.flatten(1).norm(dim=1)
    assert (lengths > 0.05 * lengths.max()).all(), "none is dead"
    noise = torch.randn(4, 3, kernel, kernel, generator=torch.Generator().manual_seed(0))
    assert explained(found[::4]).median() > 0.6 and explained(noise).max() < 0.25


def test_the_shipped_files_are_small_and_as_the_page_says():
    sizes = [imitation._file(kernel).stat().st_size for kernel in imitation.LONG]
    assert sum(sizes) < 150_000
    page = (imitation.DATA / "README.md").read_text()
    for kernel, recipe in imitation.LONG.items():
        assert f"| `{imitation._file(kernel).name}` | 64×3×{kernel}×{kernel}, stride {recipe['stride']} |" in page
        assert f"{recipe['steps']} steps" in page
    assert set().union(*imitation.LONG.values()) <= set(inspect.signature(learn_by_imitation).parameters)


def test_other_kernels_were_not_taught():
    with pytest.raises(ValueError, match="kernel must be one of 11, 7, not 5"):
        learned(5)


def test_a_layer_is_taught_written_and_read(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(imitation, "DATA", tmp_path)
    monkeypatch.setattr(imitation, "LONG", {3: {"stride": 2, "steps": 1, "filters": 8, "batch": 2}})
    monkeypatch.setattr(imitation, "Crops", lambda count, size, seed: Crops(4, 32, seed=seed))
    imitation.teach(3)
    assert [file.name for file in tmp_path.iterdir()] == ["imitation_3.npy"]
    assert learned(3).shape == (8, 3, 3, 3)
    assert "imitation_3.npy, 1 kB: 1 steps, " in capsys.readouterr().out
