"""The non-local block alone on a GPU, forward and backward under bfloat16 autocast, beside a textbook block.

    python benchmarks/block.py                # the four places of the networks, three pairwise functions
    python benchmarks/block.py res3 --eager   # without compiling

The textbook block is the paper's figure as other libraries write it: 1x1x1 convolutions, the N x M matrix, no checks.
Both have subsampling (1, 2, 2) after phi and g and a BatchNorm; channels-last; milliseconds, medians of CUDA events.
"""

from __future__ import annotations

import argparse

import torch
from operation_on_gpu import milliseconds, textbook
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from nonlocalnet import NonLocalBlock
from nonlocalnet.functional import Pairwise

# (batch, channels, frames, height and width) of a block's input.
PLACES = {
    "res3": (8, 512, 8, 28),
    "res4": (8, 1024, 8, 14),
    "res3-128": (1, 512, 32, 28),
    "res4-128": (1, 1024, 32, 14),
}
PAIRWISE: tuple[Pairwise, ...] = ("embedded_gaussian", "dot_product", "concatenation")


class TextbookBlock(nn.Module):
    """The block with its matrix."""

    def __init__(self, channels: int, pairwise: str) -> None:
        super().__init__()
        inner = channels // 2
        self.theta, self.phi, self.g = (nn.Conv3d(channels, inner, 1) for _ in range(3))
        self.out, self.norm = nn.Conv3d(inner, channels, 1), nn.BatchNorm3d(channels)
        self.w_f = nn.Parameter(torch.randn(2 * inner) * 0.01)
        self.operation = textbook(pairwise)

    def forward(self, x: Tensor) -> Tensor:
        """Z = BatchNorm(W_z y) + x."""
        keys, values = (F.max_pool3d(features, (1, 2, 2)) for features in (self.phi(x), self.g(x)))
        rows = (features.flatten(2).transpose(1, 2) for features in (self.theta(x), keys, values))
        theta, phi, g = rows
        y = self.operation(theta, phi, g, self.w_f.to(theta.dtype))
        return x + self.norm(self.out(y.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])))


def time_of(block: nn.Module, shape: tuple[int, int, int, int], *, compiled: bool) -> float:
    """Milliseconds of a forward and backward pass."""
    batch, channels, frames, side = shape
    block = block.cuda().to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
    x = torch.randn(batch, channels, frames, side, side, device="cuda", dtype=torch.bfloat16)
    x = x.contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    upstream = torch.randn_like(x)
    torch._dynamo.reset()
    run = torch.compile(block) if compiled else block

    def both() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            z = run(x)
        z.backward(upstream.to(z.dtype))

    return milliseconds(both, repeats=50)


def main() -> None:
    """Parse the options and print the table."""
    parser = argparse.ArgumentParser(description="The block alone on a GPU against a textbook block.")
    parser.add_argument("places", nargs="*", help=f"of {', '.join(PLACES)}; all by default")
    parser.add_argument("--eager", action="store_true", help="leave the compiled blocks out")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here")
    console = Console(width=160)
    table = Table(title=f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, ms", title_justify="left")
    for column in ("place", "function", "ours", "textbook", "ours, compiled", "textbook, compiled"):
        table.add_column(column, justify="right")
    for place in options.places or PLACES:
        shape = PLACES[place]
        for pairwise in PAIRWISE:
            compilations = (False,) if options.eager else (False, True)
            cells = [
                f"{time_of(block, shape, compiled=compiled):.2f}"
                for compiled in compilations
                for block in (
                    NonLocalBlock(shape[1], pairwise=pairwise, subsample=(1, 2, 2)),
                    TextbookBlock(shape[1], pairwise),
                )
            ]
            table.add_row(place, pairwise, *cells)
            console.print(place, pairwise, *cells, highlight=False)  # as it comes: compiling takes minutes
    console.print(table)


if __name__ == "__main__":
    main()
