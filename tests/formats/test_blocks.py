"""Blocks of other libraries against restatements of what each computes (tests/formats/originals/blocks.py)."""

import logging

import pytest
import torch

from formats.originals import blocks
from nonlocalnet.formats import block_from_state_dict

SIZES = {1: (9,), 2: (5, 6), 3: (3, 4, 5)}


def features(ndim):
    return torch.randn(2, 8, *SIZES[ndim], generator=torch.Generator().manual_seed(ndim))


@torch.no_grad()
def assert_computes(block, x, expected):
    assert not block.training
    assert (expected - x).abs().max() > 1e-2  # the block does something
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("mode", blocks.MODES)
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_alexhex7(ndim, mode, pooled, norm):
    state = blocks.make_alexhex7(ndim=ndim, mode=mode, sub_sample=pooled, bn_layer=norm)
    x = features(ndim)
    ambiguous = not pooled and not norm and mode in ("embedded_gaussian", "dot_product")
    block = block_from_state_dict(state, source="alexhex7" if ambiguous else None, pairwise=mode, ndim=ndim)
    assert_computes(block, x, blocks.alexhex7(state, x, mode=mode, sub_sample=pooled))


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("mode", blocks.MODES)
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_mmcv(ndim, mode, pooled, norm, scaled):
    state = blocks.make_mmcv(ndim=ndim, mode=mode, sub_sample=pooled, norm=norm, reduction=4, prefix="layer.non_local.")
    x = features(ndim)
    scale = ("rsqrt" if scaled else 1.0) if mode == "embedded_gaussian" else None
    block = block_from_state_dict(state, pairwise=mode, scale=scale)
    expected = blocks.mmcv(state, x, mode=mode, sub_sample=pooled, use_scale=scaled, prefix="layer.non_local.")
    assert_computes(block, x, expected)


@pytest.mark.parametrize("instantiation", ["softmax", "dot_product"])
def test_slowfast_and_pytorchvideo(instantiation, caplog):
    pairwise = "embedded_gaussian" if instantiation == "softmax" else "dot_product"
    x = features(3)
    state = blocks.make_slowfast()
    with caplog.at_level(logging.INFO, logger="nonlocalnet"):
        block = block_from_state_dict(state, pairwise=pairwise)
    assert "its pooling leaves no trace; taken to be (1, 2, 2)" in caplog.text
    assert_computes(block, x, blocks.slowfast_block(state, x, instantiation=instantiation))
    unpooled = block_from_state_dict(state, pairwise=pairwise, subsample=None)
    assert_computes(unpooled, x, blocks.slowfast_block(state, x, instantiation=instantiation, pool=None))
    for norm in (True, False):
        state = blocks.make_pytorchvideo(norm=norm)
        block = block_from_state_dict(state, pairwise=pairwise, source=None if norm else "pytorchvideo")
        assert_computes(block, x, blocks.pytorchvideo(state, x, instantiation=instantiation))


@pytest.mark.parametrize("ndim", [2, 3])
def test_gluoncv(ndim):
    state = blocks.make_gluoncv(ndim=ndim, prefix="res_layers.1.1.nonlocal_block.")
    x = features(ndim)
    block = block_from_state_dict(state)
    assert block.norm.momentum == 0.9
    assert_computes(block, x, blocks.gluoncv(state, x, prefix="res_layers.1.1.nonlocal_block."))
    plain = blocks.make_gluoncv(ndim=ndim, use_bn=False)
    assert_computes(block_from_state_dict(plain, source="gluoncv"), x, blocks.gluoncv(plain, x))
    state["res_layers.1.1.nonlocal_block.W_bn.0.bias"] = torch.ones(8)
    with pytest.raises(ValueError, match=r"W_bn\.0\.bias and W\.bias are one tensor in GluonCV, and differ"):
        block_from_state_dict(state)


