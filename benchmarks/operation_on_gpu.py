"""The operation on a GPU in half precision, beside its textbook form and PyTorch's fused attention.

    python benchmarks/operation_on_gpu.py                     # every shape, bfloat16
    python benchmarks/operation_on_gpu.py res3 --dtype float16

Shapes are (B, N, M, C = D) of the networks' blocks: res3 and res4 of eight 32x2 clips and of one 128x1 clip, and larger
ones. Times are medians of CUDA events in milliseconds, warm, forward and forward with backward; memory is the peak
above the operands in MiB. "Textbook" is equation 1 with its N x M matrix in the operands' dtype, as other libraries
have it. On small shapes eager times are the host's, not the card's: each launch costs it some microseconds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from nonlocalnet import functional
from nonlocalnet.functional.algorithms import PRODUCT, RELU, SOFTMAX, case_of, choose

SHAPES = {
    "res3": (8, 6272, 1568, 256),
    "res4": (8, 1568, 392, 512),
    "res3-128": (1, 25088, 6272, 256),
    "res4-128": (1, 6272, 1568, 512),
    "square": (8, 6272, 6272, 256),
    "wide": (1, 25088, 6272, 512),
}
TABLES = {"embedded_gaussian": SOFTMAX, "dot_product": PRODUCT, "concatenation": RELU}
Operation = Callable[..., Tensor]


def textbook(pairwise: str) -> Operation:
    """Equation 1 with its matrix, as the formulas read."""

    def run(theta: Tensor, phi: Tensor, g: Tensor, w_f: Tensor) -> Tensor:
        if pairwise == "embedded_gaussian":
            return torch.softmax(theta @ phi.mT, dim=-1) @ g
        if pairwise == "dot_product":
            return (theta @ phi.mT / phi.shape[1]) @ g
        half = theta.shape[2]
        pairs = (theta @ w_f[:half]).unsqueeze(2) + (phi @ w_f[half:]).unsqueeze(1)
        return (torch.relu(pairs) / phi.shape[1]) @ g

    return run


def ours(pairwise: str) -> Operation:
    """The library's function."""

    def run(theta: Tensor, phi: Tensor, g: Tensor, w_f: Tensor) -> Tensor:
        last = (w_f,) if pairwise == "concatenation" else ()
        return getattr(functional, pairwise)(theta, phi, g, *last)

    return run


def fused_attention(theta: Tensor, phi: Tensor, g: Tensor, _w_f: Tensor) -> Tensor:
    """PyTorch's own: cuDNN's kernel, then flash attention."""
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION], set_priority=True):
        q, k, v = (part.unsqueeze(1) for part in (theta, phi, g))
        return F.scaled_dot_product_attention(q, k, v, scale=1.0).squeeze(1)


def operands(shape: tuple[int, int, int, int], dtype: torch.dtype, *, trained: bool) -> list[Tensor]:
    """theta, phi, g and w_f; the logits have a standard deviation of 1."""
    batch, rows, keys, channels = shape
    sizes = ((batch, rows, channels), (batch, keys, channels), (batch, keys, channels), (2 * channels,))
    scales = (channels**-0.5, 1.0, 1.0, channels**-0.5)
    return [
        (torch.randn(size, device="cuda") * scale).to(dtype).requires_grad_(trained)
        for size, scale in zip(sizes, scales, strict=True)
    ]


def milliseconds(call: Callable[[], object], *, repeats: int) -> float:
    """The median over warm calls."""
    for _ in range(10):
        call()
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for begin, end in events:
        begin.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in events)


def peak_mib(call: Callable[[], object]) -> float:
    """The highest memory above what is held."""
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - held) / 2**20


def cost(operation: Operation, shape: tuple[int, int, int, int], dtype: torch.dtype, *, repeats: int) -> str:
    """Forward, forward with backward, and their peaks."""
    parts = operands(shape, dtype, trained=False)
    trained = operands(shape, dtype, trained=True)
    upstream = torch.randn_like(operation(*parts))

    def both() -> object:
        return torch.autograd.grad(operation(*trained), trained, upstream, allow_unused=True)

    calls = (lambda: operation(*parts), both)
    times = [milliseconds(call, repeats=repeats) for call in calls]
    peaks = [peak_mib(call) for call in calls]
    return f"{times[0]:.3f}, {times[1]:.3f} ({peaks[0]:.0f}, {peaks[1]:.0f})"


def main() -> None:
    """Parse the options and print a row for each shape and function."""
    parser = argparse.ArgumentParser(description="The operation on a GPU against its textbook form.")
    parser.add_argument("shapes", nargs="*", help=f"of {', '.join(SHAPES)}; all by default")
    parser.add_argument("--dtype", choices=("bfloat16", "float16"), default="bfloat16", help="of the operands")
    parser.add_argument("--repeats", type=int, default=50, help="timed calls")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled textbook form out")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here")
    dtype = getattr(torch, options.dtype)
    console = Console(width=200)
    title = (
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, {options.dtype}: ms forward, with backward (MiB)"
    )
    table = Table(title=title, title_justify="left")
    for column in ("shape", "function", "form", "ours", "textbook", "textbook, compiled", "fused attention"):
        table.add_column(column)
    for name in options.shapes or SHAPES:
        shape = SHAPES[name]
        for pairwise, forms in TABLES.items():
            parts = operands(shape, dtype, trained=False)
            form = choose(forms, case_of(parts[0], parts[2], dtype=dtype, masked=False)).form
            ways = [ours(pairwise), textbook(pairwise)]
            if not options.no_compile:
                torch._dynamo.reset()
                ways.append(torch.compile(textbook(pairwise)))
            if pairwise == "embedded_gaussian" and shape[3] <= 256:
                ways.append(fused_attention)
            cells = [cost(way, shape, dtype, repeats=options.repeats) for way in ways]
            table.add_row(name, pairwise, form, *cells)
            console.print(name, pairwise, form, *cells, highlight=False)  # as it comes: a run takes minutes
    console.print(table)


if __name__ == "__main__":
    main()
