import torch

# %% 3.1


def merge(values, images, maps, numbers):
    values, images = values.clone(), images.clone()
    for number, picture in zip(numbers, maps, strict=True):
        strongest = picture.flatten(1).sort(dim=1).values[:, -1]
        for channel in range(len(values)):
            place = int((values[channel] > strongest[channel]).sum())
            if place < values.shape[1]:
                values[channel, place + 1 :] = values[channel, place:-1].clone()
                images[channel, place + 1 :] = images[channel, place:-1].clone()
                values[channel, place], images[channel, place] = strongest[channel], number
    return values, images


# %% 3.2


def field_of(layers, unit):
    first, last, jump = list(unit), list(unit), 1
    for kernel, stride, padding in reversed(layers):
        first = [stride * place - padding for place in first]
        last = [stride * place - padding + kernel - 1 for place in last]
        jump *= stride
    return last[0] - first[0] + 1, jump, (*first, last[0] + 1, last[1] + 1)


# %% 3.3


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    tops = sorted({*range(0, height - patch + 1, stride), height - patch})
    lefts = sorted({*range(0, width - patch + 1, stride), width - patch})
    y, x = torch.arange(height, device=image.device), torch.arange(width, device=image.device)
    rows = torch.stack([(y >= top) & (y < top + patch) for top in tops])
    columns = torch.stack([(x >= left) & (x < left + patch) for left in lefts])
    masks = (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)  # (windows, H, W)
    covered = torch.where(masks[:, None], network.mean_pixel[:, None, None], image)
    scores = network.probabilities(covered)[:, category]
    return (scores[:, None, None] * masks).sum(0) / masks.sum(0)


# %% 3.4


def area_by_levels(network, before, after, importance, category):
    order = importance.flatten().argsort(descending=True)
    _, sizes = importance.unique(return_counts=True)
    pictures, changed, done = [before], before.flatten(2).clone(), 0
    for size in reversed(sizes.tolist()):
        now = order[done : done + size]
        changed[:, :, now] = after.flatten(2)[:, :, now]
        pictures.append(changed.clone().view_as(before))
        done += size
    scores = network.probabilities(torch.cat(pictures))[:, category].tolist()
    steps = zip(reversed(sizes.tolist()), scores[:-1], scores[1:], strict=True)
    return sum(size * (left + right) / 2 for size, left, right in steps) / len(order)
