"""PyTorch's recurrences with non-local blocks between their layers.

    x (B, T, C) --> GRU --> block --> dropout --> GRU --> output (B, T, H)           num_layers=2, after=None
    x (B, T, C) --> GRU --> block --> output (B, T, H)                               num_layers=1, after=None

The paper's blocks stand in residual networks; that they may join recurrent ones is what its conclusion hopes for. A
step of a recurrence sees what its state has kept of the past; a block sums over all positions of the sequence at once
(over those before with ``causal=True``). Padding is no position: it is masked in every block, and no recurrence reads
it.

Shapes: B batch, T steps, C channels of the input, H those of a layer's output: hidden_size, twice if bidirectional.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from typing_extensions import Self, Unpack, override

from nonlocalnet.block import BlockArguments, BlockOptions, NonLocalBlock
from nonlocalnet.block.options import checked_block, one_of, positive
from nonlocalnet.functional.precision import autocast_is_on
from nonlocalnet.models.sequence.lengths import Lengths, checked_lengths, valid_steps
from nonlocalnet.system.numeric import is_number
from nonlocalnet.system.signatures import shows

# BatchNorm's statistics would hold a batch's padding, and in a causal network the future; what LayerNorm's eps would
# swallow is said at `BlockOptions.init_std`.
SEQUENCE_BLOCK = BlockOptions(norm="layer", init_std="fan_in")

State = Tensor | tuple[Tensor, ...]


class NonLocalRecurrence(nn.Module):
    """What `NonLocalGRU` and `NonLocalLSTM` have in common; `NonLocalGRU` documents the arguments.

    Attributes:
        layers: PyTorch's recurrences, each of one layer.
        blocks: The non-local blocks, by the number of the layer that they follow, as text.
    """

    recurrence: ClassVar[type[nn.GRU] | type[nn.LSTM]]
    state_names: ClassVar[tuple[str, ...]]

    @shows(BlockArguments, vars(SEQUENCE_BLOCK))
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        after: Sequence[int] | None = None,
        block: BlockOptions | None = None,
        **options: Unpack[BlockArguments],
    ) -> None:
        super().__init__()
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.num_layers = positive("num_layers", num_layers)
        self.bias = one_of("bias", bias, (True, False))
        self.batch_first = one_of("batch_first", batch_first, (True, False))
        self.bidirectional = one_of("bidirectional", bidirectional, (True, False))
        self.dropout = _checked_dropout(dropout, num_layers)
        self.after = _checked_after(after, num_layers)
        chosen = (checked_block(block, BlockOptions) or SEQUENCE_BLOCK).changed(**options)
        if bidirectional and chosen.causal and self.after:
            raise ValueError(
                "bidirectional=True reads every sequence from its end too, so causal=True would not keep the future "
                "out: give bidirectional=False, or causal=False"
            )
        width = self.output_size
        self.layers = nn.ModuleList(
            self.recurrence(
                width if index else input_size, hidden_size, bias=bias, batch_first=True, bidirectional=bidirectional
            )
            for index in range(num_layers)
        )
        self.blocks = nn.ModuleDict({str(index): NonLocalBlock(width, ndim=1, block=chosen) for index in self.after})

    @classmethod
    def from_torch(
        cls,
        module: nn.RNNBase,
        *,
        after: Sequence[int] | None = None,
        block: BlockOptions | None = None,
        **options: Unpack[BlockArguments],
    ) -> Self:
        """PyTorch's recurrence with non-local blocks put in: a copy of its weights, dtype, device and mode.

        With ``zero_init``, the default, fresh blocks change nothing: the output is that of the module.

        Args:
            module: An `nn.GRU` or `nn.LSTM`, as the class says.
            after: As the class takes it.
            block: Likewise.
            **options: Likewise.

        Raises:
            ValueError: The module is of another class, or has projections, which these do not.
        """
        if not isinstance(module, cls.recurrence):
            raise ValueError(f"{cls.__name__}.from_torch takes an nn.{cls.recurrence.__name__}, got {type(module)}")
        if module.proj_size:
            raise ValueError(f"{cls.__name__} has no projections, got a module with proj_size={module.proj_size}")
        made = cls(
            module.input_size,
            module.hidden_size,
            num_layers=module.num_layers,
            bias=module.bias,
            batch_first=module.batch_first,
            dropout=module.dropout if module.num_layers > 1 else 0.0,
            bidirectional=module.bidirectional,
            after=after,
            block=block,
            **options,
        )
        with torch.no_grad():
            for index, layer in enumerate(made.layers):
                for name, parameter in layer.named_parameters():
                    parameter.copy_(module.get_parameter(name.replace("_l0", f"_l{index}")))
        weight = module.get_parameter("weight_hh_l0")
        return made.to(weight.device, weight.dtype).train(module.training)

    @property
    def output_size(self) -> int:
        """H, the channels of the output."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    def reset_parameters(self) -> None:
        """Draws fresh parameters: the recurrences' by PyTorch's rule, the blocks' by theirs."""
        for layer in self.layers:
            cast(nn.RNNBase, layer).reset_parameters()
        for block in self.blocks.values():
            cast(NonLocalBlock, block).reset_parameters()

    @override
    def extra_repr(self) -> str:
        """The options that are not seen in the children."""
        names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "after")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def _forward(
        self, x: Tensor | PackedSequence, lengths: Lengths | None, hx: State | None
    ) -> tuple[Tensor | PackedSequence, tuple[Tensor, ...]]:
        """Output and the parts of the state, for every form of the input."""
        states = self._checked_state(hx)
        if isinstance(x, PackedSequence):
            if lengths is not None:
                raise ValueError("a PackedSequence says its lengths itself: leave out lengths")
            padded, own = pad_packed_sequence(x, batch_first=True)
            output, states = self._run(padded, own, states)
            return _packed_like(x, output, own), states
        if not isinstance(x, Tensor) or x.dim() not in (2, 3):
            form = "(B, T, C)" if self.batch_first else "(T, B, C)"
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"{type(self).__name__} takes x {form}, (T, C) or a PackedSequence, got {got}")
        if x.dim() == 2:
            if lengths is not None:
                raise ValueError("lengths is for a batch: x (T, C) is one sequence of T steps")
            if any(part.dim() != 2 for part in states):
                raise ValueError(
                    "hx beside one sequence (T, C) is (layers * directions, hidden_size), without B, got "
                    f"{' and '.join(str(tuple(part.shape)) for part in states)}"
                )
            output, states = self._run(x.unsqueeze(0), None, tuple(part.unsqueeze(1) for part in states))
            return output.squeeze(0), tuple(part.squeeze(1) for part in states)
        x_BTC = x if self.batch_first else x.transpose(0, 1)
        output, states = self._run(x_BTC, lengths, states)
        return output if self.batch_first else output.transpose(0, 1), states

    def _run(self, x: Tensor, lengths: Lengths | None, states: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, T, C) to (B, T, H), through all layers; the parts of the state are (layers * directions, B, H)."""
        self._check_input(x, lengths, states)
        batch, steps = x.shape[:2]
        kept, mask = None, None
        if lengths is not None:
            kept = checked_lengths(lengths, batch=batch, steps=steps)
            mask = valid_steps(kept, steps, x.device)
        directions = 2 if self.bidirectional else 1
        finals: list[tuple[Tensor, ...]] = []
        for index, layer in enumerate(self.layers):
            own = tuple(part[index * directions : (index + 1) * directions] for part in states)
            x, final = _step_through(cast(nn.RNNBase, layer), x, kept, own)
            finals.append(final)
            if index in self.after:
                x = _looked_around(cast(NonLocalBlock, self.blocks[str(index)]), x, mask)
            if self.dropout and index < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def _checked_state(self, hx: State | None) -> tuple[Tensor, ...]:
        if hx is None:
            return ()
        parts = hx if isinstance(hx, tuple) else (hx,)
        if len(parts) != len(self.state_names) or not all(isinstance(part, Tensor) for part in parts):
            raise ValueError(f"hx must be {' and '.join(self.state_names)}, got {len(parts)} parts")
        return parts

    def _check_input(self, x: Tensor, lengths: Lengths | None, states: tuple[Tensor, ...]) -> None:
        name = type(self).__name__
        if x.shape[2] != self.input_size:
            raise ValueError(f"{name} takes x with {self.input_size} channels, its input_size, got {x.shape[2]}")
        if x.shape[1] == 0:
            raise ValueError(f"{name} takes sequences of at least one step, got T = 0")
        weight = next(self.parameters())
        if x.dtype != weight.dtype and not (x.is_floating_point() and autocast_is_on(x)):
            raise ValueError(f"{name} has weights of {weight.dtype}, got x of {x.dtype}: convert one of them")
        expected = (self.num_layers * (2 if self.bidirectional else 1), x.shape[0], self.hidden_size)
        for number, part in enumerate(states):  # none, or all: PyTorch 2.7 compiles no zip of unequal lengths
            if part.shape != expected:
                raise ValueError(
                    f"{self.state_names[number]} of hx must be (layers * directions, B, hidden_size) = {expected}, "
                    f"got {tuple(part.shape)}"
                )
            if part.dtype != weight.dtype and not autocast_is_on(x):
                raise ValueError(f"{name} has weights of {weight.dtype}, got hx of {part.dtype}: convert one of them")
        if lengths is not None and any(isinstance(block.norm, nn.BatchNorm1d) for block in self._blocks()):
            raise ValueError(
                f'{name} has blocks with norm="batch", whose statistics would hold the padding that lengths tells of: '
                'give norm="layer" or None'
            )

    def _blocks(self) -> list[NonLocalBlock]:
        return [cast(NonLocalBlock, block) for block in self.blocks.values()]


class NonLocalGRU(NonLocalRecurrence):
    """An `nn.GRU` with non-local blocks between its layers.

    Its conventions are those of `nn.GRU`; with ``after=()`` it is one. Block options beside the defaults are for
    sequences: ``norm="layer"``. ``norm="batch"`` is taken for sequences of one length, and refused where lengths are
    given, since its statistics would hold the padding.

    A pooled position (``subsample``) at the end of a sequence is of as many steps as are left, so that what a sequence
    is padded beside does not decide which of its steps are summed; a causal block waits for whole windows.

    Args:
        input_size: C of the input.
        hidden_size: Channels of each layer and direction.
        num_layers: Layers, one after the other.
        bias: Whether the recurrences have biases.
        batch_first: Whether input and output are (B, T, C), else (T, B, C). The state is never batch first.
        dropout: Probability of dropping a value between two layers, after the block if there is one.
        bidirectional: Read every sequence from both ends; not with ``causal=True``.
        after: Numbers of the layers that a block follows, from 0. None: all but the last, or the only one. () for none.
        block: The block options, all in one; None for those of `BlockOptions` with ``norm="layer"``.
        **options: Those of `BlockOptions`, by name; they replace the ones in ``block``.

    Raises:
        ValueError: An argument is out of range, or two do not go together.

    Example:
        >>> gru = NonLocalGRU(3, 8, batch_first=True, pairwise="dot_product")
        >>> output, state = gru(torch.randn(2, 50, 3), lengths=[50, 20])
        >>> output.shape, state.shape
        (torch.Size([2, 50, 8]), torch.Size([1, 2, 8]))
    """

    recurrence = nn.GRU
    state_names = ("h",)

    def forward(
        self, x: Tensor | PackedSequence, lengths: Lengths | None = None, *, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Read sequences.

        Args:
            x: (T, B, C), or (B, T, C) with ``batch_first``; (T, C), one sequence; or a PackedSequence.
            lengths: (B,) integers from 1 to T, the steps of each sequence that are no padding; None: all. What stands
                in the padding, NaN too, changes nothing.
            hx: (num_layers * directions, B, hidden_size), the state before the first step, without B for one sequence;
                None for 0.

        Returns:
            The output of the last layer, or of the block after it, in x's form, 0 in the padding; and the state h of
            every layer after the last step of each sequence, (num_layers * directions, B, hidden_size).

        Raises:
            ValueError: x, lengths or hx has the wrong shape or type, or a length is not from 1 to T.
        """
        output, (h,) = self._forward(x, lengths, hx)
        return output, h


