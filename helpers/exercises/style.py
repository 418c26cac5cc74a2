"""Lesson 9: style."""

import torch
import torch.nn.functional as F

from helpers.exercises.calls import NotYet
from helpers.exercises.exercise import compare, exercise
from helpers.exercises.toys import toy

# ── 9.1: where the content went ──


@exercise("9.1", "content_map")
def content_map(student, draw):
    for shape in ((2, 3, 4, 5), (3, 6, 5, 2), (1, 4, 3, 3)):
        features, target = draw.normal(*shape), 1.5 + draw.normal(1, *shape[1:])
        compare(student(features, target), *_maps(features, target))
    # two places: the first as in the target, the second silent
    target = draw.tensor([[[[1, 2]], [[3, 1]]]])
    features = draw.tensor([[[[1, 0]], [[3, 0]]]])
    compare(student(features, target), draw.tensor([[[0, 2 * 5 / 15]]]))


def _maps(features, target):
    """The right map, place by place, and the wrong ones."""
    count, channels, height, width = features.shape
    places, size = height * width, float((target**2).sum())
    truth = features.new_zeros(count, height, width)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                apart = features[n, :, y, x] - target[0, :, y, x]
                truth[n, y, x] = places * float(apart @ apart) / size
    apart = features - target
    summed = apart.square().sum(1)
    return truth, {
        "the differences have to be squared, not made absolute": apart.abs().sum(1) * places / size,
        "differences and target have to be squared, not made absolute": apart.abs().sum(1) / target.abs().sum(1).mean(),
        "the differences are added up before they are squared; square each one": apart.sum(1).square() * places / size,
        "this is the root of the map; the distance stays squared": truth.sqrt(),
        "every place is divided by its own target; one number divides them all": summed / target.square().sum(1),
        "the mean over the places should be the content distance; it is that over their number": truth / places,
        "the mean over the places should be the content distance; the channels are averaged": truth / channels,
        "the mean over the places should be the content distance; the target is averaged": truth * channels,
        "nothing is divided by the size of the target": summed,
        "the channels are only averaged; nothing is divided by the size of the target": summed / channels,
        "what divides is the target's norm; it has to be squared": truth * size**0.5,
        "it is the size of the target that divides, not that of the features": summed
        / features.square().sum(1).mean((1, 2), keepdim=True),
    }


# ── 9.2: the gradient of it all ──


@exercise("9.2", "transfer_gradient")
def transfer_gradient(student, draw):
    network = toy([draw.normal(4, 3, 2, 2), 0.5 * draw.normal(3, 4, 2, 2)], activation="tanh")
    images, content, style = draw.uniform(2, 3, 6, 5), draw.uniform(1, 3, 6, 5), draw.uniform(1, 3, 5, 7)
    given = network, images, content, style, "relu2", ["relu1", "relu2"]
    pulls = _pulls(*given)
    share = float(draw.uniform(1, low=0.25, high=0.4))
    truth = _weighed(pulls, share)
    compare(student(*given, share), truth, _slips(pulls, share, images))
    used = images.clone().requires_grad_()
    used.grad = draw.normal(*images.shape)  # what an earlier step has left behind
    found = student(network, used, *given[2:], share)
    if found is None:
        raise NotYet("nothing comes back for images that carry a gradient already; detach the copy from them")
    compare(found, truth, {"the gradient is added to one that was there before": truth + used.grad})
    for limit in (0.0, 1.0):
        compare(student(*given, limit), _weighed(pulls, limit))
    given = network, draw.uniform(3, 3, 4, 6), draw.uniform(1, 3, 4, 6), style, "conv1", ["relu2"]
    compare(student(*given, 0.7), _weighed(_pulls(*given), 0.7))
    given = network, content, content, style, "relu1", ["relu2"]  # nothing is asked that is not there
    compare(student(*given, 0.0), torch.zeros_like(content))


def _weighed(pulls, share):
    return (1 - share) * pulls["content"] + share * pulls["style"]


def _pulls(network, images, content, style, layer, layers):
    """What each distance does to the pixels, from the closed form of its gradient at the layer; right and wrong."""
    pixels = images.detach().clone().requires_grad_()
    seen = network.activations(pixels, {layer, *layers})

    def back(name, pull):
        return torch.autograd.grad(seen[name], pixels, pull.reshape(seen[name].shape), retain_graph=True)[0]

    def towards(name, divided=True, relative=True, mixed=False):
        flat, aim = seen[name].detach().flatten(2), network.activation(style, name).flatten(2)[0]
        low, high = (flat.shape[2], aim.shape[1]) if divided else (1, 1)
        grams = torch.einsum("nip,njp->nij", flat, flat) / low
        if mixed:
            grams, low = grams.mean(0, keepdim=True), low * len(flat)
        target = aim @ aim.T / high
        size = target.square().sum() if relative else 1
        return back(name, 4 / low * (grams - target) @ flat / size)

    def styles(**how):
        return sum(towards(name, **how) for name in layers) / len(layers)

    target = network.activation(content, layer)
    away = back(layer, 2 * (seen[layer].detach() - target))
    return {
        "content": away / target.square().sum(),
        "bare content": away,
        "style": styles(),
        "style sum": styles() * len(layers),
        "undivided style": styles(divided=False),
        "mixed style": styles(mixed=True),
        "bare style": styles(relative=False),
    }


