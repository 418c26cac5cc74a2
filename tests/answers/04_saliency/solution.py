import torch

# %% 4.1


def class_maps(features, weight, categories):
    return torch.einsum("nmk,nkhw->nmhw", weight[categories], features)


# %% 4.2


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.3


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        alpha = (i + 0.5) / steps
        pixels = (plain + alpha * (images - plain)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain) * total / steps


# %% 4.4


def relu_backward(x, gradient, rule, ceiling):
    active = (x > 0) & (x < ceiling)
    if rule == "gradient":
        return gradient * active
    if rule == "deconvnet":
        return gradient * (gradient > 0)
    return gradient * active * (gradient > 0)


# %% 4.5


def seed_masks(heat, foreground, background):
    values = heat.flatten(1)
    upper = values.quantile(foreground, dim=1)[:, None, None]
    lower = values.quantile(background, dim=1)[:, None, None]
    return heat > upper, heat <= lower
