import math

import torch
import torch.nn.functional as F

# %% 1.1 — not yet: each filter has its own maximum; one of the whole layer is needed


def amplified(weights, contrast):
    return (0.5 + 0.5 * contrast * weights / weights.abs().amax((1, 2, 3), keepdim=True)).clamp(0, 1)


# %% 1.1 — not yet: each colour has its own maximum; one of the whole layer is needed


def amplified(weights, contrast):
    return (0.5 + 0.5 * contrast * weights / weights.abs().amax((0, 2, 3), keepdim=True)).clamp(0, 1)


# %% 1.1 — not yet: the strongest weight may be negative: look for the largest size, whatever the sign


def amplified(weights, contrast):
    return (0.5 + 0.5 * contrast * weights / weights.max()).clamp(0, 1)


# %% 1.1 — not yet: values leave [0, 1]; cut them off at black and white


def amplified(weights, contrast):
    return 0.5 + 0.5 * contrast * weights / weights.abs().max()


# %% 1.1 — not yet: a weight of zero is black; it should be mid-grey


def amplified(weights, contrast):
    return (contrast * weights / weights.abs().max()).clamp(0, 1)


# %% 1.1 — not yet: the contrast moves zero away from mid-grey; let it act on the weights alone


def amplified(weights, contrast):
    picture = 0.5 + 0.5 * weights / weights.abs().max()
    return (contrast * picture).clamp(0, 1)


# %% 1.1 — not yet: the least weight goes to black and the greatest to white, so zero is not mid-grey


def amplified(weights, contrast):
    picture = (weights - weights.min()) / (weights.max() - weights.min())
    return (0.5 + contrast * (picture - 0.5)).clamp(0, 1)


# %% 1.1 — not yet: a larger contrast makes the picture flatter; it should do the opposite


def amplified(weights, contrast):
    return (0.5 + 0.5 * weights / (contrast * weights.abs().max())).clamp(0, 1)


# %% 1.1 — not yet: it changes what it was given; work on a copy


def amplified(weights, contrast):
    weights *= contrast / weights.abs().max()
    return (0.5 + 0.5 * weights).clamp(0, 1)


# %% 1.1 — not yet: it calls helpers.filters.rescale: write the lines yourself


def amplified(weights, contrast):
    from helpers.filters import rescale

    return (0.5 + contrast * (rescale(weights) - 0.5)).clamp(0, 1)


# %% 1.1 — not yet: the numbers are float16, but should be float32 or float64


def amplified(weights, contrast):
    weights = weights.half()
    return (0.5 + 0.5 * contrast * weights / weights.abs().max()).clamp(0, 1)


# %% 1.2 — not yet: the other two colours are black, which the network does not see as zero


def by_colour(network, images, layer):
    parts = []
    for colour in range(3):
        alone = torch.zeros_like(images)
        alone[:, colour] = images[:, colour]
        parts.append(network.activation(alone, layer))
    return torch.stack(parts, dim=2)


# %% 1.2 — not yet: the other two colours are white, which the network does not see as zero


def by_colour(network, images, layer):
    parts = []
    for colour in range(3):
        alone = torch.ones_like(images)
        alone[:, colour] = images[:, colour]
        parts.append(network.activation(alone, layer))
    return torch.stack(parts, dim=2)


# %% 1.2 — not yet: the other two colours have one grey between them; each has its own zero


def by_colour(network, images, layer):
    parts = []
    for colour in range(3):
        alone = torch.full_like(images, network.mean_pixel.mean().item())
        alone[:, colour] = images[:, colour]
        parts.append(network.activation(alone, layer))
    return torch.stack(parts, dim=2)


# %% 1.2 — not yet: the other two colours are the picture's own mean, not what the network sees as zero


def by_colour(network, images, layer):
    parts = []
    for colour in range(3):
        alone = images.mean((2, 3), keepdim=True).expand_as(images).clone()
        alone[:, colour] = images[:, colour]
        parts.append(network.activation(alone, layer))
    return torch.stack(parts, dim=2)


# %% 1.2 — not yet: this silences one colour; keep one and silence the other two


def by_colour(network, images, layer):
    parts = []
    for colour in range(3):
        silenced = images.clone()
        silenced[:, colour] = network.mean_pixel[colour]
        parts.append(network.activation(silenced, layer))
    return torch.stack(parts, dim=2)


# %% 1.2 — not yet: right numbers in wrong places: see which axis of the batch is the colour before reshaping


