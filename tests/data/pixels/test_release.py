"""Sizes, resizing and crops as the authors' released code has them, against its formulas written out."""

import numpy as np
import pytest
import torch

from nonlocalnet.data.clips.views import cut_views
from nonlocalnet.data.clips.windows import ClipGeometry, random_clip
from nonlocalnet.data.pixels.resize import resize, short_side_size
from nonlocalnet.data.pixels.scaled_crop import draw_scaled_crop


def noise(frames: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (frames, height, width, 3), dtype=torch.uint8)


def bilinear(frames: torch.Tensor, height: int, width: int) -> np.ndarray:
    """The four pixels around each place, half-pixel centres, the edge repeated; float64."""
    source = frames.numpy().astype(np.float64)
    result = np.empty((len(source), height, width, 3))
    for y in range(height):
        for x in range(width):
            row = min(max((y + 0.5) * source.shape[1] / height - 0.5, 0), source.shape[1] - 1)
            column = min(max((x + 0.5) * source.shape[2] / width - 0.5, 0), source.shape[2] - 1)
            top, left = int(row), int(column)
            bottom, right = min(top + 1, source.shape[1] - 1), min(left + 1, source.shape[2] - 1)
            down, across = row - top, column - left
            upper = source[:, top, left] * (1 - across) + source[:, top, right] * across
            lower = source[:, bottom, left] * (1 - across) + source[:, bottom, right] * across
            result[:, y, x] = upper * (1 - down) + lower * down
    return result


@pytest.mark.parametrize("size", [(9, 13), (40, 30), (20, 31)])
def test_resizing_takes_the_four_pixels_around(size: tuple[int, int]) -> None:
    frames = noise(2, 20, 31)
    resized = resize(frames, *size, scaling="release").numpy()
    assert np.abs(resized - bilinear(frames, *size)).max() <= 1


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    # 340 * 256 / 240 = 362.67; 854 * 256 / 480 = 455.47; 257 * 256 / 256 = 257
    [
        (240, 340, (256, 362)),
        (340, 240, (362, 256)),
        (480, 854, (256, 455)),
        (256, 257, (256, 257)),
        (90, 90, (256, 256)),
    ],
)
def test_the_longer_side_is_rounded_down(height: int, width: int, expected: tuple[int, int]) -> None:
    assert short_side_size(height, width, 256, scaling="release") == expected


def test_a_short_side_is_never_a_pixel_short() -> None:
    # float32: 82 * (256 / 82) = 255.99998, which the release takes for 255, less than its crop.
    assert int(np.float32(82) * (np.float32(256) / np.float32(82))) == 255
    assert min(short_side_size(82, 100, 256, scaling="release")) == 256
    assert short_side_size(82, 82, 256, scaling="release") == (256, 256)


@pytest.mark.parametrize(("width", "starts"), [(31, (0, 5, 10)), (30, (0, 5, 10)), (21, (0, 0, 0))])
def test_three_crops_start_at_multiples_of_half_the_rest(width: int, starts: tuple[int, ...]) -> None:
    """(W - crop) / 2 in whole numbers, times 0, 1 and 2: of an odd rest the last column is never seen."""
    frames = noise(1, 20, width)
    views = cut_views(frames, crops="three", short_side=20, crop=20, scaling="release")
    for view, start in zip(views, starts, strict=True):
        assert torch.equal(view, frames[:, :, start : start + 20])
    tall = cut_views(frames.transpose(1, 2).contiguous(), crops="three", short_side=20, crop=20, scaling="release")
    assert torch.equal(tall, views.transpose(2, 3))


@pytest.mark.parametrize(("height", "width", "expected"), [(20, 50, (20, 32)), (50, 20, (32, 20)), (20, 32, (20, 32))])
def test_a_full_frame_is_cut_to_8_by_5(height: int, width: int, expected: tuple[int, int]) -> None:
    frames = noise(1, height, width)
    views = cut_views(frames, crops="full", short_side=20, scaling="release")
    top, left = (height - expected[0]) // 2, (width - expected[1]) // 2
    assert torch.equal(views[0], frames[:, top : top + expected[0], left : left + expected[1]])


def test_a_training_crop_is_cut_from_the_resized_frame() -> None:
    frames, places = noise(2, 40, 53), set()
    for seed in range(40):
        crop = draw_scaled_crop(40, 53, short_side=(24, 30), crop=20, generator=torch.Generator().manual_seed(seed))
        cut = crop.finish(crop.region(frames))
        size = short_side_size(40, 53, min(crop.height, crop.width), scaling="release")
        assert (crop.height, crop.width) == size
        expected = bilinear(frames, *size)[:, crop.top : crop.top + 20, crop.left : crop.left + 20]
        assert np.abs(cut.numpy() - (expected[:, :, ::-1] if crop.mirrored else expected)).max() <= 1
        places.add((crop.height, crop.top > 0, crop.mirrored))
    assert len(places) > 10


@pytest.mark.parametrize(
    ("frames", "as_release", "last"), [(30, False, 11), (30, True, 9), (19, True, 0), (18, False, 0)]
)
def test_where_a_training_clip_may_start(frames: int, as_release: bool, last: int) -> None:
    """Of 7 frames at stride 3 the span is 19 frames, and L S = 21: [0, 30 - 19] ours, [0, 30 - 21] theirs."""
    geometry = ClipGeometry(7, 3)
    generator = torch.Generator().manual_seed(0)
    clips = [random_clip(frames, geometry, generator=generator, as_release=as_release) for _ in range(400)]
    assert {clip[0] for clip in clips} == set(range(last + 1))
