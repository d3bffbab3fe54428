"""Training steps on random clips: clips per second, peak memory, and the share of the matrix peak that is reached.

    python benchmarks/training.py                          # C2D-50, NL C2D-50, NL I3D-50, 32x2 clips, batch 8
    python benchmarks/training.py nl_i3d_r101_5block_128frames --batch 1 --recompute
    python benchmarks/training.py --quick                  # tiny, to see that it runs

Eager float32 in the default memory order is the base; then channels-last, bfloat16 and torch.compile come on top of
each other. The share of the peak is 6 x multiply-adds x clips per second (forward and twice that backward, 2 operations
each) over what a large matrix product of the same type reaches here, in the same run. Videos are not read: that is
`input.py`. Memory is the highest allocated by PyTorch on a CUDA device; on a CPU it is the growth of the process, which
later ways of one network cannot fall below, so the first one is the number.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.estimate import estimate_memory
from nonlocalnet.engine.optim import build_optimizer, freeze
from nonlocalnet.models import summarise
from nonlocalnet.recipes import video_recipe
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import adapt_network, build_model, parts_of

NETWORKS = ("c2d_r50", "nl_c2d_r50_5block", "nl_i3d_r50_5block")
WAYS = {
    "float32, eager": TrainerConfig(),
    "+ channels-last": TrainerConfig(channels_last=True),
    "+ bf16": TrainerConfig(channels_last=True, precision="bf16-mixed"),
    "+ compile": TrainerConfig(channels_last=True, precision="bf16-mixed", compile=True),
    "+ CUDA graphs": TrainerConfig(
        channels_last=True, precision="bf16-mixed", compile=True, compile_mode="reduce-overhead"
    ),
}


@dataclass(frozen=True)
class Cost:
    """One way of training one network."""

    clips_per_second: float
    peak_gib: float


def prepare_step(
    case: VideoRecipe, trainer: TrainerConfig, *, batch: int, device: torch.device
) -> Callable[[], object]:
    """A whole step: forward, backward, optimiser, on clips that are on the device already."""
    model = build_model(case).to(device)
    frozen = freeze(model, case.optim, parts_of(model))
    optimizer = build_optimizer(model, case.optim, parts_of(model))
    adapt_network(model.train(), trainer)
    for norm in frozen:
        norm.eval()
    crop = case.model.crop
    x = torch.randn(batch, 3, clip_geometry(case).frames, crop, crop, device=device)
    if trainer.channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    labels = torch.randint(case.model.num_classes, (batch,), device=device)
    bf16 = trainer.precision == "bf16-mixed"

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(x)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(step: Callable[[], object], *, batch: int, device: torch.device, seconds: float) -> Cost:
    """Run for some time after the steps that set things up; the median step counts."""
    before = _resident_gib()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(4):  # CUDA graphs are recorded in the third
        step()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        _wait(device)
        start = time.perf_counter()
        step()
        _wait(device)
        times.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else _resident_gib() - before
    return Cost(batch / sorted(times)[len(times) // 2], peak)


def matrix_peak(dtype: torch.dtype, *, device: torch.device) -> float:
    """Operations per second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(6):
        _wait(device)
        start = time.perf_counter()
        torch.matmul(a, b)
        _wait(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def compare(case: VideoRecipe, options: argparse.Namespace, console: Console, *, device: torch.device) -> None:
    """Print the table of one network."""
    crop, frames = case.model.crop, clip_geometry(case).frames
    with torch.device("meta"):
        model = build_model(case)
    flops = summarise(model, (1, 3, frames, crop, crop)).flops
    for norm in freeze(model, case.optim, parts_of(model)):
        norm.eval()
    estimate = estimate_memory(model, (options.batch, 3, frames, crop, crop), recompute=options.recompute)
    title = f"{case.name}, {options.batch} clips of {frames}x{crop}x{crop}, {_device_name(device)}"
    table = Table(title=title, title_justify="left")
    for column in ("way", "clips/s", "times faster", "peak GiB", "share of matrix peak"):
        table.add_column(column, justify="left" if column == "way" else "right")
    base: Cost | None = None
    for name, trainer in WAYS.items():
        if name not in options.ways:
            continue
        step = prepare_step(case, replace(trainer, recompute=options.recompute), batch=options.batch, device=device)
        cost = measure(step, batch=options.batch, device=device, seconds=options.seconds)
        base = base or cost
        dtype = torch.float32 if trainer.precision == "32-true" else torch.bfloat16
        share = 6 * flops * cost.clips_per_second / matrix_peak(dtype, device=device)
        speed_up = cost.clips_per_second / base.clips_per_second
        table.add_row(name, f"{cost.clips_per_second:.3g}", f"{speed_up:.2f}", f"{cost.peak_gib:.2f}", f"{share:.0%}")
    console.print(table)
    console.print(f"estimated in float32, without workspaces: {estimate.total / 2**30:.2f} GiB", highlight=False)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _resident_gib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def main() -> None:
    """Parse the options and print a table for each network."""
    parser = argparse.ArgumentParser(description="Training steps: speed, memory, share of the matrix peak.")
    parser.add_argument("networks", nargs="*", help=f"recipes; {', '.join(NETWORKS)} by default")
    parser.add_argument("--batch", type=int, default=8, help="clips of a step")
    parser.add_argument("--recompute", action="store_true", help="keep the inputs of blocks alone")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="which ways to train")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each way")
    parser.add_argument("--quick", action="store_true", help="narrow networks and small clips, without compiling")
    options = parser.parse_args()
    device = choose_device("auto")
    console = Console(width=None if Console().is_terminal else 120)
    if device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        options.ways = [way for way in options.ways if WAYS[way].precision == "32-true"]
        console.print("this processor has no bfloat16 arithmetic: bfloat16 is left out")
    if device.type == "cpu":
        options.ways = [way for way in options.ways if way != "+ CUDA graphs"]
    if options.quick:
        options.batch, options.seconds = min(options.batch, 2), 0.1
        options.ways = [way for way in options.ways if not WAYS[way].compile]
    for name in options.networks or NETWORKS:
        case = video_recipe(name)
        if options.quick:
            model = replace(case.model, width=8, crop=64)
            case = replace(
                case, model=model, data=replace(case.data, clip_frames=max(8, clip_geometry(case).frames // 4))
            )
        compare(case, options, console, device=device)


if __name__ == "__main__":
    main()
