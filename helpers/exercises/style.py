"""Lesson 9: style."""

import torch
import torch.nn.functional as F

from helpers.exercises.calls import NotYet
from helpers.exercises.exercise import agrees, compare, exercise, fits, stand_in
from helpers.exercises.toys import toy

# ── 9.1: where the content went ──


@exercise("9.1", "content_map", cases=[(2, 3, 4, 5), (3, 6, 5, 2), (1, 4, 3, 3)])
def content_map(student, draw, count, channels, height, width):
    features, target = draw.normal(count, channels, height, width), 1.5 + draw.normal(1, channels, height, width)
    truth = _map_by_loops(features, target)
    apart, size, places = features - target, target.square().sum(), height * width
    summed = apart.square().sum(1)
    mistakes = {
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
        "what divides is the target's norm; it has to be squared": truth * size.sqrt(),
        "it is the size of the target that divides, not that of the features": (
            summed / features.square().sum(1).mean((1, 2), keepdim=True)
        ),
    }
    compare(student(features, target), truth, mistakes)


@exercise("9.1", "content_map")
def content_map_of_two_places(student, draw):
    target = draw.tensor([[[[1, 2]], [[3, 1]]]])
    features = draw.tensor([[[[1, 0]], [[3, 0]]]])  # the first place as in the target, the second silent
    compare(student(features, target), draw.tensor([[[0, 2 * 5 / 15]]]))


def _map_by_loops(features, target):
    count, _, height, width = features.shape
    lost = features.new_zeros(count, height, width)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                apart = features[n, :, y, x] - target[0, :, y, x]
                lost[n, y, x] = height * width * float(apart @ apart) / float((target**2).sum())
    return lost


@stand_in("9.1")
def content_map_stand_in(features, target):
    from helpers.texture import gram

    def squared_lengths(maps):  # of the column of numbers at each place: the diagonal of a Gram matrix of places
        return gram(maps.flatten(2).mT[..., None]).diagonal(dim1=1, dim2=2)

    lost = squared_lengths(features - target) / squared_lengths(target).mean()
    return lost.unflatten(1, features.shape[2:])


# ── 9.2: the gradient of it all ──


@exercise("9.2", "transfer_gradient")
def transfer_gradient(student, draw):
    given = _pictures(draw)
    share = float(draw.uniform(1, low=0.25, high=0.4))
    truth = _gradient(*given, share)

    def mistakes():
        def gradient(keep=1 - share, take=share, **mistake):
            return _weighed_gradient(*given, keep, take, **mistake)

        return {
            "the sign is turned: this is the way down, not the gradient": -truth,
            "the share belongs to the style, and what it leaves of 1 to the content": gradient(share, 1 - share),
            "the content lacks its weight, what the share leaves of 1": gradient(keep=1),
            "the style layers are added up; take their mean": gradient(added=True),
            "the losses are averaged over the batch; every image has its own": truth / len(truth),
            "the Gram matrices are not divided by their numbers of places, which differ": gradient(divided=False),
            "one Gram matrix is made of the whole batch; every image has its own": gradient(mixed=True),
            "the content distance is not divided by the size of its target": gradient(bare=["content"]),
            "the style distances are not divided by the sizes of their targets": gradient(bare=["style"]),
            "neither distance is divided by the size of its target": gradient(bare=["content", "style"]),
            "this is the gradient of the style alone": gradient(keep=0),
            "this is the gradient of the content alone": gradient(take=0),
        }

    compare(student(*given, share), truth, mistakes)


@exercise("9.2", "transfer_gradient")
def transfer_gradient_of_used_images(student, draw):
    network, images, *given = _pictures(draw)
    truth = _gradient(network, images, *given, 0.3)
    images.requires_grad_()
    images.grad = draw.normal(*images.shape)  # what an earlier step has left behind
    found = student(network, images, *given, 0.3)
    if found is None:
        raise NotYet("nothing comes back for images that carry a gradient already; detach the copy from them")
    compare(found, truth, {"the gradient is added to one that was there before": truth + images.grad})


