"""wmv and wma: holes are told from the payloads of the packets, which say what belongs where."""

import random
from pathlib import Path

import pytest

from make_sounds import encode_sound, tone
from make_videos import write_video
from nonlocalnet.data.sound.reader import read_sound
from nonlocalnet.data.video.containers.asf import asf_flaw
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.reader import probe

NUM_FRAMES = 30


@pytest.fixture
def video(tmp_path: Path) -> Path:
    size = {"num_frames": NUM_FRAMES, "height": 256, "width": 256}
    return write_video(tmp_path / "a.wmv", codec="wmv2", gop=10, b_frames=0, **size)


def test_an_overwritten_part_is_damage_where_frames_are_gone(video: Path) -> None:
    whole, draw = video.read_bytes(), random.Random(0)
    told = 0
    for _ in range(60):
        data, length = bytearray(whole), draw.choice((8, 60, 300, 1000))
        begin = draw.randrange(700, len(data) - length)
        data[begin : begin + length] = bytes(length)
        video.write_bytes(data)
        try:
            assert probe(video).num_frames == NUM_FRAMES
        except VideoError:
            told += 1
    assert 5 < told < 60


@pytest.mark.parametrize("packet", range(3))
def test_the_packet_is_named(video: Path, packet: int) -> None:
    data = bytearray(video.read_bytes())
    begin = data.index(bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")) + 50 + 3200 * packet  # FFmpeg's size
    data[begin : begin + 30] = bytes(30)
    video.write_bytes(data)
    with pytest.raises(
        VideoError, match=rf"a\.wmv: damaged: its packet {packet}, from byte {begin} on, makes no sense"
    ):
        probe(video)


def test_a_frame_that_lacks_its_middle_is_damage(video: Path) -> None:
    """Whole packets that are missing, though nothing in those that are left is wrong."""
    whole = video.read_bytes()
    data = whole.index(bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")) + 50
    moved = whole[: data + 3200] + whole[data + 6400 : data + 9600] + whole[data + 3200 : data + 6400]
    video.write_bytes(moved + whole[data + 9600 :])
    assert "makes no sense" in str(asf_flaw(video))


def test_a_live_recording_leaves_its_length_open(video: Path) -> None:
    data = bytearray(video.read_bytes())
    at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    data[at + 40 : at + 48] = (2**40).to_bytes(8, "little")
    video.write_bytes(data)
    with pytest.raises(VideoError, match=rf"truncated: {len(data)} of {2**40} bytes are in the file"):
        probe(video)
    data[at + 88] |= 1
    video.write_bytes(data)
    assert probe(video).num_frames == NUM_FRAMES


@pytest.mark.parametrize("codec", ["libmp3lame", "aac"])
def test_sounds_are_told_likewise(tmp_path: Path, codec: str) -> None:
    path = encode_sound(tmp_path / "a.wma", tone(440, seconds=3, sample_rate=16000), codec=codec)
    assert read_sound(path, sample_rate=16000).shape[-1] > 0
    data = bytearray(path.read_bytes())
    begin = data.index(bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")) + 50 + 3200
    data[begin : begin + 30] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.wma: damaged: its packet 1, "):
        read_sound(path, sample_rate=16000)
