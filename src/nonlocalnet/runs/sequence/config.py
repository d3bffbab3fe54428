"""A run on sequences as plain data: its network, its data, and the recipe that holds them.

Nothing here is in the paper, which has no sequences but videos. jsonargparse builds the command line from these
classes, the `Args` are its help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nonlocalnet.block import BlockOptions
from nonlocalnet.block.positions import Choice
from nonlocalnet.data.sound.rates import RATES
from nonlocalnet.engine.config import (
    OptimConfig,
    Recipe,
    ScheduleConfig,
    TrainerConfig,
    require,
    require_at_least,
    require_equal_shares,
    require_finite_in,
)
from nonlocalnet.functional import Pairwise
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.names import SequenceName
from nonlocalnet.runs.sequence.sources import SOURCES, SourceName

KIND = SequenceCard.kind
_LONGEST = 10_000_000  # steps of a made sequence: one of the adding problem is 80 MB then
METRICS = {"accuracy": "accuracy", "f1": "mean F1", "r2": "R2"}
"""Keys of `SequenceRecipe.published` and of summary.json, as columns are headed."""

_OF_BLOCK = (
    *("pairwise", "inner_channels", "scale", "subsample", "window", "dilation", "causal", "norm", "zero_init"),
    "init_std",
)
_COUNTS = ("positions_anneal_steps", "positions_random", "positions_distil")
_CHOICES = ("positions", "key_blocks")


@dataclass(frozen=True)
class SequenceModelConfig:
    """The network: a front, a recurrence with its non-local blocks, and a head, which `data.source` decides.

    Args:
        architecture: "features_", "tokens_" or "sound_", as `data.source` needs it, and "gru" or "lstm".
        num_classes: Classes or tags; null for as many as the data have.
        pool: What a sequence's class or number is taken from: the "last" step, or the "mean" of all.
        hidden_size: Channels of each layer and direction.
        num_layers: Recurrences, one after the other.
        bidirectional: Read every sequence from both ends.
        after: Numbers of the layers that a block follows, from 0; null for all but the last, or the only one; [] for
            none.
        dropout: Probability of dropping a value between layers and before the head, in [0, 1].
        embedding_size: Numbers of a token.
        sample_rate: Samples a second of the sounds, which are brought to it.
        n_fft: Samples of a window of the log-mels.
        hop_length: Samples from window to window.
        n_mels: Bands of the log-mels.
        pairwise: Pairwise function f of equation 1.
        inner_channels: Channels of theta, phi and g; null for half the block's channels.
        scale: Factor on the logits of the Gaussian forms, or "rsqrt" for inner_channels ** -0.5.
        subsample: Max-pooling of the side summed over, by so many steps; null for none.
        positions: Sum over so many positions, chosen by a learned score (`nonlocalnet.block.LearnedPositions`, whose k
            this is), in the place of all or of pooling; null for none. The fields positions_* are that class's others.
        positions_slope: Add to the score a learned slope times the position.
        positions_anneal_steps: Steps over which the number goes down from all positions to `positions`.
        positions_random: Positions drawn beside the chosen in training.
        positions_distil: Queries whose weights teach the score; its loss is added to that of the task.
        positions_by: "learned", or to compare: "random", "every" (M/k-th), "norm".
        key_blocks_size: Positions of a block of keys (`nonlocalnet.block.KeyBlocks`); null for none.
        key_blocks_count: Blocks that each query chooses.
        window: Sum over so many positions around each, or before it where causal; null for all.
        dilation: Distance between two positions of the window.
        causal: Sum over what came before only.
        norm: "layer" for LayerNorm after the output convolution, "batch", or null for none.
        zero_init: Start every block as the identity.
        init_std: Standard deviation of fresh convolutions of a block, or "fan_in" for that of their inputs ** -0.5.
    """

    architecture: SequenceName = "features_gru"
    num_classes: int | None = None
    pool: Literal["last", "mean"] = "last"
    hidden_size: int = 64
    num_layers: int = 1
    bidirectional: bool = False
    after: list[int] | None = None
    dropout: float = 0.0
    embedding_size: int = 32
    sample_rate: int = 8000
    n_fft: int = 256
    hop_length: int = 80
    n_mels: int = 40
    pairwise: Pairwise = "embedded_gaussian"
    inner_channels: int | None = None
    scale: float | Literal["rsqrt"] = 1.0
    subsample: int | None = None
    positions: int | None = None
    positions_slope: bool = False
    positions_anneal_steps: int = 0
    positions_random: int = 0
    positions_distil: int = 0
    positions_by: Choice = "learned"
    key_blocks_size: int | None = None
    key_blocks_count: int = 1
    window: int | None = None
    dilation: int = 1
    causal: bool = False
    norm: Literal["layer", "batch"] | None = "layer"
    zero_init: bool = True
    init_std: float | Literal["fan_in"] = "fan_in"

    def __post_init__(self) -> None:
        sizes = ("num_classes", "hidden_size", "num_layers", "embedding_size", "inner_channels", "subsample")
        sizes += ("sample_rate", "n_fft", "hop_length", "n_mels", "positions", "key_blocks_size", "key_blocks_count")
        for name in sizes:
            require_at_least(f"model.{name}", getattr(self, name), 1)
        require_finite_in("model.sample_rate", self.sample_rate, *RATES)
        require_finite_in("model.dropout", self.dropout, 0, 1)
        self._check_choice()
        if not isinstance(self.scale, str):
            require_finite_in("model.scale", self.scale, 0, 1e6, open_low=True)

    def _check_choice(self) -> None:
        """Refuse fields of a choice of positions that is not made, and two choices at once."""
        own = SequenceModelConfig.__dataclass_fields__
        for choice in _CHOICES:
            chosen = getattr(self, "positions" if choice == "positions" else "key_blocks_size") is not None
            for name in (name for name in own if name.startswith(f"{choice}_") and name != "key_blocks_size"):
                value, unused = getattr(self, name), own[name].default
                needed = "positions" if choice == "positions" else "key_blocks_size"
                require(chosen or value == unused, f"model.{name}", value, f"{unused!r} without model.{needed}")
        self._check_positions()
        choices = ("subsample", "positions", "key_blocks_size", "window")
        chosen = [name for name in choices if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise ValueError(f"model.{chosen[0]} and model.{chosen[1]} are two choices of positions: give one of them")
        try:
            BlockOptions(**self.block_options())
        except ValueError as error:
            raise ValueError(f"model: {error}") from None

    def _check_positions(self) -> None:
        """What `LearnedPositions` refuses beside k, by the names of these fields."""
        for name in _COUNTS:
            require_at_least(f"model.{name}", getattr(self, name), 0)
        if self.positions_by != "learned":
            for name in ("positions_slope", *_COUNTS):
                value = getattr(self, name)
                require(not value, f"model.{name}", value, f"left out with model.positions_by={self.positions_by}")
        if self.causal:
            for name in ("positions_random", "positions_distil"):
                require(not getattr(self, name), f"model.{name}", getattr(self, name), "0 with model.causal")
            allowed = "another choice with model.causal (it has to know how many positions there will be)"
            require(self.positions_by != "every", "model.positions_by", self.positions_by, allowed)

    def block_options(self) -> dict[str, Any]:
        """What `nonlocalnet.block.BlockOptions` is given of it, all of them JSON values."""
        options = {name: getattr(self, name) for name in _OF_BLOCK}
        if self.positions is not None:
            names = ("slope", "anneal_steps", "random", "distil", "by")
            options["subsample"] = {"k": self.positions, **{name: getattr(self, f"positions_{name}") for name in names}}
        if self.key_blocks_size is not None:
            options["subsample"] = {"size": self.key_blocks_size, "count": self.key_blocks_count}
        return options


BLOCK_FIELDS = (*_OF_BLOCK, *(name for name in SequenceModelConfig.__dataclass_fields__ if name.startswith(_CHOICES)))
"""Fields of the network that say what its blocks are."""


@dataclass(frozen=True)
class SequenceDataConfig:
    """The data: what they are, where, and how much is made or taken of them.

    Args:
        source: "adding" (two marked numbers are to be added), "copy" (symbols are to be repeated), "recall" (of keys
            with values, the value of each), "mentions" (which
            name a masked mention in prose repeats), "recurring_tones" and "recurring_digits" (whether the first sound
            recurs at the end), "spoken_digits" (files named digit_speaker_index.wav), or own data: "sounds", "texts",
            "tags".
        root: Folder of data that are not made; the names below are relative to it.
        train: Training list of own data: class folders or a csv (path,label or text,label), or `token TAG` lines.
        val: List for the validation during training.
        test: List that is tested; null for the validation list.
        limit: Use this many sequences of each list, spread evenly over it, for a quick look; null for all.
        num_train: Made sequences to train on.
        num_val: Made sequences to validate on.
        num_test: Made sequences to test on.
        length: Steps of a made sequence, from 2 to 10,000,000: T of the adding problem, blanks of copy memory, keys of
            recall (a third of its steps), bytes of a text of mentions.
        candidates: Names of which a masked mention repeats one, from 2 to 8.
        sounds_per_item: Sounds of a string of recurring ones, at least 4.
        seed: Of what is made; at least 0. Training, validation and test have streams of their own.
        held_out: Speakers of spoken digits who are for the test alone; [] for the usual split by number.
        longest_seconds: A longer sound counts as unreadable.
        units: What a text is made of: "bytes", or "words" of a vocabulary of the training texts; tags are for words.
        min_count: A word that stands in fewer places of the training data is unknown.
        max_words: Words of the vocabulary at most, the most frequent ones; null for all.
        max_length: Bytes or words of a text at most, the rest is left out; null for all.
        workers: Loader processes per training process; 0 for none. Results do not depend on it.
        max_unreadable: Share of training sounds, in [0, 1], that may stand in for some that cannot be read; training
            stops when it is clearly above.
    """

    source: SourceName = "adding"
    root: str | None = None
    train: str = "train"
    val: str = "val"
    test: str | None = None
    limit: int | None = None
    num_train: int = 50_000
    num_val: int = 1000
    num_test: int = 1000
    length: int = 400
    candidates: int = 4
    sounds_per_item: int = 8
    seed: int = 0
    held_out: tuple[str, ...] = ()
    longest_seconds: float = 60.0
    units: Literal["bytes", "words"] = "bytes"
    min_count: int = 1
    max_words: int | None = None
    max_length: int | None = None
    workers: int = 0
    max_unreadable: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "held_out", tuple(self.held_out))
        for name in ("limit", "num_train", "num_val", "num_test", "min_count", "max_words", "max_length"):
            require_at_least(f"data.{name}", getattr(self, name), 1)
        require(2 <= self.length <= _LONGEST, "data.length", self.length, f"from 2 to {_LONGEST:,}")
        require(2 <= self.candidates <= 8, "data.candidates", self.candidates, "from 2 to 8")
        require_at_least("data.sounds_per_item", self.sounds_per_item, 4)
        require(0 <= self.seed < 2**62, "data.seed", self.seed, "in [0, 2**62)")
        require_finite_in("data.longest_seconds", self.longest_seconds, 0, 1e6, open_low=True)
        require_at_least("data.workers", self.workers, 0)
        require_finite_in("data.max_unreadable", self.max_unreadable, 0, 1)
        has_speakers = self.source in ("spoken_digits", "recurring_digits")
        require(has_speakers or not self.held_out, "data.held_out", list(self.held_out), "[] but for spoken digits")


# Adam with the gradient's norm limited, as recurrences are trained (Bai et al., arXiv 1803.01271).
OPTIM = OptimConfig(method="adamw", lr=0.001, nesterov=False, weight_decay=0.0, batch_size=32, grad_clip=1.0)
"""The optimiser's defaults."""