@exercise("9.2", "transfer_gradient", cases=[(0.0,), (1.0,)])
def transfer_gradient_of_one_distance(student, draw, share):
    given = _pictures(draw)
    compare(student(*given, share), _gradient(*given, share))


@exercise("9.2", "transfer_gradient")
def transfer_gradient_from_a_convolution(student, draw):
    network, _, _, style, *_ = _pictures(draw)
    given = network, draw.uniform(3, 3, 4, 6), draw.uniform(1, 3, 4, 6), style, "conv1", ["relu2"], 0.7
    compare(student(*given), _gradient(*given))


@exercise("9.2", "transfer_gradient")
def transfer_gradient_of_the_content_itself(student, draw):
    network, _, content, style, *_ = _pictures(draw)
    compare(student(network, content, content, style, "relu1", ["relu2"], 0.0), torch.zeros_like(content))


def _pictures(draw):
    """A smooth network, two images, content and style of another size, the content layer and the style layers."""
    network = toy([draw.normal(4, 3, 2, 2), 0.5 * draw.normal(3, 4, 2, 2)], activation="tanh")
    images, content, style = draw.uniform(2, 3, 6, 5), draw.uniform(1, 3, 6, 5), draw.uniform(1, 3, 5, 7)
    return network, images, content, style, "relu2", ["relu1", "relu2"]


def _gradient(network, images, content, style, layer, layers, share):
    return _weighed_gradient(network, images, content, style, layer, layers, 1 - share, share)


def _weighed_gradient(
    network, images, content, style, layer, layers, keep, take, added=False, divided=True, mixed=False, bare=()
):
    """From the closed form of each distance's gradient at its layer, for the weights of content and style."""
    pixels = images.detach().clone().requires_grad_()
    seen = network.activations(pixels, {layer, *layers})
    target = network.activation(content, layer)
    pulls = [(seen[layer], 2 * keep * (seen[layer] - target) / (1 if "content" in bare else target.square().sum()))]
    for name in layers:
        flat, aim = seen[name].flatten(2), network.activation(style, name).flatten(2)[0]
        places, others = (flat.shape[2], aim.shape[1]) if divided else (1, 1)
        grams, target = torch.einsum("nip,njp->nij", flat, flat) / places, aim @ aim.T / others
        if mixed:
            grams, places = grams.mean(0, keepdim=True), places * len(flat)
        weight = take / (1 if added else len(layers)) / (1 if "style" in bare else target.square().sum())
        pulls.append((seen[name], (4 * weight / places * (grams - target) @ flat).view_as(seen[name])))
    maps, at_layers = zip(*pulls, strict=True)
    return torch.autograd.grad(maps, pixels, [pull.detach() for pull in at_layers])[0]


@stand_in("9.2")
def transfer_gradient_stand_in(network, images, content, style, content_layer, style_layers, share):
    from helpers.style import style_objective, style_targets

    loss = style_objective(
        network,
        content,
        style_targets(network, [style], [1.0], style_layers, doubled=False),
        content_layer=content_layer,
        content_weight=1 - share,
        style_weights=dict.fromkeys(style_layers, share / len(style_layers)),
        doubled=False,
    )
    pixels = images.clone().requires_grad_()
    return torch.autograd.grad(sum(term.sum() for term in loss(pixels).values()), pixels)[0]


# ── 9.3: a style in the content's colours ──


