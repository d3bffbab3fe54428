"""The data of a run: its lists or what is made in their place, and the loaders over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from nonlocalnet.data.annotations import class_names_at
from nonlocalnet.data.batches import StepBatchSampler
from nonlocalnet.data.padded import SequenceItem, collate
from nonlocalnet.data.text.coding import TextCoder, WordCoder
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.loaders import EvenShare, TrainLoaders, make_loader, spread_evenly
from nonlocalnet.runs.sequence.config import SequenceRecipe, require_fitting_front
from nonlocalnet.runs.sequence.made import make_data
from nonlocalnet.runs.sequence.own import load_own
from nonlocalnet.runs.sequence.sources import SOURCES
from nonlocalnet.runs.sequence.splits import Split


@dataclass(frozen=True)
class Known:
    """What must be the same in every split: that of the training, or of the weights that are tested.

    Attributes:
        class_names: The classes or tags by index; None where they are unknown or there are none.
        coder: How texts become numbers; None for what is no text.
    """

    class_names: tuple[str, ...] | None = None
    coder: TextCoder | None = None

    @property
    def vocabulary(self) -> list[str] | None:
        """What each token stands for; None for bytes."""
        return list(self.coder.words) if isinstance(self.coder, WordCoder) else None


@dataclass(frozen=True)
class SequenceSet:
    """One split.

    Attributes:
        dataset: Its sequences, by (epoch, index), for the validation and the test by index.
        num_classes: Classes or tags; None for numbers.
        known: What the other splits must share.
    """

    dataset: Any
    num_classes: int | None
    known: Known

    def __len__(self) -> int:
        return len(self.dataset)


def load_data(recipe: SequenceRecipe, split: Split, *, known: Known | None = None) -> SequenceSet:
    """Read or make one split of a recipe's data.

    Args:
        recipe: Says which.
        split: "test" is the validation list where `data.test` is null.
        known: What the training or the weights say of classes and vocabulary; None for the training itself.

    Raises:
        ValueError: The network does not fit the data, `data.root` is not set, or a list is malformed or does not match.
        FileNotFoundError: A list or file does not exist.
    """
    require_fitting_front(recipe)
    source = SOURCES[recipe.data.source]
    if recipe.data.source in ("spoken_digits", "sounds", "texts", "tags"):
        dataset, names, classes, coder = load_own(
            recipe,
            split,
            class_names=None if known is None else known.class_names,
            coder=None if known is None else known.coder,
        )
    else:
        (made, names), coder = make_data(recipe, split), None
        dataset: Any = made
        classes = None if names is None else len(names)
    asked = recipe.model.num_classes
    if source.task != "regress" and asked not in (None, classes):
        raise ValueError(
            f"model.num_classes is {asked}, and the data have {classes} classes; leave it out (null takes the data's)"
        )
    chosen = _Chosen(dataset, spread_evenly(len(dataset), recipe.data.limit))
    return SequenceSet(chosen, classes, Known(names, coder))


def count_classes(recipe: SequenceRecipe) -> int | None:
    """How many classes the training folder or the `classes.txt` beside the training list has; None if none says."""
    data = recipe.data
    if data.root is None or data.source not in ("sounds", "texts", "tags"):
        return None
    names = class_names_at(Path(data.root) / data.train)
    return None if names is None else len(names)


def count_training(recipe: SequenceRecipe) -> int:
    """How many sequences a training has.

    Raises:
        ValueError, FileNotFoundError: As `load_data`.
    """
    return len(load_data(recipe, "train"))


def build_train_loaders(recipe: SequenceRecipe, data: SequenceSet) -> TrainLoaders:
    """The training sequences, as the engine loads them."""
    return TrainLoaders(
        data.dataset,
        partial(StepBatchSampler, len(data)),
        recipe.optim,
        seed=recipe.trainer.seed,
        workers=recipe.data.workers,
        options={"collate_fn": collate, "pin_memory": _pins_memory(recipe)},
    )


def build_loader(
    recipe: SequenceRecipe, data: SequenceSet, *, limit: int | None, rank: int = 0, world_size: int = 1
) -> DataLoader[Any]:
    """Loader over one process's share of the sequences to validate or test on; of `limit` of them, or all for None."""
    share = EvenShare(data.dataset, positions=spread_evenly(len(data), limit), rank=rank, world_size=world_size)
    processes = recipe.trainer.devices * recipe.trainer.num_nodes
    size = max(1, recipe.optim.batch_size // (processes * recipe.optim.accumulate))
    pinned = _pins_memory(recipe)
    return make_loader(
        share, workers=recipe.data.workers, batch_size=size, collate_fn=_collate_counted, pin_memory=pinned
    )


def _collate_counted(pairs: Sequence[tuple[SequenceItem, bool]]) -> dict[str, Any]:
    return {**collate([item for item, _ in pairs]), "counted": torch.tensor([counted for _, counted in pairs])}


def _pins_memory(recipe: SequenceRecipe) -> bool:
    return choose_device(recipe.trainer.device).type == "cuda"


class _Chosen(Dataset[SequenceItem]):
    """Some of the items of a data set, by an index or (epoch, index)."""

    def __init__(self, dataset: Any, positions: list[int]) -> None:
        self.dataset = dataset
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, key: int | tuple[int, int]) -> SequenceItem:
        if isinstance(key, tuple):
            return self.dataset[key[0], self.positions[key[1]]]
        return self.dataset[self.positions[key]]
