"""The photos are where they should be, and collections stream what they promise."""

import pickle
import tarfile

import pytest
import torch
from PIL import Image

from helpers.core import photos
from helpers.core.photos import PAINTINGS, PHOTOS, Crops, Folder, Recoloured, batches, digits, photo, turns


@pytest.mark.parametrize("name", PHOTOS)
def test_every_photo_is_here_with_its_title_and_licence(name):
    entry = PHOTOS[name]
    assert entry.title and entry.author and entry.licence
    assert photo(name, 32).shape == (1, 3, 32, 32) and photo(name).shape[-1] > 100


@pytest.mark.parametrize("name", PAINTINGS)
def test_every_painting_is_here_with_its_title_and_licence(name):
    entry = PAINTINGS[name]
    assert entry.title and (entry.author, entry.licence) == ("the course", "MIT")
    assert entry.path == photos.DATA / "paintings" / f"{name}.jpg"
    painting = photo(name)
    assert painting.shape == (1, 3, 512, 512) and photo(name, 32).shape == (1, 3, 32, 32)
    assert painting.mean((2, 3)).min() > 0.1 and painting.std() > 0.1


def test_paintings_are_those_of_the_folder_and_small_enough_for_a_download():
    files = list((photos.DATA / "paintings").iterdir())
    assert {file.stem for file in files} == set(PAINTINGS) and not PAINTINGS.keys() & PHOTOS.keys()
    assert sum(file.stat().st_size for file in files) < 1_600_000


def test_the_readers_own_pictures_join(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "MINE", tmp_path)
    Image.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    assert list(photos.mine()) == ["red.png"]
    assert photo("red.png")[0, :, 0, 0].tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match=r"photo 'nobody' is unknown; photos: chelsea.*red\.png"):
        photo("nobody")
    monkeypatch.setattr(photos, "MINE", tmp_path / "nowhere")
    assert photos.mine() == {}


def test_crops_repeat_themselves_and_lie_inside_their_photo():
    crops, again = Crops(40, size=24), Crops(40, size=24)
    assert len(crops) == 40 and crops.labels[:3] == [0, 1, 2] and crops.classes == list(photos.SCENES)
    assert all(torch.equal(crops[i], again[i]) for i in (0, 17, 39))
    assert not torch.equal(crops[0], Crops(40, size=24, seed=1)[0])
    assert all(
        crop.shape == (3, 24, 24) and 0 <= crop.min() <= crop.max() <= 1 for crop in (crops[i] for i in range(40))
    )


def test_crops_take_the_stated_part_of_the_photo():
    sides = []
    crops = Crops(200, size=16, names=["brick"])
    for scale, *_ in crops._draws:
        sides.append(0.35 + 0.45 * scale)
    assert 0.35 <= min(sides) < 0.4 and 0.75 < max(sides) <= 0.8


@pytest.mark.parametrize("bad", [{"count": 0}, {"size": 0}])
def test_crops_refuse_nothing(bad):
    with pytest.raises(ValueError, match="count and size must be at least 1"):
        Crops(**bad)


# ── Colours that say nothing ──


class Painted:
    """Pictures of one colour each."""

    classes, labels = ["red", "blue"], [0, 1] * 100

    def __len__(self):
        return 200

    def __getitem__(self, i):
        return torch.eye(3)[2 * self.labels[i]][:, None, None].expand(3, 4, 4)


def test_grey_pictures_keep_their_brightness_and_others_turn():
    coloured = Recoloured(Painted())
    assert len(coloured) == 200 and coloured.classes == ["red", "blue"] and coloured.labels == Painted.labels
    pixels = torch.stack([coloured[i][:, 0, 0] for i in range(200)])
    grey = (pixels.amax(1) - pixels.amin(1)) < 1e-6
    assert 80 < grey.sum() < 120 and pixels[grey].numpy() == pytest.approx(1 / 3)
    assert pixels.min() >= 0 and pixels.max() <= 1
    assert set(pixels[~grey].argmax(1).tolist()) == {0, 1, 2}, "red and blue come in every hue"
    assert torch.equal(coloured[7], Recoloured(Painted())[7])
    assert not torch.equal(coloured.matrices, Recoloured(Painted(), seed=1).matrices)


