"""The paper's four pairwise functions, one row each: what a function needs, its sum and its rows of weights.

A fifth one is a file of its own and a row here. Whoever asks something of a pairwise function asks its row; a name
without a row is an error, never another function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from nonlocalnet.functional.algorithms import PRODUCT, RELU, SOFTMAX, Algorithm, case_of_sizes, choose
from nonlocalnet.functional.causal.forms import causal_product, causal_relu, causal_softmax
from nonlocalnet.functional.checks import check_operands, check_scale, check_w_f
from nonlocalnet.functional.parallel.forms import parallel_product, parallel_relu, parallel_softmax
from nonlocalnet.functional.product_form import dot_product, product_rows
from nonlocalnet.functional.relu_form import concatenation, relu_rows
from nonlocalnet.functional.softmax_form import embedded_gaussian, gaussian, softmax_rows

Pairwise = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"]

PAIRWISE: tuple[Pairwise, ...] = get_args(Pairwise)


@dataclass(frozen=True)
class PairwiseFunction:
    """One pairwise function f.

    Attributes:
        name: As users give it.
        embeds: Whether f takes theta(x_i) and phi(x_j), and else x itself.
        is_softmax: Whether the weights f / C(x) are a softmax, which a `scale` may multiply the logits of; the
            others divide by the number of positions.
        has_w_f: Whether f has the weight vector w_f.
        compute: The sum of equation 1, (theta, phi, g, [w_f], *, [scale], key_mask); see `sum`.
        weights: f / C(x) of asked positions, (theta, phi, [w_f], *, [scale], key_mask), in the operands' dtype, of
            operands that were checked; see `nonlocalnet.functional.affinity`.
        causal: f's sum over what came before, (theta, phi, g, [w_f], *, [scale], key_mask, seen_N), of operands that
            were checked; see `nonlocalnet.functional.causal_sum`.
        parallel: f's sum over the keys of several processes, (theta, phi, g, [w_f], *, [scale], key_mask, seen_N,
            parts), of operands that were checked; see `nonlocalnet.functional.parallel_sum`.
        algorithms: The forms that `compute` chooses among; see `algorithm`.
    """

    name: Pairwise
    embeds: bool
    is_softmax: bool
    has_w_f: bool
    compute: Callable[..., Tensor]
    weights: Callable[..., Tensor]
    causal: Callable[..., Tensor]
    parallel: Callable[..., Tensor]
    algorithms: tuple[Algorithm, ...]

    def sum(
        self,
        theta_BNC: Tensor,
        phi_BMC: Tensor,
        g_BMD: Tensor,
        *,
        w_f: Tensor | None = None,
        scale: float = 1.0,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """Equation 1 for this f: y (B, N, D).

        Raises:
            ValueError: As the function of this name, and where an option is given that this f does not have.
        """
        self.check_options(phi_BMC, w_f=w_f, scale=scale)
        return self.compute(theta_BNC, phi_BMC, g_BMD, **self.own_options(w_f, scale), key_mask=key_mask)

    def rows(
        self,
        theta_BQC: Tensor,
        phi_BMC: Tensor,
        *,
        w_f: Tensor | None = None,
        scale: float = 1.0,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """f(i, j) / C(x) for Q asked positions, (B, Q, M).

        Raises:
            ValueError: Where an option is given that this f does not have, or one is missing.
        """
        self.check_options(phi_BMC, w_f=w_f, scale=scale)
        return self.weights(theta_BQC, phi_BMC, **self.own_options(w_f, scale), key_mask=key_mask)

    def check(
        self,
        theta_BNC: Tensor,
        phi_BMC: Tensor,
        g_BMD: Tensor,
        *,
        w_f: Tensor | None,
        scale: float,
        key_mask: Tensor | None,
        least_keys: int = 1,
    ) -> None:
        """Refuse operands and options that no sum of this f takes; `least_keys` is 0 where M may be.

        Raises:
            ValueError: Naming the argument, what was given and what was expected.
        """
        check_operands(("theta", theta_BNC), ("phi", phi_BMC), g_BMD, key_mask=key_mask, least_keys=least_keys)
        check_scale(scale)
        self.check_options(phi_BMC, w_f=w_f, scale=scale)

    def check_options(self, phi_BMC: Tensor, *, w_f: Tensor | None, scale: float) -> None:
        """Refuse options that this f does not have, and their absence where it needs them.

        Raises:
            ValueError: Naming the option, what was given and whose it is.
        """
        if scale != 1.0:
            check_scale(scale)
            if not self.is_softmax:
                raise ValueError(f"scale belongs to the Gaussian forms; got scale={scale} with pairwise={self.name!r}")
        if self.has_w_f:
            if w_f is None:
                raise ValueError(f"w_f must be given with pairwise={self.name!r}; got None")
            check_w_f(("phi", phi_BMC), w_f)
        elif w_f is not None:
            owners = " and ".join(repr(row.name) for row in PAIRWISE_FUNCTIONS if row.has_w_f)
            raise ValueError(f"w_f belongs to pairwise={owners}; got it with pairwise={self.name!r}")

    def own_options(self, w_f: Tensor | None, scale: float) -> dict[str, Tensor | float | None]:
        """Those of the two that this f has, by name."""
        own: dict[str, Tensor | float | None] = {}
        if self.has_w_f:
            own["w_f"] = w_f
        if self.is_softmax:
            own["scale"] = scale
        return own


PAIRWISE_FUNCTIONS: tuple[PairwiseFunction, ...] = (
    PairwiseFunction(
        "gaussian", embeds=False, is_softmax=True, has_w_f=False, compute=gaussian, weights=softmax_rows,
        causal=causal_softmax, parallel=parallel_softmax, algorithms=SOFTMAX,
    ),
    PairwiseFunction(
        "embedded_gaussian", embeds=True, is_softmax=True, has_w_f=False, compute=embedded_gaussian,
        weights=softmax_rows, causal=causal_softmax, parallel=parallel_softmax, algorithms=SOFTMAX,
    ),
    PairwiseFunction(
        "dot_product", embeds=True, is_softmax=False, has_w_f=False, compute=dot_product, weights=product_rows,
        causal=causal_product, parallel=parallel_product, algorithms=PRODUCT,
    ),
    PairwiseFunction(
        "concatenation", embeds=True, is_softmax=False, has_w_f=True, compute=concatenation, weights=relu_rows,
        causal=causal_relu, parallel=parallel_relu, algorithms=RELU,
    ),
)  # fmt: skip

_BY_NAME: dict[str, PairwiseFunction] = {row.name: row for row in PAIRWISE_FUNCTIONS}


def row_of(pairwise: str) -> PairwiseFunction:
    """The row of a name.

    Raises:
        ValueError: If no row has it.
    """
    row = _BY_NAME.get(pairwise) if isinstance(pairwise, str) else None
    if row is not None:
        return row
    raise ValueError(f"pairwise must be one of {', '.join(PAIRWISE)}; got {pairwise!r}")


def algorithm(
    pairwise: str,
    *,
    positions: int,
    keys: int,
    channels: int,
    width: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    masked: bool = False,
) -> Algorithm:
    """Which form a sum takes, and why: what `nonlocalnet.functional` would do with operands of these sizes.

    Args:
        pairwise: One of `PAIRWISE`.
        positions: N, the output positions.
        keys: M, the positions that are summed over.
        channels: C of theta and phi (of x with "gaussian").
        width: D of g; None for `channels`.
        device: Where the operands are; a CUDA device must be present.
        dtype: The operands'.
        masked: Whether a `key_mask` is given.

    Returns:
        Its name in `form`, and in `why` what it is for, with its figure.

    Raises:
        ValueError: If there is no such pairwise function, or a size is negative.

    >>> algorithm("dot_product", positions=6272, keys=1568, channels=256).form
    'factored'
    """
    sizes = {"positions": positions, "keys": keys, "channels": channels, "width": channels if width is None else width}
    for name, size in sizes.items():
        if size < 0:
            raise ValueError(f"{name} must be at least 0, got {size}")
    case = case_of_sizes(torch.device(device), dtype, positions, keys, sizes["channels"], sizes["width"], masked=masked)
    return choose(row_of(pairwise).algorithms, case)
