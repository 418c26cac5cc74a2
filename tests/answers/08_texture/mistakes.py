import torch

# %% 8.1 — not yet: this marks the pixels that go on; a new choice is one that does not


def new_choices(source):
    goes_on = torch.zeros(source.shape[:2], dtype=torch.bool)
    goes_on[:, 1:] |= (source.diff(dim=1) == torch.tensor([0, 1])).all(2)
    goes_on[1:] |= (source.diff(dim=0) == torch.tensor([1, 0])).all(2)
    return goes_on


# %% 8.1 — not yet: the neighbours are those to the right and below; they came later


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[:, :-1] &= (source.diff(dim=1) != torch.tensor([0, 1])).any(2)
    new[:-1] &= (source.diff(dim=0) != torch.tensor([1, 0])).any(2)
    return new


# %% 8.1 — not yet: a pixel may also go on from the one above it


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[:, 1:] = (source.diff(dim=1) != torch.tensor([0, 1])).any(2)
    return new


# %% 8.1 — not yet: a pixel may also go on from the one to its left


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[1:] = (source.diff(dim=0) != torch.tensor([1, 0])).any(2)
    return new


# %% 8.1 — not yet: it is enough to go on from one of the two neighbours


def new_choices(source):
    new = torch.zeros(source.shape[:2], dtype=torch.bool)
    new[0, 0] = True
    new[:, 1:] |= (source.diff(dim=1) != torch.tensor([0, 1])).any(2)
    new[1:] |= (source.diff(dim=0) != torch.tensor([1, 0])).any(2)
    return new


# %% 8.1 — not yet: the diagonal neighbour does not count


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[:, 1:] &= (source.diff(dim=1) != torch.tensor([0, 1])).any(2)
    new[1:] &= (source.diff(dim=0) != torch.tensor([1, 0])).any(2)
    new[1:, 1:] &= (source[1:, 1:] != source[:-1, :-1] + 1).any(2)
    return new


# %% 8.1 — not yet: a row's first pixel has no left neighbour, a column's first none above; roll goes round


def new_choices(source):
    from_left = (source.roll(1, 1) + torch.tensor([0, 1]) == source).all(2)
    from_above = (source.roll(1, 0) + torch.tensor([1, 0]) == source).all(2)
    return ~(from_left | from_above)


# %% 8.1 — not yet: in the first row and column there is still one neighbour to go on from


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    from_left = (source.diff(dim=1) == torch.tensor([0, 1])).all(2)[1:]
    from_above = (source.diff(dim=0) == torch.tensor([1, 0])).all(2)[:, 1:]
    new[1:, 1:] = ~(from_left | from_above)
    return new


# %% 8.1 — not yet: the first row and column are left out


def new_choices(source):
    new = torch.zeros(source.shape[:2], dtype=torch.bool)
    for y in range(1, source.shape[0]):
        for x in range(1, source.shape[1]):
            left, above, here = source[y, x - 1].tolist(), source[y - 1, x].tolist(), source[y, x].tolist()
            new[y, x] = here != [left[0], left[1] + 1] and here != [above[0] + 1, above[1]]
    return new


# %% 8.1 — not yet: going on means one place further in the sample, not the same place


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[:, 1:] &= (source[:, 1:] != source[:, :-1]).any(2)
    new[1:] &= (source[1:] != source[:-1]).any(2)
    return new


# %% 8.1 — not yet: going on means the next place in the same direction, not just a place beside


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[:, 1:] &= source.diff(dim=1).abs().sum(2) != 1
    new[1:] &= source.diff(dim=0).abs().sum(2) != 1
    return new


# %% 8.1 — not yet: row and column of the source must both fit


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[:, 1:] &= (source.diff(dim=1) != torch.tensor([0, 1])).all(2)
    new[1:] &= (source.diff(dim=0) != torch.tensor([1, 0])).all(2)
    return new


# %% 8.1 — not yet: source holds (row, column), in this order


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[:, 1:] &= (source.diff(dim=1) != torch.tensor([1, 0])).any(2)
    new[1:] &= (source.diff(dim=0) != torch.tensor([0, 1])).any(2)
    return new


# %% 8.1 — not yet: the numbers are float32, but should be True and False


def new_choices(source):
    new = torch.ones(source.shape[:2])
    new[:, 1:] *= (source.diff(dim=1) != torch.tensor([0, 1])).any(2)
    new[1:] *= (source.diff(dim=0) != torch.tensor([1, 0])).any(2)
    return new


# %% 8.1 — not yet: it should return a tensor, not a float


