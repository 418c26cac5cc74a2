import torch
import torch.nn.functional as F

# %% 6.3


def dream_octaves(network, photos, layer, steps, rate):
    x = photos[-1]
    if len(photos) > 1:
        smaller = dream_octaves(network, photos[:-1], layer, steps, rate)
        x = x + F.interpolate(smaller - photos[-2], size=x.shape[-2:], mode="bilinear", align_corners=False)
    for _ in range(steps):
        x = x.detach().clone().requires_grad_()
        (network.activation(x, layer) ** 2).sum().mul(0.5).backward()
        x = x.detach() + rate * x.grad / (x.grad.abs().mean((1, 2, 3), keepdim=True) + 1e-8)
    return x


# %% 6.4


def guided_gradient(network, images, layer, guide):
    x = images.detach().clone().requires_grad_()
    a = network.activation(x, layer)
    n, channels, height, width = a.shape
    vectors = guide[0].flatten(1)
    pull = torch.Tensor(n, channels, height, width).to(images.device)
    for k in range(n):
        for i in range(height):
            for j in range(width):
                pull[k, :, i, j] = vectors[:, (a[k, :, i, j] @ vectors).argmax()]
    return torch.autograd.grad(a, x, grad_outputs=pull)[0]
