"""A folder of spoken digits, `digit_speaker_index.wav`, as the Free Spoken Digit Dataset (FSDD) has them.

    7_jackson_32.wav        the digit 7, spoken by jackson, his recording 32

Two splits. The usual one, which FSDD's README gives: recordings 0 to 4 of each digit and speaker are the test, the
others the training, so that every speaker of the test is known from the training. And speakers held out: all recordings
of the named ones are the test, which is the harder question, what the digit sounds like in any voice.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from nonlocalnet.data.sound.sound_list import SoundEntry, SoundList
from nonlocalnet.system.visible import cut, quoted

Part = Literal["train", "test"]
DIGITS = tuple("0123456789")
TEST_RECORDINGS = 5
"""Recordings 0 to 4 are the usual test."""

_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[^_]+)_(?P<number>[0-9]{1,6})\.wav", re.IGNORECASE | re.DOTALL)


class Recording(NamedTuple):
    """What the name of a file says."""

    path: Path
    digit: int
    speaker: str
    number: int


def recordings(folder: str | os.PathLike[str]) -> tuple[Recording, ...]:
    """The recordings of a folder, by speaker, digit and number.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A wav file has another name, or there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder of spoken digits: {folder}")
    found = []
    for path in folder.iterdir():
        if path.suffix.lower() != ".wav" or path.name.startswith("."):
            continue
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(
                f"{folder}: expected names such as 7_jackson_32.wav (digit, speaker, number), got {quoted(path.name)}"
            )
        found.append(Recording(path, int(match["digit"]), match["speaker"], int(match["number"])))
    if not found:
        raise ValueError(f"{folder}: no spoken digits found; expected names such as 7_jackson_32.wav")
    return tuple(sorted(found, key=lambda recording: (recording.speaker, recording.digit, recording.number)))


def load_spoken_digits(folder: str | os.PathLike[str], part: Part, *, held_out: Sequence[str] = ()) -> SoundList:
    """One part of a split of spoken digits; the class is the digit.

    Args:
        folder: Holds `digit_speaker_index.wav` files.
        part: "train" or "test".
        held_out: Speakers whose recordings are the test, and no others; none for the usual split by number.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A name is of another form, a speaker is not there, or the part holds nothing.
    """
    if part not in ("train", "test"):
        raise ValueError(f"part must be train or test, got {quoted(part)}")
    if isinstance(held_out, str):
        raise ValueError(f"held_out takes a sequence of speakers, got {quoted(held_out)}; write [{quoted(held_out)}]")
    found = recordings(folder)
    speakers = sorted({recording.speaker for recording in found})
    for name in held_out:
        if name not in speakers:
            raise ValueError(f"{folder}: no speaker {quoted(name)}; there are {cut(', '.join(speakers))}")
    entries = tuple(
        SoundEntry(recording.path, recording.digit)
        for recording in found
        if _is_test(recording, held_out) == (part == "test")
    )
    if not entries:
        rule = f"speakers {cut(', '.join(held_out))} held out" if held_out else "recordings 0 to 4 for the test"
        raise ValueError(f"{folder}: nothing is left to {part} with {rule}")
    return SoundList(entries, DIGITS, str(folder))


def _is_test(recording: Recording, held_out: Sequence[str]) -> bool:
    return recording.speaker in held_out if held_out else recording.number < TEST_RECORDINGS