# What these networks have no use for, and the value that says so.
_UNUSED: dict[str, dict[str, object]] = {
    "optim": {"freeze_bn": False},
    "trainer": {"channels_last": False, "compile": False, "compile_mode": "default", "recompute": False},
}


@dataclass(frozen=True)
class SequenceRecipe(Recipe):
    """One complete run on sequences; the other fields are those of every `Recipe`.

    Args:
        optim: The optimiser.
        schedule: The length and the learning rate.
        trainer: The device, the seed and the logs.
        model: The network.
        data: The data.
    """

    optim: OptimConfig = OPTIM
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(steps=1500, milestones=()))
    trainer: TrainerConfig = field(default_factory=lambda: TrainerConfig(val_every=100, checkpoint_every=100))
    model: SequenceModelConfig = field(default_factory=SequenceModelConfig)
    data: SequenceDataConfig = field(default_factory=SequenceDataConfig)

    def __post_init__(self) -> None:
        require_equal_shares(self)
        if self.trainer.channels_last == "auto":
            object.__setattr__(self, "trainer", replace(self.trainer, channels_last=False))
        for section, values in _UNUSED.items():
            for name, unused in values.items():
                value = getattr(getattr(self, section), name)
                require(value == unused, f"{section}.{name}", value, f"{unused!r} for a network of sequences")
        require(self.trainer.strategy != "fsdp", "trainer.strategy", "fsdp", "'auto' or 'ddp' for sequences")


def require_fitting_front(recipe: SequenceRecipe) -> None:
    """Refuse a network that reads something else than the data are.

    Raises:
        ValueError: Names the two fields.
    """
    front = SOURCES[recipe.data.source].front
    wanted = f"{front}_gru or {front}_lstm for data.source = {recipe.data.source!r}"
    fits = recipe.model.architecture.startswith(f"{front}_")
    require(fits, "model.architecture", recipe.model.architecture, wanted)


def recipe_from_plain(saved: Mapping[str, Any]) -> SequenceRecipe:
    """The recipe that a checkpoint or a summary.json holds as plain data."""
    sections = {
        "model": SequenceModelConfig(**saved["model"]),
        "data": SequenceDataConfig(**saved["data"]),
        "optim": OptimConfig(**saved["optim"]),
        "schedule": ScheduleConfig(**saved["schedule"]),
        "trainer": TrainerConfig(**saved["trainer"]),
    }
    return SequenceRecipe(**{**saved, **sections})
