"""What a run's checkpoints say of themselves, and the detector that one of them holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from nonlocalnet import formats
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.data.coco.records import CocoSet
from nonlocalnet.engine.resume import SavedRun
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.runs.detection.config import DetectionRecipe, recipe_from_plain
from nonlocalnet.runs.detection.network import build_detector
from nonlocalnet.system.meta import meta_network
from nonlocalnet.system.odd_files import one_sentence, said_by


def make_card(recipe: DetectionRecipe, labels: Labels, images: CocoSet) -> DetectionCard:
    """The card of the recipe's checkpoints: it rebuilds the detector and names its classes."""
    skeletons = [category.get("skeleton", []) for category in images.categories]
    return DetectionCard(
        architecture=recipe.model.architecture,
        recipe=dataclasses.asdict(recipe),
        labels=labels.plain(),
        keypoint_names=list(images.keypoint_names),
        skeleton=[[a - 1, b - 1] for a, b in skeletons[0]] if images.keypoint_names and skeletons else [],
    )


def read_run(path: Path) -> SavedRun:
    """The run that a checkpoint is of."""
    checkpoint = formats.read_checkpoint(path)
    with one_sentence(path):
        card = DetectionCard.from_plain(checkpoint[formats.CARD_KEY], path=path)
        return SavedRun(saved_recipe(card), int(checkpoint["global_step"]), card.start)


def open_detector(file: str | Path | formats.OpenedFile) -> tuple[GeneralizedRCNN, DetectionCard]:
    """Rebuild the detector of a detection run's checkpoint.

    Args:
        file: Such as `best.ckpt` of a run, or what `formats.open_file` gave.

    Returns:
        The detector on the CPU in eval mode, and the checkpoint's card.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, no checkpoint of this library, or none of a detector.
    """
    opened = formats.open_file(file)
    path, checkpoint = opened.path, formats.read_checkpoint(opened)
    plain = checkpoint[formats.CARD_KEY]
    if formats.kind_of(plain) == "video":
        found = plain.get("model", {}).get("architecture", "another network")
        raise ValueError(
            f"{path} holds {found}, which classifies videos and detects nothing: use `nonlocalnet predict`"
        )
    card = DetectionCard.from_plain(plain, path=path)
    try:
        recipe = saved_recipe(card)
        prefix = "model."
        tensors = {n.removeprefix(prefix): t for n, t in checkpoint["state_dict"].items() if n.startswith(prefix)}
        meta_network(lambda: build_detector(recipe, pretrained=False), tensors, path=path)
        detector = build_detector(recipe, pretrained=False)
        detector.load_state_dict(tensors)
    except Exception as error:  # whatever the recipe of a file may be
        reason = said_by(error)
        raise ValueError(f"{path}: the detector does not fit the checkpoint's own card: {reason}") from error
    return detector.eval(), card


def saved_recipe(card: DetectionCard) -> DetectionRecipe:
    """The recipe that a checkpoint was trained by."""
    return recipe_from_plain(card.recipe or {})


def labels_of(card: DetectionCard) -> Labels:
    """The classes that a checkpoint's detector knows."""
    return Labels.from_plain(card.labels)
