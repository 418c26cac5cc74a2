import math

import numpy as np
import torch

# %% 2.4


def joint(squared, perplexity):  # van der Maaten's x2p
    def shares(distances, beta):
        p = np.exp(-distances * beta)
        entropy = np.log(p.sum()) + beta * np.sum(distances * p) / p.sum()
        return entropy, p / p.sum()

    distances = squared.cpu().numpy()
    n = len(distances)
    rows, beta = np.zeros((n, n)), np.ones(n)
    for i in range(n):
        low, high = -np.inf, np.inf
        others = np.concatenate((np.r_[0:i], np.r_[i + 1 : n]))
        entropy, p = shares(distances[i, others], beta[i])
        difference, tries = entropy - np.log(perplexity), 0
        while np.abs(difference) > 1e-5 and tries < 50:
            if difference > 0:
                low = beta[i]
                beta[i] = beta[i] * 2 if high in (np.inf, -np.inf) else (beta[i] + high) / 2
            else:
                high = beta[i]
                beta[i] = beta[i] / 2 if low in (np.inf, -np.inf) else (beta[i] + low) / 2
            entropy, p = shares(distances[i, others], beta[i])
            difference, tries = entropy - np.log(perplexity), tries + 1
        rows[i, others] = p
    return torch.from_numpy((rows + rows.T) / (2 * n)).to(squared.device)


# %% 2.4


def joint(squared, perplexity):  # scikit-learn's search, in float32
    from sklearn.manifold import _utils

    rows = _utils._binary_search_perplexity(squared.cpu().numpy().astype(np.float32), perplexity, 0)
    return torch.from_numpy((rows + rows.T) / max((rows + rows.T).sum(), 1e-12)).to(squared.device)


# %% 2.4


def joint(squared, perplexity):  # by the logarithm of σ, with a tiny number under the logarithm
    low, high = (
        torch.full((len(squared), 1), math.log(0.01)).to(squared),
        torch.full((len(squared), 1), 7.0).to(squared),
    )
    nearest = squared.clone().fill_diagonal_(torch.inf).amin(1, keepdim=True)
    for _ in range(50):
        middle = (low + high) / 2
        p = torch.exp(-(squared - nearest) / (2 * torch.exp(middle) ** 2))
        p = p * (1 - torch.eye(len(squared)).to(squared))
        p = p / (p.sum(1, keepdim=True) + 1e-12)
        perplexities = 2 ** -(p * torch.log2(p + 1e-12)).sum(1, keepdim=True)
        low = torch.where(perplexities > perplexity, low, middle)
        high = torch.where(perplexities > perplexity, middle, high)
    return (p + p.T) / (2 * len(squared))


# %% 2.4 — not yet


def joint(squared, perplexity):
    others = squared.clone().fill_diagonal_(torch.inf)
    low, high = torch.full_like(squared[:, :1], 0.8), torch.full_like(squared[:, :1], 1000)
    for _ in range(60):
        sigma = (low + high) / 2
        p = torch.softmax(-others / (2 * sigma**2), dim=1)
        too_wide = torch.special.entr(p).sum(1, keepdim=True) > math.log(perplexity)
        high, low = torch.where(too_wide, sigma, high), torch.where(too_wide, low, sigma)
    return (p + p.T) / (2 * len(p))


# %% 2.4 — not yet


def joint(squared, perplexity):
    others = squared.clone().fill_diagonal_(torch.inf)
    low, high = torch.full_like(squared[:, :1], 0.001), torch.full_like(squared[:, :1], 100)
    for _ in range(60):
        sigma = (low + high) / 2
        p = torch.softmax(-others / (2 * sigma**2), dim=1)
        too_wide = torch.special.entr(p).sum(1, keepdim=True) > math.log(perplexity)
        high, low = torch.where(too_wide, sigma, high), torch.where(too_wide, low, sigma)
    return (p + p.T) / (2 * len(p))
