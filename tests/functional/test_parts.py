"""Sums that are made in parts: what the parts cost in the backward pass."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nonlocalnet.functional.index_sets import parts, windows


class _Written(TorchDispatchMode):
    """Counts the numbers of what the operators under it return."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.numbers += sum(one.numel() for one in tree_leaves(result) if torch.is_tensor(one))
        return result


def _written_backward(positions: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(windows, "HELD_IN_CACHE", 2**12)
    torch.manual_seed(0)
    theta, phi, g = (torch.randn(1, positions, 4, requires_grad=True) for _ in range(3))
    y = windows.windowed_sum("dot_product", theta, phi, g, window=4)
    with _Written() as written:
        y.sum().backward()
    return written.numbers


def test_the_backward_pass_of_many_parts_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = (_written_backward(positions, monkeypatch) for positions in (2**11, 2**14))
    assert long < 8 * short * 1.1


def test_every_part_is_there_once() -> None:
    rows = torch.arange(7.0).unsqueeze(0).requires_grad_()
    doubled = parts.in_parts(lambda own, factor: own * factor, (rows,), (torch.tensor(2.0),), step=3)
    doubled.sum().backward()
    assert torch.equal(doubled, rows * 2)
    assert rows.grad is not None
    assert torch.equal(rows.grad, torch.full_like(rows, 2.0))
