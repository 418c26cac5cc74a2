"""Lesson 5, its second half: back into the ball, and the attack. And what the loops of both halves are checked with."""

import torch

from helpers.exercises.exercise import compare, exercise, stand_in
from helpers.exercises.toys import toy

LEVELS = 255


# ── 5.4 ──


@exercise("5.4", "project", cases=[(4, 5), (5, 3)])
def project_linf(student, draw, height, width):
    photos, change = _changes(draw, height, width)
    changed, limit = photos + change, 0.15
    cut, largest = change.clamp(-limit, limit), change.abs().amax((1, 2, 3), keepdim=True)
    mistakes = {
        "L∞: values leave [0, 1]": photos + cut,
        "L∞: the picture itself is cut; it is the change that must be small": changed.clamp(0, limit),
        "L∞: the whole change is scaled; each value goes to the nearest one allowed": _within(
            photos, _shortened(change, limit, largest)
        ),
        "L∞: the limit is divided by 255; it is in units of [0, 1] here": _within(
            photos, change.clamp(-limit / LEVELS, limit / LEVELS)
        ),
        "L∞: nothing is moved back into the ball": _within(photos, change),
        "this is the change alone; add it to the photo": cut,
        "L∞: this is the ball of L2": _within(photos, _shortened(change, limit, lengths_of(change))),
    }
    compare(student(photos, changed, limit, "Linf"), _within(photos, cut), mistakes)


@exercise("5.4", "project", cases=[(4, 5), (5, 3)])
def project_l2(student, draw, height, width):
    photos, change = _changes(draw, height, width)
    changed, limit = photos + change, 0.2
    lengths, squares = lengths_of(change), change.square()
    inside, cut = _shortened(change, limit, lengths), changed.clamp(0, 1) - photos
    mistakes = {
        "L2: values leave [0, 1]": photos + inside,
        "L2: a change that is short enough stays as it is": _within(photos, change * limit / lengths),
        "L2: the pictures share one length; each has its own": _within(
            photos, _shortened(change, limit, squares.sum().sqrt())
        ),
        "L2: each pixel has its own length; take one length a picture": _within(
            photos, _shortened(change, limit, change.norm(dim=1, keepdim=True))
        ),
        "L2: each colour has its own length; take one length a picture": _within(
            photos, _shortened(change, limit, change.norm(dim=(2, 3), keepdim=True))
        ),
        "L2: the length is the root of a sum of squares; the root is missing": _within(
            photos, _shortened(change, limit, lengths.square())
        ),
        "L2: the length is the root of a sum of squares, not of their mean": _within(
            photos, _shortened(change, limit, squares.mean((1, 2, 3), keepdim=True).sqrt())
        ),
        "L2: [0, 1] comes last; here it was first": photos + _shortened(cut, limit, lengths_of(cut)),
        "L2: the change is cut value by value, which is the ball of L∞": _within(photos, change.clamp(-limit, limit)),
        "L2: nothing is moved back into the ball": _within(photos, change),
        "L2: the picture is scaled; it is the change that must be short": _shortened(
            changed, limit, lengths_of(changed)
        ).clamp(0, 1),
        "this is the change alone; add it to the photo": inside,
    }
    compare(student(photos, changed, limit, "L2"), _within(photos, inside), mistakes)


@exercise("5.4", "project", cases=[("L2",), ("Linf",)])
def project_what_has_not_changed(student, draw, norm):
    photos = _half_at_the_limits(draw, 3, 4, 5)
    nothing = {"L2: a photo that has not changed at all gives NaN": photos * float("nan")}
    compare(student(photos, photos.clone(), 0.2, norm), photos, nothing)


@exercise("5.4", "project", cases=[("L2", [0.65, 0.3]), ("Linf", [0.75, 0.25])])
def project_by_hand(student, draw, norm, expected):
    # the pixel (0.5, 0.5) of red moves by (0.3, −0.4), which is 0.5 long
    photo = draw.tensor([0.5, 0.5]).expand(1, 3, 1, 2).contiguous()
    moved, truth = photo.clone(), photo.clone()
    moved[0, 0, 0], truth[0, 0, 0] = draw.tensor([0.8, 0.1]), draw.tensor(expected)
    compare(student(photo, moved, 0.25, norm), truth)


