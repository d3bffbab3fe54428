import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from make_videos import cut_off, read_indices, write_video
from nonlocalnet.data.annotations import load_video_list
from nonlocalnet.data.video import prepare_videos as prepare
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.frame_index import frame_index
from nonlocalnet.data.video.prepare_videos import prepare_videos
from nonlocalnet.data.video.reader import probe, read_frames
from nonlocalnet.data.video.reencode import EncodeSettings, decode_all, reencode

SETTINGS = EncodeSettings(short_side=32, keyframe_every=5, preset="veryfast")
UNEVEN_MS = [0, 40, 50, 200, 700, 710, 900, 1300]


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("plain.mp4", {}, (32, 48)),
        ("uneven.mkv", {"num_frames": 8, "pts_ms": UNEVEN_MS}, (32, 48)),
        ("late.mkv", {"num_frames": 8, "pts_ms": [ms + 500 for ms in UNEVEN_MS]}, (32, 48)),
        ("tall.mp4", {"height": 96, "width": 64}, (48, 32)),
        ("turned.mp4", {"rotation": 90}, (48, 32)),
        ("small_odd.mkv", {"height": 27, "width": 49, "codec": "mpeg4"}, (28, 48)),
        ("b_frames.avi", {}, (32, 48)),
        ("full_range.mp4", {"pix_fmt": "yuvj420p"}, (32, 48)),
        ("ten_bits.mp4", {"codec": "libx265", "pix_fmt": "yuv420p10le"}, (32, 48)),
        ("yuv444p.mp4", {"pix_fmt": "yuv444p"}, (32, 48)),
        ("sound.mp4", {"audio": True}, (32, 48)),
    ],
)
def test_the_same_frames_at_the_same_times(tmp_path, name, options, size):
    source = write_video(tmp_path / name, **{"num_frames": 20, **options})
    target = tmp_path / "copy.mp4"
    reencode(source, target, settings=SETTINGS)
    before, after = frame_index(source), frame_index(target)
    frames = read_frames(target, range(after.num_frames))
    assert tuple(frames.shape[1:3]) == size
    assert read_indices(frames) == list(range(before.num_frames))
    assert np.allclose(after.seconds, before.seconds, atol=1e-3)
    assert all(after.keyframes[1:] - after.keyframes[:-1] <= 5)
    info = probe(target)
    assert info.codec == "h264"
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.parametrize(
    ("pix_fmt", "colorspace", "color_range"),
    [
        ("yuv420p", 1, 1),
        ("yuv420p", 5, 1),
        ("yuv420p", 2, 0),
        ("yuvj420p", 5, 2),
        ("yuv420p", 1, 2),
    ],
)
def test_colours_stay_what_they_were(tmp_path, pix_fmt, colorspace, color_range):
    path = tmp_path / "colours.mp4"
    rng = np.random.default_rng(0)
    patches = np.kron(rng.integers(30, 226, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, pix_fmt
        stream.codec_context.colorspace, stream.codec_context.color_range = colorspace, color_range
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(patches, format="rgb24").reformat(format=pix_fmt, threads=1)
            frame.colorspace, frame.color_range = colorspace, color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reencode(path, tmp_path / "copy.mp4", settings=EncodeSettings(short_side=64, crf=1))
    before, after = read_frames(path, [1]).float(), read_frames(tmp_path / "copy.mp4", [1]).float()
    centres = (slice(None), slice(8, None, 16), slice(8, None, 16))
    assert (before[centres] - after[centres]).abs().max() <= 4
    assert (before[centres].amax() - before[centres].amin()) > 100


def test_what_cannot_be_read_whole_is_refused(tmp_path):
    cut = cut_off(write_video(tmp_path / "cut.mp4", mux_options={"movflags": "faststart"}), 0.7)
    with pytest.raises(VideoError, match=r"cut.mp4: truncated"):
        reencode(cut, tmp_path / "copy.mp4", settings=SETTINGS)
    hole = write_video(tmp_path / "hole.mp4", gop=250, b_frames=0)
    with av.open(str(hole)) as container:
        positions = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(hole.read_bytes())
    start, size = positions[20]
    data[start : start + size] = b"\xff" * size
    hole.write_bytes(data)
    with pytest.raises(VideoError, match=r"hole.mp4: broken after 20 frames"):
        reencode(hole, tmp_path / "copy.mp4", settings=SETTINGS)


def test_damage_in_vp9_is_no_whole_copy(tmp_path):
    """FFmpeg's own decoder makes frames up where libvpx, which everything else is read by, notices the damage."""
    whole = write_video(tmp_path / "whole.webm", codec="libvpx-vp9", gop=250)
    content = whole.read_bytes()
    damaged = tmp_path / "damaged.webm"
    noticed = 0
    for place in range(len(content) // 10, len(content) * 9 // 10, len(content) // 40):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            read_frames(damaged, range(40))
        except VideoError:
            noticed += 1
            with pytest.raises(VideoError, match=r"damaged.webm: "):
                reencode(damaged, tmp_path / "copy.mp4", settings=SETTINGS)
    assert noticed > 0
    assert decode_all(whole) == 40


def test_a_target_that_cannot_be_written_is_not_the_videos_fault(tmp_path):
    source = write_video(tmp_path / "a.mp4", num_frames=3)
    with pytest.raises(OSError, match="nowhere"):
        reencode(source, tmp_path / "nowhere" / "copy.mp4", settings=SETTINGS)


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    (folder / "class b" / "deep").mkdir(parents=True)
    write_video(folder / "a.avi", num_frames=6)
    write_video(folder / "class b" / "deep" / "c.mkv", num_frames=6)
    cut_off(write_video(folder / "class b" / "broken.mp4", num_frames=6), 0.4)
    (folder / "train.csv").write_text("path,label\na.avi,0\nclass b/deep/c.mkv,1\n")
    (folder / "class b" / "notes.md").touch()
    (folder / ".hidden").mkdir()
    return folder


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_folder_is_copied_resumed_and_loaded(source, tmp_path, workers):
    out = tmp_path / "out"
    moves = []
    report = prepare_videos(source, out, settings=SETTINGS, workers=workers, on_video=lambda: moves.append(1))
    assert (report.written, report.kept, len(report.broken), len(moves)) == (2, 0, 1, 3)
    assert "class b/broken.mp4: not a video, or cut off before its header" in report.broken[0]
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == ["a.mp4", "class b/deep/c.mp4", "prepared.json", "train.csv"]
    videos = load_video_list(out / "train.csv")
    assert [entry.path.name for entry in videos.entries] == ["a.mp4", "c.mp4"]
    again = prepare_videos(source, out, settings=SETTINGS, workers=1)
    assert (again.written, again.kept, len(again.broken)) == (0, 2, 1)


def test_what_changed_or_was_interrupted_is_done_again(source, tmp_path, monkeypatch):
    out = tmp_path / "out"
    written = []

    def failing(path, target, *, settings):
        target.write_bytes(b"half of it")
        written.append(path.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        real(path, target, settings=settings)

    real = prepare.reencode
    monkeypatch.setattr(prepare, "reencode", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare_videos(source, out, settings=SETTINGS, workers=1)
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["a.mp4", "prepared.json", "train.csv"]
    monkeypatch.undo()
    assert prepare_videos(source, out, settings=SETTINGS, workers=1).kept == 1
    later = out.joinpath("a.mp4").stat().st_mtime_ns + 10**9
    os.utime(source / "a.avi", ns=(later, later))
    os.utime(out / "class b" / "deep" / "c.mp4", ns=(later, later))
    report = prepare_videos(source, out, settings=SETTINGS, workers=1)
    assert (report.written, report.kept) == (1, 1)


def test_what_is_kept_is_checked(source, tmp_path):
    out = tmp_path / "out"
    prepare_videos(source, out, settings=SETTINGS, workers=1)
    good, frames = (out / "a.mp4").read_bytes(), decode_all(out / "a.mp4")
    with av.open(str(out / "a.mp4")) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][3]
    short = write_video(tmp_path / "short.mp4", num_frames=5).read_bytes()
    hole = good[:position] + b"\xff" * size + good[position + size :]
    for damaged in (good[:-100], hole, short, b""):
        (out / "a.mp4").write_bytes(damaged)
        report = prepare_videos(source, out, settings=SETTINGS, workers=1)
        assert (report.written, report.kept) == (1, 1)
        # Not to the byte: with its usual settings x264 may choose otherwise another time.
        assert (out / "a.mp4").read_bytes() != damaged
        assert decode_all(out / "a.mp4") == frames


def test_two_at_once_write_whole_files(source, tmp_path):
    out = tmp_path / "out"
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(prepare_videos, source, out, settings=SETTINGS, workers=1) for _ in range(2)]
        assert all(len(run.result().broken) == 1 for run in runs)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == ["a.mp4", "class b/deep/c.mp4", "prepared.json", "train.csv"]
    assert all(decode_all(out / name) == 6 for name in files[:2])


def test_names_of_any_length_and_links_in_circles(tmp_path):
    long = "n" * 251 + ".mp4"
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    write_video(source / long, num_frames=2)
    (source / "deep" / "up").symlink_to("..", target_is_directory=True)
    (source / "a.mp4").symlink_to("b.mp4")
    (source / "b.mp4").symlink_to("a.mp4")
    report = prepare_videos(source, tmp_path / "out", settings=SETTINGS, workers=1)
    assert (report.written, report.kept) == (1, 0)
    assert frame_index(tmp_path / "out" / long).num_frames == 2
    assert len(report.broken) == 2
    assert "a.mp4: cannot be opened: Too many levels of symbolic links" in report.broken[0]


def test_a_crash_of_the_decoder_is_one_broken_video(source, tmp_path, monkeypatch):
    monkeypatch.setattr(
        prepare, "run_each", lambda *_, **__: iter([(0, None), (1, prepare._Outcome()), (2, prepare._Outcome())])
    )
    report = prepare_videos(source, tmp_path / "out", settings=SETTINGS, workers=1)
    assert len(report.broken) == 1
    assert report.broken[0].endswith("a.avi: the process that read it died")


def test_foreign_folders_are_refused_and_left_alone(source, tmp_path):
    def run(out: Path, settings: EncodeSettings = SETTINGS, source: Path = source):
        prepare_videos(source, out, settings=settings, workers=1)

    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="busy exists and is not empty; give a new or empty folder"):
        run(busy)
    assert [path.name for path in busy.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match=r"thesis.txt exists and is not a folder"):
        run(busy / "thesis.txt")
    with pytest.raises(ValueError, match="one must not lie in the other"):
        run(source / "out")
    with pytest.raises(ValueError, match="one must not lie in the other"):
        run(source.parent)
    with pytest.raises(FileNotFoundError, match="no such folder of videos"):
        run(tmp_path / "out", source=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="busy: no videos found"):
        run(tmp_path / "out", source=busy)
    write_video(source / "a.mp4", num_frames=2)
    with pytest.raises(ValueError, match=r"a.mp4 and .*a.avi would both become .*out/a.mp4; rename one"):
        run(tmp_path / "out")
    (source / "a.mp4").unlink()
    run(tmp_path / "out")
    with pytest.raises(ValueError, match=r'was prepared with other settings .*"short_side": 32'):
        run(tmp_path / "out", EncodeSettings(short_side=64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"short_side": 15}, "short_side must be even and at least 16, got 15"),
        ({"short_side": 33}, "short_side must be even and at least 16, got 33"),
        ({"keyframe_every": -1}, "keyframe_every must be at least 0, got -1"),
        ({"crf": 52}, "crf must be from 0 to 51, got 52"),
        ({"preset": "quick"}, "preset must be one of ultrafast, .*, got 'quick'"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        EncodeSettings(**options)


def test_turning_changes_no_value(tmp_path):
    turned = write_video(tmp_path / "t.mp4", num_frames=2, rotation=270)
    reencode(turned, tmp_path / "copy.mp4", settings=EncodeSettings(short_side=64, crf=0))
    difference = read_frames(turned, [0, 1]).int() - read_frames(tmp_path / "copy.mp4", [0, 1]).int()
    assert torch.equal(difference, torch.zeros_like(difference))
