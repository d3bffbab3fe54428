"""Other ways to take a network with blocks apart: torch.fx, torchvision's feature extractor, torch.jit, older ONNX."""

import warnings

import onnxruntime
import pytest
import torch
from torch import fx, nn
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from nonlocalnet import insert_nonlocal, models, nonlocal_blocks
from nonlocalnet.functional import PAIRWISE


@pytest.fixture(params=PAIRWISE)
def network(request) -> nn.Module:
    model = insert_nonlocal(resnet18(), after=["layer3.1"], pairwise=request.param).eval()
    for block in nonlocal_blocks(model).values():
        nn.init.normal_(block.norm.weight)  # a fresh block adds nothing
    return model


def test_fx_keeps_the_block_as_one_node(network):
    traced = fx.symbolic_trace(network)
    (node,) = [node for node in traced.graph.nodes if node.target == "layer3.1_nonlocal"]
    assert node.op == "call_module"
    for size in (64, 96):  # what a block decides by sizes it decides when the graph runs
        x = torch.randn(2, 3, size, size)
        torch.testing.assert_close(traced(x), network(x))


def test_torchvision_extracts_features(network):
    x = torch.randn(1, 3, 64, 64)
    features = create_feature_extractor(network, ["layer3.1", "layer3.1_nonlocal", "fc"])(x)
    torch.testing.assert_close(features["fc"], network(x))
    torch.testing.assert_close(
        nonlocal_blocks(network)["layer3.1_nonlocal"](features["layer3.1"]), features["layer3.1_nonlocal"]
    )


def test_a_video_network_is_traced_and_gives_features():
    model = models.c2d_resnet50(width=2, num_classes=3, nonlocal_blocks=5).eval()
    x = torch.randn(1, 3, 8, 64, 64)
    torch.testing.assert_close(fx.symbolic_trace(model)(x), model(x))
    features = create_feature_extractor(model, {"res4": "map", "head": "logits"})(x)
    torch.testing.assert_close(features["logits"], model(x))
    assert features["map"].shape[1] == 32


def test_jit_trace_is_saved_and_trained(network, tmp_path):
    x = torch.randn(2, 3, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        torch.jit.save(torch.jit.trace(network, x), tmp_path / "traced.pt")
        traced = torch.jit.load(tmp_path / "traced.pt")
    y = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(traced(y), network(y))
    expected, result = (torch.autograd.grad(one(y.requires_grad_()).sum(), y)[0] for one in (network, traced))
    torch.testing.assert_close(result, expected)


def test_the_older_onnx_exporter(network, tmp_path):
    x = torch.randn(1, 3, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        torch.onnx.export(network, (x,), tmp_path / "old.onnx", dynamo=False)
    session = onnxruntime.InferenceSession(tmp_path / "old.onnx")
    (result,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(result), network(x), rtol=1e-3, atol=1e-4)


def test_what_torch_jit_script_cannot_do_is_its_own_limit(network):
    """The documentation says so: keyword-only arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        with pytest.raises(torch.jit.frontend.NotSupportedError, match="keyword-only"):
            torch.jit.script(network)