def new_choices(source):
    new = torch.ones(source.shape[:2], dtype=torch.bool)
    new[:, 1:] &= (source.diff(dim=1) != torch.tensor([0, 1])).any(2)
    new[1:] &= (source.diff(dim=0) != torch.tensor([1, 0])).any(2)
    return float(new.double().mean())


# %% 8.1 — not yet: it calls helpers.scanline.coherence: write the lines yourself


def new_choices(source):
    from helpers.scanline import coherence

    new = torch.ones(source.shape[:2], dtype=torch.bool)
    for y in range(source.shape[0]):
        for x in range(source.shape[1]):
            from_left = x > 0 and coherence(source[y : y + 1, x - 1 : x + 1]) == 1
            from_above = y > 0 and coherence(source[y - 1 : y + 1, x : x + 1]) == 1
            new[y, x] = not from_left and not from_above
    return new


# %% 8.2 — not yet: the weights are left out: what is not known counts in full


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return ((places - window[0][:, None, None]) ** 2).sum((0, 3, 4)) / weight.sum()


# %% 8.2 — not yet: divide by the sum of the weights


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return (weight * (places - window[0][:, None, None]) ** 2).sum((0, 3, 4))


# %% 8.2 — not yet: divide by the sum of the weights, not by the number of pixels


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return (weight * (places - window[0][:, None, None]) ** 2).sum((0, 3, 4)) / k**2


# %% 8.2 — not yet: divide by the sum of the weights, not by the number of known pixels


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return (weight * (places - window[0][:, None, None]) ** 2).sum((0, 3, 4)) / (weight > 0).sum()


# %% 8.2 — not yet: a mean divides by the number of terms; divide the sum by the sum of the weights


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return (weight * (places - window[0][:, None, None]) ** 2).mean((0, 3, 4))


# %% 8.2 — not yet: the squares of the three colours are added, not averaged


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    squares = ((places - window[0][:, None, None]) ** 2).mean(0)
    return (weight * squares).sum((2, 3)) / weight.sum()


# %% 8.2 — not yet: the weights are squared with the difference; they come after the square


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return (places * weight - (window[0] * weight)[:, None, None]).square().sum((0, 3, 4)) / weight.sum()


# %% 8.2 — not yet: square each colour's difference before the colours are added


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].sum(0).unfold(0, k, 1).unfold(1, k, 1)
    return (weight * (places - window[0].sum(0)) ** 2).sum((2, 3)) / weight.sum()


# %% 8.2 — not yet: the differences are squared, not made positive


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return (weight * (places - window[0][:, None, None]).abs()).sum((0, 3, 4)) / weight.sum()


# %% 8.2 — not yet: the distance is a sum of squares; no root is taken


def window_distances(sample, window, weight):
    k = len(weight)
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return ((weight * (places - window[0][:, None, None]) ** 2).sum((0, 3, 4)) / weight.sum()).sqrt()


# %% 8.2 — not yet: this counts what is not known; weight is 0 there


def window_distances(sample, window, weight):
    k = len(weight)
    unknown = 1 - weight
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return (unknown * (places - window[0][:, None, None]) ** 2).sum((0, 3, 4)) / unknown.sum()


# %% 8.2 — not yet: row and column of the weights are exchanged


def window_distances(sample, window, weight):
    k = len(weight)
    out = sample.new_zeros(sample.shape[2] - k + 1, sample.shape[3] - k + 1)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for a in range(k):
                for b in range(k):
                    difference = sample[0, :, y + a, x + b] - window[0, :, a, b]
                    out[y, x] += weight[b, a] * (difference**2).sum()
    return out / weight.sum()


# %% 8.2 — not yet: the shape is (4, 6), but should be (5, 7) here


def window_distances(sample, window, weight):
    k = len(weight)
    out = sample.new_zeros(sample.shape[2] - k, sample.shape[3] - k)
    for y in range(sample.shape[2] - k):
        for x in range(sample.shape[3] - k):
            difference = sample[0, :, y : y + k, x : x + k] - window[0]
            out[y, x] = (weight * difference**2).sum() / weight.sum()
    return out


# %% 8.2 — not yet: it changes what it was given; work on a copy


def window_distances(sample, window, weight):
    k = len(weight)
    weight /= weight.sum()
    places = sample[0].unfold(1, k, 1).unfold(2, k, 1)
    return (weight * (places - window[0][:, None, None]) ** 2).sum((0, 3, 4))


# %% 8.2 — not yet: it calls helpers.neighbours.nearest: write the lines yourself


def window_distances(sample, window, weight):
    from helpers.neighbours import nearest

    k = len(weight)
    places = sample.unfold(2, k, 1).unfold(3, k, 1) * weight.sqrt()
    vectors = places.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * k * k)
    distances, indices = nearest((window * weight.sqrt()).flatten(1), vectors, len(vectors))
    return (distances**2 / weight.sum()).gather(1, indices.argsort(1)).view(places.shape[2:4])


