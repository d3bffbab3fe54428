"""What a run's checkpoints say of themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet import formats
from nonlocalnet.engine.resume import SavedRun
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.runs.video.config import VideoRecipe, recipe_from_plain
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import model_arguments
from nonlocalnet.system.odd_files import one_sentence


def make_card(recipe: VideoRecipe, *, class_names: Sequence[str] | None) -> VideoCard:
    """The card of the recipe's checkpoints."""
    geometry = clip_geometry(recipe)
    return VideoCard(
        architecture=recipe.model.architecture,
        arguments=model_arguments(recipe),
        recipe=dataclasses.asdict(recipe),
        preprocessing=Preprocessing(
            clip_frames=geometry.frames,
            frame_stride=geometry.stride,
            short_side=recipe.data.test_short_side,
            crop=recipe.data.test_crop,
        ),
        class_names=None if class_names is None else list(class_names),
        multi_label=recipe.model.multi_label,
    )


def read_run(path: Path) -> SavedRun:
    """The run that a checkpoint is of."""
    checkpoint = formats.read_checkpoint(path)
    with one_sentence(path):
        card = VideoCard.from_plain(checkpoint[formats.CARD_KEY], path=path)
        return SavedRun(recipe_from_plain(card.recipe or {}), int(checkpoint["global_step"]), card.start)
