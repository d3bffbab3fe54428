"""mmaction2 files (open-mmlab/mmaction2, `mmaction/models/backbones/resnet3d.py`): `{"state_dict": ..., "meta": ...}`.

With the saved configuration (a text in Python) nothing is open. Without it the strides are those of the published
configurations with the same kernels, and the pairwise function stands in the names of the published files
("i3d_nl_dot_product_...") or must be given. Its blocks are mmcv's NonLocal3d: they pool after phi and g, their output
convolution has no bias where a norm follows, and the head averages the whole map.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nonlocalnet.formats.foreign import foreign_card, pairwise_of, scale_of, subsample_of
from nonlocalnet.formats.format import Format, OpenedFile
from nonlocalnet.formats.graph import AnyOf, Facts, block_facts, differences, trunk_facts
from nonlocalnet.formats.load_plan import Hints, LoadPlan, same_names
from nonlocalnet.formats.mmaction2_settings import Settings, read_settings, settings_of
from nonlocalnet.formats.names import NameTable, Row
from nonlocalnet.formats.structure import Structure, read_structure
from nonlocalnet.formats.writing import nearest, renamed_state, require_none
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.geometry import FAMILIES, Variant

_CONCAT_PROJECT = "non_local_block.concat_project.conv.weight"


def _names(*, subsampled: bool) -> tuple[Row, ...]:
    """With subsampling g and phi are Sequentials of the convolution and the pooling."""
    inner = ".0" if subsampled else ""
    return (
        ("backbone.conv1.conv.{tensor}", "stem.conv.{tensor}"),
        ("backbone.conv1.bn.{tensor}", "stem.norm.{tensor}"),
        *(
            (f"backbone.layer{layer}.{{block}}{theirs}.{{tensor}}", f"{stage}.{{block}}{ours}.{{tensor}}")
            for layer, stage in ((1, "res2"), (2, "res3"), (3, "res4"), (4, "res5"))
            for theirs, ours in (
                (".conv{conv}.conv", ".conv{conv}"),
                (".conv{conv}.bn", ".norm{conv}"),
                (".downsample.conv", ".downsample.conv"),
                (".downsample.bn", ".downsample.norm"),
                (".non_local_block.theta.conv", "_nonlocal.theta"),
                (f".non_local_block.phi{inner}.conv", "_nonlocal.phi"),
                (f".non_local_block.g{inner}.conv", "_nonlocal.g"),
                (".non_local_block.conv_out.conv", "_nonlocal.out"),
                (".non_local_block.conv_out.bn", "_nonlocal.norm"),
            )
        ),
        *(
            (f"backbone.layer{layer}.{{block}}.{_CONCAT_PROJECT}", f"{stage}.{{block}}_nonlocal.w_f")
            for layer, stage in ((1, "res2"), (2, "res3"), (3, "res4"), (4, "res5"))
        ),
        ("cls_head.fc_cls.{tensor}", "head.projection.{tensor}"),
    )


_WRITTEN: tuple[Variant, ...] = ("mmaction2", "mmaction2-heavy", "mmaction2-slowonly", "mmaction2-c2d")
# With mmcv's NonLocal3d.
NAMES = NameTable(source="mmaction2", rows=_names(subsampled=False))
SUBSAMPLED_NAMES = NameTable(source="mmaction2", rows=_names(subsampled=True))

# (temporal stride of conv1, of pool1, whether pool2 is there), as the backbone's settings have them.
_VARIANTS: dict[tuple[int, int, bool], Variant] = {
    (2, 2, True): "mmaction2",
    (1, 1, True): "mmaction2-heavy",
    (1, 1, False): "mmaction2-slowonly",
}
# Of the published configurations, by the kernels that span time; C2D has 4-D kernels.
_VARIANT_OF_PATTERN: dict[str, Variant] = {
    "alternate": "mmaction2",
    "all": "mmaction2-heavy",
    "late": "mmaction2-slowonly",
}
# Settings of other graphs: the only value of each that this library builds.
_REQUIRED: dict[str, Any] = {
    "style": "pytorch",
    "spatial_strides": (1, 2, 2, 2),
    "temporal_strides": (1, 1, 1, 1),
    "dilations": (1, 1, 1, 1),
    "num_stages": 4,
}
_BACKBONES = ("C2D", "ResNet3d", "ResNet3dSlowOnly")
_WHAT = {
    "ResNet3dSlowFast": ", which has two pathways",
    "ResNetTSM": ", which has shift modules",
    "ResNet": ", which sees single frames (TSN)",
}
_OTHER_NAMES = {
    "ResNet3dSlowFast": re.compile(r"backbone\.(?:slow|fast)_path\."),
    "ResNetTSM": re.compile(r"backbone\.layer\d\..*\.net\.weight"),
}
_OF_TORCHVISION = ("backbone.body.", "backbone.fpn.")  # its detectors
_NORM_EPS = 1e-5
_PAIRWISE_IN_NAME = re.compile(r"nl[-_](embedded[-_]gaussian|dot[-_]product|gaussian|concatenation)")
_PREPROCESSOR = re.compile(r"data_preprocessor\.(?:mean|std)")


def recognises(opened: OpenedFile) -> bool:
    """Whether the tensors have the program's names."""
    return any(name.startswith("backbone.") and not name.startswith(_OF_TORCHVISION) for name in opened.tensors)


