import torch

# %% 5.1 — not yet: this leads downhill: the sign of the step is turned


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() - rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the score before softmax is asked for, not the probability


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network.probabilities(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the score before softmax is asked for, not the logarithm of the probability


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images).log_softmax(1)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the penalty has the wrong sign: a picture far from zero must lose by it


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores + weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the penalty is missing from the gradient


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images.detach() - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: a factor is missing: differentiate the square of the penalty again


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        penalties = weight * (images.detach() - zero)
        gradients = torch.autograd.grad(scores.sum(), images)[0] - penalties
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the penalty is measured from black; zero is the network's mean pixel


def climb(network, images, categories, steps, rate, weight):
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * images.square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the penalty is the length itself; the formula has its square


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3)).sqrt()
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the penalty is a mean over the values; the formula has their sum


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().mean((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the scores are averaged over the batch and the penalties are not: add both up


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores.mean() - weight * (images - zero).square().sum()
        (gradients,) = torch.autograd.grad(objective, images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: only the score's gradient is scaled; the length is that of the whole gradient


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        (gradients,) = torch.autograd.grad(scores.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths - 2 * rate * weight * (images.detach() - zero)).clamp(
            0, 1
        )
    return images


# %% 5.1 — not yet: every picture climbs the class of the first; each has its own


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[:, categories[0]]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: every picture climbs all the classes; pick one score for each


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[:, categories].sum(1)
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the gradient is that of the start, in every step; take a new one


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    images = images.detach().clone().requires_grad_()
    scores = network(images)[range(len(images)), categories]
    objective = scores - weight * (images - zero).square().sum((1, 2, 3))
    (gradients,) = torch.autograd.grad(objective.sum(), images)
    lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
    images = images.detach()
    for _ in range(steps):
        images = (images + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the gradients of earlier steps are added in; each step has its own


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    images = images.detach().clone().requires_grad_()
    for _ in range(steps):
        scores = network(images)[range(len(images)), categories]
        (scores - weight * (images - zero).square().sum((1, 2, 3))).sum().backward()
        lengths = images.grad.square().mean((1, 2, 3), keepdim=True).sqrt()
        images.data = (images.data + rate * images.grad / lengths).clamp(0, 1)
    return images.detach()


# %% 5.1 — not yet: one step too few is made


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(1, steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: one step too many is made


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps + 1):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: values leave [0, 1]


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = images.detach() + rate * gradients / lengths
    return images


# %% 5.1 — not yet: values leave [0, 1] on the way; clamp after every step


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = images.detach() + rate * gradients / lengths
    return images.clamp(0, 1)


# %% 5.1 — not yet: the pictures share one length; each has its own


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.square().mean().sqrt()
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the step has the length of the gradient; divide by its root mean square


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        images = (images.detach() + rate * gradients).clamp(0, 1)
    return images


# %% 5.1 — not yet: the length is the root of a sum; take that of the mean of squares


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        lengths = gradients.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        images = (images.detach() + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: this is the sign of the gradient; divide by its root mean square


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images = images.detach().requires_grad_()
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        images = (images.detach() + rate * gradients.sign()).clamp(0, 1)
    return images


# %% 5.1 — not yet: an old gradient is added in: the picture came with a .grad of its own


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images.requires_grad_()
        scores = network(images)[range(len(images)), categories]
        (scores - weight * (images - zero).square().sum((1, 2, 3))).sum().backward()
        lengths = images.grad.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * images.grad / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: it changes what it was given; work on a copy


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    images.requires_grad_()
    for _ in range(steps):
        scores = network(images)[range(len(images)), categories]
        objective = scores - weight * (images - zero).square().sum((1, 2, 3))
        (gradients,) = torch.autograd.grad(objective.sum(), images)
        with torch.no_grad():
            images += rate * gradients / gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
            images.clamp_(0, 1)
    return images


# %% 5.1 — not yet: it changes what it was given; work on a copy


def climb(network, images, categories, steps, rate, weight):
    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        images.grad = None
        images.requires_grad_()
        scores = network(images)[range(len(images)), categories]
        (scores - weight * (images - zero).square().sum((1, 2, 3))).sum().backward()
        lengths = images.grad.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images.detach() + rate * images.grad / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: the shape is (1, 3, 4, 5), but should be (3, 3, 4, 5) here


def climb(network, images, categories, steps, rate, weight):
    zero, image = network.mean_pixel.view(3, 1, 1), images[:1]
    for _ in range(steps):
        image = image.detach().requires_grad_()
        objective = network(image)[0, categories[0]] - weight * (image - zero).square().sum()
        (gradient,) = torch.autograd.grad(objective, image)
        image = (image.detach() + rate * gradient / gradient.square().mean().sqrt()).clamp(0, 1)
    return image


# %% 5.1 — not yet: it calls helpers.saliency.saliency: write the lines yourself


def climb(network, images, categories, steps, rate, weight):
    from helpers.saliency import saliency

    zero = network.mean_pixel.view(3, 1, 1)
    for _ in range(steps):
        gradients = saliency(network, images, categories, colours="all") - 2 * weight * (images - zero)
        lengths = gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        images = (images + rate * gradients / lengths).clamp(0, 1)
    return images


# %% 5.1 — not yet: it calls helpers.ascent.class_ascent: write the lines yourself


def climb(network, images, categories, steps, rate, weight):
    from helpers.ascent import class_ascent
    from helpers.core.steps import finish

    return finish(class_ascent(network, categories, image=images, steps=steps, rate=rate)).image


# %% 5.2 — not yet: a pixel that speaks strongly against the class counts too: take the size of the sum


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).sum(1, keepdim=True)
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, images, zero)


# %% 5.2 — not yet: sizes are taken colour by colour; a pixel's colours are added up first


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).abs().sum(1, keepdim=True)
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, images, zero)


# %% 5.2 — not yet: contributions are measured from black; the picture is measured from zero


def keep_pixels(images, gradients, zero, count):
    sizes = (gradients * images).sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, images, zero.view(3, 1, 1))