def _slips(pulls, share, images):
    """By message, the gradients of wrong losses."""

    def slip(content, style, keep=1 - share, take=share):
        return keep * pulls[content] + take * pulls[style]

    truth = slip("content", "style")
    return {
        "the sign is turned: this is the way down, not the gradient": -truth,
        "the share belongs to the style, and what it leaves of 1 to the content": slip(
            "content", "style", share, 1 - share
        ),
        "the content lacks its weight, what the share leaves of 1": slip("content", "style", 1),
        "the style layers are added up; take their mean": slip("content", "style sum"),
        "the losses are averaged over the batch; every image has its own": truth / len(images),
        "the Gram matrices are not divided by their numbers of places, which differ": slip(
            "content", "undivided style"
        ),
        "one Gram matrix is made of the whole batch; every image has its own": slip("content", "mixed style"),
        "the content distance is not divided by the size of its target": slip("bare content", "style"),
        "the style distances are not divided by the sizes of their targets": slip("content", "bare style"),
        "neither distance is divided by the size of its target": slip("bare content", "bare style"),
        "this is the gradient of the style alone": share * pulls["style"],
        "this is the gradient of the content alone": (1 - share) * pulls["content"],
    }


# ── 9.3: a style in the content's colours ──


@exercise("9.3", "match_colours")
def match_colours(student, draw):
    for count, height, width in ((2, 7, 9), (3, 8, 6)):
        styles, content = _colours(draw, count, height, width), _colours(draw, 1, 9, 7)
        truth, mistakes = _recoloured(styles, content)
        found = student(styles, content)
        if _as_one(found, truth):
            mistakes["mean and covariance are right, but the colours are turned: take the symmetric roots"] = found
        compare(found, truth, mistakes)
    compare(student(content, content), content)


def _colours(draw, *shape):
    """Pictures whose channels rise and fall together, as those of photos do."""
    mix = 0.5 * draw.uniform(3, 3, low=0.6)
    mix += torch.eye(3).to(mix) / 2
    picture = torch.einsum("ij,njyx->niyx", mix, draw.normal(shape[0], 3, *shape[1:]))
    return picture * 0.3 + draw.uniform(shape[0], 3, 1, 1, low=0.3, high=0.7)


def _moments(picture, fewer=0):
    pixels = picture.flatten(1)
    mean = pixels.mean(1, keepdim=True)
    return mean, (pixels - mean) @ (pixels - mean).T / (pixels.shape[1] - fewer)


def _as_one(found, truth):
    """Whether every picture of `found` has mean and covariance of that of `truth`, as with another kind of root."""
    if not isinstance(found, torch.Tensor) or (found.shape, found.dtype) != (truth.shape, truth.dtype):
        return False
    pairs = zip(found.detach().to(truth.device), truth, strict=True)
    return all(
        torch.allclose(a, b, atol=1e-9)
        for one, other in pairs
        for a, b in zip(_moments(one), _moments(other), strict=True)
    )


def _root(matrix):
    """The symmetric square root, by way of the singular values."""
    left, values, _ = torch.linalg.svd(matrix)
    return left @ torch.diag(values.sqrt()) @ left.T


