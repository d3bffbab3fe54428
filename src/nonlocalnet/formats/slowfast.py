"""PySlowFast files (facebookresearch/SlowFast): `{"model_state": ..., "cfg": YAML}`, or a bare state dict.

Its single-pathway ResNets are `variant="slowfast"` (with a temporal pool after res2) and "slowfast-nopool". With the
saved settings nothing is open. Without them the instantiation of the blocks must be given, and these are taken to be
the defaults of its configuration: a crop of 224, blocks that pool (1, 2, 2), no temporal groups.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

import torch
import yaml

from nonlocalnet.formats.foreign import foreign_card, pairwise_of, scale_of, subsample_of
from nonlocalnet.formats.format import Format, OpenedFile
from nonlocalnet.formats.graph import AnyOf, Facts, block_facts, differences, trunk_facts
from nonlocalnet.formats.load_plan import Hints, LoadPlan, same_names
from nonlocalnet.formats.names import PROJECTIONS, NameTable, Row
from nonlocalnet.formats.slowfast_settings import INSTANTIATIONS, Settings, parse_settings, settings_of
from nonlocalnet.formats.structure import Structure, read_structure
from nonlocalnet.formats.writing import nearest, renamed_state, require_none
from nonlocalnet.functional import Pairwise
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.geometry import STAGES, Variant, geometry_of


def _names(*, block_norm: str) -> tuple[Row, ...]:
    return (
        ("s1.pathway0_stem.conv.{tensor}", "stem.conv.{tensor}"),
        ("s1.pathway0_stem.bn.{tensor}", "stem.norm.{tensor}"),
        *(
            (f"s{{stage}}.pathway0_res{{block}}.branch2.{part}.{{tensor}}", f"res{{stage}}.{{block}}.{ours}.{{tensor}}")
            for letter, conv in (("a", 1), ("b", 2), ("c", 3))
            for part, ours in ((letter, f"conv{conv}"), (f"{letter}_bn", f"norm{conv}"))
        ),
        ("s{stage}.pathway0_res{block}.branch1.{tensor}", "res{stage}.{block}.downsample.conv.{tensor}"),
        ("s{stage}.pathway0_res{block}.branch1_bn.{tensor}", "res{stage}.{block}.downsample.norm.{tensor}"),
        *(
            (
                f"s{{stage}}.pathway0_nonlocal{{block}}.{theirs}.{{tensor}}",
                f"res{{stage}}.{{block}}_nonlocal.{ours}.{{tensor}}",
            )
            for theirs, ours in ((block_norm, "norm"), *((f"conv_{name}", name) for name in PROJECTIONS))
        ),
        ("head.projection.{tensor}", "head.projection.{tensor}"),
    )


# `slowfast/models`: one pathway. Its first version called a block's norm "norm".
NAMES = NameTable(source="PySlowFast", rows=_names(block_norm="bn"))
FIRST_NAMES = NameTable(source="PySlowFast", rows=_names(block_norm="norm"))

# MODEL.ARCH: the variant it builds; the others are no single-pathway ResNets. Its versions name the networks without
# the temporal pool differently: c2d_nopool and i3d_nopool, later slow_c2d and slow_i3d; all of them have 2d.
_VARIANTS: dict[str, Variant] = {
    "c2d": "slowfast",
    "i3d": "slowfast",
    "2d": "slowfast-nopool",
    "slow": "slowfast-nopool",
    "slow_c2d": "slowfast-nopool",
    "slow_i3d": "slowfast-nopool",
    "c2d_nopool": "slowfast-nopool",
    "i3d_nopool": "slowfast-nopool",
}
# The one that is written: (whether it is an I3D, the variant), for all but "slow".
_WRITTEN_ARCH: dict[tuple[bool, Variant], str] = {
    (False, "slowfast"): "c2d",
    (True, "slowfast"): "i3d",
    (False, "slowfast-nopool"): "2d",
    (True, "slowfast-nopool"): "slow_i3d",
}
# MODEL.HEAD_ACT: whether a video may have several classes.
_HEAD_ACTS = {"softmax": False, "sigmoid": True}
# Its other networks with such names, told by a name that no ResNet of a single pathway has.
_OTHER_NETWORKS = {
    "SlowFast, which has two pathways": re.compile(r"s\d\.pathway1_|s\d_fuse\."),
    "X3D": re.compile(r"s1\.pathway0_stem\.conv_xy\."),
}
# Settings of other graphs: the only value of each that this library builds.
_REQUIRED: dict[str, Any] = {
    "MODEL.MODEL_NAME": "ResNet",
    "RESNET.STRIDE_1X1": False,
    "RESNET.NUM_GROUPS": 1,
    "RESNET.TRANS_FUNC": "bottleneck_transform",
    "RESNET.SPATIAL_STRIDES": [[1], [2], [2], [2]],
    "RESNET.SPATIAL_DILATIONS": [[1], [1], [1], [1]],
    "DETECTION.ENABLE": False,
}


def recognises(opened: OpenedFile) -> bool:
    """Whether the tensors have the program's names."""
    return any(name.startswith("s1.pathway0_") for name in opened.tensors)


