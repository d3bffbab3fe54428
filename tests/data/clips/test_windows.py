import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nonlocalnet.data.clips.windows import (
    ClipGeometry,
    clip_from,
    clips_for_testing,
    evenly_spaced_clips,
    parse_clip,
    random_clip,
    wrapped_clips,
)

GEOMETRIES = st.builds(ClipGeometry, st.integers(1, 40), st.integers(1, 10))


def test_span_is_the_drawing_of_the_docstring():
    assert ClipGeometry(4, 3).span == len("fxxfxxfxxf")
    assert ClipGeometry(32, 2).span == 63
    assert ClipGeometry(1, 8).span == 1


def test_parse_clip():
    assert parse_clip("32x2") == ClipGeometry(frames=32, stride=2)
    assert parse_clip("128x1") == (128, 1)


@pytest.mark.parametrize("text", ["", "32", "32x", "0x2", "8x0", "8X8", "-8x8", " 8x8", "8x8x8", "a x b"])
def test_parse_clip_refuses(text):
    with pytest.raises(ValueError, match=r"clip must be FRAMESxSTRIDE .* got"):
        parse_clip(text)


def test_a_clip_of_more_frames_than_a_video_has_is_refused():
    """It was read into memory until that was full."""
    assert parse_clip("9999x1").frames == 9999
    with pytest.raises(ValueError, match="clip must have at most 9999 frames, got '10000x1'"):
        parse_clip("10000x1")


def test_short_videos_loop():
    assert clip_from(0, 5, ClipGeometry(8, 2)) == [0, 2, 4, 1, 3, 0, 2, 4]
    assert clip_from(3, 5, ClipGeometry(4, 1)) == [3, 4, 0, 1]


def test_random_clip_takes_every_start_that_fits_and_no_other():
    generator = torch.Generator().manual_seed(0)
    clips = {tuple(random_clip(12, ClipGeometry(4, 3), generator=generator)) for _ in range(200)}
    assert clips == {(0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8, 11)}


def test_random_clip_is_uniform():
    generator = torch.Generator().manual_seed(0)
    starts = torch.tensor([random_clip(12, ClipGeometry(4, 3), generator=generator)[0] for _ in range(3000)])
    counts = torch.bincount(starts)
    assert ((counts - 1000).abs() < 120).all()  # 4.6 standard deviations


def test_a_video_of_one_frame_gives_a_still_clip():
    generator = torch.Generator().manual_seed(0)
    assert random_clip(1, ClipGeometry(32, 2), generator=generator) == [0] * 32
    assert evenly_spaced_clips(1, ClipGeometry(3, 2), num_clips=2) == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("num_frames", [0, -3])
def test_a_video_without_frames_is_refused(num_frames):
    message = f"num_frames must be at least 1, got {num_frames}"
    with pytest.raises(ValueError, match=message):
        random_clip(num_frames, ClipGeometry(4, 1), generator=torch.Generator())
    with pytest.raises(ValueError, match=message):
        evenly_spaced_clips(num_frames, ClipGeometry(4, 1), num_clips=2)


def test_evenly_spaced_clips_by_hand():
    # fxxfxxfxxf......  ...fxxfxxfxxf...  ......fxxfxxfxxf
    assert evenly_spaced_clips(16, ClipGeometry(4, 3), num_clips=3) == [[0, 3, 6, 9], [3, 6, 9, 12], [6, 9, 12, 15]]
    # 300 frames, span 63: the last start is 237, the gaps 237 / 9 = 26.33.
    starts = [clip[0] for clip in evenly_spaced_clips(300, ClipGeometry(32, 2), num_clips=10)]
    assert starts == [0, 26, 53, 79, 105, 132, 158, 184, 211, 237]
    assert evenly_spaced_clips(10, ClipGeometry(2, 1), num_clips=1) == [[4, 5]]
    # Halves go down: starts 0, 2.5, 5.
    assert [clip[0] for clip in evenly_spaced_clips(6, ClipGeometry(1, 1), num_clips=3)] == [0, 2, 5]


def test_evenly_spaced_needs_a_clip():
    with pytest.raises(ValueError, match="num_clips must be at least 1, got 0"):
        evenly_spaced_clips(10, ClipGeometry(2, 1), num_clips=0)


@given(num_frames=st.integers(1, 400), geometry=GEOMETRIES, num_clips=st.integers(1, 12), seed=st.integers(0, 99))
def test_every_clip_lies_in_the_video(num_frames, geometry, num_clips, seed):
    clips = evenly_spaced_clips(num_frames, geometry, num_clips=num_clips)
    clips.append(random_clip(num_frames, geometry, generator=torch.Generator().manual_seed(seed)))
    for clip in clips:
        assert len(clip) == geometry.frames
        assert all(0 <= frame < num_frames for frame in clip)
        steps = {(b - a) % num_frames for a, b in itertools.pairwise(clip)}
        assert steps <= {geometry.stride % num_frames}
        if num_frames >= geometry.span:
            assert clip == sorted(clip)


@given(num_frames=st.integers(1, 400), geometry=GEOMETRIES, num_clips=st.integers(2, 12))
def test_evenly_spaced_clips_are_even_and_reach_both_ends(num_frames, geometry, num_clips):
    clips = evenly_spaced_clips(num_frames, geometry, num_clips=num_clips)
    starts = [clip[0] for clip in clips]
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert max(gaps) - min(gaps) <= 1
    assert starts[0] == 0
    if num_frames >= geometry.span:
        assert clips[-1][-1] == num_frames - 1


@given(st.integers(1, 400), st.integers(1, 40), st.integers(1, 8), st.integers(1, 12))
def test_wrapped_clips_are_the_released_codes(num_frames: int, frames: int, stride: int, num_clips: int) -> None:
    clips = wrapped_clips(num_frames, ClipGeometry(frames, stride), num_clips=num_clips)
    for j, clip in enumerate(clips):
        start = int(Fraction(num_frames, num_clips) * j)
        assert clip == [(start + i * stride) % num_frames for i in range(frames)]
    assert (
        clips_for_testing(num_frames, ClipGeometry(frames, stride), num_clips=num_clips, positions="wrapped") == clips
    )


def test_positions_differ_on_an_ordinary_video() -> None:
    geometry = ClipGeometry(32, 2)
    even, wrapped = (
        [clip[0] for clip in clips_for_testing(300, geometry, num_clips=10, positions=positions)]
        for positions in ("even", "wrapped")
    )
    assert even == [0, 26, 53, 79, 105, 132, 158, 184, 211, 237]
    assert wrapped == [0, 30, 60, 90, 120, 150, 180, 210, 240, 270]
