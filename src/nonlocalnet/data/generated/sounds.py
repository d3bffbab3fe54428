"""Generated tones, and strings of sounds with the question whether the first recurs at the end.

    recurs        c  x d x d x  c        x: sounds of any class, drawn without regard to the answer
    does not      c  x c x d x  d        what stands between first and last is in random order

Both kinds hold two sounds of class c and two of d beside the x, so that which sounds there are, and how often, says
nothing: only the first and the last compared do. And of the two alone each class is first, and last, as often in either
kind, so that no sum of a score of the start and a score of the end says it either.
"""

import os
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from nonlocalnet.data.generated.videos import check_range
from nonlocalnet.data.padded import SequenceItem, index_of, item_of
from nonlocalnet.system.folders import whole_folder

LOWEST_HERTZ, HIGHEST_HERTZ = 300.0, 1500.0
_SPLITS = ("train", "val", "test")
_DETUNED = 0.01  # of the frequency, to either side; ten classes are 18% apart


def draw_tone(
    label: int, *, num_classes: int, rng: np.random.Generator, sample_rate: int = 8000, seconds: float = 0.1
) -> torch.Tensor:
    """A tone of a class: classes are evenly spaced in pitch from 300 to 1500 Hz.

    Pitch (by 1%), length (by a fifth), volume and phase vary, and there is a little noise.

    Returns:
        float32 (T,), within -1 and 1.
    """
    pitch = label / max(1, num_classes - 1)
    hertz = LOWEST_HERTZ * (HIGHEST_HERTZ / LOWEST_HERTZ) ** pitch * rng.uniform(1 - _DETUNED, 1 + _DETUNED)
    times = np.arange(max(1, round(seconds * rng.uniform(0.8, 1.2) * sample_rate))) / sample_rate
    sound = rng.uniform(0.2, 0.8) * np.sin(2 * np.pi * (hertz * times + rng.random()))
    return torch.from_numpy((sound + rng.normal(0, 0.02, len(times))).clip(-1, 1).astype(np.float32))


def draw_tones(
    num_tones: int, *, num_classes: int = 10, seed: int, sample_rate: int = 8000, seconds: float = 0.1
) -> tuple[list[torch.Tensor], list[int]]:
    """Tones and their classes, each class as often as the others to within one.

    Raises:
        ValueError: An argument is out of range.
    """
    _check_tones(num_classes, sample_rate, seconds, seed)
    check_range("num_tones", num_tones, 1, None)
    labels = [index % num_classes for index in range(num_tones)]
    tones = [
        draw_tone(
            label,
            num_classes=num_classes,
            rng=np.random.default_rng([seed, index]),
            sample_rate=sample_rate,
            seconds=seconds,
        )
        for index, label in enumerate(labels)
    ]
    return tones, labels


