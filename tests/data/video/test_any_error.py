"""Whatever PyAV raises is an unreadable video, by name; and what only the metadata has wrong is read right."""

import itertools
import random
from pathlib import Path

import av.error
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from make_videos import cut_off, read_indices, write_video
from nonlocalnet.data.annotations import VideoEntry, VideoList
from nonlocalnet.data.clips.datasets import TrainVideos
from nonlocalnet.data.clips.windows import ClipGeometry
from nonlocalnet.data.video.check_videos import check_videos
from nonlocalnet.data.video.decoding import exact_frames
from nonlocalnet.data.video.errors import VideoError, unreadable_where_it_fails
from nonlocalnet.data.video.reader import VideoReader, probe, read_frames
from nonlocalnet.data.video.reencode import EncodeSettings, reencode

CONTAINERS = {
    "a.mp4": {},
    "a.mov": {},
    "a.mkv": {},
    "a.webm": {"codec": "libvpx-vp9"},
    "a.avi": {"codec": "mpeg4"},
    "a.ts": {},
    "a.flv": {},
    "a.mpg": {"codec": "mpeg2video"},
    "a.wmv": {"codec": "wmv2"},
    "a.m4v": {},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("containers")
    return {
        name: write_video(folder / name, num_frames=6, **options).read_bytes() for name, options in CONTAINERS.items()
    }


@pytest.mark.parametrize("name", CONTAINERS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(
        st.tuples(st.integers(0, 1500), st.sampled_from((0, 1, 0x7F, 0x80, 0xD6, 0xFF))), min_size=1, max_size=8
    ),
    at_end=st.booleans(),
)
def test_mutated_headers_are_read_or_refused(tmp_path, files, name, places, at_end):
    data = bytearray(files[name])
    for place, value in places:
        data[-1 - place % len(data) if at_end else place % len(data)] = value
    path = tmp_path / name
    path.write_bytes(data)
    refusal = path.name
    try:
        with VideoReader(path) as reader:
            reader.read(range(min(reader.index.num_frames, 10)), short_side=16)
        reencode(path, tmp_path / "copy.mp4", settings=EncodeSettings(short_side=16, preset="ultrafast"))
    except VideoError as error:
        refusal = str(error)
    assert path.name in refusal


def test_metadata_in_another_encoding_is_no_damage(tmp_path):
    path = write_video(tmp_path / "a.avi", codec="mpeg4", num_frames=6)
    data = path.read_bytes()
    at = data.index(b"Lavf")
    path.write_bytes(data[:at] + b"\xd6" + data[at + 1 :])
    if int(av.__version__.split(".")[0]) < 19:
        with pytest.raises(UnicodeDecodeError), av.open(str(path)):  # what PyAV does unless it is told otherwise
            pass
    assert probe(path).num_frames == 6
    assert read_indices(read_frames(path, range(6))) == list(range(6))
    reencode(path, tmp_path / "copy.mp4", settings=EncodeSettings(short_side=64))
    assert read_indices(read_frames(tmp_path / "copy.mp4", range(6))) == list(range(6))


class _Refusing:
    """A container whose seek fails, as that of damaged Matroska files does; everything else is the real one."""

    def __init__(self, container, error):
        self._container, self._error = container, error

    def __getattr__(self, name):
        return getattr(self._container, name)

    def seek(self, *_, **__):
        raise self._error


def test_a_seek_that_is_refused_is_gone_round(tmp_path):
    path = write_video(tmp_path / "a.mkv", num_frames=30)
    expected = read_frames(path, [3, 25])
    with VideoReader(path) as reader:
        reader._container = _Refusing(reader._container, av.error.PermissionError(1, "Operation not permitted"))
        assert torch.equal(reader.read([3, 25]), expected)


@pytest.mark.parametrize(
    "error",
    [
        av.error.PermissionError(1, "Operation not permitted"),
        av.error.PatchWelcomeError(1, "not yet"),
        av.error.MemoryError(12, "Cannot allocate memory"),
        UnicodeDecodeError("utf-8", b"\xd6", 0, 1, "invalid continuation byte"),
        OverflowError("too large"),
        KeyError("unknown"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_is_raised_is_counted_named_and_replaced(tmp_path, monkeypatch, error):
    bad, good = write_video(tmp_path / "bad.mp4", num_frames=8), write_video(tmp_path / "good.mp4", num_frames=8)
    real = exact_frames.decoder_of
    real_open = exact_frames.open_video

    def failing(path):
        if path == bad:
            raise error
        return real_open(path)

    def no_decoder(stream, *, turned):
        if stream.container.name.endswith("bad.mp4"):
            raise error
        return real(stream, turned=turned)

    monkeypatch.setattr(exact_frames, "decoder_of", no_decoder)
    monkeypatch.setattr(exact_frames, "open_video", failing)
    with pytest.raises(VideoError, match=r"bad\.mp4: broken: .+"):
        read_frames(bad, [0])
    videos = VideoList((VideoEntry(bad, 0), VideoEntry(good, 1)), None, "list")
    findings = check_videos(videos, workers=1).findings
    assert [finding.state for finding in findings] == ["broken", "readable"]
    clips = TrainVideos(videos, ClipGeometry(2, 2), short_side=(32, 32), crop=32, seed=0)
    clip = clips[0, 0]
    assert clip["replaced"]
    assert clip["label"] == 1
    assert "bad.mp4" in clip["error"]


def test_errors_of_the_caller_stay_their_own(tmp_path):
    path = write_video(tmp_path / "a.mp4", num_frames=2)

    def crop(height, width):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        read_frames(path, [0], crop=crop)
    with pytest.raises(FileNotFoundError), unreadable_where_it_fails(path):
        raise FileNotFoundError(path)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_truncated_avi_never_reads_as_a_shorter_one(tmp_path, codec):
    path = write_video(tmp_path / "a.avi", codec=codec, num_frames=40)
    whole = path.read_bytes()
    # Up to the index, which the frames do not need.
    for share in [0.05, 0.3, *(random.Random(0).uniform(0.5, 1) for _ in range(25))]:
        path.write_bytes(whole)
        cut_off(path, share)
        assert _read_whole_or_refused(path, 40, "truncated", "cut off before its header")


def test_a_truncated_flv_never_reads_as_a_shorter_one(tmp_path):
    path = write_video(tmp_path / "a.flv", codec="flv1", b_frames=0, num_frames=40)
    whole = path.read_bytes()
    assert _read_whole_or_refused(path, 40)
    for share in (random.Random(0).uniform(0.3, 1) for _ in range(25)):
        path.write_bytes(whole)
        cut_off(path, share)
        with pytest.raises(VideoError, match=rf"truncated: \d+ of {len(whole)} bytes are in the file"):
            probe(path)


def test_an_avi_that_repeats_frames_is_no_truncated_one(tmp_path):
    times = [100 * i + (500 if i > 9 else 0) for i in range(20)]
    path = write_video(tmp_path / "gap.avi", codec="mpeg4", b_frames=0, num_frames=20, pts_ms=times)
    assert read_indices(read_frames(path, range(20))) == list(range(20))


def test_an_avi_without_its_index_alone_is_whole(tmp_path):
    path = write_video(tmp_path / "a.avi", codec="mpeg4", num_frames=20)
    path.write_bytes(path.read_bytes()[: path.read_bytes().rindex(b"idx1")])
    assert read_indices(read_frames(path, range(20))) == list(range(20))


def _read_whole_or_refused(path: Path, num_frames: int, *reasons: str) -> bool:
    """Whether all frames are read, or the file is refused for one of the reasons."""
    try:
        found = read_indices(read_frames(path, range(probe(path).num_frames)))
    except VideoError as error:
        return any(reason in str(error) for reason in reasons)
    return found == list(range(num_frames))


def overwrite(path: Path, box: bytes, offset: int, value: int) -> Path:
    data = bytearray(path.read_bytes())
    at = data.index(box) + offset
    data[at : at + 4] = value.to_bytes(4, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("value", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("box", [(b"stts", 16), (b"stts", 12), (b"mdhd", 16), (b"mvhd", 16), (b"stsz", 12)])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_times_that_make_no_sense_lose_no_frame_silently(tmp_path, box, value, b_frames):
    path = overwrite(write_video(tmp_path / "a.mp4", num_frames=12, b_frames=b_frames), *box, value)
    assert _read_whole_or_refused(path, 12, "a.mp4: ")


def test_a_trimmed_video_is_still_the_trimmed_one(tmp_path):
    path = write_video(tmp_path / "a.mp4", num_frames=40, b_frames=0)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12  # length in the movie's thousandths of a second, start in the track's units
    data[at : at + 8] = (1500).to_bytes(4, "big") + (10240).to_bytes(4, "big")
    path.write_bytes(data)
    assert read_indices(read_frames(path, range(probe(path).num_frames))) == list(range(10, 25))


@pytest.mark.parametrize("part", [slice(0, None), slice(8, None), slice(0, 4), slice(40, 300)])
def test_a_zeroed_part_of_a_matroska_file_is_named(tmp_path, part):
    path = write_video(tmp_path / "a.mkv", num_frames=60, mux_options={"cluster_time_limit": "1000"})
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data.startswith(b"\x1f\x43\xb6\x75", at)]
    assert len(starts) > 3
    assert probe(path).num_frames == 60
    where = range(starts[1], starts[2])[part]
    data[where.start : where.stop] = bytes(len(where))
    path.write_bytes(data)
    with pytest.raises(VideoError, match=rf"a\.mkv: damaged at byte \d+ of {len(data)}: frames are missing there"):
        probe(path)


@pytest.mark.parametrize("name", ["12:30:05.mp4", "http:a.mp4", "concat:a.mp4", "pipe:0.mp4", "file:a.mp4", "%05d.mp4"])
def test_names_are_always_those_of_local_files(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(Path("plain.mp4"), num_frames=4).rename(name)
    assert read_indices(read_frames(name, range(4))) == list(range(4))
    copy = Path(f"copy-{name}")
    reencode(Path(name), copy, settings=EncodeSettings(short_side=64))
    assert read_indices(read_frames(copy, range(4))) == list(range(4))
    turned = Path(f"2:{name}")
    reencode(Path(name), turned, settings=EncodeSettings(short_side=64))
    assert probe(turned).num_frames == 4


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile {}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    ],
    ids=["concat", "hls"],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_playlist_leads_nowhere(tmp_path, text, beside):
    secret = write_video(tmp_path / "secret.mp4", num_frames=4)
    (tmp_path / "list.mp4").write_text(text.format(secret.name if beside else secret))
    with pytest.raises(VideoError, match=r"list\.mp4: "):
        probe(tmp_path / "list.mp4")


def _is_refused_or_whole(path: Path, *, frames: int) -> bool:
    """Whether it is refused; a file that is read has all its frames."""
    try:
        found = probe(path).num_frames
    except VideoError:
        return True
    assert found == frames
    return False


def test_a_changed_header_of_a_cluster_loses_no_frame_without_a_word(tmp_path):
    whole = write_video(tmp_path / "a.mkv", num_frames=90).read_bytes()
    cluster = whole.index(b"\x1f\x43\xb6\x75")
    refused = 0
    for place, bit in itertools.product(range(cluster + 4, cluster + 24), (0x01, 0x10, 0x80)):
        changed = bytearray(whole)
        changed[place] ^= bit
        path = tmp_path / f"{place}_{bit}.mkv"  # indices are kept by name
        path.write_bytes(changed)
        refused += _is_refused_or_whole(path, frames=90)
    assert refused > 10


def test_a_changed_size_of_a_frame_loses_none_without_a_word(tmp_path):
    whole = write_video(tmp_path / "a.mp4", num_frames=40).read_bytes()
    table = whole.index(b"stsz") + 16
    for frame in range(0, 40, 4):
        changed = bytearray(whole)
        changed[table + 4 * frame] = 0x01  # 16 MB more
        path = tmp_path / f"{frame}.mp4"
        path.write_bytes(changed)
        with pytest.raises(VideoError):
            probe(path)