def read(opened: OpenedFile, hints: Hints) -> LoadPlan:
    """Plan the network of a file.

    Args:
        opened: Its saved settings are the entry "cfg"; a bare state dict has none.
        hints: `clip` says the input of a bare state dict; it never changes the graph.

    Raises:
        ValueError: If the settings are of another graph, or leave the pairwise function open.
    """
    path, tensors = opened.path, opened.tensors
    _refuse_other_networks(tensors, path=path)
    settings = parse_settings(opened.content.get("cfg"), path=path)
    config = Settings(settings or {}, path=path)
    first = sum(".norm." in name for name in tensors) > sum("nonlocal" in name and ".bn." in name for name in tensors)
    table = FIRST_NAMES if first else NAMES
    structure = read_structure(same_names(tensors, table), table=table, path=path)
    _refuse_other_graphs(config, path=path)
    variant = _variant(structure, config, path=path)
    has_blocks = bool(structure.arguments["nonlocal_blocks"])
    said = _instantiation(config, path=path) if has_blocks and settings is not None else None
    pairwise = pairwise_of(structure, hints, said=said, usual=None, path=path)
    clip, clip_whence = _clip(config, hints, has_settings=settings is not None)
    arguments = {
        **structure.arguments,
        **_of_settings(config, variant, clip, path=path),
        "subsample": _pools(config, structure, hints, has_settings=settings is not None, path=path),
        "pairwise": pairwise,
        "scale": scale_of(pairwise, hints, family="rsqrt", path=path),
    }
    crop = arguments["crop"] or "varying"
    statements = [f"clip {clip}, from {clip_whence}", f"variant {variant}, training crop {crop}"]
    if has_blocks:
        statements.append(f"pairwise {pairwise}, scale {arguments['scale']}, subsampling before phi and g")
    if settings is None:
        statements.append("no saved settings: crop, block pooling and groups are the program's defaults")
    card = foreign_card(
        path,
        program=table.source,
        architecture=structure.architecture,
        arguments=arguments,
        preprocessing=_preprocessing(config, clip),
        multi_label=_multi_label(config, path=path),
    )
    return LoadPlan(
        path=path,
        format=table.source,
        table=table,
        tensors=tensors,
        architecture=card.architecture,
        arguments=card.arguments,
        card=card,
        statements=tuple(statements),
    )


def _refuse_other_networks(names: Iterable[str], *, path: str) -> None:
    for what, pattern in _OTHER_NETWORKS.items():
        found = next((name for name in names if pattern.match(name)), None)
        if found is not None:
            raise ValueError(
                f"{path} is PySlowFast's {what} ({found}); this library builds its ResNets of a single pathway"
            )


def _refuse_other_graphs(config: Settings, *, path: str) -> None:
    for name, value in _REQUIRED.items():
        if config.get(name, value) != value:
            raise ValueError(f"{path}: {name} is {config.get(name, value)!r}; this library builds {value!r} only")


def _multi_label(config: Settings, *, path: str) -> bool:
    act = config["MODEL.HEAD_ACT"]
    if act not in _HEAD_ACTS:
        raise ValueError(f"{path}: MODEL.HEAD_ACT is {act!r}; known are {', '.join(_HEAD_ACTS)}")
    return _HEAD_ACTS[act]


def _of_settings(config: Settings, variant: Variant, clip: str, *, path: str) -> dict[str, Any]:
    """The arguments that the settings decide."""
    return {
        "clip": clip,
        "variant": variant,
        "crop": None if config["MULTIGRID.SHORT_CYCLE"] else int(config["DATA.TRAIN_CROP_SIZE"]),
        "dropout": float(config["MODEL.DROPOUT_RATE"]),
        "temporal_group_frames": _group_frames(config, variant, clip, path=path),
    }


def _variant(structure: Structure, config: Settings, *, path: object) -> Variant:
    arch = config.get("MODEL.ARCH")
    if arch is None:
        return "slowfast-nopool" if structure.arguments.get("inflated") == "late" else "slowfast"
    if arch not in _VARIANTS:
        raise ValueError(
            f"{path}: MODEL.ARCH is {arch!r}, which is no single-pathway ResNet; known are {', '.join(_VARIANTS)}"
        )
    return _VARIANTS[arch]