# %% 8.3 — not yet: average the outer products over the places; they are only added


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        loss = loss + w * (F @ F.mT - S @ S.mT).square().sum((1, 2)) / (4 * F.shape[1] ** 2)
    return loss


# %% 8.3 — not yet: divide the sample's Gram matrix by the sample's own number of places


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        N, C, H, W = F.shape
        F, S = F.flatten(2), S.flatten(2)
        loss = loss + w * (F @ F.mT - S @ S.mT).square().sum((1, 2)) / (4 * C**2 * (H * W) ** 2)
    return loss


# %% 8.3 — not yet: divide the pictures' Gram matrices by their own number of places, not the sample's


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        _, C, H, W = S.shape
        F, S = F.flatten(2), S.flatten(2)
        loss = loss + w * (F @ F.mT - S @ S.mT).square().sum((1, 2)) / (4 * C**2 * (H * W) ** 2)
    return loss


# %% 8.3 — not yet: C² has been divided out twice: is G averaged over H·W alone, are the squares added?


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        C = F.shape[1]
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / (C * F.shape[2]), S @ S.mT / (C * S.shape[2])
        loss = loss + w * (G - A).square().sum((1, 2)) / (4 * C**2)
    return loss


# %% 8.3 — not yet: the denominator is 4 C², not 4 C


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).square().sum((1, 2)) / (4 * F.shape[1])
    return loss


# %% 8.3 — not yet: the 4 of the 4 C² is missing


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).square().mean((1, 2))
    return loss


# %% 8.3 — not yet: the 4 C² is missing


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).square().sum((1, 2))
    return loss


# %% 8.3 — not yet: C² has been divided out twice: is G averaged over H·W alone, are the squares added?


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).square().mean((1, 2)) / (4 * F.shape[1] ** 2)
    return loss


# %% 8.3 — not yet: this is the lesson's loss; Gatys et al. divide by 4 C²


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).square().sum((1, 2)) / A.square().sum((1, 2))
    return loss


# %% 8.3 — not yet: square the distance between the Gram matrices; no root is taken


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).norm(dim=(1, 2)) / (4 * F.shape[1] ** 2)
    return loss


# %% 8.3 — not yet: the differences are squared, not made positive


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).abs().sum((1, 2)) / (4 * F.shape[1] ** 2)
    return loss


# %% 8.3 — not yet: the weights of the layers are left out


def texture_loss(features, samples, weights):
    loss = 0
    for F, S in zip(features, samples):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + (G - A).square().sum((1, 2)) / (4 * F.shape[1] ** 2)
    return loss


# %% 8.3 — not yet: the weights are taken as they are, not divided by their sum


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).square().sum((1, 2)) / (4 * F.shape[1] ** 2)
    return loss / sum(weights)


# %% 8.3 — not yet: the layers are added, not averaged


def texture_loss(features, samples, weights):
    terms = []
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        terms.append(w * (G - A).square().sum((1, 2)) / (4 * F.shape[1] ** 2))
    return torch.stack(terms).mean(0)


# %% 8.3 — not yet: the Gram matrix is no covariance; no mean is subtracted


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        F, S = F - F.mean(2, keepdim=True), S - S.mean(2, keepdim=True)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).square().sum((1, 2)) / (4 * F.shape[1] ** 2)
    return loss


# %% 8.3 — not yet: a reshape to (places, channels) mixes the two; it does not transpose


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        C = F.shape[1]
        F, S = F.reshape(len(F), -1, C), S.reshape(1, -1, C)
        G, A = F.mT @ F / F.shape[1], S.mT @ S / S.shape[1]
        loss = loss + w * (G - A).square().sum((1, 2)) / (4 * C**2)
    return loss


# %% 8.3 — not yet: the shape is (), but should be (2,) here


def texture_loss(features, samples, weights):
    loss = 0
    for F, S, w in zip(features, samples, weights):
        F, S = F.flatten(2), S.flatten(2)
        G, A = F @ F.mT / F.shape[2], S @ S.mT / S.shape[2]
        loss = loss + w * (G - A).square().sum() / (4 * F.shape[1] ** 2)
    return loss


# %% 8.3 — not yet: it calls helpers.texture.gram: write the lines yourself


def texture_loss(features, samples, weights):
    from helpers.texture import gram

    loss = 0
    for F, S, w in zip(features, samples, weights):
        loss = loss + w * (gram(F) - gram(S)).square().sum((1, 2)) / (4 * F.shape[1] ** 2)
    return loss


# %% 8.4 — not yet: roll goes round; only places whose partner lies inside count


