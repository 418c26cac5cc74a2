import torch

# %% 3.1 — not yet: these are places in the joined list; ask the list of picture numbers what stands there


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.amax(dim=(2, 3)).T], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.topk(k)
    return values, order


# %% 3.1 — not yet: one picture fills several places; only its strongest unit counts


def merge(values, images, maps, numbers):
    k = values.shape[1]
    units = maps.flatten(2).permute(1, 0, 2)  # (C, N, H·W)
    values = torch.cat([values, units.flatten(1)], dim=1)
    images = torch.cat([images, numbers.repeat_interleave(units.shape[2]).expand(len(values), -1)], dim=1)
    values, order = values.topk(k)
    return values, images.gather(1, order)


# %% 3.1 — not yet: a picture counts by its strongest unit, not by the mean of its map


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.mean(dim=(2, 3)).T], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.topk(k)
    return values, images.gather(1, order)


# %% 3.1 — not yet: a unit far below zero is not excited: leave the sign


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.abs().amax(dim=(2, 3)).T], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.topk(k)
    return values, images.gather(1, order)


# %% 3.1 — not yet: channels and pictures are mixed up: a reshape is no transpose


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.amax(dim=(2, 3)).reshape(len(values), -1)], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.topk(k)
    return values, images.gather(1, order)


# %% 3.1 — not yet: the best so far are forgotten: the new pictures have to beat them


def merge(values, images, maps, numbers):
    best = maps.amax(dim=(2, 3)).topk(values.shape[1], dim=0)
    return best.values.T, numbers[best.indices.T]


# %% 3.1 — not yet: these are the weakest; the largest values are to be kept


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.amax(dim=(2, 3)).T], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.topk(k, largest=False)
    return values, images.gather(1, order)


# %% 3.1 — not yet: strongest first: the values are in another order


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.amax(dim=(2, 3)).T], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.sort(dim=1)
    return values[:, -k:], images.gather(1, order[:, -k:])


# %% 3.1 — not yet: the pictures are ranked by one channel; every channel has an order of its own


def merge(values, images, maps, numbers):
    k = values.shape[1]
    values = torch.cat([values, maps.amax(dim=(2, 3)).T], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.topk(k)
    return values, images[:, order[0]]


# %% 3.1 — not yet: of the 2 things returned, number 1: the shape is (3, 9), but should be (3, 4) here


def merge(values, images, maps, numbers):
    values = torch.cat([values, maps.amax(dim=(2, 3)).T], dim=1)
    images = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    values, order = values.sort(dim=1, descending=True)
    return values, images.gather(1, order)


# %% 3.1 — not yet: it changes what it was given; work on a copy


def merge(values, images, maps, numbers):
    joined = torch.cat([values, maps.amax(dim=(2, 3)).T], dim=1)
    names = torch.cat([images, numbers.expand(len(values), -1)], dim=1)
    order = joined.topk(values.shape[1]).indices
    values[:], images[:] = joined.gather(1, order), names.gather(1, order)
    return values, images


# %% 3.1 — not yet: it calls helpers.patches.merged: write the lines yourself


def merge(values, images, maps, numbers):
    from helpers.patches import merged

    new = {"value": maps.amax(dim=(2, 3)).T, "image": numbers.expand(len(values), -1)}
    best = merged({"value": values, "image": images}, new, values.shape[1])
    return best["value"], best["image"]


# %% 3.2 — not yet: the layers are taken from the wrong end: the first of the list stands next to the picture


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in reversed(layers):
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: kernel and padding both reach over the layer below: use the jump from before this layer


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        jump *= stride
        size += (kernel - 1) * jump
        start -= padding * jump
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: a kernel steps from unit to unit of the layer below it, so its own stride does not count yet


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        start -= padding * jump
        jump *= stride
        size += (kernel - 1) * jump
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the size counts steps of every layer as pixels; how many pixels is a step in the layer below?


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += kernel - 1
        start -= padding * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: a unit that sees k in a row sees k, but there are fewer steps between them


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += kernel * jump
        start -= padding * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the jump is the last layer's stride alone; the layers below have theirs too


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump = stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: strides are added; how far apart are every second of every third unit?


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump += stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the padding is forgotten: unit (0, 0) starts outside the picture


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the padding is added; it lets the box start before the picture


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start += padding * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the padding of a layer is in its own units, not in pixels


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the padding is in units of the layer below; this layer's stride has no part in it


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        jump *= stride
        start -= padding * jump
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the box is cut off at the picture's border; it may reach into the padding


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (max(top, 0), max(left, 0), top + size, left + size)


# %% 3.2 — not yet: bottom and right are the last pixels seen; they should lie just outside


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size - 1, left + size - 1)


# %% 3.2 — not yet: rows and columns are swapped: top and bottom belong to the row


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    left, top = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the next unit's box lies one jump further, not one pixel


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    top, left = start + unit[0], start + unit[1]
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: the box is centred on unit times jump; where does that of unit (0, 0) start?


