"""Training where a video may have several classes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from engine.toy import Toy, ToyClips, ToyVideos, channels_first, toy_train
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.runs.video.results.counts import read_metrics
from nonlocalnet.runs.video.results.metrics import mean_average_precision


def multi_label_run(out: Path, **settings: Any) -> Any:
    return toy_train(out, dataset=ToyClips(multi_label=True), multi_label=True, **settings)


def test_loss_and_map_are_those_of_the_definition(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = Toy(dropout=0.0)
    trainer = TrainerConfig(device="cpu", val_every=3, log_every=1)
    one_step = ScheduleConfig(steps=3, milestones=())
    result = multi_label_run(tmp_path, model=model, trainer=trainer, schedule=one_step)
    rows = read_metrics(tmp_path / "metrics.csv")
    assert [math.isnan(row.map) for row in rows] == [True, True, True, False]
    # The validation, by hand: the last of the six videos cannot be read and ranks last.
    videos = [ToyVideos(multi_label=True)[i] for i in range(6)]
    with torch.no_grad():
        logits = model.eval()(channels_first(torch.cat([video["views"] for video in videos])))
    labels = torch.stack([video["label"] for video in videos])
    loss = F.binary_cross_entropy(logits[:5].sigmoid(), labels[:5])
    assert rows[-1].loss == pytest.approx(loss.item(), rel=1e-5)
    logits[5] = -math.inf
    assert rows[-1].map == pytest.approx(mean_average_precision(logits, labels))
    assert result.best_quality == pytest.approx(rows[-1].map)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1].endswith(",")  # no mAP of a step


def test_the_best_checkpoint_is_the_one_with_the_highest_map(tmp_path: Path) -> None:
    trainer = TrainerConfig(device="cpu", val_every=2, log_every=1)
    multi_label_run(tmp_path, trainer=trainer, optim=OptimConfig(batch_size=4, lr=0.5))
    validations = [row for row in read_metrics(tmp_path / "metrics.csv") if row.split == "val"]
    best = max(validations, key=lambda row: row.map)
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["global_step"] == best.step
    assert len({row.map for row in validations}) > 1
