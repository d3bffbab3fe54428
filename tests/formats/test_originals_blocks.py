"""The blocks of `originals`: against literal loops and each other; no library code."""

import itertools
import math
import re

import pytest
import torch

import reference
from formats.originals import blocks, layers
from formats.originals.layers import difference


@pytest.mark.parametrize("mode", blocks.MODES)
def test_the_operation_is_equation_1_in_literal_loops(mode):
    theta, phi, g = torch.randn(2, 3, 5).double(), torch.randn(2, 3, 4).double(), torch.randn(2, 6, 4).double()
    w_f = torch.randn(1, 6, 1, 1).double()
    rows = [value.transpose(1, 2) for value in (theta, phi, g)]
    pairwise = "gaussian" if mode.endswith("gaussian") else mode
    extra = {"w_f": w_f.flatten()} if mode == "concatenation" else {}
    scale = {"scale": 0.7} if pairwise == "gaussian" else {}
    expected = getattr(reference, mode)(*rows, **extra, **scale)
    y = layers.attend(theta, phi, g, pairwise=pairwise, w_f=w_f, **scale)
    torch.testing.assert_close(y.transpose(1, 2), expected)


@pytest.mark.parametrize("instantiation", ["softmax", "dot_product"])
def test_slowfasts_block_is_its_loops(instantiation):
    """Every number of one block by hand: pooled keys, scale, BatchNorm with its eps, the sum."""
    state = {key: value.double() for key, value in blocks.make_slowfast(channels=4, inner=3).items()}
    x = torch.randn(1, 4, 2, 4, 5).double()

    def embed(name: str, vector: list[float]) -> list[float]:
        weight, bias = state[f"conv_{name}.weight"].flatten(1).tolist(), state[f"conv_{name}.bias"].tolist()
        return [sum(w * v for w, v in zip(row, vector, strict=True)) + b for row, b in zip(weight, bias, strict=True)]

    positions = list(itertools.product(range(2), range(4), range(5)))
    cells = list(itertools.product(range(2), range(2), range(2)))  # the fifth column is dropped
    windows = [
        [max(x[0, c, t, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2].flatten().tolist()) for c in range(4)]
        for t, h, w in cells
    ]
    phi, g = [embed("phi", window) for window in windows], [embed("g", window) for window in windows]
    expected = x.clone()
    for t, h, w in positions:
        theta = embed("theta", x[0, :, t, h, w].tolist())
        f = [sum(a * b for a, b in zip(theta, key, strict=True)) for key in phi]
        f = [math.exp(value / math.sqrt(3)) for value in f] if instantiation == "softmax" else f
        total = sum(f) if instantiation == "softmax" else len(f)
        y = [sum(weight * value[c] for weight, value in zip(f, g, strict=True)) / total for c in range(3)]
        for c, value in enumerate(embed("out", y)):
            deviation = math.sqrt(float(state["bn.running_var"][c]) + 1e-5)
            normal = (value - float(state["bn.running_mean"][c])) / deviation
            expected[0, c, t, h, w] += normal * float(state["bn.weight"][c]) + float(state["bn.bias"][c])
    torch.testing.assert_close(blocks.slowfast_block(state, x, instantiation=instantiation), expected)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("mode", blocks.MODES)
@pytest.mark.parametrize("sub_sample", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_mmcvs_unscaled_block_is_alexhex7s(ndim, mode, sub_sample, norm):
    """mmcv's was made after AlexHex7's: unscaled they agree, but for the output's bias that a norm takes away."""
    theirs = blocks.make_alexhex7(ndim=ndim, mode=mode, sub_sample=sub_sample, bn_layer=norm)
    renamed = {}
    for key, value in theirs.items():
        key = re.sub(r"^(theta|phi|g)(\.0)?\.", r"\1\2.conv.", key)
        key = re.sub(r"^W(\.0)?\.(weight|bias)", r"conv_out.conv.\2", key).replace("W.1.", "conv_out.bn.")
        renamed[key.replace("concat_project.0", "concat_project.conv")] = value
    bias = renamed.pop("conv_out.conv.bias") if norm else None
    assert sorted(renamed) == sorted(blocks.make_mmcv(ndim=ndim, mode=mode, sub_sample=sub_sample, norm=norm))
    if norm:
        renamed["conv_out.bn.running_mean"] = renamed["conv_out.bn.running_mean"] - bias
    x = torch.randn(2, 8, *(3, 4, 6)[3 - ndim :]).double()
    expected = blocks.alexhex7(theirs, x, mode=mode, sub_sample=sub_sample)
    y = blocks.mmcv(renamed, x, mode=mode, sub_sample=sub_sample, use_scale=False)
    assert difference(y, expected) < 1e-6  # the mean was folded in float32


def test_the_pooling_order_the_scale_and_the_function_show_in_every_block():
    x = torch.randn(2, 8, 3, 4, 6).double()
    state = blocks.make_alexhex7()
    embedded, dot = (blocks.alexhex7(state, x, mode=mode) for mode in ("embedded_gaussian", "dot_product"))
    assert difference(embedded, dot) > 1e-3
    assert difference(blocks.alexhex7(state, x, mode="embedded_gaussian", pool_first=True), embedded) > 1e-4
    state = blocks.make_mmcv()
    scaled, unscaled = (blocks.mmcv(state, x, mode="embedded_gaussian", use_scale=use) for use in (True, False))
    assert difference(scaled, unscaled) > 1e-4
    state = blocks.make_mmcv(mode="gaussian")
    assert torch.equal(*(blocks.mmcv(state, x, mode="gaussian", use_scale=use) for use in (True, False)))
    state = blocks.make_gluoncv()
    assert difference(blocks.gluoncv(state, x, scaled=False), blocks.gluoncv(state, x)) > 1e-4
    state = blocks.make_pytorchvideo()
    assert difference(blocks.pytorchvideo(state, x, pool=(1, 2, 2)), blocks.pytorchvideo(state, x)) > 1e-4


def test_gluoncvs_block_is_pytorchvideos_and_stores_its_output_twice():
    state = blocks.make_gluoncv(prefix="res_layers.1.1.nonlocal_block.")
    assert all(key.startswith("res_layers.1.1.nonlocal_block.") for key in state)
    twice = {key: value for key, value in state.items() if ".W_bn." in key}
    assert len(twice) == 7
    for key, value in twice.items():
        assert torch.equal(value, state[key.replace("W_bn.0", "W").replace("W_bn.1", "bn")])
    names = {"theta": "conv_theta", "phi": "conv_phi", "g": "conv_g", "W": "conv_out", "bn": "norm"}
    short = {key.removeprefix("res_layers.1.1.nonlocal_block."): value for key, value in state.items()}
    renamed = {f"{names[head]}.{rest}": value for (head, _, rest), value in split(short) if head in names}
    assert sorted(renamed) == sorted(blocks.make_pytorchvideo())
    x = torch.randn(2, 8, 2, 3, 4).double()
    y = blocks.gluoncv(state, x, prefix="res_layers.1.1.nonlocal_block.")
    torch.testing.assert_close(y, blocks.pytorchvideo(renamed, x))


def split(state: dict) -> list:
    return [(key.partition("."), value) for key, value in state.items()]
