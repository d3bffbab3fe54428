import gc
import os
import random
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from make_videos import (
    cut_off,
    decode_sequentially,
    index_image,
    read_index,
    read_indices,
    write_sound_only,
    write_two_streams,
    write_video,
)
from nonlocalnet.data.pixels.crops import CropBox
from nonlocalnet.data.video.decoding import codec as _decoder
from nonlocalnet.data.video.decoding import exact_frames as _decoding
from nonlocalnet.data.video.decoding import to_rgb as _to_rgb
from nonlocalnet.data.video.decoding.finish import Finish
from nonlocalnet.data.video.decoding.planes import plane_views
from nonlocalnet.data.video.reader import VideoError, count_frames, probe, read_frames

VARIABLE_MS = [int(t) for t in np.cumsum(np.random.default_rng(0).choice([20, 40, 350], 40))]

# Name of the file -> how it is encoded.
FORMATS = {
    "h264.mp4": {"b_frames": 3},
    "h264_one_keyframe.mp4": {"gop": 250},
    "h264_all_keyframes.mp4": {"gop": 1, "b_frames": 0},
    "h264_open_gop.mkv": {"options": {"x264-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12"}},
    "h264_intra_refresh.mkv": {"b_frames": 0, "options": {"intra-refresh": "1"}},
    "h264_yuv444.mp4": {"pix_fmt": "yuv444p"},
    "h264_sound_first.mp4": {"audio": True},
    "h264_broadcast.ts": {},
    "h264_b_frames.avi": {"b_frames": 3},
    "hevc.mp4": {"codec": "libx265", "b_frames": 3},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp9_hidden_frames.webm": {
        "codec": "libvpx-vp9",
        "options": {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"},
    },
    "vp9_yuv444.webm": {"codec": "libvpx-vp9", "pix_fmt": "yuv444p"},
    "vp9_turned.mp4": {"codec": "libvpx-vp9", "rotation": 90},
    "av1.mkv": {"codec": "libsvtav1"},
    "mpeg4_b_frames.avi": {"codec": "mpeg4"},
    "variable_rate.mp4": {"pts_ms": VARIABLE_MS},
    "variable_rate.mkv": {"pts_ms": VARIABLE_MS},
    "odd_size.mp4": {"height": 67, "width": 91, "pix_fmt": "yuv444p"},
    "odd_size.webm": {"height": 67, "width": 91, "codec": "libvpx-vp9"},
    "turned_90.mp4": {"rotation": 90},
    "turned_180.mp4": {"rotation": 180},
    "turned_270.mov": {"rotation": 270},
    "one_frame.mp4": {"num_frames": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def h264(folder) -> Path:
    return write_video(folder / "plain.mp4")


@pytest.mark.parametrize("name", FORMATS)
def test_every_window_equals_a_sequential_decode(folder, name):
    path = write_video(folder / name, **FORMATS[name])
    oracle = decode_sequentially(path)
    num_frames = FORMATS[name].get("num_frames", 40)
    # The oracle itself shows the frames in the order in which they were written, upright.
    assert read_indices(oracle) == list(range(num_frames))
    assert count_frames(path) == num_frames

    windows = [
        [(start + stride * i) % num_frames for i in range(6)] for start in range(0, 40, 3) for stride in (1, 2, 5)
    ]
    scattered = [random.Random(seed).choices(range(num_frames), k=seed + 1) for seed in range(8)]
    for indices in [*windows, *scattered, list(range(num_frames))]:
        assert torch.equal(read_frames(path, indices), oracle[indices]), indices


def test_probe(folder):
    path = write_video(folder / "probed.mp4", height=48, width=80, rotation=90, codec="libx265")
    info = probe(path)
    assert info.path == path
    assert (info.num_frames, info.codec) == (40, "hevc")
    assert (info.height, info.width) == (80, 48)  # after rotation
    assert info.fps == pytest.approx(10)
    assert info.duration_seconds == pytest.approx(4)


def test_probe_of_a_variable_frame_rate(folder):
    info = probe(write_video(folder / "rate.mkv", pts_ms=[0, 100, 1000, 1100, 2900], num_frames=5))
    assert info.duration_seconds == pytest.approx(2.9, abs=0.2)  # the last frame's length is the writer's guess
    assert info.fps == pytest.approx(5 / info.duration_seconds)


def test_of_several_video_streams_the_best_is_read(folder):
    path = write_two_streams(folder / "two.mp4")
    assert count_frames(path) == 20
    assert read_indices(read_frames(path, [19, 0, 7])) == [19, 0, 7]
    assert (probe(path).height, probe(path).width) == (64, 96)


def test_wanted_frames_are_decoded_once_and_few_others(folder, monkeypatch):
    path = write_video(folder / "long.mp4", num_frames=240, gop=24, b_frames=0)
    shown = []

    def counting(*args):
        frames = real(*args)
        shown.extend(frames or [])
        return frames

    real = _decoding._decode_or_none
    monkeypatch.setattr(_decoding, "_decode_or_none", counting)
    indices = [200, 50, 200, 51, 50]
    assert read_indices(read_frames(path, indices)) == indices
    # 48, 49, 50, 51 and 192 to 200: from the keyframes 48 and 192; reading on for frames in the pipeline is allowed.
    assert len(shown) <= 4 + 9 + 4


def test_non_reference_frames_are_skipped_only_where_that_is_exact(folder, monkeypatch):
    def frames_decoded(name, **encoding):
        path = write_video(folder / name, gop=250, **encoding)
        shown = []
        real = _decoding._decode_or_none
        with monkeypatch.context() as patch:
            patch.setattr(_decoding, "_decode_or_none", lambda *args: (f := real(*args), shown.extend(f or []))[0])
            read_frames(path, [39])
        return len(shown)

    assert frames_decoded("skip.mp4", b_frames=2) < 30
    assert frames_decoded("skip.mkv", codec="libsvtav1") == 40


def test_short_side_resizes_antialiased(folder):
    path = write_video(folder / "large.mp4", num_frames=3, height=240, width=320)
    small = read_frames(path, [0, 1, 2], short_side=60)
    assert small.shape == (3, 60, 80, 3)
    full = read_frames(path, [0, 1, 2]).permute(0, 3, 1, 2).double()
    reference = F.interpolate(full, size=(60, 80), mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    assert (small.double() - reference).abs().max() <= 1
    without_antialias = F.interpolate(full, size=(60, 80), mode="bilinear").permute(0, 2, 3, 1)
    assert (small.double() - without_antialias).abs().max() > 10


def test_the_crop_is_drawn_once_and_cut_from_every_frame(h264):
    calls = []

    def draw(height, width):
        calls.append((height, width))
        return CropBox(2, 31, 40, 41, 20, True)

    frames = read_frames(h264, [7, 3, 7], crop=draw)
    assert torch.equal(frames, CropBox(2, 31, 40, 41, 20, True).cut(read_frames(h264, [7, 3, 7])))
    assert calls == [(64, 96)]
    with pytest.raises(ValueError, match="give short_side or crop, not both"):
        read_frames(h264, [0], short_side=32, crop=draw)


# Sizes that the encoder takes; an odd height is converted whole, since FFmpeg interpolates its colours.
CROPPED = {
    "even.mp4": {"height": 64, "width": 98},
    "odd_width.mkv": {"height": 64, "width": 97, "codec": "mpeg4"},
    "odd_height.mkv": {"height": 63, "width": 97, "codec": "mpeg4"},
    "yuvj420p.mp4": {"height": 66, "width": 96, "pix_fmt": "yuvj420p"},
    "yuv444p.mp4": {"height": 64, "width": 96, "pix_fmt": "yuv444p"},
    "ten_bits.mp4": {"height": 64, "width": 96, "pix_fmt": "yuv420p10le", "codec": "libx265"},
    "turned.mp4": {"height": 64, "width": 96, "rotation": 90},
}


@pytest.mark.parametrize("name", CROPPED)
def test_cropping_before_the_conversion_gives_the_same_bytes(folder, name, monkeypatch):
    monkeypatch.setattr(_to_rgb, "_PIXELS_SAVED", 0)  # small frames, too
    path = write_video(folder / f"crop_{name}", num_frames=4, options={"crf": "35"}, **CROPPED[name])
    whole = decode_sequentially(path)
    height, width = whole.shape[1:3]
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        box_height, box_width = (int(torch.randint(1, side + 1, (), generator=generator)) for side in (height, width))
        top = int(torch.randint(height - box_height + 1, (), generator=generator))
        left = int(torch.randint(width - box_width + 1, (), generator=generator))
        box = CropBox(top, left, box_height, box_width, 16, False)
        assert torch.equal(read_frames(path, [1, 3], crop=lambda *_, box=box: box), box.cut(whole[[1, 3]])), box


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
def test_cropping_before_the_conversion_of_any_bytes(pix_fmt):
    """Noise, every colour space: what real pictures would hide shows."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = 2 * int(rng.integers(1, 80)), int(rng.integers(1, 300))
        frame = av.VideoFrame(width, height, pix_fmt)
        for plane in plane_views(frame):
            plane[:] = rng.integers(0, 256, plane.shape, np.uint8)
        frame.colorspace, frame.color_range = int(rng.choice((1, 2, 5, 9))), int(rng.choice((0, 1, 2)))
        top, left = int(rng.integers(height)), int(rng.integers(width))
        box = CropBox(top, left, int(rng.integers(height - top)) + 1, int(rng.integers(width - left)) + 1, 8, False)
        whole = torch.from_numpy(frame.to_ndarray(format="rgb24", threads=1))[None]
        converter = _to_rgb.ToRgb(Path("made.mp4"), Finish(short_side=None, crop=lambda *_, box=box: box))
        assert torch.equal(converter._convert_box(frame, box), box.region(whole)), (height, width, box)


@pytest.mark.parametrize(("rotation", "shape"), [(0, (32, 43)), (90, (32, 43)), (180, (32, 43))])
def test_short_side_of_turned_and_odd_sizes(folder, rotation, shape):
    sizes = {"height": 128, "width": 96} if rotation == 90 else {"height": 96, "width": 128}
    path = write_video(folder / f"side{rotation}.mp4", num_frames=2, rotation=rotation, **sizes)
    frames = read_frames(path, [1, 0], short_side=32)
    assert frames.shape == (2, *shape, 3)
    assert read_indices(frames) == [1, 0]


def test_short_side_must_be_positive(h264):
    with pytest.raises(ValueError, match="short_side must be at least 1, got 0"):
        read_frames(h264, [0], short_side=0)


def test_a_replaced_file_is_scanned_anew(folder):
    path = write_video(folder / "replaced.mp4", num_frames=5)
    assert count_frames(path) == 5
    write_video(path, num_frames=9)
    os.utime(path, ns=(1, 1))
    assert count_frames(path) == 9


@pytest.mark.parametrize("indices", [[-1], [0, 40]])
def test_index_out_of_range(h264, indices):
    with pytest.raises(
        ValueError, match=rf"plain.mp4: frame index {indices[-1]} is out of range: the video has 40 frames"
    ):
        read_frames(h264, indices)


def test_no_indices(h264):
    with pytest.raises(ValueError, match="frame_indices must hold at least one index"):
        read_frames(h264, [])


def test_missing_file(folder):
    for call in (probe, count_frames, lambda path: read_frames(path, [0])):
        with pytest.raises(FileNotFoundError, match=r"video file not found: .*nowhere.mp4"):
            call(folder / "nowhere.mp4")


def _empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def _text(path: Path) -> Path:
    path.write_text("hello\n" * 100)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _cover_picture(path: Path) -> Path:
    """A sound file with a picture, which FFmpeg lists as a video stream."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        picture = container.add_stream("mjpeg", rate=1)
        picture.height, picture.width, picture.pix_fmt = 32, 32, "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic.value
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(picture.encode(av.VideoFrame.from_ndarray(index_image(0, 32, 32)).reformat(format="yuvj420p")))
        container.mux(picture.encode())
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


FASTSTART = {"movflags": "faststart"}
BROKEN = {
    "empty.mp4": (_empty, r"the file is empty \(0 bytes\)"),
    "text.mp4": (_text, "not a video, or cut off before its header: Invalid data"),
    "text.txt": (_text, "not a video: it is a text file"),
    "folder.mp4": (_folder, "not a video: it is a folder"),
    "sound.m4a": (write_sound_only, "no video stream in this file, only: audio"),
    "cover.mp4": (_cover_picture, "no video stream in this file, only: a cover picture, audio"),
    "header_lost.mp4": (lambda p: cut_off(write_video(p), 0.5), "cut off before its header"),
    "cut.mp4": (
        lambda p: cut_off(write_video(p, mux_options=FASTSTART), 0.8),
        r"truncated: \d+ of 40 frames are in the file",
    ),
    "cut.mkv": (lambda p: cut_off(write_video(p), 0.6), r"truncated: \d+ of \d+ bytes are in the file"),
    "cut.webm": (lambda p: cut_off(write_video(p, codec="libvpx-vp9"), 0.6), r"truncated: \d+ of \d+ bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name_and_reason(folder, name):
    make, reason = BROKEN[name]
    path = make(folder / name)
    for call in (probe, count_frames, lambda path: read_frames(path, [0])):
        with pytest.raises(VideoError, match=f"{name}: .*{reason}"):
            call(path)


def test_vp9_is_read_without_libvpx_too(folder, monkeypatch):
    path = write_video(folder / "no_libvpx.webm", codec="libvpx-vp9")
    monkeypatch.setattr(_decoder, "_VP9", "no-such-decoder")
    assert read_indices(read_frames(path, [3, 30])) == [3, 30]


def test_frames_after_a_broken_packet_are_not_made_up(folder):
    path = write_video(folder / "hole.mp4", gop=250, b_frames=0)
    with av.open(str(path)) as container:
        positions = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    start, size = positions[20]
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    assert read_indices(read_frames(path, range(20))) == list(range(20))
    with pytest.raises(
        VideoError, match=r"hole.mp4: broken: got 20 of 40 wanted frames; frame 20 of 40 cannot be decoded"
    ):
        read_frames(path, range(40))


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("h264.mp4", {}),
        ("h264_one_keyframe.mkv", {"gop": 250}),
        ("h264.avi", {}),
        ("mpeg4.mp4", {"codec": "mpeg4"}),
        ("av1.mkv", {"codec": "libsvtav1"}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("vp9.mp4", {"codec": "libvpx-vp9"}),
    ],
)
def test_damage_inside_a_packet_never_gives_wrong_pixels(folder, name, encoding):
    """The container sees nothing, the decoder invents pixels, and frames shown earlier may refer to the damaged one."""
    path = write_video(folder / f"whole_{name}", height=128, width=128, **encoding)
    clean, data = decode_sequentially(path), path.read_bytes()
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    refused = 0
    for number in (4, 7, 8, 13):
        damaged = bytearray(data)
        start, size = data.index(packets[number]), len(packets[number])
        damaged[start + size // 2 : start + size] = b"\xff" * (size - size // 2)
        broken = folder / f"damaged_{number}_{name}"
        broken.write_bytes(damaged)
        for indices in [*([i] for i in range(40)), [2, 4, 6, 8], [30, 5, 31]]:
            try:
                frames = read_frames(broken, indices)
            except VideoError:
                refused += 1
            else:
                assert torch.equal(frames, clean[indices]), (number, indices)
    assert refused  # otherwise nothing was damaged


def frames_alive():
    return sum(issubclass(type(thing), av.VideoFrame) for thing in gc.get_objects())


@pytest.mark.parametrize("rotation", [0, 90])
def test_memory_stays_small_while_resizing(folder, monkeypatch, rotation):
    """The frames of a video are never held at full size: only their small copies, and a few on the way.

    Frames are counted, not bytes of the process: what decoder and allocator keep of theirs is no business of ours.
    """
    path = write_video(
        folder / f"many_{rotation}.mp4", num_frames=60, height=540, width=960, gop=60, rotation=rotation,
        options={"preset": "ultrafast"},
    )  # fmt: skip
    convert, alive = _to_rgb.ToRgb.__call__, []

    def counted(self, frame):
        if frame.pts and len(alive) < 2 and frame.time > 1.5:
            alive.append(frames_alive())
        return convert(self, frame)

    monkeypatch.setattr(_to_rgb.ToRgb, "__call__", counted)
    gc.disable()  # what only the collector frees counts as held
    try:
        before = frames_alive()
        frames = read_frames(path, range(60), short_side=64)
    finally:
        gc.enable()
    assert min(frames.shape[1:3]) == 64
    assert len(alive) == 2
    assert max(alive) - before <= 4  # after some 40 of 60


def test_read_index_can_fail():
    image = torch.from_numpy(index_image(37, 64, 96))
    assert read_index(image) == 37
    with pytest.raises(AssertionError):
        read_index(torch.zeros_like(image))
    with pytest.raises(AssertionError):
        read_index(torch.full_like(image, 128))
