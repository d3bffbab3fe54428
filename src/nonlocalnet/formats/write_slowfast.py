"""Networks as PySlowFast files with their settings; `nonlocalnet.formats.slowfast` reads them."""

from __future__ import annotations

import io
from typing import Any

import torch
import yaml

from nonlocalnet.formats.graph import AnyOf, Facts, block_facts, differences, trunk_facts
from nonlocalnet.formats.tables import SLOWFAST
from nonlocalnet.formats.writing import nearest, per_channel, renamed_state, require_none
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.geometry import STAGES
from nonlocalnet.models.video.network import fresh_card


def slowfast_bytes(network: VideoResNet) -> bytes:
    """The content of a `.pyth`; ValueError where the program would build another graph."""
    variant, found = nearest(network, [("slowfast", ""), ("slowfast-nopool", "")])
    i3d = network.inflate is not None
    pools = "" if variant == "slowfast" else "_nopool"
    archs = {(False, "slowfast"): "c2d", (False, "slowfast-nopool"): "c2d_nopool"}
    arch = archs.get((i3d, variant), f"i3d{pools}")
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
    settings = _settings(network, arch=arch, blocks=blocks)
    content = io.BytesIO()
    torch.save({"model_state": renamed_state(network, SLOWFAST), "cfg": yaml.safe_dump(settings)}, content)
    return content.getvalue()


def _settings(network: VideoResNet, *, arch: str, blocks: dict[str, Facts]) -> dict[str, Any]:
    preprocessing = (network.card or fresh_card(network)).preprocessing
    frames = preprocessing.clip_frames
    by_stage = {stage: [path for path in blocks if path.startswith(f"{stage}.")] for stage in STAGES}
    groups, pools = [], []
    for stage, paths in by_stage.items():
        pool = blocks[paths[0]]["subsampling"] if paths else (1, 2, 2)
        pools.append([list(pool or (1, 1, 1))])
        group = blocks[paths[0]]["frames of a temporal group"] if paths else None
        stage_frames = frames // (1 if stage == "res2" else network.geometry.pool2.stride[0])
        groups.append([stage_frames // group if group else 1])
    instantiation = {"embedded_gaussian": "softmax", "dot_product": "dot_product"}
    pairwise = next((facts["pairwise"] for facts in blocks.values()), "embedded_gaussian")
    locations = [[[int(path[5:]) for path in paths]] for paths in by_stage.values()]
    return {
        "DATA": {
            "NUM_FRAMES": frames,
            "SAMPLING_RATE": preprocessing.frame_stride,
            "MEAN": per_channel(preprocessing.mean, 255),
            "STD": per_channel(preprocessing.std, 255),
            "REVERSE_INPUT_CHANNEL": preprocessing.colour_order == "BGR",
            "TRAIN_CROP_SIZE": network.crop or preprocessing.crop,
            "TEST_CROP_SIZE": preprocessing.crop,
            "INPUT_CHANNEL_NUM": [3],
        },
        "MODEL": {
            "ARCH": arch,
            "MODEL_NAME": "ResNet",
            "NUM_CLASSES": network.num_classes,
            "DROPOUT_RATE": network.head.dropout.p,
        },
        "MULTIGRID": {"SHORT_CYCLE": network.crop is None},
        "NONLOCAL": {
            "LOCATION": locations,
            "GROUP": groups,
            "POOL": pools,
            "INSTANTIATION": instantiation[pairwise],
        },
        "RESNET": {"DEPTH": network.depth, "WIDTH_PER_GROUP": network.width, "NUM_GROUPS": 1, "STRIDE_1X1": False},
    }
