"""The softmax-weighted sum over keys that go round from process to process.

    step 0    | k_0 | k_1 | k_2 |        what each process holds: its own keys,
    step 1    | k_2 | k_0 | k_1 |        then those of the process before it, and so on
    step 2    | k_1 | k_2 | k_0 |

Each part gives Y_s and the logarithm of its normaliser L_s; two parts together are

    L = log(exp L_a + exp L_b),    Y = exp(L_a - L) Y_a + exp(L_b - L) Y_b.

The backward pass makes each part's weights again from the whole L, so that a part's gradients are final and add up:
those of k and v travel with them and are at home after the last step. The next part is on its way while one is summed.
Shape suffixes: B batch, N output positions, M summed positions of a part, C and D channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from nonlocalnet.functional.parallel.parts import Parts

# Backends with tags keep gradients and keys apart.
_KEYS, _GRADIENTS = 0, 1

# Those of `nonlocalnet.functional.softmax_blocks` and `nonlocalnet.functional.causal.softmax`.
_OPS = torch.ops.nonlocalnet


def ring_softmax(
    q_BNC: Tensor,
    k_BMC: Tensor,
    v_BMD: Tensor,
    kept_BM: Tensor | None,
    seen_N: Tensor | None,
    scale: float,
    parts: Parts,
) -> Tensor:
    """softmax(scale Q K^T) V over the keys of all processes, or those before and `seen_N` of this one's own.

    Differentiable once. `kept_BM` is given on all processes or none.
    """
    return _RingSoftmax.apply(q_BNC, k_BMC, v_BMD, kept_BM, seen_N, scale, parts)  # pyright: ignore[reportReturnType]


class _RingSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        kept: Tensor | None,
        seen: Tensor | None,
        scale: float,
        parts: Parts,
    ) -> Tensor:
        y_BND = v.new_zeros(*q.shape[:2], v.shape[2])
        log_BN1 = q.new_full((*q.shape[:2], 1), float("-inf"))
        for origin, held in _round(_packed(k, v, kept), parts):
            if _counts(seen, origin, parts):
                part = _part_sum(q, *held, _seen_of(seen, origin, parts), scale)
                y_BND, log_BN1 = _merged(y_BND, log_BN1, *part)
        ctx.scale, ctx.parts = scale, parts
        ctx.save_for_backward(q, k, v, kept, seen, y_BND, log_BN1)
        return y_BND

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride], the decorator hides the names
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        q, k, v, kept, seen, y, log_BN1 = ctx.saved_tensors
        grad_y, parts = grad_outputs[0].contiguous(), ctx.parts
        # A query without a key has weights exp(-inf - inf) = 0.
        log_BN1 = log_BN1.masked_fill(log_BN1 == float("-inf"), float("inf"))
        grad_q, gradients = torch.zeros_like(q), [k.new_zeros(k.shape), v.new_zeros(v.shape)]
        for origin, held in _round(_packed(k, v, kept), parts):
            if _counts(seen, origin, parts):
                seen_here = _seen_of(seen, origin, parts)
                grad_q_part, *added = _part_gradients(grad_y, q, *held, seen_here, y, log_BN1, ctx.scale)
                grad_q += grad_q_part
                for gradient, more in zip(gradients, added, strict=True):
                    gradient += more
            gradients = _Passing(gradients, origin, parts, tag=_GRADIENTS).arrived()
        return grad_q, *gradients, None, None, None, None


_Held = tuple[Tensor, Tensor, Tensor | None]


def _packed(k: Tensor, v: Tensor, kept: Tensor | None) -> list[Tensor]:
    return [k.contiguous(), v.contiguous(), *(() if kept is None else (kept.to(torch.uint8),))]


def _round(own: list[Tensor], parts: Parts) -> Iterator[tuple[int, _Held]]:
    """Keys, values and mask of every process, and its number: this one's first, then those of the ones before."""
    held, size = own, parts.parallel.size
    for step in range(size):
        origin = (parts.parallel.rank - step) % size
        coming = _Passing(held, origin, parts, tag=_KEYS) if step + 1 < size else None
        yield origin, (held[0], held[1], held[2].bool() if len(held) > 2 else None)
        held = held if coming is None else coming.arrived()


class _Passing:
    """The tensors of `origin` on their way to the next process, while those of the one before it arrive."""

    def __init__(self, tensors: Sequence[Tensor], origin: int, parts: Parts, *, tag: int) -> None:
        parallel = parts.parallel
        keys = parts.keys[(origin - 1) % parallel.size]
        self.sent = list(tensors)  # held until they are sent
        self.received = [one.new_empty(len(one), keys, *one.shape[2:]) for one in tensors]
        if parallel.size == 1:
            self.received, self.works = self.sent, []
            return
        after, before = ((parallel.rank + step) % parallel.size for step in (1, -1))
        ops = [dist.P2POp(dist.isend, one, group=parallel.group, group_peer=after, tag=tag) for one in self.sent]
        ops += [dist.P2POp(dist.irecv, one, group=parallel.group, group_peer=before, tag=tag) for one in self.received]
        ops = [op for op in ops if op.tensor.numel() > 0]
        self.works = dist.batch_isend_irecv(ops) if ops else []

    def arrived(self) -> list[Tensor]:
        """What has come, once it has."""
        for work in self.works:
            work.wait()
        return self.received


def _counts(seen: Tensor | None, origin: int, parts: Parts) -> bool:
    """Whether some query of this process sums over keys of that one."""
    return parts.keys[origin] > 0 and (seen is None or origin <= parts.parallel.rank)


def _seen_of(seen: Tensor | None, origin: int, parts: Parts) -> Tensor | None:
    """How many keys of a process that counts each query sums over; None for all."""
    return seen if origin == parts.parallel.rank else None


def _part_sum(
    q: Tensor, k: Tensor, v: Tensor, kept: Tensor | None, seen: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Y of one part, and the logarithm of its normaliser, -inf where it keeps no key for a query."""
    if kept is None and seen is None:
        return _OPS.softmax_sum(q, k, v, None, scale)
    y_BND, log_BN1 = _OPS.prefix_softmax(q, k, v, kept, _as_seen(seen, q, k), scale)
    return y_BND, log_BN1.masked_fill(log_BN1 == float("inf"), float("-inf"))


def _part_gradients(
    grad_y: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kept: Tensor | None,
    seen: Tensor | None,
    y: Tensor,
    log_BN1: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """What one part adds to the gradients of q, and those of its k and v."""
    if kept is None and seen is None:
        return _OPS.softmax_sum_backward(grad_y, q, k, v, None, y, log_BN1, scale)
    return _OPS.prefix_softmax_backward(grad_y, q, k, v, kept, _as_seen(seen, q, k), y, log_BN1, scale)


def _as_seen(seen: Tensor | None, q: Tensor, k: Tensor) -> Tensor:
    return torch.full((q.shape[1],), k.shape[1], device=q.device) if seen is None else seen


def _merged(y_a: Tensor, log_a: Tensor, y_b: Tensor, log_b: Tensor) -> tuple[Tensor, Tensor]:
    """Two parts' sums as one."""
    log = torch.logaddexp(log_a, log_b)
    finite = log.masked_fill(log == float("-inf"), 0.0)
    return y_a * (log_a - finite).exp() + y_b * (log_b - finite).exp(), log