def _instantiation(config: Settings, *, path: object) -> Pairwise:
    said = config.get("NONLOCAL.INSTANTIATION", "dot_product")  # the program's default
    if said not in INSTANTIATIONS:
        raise ValueError(f"{path}: NONLOCAL.INSTANTIATION is {said!r}; known are {', '.join(INSTANTIATIONS)}")
    return INSTANTIATIONS[said]


def _clip(config: Settings, hints: Hints, *, has_settings: bool) -> tuple[str, str]:
    if not has_settings and hints.clip is not None:
        return hints.clip, "the caller"
    own = f"{config['DATA.NUM_FRAMES']}x{config['DATA.SAMPLING_RATE']}"
    if not has_settings:
        return own, "the program's defaults"
    return own, "its settings" + ("" if hints.clip in (None, own) else f", not the {hints.clip} asked for")


def _pools(config: Settings, structure: Structure, hints: Hints, *, has_settings: bool, path: str) -> Any:
    """What the blocks of each stage pool."""
    own: dict[str, Any] = {stage: _pool(config["NONLOCAL.POOL"][i][0]) for i, stage in enumerate(STAGES)}
    if not has_settings:
        return dict.fromkeys(STAGES, subsample_of(hints, usual=own["res2"], path=path))
    for stage in {path[:4] for path in structure.arguments["nonlocal_blocks"]}:
        subsample_of(hints, said=own[stage], path=path)
    return own


def _pool(size: Any) -> tuple[int, ...] | None:
    return None if size is None or all(side == 1 for side in size) else tuple(size)


def _group_frames(config: Settings, variant: Variant, clip: str, *, path: object) -> dict[str, int | None]:
    """Frames of a group: the settings give the number of groups, into which the stage's frames are divided."""
    pool2 = geometry_of(variant=variant, clip=clip).pool2.stride[0]
    found: dict[str, int | None] = {}
    for i, stage in enumerate(STAGES):
        groups = config["NONLOCAL.GROUP"][i][0]
        frames = int(config["DATA.NUM_FRAMES"]) // (1 if stage == "res2" else pool2)
        if groups > 1 and frames % groups:
            raise ValueError(f"{path}: NONLOCAL.GROUP divides the {frames} frames of {stage} into {groups} groups")
        found[stage] = frames // groups if groups > 1 else None
    return found


def _preprocessing(config: Settings, clip: str) -> Preprocessing:
    """The program normalises (x / 255 - MEAN) / STD, and its tests cut squares of TEST_CROP_SIZE."""
    frames, stride = (int(part) for part in clip.split("x"))
    crop = int(config["DATA.TEST_CROP_SIZE"])
    return Preprocessing(
        clip_frames=frames,
        frame_stride=stride,
        mean=_on_bytes(config["DATA.MEAN"]),
        std=_on_bytes(config["DATA.STD"]),
        colour_order="BGR" if config["DATA.REVERSE_INPUT_CHANNEL"] else "RGB",
        short_side=crop,
        crop=crop,
    )


def _on_bytes(values: list[float]) -> float | list[float]:
    scaled = [round(255 * float(value), 6) for value in values]
    return scaled[0] if len(set(scaled)) == 1 else scaled


def write(network: VideoResNet) -> bytes:
    """The content of a `.pyth`; ValueError where the program would build another graph."""
    variant, found = nearest(network, [("slowfast", ""), ("slowfast-nopool", "")])
    i3d = network.inflate is not None
    arch = _WRITTEN_ARCH[i3d, variant]
    if i3d and network.inflated == "late" and variant == "slowfast-nopool":
        arch = "slow"
    expected: Facts = {"norm of the trunk": "batch", "kernel that spans time": "3x1x1" if i3d else None}
    if arch != "slow":
        expected["residual blocks that hold it"] = "alternate" if i3d else None
    found += differences(trunk_facts(network), expected)
    blocks = block_facts(network)
    pairwise = {facts["pairwise"] for facts in blocks.values()}
    for path, facts in blocks.items():
        expected = {
            "pairwise": AnyOf("embedded_gaussian", "dot_product") if len(pairwise) == 1 else "one for all blocks",
            "scale of the logits": AnyOf("rsqrt", None),
            "subsampling before phi and g": AnyOf(True, None),
            "channels inside over half": 0,
            "domain": "spacetime",
            "norm": "batch",
        }
        found += differences(facts, expected, where=f"{path}_nonlocal: ")
    require_none(found, "PySlowFast")
    settings = settings_of(network, arch=arch, blocks=blocks)
    content = io.BytesIO()
    torch.save({"model_state": renamed_state(network, NAMES), "cfg": yaml.safe_dump(settings)}, content)
    return content.getvalue()


FORMAT = Format(
    name="slowfast",
    names=(NAMES, FIRST_NAMES),
    recognises=recognises,
    read=read,
    write=write,
    suffix=".pyth",
    described="PySlowFast (s1.pathway0_stem...)",
)