def _recoloured(styles, content):
    """The right pictures, and the wrong ones."""

    def changed(matrix, fewer=0, source=lambda picture: picture, mean_of="content"):
        pictures = []
        for picture in styles:
            (mean, spread), (aim, goal) = _moments(source(picture), fewer), _moments(content[0], fewer)
            pixels = matrix(goal, spread) @ (picture.flatten(1) - mean)
            pixels = pixels + {"content": aim, "style": mean, "none": 0}[mean_of]
            pictures.append(pixels.unflatten(1, picture.shape[1:]))
        return torch.stack(pictures)

    def right(goal, spread):
        return _root(goal) @ torch.linalg.inv(_root(spread))

    def whole(_):
        return styles.transpose(0, 1).flatten(1)

    truth = changed(right)
    return truth, {
        "the two roots stand in the wrong order, or their product is transposed": changed(
            lambda goal, spread: right(goal, spread).T
        ),
        "each channel is stretched by itself; the covariances between the channels are left out": changed(
            lambda goal, spread: torch.diag((goal.diag() / spread.diag()).sqrt())
        ),
        "the roots of the matrices are missing": changed(lambda goal, spread: goal @ torch.linalg.inv(spread)),
        "these are roots of the entries; the root of a matrix gives it back when multiplied by itself": changed(
            lambda goal, spread: goal.abs().pow(0.5) @ spread.abs().pow(-0.5)
        ),
        "this inverts roots of the entries; the root of a matrix gives it back when multiplied by itself": changed(
            lambda goal, spread: goal.abs().sqrt() @ torch.linalg.inv(spread.abs().sqrt())
        ),
        "the covariances are divided by one less than the number of pixels": changed(right, fewer=1),
        "the mean colour is still that of the style": changed(right, mean_of="style"),
        "the mean colour is lost: that of the content has to be put back": changed(right, mean_of="none"),
        "the colours are only made white; the content's root is missing": changed(
            lambda _, spread: torch.linalg.inv(_root(spread))
        ),
        "the whitening is missing: the style's own covariance is still in it": changed(lambda goal, _: _root(goal)),
        "only the mean colour is moved": changed(lambda goal, _: torch.eye(3).to(goal)),
        "mean and covariance are taken over the whole batch; each picture has its own": changed(right, source=whole),
        "the colours are cut to [0, 1]; leave them as they come": truth.clamp(0, 1),
    }


# ── 9.4: a style for each region ──


@exercise("9.4", "guided_grams")
def guided_grams(student, draw):
    for count, channels, regions, height, width in ((2, 4, 3, 4, 5), (3, 2, 2, 3, 6)):
        features = draw.normal(count, channels, height, width) + 0.5
        masks = draw.uniform(regions, 3 * height, 2 * width) ** 2
        compare(student(features, masks), *_guided(features, masks))
    # masks of ones and of one half: the plain Gram matrix, twice
    features = draw.tensor([[[[1, 2], [0, 1]], [[3, 0], [-1, 1]]]])
    plain = draw.tensor([[6, 4], [4, 11]]) / 4
    ones = torch.ones(1, 4, 6).to(features)
    compare(
        student(features, torch.cat([ones, ones / 2])),
        torch.stack([plain, plain])[None],
        {"a mask that is one half everywhere must give the same as one of ones": torch.stack([plain, plain / 4])[None]},
    )


def _guided(features, masks):
    """The right matrices, place by place, and the wrong ones."""
    height, width = features.shape[2:]
    tall, wide = masks.shape[1] // height, masks.shape[2] // width

    def summed(weights):
        return torch.einsum("ryx,niyx,njyx->nrij", weights, features, features)

    def by(values):
        return values[None, :, None, None]

    cells = masks.unflatten(2, (width, wide)).unflatten(1, (height, tall))  # (R, H, tall, W, wide)
    small = cells.mean((2, 4))
    squares, products = small.square().sum((1, 2)), small.sum((1, 2))
    sampled, squared_first = masks[:, ::tall, ::wide], cells.square().mean((2, 4)).sqrt()
    drawn = F.interpolate(masks[None], (height, width), mode="bilinear")[0]
    largest = cells.amax((2, 4))
    truth = torch.zeros_like(summed(small))
    for y in range(height):
        for x in range(width):
            column = features[:, :, y, x]
            truth += by(small[:, y, x] ** 2 / squares) * (column[:, :, None] * column[:, None])[:, None]

    def same(other):
        return summed(other.square()) / by(other.square().sum((1, 2)))

    return truth, {
        "the masks reach the layer by leaving pixels out; every pixel of a cell counts": same(sampled),
        "the masks reach the layer by bilinear interpolation; every pixel of a cell counts": same(drawn),
        "a cell takes the largest value of its mask; take the mean": same(largest),
        "the mask is squared before it is averaged over the cells; average first": same(squared_first),
        "the mask enters the product once; both features carry it": summed(small) / by(products),
        "the mask enters the product once, but is squared below the fraction line": summed(small) / by(squares),
        "the mask is squared in the sum, but not below the fraction line": summed(small.square()) / by(products),
        "this divides by the number of all places; a small region then counts for little": summed(small.square())
        / (height * width),
        "the mask enters the product once, and the number of all places divides it": summed(small) / (height * width),
        "this divides by the same number for every region; each has its own": summed(small.square()) / squares.sum(),
        "nothing is divided: the size of the region is still in it": summed(small.square()),
        "the sum of the squares is needed below the fraction line, not its root": summed(small.square())
        / by(squares.sqrt()),
        "the masks leave no trace: this is the plain Gram matrix, once for each region": summed(torch.ones_like(small))
        / (height * width),
    }
