"""PySlowFast files (facebookresearch/SlowFast): `{"model_state": ..., "cfg": YAML}`, or a bare state dict.

Its single-pathway ResNets are `variant="slowfast"` (with a temporal pool after res2) and "slowfast-nopool". With the
saved settings nothing is open. Without them the instantiation of the blocks must be given, and these are taken to be
the defaults of its configuration: a crop of 224, blocks that pool (1, 2, 2), no temporal groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from torch import Tensor

from nonlocalnet.formats.foreign import foreign_plan, pairwise_of, scale_of
from nonlocalnet.formats.plan import Asked, Plan, same_names
from nonlocalnet.formats.structure import Structure, read_structure
from nonlocalnet.formats.tables import SLOWFAST, SLOWFAST_FIRST
from nonlocalnet.functional import Pairwise
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.geometry import STAGES, Variant, geometry_of

# MODEL.ARCH: the variant it builds; the others are no single-pathway ResNets.
_VARIANTS: dict[str, Variant] = {
    "c2d": "slowfast",
    "i3d": "slowfast",
    "2d": "slowfast-nopool",
    "slow": "slowfast-nopool",
    "c2d_nopool": "slowfast-nopool",
    "i3d_nopool": "slowfast-nopool",
}
_INSTANTIATIONS: dict[str, Pairwise] = {"softmax": "embedded_gaussian", "dot_product": "dot_product"}

# `slowfast/config/defaults.py`, as far as it decides the graph.
_DEFAULTS: dict[str, Any] = {
    "DATA.NUM_FRAMES": 8,
    "DATA.SAMPLING_RATE": 8,
    "DATA.TRAIN_CROP_SIZE": 224,
    "DATA.TEST_CROP_SIZE": 256,
    "DATA.MEAN": [0.45, 0.45, 0.45],
    "DATA.STD": [0.225, 0.225, 0.225],
    "DATA.REVERSE_INPUT_CHANNEL": False,
    "MODEL.DROPOUT_RATE": 0.5,
    "MODEL.HEAD_ACT": "softmax",
    "MULTIGRID.SHORT_CYCLE": False,
    "NONLOCAL.GROUP": [[1], [1], [1], [1]],
    "NONLOCAL.POOL": [[[1, 2, 2]]] * 4,
}
# Settings of other graphs: the only value of each that this library builds.
_REQUIRED: dict[str, Any] = {
    "RESNET.STRIDE_1X1": False,
    "RESNET.NUM_GROUPS": 1,
    "RESNET.TRANS_FUNC": "bottleneck_transform",
    "RESNET.SPATIAL_STRIDES": [[1], [2], [2], [2]],
    "RESNET.SPATIAL_DILATIONS": [[1], [1], [1], [1]],
    "DETECTION.ENABLE": False,
}


def plan_slowfast(path: str, tensors: dict[str, Tensor], settings: Mapping[str, Any] | None, asked: Asked) -> Plan:
    """Plan the network of a PySlowFast file.

    Args:
        path: The file.
        tensors: By its names.
        settings: Its saved configuration as nested mappings; None for a bare state dict.
        asked: `clip` says the input of a bare state dict; it never changes the graph.

    Raises:
        ValueError: If the settings are of another graph, or leave the pairwise function open.
    """
    first = sum(".norm." in name for name in tensors) > sum("nonlocal" in name and ".bn." in name for name in tensors)
    table = SLOWFAST_FIRST if first else SLOWFAST
    structure = read_structure(same_names(tensors, table), path=path)
    config = _Settings(settings or {}, path=path)
    for name, value in _REQUIRED.items():
        if config.get(name, value) != value:
            raise ValueError(f"{path}: {name} is {config.get(name, value)!r}; this library builds {value!r} only")
    variant = _variant(structure, config, path=path)
    said = None
    if structure.arguments["nonlocal_blocks"] and settings is not None:
        said = _instantiation(config, path=path)
    pairwise = pairwise_of(structure, asked, said=said, usual=None, path=path)
    clip, clip_whence = _clip(config, asked, has_settings=settings is not None)
    crop = None if config["MULTIGRID.SHORT_CYCLE"] else int(config["DATA.TRAIN_CROP_SIZE"])
    arguments = {
        **structure.arguments,
        "clip": clip,
        "variant": variant,
        "crop": crop,
        "dropout": float(config["MODEL.DROPOUT_RATE"]),
        "pairwise": pairwise,
        "scale": scale_of(pairwise, asked, family="rsqrt", path=path),
        "subsample": {stage: _pool(config["NONLOCAL.POOL"][i][0]) for i, stage in enumerate(STAGES)},
        "temporal_group_frames": _group_frames(config, variant, clip, path=path),
    }
    statements = [f"clip {clip}, from {clip_whence}", f"variant {variant}, training crop {crop or 'varying'}"]
    if structure.arguments["nonlocal_blocks"]:
        statements.append(f"pairwise {pairwise}, scale {arguments['scale']}, subsampling before phi and g")
    if settings is None:
        statements.append("no saved settings: crop, block pooling and groups are the program's defaults")
    return foreign_plan(
        path,
        table=table,
        tensors=tensors,
        architecture=structure.architecture,
        arguments=arguments,
        preprocessing=_preprocessing(config, clip),
        statements=statements,
        multi_label=config["MODEL.HEAD_ACT"] == "sigmoid",
    )


def parse_settings(saved: object, *, path: object) -> Mapping[str, Any] | None:
    """The entry "cfg" of a file: the configuration's YAML, or mappings.

    Raises:
        ValueError: If it is neither, or no YAML.
    """
    if saved is None:
        return None
    if isinstance(saved, str):
        try:
            saved = yaml.load(saved, Loader=_Loader)
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: its entry 'cfg' is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(saved, Mapping):
        raise ValueError(f"{path}: its entry 'cfg' is a {type(saved).__name__}, not the program's configuration")
    return saved


class _Loader(yaml.SafeLoader):
    """Plain YAML, and the tuples of older dumps."""


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", yaml.SafeLoader.construct_sequence)


class _Settings:
    """Nested settings by dotted name, with the program's defaults."""

    def __init__(self, values: Mapping[str, Any], *, path: object) -> None:
        self._values = values
        self._path = path

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default where it is not set."""
        section, _, key = name.partition(".")
        found = self._values.get(section, {})
        if not isinstance(found, Mapping):
            raise ValueError(f"{self._path}: its setting {section} is {found!r}, not a section")
        return found.get(key, default)

    def __getitem__(self, name: str) -> Any:
        return self.get(name, _DEFAULTS[name])


def _variant(structure: Structure, config: _Settings, *, path: object) -> Variant:
    arch = config.get("MODEL.ARCH")
    if arch is None:
        return "slowfast-nopool" if structure.arguments.get("inflated") == "late" else "slowfast"
    if arch not in _VARIANTS:
        raise ValueError(
            f"{path}: MODEL.ARCH is {arch!r}, which is no single-pathway ResNet; known are {', '.join(_VARIANTS)}"
        )
    return _VARIANTS[arch]


def _instantiation(config: _Settings, *, path: object) -> Pairwise:
    said = config.get("NONLOCAL.INSTANTIATION", "dot_product")  # the program's default
    if said not in _INSTANTIATIONS:
        raise ValueError(f"{path}: NONLOCAL.INSTANTIATION is {said!r}; known are {', '.join(_INSTANTIATIONS)}")
    return _INSTANTIATIONS[said]


def _clip(config: _Settings, asked: Asked, *, has_settings: bool) -> tuple[str, str]:
    if not has_settings and asked.clip is not None:
        return asked.clip, "the caller"
    own = f"{config['DATA.NUM_FRAMES']}x{config['DATA.SAMPLING_RATE']}"
    if not has_settings:
        return own, "the program's defaults"
    return own, "its settings" + ("" if asked.clip in (None, own) else f", not the {asked.clip} asked for")


def _pool(size: Any) -> tuple[int, ...] | None:
    return None if size is None or all(side == 1 for side in size) else tuple(size)


def _group_frames(config: _Settings, variant: Variant, clip: str, *, path: object) -> dict[str, int | None]:
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


def _preprocessing(config: _Settings, clip: str) -> Preprocessing:
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
