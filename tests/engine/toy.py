"""A small network and dataset: every sample is a function of (seed, epoch, index), as the clips of real videos are."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from nonlocalnet.data.batches import StepBatchSampler
from nonlocalnet.engine.checkpoint import Checkpoints
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.engine.loaders import TrainLoaders
from nonlocalnet.engine.train import TrainResult, run_steps
from nonlocalnet.runs.video.data import ValidationShare
from nonlocalnet.runs.video.network import adapt_network
from nonlocalnet.runs.video.results.counts import Record
from nonlocalnet.runs.video.task import ClassifierTask


class Toy(nn.Module):
    """Convolution, BatchNorm, dropout, head: everything whose state a resumed run must bring back."""

    def __init__(self, *, dropout: float = 0.5, classes: int = 3, frames_of_kernel: Literal[1, 3] = 3) -> None:
        super().__init__()
        t = frames_of_kernel
        self.conv = nn.Conv3d(3, 8, (t, 3, 3), padding=(t // 2, 1, 1))
        self.norm = nn.BatchNorm3d(8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(torch.relu(self.norm(self.conv(x))).mean((2, 3, 4))))


class ToyClips(Dataset):
    """Random clips whose brightness tells the class a little.

    Args:
        poison: Index of a clip that holds NaN.
        multi_label: Give rows of 0 and 1; the last clip has no class.
        broken: Indices of clips that stand in for an unreadable video.
    """

    def __init__(
        self,
        size: int = 20,
        *,
        seed: int = 0,
        poison: int | None = None,
        classes: int = 3,
        multi_label: bool = False,
        broken: tuple[int, ...] = (),
    ) -> None:
        self.size, self.seed, self.poison, self.classes = size, seed, poison, classes
        self.multi_label, self.broken = multi_label, broken

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch * 1009 + index)
        label = index % self.classes
        frames = torch.randn(2, 6, 6, 3, generator=generator) + 0.5 * label
        if index == self.poison:
            frames[0, 0, 0, 0] = torch.nan
        item = {"frames": frames, "label": multi_hot(index, self.classes, self.size) if self.multi_label else label}
        if self.broken:
            replaced = index in self.broken
            item.update(replaced=replaced, error=f"{index}.mp4: truncated" if replaced else "")
        return item


def multi_hot(index: int, classes: int, size: int) -> torch.Tensor:
    """The classes of clip `index`: its own, and every other clip the next one too; none for the last."""
    row = torch.zeros(classes)
    if index != size - 1:
        row[index % classes] = 1
        row[(index + 1) % classes] = index % 2
    return row


class ToyVideos(Dataset):
    """Six videos to validate on; the last cannot be read."""

    def __init__(self, size: int = 6, *, multi_label: bool = False) -> None:
        self.size, self.multi_label = size, multi_label

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = ToyClips(seed=7, multi_label=self.multi_label)[0, index]
        error = "broken" if index == 5 else ""
        return {"views": item["frames"][None], "label": item["label"], "index": index, "error": error}


def channels_first(frames: torch.Tensor) -> torch.Tensor:
    return frames.permute(0, 4, 1, 2, 3).float()


def toy_train(
    out: Path,
    *,
    model: nn.Module | None = None,
    dataset: ToyClips | None = None,
    optim: OptimConfig | None = None,
    schedule: ScheduleConfig | None = None,
    trainer: TrainerConfig | None = None,
    validate: bool = True,
    workers: int = 0,
    start_step: int = 0,
    resume_from: Path | None = None,
    multi_label: bool = False,
    max_unreadable: float = 1.0,
    callbacks: tuple = (),
) -> TrainResult:
    optim = optim or OptimConfig(batch_size=4, lr=0.05)
    schedule = schedule or ScheduleConfig(steps=12, milestones=(8,), warmup_steps=3)
    trainer = trainer or TrainerConfig(device="cpu", val_every=5, checkpoint_every=2, log_every=1)
    torch.manual_seed(trainer.seed)
    clips = dataset or ToyClips()

    train_loaders = TrainLoaders(
        clips, partial(StepBatchSampler, clips.size), optim, seed=trainer.seed, workers=workers
    )

    def val_loader(*, rank: int, world_size: int) -> DataLoader:
        videos = ToyVideos(multi_label=multi_label)
        share = ValidationShare(videos, positions=list(range(len(videos))), rank=rank, world_size=world_size)
        return DataLoader(share, batch_size=4 // world_size)

    checkpoints = Checkpoints(out, every=trainer.checkpoint_every, extra={"note": {"format": 1}})
    task = ClassifierTask(
        adapt_network(model or Toy(), trainer),
        prepare=channels_first,
        optim=optim,
        schedule=schedule,
        seed=trainer.seed,
        start_step=start_step,
        last_good=checkpoints.last_good,
        multi_label=multi_label,
        max_unreadable=max_unreadable,
    )
    return run_steps(
        task,
        make_train_loader=train_loaders,
        make_val_loader=val_loader if validate else None,
        trainer=trainer,
        checkpoints=checkpoints,
        record=Record,
        resume_from=resume_from,
        progress=False,
        callbacks=callbacks,
    )


def toy_run(out: Path, *, checkpoint_every: int = 1, **further: Any) -> TrainResult:
    """The run that the tests of resuming repeat: accumulation, dropout, and a checkpoint at every step."""
    return toy_train(
        out,
        optim=OptimConfig(batch_size=4, accumulate=2, lr=0.05),
        schedule=ScheduleConfig(steps=40, milestones=(20, 30), warmup_steps=5),
        trainer=TrainerConfig(device="cpu", val_every=7, checkpoint_every=checkpoint_every, log_every=1),
        **further,
    )
