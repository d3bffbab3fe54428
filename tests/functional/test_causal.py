"""Causal sums against literal loops in float64, forward and gradients, and what no position may see."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad

from derivatives import check_derivatives
from nonlocalnet import functional
from nonlocalnet.functional import PAIRWISE, causal_sum, chosen_sum, key_blocks_sum
from nonlocalnet.functional.causal import relu_sums, softmax
from nonlocalnet.functional.causal.prefixes import turned
from nonlocalnet.functional.softmax_flash import attend

SEENS = {
    "own": lambda n, m: None,
    "pooled": lambda n, m: ((torch.arange(n) + 1) * m // n).clamp_max(m),
    "frames": lambda n, m: ((torch.arange(n) // 5 + 1) * 4).clamp_max(m),
    "late": lambda n, m: (torch.arange(n) - n // 3).clamp(0, m),
    "all": lambda n, m: torch.full((n,), m),
    "none": lambda n, m: torch.zeros(n, dtype=torch.int64),
}


def operands(pairwise, n, m, *, seed=0, dtype=torch.float64, batch=2, channels=3, width=4):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    w_f = draw(2 * channels) if pairwise == "concatenation" else None
    return draw(batch, n, channels), draw(batch, m, channels), draw(batch, m, width), w_f


def loops(pairwise, theta, phi, g, w_f, seen, key_mask=None, scale=1.0):
    """Equations 1 to 5, position by position, differentiable by autograd."""
    rows = []
    for b in range(len(theta)):
        for i in range(theta.shape[1]):
            js = [j for j in range(int(seen[i])) if key_mask is None or key_mask[b, j]]
            if not js:
                rows.append(g.new_zeros(g.shape[2]))
                continue
            if pairwise == "concatenation":
                f = [torch.relu(w_f @ torch.cat([theta[b, i], phi[b, j]])) for j in js]
            elif pairwise == "dot_product":
                f = [theta[b, i] @ phi[b, j] for j in js]
            else:
                f = [torch.exp(scale * (theta[b, i] @ phi[b, j])) for j in js]
            total = sum(f) if "gaussian" in pairwise else len(js)
            rows.append(sum(weight * g[b, j] for weight, j in zip(f, js, strict=True)) / total)
    return torch.stack(rows).reshape(len(theta), theta.shape[1], g.shape[2])


def small_blocks(monkeypatch):
    monkeypatch.setattr(relu_sums, "LEAST", 2)
    monkeypatch.setattr(relu_sums, "_HELD_ON_A_CPU", 64)
    monkeypatch.setattr("nonlocalnet.functional.causal.products.BLOCK", 4)
    monkeypatch.setattr(softmax, "BLOCK_WEIGHTS", 16)
    monkeypatch.setattr(softmax, "LEAST_ROWS", 3)


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("name", SEENS)
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_sums_and_gradients_are_those_of_the_loops(pairwise, name, masked, monkeypatch):
    small_blocks(monkeypatch)
    n, m = (19, 19) if name == "own" else (23, 14)
    theta, phi, g, w_f = operands(pairwise, n, m)
    seen = SEENS[name](n, m)
    key_mask = torch.rand(2, m) > 0.4 if masked else None
    scale = 0.7 if "gaussian" in pairwise else 1.0
    y = causal_sum(pairwise, theta, phi, g, w_f=w_f, seen_N=seen, key_mask=key_mask, scale=scale)
    shown = torch.arange(1, n + 1) if seen is None else seen
    expected = loops(pairwise, theta, phi, g, w_f, shown, key_mask, scale)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-11)
    inputs = [tensor for tensor in (theta, phi, g, w_f) if tensor is not None]
    weights = torch.randn(y.shape, dtype=torch.float64)
    made = torch.autograd.grad((y * weights).sum(), inputs)
    if name == "none":
        assert all(torch.count_nonzero(of) == 0 for of in made)
        return
    for of, wanted in zip(made, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        torch.testing.assert_close(of, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("threads", [1, 9])  # with 9 for two sets the blocks go backward
@pytest.mark.parametrize("form", ["plain", "plain, in another order", "masked", "pooled"])
@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian"])
def test_plain_sequences_go_through_the_flash_kernels(pairwise, form, threads, monkeypatch):
    called = []
    monkeypatch.setattr(softmax, "attend", lambda *parts, **how: called.append(how) or attend(*parts, **how))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    n, m = (43, 43) if form != "pooled" else (43, 21)
    theta, phi, g, _ = operands(pairwise, n, m, width=3)
    if "order" in form:
        theta, phi, g = (part.detach().mT.contiguous().mT.requires_grad_() for part in (theta, phi, g))
    seen = torch.arange(1, n + 1) if form != "pooled" else SEENS["pooled"](n, m)
    key_mask = torch.rand(2, m) > 0.4 if form == "masked" else None
    y = causal_sum(pairwise, theta, phi, g, seen_N=seen, key_mask=key_mask)
    assert called == ([{"causal": True}] if form.startswith("plain") else [])
    expected = loops(pairwise, theta, phi, g, None, seen, key_mask)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-11)
    weights = torch.randn(2, 3, n, dtype=torch.float64).mT
    made = torch.autograd.grad((y * weights).sum(), (theta, phi, g))
    for of, wanted in zip(made, torch.autograd.grad((expected * weights).sum(), (theta, phi, g)), strict=True):
        torch.testing.assert_close(of, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_second_derivatives(pairwise, monkeypatch):
    small_blocks(monkeypatch)
    theta, phi, g, w_f = operands(pairwise, 7, 5, batch=1, channels=2, width=2)
    seen = torch.tensor([0, 1, 1, 3, 4, 5, 5])
    inputs = (theta, phi, g) if w_f is None else (theta, phi, g, w_f)

    def of(theta, phi, g, w_f=None):
        return causal_sum(pairwise, theta, phi, g, w_f=w_f, seen_N=seen)

    check_derivatives(of, inputs)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_nothing_later_moves_anything_earlier(pairwise):
    theta, phi, g, w_f = operands(pairwise, 300, 300, dtype=torch.float32)
    y = causal_sum(pairwise, theta, phi, g, w_f=w_f)
    y[:, 170].sum().backward()
    for of in (theta.grad, phi.grad, g.grad):
        assert of is not None
        assert torch.count_nonzero(of[:, 171:]) == 0
        assert torch.count_nonzero(of[:, :171]) > 0
    with torch.no_grad():
        for tensor in (theta, phi, g):
            tensor[:, 171:] = 1e4
        again = causal_sum(pairwise, theta, phi, g, w_f=w_f)
    torch.testing.assert_close(again[:, :171], y[:, :171], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_the_last_position_of_a_sequence_sums_over_all_of_it(pairwise):
    theta, phi, g, w_f = operands(pairwise, 700, 700, dtype=torch.float32, channels=8, width=6)
    options = {} if w_f is None else {"w_f": w_f}
    whole = getattr(functional, pairwise)
    arguments = (theta, theta, g) if pairwise == "gaussian" else (theta, phi, g)
    keys = theta if pairwise == "gaussian" else phi
    y = causal_sum(pairwise, theta, keys, g, w_f=w_f)
    torch.testing.assert_close(y[:, -1], whole(*arguments, **options)[:, -1], rtol=2e-5, atol=2e-5)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), pairwise=st.sampled_from(PAIRWISE))
def test_any_growing_count_is_summed_rightly(data, pairwise):
    n, m = data.draw(st.integers(0, 40)), data.draw(st.integers(1, 150))
    seen = torch.tensor(sorted(data.draw(st.lists(st.integers(0, m), min_size=n, max_size=n))), dtype=torch.int64)
    theta, phi, g, w_f = operands(pairwise, n, m, batch=1)
    with torch.no_grad():
        y = causal_sum(pairwise, theta, phi, g, w_f=w_f, seen_N=seen)
        for i in range(n):
            count = int(seen[i])
            if count == 0:
                assert torch.count_nonzero(y[:, i]) == 0
                continue
            w = functional.affinity(pairwise, theta[:, i : i + 1], phi[:, :count], w_f=w_f)
            torch.testing.assert_close(y[:, i], (w @ g[:, :count])[:, 0], rtol=1e-9, atol=1e-10)


def test_what_keys_have_seen_from_the_end():
    assert turned(torch.tensor([1, 2, 2, 4]), 4).tolist() == [1, 1, 3, 4]
    assert turned(torch.tensor([0, 0]), 3).tolist() == [0, 0, 0]
    seen = torch.tensor([1, 1, 3, 4, 4])
    assert turned(turned(seen, 4), 5).tolist() == seen.tolist()


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(pairwise, dtype):
    operands_ = [None if of is None else of.detach() for of in operands(pairwise, 90, 90, dtype=dtype)]
    theta, phi, g, w_f = operands_
    y = causal_sum(pairwise, theta, phi, g, w_f=w_f)
    assert y.dtype == dtype
    wide = causal_sum(pairwise, theta.double(), phi.double(), g.double(), w_f=None if w_f is None else w_f.double())
    unit = 2**-11 if dtype == torch.float16 else 2**-8
    torch.testing.assert_close(y.double(), wide, rtol=unit, atol=unit * float(wide.abs().max()))


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_compiles_whole_and_under_torch_func(pairwise):
    theta, phi, g, w_f = (None if of is None else of.detach() for of in operands(pairwise, 40, 40, dtype=torch.float32))

    def loss(theta):
        return causal_sum(pairwise, theta, phi, g, w_f=w_f).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    leaf = theta.clone().requires_grad_()
    compiled(leaf).backward()
    torch.testing.assert_close(leaf.grad, grad(loss)(theta))


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_on_meta_there_are_shapes(pairwise):
    """Where a network's cost is counted there are no numbers to check."""
    x, mask = torch.empty(2, 5, 3, device="meta"), torch.empty(2, 5, dtype=torch.bool, device="meta")
    own = {"w_f": torch.empty(6, device="meta")} if pairwise == "concatenation" else {}
    for key_mask in (None, mask):
        assert causal_sum(pairwise, x, x, x, key_mask=key_mask, **own).shape == (2, 5, 3)
        y = key_blocks_sum(pairwise, x, x, x, size=2, count=2, causal=True, key_mask=key_mask, **own)
        assert y.shape == (2, 5, 3)
        fewer = torch.empty(2, dtype=torch.long, device="meta")
        y = chosen_sum(pairwise, x, x, x, x[..., 0], k=3, fewer_B=fewer, key_mask=key_mask, **own)
        assert y.shape == (2, 5, 3)


