"""Which dtype a sum is taken in, and the two contexts that change it: autocast and export."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def result_dtype(*tensors: Tensor) -> torch.dtype:
    """The dtype of a result: the operands' own; where autocast let them differ, the one that holds them all."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which results of `dtype` are accumulated: float32 for float16 and bfloat16, else its own.

    A float16 logit or sum over M positions passes 65504 on ordinary features, and bfloat16 keeps 8 bits of it.
    """
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def autocast_is_on(tensor: Tensor) -> bool:
    """Whether autocast is enabled for the tensor's device (never for "meta", which has none)."""
    device_type = tensor.device.type
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which products keep the dtype of their operands (autocast would take float32 back to float16)."""
    return torch.autocast(tensor.device.type, enabled=False) if autocast_is_on(tensor) else nullcontext()


def is_exporting() -> bool:
    """Whether `torch.export` or `torch.onnx.export` is tracing: then only operators every runtime has are used."""
    return torch.compiler.is_exporting()
