"""Listed sounds as sequences: x is the waveform, float32 (T,), the target its class."""

import numpy as np
import torch
from torch.utils.data import Dataset

from nonlocalnet.data.padded import SequenceItem, index_of
from nonlocalnet.data.sound.reader import LONGEST_SECONDS, SoundError, read_sound
from nonlocalnet.data.sound.sound_list import SoundList

# A sample is given up after this many unreadable sounds in a row: then the data set is broken, not a file.
MAX_REPLACEMENTS = 20


class TrainSounds(Dataset[SequenceItem]):
    """Sounds to train on: `dataset[epoch, index]`, a function of (seed, epoch, index).

    A sound that cannot be read is replaced by a random other one, and the item says why.

    Args:
        sound_list: The sounds.
        sample_rate: Samples a second of every waveform.
        longest_seconds: A longer sound counts as unreadable.
        seed: Seeds which sounds replace others; at least 0.
    """

    def __init__(
        self, sound_list: SoundList, *, sample_rate: int, longest_seconds: float = LONGEST_SECONDS, seed: int
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self.sound_list = sound_list
        self.sample_rate = sample_rate
        self.longest_seconds = longest_seconds
        self.seed = seed

    def __len__(self) -> int:
        return len(self.sound_list.entries)

    def __getitem__(self, key: tuple[int, int]) -> SequenceItem:
        epoch, index = key[0], index_of(key, len(self))
        others = np.random.default_rng([self.seed, epoch, index]).integers(len(self), size=MAX_REPLACEMENTS)
        first_error = ""
        for shown in (index, *others.tolist()):
            entry = self.sound_list.entries[shown]
            try:
                x = read_sound(entry.path, sample_rate=self.sample_rate, longest_seconds=self.longest_seconds)
            except (SoundError, FileNotFoundError) as error:
                first_error = first_error or str(error)
                continue
            target = torch.tensor(entry.label)
            return SequenceItem(x=x, target=target, index=shown, replaced=bool(first_error), error=first_error)
        raise SoundError(
            f"{self.sound_list.source}: {MAX_REPLACEMENTS + 1} sounds drawn one after the other cannot be read; "
            f"the first: {first_error}"
        )


class TestSounds(Dataset[SequenceItem]):
    """Sounds to test on, `dataset[index]`; one that cannot be read is a single 0 with its error, and counts as wrong.

    Args:
        sound_list: The sounds.
        sample_rate: Samples a second of every waveform.
        longest_seconds: A longer sound counts as unreadable.
    """

    __test__ = False  # the name is not a pytest class

    def __init__(self, sound_list: SoundList, *, sample_rate: int, longest_seconds: float = LONGEST_SECONDS) -> None:
        self.sound_list = sound_list
        self.sample_rate = sample_rate
        self.longest_seconds = longest_seconds

    def __len__(self) -> int:
        return len(self.sound_list.entries)

    def __getitem__(self, index: int) -> SequenceItem:
        entry = self.sound_list.entries[index_of(index, len(self))]
        x, reason = torch.zeros(1), ""
        try:
            x = read_sound(entry.path, sample_rate=self.sample_rate, longest_seconds=self.longest_seconds)
        except (SoundError, FileNotFoundError) as error:
            reason = str(error)
        return SequenceItem(x=x, target=torch.tensor(entry.label), index=index, replaced=False, error=reason)
