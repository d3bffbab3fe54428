"""Spoken digits with a validation that is no part of the test."""

from __future__ import annotations

from nonlocalnet.data.sound.sound_list import SoundList
from nonlocalnet.data.sound.spoken_digits import TEST_RECORDINGS, load_spoken_digits, recordings
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.runs.sequence.splits import Split


def load_digits(recipe: SequenceRecipe, split: Split) -> SoundList:
    """The recordings of a split.

    The test is that of `nonlocalnet.data.sound.spoken_digits`. Of each digit and speaker of the training, the five
    recordings with the lowest numbers are for the validation: 5 to 9, or 0 to 4 where speakers are held out.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: `data.root` is not set, a name is of another form, a speaker is not there, or nothing is left.
    """
    data = recipe.data
    if data.root is None:
        raise ValueError("data.root is not set: give the folder of digit_speaker_index.wav files, --data.root DIR")
    part = load_spoken_digits(data.root, "test" if split == "test" else "train", held_out=data.held_out)
    if split == "test":
        return part
    first = 0 if data.held_out else TEST_RECORDINGS
    validated = {r.path for r in recordings(data.root) if first <= r.number < first + TEST_RECORDINGS}
    kept = tuple(entry for entry in part.entries if (entry.path in validated) == (split == "val"))
    if not kept:
        raise ValueError(
            f"{data.root}: nothing is left to {split} with recordings {first} to "
            f"{first + TEST_RECORDINGS - 1} for the validation"
        )
    return part._replace(entries=kept)
