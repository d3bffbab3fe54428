"""Features of videos are what the network has before its classifier, of the clips that a test would take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import nonlocalnet
from make_videos import write_brightening_video
from nonlocalnet.data.annotations import UNLABELLED, VideoEntry
from nonlocalnet.data.clips.views import cut_views
from nonlocalnet.data.clips.windows import ClipGeometry, evenly_spaced_clips
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.data.video.sources import open_source
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.system.errors import NonFiniteError
from runs.video.tiny import tiny_network


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brightening_video(tmp_path_factory.mktemp("videos") / "one.mp4", num_frames=20, side=48)


@torch.no_grad()
def literal_maps(video: Path, crops: str) -> list[torch.Tensor]:
    """(crops, C, T', H', W') of each of three clips, one by one."""
    model = tiny_network()
    with open_source(VideoEntry(video, UNLABELLED)) as source:
        clips = evenly_spaced_clips(source.num_frames, ClipGeometry(4, 2), num_clips=3)
        frames = [source.read(clip, short_side=32) for clip in clips]
    views = [cut_views(clip, crops=crops, short_side=32, crop=32) for clip in frames]  # pyright: ignore[reportArgumentType]
    return [model.feature_map(normalise(clip, mean=114.75, std=57.375)) for clip in views]


@pytest.mark.parametrize("crops", ["three", "full"])
def test_each_level_is_what_the_network_has_there(video: Path, crops: str) -> None:
    maps = literal_maps(video, crops)
    options = {"num_clips": 3, "crops": crops, "batch_views": 2}
    by_level = {
        level: nonlocalnet.features(tiny_network(), video, level=level, **options)  # pyright: ignore[reportArgumentType]
        for level in ("pooled", "clip", "map")
    }
    torch.testing.assert_close(by_level["map"].features, torch.cat(maps))
    rows = torch.stack([clip.mean(dim=(0, 2, 3, 4)) for clip in maps])
    torch.testing.assert_close(by_level["clip"].features, rows)
    torch.testing.assert_close(by_level["pooled"].features, rows.mean(dim=0))
    assert not torch.allclose(rows[0], rows[2])  # the clips differ, so their order is seen
    for made in by_level.values():
        # 20 frames at 10 a second, clips of 4 at stride 2 that span 7, starting at 0, round(6.5), 13.
        assert made.seconds.tolist() == pytest.approx(torch.tensor([[0, 0.6], [0.6, 1.2], [1.3, 1.9]]).double())
        assert made.features.dtype == torch.float32


def test_the_classifier_makes_the_networks_scores_of_them(video: Path) -> None:
    model = tiny_network()
    made = nonlocalnet.features(model, video, num_clips=1)
    score = nonlocalnet.predict(model, video, num_clips=1, crops="centre", top=3)
    logits = model.head(made.features)
    assert logits.softmax(0)[score.classes].tolist() == pytest.approx(score.scores, abs=1e-6)


def test_a_classifier_can_be_trained_on_them(video: Path) -> None:
    made = nonlocalnet.features(tiny_network(), video, num_clips=1)
    weight = torch.zeros(made.features.shape[-1], requires_grad=True)
    (made.features @ weight).backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, made.features)


def test_bfloat16_moves_them_a_little_and_gives_float32(video: Path) -> None:
    exact = nonlocalnet.features(tiny_network(), video, num_clips=2, level="clip").features
    rough = nonlocalnet.features(
        tiny_network(), video, num_clips=2, level="clip", inference=Inference(bf16=True)
    ).features
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(exact, rough, rtol=0.05, atol=0.05)


def test_several_paths_and_one_that_cannot_be_read(video: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    broken, good = nonlocalnet.features(tiny_network(), [tmp_path / "broken.mp4", video], num_clips=1)
    assert (broken.features.shape, good.error) == ((0,), "")
    assert "broken.mp4: not a video" in broken.error
    with pytest.raises(ValueError, match=r"broken.mp4: not a video"):
        nonlocalnet.features(tiny_network(), tmp_path / "broken.mp4")
    with pytest.raises(FileNotFoundError, match=r"gone.mp4"):
        nonlocalnet.features(tiny_network(), tmp_path / "gone.mp4")


def test_what_cannot_be_is_refused(video: Path) -> None:
    with pytest.raises(ValueError, match=r"level \(--level\) must be one of pooled, clip, map, got 'frame'"):
        nonlocalnet.features(tiny_network(), video, level="frame")  # pyright: ignore[reportArgumentType]
    model = tiny_network()
    torch.nn.init.constant_(model.stem.conv.weight, float("nan"))
    with pytest.raises(NonFiniteError, match=r"the features of .*one.mp4 are not finite"):
        nonlocalnet.features(model, video, num_clips=1)
