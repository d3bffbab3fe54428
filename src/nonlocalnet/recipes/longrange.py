"""The generated long-range videos: the same small network without and with non-local blocks.

Not in the paper: a task that a local network cannot solve (`nonlocalnet.data.generated.videos` says why), small enough
for two CPU cores. Everything but the blocks is equal.
"""

from __future__ import annotations

from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.runs.video.config import DataConfig, ModelConfig, VideoRecipe


def longrange_c2d() -> VideoRecipe:
    """The C2D without blocks."""
    return _longrange("longrange_c2d", "generated long-range videos, C2D", nonlocal_blocks=0)


def longrange_nl_c2d() -> VideoRecipe:
    """The C2D with five embedded-Gaussian blocks, where the paper has them."""
    return _longrange("longrange_nl_c2d", "generated long-range videos, C2D with 5 blocks", nonlocal_blocks=5)


def _longrange(name: str, row: str, *, nonlocal_blocks: int) -> VideoRecipe:
    return VideoRecipe(
        name=name,
        row=row,
        model=ModelConfig(num_classes=3, nonlocal_blocks=nonlocal_blocks, clip="8x8", width=8, dropout=0.0, crop=40),
        # 16-frame videos of 44 x 44 pixels: every other frame. Mirroring would exchange cue and objects. A crop of 40
        # leaves a res5 map of 2 x 2 that sees the whole frame; one of 32 leaves 1 x 1, whose shortcuts never see the
        # right edge, and the C2D without blocks did not even learn the colours.
        data=DataConfig(
            train="train.csv",
            val="val.csv",
            test="test.csv",
            clip_frames=8,
            frame_stride=2,
            short_side_min=44,
            short_side_max=44,
            flip=0.0,
            test_clips=2,
            test_crops="three",
            test_short_side=44,
            test_crop=40,
        ),
        optim=OptimConfig(lr=0.1, batch_size=32),
        schedule=ScheduleConfig(steps=220, milestones=(180,), warmup_steps=20),
        trainer=TrainerConfig(val_every=44, checkpoint_every=44, log_every=10),
    )
