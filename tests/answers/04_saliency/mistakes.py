import torch
import torch.nn.functional as F

# %% 4.1 — not yet: each picture is asked for the classes of the first; each has its own


def class_maps(features, weight, categories):
    return torch.einsum("mk,nkhw->nmhw", weight[categories[0]], features)


# %% 4.1 — not yet: what is negative is cut off; here a place may speak against a class


def class_maps(features, weight, categories):
    return torch.einsum("nmk,nkhw->nmhw", weight[categories], features).relu()


# %% 4.1 — not yet: the weights are missing: all channels count alike


def class_maps(features, weight, categories):
    return features.sum(1, keepdim=True).repeat(1, categories.shape[1], 1, 1)


# %% 4.1 — not yet: the weighted channels are averaged; add them up


def class_maps(features, weight, categories):
    weights = weight[categories][:, :, :, None, None]
    return (weights * features[:, None]).mean(2)


# %% 4.1 — not yet: the signs of the weights are lost


def class_maps(features, weight, categories):
    return torch.einsum("nmk,nkhw->nmhw", weight[categories].abs(), features)


# %% 4.1 — not yet: this is what softmax makes of each place; the map is made of scores


def class_maps(features, weight, categories):
    every = torch.einsum("ck,nkhw->nchw", weight, features).softmax(1)
    return torch.stack([maps[asked] for maps, asked in zip(every, categories, strict=True)])


# %% 4.1 — not yet: the maps are divided by the number of places; their mean is to be the score


def class_maps(features, weight, categories):
    maps = torch.einsum("nmk,nkhw->nmhw", weight[categories], features)
    return maps / (features.shape[2] * features.shape[3])


# %% 4.1 — not yet: the features are averaged over the places first, so the map is flat


def class_maps(features, weight, categories):
    pooled = features.mean((2, 3))
    scores = torch.einsum("nmk,nk->nm", weight[categories], pooled)
    return scores[:, :, None, None].repeat(1, 1, *features.shape[2:])


# %% 4.1 — not yet: the maps are stretched to a largest value of 1; leave them as they are


def class_maps(features, weight, categories):
    maps = torch.einsum("nmk,nkhw->nmhw", weight[categories], features)
    return maps / maps.amax((2, 3), keepdim=True)


# %% 4.1 — not yet: the maps are stretched to the range from 0 to 1; leave them as they are


def class_maps(features, weight, categories):
    maps = torch.einsum("nmk,nkhw->nmhw", weight[categories], features)
    maps = maps - maps.amin((2, 3), keepdim=True)
    return maps / maps.amax((2, 3), keepdim=True)


# %% 4.1 — not yet: it calls helpers.cam.class_maps: write the lines yourself


def class_maps(features, weight, categories):
    from helpers import cam

    return cam.class_maps(features, weight, categories)


# %% 4.2 — not yet: σ is the level alone; the range of the picture is missing


def smoothgrad_maps(network, images, categories, noise, level):
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + level * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.2 — not yet: σ takes the range of the whole batch; each picture has its own


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.max() - images.min())
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.2 — not yet: σ has one value a colour; the range is that of the whole picture


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((2, 3), keepdim=True) - images.amin((2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.2 — not yet: σ takes the largest value; the range is the largest minus the smallest


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * images.amax((1, 2, 3), keepdim=True)
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.2 — not yet: σ takes the standard deviation; the range is the largest minus the smallest value


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * images.std((1, 2, 3), keepdim=True)
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.2 — not yet: the noisy pictures are cut off to [0, 1]; leave them as they are


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).clamp(0, 1).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.2 — not yet: maps without sign are averaged; average the signed gradients first


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    maps = []
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        (w,) = torch.autograd.grad(scores.sum(), pixels)
        maps.append(w.abs().amax(1))
    return torch.stack(maps).mean(0)


# %% 4.2 — not yet: absolute values are averaged; average the signed gradients first


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0].abs()
    return (total / len(noise)).amax(1)


# %% 4.2 — not yet: the absolute value is missing in the end


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).amax(1)


# %% 4.2 — not yet: the colours are averaged; the map keeps the largest of the three


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().mean(1)


