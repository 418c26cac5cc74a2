import numpy as np
import torch
import torch.nn.functional as F

# %% 5.1


def objective_gradient(network, images, categories, weight):
    gradients = torch.zeros_like(images)
    for i, category in enumerate(categories):
        image = images[i : i + 1].detach().clone().requires_grad_()
        network(image)[0, category].backward()
        far = image.detach() - network.mean_pixel[None, :, None, None]
        gradients[i] = (image.grad - 2 * weight * far)[0]
    return gradients


# %% 5.2


def keep_pixels(images, gradients, zero, count):
    kept = torch.empty_like(images)
    for n, (image, gradient) in enumerate(zip(images, gradients, strict=True)):
        width = image.shape[2]
        kept[n] = zero[:, None, None]
        contributions = torch.zeros_like(image[0])
        for colour in range(3):
            contributions = contributions + gradient[colour] * (image[colour] - zero[colour])
        for place in contributions.abs().flatten().argsort(descending=True)[:count].tolist():
            y, x = divmod(place, width)
            kept[n, :, y, x] = image[:, y, x]
    return kept


# %% 5.3


def smooth_step(gradients, power):
    values = gradients.detach().cpu().numpy()
    height, width = values.shape[2:]
    spectrum = np.fft.rfft2(values)
    for row in range(height):
        for column in range(width // 2 + 1):
            v = min(row, height - row) / height
            f = max(1.0, max(height, width) * float(np.hypot(v, column / width)))
            spectrum[:, :, row, column] *= f ** (-2 * power)
    step = np.fft.irfft2(spectrum, s=(height, width))
    step = step / np.sqrt((step**2).mean(axis=(1, 2, 3), keepdims=True))
    return torch.from_numpy(step).to(gradients)


# %% 5.4


def fast_sign(network, images, categories, levels, towards):
    targets = torch.tensor(categories, device=images.device)
    steps = images.detach().clone().requires_grad_()
    loss = F.cross_entropy(network(steps), targets)
    loss.backward()
    moved = images.detach() + (-1 if towards else 1) * torch.sign(steps.grad) * (levels / 255)
    return torch.minimum(torch.maximum(moved, torch.zeros_like(moved)), torch.ones_like(moved))


# %% 5.5


def project(photos, changed, limit, norm):
    if norm == "Linf":
        return torch.maximum(torch.minimum(changed, photos + limit), photos - limit).clamp(0, 1)
    near = []
    for photo, picture in zip(photos, changed, strict=True):
        length = float((picture - photo).square().sum() ** 0.5)
        shrink = 1.0 if length <= limit else limit / length
        near.append((shrink * picture + (1 - shrink) * photo).clamp(0, 1))
    return torch.stack(near)
