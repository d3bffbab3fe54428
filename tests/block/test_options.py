"""Options and inputs out of range are refused by name, and every option stays readable on the block."""

import inspect
from dataclasses import fields
from typing import get_type_hints

import pytest
import torch

from block.making import random_block
from nonlocalnet import insert_nonlocal
from nonlocalnet.block import BlockArguments, BlockOptions, NonLocalBlock
from nonlocalnet.models.detection import add_nonlocal
from nonlocalnet.models.sequence import NonLocalGRU, features_gru


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, r"channels must be a positive integer, got 0"),
        ({"channels": 2.0}, r"channels must be a positive integer, got 2.0"),
        ({"ndim": 4}, r"ndim must be one of 1, 2, 3, got 4"),
        ({"inner_channels": -1}, r"inner_channels must be a positive integer, got -1"),
        ({"pairwise": "gauss"}, r"pairwise must be one of 'gaussian', .*'concatenation', got 'gauss'"),
        ({"scale": "sqrt"}, r"scale must be a positive finite number or \"rsqrt\", got 'sqrt'"),
        ({"scale": 0.0}, r"scale must be a positive finite number .*, got 0.0"),
        ({"scale": float("nan")}, r"scale must be a positive finite number .*, got nan"),
        ({"scale": True}, r"scale must be a positive finite number .*, got True"),
        ({"scale": 0.5, "pairwise": "dot_product"}, r"scale .* leave it 1.0 with pairwise='dot_product', got 0.5"),
        ({"scale": "rsqrt", "pairwise": "concatenation"}, r"leave it 1.0 with pairwise='concatenation', got 'rsqrt'"),
        ({"subsample": 0}, r"subsample must be a positive integer, got 0"),
        ({"subsample": (1, 2)}, r"subsample must be .*one integer per axis \(T, H, W\) for ndim=3, got \(1, 2\)"),
        ({"subsample": (1, 2, 0)}, r"subsample must be a positive integer, got 0"),
        ({"subsample": "2"}, r"subsample must be None, an integer, or .*, got '2'"),
        ({"subsample": 2.0}, r"subsample must be None, an integer, or .*, got 2.0"),
        ({"domain": "frame"}, r"domain must be one of 'spacetime', 'space', 'time', got 'frame'"),
        ({"domain": "space", "ndim": 2}, r"domain='space' .* needs a time axis \(ndim=3\), got ndim=2"),
        ({"temporal_group_frames": 4, "ndim": 2}, r"temporal_group_frames=4 needs a time axis \(ndim=3\), got ndim=2"),
        ({"temporal_group_frames": 0}, r"temporal_group_frames must be a positive integer, got 0"),
        ({"temporal_group_frames": 3, "subsample": (2, 1, 1)}, r"=3 must be a multiple of the pooling in time"),
        ({"temporal_group_frames": 2, "domain": "space"}, r"temporal_group_frames must be None, got 2"),
        ({"domain": "space", "subsample": (2, 2, 2)}, r"may not pool time, got kernel \(2, 2, 2\)"),
        ({"domain": "time", "subsample": 2}, r"may not pool space, got kernel \(1, 2, 2\); use subsample=None"),
        ({"norm": "group"}, r"norm must be one of 'batch', 'layer', None, got 'group'"),
        ({"causal": True, "ndim": 1}, r'causal=True may not have norm="batch", .* give norm="layer" or None'),
        ({"causal": True, "norm": None, "ndim": 2}, r"causal=True goes over time: .* got ndim=2"),
        ({"causal": True, "norm": "layer", "domain": "space"}, r"causal=True goes over time: .* domain='space'"),
        ({"causal": "yes", "norm": None}, r"causal must be one of True, False, got 'yes'"),
    ],
)
def test_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        NonLocalBlock(**{"channels": 4, **options})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4, 3, 3), r"takes x of shape \(B, 4, T, H, W\), got \(2, 4, 3, 3\)"),
        ((2, 5, 3, 3, 3), r"takes x of shape \(B, 4, T, H, W\), got \(2, 5, 3, 3, 3\)"),
    ],
)
def test_inputs_of_another_shape_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        NonLocalBlock(4)(torch.zeros(shape))


