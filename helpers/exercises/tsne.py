"""Lesson 2: the last layer and t-SNE."""

import math

import torch
from torch import Tensor

from helpers.exercises.calls import NotYet
from helpers.exercises.exercise import SEARCHED, Near, agrees, compare, exercise, fits, stand_in

# ── Neighbours ──


@exercise("2.1", "nearest_by_cosine", cases=[(14, 4, 3), (10, 3, 2), (7, 5, 6)])  # the last asks for all the others
def nearest_by_cosine(student, draw, count, width, k):
    vectors = _of_all_lengths(draw, count, width)
    answer = student(vectors, k)
    if isinstance(answer, Tensor) and answer.is_floating_point():
        raise NotYet("these are similarities or distances; the numbers of the neighbours are asked for")
    near = _cosines(vectors)
    in_order, with_itself = _ranked(near, count - 1), _ranked(near, k, itself=True)
    truth = in_order[:, :k]
    mistakes = {
        "the first neighbour of a picture is the picture itself; it does not count": with_itself,
        "these are the farthest vectors; which sign and which end of the order mean near?": in_order.flip(1)[:, :k],
        "the right neighbours in the wrong order: the nearest stands first": truth.flip(1),
        "these are neighbours by Euclidean distance; the angle alone should count": _ranked(
            -torch.cdist(vectors, vectors), k
        ),
        "long vectors come too near: divide by the length of the vectors that are searched": _ranked(
            vectors @ vectors.T, k
        ),
        "a vector is a row: its length is a sum along the row, not down the column": _ranked(
            _cosines(vectors, axis=0), k
        ),
    }
    if _holds_itself(answer, truth) and not agrees(answer, with_itself):
        raise NotYet("some pictures are among their own neighbours; many similarities are negative")
    compare(answer, truth, mistakes)


@exercise("2.1", "nearest_by_cosine")
def nearest_by_cosine_of_twins(student, draw):
    vectors = _of_all_lengths(draw, 8, 3)
    first, second = draw.order(8)[:2].tolist()
    vectors[[first, second]] = draw.tensor([0.0, 2.0, 0.0])  # there twice; along an axis, so that rounding is no help
    answer, truth = student(vectors, 1), _ranked(_cosines(vectors), 1)
    if _holds_itself(answer, truth):
        raise NotYet("if two vectors are equal, the first of a row may be the twin: leave a picture out by its number")
    both = [first, second]
    compare(answer[both] if fits(answer, truth) else answer, torch.tensor([[second], [first]]).to(truth))


def _of_all_lengths(draw, count, width):
    """Vectors in all directions, the longest 25 times as long as the shortest, the last column 5 times the first."""
    lengths = 0.2 * 25 ** torch.linspace(0, 1, count).to(draw.tensor(0.0))[draw.order(count)]
    vectors = draw.normal(count, width) * torch.linspace(1, 5, width).to(lengths)
    return vectors / vectors.norm(dim=1, keepdim=True) * lengths[:, None]


def _cosines(vectors, axis=1):
    directions = vectors / vectors.norm(dim=axis, keepdim=True)
    return directions @ directions.T


def _ranked(near, k, itself=False):
    if not itself:
        near = near.masked_fill(torch.eye(len(near), device=near.device) > 0, -torch.inf)
    return near.argsort(1, descending=True)[:, :k]


def _holds_itself(answer, truth):
    return fits(answer, truth) and bool((answer.to(truth) == torch.arange(len(truth)).to(truth)[:, None]).any())


@stand_in("2.1")
def nearest_by_cosine_stand_in(vectors, k):
    from helpers.neighbours import nearest

    return nearest(vectors, vectors, k, "cosine", skip=torch.arange(len(vectors)))[1]


