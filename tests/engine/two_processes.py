"""Run as a script: the second half of a toy run on two CPU processes, started by Lightning as `--devices 2` does.

python two_processes.py OUT START_STEP
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from engine.toy import Toy, ToyClips, toy_train
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.engine.train import TrainResult


class NotedClips(ToyClips):
    """Clips of which one stands in for an unreadable file, and whose files are all odd in the same way."""

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        error = "7.mp4: truncated" if key[1] == 7 else ""
        return {**super().__getitem__(key), "error": error, "note": "all.mp4: the video has 1 frame"}


def frozen_run(out: Path, *, devices: int, steps: int = 12, **where: Any) -> TrainResult:
    """What both forms share: BatchNorm frozen at statistics that are not the initial ones, no dropout."""
    torch.manual_seed(5)
    model = Toy(dropout=0.0)
    model.norm.running_mean.uniform_(-0.2, 0.2)
    model.norm.running_var.uniform_(0.5, 1.5)
    return toy_train(
        out,
        model=model,
        dataset=NotedClips(),
        optim=OptimConfig(batch_size=8, accumulate=2, lr=0.1, freeze_bn=True),
        schedule=ScheduleConfig(steps=steps, milestones=(8,)),
        trainer=TrainerConfig(
            device="cpu", devices=devices, strategy="auto", val_every=4, checkpoint_every=3, log_every=1
        ),
        **where,
    )


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    folder, start = Path(sys.argv[1]), int(sys.argv[2])
    frozen_run(folder, devices=2, start_step=start, resume_from=folder / "last.ckpt" if start else None)
