"""torch.compile, torch.export and ONNX, each against eager."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from functional.operands import LARGE, Operands, forced, make
from nonlocalnet import functional

BATCH, ROWS, KEYS = Dim("batch"), Dim("rows"), Dim("keys")


class Operation(nn.Module):
    """One function as a module, which is what the exporters take."""

    def __init__(self, pairwise: str) -> None:
        super().__init__()
        self.pairwise = pairwise
        self.w_f = nn.Parameter(make().w_f.float())

    def forward(self, theta: Tensor, phi: Tensor, g: Tensor, key_mask: Tensor) -> Tensor:
        last = (self.w_f,) if self.pairwise == "concatenation" else ()
        return getattr(functional, self.pairwise)(theta, phi, g, *last, key_mask=key_mask)


@pytest.fixture
def _large_form(pairwise: str) -> Iterator[None]:
    """The form of large operands, where these would take another."""
    with forced(LARGE[pairwise]):
        yield


DYNAMIC = {
    "theta": {0: BATCH, 1: ROWS},
    "phi": {0: BATCH, 1: KEYS},
    "g": {0: BATCH, 1: KEYS},
    "key_mask": {0: BATCH, 1: KEYS},
}


def _inputs(operands: Operands) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert operands.key_mask is not None
    return operands.theta, operands.phi, operands.g, operands.key_mask


SMALL = _inputs(make(dtype=torch.float32, masked=True))
OTHER = _inputs(make(3, 9, 11, dtype=torch.float32, masked=True, seed=1))


@pytest.mark.usefixtures("_large_form")
@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_compiles_into_one_graph_forward_and_backward(pairwise: str) -> None:
    torch._dynamo.reset()
    operation = Operation(pairwise)
    compiled = torch.compile(operation, fullgraph=True, backend="aot_eager", dynamic=True)
    for inputs in (SMALL, OTHER):
        leaves = [part.clone().requires_grad_(part.is_floating_point()) for part in inputs]
        result = compiled(*leaves)
        gradients = torch.autograd.grad(result.square().sum(), leaves[:3])
        expected = operation(*leaves)
        torch.testing.assert_close(result, expected)
        for gradient, other in zip(gradients, torch.autograd.grad(expected.square().sum(), leaves[:3]), strict=True):
            torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize(("pairwise", "form"), [("embedded_gaussian", "chunks"), ("dot_product", "half, factored")])
@pytest.mark.parametrize("chunk_weights", [10**7, 8])
def test_the_forms_for_gpus_compile_into_one_graph(
    pairwise: str, form: str, chunk_weights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nonlocalnet.functional.softmax_chunks.CHUNK_WEIGHTS", chunk_weights)
    torch._dynamo.reset()
    operation = Operation(pairwise)
    with forced(form):
        compiled = torch.compile(operation, fullgraph=True, backend="aot_eager", dynamic=True)
        leaves = [part.clone().requires_grad_(part.is_floating_point()) for part in SMALL]
        result, expected = compiled(*leaves), operation(*leaves)
        torch.testing.assert_close(result, expected)
        gradients = torch.autograd.grad(result.square().sum(), leaves[:3])
        for one, other in zip(gradients, torch.autograd.grad(expected.square().sum(), leaves[:3]), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("positions", [8, 512])
def test_differentiates_under_torch_func(pairwise: str, positions: int) -> None:
    made = make(1, positions, positions, 4, 5)
    _, *others = made.arguments(pairwise)

    def loss(theta: Tensor) -> Tensor:
        return getattr(functional, pairwise)(theta, *others).square().sum()

    (expected,) = torch.autograd.grad(loss(leaf := made.theta.clone().requires_grad_()), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(made.theta), expected)


@pytest.mark.parametrize(("pairwise", "form"), [("embedded_gaussian", "chunks"), ("dot_product", "half, factored")])
def test_the_forms_for_gpus_differentiate_under_torch_func(pairwise: str, form: str) -> None:
    theta, phi, g, mask = SMALL
    last = {"key_mask": mask}

    def loss(theta: Tensor) -> Tensor:
        return getattr(functional, pairwise)(theta, phi, g, **last).square().sum()

    with forced(form):
        (expected,) = torch.autograd.grad(loss(leaf := theta.clone().requires_grad_()), leaf)
        torch.testing.assert_close(torch.func.grad(loss)(theta), expected)


@pytest.mark.slow
@pytest.mark.usefixtures("_large_form")
@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_compiles_with_the_default_backend(pairwise: str) -> None:
    torch._dynamo.reset()
    operation = Operation(pairwise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own deprecations
        torch.testing.assert_close(torch.compile(operation, fullgraph=True)(*SMALL), operation(*SMALL))


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("strict", [False, True])
def test_exports_with_dynamic_sizes(pairwise: str, strict: bool) -> None:
    operation = Operation(pairwise)
    program = torch.export.export(operation, SMALL, dynamic_shapes=DYNAMIC, strict=strict)
    torch.testing.assert_close(program.module()(*OTHER), operation(*OTHER))
    # Only operators every runtime has: a program must load where this package is not installed.
    assert not [node for node in program.graph.nodes if "nonlocalnet" in str(node.target)]


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_exports_to_onnx_with_dynamic_sizes(pairwise: str, tmp_path: Path) -> None:
    operation = Operation(pairwise).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(operation, SMALL, dynamic_shapes=DYNAMIC, dynamo=True, verbose=False)
    assert program is not None
    program.save(tmp_path / "operation.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "operation.onnx")
    names = [one.name for one in session.get_inputs()]
    (result,) = session.run(None, {name: part.numpy() for name, part in zip(names, OTHER, strict=True)})
    torch.testing.assert_close(torch.from_numpy(result), operation(*OTHER).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("_large_form")
@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_meta_tensors_give_shapes(pairwise: str) -> None:
    made = make()
    parts = (part.to("meta") for part in made.arguments(pairwise))
    assert getattr(functional, pairwise)(*parts).shape == (2, 5, 4)


@pytest.mark.parametrize(
    "operator",
    [
        *(f"{name}{end}" for name in ("softmax_sum", "flash_sum", "softmax_chunks") for end in ("", "_backward")),
        "relu_sums",
    ],
)
def test_registered_operators_keep_pytorchs_rules(operator: str) -> None:
    """Schema, fake shapes, autograd registration and compiled gradients, by PyTorch's own checker."""
    made = make(values=3 if operator.startswith("flash") else 4)
    bias = torch.zeros(2, 1, 7, dtype=torch.float64)
    a, b = (torch.randn(2, size, dtype=torch.float64) for size in (5, 7))
    y, normaliser = torch.randn(2, 5, made.g.shape[2], dtype=torch.float64), torch.randn(2, 5, 1, dtype=torch.float64)
    softmax = (made.theta, made.phi, made.g, bias, 0.5)
    backward = (torch.randn_like(y), *softmax[:4], y, normaliser, 0.5)
    arguments = {
        "softmax_sum": softmax,
        "softmax_sum_backward": backward,
        "flash_sum": softmax,
        "flash_sum_backward": backward,
        "softmax_chunks": (*softmax, 100),
        "softmax_chunks_backward": (*backward, 100),
        "relu_sums": (a, b, made.g, 0.5, False, True),
    }[operator]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checker reads .grad of tensors that have none
        torch.library.opcheck(getattr(torch.ops.nonlocalnet, operator), arguments)
