"""The demos on images: a small detector without blocks, with local ones, and with non-local ones.

What decides lies at one edge of the image, beyond the receptive field of the detector without blocks at the object; the
control has as many parameters as the non-local detector and stays local. Everything else is equal: data, seeds, steps,
learning rate. Each is trained with several seeds and tested once, by its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nonlocalnet.data.generated.images import (
    CUE_COLUMNS,
    FAR_CUE_SIZE,
    FAR_KEYPOINT_SIZE,
    FLAG_COLUMNS,
    write_far_cue_images,
    write_far_keypoint_images,
)
from nonlocalnet.demos.arms import Arm, run_arms
from nonlocalnet.demos.far_images_figures import draw_detections
from nonlocalnet.engine.run_folder import prepare_output
from nonlocalnet.engine.scaling import scale_to_steps
from nonlocalnet.models.detection import receptive_field
from nonlocalnet.recipes import detection_recipe
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.network import build_detector
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.progress import progress_bars

Task = Literal["detection", "keypoints"]


@dataclass(frozen=True)
class FarTask:
    """One of the two demos.

    Attributes:
        arms: Recipe of every arm, by its name in the results.
        write: Writes the images.
        image_size: (height, width) of an image.
        cue: Columns that hold what decides, the second exclusive.
        box: x1, y1, x2, y2 of an object as near to the cue as they come.
        head: The head that must know of the cue.
        place: Where in the box the head's answer is asked for; None for all of it.
        measures: The results' files and figures that are reported, by their name.
        published: Recipes of the paper's rows that the arms answer to.
    """

    arms: dict[str, str]
    write: Callable[..., Path]
    image_size: tuple[int, int]
    cue: tuple[int, int]
    box: tuple[float, float, float, float]
    head: Literal["box", "keypoint"]
    place: tuple[float, float] | None
    measures: dict[str, str]
    published: dict[str, str]


TASKS: dict[Task, FarTask] = {
    "detection": FarTask(
        arms={"baseline": "farcue", "control": "farcue_control", "nonlocal": "farcue_nl"},
        write=write_far_cue_images,
        image_size=FAR_CUE_SIZE,
        cue=CUE_COLUMNS,
        box=(201.0, 35.0, 227.0, 61.0),
        head="box",
        place=None,
        measures={"box AP": "bbox", "mask AP": "segm"},
        published={"baseline": "coco_mask_r50", "nonlocal": "coco_mask_r50_nl"},
    ),
    "keypoints": FarTask(
        arms={"baseline": "farkeypoint", "control": "farkeypoint_control", "nonlocal": "farkeypoint_nl"},
        write=write_far_keypoint_images,
        image_size=FAR_KEYPOINT_SIZE,
        cue=FLAG_COLUMNS,
        box=(10.0, 16.0, 298.0, 80.0),
        head="keypoint",
        place=(291.0, 28.0),
        measures={"box AP": "bbox", "keypoint AP": "keypoints"},
        published={"baseline": "coco_keypoint_r101", "nonlocal": "coco_keypoint_r101_nl"},
    ),
}


@dataclass(frozen=True)
class FarDemoSize:
    """How much the demo does; the defaults are what its claim was measured with.

    Attributes:
        seeds: Trainings of each detector, with the seeds 0, 1, ...
        steps: Optimiser steps of each; None for the recipes' own.
        train_images: Generated images to train on.
        test_images: Generated images for the table.
    """

    seeds: int = 2
    steps: int | None = None
    train_images: int = 400
    test_images: int = 100

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


SMALLEST = FarDemoSize(seeds=1, steps=2, train_images=8, test_images=4)


def run_far_demo(task: Task, out: str | Path, *, size: FarDemoSize) -> dict[str, Any]:
    """Generate the images, train and test every arm, and write what they came to.

    Args:
        task: Which demo.
        out: New or empty folder. It receives `images/`, `runs/`, `tests/`, `results.json` and `detections.png`.
        size: How much to do.

    Returns:
        The content of `results.json`.

    Raises:
        OutputError: If `out` is not empty or cannot be written.
    """
    out, demo = Path(out), TASKS[task]
    prepare_output(out, resume=False)
    recipes = {arm: _demo_recipe(name, root=out / "images", size=size) for arm, name in demo.arms.items()}
    arms = [_arm(name, recipes[name], seed=seed, out=out) for seed in range(size.seeds) for name in recipes]
    with progress_bars() as progress:
        bar = progress.add_task("writing images", total=size.train_images + size.test_images)
        counts = {"num_train": size.train_images, "num_val": size.test_images}
        demo.write(out / "images", **counts, on_image=lambda: progress.advance(bar))
        run_arms(arms, progress=progress)
    results = _results(demo, recipes, arms, size=size)
    draw_detections([arm for arm in arms if arm.recipe.trainer.seed == 0], out / "detections.png", cue=demo.cue)
    write_atomically(out / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def _demo_recipe(name: str, *, root: Path, size: FarDemoSize) -> DetectionRecipe:
    found = detection_recipe(name)
    schedule = found.schedule if size.steps is None else scale_to_steps(found.schedule, size.steps)
    data = dataclasses.replace(found.data, root=str(root))
    # The test after the training is the one evaluation; that of the last step would be the same again.
    trainer = dataclasses.replace(found.trainer, device="cpu", limit_val=1)
    return dataclasses.replace(found, data=data, schedule=schedule, trainer=trainer)


def _arm(name: str, base: DetectionRecipe, *, seed: int, out: Path) -> Arm[DetectionRecipe]:
    seeded = dataclasses.replace(base, trainer=dataclasses.replace(base.trainer, seed=seed))
    label = f"{name}_seed{seed}"
    return Arm(name, seeded, run=out / "runs" / label, result=out / "tests" / label)


def _results(
    demo: FarTask, recipes: dict[str, DetectionRecipe], arms: list[Arm[DetectionRecipe]], *, size: FarDemoSize
) -> dict[str, Any]:
    return {
        "arms": {name: _arm_results(demo, name, base, arms) for name, base in recipes.items()},
        "cue_columns": list(demo.cue),
        "image_width": demo.image_size[1],
        "size": {**dataclasses.asdict(size), "steps": next(iter(recipes.values())).schedule.steps},
        "published_coco": {
            name: {"recipe": row, **detection_recipe(row).published} for name, row in demo.published.items()
        },
    }


def _arm_results(demo: FarTask, name: str, base: DetectionRecipe, arms: list[Arm[DetectionRecipe]]) -> dict[str, Any]:
    detector = build_detector(base, pretrained=False)
    seen = receptive_field(detector, image_size=demo.image_size, box=demo.box, head=demo.head, place=demo.place)
    summaries = [json.loads((arm.result / "summary.json").read_text()) for arm in arms if arm.name == name]
    measured = {}
    for shown, kind in demo.measures.items():
        seeds = [summary[kind]["AP"] for summary in summaries]
        spread = statistics.stdev(seeds) if len(seeds) > 1 else None
        measured[shown] = {"mean": statistics.mean(seeds), "std": spread, "seeds": seeds}
    return {
        **measured,
        "params": sum(parameter.numel() for parameter in detector.parameters()),
        "receptive_field_columns": [seen[0], seen[2]],
    }
