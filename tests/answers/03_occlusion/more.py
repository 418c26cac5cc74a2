import numpy as np
import torch

# %% 3.1


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.amax(dim=(2, 3)).T], dim=1).float()
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.topk(k)
    return values, images.gather(1, order)


# %% 3.2


def field_of(layers, unit):
    def seen(place):
        first, last = place, place
        for kernel, stride, padding in reversed(layers):
            first, last = first * stride - padding, last * stride - padding + kernel - 1
        return first, last + 1

    (top, bottom), (left, right) = map(seen, unit)
    return [np.int64(bottom - top), torch.tensor(seen(1)[0] - seen(0)[0]), [top, left, float(bottom), right]]


# %% 3.4


def area_by_levels(network, before, after, importance, category):
    area, share, p = 0, 0, network.probabilities(before)[0, category]
    for level in sorted(set(importance.flatten().tolist()), reverse=True):
        changed = (importance >= level).float()
        now, then = changed.mean(), network.probabilities(before * (1 - changed) + after * changed)[0, category]
        area, share, p = area + (now - share) * (p + then) / 2, now, then
    return area
