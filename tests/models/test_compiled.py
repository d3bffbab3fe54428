"""torch.compile sees whole graphs: every network of the recipes in one graph, forward and backward, under autocast."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from nonlocalnet import NonLocalBlock, functional, models
from nonlocalnet.models.detection import maskrcnn_slim_fpn


def _tiny(name: str, **options: object) -> nn.Module:
    return getattr(models, name)(num_classes=3, width=2, clip="8x8", dropout=0.0, **options)


NETWORKS = {
    "c2d": lambda: _tiny("c2d_resnet50"),
    **{
        f"nl_c2d {pairwise}": lambda pairwise=pairwise: _tiny("c2d_resnet50", nonlocal_blocks=1, pairwise=pairwise)
        for pairwise in functional.PAIRWISE
    },
    "nl_i3d": lambda: _tiny("i3d_resnet50", nonlocal_blocks=1, zero_init=False),
}


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own deprecations
        yield


def _whole(module: nn.Module, **options: object) -> nn.Module:
    return torch.compile(module, fullgraph=True, backend="aot_eager", **options)  # pyright: ignore


# One of them in the fast tests: each takes the compiler ten seconds.
FAST = "nl_c2d embedded_gaussian"


@pytest.mark.parametrize("name", [FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS if n != FAST)])
@pytest.mark.parametrize("autocast", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_network_is_one_graph(name: str, autocast: bool) -> None:
    network, clip = NETWORKS[name](), torch.randn(2, 3, 4, 32, 32)
    for training in (True, False):
        network.train(training)
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            expected = network(clip)
            result = _whole(network)(clip)
        torch.testing.assert_close(result, expected, rtol=2e-2 if autocast else 1e-4, atol=2e-2 if autocast else 1e-5)
        if training:
            result.float().square().sum().backward()
            assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.slow
def test_other_input_sizes_take_one_dynamic_graph() -> None:
    compiled = _whole(_tiny("c2d_resnet50", nonlocal_blocks=1).eval())
    counter = torch._dynamo.utils.counters
    counter.clear()
    for side in (64, 96, 128):
        compiled(torch.randn(1, 3, 4, side, side))
    assert counter["stats"]["unique_graphs"] <= 2


@pytest.mark.parametrize("masked", [False, True])
def test_the_detectors_block_is_one_graph(masked: bool) -> None:
    detector = maskrcnn_slim_fpn(num_classes=2, nonlocal_backbone=True)
    block = next(module for module in detector.modules() if isinstance(module, NonLocalBlock))
    x = torch.randn(2, block.channels, 6, 8)
    mask = torch.rand(2, 6, 8) > 0.3 if masked else None

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
            return self.block(x, key_mask=mask)

    torch.testing.assert_close(_whole(Masked())(x, mask), block(x, key_mask=mask))