@exercise("2.2", "mistaken_for", cases=[((4, 7, 10), 3), ((5, 6, 7, 8), 4), ((3, 0, 5), 2)])
def mistaken_for(student, draw, sizes, k):
    kinds, count = len(sizes), sum(sizes)  # the last case has a kind without pictures
    labels = torch.arange(kinds).repeat_interleave(torch.tensor(sizes)).to(draw.device)[draw.order(count)]
    # nobody is taken for a later kind, so that the table is surely not symmetric
    neighbours = torch.stack([_some_others(draw, labels, i)[:k] for i in range(count)])
    counts = _table(labels, neighbours, kinds).to(draw.tensor(0.0))
    first = _table(labels, neighbours[:, :1], kinds).to(counts)
    met = (counts > 0).to(counts)
    truth = counts / counts.sum(1, keepdim=True).clamp_min(1)
    mistakes = {
        "a kind without pictures has no neighbours; its row should hold zeros": counts / counts.sum(1, keepdim=True),
        "these are numbers of neighbours; a row should hold shares": counts,
        "all entries together add up to 1; each row should": counts / counts.sum(),
        "the columns add up to 1; the rows should": counts / counts.sum(0),
        "rows and columns are swapped: a row belongs to the kind that looks for neighbours": truth.T,
        "a column holds what a row should, and not even a row adds up to 1": (counts / counts.sum(0)).T,
        "a row adds up to how many neighbours a picture has: divide by that, too": truth * k,
        "a row adds up to how many pictures the kind has: divide by that, too": counts / k,
        "each pair of kinds is counted once: += with tensors of indices adds repeated ones only once": (
            met / met.sum(1, keepdim=True)
        ),
        "only the nearest neighbour of each picture is counted; all of them should be": (
            first / first.sum(1, keepdim=True)
        ),
    }
    compare(student(neighbours, labels, kinds), truth, mistakes)


def _some_others(draw, labels, i):
    """In random order, all pictures but number i, of no later kind than it."""
    order = draw.order(len(labels))
    return order[(labels[order] <= labels[i]) & (order != i)]


def _table(labels, neighbours, kinds):
    table = [[0] * kinds for _ in range(kinds)]
    for label, others in zip(labels.tolist(), labels[neighbours].tolist(), strict=True):
        for other in others:
            table[label][other] += 1
    return torch.tensor(table)


@stand_in("2.2", weaker="a kind without pictures has no row in the table")
def mistaken_for_stand_in(neighbours, labels, kinds):
    from sklearn.metrics import confusion_matrix

    asking = labels.repeat_interleave(neighbours.shape[1])
    found = labels[neighbours].flatten()
    return torch.from_numpy(confusion_matrix(asking.cpu(), found.cpu(), normalize="true")).to(labels.device)


# ── Forces on the map ──


@exercise("2.3", "forces", cases=[(5, 2, 1.0), (8, 2, 8.0), (6, 3, 0.05)])  # a map begins small and grows
def forces(student, draw, count, width, scale):
    p = draw.uniform(count, count).triu(1)
    p = (p + p.T) / (2 * p.sum())
    y = scale * draw.normal(count, width)
    pull, push = truth = _pull(p, y), _push(y)
    near = _student(y)
    z = near.sum()
    mistakes = {
        "pull and push are swapped: the first is the pull of P": (push, pull),
        "both point the wrong way: where does y_i − y_j point, and over which index is the sum?": (-pull, -push),
        "the push points the wrong way; it is subtracted from the pull afterwards": (pull, -push),
        "both forces are too small by one factor: look at what stands before the sum": (pull / 4, push / 4),
        "both forces are half of what they should be: look at what stands before the sum": (pull / 2, push / 2),
        "a pair's weight n_ij is missing from the sums; it stands in both, beside p and q": _weighted(p, near / z, y),
        "n_ij takes the squared distance, this the distance": _weighted(
            *_weights(p, y, lambda squared: 1 / (1 + squared.sqrt())), y
        ),
        "n_ij is Student's curve, with its heavy tail; this one is Gaussian": _weighted(
            *_weights(p, y, lambda squared: torch.exp(-squared)), y
        ),
        "the push takes q_ij once and n_ij once, this q_ij twice": (pull, push / z),
        "q does not add up to 1: the push takes q_ij, not n_ij": (pull, push * z),
        "Z counts each point with itself; only pairs of two points count": (pull, push * z / (z + count)),
        "each row of q adds up to 1; Z is one number for the whole map": _weighted(
            p * near, near**2 / near.sum(1, keepdim=True), y
        ),
        "the pull is the whole gradient; it should hold P alone, and the push Q alone": (pull - push, push),
    }
    compare(student(p, y), truth, mistakes)


