"""A block's weights as the page holds them: small enough to send, and rows that the page itself can compute.

The N x M matrix is far larger than what it is made of, so the page gets what rows are made of, by pairwise function:

    softmax, product   theta and phi, turned into the few directions that decide theta . phi and stored in 8 or 16 bits
    sums               a = theta . w_1 and b = phi . w_2 in float32, of which ReLU(a_i + b_j) is made
    rows               the rows themselves in 8 bits, where they are smaller than theta and phi

The directions: of theta^T theta and phi^T phi one gets, without theta phi^T, its singular values and vectors. The
smallest are left out as long as they move logits by less than `_LOGIT_ERROR` (root mean square). In a softmax a
constant added to a row changes nothing, so phi is centred first. How far the page's rows are from the exact ones is
measured and said in the page; the strongest keys of each query are stored as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nonlocalnet.block import Affinities
from nonlocalnet.explanation.explain import BlockExplanation
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.functional.relu_form import project

_LOGIT_ERROR = 0.01  # of a softmax, absolute; of products in shares of their root mean square
_ROW_ERROR = 0.01  # of a row's weight that may lie elsewhere on the mean, before 16 bits are taken
_NOT_LOOKED_AT = -128  # in rows of 8 bits, whose weights are from -127 on; rows.js knows it
_SAMPLED = 256  # queries on which the difference is measured


@dataclass(frozen=True)
class Packed:
    """A block's weights for the page.

    Attributes:
        rule: How the page makes a row: "softmax", "product", "sums" or "rows".
        arrays: By name, little-endian.
        queries: Which positions have rows: their coordinates along t, y and x.
        said: What the page tells of it: "directions", "of", "bits", "mean_error", "most_error", "measured_on".
    """

    rule: str
    arrays: dict[str, np.ndarray]
    queries: tuple[list[int], list[int], list[int]]
    said: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes of the arrays as text, four characters for three bytes."""
        return sum(math.ceil(array.nbytes / 3) * 4 for array in self.arrays.values())


def pack(block: BlockExplanation, *, coarser: int = 0) -> Packed:
    """A block's weights for the page.

    Args:
        block: The block.
        coarser: How often the grid of queries is halved.
    """
    queries = _queries(block.grid, coarser)
    t, y, x = (torch.tensor(axis) for axis in queries)
    numbers = ((t[:, None, None] * block.grid[1] + y[:, None]) * block.grid[2] + x).flatten()
    rule, arrays, said = _rule(block, numbers)
    keys = math.prod(block.key_grid)
    strongest = block.survey.strongest[numbers].numpy()
    arrays["top"] = np.where(strongest < 0, keys, strongest).astype(np.uint16 if keys < 2**16 else np.uint32)
    arrays["top_weights"] = block.survey.weights[numbers].numpy()
    arrays["shares"] = block.survey.shares[numbers].numpy()
    if block.affinities.kept_BM is not None:
        arrays["kept"] = block.affinities.kept_BM[0].cpu().numpy().astype(np.uint8)
    return Packed(rule, arrays, queries, said)


