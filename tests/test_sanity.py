"""The sanity check: a map that must notice when the network is destroyed, and one that does not."""

import pytest
import torch
from scipy import stats
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from helpers.cam import enlarged, grad_cam
from helpers.core.photos import photo
from helpers.saliency import saliency
from helpers.sanity import parts, rank_correlation, sanity_check


def nothing_left_behind():
    return not _get_current_function_mode_stack() and not _get_current_dispatch_mode_stack()


def test_the_parts_hold_every_weight_once_and_begin_at_the_top(lite0, untrained):
    for network in (lite0, untrained("resnet18"), untrained("densenet121"), untrained("alexnet")):
        held = [p for name in parts(network) for p in network.model.get_submodule(name).parameters()]
        assert len(held) == len({id(p) for p in held}) == len(list(network.parameters()))
    assert parts(lite0)[0] == "classifier" and parts(lite0)[-1] == "conv_stem"


def test_the_gradient_changes_at_once_and_guided_backprop_hardly(lite0):
    before = {name: value.clone() for name, value in lite0.state_dict().items()}
    image = photo("chelsea", 64)
    ranks = {
        method: [step.losses["rank correlation"] for step in sanity_check(lite0, image, "tabby", method)]
        for method in ("gradient", "guided")
    }
    assert len(ranks["guided"]) == len(parts(lite0)) + 1
    assert ranks["gradient"][0] == pytest.approx(1) and ranks["guided"][0] == pytest.approx(1)
    assert max(ranks["gradient"][1:]) < 0.6 and min(ranks["guided"][1:5]) > 0.9
    assert abs(ranks["guided"][-1]) < 0.5
    assert all(torch.equal(value, before[name]) for name, value in lite0.state_dict().items())


def test_one_part_alone_can_be_randomised(lite0):
    image = photo("chelsea", 64)
    first, *others = sanity_check(lite0, image, "tabby", "guided", cascade=False)
    assert (first.index, first.total, first.image.shape) == (1, 22, (1, 1, 64, 64))
    ranks = {name: step.losses["rank correlation"] for name, step in zip(parts(lite0), others, strict=True)}
    assert ranks["classifier"] > 0.9 and min(ranks.values()) < 0.8


@pytest.mark.parametrize("method", ["smoothgrad", "integrated", "deconvnet"])
def test_other_methods_can_be_checked_and_stopped_midway(untrained, method):
    network, image = untrained("squeezenet1_1"), photo("chelsea", 64)
    steps = sanity_check(network, image, 7, method, seed=1)
    first, second = next(steps), next(steps)
    steps.close()
    assert first.losses["rank correlation"] == pytest.approx(1) and second.losses["rank correlation"] < 0.999
    assert nothing_left_behind()
    again = sanity_check(network, image, 7, method, seed=1)
    assert torch.equal(next(again).image, first.image) and torch.equal(next(again).image, second.image)


def test_grad_cam_can_be_checked_and_notices(lite0):
    image = photo("chelsea", 64)
    steps = sanity_check(lite0, image, "tabby", "grad-cam")
    first, second = next(steps), next(steps)
    assert torch.equal(first.image, enlarged(grad_cam(lite0, image, "tabby"), image))
    assert first.losses["rank correlation"] == pytest.approx(1) and second.losses["rank correlation"] < 0.8
    sure = float(lite0.probabilities(image)[0, 281])
    assert first.losses["probability"] == pytest.approx(sure, rel=1e-4) and second.losses["probability"] < 0.1 * sure


def test_signs_are_kept_if_asked(lite0):
    image = photo("chelsea", 64)
    first = next(sanity_check(lite0, image, "tabby", "gradient", sign="with"))
    assert torch.equal(first.image, saliency(lite0, image, "tabby", colours="signed"))
    first = next(sanity_check(lite0, image, "tabby", "grad-cam", sign="with"))
    assert torch.equal(first.image, enlarged(grad_cam(lite0, image, "tabby", positive=False), image))


def test_rank_correlation_is_spearmans():
    a = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    b = torch.tensor([[10.0, 30.0, 20.0], [40.0, 60.0, 50.0]])
    assert rank_correlation(a, b) == pytest.approx(1 - 6 * 4 / (6 * 35))  # 1 − 6 Σd² / n (n² − 1)
    assert rank_correlation(a, -(b**3)) == pytest.approx(-rank_correlation(a, b))
    ties = torch.tensor([[0.0, 0.0, 1.0], [1.0, 2.0, 0.0]])
    assert rank_correlation(a, ties) == pytest.approx(stats.spearmanr(a.flatten(), ties.flatten()).statistic)
    assert rank_correlation(a, torch.ones(2, 3)) == 0
    with pytest.raises(ValueError, match=r"one shape, not \(2, 3\) and \(3, 2\)"):
        rank_correlation(a, b.T)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "lrp"}, "method must be one of .*'integrated', 'grad-cam', not 'lrp'"),
        ({"sign": "both"}, "sign must be one of 'without', 'with', not 'both'"),
        ({"image": torch.rand(2, 3, 8, 8)}, "image must be a single picture, not a batch of 2"),
        ({"image": torch.full((1, 3, 8, 8), torch.nan)}, "image must be finite"),
        ({"category": "tabbby"}, "category 'tabbby' is not a class of"),
    ],
)
def test_bad_arguments_are_named_before_the_first_step(lite0, arguments, message):
    with pytest.raises(ValueError, match=message):
        sanity_check(lite0, **{"image": torch.rand(1, 3, 8, 8), "category": 0} | arguments)
