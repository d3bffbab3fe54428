"""Which form runs when: the tables of `nonlocalnet.functional.algorithms`, and that every choice has a last resort."""

import pytest
import torch

from functional.operands import make
from nonlocalnet import functional
from nonlocalnet.functional import product_form, relu_form, softmax_form
from nonlocalnet.functional.algorithms import PRODUCT, RELU, SOFTMAX, Case, case_of, choose

# res3 and res4 of a 32x2 clip, in bfloat16 on a Hopper GPU.
RES3 = Case("cuda", True, (9, 0), True, 6272, 1568, 256, 256, False, False)
RES4 = RES3._replace(rows=1568, keys=392, channels=512, width=512)


@pytest.mark.parametrize(
    ("table", "case", "form"),
    [
        (SOFTMAX, RES3, "cudnn"),
        (SOFTMAX, RES3._replace(capability=(8, 0)), "flash"),
        (SOFTMAX, RES3._replace(capability=(7, 5), triton=False), "chunks"),
        (SOFTMAX, RES3._replace(masked=True), "chunks"),
        (SOFTMAX, RES3._replace(channels=512), "chunks"),
        (SOFTMAX, RES3._replace(channels=20, width=20), "chunks"),
        (SOFTMAX, RES4, "chunks"),
        (SOFTMAX, RES3._replace(half=False), "blocks"),
        (SOFTMAX, RES4._replace(half=False), "matrix"),
        (SOFTMAX, RES3._replace(device="cpu", capability=(0, 0), triton=False), "flash on a CPU"),
        (SOFTMAX, RES4._replace(device="cpu", half=False, triton=False), "flash on a CPU"),
        (SOFTMAX, RES4._replace(device="cpu", half=False, triton=False, masked=True), "flash on a CPU"),
        (SOFTMAX, RES4._replace(device="cpu", half=False, triton=False, channels=1024), "blocks"),
        (SOFTMAX, RES4._replace(device="meta", half=False, triton=False), "blocks"),
        (SOFTMAX, RES3._replace(rows=0), "matrix"),
        (SOFTMAX, RES3._replace(exporting=True), "matrix"),
        (PRODUCT, RES3, "half, factored"),
        (PRODUCT, RES3._replace(rows=40, keys=40), "half, matrix"),
        (PRODUCT, RES3._replace(half=False), "factored"),
        (PRODUCT, RES3._replace(exporting=True), "factored"),
        (PRODUCT, RES3._replace(device="cpu", rows=40, keys=40), "matrix"),
        (RELU, RES3, "fused"),
        (RELU, RES3._replace(rows=40_000, keys=40_000), "sorted"),
        (RELU, RES3._replace(triton=False), "sorted"),
        (RELU, RES3._replace(half=False), "sorted"),
        (RELU, RES3._replace(half=False, rows=40, keys=40), "matrix"),
        (RELU, RES3._replace(exporting=True), "matrix"),
    ],
)
def test_the_first_row_that_takes_the_case(table, case: Case, form: str) -> None:
    assert choose(table, case).form == form


@pytest.mark.parametrize("table", [SOFTMAX, PRODUCT, RELU])
def test_the_last_row_takes_everything_and_every_row_says_why(table) -> None:
    assert table[-1].takes(RES3._replace(device="xpu", half=False, rows=10**6, keys=10**6))
    assert all(row.why for row in table)


def test_the_matrix_is_bounded_by_the_operands() -> None:
    case = RES3._replace(half=False, channels=64, width=64)
    n = 256  # N M = (N + M) (C + D)
    assert choose(SOFTMAX, case._replace(rows=n, keys=n)).form == "matrix"
    assert choose(SOFTMAX, case._replace(rows=n + 1, keys=n)).form == "blocks"


def test_the_case_of_operands() -> None:
    made = make(2, 5, 7, 3, 4, dtype=torch.float16)
    case = case_of(made.theta, made.g, dtype=torch.float16, masked=True)
    assert case == Case("cpu", True, (0, 0), False, 5, 7, 3, 4, True, False)
    assert case_of(make(0, 5).theta, make(0, 5).g, dtype=torch.float64, masked=False).rows == 0


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize(("positions", "keys", "channels", "width"), [(5, 7, 3, 4), (40, 30, 2, 2), (0, 7, 3, 4)])
def test_what_is_said_is_what_is_done(pairwise, positions, keys, channels, width, monkeypatch) -> None:
    done = []

    def spy(table, case):
        done.append(choose(table, case))
        return done[-1]

    for module in (softmax_form, product_form, relu_form):
        monkeypatch.setattr(module, "choose", spy)
    made = make(2, positions, keys, channels, width, dtype=torch.float32)
    getattr(functional, pairwise)(*made.arguments(pairwise))
    sizes = {"positions": positions, "keys": keys, "channels": channels, "width": width}
    assert done == [functional.algorithm(pairwise, **sizes)]


def test_a_question_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="keys must be at least 0, got -1"):
        functional.algorithm("gaussian", positions=1, keys=-1, channels=1)
    with pytest.raises(ValueError, match="pairwise must be one of"):
        functional.algorithm("cosine", positions=1, keys=1, channels=1)
