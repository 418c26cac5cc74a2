import torch

# %% 7.1


def inversion_loop(network, layer, photo, start, steps, rate, weight):
    grey = network.mean_pixel[None, :, None, None]
    with torch.no_grad():
        wanted = network.activation(photo, layer).flatten()
    image = torch.nn.Parameter(start.detach().clone())
    search = torch.optim.Adam([{"params": [image], "lr": rate}])
    for _ in range(steps):
        said = network.activation(image, layer).flatten()
        objective = (said - wanted).norm() ** 2 / wanted.norm() ** 2 + weight * torch.mean((image - grey) ** 2)
        (image.grad,) = torch.autograd.grad(objective, image)
        search.step()
    return image.detach().clamp(min=0, max=1)


# %% 7.2


def feature_distance(network, layer, images, photo):
    target = network.activation(photo, layer)
    found = []
    for i in range(len(images)):
        features = network.activation(images[i : i + 1], layer)
        found.append(((features - target).norm() / target.norm()) ** 2)
    return torch.stack(found)


# %% 7.3


def restart_objectives(network, layer, images, target, decay, tv, alpha, beta):
    found = []
    for n in range(images.shape[0]):
        image = images[n]
        features = network.activation(image[None], layer)
        total = torch.sum((features - target) ** 2) / torch.sum(target**2)
        grey = network.mean_pixel[:, None, None]
        total = total + decay * torch.mean(torch.abs((image - grey) / 0.5) ** alpha)
        across = torch.diff(image, dim=2, append=image[:, :, -1:])
        down = torch.diff(image, dim=1, append=image[:, -1:, :])
        total = total + tv * torch.sum((across**2 + down**2) ** (beta / 2)) / image.numel()
        found.append(total)
    return torch.stack(found)


# %% 7.4


def variation_gradient(images, beta):
    x = images.clone().requires_grad_()
    across = torch.diff(x, dim=-1, append=x[..., -1:])
    down = torch.diff(x, dim=-2, append=x[..., -1:, :])
    squared = across.square() + down.square()
    squared[squared > 0].pow(beta / 2).sum().backward()  # a flat place has no term, and no gradient
    return x.grad
