"""Caffe2 files of the authors' release (facebookresearch/video-nonlocal-net, `lib/models`): blobs in a pickle.

What names and shapes leave open is the clip, which decides the temporal strides. Every released file has it in its
name. Its networks are `variant="release"`: max-pools without padding, blocks that pool before phi and g, embedded
Gaussian with logits times d^-0.5.

PySlowFast's own model zoo has a few such files ("I3D_NLN_8x8_R50.pkl"), whose networks are PySlowFast's: only their
names tell them from the release's.

A file without any running statistics is an "affine" one: each norm is a frozen scale and shift, the blocks of res3 work
in temporal groups of 4 frames, and a block's own scale and shift, where there are any, are folded into W_z here.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nonlocalnet.formats import image_resnet
from nonlocalnet.formats.foreign import foreign_card, pairwise_of, scale_of, subsample_of
from nonlocalnet.formats.format import Format, OpenedFile
from nonlocalnet.formats.graph import AnyOf, Facts, block_facts, differences, trunk_facts
from nonlocalnet.formats.load_plan import Hints, LoadPlan, same_names
from nonlocalnet.formats.names import PROJECTIONS, NameTable, Row
from nonlocalnet.formats.structure import Structure, read_structure
from nonlocalnet.formats.writing import nearest, renamed_state, require_none
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.geometry import GEOMETRIES, Variant

_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def _norm(theirs: str, ours: str) -> tuple[Row, ...]:
    """Scale, shift, running mean and running variance ("riv" is not its inverse)."""
    return tuple(
        (f"{theirs}_{suffix}", f"{ours}.{part}")
        for suffix, part in zip(("s", "b", "rm", "riv"), _NORM_PARTS, strict=True)
    )


# facebookresearch/video-nonlocal-net, `lib/models`: the video networks (5-D kernels) and the ImageNet ones (4-D).
NAMES = NameTable(
    source="Caffe2 video-nonlocal-net",
    rows=(
        ("conv1_w", "stem.conv.weight"),
        *_norm("res_conv1_bn", "stem.norm"),
        *(
            row
            for letter, conv in (("a", 1), ("b", 2), ("c", 3))
            for row in (
                (f"res{{stage}}_{{block}}_branch2{letter}_w", f"res{{stage}}.{{block}}.conv{conv}.weight"),
                *_norm(f"res{{stage}}_{{block}}_branch2{letter}_bn", f"res{{stage}}.{{block}}.norm{conv}"),
            )
        ),
        ("res{stage}_{block}_branch1_w", "res{stage}.{block}.downsample.conv.weight"),
        *_norm("res{stage}_{block}_branch1_bn", "res{stage}.{block}.downsample.norm"),
        *(
            (f"nonlocal_conv{{stage}}_{{block}}_{name}_{suffix}", f"res{{stage}}.{{block}}_nonlocal.{name}.{part}")
            for name in PROJECTIONS
            for suffix, part in (("w", "weight"), ("b", "bias"))
        ),
        *_norm("nonlocal_conv{stage}_{block}_bn", "res{stage}.{block}_nonlocal.norm"),
        ("pred_w", "head.projection.weight"),
        ("pred_b", "head.projection.bias"),
    ),
)

_CLIP_IN_NAME = re.compile(r"(?<![0-9])(8x8|32x2|32x4|128x1)(?![0-9])")
# The zoo of PySlowFast (`pyslowfast/model_zoo/kinetics400`); NOPOOL has no temporal pool after res2.
_SLOWFAST_NAME = re.compile(r"(?:C2D|I3D|SLOW|SLOWONLY)(_NOPOOL)?(?:_NLN)?_[0-9]+x[0-9]+_R(?:50|101)")
_BLOCK_BIAS = re.compile(r"nonlocal_conv\d_\d+_(?:theta|phi|g|out)_b")
# Blobs of a second pathway, in SLOWFAST_*.pkl (PySlowFast's `utils/c2_model_loading.py`).
_FAST_PATHWAY = ("t_conv1_", "t_res")
_GROUP_FRAMES = 4
_POOLING = (1, 2, 2)
# What is no weight; `gpu_0/`, the scope of the first GPU in a workspace, is left off when the file is opened.
_NO_WEIGHT = re.compile(r"_momentum$|_grad$|^gpu_\d+/")


def recognises(opened: OpenedFile) -> bool:
    """Whether it is a pickle of arrays."""
    return opened.container == "pickle"


def read(opened: OpenedFile, hints: Hints) -> LoadPlan:
    """Plan the network of a file.

    Args:
        opened: Its name may hold the clip.
        hints: `clip` wins over the name.

    Raises:
        ValueError: If the clip is not known, or the blobs are not those of a video network.
    """
    path = opened.path
    tensors = {name: torch.from_numpy(blob) for name, blob in opened.content.items() if _is_weight(name, blob)}
    dropped = {name: _why_dropped(name) for name in opened.content if name not in tensors}
    if any(name.startswith(_FAST_PATHWAY) for name in tensors):
        raise ValueError(
            f"{path} is PySlowFast's SlowFast, which has two pathways; this library builds its ResNets of one pathway"
        )
    _refuse_image_network(path, tensors)
    structure = read_structure(same_names(tensors, NAMES), table=NAMES, path=path)
    clip, whence = _clip(path, hints)
    arguments = _arguments(structure, hints, clip=clip, path=path)
    statements = [f"clip {clip}, from {whence}: the blobs do not say it", *_of_trunk(arguments)]
    if arguments["trunk_norm"] == "affine" and arguments.get("norm") == "batch":
        tensors = _fold_block_norms(path, tensors)
        arguments["norm"] = None
        statements.append("the blocks' scales and shifts are folded into W_z")
    zero_filled = _zero_biases(tensors, arguments["nonlocal_blocks"])
    if zero_filled:
        statements.append("no block has a bias (NONLOCAL.NO_BIAS): zeros stand for them")
    if arguments["nonlocal_blocks"]:
        statements.append(_assumed(arguments, hints))
    card = foreign_card(
        path,
        program=NAMES.source,
        architecture=structure.architecture,
        arguments=arguments,
        preprocessing=Preprocessing.of_clip(clip),
    )
    return LoadPlan(
        path=path,
        format=NAMES.source,
        table=NAMES,
        tensors=tensors,
        architecture=card.architecture,
        arguments=card.arguments,
        card=card,
        dropped=dropped,
        statements=tuple(statements),
        zero_filled=zero_filled,
    )


def start_from(opened: OpenedFile) -> dict[str, Tensor]:
    """The tensors by our names; those of a 2-D ImageNet network by torchvision's, with the classifier as `fc`.

    Raises:
        ValueError: If the file holds none.
    """
    tensors = {name: torch.from_numpy(blob) for name, blob in opened.content.items() if _is_weight(name, blob)}
    if not tensors:
        raise ValueError(f"{opened.path} holds no arrays by name")
    ours = NAMES.renamed(tensors)
    stem = ours.get("stem.conv.weight")
    if stem is None or stem.ndim != 4:
        return ours
    named = {image_resnet.NAMES.to_theirs(name) or name: tensor for name, tensor in ours.items()}
    return {name.replace("head.projection.", "fc."): tensor for name, tensor in named.items()}


def _arguments(structure: Structure, hints: Hints, *, clip: str, path: str) -> dict[str, Any]:
    """Of the factory: what the structure says, and what is the release's."""
    pairwise = pairwise_of(structure, hints, said=None, usual="embedded_gaussian", path=path)
    affine = structure.arguments["trunk_norm"] == "affine"
    return {
        **structure.arguments,
        "clip": clip,
        "variant": _variant(path),
        "crop": 224,
        "pairwise": pairwise,
        "scale": scale_of(pairwise, hints, family="rsqrt", path=path),
        "subsample": subsample_of(hints, usual=_POOLING, path=path),
        "temporal_group_frames": {"res3": _GROUP_FRAMES} if affine else None,
    }


