"""30-view testing of one 10-second video, decoding and network together, against decoding once a view.

    python benchmarks/testing.py [--quick] [--network nl_i3d_r50_5block] [--threads N]

Ten clips of 32 frames at stride 2, three crops of 256 each. The plain way decodes every view's clip for itself and runs
the network in float32 in PyTorch's default memory order, one view after the other, as a straightforward script does.
Ours decodes the video once for all views; then the arithmetic changes step by step: channels-last memory order,
BatchNorm folded, compiled, bfloat16. Each ratio is against the plain way in the same run. The shift is that of the
scores' differences from their mean over the classes, in norm; weights are random, so it is that of an untrained
network. Compiling is not counted; the table says how long it took. On a CUDA device if there is one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from input import write_moving_scene
from rich.console import Console
from rich.table import Table
from torch import nn

from nonlocalnet.data.annotations import VideoEntry, VideoList
from nonlocalnet.data.clips.views import cut_views
from nonlocalnet.data.clips.windows import evenly_spaced_clips
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.data.video.reader import count_frames, read_frames
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.models import VideoResNet
from nonlocalnet.recipes import video_recipe
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import build_test_videos, clip_geometry
from nonlocalnet.runs.video.inference import Inference, InferenceModel, for_inference, views_at_once
from nonlocalnet.runs.video.network import build_model

# What is tried, in order; the first is the plain way.
WAYS: dict[str, Inference] = {
    "decoded once, default memory order": Inference(channels_last=False),
    "decoded once, channels-last": Inference(),
    "decoded once, channels-last, folded": Inference(fold_bn=True),
    "decoded once, channels-last, folded, compiled": Inference(fold_bn=True, compile=True),
    "decoded once, channels-last, folded, bf16": Inference(fold_bn=True, bf16=True),
    "decoded once, channels-last, folded, bf16, compiled": Inference(fold_bn=True, bf16=True, compile=True),
}


def plain(path: Path, case: VideoRecipe, model: VideoResNet, device: torch.device) -> torch.Tensor:
    """Every view for itself: decode, crop, network."""
    clips = evenly_spaced_clips(count_frames(path), clip_geometry(case), num_clips=case.data.test_clips)
    scores = []
    for clip in clips:
        for crop in range(3):
            frames = read_frames(path, clip, short_side=case.data.test_short_side)
            view = cut_views(frames, short_side=case.data.test_short_side, crop=case.data.test_crop)[crop]
            scores.append(model.scores(normalise(view[None].to(device)).contiguous()))
    return torch.cat(scores).mean(dim=0)


def once(path: Path, case: VideoRecipe, model: InferenceModel, device: torch.device) -> torch.Tensor:
    """All views of one decoding, in batches."""
    views = build_test_videos(case, VideoList((VideoEntry(path, 0),), None, "benchmark"))[0]["views"]
    batches = views.split(case.data.test_batch_views or views_at_once(device))
    return torch.cat([model.scores(normalise(batch.to(device))) for batch in batches]).mean(dim=0)


def decoding(path: Path, case: VideoRecipe) -> tuple[float, float]:
    """Seconds to have the views of the video: decoded once for all, and once a view."""
    seconds_once = seconds(lambda: build_test_videos(case, VideoList((VideoEntry(path, 0),), None, ""))[0], repeats=2)
    clips = evenly_spaced_clips(count_frames(path), clip_geometry(case), num_clips=case.data.test_clips)

    def per_view() -> None:
        for clip in clips:
            for _ in range(3):
                cut_views(read_frames(path, clip, short_side=case.data.test_short_side))

    return seconds_once, seconds(per_view, repeats=2)


def seconds(call: Callable[[], object], *, repeats: int) -> float:
    """The fastest of some calls, the least disturbed one on a shared machine."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def lively(model: VideoResNet) -> VideoResNet:
    """Let every residual and non-local block and the classifier count, which start silent, so that rounding shows."""
    torch.manual_seed(0)  # the same classifier for every way
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.constant_(module.weight, 0.5)
    nn.init.normal_(model.head.projection.weight, std=0.1)
    return model.eval()


def compare(path: Path, case: VideoRecipe, console: Console, *, repeats: int, bf16: bool, compiled: bool) -> None:
    """Print the table of one video."""
    device = choose_device("auto")
    model = lively(build_model(case)).to(device)
    once_seconds, per_view_seconds = decoding(path, case)
    table = Table(title=f"{path.stem}, {case.name}, width {case.model.width}, {device}", title_justify="left")
    for column in ("way", "seconds", "times faster", "shift of scores", "compiling, s"):
        table.add_column(column, justify="left" if column == "way" else "right")
    table.add_row("decoding alone, once a view", f"{per_view_seconds:.2f}", "1.00")
    table.add_row("decoding alone, once", f"{once_seconds:.2f}", f"{per_view_seconds / once_seconds:.2f}")
    table.add_section()
    with torch.inference_mode():
        base_scores = plain(path, case, model, device)
        base = seconds(lambda: plain(path, case, model, device), repeats=repeats)
        table.add_row("decoded once a view, default memory order", f"{base:.2f}", "1.00")
        for name, options in WAYS.items():
            if (options.bf16 and not bf16) or (options.compile and not compiled):
                continue
            fast, _ = for_inference(lively(build_model(case)).to(device), options)
            started = time.perf_counter()
            scores = once(path, case, fast, device)
            first = time.perf_counter() - started
            cost = seconds(lambda network=fast: once(path, case, network, device), repeats=repeats)
            shift = ((scores - base_scores).norm() / (base_scores - base_scores.mean()).norm()).item()
            compiling = f"{first - cost:.0f}" if options.compile else ""
            table.add_row(name, f"{cost:.2f}", f"{base / cost:.2f}", f"{shift:.1e}", compiling)
    console.print(table)


def main() -> None:
    """Parse the options and print the tables."""
    parser = argparse.ArgumentParser(description="30-view testing, decoding and network together.")
    parser.add_argument("--network", default="nl_i3d_r50_5block", help="a recipe")
    parser.add_argument("--quick", action="store_true", help="a narrow network and few views, without compiling")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch threads")
    parser.add_argument("--repeats", type=int, default=2, help="timed calls of each way; the fastest counts")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 even where the processor only emulates it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    case = video_recipe(options.network)
    data = replace(case.data, test_crops="three", test_short_side=256, test_crop=256)
    if options.quick:
        case = replace(case, model=replace(case.model, width=8))
        data = replace(data, test_clips=2)
    case = replace(case, data=data)
    console = Console(width=None if Console().is_terminal else 120)
    has_bf16 = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not has_bf16:
        console.print("this processor has no bfloat16 arithmetic; " + ("emulated" if options.bf16 else "left out"))
    bf16 = has_bf16 or options.bf16
    sizes = ((256, 340),) if options.quick else ((256, 340), (720, 1280))
    with tempfile.TemporaryDirectory() as folder:
        for height, width in sizes:
            path = Path(folder) / f"{width}x{height}.mp4"
            write_moving_scene(path, height=height, width=width, gop=250)
            compare(path, case, console, repeats=options.repeats, bf16=bf16, compiled=not options.quick)


if __name__ == "__main__":
    main()
