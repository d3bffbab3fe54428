"""What `nonlocalnet inspect` says of a network: of a recipe's, or of that in a file of weights."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from nonlocalnet.data.clips.windows import parse_clip
from nonlocalnet.formats import LoadPlan, LoadReport, OpenedFile, load, plan_file
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models import ModelSummary, VideoResNet, summarise
from nonlocalnet.runs.video.config import ModelConfig, VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import build_model
from nonlocalnet.runs.video.options import asked_of, parse_size, require_clip_used


def show_recipe(console: Console, recipe: VideoRecipe, *, model: ModelConfig, size: str | None) -> None:
    """Print the layers, blocks and costs of a recipe's network.

    Args:
        console: Where to.
        recipe: The recipe; its weights are not needed.
        model: Its network, perhaps with other fields.
        size: The input's frames x height x width, such as 32x224x224; None for the training clip.
    """
    with torch.device("meta"):
        network = build_model(dataclasses.replace(recipe, model=model))
    clip = clip_geometry(recipe) if model.clip == recipe.model.clip else parse_clip(model.clip)
    show_blocks(console, network)
    shape = (clip.frames, model.crop, model.crop) if size is None else parse_size(size)
    show_network(console, network, summarise(network, (1, 3, *shape)))


def show_file(console: Console, opened: OpenedFile, parsed: Namespace) -> None:
    """Print what a file of weights holds, and its network.

    Args:
        console: Where to.
        opened: Anything that `from_checkpoint` opens.
        parsed: What `nonlocalnet.runs.video.options.add_asked` added; also `input`, the size as in
            `show_recipe`, and `list_keys`: whether to list every name of the file.

    Raises:
        ValueError: It is not understood, or leaves something open.
    """
    asked = asked_of(parsed)
    plan = plan_file(opened, asked)
    require_clip_used(plan, asked, instead="; --input says the input's size")
    if plan.arguments.get("num_classes") is None:
        plan = plan.with_classes(1)
    model, report = load(plan, strict=False)
    preprocessing = plan.card.preprocessing
    crop = model.crop or preprocessing.crop
    _show_plan_of_file(console, plan, report)
    if parsed.list_keys:
        show_keys(console, plan, report)
    show_blocks(console, model)
    shape = (preprocessing.clip_frames, crop, crop) if parsed.input is None else parse_size(parsed.input)
    show_network(console, model, summarise(model, (1, 3, *shape)))


def show_network(console: Console, model: VideoResNet, summary: ModelSummary) -> None:
    """Print the table of a network's layers, blocks and costs."""
    shape = "x".join(map(str, summary.input_shape[2:]))
    title = f"{model.architecture}, {model.variant}, {model.clip}, for one clip of {shape}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("layer", "kind", "output"):
        table.add_column(column, no_wrap=True)
    for column in ("parameters", "multiply-adds"):
        table.add_column(column, justify="right", no_wrap=True)
    for stage in summary.stages:
        for row in (stage, *(block for block in summary.blocks if block.path.startswith(f"{stage.path}."))):
            indent = "" if row is stage else "  "
            style = "bold" if row.kind == "NonLocalBlock" else None
            output = "x".join(map(str, row.output_shape[1:]))
            table.add_row(indent + row.path, row.kind, output, f"{row.params:,}", _millions(row.flops), style=style)
    table.add_section()
    table.add_row("total", "", "", f"{summary.params:,}", _millions(summary.flops), style="bold")
    if summary.baseline is not None:
        base = summary.baseline
        table.add_row(f"plain C2D-{model.depth}", "", "", f"{base.params:,}", _millions(base.flops))
        # One digit is what Table 2e prints.
        ratios = [f"{ratio:.1f}x ({ratio:.3f})" for ratio in (summary.params_ratio, summary.flops_ratio)]
        table.add_row("ratio", "", "", *ratios)
    console.print(table)


def _millions(flops: int) -> str:
    return f"{flops / 1e6:,.1f} M"


def _show_plan_of_file(console: Console, plan: LoadPlan, report: LoadReport) -> None:
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
    table.add_row(
        "preprocessing", ", ".join(f"{key} {value}" for key, value in dataclasses.asdict(card.preprocessing).items())
    )
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
            str(block.scale) if row_of(block.pairwise).is_softmax else "1 / M",
            f"{block.channels}/{block.inner_channels}",
            f"{pool} {order}" if max(block.pool_kernel) > 1 else "none",
            "none" if block.temporal_group_frames is None else f"{block.temporal_group_frames} frames",
            "none" if block.norm is None else "batch",
        )
    console.print(table)


def show_keys(console: Console, plan: LoadPlan, report: LoadReport) -> None:
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


def _not_used(plan: LoadPlan, report: LoadReport) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in plan.dropped.items():
        reasons.setdefault(reason, []).append(name)
    shown = [f"{_some(names)}: {reason}" for reason, names in reasons.items()]
    return [*shown, *report.unused]


def _some(names: list[Any]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
