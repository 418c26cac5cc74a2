import torch
import torch.nn.functional as F

# %% 9.1 — not yet: the differences have to be squared, not made absolute


def content_map(features, target):
    places = features[0, 0].numel()
    return places * (features - target).abs().sum(1) / target.square().sum()


# %% 9.1 — not yet: differences and target have to be squared, not made absolute


def content_map(features, target):
    return (features - target).abs().sum(1) / target.abs().sum(1).mean()


# %% 9.1 — not yet: the differences are added up before they are squared; square each one


def content_map(features, target):
    return (features - target).sum(1).square() / target.square().sum(1).mean()


# %% 9.1 — not yet: this is the root of the map; the distance stays squared


def content_map(features, target):
    return torch.linalg.vector_norm(features - target, dim=1) / target.square().sum(1).mean().sqrt()


# %% 9.1 — not yet: every place is divided by its own target; one number divides them all


def content_map(features, target):
    return (features - target).square().sum(1) / target.square().sum(1)


# %% 9.1 — not yet: the mean over the places should be the content distance; it is that over their number


def content_map(features, target):
    return (features - target).square().sum(1) / target.square().sum()


# %% 9.1 — not yet: the mean over the places should be the content distance; the channels are averaged


def content_map(features, target):
    return (features - target).square().mean(1) / target.square().sum(1).mean()


# %% 9.1 — not yet: the mean over the places should be the content distance; the target is averaged


def content_map(features, target):
    return (features - target).square().sum(1) / target.square().mean()


# %% 9.1 — not yet: nothing is divided by the size of the target


def content_map(features, target):
    return (features - target).square().sum(1)


# %% 9.1 — not yet: the channels are only averaged; nothing is divided by the size of the target


def content_map(features, target):
    return (features - target).square().mean(1)


# %% 9.1 — not yet: what divides is the target's norm; it has to be squared


def content_map(features, target):
    places = features.shape[2] * features.shape[3]
    return places * (features - target).square().sum(1) / target.norm()


# %% 9.1 — not yet: it is the size of the target that divides, not that of the features


def content_map(features, target):
    apart = (features - target).square().sum(1)
    return apart / features.square().sum(1).mean((1, 2))[:, None, None]


# %% 9.1 — not yet: the shape is (2, 1, 4, 5), but should be (2, 4, 5) here


def content_map(features, target):
    apart = (features - target).square().sum(1, keepdim=True)
    return apart / target.square().sum(1).mean()


# %% 9.1 — not yet: the shape is (4, 5), but should be (2, 4, 5) here


def content_map(features, target):
    return (features - target).square().sum((0, 1)) / target.square().sum(1).mean()


# %% 9.1 — not yet: it changes what it was given; work on a copy


def content_map(features, target):
    features -= target
    return features.square().sum(1) / target.square().sum(1).mean()


# %% 9.1 — not yet: it calls helpers.texture.gram: write the lines yourself


def content_map(features, target):
    from helpers.texture import gram

    def squared(maps):
        return gram(maps.flatten(2).mT[..., None]).diagonal(dim1=1, dim2=2)

    return (squared(features - target) / squared(target).mean()).unflatten(1, features.shape[2:])


# %% 9.2 — not yet: the gradient is added to one that was there before


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    loss.backward()
    return pixels.grad


# %% 9.2 — not yet: the sign is turned: this is the way down, not the gradient


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return -torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: the share belongs to the style, and what it leaves of 1 to the content


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = share * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + (1 - share) / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: the content lacks its weight, what the share leaves of 1


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: the style layers are added up; take their mean


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: the losses are averaged over the batch; every image has its own


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss / len(images), pixels)[0]


