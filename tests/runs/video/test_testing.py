"""Testing and its report: averaging over views, unreadable videos, the files."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib import image
from torch import nn
from torch.utils.data import DataLoader

from nonlocalnet.models import c2d_resnet50
from nonlocalnet.runs.video.report import write_report
from nonlocalnet.runs.video.results.confusion import confused_pairs, confusion_png, draw_confusion
from nonlocalnet.runs.video.results.scores import ScoredVideos
from nonlocalnet.runs.video.results.summary import TestSummary, summarise_scores
from nonlocalnet.runs.video.score_videos import VideoScores, score_videos
from nonlocalnet.system.errors import NonFiniteError, OutputError
from nonlocalnet.system.stops import Stopped, stoppable

CPU = torch.device("cpu")


class BrightnessScorer(nn.Module):
    """Probabilities that are a known function of a view: the softmax of (mean, 1, 0)."""

    num_classes = 3

    def scores(self, x: torch.Tensor, *, multi_label: bool = False) -> torch.Tensor:
        assert not self.training
        mean = x.mean((1, 2, 3, 4))
        return torch.stack([mean, torch.ones_like(mean), torch.zeros_like(mean)], dim=1).softmax(1)


def item(views: torch.Tensor, label: int, index: int, error: str = "") -> dict[str, Any]:
    return {"views": views, "label": label, "index": index, "error": error}


def score(items: list[dict[str, Any]], *, batch_views: int = 2, model: Any = None) -> list[VideoScores]:
    return list(
        score_videos(
            model or BrightnessScorer(),
            items,
            prepare=lambda views: views.permute(0, 4, 1, 2, 3).float(),
            device=CPU,
            batch_views=batch_views,
            progress=False,
        )
    )


@pytest.mark.parametrize("batch_views", [1, 2, 3, 50])
def test_scores_are_the_mean_of_the_views_softmax(batch_views: int) -> None:
    views = torch.randint(0, 3, (7, 2, 4, 4, 3), dtype=torch.uint8)
    (result,) = score([item(views, 1, 0)], batch_views=batch_views)
    expected = torch.zeros(3, dtype=torch.float64)
    for view in views.double():
        logits = torch.tensor([view.mean(), 1.0, 0.0], dtype=torch.float64)
        expected += logits.exp() / logits.exp().sum() / 7
    torch.testing.assert_close(result.mean, expected, rtol=1e-6, atol=0)
    means = views.double().mean((1, 2, 3, 4))
    logits = torch.stack([means, torch.ones_like(means), torch.zeros_like(means)], dim=1)
    torch.testing.assert_close(result.highest, logits.softmax(1).amax(0), rtol=1e-6, atol=0)


def test_batches_of_views_do_not_change_a_real_network() -> None:
    model = c2d_resnet50(num_classes=3, width=4, nonlocal_blocks=1, clip="8x8", crop=32)
    with torch.no_grad():
        model.head.projection.weight.normal_()
    views = torch.randint(0, 255, (5, 4, 40, 48, 3), dtype=torch.uint8)
    (one,), (all_at_once,) = (score([item(views, 0, 0)], batch_views=n, model=model) for n in (1, 5))
    torch.testing.assert_close(one.mean, all_at_once.mean, rtol=1e-4, atol=1e-6)
    direct = torch.stack([model.scores(v[None].permute(0, 4, 1, 2, 3).float())[0] for v in views]).mean(0)
    torch.testing.assert_close(one.mean.float(), direct, rtol=1e-4, atol=1e-6)


def test_nan_frames_are_refused_by_name() -> None:
    views = torch.zeros(1, 2, 4, 4, 3)
    views[0, 0, 0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="scores of video 4 are not finite: the frames hold NaN"):
        score([item(views, 0, 4)])


def scored(index: int, label: int, scores: list[float], error: str = "") -> VideoScores:
    mean = torch.tensor(scores, dtype=torch.float64)
    return VideoScores(index, label, mean, mean, error)


RESULTS = [
    scored(0, 0, [0.6, 0.3, 0.1]),
    scored(1, 0, [0.2, 0.7, 0.1]),
    scored(2, 0, [0.0, 0.0, 0.0], "b.mp4: truncated"),
    scored(3, 2, [0.1, 0.2, 0.7]),
]


def test_unreadable_videos_count_as_wrong() -> None:
    summary = summarise_scores(RESULTS, num_classes=3)
    assert (summary.top1, summary.top5) == (50.0, 75.0)
    assert (summary.videos, summary.unreadable) == (4, 1)
    assert (summary.class_videos, summary.class_correct) == ([3, 0, 1], [1, 0, 1])
    assert summary.confusion.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_an_unreadable_item_needs_no_network() -> None:
    (result,) = score([item(torch.zeros(0), 1, 0, "x.mp4: audio only")], model=BrightnessScorer())
    assert (result.error, result.predicted) == ("x.mp4: audio only", None)


def report(out: Path) -> TestSummary:
    summary = summarise_scores(RESULTS, num_classes=3)
    names = ["archery", "dancing, ballet", "chess"]
    paths = ["a.mp4", "b c.mp4", "b.mp4", "d.mp4"]
    write_report(out, ScoredVideos(RESULTS, paths, names, {"weights": "best.ckpt"}), summary)
    return summary


def test_a_signal_waits_until_all_files_of_a_report_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def drawn(*_: object, **__: object) -> bytes:
        found.extend(tmp_path.iterdir())
        os.kill(os.getpid(), signal.SIGTERM)
        return b"a figure"

    monkeypatch.setattr("nonlocalnet.runs.video.report.confusion_png", drawn)
    with pytest.raises(Stopped), stoppable():
        report(tmp_path)
    # Seconds are spent on the figure: nothing may be there before, or a killed test would leave a part of a report.
    assert found == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("confusion.png", "scores.csv", "scores.safetensors", "summary.json")
    ]


def test_report_files(tmp_path: Path) -> None:
    report(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("confusion.png", "scores.csv", "scores.safetensors", "summary.json")
    ]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text())))
    assert [row["path"] for row in rows] == ["a.mp4", "b c.mp4", "b.mp4", "d.mp4"]
    assert [row["correct"] for row in rows] == ["1", "0", "0", "1"]
    assert rows[1]["predicted"] == "1"
    assert [row["label_name"] for row in rows] == ["archery", "archery", "archery", "chess"]
    assert [row["predicted_name"] for row in rows] == ["archery", "dancing, ballet", "", "chess"]
    assert float(rows[1]["score:dancing, ballet"]) == 0.7
    assert (rows[2]["predicted"], rows[2]["score:chess"], rows[2]["error"]) == ("", "", "b.mp4: truncated")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["top1"], summary["top5"], summary["videos"]) == (50.0, 75.0, 4)
    assert summary["unreadable"] == [{"path": "b.mp4", "reason": "b.mp4: truncated"}]
    assert summary["per_class"][0] == {"class": "archery", "videos": 3, "top1": pytest.approx(100 / 3)}
    assert summary["per_class"][1]["top1"] is None
    assert summary["weights"] == "best.ckpt"


def test_a_failing_report_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*summary\.json: No space left on device"):
        report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_confusion_figure_shows_the_shares() -> None:
    """The diagonal of a perfect classifier is drawn dark, everything else light."""
    pixels = image.imread(io.BytesIO(confusion_png(torch.eye(2) * 7, class_names=["a", "b"])))[..., :3]
    dark = (pixels[..., 2] > 0.3) & (pixels[..., 0] < 0.1) & (pixels[..., 2] < 0.5)
    rows, columns = torch.tensor(dark).nonzero(as_tuple=True)
    # The matrix is square and begins at the leftmost dark pixel; beyond it stands the colour bar.
    side = rows.max() - rows.min()
    inside = columns < columns.min() + side
    rows, columns = rows[inside], columns[inside]
    middle_row, middle_column = rows.min() + side / 2, columns.min() + side / 2
    upper_left = ((rows < middle_row) & (columns < middle_column)).sum()
    lower_right = ((rows > middle_row) & (columns > middle_column)).sum()
    assert upper_left + lower_right > 0.99 * len(rows)


def texts(figure: Any) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_the_most_confused_pairs_of_many_classes_are_named() -> None:
    confusion = torch.eye(400, dtype=torch.long) * 10
    confusion[7, 7], confusion[7, 301] = 2, 8
    confusion[200, 3] = 5
    assert confused_pairs(confusion, at_most=5) == [(7, 301), (200, 3)]
    names = [f"class ${i}$" for i in range(400)]  # no formulas
    figure = draw_confusion(confusion, class_names=names)
    assert "80%  7 class $7$" in texts(figure)
    assert "of 10  -> 301 class $301$" in texts(figure)
    assert confusion_png(confusion, class_names=names)


def test_a_class_without_videos_is_blank() -> None:
    confusion = torch.tensor([[4, 0, 0], [0, 0, 0], [1, 0, 3]])
    figure = draw_confusion(confusion, class_names=["a", "b", "c"])
    written = [(text.get_position(), text.get_text()) for text in figure.axes[0].texts]
    assert {position[1] for position, _ in written} == {0, 2}
    assert ((0, 2), "25") in written
    shown = figure.axes[0].images[0].get_array()
    assert shown.mask[1].all()
    assert not shown.mask[[0, 2]].any()
    assert figure.axes[0].get_title() == "grey: classes without videos (1)"


@pytest.mark.parametrize("classes", [1, 12, 50, 51, 400])
def test_confusion_figure_for_any_number_of_classes(classes: int) -> None:
    png = confusion_png(torch.zeros(classes, classes), class_names=[f"class {i}" for i in range(classes)])
    assert png.startswith(b"\x89PNG")


def test_a_dataloader_of_single_videos_works() -> None:
    class Videos(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> dict[str, Any]:
            return item(torch.full((2, 2, 4, 4, 3), index, dtype=torch.uint8), index, index)

    loader = DataLoader(Videos(), batch_size=None, num_workers=1)
    results = list(
        score_videos(
            BrightnessScorer(), loader, prepare=lambda v: v.permute(0, 4, 1, 2, 3).float(), device=CPU, batch_views=4
        )
    )
    assert [(r.index, r.label, r.predicted) for r in results] == [(0, 0, 1), (1, 1, 0), (2, 2, 0)]