def test_the_share_of_grey_and_the_tint_at_both_ends():
    assert Recoloured(Painted(), grey=1).matrices.numpy() == pytest.approx(1 / 3)
    turned = Recoloured(Painted(), grey=0, tint=0).matrices
    assert torch.allclose(turned @ turned.mT, torch.eye(3).expand(200, 3, 3), atol=1e-5), "rotations"
    assert torch.allclose(turned.sum(2), torch.ones(200, 3), atol=1e-5), "grey stays grey"
    tinted = Recoloured(Painted(), grey=0).matrices.sum(2)
    assert 0.5 <= tinted.min() < 0.55 and 0.95 < tinted.max() <= 1 + 1e-6
    for bad in ({"grey": 1.1}, {"tint": -0.1}):
        with pytest.raises(ValueError, match="must be from 0 to 1"):
            Recoloured(Painted(), **bad)


def test_a_turn_of_a_third_exchanges_the_colours():
    third = turns(torch.tensor([2 * torch.pi / 3]))[0]
    assert torch.allclose(third @ torch.eye(3)[0], torch.eye(3)[1], atol=1e-6)


def test_the_sixteen_are_photos_of_which_some_are_of_one_kind():
    crops = Crops(32, 16, photos.SIXTEEN)
    assert len(set(photos.SIXTEEN)) == 16 and set(photos.SCENES) < set(photos.SIXTEEN)
    assert crops.labels == [*range(16), *range(16)]


def test_a_folder_is_labelled_by_its_subfolders(tmp_path):
    for colour, name in (("red", "a/1.png"), ("blue", "b/2.jpg"), ("blue", "b/deep.PNG")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 5), colour).save(tmp_path / name)
    folder = Folder(tmp_path, size=8)
    assert (len(folder), folder.classes, folder.labels) == (3, ["a", "b"], [0, 1, 1])
    assert folder[0].shape == (3, 8, 8) and folder[0][0].min() > 0.99


def test_a_bad_folder_says_so(tmp_path):
    with pytest.raises(ValueError, match="holds no picture"):
        Folder(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        Folder(tmp_path / "nowhere")
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"broken\.png is empty"):
        Folder(tmp_path)[0]


def test_digits_are_scikit_learns():
    collection = digits(size=16)
    assert len(collection) == 1797 and collection.classes == [str(i) for i in range(10)]
    assert collection[0].shape == (3, 16, 16) and collection.labels[:4] == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_batches_stream_everything_once_and_in_order(size):
    collection = torch.rand(7, 3, 2, 2)
    streamed = list(batches(collection, size))
    assert all(len(batch) <= size for batch in streamed)
    assert torch.equal(torch.cat(streamed), collection)


def test_batches_refuse_nothing():
    with pytest.raises(ValueError, match="at least one picture"):
        next(batches([], 4))
    with pytest.raises(ValueError, match="size must be at least 1"):
        next(batches(torch.rand(1, 3, 2, 2), 0))


@pytest.mark.parametrize("make", [photos.cifar10, photos.imagenette])
def test_a_data_set_that_cannot_be_had_says_so(make, tmp_path, monkeypatch, offline):
    monkeypatch.setattr(photos, "CACHE", tmp_path)
    with pytest.raises(photos.DataUnavailable, match=f"not in {tmp_path} and its download failed") as caught:
        make()
    assert "\n" not in str(caught.value)


def test_imagenette_is_read_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "CACHE", tmp_path)
    folder = tmp_path / "imagenette2-160" / "val"
    for i, wnid in enumerate(("n01440764", "n02102040")):  # tench, English springer
        (folder / wnid).mkdir(parents=True)
        (folder.parent / "train" / wnid).mkdir(parents=True)
        Image.new("RGB", (20, 20), (i * 255, 0, 0)).save(folder / wnid / "1.JPEG")
    collection = photos.imagenette(size=8)
    assert collection.labels == [0, 1] and collection.classes[:2] == ["tench", "English springer"]
    assert collection[1].shape == (3, 8, 8) and collection[1][0].min() > 0.9


def test_cifar10_downloads_what_the_server_sends(tmp_path, monkeypatch):
    """torchvision's own reader refuses an archive whose hash is not the published one."""
    archive = tmp_path / "cache" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        (tmp_path / "batch").write_bytes(pickle.dumps({"data": [], "labels": []}))
        tar.add(tmp_path / "batch", "cifar-10-batches-py/test_batch")
    monkeypatch.setattr(photos, "CACHE", archive.parent)
    with pytest.raises(photos.DataUnavailable, match="download failed"):
        photos.cifar10()
