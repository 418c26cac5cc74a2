import numpy as np
import torch
import torch.nn.functional as F

# %% 5.1


def climb(network, images, categories, steps, rate, weight):
    climbed = []
    for image, category in zip(images, categories, strict=True):
        now = image[None].detach().clone()
        for _ in range(steps):
            probe = now.clone().requires_grad_()
            network(probe)[0, category].backward()
            slope = probe.grad - 2 * weight * (now - network.mean_pixel[None, :, None, None])
            length = float((slope**2).mean() ** 0.5)
            now = torch.minimum(torch.maximum(now + rate / length * slope, 0 * now), torch.ones_like(now))
        climbed.append(now)
    return torch.cat(climbed)


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


def project(photos, changed, limit, norm):
    if norm == "Linf":
        return torch.maximum(torch.minimum(changed, photos + limit), photos - limit).clamp(0, 1)
    near = []
    for photo, picture in zip(photos, changed, strict=True):
        length = float((picture - photo).square().sum() ** 0.5)
        shrink = 1.0 if length <= limit else limit / length
        near.append((shrink * picture + (1 - shrink) * photo).clamp(0, 1))
    return torch.stack(near)


# %% 5.5


def attack(network, photos, categories, limit, rate, steps, confidence):
    finished = []
    for photo, category in zip(photos.detach(), categories, strict=True):
        low, high = (photo - limit / 255).clamp(min=0), (photo + limit / 255).clamp(max=1)
        now = photo.clone()
        for _ in range(steps):
            probe = now[None].clone().requires_grad_()
            loss = F.cross_entropy(network(probe), torch.tensor([category], device=photo.device))
            if torch.exp(-loss) >= confidence:
                break
            loss.backward()
            now = torch.maximum(torch.minimum(now - torch.sign(probe.grad[0]) * (rate / 255), high), low)
        finished.append(now)
    return torch.stack(finished)
