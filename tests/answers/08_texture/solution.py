import torch

# %% 8.1


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool, device=source.device)
    new[:, 1:] &= (source.diff(dim=1) != source.new_tensor([0, 1])).any(2)
    new[1:] &= (source.diff(dim=0) != source.new_tensor([1, 0])).any(2)
    return new


# %% 8.2


def window_distances(sample, window, weight):
    side = len(weight)
    places = sample[0].unfold(1, side, 1).unfold(2, side, 1)  # (3, H - k + 1, W - k + 1, k, k)
    differences = places - window[0][:, None, None]
    return (weight * differences.square()).sum((0, 3, 4)) / weight.sum()


# %% 8.3


def texture_loss(features, samples, weights):
    loss = 0.0
    for here, there, weight in zip(features, samples, weights, strict=True):
        here, there = here.flatten(2), there.flatten(2)
        difference = here @ here.mT / here.shape[2] - there @ there.mT / there.shape[2]
        loss = loss + weight * difference.square().sum((1, 2)) / (4 * here.shape[1] ** 2)
    return loss


# %% 8.4


def shifted_gram(features, dy, dx):
    height, width = features.shape[2:]
    here = features[:, :, : height - dy, : width - dx].flatten(2)
    there = features[:, :, dy:, dx:].flatten(2)
    return here @ there.mT / here.shape[2]
