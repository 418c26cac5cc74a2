import math

import torch
import torch.nn.functional as F

# %% 1.1


def amplified(weights, contrast):
    return (0.5 + 0.5 * contrast * weights / weights.abs().max()).clamp(0, 1)


# %% 1.2


def by_colour(network, images, layer):
    mean = network.mean_pixel.view(1, 3, 1, 1)
    parts = []
    for colour in range(3):
        alone = mean.expand_as(images).clone()
        alone[:, colour] = images[:, colour]
        parts.append(network.activation(alone, layer))
    return torch.stack(parts, dim=2)


# %% 1.3


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    lengths = F.conv2d(patches**2, torch.ones_like(weights[:1])).sqrt()  # (N, 1, H', W')
    cosines = F.conv2d(patches, weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)) / lengths
    faint = lengths < contrast * math.sqrt(weights[0].numel())
    cosines = cosines.masked_fill(faint, -math.inf).transpose(0, 1)  # (C, N, H', W')
    best, at = cosines.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, cosines.shape[1:]), dim=1)


# %% 1.4


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin  # (K, h, w)
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()
