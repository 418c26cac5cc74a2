"""t-SNE against scikit-learn's, its gradient against autograd, its affinities by definition."""

import inspect
from collections.abc import Iterator
from itertools import islice
from typing import get_origin, get_type_hints

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.manifold._t_sne import _joint_probabilities

from helpers.core.steps import finish
from helpers.neighbours import preserved, purity
from helpers.tsne import affinities, conditional, divergence, gradient, pca, settle, snap_to_grid, tsne


@pytest.fixture(scope="module")
def digits():
    return torch.from_numpy(load_digits().data[:1000]).float()


def blobs(count=60, width=5, dtype=torch.float32, device="cpu"):
    """Three groups, far from one another."""
    random = torch.Generator().manual_seed(0)
    points = torch.randn(count, width, generator=random, dtype=torch.float64)
    points[:, 0] += torch.arange(count) % 3 * 20
    return points.to(device, dtype)


# ── P ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("perplexity", [2, 30, 250])
def test_affinities_are_those_of_scikit_learn(digits, perplexity, device):
    ours = affinities(digits.to(device), perplexity).cpu()
    squared = squareform(pdist(digits.double().numpy(), "sqeuclidean"))
    theirs = squareform(_joint_probabilities(squared, perplexity, 0))
    # entropies are matched to 1e-5 on both sides
    assert np.abs(ours.numpy() - theirs).max() < 1e-3 * theirs.max()
    assert np.abs(ours.numpy() - theirs).sum() < 1e-4


def test_affinities_are_a_distribution_of_the_wanted_perplexity(device):
    points = blobs(40, dtype=torch.float64, device=device)
    p = affinities(points, 5)
    assert p.dtype == torch.float64 and p.device == points.device
    assert torch.equal(p, p.T) and p.diagonal().eq(0).all() and p.sum().item() == pytest.approx(1)


def test_on_a_circle_every_row_has_the_perplexity_exactly():
    angle = torch.arange(30, dtype=torch.float64) * (2 * torch.pi / 30)
    rows = affinities(torch.stack([angle.cos(), angle.sin()], 1), 6) * 30  # all rows alike, so p_ij = p_j|i / N
    entropy = torch.special.entr(rows).sum(1)
    assert entropy.exp().numpy() == pytest.approx(6, rel=1e-4)


def test_a_row_is_a_gaussian_of_the_wanted_perplexity(device):
    points, rows = blobs(40, dtype=torch.float64, device=device), torch.tensor([3, 17], device=device)
    squared = torch.cdist(points[rows], points).square()
    p = conditional(squared, rows, 5)
    assert torch.equal(p[[0, 1], rows], torch.zeros_like(p[:, 0]))
    assert torch.allclose(p.sum(1), torch.ones_like(p[:, 0]))
    assert torch.allclose(torch.special.entr(p).sum(1).exp(), torch.full_like(p[:, 0], 5), rtol=1e-4)
    for row, distances in zip(p, squared, strict=True):
        linked = row > 1e-200
        # log p = −β ‖x_i − x_j‖² + a constant, so neighbours at different distances tell the same β
        x, y = distances[linked] - distances[linked].mean(), row[linked].log() - row[linked].log().mean()
        beta = -(x * y).sum() / x.square().sum()
        assert beta > 0 and torch.allclose(y, -beta * x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_affinities_do_not_depend_on_the_unit(scale):
    points = blobs(dtype=torch.float64)
    assert torch.allclose(affinities(points * scale + scale, 8), affinities(points, 8), atol=1e-7)


def test_affinities_survive_copies_and_far_outliers():
    points = blobs(30)
    points[:12] = points[0]  # more copies than the perplexity asks for
    points[29] = 1e4
    p = affinities(points, 4)
    assert p.isfinite().all() and p.sum().item() == pytest.approx(1)
    assert p[29].sum() > 0.9 / 60  # the outlier still has its own row's share


# ── The gradient ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_divergence_by_hand():
    p = torch.tensor([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]], dtype=torch.float64)
    embedding = torch.tensor([[0.0, 0], [1, 0], [0, 2]], dtype=torch.float64)
    # n: 1/2, 1/5, 1/6; q_01 = 1/2 / (2 (1/2 + 1/5 + 1/6))
    q = 0.5 / (2 * (1 / 2 + 1 / 5 + 1 / 6))
    assert divergence(p, embedding).item() == pytest.approx(np.log(0.5 / q))


