"""The non-local block (eq. 6 of the paper): z_i = W_z y_i + x_i around any of the four operations.

    x (B, C, *positions)
    |-- theta 1x1 --> queries, N positions ----------------.
    |-- phi   1x1 --> [max-pool] keys, M positions ---------+-- operation --> y, N positions --> out 1x1 --> norm --.
    |-- g     1x1 --> [max-pool] values, M positions ------'                                                        |
    '---------------------------------------------------------------------------------------------------- + ------ z

The paper's symbols: theta, phi, g and W_z (here ``out``) are 1x1(x1) convolutions with bias. The paper pools after
phi and g; its release [C2] (facebookresearch/video-nonlocal-net) pools x before them; the two do not commute.

Shapes: B batch, C channels, D inner channels, N output positions, M summed positions, Q asked positions;
G groups of frames, F frames in a group, S positions in one frame.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, overload

import torch
import torch.distributed as dist
from torch import Tensor

from nonlocalnet.block.affinities import Affinities, affinities_of, flat_positions
from nonlocalnet.block.checks import check_input, check_streams
from nonlocalnet.block.layers import BlockLayers
from nonlocalnet.block.parallel import over_parts, share
from nonlocalnet.block.streaming import StreamState, resumed
from nonlocalnet.block.summing import distillation, summed
from nonlocalnet.functional.parallel.processes import SequenceParallel
from nonlocalnet.system.symbolic import as_one_node, is_symbolic


class AffinityRows(NamedTuple):
    """Where asked positions look.

    Attributes:
        weights: (B, Q, *key grid), the weight of every key position in the asked position's sum.
        key_stride: One number per axis. Key cell ``c`` covers the input positions ``[c * s, (c + 1) * s)`` of its
            axis; where the axis was not pooled s is 1 and key and input positions are the same. Input positions
            past the last full window of a pooled axis (the last of an odd axis under stride 2) are in no cell.
    """

    weights: Tensor
    key_stride: tuple[int, ...]


class NonLocalBlock(BlockLayers):
    """A non-local block; the identity when fresh, so that it can go into a pre-trained network.

    The identity holds value for value for finite input that the operation can hold (in train and eval mode, with and
    without ``key_mask``), because the last thing before the sum has weight 0: the BatchNorm scale, or W_z itself
    under ``norm=None``.

    Children: ``theta``, ``phi`` (None for "gaussian"), ``g``, ``out`` (the paper's W_z), ``norm`` (None without);
    ``scorer`` (None without ``LearnedPositions``); parameter ``w_f`` (2 * inner_channels,), without bias, for
    "concatenation" only. Every option is an attribute.

    Args:
        channels: C of the input and the output.
        ndim: 1 (B, C, L), 2 (B, C, H, W) or 3 (B, C, T, H, W).
        block: The options, all in one; None for the defaults.
        **options: Those of `BlockOptions`, by name; they replace the ones in ``block``.

    Raises:
        ValueError: An option is out of range, or two do not go together.

    Example:
        >>> block = NonLocalBlock(64, subsample=(1, 2, 2))
        >>> x = torch.randn(2, 64, 4, 7, 7)
        >>> torch.equal(block(x), x)
        True
    """

    @overload
    def forward(
        self,
        x: Tensor,
        *,
        key_mask: Tensor | None = None,
        initial_state: StreamState | None = None,
        output_final_state: Literal[False] = False,
        sequence_parallel: dist.ProcessGroup | SequenceParallel | None = None,
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        x: Tensor,
        *,
        key_mask: Tensor | None = None,
        initial_state: StreamState | None = None,
        output_final_state: Literal[True],
        sequence_parallel: dist.ProcessGroup | SequenceParallel | None = None,
    ) -> tuple[Tensor, StreamState]: ...

    def forward(
        self,
        x: Tensor,
        *,
        key_mask: Tensor | None = None,
        initial_state: StreamState | None = None,
        output_final_state: bool = False,
        sequence_parallel: dist.ProcessGroup | SequenceParallel | None = None,
    ) -> Tensor | tuple[Tensor, StreamState]:
        """Adds to every position a sum over the positions of its domain.

        Args:
            x: (B, C, *positions), floating point. Its memory format (channels-last or not) is kept.
            key_mask: (B, *positions) bool, False where a position is left out of the sums (j), padding for example.
                A pooled position is kept if any of its positions is, and holds the maximum of the kept ones only: at
                every kept position the output does not depend on what the left-out positions hold. (BatchNorm in
                training takes its statistics over all positions, so there it does: use ``norm=None`` or eval mode.)
                The left-out positions themselves get an output like any other.
            initial_state: In a causal block, what the pieces of the sequence before x left; None at its beginning.
            output_final_state: Also return what the next piece goes on from.
            sequence_parallel: A process group (or a `SequenceParallel`) of which every process holds a part of x along
                time, in order of rank; the parts may differ in length. z is that of one process with all of x, and so
                are the statistics of BatchNorm in training. All processes call, and go through the backward pass;
                gradients of parameters are to be summed over the group. With pooling in time every part but the last
                is a multiple of the kernel.

        Returns:
            z of x's shape and dtype; with ``output_final_state`` z and the state.

        Raises:
            ValueError: x or key_mask has the wrong shape or type, T does not divide into the temporal groups,
                BatchNorm in training is given a single value per channel, a state is given to or asked of a block
                that does not go through a sequence in pieces, or it is that of another block or batch. On every
                process, if one of `sequence_parallel` cannot take its part, or two differ.
        """
        if is_symbolic(x):
            return as_one_node(self, x, key_mask=key_mask, sequence_parallel=sequence_parallel)
        if sequence_parallel is not None:
            streams = initial_state is not None or output_final_state
            return over_parts(self, x, key_mask, share(self, x, key_mask, sequence_parallel, streams=streams))
        check_input(self, x, key_mask)
        if initial_state is not None or output_final_state:
            check_streams(self, initial_state)
            y_map, final_state = resumed(self, x, initial_state, key_mask)
            z = self.added(x, y_map)
            return (z, final_state) if output_final_state else z
        if self.pooling.leaves_no_key(x):
            return self.added(x, x.new_zeros(len(x), self.inner_channels, *x.shape[2:]))
        return self.added(x, self.folding.unfold(self._summed(x, key_mask), x))

    def step(self, x_t: Tensor, state: StreamState | None = None) -> tuple[Tensor, StreamState]:
        """One position of a sequence (one frame of a clip), after those that `state` stands for.

        Of dot product the state is a C x D total, of constant size. The other three keep every key: a store that grows
        with the sequence, unless ``window`` bounds it. The result equals that of `forward` on the whole sequence.

        Args:
            x_t: (B, C), or (B, C, H, W) with ndim=3.
            state: What the last step gave; None for the first position.

        Returns:
            z_t of x_t's shape, and the state after it.

        Raises:
            ValueError: As `forward`.
        """
        if not isinstance(x_t, Tensor) or x_t.dim() != self.ndim + 1:
            shape = f"(B, {self.channels}" + (", H, W)" if self.ndim == 3 else ")")
            got = tuple(x_t.shape) if isinstance(x_t, Tensor) else type(x_t).__name__
            raise ValueError(f"step takes one position {shape} of a causal block, got {got}")
        z, after = self(x_t.unsqueeze(2), initial_state=state, output_final_state=True)
        return z.squeeze(2), after

    def affinity_rows(self, x: Tensor, positions: Tensor, *, key_mask: Tensor | None = None) -> AffinityRows:
        """The weights that asked positions give to the positions they are summed over: what a figure shows.

        Args:
            x: (B, C, *positions), the block's input.
            positions: (Q, ndim) integers, grid coordinates of the asked output positions, such as (t, h, w).
            key_mask: As in ``forward``.

        Returns:
            Weights (B, Q, *key grid) and the stride of the key grid over the input grid. Key positions outside the
            asked position's frame, location or temporal group have weight 0.

        Raises:
            ValueError: As in ``forward``, or positions has the wrong shape or type, or lies outside the map.
        """
        check_input(self, x, key_mask)
        affinities = affinities_of(self, x, flat_positions(positions, x), key_mask)
        return AffinityRows(affinities.rows().unflatten(2, affinities.key_grid), affinities.key_stride)

    def affinities(self, x: Tensor, *, key_mask: Tensor | None = None) -> Affinities:
        """What decides the weights of all positions, for those who go through many of them in parts.

        Args:
            x: (B, C, *positions), the block's input.
            key_mask: As in ``forward``.

        Returns:
            Theta and phi of every position, a copy of x with "gaussian": what is done to x later changes nothing.

        Raises:
            ValueError: As in ``forward``.
        """
        check_input(self, x, key_mask)
        return affinities_of(self, x, torch.arange(math.prod(x.shape[2:]), device=x.device), key_mask)

    def _summed(self, x: Tensor, key_mask: Tensor | None) -> Tensor:
        """Y of every position, set by set."""
        sets, operands = self.sets(), self.operands(x, key_mask)
        if self.scorer is not None and self.training:
            self.scorer.steps += 1
            if self.scorer.options.distil > 0:
                self.scorer.distillation = distillation(sets, operands, self.scores(x.detach()))
        return summed(sets, operands, training=self.training)
