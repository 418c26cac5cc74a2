"""A stream of steps can be finished, recorded and trusted."""

import threading
import weakref

import pytest
import torch
from PIL import Image

from helpers.core.steps import Recording, Step, finish, record, within_memory


def fading(total):
    for index in range(1, total + 1):
        yield Step(index, total, torch.full((2, 3, 4, 4), index / total), {"loss": 1 / index})


def test_finish_returns_the_last_step():
    last = finish(fading(5), "fading")
    assert (last.index, last.total, last.losses) == (5, 5, {"loss": 0.2})


@pytest.mark.parametrize(("every", "kept"), [(1, [1, 2, 3, 4, 5]), (2, [1, 3, 5]), (3, [1, 4, 5]), (9, [1, 5])])
def test_record_keeps_the_first_and_the_last(every, kept):
    recording = record(fading(5), every)
    assert [step.index for step in recording.steps] == kept
    assert recording.losses("loss") == [1 / index for index in kept]


def test_recorded_steps_lie_on_the_cpu(device):
    steps = (Step(1, 1, torch.zeros(1, 3, 2, 2, device=device)) for _ in range(1))
    assert record(steps).steps[0].image.device.type == "cpu"


@pytest.mark.parametrize("consume", [finish, record])
def test_an_empty_stream_is_an_error(consume):
    with pytest.raises(ValueError, match="at least one Step"):
        consume(iter(()))


def test_every_must_be_positive():
    with pytest.raises(ValueError, match="every must be at least 1, not 0"):
        record(fading(2), every=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_number_names_its_step(bad):
    with pytest.raises(FloatingPointError, match="step 3 of 9: the loss 'content'"):
        Step(3, 9, torch.zeros(1, 3, 2, 2), {"content": bad})
    with pytest.raises(FloatingPointError, match="step 3 of 9: the image"):
        Step(3, 9, torch.full((1, 3, 2, 2), bad))


def test_gif_holds_every_frame_for_the_time_asked(tmp_path):
    record(fading(4)).gif(tmp_path / "film.gif", seconds=2)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 4 and film.size == (10, 4)
        assert film.info["duration"] == 500 and film.info["loop"] == 0


def test_a_recording_is_just_its_steps():
    assert Recording(list(fading(2))).losses("loss") == [1, 0.5]


def test_too_little_memory_is_one_clear_error_and_frees_what_was_held():
    held = []

    @within_memory("lower the size ({size}) or how many there are ({image.shape[0]})")
    def greedy(image, size=40):
        tensor = torch.zeros(1, 3, 2, 2)
        held.append(weakref.ref(tensor))
        yield Step(1, 2, torch.ones(1, 3, 2, 2))
        raise torch.cuda.OutOfMemoryError(f"no room beside {tensor.shape}")

    steps = greedy(torch.zeros(2, 3, 1, 1))
    assert next(steps).index == 1
    told = r"the GPU's memory is too small: lower the size \(40\) or how many there are \(2\)"
    with pytest.raises(MemoryError, match=told) as error:
        next(steps)
    assert held[0]() is None and error.value.__context__ is None


def test_enough_memory_changes_nothing():
    assert [step.index for step in within_memory("lower the size")(fading)(3)] == [1, 2, 3]


def test_a_bar_is_drawn_only_by_the_main_thread(capsys):
    thread = threading.Thread(target=finish, args=(fading(3), "quiet"))
    thread.start()
    thread.join()
    assert capsys.readouterr().err == ""
    finish(fading(3), "loud")
    assert "loud" in capsys.readouterr().err