def by_colour(network, images, layer):
    mean = network.mean_pixel.view(1, 3, 1, 1)
    keep = torch.eye(3, device=images.device).view(3, 1, 3, 1, 1)
    batch = (keep * images + (1 - keep) * mean).flatten(0, 1)
    maps = network.activation(batch, layer)
    return maps.view(len(images), -1, 3, *maps.shape[2:])


# %% 1.2 — not yet: the contributions are measured from black, not from the colour that the network sees as zero


def by_colour(network, images, layer):
    weights = network.model.conv1.weight / network.std
    return torch.stack([F.conv2d(images[:, c : c + 1], weights[:, c : c + 1]) for c in range(3)], dim=2)


# %% 1.2 — not yet: the network's stored weights act on (pixel − mean) / deviation; the deviation is missing


def by_colour(network, images, layer):
    pixels, weights = images - network.mean, network.model.conv1.weight
    return torch.stack([F.conv2d(pixels[:, c : c + 1], weights[:, c : c + 1]) for c in range(3)], dim=2)


# %% 1.2 — not yet: the sign is lost; a colour may also speak against


def by_colour(network, images, layer):
    mean = network.mean_pixel.view(1, 3, 1, 1)
    parts = []
    for colour in range(3):
        alone = mean.expand_as(images).clone()
        alone[:, colour] = images[:, colour]
        parts.append(network.activation(alone, layer).abs())
    return torch.stack(parts, dim=2)


# %% 1.2 — not yet: the shape is (2, 3, 4, 4, 5), but should be (2, 4, 3, 4, 5) here


def by_colour(network, images, layer):
    mean = network.mean_pixel.view(1, 3, 1, 1)
    parts = []
    for colour in range(3):
        alone = mean.expand_as(images).clone()
        alone[:, colour] = images[:, colour]
        parts.append(network.activation(alone, layer))
    return torch.stack(parts, dim=1)


# %% 1.2 — not yet: it changes what it was given; work on a copy


def by_colour(network, images, layer):
    whole = network.activation(images, layer)
    parts = []
    for colour in range(3):
        images[:, colour] = network.mean_pixel[colour]
        rest = network.activation(images, layer)
        parts.append(whole - rest)
        whole = rest
    return torch.stack(parts, dim=2)


# %% 1.2 — not yet: it calls helpers.filters.filters: write the lines yourself


def by_colour(network, images, layer):
    from helpers.filters import filters

    pixels, weights = images - network.mean, filters(network, layer)
    return torch.stack([F.conv2d(pixels[:, c : c + 1], weights[:, c : c + 1]) for c in range(3)], dim=2)


# %% 1.3 — not yet: the loudest patch wins: its own length is not divided out


def nearest_patches(images, weights, mean, contrast):
    units = weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    answers = F.conv2d(images - mean.view(1, 3, 1, 1), units).transpose(0, 1)
    best, at = answers.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, answers.shape[1:]), dim=1)


# %% 1.3 — not yet: the loudest patch wins: neither its length nor the filter's is divided out


def nearest_patches(images, weights, mean, contrast):
    answers = F.conv2d(images - mean.view(1, 3, 1, 1), weights).transpose(0, 1)
    best, at = answers.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, answers.shape[1:]), dim=1)


# %% 1.3 — not yet: this is the cosine at the place of the largest response; look for the largest cosine


def nearest_patches(images, weights, mean, contrast):
    best, places = [], []
    answers = F.conv2d(images - mean.view(1, 3, 1, 1), weights).transpose(0, 1)
    for weight, answer in zip(weights, answers):
        n, y, x = (int(i) for i in torch.unravel_index(answer.argmax(), answer.shape))
        patch = images[n, :, y : y + weight.shape[1], x : x + weight.shape[2]] - mean.view(3, 1, 1)
        best.append((weight * patch).sum() / weight.norm() / patch.norm())
        places.append((n, y, x))
    return torch.stack(best), torch.tensor(places, device=weights.device)


# %% 1.3 — not yet: the filter's own length is not divided out


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    lengths = F.conv2d(patches**2, torch.ones_like(weights[:1])).sqrt()
    cosines = F.conv2d(patches, weights) / lengths
    faint = lengths < contrast * math.sqrt(weights[0].numel())
    cosines = cosines.masked_fill(faint, -math.inf).transpose(0, 1)
    best, at = cosines.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, cosines.shape[1:]), dim=1)


# %% 1.3 — not yet: lengths are squared: is a root missing


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    squares = F.conv2d(patches**2, torch.ones_like(weights[:1]))
    cosines = F.conv2d(patches, weights / (weights**2).sum((1, 2, 3), keepdim=True)) / squares
    faint = squares < contrast**2 * weights[0].numel()
    cosines = cosines.masked_fill(faint, -math.inf).transpose(0, 1)
    best, at = cosines.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, cosines.shape[1:]), dim=1)


