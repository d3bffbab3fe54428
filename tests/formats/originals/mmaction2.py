"""mmaction2's 3-D ResNets, on mmcv's ConvModule and NonLocal3d (open-mmlab/mmaction2).

Where each fact stands there:
- mmaction/models/backbones/resnet3d.py: names; conv1's padding is half its kernel, its stride (conv1_stride_t, 2, 2);
  `maxpool` (1, 3, 3), stride (pool1_stride_t, 2, 2), padding (0, 1, 1); `pool2` (2, 1, 1) after layer1 where
  with_pool2; style "pytorch" strides conv2, "caffe" conv1; `inflate` and `inflate_style` (3x1x1: conv1; 3x3x3: conv2)
  per block; ReLU after the sum, then `non_local_block`. The defaults of 0.x (conv1_stride_t 2, pool1_stride_t 2,
  conv1_kernel (5, 7, 7)) became (1, 1, (3, 7, 7)) in 1.x.
- mmaction/models/backbones/resnet3d_slowonly.py: conv1 (1, 7, 7), no stride in time, inflate (0, 0, 1, 1), no pool2.
- mmaction/models/backbones/c2d.py: a 2-D ResNet (4-D weights), frame by frame; both its pools over the clip, unpadded.
- configs/_base_/models/i3d_r50.py: the strides of 2, inflate ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0)).
- configs/recognition/i3d/*-nl-*: after blocks 1, 3 of layer2 and 1, 3, 5 of layer3, sub_sample=True, use_scale=False,
  norm_cfg BN3d. (SlowOnly's: after 0, 2 and 0, 2, 4, use_scale=True.)
- mmaction/models/heads/i3d_head.py: one *global* average pool, then `fc_cls`; average_clips "prob": softmax per clip.
- mmengine/runner/runner.py: what a 1.x checkpoint holds (meta["cfg"] is the configuration's text; message_hub holds
  mmengine's own HistoryBuffer objects until tools/deployment/publish_model.py removes it); 0.x: meta["config"].
- mmaction/models/data_preprocessors/data_preprocessor.py: mean and std were stored in the first 1.x files, as
  (3, 1, 1, 1).

A configuration is the `model` dict of such a file, in plain Python.
"""

import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import blocks
from .draws import Draws
from .layers import BLOCKS, convolution, max_pool
from .slowfast import norm_layer

State = dict[str, Tensor]
Config = dict[str, Any]

