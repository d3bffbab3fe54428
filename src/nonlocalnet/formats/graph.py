"""The graph of a network as facts that can be held against another program's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.video.geometry import Geometry, head_window
from nonlocalnet.models.video.trunk import VideoTrunk

Facts = dict[str, Any]


def trunk_facts(network: VideoTrunk) -> Facts:
    """What decides the trunk beside its tensors."""
    return {
        **geometry_facts(network.geometry, crop=network.crop),
        "norm of the trunk": network.trunk_norm,
        "kernel that spans time": network.inflate,
        "residual blocks that hold it": network.inflated if network.inflate else None,
    }


def geometry_facts(geometry: Geometry, *, crop: int | None) -> Facts:
    """Those that a geometry decides."""
    facts: Facts = {"stride of conv1": geometry.conv1_stride}
    for name, pool in (("pool1", geometry.pool1), ("pool2", geometry.pool2)):
        facts |= {f"{name} {part}": value for part, value in pool._asdict().items()}
    window = head_window(geometry, crop=crop)
    return {**facts, "rows that the head averages": "all" if window is None else window, "eps": geometry.norm_eps}


def block_facts(network: nn.Module) -> dict[str, Facts]:
    """What decides each block beside its tensors, by its path without the suffix, such as "res4.1"."""
    return {path.removesuffix("_nonlocal"): _facts(block) for path, block in nonlocal_blocks(network).items()}


def _facts(block: NonLocalBlock) -> Facts:
    rsqrt = block.inner_channels**-0.5
    scale = "rsqrt" if block.scale in ("rsqrt", rsqrt) else float(block.scale)
    row = row_of(block.pairwise)
    pools = any(size > 1 for size in block.pool_kernel)
    return {
        "pairwise": block.pairwise,
        "scale of the logits": scale if row.is_softmax else None,
        "subsampling": block.pool_kernel if pools else None,
        "subsampling before phi and g": block.subsample_first if pools and row.embeds else None,
        "subsampling before g": block.subsample_first if pools and not row.embeds else None,
        "channels inside over half": block.inner_channels - max(1, block.channels // 2),
        "domain": block.domain,
        "frames of a temporal group": block.temporal_group_frames,
        "norm": None if block.norm is None else "batch",
    }


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, where: str = "") -> list[str]:
    """The facts that differ, one phrase each; an `AnyOf` in `theirs` allows each of its values."""
    found = []
    for name, value in theirs.items():
        allowed = value.values if isinstance(value, AnyOf) else (value,)
        if ours[name] not in allowed:
            shown = " or ".join(map(repr, allowed))
            found.append(f"{where}{name} is {ours[name]!r} here and {shown} there")
    return found


class AnyOf:
    """Values of a fact that a program builds."""

    def __init__(self, *values: Any) -> None:
        self.values = values
