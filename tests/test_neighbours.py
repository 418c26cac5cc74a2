"""Neighbours against scikit-learn, features against the network asked picture by picture, purity by hand."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from helpers.core.images import resize
from helpers.core.photos import Crops, Folder, Recoloured, digits
from helpers.neighbours import (
    Sample,
    colour_histogram,
    colour_moments,
    nearest,
    pixels,
    preserved,
    purity,
    thumbnails,
    vectors,
    vectors_at,
)


@pytest.fixture
def cloud(device):
    return torch.randn(150, 20, generator=torch.Generator().manual_seed(0)).to(device)


@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize(("metric", "theirs"), [("l2", "euclidean"), ("cosine", "cosine")])
def test_neighbours_are_those_of_scikit_learn(cloud, metric, theirs, chunk):
    queries = cloud[:20] + 0.1
    distances, indices = nearest(queries, cloud, 6, metric, chunk=chunk)
    peer = NearestNeighbors(n_neighbors=6, metric=theirs, algorithm="brute").fit(cloud.cpu().numpy())
    expected, at = peer.kneighbors(queries.cpu().numpy())
    assert distances.device == cloud.device and indices.device == cloud.device
    assert np.array_equal(indices.cpu().numpy(), at)
    assert np.allclose(distances.cpu().numpy(), expected, atol=1e-6)


def test_close_vectors_far_from_the_origin_are_told_apart(device):
    line = torch.arange(6, dtype=torch.float64, device=device)[:, None] * 1e-3 + 1e5
    distances, indices = nearest(line[:1], line, 3)
    assert indices.tolist() == [[0, 1, 2]]
    assert distances.cpu().numpy() == pytest.approx(np.array([[0, 1e-3, 2e-3]]), rel=1e-4)


def test_a_vector_that_is_skipped_is_no_neighbour(cloud):
    itself = torch.arange(len(cloud))
    distances, indices = nearest(cloud, cloud, 4, skip=itself, chunk=40)
    everyone = nearest(cloud, cloud, 5)[1]
    assert torch.equal(everyone[:, 0].cpu(), itself) and torch.equal(indices, everyone[:, 1:])
    assert (distances > 0).all()


def test_the_cosine_forgets_lengths_and_zero_is_at_distance_one(device):
    points = torch.tensor([[1.0, 0], [10, 0.1], [0, 1], [0, 0]], device=device)
    distances, indices = nearest(points[:1], points, 4, "cosine")
    assert indices[0, :2].tolist() == [0, 1]
    assert sorted(distances[0].tolist())[2:] == [1, 1]
    assert nearest(points[:1], points, 2)[1].tolist() == [[0, 3]]


def test_purity_by_hand(device):
    points = torch.tensor([[0.0], [1], [2.5], [10], [11]], device=device)
    # nearest: 0→1, 1→0, 2→1, 3→4, 4→3
    assert purity(points, [0, 0, 0, 1, 1], k=1) == 1
    assert purity(points, [0, 0, 1, 1, 1], k=1) == pytest.approx(4 / 5)
    assert purity(points, torch.tensor([0, 1, 2, 3, 4]), k=2) == 0
    # two neighbours: 0→1,2  1→0,2  2→1,0  3→4,2  4→3,2
    assert purity(points, [0, 0, 0, 1, 1], k=2) == pytest.approx((6 + 1 + 1) / 10)


def test_what_a_map_preserves():
    points = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
    turned = points @ torch.tensor([[0.0, -1], [1, 0]]) * 3 + 5
    assert preserved(points, turned) == 1
    by_hand = [set(nearest(points, points, 11)[1][i, 1:].tolist()) for i in range(60)]
    order = torch.arange(60.0)[:, None]
    on_line = [set(nearest(order, order, 10, skip=range(60))[1][i].tolist()) for i in range(60)]
    expected = np.mean([len(a & b) / 10 for a, b in zip(by_hand, on_line, strict=True)])
    assert preserved(points, order) == pytest.approx(expected)
    with pytest.raises(ValueError, match="embedding must hold one point for each of the 60 vectors, not 59"):
        preserved(points, turned[:59])


# ── From pictures to vectors ─────────────────────────────────────────────────────────────────────────────────


def test_features_are_what_the_network_says_of_each_picture(lite0):
    crops = Crops(5, size=64)
    found = vectors(lite0, crops, batch=2)
    assert found.shape == (5, 1280) and found.device.type == "cpu" and not found.is_inference()
    with torch.no_grad():
        alone = torch.cat([lite0.activation(crops[i][None], "penultimate") for i in range(5)])
    assert torch.allclose(found, alone, atol=1e-4)


def test_a_layer_with_height_and_width_is_averaged_over_both(lite0):
    crops = Crops(3, size=64)
    found = vectors(lite0, crops, "blocks.2", batch=3)
    with torch.no_grad():
        maps = lite0.activation(torch.stack([crops[i] for i in range(3)]), "blocks.2")
    assert found.shape == (3, 40) and torch.allclose(found, maps.mean(dim=(2, 3)), atol=1e-5)


def test_several_layers_in_one_pass_are_each_as_alone(lite0):
    crops = Crops(3, size=64)
    both = vectors_at(lite0, crops, ["penultimate", "blocks.1"], batch=2)
    assert list(both) == ["penultimate", "blocks.1"]
    assert all(torch.allclose(both[layer], vectors(lite0, crops, layer, batch=2), atol=1e-4) for layer in both)
    with pytest.raises(ValueError, match="layers must be at least 1, not 0"):
        vectors_at(lite0, crops, [])


def test_colours_are_counted_in_their_boxes(device):
    images = torch.zeros(2, 3, 2, 2, device=device)
    images[0, 0, 0] = 1  # half red, half black
    images[1] = 0.3
    counts = colour_histogram(images)
    assert counts.shape == (2, 64) and counts.sum(1).tolist() == [1, 1]
    assert counts[0, 0] == counts[0, 3 * 16] == 0.5 and counts[1, 16 + 4 + 1] == 1
    assert torch.equal(counts, colour_histogram(images.flip(3))), "it does not know where a colour is"
    with pytest.raises(ValueError, match="levels must be at least 1"):
        colour_histogram(images, 0)


def test_moments_are_mean_and_deviation_of_each_colour(device):
    images = torch.rand(3, 3, 5, 7, generator=torch.Generator().manual_seed(0)).to(device)
    found = colour_moments(images)
    assert found.shape == (3, 6)
    assert found[1, 2].item() == pytest.approx(images[1, 2].mean().item())
    assert found[2, 3].item() == pytest.approx(images[2, 0].std().item())


def test_alexnet_gives_its_4096_numbers(untrained):
    assert vectors(untrained("alexnet"), Crops(2, size=224), batch=1).shape == (2, 4096)


def test_a_collection_is_read_picture_by_picture_and_never_held(lite0):
    class Counted:
        """Knows how many of its pictures are alive."""

        alive = most = 0

        def __len__(self):
            return 12

        def __getitem__(self, i):
            import weakref

            picture = torch.full((3, 32, 32), i / 12)
            Counted.alive += 1
            Counted.most = max(Counted.most, Counted.alive)
            weakref.finalize(picture, self.gone)
            return picture

        @staticmethod
        def gone():
            Counted.alive -= 1

    vectors(lite0, Counted(), batch=3)
    assert Counted.most <= 4


def test_pixels_are_the_shrunken_picture():
    crops = Crops(3, size=64)
    assert torch.equal(thumbnails(crops, 16, batch=2)[2:], resize(crops[2][None], (16, 16)))
    assert torch.equal(pixels(crops, 16)[1], thumbnails(crops, 16)[1].flatten())


def test_features_beat_pixels_on_the_crops(lite0):
    crops = Crops(60, size=96)
    assert purity(vectors(lite0, crops), crops.labels) > purity(pixels(crops), crops.labels) + 0.2


def test_features_beat_a_colour_histogram_by_far_where_colours_say_nothing(lite0):
    crops = Recoloured(Crops(160, size=96))
    colours = colour_histogram(thumbnails(crops, 32))
    assert purity(vectors(lite0, crops), crops.labels) > purity(colours, crops.labels) + 0.15


def test_a_sample_keeps_pictures_with_their_labels():
    whole = digits()
    some = Sample(whole, 50)
    assert len(some) == 50 and some.classes == whole.classes and some.chosen == sorted(set(some.chosen))
    assert all(torch.equal(some[i], whole[some.chosen[i]]) for i in (0, 49))
    assert some.labels == [whole.labels[i] for i in some.chosen]
    assert Sample(whole, 50).chosen == some.chosen != Sample(whole, 50, seed=1).chosen
    assert len(Sample(Crops(3, size=8), 10)) == 3


def test_a_folder_of_the_readers_own_works(tmp_path, lite0):
    from PIL import Image

    for name, colour in (("warm", "red"), ("cold", "blue")):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("RGB", (40, 50 + i), colour).save(tmp_path / name / f"{i}.png")
    folder = Folder(tmp_path, 64)
    assert purity(vectors(lite0, folder), folder.labels, k=1) == 1


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": torch.zeros(3)}, r"queries must be a tensor of shape \(N, D\), not shape \(3,\)"),
        ({"queries": [[1, 2]]}, r"queries must be a tensor of shape \(N, D\), not list"),
        ({"vectors": torch.zeros(0, 2)}, r"vectors must be a tensor of shape \(N, D\), not shape \(0, 2\)"),
        ({"vectors": torch.full((4, 2), torch.nan)}, "vectors must be finite"),
        ({"queries": torch.zeros(1, 3)}, "queries and vectors must be equally wide, not 3 and 2"),
        ({"k": 0}, r"k must be from 1 to 4 \(the vectors that count\), not 0"),
        ({"k": 5}, "k must be from 1 to 4"),
        ({"k": 4, "skip": [0]}, "k must be from 1 to 3"),
        ({"skip": [0, 1]}, "skip must hold one index from 0 to 3 for each of the 1 queries"),
        ({"skip": [4]}, "skip must hold one index from 0 to 3"),
        ({"metric": "l1"}, "metric must be one of 'l2', 'cosine', not 'l1'"),
        ({"chunk": 0}, "chunk must be at least 1, not 0"),
    ],
)
def test_nearest_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest(**({"queries": torch.zeros(1, 2), "vectors": torch.zeros(4, 2), "k": 1} | arguments))


def test_other_bad_input_is_named(lite0):
    with pytest.raises(ValueError, match="labels must hold one label for each of the 4 vectors, not 3"):
        purity(torch.rand(4, 2), [0, 1, 2], k=1)
    with pytest.raises(ValueError, match="layer 'fc9' is unknown"):
        vectors(lite0, Crops(1, size=32), "fc9")
    with pytest.raises(ValueError, match="size must be at least 1"):
        vectors(lite0, Crops(1, size=32), batch=0)
    with pytest.raises(ValueError, match="collection must hold at least one picture"):
        pixels([])
    with pytest.raises(ValueError, match="at least 1 pixel"):
        pixels(Crops(1, size=32), 0)
    with pytest.raises(ValueError, match="count must be at least 1, not 0"):
        Sample(Crops(3, size=8), 0)
