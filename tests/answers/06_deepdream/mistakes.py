import torch
import torch.nn.functional as F

# %% 6.1 — not yet: the two have changed places: first what the positive units pull


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, a.detach().clamp(min=0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, a.detach().clamp(max=0))
    return down, up


# %% 6.1 — not yet: the second has the wrong sign: a negative unit is to become more negative


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, a.detach().clamp(min=0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, (-a.detach()).clamp(min=0))
    return up, down


# %% 6.1 — not yet: it is the gradient at the pixels that is split; split what is set at the layer


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (g,) = torch.autograd.grad(a, x, a.detach())
    return g.clamp(min=0), g.clamp(max=0)


# %% 6.1 — not yet: the first holds the pull of all units; leave the negative ones out


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, a.detach(), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, a.detach().clamp(max=0))
    return up, down


# %% 6.1 — not yet: the first gradient is still in .grad and is added to the second


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    a.backward(a.detach().clamp(min=0), retain_graph=True)
    up = x.grad.clone()
    a.backward(a.detach().clamp(max=0))
    return up, x.grad


# %% 6.1 — not yet: both hold the pull of all units


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    a.backward(a.detach().clamp(min=0), retain_graph=True)
    up = x.grad
    a.backward(a.detach().clamp(max=0))
    return up, x.grad


# %% 6.1 — not yet: a 1 stands at every unit that pulls; what belongs there is its activation


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, (a > 0).to(a), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, (a < 0).to(a))
    return up, down


# %% 6.1 — not yet: a 1 stands at every positive unit and a −1 at every negative one


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, a.detach().sign().clamp(min=0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, a.detach().sign().clamp(max=0))
    return up, down


# %% 6.1 — not yet: a unit counts as positive when it lies above the mean; the border is zero


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    above = a > a.mean((0, 2, 3), keepdim=True)
    (up,) = torch.autograd.grad(a, x, torch.where(above, a, 0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, torch.where(above, 0, a))
    return up, down


# %% 6.1 — not yet: the activation is squared on the way; its gradient is the activation itself


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, a.detach().clamp(min=0) ** 2, retain_graph=True)
    (down,) = torch.autograd.grad(a, x, a.detach().clamp(max=0) ** 2)
    return up, down


# %% 6.1 — not yet: each gradient is normalised; here they are asked for as they are


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, a.detach().clamp(min=0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, a.detach().clamp(max=0))
    return tuple(g / g.abs().mean((1, 2, 3), keepdim=True) for g in (up, down))


