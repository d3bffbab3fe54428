"""A look equals what the block does, and the picture is drawn."""

import pytest
import torch
from torch import nn

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.explanation import draw_look, look
from nonlocalnet.insert import insert_nonlocal


def network(**options) -> nn.Module:
    """Two convolutions with a block between them; the block's convolutions are large enough to look somewhere."""
    model = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8))
    insert_nonlocal(model, after=["0"], **options)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, NonLocalBlock) and module.theta is not None and module.phi is not None:
                module.theta.weight.mul_(100)
                module.phi.weight.mul_(100)
    return model


@pytest.mark.parametrize("subsample", [None, 2])
def test_weights_are_a_row_of_the_softmax_of_the_blocks_own_input(subsample):
    model = network(subsample=subsample)
    clip = torch.randn(1, 3, 4, 6, 5)
    seen = look(model, clip, block="0_nonlocal", at=(0.5, 0.99, 0.0))
    assert seen.grid == (4, 6, 5)
    assert seen.position == (2, 5, 0)
    block = model.get_submodule("0_nonlocal")
    x = model.get_submodule("0")(clip)
    phi = block.phi(x)
    phi = phi if subsample is None else nn.functional.max_pool3d(phi, (1, 2, 2))
    row = (block.theta(x)[0, :, 2, 5, 0] @ phi[0].flatten(1)).softmax(0)
    torch.testing.assert_close(seen.weights_THW.flatten(), row, rtol=1e-4, atol=1e-6)
    assert seen.key_stride == ((1, 1, 1) if subsample is None else (1, 2, 2))
    place, weight = seen.strongest(1)[0]
    assert weight == pytest.approx(row.max().item(), rel=1e-4)
    spread = seen.spread()
    assert spread.shape == (4, 6, 5)
    assert spread[tuple(int(c) for c in place)] == pytest.approx(weight)
    if subsample == 2:
        assert spread[..., 4].eq(0).all()  # the last column of 5 is in no pooled cell


def test_looking_leaves_the_model_as_it_was():
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    look(model, torch.randn(1, 3, 2, 4, 4), block="0_nonlocal", at=(0, 0, 0))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_bad_questions_are_refused():
    model, clip = network(), torch.randn(1, 3, 2, 4, 4)
    with pytest.raises(ValueError, match="its non-local blocks are 0_nonlocal"):
        look(model, clip, block="1", at=(0, 0, 0))
    with pytest.raises(ValueError, match=r"shape \(1, C, T, H, W\), .*got \(2, 3, 2, 4, 4\)"):
        look(model, clip.expand(2, -1, -1, -1, -1), block="0_nonlocal", at=(0, 0, 0))
    with pytest.raises(ValueError, match=r"fractions \(t, y, x\) in \[0, 1\]"):
        look(model, clip, block="0_nonlocal", at=(0, 0, 4))


def test_picture_is_a_png(tmp_path):
    frames = torch.randint(0, 256, (4, 6, 5, 3), dtype=torch.uint8)
    seen = look(network(), torch.randn(1, 3, 4, 6, 5), block="0_nonlocal", at=(1, 0.5, 0.5))
    draw_look(seen, frames, tmp_path / "look.png", title="a title")
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")
