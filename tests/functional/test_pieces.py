"""`resume_sum` and `resume_windowed` on their own: what they refuse is what the whole sum refuses."""

import pytest
import torch

from nonlocalnet.functional import PAIRWISE, resume_sum, resume_windowed


def own(pairwise):
    return {"w_f": torch.ones(6)} if pairwise == "concatenation" else {}


def windowed(pairwise, theta, phi, g, past, **options):
    return resume_windowed(pairwise, theta, phi, g, past, window=1, **options)


@pytest.mark.parametrize("resume", [resume_sum, windowed])
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("second", [False, True])
class TestRefused:
    """In the first piece and in a later one, beside a mask or options that change nothing of this piece."""

    def past(self, resume, pairwise, second):
        x = torch.ones(2, 5, 3)
        return resume(pairwise, x, x, x, None, **own(pairwise))[1] if second else None

    @pytest.mark.parametrize(
        ("mask", "said"),
        [
            (torch.ones(2, 4, dtype=torch.bool), r"key_mask must be \(B, M\) beside phi; got key_mask \(2, 4\)"),
            (torch.ones(1, 5, dtype=torch.bool), r"key_mask must be \(B, M\) beside phi; got key_mask \(1, 5\)"),
            (torch.ones(5, dtype=torch.bool), r"key_mask must be \(B, M\) beside phi; got key_mask \(5,\)"),
            (torch.ones(2, 5), "key_mask must be bool"),
        ],
    )
    def test_masks(self, resume, pairwise, second, mask, said):
        x = torch.ones(2, 5, 3)
        with pytest.raises(ValueError, match=said):
            resume(pairwise, x, x, x, self.past(resume, pairwise, second), key_mask=mask, **own(pairwise))

    def test_options_of_another_function(self, resume, pairwise, second):
        x, past = torch.ones(2, 5, 3), self.past(resume, pairwise, second)
        options = {"w_f": None} if pairwise == "concatenation" else {"w_f": torch.ones(6)}
        with pytest.raises(ValueError, match="w_f "):
            resume(pairwise, x, x, x, past, **options)
        if "gaussian" not in pairwise:
            with pytest.raises(ValueError, match="scale belongs to the Gaussian forms"):
                resume(pairwise, x, x, x, past, scale=2.0, **own(pairwise))

    def test_shapes(self, resume, pairwise, second):
        x, past = torch.ones(2, 5, 3), self.past(resume, pairwise, second)
        with pytest.raises(ValueError, match="theta must have 3 dimensions"):
            resume(pairwise, x[0], x[0], x[0], past, **own(pairwise))
        with pytest.raises(ValueError, match="the state is a str"):
            resume(pairwise, x, x, x, "a", **own(pairwise))


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_pieces_without_a_key_are_checked_too(pairwise):
    x, none = torch.ones(2, 5, 3), torch.ones(2, 0, 3)
    seen = torch.zeros(5, dtype=torch.long)
    y, past = resume_sum(pairwise, x, none, none, None, seen_N=seen, **own(pairwise))
    assert not y.any()
    y, _ = resume_sum(pairwise, x, x, x, past, **own(pairwise))
    assert torch.equal(y, resume_sum(pairwise, x, x, x, None, **own(pairwise))[0])
    with pytest.raises(ValueError, match="w_f "):
        resume_sum(pairwise, x, none, none, None, seen_N=seen, **({"w_f": x} if pairwise != "concatenation" else {}))
    with pytest.raises(ValueError, match="scale"):
        resume_sum(pairwise, x, none, none, None, seen_N=seen, scale=float("nan"), **own(pairwise))