# %% 6.1 — not yet: only the first image has been looked at


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    a = torch.cat([a[:1], torch.zeros_like(a[1:])])
    (up,) = torch.autograd.grad(a, x, a.detach().clamp(min=0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, a.detach().clamp(max=0))
    return up, down


# %% 6.1 — not yet: the gradients of all images are added up; each image has its own


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, a.detach().clamp(min=0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, a.detach().clamp(max=0))
    return up.sum(0, keepdim=True).expand_as(up), down.sum(0, keepdim=True).expand_as(down)


# %% 6.1 — not yet: it changes what it was given; work on a copy


def pulls(network, images, layer):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    (up,) = torch.autograd.grad(a, x, a.detach().clamp(min=0), retain_graph=True)
    (down,) = torch.autograd.grad(a, x, a.detach().clamp(max=0))
    images += 0.01 * up
    return up, down


# %% 6.1 — not yet: it calls helpers.deepdream.gradients: write the lines yourself


def pulls(network, images, layer):
    from helpers.deepdream import gradients

    up = gradients(network, images, [layer])[0][layer]
    return up, gradients(network, images, [layer], target="signed")[0][layer] - up


# %% 6.2 — not yet: the gradients are not moved back; each belongs to a picture that was moved


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((dy, dx), (2, 3)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += g
    return total / len(shifts)


# %% 6.2 — not yet: the picture never moves: this is the gradient where it stands


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += g
    return total / len(shifts)


# %% 6.2 — not yet: the gradients are moved on by the same shift; they have to go back


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((dy, dx), (2, 3)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += g.roll((dy, dx), (2, 3))
    return total / len(shifts)


# %% 6.2 — not yet: they are moved back twice; a gradient by the picture before the move needs no move


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.clone().requires_grad_()
        energy = 0.5 * network.activation(x.roll((dy, dx), (2, 3)), layer).square().sum()
        (g,) = torch.autograd.grad(energy, x)
        total += g.roll((-dy, -dx), (2, 3))
    return total / len(shifts)


# %% 6.2 — not yet: dy and dx have changed places: dy moves down, along the height


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((dy, dx), (3, 2)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += g.roll((-dy, -dx), (3, 2))
    return total / len(shifts)


# %% 6.2 — not yet: the picture moves up and left; a positive shift moves it down and right


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((0 - dy, 0 - dx), (2, 3)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += g.roll((dy, dx), (2, 3))
    return total / len(shifts)


# %% 6.2 — not yet: the gradients are added up; take their mean


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((dy, dx), (2, 3)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += g.roll((-dy, -dx), (2, 3))
    return total


# %% 6.2 — not yet: this is the gradient of the last shift alone; take the mean over all


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((dy, dx), (2, 3)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total = g.roll((-dy, -dx), (2, 3))
    return total


# %% 6.2 — not yet: every shift starts where the one before ended; start from the picture itself


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    picture = images.detach()
    for dy, dx in shifts:
        picture = picture.roll((dy, dx), (2, 3))
        x = picture.clone().requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += g.roll((-dy, -dx), (2, 3))
    return total / len(shifts)


# %% 6.2 — not yet: gradients of earlier shifts are still in .grad and are added again


def jittered_gradient(network, images, layer, shifts):
    x, total = images.clone().requires_grad_(), torch.zeros_like(images)
    for dy, dx in shifts:
        (network.activation(x.roll((dy, dx), (2, 3)), layer) ** 2 / 2).sum().backward()
        total += x.grad
    return total / len(shifts)


# %% 6.2 — not yet: each gradient is normalised; here the plain ones are averaged


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((dy, dx), (2, 3)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
        total += (g / g.abs().mean((1, 2, 3), keepdim=True)).roll((-dy, -dx), (2, 3))
    return total / len(shifts)


# %% 6.2 — not yet: a 1 stands at every unit; what belongs there is the activation itself


def jittered_gradient(network, images, layer, shifts):
    total = torch.zeros_like(images)
    for dy, dx in shifts:
        x = images.detach().roll((dy, dx), (2, 3)).requires_grad_()
        a = network.activation(x, layer)
        (g,) = torch.autograd.grad(a, x, grad_outputs=torch.ones_like(a))
        total += g.roll((-dy, -dx), (2, 3))
    return total / len(shifts)


# %% 6.2 — not yet: it calls helpers.deepdream.gradients: write the lines yourself


def jittered_gradient(network, images, layer, shifts):
    from helpers.deepdream import gradients

    moved = [gradients(network, images.roll((dy, dx), (2, 3)), [layer])[0][layer] for dy, dx in shifts]
    return sum(g.roll((-dy, -dx), (2, 3)) for g, (dy, dx) in zip(moved, shifts, strict=True)) / len(shifts)


# %% 6.3 — not yet: the whole dream is enlarged; enlarge the detail and lay it on the photo of the next size


def dream_octaves(network, photos, layer, steps, rate):
    x = photos[0]
    for photo in photos:
        x = F.interpolate(x, photo.shape[2:], mode="bilinear")
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        x = x.detach()
    return x


# %% 6.3 — not yet: the detail is only what the last octave added; that of the octaves before is lost


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        start = x
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - start
    return x


# %% 6.3 — not yet: the detail never reaches the next octave


def dream_octaves(network, photos, layer, steps, rate):
    for photo in photos:
        x = photo
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
    return x


# %% 6.3 — not yet: the detail is enlarged in blocks; enlarge it bilinearly


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:])
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - photo
    return x


# %% 6.3 — not yet: the corner pixels are aligned; leave align_corners at its default


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear", align_corners=True)
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - photo
    return x


# %% 6.3 — not yet: one mean serves the whole batch; every image has a mean of its own


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean()
        detail = x.detach() - photo
    return x


# %% 6.3 — not yet: the gradient is not divided by its mean absolute value yet


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g
        detail = x.detach() - photo
    return x


# %% 6.3 — not yet: no step is taken on the largest photo


def dream_octaves(network, photos, layer, steps, rate):
    x = photos[0]
    for photo, larger in zip(photos, photos[1:] + photos[-1:]):
        if photo is larger and len(photos) > 1:
            break
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        x = larger + F.interpolate(x.detach() - photo, larger.shape[2:], mode="bilinear")
    return x


# %% 6.3 — not yet: one step too few in every octave


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(1, steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - photo
    return x


# %% 6.3 — not yet: one step too many in every octave


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(steps + 1):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - photo
    return x


# %% 6.3 — not yet: this is the detail alone; return the picture that holds it


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - photo
    return detail


# %% 6.3 — not yet: the steps go downhill: the layer sees less and less


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x - rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - photo
    return x


# %% 6.3 — not yet: it changes what it was given; work on a copy


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo
        x += F.interpolate(detail, photo.shape[2:], mode="bilinear")
        before = x.clone()
        for _ in range(steps):
            leaf = x.clone().requires_grad_()
            network.activation(leaf, layer).square().sum().backward()
            x += rate * leaf.grad / leaf.grad.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x - before
    return x


# %% 6.3 — not yet: it calls helpers.deepdream.gradients: write the lines yourself


def dream_octaves(network, photos, layer, steps, rate):
    from helpers.deepdream import gradients

    detail = torch.zeros_like(photos[0])
    for photo in photos:
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(steps):
            g = gradients(network, x, [layer])[0][layer]
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x - photo
    return x


# %% 6.3 — not yet: the shape is (2, 3, 5, 4), but should be (2, 3, 10, 8) here


def dream_octaves(network, photos, layer, steps, rate):
    detail = torch.zeros_like(photos[0])
    for photo in reversed(photos):
        x = photo + F.interpolate(detail, photo.shape[2:], mode="bilinear")
        for _ in range(steps):
            x = x.detach().requires_grad_()
            a = network.activation(x, layer)
            (g,) = torch.autograd.grad(a, x, grad_outputs=a.detach())
            x = x + rate * g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        detail = x.detach() - photo
    return x


# %% 6.4 — not yet: each place is pulled towards its own activation; the guide has no say


def guided_gradient(network, images, layer, guide):
    x = images.clone().requires_grad_()
    a = network.activation(x, layer)
    return torch.autograd.grad(a, x, grad_outputs=a.detach())[0]


# %% 6.4 — not yet: the match is made by cosine; take the inner product, where long vectors count more


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    places, offered = a.detach().flatten(2), guide.flatten(2)[0]  # (N, C, P), (C, Q)
    products = torch.einsum("ncp,cq->npq", F.normalize(places, dim=1), F.normalize(offered, dim=0))
    pull = offered[:, products.argmax(dim=2)].transpose(0, 1).reshape(a.shape)
    return torch.autograd.grad(a, x, grad_outputs=pull)[0]


# %% 6.4 — not yet: the match is the nearest vector; take the one with the largest inner product


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    places, offered = a.detach().flatten(2), guide.flatten(2)[0]  # (N, C, P), (C, Q)
    products = -(places[..., None] - offered[:, None]).square().sum(1)
    pull = offered[:, products.argmax(dim=2)].transpose(0, 1).reshape(a.shape)
    return torch.autograd.grad(a, x, grad_outputs=pull)[0]


# %% 6.4 — not yet: the match is the vector that agrees least


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    places, offered = a.detach().flatten(2), guide.flatten(2)[0]  # (N, C, P), (C, Q)
    products = torch.einsum("ncp,cq->npq", places, offered)
    pull = offered[:, products.argmin(dim=2)].transpose(0, 1).reshape(a.shape)
    return torch.autograd.grad(a, x, grad_outputs=pull)[0]


# %% 6.4 — not yet: each vector of the guide looks for a place; each place has to look for a vector


def guided_gradient(network, images, layer, guide):
    x = images.clone().requires_grad_()
    a = network.activation(x, layer)
    products = torch.einsum("ncp,cq->npq", a.flatten(2), guide.flatten(2)[0])
    products.amax(dim=1).sum().backward()
    return x.grad


# %% 6.4 — not yet: only the best place of all is pulled; every place has a match of its own


def guided_gradient(network, images, layer, guide):
    x = images.clone().requires_grad_()
    a = network.activation(x, layer)
    products = torch.einsum("ncp,cq->npq", a.flatten(2), guide.flatten(2)[0])
    products.flatten(1).amax(dim=1).sum().backward()
    return x.grad


# %% 6.4 — not yet: every place is pulled towards all vectors of the guide; only the best one counts


def guided_gradient(network, images, layer, guide):
    x = images.clone().requires_grad_()
    a = network.activation(x, layer)
    torch.einsum("ncp,cq->npq", a.flatten(2), guide.flatten(2)[0]).sum().backward()
    return x.grad


# %% 6.4 — not yet: every place is pulled towards the guide's mean; only the best vector counts


def guided_gradient(network, images, layer, guide):
    x = images.clone().requires_grad_()
    a = network.activation(x, layer)
    (a * guide.mean(dim=(2, 3), keepdim=True)).sum().backward()
    return x.grad


# %% 6.4 — not yet: every vector pulls a little (softmax); only the best one counts


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    places, offered = a.detach().flatten(2), guide.flatten(2)[0]  # (N, C, P), (C, Q)
    products = torch.einsum("ncp,cq->npq", places, offered)
    pull = (offered @ products.softmax(dim=2).transpose(1, 2)).reshape(a.shape)
    return torch.autograd.grad(a, x, grad_outputs=pull)[0]


# %% 6.4 — not yet: channels and places are mixed up: a reshape does not transpose


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    places, offered = a.detach().flatten(2), guide.reshape(-1, guide.shape[1]).t()  # (N, C, P), (C, Q)
    products = torch.einsum("ncp,cq->npq", places, offered)
    pull = offered[:, products.argmax(dim=2)].transpose(0, 1).reshape(a.shape)
    return torch.autograd.grad(a, x, grad_outputs=pull)[0]


# %% 6.4 — not yet: here the gradient is asked for as it is, not normalised


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    places, offered = a.detach().flatten(2), guide.flatten(2)[0]  # (N, C, P), (C, Q)
    products = torch.einsum("ncp,cq->npq", places, offered)
    pull = offered[:, products.argmax(dim=2)].transpose(0, 1).reshape(a.shape)
    g = torch.autograd.grad(a, x, grad_outputs=pull)[0]
    return g / g.abs().mean(dim=(1, 2, 3), keepdim=True)


# %% 6.4 — not yet: this shortens the distance to the match; the rule puts the match itself there


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    places, offered = a.detach().flatten(2), guide.flatten(2)[0]  # (N, C, P), (C, Q)
    products = torch.einsum("ncp,cq->npq", places, offered)
    pull = offered[:, products.argmax(dim=2)].transpose(0, 1).reshape(a.shape)
    return torch.autograd.grad(a, x, grad_outputs=pull - a.detach())[0]


# %% 6.4 — not yet: the sign is turned: this leads away from the guide


def guided_gradient(network, images, layer, guide):
    x = images.detach().requires_grad_()
    a = network.activation(x, layer)
    places, offered = a.detach().flatten(2), guide.flatten(2)[0]  # (N, C, P), (C, Q)
    products = torch.einsum("ncp,cq->npq", places, offered)
    pull = offered[:, products.argmax(dim=2)].transpose(0, 1).reshape(a.shape)
    loss = -(a * pull).sum()
    return torch.autograd.grad(loss, x)[0]


# %% 6.4 — not yet: it calls helpers.deepdream.best_match: write the lines yourself


def guided_gradient(network, images, layer, guide):
    from helpers.deepdream import best_match

    x = images.clone().requires_grad_()
    a = network.activation(x, layer)
    return torch.autograd.grad(a, x, grad_outputs=best_match(a.detach(), guide))[0]