class RecurringSounds(Dataset[SequenceItem]):
    """Strings of sounds: x float32 (T,), the target int64 (): 1 where the first sound's class recurs at the end.

    The sounds may be spoken digits (`data.sound`) or `draw_tones`. Half of the items recur, every second one. Where a
    class has several sounds, the first and the last are two of them.

    Args:
        sounds: Waveforms, float32 (T,), of one sample rate.
        labels: The class of each.
        num_items: How many strings, at least 1.
        sounds_per_item: Sounds of a string, at least 4.
        gap: Samples of silence between two sounds, at least 0.
        seed: At least 0.

    Raises:
        ValueError: An argument is out of range, or there are fewer than two classes.
    """

    def __init__(
        self,
        sounds: Sequence[torch.Tensor],
        labels: Sequence[int],
        *,
        num_items: int,
        sounds_per_item: int = 8,
        gap: int = 0,
        seed: int,
    ) -> None:
        for name, value, low in (
            ("num_items", num_items, 1),
            ("sounds_per_item", sounds_per_item, 4),
            ("gap", gap, 0),
            ("seed", seed, 0),
        ):
            check_range(name, value, low, None)
        if len(sounds) != len(labels):
            raise ValueError(f"sounds and labels must be as many, got {len(sounds)} and {len(labels)}")
        self.of_class = {label: np.flatnonzero(np.equal(labels, label)) for label in sorted(set(labels))}
        if len(self.of_class) < 2:
            raise ValueError(f"sounds must be of two classes or more, got {len(self.of_class)}")
        self.sounds = sounds
        self.num_items = num_items
        self.sounds_per_item = sounds_per_item
        self.gap = gap
        self.seed = seed

    def __len__(self) -> int:
        return self.num_items

    def classes_of(self, index: int) -> list[int]:
        """The classes of the sounds of an item, one after the other."""
        return self._draw(index)[1]

    def __getitem__(self, key: int | tuple[int, int]) -> SequenceItem:
        index = index_of(key, len(self))
        rng, classes = self._draw(index)
        chosen = [int(rng.choice(self.of_class[label])) for label in classes]
        others = self.of_class[classes[-1]]
        if chosen[-1] == chosen[0] and len(others) > 1:
            chosen[-1] = int(rng.choice(others[others != chosen[0]]))
        silence = torch.zeros(self.gap)
        parts = [part for number in chosen for part in (silence, self.sounds[number])]
        return item_of(torch.cat(parts[1:]), index % 2, index)

    def _draw(self, index: int) -> tuple[np.random.Generator, list[int]]:
        rng = np.random.default_rng([self.seed, index])
        known = list(self.of_class)
        first, other = (known[int(i)] for i in rng.choice(len(known), 2, replace=False))
        inner, last = ((other, other), first) if index % 2 else ((first, other), other)
        between = [*inner, *(known[int(i)] for i in rng.integers(len(known), size=self.sounds_per_item - 4))]
        return rng, [first, *(between[int(i)] for i in rng.permutation(len(between))), last]


def write_tones(
    directory: str | os.PathLike[str],
    *,
    num_train: int = 200,
    num_val: int = 50,
    num_test: int = 50,
    num_classes: int = 10,
    sample_rate: int = 8000,
    seconds: float = 0.4,
    seed: int = 0,
    on_sound: Callable[[], None] | None = None,
) -> Path:
    """Write tones as class folders of 16-bit wav files, `train/tone_0/00000.wav` and so on, in the place of recordings.

    Args:
        directory: New or empty folder; it appears whole or not at all.
        num_train: Sounds to train on, at least 1; classes are as frequent to within one.
        num_val: Sounds to validate on; with 0 there is no such folder.
        num_test: Sounds to test on, likewise.
        num_classes: From 2 to 100.
        sample_rate: Samples a second, at least 4000.
        seconds: Mean length.
        seed: Same seed, same sounds; at least 0.
        on_sound: Called after each.

    Returns:
        The folder.

    Raises:
        ValueError: An argument is out of range, or the folder is not empty.
    """
    counts = (num_train, num_val, num_test)
    for split, count in zip(_SPLITS, counts, strict=True):
        check_range(f"num_{split}", count, 1 if split == "train" else 0, None)
    _check_tones(num_classes, sample_rate, seconds, seed)
    target = Path(directory)
    with whole_folder(target) as staging:
        for number, (split, count) in enumerate(zip(_SPLITS, counts, strict=True)):
            for label in range(num_classes if count else 0):
                (staging / split / f"tone_{label}").mkdir(parents=True)
            for index in range(count):
                label = index % num_classes
                rng = np.random.default_rng([seed, number, index])
                tone = draw_tone(label, num_classes=num_classes, rng=rng, sample_rate=sample_rate, seconds=seconds)
                _write_wav(staging / split / f"tone_{label}" / f"{index:05d}.wav", tone, sample_rate)
                if on_sound is not None:
                    on_sound()
    return target


def _write_wav(path: Path, sound: torch.Tensor, sample_rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((sound * 32767).round().numpy().astype("<i2").tobytes())


def _check_tones(num_classes: int, sample_rate: int, seconds: float, seed: int) -> None:
    for name, value, low, high in (
        ("num_classes", num_classes, 2, 100),
        ("sample_rate", sample_rate, 4000, None),  # twice the highest tone and some
        ("seconds", seconds, 0.001, 3600),
        ("seed", seed, 0, None),
    ):
        check_range(name, value, low, high)