@exercise("2.3", "forces")
def forces_on_two_points(student, draw):
    p = draw.tensor([[0.0, 0.5], [0.5, 0.0]])
    y = draw.normal(2, 2)
    apart = y - y.flip(0)
    force = 2 * apart / (1 + apart.square().sum(1, keepdim=True))
    compare(student(p, y), (force, force))  # whatever their distance, two points are at rest
    y = draw.tensor([[0.0, 0.0], [1.0, 0.0]])
    compare(student(p, y), (draw.tensor([[-1.0, 0.0], [1.0, 0.0]]),) * 2)


def _student(y):
    """n_ij, zero on the diagonal."""
    return 1 / (1 + (y[:, None] - y).square().sum(2)) - torch.eye(len(y)).to(y)


def _pull(p, y):
    """By another route than equation 5: the slope of Σ p_ij log(1 + ‖y_i − y_j‖²)."""
    y = y.clone().requires_grad_()
    return torch.autograd.grad((p * (y[:, None] - y).square().sum(2).log1p()).sum(), y)[0]


def _push(y):
    """And minus the slope of log Z."""
    y = y.clone().requires_grad_()
    return -torch.autograd.grad(_student(y).sum().log(), y)[0]


def _weighted(pull, push, y):
    """The two sums 4 Σ_j w_ij (y_i − y_j) for the weights of a mistake."""
    return tuple(4 * (w[:, :, None] * (y[:, None] - y)).sum(1) for w in (pull, push))


def _weights(p, y, curve):
    """The weights of both sums that another curve n gives."""
    near = curve((y[:, None] - y).square().sum(2)) * (1 - torch.eye(len(y)).to(y))
    return p * near, near * near / near.sum()


@stand_in("2.3", weaker="it knows maps in the plane alone")
def forces_stand_in(p, y):
    from helpers.tsne import gradient

    once, twice = gradient(p, y)[0], gradient(p, y, exaggeration=2)[0]  # pull − push, 2 pull − push
    return twice - once, twice - 2 * once


# ── Perplexity ──

# count, perplexity, scale of the points: σ from a fiftieth to eight
CLOUDS = [(14, 4.0, 1.0), (20, 5.0, 1.0), (15, 3.5, 0.05), (20, 6.0, 2.5)]


