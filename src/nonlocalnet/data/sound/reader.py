"""Reading sound files, by PyAV: any format that FFmpeg decodes, a video's sound too, to mono at the rate asked for.

What holds for videos holds here: the file of that name alone is opened, whatever its name and whatever stands in it
(`data.video.local_file`), regular files only; whatever PyAV raises means that the file cannot be read; and a file that
holds less than it says is refused, not read as a shorter one (`truncation`).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.audio.stream
import av.container
import numpy as np
import torch
from av.error import ArgumentError, InvalidDataError

from nonlocalnet.data.sound.rates import RATES
from nonlocalnet.data.sound.truncation import flaw_of
from nonlocalnet.data.video.errors import reason_of, unreadable_where_it_fails
from nonlocalnet.data.video.local_file import open_local
from nonlocalnet.system.errors import FileProblem

LONGEST_SECONDS = 3600.0
MOST_CHANNELS = 64
"""What libswresample mixes."""
_HIGHEST = 1e10


class SoundError(FileProblem):
    """A sound file cannot be read; the message names the file and the reason."""


@dataclass(frozen=True)
class SoundInfo:
    """What a sound file holds.

    Attributes:
        path: The file.
        sample_rate: Samples a second, as stored.
        channels: How many, as stored.
        num_samples: Of each channel.
        codec: FFmpeg's name of the codec, such as "pcm_s16le".
    """

    path: Path
    sample_rate: int
    channels: int
    num_samples: int
    codec: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.num_samples / self.sample_rate


def read_sound(
    path: str | os.PathLike[str], *, sample_rate: int, longest_seconds: float = LONGEST_SECONDS
) -> torch.Tensor:
    """Read a sound as one channel at a sample rate.

    Integers are divided by their range (16-bit: by 32768), float files are taken as they are, above 1 too. Channels are
    mixed by their mean, whatever the layout, and each is resampled first (FFmpeg's libswresample, its defaults).

    Args:
        path: The file. Of several sound streams the one that FFmpeg ranks best is read; pictures beside it are not.
        sample_rate: Samples a second, in `RATES`.
        longest_seconds: A longer sound is refused: a small file may hold hours of silence.

    Returns:
        float32 (T,), T = ceil(stored samples * sample_rate / stored rate), so that nothing is lost at the end.

    Raises:
        FileNotFoundError: There is no such file.
        SoundError: The file is not a readable, complete sound, is longer, has no sample, or values that are no numbers.
        ValueError: The rate is out of range.
    """
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise ValueError(f"sample_rate must be from {RATES[0]} to {RATES[1]} a second, got {sample_rate}")
    path = Path(path)
    with _opened(path) as (container, stream):
        stored = _Stored(path, stream)
        # Interleaved: PyAV takes the planes of more than 8 channels from memory that is none of theirs.
        resampler = av.AudioResampler(format="flt", rate=sample_rate)
        parts: list[np.ndarray] = []
        for frame in stored.frames(container, longest_seconds):
            parts.extend(_mean(part) for part in resampler.resample(frame))
        stored.check(container)
        parts.extend(_mean(part) for part in resampler.resample(None))
        wanted = -(-stored.num_samples * sample_rate // stored.sample_rate)
        sound = torch.from_numpy(np.concatenate(parts))
    if not torch.isfinite(sound).all():
        raise SoundError(f"{path}: holds values that are no numbers (NaN or infinity); write it again")
    highest = sound.abs().max().item()
    if highest > _HIGHEST:
        raise SoundError(f"{path}: holds values up to {highest:.3g}, where sounds go from -1 to 1; write it again")
    # What the filter holds back at its end, a few samples, is silence.
    return torch.nn.functional.pad(sound, (0, max(0, wanted - len(sound))))[:wanted]


def probe_sound(path: str | os.PathLike[str], *, longest_seconds: float = LONGEST_SECONDS) -> SoundInfo:
    """Decode a sound to its end and say what it holds; the arguments and errors are those of `read_sound`."""
    path = Path(path)
    with _opened(path) as (container, stream):
        stored = _Stored(path, stream)
        channels = 0
        for frame in stored.frames(container, longest_seconds):
            channels = frame.layout.nb_channels
        stored.check(container)
        codec = stream.codec_context.codec.canonical_name
        return SoundInfo(path, stored.sample_rate, channels, stored.num_samples, codec)


class _Stored:
    """The samples as they are stored, counted while they are read."""

    def __init__(self, path: Path, stream: av.audio.stream.AudioStream) -> None:
        self._path, self._stream = path, stream
        self.num_samples = 0
        self.sample_rate = 0

    def frames(self, container: av.container.InputContainer, longest_seconds: float) -> Iterator[av.AudioFrame]:
        for frame in container.decode(self._stream):
            if frame.is_corrupt:
                raise SoundError(f"{self._path}: broken after {self.num_samples} samples; fetch it again")
            self._check_form(frame)
            self.sample_rate = self.sample_rate or frame.sample_rate
            self.num_samples += frame.samples
            if self.num_samples > longest_seconds * self.sample_rate:
                raise SoundError(
                    f"{self._path}: longer than {longest_seconds:g} seconds; cut it into parts, or raise "
                    "longest_seconds"
                )
            frame.pts = None  # sound is what follows one after the other, whatever its time stamps
            yield frame

    def _check_form(self, frame: av.AudioFrame) -> None:
        if not RATES[0] <= frame.sample_rate <= RATES[1]:
            raise SoundError(
                f"{self._path}: {frame.sample_rate} samples a second, where sounds have from {RATES[0]} to {RATES[1]}; "
                "its header is wrong, or it is no sound"
            )
        if frame.layout.nb_channels > MOST_CHANNELS:
            raise SoundError(f"{self._path}: {frame.layout.nb_channels} channels; at most {MOST_CHANNELS} are read")

    def check(self, container: av.container.InputContainer) -> None:
        flaw = flaw_of(self._path, container, self._stream, decoded=self.num_samples)
        if flaw is not None:
            raise SoundError(f"{self._path}: {flaw}; fetch it again or leave it out")
        if not self.num_samples:
            raise SoundError(f"{self._path}: its sound has no samples; leave it out")


def _mean(frame: av.AudioFrame) -> np.ndarray:
    """float32 (samples,) of interleaved float32 (1, samples * channels)."""
    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.audio.stream.AudioStream]]:
    with unreadable_where_it_fails(path, problem=SoundError):
        _check_file(path)
        try:
            container = open_local(path)
        except InvalidDataError as error:
            raise SoundError(f"{path}: not a sound, or cut off before its header: {reason_of(error)}") from error
        except ArgumentError as error:  # also the format that is none of SELF_CONTAINED
            raise SoundError(f"{path}: not a sound, or a list of other files: {reason_of(error)}") from error
        with container:
            yield container, _best_stream(path, container)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"sound file not found: {path}")
    if not path.is_file():
        raise SoundError(f"{path}: not a sound: it is a folder or a special file")
    if path.stat().st_size == 0:
        raise SoundError(f"{path}: the file is empty (0 bytes); fetch it again")


def _best_stream(path: Path, container: av.container.InputContainer) -> av.audio.stream.AudioStream:
    if container.format.name == "tty":  # FFmpeg renders plain text files as a video
        raise SoundError(f"{path}: not a sound: it is a text file")
    stream = container.streams.best("audio")
    if not isinstance(stream, av.audio.stream.AudioStream):
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        if container.streams.audio:
            raise SoundError(f"{path}: its sound cannot be decoded: its header gives no channels, rate or known form")
        raise SoundError(f"{path}: no sound in this file, only: {kinds}")
    # Read through getattr: a stream without decoder has no codec context, which the stubs do not say.
    if getattr(stream, "codec_context", None) is None:
        raise SoundError(f"{path}: no decoder for its sound in this build of PyAV")
    # One thread a reader: loader workers run in parallel already.
    stream.codec_context.thread_count = 1
    return stream