# %% 4.2 — not yet: the gradients are added up; SmoothGrad is their mean


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return total.abs().amax(1)


# %% 4.2 — not yet: only the last noisy picture counts; average over all of them


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        (w,) = torch.autograd.grad(scores.sum(), pixels)
    return w.abs().amax(1)


# %% 4.2 — not yet: the noisy pictures are averaged, and with them the noise; average the gradients


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    pixels = torch.stack([images + sigma * epsilon for epsilon in noise]).mean(0).requires_grad_()
    scores = network(pixels)[range(len(images)), categories]
    (w,) = torch.autograd.grad(scores.sum(), pixels)
    return w.abs().amax(1)


# %% 4.2 — not yet: this is the gradient of the probability; take the score before softmax


def smoothgrad_maps(network, images, categories, noise, level):
    sigma = level * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + sigma * epsilon).requires_grad_()
        scores = network.probabilities(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.2 — not yet: it changes what it was given; work on a copy


def smoothgrad_maps(network, images, categories, noise, level):
    noise *= level * (images.max() - images.min())
    total = torch.zeros_like(images)
    for epsilon in noise:
        pixels = (images + epsilon).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (total / len(noise)).abs().amax(1)


# %% 4.2 — not yet: it calls helpers.saliency.smoothgrad: write the lines yourself


def smoothgrad_maps(network, images, categories, noise, level):
    from helpers.saliency import smoothgrad

    return smoothgrad(network, images, categories, level, len(noise))[:, 0]


# %% 4.3 — not yet: this is the mean gradient; it is not multiplied by the way from the plain picture yet


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (plain + (i + 0.5) / steps * (images - plain)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return total / steps


# %% 4.3 — not yet: the mean gradient is multiplied by the picture, not by the way to it


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (plain + (i + 0.5) / steps * (images - plain)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return images * total / steps


# %% 4.3 — not yet: the signs are turned: the way leads from the plain picture to the image


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (images + (i + 0.5) / steps * (plain - images)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (plain - images) * total / steps


# %% 4.3 — not yet: the sum is taken at the right ends of the steps; take it at their midpoints


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(1, steps + 1):
        pixels = (plain + i / steps * (images - plain)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain) * total / steps


# %% 4.3 — not yet: the sum is taken at the left ends of the steps; take it at their midpoints


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (plain + i / steps * (images - plain)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain) * total / steps


# %% 4.3 — not yet: the points run from end to end, both included; take the midpoints of the steps


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for alpha in torch.linspace(0, 1, steps):
        pixels = (plain + alpha * (images - plain)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain) * total / steps


# %% 4.3 — not yet: the gradients are added up; a step is only 1/steps of the way


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (plain + (i + 0.5) / steps * (images - plain)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain) * total


# %% 4.3 — not yet: this is the gradient at the image alone; collect it on the whole way


def book_scores(network, images, plain, categories, steps):
    pixels = images.clone().requires_grad_()
    scores = network(pixels)[range(len(images)), categories]
    (w,) = torch.autograd.grad(scores.sum(), pixels)
    return (images - plain) * w


# %% 4.3 — not yet: the gradient is collected between black and the image; start at the plain picture


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = ((i + 0.5) / steps * images).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain) * total / steps


# %% 4.3 — not yet: the whole image is added to the plain picture; the points lie between the two


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (plain + (i + 0.5) / steps * images).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain) * total / steps


# %% 4.3 — not yet: each picture starts from the first plain one; each has its own


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (plain[0] + (i + 0.5) / steps * (images - plain[0])).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain[0]) * total / steps


# %% 4.3 — not yet: the absolute value is taken; what pulls the score down is booked with its sign


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (plain + (i + 0.5) / steps * (images - plain)).requires_grad_()
        scores = network(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return ((images - plain) * total / steps).abs()


# %% 4.3 — not yet: this books the probability; take the score before softmax


def book_scores(network, images, plain, categories, steps):
    total = torch.zeros_like(images)
    for i in range(steps):
        pixels = (plain + (i + 0.5) / steps * (images - plain)).requires_grad_()
        scores = network.probabilities(pixels)[range(len(images)), categories]
        total += torch.autograd.grad(scores.sum(), pixels)[0]
    return (images - plain) * total / steps


# %% 4.3 — not yet: it calls helpers.saliency.integrated_gradients: write the lines yourself


def book_scores(network, images, plain, categories, steps):
    from helpers.saliency import integrated_gradients

    return integrated_gradients(network, images, categories, "black", steps, colours="all")


# %% 4.4 — not yet: gradient: a unit at its ceiling is flat, so nothing may pass there


def relu_backward(x, gradient, rule, ceiling):
    passes = {"gradient": x > 0, "deconvnet": gradient > 0, "guided": (x > 0) & (gradient > 0)}
    return gradient * passes[rule]


# %% 4.4 — not yet: gradient: a unit at exactly 0 is not active


def relu_backward(x, gradient, rule, ceiling):
    active = (x >= 0) & (x < ceiling)
    passes = {"gradient": active, "deconvnet": gradient > 0, "guided": active & (gradient > 0)}
    return gradient * passes[rule]


# %% 4.4 — not yet: gradient: a unit at exactly the ceiling is cut off


def relu_backward(x, gradient, rule, ceiling):
    active = (x > 0) & (x <= ceiling)
    passes = {"gradient": active, "deconvnet": gradient > 0, "guided": active & (gradient > 0)}
    return gradient * passes[rule]


# %% 4.4 — not yet: gradient: a unit at exactly 0 or at the ceiling is not active


def relu_backward(x, gradient, rule, ceiling):
    active = x == x.clamp(0, ceiling)
    passes = {"gradient": active, "deconvnet": gradient > 0, "guided": active & (gradient > 0)}
    return gradient * passes[rule]


# %% 4.4 — not yet: gradient: the ceiling is not always 6; it is an argument


def relu_backward(x, gradient, rule, ceiling):
    active = (x > 0) & (x < 6)
    passes = {"gradient": active, "deconvnet": gradient > 0, "guided": active & (gradient > 0)}
    return gradient * passes[rule]


# %% 4.4 — not yet: gradient: negative gradients are stopped, too; only the other two rules do that


def relu_backward(x, gradient, rule, ceiling):
    active = (x > 0) & (x < ceiling)
    return gradient * (gradient > 0) * (active if rule != "deconvnet" else 1)


# %% 4.4 — not yet: gradient: it does not look at the unit at all


def relu_backward(x, gradient, rule, ceiling):
    if rule == "gradient":
        return gradient.clone()
    passed = gradient.clamp(min=0)
    return passed if rule == "deconvnet" else passed * (x > 0) * (x < ceiling)


# %% 4.4 — not yet: gradient: it is turned into a mask; what passes is the gradient that arrives


def relu_backward(x, gradient, rule, ceiling):
    active = (x > 0) & (x < ceiling)
    passes = {"gradient": active, "deconvnet": gradient > 0, "guided": active & (gradient > 0)}
    return passes[rule].to(gradient.dtype)


# %% 4.4 — not yet: deconvnet: it asks whether the unit was active; this rule looks at the gradient alone


def relu_backward(x, gradient, rule, ceiling):
    passed = gradient * (x > 0) * (x < ceiling)
    return passed if rule == "gradient" else passed.clamp(min=0)


# %% 4.4 — not yet: deconvnet: negative gradients pass


def relu_backward(x, gradient, rule, ceiling):
    active = (x > 0) & (x < ceiling)
    return {"gradient": gradient * active, "deconvnet": gradient * 1, "guided": gradient * active * (gradient > 0)}[
        rule
    ]


# %% 4.4 — not yet: deconvnet: this is the plain gradient


def relu_backward(x, gradient, rule, ceiling):
    passed = gradient * (x > 0) * (x < ceiling)
    return passed * (gradient > 0) if rule == "guided" else passed


# %% 4.4 — not yet: deconvnet: it rectifies the unit's value; rectify the gradient


def relu_backward(x, gradient, rule, ceiling):
    if rule == "deconvnet":
        return F.relu(x)
    passed = gradient * (x > 0) * (x < ceiling)
    return passed if rule == "gradient" else F.relu(passed)


# %% 4.4 — not yet: deconvnet: the ceiling is for the unit's value; the gradient has none


def relu_backward(x, gradient, rule, ceiling):
    if rule == "deconvnet":
        return gradient.clamp(0, ceiling)
    passed = gradient * (x > 0) * (x < ceiling)
    return passed if rule == "gradient" else F.relu(passed)


# %% 4.4 — not yet: deconvnet: a unit at its ceiling is stopped; this rule does not look at the unit


def relu_backward(x, gradient, rule, ceiling):
    gradient = gradient * (x < ceiling)
    if rule == "deconvnet":
        return F.relu(gradient)
    return gradient * (x > 0) if rule == "gradient" else F.relu(gradient) * (x > 0)


# %% 4.4 — not yet: deconvnet: negative gradients are turned round; stop them


def relu_backward(x, gradient, rule, ceiling):
    if rule == "deconvnet":
        return gradient.abs()
    passed = gradient * (x > 0) * (x < ceiling)
    return passed if rule == "gradient" else passed.abs()


# %% 4.4 — not yet: guided: it does not ask whether the unit was active


def relu_backward(x, gradient, rule, ceiling):
    if rule == "gradient":
        return torch.where((x > 0) & (x < ceiling), gradient, 0)
    return torch.where(gradient > 0, gradient, 0)


# %% 4.4 — not yet: guided: negative gradients pass


def relu_backward(x, gradient, rule, ceiling):
    passed = torch.where((x > 0) & (x < ceiling), gradient, 0)
    return F.relu(gradient) if rule == "deconvnet" else passed


# %% 4.4 — not yet: guided: a unit at its ceiling is flat, so nothing may pass there


def relu_backward(x, gradient, rule, ceiling):
    if rule == "gradient":
        return gradient * (x > 0) * (x < ceiling)
    return F.relu(gradient) if rule == "deconvnet" else F.relu(gradient) * (x > 0)


# %% 4.4 — not yet: guided: a unit at exactly 0 is not active


def relu_backward(x, gradient, rule, ceiling):
    if rule == "gradient":
        return gradient * (x > 0) * (x < ceiling)
    return F.relu(gradient) if rule == "deconvnet" else F.relu(gradient) * (x >= 0) * (x < ceiling)


# %% 4.4 — not yet: guided: a unit at exactly the ceiling is cut off


def relu_backward(x, gradient, rule, ceiling):
    if rule == "gradient":
        return gradient * (x > 0) * (x < ceiling)
    return F.relu(gradient) if rule == "deconvnet" else F.relu(gradient) * (x > 0) * (x <= ceiling)


# %% 4.4 — not yet: guided: a unit at exactly 0 or at the ceiling is not active


def relu_backward(x, gradient, rule, ceiling):
    if rule == "gradient":
        return gradient * (x > 0) * (x < ceiling)
    return F.relu(gradient) if rule == "deconvnet" else F.relu(gradient) * (x == x.clamp(0, ceiling))


# %% 4.4 — not yet: guided: the ceiling is not always 6; it is an argument


def relu_backward(x, gradient, rule, ceiling):
    passed = gradient * (x > 0) * (x < ceiling)
    return {"gradient": passed, "deconvnet": F.relu(gradient), "guided": F.relu(gradient) * (x > 0) * (x < 6)}[rule]


# %% 4.4 — not yet: guided: it is turned into a mask; what passes is the gradient that arrives


def relu_backward(x, gradient, rule, ceiling):
    active = (x > 0) & (x < ceiling)
    if rule == "guided":
        return (active & (gradient > 0)).to(gradient.dtype)
    return gradient * active if rule == "gradient" else F.relu(gradient)


# %% 4.4 — not yet: guided: something passes where value and gradient are both negative


def relu_backward(x, gradient, rule, ceiling):
    if rule == "gradient":
        return gradient * (x > 0) * (x < ceiling)
    return F.relu(gradient) if rule == "deconvnet" else gradient * (x * gradient > 0) * (x < ceiling)


# %% 4.4 — not yet: guided: negative gradients are turned round; stop them


def relu_backward(x, gradient, rule, ceiling):
    passed = gradient * (x > 0) * (x < ceiling)
    return {"gradient": passed, "deconvnet": F.relu(gradient), "guided": passed.abs()}[rule]


# %% 4.4 — not yet: it changes what it was given; work on a copy


def relu_backward(x, gradient, rule, ceiling):
    if rule != "deconvnet":
        gradient[(x <= 0) | (x >= ceiling)] = 0
    if rule != "gradient":
        gradient[gradient < 0] = 0
    return gradient


# %% 4.4 — not yet: it calls helpers.core.relus.ReluRule.__init__: write the lines yourself


def relu_backward(x, gradient, rule, ceiling):
    from helpers.core.relus import ReluRule

    x = x.clone().requires_grad_()
    with ReluRule(rule):
        y = F.hardtanh(x, 0.0, ceiling)
    return torch.autograd.grad(y, x, gradient)[0]


# %% 4.5 — not yet: one quantile is taken for the whole batch; each map has its own


def seed_masks(heat, foreground, background):
    return heat > heat.quantile(foreground), heat <= heat.quantile(background)


# %% 4.5 — not yet: each row has its own quantile; take it over the whole map


def seed_masks(heat, foreground, background):
    upper = heat.quantile(foreground, dim=-1, keepdim=True)
    lower = heat.quantile(background, dim=-1, keepdim=True)
    return heat > upper, heat <= lower


# %% 4.5 — not yet: each column has its own quantile; take it over the whole map


def seed_masks(heat, foreground, background):
    upper = heat.quantile(foreground, dim=1, keepdim=True)
    lower = heat.quantile(background, dim=1, keepdim=True)
    return heat > upper, heat <= lower


# %% 4.5 — not yet: the two masks are swapped: the object comes first


def seed_masks(heat, foreground, background):
    upper = heat.flatten(1).quantile(foreground, dim=1).view(-1, 1, 1)
    lower = heat.flatten(1).quantile(background, dim=1).view(-1, 1, 1)
    return heat <= lower, heat > upper


# %% 4.5 — not yet: all that is no object is background; what lies between the quantiles stays open


def seed_masks(heat, foreground, background):
    upper = heat.flatten(1).quantile(foreground, dim=1).view(-1, 1, 1)
    return heat > upper, ~(heat > upper)


# %% 4.5 — not yet: pixels exactly at the lower quantile are missing; where many are 0, they are the background


def seed_masks(heat, foreground, background):
    upper = heat.flatten(1).quantile(foreground, dim=1).view(-1, 1, 1)
    lower = heat.flatten(1).quantile(background, dim=1).view(-1, 1, 1)
    return heat > upper, heat < lower


# %% 4.5 — not yet: pixels exactly at the upper quantile are taken; the object lies above it


def seed_masks(heat, foreground, background):
    upper = heat.flatten(1).quantile(foreground, dim=1).view(-1, 1, 1)
    lower = heat.flatten(1).quantile(background, dim=1).view(-1, 1, 1)
    return heat >= upper, heat <= lower


# %% 4.5 — not yet: these are parts of the largest value; a quantile is a part of the pixels


def seed_masks(heat, foreground, background):
    relative = heat / heat.amax((1, 2), keepdim=True)
    return relative > foreground, relative <= background


# %% 4.5 — not yet: foreground is a quantile: only a small part of the pixels lies above it


def seed_masks(heat, foreground, background):
    upper = heat.flatten(1).quantile(1 - foreground, dim=1).view(-1, 1, 1)
    lower = heat.flatten(1).quantile(background, dim=1).view(-1, 1, 1)
    return heat > upper, heat <= lower


# %% 4.5 — not yet: it should return 2 things, not a Tensor


def seed_masks(heat, foreground, background):
    upper = heat.flatten(1).quantile(foreground, dim=1).view(-1, 1, 1)
    lower = heat.flatten(1).quantile(background, dim=1).view(-1, 1, 1)
    return (heat > upper).int() - (heat <= lower).int()


# %% 4.5 — not yet: it calls helpers.segmentation.seeds: write the lines yourself


def seed_masks(heat, foreground, background):
    from helpers.segmentation import seeds

    found = torch.stack([seeds(one, foreground, background) for one in heat])
    return found > 0, found < 0
