"""What may stand in the place of pooling: positions that are learned, blocks of keys that each query chooses.

subsample=LearnedPositions(64)       64 positions for all queries, by a learned score of each
subsample=KeyBlocks(16, count=4)     4 blocks of 16 for each query, by the mean of their keys
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from typing_extensions import override

from nonlocalnet.functional.precision import is_exporting

Choice = Literal["learned", "random", "every", "norm"]

_UNIT = 1000  # positions along an axis that one step of a slope stands for


@dataclass(frozen=True)
class LearnedPositions:
    """The j side is k positions, the same for every i: those with the highest p = SparseK(u), u_j = w . x_j.

    SparseK is that of Lou et al. (arXiv 2406.16747): p is the projection of the scores on {0 <= p <= 1, sum p = k}, and
    g is multiplied by p, which is how the scores learn. Where more than k positions have p above 0, those past the k-th
    are dropped. With k of the number of positions or more, the block is the one without `subsample`.

    Attributes:
        k: Positions of a set that is summed together (a frame, with domain "space"); all where there are no more.
        slope: Add to u_j a learned slope times the position, along each axis, so that w need not tell early from late.
        anneal_steps: Training steps (calls in train mode) over which the number goes down from all positions to k, by a
            constant factor a step; until then eval mode takes the number that training has come to. 0: k at once.
        random: Positions drawn beside the chosen at every call in train mode. A position with p = 0 has no gradient;
            one that is drawn has that of u - tau. Not with causal blocks.
        distil: Queries whose weights teach the scores; 0: none. In train mode the block keeps the cross-entropy between
            softmax(u) and the mean weight that so many random queries give to each position (of dot products the
            absolute value), and `auxiliary_loss` collects it. Not with causal blocks.
        by: "learned"; or one of the comparisons, without p: "random" (k new ones at every call), "every" (every M/k-th;
            not with causal blocks, which do not know M), "norm" (those with the longest g).

    Raises:
        ValueError: A number is out of range, or belongs to by="learned" only.
    """

    k: int
    slope: bool = False
    anneal_steps: int = 0
    random: int = 0
    distil: int = 0
    by: Choice = "learned"

    def __post_init__(self) -> None:
        _at_least("k", self.k, 1)
        for name in ("anneal_steps", "random", "distil"):
            _at_least(name, getattr(self, name), 0)
        if not isinstance(self.slope, bool):
            raise ValueError(f"slope must be True or False, got {self.slope!r}")
        if self.by not in get_args(Choice):
            raise ValueError(f"by must be one of {', '.join(map(repr, get_args(Choice)))}, got {self.by!r}")
        if self.by != "learned":
            for name in ("slope", "anneal_steps", "random", "distil"):
                if getattr(self, name):
                    raise ValueError(f'{name} belongs to by="learned": leave it out with by={self.by!r}')

    def check_causal(self) -> None:
        """Refuse what a causal block cannot do.

        Raises:
            ValueError: Naming the option.
        """
        for name in ("random", "distil"):
            if getattr(self, name):
                raise ValueError(f"{name} looks at all positions: it is not for causal=True, got {getattr(self, name)}")
        if self.by == "every":
            raise ValueError('by="every" needs to know how many positions there will be: it is not for causal=True')


@dataclass(frozen=True)
class KeyBlocks:
    """Each i sums over the keys of the blocks whose mean key it likes best (MoBA, Lu et al., arXiv 2502.13189).

    A comparison for `LearnedPositions` where queries want different places; its time grows with N M.

    Attributes:
        size: Keys of a block, in row-major order.
        count: Blocks for each position; in a causal block the one it is in is always among them.

    Raises:
        ValueError: A number is out of range.
    """

    size: int
    count: int

    def __post_init__(self) -> None:
        _at_least("size", self.size, 1)
        _at_least("count", self.count, 1)


def chosen_from_plain(plain: Mapping[str, Any]) -> LearnedPositions | KeyBlocks:
    """What a file says of the choice: the fields of one of the two, by name.

    Raises:
        ValueError: They are of neither, or out of range.
    """
    for kind in (LearnedPositions, KeyBlocks):
        names = [field.name for field in fields(kind)]
        required = [field.name for field in fields(kind) if field.default is MISSING]
        if set(required) <= set(plain) <= set(names):
            return kind(**plain)
    raise ValueError(
        f"subsample must be that of LearnedPositions (k, ...) or of KeyBlocks (size, count), got the names "
        f"{', '.join(map(str, plain)) or 'of nothing'}"
    )


class PositionScorer(nn.Module):
    """u_j = w . x_j, and a slope times the position where asked for (both without a bias, which SparseK takes away).

    Buffer ``steps`` counts the block's calls in train mode, for the annealing; ``distillation`` is what the block
    leaves for `auxiliary_loss`.
    """

    weight: nn.Parameter
    slope: nn.Parameter | None
    steps: Tensor

    def __init__(self, channels: int, ndim: int, options: LearnedPositions) -> None:
        super().__init__()
        self.options = options
        self.weight = nn.Parameter(torch.empty(channels))
        self.slope = nn.Parameter(torch.empty(ndim)) if options.slope else None
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.distillation: Tensor | None = None
        self._last_read: int | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """W from N(0, 1 / C), so that scores of normalised features differ by about 1; slopes 0."""
        nn.init.normal_(self.weight, std=len(self.weight) ** -0.5)
        if self.slope is not None:
            nn.init.zeros_(self.slope)
        self.steps.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *positions) to scores (B, 1, *positions)."""
        u = torch.einsum("bc...,c->b...", x, self.weight.to(x.dtype)).unsqueeze(1)
        if self.slope is not None:
            for axis, size in enumerate(x.shape[2:]):
                places = torch.arange(size, device=x.device, dtype=x.dtype) / _UNIT
                u = u + self.slope[axis].to(x.dtype) * places.view(-1, *(1,) * (x.dim() - 3 - axis))
        return u

    def number(self, positions: int) -> int:
        """How many of so many positions are chosen at this step."""
        k, anneal = self.options.k, self.options.anneal_steps
        if anneal == 0 or positions <= k:
            return min(k, positions)
        done = min(self._steps_done(), anneal) / anneal
        if done == 1.0:
            return k  # whatever the size is, which a program that is exported may leave open
        positions = int(positions)  # to torch.jit.trace a size is a tensor
        return round(positions * (k / positions) ** done)

    @property
    def goes_down(self) -> bool:
        """Whether the annealing is not over."""
        return self.options.anneal_steps > 0 and self._steps_done() < self.options.anneal_steps

    def numbers(self, kept_BM: Tensor) -> Tensor:
        """(B,) `number` of the positions of each set that are kept, while it goes down."""
        done = self._steps_done() / self.options.anneal_steps
        kept_B, k = kept_BM.sum(dim=1).double(), self.options.k
        return torch.where(kept_B <= k, kept_B, (kept_B * (k / kept_B) ** done).round()).long().clamp_min(1)

    @override
    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: not the loss of the last call, whose graph no copy can have."""
        return {**self.__dict__, "distillation": None}

    @override
    def train(self, mode: bool = True) -> PositionScorer:
        """As `nn.Module.train`; what is exported is put into eval mode, after its values are there."""
        if self.options.anneal_steps and _is_readable(self.steps):
            self._steps_done()
        return super().train(mode)

    def _steps_done(self) -> int:
        """The count; while it has no value the one that was read last, and if none was, an annealing that is over."""
        if not _is_readable(self.steps):
            return self.options.anneal_steps if self._last_read is None else self._last_read
        steps = int(self.steps)
        if not torch.compiler.is_dynamo_compiling():
            self._last_read = steps
        return steps


def auxiliary_loss(model: nn.Module) -> Tensor | None:
    """What the blocks of a network left beside its result in the last call: the sum of their distillations.

    Add it to the loss of a training step; asking for it a second time gives None, as does a network that has none.
    """
    left = [(module, module.distillation) for module in model.modules() if isinstance(module, PositionScorer)]
    losses = [loss for _, loss in left if loss is not None]
    for module, _ in left:
        module.distillation = None
    return torch.stack(losses).sum() if losses else None


def _is_readable(count: Tensor) -> bool:
    """Whether a tensor has a value: not where only shapes are known, nor where what is exported must not hang on it."""
    return not (count.is_meta or is_exporting())


def _at_least(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
