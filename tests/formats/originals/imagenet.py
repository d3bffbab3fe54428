"""The 2-D ImageNet ResNets that the authors' video networks start from (`r50_pretrain_c2_model_iter450450_clean.pkl`).

Where each fact stands in facebookresearch/video-nonlocal-net:
- lib/utils/checkpoints.py: a 4-D blob is stacked kT times along time and divided by kT; a `pred` of another size is
  not loaded; blobs that are missing are left as they were initialised.
- process_data/convert_models/modify_blob_rm.py: how a "clean" file is made: every blob whose name has `_rm`, `_riv`,
  `_momentum` or `pred`, and model_iter, removed; lr set to 0.01; flat, pickled with protocol 0. It has `_s` and
  `_b` alone and is *not* an affine model: they are BatchNorm's, whose statistics training estimates anew.
- lib/core/config.py: RESNETS.STRIDE_1X1 False: the stride in space on branch2b. The 2-D program itself is not released:
  its stem's padding is the caller's to say.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import caffe2
from .layers import convolution, max_pool, normalise


def make_blobs(
    *, depth: int = 50, width: int = 4, num_classes: int = 5, seed: int = 0, clean: bool = False
) -> caffe2.Blobs:
    """4-D blobs under the video networks' names, with random values; clean: what modify_blob_rm.py leaves of them."""
    blobs = caffe2.make_blobs(depth=depth, width=width, num_classes=num_classes, seed=seed, bookkeeping=False)
    flat = {name: blob[:, :, 0] if blob.ndim == 5 else blob for name, blob in blobs.items()}
    if not clean:
        return {"model_iter": 450450, "lr": np.array(1e-4, dtype=np.float32)} | flat
    return {"lr": 0.01} | {
        name: blob for name, blob in flat.items() if not name.endswith(("_rm", "_riv")) and "pred" not in name
    }


def logits(blobs: Mapping[str, np.ndarray], image_BCHW: Tensor, *, pool_padding: int = 0, eps: float = 1e-5) -> Tensor:
    """The 2-D network: (B, K), by one global average pool. pool_padding: the stem's max pool's."""

    def blob(name: str) -> Tensor:
        return torch.from_numpy(np.asarray(blobs[name]))

    def layer(x: Tensor, prefix: str, norm: str | None = None, stride: int = 1) -> Tensor:
        norm = norm or f"{prefix}_bn"
        scale, shift, mean, var = (blob(f"{norm}_{suffix}") for suffix in ("s", "b", "rm", "riv"))
        x = convolution(x, blob(f"{prefix}_w"), stride=stride)
        return normalise(x, scale=scale, shift=shift, mean=mean, var=var, eps=eps)

    x = F.relu(layer(image_BCHW, "conv1", "res_conv1_bn", 2))
    x = max_pool(x, (3, 3), (2, 2), pool_padding)
    for stage in (2, 3, 4, 5):
        i = 0
        while f"res{stage}_{i}_branch2a_w" in blobs:
            prefix, stride = f"res{stage}_{i}_branch", 2 if i == 0 and stage > 2 else 1
            branch = F.relu(layer(x, f"{prefix}2a"))
            branch = layer(F.relu(layer(branch, f"{prefix}2b", stride=stride)), f"{prefix}2c")
            x = F.relu(branch + (layer(x, f"{prefix}1", stride=stride) if i == 0 else x))
            i += 1
    return F.linear(x.mean((2, 3)), blob("pred_w").to(x.dtype), blob("pred_b").to(x.dtype))
