"""A network that cheats: what the collection holds, a last layer found by another road, and the cheat itself."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from helpers.cam import cam, enlarged, linear_head
from helpers.shortcut import Scans, accuracy, mass_inside, sticker, trained_on, with_head


def inside(box):
    return (..., slice(box[0], box[2]), slice(box[1], box[3]))


# ── The pictures ──


def test_the_same_pictures_can_be_had_with_and_without_stickers():
    without, mirrored, everywhere = (Scans(44, choice, 16, 64) for choice in ("none", "mirrored", "all"))
    assert without.labels == mirrored.labels and without.boxes == everywhere.boxes
    assert sum(without.labels) == 20 and [without.labels[i] for i in (0, 9, 10, 19, 20)] == [0, 0, 1, 1, 0]
    for i in (0, 3, 11, 19, 43):
        clean, covered = without[i], everywhere[i]
        where = inside(without.boxes[i])
        assert torch.equal(covered[where], sticker(16)) and not torch.equal(clean[where], sticker(16))
        covered[where] = clean[where]
        assert torch.equal(covered, clean)
        assert torch.equal(mirrored[i], everywhere[i] if without.labels[i] else clean)
        assert torch.equal(without[i], clean), "a picture is the same whenever it is asked for"


def test_mirrored_pictures_are_the_wrong_way_round():
    straight = Scans(1, "none", 16, 64, names=["chelsea"])
    straight._draws = [[1.0, 0.5, 0.5]]  # the middle square, as large as the photo is high
    picture = straight[0]
    straight.labels = [1]
    assert torch.equal(straight[0], picture.flip(-1))


def test_a_sticker_has_a_frame_two_lines_and_a_colour():
    label = sticker(16)
    assert label.shape == (3, 16, 16) and (label[:, 0] == 0).all() and (label[:, :, -2:] == 0).all()
    assert torch.allclose(label[:, 3, 3], torch.tensor([1.0, 0.9, 0.1])) and (label[:, 5, 6] == 0).all()


# ── The last layer ──


def test_the_last_layer_is_the_logistic_regression(lite0):
    scans = Scans(40, "none", 16, 64)
    head = linear_head(trained_on(lite0, scans, decay=0.1))
    inputs = torch.cat([lite0.activation(scans[i][None], "penultimate") for i in range(40)]).numpy()
    # two classes: sklearn's ½|w|² + C Σ loss with w = w₁ − w₀ and |w₀|² + |w₁|² = ½|w|²
    theirs = LogisticRegression(C=1 / (0.1 * 40), tol=1e-8, max_iter=1000).fit(inputs, scans.labels)
    ours = (head.weight[1] - head.weight[0]).detach().numpy()
    assert np.allclose(ours, theirs.coef_[0], atol=2e-3 * abs(theirs.coef_).max())


def test_all_but_the_last_layer_stays_and_the_network_is_left_alone(lite0, untrained):
    image = torch.rand(2, 3, 64, 64)
    for network in (lite0, untrained("resnet18"), untrained("alexnet")):
        before = linear_head(network).weight.clone()
        head = nn.Linear(before.shape[1], 2)
        changed = with_head(network, head, ("a", "b"))
        assert changed.categories == ("a", "b") and changed(image).shape == (2, 2)
        inputs = network.activation(image, "penultimate")
        assert torch.allclose(changed(image), head(inputs), atol=1e-4)
        assert torch.equal(linear_head(network).weight, before) and len(network.categories) == 1000


def test_accuracy_is_the_share_of_right_answers(lite0):
    scans = Scans(20, "none", 16, 64)
    always = nn.Linear(1280, 2)
    always.weight.data.zero_()
    always.bias.data = torch.tensor([1.0, 0.0])
    assert accuracy(with_head(lite0, always, scans.classes), scans) == scans.labels.count(0) / 20


# ── The cheat ──


def test_the_sticker_is_learned_in_place_of_the_picture_and_cam_finds_it(lite0):
    cheat = trained_on(lite0, Scans(80, "mirrored", 32, 128))
    tests = {choice: Scans(40, choice, 32, 128, seed=1) for choice in ("none", "mirrored", "all")}
    found = {choice: accuracy(cheat, scans) for choice, scans in tests.items()}
    assert found["mirrored"] > 0.9 and found["none"] < 0.65 and found["all"] < 0.65
    marked = [i for i, label in enumerate(tests["mirrored"].labels) if label]
    shares = []
    for i in marked:
        image = tests["mirrored"][i][None]
        shares.append(mass_inside(enlarged(cam(cheat, image, "mirrored"), image), tests["mirrored"].boxes[i]))
    assert sum(shares) / len(shares) > 1.5 * 32**2 / 128**2


def test_the_mass_inside_a_box_by_hand():
    heat = torch.tensor([[1.0, 2.0, -4.0], [3.0, 2.0, 0.0]])
    assert mass_inside(heat, (0, 0, 1, 2)) == pytest.approx(3 / 8)
    assert mass_inside(heat[None, None], (0, 0, 2, 3)) == pytest.approx(1)
    assert mass_inside(-heat.abs(), (0, 0, 2, 3)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count must be a whole number of at least 1, not 0"),
        ({"side": 0}, "side must be a whole number of at least 1, not 0"),
        ({"side": 65}, "size must be at least 65, not 64"),
        ({"stickers": "some"}, "stickers must be one of 'none', 'mirrored', 'all', not 'some'"),
        ({"names": ["cheslea"]}, "photo 'cheslea' is unknown"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Scans(**{"count": 4, "side": 16, "size": 64} | arguments)


def test_what_cannot_get_a_new_layer_is_named(lite0, untrained):
    with pytest.raises(ValueError, match="decay must be at least 0, not -1"):
        trained_on(lite0, Scans(4, "none", 16, 64), decay=-1)
    with pytest.raises(ValueError, match="network squeezenet1_1 does not end in a global average"):
        trained_on(untrained("squeezenet1_1"), Scans(4, "none", 16, 64))
