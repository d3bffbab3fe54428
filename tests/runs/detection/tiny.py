"""Real detection recipes at their smallest: images of 64 pixels and the slim detector with its blocks.

Run as a script it trains one on two processes: python tiny_detection.py ROOT OUT
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from make_images import rectangle, small_content, small_people, write_split
from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.recipes import detection_recipe
from nonlocalnet.runs.detection.config import LENGTHS, OPTIM, DetectionModelConfig, DetectionRecipe
from nonlocalnet.runs.detection.train import train_recipe


def tiny_coco(root: Path) -> Path:
    """Both kinds of annotations of six images to train on and five to validate."""
    for split, count in (("train2017", 6), ("val2017", 5)):
        content = small_content(images=count)
        content["annotations"].append({**rectangle(90, 1, (40, 30, 20, 15)), "iscrowd": 1})
        write_split(root, split, content)
        write_split(root, split, small_people(images=count), kind="person_keypoints")
    return root


def tiny_recipe(root: Path, *, kind: str = "masks", **trainer: Any) -> DetectionRecipe:
    base = detection_recipe("coco_mask_r50_nl" if kind == "masks" else "coco_keypoint_r101_nl")
    model = DetectionModelConfig(
        architecture="maskrcnn_slim_fpn" if kind == "masks" else "keypointrcnn_slim_fpn",
        num_classes=91 if kind == "masks" else 2,
        num_keypoints=3,
        nonlocal_backbone=True,
        nonlocal_head=kind == "keypoints",
        weights_backbone=None,
        frozen_bn=True,
        subsample=None,
        box_detections_per_img=5,
        box_score_thresh=0.0,
    )
    data = dataclasses.replace(
        base.data,
        root=str(root),
        min_sizes=(40, 48),
        max_size=80,
        workers=0,
        keypoint_sigmas=None if kind == "masks" else (0.05, 0.05, 0.05),
    )
    settings = {"device": "cpu", "val_every": 3, "checkpoint_every": 1, "log_every": 1, **trainer}
    return dataclasses.replace(
        base,
        name="tiny",
        model=model,
        data=data,
        optim=dataclasses.replace(OPTIM, lr=0.01, batch_size=2, accumulate=1),
        schedule=dataclasses.replace(LENGTHS["1x"], steps=5, milestones=(4,), warmup_steps=2),
        trainer=TrainerConfig(**settings),
    )


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
    torch.set_num_threads(1)
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    train_recipe(tiny_recipe(root, devices=2), out=out, progress=False)
