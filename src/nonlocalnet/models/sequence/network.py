"""A sequence network: a front, a recurrence with its blocks, a head; what it was built from, and its scores.

    x --> front --> (B, T, C) --> GRU or LSTM with non-local blocks --> (B, T, H) --> head
                                                                                      classify: (B, classes)
                                                                                      tag:      (B, T, classes)
                                                                                      regress:  (B,)

Shapes: B batch, T steps after the front, C and H channels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

import torch.nn.functional as F
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn
from typing_extensions import override

from nonlocalnet.block import BlockOptions, KeyBlocks, LearnedPositions
from nonlocalnet.block.options import one_of, positive
from nonlocalnet.models.architecture import named_row
from nonlocalnet.models.pretrained import PretrainedNetwork, filled
from nonlocalnet.models.readme_parts import PAPER_URL
from nonlocalnet.models.sequence.architectures import ARCHITECTURES, Pool, Task
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.front import Front
from nonlocalnet.models.sequence.lengths import Lengths, checked_lengths, valid_steps
from nonlocalnet.models.sequence.readme import readme
from nonlocalnet.models.sequence.recurrent import SEQUENCE_BLOCK, NonLocalGRU, NonLocalLSTM
from nonlocalnet.system.numeric import is_number

_MOST_LAYERS = 64  # a file that says more would take minutes to refuse


class Head(nn.Module):
    """From the steps of a recurrence to classes, tags or a number.

    Args:
        channels: H.
        task: "classify" or "regress", one result a sequence, or "tag", one a step.
        outputs: Numbers of a result.
        pool: For one result a sequence, the step that it is taken from: "last", where each direction of the recurrence
            ends, or "mean", all of them.
        directions: Of the recurrence; the second ends at the first step.
        dropout: Probability of dropping a value before the projection.
    """

    def __init__(
        self, channels: int, *, task: Task, outputs: int, pool: Pool, directions: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.task: Task = task
        self.pool: Pool = pool
        self.directions, self.dropout = directions, dropout
        self.projection = nn.Linear(channels, outputs)

    def forward(self, x_BTH: Tensor, kept_BT: Tensor | None = None) -> Tensor:
        """(B, outputs), or (B, T, outputs) for "tag", 0 in the padding; "regress" gives (B,)."""
        features = x_BTH if self.task == "tag" else self._pooled(x_BTH, kept_BT)
        result = self.projection(F.dropout(features, self.dropout, self.training))
        if self.task == "tag" and kept_BT is not None:
            return result.masked_fill(~kept_BT.unsqueeze(2), 0.0)
        return result.squeeze(1) if self.task == "regress" else result

    def _pooled(self, x_BTH: Tensor, kept_BT: Tensor | None) -> Tensor:
        if self.pool == "mean":  # the padding is 0 already
            return x_BTH.mean(dim=1) if kept_BT is None else x_BTH.sum(dim=1) / kept_BT.sum(dim=1, keepdim=True)
        if kept_BT is None:
            last_BH = x_BTH[:, -1]
        else:
            ends_B11 = (kept_BT.sum(dim=1) - 1).view(-1, 1, 1)
            last_BH = x_BTH.gather(1, ends_B11.expand(-1, -1, x_BTH.shape[2])).squeeze(1)
        if self.directions == 1:
            return last_BH
        own = x_BTH.shape[2] // 2
        return F.pad(last_BH[:, :own], (0, own)) + F.pad(x_BTH[:, 0, own:], (own, 0))


class SequenceNetwork(
    nn.Module,
    PretrainedNetwork,
    ModelHubMixin,
    library_name="nonlocalnet",
    paper_url=PAPER_URL,
    tags=["non-local", "sequences"],
):
    """A network that reads sequences; the factories of `nonlocalnet.models.sequence` build it.

    `save_pretrained(folder)`, `from_pretrained(folder or hub id)` and `push_to_hub(id)` are huggingface_hub's; a file
    holds the weights and the card, which README.md says in words.

    Children: ``front``, ``recurrence`` (`NonLocalGRU` or `NonLocalLSTM`, batch first) and ``head``.

    Attributes:
        built_from: The factory's name and keyword arguments; None for a network built by hand.
        card: What is known of the weights; None for a fresh network.
    """

    built_from: dict[str, Any] | None = None
    card: SequenceCard | None = None

    def __init__(self, front: Front, recurrence: NonLocalGRU | NonLocalLSTM, head: Head) -> None:
        super().__init__()
        self.front, self.recurrence, self.head = front, recurrence, head

    @property
    def task(self) -> Task:
        """What its results are."""
        return self.head.task

    @property
    def num_classes(self) -> int | None:
        """Classes or tags; None for a number."""
        return None if self.task == "regress" else self.head.projection.out_features

    def steps(self, lengths: Tensor) -> Tensor:
        """Steps after the front, of so many steps or samples before it: what a tagger gives tags for."""
        return self.front.steps(lengths)

    def forward(self, x: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Logits, or a number.

        Args:
            x: What the front reads, padded to one length: features (B, T, C), tokens (B, T) of any integer type, or a
                sound's samples (B, S).
            lengths: (B,) integers, the steps or samples of each sequence that are no padding; None: all.

        Returns:
            "classify": (B, classes); "tag": (B, T, classes), 0 in the padding; "regress": (B,).

        Raises:
            ValueError: x or lengths has the wrong shape or type, a length is not from 1 to T, or a token is none.
        """
        if lengths is None or x.dim() < 2:
            return self.head(self.recurrence(self.front(x))[0])
        given = checked_lengths(lengths, batch=x.shape[0], steps=x.shape[1])
        features = self.front(x, valid_steps(given, x.shape[1], x.device))
        kept = self.front.steps(given)
        output, _ = self.recurrence(features, kept)
        return self.head(output, valid_steps(kept, output.shape[1], x.device))

    def scores(self, x: Tensor, lengths: Lengths | None = None) -> Tensor:
        """As `forward`, but of classes and tags the probabilities, 0 in the padding."""
        logits = self(x, lengths)
        if self.task == "regress":
            return logits
        scores = logits.softmax(dim=-1)
        if self.task == "tag" and lengths is not None:
            given = checked_lengths(lengths, batch=x.shape[0], steps=x.shape[1])
            scores = scores.masked_fill(~valid_steps(self.steps(given), scores.shape[1], x.device).unsqueeze(2), 0.0)
        return scores

    @override
    def whole_card(self) -> SequenceCard:
        """What is known of the weights, of a fresh network what it was built from."""
        return self.card or fresh_card(self)

    @override
    def readme(self, card: SequenceCard, *, hub_id: str | None) -> str:
        """The text of README.md below its metadata."""
        return readme(card, hub_id=hub_id)

    @classmethod
    @override
    def of_file(cls, tensors: dict[str, Tensor], plain: object, *, path: str | os.PathLike[str]) -> SequenceNetwork:
        """The network of a file's tensors and card, in eval mode."""
        card = SequenceCard.from_plain(plain, path=path)
        network = filled(build, tensors, card, path=path)
        network.card = card
        return network


