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
from collections.abc import Callable
from dataclasses import fields
from typing import Literal, NamedTuple, overload

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from nonlocalnet.block.affinities import Affinities, flat_positions, set_numbers
from nonlocalnet.block.checks import check_batch_norm, check_input, check_streams
from nonlocalnet.block.folding import Folding, numbered
from nonlocalnet.block.norm import make_norm
from nonlocalnet.block.options import BlockArguments, BlockOptions, Domain, checked_block, one_of, positive
from nonlocalnet.block.parallel import SharedMap, normed, share
from nonlocalnet.block.positions import KeyBlocks, LearnedPositions, PositionScorer
from nonlocalnet.block.streaming import StreamState, joined
from nonlocalnet.block.summing import Operands, Sets, comparison_scores, distillation, summed
from nonlocalnet.functional import Pairwise
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.functional.parallel.parts import Parts
from nonlocalnet.functional.parallel.processes import SequenceParallel
from nonlocalnet.functional.parallel.sums import sum_over_parts
from nonlocalnet.functional.streaming import Total, resume_sum, resume_windowed
from nonlocalnet.system.signatures import shows
from nonlocalnet.system.symbolic import as_one_node, is_symbolic

_CONVOLUTION: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_MAX_POOL: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


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


class NonLocalBlock(nn.Module):
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

    @shows(BlockArguments, vars(BlockOptions()))
    def __init__(
        self,
        channels: int,
        *,
        ndim: int = 3,
        block: BlockOptions | None = None,
        **options: Unpack[BlockArguments],
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.ndim = one_of("ndim", ndim, (1, 2, 3))
        chosen = (checked_block(block, BlockOptions) or BlockOptions()).changed(**options)
        self.inner_channels = chosen.inner_channels or max(1, channels // 2)
        self.pairwise: Pairwise = chosen.pairwise
        self.scale = chosen.scale
        self.subsample = chosen.subsample
        self.pool_kernel = chosen.pool_kernel(ndim)
        self.subsample_first = chosen.subsample_first
        self.domain: Domain = chosen.domain
        self.temporal_group_frames = chosen.temporal_group_frames
        self.causal = chosen.causal
        self.window = chosen.window
        self.dilation = chosen.dilation
        self.zero_init = chosen.zero_init
        self.init_std = chosen.init_std
        # One frame's is the domain "space".
        group = 1 if chosen.domain == "space" else chosen.temporal_group_frames
        self._folding = Folding(ndim, chosen.domain, group)
        self._key_folding = Folding(ndim, chosen.domain, None if group is None else group // self.pool_kernel[0])

        convolution, inner, row = _CONVOLUTION[ndim], self.inner_channels, row_of(self.pairwise)
        self.theta = convolution(channels, inner, 1) if row.embeds else None
        self.phi = convolution(channels, inner, 1) if row.embeds else None
        self.g = convolution(channels, inner, 1)
        self.out = convolution(inner, channels, 1)
        self.norm = make_norm(chosen.norm, channels, ndim)
        self.w_f = nn.Parameter(torch.empty(2 * inner)) if row.has_w_f else None
        positions = chosen.subsample if isinstance(chosen.subsample, LearnedPositions) else None
        learned = None if positions is None or positions.by != "learned" else positions
        self.scorer = None if learned is None else PositionScorer(channels, ndim, learned)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws fresh parameters: convolutions and w_f from N(0, init_std), biases 0 ([C2]); see ``zero_init``."""
        for convolution in (self.theta, self.phi, self.g, self.out):
            if convolution is not None:
                nn.init.normal_(convolution.weight, std=self._std(convolution.in_channels))
                if convolution.bias is not None:
                    nn.init.zeros_(convolution.bias)
        if self.w_f is not None:
            nn.init.normal_(self.w_f, std=self._std(len(self.w_f)))
        if self.scorer is not None:
            self.scorer.reset_parameters()
        if self.norm is not None:
            self.norm.reset_parameters()
        if self.zero_init:
            nn.init.zeros_((self.out if self.norm is None else self.norm).weight)

    def _std(self, inputs: int) -> float:
        return inputs**-0.5 if self.init_std == "fan_in" else float(self.init_std)

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
            return self._over_parts(x, key_mask, share(self, x, key_mask, sequence_parallel, streams=streams))
        check_input(self, x, key_mask)
        if initial_state is not None or output_final_state:
            check_streams(self)
            y_map, final_state = self._resumed(x, initial_state, key_mask)
            z = self._added(x, y_map)
            return (z, final_state) if output_final_state else z
        if self._has_no_key(x):
            return self._added(x, x.new_zeros(len(x), self.inner_channels, *x.shape[2:]))
        return self._added(x, self._folding.unfold(self._summed(self._queries(x), x, key_mask), x))

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
        self._check_keys(x)
        affinities = self._affinities(x, flat_positions(positions, x), key_mask)
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
        self._check_keys(x)
        return self._affinities(x, torch.arange(math.prod(x.shape[2:]), device=x.device), key_mask)

    def extra_repr(self) -> str:
        """The options, for ``print(block)``."""
        options = [field.name for field in fields(BlockOptions) if field.name != "norm"]  # a child, printed anyway
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in ("channels", "ndim", *options))

    @property
    def _scale_factor(self) -> float:
        return self.inner_channels**-0.5 if self.scale == "rsqrt" else float(self.scale)

    def _sets(self) -> Sets:
        chosen = self.subsample if isinstance(self.subsample, (LearnedPositions, KeyBlocks)) else None
        return Sets(self.pairwise, self._scale_factor, self.w_f, self.causal, self.window, self.dilation, chosen)

    def _operands(self, queries: Tensor, x: Tensor, key_mask: Tensor | None) -> Operands:
        """Theta, phi and g, folded into the sets that are summed together."""
        keys, values, mask = self._keys_and_values(x, key_mask)
        theta, phi, g = (
            self._folding.fold(queries),
            self._key_folding.fold(keys),
            self._key_folding.fold(values),
        )
        mask = None if mask is None else self._key_folding.fold(mask).squeeze(2)
        seen = self._seen(x) if self.causal else None
        return Operands(theta, phi, g, mask, seen, *self._choice(x, g, mask))

    def _choice(self, x: Tensor, g_BMD: Tensor, kept_BM: Tensor | None) -> tuple[Tensor | None, int]:
        """The scores (sets, keys) of `LearnedPositions` and how many of a set are chosen; None and 0 without."""
        if not isinstance(self.subsample, LearnedPositions):
            return None, 0
        keys = g_BMD.shape[1]
        if self.scorer is None:
            k = min(self.subsample.k, keys)
            return comparison_scores(self.subsample, g_BMD, kept_BM, k), k
        return self._scores_of(x), self.scorer.number(keys)

    def _scores_of(self, x: Tensor) -> Tensor:
        """What the scorer says of the keys of each set, (sets, keys)."""
        assert self.scorer is not None
        return self._key_folding.fold(self.scorer(x)).squeeze(2)

    def _queries(self, x: Tensor) -> Tensor:
        return x if self.theta is None else self.theta(x)

    def _added(self, x: Tensor, y_map: Tensor, shared: SharedMap | None = None) -> Tensor:
        """Equation 6: z = W_z y + x."""
        z = self.out(y_map)
        if self.norm is not None and shared is not None:
            z = normed(self.norm, z, shared)
        elif self.norm is not None:
            check_batch_norm(self.norm, x)
            z = self.norm(z)
        return x + z.to(x.dtype)  # not in place: what produced x may need it in its backward

    def _resumed(self, x: Tensor, state: StreamState | None, key_mask: Tensor | None) -> tuple[Tensor, StreamState]:
        """Y of a piece of a sequence, and what the next piece goes on from."""
        keys_x, keys_mask, before = joined(state, x, key_mask)
        keys, values, mask = self._keys_of_whole_windows(keys_x, keys_mask)
        whole = keys.shape[2] * self.pool_kernel[0]
        theta, phi, g = (self._folding.fold(part) for part in (self._queries(x), keys, values))
        how = {"w_f": self.w_f, "scale": self._scale_factor}
        mask = None if mask is None else self._folding.fold(mask).squeeze(2)
        past = None if state is None else state.past
        if self.window is None:
            y, past = resume_sum(
                self.pairwise, theta, phi, g, past, seen_N=self._seen(x, before=before), key_mask=mask, **how
            )
        else:
            assert not isinstance(past, Total)
            y, past = resume_windowed(
                self.pairwise, theta, phi, g, past, window=self.window, dilation=self.dilation, key_mask=mask, **how
            )
        # A copy of what is left: a view would hold the whole piece.
        rest_mask = None if keys_mask is None else keys_mask[:, whole:].clone()
        return self._folding.unfold(y, x), StreamState(past, keys_x[:, :, whole:].clone(), rest_mask)

    def _over_parts(self, x: Tensor, key_mask: Tensor | None, shared: SharedMap) -> Tensor:
        """Z of this process's part of a map."""
        kernel, frames = self.pool_kernel[0], sum(shared.frames)
        if self.domain == "space" or self.temporal_group_frames is not None:  # no set reaches beyond a part
            y = self._summed(self._queries(x), x, key_mask)
        elif self.causal and frames < kernel:
            y = self._folding.fold(x.new_zeros(len(x), self.inner_channels, *x.shape[2:]))
        else:
            cut = self._keys_of_whole_windows if frames >= kernel else self._keys_and_values
            keys, values, mask = cut(x, key_mask)
            theta, phi, g = (self._folding.fold(part) for part in (self._queries(x), keys, values))
            places = 1 if self.domain == "time" else math.prod(keys.shape[3:])
            y = sum_over_parts(
                row_of(self.pairwise), theta, phi, g,
                Parts(shared.parallel, shared.keys(kernel, places), shared.masked),
                seen_N=self._seen(x) if self.causal else None,
                key_mask=None if mask is None else self._folding.fold(mask).squeeze(2),
                learns=shared.learns, w_f=self.w_f, scale=self._scale_factor,
            )  # fmt: skip
        return self._added(x, self._folding.unfold(y, x), shared)

    def _summed(self, queries: Tensor, x: Tensor, key_mask: Tensor | None) -> Tensor:
        """Y of every position, set by set."""
        sets, operands = self._sets(), self._operands(queries, x, key_mask)
        if self.scorer is not None and self.training:
            self.scorer.steps += 1
            if self.scorer.options.distil > 0:
                self.scorer.distillation = distillation(sets, operands, self._scores_of(x.detach()))
        return summed(sets, operands, training=self.training)

    def _has_no_key(self, x: Tensor) -> bool:
        """Whether no window of a causal block is whole yet: an axis that is too short is not left unpooled there."""
        return self.causal and x.shape[2] < self.pool_kernel[0]

    def _seen(self, x: Tensor, *, before: int = 0) -> Tensor:
        """(positions of a set,) how many of its keys each position of a causal block sums over.

        `before` frames stand before those of x, in no whole window yet.
        """
        kernel = self.pool_kernel
        if self.ndim == 1:
            frames, places, key_places = x.shape[2], 1, 1
        else:
            _, frames, places = self._folding.sizes(x)
            shape = zip(x.shape[3:], self._kernel(x)[1:], strict=True)
            key_places = math.prod(size // k for size, k in shape)
            if self.domain == "time":
                places = key_places = 1
        whole = (torch.arange(frames, device=x.device) + 1 + before) // kernel[0] * key_places
        return whole.repeat_interleave(places)

    def _keys_and_values(self, x: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys (B, C or D, *key grid), values (B, D, *key grid) and the key grid's mask (B, 1, *key grid)."""
        kernel = self._kernel(x)
        mask = None if key_mask is None else key_mask.unsqueeze(1)
        pooled_mask = None if mask is None else self._max_pool(mask.to(x.dtype), kernel) > 0

        def pool(features: Tensor) -> Tensor:
            if mask is None or pooled_mask is None or math.prod(kernel) == 1:
                return self._max_pool(features, kernel)
            kept_only = self._max_pool(features.masked_fill(~mask, -math.inf), kernel)
            return kept_only.masked_fill(~pooled_mask, 0.0)  # -inf times a gradient of 0 would be NaN

        if self.subsample_first:
            pooled_x = pool(x)
            return pooled_x if self.phi is None else self.phi(pooled_x), self.g(pooled_x), pooled_mask
        return pool(x if self.phi is None else self.phi(x)), pool(self.g(x)), pooled_mask

    def _keys_of_whole_windows(self, x: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """`_keys_and_values` without what is left over at the end; no key where no window is whole."""
        whole = x.shape[2] // self.pool_kernel[0] * self.pool_kernel[0]
        if whole > 0:
            return self._keys_and_values(x[:, :, :whole], None if key_mask is None else key_mask[:, :whole])
        grid = [size // kernel for size, kernel in zip(x.shape[3:], self._kernel(x)[1:], strict=True)]
        keys = x.new_zeros(len(x), self.channels if self.phi is None else self.inner_channels, 0, *grid)
        return keys, x.new_zeros(len(x), self.inner_channels, 0, *grid), None

    def _kernel(self, x: Tensor) -> tuple[int, ...]:
        """The pooling of this map: 1 on an axis that is shorter than its kernel, which pooling would empty.

        Not so in the time of a causal block: what later positions make whole windows of must not change.
        """
        return tuple(1 if k == 1 or size < k else k for k, size in zip(self.pool_kernel, x.shape[2:], strict=True))

    def _max_pool(self, features: Tensor, kernel: tuple[int, ...]) -> Tensor:
        return features if math.prod(kernel) == 1 else _MAX_POOL[self.ndim](features, kernel)

    def _affinities(self, x: Tensor, asked: Tensor, key_mask: Tensor | None) -> Affinities:
        queries_BCQ = x.flatten(2)[:, :, asked]
        if self.theta is not None:
            queries_BCQ = self.theta(queries_BCQ.reshape(*queries_BCQ.shape, *(1,) * (self.ndim - 1))).flatten(2)
        keys, values, mask = self._keys_and_values(x, key_mask)
        kept = None if mask is None else self._key_folding.fold(mask).squeeze(2)
        scores, k = self._choice(x, self._key_folding.fold(values), kept)
        return Affinities(
            how=self._sets(),
            asked=asked,
            queries_BQC=queries_BCQ.transpose(1, 2),
            keys_BMC=keys.flatten(2).transpose(1, 2).clone(),
            kept_BM=None if mask is None else mask.flatten(1),
            grid=tuple(x.shape[2:]),
            key_grid=tuple(keys.shape[2:]),
            key_stride=self._kernel(x),
            set_of_Q=set_numbers(self._folding.fold(numbered(x)).squeeze(2), asked),
            keys_of_set=self._key_folding.fold(numbered(keys)).squeeze(2),
            seen_Q=self._seen_by(x, asked),
            u_BM=None if scores is None else self._folding.unfold(scores.unsqueeze(2), x).flatten(1),
            k=k,
        )

    def _seen_by(self, x: Tensor, asked: Tensor) -> Tensor | None:
        """(Q,) how many keys of its set each asked position sees; None where all do."""
        if not self.causal:
            return None
        sets = self._folding.fold(numbered(x)).squeeze(2)
        seen = torch.empty(sets.numel(), dtype=torch.long, device=x.device)
        seen[sets] = self._seen(x).expand(len(sets), -1)
        return seen[asked]

    def _check_keys(self, x: Tensor) -> None:
        if self._has_no_key(x):
            raise ValueError(
                f"x {tuple(x.shape)} is shorter than the pooling of this causal block ({self.pool_kernel[0]} in time): "
                "no position has a key to look at"
            )
