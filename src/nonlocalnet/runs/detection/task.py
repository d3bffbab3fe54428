"""One training step and one evaluation of a detector."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from nonlocalnet.data.coco.records import CocoSet
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig
from nonlocalnet.engine.steps import StepTask
from nonlocalnet.runs.detection.coco_eval import CocoFigures, Evaluator, evaluate
from nonlocalnet.runs.detection.coco_results import IouType, Results, to_results
from nonlocalnet.runs.detection.network import parts_of

LOSSES: tuple[str, ...] = (
    "loss_classifier",
    "loss_box_reg",
    "loss_mask",
    "loss_keypoint",
    "loss_objectness",
    "loss_rpn_box_reg",
)
"""torchvision's names of what a detector's loss is the sum of."""


@dataclass(frozen=True)
class DetectionRecord:
    """One row of the logs; what a detector does not have is NaN.

    Attributes:
        step: Optimiser steps made, this one included.
        split: "train" or "val".
        loss: Sum of the losses, over the global batch; a validation has none.
        loss_classifier: Class of the boxes.
        loss_box_reg: Place of the boxes.
        loss_mask: Masks.
        loss_keypoint: Keypoints.
        loss_objectness: Proposals: object or not.
        loss_rpn_box_reg: Place of the proposals.
        lr: Learning rate of this step (of the trunk; the groups' factors are not in it).
        box_ap: AP of the boxes in percent, of a validation.
        mask_ap: AP of the masks.
        keypoint_ap: AP of the keypoints.
    """

    step: int
    split: str
    loss: float
    loss_classifier: float
    loss_box_reg: float
    loss_mask: float
    loss_keypoint: float
    loss_objectness: float
    loss_rpn_box_reg: float
    lr: float
    box_ap: float = math.nan
    mask_ap: float = math.nan
    keypoint_ap: float = math.nan

    @property
    def quality(self) -> float:
        """AP of the masks or keypoints where there are any, else of the boxes; 0 where nothing is annotated."""
        return next((ap for ap in (self.keypoint_ap, self.mask_ap, self.box_ap) if not math.isnan(ap)), 0.0)

    @property
    def headline(self) -> str:
        """The validation in a few words."""
        named = (("box", self.box_ap), ("mask", self.mask_ap), ("keypoint", self.keypoint_ap))
        return "  ".join(f"{name} AP {ap:.1f}" for name, ap in named if not math.isnan(ap))


AP_NAMES: dict[IouType, str] = {"bbox": "box_ap", "segm": "mask_ap", "keypoints": "keypoint_ap"}
"""The field of `DetectionRecord` that holds the AP of each kind of result."""


@dataclass(frozen=True)
class EvaluationSet:
    """What detections are compared with.

    Attributes:
        images: Annotated images.
        positions: Which of them count.
        category_ids: By the detector's labels.
        evaluator: What computes the figures.
        keypoint_sigmas: See `nonlocalnet.runs.detection.coco_eval.evaluate`.
    """

    images: CocoSet
    positions: list[int]
    category_ids: Mapping[int, int]
    evaluator: Evaluator = "pycocotools"
    keypoint_sigmas: Sequence[float] | None = None

    @property
    def image_ids(self) -> list[int]:
        """Ids of the images that count."""
        return [self.images.images[position].id for position in self.positions]

    def figures(self, results: Results) -> dict[IouType, CocoFigures]:
        """All figures of every kind of result that the detector gives; none without annotations."""
        if not self.images.content.annotated:
            return {}
        return {
            iou_type: evaluate(
                self.images.content,
                results.get(iou_type, []),
                iou_type=iou_type,
                image_ids=self.image_ids,
                evaluator=self.evaluator,
                keypoint_sigmas=self.keypoint_sigmas,
            )
            for iou_type in self.iou_types
        }

    def require_settings(self) -> None:
        """Refuse what an evaluation would refuse, before there is anything to evaluate.

        Raises:
            ValueError: As `nonlocalnet.runs.detection.coco_eval.evaluate`.
        """
        replace(self, positions=self.positions[:2]).figures({})

    @property
    def iou_types(self) -> tuple[IouType, ...]:
        """Boxes, and masks or keypoints."""
        return ("bbox", "segm" if self.images.kind == "masks" else "keypoints")


class DetectionTask(StepTask):
    """Trains `model` on batches {"image", "target"}, and evaluates it on batches {"image", "image_id", "counted"}.

    Every entry of a batch is a list; images are uint8 (3, H, W).

    Args:
        model: A detector of torchvision's kind.
        evaluation: What its detections are compared with; None without a validation.
        optim: Optimiser settings.
        schedule: Learning rate over the steps.
        seed: For the sizes that images are resized to, and the sampling of proposals and boxes.
        start_step: Optimiser steps made before this process began.
        last_good: Describes the newest checkpoint, for the message when a loss is not finite.

    Attributes:
        results: What the newest evaluation found, in all processes.
        figures: What the newest evaluation came to.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        evaluation: EvaluationSet | None,
        optim: OptimConfig,
        schedule: ScheduleConfig,
        seed: int,
        start_step: int,
        last_good: Callable[[], str],
    ) -> None:
        super().__init__(
            model,
            parts=parts_of(model),
            optim=optim,
            schedule=schedule,
            seed=seed,
            start_step=start_step,
            last_good=last_good,
        )
        self.evaluation = evaluation
        self.results: Results = {}
        self.figures: dict[IouType, CocoFigures] = {}
        self._losses: list[Tensor] = []
        self._absent: set[str] = set()
        self._found: list[Results] = []

    @override
    def begin_counting(self) -> None:
        """Forget what was counted."""
        self._losses, self._found = [], []

    @override
    def training_step(self, batch: dict[str, list[Any]], batch_idx: int) -> Tensor:
        """The sum of the detector's losses on one micro-batch."""
        losses: dict[str, Tensor] = self.model(as_input(batch["image"]), batch["target"])
        self._absent = set(LOSSES) - set(losses)
        nothing = next(iter(losses.values())).new_full((), math.nan)
        self._losses.append(torch.stack([losses.get(name, nothing).detach().double() for name in LOSSES]))
        return torch.stack(list(losses.values())).sum()

    @override
    def step_record(self, *, step: int, lr: float) -> DetectionRecord:
        """The mean losses over the micro-batches and processes."""
        mean = torch.stack(self._losses).mean(0)
        parts = self.trainer.strategy.reduce(mean, reduce_op="mean").tolist()
        # A loss that is NaN must show in the sum; one that the detector does not have must not.
        loss = sum(part for name, part in zip(LOSSES, parts, strict=True) if name not in self._absent)
        return DetectionRecord(step, "train", loss, *parts, lr=lr)

    @override
    def validation_step(self, batch: dict[str, list[Any]], batch_idx: int) -> None:
        """Detect, and keep the results of the images whose `counted` is true."""
        assert self.evaluation is not None
        detections = self.model(as_input(batch["image"]))
        for image_id, counted, found in zip(batch["image_id"], batch["counted"], detections, strict=True):
            if counted:
                self._found.append(to_results(image_id, found, category_ids=self.evaluation.category_ids))

    @override
    def validation_record(self, *, step: int, lr: float) -> DetectionRecord:
        """Compare the detections of all processes with the annotations."""
        assert self.evaluation is not None
        found = self._found
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, found)
            found = [results for share in gathered for results in share]
        self.results = {t: [r for results in found for r in results.get(t, [])] for t in self.evaluation.iou_types}
        self.figures = self.evaluation.figures(self.results)
        aps = {AP_NAMES[iou_type]: figures.figures["AP"] for iou_type, figures in self.figures.items()}
        nothing = dict.fromkeys(("loss", *LOSSES), math.nan)
        return DetectionRecord(step=step, split="val", lr=lr, **nothing, **aps)


def as_input(images: Sequence[Tensor]) -> list[Tensor]:
    """uint8 images to the [0, 1] that torchvision's detectors take."""
    return [image.float().div_(255) for image in images]