class NonLocalLSTM(NonLocalRecurrence):
    """An `nn.LSTM` with non-local blocks between its layers; the arguments are those of `NonLocalGRU`.

    There are no projections (``proj_size`` of `nn.LSTM`).
    """

    recurrence = nn.LSTM
    state_names = ("h", "c")

    def forward(
        self, x: Tensor | PackedSequence, lengths: Lengths | None = None, *, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor | PackedSequence, tuple[Tensor, Tensor]]:
        """Read sequences, as `NonLocalGRU.forward`; the state is the pair (h, c), each of the shape there."""
        output, (h, c) = self._forward(x, lengths, hx)
        return output, (h, c)


def _step_through(
    layer: nn.RNNBase, x: Tensor, lengths: Tensor | None, states: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer over (B, T, C), each sequence to its own end; 0 after it. No states are zeros."""
    hx = states if len(states) > 1 else states[0] if states else None
    if lengths is None or len(lengths) == 0:
        output, final = layer(x, hx)
    else:
        packed, final = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), hx)
        output, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
    return output, final if isinstance(final, tuple) else (final,)


def _looked_around(block: NonLocalBlock, x_BTC: Tensor, mask_BT: Tensor | None) -> Tensor:
    """The block over the steps that are no padding; 0 in the padding.

    Whether a pooling window at a sequence's end is whole would hang on the padding beside it, so all are made whole.
    """
    steps, kept = x_BTC.shape[1], mask_BT
    missing = 0 if block.causal else -steps % block.pool_kernel[0]
    x = x_BTC.transpose(1, 2)
    if missing:
        kept = x.new_ones(x.shape[0], steps, dtype=torch.bool) if kept is None else kept
        x, kept = F.pad(x, (0, missing)), F.pad(kept, (0, missing))
    z_BTC = block(x, key_mask=kept)[:, :, :steps].transpose(1, 2)
    return z_BTC if mask_BT is None else z_BTC.masked_fill(~mask_BT.unsqueeze(2), 0.0)


def _packed_like(packed: PackedSequence, output_BTH: Tensor, lengths: Tensor) -> PackedSequence:
    """The output in the order of a packed input, which PyTorch would not find again where lengths are equal."""
    order = packed.sorted_indices
    if order is not None:
        output_BTH, lengths = output_BTH[order], lengths[order.to(lengths.device)]
    made = pack_padded_sequence(output_BTH, lengths, batch_first=True)
    return PackedSequence(made.data, packed.batch_sizes, order, packed.unsorted_indices)


def _checked_dropout(dropout: float, num_layers: int) -> float:
    if not is_number(dropout) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a probability from 0 to 1, got {dropout!r}")
    if dropout and num_layers == 1:
        raise ValueError(f"dropout comes between layers, and num_layers=1 has no place for it: give 0, got {dropout!r}")
    return float(dropout)


def _checked_after(after: Sequence[int] | None, num_layers: int) -> tuple[int, ...]:
    if after is None:
        return tuple(range(max(1, num_layers - 1)))
    if not isinstance(after, Sequence) or isinstance(after, str) or not all(isinstance(index, int) for index in after):
        raise ValueError(f"after must be numbers of layers, such as (0,), got {after!r}")
    wrong = [index for index in after if isinstance(index, bool) or not 0 <= index < num_layers]
    if wrong or len(set(after)) < len(after):
        raise ValueError(f"after must be different layers from 0 to num_layers - 1 = {num_layers - 1}, got {after!r}")
    return tuple(sorted(after))