def build(name: str, arguments: Mapping[str, Any]) -> SequenceNetwork:
    """Build a network by name.

    Args:
        name: One of `ARCHITECTURES`.
        arguments: Keyword arguments of its factory, all of which may be JSON values; its defaults stand for the rest.

    Returns:
        The network in training mode; it says what it was built from.

    Raises:
        ValueError: If there is no such network, or an argument is out of range.
        TypeError: If there is no such argument; named.
    """
    row = named_row(ARCHITECTURES, name, arguments)
    given = {**row.defaults, **arguments}
    front = row.front(**{option: given[option] for option in row.front_defaults})
    block = BlockOptions(**{option: given[option] for option in vars(SEQUENCE_BLOCK)})
    layers = positive("num_layers", given["num_layers"])
    if layers > _MOST_LAYERS:
        raise ValueError(f"num_layers may be {_MOST_LAYERS} at most, got {layers}")
    recurrence = row.recurrence(
        front.size,
        given["hidden_size"],
        num_layers=layers,
        batch_first=True,
        dropout=given["dropout"] if layers > 1 else 0.0,  # before the head it is always
        bidirectional=given["bidirectional"],
        after=given["after"],
        block=block,
    )
    network = SequenceNetwork(front, recurrence, _head(given, recurrence.output_size))
    chosen = given["subsample"]
    if isinstance(chosen, (LearnedPositions, KeyBlocks)):  # a card holds JSON
        given["subsample"] = asdict(chosen)
    network.built_from = {"architecture": name, "arguments": given}
    return network


def _head(given: Mapping[str, Any], channels: int) -> Head:
    task: Task = one_of("task", given["task"], ("classify", "tag", "regress"))
    classes, dropout = given["num_classes"], given["dropout"]
    if task == "regress" and classes is not None:
        raise ValueError(f'task="regress" gives one number a sequence: leave out num_classes, got {classes!r}')
    if not is_number(dropout) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a probability from 0 to 1, got {dropout!r}")
    return Head(
        channels,
        task=task,
        outputs=1 if task == "regress" else positive("num_classes", cast(int, classes)),
        pool=one_of("pool", given["pool"], ("last", "mean")),
        directions=2 if given["bidirectional"] else 1,
        dropout=float(dropout),
    )


def fresh_card(network: SequenceNetwork) -> SequenceCard:
    """The card of a network of which nothing else is known.

    Raises:
        ValueError: If no factory built the network: its file could not say how to.
    """
    if network.built_from is None:
        raise ValueError(
            "the network was built by hand; build it by a factory of nonlocalnet.models.sequence to give it a file"
        )
    return SequenceCard(**network.built_from)
