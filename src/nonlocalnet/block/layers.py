"""The layers of a block, from its options, and what each of them makes of a map.

Shapes: B batch, C channels, D inner channels; M keys of one of the sets that are summed together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from nonlocalnet.block.folding import Folding
from nonlocalnet.block.norm import check_batch_norm, make_norm
from nonlocalnet.block.options import BlockArguments, BlockOptions, Domain, checked_block, one_of, positive
from nonlocalnet.block.pointwise import POINTWISE
from nonlocalnet.block.pooling import Pooling
from nonlocalnet.block.positions import KeyBlocks, LearnedPositions, PositionScorer
from nonlocalnet.block.summing import Operands, Sets, comparison_scores
from nonlocalnet.functional import Pairwise
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.system.signatures import shows


class BlockLayers(nn.Module):
    """What a `NonLocalBlock` holds; the ways through it are in files of their own."""

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
        self.pooling = Pooling(self.pool_kernel, self.causal)
        # One frame's is the domain "space".
        group = 1 if chosen.domain == "space" else chosen.temporal_group_frames
        self.folding = Folding(ndim, chosen.domain, group)
        self.key_folding = Folding(ndim, chosen.domain, None if group is None else group // self.pool_kernel[0])

        convolution, inner, row = POINTWISE[ndim], self.inner_channels, row_of(self.pairwise)
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

    def extra_repr(self) -> str:
        """The options, for ``print(block)``."""
        options = [field.name for field in fields(BlockOptions) if field.name != "norm"]  # a child, printed anyway
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in ("channels", "ndim", *options))

    @property
    def compares_all(self) -> bool:
        """Whether every pair of a position and a key is looked at, so that time grows with their product."""
        if self.window is not None or isinstance(self.subsample, LearnedPositions):
            return False
        return row_of(self.pairwise).is_softmax or isinstance(self.subsample, KeyBlocks)

    def sets(self) -> Sets:
        """How the keys of each position are found, and f."""
        scale = self.inner_channels**-0.5 if self.scale == "rsqrt" else float(self.scale)
        chosen = self.subsample if isinstance(self.subsample, (LearnedPositions, KeyBlocks)) else None
        return Sets(self.pairwise, scale, self.w_f, self.causal, self.window, self.dilation, chosen)

    def queries(self, x: Tensor) -> Tensor:
        """Theta of x (B, C, ...); x itself with "gaussian"."""
        return x if self.theta is None else self.theta(x)

    def keys_and_values(self, x: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys (B, C or D, *key grid), values (B, D, *key grid) and the key grid's mask (B, 1, *key grid)."""
        mask = self.pooling.mask(key_mask, x)
        if self.subsample_first:
            x = self.pooling.pooled(x, key_mask, mask)
            return x if self.phi is None else self.phi(x), self.g(x), mask
        keys = self.pooling.pooled(x if self.phi is None else self.phi(x), key_mask, mask)
        return keys, self.pooling.pooled(self.g(x), key_mask, mask), mask

    def keys_of_whole_windows(self, x: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """`keys_and_values` without what is left over at the end; no key where no window is whole."""
        whole = self.pooling.whole_frames(x)
        if whole > 0:
            return self.keys_and_values(x[:, :, :whole], None if key_mask is None else key_mask[:, :whole])
        grid = self.pooling.grid(x)[1:]
        keys = x.new_zeros(len(x), self.channels if self.phi is None else self.inner_channels, 0, *grid)
        return keys, x.new_zeros(len(x), self.inner_channels, 0, *grid), None

    def fold_keys(self, keys: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys, values and mask, set by set: (sets, M, C or D), (sets, M, D), (sets, M)."""
        fold = self.key_folding.fold
        return fold(keys), fold(values), None if mask is None else fold(mask).squeeze(2)

    def seen(self, x: Tensor, *, before: int = 0) -> Tensor:
        """(positions of a set,) how many of its keys each position of a causal block sums over.

        `before` frames stand before those of x, in no whole window yet.
        """
        if self.ndim == 1:
            frames, places, key_places = x.shape[2], 1, 1
        else:
            _, frames, places = self.folding.sizes(x)
            key_places = math.prod(self.pooling.grid(x)[1:])
            if self.domain == "time":
                places = key_places = 1
        whole = (torch.arange(frames, device=x.device) + 1 + before) // self.pool_kernel[0] * key_places
        return whole.repeat_interleave(places)

    def scores(self, x: Tensor) -> Tensor:
        """What the scorer says of the keys of each set, (sets, keys)."""
        assert self.scorer is not None
        return self.key_folding.fold(self.scorer(x)).squeeze(2)

    def choice(self, x: Tensor, g_BMD: Tensor, kept_BM: Tensor | None) -> tuple[Tensor | None, int, Tensor | None]:
        """The scores (sets, keys) of `LearnedPositions`, how many of a set are chosen, and (sets,) of which fewer.

        None, 0 and None without. While the number goes down it goes down from the keys of a set that are kept, so that
        what a sequence is padded beside changes nothing.
        """
        if not isinstance(self.subsample, LearnedPositions):
            return None, 0, None
        keys = g_BMD.shape[1]
        if self.scorer is None:
            k = min(self.subsample.k, keys)
            return comparison_scores(self.subsample, g_BMD, kept_BM, k), k, None
        fewer = None
        if kept_BM is not None and self.scorer.goes_down:
            fewer = self.scorer.numbers(kept_BM)
        return self.scores(x), self.scorer.number(keys), fewer

    def operands(self, x: Tensor, key_mask: Tensor | None) -> Operands:
        """Theta, phi and g, folded into the sets that are summed together."""
        theta = self.folding.fold(self.queries(x))
        phi, g, mask = self.fold_keys(*self.keys_and_values(x, key_mask))
        seen = self.seen(x) if self.causal else None
        return Operands(theta, phi, g, mask, seen, *self.choice(x, g, mask))

    def added(self, x: Tensor, y_map: Tensor, *, norm: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Equation 6: z = W_z y + x; `norm` stands in the place of the block's own."""
        z = self.out(y_map)
        if norm is None and self.norm is not None:
            check_batch_norm(self.norm, x)
            norm = self.norm
        z = z if norm is None else norm(z)
        return x + z.to(x.dtype)  # not in place: what produced x may need it in its backward
