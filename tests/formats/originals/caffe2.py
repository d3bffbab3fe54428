"""video-nonlocal-net, the authors' Caffe2 release (facebookresearch/video-nonlocal-net).

Where each fact stands there:
- lib/models/resnet_video_org.py (32x2, 128x1) and resnet_video.py (8x8, 32x4): the stem's strides, the pools and that
  none is padded, the temporal kernels, the places of the blocks, the head: average pool (T', 7, 7) of stride 1, with T'
  from the configured clip, then `pred` at every position, a softmax per position, and the mean over W, H and T.
- lib/models/resnet_helper.py: 3x1x1, 1x3x3, 1x1x1; the stride in space on branch2b; ReLU after the sum; the non-local
  block after that ReLU.
- lib/models/nonlocal_helper.py: x is pooled before phi and g; the scale d^-0.5, for the softmax only; the dot product
  divided by the number of positions j; bias everywhere unless NONLOCAL.NO_BIAS; BN, an affine, or neither after `out`;
  temporal groups: T split into contiguous runs of 4 frames, moved into the batch (affine models, res3 only).
- caffe2_customized_ops/video/affine_nd_op.*: an affine is x * s + b.
- lib/core/config.py: eps 1.0000001e-5 (here 1e-5: the same in float32), BN momentum 0.9 in Caffe2's sense.
- lib/utils/checkpoints.py: what a checkpoint holds; it is saved by Python 2 with protocol 2 as {'blobs': ...}.
- process_data/convert_models/modify_caffe2_ftvideo.py: an affine file before fine-tuning: flat, protocol 0, no `pred`.
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import python2
from .draws import Draws
from .layers import BLOCKS, affine, attend, convolution, max_pool, normalise, pool_space

Blobs = dict[str, np.ndarray]

# {stage: after which residual blocks}: NONLOCAL.LAYER_MOD 2 (and what R101 makes of it), 1, and 5 without res3's.
PLACES: dict[tuple[int, int], dict[int, Sequence[int]]] = {
    (50, 0): {},
    (50, 1): {4: (4,)},
    (50, 5): {3: (1, 3), 4: (1, 3, 5)},
    (50, 10): {3: (0, 1, 2, 3), 4: (0, 1, 2, 3, 4, 5)},
    (101, 0): {},
    (101, 5): {3: (1, 3), 4: (6, 13, 20)},
}


@dataclass(frozen=True)
class Graph:
    """What a file of blobs does not say: facts of the program, fields so that a test can ignore one of them."""

    conv1_stride_t: int = 2
    pool1_kernel: tuple[int, int, int] = (2, 3, 3)
    pool1_stride: tuple[int, int, int] = (2, 2, 2)
    pool1_padding: tuple[int, int, int] = (0, 0, 0)
    stride_on: str = "branch2b"
    eps: float = 1e-5
    pairwise: str = "gaussian"
    scaled: bool = True
    subsample: bool = True
    pool_first: bool = True
    group_frames: int | None = 4
    head_size: int = 7


CLIPS = {
    "32x2": Graph(),
    "128x1": Graph(),
    "8x8": Graph(conv1_stride_t=1, pool1_kernel=(1, 3, 3), pool1_stride=(1, 2, 2)),
    "32x4": Graph(conv1_stride_t=1, pool1_kernel=(1, 3, 3), pool1_stride=(1, 2, 2)),
}


def temporal_kernels(depth: int, i3d: bool) -> dict[int, list[int]]:
    """The frames that each branch2a of stages 2 to 5 spans; stage 1 is conv1."""
    pattern = {2: (3,), 3: (3, 1), 4: (3, 1), 5: (1, 3)}
    counts = dict(zip((2, 3, 4, 5), BLOCKS[depth], strict=True))
    kernels = {
        stage: [pattern[stage][i % len(pattern[stage])] if i3d else 1 for i in range(counts[stage])] for stage in counts
    }
    return {1: [5 if i3d else 1]} | kernels


def shapes(
    *,
    depth: int = 50,
    i3d: bool = False,
    nonlocal_blocks: int | Mapping[int, Sequence[int]] = 0,
    affine: bool = False,
    nonlocal_norm: str | None = None,
    nonlocal_bias: bool = True,
    width: int = 64,
    num_classes: int = 400,
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every blob of the network, in the order of the graph.

    nonlocal_blocks is a number of blocks (0, 1, 5 or 10) or {stage: after which residual blocks}; nonlocal_norm is
    "bn", "affine" or "none" and follows the configurations where it is None: BN, or nothing in an affine model.
    """
    suffixes = ("s", "b") if affine else ("s", "b", "rm", "riv")
    norm_of = {"bn": ("s", "b", "rm", "riv"), "affine": ("s", "b"), "none": ()}
    nonlocal_suffixes = norm_of[nonlocal_norm or ("none" if affine else "bn")]
    places = PLACES[depth, nonlocal_blocks] if isinstance(nonlocal_blocks, int) else nonlocal_blocks
    kernels = temporal_kernels(depth, i3d)
    found: dict[str, tuple[int, ...]] = {}

    def layer(prefix: str, norm: str, shape: tuple[int, ...]) -> None:
        found[f"{prefix}_w"] = shape
        found.update({f"{norm}_{suffix}": (shape[0],) for suffix in suffixes})

    layer("conv1", "res_conv1_bn", (width, 3, kernels[1][0], 7, 7))
    channels = width
    for stage in (2, 3, 4, 5):
        inner, outer = width * 2 ** (stage - 2), width * 2**stage
        for i, span in enumerate(kernels[stage]):
            name = f"res{stage}_{i}_branch"
            layer(f"{name}2a", f"{name}2a_bn", (inner, channels, span, 1, 1))
            layer(f"{name}2b", f"{name}2b_bn", (inner, inner, 1, 3, 3))
            layer(f"{name}2c", f"{name}2c_bn", (outer, inner, 1, 1, 1))
            if i == 0:
                layer(f"{name}1", f"{name}1_bn", (outer, channels, 1, 1, 1))
            channels = outer
            if i in places.get(stage, ()):
                _nonlocal_shapes(found, f"nonlocal_conv{stage}_{i}", outer, nonlocal_suffixes, nonlocal_bias)
    return found | {"pred_w": (num_classes, channels), "pred_b": (num_classes,)}


