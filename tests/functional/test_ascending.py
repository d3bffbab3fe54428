"""Many numbers in ascending order: those of PyTorch's own sort, whatever the numbers are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nonlocalnet.functional import ascending as module
from nonlocalnet.functional.ascending import ascending


@settings(deadline=None, max_examples=100)
@given(numbers=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40), rows=st.integers(1, 3))
def test_any_numbers(numbers: list[float], rows: int) -> None:
    # 0 and -0, infinities, numbers below float32's normal ones, ties.
    x = torch.tensor([numbers, numbers[::-1], [-number for number in numbers]][:rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST", 1)
        values, places = ascending(x)
    assert torch.equal(values, x.sort(dim=1).values)  # -0 is 0 here
    assert torch.equal(values, x.gather(1, places))
    assert torch.equal(places.sort(dim=1).values, torch.arange(x.shape[1]).expand_as(x))


@pytest.mark.parametrize("turned", [False, True], ids=["rows", "turned"])
def test_as_many_as_are_sorted_by_their_digits(turned: bool) -> None:
    x = torch.randn(2, module.LEAST + 1, generator=torch.Generator().manual_seed(0)) * 1e3
    x = x.mT.contiguous().mT if turned else x
    values, places = ascending(x)
    assert torch.equal(values, x.sort(dim=1).values)
    assert torch.equal(values, x.gather(1, places))


def test_what_is_no_number_is_at_an_end() -> None:
    x = torch.randn(1, module.LEAST, generator=torch.Generator().manual_seed(0))
    x[0, 7], x[0, 8] = float("nan"), -float("nan")
    values, places = ascending(x)
    ends = values.isnan().nonzero()[:, 1].tolist()
    assert len(ends) == 2
    assert set(ends) <= {0, 1, module.LEAST - 2, module.LEAST - 1}
    assert {int(places[0, end]) for end in ends} == {7, 8}