@pytest.mark.parametrize("exaggeration", [1.0, 12.0])
@pytest.mark.parametrize("count", [5, 900])  # 900: two blocks of different size on the CPU
def test_the_gradient_is_autograds(count, exaggeration, device):
    points = blobs(count, dtype=torch.float64, device=device)
    p = affinities(points, 1.5 if count < 10 else 20)
    embedding = (points[:, 1:3] * 3).requires_grad_()
    loss = divergence(p, embedding)
    # −Σ p log q is Σ p log(1 + ‖y_i − y_j‖²) + log Z; exaggeration multiplies P in the first term and keeps Q
    squared = (embedding[:, None] - embedding).square().sum(2)
    off = ~torch.eye(count, dtype=torch.bool, device=device)
    normaliser = (1 / (1 + squared))[off].sum()
    pull = (p * squared.log1p()).sum()
    (expected,) = torch.autograd.grad(exaggeration * pull + normaliser.log(), embedding, retain_graph=True)
    ours, cross_entropy = gradient(p, embedding.detach(), exaggeration)
    assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-14)
    assert cross_entropy - torch.special.entr(p).sum().item() == pytest.approx(loss.item(), rel=1e-9)
    if exaggeration == 1:
        (definition,) = torch.autograd.grad(loss, embedding)
        assert torch.allclose(ours, definition, rtol=1e-9, atol=1e-14)


def test_points_settle_where_pull_and_push_are_equal():
    """A spring to the origin against a constant wind: at rest, strength · y is the wind."""
    wind = torch.tensor([[0.3, -0.6]], dtype=torch.float64)

    def forces(affinities, y):
        return affinities @ y / 100, (wind / 100).expand_as(y)

    start = torch.ones(4, 2, dtype=torch.float64)
    for strength in (0.5, 1, 4):
        rest = settle(forces, torch.eye(4, dtype=torch.float64), start, strength)
        assert torch.allclose(rest, wind.expand(4, 2) / strength, atol=1e-3)
    # one step: 1 − 50 (1 − wind) / 100; the next adds 0.8 of that move
    first = 1 - 0.5 * (1 - wind)
    second = first + 0.8 * (first - 1) - 0.5 * (first - wind)
    assert torch.allclose(settle(forces, torch.eye(4, dtype=torch.float64), start, steps=2), second.expand(4, 2))


def test_the_forces_of_a_map_settle_it(device):
    points = blobs(dtype=torch.float64, device=device)
    p, start = affinities(points, 8), pca(points) / 1000

    def forces(affinities, y):
        once, twice = gradient(affinities, y)[0], gradient(affinities, y, 2)[0]
        return twice - once, twice - 2 * once

    still, tight = settle(forces, p, start), settle(forces, p, start, 4)
    assert divergence(p, still) < 0.5 * divergence(p, start)
    assert tight.std() < still.std(), "a stronger pull makes a smaller map"


# ── The descent ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_map_is_as_good_as_scikit_learns(digits):
    ours = finish(tsne(digits, steps=500))
    peer = TSNE(method="exact", init="pca", max_iter=500)
    theirs = torch.from_numpy(peer.fit_transform(digits.numpy()))
    assert ours.losses["KL"] == pytest.approx(peer.kl_divergence_, rel=0.05)
    assert preserved(digits, ours.image) == pytest.approx(preserved(digits, theirs), abs=0.02)


