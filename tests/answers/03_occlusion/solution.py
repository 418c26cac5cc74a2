import torch

# %% 3.1


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.amax(dim=(2, 3)).T], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.topk(k)
    return values, images.gather(1, order)


# %% 3.2


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.3


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    total, count = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    for top in [*range(0, height - patch, stride), height - patch]:
        for left in [*range(0, width - patch, stride), width - patch]:
            covered = image.clone()
            covered[:, :, top : top + patch, left : left + patch] = network.mean_pixel[:, None, None]
            window = slice(top, top + patch), slice(left, left + patch)
            total[window] += network.probabilities(covered)[0, category]
            count[window] += 1
    return total / count


# %% 3.4


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()
