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

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nonlocalnet.formats.foreign import foreign_plan, pairwise_of, scale_of
from nonlocalnet.formats.plan import Asked, Plan, same_names
from nonlocalnet.formats.structure import read_structure
from nonlocalnet.formats.tables import CAFFE2
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.geometry import Variant

_CLIP_IN_NAME = re.compile(r"(?<![0-9])(8x8|32x2|32x4|128x1)(?![0-9])")
# The zoo of PySlowFast (`pyslowfast/model_zoo/kinetics400`); NOPOOL has no temporal pool after res2.
_SLOWFAST_NAME = re.compile(r"(?:C2D|I3D|SLOW|SLOWONLY)(_NOPOOL)?(?:_NLN)?_[0-9]+x[0-9]+_R(?:50|101)")
_BLOCK_BIAS = re.compile(r"nonlocal_conv\d_\d+_(?:theta|phi|g|out)_b")
_GROUP_FRAMES = 4


def plan_caffe2(path: str, content: dict[str, Any], asked: Asked) -> Plan:
    """Plan the network of a Caffe2 file.

    Args:
        path: The file; its name may hold the clip.
        content: What `weights.read_pickle` gave.
        asked: `clip` wins over the name.

    Raises:
        ValueError: If the clip is not known, or the blobs are not those of a video network.
    """
    tensors, dropped = tensors_of(content)
    _refuse_image_network(path, tensors)
    structure = read_structure(same_names(tensors, CAFFE2), path=path)
    affine = structure.arguments["trunk_norm"] == "affine"
    clip, whence = _clip(path, asked)
    variant = _variant(path)
    statements = [
        f"clip {clip}, from {whence}: the blobs do not say it",
        "pools and head of the release" if variant == "release" else f"variant {variant}, by the file's name",
    ]
    arguments = dict(structure.arguments)
    if affine:
        statements.append("no running statistics: every norm is a frozen scale and shift")
        if arguments.get("norm") == "batch":
            tensors = _fold_block_norms(path, tensors)
            arguments["norm"] = None
            statements.append("the blocks' scales and shifts are folded into W_z")
    zero_filled: frozenset[str] = frozenset()
    if arguments["nonlocal_blocks"] and not any(_BLOCK_BIAS.fullmatch(name) for name in tensors):
        names = ("theta", "phi", "g", "out")
        zero_filled = frozenset(f"{b}_nonlocal.{name}.bias" for b in arguments["nonlocal_blocks"] for name in names)
        statements.append("no block has a bias (NONLOCAL.NO_BIAS): zeros stand for them")
    pairwise = pairwise_of(structure, asked, said=None, usual="embedded_gaussian", path=path)
    arguments |= {
        "clip": clip,
        "variant": variant,
        "crop": 224,
        "pairwise": pairwise,
        "scale": scale_of(pairwise, asked, family="rsqrt", path=path),
        "temporal_group_frames": {"res3": _GROUP_FRAMES} if affine else None,
    }
    if arguments["nonlocal_blocks"]:
        statements.append(f"pairwise {pairwise}, scale {arguments['scale']}: the release's unless asked for")
    return foreign_plan(
        path,
        table=CAFFE2,
        tensors=tensors,
        architecture=structure.architecture,
        arguments=arguments,
        preprocessing=Preprocessing.of_clip(clip),
        statements=statements,
        dropped=dropped,
        zero_filled=zero_filled,
    )


def tensors_of(content: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights among a file's blobs, and the names of the rest with the reason they are left out."""
    blobs = content["blobs"] if isinstance(content.get("blobs"), dict) else content
    tensors, dropped = {}, {}
    for name, blob in blobs.items():
        if name.endswith("_momentum"):
            dropped[name] = "optimiser state"
        elif isinstance(blob, np.ndarray) and blob.ndim > 0:
            tensors[name] = torch.from_numpy(blob)
        else:
            dropped[name] = "a training counter, no tensor"
    return tensors, dropped


def _clip(path: str, asked: Asked) -> tuple[str, str]:
    if asked.clip is not None:
        return asked.clip, "the caller"
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
