import torch

# %% 8.1


def new_choices(source):
    height, width = source.shape[:2]
    new = torch.zeros(height, width, dtype=torch.bool, device=source.device)
    for y in range(height):
        for x in range(width):
            row, column = source[y, x].tolist()
            from_left = x > 0 and source[y, x - 1].tolist() == [row, column - 1]
            from_above = y > 0 and source[y - 1, x].tolist() == [row - 1, column]
            new[y, x] = not (from_left or from_above)
    return new


# %% 8.2


def window_distances(sample, window, weight):
    # Σ w (s − o)² = Σ w s² − 2 Σ s·(w o) + Σ w o², each a correlation
    def correlate(image, kernel):
        return torch.nn.functional.conv2d(image, kernel)[0, 0]

    squares = correlate(sample.square(), weight.expand_as(window))
    products = correlate(sample, weight * window)
    return (squares - 2 * products + (weight * window.square()).sum()) / weight.sum()


# %% 8.3


def texture_loss(features, samples, weights):
    def table(maps):
        return torch.einsum("nihw,njhw->nij", maps, maps) / (maps.shape[2] * maps.shape[3])

    losses = []
    for n in range(len(features[0])):
        terms = [
            w * torch.mean((table(here[n : n + 1]) - table(there)) ** 2) / 4
            for here, there, w in zip(features, samples, weights, strict=True)
        ]
        losses.append(sum(terms))
    return torch.stack(losses)


# %% 8.4


def shifted_gram(features, dy, dx):
    count, channels, height, width = features.shape
    table = features.new_zeros(count, channels, channels)
    for i in range(channels):
        for j in range(channels):
            product = features[:, i, : height - dy, : width - dx] * features[:, j, dy:, dx:]
            table[:, i, j] = product.mean((1, 2))
    return table
