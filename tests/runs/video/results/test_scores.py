"""Scores on disk: metrics computed again, models averaged."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from nonlocalnet.runs.video.report import write_report
from nonlocalnet.runs.video.results.metrics import mean_average_precision
from nonlocalnet.runs.video.results.scores import ScoredVideos, average_scores, load_scores
from nonlocalnet.runs.video.results.summary import summarise_scores
from nonlocalnet.runs.video.score_videos import VideoScores

CLASSES = ["a", "b, c", "d"]


def made(
    seed: int = 0, *, multi_label: bool = False, broken: tuple[int, ...] = (), root: str = "/data"
) -> ScoredVideos:
    generator = torch.Generator().manual_seed(seed)
    results = []
    for index in range(7):
        views = torch.rand(4, 3, generator=generator, dtype=torch.float64)
        label = torch.tensor([index % 2, index % 3 == 0, 0]) if multi_label else index % 3
        error = f"{index}.mp4: truncated" if index in broken else ""
        if error:
            views = torch.zeros_like(views)
        results.append(VideoScores(index, label, views.mean(0), views.amax(0), error))
    paths = [f"{root}/val/{index}.mp4" for index in range(7)]
    return ScoredVideos(results, paths, CLASSES, {"recipe": {"name": "x", "data": {"root": root}}})


def written(folder: Path, scored: ScoredVideos) -> Path:
    folder.mkdir()
    write_report(folder, scored, summarise_scores(scored.results, num_classes=3))
    return folder


@pytest.mark.parametrize("multi_label", [False, True])
def test_scores_come_back_to_the_bit_and_so_do_the_metrics(tmp_path: Path, multi_label: bool) -> None:
    before = made(multi_label=multi_label, broken=(3,))
    after = load_scores(written(tmp_path / "test", before))
    assert (after.paths, after.class_names, after.about) == (before.paths, CLASSES, before.about)
    for one, other in zip(before.results, after.results, strict=True):
        assert torch.equal(one.mean, other.mean)
        assert torch.equal(one.highest, other.highest)
        assert (one.index, one.error) == (other.index, other.error)
        assert torch.equal(torch.as_tensor(one.label), torch.as_tensor(other.label))
    for pooling in ("mean", "max"):
        one, other = (summarise_scores(s.results, num_classes=3, pooling=pooling) for s in (before, after))
        assert one.metrics == other.metrics
    assert load_scores(tmp_path / "test" / "scores.safetensors").paths == before.paths


def test_pooling_decides_which_scores_count() -> None:
    results = made(multi_label=True, broken=(2,)).results
    labels = torch.stack([torch.as_tensor(r.label) for r in results])
    for pooling, name in (("mean", "mean"), ("max", "highest")):
        scores = torch.stack([getattr(r, name) for r in results])
        scores[2] = -torch.inf
        summary = summarise_scores(results, num_classes=3, pooling=pooling)
        assert summary.map == pytest.approx(mean_average_precision(scores, labels))
        assert summary.map_by_pooling is not None
        assert summary.map == summary.map_by_pooling[pooling]
        assert summary.class_ap is not None
        assert summary.class_ap[2] is None  # no video has it
        assert summary.class_videos == labels.sum(0).tolist()
        assert summary.confusion is None
    assert summary.map_by_pooling["mean"] != summary.map_by_pooling["max"]


def test_the_average_of_two_tests_read_on_two_machines(tmp_path: Path) -> None:
    one, other = made(1, broken=(3, 4)), made(2, broken=(4,), root="/mnt/kinetics")
    order = [5, 0, 3, 1, 2, 6, 4]
    shuffled = dataclasses.replace(
        other, results=[other.results[i] for i in order], paths=[other.paths[i] for i in order]
    )
    average = average_scores([one, shuffled], sources=["one", "other"])
    for index, (a, b, result) in enumerate(zip(one.results, other.results, average.results, strict=True)):
        if index == 3:  # only the other could read it
            assert torch.equal(result.mean, b.mean)
            assert result.error == ""
        else:
            torch.testing.assert_close(result.mean, (a.mean + b.mean) / 2)
            torch.testing.assert_close(result.highest, (a.highest + b.highest) / 2)
    assert average.results[4].error == "4.mp4: truncated"
    assert [part["scores"] for part in average.about["ensemble"]] == ["one", "other"]
    again = average_scores([average, shuffled], sources=["average", "other"])  # an average goes with a test, too
    assert average_scores([other, average], sources=["other", "average"]).paths == other.paths
    assert again.paths == one.paths
    torch.testing.assert_close(again.results[0].mean, (average.results[0].mean + other.results[0].mean) / 2)
    alone = average_scores([one], sources=["one"])
    assert all(torch.equal(a.mean, b.mean) for a, b in zip(one.results, alone.results, strict=True))


def changed(scored: ScoredVideos, **fields: Any) -> ScoredVideos:
    return dataclasses.replace(scored, **fields)


def test_tests_that_do_not_go_together_are_refused() -> None:
    one = made()
    others = [
        (changed(one, results=one.results[:-1], paths=one.paths[:-1]), r"1 are in A alone, the first val/6\.mp4"),
        (changed(one, class_names=["a", "d", "b, c"]), "class names of A and B differ"),
        (
            changed(one, results=[dataclasses.replace(one.results[0], label=2), *one.results[1:]]),
            r"labels of val/0\.mp4 by B differ",
        ),
    ]
    for other, message in others:
        with pytest.raises(ValueError, match=message):
            average_scores([one, other], sources=["A", "B"])


def test_files_that_hold_no_scores(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no scores at .*: give the --out folder of a `nonlocalnet test`"):
        load_scores(tmp_path)
    (tmp_path / "scores.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=r"scores\.safetensors is no whole safetensors file"):
        load_scores(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "scores.safetensors")
    with pytest.raises(ValueError, match="holds no scores of this library: its format is None"):
        load_scores(tmp_path)
