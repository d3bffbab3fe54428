"""The non-local blocks of a video network: the options that a variant decides, and their insertion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from nonlocalnet.block import BlockOptions, Domain
from nonlocalnet.functional import Pairwise
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.insert.insert import put_blocks
from nonlocalnet.models.video.geometry import Geometry, Size
from nonlocalnet.models.video.placement import nonlocal_paths
from nonlocalnet.models.video.trunk import VideoTrunk

Subsample = int | tuple[int, ...] | Mapping[str, Any] | Literal["variant"] | None
GroupFrames = int | Mapping[str, int | None] | Literal["variant"] | None

# "Subsampling" in Section 3.3: spatial only, a quarter of the pairs.
SUBSAMPLE: Size = (1, 2, 2)


class VideoBlockArguments(TypedDict, total=False):
    """The fields of `VideoBlockOptions` as keyword arguments (a test holds the two together)."""

    inner_channels: int | None
    pairwise: Pairwise
    scale: float | Literal["rsqrt", "variant"]
    subsample: Subsample
    subsample_first: bool | Literal["variant"]
    domain: Domain
    temporal_group_frames: GroupFrames
    norm: Literal["batch", "variant"] | None
    zero_init: bool


@dataclass(frozen=True, kw_only=True)
class VideoBlockOptions:
    """`BlockOptions` in which a network's variant and clip may decide; "variant" leaves it to them.

    None is itself a value of several options, so it cannot stand for that. `subsample` and `temporal_group_frames` may
    be mappings from stage to value, for networks whose stages differ.
    """

    inner_channels: int | None = BlockOptions.inner_channels
    pairwise: Pairwise = BlockOptions.pairwise
    scale: float | Literal["rsqrt", "variant"] = "variant"
    subsample: Subsample = "variant"
    subsample_first: bool | Literal["variant"] = "variant"
    domain: Domain = BlockOptions.domain
    temporal_group_frames: GroupFrames = "variant"
    norm: Literal["batch", "variant"] | None = "variant"
    zero_init: bool = BlockOptions.zero_init

    def of_stage(self, stage: str, geometry: Geometry) -> BlockOptions:
        """The options of a stage's blocks in a network of this geometry.

        Raises:
            ValueError: An option is out of range, or two do not go together.
        """
        if self.norm not in ("batch", "variant", None):  # no program has another, and no file could say it
            raise ValueError(f"norm must be one of 'batch', None, got {self.norm!r}")
        first = self.subsample_first
        return BlockOptions(
            inner_channels=self.inner_channels,
            pairwise=self.pairwise,
            scale=self._scale(geometry),
            subsample=self._subsample(stage),
            subsample_first=geometry.subsample_first if first == "variant" else first,
            domain=self.domain,
            temporal_group_frames=self._group_frames(stage, geometry),
            norm=geometry.block_norm if self.norm == "variant" else self.norm,
            zero_init=self.zero_init,
        )

    def _scale(self, geometry: Geometry) -> float | Literal["rsqrt"]:
        if self.scale != "variant":
            return self.scale
        return geometry.scale if row_of(self.pairwise).is_softmax else 1.0

    def _subsample(self, stage: str) -> int | tuple[int, ...] | None:
        value = self.subsample.get(stage) if isinstance(self.subsample, Mapping) else self.subsample
        if value != "variant":
            return value
        # Pooling in space would mix the locations that "time" keeps apart.
        return None if self.domain == "time" else SUBSAMPLE

    def _group_frames(self, stage: str, geometry: Geometry) -> int | None:
        value = self.temporal_group_frames
        value = value.get(stage) if isinstance(value, Mapping) else value
        if value != "variant":
            return value
        # "space" sums over single frames, for which groups of frames mean nothing.
        return geometry.group_frames_res3 if stage == "res3" and self.domain != "space" else None


def add_blocks(model: VideoTrunk, nonlocal_blocks: int | Sequence[str], *, options: VideoBlockOptions) -> None:
    """Insert non-local blocks into a network, in place.

    Args:
        model: The network, without blocks.
        nonlocal_blocks: As `nonlocalnet.models.video.placement.nonlocal_paths` takes them.
        options: Those of every block.

    Raises:
        ValueError: If a placement or an option is not possible.
    """
    paths = nonlocal_paths(nonlocal_blocks, depth=model.depth)
    of_stage = {stage: options.of_stage(stage, model.geometry) for stage in model.stage_channels}
    for stage_options in of_stage.values():  # refused even where the network gets no blocks
        stage_options.pool_kernel(ndim=3)
    for stage in dict.fromkeys(path.partition(".")[0] for path in paths):
        in_stage = [path for path in paths if path.startswith(f"{stage}.")]
        channels = model.stage_channels[stage]
        put_blocks(model, after=in_stage, channels=channels, ndim=3, block=of_stage[stage])
