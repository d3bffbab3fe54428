"""The demo: a small C2D with and without non-local blocks; the class is a relation far apart in space and time.

Everything but the blocks is equal: data, seeds, steps, learning rate, test views. Each network is trained with several
seeds and tested once, by its last checkpoint; nothing is chosen by the test videos.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nonlocalnet.data.generated.videos import write_long_range_videos
from nonlocalnet.demos.arms import Arm, run_arms
from nonlocalnet.demos.long_range_figures import draw_curves, draw_where_it_looks
from nonlocalnet.engine.run_folder import prepare_output
from nonlocalnet.engine.scaling import scale_to_steps
from nonlocalnet.models import summarise
from nonlocalnet.recipes import video_recipe
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import build_model
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.progress import progress_bars

ARMS = {"c2d": "longrange_c2d", "nl_c2d": "longrange_nl_c2d"}
# Table 2c of the paper, Kinetics-400 validation: what the published counterparts of the two networks reached.
PUBLISHED = {"c2d": "c2d_r50", "nl_c2d": "nl_c2d_r50_5block"}


@dataclass(frozen=True)
class DemoSize:
    """How much the demo does; the defaults are what its claim was measured with.

    Attributes:
        seeds: Trainings of each network, with the seeds 0, 1, ...
        steps: Optimiser steps of each; None for the recipes' own.
        train_videos: Generated videos to train on.
        val_videos: Generated videos for the curves.
        test_videos: Generated videos for the table.
    """

    seeds: int = 2
    steps: int | None = None
    train_videos: int = 960
    val_videos: int = 96
    test_videos: int = 240

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


SMALLEST = DemoSize(seeds=1, steps=4, train_videos=32, val_videos=12, test_videos=12)


def run_long_range_demo(out: str | Path, *, size: DemoSize) -> dict[str, Any]:
    """Generate the videos, train and test both networks, and write what they came to.

    Args:
        out: New or empty folder. It receives `videos/`, `runs/`, `tests/`, `results.json`, `curves.png`, `look.png`
            and `look.html`, the page of `nonlocalnet explain`.
        size: How much to do.

    Returns:
        The content of `results.json`.

    Raises:
        OutputError: If `out` is not empty or cannot be written.
    """
    out = Path(out)
    prepare_output(out, resume=False)
    recipes = {name: _demo_recipe(base, root=out / "videos", size=size) for name, base in ARMS.items()}
    arms = [_arm(name, recipes[name], seed=seed, out=out) for seed in range(size.seeds) for name in ARMS]
    with progress_bars() as progress:
        _generate(out / "videos", recipes["c2d"], size=size, progress=progress)
        top1 = run_arms(arms, progress=progress)
    results = _results(recipes, arms, top1, size=size)
    draw_curves(arms, out / "curves.png", coin_toss=50.0, chance=100 / recipes["c2d"].model.num_classes)
    draw_where_it_looks([arm for arm in arms if arm.name == "nl_c2d"], out / "look.png", page=out / "look.html")
    write_atomically(out / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def _demo_recipe(base: str, *, root: Path, size: DemoSize) -> VideoRecipe:
    found = video_recipe(base)
    schedule = found.schedule if size.steps is None else scale_to_steps(found.schedule, size.steps)
    # Decoding these tiny videos takes less than a loader process costs.
    data = dataclasses.replace(found.data, root=str(root), workers=0)
    return dataclasses.replace(found, data=data, schedule=schedule)


def _arm(name: str, base: VideoRecipe, *, seed: int, out: Path) -> Arm[VideoRecipe]:
    seeded = dataclasses.replace(base, trainer=dataclasses.replace(base.trainer, seed=seed, device="cpu"))
    label = f"{name}_seed{seed}"
    return Arm(name, seeded, run=out / "runs" / label, result=out / "tests" / label)


def _generate(root: Path, base: VideoRecipe, *, size: DemoSize, progress: Any) -> None:
    counts = {"train": size.train_videos, "val": size.val_videos, "test": size.test_videos}
    task = progress.add_task("writing videos", total=sum(counts.values()))
    write_long_range_videos(
        root,
        num_train=counts["train"],
        num_val=counts["val"],
        num_test=counts["test"],
        num_classes=base.model.num_classes,
        height=base.data.test_short_side,
        width=base.data.test_short_side,
        on_video=lambda: progress.advance(task),
    )


def _results(
    recipes: dict[str, VideoRecipe], arms: list[Arm[VideoRecipe]], top1: list[float], *, size: DemoSize
) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, base in recipes.items():
        seeds = [value for arm, value in zip(arms, top1, strict=True) if arm.name == name]
        crop = base.model.crop
        summary = summarise(build_model(base), (1, 3, clip_geometry(base).frames, crop, crop))
        results[name] = {
            "top1": {
                "mean": statistics.mean(seeds),
                "std": statistics.stdev(seeds) if len(seeds) > 1 else None,
                "seeds": seeds,
            },
            "params": summary.params,
            "flops": summary.flops,
        }
    published = {name: {"recipe": p, **video_recipe(p).published} for name, p in PUBLISHED.items()}
    return {
        **results,
        "chance": 100 / recipes["c2d"].model.num_classes,
        "coin_toss": 50.0,
        "size": {**dataclasses.asdict(size), "steps": recipes["c2d"].schedule.steps},
        "published_kinetics400": {"source": video_recipe(PUBLISHED["c2d"]).source, **published},
    }