# %% 5.2 — not yet: the gradient alone decides; the contribution is gradient times picture


def keep_pixels(images, gradients, zero, count):
    sizes = gradients.sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, images, zero.view(3, 1, 1))


# %% 5.2 — not yet: the gradient alone decides, colour by colour; the contribution needs the picture


def keep_pixels(images, gradients, zero, count):
    sizes = gradients.norm(dim=1, keepdim=True)
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, images, zero.view(3, 1, 1))


# %% 5.2 — not yet: the largest pixels are kept; look at what they contribute


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (images - zero).norm(dim=1, keepdim=True)
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, images, zero)


# %% 5.2 — not yet: the pixels that contribute least are kept


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).sum(1, keepdim=True).abs()
    largest = sizes.flatten(1).sort(dim=1).values[:, count - 1].view(-1, 1, 1, 1)
    return torch.where(sizes <= largest, images, zero)


# %% 5.2 — not yet: all pictures share one ranking; rank each by itself


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).sum(1, keepdim=True).abs()
    smallest = sizes.flatten().topk(count * len(images)).values[-1]
    return torch.where(sizes >= smallest, images, zero)


# %% 5.2 — not yet: single colours are removed; a pixel stays or goes as a whole


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).abs()
    smallest = sizes.flatten(2).topk(count).values[:, :, -1].view(-1, 3, 1, 1)
    return torch.where(sizes >= smallest, images, zero)


# %% 5.2 — not yet: removed pixels are black; give them the colour zero


def keep_pixels(images, gradients, zero, count):
    sizes = (gradients * (images - zero.view(3, 1, 1))).sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return images * (sizes >= smallest)


# %% 5.2 — not yet: one pixel too few is kept


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes > smallest, images, zero)


# %% 5.2 — not yet: one pixel too many is kept


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).sort(dim=1, descending=True).values[:, count].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, images, zero)


# %% 5.2 — not yet: the others are kept: the mask is turned round


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return torch.where(sizes >= smallest, zero, images)


# %% 5.2 — not yet: this is the distance from zero; the picture itself is asked for


def keep_pixels(images, gradients, zero, count):
    far = images - zero.view(3, 1, 1)
    sizes = (gradients * far).sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    return far * (sizes >= smallest)


# %% 5.2 — not yet: it changes what it was given; work on a copy


def keep_pixels(images, gradients, zero, count):
    zero = zero.view(3, 1, 1)
    sizes = (gradients * (images - zero)).sum(1, keepdim=True).abs()
    smallest = sizes.flatten(1).topk(count).values[:, -1].view(-1, 1, 1, 1)
    for image, small in zip(images, sizes < smallest, strict=True):
        image[:, small[0]] = zero.view(3, 1)
    return images


# %% 5.2 — not yet: it calls helpers.ascent.clip_small_gradients: write the lines yourself


