"""Folders in transformers' form, as `nonlocalnet.models.huggingface` writes them: the card is in their JSON files.

config.json                      architecture, arguments, id2label, problem_type
video_preprocessor_config.json   the fields of Preprocessing; may be missing, as without a processor
model.safetensors                the network's tensors, each behind "network."
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor

from nonlocalnet.models.card import FORMAT
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.models.weights_file import CONFIG_FILE
from nonlocalnet.system.odd_files import parse_json

MODEL_TYPE = "nonlocal_video"  # `models.huggingface.NonLocalVideoConfig`, whose import needs transformers

_PROCESSOR_FILE = "video_preprocessor_config.json"
_PREFIX = "network."
_LARGEST = 10_000_000  # bytes of a configuration; one with the names of 100,000 classes is smaller


def card_beside(weights: Path) -> dict[str, Any] | None:
    """The card that the configuration beside a file of weights amounts to; None where it is not of such a folder.

    Args:
        weights: `model.safetensors` of a folder.

    Raises:
        ValueError: If the configuration is of such a network and is not whole; says what of it.
    """
    config = _json_object(weights.parent / CONFIG_FILE)
    if config is None or config.get("model_type") != MODEL_TYPE:
        return None
    arguments, id2label = config.get("arguments"), config.get("id2label")
    if not isinstance(arguments, dict) or not isinstance(id2label, dict):
        raise ValueError(f"{weights.parent / CONFIG_FILE} has no objects arguments and id2label")
    names = [id2label.get(str(index)) for index in range(len(id2label))]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{weights.parent / CONFIG_FILE}: id2label must name the classes from 0 to {len(names) - 1}")
    known = any(name != f"LABEL_{index}" for index, name in enumerate(names))
    return {
        "format": FORMAT,
        "kind": VideoCard.kind,
        "model": {"architecture": config.get("architecture"), "arguments": {**arguments, "num_classes": len(names)}},
        "preprocessing": _preprocessing(weights.parent, str(arguments.get("clip", "32x2"))),
        "class_names": names if known else None,
        "multi_label": config.get("problem_type") == "multi_label_classification",
    }


def network_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the names of the network itself."""
    return {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}


def _preprocessing(folder: Path, clip: str) -> dict[str, Any]:
    said = _json_object(folder / _PROCESSOR_FILE)
    if said is None:
        return vars(Preprocessing.of_clip(clip))
    return {field.name: said[field.name] for field in fields(Preprocessing) if field.name in said}


def _json_object(path: Path) -> dict[str, Any] | None:
    """What a JSON file holds; None where there is no such file, or it holds something else."""
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    try:
        content = parse_json(path.read_text("utf-8"))
    except ValueError:  # a configuration of whatever other program
        return None
    return content if isinstance(content, dict) else None