def test_a_random_start_is_as_good_as_scikit_learns():
    points = blobs(150, 10)
    start = torch.randn(150, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 1e-4
    ours = finish(tsne(points, perplexity=20, init="random", seed=3, steps=500))
    peer = TSNE(method="exact", perplexity=20, init=start.float().numpy(), max_iter=500).fit(points.numpy())
    assert ours.losses["KL"] == pytest.approx(peer.kl_divergence_, rel=0.05)


def test_steps_tell_the_divergence_of_the_map_they_moved_from(device):
    points = blobs(device=device, dtype=torch.float64)
    steps = list(tsne(points, perplexity=8, steps=400))
    assert [step.index for step in steps] == list(range(1, 401)) and steps[0].total == 400
    assert all(step.image.shape == (60, 2) and step.image.device == points.device for step in steps)
    p = affinities(points, 8)
    for before, step in ((steps[10], steps[11]), (steps[298], steps[299])):
        assert step.losses["KL"] == pytest.approx(divergence(p, before.image).item(), rel=1e-8)
    assert steps[-1].losses["KL"] < 0.5 * steps[0].losses["KL"]
    assert steps[-1].image.dtype == torch.float64


def test_the_first_move_by_hand():
    points = blobs(dtype=torch.float64)
    first, second = islice(tsne(points, perplexity=8, learning_rate=70, early_exaggeration=6, steps=300), 2)
    start = pca(points)
    start = start / start[:, 0].std(correction=0) * 1e-4
    p = affinities(points, 8)
    slope = gradient(p, start, 6)[0]
    assert torch.allclose(first.image, start - 70 * 0.8 * slope)
    velocity = first.image - start
    again = gradient(p, first.image, 6)[0]
    gains = torch.where(again * velocity < 0, 0.8 + 0.2, 0.8 * 0.8)
    assert torch.allclose(second.image, first.image + 0.5 * velocity - 70 * gains * again)


@pytest.mark.parametrize(("exaggeration", "rate"), [(12, 50), (1, 60)])  # max(240 / exaggeration / 4, 50)
def test_the_learning_rate_is_scikit_learns(exaggeration, rate):
    points = blobs(240)
    auto = next(iter(tsne(points, perplexity=5, early_exaggeration=exaggeration)))
    stated = next(iter(tsne(points, perplexity=5, early_exaggeration=exaggeration, learning_rate=rate)))
    assert torch.equal(auto.image, stated.image)


def test_groups_stay_together_and_seeds_repeat_themselves(device):
    points = blobs(device=device)
    maps = [finish(tsne(points, perplexity=8, steps=500, init="random", seed=s)).image for s in (0, 0, 1)]
    assert torch.equal(maps[0], maps[1]) and not torch.equal(maps[0], maps[2])
    labels = torch.arange(60, device=device) % 3
    # a random start may leave a point or two on the wrong side of a group
    assert purity(maps[0], labels) > 0.9


def test_half_precision_is_computed_in_float32_and_the_vectors_are_left_alone():
    points = blobs(dtype=torch.float16)
    before = points.clone()
    step = next(iter(tsne(points, perplexity=5)))
    assert step.image.dtype == torch.float32 and torch.equal(points, before)


def test_a_panel_sees_an_iterative_function():
    assert get_origin(get_type_hints(tsne)["return"]) is Iterator
    assert not inspect.isgeneratorfunction(tsne), "arguments are checked before the first step"


# ── PCA ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("count", "width"), [(80, 12), (12, 80)])
def test_principal_components_are_those_of_scikit_learn(count, width, device):
    points = blobs(count, width, device=device) * torch.linspace(5, 1, width, device=device)
    ours = pca(points, 3).cpu().numpy()
    theirs = PCA(3, svd_solver="full").fit_transform(points.cpu().double().numpy())
    assert ours.dtype == np.float32
    signs = np.sign((ours * theirs).sum(0))
    assert np.allclose(ours, theirs * signs, atol=1e-3)


def test_the_sign_of_a_component_is_fixed():
    line = torch.tensor([[0.0, 0], [-1, -3], [-2, -6], [5, 15]])
    assert (pca(line, 1)[:, 0].diff() > 0).tolist() == [False, False, True]  # along +y, the larger entry
    assert torch.allclose(pca(line), pca(line + 7), atol=1e-5)


# ── The grid ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_points_that_lie_on_a_grid_keep_their_cells():
    row, column = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    cells = torch.stack([row.flatten(), column.flatten()], 1)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    points = torch.stack([cells[:, 1] * 2.0, -cells[:, 0] * 3.0], 1)[order]
    assert torch.equal(snap_to_grid(points, columns=6), cells[order])


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, None, 1), (10, None, 3), (9, None, 3), (7, 20, 1)])
def test_every_point_has_a_cell_of_its_own(count, columns, rows, device):
    points = torch.randn(count, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(device)
    cells = snap_to_grid(points, columns)
    assert cells.device == points.device
    assert cells.shape == (count, 2) and len({tuple(cell) for cell in cells.tolist()}) == count
    assert cells.min() >= 0 and cells[:, 0].max() < rows and not cells.is_floating_point()


def test_no_other_assignment_of_six_points_is_nearer():
    from itertools import permutations

    points = torch.rand(6, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    points = (points - points.amin(0)) / (points.amax(0) - points.amin(0))
    every = [(row, column) for row in range(2) for column in range(3)]

    def cost(cells):
        return sum(
            (x - (column + 0.5) / 3) ** 2 + (1 - y - (row + 0.5) / 2) ** 2
            for (x, y), (row, column) in zip(points.tolist(), cells, strict=True)
        )

    assert cost(snap_to_grid(points).tolist()) == pytest.approx(min(map(cost, permutations(every))))


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"vectors": np.zeros((9, 2))}, TypeError, "vectors must be a floating-point tensor .* not ndarray"),
        ({"vectors": torch.zeros(9, 2, dtype=torch.int64)}, TypeError, "not torch.int64"),
        ({"vectors": torch.zeros(9)}, ValueError, r"vectors must have shape \(N, D\), not \(9,\)"),
        ({"vectors": torch.zeros(9, 0)}, ValueError, r"vectors must have shape \(N, D\), not \(9, 0\)"),
        ({"vectors": torch.rand(3, 2)}, ValueError, "vectors must hold from 4 to 10000 rows, not 3$"),
        ({"vectors": torch.rand(10_001, 2)}, ValueError, "not 10001; take a sample, or scikit-learn's Barnes-Hut"),
        ({"vectors": torch.full((60, 2), torch.nan)}, ValueError, "vectors must be finite"),
        ({"vectors": torch.ones(60, 2)}, ValueError, "vectors are all the same"),
        ({"vectors": blobs(60, 1)}, ValueError, 'init "pca" needs vectors with at least 2 entries'),
        ({"perplexity": 20}, ValueError, "perplexity must be above 1 and below N / 3 = 20, not 20"),
        ({"perplexity": 1}, ValueError, "perplexity must be above 1"),
        ({"perplexity": float("nan")}, ValueError, "not nan"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be above 0, not 0"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate must be above 0"),
        ({"early_exaggeration": 0.5}, ValueError, "early_exaggeration must be at least 1, not 0.5"),
        ({"steps": 0}, ValueError, "steps must be at least 1, not 0"),
        ({"init": "zero"}, ValueError, "init must be one of 'pca', 'random', not 'zero'"),
    ],
)
def test_bad_input_is_refused_before_the_first_step(arguments, error, message):
    with pytest.raises(error, match=message):
        tsne(**({"vectors": blobs(), "perplexity": 8} | arguments))


def test_a_descent_that_blows_up_says_at_which_step():
    with pytest.raises(FloatingPointError, match=r"step \d+ of 400"):
        finish(tsne(blobs(), perplexity=8, learning_rate=1e30, steps=400))


def test_one_dimension_can_be_laid_out_from_a_random_start():
    assert finish(tsne(blobs(60, 1), perplexity=8, init="random", steps=20)).image.isfinite().all()


def test_the_other_functions_refuse_too():
    with pytest.raises(ValueError, match="dimensions must be from 1 to 5, not 6"):
        pca(blobs(), 6)
    with pytest.raises(ValueError, match="perplexity must be above 1"):
        affinities(blobs(), 0)
    with pytest.raises(ValueError, match=r"embedding must have shape \(N, 2\), not \(60, 3\)"):
        snap_to_grid(blobs(60, 3))
    with pytest.raises(ValueError, match="columns must be at least 1, not 0"):
        snap_to_grid(blobs(60, 2), columns=0)
    with pytest.raises(ValueError, match="embedding must hold from 1 to 10000 rows, not 0"):
        snap_to_grid(torch.zeros(0, 2))
