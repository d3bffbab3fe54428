"""A real recipe at its smallest: the generated videos and a network of width 4 with one non-local block."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nonlocalnet.data.generated.videos import write_long_range_videos
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.models import VideoResNet, c2d_resnet50
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.network import fresh_card
from nonlocalnet.recipes import recipe
from nonlocalnet.runs.video.config import ModelConfig, VideoRecipe


def tiny_videos(folder: Path) -> Path:
    return write_long_range_videos(
        folder, num_train=10, num_val=5, num_test=4, num_classes=4, num_frames=8, height=32, width=32
    )


def tiny_network(*, classes: Sequence[str] = ("run", "sit", "wave"), clip: str = "8x8", **further: Any) -> VideoResNet:
    """A network of width 4 that was never trained, with the card of a run on videos of 32 pixels and clips 4x2."""
    torch.manual_seed(0)
    model = c2d_resnet50(num_classes=len(classes), width=4, clip=clip, nonlocal_blocks=1, crop=32, **further)
    torch.nn.init.normal_(model.head.projection.weight)  # scores that differ
    preprocessing = Preprocessing(clip_frames=4, frame_stride=2, short_side=32, crop=32)
    model.card = dataclasses.replace(fresh_card(model), class_names=list(classes), preprocessing=preprocessing)
    return model.eval()


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
