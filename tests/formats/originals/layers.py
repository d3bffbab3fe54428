"""Layers as functions of tensors, whatever the number of dimensions; and the operation of equation 1."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

_CONVOLUTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int | Sequence[int] = 1, padding: str = "centred"
) -> Tensor:
    """A convolution in x's number of dimensions; "centred" pads each dimension by half its kernel."""
    dims = x.dim() - 2
    amount = [size // 2 for size in weight.shape[2:]] if padding == "centred" else 0
    bias = None if bias is None else bias.to(x.dtype)
    return _CONVOLUTION[dims](x, weight.to(x.dtype), bias, stride=stride, padding=amount)


def normalise(x: Tensor, *, scale: Tensor, shift: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    """BatchNorm as it tests: with the stored mean and variance."""
    mean, var, scale, shift = (value.to(x.dtype) for value in (mean, var, scale, shift))
    return F.batch_norm(x, mean, var, scale, shift, training=False, eps=eps)


def affine(x: Tensor, *, scale: Tensor, shift: Tensor) -> Tensor:
    """A scale and a shift per channel."""
    shape = (1, -1) + (1,) * (x.dim() - 2)
    return x * scale.to(x.dtype).view(shape) + shift.to(x.dtype).view(shape)


def max_pool(x: Tensor, kernel: Sequence[int], stride: Sequence[int] | None = None, padding: int | Sequence[int] = 0):
    """Max pooling that drops the incomplete windows (floor), as every one of these programs does."""
    return _MAX_POOL[x.dim() - 2](x, tuple(kernel), tuple(stride or kernel), padding=padding, ceil_mode=False)


def pool_space(x: Tensor, *, space: int = 2) -> Tensor:
    """The blocks' subsampling: kernel and stride `space` over the last two dimensions, or a signal's only one."""
    dims = x.dim() - 2
    return max_pool(x, (1, space, space) if dims == 3 else (space,) * dims)


def attend(
    theta_BCN: Tensor, phi_BCM: Tensor, g_BDM: Tensor, *, pairwise: str, scale: float = 1.0, w_f: Tensor | None = None
) -> Tensor:
    """Equation 1 over whole tensors: y (B, D, N).

    pairwise is "gaussian" (equations 2 and 3 alike: they differ in what theta and phi are), "dot_product" or
    "concatenation"; scale multiplies the logits of the Gaussians, w_f (2C,) are the concatenation's weights.
    """
    if pairwise == "gaussian":
        f_BNM = torch.softmax(scale * (theta_BCN.transpose(1, 2) @ phi_BCM), dim=2)
    elif pairwise == "dot_product":
        f_BNM = theta_BCN.transpose(1, 2) @ phi_BCM / phi_BCM.shape[2]
    else:
        w_theta, w_phi = w_f.to(theta_BCN.dtype).flatten().chunk(2)
        sums_BNM = torch.einsum("c,bcn->bn", w_theta, theta_BCN)[:, :, None]
        sums_BNM = sums_BNM + torch.einsum("c,bcm->bm", w_phi, phi_BCM)[:, None, :]
        f_BNM = F.relu(sums_BNM) / phi_BCM.shape[2]
    return g_BDM @ f_BNM.transpose(1, 2)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max())
