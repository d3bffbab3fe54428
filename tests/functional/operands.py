"""Random operands of the four functions, shared by the tests of this room."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
from torch import Tensor

import reference
from nonlocalnet import functional
from nonlocalnet.functional import algorithms, product_form, relu_form, softmax_form


@dataclass
class Operands:
    """theta (B, N, C), phi (B, M, C), g (B, M, D), w_f (2C,) and key_mask (B, M) or None."""

    theta: Tensor
    phi: Tensor
    g: Tensor
    w_f: Tensor
    key_mask: Tensor | None = None

    def arguments(self, pairwise: str) -> tuple[Tensor, ...]:
        return (self.theta, self.phi, self.g, *((self.w_f,) if pairwise == "concatenation" else ()))

    def to(self, dtype: torch.dtype) -> "Operands":
        return Operands(*(part.to(dtype) for part in (self.theta, self.phi, self.g, self.w_f)), self.key_mask)

    def requires_grad(self) -> "Operands":
        for part in (self.theta, self.phi, self.g, self.w_f):
            part.requires_grad_()
        return self


def make(
    batch: int = 2,
    rows: int = 5,
    keys: int = 7,
    channels: int = 3,
    values: int = 4,
    *,
    dtype: torch.dtype = torch.float64,
    masked: bool = False,
    seed: int = 0,
) -> Operands:
    """Normal operands; with `masked` about a third of the keys are left out, and all of them in the last element."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    key_mask = None
    if masked:
        key_mask = torch.rand(batch, keys, generator=generator) > 0.3
        key_mask[-1] = False
    parts = normal(batch, rows, channels), normal(batch, keys, channels), normal(batch, keys, values)
    return Operands(*parts, normal(2 * channels), key_mask)


# The forms that large operands take on a CPU.
LARGE = {"gaussian": "blocks", "embedded_gaussian": "blocks", "dot_product": None, "concatenation": "sorted"}


@contextmanager
def forced(form: str | None) -> Iterator[None]:
    """Every sum by this form of `nonlocalnet.functional.algorithms`; None leaves the choice to its tables."""
    if form is None:
        yield
        return
    chosen = algorithms.Algorithm(form, lambda _: True, "asked for by a test")
    with ExitStack() as patches:
        for module in (product_form, relu_form, softmax_form):
            patches.enter_context(mock.patch.object(module, "choose", lambda *_: chosen))  # noqa: PT008  dynamo traces it
        yield


def ours(pairwise: str, operands: Operands, *, form: str | None = "large", **options: float) -> Tensor:
    """The library's function, by default in the form of large operands, which small ones would not take."""
    with forced(LARGE[pairwise] if form == "large" else form):
        function = getattr(functional, pairwise)
        return function(*operands.arguments(pairwise), key_mask=operands.key_mask, **options)


def by_loops(pairwise: str, operands: Operands, **options: float) -> Tensor:
    function = getattr(reference, pairwise)
    return function(*operands.arguments(pairwise), key_mask=operands.key_mask, **options)


def with_the_matrix(pairwise: str, operands: Operands) -> Tensor:
    """The textbook form in PyTorch's own differentiable operators: the oracle of derivatives."""
    theta, phi, g, w_f, key_mask = operands.theta, operands.phi, operands.g, operands.w_f, operands.key_mask
    keep = torch.ones(g.shape[:2], dtype=torch.bool) if key_mask is None else key_mask
    count = keep.sum(1).clamp(min=1)[:, None, None]
    if pairwise == "concatenation":
        channels = theta.shape[2]
        weights = torch.relu((theta @ w_f[:channels])[:, :, None] + (phi @ w_f[channels:])[:, None]) / count
    elif pairwise == "dot_product":
        weights = theta @ phi.mT / count
    else:
        assert "gaussian" in pairwise
        exponentials = (theta @ phi.mT).exp() * keep[:, None]
        weights = exponentials / exponentials.sum(-1, keepdim=True).clamp(min=1e-300)
    return (weights * keep[:, None]) @ g
