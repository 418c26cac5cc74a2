import torch

# %% 9.2


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
    return torch.autograd.grad(loss, pixels)[0].float()