def keep_pixels(images, gradients, zero, count):
    from helpers.ascent import clip_small_gradients

    percent = 100 * (1 - (count - 0.5) / images[0, 0].numel())
    return clip_small_gradients(images, gradients, percent, zero.view(3, 1, 1))


# %% 5.3 — not yet: frequencies are divided by f, not by its square


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f**power).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: high frequencies grow; they should shrink


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) * f ** (2 * power)).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: nothing is filtered: f counts periods in the longer side, not in a pixel


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (u**2 + v**2).sqrt().clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: the mean colour is lost; f = 0 counts as 1


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    factor = (max(height, width) * (u**2 + v**2).sqrt()) ** (-2 * power)
    factor[0, 0] = 0
    step = torch.fft.ifft2(torch.fft.fft2(gradients) * factor).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: the answer holds NaN


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = max(height, width) * (u**2 + v**2).sqrt()
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: f counts periods in the shorter side


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (min(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: f counts periods in the height and in the width; take the longer side for both


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v = height * torch.fft.fftfreq(height).to(gradients)[:, None]
    u = width * torch.fft.fftfreq(width).to(gradients)
    f = (u**2 + v**2).sqrt().clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: f is the length of (u, v), not their sum


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u.abs() + v.abs())).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: the factors stand in another order than the spectrum: where is frequency zero?


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v = torch.fft.fftshift(torch.fft.fftfreq(height)).to(gradients)[:, None]
    u = torch.fft.fftshift(torch.fft.fftfreq(width)).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: the step is filtered, but its length is not 1


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    return torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real


# %% 5.3 — not yet: the length is a sum over the values; take the root of the mean of squares


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


# %% 5.3 — not yet: the pictures share one length; each has its own


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean().sqrt()


# %% 5.3 — not yet: each colour is scaled by itself; a picture has one length


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real
    return step / step.square().mean((2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: the gradient was scaled before the filter; scale the step


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    gradients = gradients / gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    return torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power)).real


# %% 5.3 — not yet: the shape is (2, 3, 6, 6), but should be (2, 3, 6, 7) here


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.rfftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.irfft2(torch.fft.rfft2(gradients) / f ** (2 * power))
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: the numbers are complex128, but should be real


def smooth_step(gradients, power):
    height, width = gradients.shape[-2:]
    v, u = torch.fft.fftfreq(height).to(gradients)[:, None], torch.fft.fftfreq(width).to(gradients)
    f = (max(height, width) * (u**2 + v**2).sqrt()).clamp(min=1)
    step = torch.fft.ifft2(torch.fft.fft2(gradients) / f ** (2 * power))
    return step / step.abs().square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.3 — not yet: it calls helpers.core.priors.decorrelated: write the lines yourself


def smooth_step(gradients, power):
    from helpers.core.priors import decorrelated

    step = decorrelated(gradients)
    return step / step.square().mean((1, 2, 3), keepdim=True).sqrt()


# %% 5.4 — not yet: L∞: values leave [0, 1]


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return photos + change.clamp(-limit, limit)
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return photos + torch.where(length > limit, change * limit / length, change)


# %% 5.4 — not yet: L∞: the picture itself is cut; it is the change that must be small


def project(photos, changed, limit, norm):
    if norm == "Linf":
        return changed.clamp(-limit, limit).clamp(0, 1)
    change = changed - photos
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (photos + torch.where(length > limit, change * limit / length, change)).clamp(0, 1)


# %% 5.4 — not yet: L∞: the whole change is scaled; each value goes to the nearest one allowed


def project(photos, changed, limit, norm):
    change = changed - photos
    sizes = change.flatten(1).abs().amax(1) if norm == "Linf" else change.flatten(1).norm(dim=1)
    return (photos + change * (limit / sizes).clamp(max=1).view(-1, 1, 1, 1)).clamp(0, 1)


# %% 5.4 — not yet: L∞: the limit is divided by 255; it is in units of [0, 1] here


def project(photos, changed, limit, norm):
    change, limit = changed - photos, limit / 255
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (photos + torch.where(length > limit, change * limit / length, change)).clamp(0, 1)


# %% 5.4 — not yet: L∞: nothing is moved back into the ball


def project(photos, changed, limit, norm):
    return changed.clamp(0, 1)


# %% 5.4 — not yet: L∞: this is the ball of L2


def project(photos, changed, limit, norm):
    change = changed - photos
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (photos + torch.where(length > limit, change * limit / length, change)).clamp(0, 1)


