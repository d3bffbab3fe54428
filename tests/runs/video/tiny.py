"""A real recipe at its smallest: the generated videos and a network of width 4 with one non-local block."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nonlocalnet.data.generated.videos import write_long_range_videos
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.recipes import recipe
from nonlocalnet.runs.video.config import ModelConfig, VideoRecipe


def tiny_videos(folder: Path) -> Path:
    return write_long_range_videos(
        folder, num_train=10, num_val=5, num_test=4, num_classes=4, num_frames=8, height=32, width=32
    )


def tiny_recipe(root: Path, *, workers: int = 0, nonlocal_blocks: tuple[str, ...] = ("res4.4",)) -> VideoRecipe:
    base = recipe("longrange_nl_c2d")
    return dataclasses.replace(
        base,
        name="tiny",
        model=ModelConfig(
            num_classes=4, nonlocal_blocks=list(nonlocal_blocks), clip="8x8", width=4, dropout=0.5, crop=32
        ),
        data=dataclasses.replace(
            base.data,
            root=str(root),
            clip_frames=4,
            frame_stride=1,
            short_side_min=32,
            short_side_max=40,
            flip=0.5,
            workers=workers,
            test_short_side=32,
            test_crop=32,
        ),
        optim=OptimConfig(lr=0.02, batch_size=4, accumulate=2),
        schedule=ScheduleConfig(steps=8, milestones=(5,), warmup_steps=2),
        trainer=TrainerConfig(device="cpu", val_every=3, checkpoint_every=1, log_every=1),
    )
