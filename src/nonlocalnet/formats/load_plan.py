"""What is to be built from a file and how its tensors go into it: one plan for every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal

from torch import Tensor
from typing_extensions import Self, TypeVar

from nonlocalnet.formats.names import NameTable
from nonlocalnet.functional import Pairwise
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.models.video.card import VideoCard
from nonlocalnet.models.video.network import build

# Of most files that there are, a network that classifies videos.
NetworkT = TypeVar("NetworkT", bound=VideoResNet | SequenceNetwork, default=VideoResNet)
CardT = TypeVar("CardT", bound=VideoCard | SequenceCard, default=VideoCard)
_BUILD: Any = build  # a video network, NetworkT's own default

Scale = float | Literal["rsqrt"]
# Of a block: kernel and stride of its pooling (a number pools space only), none, or what the file or its program has.
Subsample = int | tuple[int, int, int] | Literal["file"] | None


@dataclass(frozen=True)
class Hints:
    """What the caller says of a file, for what the file leaves open: each is None where the file is to say it.

    Attributes:
        clip: Frames x frame stride, such as "32x2".
        pairwise: The pairwise function of the blocks.
        scale: Factor on the logits of their softmax.
        subsample: What they pool; None is no pooling, so "file" leaves it to the file.
    """

    clip: str | None = None
    pairwise: Pairwise | None = None
    scale: Scale | None = None
    subsample: Subsample = "file"


@dataclass(frozen=True)
class LoadPlan(Generic[NetworkT, CardT]):
    """A network to build and the tensors to fill it with.

    Attributes:
        path: The file.
        format: Whose file it is, for people.
        table: Its names beside ours.
        tensors: By the file's names.
        dropped: Names of what is left out, with the reason ("optimiser state").
        architecture: Factory of `nonlocalnet.models`.
        arguments: Its keyword arguments.
        card: The card that the network will carry.
        build: Builds the network from the two.
        statements: What was taken from where, one sentence each.
        zero_filled: Our names of tensors that the format does not hold because they are zero.
        fresh: Our names of tensors that keep their initial values: a new classifier's.
        described_by: What the network was derived from, for the errors.
    """

    path: str
    format: str
    table: NameTable
    tensors: dict[str, Tensor]
    architecture: str
    arguments: dict[str, Any]
    card: CardT
    build: Callable[[str, Mapping[str, Any]], NetworkT] = _BUILD
    dropped: dict[str, str] = field(default_factory=dict)
    statements: tuple[str, ...] = ()
    zero_filled: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()
    described_by: str = "what its names, shapes and settings say"

    def with_classes(self, num_classes: int) -> Self:
        """The same plan with a new classifier; the file's is dropped."""
        old = self.arguments.get("num_classes") or "none"
        heads = [n for n in self.tensors if (self.table.to_ours(n) or "").startswith("head.")]
        arguments = {**self.arguments, "num_classes": num_classes}
        return replace(
            self,
            arguments=arguments,
            tensors={name: tensor for name, tensor in self.tensors.items() if name not in heads},
            fresh=frozenset(f"head.projection.{part}" for part in ("weight", "bias")),
            dropped={**self.dropped, **dict.fromkeys(heads, "the classifier, which is replaced")},
            card=replace(self.card, arguments=arguments, class_names=None, results=None),
            statements=(
                *self.statements,
                f"the classifier is new: {num_classes} classes in place of {old}; it must be trained before use",
            ),
        )


def same_names(tensors: dict[str, Tensor], table: NameTable) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that the table knows, by our names."""
    shapes = {}
    for name, tensor in tensors.items():
        ours = table.to_ours(name)
        if ours is not None:
            shapes[ours] = tuple(tensor.shape)
    return shapes
