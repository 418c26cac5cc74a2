import math

import torch
import torch.nn.functional as F

# %% 4.1


def class_maps(features, weight, categories):
    maps = []
    for channels, asked in zip(features, categories, strict=True):  # one picture after the other
        maps.append(F.conv2d(channels[None], weight[asked][:, :, None, None])[0])
    return torch.stack(maps)


# %% 4.2


def smoothgrad_maps(network, images, categories, noise, level):
    count, copies = len(images), len(noise)
    values = images.flatten(1)
    sigma = level * (values.max(1).values - values.min(1).values)
    noisy = images[:, None] + sigma[:, None, None, None, None] * noise  # (N, copies, 3, H, W)
    pixels = noisy.flatten(0, 1).requires_grad_()
    scores = network(pixels).gather(1, categories.repeat_interleave(copies)[:, None])
    scores.sum().backward()
    mean = pixels.grad.unflatten(0, (count, copies)).mean(1)
    return torch.maximum(mean.amax(1), -mean.amin(1))


# %% 4.3


def book_scores(network, images, plain, categories, steps):
    # ∂/∂way of the mean score on the way, by the chain rule through the points themselves
    alphas = torch.linspace(1, 2 * steps - 1, steps, dtype=images.dtype, device=images.device) / (2 * steps)
    booked = torch.zeros_like(images)
    for n in range(len(images)):
        points = plain[n] + alphas[:, None, None, None] * (images[n] - plain[n])
        points.requires_grad_()
        network(points)[:, categories[n]].mean().backward()
        booked[n] = points.grad.sum(0) * (images[n] - plain[n])
    return booked


# %% 4.4


def relu_backward(x, gradient, rule, ceiling):
    if rule != "gradient":
        gradient = F.relu(gradient)
    if rule == "deconvnet":
        return gradient
    x = x.detach().clone().requires_grad_()
    y = F.relu(x) if math.isinf(ceiling) else F.hardtanh(x, 0.0, ceiling)
    return torch.autograd.grad(y, x, gradient)[0]


# %% 4.5


def seed_masks(heat, foreground, background):
    objects, rest = torch.zeros_like(heat, dtype=torch.bool), torch.zeros_like(heat, dtype=torch.bool)
    for n, one in enumerate(heat):
        ordered = one.flatten().sort().values
        thresholds = []
        for q in (foreground, background):
            rank = q * (len(ordered) - 1)
            below = math.floor(rank)
            above = min(below + 1, len(ordered) - 1)
            thresholds.append(ordered[below] + (rank - below) * (ordered[above] - ordered[below]))
        objects[n], rest[n] = one > thresholds[0], one <= thresholds[1]
    return [objects, rest]
