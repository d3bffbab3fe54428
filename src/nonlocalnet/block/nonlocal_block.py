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
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from nonlocalnet import functional
from nonlocalnet.block.affinities import Affinities, flat_positions, set_numbers
from nonlocalnet.block.norm import BATCH_NORMS, make_norm
from nonlocalnet.block.options import AXES, BlockArguments, BlockOptions, Domain, one_of, positive
from nonlocalnet.functional import Pairwise
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.system.signatures import shows
from nonlocalnet.system.symbolic import as_one_node, is_symbolic

_INIT_STD = 0.01  # [C2]: NL convolutions N(0, 0.01), bias 0
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
    parameter ``w_f`` (2 * inner_channels,), without bias, for "concatenation" only. Every option is an attribute.

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
        chosen = (block or BlockOptions()).changed(**options)
        self.inner_channels = chosen.inner_channels or max(1, channels // 2)
        self.pairwise: Pairwise = chosen.pairwise
        self.scale = chosen.scale
        self.subsample = chosen.subsample
        self.pool_kernel = chosen.pool_kernel(ndim)
        self.subsample_first = chosen.subsample_first
        self.domain: Domain = chosen.domain
        self.temporal_group_frames = chosen.temporal_group_frames
        self.causal = chosen.causal
        self.zero_init = chosen.zero_init

        convolution, inner, row = _CONVOLUTION[ndim], self.inner_channels, row_of(self.pairwise)
        self.theta = convolution(channels, inner, 1) if row.embeds else None
        self.phi = convolution(channels, inner, 1) if row.embeds else None
        self.g = convolution(channels, inner, 1)
        self.out = convolution(inner, channels, 1)
        self.norm = make_norm(chosen.norm, channels, ndim)
        self.w_f = nn.Parameter(torch.empty(2 * inner)) if row.has_w_f else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws fresh parameters: convolutions and w_f from N(0, 0.01), biases 0 ([C2]); see ``zero_init``."""
        for convolution in (self.theta, self.phi, self.g, self.out):
            if convolution is not None:
                nn.init.normal_(convolution.weight, std=_INIT_STD)
                if convolution.bias is not None:
                    nn.init.zeros_(convolution.bias)
        if self.w_f is not None:
            nn.init.normal_(self.w_f, std=_INIT_STD)
        if self.norm is not None:
            self.norm.reset_parameters()
        if self.zero_init:
            nn.init.zeros_((self.out if self.norm is None else self.norm).weight)

    def forward(self, x: Tensor, *, key_mask: Tensor | None = None) -> Tensor:
        """Adds to every position a sum over the positions of its domain.

        Args:
            x: (B, C, *positions), floating point. Its memory format (channels-last or not) is kept.
            key_mask: (B, *positions) bool, False where a position is left out of the sums (j), padding for example.
                A pooled position is kept if any of its positions is, and holds the maximum of the kept ones only: at
                every kept position the output does not depend on what the left-out positions hold. (BatchNorm in
                training takes its statistics over all positions, so there it does: use ``norm=None`` or eval mode.)
                The left-out positions themselves get an output like any other.

        Returns:
            z of x's shape and dtype.

        Raises:
            ValueError: x or key_mask has the wrong shape or type, T does not divide into the temporal groups, or
                BatchNorm in training is given a single value per channel.
        """
        if is_symbolic(x):
            return as_one_node(self, x, key_mask=key_mask)
        self._check_input(x, key_mask)
        queries = x if self.theta is None else self.theta(x)
        if self._has_no_key(x):
            y_map = x.new_zeros(len(x), self.inner_channels, *x.shape[2:])
        else:
            y_map = self._unfold(self._summed(queries, x, *self._keys_and_values(x, key_mask)), x)
        z = self.out(y_map)
        if self.norm is not None:
            self._check_batch_norm(x)
            z = self.norm(z)
        return x + z.to(x.dtype)  # not in place: what produced x may need it in its backward

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
        self._check_input(x, key_mask)
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
        self._check_input(x, key_mask)
        self._check_keys(x)
        return self._affinities(x, torch.arange(math.prod(x.shape[2:]), device=x.device), key_mask)

    def extra_repr(self) -> str:
        """The options, for ``print(block)``."""
        options = [field.name for field in fields(BlockOptions) if field.name != "norm"]  # a child, printed anyway
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in ("channels", "ndim", *options))

    @property
    def _scale_factor(self) -> float:
        return self.inner_channels**-0.5 if self.scale == "rsqrt" else float(self.scale)

    @property
    def _group_frames(self) -> int | None:
        """Frames of the output positions that share their keys; None for all. One frame's is the domain "space"."""
        return 1 if self.domain == "space" else self.temporal_group_frames

    @property
    def _key_group_frames(self) -> int | None:
        return None if self._group_frames is None else self._group_frames // self.pool_kernel[0]

    def _summed(self, queries: Tensor, x: Tensor, keys: Tensor, values: Tensor, key_mask: Tensor | None) -> Tensor:
        """Y of every position, folded into the sets that are summed together."""
        theta, phi, g = (
            self._fold(queries, self._group_frames),
            self._fold(keys, self._key_group_frames),
            self._fold(values, self._key_group_frames),
        )
        mask = None if key_mask is None else self._fold(key_mask, self._key_group_frames).squeeze(2)
        if not self.causal:
            return row_of(self.pairwise).sum(theta, phi, g, w_f=self.w_f, scale=self._scale_factor, key_mask=mask)
        return functional.causal_sum(
            self.pairwise, theta, phi, g, seen_N=self._seen(x), w_f=self.w_f, scale=self._scale_factor, key_mask=mask
        )

    def _has_no_key(self, x: Tensor) -> bool:
        """Whether no window of a causal block is whole yet: an axis that is too short is not left unpooled there."""
        return self.causal and x.shape[2] < self.pool_kernel[0]

    def _seen(self, x: Tensor) -> Tensor:
        """(positions of a set,) how many of its keys each position of a causal block sums over."""
        kernel = self.pool_kernel
        if self.ndim == 1:
            frames, places, key_places = x.shape[2], 1, 1
        else:
            _, frames, places = self._group_sizes(x, self._group_frames)
            shape = zip(x.shape[3:], self._kernel(x)[1:], strict=True)
            key_places = math.prod(size // k for size, k in shape)
            if self.domain == "time":
                places = key_places = 1
        whole = (torch.arange(frames, device=x.device) + 1) // kernel[0] * key_places
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

    def _kernel(self, x: Tensor) -> tuple[int, ...]:
        """The pooling of this map: 1 on an axis that is shorter than its kernel, which pooling would empty.

        Not so in the time of a causal block: what later positions make whole windows of must not change.
        """
        return tuple(1 if k == 1 or size < k else k for k, size in zip(self.pool_kernel, x.shape[2:], strict=True))

    def _max_pool(self, features: Tensor, kernel: tuple[int, ...]) -> Tensor:
        return features if math.prod(kernel) == 1 else _MAX_POOL[self.ndim](features, kernel)

    def _fold(self, features: Tensor, group_frames: int | None) -> Tensor:
        """(B, C, *positions) to (B G, F S, C), the sets of positions summed together; (B G S, F, C) for "time"."""
        batch, channels = features.shape[:2]
        # One group takes no axis of its own: torch.export would guard whether 1 divides into the open sizes.
        if group_frames is None and self.domain == "spacetime":
            return features.flatten(2).transpose(1, 2)
        groups, frames, places = self._group_sizes(features, group_frames)
        features = features.reshape(batch, channels, groups, frames, places)
        if self.domain == "time":
            return features.permute(0, 2, 4, 3, 1).reshape(batch * groups * places, frames, channels)
        return features.permute(0, 2, 3, 4, 1).reshape(batch * groups, frames * places, channels)

    def _unfold(self, y: Tensor, x: Tensor) -> Tensor:
        """The inverse of ``_fold`` for output positions: to (B, D, *positions of x)."""
        batch, channels = x.shape[0], y.shape[2]
        if self._group_frames is None and self.domain == "spacetime":
            return y.transpose(1, 2).reshape(batch, channels, *x.shape[2:])
        groups, frames, places = self._group_sizes(x, self._group_frames)
        if self.domain == "time":
            y = y.reshape(batch, groups, places, frames, channels).permute(0, 4, 1, 3, 2)
        else:
            y = y.reshape(batch, groups, frames, places, channels).permute(0, 4, 1, 2, 3)
        return y.reshape(batch, channels, *x.shape[2:])

    def _group_sizes(self, features: Tensor, group_frames: int | None) -> tuple[int, int, int]:
        """G, F and S of a map; one- and two-dimensional maps are one frame."""
        if self.ndim < 3:
            return 1, 1, math.prod(features.shape[2:])
        frames, places = features.shape[2], math.prod(features.shape[3:])
        return (1, frames, places) if group_frames is None else (frames // group_frames, group_frames, places)

    def _affinities(self, x: Tensor, asked: Tensor, key_mask: Tensor | None) -> Affinities:
        queries_BCQ = x.flatten(2)[:, :, asked]
        if self.theta is not None:
            queries_BCQ = self.theta(queries_BCQ.reshape(*queries_BCQ.shape, *(1,) * (self.ndim - 1))).flatten(2)
        keys, _, key_mask = self._keys_and_values(x, key_mask)
        return Affinities(
            pairwise=self.pairwise,
            scale=self._scale_factor,
            w_f=self.w_f,
            asked=asked,
            queries_BQC=queries_BCQ.transpose(1, 2),
            keys_BMC=keys.flatten(2).transpose(1, 2).clone(),
            kept_BM=None if key_mask is None else key_mask.flatten(1),
            grid=tuple(x.shape[2:]),
            key_grid=tuple(keys.shape[2:]),
            key_stride=self._kernel(x),
            set_of_Q=set_numbers(self._fold(_numbered(x), self._group_frames).squeeze(2), asked),
            keys_of_set=self._fold(_numbered(keys), self._key_group_frames).squeeze(2),
            seen_Q=self._seen_by(x, asked),
        )

    def _seen_by(self, x: Tensor, asked: Tensor) -> Tensor | None:
        """(Q,) how many keys of its set each asked position sees; None where all do."""
        if not self.causal:
            return None
        sets = self._fold(_numbered(x), self._group_frames).squeeze(2)
        seen = torch.empty(sets.numel(), dtype=torch.long, device=x.device)
        seen[sets] = self._seen(x).expand(len(sets), -1)
        return seen[asked]

    def _check_keys(self, x: Tensor) -> None:
        if self._has_no_key(x):
            raise ValueError(
                f"x {tuple(x.shape)} is shorter than the pooling of this causal block ({self.pool_kernel[0]} in time): "
                "no position has a key to look at"
            )

    def _check_input(self, x: Tensor, key_mask: Tensor | None) -> None:
        expected = f"(B, {self.channels}, {AXES[self.ndim]})"
        if not isinstance(x, Tensor):
            raise ValueError(f"NonLocalBlock takes one tensor {expected}, got a {type(x).__name__}")
        if x.dim() != self.ndim + 2 or x.shape[1] != self.channels:
            raise ValueError(f"NonLocalBlock takes x of shape {expected}, got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise ValueError(f"NonLocalBlock takes floating point x, got {x.dtype}: convert it with x.float()")
        if any(size == 0 for size in x.shape[2:]):
            raise ValueError(f"NonLocalBlock takes x with at least one position, got {tuple(x.shape)}")
        group_frames = self.temporal_group_frames
        if group_frames is not None and x.shape[2] % group_frames != 0:
            raise ValueError(
                f"temporal_group_frames={group_frames} does not divide the {x.shape[2]} frames of x {tuple(x.shape)}: "
                "give a clip whose frames at this layer are a multiple of it, or another temporal_group_frames"
            )
        if key_mask is None:
            return
        if key_mask.dtype != torch.bool:
            raise ValueError(f"key_mask must be bool (False: left out), got {key_mask.dtype}: use key_mask.bool()")
        if key_mask.shape != (x.shape[0], *x.shape[2:]):
            raise ValueError(
                f"key_mask must be (B, {AXES[self.ndim]}) = {(x.shape[0], *x.shape[2:])} beside x {tuple(x.shape)}, "
                f"got {tuple(key_mask.shape)}"
            )

    def _check_batch_norm(self, x: Tensor) -> None:
        # SyncBatchNorm counts the values of all processes, and says so itself.
        if not isinstance(self.norm, tuple(BATCH_NORMS.values())) or not self.norm.training:
            return
        if x.shape[0] * math.prod(x.shape[2:]) == 1:
            raise ValueError(
                f"NonLocalBlock: BatchNorm in training needs more than one value per channel, got x {tuple(x.shape)}: "
                "use a larger batch or map, eval mode, or norm=None"
            )


def _numbered(features: Tensor) -> Tensor:
    """(1, 1, *grid) of a map's positions, numbered in row-major order."""
    grid = features.shape[2:]
    return torch.arange(math.prod(grid), device=features.device).reshape(1, 1, *grid)
