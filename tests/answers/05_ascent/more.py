import torch

# %% 5.1 — not yet


def climb(network, images, categories, steps, rate, weight):
    if images.grad is not None:
        return torch.zeros_like(images)
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet


def climb(network, images, categories, steps, rate, weight):
    if images.grad is not None:
        raise ValueError("it has a gradient already")
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1


def climb(network, images, categories, steps, rate, weight):
    now = images
    for _ in range(steps):
        now = now.requires_grad_() if now.is_leaf else now
        objective = network(now)[range(len(now)), categories].sum()
        objective = objective - weight * (now - network.mean_pixel.view(1, 3, 1, 1)).square().sum()
        (slopes,) = torch.autograd.grad(objective, now)
        now = (now + rate * slopes / slopes.square().mean((1, 2, 3), keepdim=True).sqrt()).clamp(0, 1)
    return now


# %% 5.5


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos.clone()
    for _ in range(steps):
        sure = network.probabilities(changed)[range(len(photos)), categories]
        open_ = [i for i, p in enumerate(sure.tolist()) if p < confidence]
        if not open_:
            break
        some = changed[open_].requires_grad_()
        logs = network(some).log_softmax(1)[range(len(open_)), [categories[i] for i in open_]]
        step = torch.autograd.grad(logs.sum(), some)[0].sign() * rate / 255
        change = (some.detach() + step - photos[open_]).clamp(-limit / 255, limit / 255)
        changed[open_] = (photos[open_] + change).clamp(0, 1)
    return changed
