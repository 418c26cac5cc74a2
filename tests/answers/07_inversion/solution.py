import torch

# %% 7.1


def inversion_loop(network, layer, photo, start, steps, rate, weight):
    target = network.activation(photo, layer)
    x = start.clone().requires_grad_()
    search = torch.optim.Adam([x], lr=rate)
    for _ in range(steps):
        features = (network.activation(x, layer) - target).square().sum() / target.square().sum()
        regulariser = (x - network.mean_pixel.view(1, 3, 1, 1)).square().mean()
        search.zero_grad()
        (features + weight * regulariser).backward()
        search.step()
    return x.detach().clamp(0, 1)


# %% 7.2


def feature_distance(network, layer, images, photo):
    target = network.activation(photo, layer)
    difference = network.activation(images, layer) - target
    return difference.square().flatten(1).sum(dim=1) / target.square().sum()


# %% 7.3


def restart_objectives(network, layer, images, target, decay, tv, alpha, beta):
    features = (network.activation(images, layer) - target).square().flatten(1).sum(dim=1) / target.square().sum()
    x = 2 * (images - network.mean_pixel.view(1, 3, 1, 1))
    norm = x.abs().pow(alpha).mean(dim=(1, 2, 3))
    squared = torch.zeros_like(images)
    squared[..., :-1] += (images[..., 1:] - images[..., :-1]).square()
    squared[..., :-1, :] += (images[..., 1:, :] - images[..., :-1, :]).square()
    variation = squared.pow(beta / 2).mean(dim=(1, 2, 3))
    return features + decay * norm + tv * variation


# %% 7.4


def variation_gradient(images, beta):
    across, down = torch.zeros_like(images), torch.zeros_like(images)
    across[..., :-1] = images[..., 1:] - images[..., :-1]
    down[..., :-1, :] = images[..., 1:, :] - images[..., :-1, :]
    squared = across**2 + down**2
    flat = squared == 0
    slope = torch.where(flat, 0, beta * torch.where(flat, 1, squared) ** (beta / 2 - 1))
    across, down = slope * across, slope * down
    gradient = -across - down
    gradient[..., 1:] += across[..., :-1]
    gradient[..., 1:, :] += down[..., :-1, :]
    return gradient