NO_BLOCKS = ((0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0, 0, 0), (0, 0, 0))
FIVE_BLOCKS = ((0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 1, 0, 1), (0, 0, 0))
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def make_model(
    *,
    arch: str = "i3d",
    depth: int = 50,
    mode: str | None = None,
    sub_sample: bool = True,
    use_scale: bool = False,
    norm: bool = True,
    width: int = 4,
    num_classes: int = 5,
    conv1_stride_t: int | None = None,
    pool1_stride_t: int | None = None,
    inflate: Sequence | None = None,
    inflate_style: str = "3x1x1",
    style: str = "pytorch",
) -> Config:
    """The `model` dict of the configurations; mode None has no non-local blocks, others five of them.

    arch: "i3d" (ResNet3d as i3d_r50.py sets it), "i3d_heavy" (no stride in time, every block inflated), "c2d" (the
    class C2D), "c2d_3d" (ResNet3d that inflates nothing, which has i3d's pools) or "slowonly".
    """
    last = (1, 0) * (BLOCKS[depth][2] // 2) + (1,) * (BLOCKS[depth][2] % 2)
    backbone: Config = {"depth": depth, "norm_eval": False, "pretrained": None}
    head = {"type": "I3DHead", "num_classes": num_classes, "in_channels": width * 32, "spatial_type": "avg"}
    if arch == "c2d":
        backbone = {"type": "C2D", **backbone}
    elif arch == "slowonly":
        backbone = {"type": "ResNet3dSlowOnly", "lateral": False, "conv1_kernel": (1, 7, 7), **backbone}
        backbone |= {"conv1_stride_t": 1, "pool1_stride_t": 1, "inflate": inflate or (0, 0, 1, 1)}
    else:
        heavy = arch == "i3d_heavy"
        pattern = ((1, 1, 1), (1, 0, 1, 0), last, (0, 1, 0))
        kernel = (1, 7, 7) if arch == "c2d_3d" else (5, 7, 7)
        stride = 1 if heavy else 2
        backbone = {"type": "ResNet3d", "pretrained2d": True, "conv1_kernel": kernel, **backbone}
        backbone |= {"conv1_stride_t": conv1_stride_t or stride, "pool1_stride_t": pool1_stride_t or stride}
        default = {"i3d_heavy": (1, 1, 1, 1), "c2d_3d": (0, 0, 0, 0)}.get(arch, pattern)
        backbone |= {"inflate": inflate or default, "inflate_style": inflate_style, "style": style}
        backbone |= {"conv_cfg": {"type": "Conv3d"}, "zero_init_residual": False}
    if width != 64:
        backbone["base_channels"] = width
    if mode is not None:
        norm_cfg = {"type": "BN3d", "requires_grad": True} if norm else None
        places = FIVE_BLOCKS if depth == 50 else (*FIVE_BLOCKS[:2], (0, 1, 0, 1, 0, 1) + (0,) * 17, FIVE_BLOCKS[3])
        block = {"sub_sample": sub_sample, "use_scale": use_scale, "norm_cfg": norm_cfg, "mode": mode}
        backbone |= {"non_local": places, "non_local_cfg": block}
    head |= {"dropout_ratio": 0.5, "init_std": 0.01, "average_clips": "prob"}
    preprocessor = {"type": "ActionDataPreprocessor", "mean": MEAN, "std": STD, "format_shape": "NCTHW"}
    return {"type": "Recognizer3D", "backbone": backbone, "cls_head": head, "data_preprocessor": preprocessor}


def config_text(
    model: Config, *, clip_len: int = 32, frame_interval: int = 2, crop: int = 256, old: bool = False
) -> str:
    """The text of a whole configuration, as `cfg.pretty_text`; old: as mmaction2 0.x wrote it, with img_norm_cfg."""
    sample = {"type": "SampleFrames", "clip_len": clip_len, "frame_interval": frame_interval}
    pipeline = [
        {"type": "DecordInit"},
        {**sample, "num_clips": 10, "test_mode": True},
        {"type": "DecordDecode"},
        {"type": "Resize", "scale": (-1, 256)},
        {"type": "ThreeCrop", "crop_size": crop},
    ]
    training = [
        {"type": "DecordInit"},
        {**sample, "num_clips": 1},
        {"type": "DecordDecode"},
        {"type": "Resize", "scale": (-1, 256)},
        {"type": "MultiScaleCrop", "input_size": 224, "scales": (1, 0.8), "random_crop": False, "max_wh_scale_gap": 0},
        {"type": "Resize", "scale": (224, 224), "keep_ratio": False},
        {"type": "Flip", "flip_ratio": 0.5},
    ]
    norm = {"mean": MEAN, "std": STD, "to_bgr": False}
    entries: Config = {"model": model}
    if old:
        entries["model"] = {key: value for key, value in model.items() if key != "data_preprocessor"}
        entries["model"] |= {"train_cfg": None, "test_cfg": {"average_clips": "prob"}}
        entries["img_norm_cfg"] = norm
        pipeline, training = ([*steps, {"type": "Normalize", **norm}] for steps in (pipeline, training))
    for steps in (pipeline, training):
        steps.append({"type": "FormatShape", "input_format": "NCTHW"})
    entries |= {"train_pipeline": training, "test_pipeline": pipeline, "work_dir": "./work_dirs/run"}
    return "".join(f"{key} = {_render(value)}\n" for key, value in entries.items())


def _render(value: Any) -> str:
    if isinstance(value, Mapping):
        return "dict(" + ", ".join(f"{key}={_render(item)}" for key, item in value.items()) + ")"
    if isinstance(value, list):
        return "[\n    " + ",\n    ".join(_render(item) for item in value) + ",\n]"
    return repr(value)


def _per_block(value: Any, stage: int, count: int) -> Sequence[int]:
    entry = value[stage] if isinstance(value, (tuple, list)) else value
    return entry if isinstance(entry, (tuple, list)) else (entry,) * count


def make_state(model: Config, *, seed: int = 0) -> State:
    """A state dict with random values for the network that a `model` dict describes."""
    backbone, draws = model["backbone"], Draws(seed)
    flat = backbone["type"] == "C2D"
    width, channels = backbone.get("base_channels", 64), backbone.get("base_channels", 64)
    kernel = (7, 7) if flat else tuple(backbone["conv1_kernel"])
    state = _conv_module(draws, "backbone.conv1", (width, 3, *kernel))
    for stage, count in enumerate(BLOCKS[backbone["depth"]]):
        inner, outer = width * 2**stage, width * 2 ** (stage + 2)
        inflated = _per_block(backbone.get("inflate", 0), stage, count)
        nonlocal_after = _per_block(backbone.get("non_local", 0), stage, count)
        for i in range(count):
            prefix = f"backbone.layer{stage + 1}.{i}"
            spans = _spans(backbone, inflated[i]) if not flat else ((), ())
            point = (1, 1) if flat else (1,)
            state |= _conv_module(draws, f"{prefix}.conv1", (inner, channels, *spans[0], 1, 1))
            state |= _conv_module(draws, f"{prefix}.conv2", (inner, inner, *spans[1], 3, 3))
            point = (1, 1) if flat else (1, 1, 1)
            state |= _conv_module(draws, f"{prefix}.conv3", (outer, inner, *point), last=True)
            if i == 0:
                state |= _conv_module(draws, f"{prefix}.downsample", (outer, channels, *point))
            channels = outer
            if nonlocal_after[i]:
                settings = backbone["non_local_cfg"]
                shape = {
                    "channels": outer,
                    "sub_sample": settings["sub_sample"],
                    "norm": settings["norm_cfg"] is not None,
                }
                state |= blocks.make_mmcv(
                    mode=settings["mode"], prefix=f"{prefix}.non_local_block.", draws=draws, **shape
                )
    classes = model["cls_head"]["num_classes"]
    state["cls_head.fc_cls.weight"] = torch.from_numpy(draws.classifier((classes, channels)))
    return state | {"cls_head.fc_cls.bias": torch.from_numpy(draws.shift(classes))}


def _spans(backbone: Config, inflated: int) -> tuple[tuple[int], tuple[int]]:
    if not inflated:
        return (1,), (1,)
    return ((3,), (1,)) if backbone.get("inflate_style", "3x1x1") == "3x1x1" else ((1,), (3,))


def _conv_module(draws: Draws, prefix: str, shape: tuple[int, ...], *, last: bool = False) -> State:
    arrays = {
        "conv.weight": draws.convolution(shape),
        "bn.weight": draws.scale(shape[0], last=last),
        "bn.bias": draws.shift(shape[0]),
        "bn.running_mean": draws.mean(shape[0]),
        "bn.running_var": draws.var(shape[0]),
    }
    state = {f"{prefix}.{name}": torch.from_numpy(array) for name, array in arrays.items()}
    return state | {f"{prefix}.bn.num_batches_tracked": torch.tensor(1000)}


class HistoryBuffer:
    """Stands in for mmengine.logging.history_buffer.HistoryBuffer, which an unpublished checkpoint pickles."""

    def __init__(self) -> None:
        self._max_length, self._log_history, self._count_history = 1000000, np.ones(3), np.ones(3)


def write_pth(
    path: str | Path,
    state: State,
    text: str | None = None,
    *,
    old: bool = False,
    classes: Sequence[str] | None = None,
    preprocessor: bool = False,
    message_hub: bool = False,
) -> Path:
    """Writes a `.pth` as mmengine (1.x) or, old, mmcv (0.x) does; text None: the state dict alone, as some publish.

    classes go into meta["dataset_meta"] (1.x) or meta["CLASSES"] (0.x); preprocessor adds the stored mean and std,
    message_hub the objects of an unpublished file, which torch.load(weights_only=True) refuses.
    """
    if preprocessor:
        stored = {"mean": MEAN, "std": STD}
        state = {
            f"data_preprocessor.{key}": torch.tensor(value).view(3, 1, 1, 1) for key, value in stored.items()
        } | state
    if text is None:
        torch.save(state, path)
        return Path(path)
    meta: dict[str, Any] = {"epoch": 100, "iter": 375600, "seed": 0, "time": "20220812_101112"}
    if old:
        meta |= {"mmaction_version": "0.24.1", "mmcv_version": "1.7.0", "config": text, "hook_msgs": {}}
        meta |= {"CLASSES": list(classes)} if classes else {}
    else:
        meta |= {"cfg": text, "experiment_name": "i3d", "mmengine_version": "0.10.7"}
        meta["dataset_meta"] = {"classes": list(classes)} if classes else {}
    checkpoint: dict[str, Any] = {"meta": meta, "state_dict": state}
    if message_hub:
        checkpoint["message_hub"] = {"log_scalars": {"train/loss": HistoryBuffer()}, "runtime_info": {"epoch": 100}}
    _save_as_mmengine(checkpoint, path)
    return Path(path)


def _save_as_mmengine(checkpoint: dict[str, Any], path: str | Path) -> None:
    """torch.save with HistoryBuffer under mmengine's name, by a module that exists only meanwhile."""
    name, own = "mmengine.logging.history_buffer", HistoryBuffer.__module__
    module = types.ModuleType(name)
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    packages = {parent: types.ModuleType(parent) for parent in ("mmengine", "mmengine.logging")}
    before = {key: sys.modules.get(key) for key in (*packages, name)}
    sys.modules.update({**packages, name: module})
    HistoryBuffer.__module__ = name
    try:
        torch.save(checkpoint, path)
    finally:
        HistoryBuffer.__module__ = own
        for key, value in before.items():
            sys.modules.pop(key) if value is None else sys.modules.__setitem__(key, value)


def logits(state: Mapping[str, Tensor], model: Config, x_BCTHW: Tensor, **ignored: Any) -> Tensor:
    """`fc_cls` of the global average: (B, K); x is already normalised. `ignored` goes to `features`."""
    x = features(state, model, x_BCTHW, **ignored).mean((2, 3, 4))
    return F.linear(x, state["cls_head.fc_cls.weight"].to(x.dtype), state["cls_head.fc_cls.bias"].to(x.dtype))


def scores(state: Mapping[str, Tensor], model: Config, x_BCTHW: Tensor) -> Tensor:
    """average_clips="prob" over one clip: the softmax of its logits, (B, K)."""
    return logits(state, model, x_BCTHW).softmax(1)


def features(
    state: Mapping[str, Tensor],
    model: Config,
    x_BCTHW: Tensor,
    *,
    eps: float = 1e-5,
    stem_padding: int | None = None,
    pool_first: bool = False,
) -> Tensor:
    """The backbone's output (B, C, T', H', W'); the keywords are facts of the program, here to be ignored once."""
    backbone = model["backbone"]
    flat = backbone["type"] == "C2D"
    strides = (1, 1) if flat else (backbone["conv1_stride_t"], backbone["pool1_stride_t"])
    padding = stem_padding if stem_padding is not None else (0 if flat else 1)
    x = F.relu(_apply(state, x_BCTHW, "backbone.conv1", (strides[0], 2, 2), eps))
    x = max_pool(x, (1, 3, 3), (strides[1], 2, 2), (0, padding, padding))
    for stage, count in enumerate(BLOCKS[backbone["depth"]]):
        nonlocal_after = _per_block(backbone.get("non_local", 0), stage, count)
        for i in range(count):
            stride = (1, 2, 2) if i == 0 and stage > 0 else (1, 1, 1)
            x = _residual(state, x, f"backbone.layer{stage + 1}.{i}", stride, backbone.get("style", "pytorch"), eps)
            if nonlocal_after[i]:
                settings = backbone["non_local_cfg"]
                said = {key: settings[key] for key in ("mode", "sub_sample", "use_scale")}
                prefix = f"backbone.layer{stage + 1}.{i}.non_local_block."
                x = blocks.mmcv(state, x, prefix=prefix, eps=eps, pool_first=pool_first, **said)
        if stage == 0 and backbone["type"] != "ResNet3dSlowOnly":
            x = max_pool(x, (2, 1, 1))
    return x


def _apply(state: Mapping[str, Tensor], x: Tensor, prefix: str, stride: tuple[int, int, int], eps: float) -> Tensor:
    weight = state[f"{prefix}.conv.weight"]
    if weight.dim() == 4:  # the class C2D convolves frame by frame
        weight = weight.unsqueeze(2)
    return norm_layer(state, convolution(x, weight, stride=stride), f"{prefix}.bn", eps=eps)


def _residual(
    state: Mapping[str, Tensor], x: Tensor, prefix: str, stride: tuple[int, int, int], style: str, eps: float
) -> Tensor:
    first, second = ((1, 1, 1), stride) if style == "pytorch" else (stride, (1, 1, 1))
    branch = F.relu(_apply(state, x, f"{prefix}.conv1", first, eps))
    branch = F.relu(_apply(state, branch, f"{prefix}.conv2", second, eps))
    branch = _apply(state, branch, f"{prefix}.conv3", (1, 1, 1), eps)
    if f"{prefix}.downsample.conv.weight" in state:
        x = _apply(state, x, f"{prefix}.downsample", stride, eps)
    return F.relu(branch + x)
