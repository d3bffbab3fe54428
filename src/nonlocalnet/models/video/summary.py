"""Parameters and multiply-adds of a network, stage by stage and block by block, without running it on real data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nonlocalnet.models.video.trunk import VideoTrunk
from nonlocalnet.system.meta import meta_copy


@dataclass(frozen=True)
class SummaryRow:
    """One layer of the table.

    Attributes:
        path: Dotted path in the network, such as "res4" or "res4.4_nonlocal".
        kind: Name of the module's class.
        output_shape: Shape of its output, batch first; empty if it returned no tensor.
        params: Elements of its parameters.
        flops: Multiply-adds of its convolutions, linear layers and non-local products, for the whole batch.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    flops: int


@dataclass(frozen=True)
class ModelSummary:
    """What `summarise` returns; `str()` of it is a table.

    Attributes:
        input_shape: The input it was made for, batch first.
        params: Elements of all parameters.
        flops: Multiply-adds for the whole batch (half of what `torch.utils.flop_counter` reports).
        stages: One row for each layer of the network (stem, res2, ..., head).
        blocks: One row for each residual and non-local block, in the network's order.
        baseline: Summary of the plain C2D of the same depth, width, clip and variant; None for a network that is no
            `VideoTrunk`, and in a baseline itself.
    """

    input_shape: tuple[int, ...]
    params: int
    flops: int
    stages: tuple[SummaryRow, ...]
    blocks: tuple[SummaryRow, ...]
    baseline: ModelSummary | None = None

    @property
    def params_ratio(self) -> float | None:
        """Parameters over the baseline's, as Table 2e counts them."""
        return None if self.baseline is None else self.params / self.baseline.params

    @property
    def flops_ratio(self) -> float | None:
        """Multiply-adds over the baseline's, as Table 2e counts them."""
        return None if self.baseline is None else self.flops / self.baseline.flops

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("layer", "kind", "output", "params", "multiply-adds")]
        for stage in self.stages:
            rows.append(_cells(stage, indent=""))
            rows += [_cells(row, indent="  ") for row in self.blocks if row.path.startswith(f"{stage.path}.")]
        rows.append(("total", "", "", f"{self.params:,}", f"{self.flops:,}"))
        if self.baseline is not None:
            rows.append(("C2D", "", "", f"{self.baseline.params:,}", f"{self.baseline.flops:,}"))
            rows.append(("ratio", "", "", f"{self.params_ratio:.2f}x", f"{self.flops_ratio:.2f}x"))
        return _aligned(rows)


def summarise(model: nn.Module, input_shape: tuple[int, ...]) -> ModelSummary:
    """Count a network's parameters and multiply-adds.

    The network runs in evaluation mode as a copy on the meta device: nothing is computed, no weight is copied, and the
    network itself is not touched. Counted are convolutions, linear layers and the matrix products of the non-local
    operation, each multiply-add once, as the paper does; norms, pools and activations are not, as
    `torch.utils.flop_counter` has it. Each operation is counted as it is computed: dot product in the cheaper order of
    its products, concatenation by its sums.

    Args:
        model: Any network of one tensor.
        input_shape: Shape of its input, batch first; (1, 3, 32, 224, 224) for the paper's clip.

    Returns:
        The summary; for a video network with that of the plain C2D beside it.

    Raises:
        ValueError: If the network refuses an input of that shape.
    """
    summary = _count(model, tuple(input_shape))
    if not isinstance(model, VideoTrunk):
        return summary
    with torch.device("meta"):
        plain = VideoTrunk(
            depth=model.depth,
            num_classes=model.num_classes,
            clip=model.clip,
            variant=model.variant,
            width=model.width,
            crop=model.crop,
        )
    return replace(summary, baseline=_count(plain, summary.input_shape))


def _count(model: nn.Module, input_shape: tuple[int, ...]) -> ModelSummary:
    model = meta_copy(model).eval()
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def record_shape(module: nn.Module, _inputs: Any, output: Any) -> None:
        shapes[module] = tuple(output.shape) if isinstance(output, torch.Tensor) else ()

    for module in model.modules():
        module.register_forward_hook(record_shape)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.empty(input_shape, device="meta"))
    counts = counter.get_flop_counts()

    def row(path: str, module: nn.Module) -> SummaryRow:
        flops = sum(counts.get(f"{type(model).__name__}.{path}", {}).values()) // 2
        return SummaryRow(path, type(module).__name__, shapes.get(module, ()), _num_params(module), flops)

    return ModelSummary(
        input_shape=input_shape,
        params=_num_params(model),
        flops=counter.get_total_flops() // 2,
        stages=tuple(row(name, child) for name, child in model.named_children()),
        blocks=tuple(row(path, block) for path, block in _blocks(model)),
    )


def _blocks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of every `Sequential` of the network, with their paths."""
    for name, child in model.named_children():
        if isinstance(child, nn.Sequential):
            yield from ((f"{name}.{part_name}", part) for part_name, part in child.named_children())


def _num_params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _cells(row: SummaryRow, *, indent: str) -> tuple[str, ...]:
    shape = "x".join(map(str, row.output_shape[1:]))
    return (indent + row.path, row.kind, shape, f"{row.params:,}", f"{row.flops:,}")


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    return "\n".join(lines)
