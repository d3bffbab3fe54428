"""Ogg and GIF that are cut off or damaged are refused, not read as shorter videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from make_videos import write_video
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.reader import count_frames, probe, read_frames

CUT_OFF = r"truncated: "
BY_A_BYTE = r"truncated: \d+ of \d+ bytes"
NO_PAGE = r"damaged: its page \d+, from byte \d+ on, is not as its checksum"
NO_END = r"truncated: at byte \d+ it ends without the mark of an end"
NO_BLOCK = "(truncated|damaged): at byte"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return {
        "ogv": write_video(folder / "a.ogv", codec="libvpx", options={"lag-in-frames": "0"}),
        "gif": write_video(folder / "a.gif", codec="gif", pix_fmt="rgb8"),
    }


@pytest.mark.parametrize("kind", ["ogv", "gif"])
def test_whole_ones_are_read(whole: dict[str, Path], kind: str) -> None:
    assert count_frames(whole[kind]) == 40


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _with_a_hole(content: bytes) -> bytes:
    return content[: len(content) // 3] + content[len(content) // 3 + 200 :]


@pytest.mark.parametrize(
    ("kind", "spoil", "reason"),
    [
        ("ogv", lambda content: content[: int(0.6 * len(content))], CUT_OFF),
        ("ogv", lambda content: content[:-1], BY_A_BYTE),
        ("ogv", _flipped, NO_PAGE),
        ("gif", lambda content: content[: int(0.6 * len(content))], NO_END),
        ("gif", lambda content: content[:-1], CUT_OFF),
        ("gif", _with_a_hole, NO_BLOCK),
    ],
)
def test_what_is_not_whole_is_refused_by_name_and_reason(
    whole: dict[str, Path], tmp_path: Path, kind: str, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    path = tmp_path / f"spoilt.{kind}"
    path.write_bytes(spoil(whole[kind].read_bytes()))
    for call in (probe, count_frames, lambda path: read_frames(path, [0])):
        with pytest.raises(VideoError, match=rf"spoilt\.{kind}: .*{reason}"):
            call(path)
