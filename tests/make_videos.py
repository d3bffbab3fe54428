"""Small real video files for the tests; every frame carries its own index in its pixels."""

import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch
from av.stream import Disposition

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder prints its settings otherwise

_BITS = 8
_COLUMNS = 4  # the 8 bits in 2 rows of 4 blocks, and below them their complement: (4, 4) blocks


def index_image(index: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 3): the index, 0 to 255, in black and white blocks, lowest bit first, above its complement."""
    bits = [index >> bit & 1 for bit in range(_BITS)]
    blocks = np.array([*bits, *(1 - bit for bit in bits)], np.uint8).reshape(-1, _COLUMNS) * 255
    rows = np.arange(height) * blocks.shape[0] // height
    columns = np.arange(width) * _COLUMNS // width
    return np.repeat(blocks[rows][:, columns, None], 3, axis=2)


def read_index(frame_HWC: torch.Tensor) -> int:
    """The index in a frame of `index_image`, whatever its size; AssertionError if the blocks cannot be told."""
    height, width = frame_HWC.shape[:2]
    bits = []
    for block in range(2 * _BITS):
        row, column = divmod(block, _COLUMNS)
        # The middle pixel of the block, away from what compression smears over its border.
        value = int(frame_HWC[(2 * row + 1) * height // 8, (2 * column + 1) * width // 8].float().mean())
        assert value < 64 or value > 191, f"block {block} is grey: {value}"
        bits.append(int(value > 127))
    assert all(bit != complement for bit, complement in zip(bits[:_BITS], bits[_BITS:], strict=True)), bits
    return sum(bit << place for place, bit in enumerate(bits[:_BITS]))


def read_indices(frames_THWC: torch.Tensor) -> list[int]:
    """The index in each frame."""
    return [read_index(frame) for frame in frames_THWC]


def write_video(
    path: Path,
    *,
    num_frames: int = 40,
    height: int = 64,
    width: int = 96,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    b_frames: int = 2,
    pts_ms: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    mux_options: dict[str, str] | None = None,
    audio: bool = False,
    rotation: int = 0,
) -> Path:
    """Encode frames 0, 1, ... of `index_image` at 10 frames a second.

    Args:
        path: The suffix chooses the container.
        num_frames: At most 256.
        height: Pixels as encoded.
        width: Pixels as encoded.
        codec: Name of the encoder.
        pix_fmt: Pixel format as encoded.
        gop: Frames from one keyframe to the next.
        b_frames: Frames between two P frames that both predict, where the codec has them.
        pts_ms: Time of each frame in milliseconds, for a variable frame rate.
        options: More options of the encoder.
        mux_options: Options of the container.
        audio: Whether a sound stream comes first in the file.
        rotation: Degrees counterclockwise by which a player has to turn the stored picture, so that it is upright; mp4
            and mov only.
    """
    with av.open(str(path), "w", options=mux_options or {}) as container:
        if audio:
            sound = container.add_stream("aac", rate=8000, layout="mono")
        stream = container.add_stream(codec, rate=Fraction(10), options=_encoder_options(codec, options))
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        stream.gop_size = gop
        if codec in ("libx264", "libx265", "mpeg4"):
            stream.codec_context.max_b_frames = b_frames
        if pts_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if audio:
            _write_sound(container, sound, num_samples=800 * num_frames)
        for i in range(num_frames):
            upright = index_image(i, *((width, height) if rotation % 180 else (height, width)))
            stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame = frame.reformat(format=pix_fmt, threads=1)
            frame.pts = i if pts_ms is None else pts_ms[i]
            frame.time_base = Fraction(1, 10) if pts_ms is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    _ordinary_priority()
    if rotation:
        _write_rotation(path, rotation)
    return path


def write_brightening_video(path: Path, *, num_frames: int, side: int = 32) -> Path:
    """Frames of one grey each, 10 a second, from black to white: what a network says of them depends on the time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options=_encoder_options("libx264", None))
        stream.height, stream.width, stream.pix_fmt = side, side, "yuv420p"
        for i in range(num_frames):
            grey = np.full((side, side, 3), 255 * i // num_frames, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    _ordinary_priority()
    return path


def write_two_streams(path: Path) -> Path:
    """A small video stream of 10 frames, a larger one of 20 that is marked as the default, and sound."""
    sizes = ((32, 32, 10), (64, 96, 20))
    with av.open(str(path), "w") as container:
        small, large = (container.add_stream("libx264", rate=Fraction(10)) for _ in sizes)
        for stream, (height, width, _) in zip((small, large), sizes, strict=True):
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        # As plain numbers: PyAV 17 takes no flags here.
        small.disposition, large.disposition = 0, Disposition.default.value
        sound = container.add_stream("aac", rate=8000, layout="mono")
        for i in range(20):
            for stream, (height, width, num_frames) in zip((small, large), sizes, strict=True):
                if i < num_frames:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(index_image(i, height, width))))
        _write_sound(container, sound, num_samples=8000)
        for stream in (small, large):
            container.mux(stream.encode())
    return path


def write_sound_only(path: Path) -> Path:
    """A second of silence."""
    with av.open(str(path), "w") as container:
        _write_sound(container, container.add_stream("aac", rate=8000, layout="mono"), num_samples=8000)
    return path


def cut_off(path: Path, share: float) -> Path:
    """Keep the first `share` of the file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def decode_sequentially(path: Path) -> torch.Tensor:
    """Every frame of the best stream, uint8 (N, H, W, 3), by the plainest loop: the oracle of frame accuracy."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert isinstance(stream, av.video.stream.VideoStream)
        for frame in container.decode(stream):
            pixels = frame.to_ndarray(format="rgb24")
            for _ in range(frame.rotation // 90 % 4):
                pixels = pixels.transpose(1, 0, 2)[::-1]  # a quarter turn counterclockwise
            frames.append(torch.from_numpy(np.ascontiguousarray(pixels)))
    return torch.stack(frames)


def _ordinary_priority() -> None:
    """SVT-AV1, run by root, gives the calling thread real-time priority, and so every process forked from it."""
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _encoder_options(codec: str, options: dict[str, str] | None) -> dict[str, str]:
    defaults = {
        "libx264": {"crf": "10", "preset": "fast", "threads": "1", "sc_threshold": "0"},
        "libx265": {"crf": "10", "preset": "fast", "x265-params": "log-level=none:pools=none:scenecut=0"},
        "libvpx-vp9": {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime", "auto-alt-ref": "1"},
        "libsvtav1": {"crf": "1", "preset": "8", "svtav1-params": "lp=1"},
        "mpeg4": {"qscale": "2"},
    }
    return {**defaults.get(codec, {}), **(options or {})}


def _write_sound(
    container: av.container.OutputContainer, stream: av.audio.stream.AudioStream, *, num_samples: int
) -> None:
    for start in range(0, num_samples, 800):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Ask for the pixel at (p, q) of an mp4 or mov file's picture to be shown at (a p + c q, b p + d q)."""
    # PyAV writes no display matrix, so it goes into the file: the first track's header box (tkhd, version 0) holds nine
    # 16.16 numbers 44 bytes after its name.
    data = bytearray(path.read_bytes())
    numbers = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *numbers)
    path.write_bytes(data)
    return path


def _write_rotation(path: Path, degrees: int) -> None:
    cosine, sine = {90: (0, -1), 180: (-1, 0), 270: (0, 1)}[degrees]
    write_display_matrix(path, cosine, sine, -sine, cosine)