def read(opened: OpenedFile, hints: Hints) -> LoadPlan:
    """Plan the network of a file.

    Args:
        opened: Its entry "meta" has the configuration's text as "cfg" (1.x) or "config" (0.x), which may be missing.
        hints: `clip` says the input where there is no configuration; it never changes the graph.

    Raises:
        ValueError: If the settings are of another graph, or leave the pairwise function open.
    """
    path = opened.path
    meta = opened.content.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    settings = read_settings(meta, path=path)
    _refuse_other_networks(opened.tensors, settings, path=path)
    dropped = {name: "the preprocessing, kept in the card" for name in opened.tensors if _PREPROCESSOR.fullmatch(name)}
    tensors = {name: tensor for name, tensor in opened.tensors.items() if name not in dropped}
    tensors, flat = _over_time(tensors)
    subsampled = any(".non_local_block.g.0." in name for name in tensors)
    table = SUBSAMPLED_NAMES if subsampled else NAMES
    structure = read_structure(same_names(tensors, table), table=table, path=path)
    clip, clip_whence = settings.clip(hints)
    arguments = {
        **structure.arguments,
        "clip": clip,
        "variant": _variant(structure, settings, flat=flat, path=path),
        "crop": 224,
        "subsample": _pooling(structure, hints, subsampled=subsampled, path=path),
        "temporal_group_frames": None,
    }
    arguments |= _pairwise_and_scale(structure, settings, hints, variant=arguments["variant"], path=path)
    blocks = structure.arguments["nonlocal_blocks"]
    statements = [] if not flat or settings.backbone else ["taken to be C2D's, not TSN's, whose names are the same"]
    statements += [f"clip {clip}, from {clip_whence}", f"variant {arguments['variant']}: strides {settings.whence}"]
    if blocks:
        how = "after phi and g" if subsampled else "none"
        statements.append(f"pairwise {arguments['pairwise']}, scale {arguments['scale']}, subsampling {how}")
    card = foreign_card(
        path,
        program=table.source,
        architecture=structure.architecture,
        arguments=arguments,
        preprocessing=settings.preprocessing(clip),
        class_names=_class_names(meta, num_classes=arguments["num_classes"]),
        multi_label=settings.multi_label,
    )
    return LoadPlan(
        path=path,
        format=table.source,
        table=table,
        tensors=tensors,
        architecture=card.architecture,
        arguments=card.arguments,
        card=card,
        dropped=dropped,
        statements=tuple(statements),
        zero_filled=frozenset(f"{block}_nonlocal.out.bias" for block in blocks if arguments["norm"] == "batch"),
    )