@exercise("9.3", "match_colours", cases=[(2, 7, 9), (3, 8, 6)])
def match_colours(student, draw, count, height, width):
    styles, content = _colours(draw, count, height, width), _colours(draw, 1, 9, 7)
    found, truth = student(styles, content), _recoloured(styles, content)

    def mistakes():
        def recoloured(matrix=_right, **mistake):
            return _recoloured(styles, content, matrix, **mistake)

        known = {
            "the two roots stand in the wrong order, or their product is transposed": recoloured(
                lambda goal, spread: _right(goal, spread).T
            ),
            "each channel is stretched by itself; the covariances between the channels are left out": recoloured(
                lambda goal, spread: torch.diag((goal.diag() / spread.diag()).sqrt())
            ),
            "the roots of the matrices are missing": recoloured(lambda goal, spread: goal @ torch.linalg.inv(spread)),
            "these are roots of the entries; the root of a matrix gives it back when multiplied by itself": recoloured(
                lambda goal, spread: goal.abs().pow(0.5) @ spread.abs().pow(-0.5)
            ),
            "this inverts roots of the entries; the root of a matrix gives it back when multiplied by itself": (
                recoloured(lambda goal, spread: goal.abs().sqrt() @ torch.linalg.inv(spread.abs().sqrt()))
            ),
            "the covariances are divided by one less than the number of pixels": recoloured(fewer=1),
            "the mean colour is still that of the style": recoloured(mean_of="style"),
            "the mean colour is lost: that of the content has to be put back": recoloured(mean_of="none"),
            "the colours are only made white; the content's root is missing": recoloured(
                lambda _, spread: torch.linalg.inv(_root(spread))
            ),
            "the whitening is missing: the style's own covariance is still in it": recoloured(
                lambda goal, _: _root(goal)
            ),
            "only the mean colour is moved": recoloured(lambda goal, _: torch.eye(3).to(goal)),
            "mean and covariance are taken over the whole batch; each picture has its own": recoloured(together=True),
            "the colours are cut to [0, 1]; leave them as they come": truth.clamp(0, 1),
        }
        if _as_one(found, truth):  # a mistake that comes in many turns
            known["mean and covariance are right, but the colours are turned: take the symmetric roots"] = found
        return known

    compare(found, truth, mistakes)


@exercise("9.3", "match_colours")
def match_colours_of_itself(student, draw):
    content = _colours(draw, 1, 9, 7)
    compare(student(content, content), content)


def _colours(draw, count, height, width):
    """Pictures whose channels rise and fall together, as those of photos do."""
    mix = 0.5 * draw.uniform(3, 3, low=0.6)
    mix += torch.eye(3).to(mix) / 2
    picture = torch.einsum("ij,njyx->niyx", mix, draw.normal(count, 3, height, width))
    return picture * 0.3 + draw.uniform(count, 3, 1, 1, low=0.3, high=0.7)


def _root(matrix):
    """The symmetric square root, by way of the singular values."""
    left, values, _ = torch.linalg.svd(matrix)
    return left @ torch.diag(values.sqrt()) @ left.T


def _right(goal, spread):
    return _root(goal) @ torch.linalg.inv(_root(spread))


def _recoloured(styles, content, matrix=_right, fewer=0, mean_of="content", together=False):
    """The style pictures, moved by a matrix made of two covariances: the content's, and that of each picture."""
    pictures = []
    for picture in styles:
        source = styles.transpose(0, 1) if together else picture
        (mean, spread), (aim, goal) = _moments(source, fewer), _moments(content[0], fewer)
        pixels = matrix(goal, spread) @ (picture.flatten(1) - mean)
        pixels = pixels + {"content": aim, "style": mean, "none": 0}[mean_of]
        pictures.append(pixels.unflatten(1, picture.shape[1:]))
    return torch.stack(pictures)


def _moments(picture, fewer=0):
    pixels = picture.flatten(1)
    mean = pixels.mean(1, keepdim=True)
    return mean, (pixels - mean) @ (pixels - mean).T / (pixels.shape[1] - fewer)


def _as_one(found, truth):
    """Whether every picture of `found` has mean and covariance of that of `truth`, as with another kind of root."""
    if not fits(found, truth):
        return False
    pairs = zip(found.detach().to(truth), truth, strict=True)
    return all(agrees(_moments(one), _moments(other)) for one, other in pairs)


