"""Frames one after the other: the same as those of a read, each final, in memory that does not grow."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from make_videos import decode_sequentially, write_video
from nonlocalnet.data.annotations import FrameFiles, VideoEntry
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.sources import open_source


def in_order(entry: VideoEntry, wanted: list[int]) -> tuple[list[int], torch.Tensor]:
    with open_source(entry) as source:
        found = list(source.in_order(np.array(wanted), short_side=64))
    return [number for number, _ in found], torch.stack([frame for _, frame in found])


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "libx264"), ("mkv", "libx265"), ("avi", "libx264"), ("webm", "libvpx-vp9"), ("ts", "libx264")],
)
def test_as_a_decode_from_first_to_last(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_video(tmp_path / f"a.{suffix}", codec=codec, b_frames=3)
    wanted = [0, 1, 2, 7, 8, 20, 21, 22, 39]
    numbers, frames = in_order(VideoEntry(path, -1), wanted)
    assert numbers == wanted
    assert torch.equal(frames, decode_sequentially(path)[wanted])


def test_of_a_video_sampled_by_time_a_frame_may_stand_for_several(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", num_frames=10)
    for fps in (4.0, 25.0):
        entry = VideoEntry(path, -1, fps=fps)
        with open_source(entry) as source:
            wanted = list(range(source.num_frames))
            expected = source.read(wanted, short_side=64)
        numbers, frames = in_order(entry, wanted)
        assert numbers == wanted
        assert torch.equal(frames, expected)


def test_frames_after_damage_are_never_given(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", num_frames=90, gop=30, height=128, width=128, b_frames=3)
    exact = decode_sequentially(path)
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    for at in range(middle, middle + 400):
        data[at] ^= 0xA5
    path.write_bytes(data)
    given: list[tuple[int, torch.Tensor]] = []
    with (
        open_source(VideoEntry(path, -1)) as source,
        pytest.raises(VideoError, match=r"a\.mp4: broken: frame \d+ of 90 cannot be decoded") as in_order_said,
    ):
        given.extend(source.in_order(np.arange(90), short_side=128))
    # The frame is the one that a reader of chosen frames names.
    with (
        open_source(VideoEntry(path, -1)) as source,
        pytest.raises(VideoError, match=r"frame \d+ of 90 cannot be decoded") as chosen_said,
    ):
        source.read(list(range(90)), short_side=128)
    broken = re.compile(r"frame (\d+) of 90")
    assert broken.findall(str(in_order_said.value)) == broken.findall(str(chosen_said.value))
    # `extend` keeps what came before the error.
    assert 10 < len(given) < 60
    assert [number for number, _ in given] == list(range(len(given)))
    assert all(torch.equal(frame, exact[number]) for number, frame in given)


def test_extracted_frames(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(1, 5):
        Image.new("RGB", (96, 64), (number * 40, 0, 0)).save(tmp_path / f"img_{number:05d}.jpg")
    entry = VideoEntry(tmp_path, -1, frames=FrameFiles("img_", 5), fps=2.0)
    numbers, frames = in_order(entry, [0, 2, 3])
    assert numbers == [0, 2, 3]
    assert [round(float(frame[0, 0, 0]), -1) for frame in frames] == [40, 120, 160]
    with open_source(entry) as source:
        assert source.duration_seconds == 2.0