def test_what_is_open_is_asked_for():
    embedded = blocks.make_mmcv()
    with pytest.raises(ValueError, match=r"embedded_gaussian and dot_product alike.*give pairwise="):
        block_from_state_dict(embedded)
    with pytest.raises(ValueError, match=r"leaves no trace in the names: give scale='rsqrt' \(use_scale=True"):
        block_from_state_dict(embedded, pairwise="embedded_gaussian")
    with pytest.raises(ValueError, match="alexhex7 and gluoncv alike, which differ: give source="):
        block_from_state_dict(blocks.make_gluoncv(use_bn=False))
    with pytest.raises(ValueError, match="slowfast and pytorchvideo alike, which differ: give source="):
        block_from_state_dict(blocks.make_pytorchvideo(norm=False), pairwise="dot_product")


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="pairwise='dot_product', but the tensors are those of gaussian"):
        block_from_state_dict(blocks.make_mmcv(mode="gaussian"), pairwise="dot_product")
    with pytest.raises(ValueError, match="ndim=2, but the kernels of the state dict are 3-D"):
        block_from_state_dict(blocks.make_mmcv(mode="concatenation"), ndim=2)
    with pytest.raises(ValueError, match="subsample=None, but the names show that the block pools in space"):
        block_from_state_dict(blocks.make_alexhex7(), pairwise="dot_product", subsample=None)
    with pytest.raises(ValueError, match=r"source must be one of alexhex7, mmcv, .*, got 'keras'"):
        block_from_state_dict({}, source="keras")
    with pytest.raises(ValueError, match=r"no known block has these names: query\.weight, key\.weight"):
        block_from_state_dict({"query.weight": torch.ones(1), "key.weight": torch.ones(1)})
    with pytest.raises(ValueError, match=r"state_dict\['state_dict'\] is a dict"):
        block_from_state_dict({"state_dict": {}})


@pytest.mark.parametrize("fault", ["dropped", "renamed", "reshaped"])
@pytest.mark.parametrize("name", ["theta.bias", "phi.0.weight", "W.0.weight", "W.1.running_var", "g.0.bias"])
def test_a_tensor_that_does_not_fit_is_named(fault, name):
    state = blocks.make_alexhex7()
    tensor = state.pop(name)
    if fault == "renamed":
        state[f"{name}_old"] = tensor
    elif fault == "reshaped":
        state[name] = torch.cat([tensor, tensor])
    pattern = name if fault != "renamed" else f"{name} is missing.*{name}_old .* has no place"
    with pytest.raises(ValueError, match=pattern.replace(".", r"\.").replace(r"\.*", ".*")):
        block_from_state_dict(state, source="alexhex7", pairwise="dot_product")


def test_not_finite_tensors_are_loaded_with_a_warning(caplog):
    state = blocks.make_alexhex7()
    state["theta.bias"][0] = float("nan")
    with caplog.at_level(logging.WARNING, logger="nonlocalnet"):
        block_from_state_dict(state, pairwise="dot_product")
    assert "hold NaN or infinity: theta.bias" in caplog.text


@pytest.mark.parametrize("use_scale", [True, False])
@torch.no_grad()
def test_timm(use_scale, caplog):
    timm_layers = pytest.importorskip("timm.layers")
    torch.manual_seed(0)
    theirs = timm_layers.NonLocalAttn(16, use_scale=use_scale, rd_channels=8).eval()
    for name, tensor in theirs.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1.0) if name.startswith("norm.") else tensor.normal_(std=0.3)
    x = torch.randn(2, 16, 5, 6)
    with caplog.at_level(logging.INFO, logger="nonlocalnet"):
        block = block_from_state_dict(theirs.state_dict(), scale=None if use_scale else 1.0)
    assert ("use_scale leaves no trace; taken to be True, scale=0.25" in caplog.text) == use_scale
    assert_computes(block, x, theirs(x))
    wrapped = {f"layer3.2.attn.{name}": tensor for name, tensor in theirs.state_dict().items()}
    assert block_from_state_dict(wrapped, source="timm").scale == 0.25
