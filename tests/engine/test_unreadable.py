"""A data set that is too broken stops the run and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.toy import ToyClips, toy_train
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.engine.unreadable import UnreadableShare


def of_videos(limit: float) -> UnreadableShare:
    names = {"items": "training clips", "files": "videos", "advice": "`nonlocalnet data check` finds them"}
    return UnreadableShare(limit, **names, error=VideoError)


def test_a_share_within_the_limit_never_stops() -> None:
    share = of_videos(0.05)
    for step in range(2000):
        share.add(items=64, replaced=3 + (step % 5 == 0))  # 5% exactly
    assert (share.items, share.replaced) == (128_000, 6400)


def test_a_few_at_the_start_do_not_stop_but_a_clear_excess_does() -> None:
    share = of_videos(0.05)
    share.note(["", "a.mp4: truncated: 3 of 9 frames"])
    share.note(["b.mp4: empty"])
    share.add(items=8, replaced=2)
    with pytest.raises(VideoError, match=r"102 of 1008 training clips \(10\.1%\) .*a\.mp4: truncated.*data check"):
        share.add(items=1000, replaced=100)


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_the_ends_of_the_range(limit: float) -> None:
    share = of_videos(limit)
    share.add(items=64, replaced=0)
    if limit:
        share.add(items=64, replaced=64)
    else:
        with pytest.raises(VideoError, match=r"1 of 128 .*data\.max_unreadable = 0;"):
            share.add(items=64, replaced=1)


@pytest.mark.parametrize("limit", [0.1, 0.9])
def test_a_run_with_half_of_its_files_broken(tmp_path: Path, limit: float) -> None:
    clips = ToyClips(broken=tuple(range(0, 20, 2)))
    if limit > 0.5:
        toy_train(tmp_path, dataset=clips, max_unreadable=limit)
        return
    message = (
        r"training clips \(.*%\) stood in for videos that cannot be read, above data\.max_unreadable = 0\.1; .*\.mp4"
    )
    with pytest.raises(VideoError, match=message):
        toy_train(tmp_path, dataset=clips, max_unreadable=limit)
    assert (tmp_path / "last.ckpt").exists()
