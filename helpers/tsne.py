"""t-SNE, exact: a map of vectors in the plane on which neighbours stay neighbours.

Source:
    van der Maaten, Hinton 2008, "Visualizing Data using t-SNE", JMLR 9. "Equation" below means an equation of
    this paper. What is done differently is said where it is done; all of it follows scikit-learn:
    PCA to start from (Kobak, Berens 2019), a learning rate that grows with N (Belkina et al. 2019), and a
    stronger and longer early exaggeration.
"""

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from helpers.core.arguments import above, at_least, at_once, from_to, one_of
from helpers.core.steps import Seed, Step

Init = Literal["pca", "random"]
MOST = 10_000  # points; P alone has N² entries, 400 MB in float32
EXAGGERATED = 250  # steps; the paper has 50
BLOCK = 1 << 19  # entries of the N × N matrices in work at a time, so that they stay in the cache


@at_once
def tsne(
    vectors: Tensor,
    perplexity: Annotated[float, (2.0, 200.0, "log")] = 30.0,
    learning_rate: Annotated[float, (1.0, 2000.0, "log")] | None = None,
    early_exaggeration: Annotated[float, (1.0, 40.0, 1.0)] = 12.0,
    steps: Annotated[int, (100, 2000, 50)] = 1000,
    init: Init = "pca",
    seed: Seed = 0,
) -> Iterator[Step]:
    """Lay vectors out in the plane by gradient descent on KL(P‖Q).

    Each Step holds the embedding (N, 2) as `image` and, as the loss "KL", the divergence before the move, always
    that of P itself, not of the exaggerated P. Computed in the vectors' precision, on their device.

    Args:
        vectors: (N, D), float32 or float64. Equation 1 is applied to them as they are; the paper reduces them to
            30 dimensions by PCA first, which only saves time.
        perplexity: how many neighbours count, about; below N / 3.
        learning_rate: None means max(N / early_exaggeration / 4, 50), as in scikit-learn; the paper has 100.
        early_exaggeration: the factor on P in the first 250 steps (at most half of `steps`); the paper has 4.
        steps: of gradient descent. There is no early stop.
        init: "pca", the first two principal components; or "random", as in the paper.
        seed: of the random start.

    Raises:
        TypeError: `vectors` is no floating-point tensor.
        ValueError: `vectors` of another shape, not finite, all the same, fewer than 4 or more than 10 000;
            another argument out of its range.
    """
    vectors = _check(vectors)
    _check_perplexity(perplexity, len(vectors))
    if learning_rate is None:
        learning_rate = max(len(vectors) / max(early_exaggeration, 1) / 4, 50)
    above(0, learning_rate=learning_rate)
    at_least(1, early_exaggeration=early_exaggeration, steps=steps)
    embedding = _start(vectors, one_of("init", init, Init), seed)
    yield

    together = affinities(vectors, perplexity)
    velocity, gains = torch.zeros_like(embedding), torch.ones_like(embedding)
    early = min(EXAGGERATED, steps // 2)
    entropy = torch.special.entr(together).sum().item()
    for index in range(1, steps + 1):
        slope, cross_entropy = gradient(together, embedding, early_exaggeration if index <= early else 1.0)
        momentum = 0.5 if index <= early else 0.8  # section 3.4; there it changes after 250 steps, too
        # Jacobs 1988: a coordinate that keeps going the same way goes faster, one that turns goes slower
        gains = torch.where(slope * velocity < 0, gains + 0.2, gains * 0.8).clamp_min(0.01)
        velocity = momentum * velocity - learning_rate * gains * slope
        embedding = embedding + velocity
        yield Step(index, steps, embedding, {"KL": cross_entropy - entropy})


def _start(vectors, init, seed):
    if init == "pca":
        if vectors.shape[1] < 2:
            raise ValueError('init "pca" needs vectors with at least 2 entries; take init="random"')
        start = pca(vectors)
        return start / start[:, 0].std(correction=0) * 1e-4
    random = torch.Generator().manual_seed(seed)
    start = torch.randn(len(vectors), 2, generator=random, dtype=torch.float64)
    return start.to(vectors) * 1e-4  # the deviation; in the paper 10⁻⁴ is the variance


def pca(vectors: Tensor, dimensions: int = 2) -> Tensor:
    """The coordinates of vectors (N, D) along their first principal components, (N, dimensions).

    The sign of each component is such that its axis's largest entry is positive.

    Raises:
        TypeError, ValueError: as in `tsne`; or `dimensions` beyond N or D.
    """
    vectors = _check(vectors)
    most = min(vectors.shape)
    from_to(1, most, dimensions=dimensions)
    centred = vectors.double() - vectors.double().mean(0)
    if len(centred) < centred.shape[1]:  # XXᵀ has the same eigenvalues as XᵀX and is smaller
        sides = _top_eigenvectors(centred @ centred.T, dimensions)
        axes = torch.nn.functional.normalize(centred.T @ sides, dim=0)
    else:
        axes = _top_eigenvectors(centred.T @ centred, dimensions)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return (centred @ (axes * torch.where(largest < 0, -1.0, 1.0))).to(vectors)


def _top_eigenvectors(symmetric, count):
    return torch.linalg.eigh(symmetric).eigenvectors[:, -count:].flip(1)


# ── The two distributions ────────────────────────────────────────────────────────────────────────────────────


def affinities(vectors: Tensor, perplexity: float = 30.0) -> Tensor:
    """P, how much each pair of vectors belongs together: (N, N), symmetric, zero on the diagonal, of sum 1.

    Equation 1, a Gaussian round each vector, p_j|i ∝ exp(−β_i ‖x_i − x_j‖²) with β_i = 1 / 2σ_i², where β_i gives
    row i the entropy log(perplexity); then section 3.1, p_ij = (p_j|i + p_i|j) / 2N.

    Raises:
        TypeError, ValueError: as in `tsne`.
    """
    vectors = _check(vectors)
    _check_perplexity(perplexity, len(vectors))
    centred = vectors.double() - vectors.double().mean(0)
    norms = centred.square().sum(1)
    p = vectors.new_empty(len(vectors), len(vectors))
    for rows in torch.arange(len(vectors), device=vectors.device).split(500):
        squared = (norms[rows, None] + norms - 2 * centred[rows] @ centred.T).clamp_min(0)
        p[rows] = conditional(squared.scatter_(1, rows[:, None], 0), rows, perplexity).to(vectors)
    return (p + p.T) / (2 * len(vectors))


def conditional(squared: Tensor, rows: Tensor, perplexity: float, most: int = 100, tolerance: float = 1e-5) -> Tensor:
    """p_j|i, equation 1, for some points i: (R, N), each row of sum 1 and zero at the point itself.

    Every row's β is found by bisection, all of them at once.

    Args:
        squared: ‖x_i − x_j‖², (R, N).
        rows: which points these are, (R,).
        perplexity: as in `tsne`.
        most: halvings, at most.
        tolerance: in the entropy, in nats.
    """
    itself = rows[:, None]
    squared = squared / squared.mean(1, keepdim=True).clamp_min(1e-300)  # a mean of 1, so β is near 1
    closest = squared.scatter(1, itself, torch.inf).amin(1, keepdim=True)
    squared = (squared - closest).scatter_(1, itself, 0)  # changes no probability, and exp() cannot underflow
    beta = squared.new_ones(len(squared), 1)
    low, high = torch.zeros_like(beta), torch.full_like(beta, torch.inf)
    for _ in range(most):
        p = torch.exp(-beta * squared).scatter_(1, itself, 0)
        total = p.sum(1, keepdim=True)
        entropy = total.log() + beta * (p * squared).sum(1, keepdim=True) / total  # −Σ p log p, normalised
        wrong = entropy - math.log(perplexity)
        if wrong.abs().max() < tolerance:
            break
        low, high = torch.where(wrong > 0, beta, low), torch.where(wrong > 0, high, beta)
        beta = torch.where(high.isinf(), beta * 2, (low + high) / 2).clamp_max(1e100)
    return p / total


def divergence(affinities: Tensor, embedding: Tensor) -> Tensor:
    """KL(P‖Q), equation 2, with the q_ij of equation 4: the definition, for comparison with `gradient`."""
    squared = (embedding[:, None] - embedding).square().sum(2)
    near = (1 / (1 + squared)) * (1 - torch.eye(len(embedding)).to(embedding))
    q = near / near.sum()
    linked = affinities > 0
    return (affinities[linked] * (affinities[linked] / q[linked]).log()).sum()


def gradient(affinities: Tensor, embedding: Tensor, exaggeration: float = 1.0) -> tuple[Tensor, float]:
    """∂KL/∂y (N, 2) by equation 5, with `exaggeration` · P for P, and the cross-entropy −Σ p log q of P itself.

    Equation 5 is 4 Σ_j (p_ij − q_ij) n_ij (y_i − y_j) with n_ij = 1 / (1 + ‖y_i − y_j‖²) and q_ij = n_ij / Z. The
    pull of P and the push of Q are summed apart, so Z may be known last, and one pass over the pairs, block by
    block, is enough. Σ_j w_ij (y_i − y_j) is y_i Σ_j w_ij − Σ_j w_ij y_j: one matrix product with (y, 1). Every w is
    symmetric, so each block of rows is worked out only from its diagonal on, and serves the rows below it as columns.
    """
    count = len(embedding)
    with_ones = torch.cat([embedding, embedding.new_ones(count, 1)], 1)
    pull, push = torch.zeros_like(with_ones), torch.zeros_like(with_ones)
    across, up = embedding.T.contiguous()
    normaliser = cross_entropy = 0.0
    size = max(1, (BLOCK if embedding.device.type == "cpu" else BLOCK << 6) // count)
    for start in range(0, count, size):
        rows, below, onwards = slice(start, start + size), slice(start + size, count), slice(start, count)

        def gather(sums, w, rows=rows, below=below, onwards=onwards):
            sums[rows] += w @ with_ones[onwards]
            sums[below] += w[:, size:].T @ with_ones[rows]

        linked, near = affinities[rows, onwards], (across[rows, None] - across[onwards]).square_()
        near.addcmul_(*[up[rows, None] - up[onwards]] * 2).add_(1)
        pulls = near.log().mul_(linked)
        cross_entropy += 2 * pulls.sum() - pulls[:, :size].sum()
        near.reciprocal_()
        normaliser += 2 * near.sum() - near[:, :size].sum()
        gather(pull, torch.mul(linked, near, out=pulls))
        gather(push, near.square_())
    normaliser -= count  # the diagonal, whose n is 1; in all other sums it cancels
    force = exaggeration * pull - push / normaliser
    return 4 * (embedding * force[:, 2:] - force[:, :2]), (cross_entropy + normaliser.log()).item()


# ── A plain descent ──────────────────────────────────────────────────────────────────────────────────────────


def settle(
    forces: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    affinities: Tensor,
    start: Tensor,
    strength: float = 1.0,
    steps: int = 150,
) -> Tensor:
    """Where points (N, d) that begin at `start` end under `strength` · pull − push: plain descent with momentum.

    Args:
        forces: takes P and the points, and returns pull and push, both (N, d); pull − push is ∂KL/∂y.
        affinities: P, (N, N).
    """
    points, velocity = start, torch.zeros_like(start)
    for _ in range(steps):
        pull, push = forces(affinities, points)
        velocity = 0.8 * velocity - 50 * (strength * pull - push)
        points = points + velocity
    return points


# ── A map without gaps ───────────────────────────────────────────────────────────────────────────────────────


def snap_to_grid(embedding: Tensor, columns: int | None = None) -> Tensor:
    """Give each point of an embedding (N, 2) a cell of its own on a grid: (N, 2) integers, row and column.

    Of all ways to fill the grid this one has the least sum of squared distances between points and cells (linear
    assignment, Jonker and Volgenant 1987; SciPy has the variant of Crouse 2016). The grid is as wide and high as the
    embedding; row 0 is at the top, where y is largest. Takes about N³ operations in the worst case: a second for 1000
    points, minutes for 10 000.

    Args:
        columns: of the grid; default: as many as rows, or one more.

    Raises:
        TypeError, ValueError: `embedding` is no finite tensor (N, 2), or `columns` is below 1.
    """
    embedding = _check(embedding, "embedding", fewest=1, most=MOST)
    if embedding.shape[1] != 2:
        raise ValueError(f"embedding must have shape (N, 2), not {tuple(embedding.shape)}")
    count = len(embedding)
    if columns is not None:
        at_least(1, columns=columns)
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = -(-count // columns)
    low, high = embedding.amin(0).double(), embedding.amax(0).double()
    points = ((embedding.double() - low) / (high - low).clamp_min(1e-300)).cpu()
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    cells = torch.stack([row.flatten(), column.flatten()], 1)
    across = (cells[:, 1] + 0.5) / columns
    up = 1 - (cells[:, 0] + 0.5) / rows
    apart = torch.cdist(points, torch.stack([across, up], 1).double()).square()
    _, chosen = linear_sum_assignment(apart.numpy())
    return cells[torch.from_numpy(chosen)].to(embedding.device)


def _check(vectors, name="vectors", fewest=4, most=MOST):
    if not isinstance(vectors, Tensor) or not vectors.is_floating_point():
        kind = vectors.dtype if isinstance(vectors, Tensor) else type(vectors).__name__
        raise TypeError(f"{name} must be a floating-point tensor of shape (N, D), not {kind}")
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(f"{name} must have shape (N, D), not {tuple(vectors.shape)}")
    if not fewest <= len(vectors) <= most:
        raise ValueError(
            f"{name} must hold from {fewest} to {most} rows, not {len(vectors)}"
            + ("; take a sample, or scikit-learn's Barnes-Hut TSNE" if len(vectors) > most else "")
        )
    if not vectors.isfinite().all():
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
    if fewest > 1 and (vectors == vectors[0]).all():
        raise ValueError(f"{name} are all the same; there is nothing to lay out")
    return vectors.detach().to(torch.promote_types(vectors.dtype, torch.float32))


def _check_perplexity(perplexity, count):
    if not 1 < perplexity < count / 3:
        raise ValueError(f"perplexity must be above 1 and below N / 3 = {count / 3:.3g}, not {perplexity:g}")