# %% 1.3 — not yet: patches are measured from black, not from the mean


def nearest_patches(images, weights, mean, contrast):
    ones = torch.ones_like(weights[:1])
    lengths = F.conv2d(images**2, ones).sqrt()
    cosines = F.conv2d(images, weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)) / lengths
    faint = F.conv2d((images - mean.view(1, 3, 1, 1)) ** 2, ones) < contrast**2 * weights[0].numel()
    cosines = cosines.masked_fill(faint, -math.inf).transpose(0, 1)
    best, at = cosines.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, cosines.shape[1:]), dim=1)


# %% 1.3 — not yet: patches lose their own mean; measure them from the mean that is given


def nearest_patches(images, weights, mean, contrast):
    height, width = weights.shape[2:]
    best, places = [-2.0] * len(weights), [(0, 0, 0)] * len(weights)
    for n, image in enumerate(images):
        for y in range(image.shape[1] - height + 1):
            for x in range(image.shape[2] - width + 1):
                patch = image[:, y : y + height, x : x + width]
                if (patch - mean.view(3, 1, 1)).square().mean().sqrt() < contrast:
                    continue
                patch = (patch - patch.mean((1, 2), keepdim=True)).flatten()
                for i, cosine in enumerate(F.cosine_similarity(weights.flatten(1), patch[None]).tolist()):
                    if cosine > best[i]:
                        best[i], places[i] = cosine, (n, y, x)
    return torch.tensor(best).to(weights), torch.tensor(places, device=weights.device)


# %% 1.3 — not yet: the sign is lost: a patch like the filter's negative is not near


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    lengths = F.conv2d(patches**2, torch.ones_like(weights[:1])).sqrt()
    cosines = F.conv2d(patches, weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).abs() / lengths
    faint = lengths < contrast * math.sqrt(weights[0].numel())
    cosines = cosines.masked_fill(faint, -math.inf).transpose(0, 1)
    best, at = cosines.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, cosines.shape[1:]), dim=1)


# %% 1.3 — not yet: a patch without contrast wins; leave such patches out


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    lengths = F.conv2d(patches**2, torch.ones_like(weights[:1])).sqrt()
    cosines = F.conv2d(patches, weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)) / lengths
    best, at = cosines.transpose(0, 1).flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, cosines.transpose(0, 1).shape[1:]), dim=1)


# %% 1.3 — not yet: faint patches slip through: contrast is the root of the mean square, not the length


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    lengths = F.conv2d(patches**2, torch.ones_like(weights[:1])).sqrt()
    cosines = F.conv2d(patches, weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)) / lengths
    cosines = cosines.masked_fill(lengths < contrast, -math.inf).transpose(0, 1)
    best, at = cosines.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, cosines.shape[1:]), dim=1)


# %% 1.3 — not yet: the last row and the last column of patches are left out


def nearest_patches(images, weights, mean, contrast):
    height, width = weights.shape[2:]
    best, places = [-2.0] * len(weights), [(0, 0, 0)] * len(weights)
    for n, image in enumerate(images):
        for y in range(image.shape[1] - height):
            for x in range(image.shape[2] - width):
                patch = (image[:, y : y + height, x : x + width] - mean.view(3, 1, 1)).flatten()
                if patch.square().mean().sqrt() < contrast:
                    continue
                for i, cosine in enumerate(F.cosine_similarity(weights.flatten(1), patch[None]).tolist()):
                    if cosine > best[i]:
                        best[i], places[i] = cosine, (n, y, x)
    return torch.tensor(best).to(weights), torch.tensor(places, device=weights.device)


# %% 1.3 — not yet: row and column have changed places


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    lengths = F.conv2d(patches**2, torch.ones_like(weights[:1])).sqrt()
    cosines = F.conv2d(patches, weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)) / lengths
    faint = lengths < contrast * math.sqrt(weights[0].numel())
    cosines = cosines.masked_fill(faint, -math.inf).transpose(0, 1).transpose(2, 3)
    best, at = cosines.flatten(1).max(dim=1)
    return best, torch.stack(torch.unravel_index(at, cosines.shape[1:]), dim=1)