# %% 5.4 — not yet: this is the change alone; add it to the photo


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return change.clamp(-limit, limit)
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return torch.where(length > limit, change * limit / length, change)


# %% 5.4 — not yet: L2: values leave [0, 1]


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return photos + torch.where(length > limit, change * limit / length, change)


# %% 5.4 — not yet: L2: a change that is short enough stays as it is


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (photos + change * limit / length.clamp(min=1e-12)).clamp(0, 1)


# %% 5.4 — not yet: L2: the pictures share one length; each has its own


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    return (photos + change * (limit / change.norm()).clamp(max=1)).clamp(0, 1)


# %% 5.4 — not yet: L2: each pixel has its own length; take one length a picture


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    return (photos + change * (limit / change.norm(dim=1, keepdim=True)).clamp(max=1)).clamp(0, 1)


# %% 5.4 — not yet: L2: each colour has its own length; take one length a picture


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    return (photos + change * (limit / change.norm(dim=(2, 3), keepdim=True)).clamp(max=1)).clamp(0, 1)


# %% 5.4 — not yet: L2: the length is the root of a sum of squares; the root is missing


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    length = change.square().sum((1, 2, 3), keepdim=True)
    return (photos + torch.where(length > limit, change * limit / length, change)).clamp(0, 1)


# %% 5.4 — not yet: L2: the length is the root of a sum of squares, not of their mean


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    length = change.square().mean((1, 2, 3), keepdim=True).sqrt()
    return (photos + torch.where(length > limit, change * limit / length, change)).clamp(0, 1)


# %% 5.4 — not yet: L2: [0, 1] comes last; here it was first


def project(photos, changed, limit, norm):
    change = changed.clamp(0, 1) - photos
    if norm == "Linf":
        return photos + change.clamp(-limit, limit)
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return photos + torch.where(length > limit, change * limit / length, change)


# %% 5.4 — not yet: L2: the change is cut value by value, which is the ball of L∞


def project(photos, changed, limit, norm):
    return (photos + (changed - photos).clamp(-limit, limit)).clamp(0, 1)


# %% 5.4 — not yet: L2: nothing is moved back into the ball


def project(photos, changed, limit, norm):
    if norm == "Linf":
        return (photos + (changed - photos).clamp(-limit, limit)).clamp(0, 1)
    return changed.clamp(0, 1)


# %% 5.4 — not yet: L2: the picture is scaled; it is the change that must be short


def project(photos, changed, limit, norm):
    if norm == "Linf":
        return (photos + (changed - photos).clamp(-limit, limit)).clamp(0, 1)
    length = changed.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return torch.where(length > limit, changed * limit / length, changed).clamp(0, 1)


# %% 5.4 — not yet: L2: a photo that has not changed at all gives NaN


def project(photos, changed, limit, norm):
    change = changed - photos
    if norm == "Linf":
        return (photos + change.clamp(-limit, limit)).clamp(0, 1)
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (photos + change / length * length.clamp(max=limit)).clamp(0, 1)


# %% 5.4 — not yet: it changes what it was given; work on a copy


def project(photos, changed, limit, norm):
    changed -= photos
    if norm == "Linf":
        return (photos + changed.clamp(-limit, limit)).clamp(0, 1)
    length = changed.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (photos + torch.where(length > limit, changed * limit / length, changed)).clamp(0, 1)


# %% 5.4 — not yet: it calls helpers.fooling.box: write the lines yourself


def project(photos, changed, limit, norm):
    from helpers.fooling import box

    if norm == "Linf":
        return changed.clamp(*box(photos, limit))
    change = changed - photos
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (photos + torch.where(length > limit, change * limit / length, change)).clamp(0, 1)


# %% 5.5 — not yet: this leads away from the class: the sign is turned


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() - rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: this is the sign for the score; log p also rises when other classes sink


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        scores = network(changed)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(scores.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = network.probabilities(changed)[range(len(photos)), categories] < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: the gradient itself is added; every value moves by the same amount


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: the gradient is scaled, but only its largest value moves by the rate


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients / gradients.abs().amax((1, 2, 3), keepdim=True)
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: the gradient has size 1 on average; every value moves by the same amount


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients / gradients.square().mean((1, 2, 3), keepdim=True).sqrt()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: the rate is taken for a value in [0, 1]; it is in levels


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: the change goes beyond the limit, which is in levels and counts from the photo


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit, photos + limit).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: values leave [0, 1]


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: the ball is enforced at the end only; go back into it after every step


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed.clamp(photos - limit / 255, photos + limit / 255)


