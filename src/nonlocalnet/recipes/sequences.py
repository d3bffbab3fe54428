"""Sequences: tasks with long ranges, the same recurrence without and with non-local blocks, and own sounds and texts.

Not in the paper. The tasks are Hochreiter and Schmidhuber's ("Long short-term memory", Neural Computation 1997) in the
form of Bai, Kolter and Koltun (arXiv 1803.01271): the adding problem (their Section 4.1: 50,000 sequences to train on,
1000 to test) and copy memory (10 symbols of 8); associative recall, in which every question wants another place, is
after Arora et al. (arXiv 2312.04927). Bai et al. on the adding problem of T = 600, mean squared error after training
until it no longer changes: LSTM 0.164, GRU 5.3e-5, TCN 5.8e-5 (their Table 1). Ours have at most 1500 steps, and
everything but the block is equal in the arms of a task.
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


def recall(pairs: int, arm: Arm) -> SequenceRecipe:
    """Associative recall of so many keys and values."""
    row = f"associative recall, {pairs} keys"
    return _task(f"recall_k{pairs}", row, "tokens_gru", arm, source="recall", length=pairs)


def _task(
    name: str,
    row: str,
    architecture: Literal["features_gru", "tokens_gru"],
    arm: Arm,
    *,
    source: Literal["adding", "copy", "recall"],
    length: int,
) -> SequenceRecipe:
    return SequenceRecipe(
        name=f"{name}_{arm}",
        row=f"{row}: {_described(arm)}",
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
        return replace(model, positions=POSITIONS, positions_anneal_steps=500, positions_random=4, zero_init=False)
    return replace(model, pairwise=arm, zero_init=False)


def mentions(arm: Arm) -> SequenceRecipe:
    """Which of four names a masked mention in real prose repeats (`nonlocalnet.data.generated.mentions`)."""
    return _arm(
        SequenceRecipe(
            name=f"mentions_text_{arm}",
            row=f"masked mentions in prose: {_described(arm)}",
            model=SequenceModelConfig(architecture="tokens_gru"),
            data=SequenceDataConfig(source="mentions", length=1000),
            trainer=_TRAINER,
        ),
        arm,
    )


def recurring(what: Literal["tones", "digits"], arm: Arm) -> SequenceRecipe:
    """Whether the first of eight sounds recurs at the end: generated tones, or spoken digits."""
    return _arm(
        SequenceRecipe(
            name=f"recurring_{what}_{arm}",
            row=f"recurring {what}: {_described(arm)}",
            model=SequenceModelConfig(architecture="sound_gru"),
            data=SequenceDataConfig(source="recurring_tones" if what == "tones" else "recurring_digits"),
            trainer=_TRAINER,
        ),
        arm,
    )


def spoken_digits(*, held_out: bool) -> SequenceRecipe:
    """Which digit is spoken (the Free Spoken Digit Dataset): by known speakers, or by two who are held out."""
    return SequenceRecipe(
        name="spoken_digits_speakers" if held_out else "spoken_digits",
        row=f"spoken digits, {'speakers theo and nicolas held out' if held_out else 'the usual split'}",
        model=replace(_READER, architecture="sound_gru"),
        data=SequenceDataConfig(source="spoken_digits", held_out=("nicolas", "theo") if held_out else ()),
    )


def own(source: Literal["sounds", "texts", "tags"]) -> SequenceRecipe:
    """Own data: the lists say the classes, the words and the number of steps."""
    name, row = {
        "sounds": ("sound_classes", "own sounds: class folders of them or a csv of path,label"),
        "texts": ("text_classes", "own texts: a csv of text,label or class folders of files"),
        "tags": ("tags", "own tags: a file of `token TAG` lines"),
    }[source]
    suffix = {"sounds": "", "texts": ".csv", "tags": ".txt"}[source]
    return SequenceRecipe(
        name=name,
        row=row,
        model=replace(_READER, architecture="sound_gru" if source == "sounds" else "tokens_gru"),
        data=SequenceDataConfig(
            source=source,
            train=f"train{suffix}",
            val=f"val{suffix}",
            units="bytes" if source == "sounds" else "words",
        ),
        epochs=30,
    )


# Two layers that read from both ends, with a block between them.
_READER = SequenceModelConfig(num_layers=2, bidirectional=True, zero_init=False)
_TRAINER = TrainerConfig(val_every=50, checkpoint_every=50, limit_val=250)


def _described(arm: Arm) -> str:
    known = {"gru": "GRU", "positions": f"GRU and a block, {POSITIONS} learned positions"}
    return known.get(arm, f"GRU and a block, {arm.replace('_', ' ')}")


def _arm(recipe: SequenceRecipe, arm: Arm) -> SequenceRecipe:
    return replace(recipe, model=_with_block(recipe.model, arm))


_FEW: tuple[Arm, ...] = ("gru", "embedded_gaussian", "dot_product", "positions")

RECIPES: tuple[SequenceRecipe, ...] = (
    *(adding(length, arm) for length in (100, 400, 1000, 2000) for arm in ARMS),
    *(copy(1000, arm) for arm in ARMS),
    *(recall(64, arm) for arm in ARMS),
    *(mentions(arm) for arm in _FEW),
    *(recurring("tones", arm) for arm in _FEW),
    *(recurring("digits", arm) for arm in _FEW),
    spoken_digits(held_out=False),
    spoken_digits(held_out=True),
    own("sounds"),
    own("texts"),
    own("tags"),
)
"""In the order in which they are listed."""
