import numpy as np
import torch
import torch.nn.functional as F

# %% 9.1


def content_map(features, target):
    places = features.shape[2] * features.shape[3]
    maps = []
    for one in features:
        total = torch.zeros_like(one[0])
        for have, want in zip(one, target[0], strict=True):
            total += (have - want) ** 2
        maps.append(places * total / torch.linalg.norm(target) ** 2)
    return torch.stack(maps)


# %% 9.2


def transfer_gradient(network, images, content, style, content_layer, style_layers, share):
    # dL/dF in closed form at every layer, then back to the pixels, one image after the other
    found = []
    for image in images.detach().split(1):
        image = image.clone().requires_grad_()
        have, want = network.activation(image, content_layer), network.activation(content, content_layer)
        pull = 2 * (1 - share) * (have - want).detach() / (want**2).sum()
        have.backward(pull)
        for layer in style_layers:
            have, want = network.activation(image, layer), network.activation(style, layer)[0].flatten(1)
            flat = have.detach()[0].flatten(1)
            target = want @ want.T / want.shape[1]
            pull = 4 * (flat @ flat.T / flat.shape[1] - target) @ flat / flat.shape[1] / (target**2).sum()
            have.backward(share / len(style_layers) * pull.reshape(have.shape))
        found.append(image.grad)
    return torch.cat(found)


# %% 9.3


def match_colours(style, content):
    def root_and_inverse(matrix):
        # Denman and Beavers: two sequences that approach the symmetric root and its inverse
        scale = float(np.trace(matrix))
        root, inverse = matrix / scale, np.eye(3)
        for _ in range(40):
            root, inverse = (root + np.linalg.inv(inverse)) / 2, (inverse + np.linalg.inv(root)) / 2
        return root * scale**0.5, inverse / scale**0.5

    aim = content[0].reshape(3, -1).cpu().numpy()
    result = torch.zeros_like(style)
    for i, picture in enumerate(style):
        pixels = picture.reshape(3, -1).cpu().numpy()
        whiten = root_and_inverse(np.cov(pixels, bias=True))[1]
        colour = root_and_inverse(np.cov(aim, bias=True))[0]
        new = colour @ whiten @ (pixels - pixels.mean(1, keepdims=True)) + aim.mean(1, keepdims=True)
        result[i] = torch.from_numpy(new).reshape(picture.shape)
    return result


# %% 9.4


def guided_grams(features, masks):
    height, width = features.shape[2:]
    stride = masks.shape[1] // height, masks.shape[2] // width
    found = []
    for one in features:
        grams = []
        for mask in masks:
            guide = F.avg_pool2d(mask[None, None], stride)[0, 0]
            guide = guide / guide.square().sum().sqrt()
            grams.append(torch.einsum("iyx,jyx->ij", guide * one, guide * one))
        found.append(torch.stack(grams))
    return torch.stack(found)
