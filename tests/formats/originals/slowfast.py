"""PySlowFast's single-pathway ResNets (facebookresearch/SlowFast).

Where each fact stands there:
- slowfast/models/video_model_builder.py: `_TEMPORAL_KERNEL_BASIS` and `_POOL1` by MODEL.ARCH (c2d and i3d pool two
  frames after res2, slow, 2d, and slow_c2d and slow_i3d, once called `_nopool`, none); the stem's stride (1, 2, 2);
  the head's pool [NUM_FRAMES // pool, TRAIN_CROP_SIZE // 32, the same], or a global one with MULTIGRID.SHORT_CYCLE.
- stem_helper.py: the stem's pool (1, 3, 3), stride (1, 2, 2), padding (0, 1, 1).
- resnet_helper.py: 3x1x1, 1x3x3, 1x1x1; the stride in space on `b`, or on `a` with RESNET.STRIDE_1X1; ReLU after the
  sum; `pathway0_nonlocal{i}` after residual block i, outside its ReLU; NONLOCAL.GROUP is the *number* of contiguous
  temporal groups (Caffe2's 4 is the frames of one); NUM_BLOCK_TEMP_KERNEL truncates a stage's temporal kernels.
- nonlocal_helper.py: theta of x, then max-pool by NONLOCAL.POOL, then phi and g; the scale d^-0.5 with "softmax" only;
  "dot_product" divided by the pooled count; `conv_out` has a bias and `bn` follows. (First called `norm`.)
- head_helper.py: pool of stride 1, linear at every position; when testing MODEL.HEAD_ACT per position, then the mean.
- config/defaults.py: NONLOCAL.INSTANTIATION is "dot_product" unless set, NONLOCAL.POOL [1, 2, 2] in every stage,
  DATA.MEAN 0.45 and DATA.STD 0.225 on values in 0..1, RGB unless DATA.REVERSE_INPUT_CHANNEL.
- utils/checkpoint.py: what a `.pyth` holds; "cfg" is the YAML of the whole configuration.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from .draws import Draws
from .layers import BLOCKS, attend, convolution, max_pool, normalise

State = dict[str, Tensor]

_I3D = ((5,), (3,), (3, 1), (3, 1), (1, 3))
_C2D = ((1,),) * 5
TEMPORAL_KERNELS = {
    "2d": _C2D,
    "c2d": _C2D,
    "c2d_nopool": _C2D,
    "slow_c2d": _C2D,
    "i3d": _I3D,
    "i3d_nopool": _I3D,
    "slow_i3d": _I3D,
    "slow": ((1,), (1,), (1,), (3,), (3,)),
}
POOL1 = {"2d": 1, "c2d": 2, "c2d_nopool": 1, "slow_c2d": 1, "i3d": 2, "i3d_nopool": 1, "slow_i3d": 1, "slow": 1}
FIVE_BLOCKS = ((), (1, 3), (1, 3, 5), ())


def make_cfg(
    *,
    arch: str = "i3d",
    depth: int = 50,
    width: int = 4,
    num_classes: int = 5,
    nonlocal_location: tuple[tuple[int, ...], ...] = ((), (), (), ()),
    instantiation: str = "softmax",
    nonlocal_pool: tuple[int, int, int] = (1, 2, 2),
    nonlocal_group: tuple[int, int, int, int] = (1, 1, 1, 1),
    num_frames: int = 8,
    sampling_rate: int = 8,
    train_crop_size: int = 224,
    test_crop_size: int = 256,
    head_act: str = "softmax",
    stride_1x1: bool = False,
    short_cycle: bool = False,
) -> str:
    """`cfg.dump()`: the sections of the configuration that a ResNet reads, and a few others, as YAML."""
    counts = BLOCKS[depth]
    cfg = {
        "BN": {"NORM_TYPE": "batchnorm", "NUM_BATCHES_PRECISE": 200, "USE_PRECISE_STATS": True, "WEIGHT_DECAY": 0.0},
        "DATA": {
            "INPUT_CHANNEL_NUM": [3],
            "MEAN": [0.45, 0.45, 0.45],
            "NUM_FRAMES": num_frames,
            "REVERSE_INPUT_CHANNEL": False,
            "SAMPLING_RATE": sampling_rate,
            "STD": [0.225, 0.225, 0.225],
            "TEST_CROP_SIZE": test_crop_size,
            "TRAIN_CROP_SIZE": train_crop_size,
            "TRAIN_JITTER_SCALES": [256, 320],
        },
        "DETECTION": {"ENABLE": False},
        "MODEL": {
            "ARCH": arch,
            "DROPOUT_RATE": 0.5,
            "FC_INIT_STD": 0.01,
            "HEAD_ACT": head_act,
            "LOSS_FUNC": "cross_entropy" if head_act == "softmax" else "bce_logit",
            "MODEL_NAME": "ResNet",
            "NUM_CLASSES": num_classes,
        },
        "MULTIGRID": {"LONG_CYCLE": False, "SHORT_CYCLE": short_cycle},
        "NONLOCAL": {
            "GROUP": [[group] for group in nonlocal_group],
            "INSTANTIATION": instantiation,
            "LOCATION": [[list(places)] for places in nonlocal_location],
            "POOL": [[list(nonlocal_pool), list(nonlocal_pool)] for _ in range(4)],
        },
        "NUM_GPUS": 8,
        "OUTPUT_DIR": ".",
        "RESNET": {
            "DEPTH": depth,
            "INPLACE_RELU": True,
            "NUM_BLOCK_TEMP_KERNEL": [[count] for count in counts],
            "NUM_GROUPS": 1,
            "SPATIAL_DILATIONS": [[1], [1], [1], [1]],
            "SPATIAL_STRIDES": [[1], [2], [2], [2]],
            "STRIDE_1X1": stride_1x1,
            "TRANS_FUNC": "bottleneck_transform",
            "WIDTH_PER_GROUP": width,
            "ZERO_INIT_FINAL_BN": True,
        },
        "SOLVER": {"BASE_LR": 0.1, "LR_POLICY": "cosine", "MAX_EPOCH": 196, "MOMENTUM": 0.9, "WEIGHT_DECAY": 0.0001},
        "TEST": {"DATASET": "kinetics", "NUM_ENSEMBLE_VIEWS": 10, "NUM_SPATIAL_CROPS": 3},
        "TRAIN": {"CHECKPOINT_TYPE": "pytorch", "DATASET": "kinetics"},
    }
    return yaml.safe_dump(cfg)


def shapes(cfg: str | Mapping) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the state, in the order of `state_dict()` within a layer."""
    cfg = _read(cfg)
    resnet, arch = cfg["RESNET"], cfg["MODEL"]["ARCH"]
    width, spans = resnet["WIDTH_PER_GROUP"], TEMPORAL_KERNELS[arch]
    found: dict[str, tuple[int, ...]] = {}

    def layer(prefix: str, norm: str, shape: tuple[int, ...]) -> None:
        found[f"{prefix}.weight"] = shape
        found.update(_norm_shapes(norm, shape[0]))

    layer("s1.pathway0_stem.conv", "s1.pathway0_stem.bn", (width, 3, spans[0][0], 7, 7))
    channels = width
    for stage, count in zip((2, 3, 4, 5), BLOCKS[resnet["DEPTH"]], strict=True):
        inner, outer = width * 2 ** (stage - 2), width * 2**stage
        temporal = (list(spans[stage - 1]) * count)[: resnet["NUM_BLOCK_TEMP_KERNEL"][stage - 2][0]]
        temporal += [1] * (count - len(temporal))
        for i in range(count):
            name = f"s{stage}.pathway0_res{i}"
            if i == 0:
                layer(f"{name}.branch1", f"{name}.branch1_bn", (outer, channels, 1, 1, 1))
            layer(f"{name}.branch2.a", f"{name}.branch2.a_bn", (inner, channels, temporal[i], 1, 1))
            layer(f"{name}.branch2.b", f"{name}.branch2.b_bn", (inner, inner, 1, 3, 3))
            layer(f"{name}.branch2.c", f"{name}.branch2.c_bn", (outer, inner, 1, 1, 1))
            channels = outer
            if i in cfg["NONLOCAL"]["LOCATION"][stage - 2][0]:
                found |= nonlocal_shapes(outer, outer // 2, prefix=f"s{stage}.pathway0_nonlocal{i}.")
    classes = cfg["MODEL"]["NUM_CLASSES"]
    return found | {"head.projection.weight": (classes, channels), "head.projection.bias": (classes,)}


def _norm_shapes(prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    sizes = {f"{prefix}.{name}": (channels,) for name in ("weight", "bias", "running_mean", "running_var")}
    return sizes | {f"{prefix}.num_batches_tracked": ()}


def nonlocal_shapes(
    channels: int, inner: int, *, prefix: str = "", norm: str | None = "bn"
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of one block's tensors; norm is the name of its BatchNorm."""
    found: dict[str, tuple[int, ...]] = {}
    for name in ("theta", "phi", "g", "out"):
        out, into = (channels, inner) if name == "out" else (inner, channels)
        found |= {f"{prefix}conv_{name}.weight": (out, into, 1, 1, 1), f"{prefix}conv_{name}.bias": (out,)}
    return found | (_norm_shapes(f"{prefix}{norm}", channels) if norm else {})


def make_state(cfg: str | Mapping, *, seed: int = 0) -> State:
    """A state dict with random values for the network that cfg describes."""
    return draw_state(shapes(cfg), seed=seed)


def draw_state(wanted: Mapping[str, tuple[int, ...]], *, seed: int) -> State:
    """Random values for names that end as PyTorch's Conv, BatchNorm and Linear name theirs."""
    draws = Draws(seed)
    return {name: _draw(draws, name, shape) for name, shape in wanted.items()}


def _draw(draws: Draws, name: str, shape: tuple[int, ...]) -> Tensor:
    block = ".conv_theta" in name or "nonlocal" in name or name.startswith(("conv_", "bn.", "norm."))
    layer, kind = name.rpartition(".")[::2]
    if kind == "num_batches_tracked":
        return torch.tensor(1000)
    if kind == "weight" and len(shape) == 1:
        array = draws.scale(shape[0], last=block or layer.endswith("c_bn"))
    elif kind == "weight" and layer == "head.projection":
        array = draws.classifier(shape)
    elif kind == "weight" and block:
        array = draws.output(shape) if layer.endswith("conv_out") else draws.embedding(shape)
    elif kind == "weight":
        array = draws.convolution(shape)
    else:
        array = draws.var(shape[0], small=block) if kind == "running_var" else draws.shift(shape[0])
    return torch.from_numpy(array)


def write_pyth(
    path: str | Path, state: State, cfg: str | None = None, *, plain: bool = False, training: bool = True
) -> Path:
    """Writes a `.pyth`; plain: the state dict alone. training adds the epoch and the optimiser's state."""
    checkpoint: dict[str, Any] = {"model_state": state}
    if cfg is not None:
        checkpoint["cfg"] = cfg
    if training:
        group = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0001, "nesterov": True, "params": [0]}
        moments = {0: {"momentum_buffer": torch.zeros(2)}}
        checkpoint |= {"epoch": 195, "optimizer_state": {"state": moments, "param_groups": [group]}}
    torch.save(state if plain else checkpoint, path)
    return Path(path)


def nonlocal_block(
    state: Mapping[str, Tensor],
    x: Tensor,
    *,
    prefix: str = "",
    pool: tuple[int, int, int] | None = (1, 2, 2),
    instantiation: str = "softmax",
    norm: str | None = "bn",
    eps: float = 1e-5,
    scaled: bool = True,
    pool_first: bool = True,
) -> Tensor:
    """One block. The last two are facts of the program, here to be ignored once."""

    def embed(name: str, value: Tensor) -> Tensor:
        return convolution(value, state[f"{prefix}conv_{name}.weight"], state[f"{prefix}conv_{name}.bias"])

    pooled = max_pool(x, pool) if pool and pool_first else x
    theta, phi, g = embed("theta", x), embed("phi", pooled), embed("g", pooled)
    if pool and not pool_first:
        phi, g = max_pool(phi, pool), max_pool(g, pool)
    pairwise = {"softmax": "gaussian", "dot_product": "dot_product"}[instantiation]
    scale = theta.shape[1] ** -0.5 if scaled else 1.0
    y = attend(theta.flatten(2), phi.flatten(2), g.flatten(2), pairwise=pairwise, scale=scale).view_as(theta)
    out = embed("out", y)
    return x + (norm_layer(state, out, f"{prefix}{norm}", eps=eps) if norm else out)


def norm_layer(state: Mapping[str, Tensor], x: Tensor, prefix: str, *, eps: float = 1e-5) -> Tensor:
    """PyTorch's BatchNorm by its four names."""
    scale, shift = state[f"{prefix}.weight"], state[f"{prefix}.bias"]
    return normalise(
        x, scale=scale, shift=shift, mean=state[f"{prefix}.running_mean"], var=state[f"{prefix}.running_var"], eps=eps
    )


def _read(cfg: str | Mapping) -> Mapping:
    return yaml.safe_load(cfg) if isinstance(cfg, str) else cfg


def logits(
    state: Mapping[str, Tensor],
    cfg: str | Mapping,
    x_BCTHW: Tensor,
    *,
    eps: float = 1e-5,
    scaled: bool = True,
    pool_first: bool = True,
    stem_padding: int = 1,
) -> Tensor:
    """`head.projection` at every position of the head: (B, K, T', H', W'); x is already normalised.

    The keywords are facts of the program, here to be ignored once.
    """
    cfg = _read(cfg)
    settings, arch = cfg["NONLOCAL"], cfg["MODEL"]["ARCH"]
    block = {"instantiation": settings["INSTANTIATION"], "eps": eps, "scaled": scaled, "pool_first": pool_first}
    x = convolution(x_BCTHW, state["s1.pathway0_stem.conv.weight"], stride=(1, 2, 2))
    x = F.relu(norm_layer(state, x, "s1.pathway0_stem.bn", eps=eps))
    x = max_pool(x, (1, 3, 3), (1, 2, 2), (0, stem_padding, stem_padding))
    for stage, count in zip((2, 3, 4, 5), BLOCKS[cfg["RESNET"]["DEPTH"]], strict=True):
        for i in range(count):
            stride = 2 if i == 0 and stage > 2 else 1
            x = _residual(state, x, f"s{stage}.pathway0_res{i}", stride, cfg["RESNET"]["STRIDE_1X1"], eps)
            if i in settings["LOCATION"][stage - 2][0]:
                prefix, pool = f"s{stage}.pathway0_nonlocal{i}.", tuple(settings["POOL"][stage - 2][0])
                parts = x.chunk(settings["GROUP"][stage - 2][0], dim=2)
                x = torch.cat([nonlocal_block(state, part, prefix=prefix, pool=pool, **block) for part in parts], dim=2)
        if stage == 2:
            x = max_pool(x, (POOL1[arch], 1, 1))
    x = _head_pool(x, cfg)
    weight, bias = state["head.projection.weight"].to(x.dtype), state["head.projection.bias"].to(x.dtype)
    return F.linear(x.movedim(1, -1), weight, bias).movedim(-1, 1)


def _residual(state: Mapping[str, Tensor], x: Tensor, prefix: str, stride: int, stride_1x1: bool, eps: float) -> Tensor:
    def layer(value: Tensor, name: str, step: int = 1) -> Tensor:
        value = convolution(value, state[f"{prefix}.{name}.weight"], stride=(1, step, step))
        return norm_layer(state, value, f"{prefix}.{name}_bn", eps=eps)

    branch = F.relu(layer(x, "branch2.a", stride if stride_1x1 else 1))
    branch = F.relu(layer(branch, "branch2.b", 1 if stride_1x1 else stride))
    branch = layer(branch, "branch2.c")
    shortcut = layer(x, "branch1", stride) if f"{prefix}.branch1.weight" in state else x
    return F.relu(shortcut + branch)


def _head_pool(x: Tensor, cfg: Mapping) -> Tensor:
    if cfg["MULTIGRID"]["SHORT_CYCLE"]:
        return x.mean((2, 3, 4), keepdim=True)
    size = cfg["DATA"]["TRAIN_CROP_SIZE"] // 32
    return F.avg_pool3d(x, (cfg["DATA"]["NUM_FRAMES"] // POOL1[cfg["MODEL"]["ARCH"]], size, size), stride=1)


def scores(state: Mapping[str, Tensor], cfg: str | Mapping, x_BCTHW: Tensor) -> Tensor:
    """The output when testing (B, K): MODEL.HEAD_ACT at every position, then their mean."""
    at_positions = logits(state, cfg, x_BCTHW)
    act = {"softmax": lambda value: value.softmax(1), "sigmoid": torch.sigmoid}[_read(cfg)["MODEL"]["HEAD_ACT"]]
    return act(at_positions).mean((2, 3, 4))