def _nonlocal_shapes(found: dict, prefix: str, channels: int, suffixes: Sequence[str], bias: bool) -> None:
    for name in ("theta", "phi", "g", "out"):
        out, into = (channels, channels // 2) if name == "out" else (channels // 2, channels)
        found[f"{prefix}_{name}_w"] = (out, into, 1, 1, 1)
        if bias:
            found[f"{prefix}_{name}_b"] = (out,)
    found.update({f"{prefix}_bn_{suffix}": (channels,) for suffix in suffixes})


def make_blobs(
    *,
    depth: int = 50,
    i3d: bool = False,
    nonlocal_blocks: int | Mapping[int, Sequence[int]] = 0,
    affine: bool = False,
    nonlocal_norm: str | None = None,
    nonlocal_bias: bool = True,
    width: int = 4,
    num_classes: int = 5,
    seed: int = 0,
    pred_5d: bool = False,
    momentum: bool = False,
    bookkeeping: bool = True,
) -> dict:
    """A checkpoint's blobs with random values; the clip is not in it (it only sets strides).

    momentum adds the `_momentum` blobs of what is trained, bookkeeping `model_iter` (an int) and `lr` (an array without
    dimensions); pred_5d gives pred_w the shape of the testing graph's convolution.
    """
    draws = Draws(seed)
    wanted = shapes(
        depth=depth,
        i3d=i3d,
        nonlocal_blocks=nonlocal_blocks,
        affine=affine,
        nonlocal_norm=nonlocal_norm,
        nonlocal_bias=nonlocal_bias,
        width=width,
        num_classes=num_classes,
    )
    arrays = {name: _draw(draws, name, shape) for name, shape in wanted.items()}
    if pred_5d:
        arrays["pred_w"] = arrays["pred_w"].reshape(*arrays["pred_w"].shape, 1, 1, 1)
    blobs: dict = {}
    if bookkeeping:
        blobs |= {"model_iter": 400000, "lr": np.array(1e-4, dtype=np.float32)}
    if momentum:
        trained = [name for name in arrays if not name.endswith(("_rm", "_riv"))]
        trained = [name for name in trained if not (affine and name.endswith(("_s", "_bn_b")))]  # frozen
        blobs |= {f"{name}_momentum": np.zeros_like(arrays[name]) for name in trained}
    return blobs | arrays


def _draw(draws: Draws, name: str, shape: tuple[int, ...]) -> np.ndarray:
    block, kind = name.startswith("nonlocal"), name.rsplit("_", 1)[1]
    if kind == "w":
        if name == "pred_w":
            return draws.classifier(shape)
        if not block:
            return draws.convolution(shape)
        return draws.output(shape) if "_out_" in name else draws.embedding(shape)
    if kind == "s":
        return draws.scale(shape[0], last=block or "2c" in name)
    if kind == "rm":
        return draws.mean(shape[0])
    return draws.var(shape[0], small=block) if kind == "riv" else draws.shift(shape[0])


def write_pickle(
    path: str | Path, blobs: Mapping, *, wrapped: bool = True, protocol: int = 2, by_python2: bool = True
) -> Path:
    """Writes blobs as the release does ({'blobs': ...}, Python 2's protocol 2); by_python2=False: as Python 3 would."""
    path = Path(path)
    if not by_python2:
        path.write_bytes(pickle.dumps({"blobs": dict(blobs)} if wrapped else dict(blobs), protocol=protocol))
        return path
    made_with_a_literal = ("model_iter", "lr")
    named = {
        python2.Unicode(name) if name in made_with_a_literal or name.endswith("_momentum") else name: value
        for name, value in blobs.items()
    }
    path.write_bytes(python2.dumps({"blobs": named} if wrapped else named, protocol=protocol))
    return path


def logits(
    blobs: Mapping, x_BCTHW: Tensor, *, clip: str, graph: Graph | None = None, frames: int | None = None
) -> Tensor:
    """`pred` before its softmax, at every position of the head: (B, K, T', H', W'); x is already normalised.

    frames is the configuration's VIDEO_LENGTH, which sets the head's T' and the number of temporal groups; None takes
    the input's own. graph replaces CLIPS[clip].
    """
    return _Network(blobs, graph or CLIPS[clip]).logits(x_BCTHW, frames or x_BCTHW.shape[2])


def scores(
    blobs: Mapping, x_BCTHW: Tensor, *, clip: str, graph: Graph | None = None, frames: int | None = None
) -> Tensor:
    """The testing graph's output (B, K): a softmax at every position, then their mean."""
    return logits(blobs, x_BCTHW, clip=clip, graph=graph, frames=frames).softmax(1).mean((2, 3, 4))


class _Network:
    def __init__(self, blobs: Mapping, graph: Graph) -> None:
        self.blobs, self.graph = blobs, graph

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.blobs[name]))

    def norm(self, x: Tensor, prefix: str) -> Tensor:
        scale, shift = self[f"{prefix}_s"], self[f"{prefix}_b"]
        if f"{prefix}_riv" not in self.blobs:
            return affine(x, scale=scale, shift=shift)
        mean, var = self[f"{prefix}_rm"], self[f"{prefix}_riv"]
        return normalise(x, scale=scale, shift=shift, mean=mean, var=var, eps=self.graph.eps)

    def layer(self, x: Tensor, prefix: str, stride: int | tuple[int, int, int] = 1) -> Tensor:
        return self.norm(convolution(x, self[f"{prefix}_w"], stride=stride), f"{prefix}_bn")

    def residual(self, x: Tensor, prefix: str, stride: int) -> Tensor:
        strides = {self.graph.stride_on: (1, stride, stride)}
        branch = F.relu(self.layer(x, f"{prefix}_branch2a", strides.get("branch2a", 1)))
        branch = F.relu(self.layer(branch, f"{prefix}_branch2b", strides.get("branch2b", 1)))
        branch = self.layer(branch, f"{prefix}_branch2c")
        if f"{prefix}_branch1_w" in self.blobs:
            x = self.layer(x, f"{prefix}_branch1", (1, stride, stride))
        return F.relu(branch + x)

    def biased(self, x: Tensor, prefix: str) -> Tensor:
        bias = self[f"{prefix}_b"] if f"{prefix}_b" in self.blobs else None
        return convolution(x, self[f"{prefix}_w"], bias)

    def nonlocal_block(self, x: Tensor, prefix: str) -> Tensor:
        graph = self.graph
        pooled = pool_space(x) if graph.subsample and graph.pool_first else x
        theta, phi, g = (
            self.biased(x, f"{prefix}_theta"),
            self.biased(pooled, f"{prefix}_phi"),
            self.biased(pooled, f"{prefix}_g"),
        )
        if graph.subsample and not graph.pool_first:
            phi, g = pool_space(phi), pool_space(g)
        scale = theta.shape[1] ** -0.5 if graph.scaled else 1.0
        y = attend(theta.flatten(2), phi.flatten(2), g.flatten(2), pairwise=graph.pairwise, scale=scale)
        out = self.biased(y.view_as(theta), f"{prefix}_out")
        return x + (self.norm(out, f"{prefix}_bn") if f"{prefix}_bn_s" in self.blobs else out)

    def nonlocal_in_groups(self, x: Tensor, prefix: str, groups: int) -> Tensor:
        assert x.shape[2] % groups == 0
        parts = [self.nonlocal_block(part, prefix) for part in x.chunk(groups, dim=2)]
        return torch.cat(parts, dim=2)

    def logits(self, x: Tensor, frames: int) -> Tensor:
        graph = self.graph
        x = convolution(x, self["conv1_w"], stride=(graph.conv1_stride_t, 2, 2))
        x = F.relu(self.norm(x, "res_conv1_bn"))
        x = max_pool(x, graph.pool1_kernel, graph.pool1_stride, graph.pool1_padding)
        head_frames = frames // (graph.conv1_stride_t * graph.pool1_stride[0] * 2)
        affine_model = not any(name.endswith("_riv") for name in self.blobs)
        in_groups = affine_model and graph.group_frames and any("nonlocal_conv3" in name for name in self.blobs)
        groups = head_frames // graph.group_frames if in_groups else 1
        assert not in_groups or head_frames % graph.group_frames == 0, "the program asserts it too"
        for stage in (2, 3, 4, 5):
            i = 0
            while f"res{stage}_{i}_branch2a_w" in self.blobs:
                x = self.residual(x, f"res{stage}_{i}", 2 if i == 0 and stage > 2 else 1)
                if (prefix := f"nonlocal_conv{stage}_{i}") + "_theta_w" in self.blobs:
                    x = self.nonlocal_in_groups(x, prefix, groups if stage == 3 else 1)
                i += 1
            if stage == 2:
                x = max_pool(x, (2, 1, 1))
        x = F.avg_pool3d(x, (head_frames, graph.head_size, graph.head_size), stride=1)
        weight = self["pred_w"].to(x.dtype).flatten(1)
        return torch.einsum("kc,bcthw->bkthw", weight, x) + self["pred_b"].to(x.dtype).view(1, -1, 1, 1, 1)
