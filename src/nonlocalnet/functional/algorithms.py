"""Which way of computing a pairwise function runs when: one table a function, read from the top.

Every form computes the same sum and is tested against the same loops. The figures are of one NVIDIA H200 in bfloat16,
forward, in ms, with (B, N, M, C = D): res3 of a 32x2 clip (8, 6272, 1568, 256), res4 (8, 1568, 392, 512).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nonlocalnet.functional import kernels
from nonlocalnet.functional.precision import HALF, is_exporting

SoftmaxForm = Literal["cudnn", "flash", "chunks", "matrix", "flash on a CPU", "blocks"]
ProductForm = Literal["half, matrix", "half, factored", "matrix", "factored"]
ReluForm = Literal["fused", "matrix", "sorted"]

# PyTorch's fused attention has kernels up to this head size; a multiple of 8 in half precision.
LARGEST_FUSED_HEAD = 256
# The fused kernel's work grows with N M, the sorted form's with N + M: they cross where N M is this many times N + M.
FUSED_RELU_UP_TO = 15_000


class Case(NamedTuple):
    """What decides.

    Attributes:
        device: "cpu", "cuda" or another type.
        half: whether the operands are float16 or bfloat16.
        capability: of a CUDA device, such as (9, 0); (0, 0) elsewhere.
        triton: whether our Triton kernels run on the device.
        rows: N.
        keys: M.
        channels: C.
        width: D.
        masked: whether keys are left out.
        exporting: whether torch.export or the ONNX exporter traces.
    """

    device: str
    half: bool
    capability: tuple[int, int]
    triton: bool
    rows: int
    keys: int
    channels: int
    width: int
    masked: bool
    exporting: bool


class Algorithm(NamedTuple):
    """One form.

    Attributes:
        form: its name.
        takes: the cases it is for, where no row above takes them.
        why: what it is good for, with its figure.
    """

    form: str
    takes: Callable[[Case], bool]
    why: str


SOFTMAX: tuple[Algorithm, ...] = (
    Algorithm("matrix", lambda c: c.exporting, "operators that every runtime has"),
    Algorithm(
        "cudnn",
        lambda c: _is_half_on_gpu(c) and _has_fused_head(c) and not c.masked and c.rows > 0 and c.capability >= (9, 0),
        "cuDNN's fused attention: no weight leaves the chip; res3 0.18 against the textbook's 0.35, flash 0.20",
    ),
    Algorithm(
        "flash",
        lambda c: _is_half_on_gpu(c) and _has_fused_head(c) and not c.masked and c.rows > 0 and c.capability >= (8, 0),
        "flash attention, where cuDNN's kernel is not the faster one",
    ),
    Algorithm(
        "chunks",
        lambda c: _is_half_on_gpu(c) and c.rows > 0,
        "half-precision products around a float32 softmax, in chunks that stay in the L2 cache: head sizes above 256, "
        "C != D, masks. Where one chunk holds all of it this is the textbook: at res4 its matrix is smaller than the "
        "operands, and the memory-efficient kernel's backward pass ran at 10 TFLOP/s",
    ),
    Algorithm(
        "matrix",
        lambda c: c.device not in ("cpu", "meta") and _matrix_is_small(c),
        "the textbook: the matrix is no larger than the operands beside it, and a compiler fuses what is around it",
    ),
    Algorithm(
        "flash on a CPU",
        lambda c: c.device == "cpu" and c.rows > 0 and c.channels == c.width > 0,
        "PyTorch's flash attention for CPUs, in float32 or float64: seconds on two threads, forward and backward, of a "
        "res3 map 0.23 against 0.28 for the blocks, of a sequence (1, 8192, 8192, 32) 0.50 against 0.77",
    ),
    Algorithm(
        "blocks",
        lambda _: True,
        "blocks of output positions, made again in the backward pass: C != D on a CPU, or only memory is counted",
    ),
)

PRODUCT: tuple[Algorithm, ...] = (
    Algorithm(
        "half, matrix",
        lambda c: _is_half_on_gpu(c) and not c.exporting and c.rows > 0 and _matrix_order_is_cheaper(c),
        "the cheaper order of the products, on the tensor cores",
    ),
    Algorithm(
        "half, factored",
        lambda c: _is_half_on_gpu(c) and not c.exporting and c.rows > 0,
        "theta (phi^T g / M) on the tensor cores: res3 0.09 against 0.36 in float32 and the textbook's 0.26",
    ),
    Algorithm(
        "matrix",
        lambda c: not c.exporting and _matrix_order_is_cheaper(c),
        "(theta phi^T / M) g costs less, and its matrix is smaller than the operands",
    ),
    Algorithm("factored", lambda _: True, "theta (phi^T g / M): (N + M) C D multiply-adds and no matrix"),
)

RELU: tuple[Algorithm, ...] = (
    Algorithm("matrix", lambda c: c.exporting, "a binary search has no ONNX operator"),
    Algorithm(
        "fused",
        lambda c: (
            _is_half_on_gpu(c) and c.triton and c.rows > 0 and c.rows * c.keys <= FUSED_RELU_UP_TO * (c.rows + c.keys)
        ),
        "weights made in registers, tile by tile: res3 0.12 against the textbook's 0.48 and the sorted form's 1.19",
    ),
    Algorithm(
        "matrix",
        lambda c: c.rows * c.keys <= (c.rows + c.keys) * c.width,
        "the matrix is smaller than g and y together: few positions, as in a time-only block",
    ),
    Algorithm("sorted", lambda _: True, "one sort, prefix sums and a binary search for each position: linear time"),
)


# Functions and not properties of Case: PyTorch up to 2.7 does not trace a property of a named tuple.
def _matrix_is_small(c: Case) -> bool:
    """Whether the N x M matrix has no more elements than the operands and the result beside it."""
    return c.rows * c.keys <= (c.rows + c.keys) * (c.channels + c.width)


def _has_fused_head(c: Case) -> bool:
    """Whether PyTorch's fused attention has a kernel for the head size, forward."""
    return c.channels == c.width and c.channels % 8 == 0 and c.channels <= LARGEST_FUSED_HEAD


