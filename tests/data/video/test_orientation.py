"""Every display matrix is applied as FFmpeg's own program does it."""

from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
import torch

from make_videos import write_display_matrix, write_video
from nonlocalnet.data.video.decoding.orientation import Orientation, orientation_of
from nonlocalnet.data.video.reader import probe, read_frames
from nonlocalnet.data.video.reencode import EncodeSettings, reencode

# (a, b, c, d) of the matrix, and the filters that FFmpeg's program puts in for it (fftools/ffmpeg_filter.c).
MATRICES = {
    (1, 0, 0, 1): (),
    (-1, 0, 0, 1): (("hflip", ""),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (1, 0, 0, -1): (("vflip", ""),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("stored") / "stored.mp4", num_frames=4, pix_fmt="yuv444p")


def shown_by_ffmpeg(path: Path, filters: tuple[tuple[str, str], ...]) -> torch.Tensor:
    """The stored frames through FFmpeg's filters, uint8 (N, H, W, 3)."""
    frames = []
    with av.open(str(path)) as container:
        graph = av.filter.Graph()
        last = graph.add_buffer(template=container.streams.video[0])
        for name, options in filters:
            link = graph.add(name, options)
            last.link_to(link)
            last = link
        last.link_to(graph.add("buffersink"))
        graph.configure()
        for frame in container.decode(video=0):
            graph.vpush(frame)
            frames.append(torch.from_numpy(graph.vpull().to_ndarray(format="rgb24")))
    return torch.stack(frames)


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_orientations_are_shown_as_ffmpeg_shows_them(tmp_path, stored, matrix):
    path = tmp_path / "turned.mp4"
    path.write_bytes(stored.read_bytes())
    expected = shown_by_ffmpeg(path, MATRICES[matrix])
    write_display_matrix(path, *matrix)
    found = read_frames(path, range(4))
    assert torch.equal(found, expected)
    assert (probe(path).height, probe(path).width) == tuple(expected.shape[1:3])
    copy = tmp_path / "copy.mp4"
    reencode(path, copy, settings=EncodeSettings(short_side=64, crf=0))
    copied = read_frames(copy, range(4))
    assert copied.shape == expected.shape
    # The copy has a quarter of the colour values; blocks of black and white have none.
    assert (copied.int() - expected.int()).abs().max() <= 4
    others = [shown_by_ffmpeg(stored, filters) for known, filters in MATRICES.items() if known != matrix]
    assert not any(torch.equal(found, other) for other in others)  # the picture tells them apart


def test_matrices_that_are_no_orientation_go_to_the_nearest(stored, tmp_path):
    for matrix, expected in {
        (0, 0, 0, 0): Orientation(),
        (2, 1, -1, 2): Orientation(),
        (-3, 1, 1, 3): Orientation(columns_flipped=True),
        (1, 3, -3, 1): Orientation(transposed=True, columns_flipped=True),
    }.items():
        path = tmp_path / "odd.mp4"
        path.write_bytes(stored.read_bytes())
        with av.open(str(write_display_matrix(path, *matrix))) as container:
            assert orientation_of(next(container.decode(video=0))) == expected


def test_a_plane_and_a_frame_are_turned_alike():
    plane = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for bits in range(8):
        orientation = Orientation(bool(bits & 1), bool(bits & 2), bool(bits & 4))
        frames = torch.from_numpy(plane)[None, :, :, None].expand(1, 2, 3, 3)
        upright = orientation.upright(frames)[0, :, :, 0]
        assert np.array_equal(upright.numpy(), orientation.upright_plane(plane))
        assert tuple(upright.shape) == orientation.shown_size(2, 3)
