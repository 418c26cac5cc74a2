import torch
import torch.nn.functional as F

# %% 6.1


def pulls(network, images, layer):
    found = []
    for sign in (1, -1):
        x = images.clone().requires_grad_()
        energy = 0.5 * torch.relu(sign * network.activation(x, layer)) ** 2
        energy.sum().backward()
        found.append(x.grad)
    return tuple(found)


# %% 6.2


def jittered_gradient(network, images, layer, shifts):
    x = images.clone().requires_grad_()
    moved = torch.cat([torch.roll(x, shifts=tuple(shift), dims=(-2, -1)) for shift in shifts])
    energy = network.activation(moved, layer).square().sum() / 2
    return torch.autograd.grad(energy / len(shifts), x)[0]  # differentiating a move moves the gradient back


# %% 6.3


def dream_octaves(network, photos, layer, steps, rate):
    dreams = []
    for i in range(photos[0].shape[0]):  # image by image
        dream = photos[0][i : i + 1]
        for k in range(len(photos)):
            here = photos[k][i : i + 1]
            if k > 0:
                added = dream - photos[k - 1][i : i + 1]
                dream = here + F.interpolate(added, here.shape[-2:], mode="bilinear", align_corners=False)
            for _ in range(steps):
                leaf = dream.detach().clone().requires_grad_()
                network.activation(leaf, layer).square().sum().backward()
                dream = leaf.detach() + rate * leaf.grad / leaf.grad.abs().mean()
        dreams.append(dream)
    return torch.cat(dreams)


# %% 6.4


def guided_gradient(network, images, layer, guide):
    x = images.clone().requires_grad_()
    a = network.activation(x, layer)
    offered = guide[0].flatten(1).t()  # (Q, C)
    pull = torch.zeros_like(a)
    for n in range(a.shape[0]):
        for i in range(a.shape[2]):
            for j in range(a.shape[3]):
                products = (offered * a[n, :, i, j].detach()).sum(1)
                pull[n, :, i, j] = offered[int(products.argmax())]
    a.backward(pull)
    return x.grad