@exercise("2.4", "joint", cases=CLOUDS)
def joint(student, draw, count, perplexity, scale):
    squared, nats = _squared(scale * _cloud(draw, count)), math.log(perplexity)
    answer, truth = student(squared, perplexity), _joint(squared, nats)

    def mistakes():
        rows = _rows(squared, nats)
        known = {
            "these are the rows p_j|i; p_ij is made of p_j|i and p_i|j": rows,
            "these are the rows p_j|i divided by N; p_ij is made of p_j|i and p_i|j": rows / count,
            "a point is a neighbour of itself here; a row is shared among the others alone": _joint(
                squared, nats, itself=True
            ),
            "one σ for all rows; each row has an entropy, and a search, of its own": _joint(
                squared, nats, together=True
            ),
            "the distances come squared already; do not square them again": _joint(squared.square(), nats),
            "the distances come squared; do not take their root": _joint(squared.sqrt(), nats),
            "the entropy is in nats, but 2 is raised to it: both need one base": _joint(squared, math.log2(perplexity)),
            "the entropy is in bits, but e is raised to it: both need one base": _joint(squared, nats * math.log(2)),
            "the search ran to its widest σ: compare with a logarithm, keep the right half, let 0 · log 0 be 0": _joint(
                squared, math.inf
            ),
            "the search ran to σ = 0: keep the right half, let 0 · log 0 be 0": _joint(squared, -math.inf),
            "some σ stop at 1; the search must have room for wider ones": _joint(squared, nats, widest=1.0),
            "some σ stop at 1; the search must have room for narrower ones": _joint(squared, nats, narrowest=1.0),
        }
        if fits(answer, truth):  # two mistakes that come in many sizes
            if agrees(answer.double() / answer.sum(), truth, SEARCHED):
                known["P should add up to 1: by what is p_j|i + p_i|j divided?"] = answer
            if agrees(answer, truth, Near(0.2, 3e-3)):
                known["near, but not near enough: halve the interval more often"] = answer
        return known

    compare(answer, truth, mistakes, SEARCHED)


@exercise("2.4", "joint")
def joint_with_a_far_point(student, draw):
    # so far that its shares are exactly 0 to the others, but not so far that its own row is 0 at σ = 1
    points, far = 0.2 * _cloud(draw, 20), draw.integer(0, 19)
    points[far] *= 22 / points[far].norm()
    squared = _squared(points)
    answer, truth = student(squared, 5.0), _joint(squared, math.log(5.0))
    if fits(answer, truth) and not agrees(answer, truth, SEARCHED):
        raise NotYet("one far point spoils it: a share of exactly 0 should add 0 to the entropy, not 0 · log 0")
    compare(answer, truth, near=SEARCHED)


@exercise("2.4", "joint")
def joint_of_scattered_pairs(student, draw):
    # σ of some hundreds, as the nearest point alone is no neighbourhood; it keeps the row from being 0 at σ = 1
    points = (150 * draw.normal(10, 12)).repeat_interleave(2, 0)
    aside = draw.normal(10, 12)
    points[1::2] += 15 * aside / aside.norm(dim=1, keepdim=True)
    squared = _squared(points[draw.order(20)])
    compare(student(squared, 4.0), _joint(squared, math.log(4.0)), near=SEARCHED)


def _cloud(draw, count):
    """Points in twelve dimensions that lie denser in the middle."""
    points = draw.normal(count, 12) * torch.linspace(0.7, 1.8, count).to(draw.tensor(0.0))[:, None]
    return points[draw.order(count)]


def _squared(points):
    return (points[:, None] - points).square().sum(2)


def _joint(squared, nats, **mistake):
    rows = _rows(squared, nats, **mistake)
    return (rows + rows.T) / (2 * len(rows))


def _rows(squared, nats, itself=False, together=False, narrowest=1e-4, widest=1e5):
    """p_j|i, each row of that entropy, by halving an interval of log σ."""
    if not itself:
        squared = squared.masked_fill(torch.eye(len(squared), device=squared.device) > 0, torch.inf)
    low, high = (torch.full_like(squared[:, :1], math.log(end)) for end in (narrowest, widest))
    for _ in range(60):
        middle = (low + high) / 2
        rows = torch.softmax(-squared / (2 * torch.exp(2 * middle)), 1)
        entropy = torch.special.entr(rows).sum(1, keepdim=True)
        wide = (entropy.mean().expand_as(entropy) if together else entropy) > nats
        low, high = torch.where(wide, low, middle), torch.where(wide, middle, high)
    return rows


@stand_in("2.4")
def joint_stand_in(squared, perplexity):
    from helpers.tsne import conditional

    p = conditional(squared, torch.arange(len(squared), device=squared.device), perplexity)
    return (p + p.T) / (2 * len(p))
