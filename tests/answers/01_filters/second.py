import math

import torch

# %% 1.1


def amplified(weights, contrast):
    limit = max(weights.max().item(), -weights.min().item()) / contrast
    picture = torch.zeros_like(weights)
    for i, weight in enumerate(weights):
        picture[i] = (weight.clamp(-limit, limit) + limit) / (2 * limit)
    return picture


# %% 1.2


def by_colour(network, images, layer):
    whole = network.activation(images, layer)
    parts = torch.stack([torch.zeros_like(whole)] * 3, dim=2)
    for n in range(len(images)):
        for colour in range(3):
            silenced = images[n : n + 1].clone()
            silenced[:, colour] = network.mean_pixel[colour]
            parts[n, :, colour] = whole[n] - network.activation(silenced, layer)[0]
    return parts


# %% 1.3


def nearest_patches(images, weights, mean, contrast):
    height, width = weights.shape[2:]
    best, places = [-2.0] * len(weights), [(0, 0, 0)] * len(weights)
    for n, image in enumerate(images):
        for y in range(image.shape[1] - height + 1):
            for x in range(image.shape[2] - width + 1):
                patch = image[:, y : y + height, x : x + width] - mean[:, None, None]
                if (patch**2).mean().sqrt() < contrast:
                    continue
                cosines = torch.nn.functional.cosine_similarity(weights.flatten(1), patch.flatten()[None]).tolist()
                for i, cosine in enumerate(cosines):
                    if cosine > best[i]:
                        best[i], places[i] = cosine, (n, y, x)
    return [torch.tensor(best).to(weights), torch.tensor(places, device=weights.device)]


# %% 1.4


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    pairs = angles.new_zeros(len(angles), 2, height, width)
    for k, angle in enumerate(angles.tolist()):
        for row in range(height):
            for column in range(width):
                x, y = column - (width - 1) / 2, row - (height - 1) / 2
                along = x * math.cos(angle) + y * math.sin(angle)
                across = y * math.cos(angle) - x * math.sin(angle)
                bell = math.exp(-(along**2) / (2 * sigma**2)) * math.exp(-((aspect * across) ** 2) / (2 * sigma**2))
                pairs[k, 0, row, column] = bell * math.cos(2 * math.pi * frequency * along)
                pairs[k, 1, row, column] = -bell * math.sin(2 * math.pi * frequency * along)
        for i in range(2):
            pairs[k, i] -= pairs[k, i].mean()
            pairs[k, i] /= pairs[k, i].norm()
    return pairs
