"""Tones can be told apart, and of recurring sounds only the first and the last together tell the answer."""

from collections import Counter
from itertools import pairwise

import pytest
import torch

from nonlocalnet.data.generated.sounds import RecurringSounds, draw_tones, write_tones
from nonlocalnet.data.sound.reader import probe_sound, read_sound
from nonlocalnet.data.sound.sound_list import load_sound_list


def pitch(sound: torch.Tensor, sample_rate: int) -> float:
    return float(torch.fft.rfft(sound, 2 * sample_rate).abs().argmax()) / 2


def test_tones_of_a_class_are_nearer_to_each_other_than_to_others():
    tones, labels = draw_tones(60, num_classes=10, seed=0)
    assert Counter(labels) == dict.fromkeys(range(10), 6)
    heard = [[pitch(tone, 8000) for tone, label in zip(tones, labels, strict=True) if label == k] for k in range(10)]
    assert all(max(lower) < min(higher) for lower, higher in pairwise(heard))
    assert heard[0][0] == pytest.approx(300, rel=0.03)
    assert all(tone.abs().max() <= 1 and tone.dtype == torch.float32 for tone in tones)
    again, _ = draw_tones(60, num_classes=10, seed=0)
    assert all(torch.equal(one, other) for one, other in zip(tones, again, strict=True))


def numbered(per_class: int, num_classes: int = 5):
    """Sounds of one sample each, which says which sound it is."""
    labels = [label for label in range(num_classes) for _ in range(per_class)]
    return [torch.tensor([float(number)]) for number in range(len(labels))], labels


def test_the_answer_is_whether_the_first_class_recurs_at_the_end():
    sounds, labels = numbered(per_class=3)
    task = RecurringSounds(sounds, labels, num_items=200, sounds_per_item=7, seed=0)
    for index in range(len(task)):
        item = task[index]
        numbers = [int(number) for number in item["x"]]
        classes = [labels[number] for number in numbers]
        assert classes == task.classes_of(index)
        assert len(classes) == 7
        assert int(item["target"]) == (classes[0] == classes[-1]) == index % 2
        assert numbers[0] != numbers[-1]


def test_neither_which_sounds_there_are_nor_the_first_or_last_alone_tells():
    sounds, labels = numbered(per_class=1, num_classes=3)
    task = RecurringSounds(sounds, labels, num_items=6000, sounds_per_item=4, seed=0)
    counts = {answer: Counter() for answer in (0, 1)}
    for index in range(len(task)):
        classes = task.classes_of(index)
        counts[index % 2].update([("bag", *sorted(classes)), ("first", classes[0]), ("last", classes[-1])])
    assert counts[0].keys() == counts[1].keys()
    for what, count in counts[0].items():
        assert count == pytest.approx(counts[1][what], abs=150), what  # 1000 expected, five standard deviations
    assert all(sorted(Counter(what[1:]).values()) == [2, 2] for what in counts[0] if what[0] == "bag")


def test_gaps_are_silent():
    sounds = [torch.ones(2), torch.full((3,), 2.0)]
    item = RecurringSounds(sounds, [0, 1], num_items=2, sounds_per_item=4, gap=2, seed=0)[0, 1]
    classes = RecurringSounds(sounds, [0, 1], num_items=2, sounds_per_item=4, seed=0).classes_of(1)
    expected = [value for label in classes for value in [0, 0, *sounds[label].tolist()]][2:]
    assert item["x"].tolist() == expected


def test_wav_folders(tmp_path):
    folder = write_tones(tmp_path / "tones", num_train=7, num_val=3, num_test=0, num_classes=3, seconds=0.1)
    train = load_sound_list(folder / "train")
    assert train.class_names == ("tone_0", "tone_1", "tone_2")
    assert Counter(entry.label for entry in train.entries) == {0: 3, 1: 2, 2: 2}
    assert len(load_sound_list(folder / "val").entries) == 3
    assert not (folder / "test").exists()
    assert probe_sound(train.entries[0].path).codec == "pcm_s16le"
    again = write_tones(tmp_path / "again", num_train=7, num_val=3, num_test=0, num_classes=3, seconds=0.1)
    assert all(
        entry.path.read_bytes() == (again / entry.path.relative_to(folder)).read_bytes() for entry in train.entries
    )
    low, high = (pitch(read_sound(train.entries[place].path, sample_rate=8000), 8000) for place in (0, -1))
    assert low < 320 < 1400 < high


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_train": 0}, "num_train must be at least 1, got 0"),
        ({"num_classes": 1}, "num_classes must be from 2 to 100, got 1"),
        ({"sample_rate": 2000}, "sample_rate must be at least 4000, got 2000"),
        ({"seconds": float("nan")}, "seconds must be from"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_tones_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_tones(tmp_path / "tones", **options)
    assert not (tmp_path / "tones").exists()


def test_recurring_sounds_out_of_range():
    sounds, labels = numbered(per_class=1)
    with pytest.raises(ValueError, match="sounds must be of two classes or more, got 1"):
        RecurringSounds(sounds[:1], labels[:1], num_items=1, seed=0)
    with pytest.raises(ValueError, match="sounds and labels must be as many, got 5 and 4"):
        RecurringSounds(sounds, labels[:4], num_items=1, seed=0)
    with pytest.raises(ValueError, match="sounds_per_item must be at least 4, got 3"):
        RecurringSounds(sounds, labels, num_items=1, sounds_per_item=3, seed=0)