def _assumed(arguments: dict[str, Any], hints: Hints) -> str:
    """What the blobs do not say of the blocks, and who says it."""
    pools = arguments["subsample"]
    parts = {
        "pairwise": f"pairwise {arguments['pairwise']}",
        "scale": f"scale {arguments['scale']}",
        "subsample": "no pooling in the blocks" if pools is None else f"pooling {pools} before phi and g",
    }
    asked = {"pairwise": hints.pairwise is not None, "scale": hints.scale is not None}
    asked["subsample"] = hints.subsample != "file"
    said = [f"{text}{' (asked for)' if asked[name] else ''}" for name, text in parts.items()]
    if arguments["temporal_group_frames"]:
        said.append(f"res3's blocks in groups of {_GROUP_FRAMES} frames")
    return f"{', '.join(said)}: the release's unless asked for, since the blobs do not say it"


def _of_trunk(arguments: dict[str, Any]) -> list[str]:
    """What is said of the trunk."""
    variant = arguments["variant"]
    said = ["pools and head of the release" if variant == "release" else f"variant {variant}, by the file's name"]
    if arguments["trunk_norm"] == "affine":
        said.append("no running statistics: every norm is a frozen scale and shift")
    return said


def _zero_biases(tensors: dict[str, Tensor], blocks: list[str]) -> frozenset[str]:
    """Our names of the blocks' biases where the file holds none of them."""
    if any(_BLOCK_BIAS.fullmatch(name) for name in tensors):
        return frozenset()
    return frozenset(f"{block}_nonlocal.{name}.bias" for block in blocks for name in PROJECTIONS)


