"""Inference without BatchNorm: each one folded into the convolution before it."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Names under which the networks of this package hold a convolution and the BatchNorm that follows it: stem and
# shortcuts, residual blocks, and W_z of a non-local block.
_PAIRS = (("conv", "norm"), ("conv1", "norm1"), ("conv2", "norm2"), ("conv3", "norm3"), ("out", "norm"))


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of a network for inference, in which no BatchNorm is left to compute.

    In evaluation mode BatchNorm is a scale and a shift of each channel; they go into the weights and the bias of the
    convolution before it. The outputs are the same up to rounding.

    Args:
        model: A network of this package; it is not changed.

    Returns:
        The copy, in eval mode. It cannot be trained further, and its state dict has other keys.
    """
    folded = copy.deepcopy(model).eval()
    for module in folded.modules():
        for conv_name, norm_name in _PAIRS:
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if isinstance(conv, _ConvNd) and isinstance(norm, _BatchNorm):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity().eval())
    return folded
