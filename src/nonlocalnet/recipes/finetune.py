"""Own videos, hundreds of them: a network of Kinetics with a new classifier.

Not in the paper, which fine-tunes on Charades (Section 6, `nonlocalnet.recipes.charades`): what is said there is taken
over, the rest is ours. No result was published for it.
"""

from __future__ import annotations

from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.runs.video.config import ModelConfig, VideoRecipe


def finetune_small() -> VideoRecipe:
    """I3D-50 with 5 blocks on clips of 8 frames, for one GPU; the folders say the classes and the number of steps."""
    return VideoRecipe(
        name="finetune_small",
        row="own videos, hundreds of them: R50, NL I3D, 8-frame clips",
        # A released file of Kinetics-400 whose clips a small GPU holds: 8 frames over 64, some two seconds.
        starts_from="release_nl_i3d_8x8",
        fresh_classifier=True,
        model=ModelConfig(architecture="i3d_resnet50", nonlocal_blocks=5, clip="8x8"),
        # Batch and rate are those of Charades, and BatchNorm is frozen as there: 8 clips are too few for statistics.
        # Ours: a fresh classifier learns ten times as fast, as so few steps would hardly move it.
        optim=OptimConfig(lr=0.00125, batch_size=8, freeze_bn=True, lr_factor_head=10.0),
        # 30 passes are ours; Charades has about 200 and Kinetics 107, from starts that are further away. Milestones are
        # at 3/8 and 3/4 of the run, as for Charades. The steps are those of 320 videos; the command line counts yours.
        epochs=30,
        schedule=ScheduleConfig(steps=1200, milestones=(450, 900)),
        trainer=TrainerConfig(val_every=100, checkpoint_every=100),
    )