def _is_weight(name: str, blob: object) -> bool:
    return isinstance(blob, np.ndarray) and blob.ndim > 0 and not _NO_WEIGHT.search(name)


def _why_dropped(name: str) -> str:
    if name.endswith("_momentum"):
        return "optimiser state"
    return "another GPU's copy, or a gradient" if _NO_WEIGHT.search(name) else "a training counter, no tensor"


def _clip(path: str, hints: Hints) -> tuple[str, str]:
    if hints.clip is not None:
        return hints.clip, "the caller"
    match = _CLIP_IN_NAME.search(Path(path).name)
    if match is None:
        raise ValueError(
            f"{path}: the clip that the network is made for stands neither in the blobs nor in the file's name: "
            "give clip='8x8', '32x2', '32x4' or '128x1' (--clip on the command line)"
        )
    return match.group(1), "the file's name"


def _variant(path: str) -> Variant:
    match = _SLOWFAST_NAME.match(Path(path).name)
    if match is None:
        return "release"
    return "slowfast-nopool" if match.group(1) or Path(path).name.startswith("SLOW") else "slowfast"


def _refuse_image_network(path: str, tensors: dict[str, Tensor]) -> None:
    kernels = [tensor for name, tensor in tensors.items() if "_branch2" in name and name.endswith("_w")]
    if kernels and sum(kernel.ndim == 4 for kernel in kernels) * 2 > len(kernels):
        raise ValueError(
            f"{path} is a 2-D ImageNet network: start a video network from it with nonlocalnet.formats.inflate, or "
            "`nonlocalnet train RECIPE --init FILE`"
        )


def _fold_block_norms(path: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Write s (W y + b) + t as W_z = s W with the bias s b + t."""
    folded = dict(tensors)
    prefixes = {name.rpartition("_bn_")[0] for name in tensors if re.fullmatch(r"nonlocal_conv\d_\d+_bn_[sb]", name)}
    for prefix in sorted(prefixes):
        parts = [f"{prefix}_{part}" for part in ("bn_s", "bn_b", "out_w", "out_b")]
        missing = [part for part in parts if part not in tensors]
        if missing:
            raise ValueError(f"{path}: {missing[0]} is missing, with which {prefix}'s scale and shift would be folded")
        scale, shift, weight, bias = (tensors[part].double() for part in parts)
        if not scale.shape == shift.shape == bias.shape == weight.shape[:1]:
            shapes = ", ".join(f"{part} {tuple(tensors[part].shape)}" for part in parts)
            raise ValueError(f"{path}: the shapes of {shapes} do not go together")
        folded[parts[2]] = weight * scale.view(-1, *(1,) * (weight.ndim - 1))
        folded[parts[3]] = scale * bias + shift
        del folded[parts[0]], folded[parts[1]]
    return folded


def write(network: VideoResNet) -> bytes:
    """The content of a `.pkl`; ValueError where the program would build another graph."""
    known = [clip for variant, clip in GEOMETRIES if variant == "release"]
    clips = [network.clip] if network.clip in known else known
    _, found = nearest(network, [("release", clip) for clip in clips])
    i3d = network.inflate is not None
    found += differences(
        trunk_facts(network),
        {
            "kernel that spans time": "3x1x1" if i3d else None,
            "residual blocks that hold it": "alternate" if i3d else None,
        },
    )
    affine = network.trunk_norm == "affine"
    for path, facts in block_facts(network).items():
        expected: Facts = {
            "pairwise": "embedded_gaussian",
            "scale of the logits": "rsqrt",
            "subsampling": (1, 2, 2),
            "subsampling before phi and g": True,
            "channels inside over half": 0,
            "domain": "spacetime",
            "frames of a temporal group": 4 if affine and path.startswith("res3.") else None,
            "norm": None if affine else AnyOf("batch", None),
        }
        found += differences(facts, expected, where=f"{path}_nonlocal: ")
    require_none(found, "Caffe2's video-nonlocal-net")
    blobs = {name: tensor.numpy() for name, tensor in renamed_state(network, NAMES).items()}
    content = pickle.dumps({"blobs": blobs}, protocol=2)
    # Python 2's numpy has its arrays under this older name; the name is written once, before the first array.
    newer, older = b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\n_reconstruct\n"
    assert content.count(newer) + content.count(older) == 1
    return content.replace(newer, older)


FORMAT = Format(
    name="caffe2",
    names=(NAMES,),
    recognises=recognises,
    read=read,
    write=write,
    suffix=".pkl",
    start_from=start_from,
)
