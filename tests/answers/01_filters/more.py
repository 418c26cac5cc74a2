import math

import numpy as np
import torch

# %% 1.1


def amplified(weights, contrast):
    weights = weights.float()
    return (0.5 + 0.5 * contrast * weights / weights.abs().max()).clamp(0, 1)


# %% 1.3


def nearest_patches(images, weights, mean, contrast):
    best, places = [], []
    patches = images.unfold(2, weights.shape[2], 1).unfold(3, weights.shape[3], 1) - mean.view(1, 3, 1, 1, 1, 1)
    patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3)  # (N, H', W', 3hw)
    for weight in weights.flatten(1):
        cosines = patches @ weight / (patches.norm(dim=3) * weight.norm() + 1e-8)
        cosines[patches.square().mean(3).sqrt() < contrast] = -2
        best.append(cosines.max().item())
        places.append(np.unravel_index(cosines.argmax().item(), cosines.shape))
    return torch.tensor(best), torch.tensor(np.array(places), dtype=torch.int32)


# %% 1.4


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return (pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()).float()