def test_inputs_of_another_kind_are_refused():
    block = NonLocalBlock(4)
    with pytest.raises(ValueError, match=r"takes floating point x, got torch.int64: convert it with x.float\(\)"):
        block(torch.zeros(2, 4, 3, 3, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"takes one tensor \(B, 4, T, H, W\), got a tuple"):
        block((torch.zeros(2, 4, 3, 3, 3),))


def test_frames_that_do_not_divide_into_groups_are_refused():
    with pytest.raises(
        ValueError, match=r"temporal_group_frames=4 does not divide the 6 frames of x \(1, 4, 6, 3, 3\)"
    ):
        NonLocalBlock(4, temporal_group_frames=4)(torch.zeros(1, 4, 6, 3, 3))


def test_one_value_per_channel_in_training_is_refused():
    block, x = NonLocalBlock(4), torch.randn(1, 4, 1, 1, 1)
    with pytest.raises(ValueError, match=r"BatchNorm in training needs more than one value per channel.*norm=None"):
        block(x)
    assert torch.equal(block.eval()(x), x)
    assert torch.equal(NonLocalBlock(4, norm=None)(x), x)
    assert torch.equal(NonLocalBlock(4)(x.expand(2, -1, -1, -1, -1)), x.expand(2, -1, -1, -1, -1))


@pytest.mark.parametrize("shape", [(2, 4, 1, 1, 1), (2, 4, 1, 7, 1), (2, 4, 3, 1, 5), (0, 4, 2, 4, 4)])
@pytest.mark.parametrize("subsample", [None, 2, (2, 2, 2), (3, 3, 3)])
@pytest.mark.parametrize("subsample_first", [False, True])
def test_odd_single_and_empty_maps(shape, subsample, subsample_first):
    block = random_block(subsample=subsample, subsample_first=subsample_first).float()
    z = block(torch.randn(shape))
    assert z.shape == shape
    assert z.isfinite().all()


@pytest.mark.parametrize("subsample", [None, 2])
def test_maps_without_positions_are_refused(subsample):
    with pytest.raises(ValueError, match=r"takes x with at least one position, got \(2, 4, 0, 5\)"):
        NonLocalBlock(4, ndim=2, subsample=subsample)(torch.zeros(2, 4, 0, 5))


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (torch.zeros(3, 3, dtype=torch.long), r"positions must be \(Q, 2\), one \(H, W\) each, got \(3, 3\)"),
        (torch.zeros(2, dtype=torch.long), r"positions must be \(Q, 2\), one \(H, W\) each, got \(2,\)"),
        (torch.zeros(3, 2), r"positions must be integers, got torch.float32"),
        (torch.tensor([[0, 0], [0, 5]]), r"positions must lie inside the map \(3, 5\), got \[0, 5\]"),
        (torch.tensor([[-1, 0]]), r"positions must lie inside the map \(3, 5\), got \[-1, 0\]"),
    ],
)
def test_bad_positions_are_refused(positions, message):
    with pytest.raises(ValueError, match=message):
        NonLocalBlock(4, ndim=2).affinity_rows(torch.zeros(1, 4, 3, 5), positions)


def test_every_option_is_an_attribute():
    options = {
        "ndim": 3,
        "inner_channels": 3,
        "pairwise": "dot_product",
        "scale": 1.0,
        "subsample": (2, 1, 1),
        "subsample_first": True,
        "domain": "time",
        "temporal_group_frames": 4,
        "zero_init": False,
    }
    block = NonLocalBlock(8, norm=None, **options)
    assert {name: getattr(block, name) for name in options} == options
    assert block.channels == 8
    assert block.norm is None
    assert all(f"{name}={value!r}" in repr(block) for name, value in options.items())


def test_subsample_of_one_number_pools_space_only():
    assert NonLocalBlock(4, subsample=2).pool_kernel == (1, 2, 2)
    assert NonLocalBlock(4, ndim=2, subsample=3).pool_kernel == (3, 3)
    assert NonLocalBlock(4, ndim=1, subsample=2).pool_kernel == (2,)
    assert NonLocalBlock(4, subsample=[2, 1, 1]).subsample == (2, 1, 1)


def test_inner_channels_default_to_half():
    assert NonLocalBlock(7).inner_channels == 3
    assert NonLocalBlock(1).inner_channels == 1


def test_options_are_declared_once_and_shown():
    hints = get_type_hints(BlockOptions)
    assert get_type_hints(BlockArguments) == hints
    shown = inspect.signature(NonLocalBlock).parameters
    assert {name: shown[name].default for name in hints} == {f.name: f.default for f in fields(BlockOptions)}


def test_options_may_come_in_one_with_changes():
    options = BlockOptions(scale="rsqrt", subsample=2, norm=None)
    block = NonLocalBlock(8, block=options, subsample=None)
    assert (block.scale, block.subsample, block.norm) == ("rsqrt", None, None)
    assert NonLocalBlock(8, block=options, pairwise="dot_product").scale == 1.0  # which has no softmax to scale
    with pytest.raises(ValueError, match=r"leave it 1\.0 with pairwise='dot_product'"):
        options.changed(pairwise="dot_product", scale="rsqrt")


def test_a_misspelt_option_is_named():
    with pytest.raises(TypeError, match="'subsampel'"):
        NonLocalBlock(8, subsampel=2)


def test_options_in_one_are_of_their_class():
    for make in (
        lambda: NonLocalBlock(4, block="gaussian"),
        lambda: insert_nonlocal(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), after=["0"], block={"norm": None}),
        lambda: NonLocalGRU(4, 4, block="gaussian"),
        lambda: features_gru(input_size=2, task="regress", block="gaussian"),
        lambda: add_nonlocal(torch.nn.Module(), block="gaussian"),
    ):
        with pytest.raises(ValueError, match=r"block must be BlockOptions\(\.\.\.\) or None, got .*; a single option"):
            make()
