"""Sounds of every form that users have come out as one waveform; whatever is no whole sound is refused by name."""

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from make_sounds import encode_sound, tone, write_wav
from make_videos import write_video
from nonlocalnet.data.sound.reader import SoundError, probe_sound, read_sound


def as_read(samples, bits: int) -> torch.Tensor:
    """What integers of so many bits stand for."""
    return torch.from_numpy(np.rint(np.asarray(samples, np.float64) * 2 ** (bits - 1)) / 2 ** (bits - 1)).float()


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_integers_are_divided_by_their_range(tmp_path, bits, rate):
    samples = tone(440, sample_rate=rate)
    path = write_wav(tmp_path / "a.wav", samples, bits=bits, sample_rate=rate)
    sound = read_sound(path, sample_rate=rate)
    assert sound.dtype == torch.float32
    assert torch.equal(sound, as_read(samples, bits))
    info = probe_sound(path)
    assert (info.sample_rate, info.channels, info.num_samples, info.seconds) == (rate, 1, rate // 2, 0.5)


@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le"])
def test_floats_are_taken_as_they_are_above_1_too(tmp_path, codec):
    samples = tone(440, sample_rate=16000, volume=3.0)
    path = encode_sound(tmp_path / "a.wav", samples, codec=codec)
    assert torch.equal(read_sound(path, sample_rate=16000), torch.from_numpy(samples))


def test_channels_are_mixed_by_their_mean(tmp_path):
    left, right = tone(440), tone(1000)
    path = write_wav(tmp_path / "a.wav", [left, right])
    mean = (as_read(left, 16) + as_read(right, 16)) / 2
    assert torch.allclose(read_sound(path, sample_rate=8000), mean, atol=1e-7)
    six = [tone(200 + 100 * channel) for channel in range(6)]  # of 5.1, where FFmpeg's own mix has other weights
    path = write_wav(tmp_path / "six.wav", six)
    mean = torch.stack([as_read(channel, 16) for channel in six]).mean(0)
    assert torch.allclose(read_sound(path, sample_rate=8000), mean, atol=1e-6)
    opposed = write_wav(tmp_path / "opposed.wav", [left, -left])
    assert read_sound(opposed, sample_rate=16000).abs().max() < 1e-4


@pytest.mark.parametrize("channels", [8, 9, 16, 64])
@pytest.mark.parametrize("asked", [8000, 16000])
def test_many_channels_are_mixed_too(tmp_path, channels, asked):
    """Of more than 8, a way through planes ended the process."""
    path = write_wav(tmp_path / "a.wav", [tone(440) * (i + 1) / channels for i in range(channels)])
    sound = read_sound(path, sample_rate=asked)
    expected = torch.from_numpy(tone(440, sample_rate=asked)) * (channels + 1) / (2 * channels)
    assert (sound - expected)[200:-200].abs().max() < 2e-3
    assert probe_sound(path).channels == channels


def test_forms_that_no_sound_has_are_refused_by_name(tmp_path):
    path = write_wav(tmp_path / "a.wav", [tone(440, seconds=0.05)] * 65)
    with pytest.raises(SoundError, match=r"a\.wav: 65 channels; at most 64 are read"):
        read_sound(path, sample_rate=8000)
    for rate in (1, 99, 768_001, 3_000_000):
        path = write_wav(tmp_path / "a.wav", tone(440), sample_rate=rate)
        for read in (probe_sound, lambda path: read_sound(path, sample_rate=8000)):
            with pytest.raises(
                SoundError, match=rf"a\.wav: {rate} samples a second, where sounds have from 100 to 768000"
            ):
                read(path)


@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le"])
def test_values_that_the_front_cannot_square_are_refused(tmp_path, codec):
    path = encode_sound(tmp_path / "a.wav", tone(440, sample_rate=16000, volume=1e30), codec=codec)
    with pytest.raises(SoundError, match=r"a\.wav: holds values up to 1e\+30, where sounds go from -1 to 1"):
        read_sound(path, sample_rate=16000)
    path = encode_sound(tmp_path / "b.wav", tone(440, sample_rate=16000, volume=2.0**31), codec=codec)
    assert read_sound(path, sample_rate=16000).max() > 1e9  # integers that were not scaled


@pytest.mark.parametrize(("stored", "asked"), [(44100, 16000), (44100, 8000), (8000, 16000), (11025, 16000)])
def test_another_rate_is_the_same_tone(tmp_path, stored, asked):
    path = write_wav(tmp_path / "a.wav", tone(440, sample_rate=stored), sample_rate=stored)
    sound = read_sound(path, sample_rate=asked)
    assert len(sound) == -(-(stored // 2) * asked // stored)
    inner = slice(asked // 20, -asked // 20)  # away from the ends, where the filter meets silence
    expected = torch.from_numpy(tone(440, seconds=len(sound) / asked, sample_rate=asked))
    assert (sound - expected)[inner].abs().max() < 2e-3


LOSSY = {"a.mp3": "libmp3lame", "a.m4a": "aac", "a.ogg": "libopus", "a.mka": "aac", "a.aac": "aac"}
WHOLE = {"a.flac": "flac", "a.aiff": "pcm_s16be", "a.au": "pcm_s16be", "a.caf": "pcm_s16le", "a.w64": "pcm_s16le"}


@pytest.mark.parametrize("name", [*LOSSY, *WHOLE])
def test_other_formats(tmp_path, name):
    samples = tone(440, seconds=2, sample_rate=16000)
    path = encode_sound(tmp_path / name, samples, codec={**LOSSY, **WHOLE}[name])
    sound = read_sound(path, sample_rate=16000)
    assert -1 <= len(sound) - len(samples) <= 0.2 * 16000
    spectrum = torch.fft.rfft(sound[4000:20000] * torch.hann_window(16000)).abs()
    assert spectrum.argmax() == 440  # Hz: of exactly one second


# a.aac is a stream for broadcast, which does not know its length.
@pytest.mark.parametrize("name", ["a.wav", *(name for name in (*LOSSY, *WHOLE) if name != "a.aac")])
@pytest.mark.parametrize("share", [0.3, 0.55, 0.9])
def test_truncated_files_are_refused_by_name(tmp_path, name, share):
    samples = (np.random.default_rng(0).standard_normal(32000) * 0.1).astype(np.float32)
    path = tmp_path / name
    if name == "a.wav":
        write_wav(path, samples)
    else:
        encode_sound(path, samples, codec={**LOSSY, **WHOLE}[name])
    data = path.read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    with pytest.raises(SoundError, match=rf"{name}: (truncated: \d+ of \d+|broken|not a sound, or cut off|its)"):
        read_sound(path, sample_rate=8000)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_a_truncated_wav_says_how_many_bytes_are_there(tmp_path, bits):
    path = write_wav(tmp_path / "a.wav", tone(440), bits=bits)
    data = path.read_bytes()
    path.write_bytes(data[:-2000])
    said = f"truncated: {len(data) - 2000} of {len(data)} bytes are in the file"
    # Older FFmpegs refuse to decode a part of a sample.
    with pytest.raises(SoundError, match=rf"a\.wav: ({said}|broken: Invalid data)"):
        read_sound(path, sample_rate=8000)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_as_long_as_it_is(tmp_path, length):
    path = write_wav(tmp_path / "a.wav", tone(440))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, length)
    path.write_bytes(data)
    assert len(read_sound(path, sample_rate=8000)) == 4000


def test_chunks_around_the_data(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(440))
    data = path.read_bytes()
    at = data.index(b"data")
    path.write_bytes(data[:at] + struct.pack("<4sI", b"LIST", 7) + b"INFOabc\0" + data[at:] + b"id3 \4\0\0\0abcd")
    assert torch.equal(read_sound(path, sample_rate=8000), as_read(tone(440), 16))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SoundError, match="truncated"):
        read_sound(path, sample_rate=8000)


def test_the_sound_of_a_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", audio=True)
    assert len(read_sound(path, sample_rate=8000)) > 0
    with pytest.raises(SoundError, match=r"b\.mp4: no sound in this file, only: video"):
        read_sound(write_video(tmp_path / "b.mp4"), sample_rate=8000)


def special(folder: Path, name: str) -> Path:
    path = folder / name
    if name == "empty.wav":
        path.touch()
    elif name == "zero.wav":
        write_wav(path, [])
    elif name == "text.wav":
        path.write_text("not a sound at all\n" * 40)
    elif name == "pipe.wav":
        os.mkfifo(path)
    elif name == "folder.wav":
        path.mkdir()
    elif name == "list.wav":
        path.write_text("ffconcat version 1.0\nfile other.wav\n")
    elif name == "nan.wav":
        encode_sound(path, np.array([0.5, np.nan] * 600, np.float32), codec="pcm_f32le")
    elif name == "header.wav":
        path.write_bytes(write_wav(path, tone(440)).read_bytes()[:30])
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.wav", r"the file is empty \(0 bytes\)"),
        ("zero.wav", "its sound has no samples"),
        ("text.wav", "not a sound"),
        ("pipe.wav", "not a sound: it is a folder or a special file"),
        ("folder.wav", "not a sound: it is a folder or a special file"),
        ("list.wav", "not a sound, or a list of other files"),
        ("nan.wav", "holds values that are no numbers"),
        ("header.wav", ""),
    ],
)
def test_what_is_no_sound_is_refused_by_name(tmp_path, name, message):
    path = special(tmp_path, name)
    with pytest.raises(SoundError, match=rf"{name}: {message}"):
        read_sound(path, sample_rate=8000)


