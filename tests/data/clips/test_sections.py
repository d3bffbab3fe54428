"""The windows of a long video, by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nonlocalnet.data.clips.sections import Sections
from nonlocalnet.data.clips.windows import ClipGeometry, evenly_spaced_clips


def sections(
    *, frames: int = 100, window: float, step: float, clip: tuple[int, int] = (4, 2), num_clips: int | None = None
) -> Sections:
    """Of a video of 10 frames a second."""
    return Sections(
        np.arange(frames) / 10,
        duration=frames / 10,
        window=window,
        step=step,
        clip=ClipGeometry(*clip),
        num_clips=num_clips,
    )


def times(found: Sections) -> list[tuple[float, float]]:
    return [(round(section.start, 6), round(section.end, 6)) for section in found]


def test_windows_go_on_as_long_as_they_fit() -> None:
    assert times(sections(window=4, step=2)) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert times(sections(window=0.7, step=0.1, frames=10)) == [(0, 0.7), (0.1, 0.8), (0.2, 0.9), (0.3, 1)]


def test_what_is_left_over_at_the_end_has_a_window_that_ends_with_the_video() -> None:
    assert times(sections(window=4, step=4)) == [(0, 4), (4, 8), (6, 10)]
    assert times(sections(window=3, step=3, frames=91)) == [(0, 3), (3, 6), (6, 9), (6.1, 9.1)]
    assert times(sections(window=20, step=5)) == [(0, 10)]


def test_the_clips_of_a_window_are_those_of_a_video_of_its_frames() -> None:
    found = list(sections(window=4, step=2, num_clips=3))
    for place, section in enumerate(found):
        alone = evenly_spaced_clips(40, ClipGeometry(4, 2), num_clips=3)
        assert section.clips == [[20 * place + frame for frame in clip] for clip in alone]


@pytest.mark.parametrize(("window", "clips"), [(0.7, 1), (0.8, 2), (1.4, 2), (1.5, 3), (10, 15)])
def test_as_many_clips_as_leave_no_frame_between_them(window: float, clips: int) -> None:
    first = next(iter(sections(window=window, step=1)))
    assert len(first.clips) == clips  # a clip 4x2 spans 7 frames
    ends = [(clip[0], clip[-1]) for clip in first.clips]
    assert ends[0][0] == 0
    assert ends[-1][1] == round(window * 10) - 1
    assert all(after[0] <= before[1] + 1 for before, after in itertools.pairwise(ends))


def test_a_window_in_which_nothing_new_is_shown_has_the_frame_that_still_is() -> None:
    seconds = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2])
    found = Sections(seconds, duration=5.3, window=1, step=1, clip=ClipGeometry(2, 1), num_clips=None)
    assert [section.clips[0] for section in found][:4] == [[0, 1], [2, 2], [2, 2], [2, 2]]
    assert found.needed().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0, "step": 1}, r"window \(--window\) must be a number of seconds above 0, got 0"),
        ({"window": 1, "step": 1e-12}, r"step \(--step\) must be at least 0.001 seconds, got 1e-12"),
        ({"window": 1, "step": float("nan")}, r"step \(--step\) must be a number of seconds above 0, got nan"),
        (
            {"window": 0.5, "step": 1},
            r"window \(--window\) must be at least 0.7 seconds here: a clip of 4x2 takes 7 frames at 10 a second; got "
            r"0.5; or give a shorter clip \(--clip\)",
        ),
    ],
)
def test_what_makes_no_windows_is_said_by_name(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sections(**arguments)


def test_more_windows_than_anybody_means() -> None:
    seconds = np.arange(6000) / 2  # of a damaged clock
    with pytest.raises(ValueError, match=r"3000 seconds hold 2998001 windows, .* make step \(--step\) larger"):
        Sections(seconds, duration=3000.0, window=2, step=1e-3, clip=ClipGeometry(2, 1), num_clips=None)


def test_frames_without_times_make_no_windows() -> None:
    with pytest.raises(ValueError, match="its frames have no times"):
        Sections(np.zeros(5), duration=0.0, window=1, step=1, clip=ClipGeometry(2, 1), num_clips=None)
