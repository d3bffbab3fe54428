"""`nonlocalnet inspect FILE|RECIPE|NETWORK`: what a network is made of, and what it costs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from rich.console import Console
from rich.table import Table

from nonlocalnet.commands.options.asked import add_asked, asked_of
from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.commands.show_file import show_blocks, show_file, show_keys
from nonlocalnet.data.clips.sampling import parse_clip
from nonlocalnet.engine.config import Architecture, ModelConfig, Recipe
from nonlocalnet.formats import ARCHITECTURES, load, plan_file
from nonlocalnet.models import ModelSummary, VideoResNet, summarise
from nonlocalnet.recipes import recipe as find_recipe
from nonlocalnet.runs.video.train import build_model, clip_geometry


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet inspect TARGET`."""
    parser = make_parser(
        "inspect",
        "Show a network's layers, blocks, parameters and multiply-adds.",
        usage="nonlocalnet inspect FILE|RECIPE|NETWORK [options]",
    )
    parser.add_argument("target", help=f"a checkpoint file, a recipe, or a network: {', '.join(ARCHITECTURES)}")
    parser.add_argument("--keys", action="store_true", help="list every name of a file beside ours")
    add_asked(parser)
    parser.add_argument("--input", help="frames x height x width, such as 32x224x224; default: the training clip")
    parser.add_class_arguments(ModelConfig, "model", skip={"architecture"})
    target = argv[0] if argv else ""
    if target.startswith("-") and target not in ("-h", "--help"):
        raise ValueError(f"the file, recipe or network must come first: {parser.usage}, got {' '.join(argv)!r}")
    recipe = None if target in ("", "-h", "--help") else _recipe(target)
    if recipe is not None:
        values = dataclasses.asdict(recipe.model)
        parser.set_defaults({f"model.{name}": value for name, value in values.items() if name != "architecture"})
    parsed = parse(parser, argv)
    console = Console()
    if recipe is None:
        plan = plan_file(target, asked_of(parsed))
        if plan.arguments.get("num_classes") is None:
            plan = plan.with_classes(1)
        model, report = load(plan, strict=False)
        preprocessing = plan.card.preprocessing
        shape = (preprocessing.clip_frames, model.crop or preprocessing.crop, model.crop or preprocessing.crop)
        show_file(console, plan, report)
        if parsed["keys"]:  # the attribute is the mapping's method
            show_keys(console, plan, report)
        show_blocks(console, model)
    else:
        config = ModelConfig(architecture=recipe.model.architecture, **parsed.model.as_dict())
        with torch.device("meta"):
            model = build_model(dataclasses.replace(recipe, model=config))
        own_clip = clip_geometry(recipe) if config.clip == recipe.model.clip else parse_clip(config.clip)
        shape = (own_clip.frames, config.crop, config.crop)
        show_blocks(console, model)
    if parsed.input is not None:
        shape = _parse_input(parsed.input)
    show_network(console, model, summarise(model, (1, 3, *shape)))
    return 0


def _recipe(target: str) -> Recipe | None:
    """The recipe of that name, one made of the network of that name, or None for a file."""
    if target in ARCHITECTURES:
        return Recipe(target, model=ModelConfig(architecture=cast(Architecture, target)))
    if Path(target).exists():
        return None
    try:
        return find_recipe(target)
    except ValueError as error:
        if Path(target).suffix:
            raise FileNotFoundError(f"{target}: there is no such file") from None
        raise ValueError(f"{target!r} is neither a file nor a network, and {error}") from None


def _parse_input(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
    if match is None:
        raise ValueError(f"--input must be frames x height x width, such as 32x224x224, got {text!r}")
    frames, height, width = (int(part) for part in match.groups())
    return frames, height, width


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