def shifted_gram(features, dy, dx):
    there = features.roll((-dy, -dx), (2, 3)).flatten(2)
    return features.flatten(2) @ there.mT / there.shape[2]


# %% 8.4 — not yet: divide by the number of pairs, which are fewer than H·W


def shifted_gram(features, dy, dx):
    H, W = features.shape[2:]
    here, there = features[:, :, : H - dy, : W - dx].flatten(2), features[:, :, dy:, dx:].flatten(2)
    return here @ there.mT / (H * W)


# %% 8.4 — not yet: the outer products are only added; divide by the number of pairs


def shifted_gram(features, dy, dx):
    H, W = features.shape[2:]
    return torch.einsum("nihw,njhw->nij", features[:, :, : H - dy, : W - dx], features[:, :, dy:, dx:])


# %% 8.4 — not yet: divide by the number of pairs alone, not by the channels


def shifted_gram(features, dy, dx):
    C, H, W = features.shape[1:]
    here, there = features[:, :, : H - dy, : W - dx].flatten(2), features[:, :, dy:, dx:].flatten(2)
    return here @ there.mT / (C * here.shape[2])


# %% 8.4 — not yet: rows are for the channel at p, columns for the channel at p + δ; here they are exchanged


def shifted_gram(features, dy, dx):
    H, W = features.shape[2:]
    here, there = features[:, :, : H - dy, : W - dx].flatten(2), features[:, :, dy:, dx:].flatten(2)
    return there @ here.mT / here.shape[2]


# %% 8.4 — not yet: the table is not symmetric: the row is for p, the column for p + δ


def shifted_gram(features, dy, dx):
    H, W = features.shape[2:]
    here, there = features[:, :, : H - dy, : W - dx].flatten(2), features[:, :, dy:, dx:].flatten(2)
    G = here @ there.mT / here.shape[2]
    return (G + G.mT) / 2


# %% 8.4 — not yet: dy goes down, dx to the right; here they are exchanged


def shifted_gram(features, dy, dx):
    H, W = features.shape[2:]
    here, there = features[:, :, : H - dx, : W - dy].flatten(2), features[:, :, dx:, dy:].flatten(2)
    return here @ there.mT / here.shape[2]


# %% 8.4 — not yet: only dy is used


def shifted_gram(features, dy, dx):
    H, W = features.shape[2:]
    here, there = features[:, :, : H - dy].flatten(2), features[:, :, dy:].flatten(2)
    return here @ there.mT / here.shape[2]


# %% 8.4 — not yet: nothing is shifted: both factors leave out the first rows and columns


def shifted_gram(features, dy, dx):
    there = features[:, :, dy:, dx:].flatten(2)
    return there @ there.mT / there.shape[2]


# %% 8.4 — not yet: a reshape to (places, channels) mixes the two; it does not transpose


def shifted_gram(features, dy, dx):
    N, C, H, W = features.shape
    here = features[:, :, : H - dy, : W - dx].reshape(N, -1, C)
    there = features[:, :, dy:, dx:].reshape(N, -1, C)
    return here.mT @ there / here.shape[1]


# %% 8.4 — not yet: it fails where dy or dx is 0: a slice that ends at -0 is empty


def shifted_gram(features, dy, dx):
    here, there = features[:, :, :-dy, :-dx].flatten(2), features[:, :, dy:, dx:].flatten(2)
    return here @ there.mT / here.shape[2]


# %% 8.4 — not yet: nothing is shifted: both factors leave out the last rows and columns


def shifted_gram(features, dy, dx):
    H, W = features.shape[2:]
    here = features[:, :, : H - dy, : W - dx].flatten(2)
    return here @ here.mT / here.shape[2]


# %% 8.4 — not yet: only dx is used


def shifted_gram(features, dy, dx):
    W = features.shape[3]
    here, there = features[..., : W - dx].flatten(2), features[..., dx:].flatten(2)
    return here @ there.mT / here.shape[2]


# %% 8.4 — not yet: the shape is (3, 3), but should be (2, 3, 3) here


def shifted_gram(features, dy, dx):
    H, W = features.shape[2:]
    here, there = features[:, :, : H - dy, : W - dx], features[:, :, dy:, dx:]
    return torch.einsum("nihw,njhw->ij", here, there) / (len(here) * here[0, 0].numel())


# %% 8.4 — not yet: it calls helpers.texture.gram: write the lines yourself


def shifted_gram(features, dy, dx):
    from helpers.texture import gram

    C, H, W = features.shape[1:]
    both = torch.cat([features[:, :, : H - dy, : W - dx], features[:, :, dy:, dx:]], 1)
    return gram(both)[:, :C, C:]