@stand_in("5.4")
def project_by_distances(photos, changed, limit, norm):
    from helpers.fooling import box, distances

    if norm == "Linf":
        return changed.clamp(*box(photos, limit))
    lengths = photos.new_tensor([each["L2"] for each in distances(photos, changed)]).view(-1, 1, 1, 1)
    return _within(photos, _shortened(changed - photos, limit, lengths))


def _changes(draw, height, width):
    """Photos, and changes of which some are longer than any limit and some shorter."""
    change = draw.normal(3, 3, height, width) * draw.tensor([0.5, 0.3, 0.01]).view(3, 1, 1, 1)
    return _half_at_the_limits(draw, 3, height, width), change


def _within(photos, change):
    return (photos + change).clamp(0, 1)


def _shortened(change, limit, lengths):
    """What of the change stays if it may be no longer than `limit`."""
    return change * (limit / lengths).clamp(max=1)


# ── 5.5 ──


@exercise("5.5", "attack", cases=[(6, 8, 4, 110.0), (8, 6, 6, 45.0)])
def attack(student, draw, height, width, steps, limit):
    network, rows, photos, categories = _three_to_attack(draw, height, width)
    chosen, rate = rows[categories], draw.uniform(1, low=18, high=22).item()

    def sure(images):
        return network.probabilities(images)[range(3), categories]

    def slope(images, towards=chosen):
        return towards - torch.einsum("nk,kchw->nchw", network.probabilities(images), rows)

    def inside(images, photos=photos):
        return clamped(photos + (images - photos).clamp(-limit / LEVELS, limit / LEVELS))

    def run(slope=slope, steps=steps, move=torch.sign, keep=inside, going=lambda p: p < confidence, sure=sure):
        now = photos
        for _ in range(steps):
            moved = keep(now + rate / LEVELS * move(slope(now)))
            now = torch.where(going(sure(now)).view(-1, 1, 1, 1), moved, now)
        return now

    # between what the picture that starts undecided has reached after one step and after two
    middle = (sure(photos) - 0.5).abs().argmin()
    confidence = (sum(sure(run(steps=n, going=lambda p: p < 2))[middle].logit() for n in (1, 2)) / 2).sigmoid().item()
    seen, heap = [sure(photos) * 0], torch.zeros_like(photos)

    def sure_before(images):
        seen.append(sure(images))
        return seen[-2]

    compare(
        student(network, photos, categories, limit, rate, steps, confidence),
        run(),
        lambda: {
            "this leads away from the class: the sign is turned": run(move=lambda g: -g.sign()),
            "this is the sign for the score; log p also rises when other classes sink": run(lambda x: chosen),
            "the gradient itself is added; every value moves by the same amount": run(move=lambda g: g),
            "the gradient is scaled, but only its largest value moves by the rate": run(
                move=lambda g: g / g.abs().amax((1, 2, 3), keepdim=True)
            ),
            "the gradient has size 1 on average; every value moves by the same amount": run(move=unit),
            "the rate is taken for a value in [0, 1]; it is in levels": run(move=lambda g: LEVELS * g.sign()),
            "the change goes beyond the limit, which is in levels and counts from the photo": run(keep=clamped),
            "values leave [0, 1]": run(keep=lambda x: photos + (x - photos).clamp(-limit / LEVELS, limit / LEVELS)),
            "the ball is enforced at the end only; go back into it after every step": inside(run(keep=clamped)),
            "every picture moves to the class of the first; each has its own": run(
                lambda x: slope(x, rows[categories[:1]]), sure=lambda x: network.probabilities(x)[:, categories[0]]
            ),
            "the gradient is that of the photo, in every step; take a new one": run(lambda x: slope(photos)),
            "the gradients of earlier steps are added in; each step has its own": run(
                lambda x: heap.add_(slope(x)).clone()
            ),
            "one step too few is made": run(steps=steps - 1),
            "one step too many is made": run(steps=steps + 1),
            "a picture that has reached the confidence moves on; each stops by itself": run(going=lambda p: p < 2),
            "all stop as soon as one has reached the confidence; each stops by itself": run(
                going=lambda p: (p < confidence).all().expand(3)
            ),
            "a picture moves once more after it has reached the confidence; ask before it moves": run(sure=sure_before),
            "this is the change alone; add it to the photo": run() - photos,
        },
    )
    photos.requires_grad_().grad = old = draw.normal(*photos.shape) * 50
    stale = iter([old])
    compare(
        student(network, photos, categories, limit, rate, steps, confidence),
        run().detach(),
        lambda: {
            "an old gradient is added in: the photo came with a .grad of its own": run(
                lambda x: slope(x) + next(stale, 0)
            ).detach()
        },
    )