def test_what_is_asked_wrongly(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(440))
    with pytest.raises(FileNotFoundError, match=r"sound file not found: .*no\.wav"):
        read_sound(tmp_path / "no.wav", sample_rate=8000)
    with pytest.raises(ValueError, match="sample_rate must be from 100 to 768000 a second, got 0"):
        read_sound(path, sample_rate=0)
    with pytest.raises(SoundError, match=r"a\.wav: longer than 0\.2 seconds"):
        read_sound(path, sample_rate=8000, longest_seconds=0.2)


@pytest.mark.parametrize("name", ["12:30:05.wav", "http:a.wav", "%d.wav", "-i.wav", "é \n.wav"])
def test_names_are_those_of_local_files(tmp_path, monkeypatch, name):
    path = write_wav(tmp_path / name, tone(440))
    assert len(read_sound(path, sample_rate=8000)) == 4000
    monkeypatch.chdir(tmp_path)
    assert len(read_sound(name, sample_rate=8000)) == 4000


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sounds")
    made = {"a.wav": write_wav(folder / "a.wav", tone(440, seconds=0.1)).read_bytes()}
    for name in ("a.mp3", "a.flac", "a.ogg", "a.m4a", "a.aiff"):
        samples = tone(440, seconds=0.2, sample_rate=16000)
        made[name] = encode_sound(folder / name, samples, codec={**LOSSY, **WHOLE}[name]).read_bytes()
    return made


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac", "a.ogg", "a.m4a", "a.aiff"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(0, 400), st.sampled_from((0, 1, 0x7F, 0x80, 0xFF))), min_size=1, max_size=6),
    kept=st.integers(1, 10),
)
def test_mutated_files_are_read_or_refused(tmp_path, files, name, places, kept):
    data = bytearray(files[name])
    for place, value in places:
        data[place % len(data)] = value
    path = tmp_path / name
    path.write_bytes(data[: len(data) * kept // 10])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            sound = read_sound(path, sample_rate=8000)
        except SoundError as error:
            assert path.name in str(error)  # noqa: PT017
        else:
            assert sound.dtype == torch.float32
            assert len(sound)
            assert torch.isfinite(sound).all()