def _refuse_other_networks(names: Iterable[str], settings: Settings, *, path: str) -> None:
    """By the backbone's class, or by names that the known ones do not have."""
    kind = str(settings.backbone.get("type", "")).rpartition(".")[2]  # also "mmaction.C2D"
    if kind and kind not in _BACKBONES:
        raise ValueError(
            f"{path} has mmaction2's {kind}{_WHAT.get(kind, '')}; this library builds {', '.join(_BACKBONES)}"
        )
    for kind, pattern in _OTHER_NAMES.items():
        found = next((name for name in names if pattern.match(name)), None)
        if found is not None:
            known = ", ".join(_BACKBONES)
            raise ValueError(f"{path} has mmaction2's {kind}{_WHAT[kind]} ({found}); this library builds {known}")


def _pairwise_and_scale(
    structure: Structure, settings: Settings, hints: Hints, *, variant: Variant, path: str
) -> dict[str, Any]:
    said = settings.pairwise or _pairwise_in_name(path)
    pairwise = pairwise_of(structure, hints, said=said, usual=None, path=path)
    family, own = FAMILIES[variant].scale, settings.scale(pairwise)
    return {"pairwise": pairwise, "scale": scale_of(pairwise, hints, family=family, said=own, path=path)}


def _pooling(structure: Structure, hints: Hints, *, subsampled: bool, path: str) -> Any:
    """What the blocks pool: their names say it."""
    own = (1, 2, 2) if subsampled else None
    return subsample_of(hints, said=own, path=path) if structure.arguments["nonlocal_blocks"] else own