@exercise("5.5", "attack")
def attack_a_curved_network(student, draw):
    network, photos, categories = curved(draw)
    now = photos
    for _ in range(4):
        slopes = slopes_of(lambda batch, i: network(batch).log_softmax(1)[:, categories[i]], now)
        moved = (now + 9 / LEVELS * slopes.sign()).clamp(photos - 24.5 / LEVELS, photos + 24.5 / LEVELS)
        open_ = network.probabilities(now)[range(3), categories] < 0.5
        now = torch.where(open_.view(-1, 1, 1, 1), clamped(moved), now)
    compare(student(network, photos, categories, 24.5, 9.0, 4, 0.5), now)


@stand_in("5.5")
def attack_by_fool(network, photos, categories, limit, rate, steps, confidence):
    from helpers.core.steps import finish
    from helpers.fooling import fool

    return finish(fool(network, photos, categories, limit, confidence, steps, rate)).image


def _three_to_attack(draw, height, width):
    """A linear network with the rows of its four classes, and three photos in any order with a class for each: one
    that the network is sure of already, one that it is undecided about, and one that is far from its class.
    """
    head = draw.normal(4, 3 * height * width) / 5
    network = toy(head=head, mean=[0.5, 0.4, 0.3], std=[0.5, 0.7, 0.9])
    rows, categories = head.view(4, 3, height, width) / network.std, draw.order(4)[:3]
    towards = (rows[categories] - rows.mean(0)).sign()
    away = draw.tensor([0.2, -0.05, -0.4])[draw.order(3)].view(-1, 1, 1, 1)
    photos = 0.5 + away * towards
    ends = draw.uniform(*photos.shape) < 0.25
    return network, rows, torch.where(ends, draw.uniform(*photos.shape).round(), photos), categories.tolist()


# ── Tools ──


def _half_at_the_limits(draw, count, height, width):
    """Pictures in [0, 1], half of whose values are 0 or 1."""
    return draw.uniform(count, 3, height, width, low=-0.5, high=1.5).clamp(0, 1)


def curved(draw):
    """A network whose gradient is another one everywhere, three pictures, and a class for each."""
    network = toy([draw.normal(2, 3, 2, 2)], draw.normal(3, 2 * 3 * 2), "tanh", mean=[0.5, 0.4, 0.3])
    return network, draw.uniform(3, 3, 4, 3), [2, 0, 2]


def slopes_of(function, images, small=1e-5):
    """The gradient of function(batch, i), one number a picture, at each picture i, by finite differences."""
    moves = small * torch.eye(images[0].numel(), dtype=images.dtype, device=images.device).view(-1, *images.shape[1:])
    slopes = [(function(image + moves, i) - function(image - moves, i)) / (2 * small) for i, image in enumerate(images)]
    return torch.stack(slopes).view_as(images)


def clamped(images):
    return images.clamp(0, 1)


def lengths_of(images):
    return images.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def unit(images):
    return images / images.square().mean((1, 2, 3), keepdim=True).sqrt()