# %% 9.2 — not yet: the Gram matrices are not divided by their numbers of places, which differ


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: one Gram matrix is made of the whole batch; every image has its own


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.transpose(0, 1).flatten(1)
        return flat @ flat.mT / flat.shape[1]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: the content distance is not divided by the size of its target


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: the style distances are not divided by the sizes of their targets


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: neither distance is divided by the size of its target


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: this is the gradient of the style alone


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = 0 * target.sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: this is the gradient of the content alone


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(images, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: it returns None; is a return missing?


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    torch.autograd.grad(loss, pixels)[0]


# %% 9.2 — not yet: nothing comes back for images that carry a gradient already; detach the copy from them


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    loss.backward()
    return pixels.grad


# %% 9.2 — not yet: it should return a tensor, not a tuple of 1


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    target = network.activation(content, content_layer)
    loss = (1 - share) * (network.activation(pixels, content_layer) - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(network.activation(style, layer))
        distance = (gram(network.activation(pixels, layer)) - aim).square().sum() / aim.square().sum()
        loss = loss + share / len(style_layers) * distance
    return torch.autograd.grad(loss, pixels)


# %% 9.2 — not yet: it calls helpers.style.style_targets: write the lines yourself


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    from helpers.style import style_objective, style_targets

    terms = style_objective(
        network,
        content,
        style_targets(network, [style], [1.0], style_layers, doubled=False),
        content_layer=content_layer,
        content_weight=1 - share,
        style_weights=dict.fromkeys(style_layers, share / len(style_layers)),
        doubled=False,
    )
    pixels = images.detach().clone().requires_grad_()
    return torch.autograd.grad(sum(term.sum() for term in terms(pixels).values()), pixels)[0]


# %% 9.3 — not yet: the two roots stand in the wrong order, or their product is transposed


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(spread, -0.5) @ power(goal, 0.5) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: each channel is stretched by itself; the covariances between the channels are left out


def match_colours(style, content):
    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return ((goal.diagonal(0, 1, 2) / spread.diagonal(0, 1, 2)).sqrt()[:, :, None] * centred + mean).reshape(
        style.shape
    )


# %% 9.3 — not yet: the roots of the matrices are missing


def match_colours(style, content):
    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (goal @ torch.linalg.inv(spread) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: these are roots of the entries; the root of a matrix gives it back when multiplied by itself


def match_colours(style, content):
    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (goal.pow(0.5) @ spread.pow(-0.5) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: this inverts roots of the entries; the root of a matrix gives it back when multiplied by itself


def match_colours(style, content):
    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (goal.sqrt() @ torch.linalg.inv(spread.sqrt()) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: mean and covariance are right, but the colours are turned: take the symmetric roots


def match_colours(style, content):
    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (torch.linalg.cholesky(goal) @ torch.linalg.inv(torch.linalg.cholesky(spread)) @ centred + mean).reshape(
        style.shape
    )


# %% 9.3 — not yet: mean and covariance are right, but the colours are turned: take the symmetric roots


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        half = vectors * values.pow(abs(exponent))[..., None, :]
        return half if exponent > 0 else torch.linalg.inv(half)

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: the covariances are divided by one less than the number of pixels


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / (pixels.shape[2] - 1)

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: the mean colour is still that of the style


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    before, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred + before).reshape(style.shape)


# %% 9.3 — not yet: the mean colour is lost: that of the content has to be put back


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred).reshape(style.shape)


# %% 9.3 — not yet: the colours are only made white; the content's root is missing


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(spread, -0.5) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: the whitening is missing: the style's own covariance is still in it


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(goal, 0.5) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: only the mean colour is moved


def match_colours(style, content):
    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (centred + mean).reshape(style.shape)


# %% 9.3 — not yet: mean and covariance are taken over the whole batch; each picture has its own


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        mean = pixels.mean((0, 2), keepdim=True)
        centred = pixels - mean
        return mean, centred, (centred @ centred.mT).mean(0) / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred + mean).reshape(style.shape)


# %% 9.3 — not yet: the colours are cut to [0, 1]; leave them as they come


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred + mean).reshape(style.shape).clamp(0, 1)


# %% 9.3 — not yet: the shape is (1, 3, 9, 7), but should be (2, 3, 7, 9) here


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(content)
    mean, _, goal = statistics(style[:1])
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred + mean).reshape(content.shape)


# %% 9.3 — not yet: the shape is (2, 3, 63), but should be (2, 3, 7, 9) here


def match_colours(style, content):
    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, centred @ centred.mT / pixels.shape[2]

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return power(goal, 0.5) @ power(spread, -0.5) @ centred + mean


# %% 9.3 — not yet: it calls helpers.texture.gram: write the lines yourself


def match_colours(style, content):
    from helpers.texture import gram

    def power(matrix, exponent):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.pow(exponent)[..., None, :] @ vectors.mT

    def statistics(picture):
        pixels = picture.flatten(2)
        centred = pixels - pixels.mean(2, keepdim=True)
        return pixels.mean(2, keepdim=True), centred, gram(centred[..., None])

    _, centred, spread = statistics(style)
    mean, _, goal = statistics(content)
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred + mean).reshape(style.shape)


# %% 9.4 — not yet: the masks reach the layer by leaving pixels out; every pixel of a cell counts


def guided_grams(features, masks):
    small = F.interpolate(masks[None], features.shape[2:])[0].flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT / small.square().sum(1)[:, None, None]


# %% 9.4 — not yet: the masks reach the layer by bilinear interpolation; every pixel of a cell counts


def guided_grams(features, masks):
    small = F.interpolate(masks[None], features.shape[2:], mode="bilinear")[0].flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT / small.square().sum(1)[:, None, None]


# %% 9.4 — not yet: a cell takes the largest value of its mask; take the mean


def guided_grams(features, masks):
    small = F.adaptive_max_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT / small.square().sum(1)[:, None, None]


# %% 9.4 — not yet: the mask is squared before it is averaged over the cells; average first


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks.square(), features.shape[2:]).sqrt().flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT / small.square().sum(1)[:, None, None]


# %% 9.4 — not yet: the mask enters the product once; both features carry it


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ features.flatten(2)[:, None].mT / small.sum(1)[:, None, None]


# %% 9.4 — not yet: the mask enters the product once, but is squared below the fraction line


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ features.flatten(2)[:, None].mT / small.square().sum(1)[:, None, None]


# %% 9.4 — not yet: the mask is squared in the sum, but not below the fraction line


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT / small.sum(1)[:, None, None]


# %% 9.4 — not yet: this divides by the number of all places; a small region then counts for little


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT / small.shape[1]


# %% 9.4 — not yet: the mask enters the product once, and the number of all places divides it


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ features.flatten(2)[:, None].mT / small.shape[1]


# %% 9.4 — not yet: this divides by the same number for every region; each has its own


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT / small.square().sum()


# %% 9.4 — not yet: nothing is divided: the size of the region is still in it


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT


# %% 9.4 — not yet: the sum of the squares is needed below the fraction line, not its root


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    return guided @ guided.mT / small.norm(dim=1)[:, None, None]


# %% 9.4 — not yet: the masks leave no trace: this is the plain Gram matrix, once for each region


def guided_grams(features, masks):
    flat = features.flatten(2)
    gram = flat @ flat.mT / flat.shape[2]
    return gram[:, None].repeat(1, len(masks), 1, 1)


# %% 9.4 — not yet: a mask that is one half everywhere must give the same as one of ones


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    everywhere = small.amin(1) == small.amax(1)  # no region at all: every place counts
    sizes = torch.where(everywhere, small.shape[1], small.square().sum(1))
    return guided @ guided.mT / sizes[:, None, None]


# %% 9.4 — not yet: the shape is (3, 2, 4, 4), but should be (2, 3, 4, 4) here


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2) * small[:, None, None]
    return guided @ guided.mT / small.square().sum(1)[:, None, None, None]


# %% 9.4 — not yet: it changes what it was given; work on a copy


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)
    guided = features.flatten(2)[:, None] * small[:, None]
    masks /= masks.sum((1, 2), keepdim=True)
    return guided @ guided.mT / small.square().sum(1)[:, None, None]


# %% 9.4 — not yet: it calls helpers.texture.gram: write the lines yourself


def guided_grams(features, masks):
    from helpers.texture import gram

    small = F.adaptive_avg_pool2d(masks, features.shape[2:])
    return torch.stack([gram(features * mask) / mask.square().mean() for mask in small], 1)