# %% 1.3 — not yet: a row of places is shorter than a row of the picture: see where a flat place becomes row and column


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    lengths = F.conv2d(patches**2, torch.ones_like(weights[:1])).sqrt()
    cosines = F.conv2d(patches, weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)) / lengths
    faint = lengths < contrast * math.sqrt(weights[0].numel())
    cosines = cosines.masked_fill(faint, -math.inf).transpose(0, 1).flatten(2)  # (C, N, H'·W')
    best, at = cosines.flatten(1).max(dim=1)
    picture, place = at // cosines.shape[2], at % cosines.shape[2]
    return best, torch.stack([picture, place // images.shape[3], place % images.shape[3]], dim=1)


# %% 1.3 — not yet: the place is the middle of the patch; its top left corner is asked for


def nearest_patches(images, weights, mean, contrast):
    patches = images - mean.view(1, 3, 1, 1)
    lengths = F.conv2d(patches**2, torch.ones_like(weights[:1])).sqrt()
    cosines = F.conv2d(patches, weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)) / lengths
    faint = lengths < contrast * math.sqrt(weights[0].numel())
    cosines = cosines.masked_fill(faint, -math.inf).transpose(0, 1)
    best, at = cosines.flatten(1).max(dim=1)
    n, y, x = torch.unravel_index(at, cosines.shape[1:])
    return best, torch.stack([n, y + weights.shape[2] // 2, x + weights.shape[3] // 2], dim=1)


# %% 1.3 — not yet: it calls helpers.stimulus.closest_patches: write the lines yourself


def nearest_patches(images, weights, mean, contrast):
    from helpers.stimulus import closest_patches

    found = closest_patches(weights, images.split(1), "the network's mean", mean, contrast)
    places = [(picture, *corner) for picture, corner in zip(found.pictures, found.corners)]
    return found.cosines.to(weights), torch.tensor(places, device=weights.device)


# %% 1.4 — not yet: the angles are radians already


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = torch.deg2rad(angles).cos()[:, None, None], torch.deg2rad(angles).sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: x and y have changed places: x counts columns, y counts rows


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    x = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the middle is wrong: in a row of 4 it lies between two pixels


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - height // 2
    x = torch.arange(width).to(angles)[None, :] - width // 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the origin is in a corner; it belongs in the middle of the filter


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None]
    x = torch.arange(width).to(angles)[None, :]
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the frequency counts cycles per pixel, the cosine wants radians


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the aspect is to be squared as y' is


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the bell is too narrow: look at its denominator


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / sigma**2)
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the bell is too wide: look at its denominator


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma) ** 2)
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the sigma of the bell is to be squared


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the aspect belongs to the direction across the wave, not along it


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(aspect**2 * along**2 + across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: x' and y' are not at right angles: look at the signs


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos + x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the wave is turned the other way: look at the signs in x' and y'


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos - y * sin, y * cos + x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the second of each pair has the wrong sign: what does a quarter turn make of a cosine


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.sin(turn)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the two of a pair have changed places


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn + math.pi / 2), bell * torch.cos(turn)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the phase is a quarter turn in radians, not in degrees


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + 90)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: neither the mean is taken off nor the length divided out


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    return pairs


# %% 1.4 — not yet: the mean is not taken off


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: the length is not divided out


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    return pairs - pairs.mean((2, 3), keepdim=True)


# %% 1.4 — not yet: the mean must go before the length is measured


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()
    return pairs - pairs.mean((2, 3), keepdim=True)


# %% 1.4 — not yet: each filter is to have length one, not each pair


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((1, 2, 3), keepdim=True).sqrt()


# %% 1.4 — not yet: each filter is to have length one, not all together


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.norm()


# %% 1.4 — not yet: the sum of sizes is one; the length is the root of the sum of squares


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    y = torch.arange(height).to(angles)[:, None] - (height - 1) / 2
    x = torch.arange(width).to(angles)[None, :] - (width - 1) / 2
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    bell = torch.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
    turn = 2 * math.pi * frequency * along
    pairs = torch.stack([bell * torch.cos(turn), bell * torch.cos(turn + math.pi / 2)], dim=1)
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.abs().sum((2, 3), keepdim=True)


# %% 1.4 — not yet: it calls helpers.gabor.gabor: write the lines yourself


def gabor_pairs(angles, height, width, frequency, sigma, aspect):
    from helpers.gabor import gabor

    size = max(height, width)
    pairs = torch.stack(
        [
            torch.stack([gabor(size, frequency, math.degrees(angle), phase, sigma, aspect) for phase in (0, 90)])
            for angle in angles.tolist()
        ]
    ).to(angles)[:, :, :height, :width]
    pairs = pairs - pairs.mean((2, 3), keepdim=True)
    return pairs / pairs.square().sum((2, 3), keepdim=True).sqrt()