def test_long_sums_lose_no_digits():
    """2^17 float32 terms of one sign: a float32 running total would be off by 1e-4."""
    n = 2**17
    torch.manual_seed(0)
    ones = torch.rand(1, n, 1)
    for pairwise, w_f in (("dot_product", None), ("concatenation", torch.tensor([1.0, 1.0]))):
        y = causal_sum(pairwise, ones, ones, ones, w_f=w_f)[0, -1, 0].double()
        x = ones.double()[0, :, 0]
        exact = (x[-1] * x * x).sum() / n if w_f is None else ((x[-1] + x) * x).sum() / n
        assert abs(float(y / exact) - 1) < 1e-6
        assert math.isfinite(float(y))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seen_N": torch.tensor([1, 2])}, r"seen_N must be \(N,\) = \(3,\) int64; got \(2,\)"),
        ({"seen_N": torch.tensor([1.0, 2.0, 3.0])}, "int64; got"),
        ({"seen_N": torch.tensor([1, 2, 9])}, "from 0 to M = 3; got 1 to 9"),
        ({"seen_N": torch.tensor([2, 1, 3])}, "never decrease"),
        ({"scale": 2.0}, "scale belongs to the Gaussian forms"),
        ({"w_f": torch.ones(4)}, "w_f belongs to"),
    ],
)
def test_bad_arguments_are_refused(options, words):
    x = torch.ones(1, 3, 2)
    with pytest.raises(ValueError, match=words):
        causal_sum("dot_product", x, x, x, **options)


def test_different_lengths_need_what_was_seen():
    x = torch.ones(1, 3, 2)
    with pytest.raises(ValueError, match="N=3, M=2"):
        causal_sum("dot_product", x, x[:, :2], x[:, :2])
