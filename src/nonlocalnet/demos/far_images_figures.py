"""The picture of the demos on images: what is there, and what each detector says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torchvision.ops import nms

from nonlocalnet.demos.arms import Arm
from nonlocalnet.runs.detection.card import labels_of, open_detector
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.predict import Detected, detect
from nonlocalnet.system.files import whole_file

NAMES = {"baseline": "baseline", "control": "local control", "nonlocal": "non-local"}
_IMAGES = 4
_MIN_SCORE = 0.3
_SAME_OBJECT = 0.5  # intersection over union from which two answers are of one object
_TRUTH, _RIGHT, _WRONG = "#222222", "#1f7a2e", "#c0263f"


def draw_detections(arms: Sequence[Arm[DetectionRecipe]], path: Path, *, cue: tuple[int, int]) -> None:
    """Draw the first test images: a column for the truth and one for each arm.

    Of each object the surest answer is drawn, green where it is the truth's and red where it is not.

    Args:
        arms: Finished trainings of one seed.
        path: The PNG to write.
        cue: Columns of the image that hold what decides.
    """
    root = Path(str(arms[0].recipe.data.root))
    kind = "person_keypoints" if (root / "annotations" / "person_keypoints_val2017.json").exists() else "instances"
    content = json.loads((root / "annotations" / f"{kind}_val2017.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    shown = content["images"][:_IMAGES]
    truths = [[a for a in content["annotations"] if a["image_id"] == image["id"]] for image in shown]
    paths = [root / "val2017" / image["file_name"] for image in shown]
    columns = {arm.name: _detect(arm, paths) for arm in arms}
    height = 3.4 * shown[0]["height"] / shown[0]["width"]
    figure = Figure(figsize=(3.4 * (1 + len(columns)), 0.3 + (height + 0.1) * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(shown), 1 + len(columns), squeeze=False)
    for row, truth in enumerate(truths):
        first = next(iter(columns.values()))[row]
        _show(grid[row, 0], first, title="truth" if row == 0 else "")
        grid[row, 0].axvspan(*cue, color="black", alpha=0.15, linewidth=0)
        for annotation in truth:
            _box(grid[row, 0], annotation["bbox"], names[annotation["category_id"]], _TRUTH)
            _points(grid[row, 0], annotation.get("keypoints", []), _TRUTH)
        for column, (name, detected) in enumerate(columns.items(), start=1):
            axes = grid[row, column]
            _show(axes, detected[row], title=NAMES[name] if row == 0 else "")
            for o in _surest(detected[row].objects):
                _draw_answer(axes, o, truth)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=130)


def _detect(arm: Arm[DetectionRecipe], paths: Sequence[Path]) -> list[Detected]:
    detector, card = open_detector(arm.run / "last.ckpt")
    found = detect(detector, paths, labels=labels_of(card), device=torch.device("cpu"), min_score=_MIN_SCORE)
    return list(found)


def _surest(objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One answer an object: a detector in doubt gives one of each class, on top of each other."""
    if not objects:
        return []
    boxes = torch.tensor([o["box"] for o in objects])
    kept = nms(boxes, torch.tensor([o["score"] for o in objects]), _SAME_OBJECT)
    return [objects[i] for i in kept.tolist()]


def _draw_answer(axes: Axes, o: dict[str, Any], truth: Sequence[dict[str, Any]]) -> None:
    x1, y1, x2, y2 = o["box"]
    nearest = min(truth, key=lambda a: abs(a["bbox"][0] - x1) + abs(a["bbox"][1] - y1))
    if "keypoints" in o:
        # Right where every keypoint is nearer than a dot's radius.
        places = nearest["keypoints"]
        wanted = [(places[i], places[i + 1]) for i in range(0, len(places), 3)]
        off = [abs(x - tx) + abs(y - ty) for (x, y, _), (tx, ty) in zip(o["keypoints"], wanted, strict=True)]
        right = max(off) < 12
        _points(axes, [value for x, y, _ in o["keypoints"] for value in (x, y, 2)], _RIGHT if right else _WRONG)
    else:
        right = o["category_id"] == nearest["category_id"]
    _box(axes, (x1, y1, x2 - x1, y2 - y1), f"{o['class']} {o['score']:.2f}", _RIGHT if right else _WRONG)


def _show(axes: Axes, detected: Detected, *, title: str) -> None:
    assert detected.image is not None
    axes.imshow(detected.image.permute(1, 2, 0).numpy())
    axes.autoscale(enable=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title)


def _box(axes: Axes, box_xywh: Sequence[float], text: str, colour: str) -> None:
    x, y, width, height = box_xywh
    axes.plot([x, x + width, x + width, x, x], [y, y, y + height, y + height, y], color=colour, linewidth=1.2)
    on_the_left = x < sum(axes.get_xlim()) / 2
    place, side = (x, "left") if on_the_left else (x + width, "right")
    above = y > max(axes.get_ylim()) / 8
    edge, align = (y, "bottom") if above else (y + height, "top")
    patch = {"facecolor": colour, "edgecolor": "none", "pad": 1.0}
    axes.text(place, edge, text, color="white", fontsize=7, ha=side, va=align, bbox=patch, clip_on=True)


def _points(axes: Axes, keypoints: Sequence[float], colour: str) -> None:
    if keypoints:
        axes.plot(keypoints[0::3], keypoints[1::3], "o", color=colour, markersize=5, markeredgecolor="white")
