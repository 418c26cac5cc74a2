import torch
import torch.nn.functional as F

# %% 7.1


def inversion_loop(network, layer, photo, start, steps, rate, weight):
    x = torch.nn.Parameter(start.detach().clone())
    wanted, grey = network.activation(photo, layer), network.mean_pixel.view(3, 1, 1)
    search = torch.optim.Adam([x], rate, foreach=False)
    while steps > 0:
        search.zero_grad(set_to_none=False)
        missing = network.activation(x, layer) - wanted
        total = (missing * missing).sum() / ((wanted * wanted).sum() + 1e-9)
        total.backward()
        (weight * ((x - grey) ** 2).mean()).backward()
        search.step()
        steps -= 1
    return x.data.clamp(0.0, 1.0)


# %% 7.1


def inversion_loop(network, layer, photo, start, steps, rate, weight):
    def closure():
        search.zero_grad()
        features = (network.activation(x, layer) - target).pow(2).sum() / target.pow(2).sum()
        loss = features + weight * (x - grey).pow(2).mean()
        loss.backward()
        return loss

    grey, target = network.mean_pixel.view(1, 3, 1, 1), network.activation(photo, layer)
    x = torch.tensor(start.tolist(), dtype=start.dtype, device=start.device, requires_grad=True)
    search = torch.optim.Adam([x], lr=rate)
    for _ in range(steps):
        search.step(closure)
    return torch.clamp(x, 0, 1)


# %% 7.1


def inversion_loop(network, layer, photo, start, steps, rate, weight):
    grey, wanted = network.mean_pixel[None, :, None, None], network.activation(photo, layer)
    image, mean, power = start.detach(), torch.zeros_like(start), torch.zeros_like(start)
    for t in range(1, steps + 1):
        image = image.detach().requires_grad_()
        features = (network.activation(image, layer) - wanted).square().sum() / wanted.square().sum()
        (gradient,) = torch.autograd.grad(features + weight * torch.mean((image - grey) ** 2), image)
        mean = 0.9 * mean + 0.1 * gradient
        power = 0.999 * power + 0.001 * gradient**2
        step = mean / (1 - 0.9**t) / ((power / (1 - 0.999**t)).sqrt() + 1e-8)
        image = image.detach() - rate * step
    return image.clamp(min=0, max=1)


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
