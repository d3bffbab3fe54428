"""Damaged tables of an mp4 file lose no frame and swap none; files that leave frames out on purpose are read so."""

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from make_videos import read_indices, write_video
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.reader import VideoReader
from nonlocalnet.data.video.reencode import EncodeSettings, decode_all, reencode

_FRAMES = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    uneven = [100 * i + 37 * i * i % 61 for i in range(_FRAMES)]
    files = {
        "even": write_video(folder / "even.mp4", num_frames=_FRAMES),
        "uneven": write_video(folder / "uneven.mp4", num_frames=_FRAMES, pts_ms=uneven),
        "no_b": write_video(folder / "no_b.mp4", num_frames=_FRAMES, b_frames=0),
    }
    return {name: path.read_bytes() for name, path in files.items()}


def _table(data: bytes, box: bytes) -> range:
    """Where the content of a box lies."""
    at = data.index(box)
    (size,) = struct.unpack_from(">I", data, at - 4)
    return range(at + 4, at - 4 + size)


def _changes(data: bytes, box: bytes) -> Iterator[bytes]:
    for place in _table(data, box):
        for bit in (0x01, 0x10 if place % 2 else 0x80):
            yield data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def _read_or_none(path: Path) -> list[int] | None:
    try:
        return _read(path)
    except VideoError:
        return None


def _read(path: Path) -> list[int]:
    with VideoReader(path) as reader:
        return read_indices(reader.read(range(reader.index.num_frames)))


@pytest.mark.parametrize("box", [b"ctts", b"elst", b"stts", b"stsz"])
@pytest.mark.parametrize("kind", ["even", "uneven", "no_b"])
def test_any_changed_byte_gives_the_same_frames_or_a_refusal(tmp_path, whole, kind, box):
    if box not in whole[kind]:
        assert (kind, box) == ("no_b", b"ctts")
        return
    for number, changed in enumerate(_changes(whole[kind], box)):
        path = tmp_path / f"{number}.mp4"  # indices are kept by name
        path.write_bytes(changed)
        assert _read_or_none(path) in (None, list(range(_FRAMES))), f"byte {number // 2} of {box.decode()}"
        path.unlink()


def test_an_edit_list_that_is_not_meant_is_not_followed(tmp_path, whole):
    data = bytearray(whole["even"])
    at = _table(data, b"elst").start + 8
    length, start = struct.unpack_from(">ii", data, at)
    struct.pack_into(">ii", data, at, length, start + 5000)
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with av.open(str(path)) as container:  # what FFmpeg leaves of it
        assert sum(1 for _ in container.decode(video=0)) < _FRAMES
    assert _read(path) == list(range(_FRAMES))
    assert decode_all(path) == _FRAMES
    reencode(path, tmp_path / "copy.mp4", settings=EncodeSettings(short_side=64))
    assert _read(tmp_path / "copy.mp4") == list(range(_FRAMES))
    with VideoReader(path) as reader:
        assert read_indices(reader.read([9, 2])) == [9, 2]


def test_frames_that_change_places_are_named(tmp_path, whole):
    data = bytearray(whole["even"])
    content = _table(data, b"ctts")
    rows = [content.start + 8 + 8 * row for row in range((len(content) - 8) // 8)]
    # Of the frames that are shown later than the one decoded after them.
    late = max(rows, key=lambda at: struct.unpack_from(">I", data, at + 4)[0])
    (offset,) = struct.unpack_from(">I", data, late + 4)
    struct.pack_into(">I", data, late + 4, offset - 1536)  # a frame and a half
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=r"a\.mp4: damaged: by the times in its header frame \d+ is shown before"):
        _read(tmp_path / "a.mp4")


def _copied(source: Path, target: Path, *, shift: float = 0.0, without_last: int = 0, **options: str) -> Path:
    """The packets of a video in another file, as `ffmpeg -c copy` writes them, that many seconds earlier."""
    with (
        av.open(str(source)) as read,
        av.open(str(target), "w", options={"avoid_negative_ts": "disabled", **options}) as written,
    ):
        stream = written.add_stream_from_template(read.streams.video[0])
        packets = [packet for packet in read.demux(video=0) if packet.size]
        for packet in packets[: len(packets) - without_last]:
            units = int(shift / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - units, packet.dts - units, stream
            written.mux(packet)
    return target


@pytest.mark.parametrize("kind", ["even", "uneven", "no_b"])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_files_that_are_cut_without_decoding_are_read(tmp_path, whole, kind, suffix):
    source = tmp_path / "source.mp4"
    source.write_bytes(whole[kind])
    every = list(range(_FRAMES))
    assert _read(_copied(source, tmp_path / f"later.{suffix}", shift=-0.45)) == every
    assert _read(_copied(source, tmp_path / f"signed.{suffix}", movflags="negative_cts_offsets")) == every
    assert _read(_copied(source, tmp_path / f"none.{suffix}", use_editlist="0")) == every
    trimmed = _read(_copied(source, tmp_path / f"trimmed.{suffix}", shift=0.55))
    assert trimmed == every[6:]
    cut = _read(_copied(source, tmp_path / f"cut.{suffix}", without_last=1))
    assert len(cut) == _FRAMES - 1
    assert cut == sorted(cut)


@pytest.mark.parametrize("kind", ["even", "uneven", "no_b"])
@pytest.mark.parametrize("flags", ["frag_keyframe", "frag_keyframe+empty_moov"])
def test_fragments_are_read_to_the_last(tmp_path, whole, kind, flags):
    source = tmp_path / "source.mp4"
    source.write_bytes(whole[kind])
    # Without empty_moov the edit list is written when only the first fragment is known, with a length of 0.
    assert _read(_copied(source, tmp_path / "a.mp4", movflags=flags)) == list(range(_FRAMES))


_BOXES = [
    *(b"ctts", b"stts", b"stsc", b"stco", b"stsz", b"stss", b"stsd", b"elst", b"edts", b"mdhd"),
    *(b"mvhd", b"tkhd", b"hdlr", b"minf", b"mdia", b"trak", b"avcC", b"vmhd", b"dinf"),
]


@pytest.mark.parametrize("kind", ["even", "uneven", "no_b"])
def test_a_box_that_is_gone_gives_the_same_frames_or_one_sentence(tmp_path, whole, kind):
    data = whole[kind]
    refused: dict[bytes, str] = {}
    for box in _BOXES:
        if box not in data:
            continue
        path = tmp_path / f"{box.decode()}.mp4"
        path.write_bytes(data.replace(box, b"free", 1))
        try:
            read = _read(path)
        except VideoError as error:
            refused[box] = str(error)
            continue
        assert read == list(range(_FRAMES)), box
    assert {b"stts", b"stsc", b"stco", b"stsz"} <= set(refused)
    assert (b"ctts" in refused) == (kind != "no_b")
    assert not [box for box, said in refused.items() if "recursion" in said]
