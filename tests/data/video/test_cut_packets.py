"""Files without a table of their frames, cut anywhere: told from whole ones where they end within a packet."""

import random
from pathlib import Path

import pytest

from make_sounds import encode_sound, tone
from make_videos import read_indices, write_video
from nonlocalnet.data.sound.reader import read_sound
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.reader import probe, read_frames

# The packs of mpg are MPEG-1's, those of vob MPEG-2's.
CODECS = {"a.wmv": "wmv2", "a.ts": "libx264", "a.m2ts": "libx264", "a.mpg": "mpeg2video", "a.vob": "mpeg2video"}
NUM_FRAMES = 30


@pytest.fixture
def video(tmp_path, request) -> Path:
    name = request.param
    # As many bytes as make many packets.
    large = {"num_frames": NUM_FRAMES, "height": 256, "width": 256, "gop": 1, "b_frames": 0}
    if name == "a.m2ts":
        return _with_times(write_video(tmp_path / "a.ts", **large), tmp_path / name)
    return write_video(tmp_path / name, codec=CODECS[name], **large)


def _with_times(source: Path, path: Path) -> Path:
    """As on a disc: four bytes of time before each packet of 188."""
    packets = source.read_bytes()
    path.write_bytes(b"".join(b"\0\0\0\0" + packets[i : i + 188] for i in range(0, len(packets), 188)))
    return path


@pytest.mark.parametrize("video", CODECS, indirect=True)
def test_a_video_that_ends_within_a_packet_is_truncated(video):
    whole = video.read_bytes()
    assert read_indices(read_frames(video, range(NUM_FRAMES))) == list(range(NUM_FRAMES))
    packet = {"a.ts": 188, "a.m2ts": 192, "a.mpg": 2048, "a.vob": 2048}.get(video.name, 1)
    draw = random.Random(0)
    for _ in range(20):
        size = draw.randrange(len(whole) // 10, len(whole))
        # Between two packets nothing tells, nor within the four bytes of time.
        size += 5 if size % packet < 5 and packet > 1 else 0
        video.write_bytes(whole[:size])
        with pytest.raises(VideoError, match=rf"{video.name}: truncated: "):
            probe(video)


@pytest.mark.parametrize("video", ["a.ts", "a.m2ts", "a.mpg", "a.vob"], indirect=True)
@pytest.mark.parametrize("added", [b"\0" * 100, b"\0\0\1\xb9", b"written by a recorder"], ids=["zeros", "end", "text"])
def test_what_stands_behind_the_last_packet_is_no_part_of_it(video, added):
    video.write_bytes(video.read_bytes() + added)
    assert read_indices(read_frames(video, range(NUM_FRAMES))) == list(range(NUM_FRAMES))


def test_sounds_are_told_likewise(tmp_path):
    path = encode_sound(tmp_path / "a.ts", tone(440, seconds=3, sample_rate=16000), codec="mp2")
    assert read_sound(path, sample_rate=16000).shape[-1] > 0
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"a\.ts: truncated: at byte \d+ it ends in the middle of a packet"):
        read_sound(path, sample_rate=16000)
