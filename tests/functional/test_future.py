"""Nothing that comes later moves anything earlier, in any causal sum: neither values, nor sizes, nor masks."""

import pytest
import torch
from torch import Tensor

from functional.operands import make
from nonlocalnet.functional import PAIRWISE, causal_chosen_sum, causal_sum, key_blocks_sum, windowed_sum

SUMS = {
    "all": causal_sum,
    "window": lambda *operands, **own: windowed_sum(*operands, window=3, causal=True, **own),
    "dilated": lambda *operands, **own: windowed_sum(*operands, window=2, dilation=3, causal=True, **own),
    "key blocks": lambda *operands, **own: key_blocks_sum(*operands, size=2, count=2, causal=True, **own),
    "chosen": lambda pairwise, theta, phi, g, **own: causal_chosen_sum(
        pairwise, theta, phi, g, phi.sum(dim=2), k=3, **own
    ),
}


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("size", [1.0, 1e30])
@pytest.mark.parametrize("i", range(0, 17, 2))
def test_neither_values_nor_masks(pairwise: str, name: str, size: float, i: int) -> None:
    n = 17
    made = make(9, n, n, 3, 2, seed=i)
    own = {"w_f": made.w_f} if pairwise == "concatenation" else {}
    generator = torch.Generator().manual_seed(i)
    kept, other = (torch.rand(9, n, generator=generator) > 0.4 for _ in range(2))
    later = torch.arange(n) > i

    def rows(theta: Tensor, phi: Tensor, g: Tensor, kept: Tensor) -> Tensor:
        return SUMS[name](pairwise, theta, phi, g, key_mask=kept, **own)[:, : i + 1]

    operands = [one.requires_grad_() for one in (made.theta, made.phi, made.g)]
    y = rows(*operands, kept)
    changed = [torch.where(later[:, None], size * torch.randn_like(one), one) for one in operands]
    torch.testing.assert_close(rows(*changed, torch.where(later, other, kept)), y, rtol=1e-11, atol=1e-11)
    for gradient in torch.autograd.grad(y.square().sum(), operands):
        assert torch.count_nonzero(gradient[:, i + 1 :]) == 0


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-1e34, 1e34])
def test_a_window_counts_nothing_outside_it(pairwise: str, causal: bool, dtype: torch.dtype, logit: float) -> None:
    """However large the logits are that it leaves out, or small the ones inside."""
    made = make(1, 9, 9, 1, 2, dtype=dtype)
    theta, phi = torch.ones_like(made.theta), torch.zeros_like(made.phi)
    inside = range(3, 5 if causal else 6)
    phi[:, inside if logit < 0 else [i for i in range(9) if i not in inside]] = logit
    y = windowed_sum(pairwise, theta, phi, made.g, window=1, causal=causal)
    torch.testing.assert_close(y[:, 4], made.g[:, inside].mean(dim=1))