@stand_in("9.3", weaker="each channel is stretched by itself")
def match_colours_stand_in(style, content):
    deviation, mean = torch.std_mean(style, (2, 3), keepdim=True)
    goal, aim = torch.std_mean(content, (2, 3), keepdim=True)
    return (style - mean) * goal / deviation + aim


# ── 9.4: a style for each region ──


@exercise("9.4", "guided_grams", cases=[(2, 4, 3, 4, 5), (3, 2, 2, 3, 6)])
def guided_grams(student, draw, count, channels, regions, height, width):
    features = draw.normal(count, channels, height, width) + 0.5
    masks = draw.uniform(regions, 3 * height, 2 * width) ** 2
    cells = masks.unflatten(2, (width, 2)).unflatten(1, (height, 3))  # (R, H, 3, W, 2)
    small, places = cells.mean((2, 4)), height * width
    once, squared = _summed(features, small), _summed(features, small.square())
    size, squared_size = (_by_region(x.sum((1, 2))) for x in (small, small.square()))

    def with_mask(other):
        return _summed(features, other.square()) / _by_region(other.square().sum((1, 2)))

    mistakes = {
        "the masks reach the layer by leaving pixels out; every pixel of a cell counts": with_mask(masks[:, ::3, ::2]),
        "the masks reach the layer by bilinear interpolation; every pixel of a cell counts": with_mask(
            F.interpolate(masks[None], (height, width), mode="bilinear")[0]
        ),
        "a cell takes the largest value of its mask; take the mean": with_mask(cells.amax((2, 4))),
        "the mask is squared before it is averaged over the cells; average first": with_mask(
            cells.square().mean((2, 4)).sqrt()
        ),
        "the mask enters the product once; both features carry it": once / size,
        "the mask enters the product once, but is squared below the fraction line": once / squared_size,
        "the mask is squared in the sum, but not below the fraction line": squared / size,
        "this divides by the number of all places; a small region then counts for little": squared / places,
        "the mask enters the product once, and the number of all places divides it": once / places,
        "this divides by the same number for every region; each has its own": squared / squared_size.sum(),
        "nothing is divided: the size of the region is still in it": squared,
        "the sum of the squares is needed below the fraction line, not its root": squared / squared_size.sqrt(),
        "the masks leave no trace: this is the plain Gram matrix, once for each region": (
            _summed(features, torch.ones_like(small)) / places
        ),
    }
    compare(student(features, masks), _guided_by_loops(features, small), mistakes)


@exercise("9.4", "guided_grams")
def guided_grams_of_even_masks(student, draw):
    features = draw.tensor([[[[1, 2], [0, 1]], [[3, 0], [-1, 1]]]])
    plain = draw.tensor([[6, 4], [4, 11]]) / 4
    ones = torch.ones(1, 4, 6).to(features)
    compare(
        student(features, torch.cat([ones, ones / 2])),
        torch.stack([plain, plain])[None],
        {"a mask that is one half everywhere must give the same as one of ones": torch.stack([plain, plain / 4])[None]},
    )


def _summed(features, weights):
    """Σ_p w_rp F_ip F_jp for the weights (R, H, W) of each region: (N, R, C, C)."""
    return torch.einsum("ryx,niyx,njyx->nrij", weights, features, features)


def _by_region(values):
    return values[None, :, None, None]


def _guided_by_loops(features, small):
    sums, size = 0.0, 0.0
    for y in range(features.shape[2]):
        for x in range(features.shape[3]):
            column, weight = features[:, :, y, x], _by_region(small[:, y, x] ** 2)
            sums = sums + weight * (column[:, :, None] * column[:, None])[:, None]
            size = size + weight
    return sums / size


@stand_in("9.4", weaker="the Gram matrix of the whole picture stands for every region")
def guided_grams_stand_in(features, masks):
    from helpers.texture import gram

    return gram(features)[:, None].expand(-1, len(masks), -1, -1)
