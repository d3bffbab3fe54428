"""Writing RGB frames, each at its own time, as an H.264 file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import torch
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from nonlocalnet.data.video.local_file import local_url

_TIME_BASE = Fraction(1, 90_000)  # MPEG's own clock: exact at all the usual rates


@contextmanager
def frame_writer(path: Path, *, rate: float) -> Iterator[Callable[[torch.Tensor, float], None]]:
    """A function that writes one frame after the other, (uint8 (3, H, W), seconds), into an mp4 without sound.

    All frames have the first one's size. H.264 needs even sides: an odd one gets its last row or column once more.

    Args:
        path: The file to write.
        rate: Frames a second, about; what counts is the time given with each frame.

    Raises:
        OSError: It cannot be written.
    """
    with av.open(local_url(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        assert isinstance(stream, VideoStream)
        stream.options = {"crf": "20", "preset": "veryfast"}
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        stream.codec_context.colorspace, stream.codec_context.color_range = Colorspace.ITU709, ColorRange.MPEG

        def write(image_CHW: torch.Tensor, seconds: float) -> None:
            height, width = image_CHW.shape[-2:]
            if not stream.width or not stream.codec_context.is_open:
                stream.height, stream.width = height + height % 2, width + width % 2
            even = torch.nn.functional.pad(image_CHW[None].float(), (0, width % 2, 0, height % 2), mode="replicate")
            rgb = even[0].byte().permute(1, 2, 0).contiguous().numpy()
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
            )
            frame.pts, frame.time_base = round(seconds / _TIME_BASE), _TIME_BASE
            container.mux(stream.encode(frame))

        yield write
        container.mux(stream.encode())
