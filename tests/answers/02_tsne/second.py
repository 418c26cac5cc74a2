import math

import torch
import torch.nn.functional as F

# %% 2.1


def nearest_by_cosine(vectors, k):
    found = []
    for i, vector in enumerate(vectors):
        distance = 1 - F.cosine_similarity(vector[None], vectors)
        others = [j for j in range(len(vectors)) if j != i]
        others.sort(key=lambda j, distance=distance: distance[j].item())
        found.append(others[:k])
    return torch.tensor(found, device=vectors.device)


# %% 2.2


def mistaken_for(neighbours, labels, kinds):
    table = torch.zeros(kinds, kinds, device=labels.device)
    for i in range(len(labels)):
        for j in neighbours[i]:
            table[labels[i], labels[j]] += 1
    for kind in range(kinds):
        if table[kind].any():
            table[kind] /= table[kind].sum()
    return table


# %% 2.3


def forces(p, y):
    """KL = Σ p log p + Σ p log(1 + d²) + log Z: the second term pulls, the third pushes."""
    y = y.clone().requires_grad_()
    log_distance = ((y[:, None] - y) ** 2).sum(2).log1p()
    log_z = ((-log_distance).exp().sum() - len(y)).log()
    (pull,) = torch.autograd.grad((p * log_distance).sum(), y, retain_graph=True)
    (push,) = torch.autograd.grad(-log_z, y)
    return pull, push


# %% 2.4


def joint(squared, perplexity):
    count = len(squared)
    p = torch.zeros_like(squared)
    for i in range(count):
        others = [j for j in range(count) if j != i]
        row = squared[i, others].tolist()
        low, high = 0.0, 1.0
        while perplexity_of(shares(row, high)) < perplexity:
            high *= 2
        while high - low > 1e-8 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if perplexity_of(shares(row, middle)) < perplexity else (low, middle)
        for j, share in zip(others, shares(row, high), strict=True):
            p[i, j] += share / (2 * count)
            p[j, i] += share / (2 * count)
    return p


def shares(row, sigma):
    closest = min(row)
    weights = [math.exp(-(value - closest) / (2 * sigma**2)) for value in row]
    total = sum(weights)
    return [weight / total for weight in weights]


def perplexity_of(shares):
    return 2 ** -sum(share * math.log2(share) for share in shares if share > 0)
