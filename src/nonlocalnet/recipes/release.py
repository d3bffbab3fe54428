"""The models that the authors released beside the paper ([C2]), Kinetics-400, each with its own schedule.

They are no rows of the paper's tables: the release re-implements its experiments, adds the clips 8x8 and 32x4, shorter
schedules and training on 4 GPUs. Facts and published numbers (top-1, top-5 on 30 views, each crop fully convolutional)
are from the README, the configurations and the scripts of facebookresearch/video-nonlocal-net, and the names follow its
files: `release_nl_i3d_8x8` is i3d_nonlocal_8x8_IN_pretrain_400k. Not reproduced: before each checkpoint the release
replaced the BatchNorm statistics of its networks with trained BatchNorm by averages over 200 iterations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from nonlocalnet.engine.config import AS_PUBLISHED, OptimConfig, ScheduleConfig
from nonlocalnet.formats.catalogue import released_file
from nonlocalnet.runs.video.config import DataConfig, ModelConfig, VideoRecipe

Network = Literal["c2d", "nl_c2d", "i3d", "nl_i3d"]
_SOURCE = "README of facebookresearch/video-nonlocal-net"
# STEP_SIZES of the configurations, summed up.
_400K = ScheduleConfig(steps=400_000, milestones=(150_000, 300_000))
_300K = ScheduleConfig(steps=300_000, milestones=(150_000, 250_000))
_600K = ScheduleConfig(steps=600_000, milestones=(300_000, 500_000))


def released(network: Network, clip: Literal["8x8", "32x2"]) -> VideoRecipe:
    """A network with trained BatchNorm: from ImageNet weights, 400k iterations of 64 clips."""
    return _recipe(network, clip, optim=OptimConfig())


def released_long(network: Literal["i3d", "nl_i3d"], clip: Literal["32x4", "128x1"]) -> VideoRecipe:
    """A network with frozen BatchNorm: from the I3D baseline of the short clip, 400k iterations of 16 clips.

    32x4 starts from `release_i3d_8x8`, 128x1 from `release_i3d_32x2`, without its classifier (modify_caffe2_ftvideo.py
    deletes it). The non-local blocks start fresh, have no BatchNorm, and those of res3 work in groups of 4 frames.
    """
    recipe = _recipe(network, clip, optim=OptimConfig(lr=0.0025, batch_size=16, freeze_bn=True))
    baseline = {"32x4": "release_i3d_8x8", "128x1": "release_i3d_32x2"}[clip]
    return replace(recipe, starts_from=baseline, fresh_classifier=True)


def released_i3d_300k() -> VideoRecipe:
    """The I3D baseline on 8x8 clips with 300k iterations."""
    recipe = _recipe("i3d", "8x8", optim=OptimConfig())
    return _varied(recipe, "300k", "300k iterations", schedule=_300K)


def released_i3d_600k_4gpu() -> VideoRecipe:
    """The I3D baseline on 8x8 clips with half the batch and half the learning rate: 600k iterations on 4 GPUs.

    It was trained on a later download of Kinetics, which lacks videos.
    """
    recipe = _recipe("i3d", "8x8", optim=OptimConfig(lr=0.005, batch_size=32))
    return _varied(recipe, "600k_4gpu", "600k iterations on 4 GPUs", schedule=_600K)


def released_i3d_300k_4gpu() -> VideoRecipe:
    """The quick one: as `released_i3d_600k_4gpu` with half the iterations, no dropout and no scale jittering."""
    recipe = _recipe("i3d", "8x8", optim=OptimConfig(lr=0.005, batch_size=32))
    recipe = replace(recipe, model=replace(recipe.model, dropout=0.0), data=replace(recipe.data, short_side_max=256))
    return _varied(recipe, "300k_4gpu", "300k iterations on 4 GPUs", schedule=_300K)


def _recipe(network: Network, clip: Literal["8x8", "32x2", "32x4", "128x1"], *, optim: OptimConfig) -> VideoRecipe:
    return VideoRecipe(
        name=f"release_{network}_{clip}",
        row=f"R50, released {network.replace('_', ' ').upper()}, {clip}",
        published=_published(network, clip, "400k"),
        source=_SOURCE,
        starts_from="ImageNet",
        model=ModelConfig(
            architecture="c2d_resnet50" if network.endswith("c2d") else "i3d_resnet50",
            nonlocal_blocks=5 if network.startswith("nl_") else 0,
            clip=clip,
        ),
        data=DataConfig(test_crops="three", test_positions="wrapped", as_release=True),
        optim=optim,
        schedule=_400K,
        trainer=AS_PUBLISHED,
    )


def _varied(recipe: VideoRecipe, suffix: str, what: str, *, schedule: ScheduleConfig) -> VideoRecipe:
    return replace(
        recipe,
        name=f"{recipe.name}_{suffix}",
        row=f"{recipe.row}, {what}",
        published=_published("i3d", "8x8", suffix),
        schedule=schedule,
    )


def _published(network: Network, clip: str, schedule: str) -> dict[str, float]:
    """The results that the catalogue of the released files has."""
    trunk = network.removeprefix("nl_")
    blocks = "nonlocal" if network.startswith("nl_") else "baseline"
    start = "I3D" if clip in ("32x4", "128x1") else "IN"
    file = released_file(f"{trunk}_{blocks}_{clip}_{start}_pretrain_{schedule}.pkl")
    assert file is not None
    return dict(file.published)
