"""Every refusal names the argument, what was given and what to do."""

import pytest
import torch

from functional.operands import Operands, make, ours
from nonlocalnet import functional
from nonlocalnet.functional.pairwise import PAIRWISE_FUNCTIONS, row_of


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": torch.zeros(2, 3, 4, 4)}, r"(x|theta) must have 3 dimensions .*got .* \(2, 3, 4, 4\): flatten"),
        ({"phi": torch.zeros(7, 3)}, r"(keys|phi) must have 3 dimensions"),
        ({"g": torch.zeros(7, 4)}, r"g must have 3 dimensions"),
        ({"theta": torch.zeros(3, 5, 3)}, r"must have the same batch size; got (x|theta) \(3, 5, 3\)"),
        ({"theta": torch.zeros(2, 5, 4)}, r"same number of channels C \(last dimension\); got .*\(2, 5, 4\)"),
        ({"phi": torch.zeros(2, 0, 3)}, r"(keys|phi) must have at least one position to sum over; .*\(2, 0, 3\)"),
        ({"g": torch.zeros(2, 6, 4)}, r"g must have (keys|phi)'s batch size and number of positions M; got"),
        ({"g": torch.zeros(2, 7, 0)}, r"g must have at least one channel; got g \(2, 7, 0\)"),
        ({"theta": torch.zeros(2, 5, 0), "phi": torch.zeros(2, 7, 0)}, r"must have at least one channel"),
        ({"theta": torch.zeros(2, 5, 3).long()}, r"(x|theta) must be floating point; got torch.int64"),
        ({"phi": torch.zeros(2, 7, 3).double()}, r"must have the same dtype outside autocast; got torch.float32"),
        ({"g": torch.zeros(2, 7, 4).half()}, r"g must have the same dtype outside autocast; .*torch.float16"),
        ({"g": torch.zeros(2, 7, 4, device="meta")}, r"g must be on the same device; got cpu and meta"),
        ({"key_mask": torch.zeros(2, 7)}, r"key_mask must be bool .*got torch.float32: use key_mask.bool\(\)"),
        ({"key_mask": torch.ones(2, 5).bool()}, r"key_mask must be \(B, M\) beside (keys|phi); got .*\(2, 5\)"),
        ({"key_mask": torch.ones(2, 1, 7).bool()}, r"key_mask must be \(B, M\) beside"),
        ({"key_mask": torch.ones(2, 7, device="meta").bool()}, r"key_mask must be on the same device"),
    ],
)
def test_wrong_operands(pairwise: str, change: dict[str, torch.Tensor], message: str) -> None:
    made = make(dtype=torch.float32)
    parts = {"theta": made.theta, "phi": made.phi, "g": made.g, "w_f": made.w_f, "key_mask": None} | change
    with pytest.raises(ValueError, match=message):
        ours(pairwise, Operands(**parts))


@pytest.mark.parametrize(
    ("w_f", "message"),
    [
        (torch.zeros(5), r"w_f must be \(2C,\): 6 numbers, theta's 3 and then phi's 3; got w_f \(5,\)"),
        (torch.zeros(1, 6), r"w_f must be \(2C,\).*got w_f \(1, 6\)"),
        (torch.zeros(6).double(), r"phi and w_f must have the same dtype outside autocast"),
    ],
)
def test_wrong_w_f(w_f: torch.Tensor, message: str) -> None:
    made = make(dtype=torch.float32)
    with pytest.raises(ValueError, match=message):
        functional.concatenation(made.theta, made.phi, made.g, w_f)
    with pytest.raises(ValueError, match=message):
        functional.affinity("concatenation", made.theta, made.phi, w_f=w_f)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_wrong_scale(scale: float) -> None:
    made = make()
    with pytest.raises(ValueError, match="scale must be a finite number; got"):
        functional.gaussian(made.theta, made.phi, made.g, scale=scale)
    with pytest.raises(ValueError, match="scale must be a finite number; got"):
        functional.affinity("gaussian", made.theta, made.phi, scale=scale)


def test_dtypes_may_not_differ_on_meta_either() -> None:
    made = make()
    parts = made.theta.to("meta"), made.phi.to("meta"), made.g.to("meta").half()
    with pytest.raises(ValueError, match="g must have the same dtype outside autocast"):
        functional.gaussian(*parts)


def test_affinity_options() -> None:
    made = make()
    with pytest.raises(ValueError, match=r"pairwise must be one of gaussian, embedded_gaussian, .*; got 'cosine'"):
        functional.affinity("cosine", made.theta, made.phi)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="w_f must be given with pairwise='concatenation'; got None"):
        functional.affinity("concatenation", made.theta, made.phi)
    with pytest.raises(ValueError, match=r"w_f belongs to pairwise='concatenation'; .*'dot_product'"):
        functional.affinity("dot_product", made.theta, made.phi, w_f=made.w_f)
    with pytest.raises(ValueError, match=r"scale belongs to the Gaussian forms; got scale=0.5 .*'concatenation'"):
        functional.affinity("concatenation", made.theta, made.phi, w_f=made.w_f, scale=0.5)


def test_a_name_without_a_row_is_an_error_and_never_another_function() -> None:
    for name in ("cosine", "dot_product ", "", None):
        with pytest.raises(ValueError, match="pairwise must be one of gaussian, embedded_gaussian, "):
            row_of(name)


def test_every_name_has_one_row() -> None:
    assert tuple(row.name for row in PAIRWISE_FUNCTIONS) == functional.PAIRWISE
