"""What the names and shapes of a file's tensors say about its network.

Every number is read from as many tensors as show it and taken where most of them agree, so that one missing or
misshapen tensor does not change the answer: it is then found, and named, when the network is filled.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nonlocalnet.formats.names import NameTable
from nonlocalnet.models.video.architectures import name_of
from nonlocalnet.models.video.geometry import INFLATIONS, STAGE_BLOCKS, STAGES, Depth, inflated_blocks

Shapes = Mapping[str, tuple[int, ...]]

_BLOCK_PARTS = ("theta.weight", "phi.weight", "g.weight", "out.weight")


@dataclass(frozen=True)
class Structure:
    """A network as far as names and shapes tell.

    Attributes:
        architecture: Factory of `nonlocalnet.models`.
        arguments: Those of its arguments that are known: num_classes (None in a file without a classifier), width,
            nonlocal_blocks, inner_channels, norm and trunk_norm, for an I3D inflate and inflated.
        embedded: Whether the blocks have theta and phi.
        concatenated: Whether they have the vector w_f.
    """

    architecture: str
    arguments: dict[str, Any]
    embedded: bool
    concatenated: bool


def read_structure(shapes: Shapes, *, table: NameTable, path: object) -> Structure:
    """Infer the network.

    Args:
        shapes: By our names.
        table: The file's names beside ours, for the errors.
        path: The file, for the errors.

    Raises:
        ValueError: If the tensors are not those of a C2D or I3D ResNet-50 or -101; says what was found.
    """
    depth = _depth(shapes, path=path)
    blocks = _blocks(shapes)
    i3d = _inflation(shapes, depth=depth, path=path)
    arguments: dict[str, Any] = {
        "num_classes": _num_classes(shapes, table=table, path=path),
        "width": _width(shapes),
        "nonlocal_blocks": blocks,
        **i3d,
    }
    if blocks:
        arguments["inner_channels"] = _inner_channels(shapes, blocks, width=arguments["width"])
        arguments["norm"] = "batch" if _most(f"{path}_nonlocal.norm.weight" in shapes for path in blocks) else None
    affine = not any(name.endswith((".running_mean", ".running_var")) for name in shapes)
    arguments["trunk_norm"] = "affine" if affine else "batch"
    return Structure(
        architecture=name_of(depth=depth, inflated=bool(i3d)),
        arguments=arguments,
        embedded=_most(f"{path}_nonlocal.{part}.weight" in shapes for path in blocks for part in ("theta", "phi")),
        concatenated=_most(f"{path}_nonlocal.w_f" in shapes for path in blocks),
    )


def _most(votes: Iterable[bool]) -> bool:
    counted = list(votes)
    return sum(counted) * 2 > len(counted)


def _depth(shapes: Shapes, *, path: object) -> Depth:
    found = {}
    for stage in STAGES:
        numbers = [re.match(rf"{stage}\.(\d+)\.", name) for name in shapes]
        found[stage] = len({match.group(1) for match in numbers if match})
    for depth, expected in STAGE_BLOCKS.items():
        if tuple(found.values()) == expected:
            return 101 if depth == 101 else 50
    counts = ", ".join(f"{count} in {stage}" for stage, count in found.items())
    raise ValueError(
        f"{path} is no ResNet-50 or -101: its residual blocks are {counts}; those have 3, 4, 6 (or 23) and 3"
    )


def _width(shapes: Shapes) -> int:
    votes = Counter()
    for name, shape in shapes.items():
        match = re.fullmatch(r"res([2-5])\.\d+\.norm1\.(?:weight|bias)", name)
        if match and len(shape) == 1:
            votes[shape[0] // 2 ** (int(match.group(1)) - 2)] += 1
    return max(1, votes.most_common(1)[0][0]) if votes else 64


def _num_classes(shapes: Shapes, *, table: NameTable, path: object) -> int | None:
    ours = [f"head.projection.{part}" for part in ("weight", "bias")]
    weight, bias = (shapes.get(name) for name in ours)
    found = [shape[0] for shape in (weight, bias) if shape]
    if not found:
        return None
    if len(set(found)) > 1:
        names = [table.to_theirs(name) or name for name in ours]
        raise ValueError(
            f"{path}: the classifier's weight {names[0]} has the shape {weight} and its bias {names[1]} {bias}: they "
            "disagree on the classes"
        )
    return found[0]


def _inflation(shapes: Shapes, *, depth: Depth, path: object) -> dict[str, str]:
    """The arguments inflate and inflated of an I3D; empty for a C2D."""
    frames = {
        name.removesuffix(".weight"): shape[2]
        for name, shape in shapes.items()
        if len(shape) == 5 and re.fullmatch(r"stem\.conv\.weight|res\d\.\d+\.conv[12]\.weight", name)
    }
    candidates: dict[tuple[str, str] | None, int] = {None: sum(count != 1 for count in frames.values())}
    for inflated, inflation in INFLATIONS.items():
        for inflate, conv in (("3x1x1", "conv1"), ("3x3x3", "conv2")):
            expected = dict.fromkeys(frames, 1) | {"stem.conv": inflation.conv1_frames}
            for stage in STAGES:
                for index, spans in enumerate(inflated_blocks(stage, depth=depth, inflated=inflated)):
                    expected[f"{stage}.{index}.{conv}"] = 3 if spans else 1
            candidates[inflate, inflated] = sum(expected[name] != count for name, count in frames.items())
    best = min(candidates, key=lambda candidate: candidates[candidate])
    if candidates[best] > 1:
        spans = ", ".join(f"{name} {count}" for name, count in frames.items() if count != 1)
        raise ValueError(
            f"{path} is no C2D or I3D that this library builds: the kernels that span several frames are "
            f"{spans or 'none'}; known patterns are {', '.join(INFLATIONS)} of "
            "nonlocalnet.models.video.geometry.INFLATIONS"
        )
    return {} if best is None else {"inflate": best[0], "inflated": best[1]}


def _blocks(shapes: Shapes) -> list[str]:
    """Residual blocks that a non-local block follows; one stray tensor makes no block."""
    parts: Counter[str] = Counter()
    for name in shapes:
        match = re.fullmatch(r"(res[2-5]\.\d+)_nonlocal\.(.+)", name)
        if match:
            parts[match.group(1)] += match.group(2) in _BLOCK_PARTS
    return sorted((path for path, count in parts.items() if count >= 2), key=lambda path: (path[:4], int(path[5:])))


def _inner_channels(shapes: Shapes, blocks: list[str], *, width: int) -> int | None:
    """None for half of the block's channels; one number where all blocks have another.

    A block counts only where its tensors do not agree on the half.
    """
    votes: Counter[int | None] = Counter()
    for path in blocks:
        channels = width * 2 ** int(path[3])
        for part in ("theta", "phi", "g"):
            shape = shapes.get(f"{path}_nonlocal.{part}.weight")
            if shape:
                votes[None if shape[0] == max(1, channels // 2) else shape[0]] += 1
    return votes.most_common(1)[0][0] if votes else None