def _queries(grid: tuple[int, int, int], coarser: int) -> tuple[list[int], list[int], list[int]]:
    """Every position, or every second, ... in the longest axes: rows and columns before frames."""
    steps = [1, 1, 1]
    for _ in range(coarser):
        left = [math.ceil(size / step) for size, step in zip(grid, steps, strict=True)]
        inner = [axis for axis in (1, 2) if left[axis] > 1 and left[axis] * 2 > max(left[1:])]
        if max(left[1:]) <= 4 and left[0] > max(left[1:]):
            inner = [0]
        for axis in inner:
            steps[axis] *= 2
    t, y, x = (list(range(step // 2, size, step)) or [0] for size, step in zip(grid, steps, strict=True))
    return t, y, x


def _rule(block: BlockExplanation, numbers: Tensor) -> tuple[str, dict[str, np.ndarray], dict[str, Any]]:
    affinities = block.affinities
    row = row_of(affinities.pairwise)
    if affinities.how.window is not None or affinities.how.chosen is not None:
        return "rows", *_rows(block, numbers)  # which keys count is no rule of the page's
    theta, phi = affinities.queries_BQC[0][numbers].float().cpu(), affinities.keys_BMC[0].float().cpu()
    if row.has_w_f and affinities.w_f is not None:
        a, b = project(theta[None], phi[None], affinities.w_f.detach().float().cpu())
        return "sums", {"a": a[0].numpy(), "b": b[0].numpy()}, {"bits": 32}
    if len(theta) * len(phi) <= (len(theta) + len(phi)) * min(theta.shape[1], len(phi)):
        return "rows", *_rows(block, numbers)
    theta, phi = _directions(theta, phi, affinities.scale, softmax=row.is_softmax)
    said: dict[str, Any] = {"directions": theta.shape[1], "of": affinities.keys_BMC.shape[2]}
    rule = "softmax" if row.is_softmax else "product"
    for bits in (8, 16):
        arrays = {**_quantised("theta", theta, bits), **_quantised("phi", phi, bits)}
        said.update(bits=bits, **_errors(block, numbers, arrays, softmax=row.is_softmax))
        if said["mean_error"] <= _ROW_ERROR:
            break
    return rule, arrays, said


def _directions(theta: Tensor, phi: Tensor, scale: float, *, softmax: bool) -> tuple[Tensor, Tensor]:
    """Theta and phi in the directions that decide theta . phi, the most important first; the scale is in theta."""
    phi = phi.double() - phi.double().mean(0) if softmax else phi.double()
    theta = theta.double() * scale
    (root_t, back_t), (root_p, back_p) = _roots(theta), _roots(phi)
    left, singular, right = torch.linalg.svd(root_t @ root_p.T)
    # What the directions from r on hold of all N M products.
    tail = singular.square().flip(0).cumsum(0).flip(0).div(len(theta) * len(phi)).sqrt()
    allowed = _LOGIT_ERROR if softmax else _LOGIT_ERROR * float(tail[0])
    kept = max(1, int((tail > allowed).sum()))
    size = singular[:kept].sqrt()
    return theta @ (back_t @ left[:, :kept] * size), phi @ (back_p @ right.T[:, :kept] * size)


def _roots(rows: Tensor) -> tuple[Tensor, Tensor]:
    """R with R^T R = rows^T rows, and its pseudo-inverse."""
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    used = values > values[-1].clamp_min(torch.finfo(torch.float64).tiny) * 1e-13
    values, vectors = values[used].sqrt(), vectors[:, used]
    if len(values) == 0:
        values, vectors = torch.ones(1, dtype=torch.float64), torch.zeros(rows.shape[1], 1, dtype=torch.float64)
    return values[:, None] * vectors.T, vectors / values


def _quantised(name: str, rows: Tensor, bits: int) -> dict[str, np.ndarray]:
    """Signed integers and, for each direction, what one of them is worth."""
    most = 2 ** (bits - 1) - 1
    worth = rows.abs().amax(0).clamp_min(torch.finfo(torch.float32).tiny) / most
    integers = (rows / worth).round().numpy().astype(np.int8 if bits == 8 else np.int16)
    return {name: integers, f"{name}_worth": worth.float().numpy()}


def _errors(
    block: BlockExplanation, numbers: Tensor, arrays: dict[str, np.ndarray], *, softmax: bool
) -> dict[str, float]:
    """By how much of their weight the page's rows differ from the exact ones, on queries spread evenly."""
    theta, phi = (arrays[name].astype(np.float32) * arrays[f"{name}_worth"] for name in ("theta", "phi"))
    places = torch.linspace(0, len(numbers) - 1, min(_SAMPLED, len(numbers))).round().long().unique()
    device = block.affinities.asked.device
    chosen = block.affinities.only(numbers[places].to(device))
    apart: list[float] = []
    for rows, keys in chosen.sets():
        exact = chosen.of_set(rows, keys)[0].double().cpu()
        at, columns = places[rows.cpu()].numpy(), keys.cpu().numpy()
        made = torch.from_numpy(theta[at] @ phi[columns].T).double()
        allowed = chosen.allowed(rows, keys)
        kept = torch.ones(made.shape, dtype=torch.bool) if allowed is None else allowed[0].cpu().expand_as(made)
        if softmax:
            made = made.masked_fill(~kept, -math.inf).softmax(1).nan_to_num(0.0)
        else:
            made = (made * kept) / kept.sum(1, keepdim=True).clamp_min(1)
        size = exact.abs().sum(1).clamp_min(torch.finfo(torch.float64).tiny)
        apart += ((made - exact).abs().sum(1) / 2 / size).tolist()
    return {"mean_error": sum(apart) / len(apart), "most_error": max(apart), "measured_on": len(apart)}


def _rows(block: BlockExplanation, numbers: Tensor) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The rows in 8 bits, each in shares of its largest weight."""
    chosen = block.affinities.only(numbers.to(block.affinities.asked.device))
    rows = chosen.rows()[0].float().cpu()
    most = rows.abs().amax(1, keepdim=True)
    integers = (rows / most.clamp_min(torch.finfo(torch.float32).tiny) * 127).round()
    size = rows.abs().sum(1).clamp_min(torch.finfo(torch.float32).tiny)
    apart = (integers / 127 * most - rows).abs().sum(1) / 2 / size
    said = {
        "bits": 8,
        "mean_error": float(apart.mean()),
        "most_error": float(apart.max()),
        "measured_on": len(rows),
    }
    integers = integers.masked_fill(~_looked_at(chosen).cpu(), _NOT_LOOKED_AT)
    return {"rows": integers.numpy().astype(np.int8), "most": most[:, 0].numpy()}, said


def _looked_at(chosen: Affinities) -> Tensor:
    """(Q, M) bool: the keys that each asked position is summed over."""
    looked_QM = torch.zeros(len(chosen.asked), chosen.keys_BMC.shape[1], dtype=torch.bool, device=chosen.asked.device)
    for rows, keys in chosen.sets():
        allowed = chosen.allowed(rows, keys)
        looked_QM[rows.unsqueeze(1), keys] = True if allowed is None else allowed[0]
    return looked_QM
