"""L-BFGS and Adam go the same way whatever the loss is multiplied by, point by point, and each item by itself."""

import itertools

import pytest
import torch

from helpers.core.descent import adam, lbfgs


def full_steps(objective, start):
    return lbfgs([objective] * len(start), start)


def line_search(objective, start):
    return lbfgs([objective] * len(start), start, line_search=True)


def adam_steps(objective, start):
    return adam(objective, start, rate=0.05)


METHODS = [full_steps, line_search, adam_steps]


def first(count, points):
    return list(itertools.islice(points, count))


def valley(target, scale=1.0):
    """A quadratic whose curvature differs a hundredfold from number to number."""
    curvature = 10 ** torch.linspace(-1, 1, target.numel(), dtype=target.dtype).view(target.shape)
    return lambda x: {"distance": scale * (curvature * (x - target).square()).sum((1, 2, 3))}


def banana(x):
    """The function of Rosenbrock (1960), summed over neighbours; 0 where everything is 1."""
    x = x.flatten(1)
    return {"valley": 100 * (x[:, 1:] - x[:, :-1].square()).square().sum(1), "slope": (1 - x).square().sum(1)}


@pytest.mark.parametrize("method", [full_steps, line_search])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6])
def test_lbfgs_does_not_care_for_the_scale_of_the_loss(method, scale):
    torch.manual_seed(0)
    target = torch.rand(1, 3, 4, 4)
    points = first(60, method(valley(target, scale), torch.full((1, 3, 4, 4), 0.5)))
    assert points[-1][1]["distance"] < 1e-6 * points[0][1]["distance"]
    torch.testing.assert_close(points[-1][0], target, atol=1e-2, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exponent", [-60, 30])
def test_a_power_of_two_changes_no_bit_of_the_way(method, exponent):
    torch.manual_seed(0)
    target, start = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    ways = [first(30, method(valley(target, scale), start)) for scale in (1.0, 2.0**exponent)]
    for (point, _), (scaled, _) in zip(*ways, strict=True):
        assert torch.equal(scaled, point)


def test_on_a_hill_where_lbfgs_finds_no_curvature_its_step_stays_short():
    start = torch.full((1, 3, 8, 8), 0.1)
    points = first(3, full_steps(lambda x: {"hill": -x.square().sum((1, 2, 3))}, start))
    assert 0.5 < (points[2][0] - points[1][0]).norm() < 2


def test_tiny_gradients_are_not_lost_in_the_epsilon_of_adam():
    start = torch.zeros(2, 3, 4, 4)
    _, (point, _) = first(2, adam(lambda x: {"sum": 1e-12 * x.sum((1, 2, 3))}, start, rate=0.05))
    torch.testing.assert_close(point, torch.full_like(start, -0.05))


@pytest.mark.parametrize("method", METHODS)
def test_the_start_comes_first_and_each_point_has_its_own_terms(method):
    torch.manual_seed(0)
    start = torch.rand(2, 1, 2, 3, dtype=torch.float64)
    points = first(6, method(banana, start))
    assert torch.equal(points[0][0], start)
    for point, terms in points:
        assert not point.requires_grad and list(terms) == ["valley", "slope"]
        for name, values in banana(point).items():
            torch.testing.assert_close(terms[name], values)


@pytest.mark.parametrize("method", METHODS)
def test_a_point_is_not_overwritten_by_the_next(method):
    start = torch.zeros(1, 1, 2, 3)
    points, copies = method(banana, start), []
    for _ in range(5):
        point, terms = next(points)
        copies.append((point, point.clone(), terms["slope"], terms["slope"].clone()))
    assert all(torch.equal(a, b) and torch.equal(c, d) for a, b, c, d in copies)
    assert all(not torch.equal(a[0], b[0]) for a, b in itertools.pairwise(copies))
    assert torch.equal(start, torch.zeros(1, 1, 2, 3))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_moves_where_nothing_pulls(method):
    start = torch.rand(1, 3, 4, 4)
    points = first(3, method(lambda x: {"zero": 0 * x.sum((1, 2, 3))}, start))
    assert torch.equal(points[-1][0], start)


@pytest.mark.parametrize("method", METHODS)
def test_an_item_goes_its_way_whatever_stands_beside_it(method):
    """One of two items pulls a million times less than the other."""
    torch.manual_seed(0)
    start = torch.rand(2, 3, 2, 2, dtype=torch.float64)
    share = torch.tensor([1.0, 1e-6], dtype=torch.float64)

    def objective(weights):
        return lambda x: {name: weights * values for name, values in banana(x).items()}

    if method is adam_steps:
        together = first(20, adam_steps(objective(share), start))
    else:
        both = [objective(share[:1]), objective(share[1:])]
        together = first(20, lbfgs(both, start, line_search=method is line_search))
    for i in range(2):
        alone = first(20, method(objective(share[i : i + 1]), start[i : i + 1]))
        for (both, _), (one, _) in zip(together, alone, strict=True):
            torch.testing.assert_close(both[i : i + 1], one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("method", "most"), [(full_steps, 20), (line_search, 40), (adam_steps, 20)])
def test_no_point_is_evaluated_twice(method, most):
    seen = []

    def objective(x):
        seen.append(x.detach().clone())
        return banana(x)

    first(20, method(objective, torch.zeros(1, 1, 2, 3, dtype=torch.float64)))
    assert 20 <= len(seen) <= most
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(seen))


def test_the_line_search_never_goes_uphill_and_reaches_the_bottom_of_a_bent_valley():
    points = first(60, line_search(banana, torch.zeros(1, 1, 2, 3, dtype=torch.float64)))
    losses = [sum(terms.values()).item() for _, terms in points]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-6
    torch.testing.assert_close(points[-1][0], torch.ones(1, 1, 2, 3, dtype=torch.float64), rtol=0, atol=1e-3)


def test_adam_stays_within_its_range():
    target = torch.tensor([-1.0, 0.5, 2.0]).view(1, 3, 1, 1)
    run = adam(
        lambda x: {"d": (x - target).square().sum((1, 2, 3))}, torch.full((1, 3, 1, 1), 0.4), 0.05, within=(0, 1)
    )
    points = torch.cat([point for point, _ in first(80, run)])
    assert points.min() == 0 and points.max() == 1
    torch.testing.assert_close(points[-1:], target.clamp(0, 1), rtol=0, atol=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_taken_even_where_they_are_switched_off(method):
    start = torch.zeros(1, 1, 2, 3)
    with torch.no_grad():
        points = first(3, method(banana, start))
    assert not torch.equal(points[-1][0], start)
