"""The card of a detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from nonlocalnet.models.card import Card


@dataclass(frozen=True, kw_only=True)
class DetectionCard(Card):
    """What a file says of a detector, beside what every card says.

    Its recipe alone rebuilds the detector: `arguments` is empty.

    Attributes:
        labels: Its classes: "label", "id" (the category's in the annotations) and "name" of each.
        keypoint_names: The names of an object's keypoints; empty for a detector without keypoints.
        skeleton: Pairs of keypoints, counted from 0, between which a limb is drawn.
    """

    kind: ClassVar[str] = "detection"
    types: ClassVar[dict[str, tuple[type, ...]]] = {
        **Card.types,
        **dict.fromkeys(("labels", "keypoint_names", "skeleton"), (list, tuple)),
    }

    labels: list[dict[str, Any]]
    keypoint_names: list[str] = field(default_factory=list)
    skeleton: list[list[int]] = field(default_factory=list)