def _over_time(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """C2D's 4-D kernels as kernels of one frame, and whether they were."""
    kernels = [tensor for name, tensor in tensors.items() if re.search(r"\.conv[123]\.conv\.weight$", name)]
    if sum(kernel.ndim == 4 for kernel in kernels) * 2 <= len(kernels):
        return tensors, False
    return {name: tensor.unsqueeze(2) if tensor.ndim == 4 else tensor for name, tensor in tensors.items()}, True


def _variant(structure: Structure, settings: Settings, *, flat: bool, path: object) -> Variant:
    if flat:
        return "mmaction2-c2d"
    backbone = settings.backbone
    if not backbone:
        pattern = structure.arguments.get("inflated")
        if pattern is None:
            raise ValueError(f"{path}: no kernel spans time and no settings are saved: the strides cannot be known")
        return _VARIANT_OF_PATTERN[pattern]
    for name, value in _REQUIRED.items():
        found = backbone.get(name, value)
        if (tuple(found) if isinstance(found, list) else found) != value:
            raise ValueError(f"{path}: its backbone has {name}={found!r}; this library builds {value!r} only")
    for where, norm in (("backbone", backbone), ("non_local_cfg", backbone.get("non_local_cfg"))):
        found = norm.get("norm_cfg") if isinstance(norm, Mapping) else None
        eps = found.get("eps", _NORM_EPS) if isinstance(found, Mapping) else _NORM_EPS
        if eps != _NORM_EPS:
            raise ValueError(f"{path}: the norm_cfg of its {where} has eps={eps!r}; this library builds {_NORM_EPS}")
    slow = backbone.get("type") == "ResNet3dSlowOnly"
    # The default was 2 while that of conv1_kernel was (5, 7, 7) (0.x), and is 1 since it is (3, 7, 7) (1.x).
    old = not slow and "conv1_kernel" not in backbone
    strides = [int(backbone.get(name, 2 if old else 1)) for name in ("conv1_stride_t", "pool1_stride_t")]
    key = (strides[0], strides[1], bool(backbone.get("with_pool2", not slow)))
    if key not in _VARIANTS:
        known = "; ".join(map(str, _VARIANTS))
        raise ValueError(
            f"{path}: its backbone has (conv1_stride_t, pool1_stride_t, with_pool2) = {key}; known: {known}"
        )
    return _VARIANTS[key]


def _pairwise_in_name(path: str) -> Any:
    match = _PAIRWISE_IN_NAME.search(Path(path).name)
    return match.group(1).replace("-", "_") if match else None


def _class_names(meta: Mapping[str, Any], *, num_classes: int) -> list[str] | None:
    dataset = meta.get("dataset_meta")
    names = dataset.get("classes") if isinstance(dataset, Mapping) else meta.get("CLASSES")
    return [str(name) for name in names] if isinstance(names, (list, tuple)) and len(names) == num_classes else None


def write(network: VideoResNet) -> bytes:
    """The content of a `.pth`; ValueError where the program would build another graph."""
    variant, found = nearest(network, [(variant, "") for variant in _WRITTEN])
    if variant == "mmaction2-c2d":
        found += _c2d_differences(network)
    found += differences(trunk_facts(network), {"norm of the trunk": "batch"})
    blocks = block_facts(network)
    first = next(iter(blocks.values()), None)
    for path, facts in blocks.items():
        assert first is not None
        expected: Facts = {
            **{name: first[name] for name in ("pairwise", "norm", "subsampling", "scale of the logits")},
            "subsampling before phi and g": AnyOf(False, None),
            "subsampling before g": AnyOf(False, None),
            "channels inside over half": 0,
            "domain": "spacetime",
            "frames of a temporal group": None,
        }
        found += differences(facts, expected, where=f"{path}_nonlocal: ")
    if first is not None:
        scales = AnyOf(1.0, "rsqrt") if first["pairwise"] == "embedded_gaussian" else AnyOf(1.0, None)
        modes = AnyOf("gaussian", "embedded_gaussian", "dot_product", "concatenation")  # mmcv's
        usual = {"pairwise": modes, "subsampling": AnyOf(None, (1, 2, 2)), "scale of the logits": scales}
        found += differences(first, usual, where="blocks: ")
    require_none(found, "mmaction2")
    subsampled = first is not None and first["subsampling"] is not None
    state = renamed_state(network, SUBSAMPLED_NAMES if subsampled else NAMES)
    if variant == "mmaction2-c2d":
        state = {name: tensor.squeeze(2) if tensor.ndim == 5 else tensor for name, tensor in state.items()}
    meta: dict[str, Any] = {"cfg": settings_of(network, variant=variant, blocks=blocks)}
    names = None if network.card is None else network.card.class_names
    if names:
        meta["dataset_meta"] = {"classes": list(names)}
    content = io.BytesIO()
    torch.save({"meta": meta, "state_dict": _as_mmcv(state)}, content)
    return content.getvalue()


def _c2d_differences(network: VideoResNet) -> list[str]:
    """What its class C2D, a 2-D network that takes no blocks, could not build."""
    ours = {**trunk_facts(network), "channels of conv1": network.width, "non-local blocks": len(block_facts(network))}
    return differences(ours, {"kernel that spans time": None, "channels of conv1": 64, "non-local blocks": 0})


def _as_mmcv(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Its output convolution has no bias where a norm follows, and w_f is a 2-D kernel.

    The bias goes into the running mean: s (y + b - m) / d is s (y - (m - b)) / d.
    """
    state = {
        name: tensor.view(1, -1, 1, 1) if name.endswith("concat_project.conv.weight") else tensor
        for name, tensor in state.items()
    }
    for name in [name for name in state if name.endswith("conv_out.bn.running_mean")]:
        bias = state.pop(name.replace("bn.running_mean", "conv.bias"))
        state[name] = (state[name].double() - bias.double()).to(bias.dtype)
    return state


FORMAT = Format(
    name="mmaction2",
    names=(NAMES, SUBSAMPLED_NAMES),
    recognises=recognises,
    read=read,
    write=write,
    suffix=".pth",
    keeps=("class_names",),
    described="mmaction2 (backbone...)",
)