def _is_half_on_gpu(c: Case) -> bool:
    """Whether the tensor cores take the operands as they are."""
    return c.device == "cuda" and c.half


def _matrix_order_is_cheaper(c: Case) -> bool:
    n, m = c.rows, c.keys
    return n * m * (c.channels + c.width) < (n + m) * c.channels * c.width


def case_of(queries_BNC: Tensor, g_BMD: Tensor, *, dtype: torch.dtype, masked: bool) -> Case:
    """The case of operands that will be computed in `dtype`."""
    rows = queries_BNC.shape[1] * (queries_BNC.shape[0] > 0)
    sizes = rows, g_BMD.shape[1], queries_BNC.shape[2], g_BMD.shape[2]
    return case_of_sizes(g_BMD.device, dtype, *sizes, masked=masked)


def case_of_sizes(
    device: torch.device, dtype: torch.dtype, rows: int, keys: int, channels: int, width: int, *, masked: bool
) -> Case:
    """The case of operands of these sizes on a device, computed in `dtype`."""
    return Case(
        device=device.type,
        half=dtype in HALF,
        capability=kernels.capability(device.type, device.index),
        triton=kernels.run_on(device.type, device.index),
        rows=rows,
        keys=keys,
        channels=channels,
        width=width,
        masked=masked,
        exporting=is_exporting(),
    )


def choose(table: tuple[Algorithm, ...], case: Case) -> Algorithm:
    """The first row of a table that takes a case; the last takes all."""
    for algorithm in table:
        if algorithm.takes(case):
            return algorithm
    raise AssertionError("the last row of a table takes every case")
