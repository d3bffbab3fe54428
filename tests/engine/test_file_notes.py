"""Files are named once in a run. Over several processes: `test_distributed`."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.toy import toy_train
from engine.two_processes import NotedClips


@pytest.mark.parametrize("workers", [0, 2])
def test_every_file_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int) -> None:
    toy_train(tmp_path, dataset=NotedClips(), workers=workers)
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("nonlocalnet")]
    assert sorted(warnings) == [
        "all.mp4: the video has 1 frame",
        "unreadable, another takes its place: 7.mp4: truncated",
        "unreadable, counts as wrong: broken",
    ]
    assert warnings[-1].startswith("unreadable, counts as wrong")  # the others are said before the first validation
