import torch
import torch.nn.functional as F

# %% 7.3


def restart_objectives(network, layer, images, target, decay, tv, alpha, beta):
    features = (network.activation(images, layer) - target).square().flatten(1).sum(1) / (target.square().sum() + 1e-5)
    norm = (2 * (images - network.mean_pixel.view(1, 3, 1, 1))).abs().pow(alpha).mean((1, 2, 3))
    across, down = images.roll(-1, 3) - images, images.roll(-1, 2) - images
    across, down = across * (torch.arange(images.shape[3]) < images.shape[3] - 1).to(images), down.clone()
    down[:, :, -1] = 0
    variation = (across**2 + down**2).pow(beta / 2).mean((1, 2, 3))
    return features + decay * norm + tv * variation


# %% 7.3


def restart_objectives(network, layer, images, target, decay, tv, alpha, beta):
    features = (network.activation(images, layer) - target).square().flatten(1).sum(1) / (target.square().sum() + 1e-5)
    norm = (2 * (images - network.mean_pixel.view(1, 3, 1, 1))).abs().pow(alpha).mean((1, 2, 3))
    padded = F.pad(images, (0, 1, 0, 1), mode="replicate")
    across, down = padded[..., :-1, 1:] - images, padded[..., 1:, :-1] - images
    variation = (across**2 + down**2 + 1e-8).pow(beta / 2).mean((1, 2, 3))
    return (features + decay * norm + tv * variation).float()
