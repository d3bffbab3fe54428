"""Sequences: tasks with long ranges, the same recurrence without and with non-local blocks, and own sounds and texts.

Not in the paper. The tasks are Hochreiter and Schmidhuber's ("Long short-term memory", Neural Computation 1997) in the
form of Bai, Kolter and Koltun (arXiv 1803.01271): the adding problem (their Section 4.1: 50,000 sequences to train on,
1000 to test) and copy memory (10 symbols of 8). Theirs on the adding problem of T = 600, mean squared error after
training until it no longer changes: LSTM 0.164, GRU 5.3e-5, TCN 5.8e-5 (their Table 1). Ours have at most 1500 steps,
and everything but the block is equal in the arms of a task.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from nonlocalnet.engine.config import ScheduleConfig, TrainerConfig
from nonlocalnet.functional import PAIRWISE, Pairwise
from nonlocalnet.runs.sequence.config import OPTIM, SequenceDataConfig, SequenceModelConfig, SequenceRecipe

Arm = Literal["gru", "positions"] | Pairwise
ARMS: tuple[Arm, ...] = ("gru", *PAIRWISE, "positions")
"""The recurrence alone, with a block of each pairwise function, and with one that sums over learned positions."""
POSITIONS = 16
"""How many are learned, of 100 to 2000."""


def adding(length: int, arm: Arm) -> SequenceRecipe:
    """The adding problem of so many steps."""
    return _task(
        f"adding_t{length}", f"adding problem, T = {length}", "features_gru", arm, source="adding", length=length
    )


def copy(length: int, arm: Arm) -> SequenceRecipe:
    """Copy memory over so many blanks."""
    return _task(f"copy_t{length}", f"copy memory, T = {length}", "tokens_gru", arm, source="copy", length=length)


def _task(
    name: str,
    row: str,
    architecture: Literal["features_gru", "tokens_gru"],
    arm: Arm,
    *,
    source: Literal["adding", "copy"],
    length: int,
) -> SequenceRecipe:
    what = {"gru": "GRU", "positions": f"GRU and a block, {POSITIONS} learned positions"}.get(arm)
    what = what or f"GRU and a block, {arm.replace('_', ' ')}"
    return SequenceRecipe(
        name=f"{name}_{arm}",
        row=f"{row}: {what}",
        model=_with_block(SequenceModelConfig(architecture=architecture, hidden_size=64), arm),
        data=SequenceDataConfig(source=source, length=length),
        optim=OPTIM,
        schedule=ScheduleConfig(steps=1500, milestones=()),
        # In float32 on any device: the error to be reached is small. 250 sequences are enough to see when.
        trainer=TrainerConfig(precision="32-true", val_every=50, checkpoint_every=50, limit_val=250),
    )


def _with_block(model: SequenceModelConfig, arm: Arm) -> SequenceModelConfig:
    """The network of an arm; the block takes part from the first step, since these runs are short."""
    if arm == "gru":
        return replace(model, after=[])
    if arm == "positions":
        # From all positions to 16 over a third of the run; one that is not chosen learns nothing but by chance.
        chosen = {"positions": POSITIONS, "positions_anneal_steps": 500, "positions_random": 4}
        return replace(model, **chosen, zero_init=False)
    return replace(model, pairwise=arm, zero_init=False)


RECIPES: tuple[SequenceRecipe, ...] = (
    *(adding(length, arm) for length in (100, 400, 1000, 2000) for arm in ARMS),
    *(copy(1000, arm) for arm in ARMS),
)
"""In the order in which they are listed."""
