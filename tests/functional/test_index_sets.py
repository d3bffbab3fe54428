"""Sums over some of the positions against literal loops in float64, forward and gradient; and SparseK itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from derivatives import check_derivatives
from nonlocalnet import functional
from nonlocalnet.functional import (
    PAIRWISE,
    causal_chosen_sum,
    causal_sum,
    chosen_sum,
    key_blocks_sum,
    sparsek,
    windowed_sum,
)
from nonlocalnet.functional.index_sets import causal_chosen, key_blocks, windows
from nonlocalnet.functional.index_sets.chosen import choose_positions
from nonlocalnet.functional.index_sets.prefix_sparsek import prefix_thresholds
from nonlocalnet.functional.index_sets.shares import chosen_keys, window_keys


def operands(pairwise, n, *, seed=0, channels=3, width=2, batch=2):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    own = {"w_f": draw(2 * channels)} if pairwise == "concatenation" else {}
    return draw(batch, n, channels), draw(batch, n, channels), draw(batch, n, width), own


def loops(pairwise, theta, phi, g, keys_of, *, w_f=None):
    """Equation 1 over the keys [(j, p_j), ...] that `keys_of(b, i)` gives, pair by pair."""
    rows = []
    for b in range(len(theta)):
        for i in range(theta.shape[1]):
            keys = keys_of(b, i)
            if not keys:
                rows.append(g.new_zeros(g.shape[2]))
                continue
            if pairwise == "concatenation":
                f = [torch.relu(w_f @ torch.cat([theta[b, i], phi[b, j]])) for j, _ in keys]
            else:
                f = [theta[b, i] @ phi[b, j] for j, _ in keys]
                f = [torch.exp(one) for one in f] if "gaussian" in pairwise else f
            total = sum(f) if "gaussian" in pairwise else len(keys)
            rows.append(sum(one * p * g[b, j] for one, (j, p) in zip(f, keys, strict=True)) / total)
    return torch.stack(rows).reshape(*theta.shape[:2], g.shape[2])


def assert_same(got, wanted, inputs):
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-11)
    if not wanted.requires_grad:
        return
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    found = torch.autograd.grad((got * weights).sum(), inputs, allow_unused=True)
    expected = torch.autograd.grad((wanted * weights).sum(), inputs, allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        zeros = torch.zeros_like(one if one is not None else other) if one is not None or other is not None else None
        if zeros is not None:
            torch.testing.assert_close(
                zeros if one is None else one, zeros if other is None else other, rtol=1e-8, atol=1e-10
            )


def by_bisection(u, k):
    """The projection, from its definition: tau by halving."""
    if len(u) <= k:
        return torch.ones_like(u)
    low, high = float(u.min()) - 1, float(u.max())
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float((u - middle).clamp(0, 1).sum()) > k else (low, middle)
    return (u - low).clamp(0, 1)


scores = st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=14)


class TestSparseK:
    @settings(max_examples=80, deadline=None)
    @given(scores, st.integers(1, 8))
    def test_it_is_the_projection(self, values, k):
        u = torch.tensor([values], dtype=torch.float64)
        torch.testing.assert_close(sparsek(u, k)[0], by_bisection(u[0], k), rtol=0, atol=1e-9)

    @settings(max_examples=40, deadline=None)
    @given(scores, st.integers(1, 8), st.data())
    def test_a_mask_leaves_out(self, values, k, data):
        kept = torch.tensor([data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))])
        u = torch.tensor([values], dtype=torch.float64)
        alone = sparsek(u[kept].unsqueeze(0), k)[0] if kept.any() else u.new_zeros(0)
        found = sparsek(u.masked_fill(~kept, float("nan")), k, kept=kept)[0]
        torch.testing.assert_close(found[kept[0]], alone, rtol=0, atol=1e-12)
        assert not found[~kept[0]].any()

    def test_jacobian(self):
        u = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        check_derivatives(lambda u: sparsek(u, 3).pow(2), (u,))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_all_of_them_is_exactly_one(self, dtype):
        assert torch.equal(sparsek(torch.randn(2, 50).to(dtype) * 100, 50), torch.ones(2, 50, dtype=dtype))

    @pytest.mark.parametrize("k", [0, -1, 1.5, True])
    def test_no_number_of_positions(self, k):
        with pytest.raises(ValueError, match="k must be an integer of at least 1"):
            sparsek(torch.zeros(1, 3), k)

    @settings(max_examples=60, deadline=None)
    @given(scores, st.integers(1, 6))
    def test_every_beginning(self, values, k):
        u = torch.tensor([values], dtype=torch.float64)
        tau = prefix_thresholds(u, k, torch.ones_like(u, dtype=torch.bool))
        for m in range(1, len(values) + 1):
            torch.testing.assert_close(
                (u[:, :m] - tau[:, m : m + 1]).clamp(0, 1), sparsek(u[:, :m], k), rtol=0, atol=1e-9
            )


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(windows, "LEAST_CHUNK", 4)
    monkeypatch.setattr(windows, "HELD", 30)
    monkeypatch.setattr(causal_chosen, "LEAST_BLOCK", 3)
    monkeypatch.setattr(key_blocks, "HELD", 60)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("masked", [False, True])
class TestAgainstLoops:
    N = 11

    def kept(self, masked):
        kept = torch.rand(2, self.N, generator=torch.Generator().manual_seed(4)) > 0.3
        kept[1, :3] = False
        return kept if masked else torch.ones(2, self.N, dtype=torch.bool)

    @pytest.mark.parametrize("causal", [False, True])
    @pytest.mark.parametrize(("window", "dilation"), [(0, 1), (2, 1), (2, 3), (30, 1), (1, 30)])
    def test_window(self, pairwise, masked, causal, window, dilation):
        theta, phi, g, own = operands(pairwise, self.N)
        kept = self.kept(masked)

        def keys_of(b, i):
            reach = range(-window, (0 if causal else window) + 1)
            near = (i + dilation * t for t in reach)
            return [(j, 1.0) for j in near if 0 <= j < self.N and kept[b, j]]

        found = windowed_sum(
            pairwise, theta, phi, g, window=window, dilation=dilation, causal=causal,
            key_mask=kept if masked else None, **own,
        )  # fmt: skip
        assert_same(found, loops(pairwise, theta, phi, g, keys_of, **own), [theta, phi, g, *own.values()])
        shown = window_keys(torch.arange(self.N), self.N, window=window, dilation=dilation, causal=causal)
        for i in range(self.N):
            assert (shown[i] & kept[0]).nonzero().flatten().tolist() == [j for j, _ in keys_of(0, i)]

    @pytest.mark.parametrize("k", [1, 4, 11, 40])
    def test_chosen(self, pairwise, masked, k):
        theta, phi, g, own = operands(pairwise, self.N)
        u = torch.randn(2, self.N, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
        kept = self.kept(masked)

        def keys_of(b, _):
            among = [j for j in range(self.N) if kept[b, j]]
            p = dict(zip(among, sparsek(u[b, among].unsqueeze(0), k)[0], strict=True))
            return [(j, p[j]) for j in sorted(among, key=lambda j: (-u[b, j].item(), j))[:k]]

        found = chosen_sum(pairwise, theta, phi, g, u, k=k, key_mask=kept if masked else None, **own)
        assert_same(found, loops(pairwise, theta, phi, g, keys_of, **own), [theta, phi, g, u, *own.values()])

    @pytest.mark.parametrize("k", [1, 4, 40])
    @pytest.mark.parametrize("frames", [1, 4])
    def test_causal_chosen(self, pairwise, masked, k, frames):
        theta, phi, g, own = operands(pairwise, self.N)
        u = torch.randn(2, self.N, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
        kept = self.kept(masked)
        seen = ((torch.arange(self.N) // frames + 1) * frames).clamp_max(self.N)

        def keys_of(b, i):
            among = [j for j in range(int(seen[i])) if kept[b, j]]
            if not among:
                return []
            p = dict(zip(among, sparsek(u[b, among].unsqueeze(0), k)[0], strict=True))
            return [(j, p[j]) for j in sorted(among, key=lambda j: (-u[b, j].item(), j))[:k]]

        found = causal_chosen_sum(
            pairwise, theta, phi, g, u, k=k, seen_N=seen, key_mask=kept if masked else None, **own
        )
        assert_same(found, loops(pairwise, theta, phi, g, keys_of, **own), [theta, phi, g, u, *own.values()])
        chosen, share = chosen_keys(u.detach(), k, kept=kept, seen_Q=seen)
        for i in range(self.N):
            for b in range(2):
                wanted = {j: p.item() for j, p in keys_of(b, i)}
                assert set(chosen[b, i].nonzero().flatten().tolist()) == set(wanted)
                assert all(abs(float(share[b, i, j]) - p) < 1e-9 for j, p in wanted.items())

    @pytest.mark.parametrize("causal", [False, True])
    @pytest.mark.parametrize(("size", "count"), [(3, 1), (3, 2), (4, 9)])
    def test_key_blocks(self, pairwise, masked, causal, size, count):
        theta, phi, g, own = operands(pairwise, self.N)
        kept = self.kept(masked)

        def keys_of(b, i):
            blocks = [[j for j in range(n, min(n + size, self.N)) if kept[b, j]] for n in range(0, self.N, size)]
            likes = []
            for n, block in enumerate(blocks):
                if causal and n != i // size and (n + 1) * size > i + 1:
                    continue
                if not [j for j in block if not causal or j <= i]:  # nor is a block chosen for what comes later
                    continue
                mean = sum(phi[b, j] for j in block) / len(block)
                likes.append((float("inf") if causal and n == i // size else (theta[b, i] @ mean).item(), n))
            best = [n for _, n in sorted(likes, key=lambda like: (-like[0], like[1]))[:count]]
            return [(j, 1.0) for n in sorted(best) for j in blocks[n] if not causal or j <= i]

        found = key_blocks_sum(
            pairwise, theta, phi, g, size=size, count=count, causal=causal, key_mask=kept if masked else None, **own
        )
        assert_same(found, loops(pairwise, theta, phi, g, keys_of, **own), [theta, phi, g, *own.values()])


@pytest.mark.parametrize("pairwise", PAIRWISE)
class TestTheWhole:
    """With every position chosen, or all within the window, it is the sum over all of them."""

    @pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
    def test_all_positions(self, pairwise, dtype, off):
        theta, phi, g, own = operands(pairwise, 20)
        theta, phi, g = (part.detach().to(dtype) for part in (theta, phi, g))
        own = {name: value.detach().to(dtype) for name, value in own.items()}
        u = torch.randn(2, 20, dtype=dtype)
        full = functional.pairwise.row_of(pairwise).sum(theta, phi, g, **own)
        for one in (
            chosen_sum(pairwise, theta, phi, g, u, k=20, **own),
            windowed_sum(pairwise, theta, phi, g, window=19, **own),
            key_blocks_sum(pairwise, theta, phi, g, size=6, count=4, **own),
        ):
            assert (one - full).abs().max() <= off * full.abs().max().clamp_min(1)
        past = causal_sum(pairwise, theta, phi, g, **own)
        for one in (
            causal_chosen_sum(pairwise, theta, phi, g, u, k=20, **own),
            windowed_sum(pairwise, theta, phi, g, window=19, causal=True, **own),
            key_blocks_sum(pairwise, theta, phi, g, size=6, count=4, causal=True, **own),
        ):
            assert (one - past).abs().max() <= off * past.abs().max().clamp_min(1)

    def test_a_drawn_position_has_no_share_and_a_gradient(self, pairwise):
        theta, phi, g, own = operands(pairwise, 8)
        u = torch.tensor([[5.0, 4.0, -3.0, -3.0, -3.0, -3.0, -3.0, -3.0]] * 2, dtype=torch.float64, requires_grad=True)
        torch.manual_seed(0)
        drawn = chosen_sum(pairwise, theta, phi, g, u, k=2, random=3, **own)
        assert torch.equal(drawn, chosen_sum(pairwise, theta, phi, g, u, k=2, **own))
        drawn.square().sum().backward()
        assert (u.grad[:, 2:] != 0).sum(dim=1).tolist() == [3, 3]

    @pytest.mark.parametrize("padded", [0, 60])
    @pytest.mark.parametrize("fewer", [2, 1])
    def test_only_kept_positions_that_are_not_chosen_are_drawn(self, pairwise, padded, fewer):
        theta, phi, g, own = operands(pairwise, 6 + padded)
        u = torch.tensor([[5.0, 4.0, -3.0, -3.0, -3.0, -3.0]] * 2, dtype=torch.float64)
        theta, phi, own = theta.abs(), phi.abs(), {name: value.abs() for name, value in own.items()}
        u = torch.cat([u, torch.full((2, padded), 9.0)], dim=1).requires_grad_()
        kept = (torch.arange(6 + padded) < 6).expand(2, -1)
        how = {"k": 2, "fewer_B": torch.tensor([fewer] * 2), "key_mask": kept, **own}
        drawn = chosen_sum(pairwise, theta, phi, g, u, random=3, **how)
        assert torch.equal(drawn, chosen_sum(pairwise, theta, phi, g, u, **how))
        drawn.square().sum().backward()
        assert (u.grad[:, fewer:6] != 0).sum(dim=1).tolist() == [3, 3]
        assert not u.grad[:, 6:].any()

    def test_an_empty_batch(self, pairwise):
        theta, phi, g, own = operands(pairwise, 7)
        theta, phi, g = theta[:0], phi[:0], g[:0]
        u = torch.zeros(0, 7, dtype=torch.float64, requires_grad=True)
        for y in (
            chosen_sum(pairwise, theta, phi, g, u, k=2, **own),
            causal_chosen_sum(pairwise, theta, phi, g, u, k=2, **own),
            key_blocks_sum(pairwise, theta, phi, g, size=2, count=1, **own),
            windowed_sum(pairwise, theta, phi, g, window=2, **own),
            windowed_sum(pairwise, theta, phi, g, window=2, dilation=2, causal=True, **own),
        ):
            assert y.shape == (0, 7, g.shape[2])
            y.sum().backward()

    def test_derivatives_of_the_causal_choice(self, pairwise):
        theta, _, _, own = operands(pairwise, 7, channels=2)
        own = {name: value[:4] for name, value in own.items()}
        u = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
        check_derivatives(lambda a, u: causal_chosen_sum(pairwise, a, a, a, u, k=3, **own), (theta, u))


class TestChoosing:
    def test_ties_go_to_the_lowest_number(self):
        assert choose_positions(torch.tensor([[1.0, 2.0, 1.0, 1.0]]), 2).places.tolist() == [[0, 1]]

    def test_what_is_past_the_k_highest_is_dropped(self):
        chosen = choose_positions(torch.zeros(1, 4), 2)  # p is 1/2 for all four
        assert chosen.places.tolist() == [[0, 1]]
        assert chosen.share.tolist() == [[0.5, 0.5]]

    @pytest.mark.parametrize("pairwise", PAIRWISE)
    def test_half_precision_is_close(self, pairwise):
        theta, phi, g, own = operands(pairwise, 30)
        wide = [part.detach().bfloat16() for part in (theta, phi, g)]
        own = {name: value.detach().bfloat16() for name, value in own.items()}
        u = torch.randn(2, 30)
        exact = chosen_sum(
            pairwise, *(part.double() for part in wide), u, k=5, **{n: w.double() for n, w in own.items()}
        )
        found = chosen_sum(pairwise, *wide, u, k=5, **own)
        assert found.dtype == torch.bfloat16
        assert (found.double() - exact).abs().max() < 0.05 * exact.abs().max()

    def test_scores_of_another_shape(self):
        x = torch.randn(1, 4, 2)
        with pytest.raises(ValueError, match=r"u must be \(B, M\) = \(1, 4\)"):
            chosen_sum("dot_product", x, x, x, torch.zeros(1, 5), k=2)
        with pytest.raises(ValueError, match=r"u must be \(B, M\) = \(1, 4\)"):
            causal_chosen_sum("dot_product", x, x, x, torch.zeros(2, 4), k=2)

    @pytest.mark.parametrize("fewer", [torch.ones(2, dtype=torch.int64), torch.ones(1)])
    def test_other_numbers_than_one_whole_one_a_row(self, fewer):
        x = torch.randn(1, 4, 2)
        for summed in (chosen_sum, causal_chosen_sum):
            with pytest.raises(ValueError, match=r"fewer_B must be \(1,\) int64; got"):
                summed("dot_product", x, x, x, torch.zeros(1, 4), k=2, fewer_B=fewer)

    @pytest.mark.parametrize("fewer", [[0, 1], [-3, 1], [1, 3]])
    def test_numbers_beyond_k(self, fewer):
        x = torch.randn(2, 4, 2)
        for summed in (chosen_sum, causal_chosen_sum):
            with pytest.raises(ValueError, match=f"fewer_B must be from 1 to k = 2; got {min(fewer)} to {max(fewer)}"):
                summed("dot_product", x, x, x, torch.zeros(2, 4), k=2, fewer_B=torch.tensor(fewer))

    def test_what_was_seen_where_nothing_is_causal(self):
        x = torch.randn(1, 4, 2)
        with pytest.raises(ValueError, match="seen_N says what each query has seen: it goes with causal=True"):
            key_blocks_sum("dot_product", x, x, x, size=2, count=1, seen_N=torch.arange(4))

    @pytest.mark.parametrize("k", [1, 2, 3])
    def test_where_the_highest_are_far_above_nothing_depends_on_the_scores(self, k):
        """Tau is any of an interval there, and at its ends rounding would decide about a derivative."""
        generator = torch.Generator().manual_seed(k)
        for _ in range(300):
            u = torch.randn(1, 7, generator=generator, dtype=torch.float64)
            u[:, torch.randperm(7, generator=generator)[:k]] += 4
            u.requires_grad_()
            ranked = u.detach().sort(descending=True).values[0]
            if ranked[k - 1] - ranked[k] < 1.01:
                continue
            p = sparsek(u, k)
            assert p.sum() == k
            assert not torch.autograd.grad(p.square().sum(), u)[0].any()
            tau = prefix_thresholds(u, k, torch.ones(1, 7, dtype=torch.bool))
            shares = (u - tau[:, -1:]).clamp(0.0, 1.0)
            assert torch.equal(shares, p)
            assert not torch.autograd.grad(shares.square().sum(), u)[0].any()
            assert ((tau[:, -1:] - u.detach()).abs() > 0.004).all()
            assert ((tau[:, -1:] + 1 - u.detach()).abs() > 0.004).all()

    @pytest.mark.parametrize("kept", [torch.ones(2, 4, dtype=torch.bool), torch.ones(1, 4)])
    def test_a_mask_of_scores_that_is_none(self, kept):
        with pytest.raises(ValueError, match=r"kept must be \(1, 4\) bool, as u; got"):
            sparsek(torch.zeros(1, 4), 2, kept=kept)

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"window": -1}, "window must be"),
            ({"window": 1, "dilation": 0}, "dilation must be"),
            ({"window": 1.0}, "win"),
        ],
    )
    def test_windows_out_of_range(self, wrong, said):
        x = torch.randn(1, 4, 2)
        with pytest.raises(ValueError, match=said):
            windowed_sum("dot_product", x, x, x, **wrong)

    def test_a_window_is_around_one_sequence(self):
        x = torch.randn(1, 4, 2)
        with pytest.raises(ValueError, match="the same N"):
            windowed_sum("dot_product", x, x[:, :3], x[:, :3], window=1)
