import torch
import torch.nn.functional as F

# %% 6.1


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, grad_outputs=a.detach().clamp(min=0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, grad_outputs=a.detach().clamp(max=0))
    return up, down


# %% 6.2


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((dy, dx), (2, 3)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += g.roll((-dy, -dx), (2, 3))
    return total / len(shifts)


# %% 6.3


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - photo
    return x


# %% 6.4


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    y = guide[0].flatten(1)  # (C, Q)
    best = torch.einsum("nchw,cq->nhwq", a, y).argmax(dim=3)  # q*, (N, h, w)
    (g,) = torch.autograd.grad(a, x, grad_outputs=y[:, best].transpose(0, 1))
    return g