def field_of(layers, unit):
    size, jump = 1, 1
    for kernel, stride, _ in layers:
        size += (kernel - 1) * jump
        jump *= stride
    top, left = unit[0] * jump - size // 2, unit[1] * jump - size // 2
    return size, jump, (top, left, top + size, left + size)


# %% 3.2 — not yet: it should return 3 things, not a tuple of 6


def field_of(layers, unit):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    top, left = start + unit[0] * jump, start + unit[1] * jump
    return size, jump, top, left, top + size, left + size


# %% 3.2 — not yet: it calls helpers.core.networks.Network.receptive_field: write the lines yourself


def field_of(layers, unit):
    from helpers.core.networks import Network

    modules = [torch.nn.Conv2d(3, 3, kernel, stride, padding) for kernel, stride, padding in layers]
    field = Network(torch.nn.Sequential(*modules)).receptive_field(str(len(layers) - 1), 96)
    return field.size[0], field.stride[0], field.box(*unit)


# %% 3.2 — not yet: it calls helpers.core.fields.trace: write the lines yourself


def field_of(layers, unit):
    from helpers.core.fields import trace

    modules = [torch.nn.Conv2d(3, 3, kernel, stride, padding) for kernel, stride, padding in layers]
    field = trace(torch.nn.Sequential(*modules), (96, 96))[str(len(layers) - 1)]
    return field.size[0], field.stride[0], field.box(*unit)


# %% 3.3 — not yet: the window flush with the border is there twice where the stride leaves no rest


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    total, count = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    for top in [*range(0, height - patch + 1, stride), height - patch]:
        for left in [*range(0, width - patch + 1, stride), width - patch]:
            covered = image.clone()
            covered[:, :, top : top + patch, left : left + patch] = network.mean_pixel[:, None, None]
            window = slice(top, top + patch), slice(left, left + patch)
            total[window] += network.probabilities(covered)[0, category]
            count[window] += 1
    return total / count


# %% 3.3 — not yet: the last rows and columns are missing: one more window must stand flush with the border


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    total, count = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    for top in range(0, height - patch + 1, stride):
        for left in range(0, width - patch + 1, stride):
            covered = image.clone()
            covered[:, :, top : top + patch, left : left + patch] = network.mean_pixel[:, None, None]
            total[top : top + patch, left : left + patch] += network.probabilities(covered)[0, category]
            count[top : top + patch, left : left + patch] += 1
    return total / count.clamp(min=1)


# %% 3.3 — not yet: the window is black; paint it with the mean pixel


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    total, count = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    for top in [*range(0, height - patch, stride), height - patch]:
        for left in [*range(0, width - patch, stride), width - patch]:
            covered = image.clone()
            covered[:, :, top : top + patch, left : left + patch] = 0
            total[top : top + patch, left : left + patch] += network.probabilities(covered)[0, category]
            count[top : top + patch, left : left + patch] += 1
    return total / count


# %% 3.3 — not yet: these are scores before softmax; the map shows probabilities


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    total, count = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    for top in [*range(0, height - patch, stride), height - patch]:
        for left in [*range(0, width - patch, stride), width - patch]:
            covered = image.clone()
            covered[:, :, top : top + patch, left : left + patch] = network.mean_pixel[:, None, None]
            total[top : top + patch, left : left + patch] += network(covered)[0, category]
            count[top : top + patch, left : left + patch] += 1
    return total / count


# %% 3.3 — not yet: windows that overlap are added up; divide by how many hold the pixel


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    total = torch.zeros_like(image[0, 0])
    for top in [*range(0, height - patch, stride), height - patch]:
        for left in [*range(0, width - patch, stride), width - patch]:
            covered = image.clone()
            covered[:, :, top : top + patch, left : left + patch] = network.mean_pixel[:, None, None]
            total[top : top + patch, left : left + patch] += network.probabilities(covered)[0, category]
    return total


# %% 3.3 — not yet: a pixel keeps only the last window that held it; average over all of them


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    heat = torch.zeros_like(image[0, 0])
    for top in [*range(0, height - patch, stride), height - patch]:
        for left in [*range(0, width - patch, stride), width - patch]:
            covered = image.clone()
            covered[:, :, top : top + patch, left : left + patch] = network.mean_pixel[:, None, None]
            heat[top : top + patch, left : left + patch] = network.probabilities(covered)[0, category]
    return heat


# %% 3.3 — not yet: this is how far the probability falls; the map shows the probability itself


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    total, count = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    clean = network.probabilities(image)[0, category]
    for top in [*range(0, height - patch, stride), height - patch]:
        for left in [*range(0, width - patch, stride), width - patch]:
            covered = image.clone()
            covered[:, :, top : top + patch, left : left + patch] = network.mean_pixel[:, None, None]
            total[top : top + patch, left : left + patch] += clean - network.probabilities(covered)[0, category]
            count[top : top + patch, left : left + patch] += 1
    return total / count