# %% 5.5 — not yet: every picture moves to the class of the first; each has its own


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[:, categories[0]]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: the gradient is that of the photo, in every step; take a new one


def attack(network, photos, categories, limit, rate, steps, confidence):
    start = photos.detach().clone().requires_grad_()
    logs = network(start).log_softmax(1)[range(len(photos)), categories]
    (gradients,) = torch.autograd.grad(logs.sum(), start)
    photos = changed = photos.detach()
    for _ in range(steps):
        open_ = network.probabilities(changed)[range(len(photos)), categories] < confidence
        moved = changed + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed)
    return changed


# %% 5.5 — not yet: the gradients of earlier steps are added in; each step has its own


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos.clone().requires_grad_()
    for _ in range(steps):
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        logs.sum().backward()
        moved = changed.detach() + rate / 255 * changed.grad.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.detach().exp() < confidence
        changed.data = torch.where(open_.view(-1, 1, 1, 1), moved, changed.detach())
    return changed.detach()


# %% 5.5 — not yet: one step too few is made


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(1, steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: one step too many is made


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps + 1):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: a picture that has reached the confidence moves on; each stops by itself


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        changed = moved
    return changed


# %% 5.5 — not yet: a picture that has reached the confidence moves on; each stops by itself


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        if (logs.exp() >= confidence).all():
            break
        changed = moved
    return changed


# %% 5.5 — not yet: all stop as soon as one has reached the confidence; each stops by itself


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        if (logs.exp() >= confidence).any():
            break
        changed = moved
    return changed.detach()


# %% 5.5 — not yet: a picture moves once more after it has reached the confidence; ask before it moves


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    open_ = torch.ones(len(photos), dtype=torch.bool, device=photos.device)
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
        open_ = logs.detach().exp() < confidence
    return changed


# %% 5.5 — not yet: this is the change alone; add it to the photo


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
    return changed - photos


# %% 5.5 — not yet: an old gradient is added in: the photo came with a .grad of its own


def attack(network, photos, categories, limit, rate, steps, confidence):
    changed = photos.requires_grad_()
    photos = photos.detach()
    for _ in range(steps):
        changed.requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        logs.sum().backward()
        moved = changed.detach() + rate / 255 * changed.grad.sign()
        moved = moved.clamp(photos - limit / 255, photos + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: the change goes beyond the limit, which is in levels and counts from the photo


def attack(network, photos, categories, limit, rate, steps, confidence):
    photos = photos.detach()
    changed = photos
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        moved = changed.detach() + rate / 255 * gradients.sign()
        moved = moved.clamp(changed.detach() - limit / 255, changed.detach() + limit / 255).clamp(0, 1)
        open_ = logs.exp() < confidence
        changed = torch.where(open_.view(-1, 1, 1, 1), moved, changed).detach()
    return changed


# %% 5.5 — not yet: it changes what it was given; work on a copy


def attack(network, photos, categories, limit, rate, steps, confidence):
    start = photos.clone()
    for _ in range(steps):
        changed = photos.detach().clone().requires_grad_()
        logs = network(changed).log_softmax(1)[range(len(photos)), categories]
        (gradients,) = torch.autograd.grad(logs.sum(), changed)
        open_ = logs.detach().exp() < confidence
        photos[open_] += rate / 255 * gradients[open_].sign()
        photos.clamp_(start - limit / 255, start + limit / 255).clamp_(0, 1)
    return photos


# %% 5.5 — not yet: the shape is (1, 3, 6, 8), but should be (3, 3, 6, 8) here


def attack(network, photos, categories, limit, rate, steps, confidence):
    photo = photos[:1].detach()
    changed = photo
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        log = network(changed).log_softmax(1)[0, categories[0]]
        if log.exp() >= confidence:
            break
        (gradient,) = torch.autograd.grad(log, changed)
        moved = changed.detach() + rate / 255 * gradient.sign()
        changed = moved.clamp(photo - limit / 255, photo + limit / 255).clamp(0, 1)
    return changed.detach()


# %% 5.5 — not yet: it calls helpers.fooling.fool: write the lines yourself


def attack(network, photos, categories, limit, rate, steps, confidence):
    from helpers.core.steps import finish
    from helpers.fooling import fool

    return finish(fool(network, photos, categories, limit, confidence, steps, rate)).image
