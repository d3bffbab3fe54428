"""What `nonlocalnet inspect` says of a file beside its network."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.formats import LoadReport, Plan
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models import VideoResNet


def show_file(console: Console, plan: Plan, report: LoadReport) -> None:
    """The format, where everything comes from, and what is not used."""
    card = plan.card
    table = Table(title=plan.path, title_justify="left", show_header=False)
    table.add_row("format", plan.format)
    table.add_row("architecture", plan.architecture)
    if card.recipe is not None:
        table.add_row("recipe", card.recipe["name"])
    names = card.class_names
    known = "names unknown" if names is None else ", ".join(names[:8]) + (", ..." if names[8:] else "")
    table.add_row("classes", f"{plan.arguments['num_classes']}: {known}")
    table.add_row("preprocessing", ", ".join(f"{key} {value}" for key, value in asdict(card.preprocessing).items()))
    published = (card.results or {}).get("published")
    if published:
        table.add_row("published", ", ".join(f"{name} {value}%" for name, value in published.items()))
    if card.licence:
        table.add_row("licence", card.licence)
    for statement in plan.statements:
        table.add_row("derived", statement)
    for text in _not_used(plan, report):
        table.add_row("not used", text)
    for title, problems in (("missing", report.missing), ("mismatched", report.mismatched)):
        for problem in problems:
            table.add_row(title, problem)
    if report.not_finite:
        table.add_row("NaN or infinity", ", ".join(report.not_finite))
    console.print(table)


def show_blocks(console: Console, model: VideoResNet) -> None:
    """The non-local blocks and their options."""
    blocks = nonlocal_blocks(model)
    if not blocks:
        return
    table = Table(title="Non-local blocks", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("after", "pairwise", "scale", "channels", "pooled", "groups", "norm"):
        table.add_column(column, no_wrap=True)
    for path, block in blocks.items():
        order = "before" if block.subsample_first else "after"  # phi and g
        pool = "x".join(map(str, block.pool_kernel))
        table.add_row(
            path.removesuffix("_nonlocal"),
            block.pairwise,
            str(block.scale) if block.pairwise.endswith("gaussian") else "1 / M",
            f"{block.channels}/{block.inner_channels}",
            f"{pool} {order}" if max(block.pool_kernel) > 1 else "none",
            "none" if block.temporal_group_frames is None else f"{block.temporal_group_frames} frames",
            "none" if block.norm is None else "batch",
        )
    console.print(table)


def show_keys(console: Console, plan: Plan, report: LoadReport) -> None:
    """Every name of the file beside ours, or why it has none."""
    table = Table(title="Names", title_justify="left")
    table.add_column("in the file", overflow="fold")
    table.add_column("here", overflow="fold")
    for theirs, ours in report.loaded:
        table.add_row(theirs, ours)
    for theirs, reason in plan.dropped.items():
        table.add_row(theirs, f"(not used: {reason})")
    for problem in (*report.unused, *report.mismatched):
        table.add_row(problem.partition(" ")[0], f"(not used: {problem.partition(' ')[2]})")
    console.print(table)


def _not_used(plan: Plan, report: LoadReport) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in plan.dropped.items():
        reasons.setdefault(reason, []).append(name)
    shown = [f"{_some(names)}: {reason}" for reason, names in reasons.items()]
    return [*shown, *report.unused]


def _some(names: list[Any]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
