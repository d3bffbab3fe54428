"""What the writers of other programs' files do alike."""

from __future__ import annotations

from torch import Tensor

from nonlocalnet.formats.fill import OPTIONAL_SUFFIX
from nonlocalnet.formats.graph import differences, geometry_facts, trunk_facts
from nonlocalnet.formats.names import NameTable
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.geometry import FAMILIES, GEOMETRIES, Variant


def require_none(found: list[str], program: str) -> None:
    """Raise ValueError, naming the differences, unless there are none."""
    if found:
        raise ValueError(f"{program} would build another graph: {'; '.join(found)}")


def nearest(network: VideoResNet, variants: list[tuple[Variant, str]]) -> tuple[Variant, list[str]]:
    """Return the variant of a program that differs least in its geometry, and how it differs."""
    ours = trunk_facts(network)
    candidates = []
    for variant, clip in variants:
        geometry = FAMILIES[variant] if variant in FAMILIES else GEOMETRIES[variant, clip]
        candidates.append((variant, differences(ours, geometry_facts(geometry, crop=network.crop))))
    return min(candidates, key=lambda candidate: len(candidate[1]))


def renamed_state(network: VideoResNet, table: NameTable) -> dict[str, Tensor]:
    """The network's tensors by their names; BatchNorm's counters only where the table has them."""
    named = {}
    for name, tensor in network.state_dict().items():
        theirs = table.to_theirs(name)
        assert theirs is not None or name.endswith(OPTIONAL_SUFFIX), name
        if theirs is not None:
            named[theirs] = tensor.detach().cpu().clone()
    return named


def per_channel(value: float | list[float], divided_by: float) -> list[float]:
    """A mean or standard deviation of the card as one number for each of the three channels."""
    values = [value] * 3 if isinstance(value, (int, float)) else list(value)
    return [single / divided_by for single in values]
