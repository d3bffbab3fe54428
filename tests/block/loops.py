"""The block restated position by position, from the paper's text and in float64: the oracle of the block's tests.

A position is a tuple of coordinates, a cell the tuple of a pooling window's coordinates. Nothing here is shared with
the package but the block's parameters.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

Position = tuple[int, ...]


def literal_block(block: Any, options: dict[str, Any], x: Tensor, key_mask: Tensor | None = None) -> Tensor:
    """z of x by loops; `options` are the ones the block was made with."""
    z = x.double().clone()
    for b in range(len(x)):
        rows = literal_weights(block, options, x, b, key_mask)
        values = _summed_over(block.g, options, x[b].double(), None if key_mask is None else key_mask[b])
        for i, row in rows.items():
            y_i = sum((weight * values[j] for j, weight in row.items()), np.zeros(block.out.weight.shape[1]))
            z[(b, slice(None), *i)] += torch.from_numpy(_normalised(block.norm, _conv(block.out, y_i)))
    return z


def literal_weights(
    block: Any, options: dict[str, Any], x: Tensor, b: int, key_mask: Tensor | None
) -> dict[Position, dict[Position, float]]:
    """For every position i of one sample, f(x_i, x_j) / C(x) of every cell j that i is summed over."""
    sample, mask = x[b].double(), None if key_mask is None else key_mask[b]
    pairwise = options.get("pairwise", "embedded_gaussian")
    scale = options.get("scale", 1.0)
    scale = block.g.weight.shape[0] ** -0.5 if scale == "rsqrt" else scale
    keys = _summed_over(None if pairwise == "gaussian" else block.phi, options, sample, mask)
    rows = {}
    for i in itertools.product(*map(range, sample.shape[1:])):
        theta = (
            sample[(slice(None), *i)].numpy()
            if pairwise == "gaussian"
            else _conv(block.theta, sample[(slice(None), *i)])
        )
        seen = {j: phi for j, phi in keys.items() if _in_domain(i, j, options, sample.shape[1:])}
        if pairwise == "concatenation":
            w_f = block.w_f.detach().double().numpy()
            f = {j: max(0.0, float(w_f @ np.concatenate([theta, phi]))) for j, phi in seen.items()}
        elif pairwise == "dot_product":
            f = {j: float(theta @ phi) for j, phi in seen.items()}
        else:
            assert "gaussian" in pairwise
            f = {j: math.exp(scale * float(theta @ phi)) for j, phi in seen.items()}
        normaliser = (sum(f.values()) if "gaussian" in pairwise else len(seen)) if seen else 1
        rows[i] = {j: value / normaliser for j, value in f.items()}
    return rows


def kernel(options: dict[str, Any], grid: tuple[int, ...]) -> tuple[int, ...]:
    subsample = options.get("subsample")
    if subsample is None:
        subsample = 1
    if isinstance(subsample, int):
        subsample = (1, subsample, subsample) if len(grid) == 3 else (subsample,) * len(grid)
    in_time = 0 if options.get("causal") else -1  # no axis that causality goes over is left unpooled
    sizes = enumerate(zip(subsample, grid, strict=True))
    return tuple(k if size >= k or axis == in_time else 1 for axis, (k, size) in sizes)


def cells(options: dict[str, Any], grid: tuple[int, ...]) -> dict[Position, list[Position]]:
    """The positions of every full pooling window."""
    kernels = kernel(options, grid)
    windows = {}
    for cell in itertools.product(*(range(size // k) for size, k in zip(grid, kernels, strict=True))):
        windows[cell] = list(itertools.product(*(range(c * k, c * k + k) for c, k in zip(cell, kernels, strict=True))))
    return windows


def _summed_over(conv: Any, options: dict[str, Any], sample: Tensor, mask: Tensor | None) -> dict[Position, np.ndarray]:
    """phi or g (or x itself, conv None) of every cell with a position that is kept, pooled over the kept ones."""
    pool_first = options.get("subsample_first", False)
    result = {}
    for cell, window in cells(options, tuple(sample.shape[1:])).items():
        kept = [position for position in window if mask is None or mask[position]]
        if not kept:
            continue
        at = [sample[(slice(None), *position)].numpy() for position in kept]
        if conv is None:
            result[cell] = np.max(at, axis=0)
        elif pool_first:
            result[cell] = _conv(conv, np.max(at, axis=0))
        else:
            result[cell] = np.max([_conv(conv, vector) for vector in at], axis=0)
    return result


def _in_domain(i: Position, j: Position, options: dict[str, Any], grid: tuple[int, ...]) -> bool:
    domain = options.get("domain", "spacetime")
    frames = options.get("temporal_group_frames")
    frames_per_cell = kernel(options, grid)[0]
    if options.get("causal") and (j[0] + 1) * frames_per_cell - 1 > i[0]:
        return False
    if domain == "space" and i[0] != j[0]:
        return False
    if domain == "time" and i[1:] != j[1:]:
        return False
    return frames is None or i[0] // frames == (j[0] * frames_per_cell) // frames


def _conv(conv: Any, vector: Any) -> np.ndarray:
    weight = conv.weight.detach().double().flatten(1).numpy()
    return weight @ np.asarray(vector) + conv.bias.detach().double().numpy()


def _normalised(norm: Any, vector: np.ndarray) -> np.ndarray:
    if norm is None:
        return vector
    if isinstance(norm, torch.nn.LayerNorm):
        weight, bias = norm.weight.detach().double().numpy(), norm.bias.detach().double().numpy()
        return (vector - vector.mean()) / np.sqrt(vector.var() + 1e-3) * weight + bias
    mean, var = norm.running_mean.double().numpy(), norm.running_var.double().numpy()
    weight, bias = norm.weight.detach().double().numpy(), norm.bias.detach().double().numpy()
    return (vector - mean) / np.sqrt(var + 1e-5) * weight + bias
