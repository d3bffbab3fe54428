"""Which dtype a sum is taken in, the contexts that change it (autocast and export), and products in half precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def result_dtype(*tensors: Tensor) -> torch.dtype:
    """The dtype of a result: the operands' own; where autocast let them differ, the one that holds them all."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        if tensor.dtype != dtype:
            dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which results of `dtype` are accumulated: float32 for float16 and bfloat16, else its own.

    A float16 logit or sum over M positions passes 65504 on ordinary features, and bfloat16 keeps 8 bits of it.
    """
    return torch.float32 if dtype in HALF else dtype


def in_dtype(dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in a dtype; those that are in it already as they are."""
    return tuple(tensor if tensor.dtype == dtype else tensor.to(dtype) for tensor in tensors)


def autocast_is_on(tensor: Tensor) -> bool:
    """Whether autocast is enabled for the tensor's device (never for "meta", which has none)."""
    device_type = tensor.device.type
    return device_type != "meta" and torch.is_autocast_enabled(device_type)


def may_meet(one: Tensor, other: Tensor) -> bool:
    """Whether a product takes both: of one dtype, or under autocast, which leaves float64 as it is."""
    if one.dtype == other.dtype:
        return True
    return autocast_is_on(one) and torch.float64 not in (one.dtype, other.dtype)


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which products keep the dtype of their operands (autocast would take float32 back to float16)."""
    return torch.autocast(tensor.device.type, enabled=False) if autocast_is_on(tensor) else nullcontext()


def is_exporting() -> bool:
    """Whether `torch.export`, `torch.onnx.export` (either exporter) or `torch.jit.trace` is tracing.

    Then only operators that every runtime has are used: a program must load where this package is not installed.
    """
    return torch.compiler.is_exporting() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def wide_bmm(left: Tensor, right: Tensor) -> Tensor:
    """The batched product, accumulated and returned in float32 for half-precision operands, else in their own dtype.

    On a GPU the tensor cores do it (PyTorch 2.8 and newer); elsewhere half-precision operands are widened first.
    """
    if left.dtype not in HALF:
        return torch.bmm(left, right)
    if left.is_cuda and _HAS_WIDE_BMM:
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left.float(), right.float())


_HAS_WIDE_BMM = "dtype" in torch.ops.aten.bmm.overloads()
