"""The non-local blocks of a video network: the options that a variant decides, and their insertion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import torch

from nonlocalnet.block import Domain, NonLocalBlock
from nonlocalnet.functional import Pairwise
from nonlocalnet.insert import insert_nonlocal
from nonlocalnet.models.video.geometry import Geometry, Size
from nonlocalnet.models.video.placement import nonlocal_paths
from nonlocalnet.models.video.trunk import VideoTrunk

# The pairwise functions whose weights are a softmax, which [C2] scales; the other two divide by the number of
# positions.
SOFTMAX_FORMS: tuple[str, ...] = ("gaussian", "embedded_gaussian")

Subsample = int | tuple[int, ...] | Mapping[str, Any] | Literal["variant"] | None
GroupFrames = int | Mapping[str, int | None] | Literal["variant"] | None

# "Subsampling" in Section 3.3: spatial only, a quarter of the pairs.
SUBSAMPLE: Size = (1, 2, 2)


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """Options of the blocks of one network; "variant" stands for what the network's variant and clip say.

    `subsample` and `temporal_group_frames` may be mappings from stage to value, for networks whose stages differ.
    """

    inner_channels: int | None = None
    pairwise: Pairwise = "embedded_gaussian"
    scale: float | Literal["rsqrt", "variant"] = "variant"
    subsample: Subsample = "variant"
    subsample_first: bool | Literal["variant"] = "variant"
    domain: Domain = "spacetime"
    temporal_group_frames: GroupFrames = "variant"
    norm: Literal["batch", "variant"] | None = "variant"
    zero_init: bool = True


def add_blocks(model: VideoTrunk, nonlocal_blocks: int | Sequence[str], *, options: BlockOptions) -> None:
    """Insert non-local blocks into a network, in place.

    Args:
        model: The network, without blocks.
        nonlocal_blocks: As `nonlocalnet.models.video.placement.nonlocal_paths` takes them.
        options: Of every block.

    Raises:
        ValueError: If a placement or an option is not possible.
    """
    geometry = model.geometry
    paths = nonlocal_paths(nonlocal_blocks, depth=model.depth)
    # Blocks made of no memory: options are refused even where the network gets no blocks.
    with torch.device("meta"):
        for stage, channels in model.stage_channels.items():
            NonLocalBlock(channels, ndim=3, **_block_arguments(options, geometry, stage=stage))
    for stage in dict.fromkeys(path.partition(".")[0] for path in paths):
        in_stage = [path for path in paths if path.startswith(f"{stage}.")]
        arguments = _block_arguments(options, geometry, stage=stage)
        insert_nonlocal(model, after=in_stage, channels=model.stage_channels[stage], ndim=3, **arguments)


class _BlockArguments(TypedDict):
    inner_channels: int | None
    pairwise: Pairwise
    scale: float | Literal["rsqrt"]
    subsample: int | tuple[int, ...] | None
    subsample_first: bool
    domain: Domain
    temporal_group_frames: int | None
    norm: Literal["batch"] | None
    zero_init: bool


def _block_arguments(options: BlockOptions, geometry: Geometry, *, stage: str) -> _BlockArguments:
    """The options of a stage's blocks, with what "variant" stands for."""
    first = options.subsample_first
    return _BlockArguments(
        inner_channels=options.inner_channels,
        pairwise=options.pairwise,
        scale=_scale(options, geometry),
        subsample=_subsample(options, stage=stage),
        subsample_first=geometry.subsample_first if first == "variant" else first,
        domain=options.domain,
        temporal_group_frames=_group_frames(options, geometry, stage=stage),
        norm=geometry.block_norm if options.norm == "variant" else options.norm,
        zero_init=options.zero_init,
    )


def _scale(options: BlockOptions, geometry: Geometry) -> float | Literal["rsqrt"]:
    if options.scale != "variant":
        return options.scale
    return geometry.scale if options.pairwise in SOFTMAX_FORMS else 1.0


def _subsample(options: BlockOptions, *, stage: str) -> int | tuple[int, ...] | None:
    value = options.subsample
    if isinstance(value, Mapping):
        value = value.get(stage)
    if value != "variant":
        return value
    # Pooling in space would mix the locations that "time" keeps apart.
    return None if options.domain == "time" else SUBSAMPLE


def _group_frames(options: BlockOptions, geometry: Geometry, *, stage: str) -> int | None:
    value = options.temporal_group_frames
    if isinstance(value, Mapping):
        value = value.get(stage)
    if value != "variant":
        return value
    # "space" sums over single frames, for which groups of frames mean nothing.
    return geometry.group_frames_res3 if stage == "res3" and options.domain != "space" else None
