"""Where a run goes on, and that it is the same run."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from nonlocalnet import formats
from nonlocalnet.engine.config import Recipe
from nonlocalnet.runs.detection.config import DetectionRecipe

log = logging.getLogger(__name__)


def start_step_of(recipe: Recipe | DetectionRecipe, out: Path, *, free: Mapping[str, Collection[str]]) -> int:
    """Step of the checkpoint to resume; 0 where the run has none yet.

    Args:
        recipe: As asked for now.
        out: Folder of the run.
        free: Fields by section that may differ from the run's: none of them changes what a training step computes.

    Raises:
        ValueError: If the folder holds no run, or another field differs.
    """
    last = out / "last.ckpt"
    if not last.exists():
        strange = [path.name for path in out.iterdir() if "recipe.json" not in path.name] if out.is_dir() else []
        if strange and not (out / "recipe.json").exists():
            raise ValueError(f"{out} holds no run to resume (no recipe.json or last.ckpt, but {strange[0]})")
        log.info("%s holds no checkpoint yet: the run starts from the beginning", out)
        return 0
    checkpoint = formats.read_checkpoint(last)
    saved = checkpoint[formats.CARD_KEY]["recipe"]
    asked = json.loads(json.dumps(dataclasses.asdict(recipe)))
    for section in ("model", "data", "optim", "schedule", "trainer"):
        for name, value in json.loads(json.dumps(saved[section])).items():
            if name not in free.get(section, ()) and asked[section][name] != value:
                raise ValueError(
                    f"cannot resume {out}: {section}.{name} was {value!r} and is {asked[section][name]!r} now; "
                    "give the run's own settings, or start another run with --init"
                )
    step = int(checkpoint["global_step"])
    log.info("resuming %s at step %d", last, step)
    return step
