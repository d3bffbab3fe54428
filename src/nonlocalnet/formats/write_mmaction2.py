"""Networks as mmaction2 files with their configuration; `nonlocalnet.formats.mmaction2` reads them."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor

from nonlocalnet.formats.graph import AnyOf, Facts, block_facts, differences, trunk_facts
from nonlocalnet.formats.tables import MMACTION2, MMACTION2_SUBSAMPLED
from nonlocalnet.formats.writing import nearest, per_channel, renamed_state, require_none
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.geometry import FAMILIES, STAGE_BLOCKS, STAGES, Variant, inflated_blocks
from nonlocalnet.models.video.network import fresh_card


def mmaction2_bytes(network: VideoResNet) -> bytes:
    """The content of a `.pth`; ValueError where the program would build another graph."""
    variant, found = nearest(network, [("mmaction2", ""), ("mmaction2-heavy", ""), ("mmaction2-slowonly", "")])
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
        usual = {"subsampling": AnyOf(None, (1, 2, 2)), "scale of the logits": scales}
        found += differences(first, usual, where="blocks: ")
    require_none(found, "mmaction2")
    subsampled = first is not None and first["subsampling"] is not None
    state = renamed_state(network, MMACTION2_SUBSAMPLED if subsampled else MMACTION2)
    meta: dict[str, Any] = {"cfg": _settings(network, variant=variant, blocks=blocks)}
    names = None if network.card is None else network.card.class_names
    if names:
        meta["dataset_meta"] = {"classes": list(names)}
    content = io.BytesIO()
    torch.save({"meta": meta, "state_dict": _as_mmcv(state)}, content)
    return content.getvalue()


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


def _settings(network: VideoResNet, *, variant: Variant, blocks: dict[str, Facts]) -> str:
    """The configuration's text."""
    preprocessing = (network.card or fresh_card(network)).preprocessing
    geometry = FAMILIES[variant]
    slow = network.inflate is not None and network.inflated == "late"
    inflate = tuple(
        tuple(int(spans and network.inflate is not None) for spans in _inflated(network, stage)) for stage in STAGES
    )
    backbone: dict[str, Any] = {
        "type": "ResNet3d",
        "depth": network.depth,
        "pretrained": None,
        "base_channels": network.width,
        "conv1_kernel": tuple(network.stem.conv.kernel_size),
        "conv1_stride_t": geometry.conv1_stride[0],
        "pool1_stride_t": geometry.pool1.stride[0],
        "with_pool2": geometry.pool2.stride[0] > 1,
        "inflate": inflate,
        "inflate_style": network.inflate or "3x1x1",
    }
    if slow and variant == "mmaction2-slowonly":
        backbone = {"type": "ResNet3dSlowOnly", "lateral": False, **{k: v for k, v in backbone.items() if k != "type"}}
    if blocks:
        facts = next(iter(blocks.values()))
        backbone["non_local"] = tuple(
            tuple(int(f"{stage}.{index}" in blocks) for index in range(count))
            for stage, count in zip(STAGES, STAGE_BLOCKS[network.depth], strict=True)
        )
        backbone["non_local_cfg"] = {
            "sub_sample": facts["subsampling"] is not None,
            "use_scale": facts["scale of the logits"] == "rsqrt",
            "norm_cfg": {"type": "BN3d", "requires_grad": True} if facts["norm"] else None,
            "mode": facts["pairwise"],
        }
    head = {
        "type": "I3DHead",
        "num_classes": network.num_classes,
        "in_channels": network.num_features,
        "spatial_type": "avg",
        "dropout_ratio": network.head.dropout.p,
        "average_clips": "prob",
    }
    preprocessor = {
        "type": "ActionDataPreprocessor",
        "mean": per_channel(preprocessing.mean, 1),
        "std": per_channel(preprocessing.std, 1),
        "to_rgb": preprocessing.colour_order == "BGR",
        "format_shape": "NCTHW",
    }
    clip = {"clip_len": preprocessing.clip_frames, "frame_interval": preprocessing.frame_stride}
    pipeline = [
        {"type": "SampleFrames", **clip, "num_clips": 10, "test_mode": True},
        {"type": "Resize", "scale": (-1, preprocessing.short_side)},
        {"type": "ThreeCrop", "crop_size": preprocessing.crop},
        {"type": "FormatShape", "input_format": "NCTHW"},
    ]
    model = {"type": "Recognizer3D", "backbone": backbone, "cls_head": head, "data_preprocessor": preprocessor}
    return f"model = {model!r}\ntest_pipeline = {pipeline!r}\n"


def _inflated(network: VideoResNet, stage: str) -> tuple[bool, ...]:
    return inflated_blocks(stage, depth=network.depth, inflated=network.inflated)