# %% 3.3 — not yet: it changes what it was given; work on a copy


def occlusion_map(network, image, category, patch, stride):
    height, width = image.shape[2:]
    total, count = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    for top in [*range(0, height - patch, stride), height - patch]:
        for left in [*range(0, width - patch, stride), width - patch]:
            image[:, :, top : top + patch, left : left + patch] = network.mean_pixel[:, None, None]
            total[top : top + patch, left : left + patch] += network.probabilities(image)[0, category]
            count[top : top + patch, left : left + patch] += 1
    return total / count


# %% 3.3 — not yet: it calls helpers.occlusion.occlusion: write the lines yourself


def occlusion_map(network, image, category, patch, stride):
    from helpers.core.steps import finish
    from helpers.occlusion import occlusion

    return finish(occlusion(network, image, category, patch, stride)).image[0, 0]


# %% 3.4 — not yet: levels hold different numbers of pixels: the steps along the curve are not all equal


def area_by_levels(network, before, after, importance, category):
    levels = importance.unique().flip(0)
    scores = [network.probabilities(before)[0, category]]
    for level in levels:
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
    return torch.trapezoid(torch.stack(scores), dx=1 / len(levels))


# %% 3.4 — not yet: the curve has a point for each level, however many; not a fixed number of equal steps


def area_by_levels(network, before, after, importance, category):
    points = 32
    order, scores = importance.flatten().argsort(descending=True, stable=True), []
    for count in torch.linspace(0, len(order), points + 1).round().long():
        changed = before.flatten(2).clone()
        changed[:, :, order[:count]] = after.flatten(2)[:, :, order[:count]]
        scores.append(network.probabilities(changed.view_as(before))[0, category])
    return torch.trapezoid(torch.stack(scores), dx=1 / points)


# %% 3.4 — not yet: pixels of equal importance change together, at one point of the curve


def area_by_levels(network, before, after, importance, category):
    points = importance.numel()
    order, scores = importance.flatten().argsort(descending=True, stable=True), []
    for count in torch.linspace(0, len(order), points + 1).round().long():
        changed = before.flatten(2).clone()
        changed[:, :, order[:count]] = after.flatten(2)[:, :, order[:count]]
        scores.append(network.probabilities(changed.view_as(before))[0, category])
    return torch.trapezoid(torch.stack(scores), dx=1 / points)


# %% 3.4 — not yet: the curve runs backwards: from `before` to `after`, and the most important pixels go first


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique():
        changed = importance <= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()


# %% 3.4 — not yet: the curve runs backwards: from `before` to `after`, and the most important pixels go first


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(after)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, before, after))[0, category])
        shares.append(changed.double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()


# %% 3.4 — not yet: these are scores before softmax; the curve is of the probability


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()


# %% 3.4 — not yet: only one level's pixels are changed at a time; those above it have changed already


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance == level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append((importance >= level).double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()


# %% 3.4 — not yet: the curve begins with nothing changed


def area_by_levels(network, before, after, importance, category):
    shares, scores = [], []
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()


# %% 3.4 — not yet: the curve ends with everything changed


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance > level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()


# %% 3.4 — not yet: the area is over the share of the pixels, from nought to one; not over their number


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().sum().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()


# %% 3.4 — not yet: this is the mean of the scores, not the area under them


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return torch.stack(scores).mean()


# %% 3.4 — not yet: these are rectangles as high as the curve's right end; the curve is a straight line between points


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return (torch.stack(scores)[1:] * scores[0].new_tensor(shares).diff()).sum()


# %% 3.4 — not yet: these are rectangles as high as the curve's left end; the curve is a straight line between points


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return (torch.stack(scores)[:-1] * scores[0].new_tensor(shares).diff()).sum()


# %% 3.4 — not yet: it changes what it was given; work on a copy


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    for level in importance.unique().flip(0):
        changed = importance >= level
        before[:, :, changed] = after[:, :, changed]
        scores.append(network.probabilities(before)[0, category])
        shares.append(changed.double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()


# %% 3.4 — not yet: it calls helpers.occlusion.deletion: write the lines yourself


def area_by_levels(network, before, after, importance, category):
    from helpers.occlusion import deletion

    return deletion(network, before, importance, category).area


# %% 3.4 — not yet: the number is not right yet


def area_by_levels(network, before, after, importance, category):
    shares, scores = [0.0], [network.probabilities(before)[0, category]]
    importance = (importance * 100).round() / 100
    for level in importance.unique().flip(0):
        changed = importance >= level
        scores.append(network.probabilities(torch.where(changed, after, before))[0, category])
        shares.append(changed.double().mean().item())
    return torch.trapezoid(torch.stack(scores), scores[0].new_tensor(shares)).item()
