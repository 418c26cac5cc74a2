import torch

# %% 5.1


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.2


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, images, zero)


# %% 5.3


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.4


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        change = change.clamp(-limit, limit)
    else:
        length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        change = torch.where(length > limit, change * limit / length, change)
    return (photos + change).clamp(0, 1)


# %% 5.5


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed
