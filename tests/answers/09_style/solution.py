import torch
import torch.nn.functional as F

# %% 9.1


def content_map(features, target):
    return (features - target).square().sum(1) / target.square().sum(1).mean()


# %% 9.2


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    def gram(features):
        flat = features.flatten(2)
        return flat @ flat.mT / flat.shape[2]

    pixels = images.detach().clone().requires_grad_()
    seen = network.activations(pixels, {content_layer, *style_layers})
    target, aims = network.activation(content, content_layer), network.activations(style, style_layers)
    loss = (1 - share) * (seen[content_layer] - target).square().sum() / target.square().sum()
    for layer in style_layers:
        aim = gram(aims[layer])
        loss = loss + share / len(style_layers) * (gram(seen[layer]) - aim).square().sum() / aim.square().sum()
    return torch.autograd.grad(loss, pixels)[0]


# %% 9.3


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
    return (power(goal, 0.5) @ power(spread, -0.5) @ centred + mean).reshape(style.shape)


# %% 9.4


def guided_grams(features, masks):
    small = F.adaptive_avg_pool2d(masks, features.shape[2:]).flatten(1)  # (R, H·W)
    guided = features.flatten(2)[:, None] * small[:, None]  # (N, R, C, H·W)
    return guided @ guided.mT / small.square().sum(1)[:, None, None]
