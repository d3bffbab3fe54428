"""The windows of a video are scored as the same frames are by themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import nonlocalnet
from make_videos import write_brightening_video
from nonlocalnet.data.annotations import VideoEntry
from nonlocalnet.data.clips.windows import ClipGeometry, evenly_spaced_clips
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.reader import read_frames
from nonlocalnet.data.video.sources import VideoFile, open_source
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.runs.video.timeline.scoring import WindowScorer, WindowSettings, timeline
from runs.video.tiny import tiny_network


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames, 10 a second, from black to white."""
    return write_brightening_video(tmp_path_factory.mktemp("long") / "long.mp4", num_frames=60)


def test_each_window_is_scored_as_its_frames_by_themselves(video: Path) -> None:
    model = tiny_network()
    found = timeline(model, video, window=2, step=1.5, num_clips=2, crops="centre")
    assert [(window.start, window.end) for window in found.windows] == [(0, 2), (1.5, 3.5), (3, 5), (4, 6)]
    assert found.class_names == ["run", "sit", "wave"]
    for window in found.windows:
        clips = evenly_spaced_clips(20, ClipGeometry(4, 2), num_clips=2)
        numbers = [round(window.start * 10) + frame for clip in clips for frame in clip]
        frames = read_frames(video, numbers, short_side=32).view(2, 4, 32, 32, 3)
        with torch.inference_mode():
            expected = model.scores(normalise(frames)).mean(dim=0)
        assert torch.allclose(window.scores, expected, atol=1e-5)
    assert not torch.allclose(found.windows[0].scores, found.windows[2].scores, atol=1e-3)


def test_a_window_of_the_whole_video_is_a_prediction(video: Path) -> None:
    model = tiny_network()
    (whole,) = timeline(model, video, window=60, num_clips=3).windows
    predicted = nonlocalnet.predict(model, video, num_clips=3)
    assert whole.scores[predicted.classes].tolist() == pytest.approx(predicted.scores, abs=1e-6)


def test_a_video_is_decoded_once_and_few_frames_are_kept(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    kept: list[int] = []
    in_order = VideoFile.in_order

    def counting(self: VideoFile, wanted: object, **further: int) -> object:
        for number, frame in in_order(self, wanted, **further):  # pyright: ignore[reportArgumentType]
            given.append(number)
            yield number, frame

    cut = WindowScorer._clip_scores

    def watching(self: WindowScorer, frames: dict[int, torch.Tensor], *arguments: object, **further: object) -> object:
        kept.append(len(frames))
        return cut(self, frames, *arguments, **further)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(VideoFile, "in_order", counting)
    monkeypatch.setattr(WindowScorer, "_clip_scores", watching)
    timeline(tiny_network(), video, window=3, step=0.5, crops="centre")
    assert given == sorted(set(given))
    assert len(kept) == 7 * 5
    assert max(kept) <= ClipGeometry(4, 2).span


def test_what_breaks_off_has_its_windows_before(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_order = VideoFile.in_order

    def breaking(self: VideoFile, wanted: object, **further: int) -> object:
        for number, frame in in_order(self, wanted, **further):  # pyright: ignore[reportArgumentType]
            if number >= 45:
                raise VideoError(f"{self.path}: broken: frame 45 of 60 cannot be decoded")
            yield number, frame

    monkeypatch.setattr(VideoFile, "in_order", breaking)
    settings = WindowSettings(2, 2, ClipGeometry(4, 2), crops="centre")
    scorer = WindowScorer(tiny_network(), settings, inference=Inference(), device=torch.device("cpu"))
    given = []
    with open_source(VideoEntry(video, -1)) as source, pytest.raises(VideoError, match="frame 45 of 60"):
        given.extend(scorer.windows(source, scorer.sections(source)))
    assert [window.end for window in given] == [2, 4]


def test_a_window_shorter_than_a_clip_and_other_settings_are_refused_by_name(video: Path, tmp_path: Path) -> None:
    model = tiny_network()
    with pytest.raises(VideoError, match=r"long\.mp4: window \(--window\) must be at least 0\.7 seconds here"):
        timeline(model, video, window=0.3)
    with pytest.raises(ValueError, match=r"step \(--step\) must be a number of seconds above 0, got -1"):
        timeline(model, video, window=2, step=-1)
    with pytest.raises(ValueError, match="num_clips must be from 1 to 1000 clips of a video, got 0"):
        timeline(model, video, window=2, num_clips=0)
    with pytest.raises(FileNotFoundError, match=r"no\.mp4"):
        timeline(model, tmp_path / "no.mp4", window=2)


def test_a_network_of_several_labels_and_one_without_names(video: Path) -> None:
    model = tiny_network()
    assert model.card is not None
    model.card = dataclasses.replace(model.card, multi_label=True, class_names=None)
    found = timeline(model, video, window=3, crops="centre")
    assert found.class_names == ["0", "1", "2"]
    assert any(abs(float(window.scores.sum()) - 1) > 1e-3 for window in found.windows)


def test_memory_does_not_grow_with_the_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same frames again and again, as a video of any length: what is kept in Python is that of a short one."""
    import tracemalloc

    class Endless:
        path = tmp_path / "endless.mp4"

        def __init__(self, num_frames: int) -> None:
            self.num_frames = num_frames
            self.duration_seconds = num_frames / 10

        def seconds(self, frame: int) -> float:
            return frame / 10

        def in_order(self, wanted: np.ndarray, *, short_side: int) -> object:
            for number in wanted:
                yield int(number), torch.zeros(short_side, short_side, 3, dtype=torch.uint8)

    monkeypatch.setattr(WindowScorer, "_clip_scores", lambda *_, **__: torch.zeros(3, dtype=torch.float64))
    settings = WindowSettings(20, 10, ClipGeometry(32, 2), crops="centre")
    scorer = WindowScorer(tiny_network(), settings, inference=Inference(), device=torch.device("cpu"))
    peaks = []
    for num_frames in (2_000, 20_000):
        source = Endless(num_frames)
        tracemalloc.start()
        for _ in scorer.windows(source, scorer.sections(source)):  # pyright: ignore[reportArgumentType]
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The arrays that say when each frame is shown grow: 8 bytes a frame and less than ten of those in all.
    assert peaks[1] - peaks[0] < 18_000 * 8 * 10
