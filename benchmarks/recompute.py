"""Peak memory and time of one training step with and without activation checkpointing, on the CPU.

    python benchmarks/recompute.py                                    # NL I3D-101, one clip of 128x224x224
    python benchmarks/recompute.py nl_c2d_r50_5block --quick          # tiny, to see that it runs

Each way is one forward and backward pass in a fresh process (`measure.py`): the memory is what it needs above the
network and the clip, gradients of the weights included. On a CUDA device `training.py --recompute` measures the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
from measure import measure
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from nonlocalnet.engine.estimate import estimate_memory
from nonlocalnet.engine.optim import freeze
from nonlocalnet.engine.recompute import recompute_blocks
from nonlocalnet.models import VideoResNet
from nonlocalnet.recipes import video_recipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import build_model, parts_of


def build(name: str, *, quick: bool) -> tuple[VideoResNet, tuple[int, ...]]:
    """The network as it trains, and the shape of one clip."""
    case = video_recipe(name)
    if quick:
        case = replace(case, model=replace(case.model, width=8, crop=64))
    model = build_model(case).train()
    for norm in freeze(model, case.optim, parts_of(model)):
        norm.eval()
    return model, (1, 3, clip_geometry(case).frames, case.model.crop, case.model.crop)


def prepare(name: str, recompute: bool, quick: bool) -> Callable[[], object]:
    """The step to measure."""
    model, shape = build(name, quick=quick)
    if recompute:
        recompute_blocks(model)
    clip, label = torch.randn(shape), torch.zeros(1, dtype=torch.long)
    return lambda: F.cross_entropy(model(clip), label).backward()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Memory and time of activation checkpointing.")
    parser.add_argument("recipe", nargs="?", default="nl_i3d_r101_5block_128frames")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch threads")
    parser.add_argument("--quick", action="store_true", help="a narrow network on a small clip")
    options = parser.parse_args()
    with torch.device("meta"):
        model, shape = build(options.recipe, quick=options.quick)
    title = f"{options.recipe}, one clip of {'x'.join(map(str, shape[2:]))}, float32, {options.threads} threads"
    table = Table(title=title, title_justify="left")
    for column in ("", "peak MiB", "estimated MiB", "seconds"):
        table.add_column(column, justify="right" if column else "left")
    for recompute in (False, True):
        cost = measure(prepare, options.recipe, recompute, options.quick, threads=options.threads, repeats=0)
        estimate = estimate_memory(model, shape, recompute=recompute)
        counted = (estimate.features + estimate.gradients) / 2**20
        name = "blocks recomputed" if recompute else "all features kept"
        table.add_row(name, f"{cost.peak_mib:.0f}", f"{counted:.0f}", f"{cost.seconds:.1f}")
    Console(width=None if Console().is_terminal else 120).print(table)


if __name__ == "__main__":
    main()
