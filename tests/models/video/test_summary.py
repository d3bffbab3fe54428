"""Parameters and multiply-adds: the paper's counts, and the table of `summarise`."""

import functools

import pytest
import torch
from torch import nn

from models.video.helpers import tiny
from nonlocalnet import models
from nonlocalnet.functional import PAIRWISE
from nonlocalnet.models import summarise

CLIP = (1, 3, 32, 224, 224)


def build(name, **arguments):
    with torch.device("meta"):
        return getattr(models, name)(**arguments)


@functools.cache
def count(name, **arguments):
    """Summary of one 32x2 clip at 224 x 224."""
    return summarise(build(name, **arguments), CLIP)


@pytest.mark.parametrize(
    ("name", "plain", "with_5_blocks"),
    [
        ("c2d_resnet50", 24_327_632, 31_686_096),
        ("i3d_resnet50", 28_043_472, 35_401_936),
        ("c2d_resnet101", 43_319_760, 50_678_224),
        ("i3d_resnet101", 51_754_192, 59_112_656),
    ],
)
@pytest.mark.parametrize("variant", ["release", "paper"])
def test_parameters_are_the_releases(name, variant, plain, with_5_blocks):
    for nonlocal_blocks, expected in ((0, plain), (5, with_5_blocks)):
        model = build(name, nonlocal_blocks=nonlocal_blocks, variant=variant)
        assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "params_ratio", "flops_ratio"),
    [
        ("c2d_resnet101", {}, "1.0", "1.0"),
        ("i3d_resnet101", {"inflate": "3x3x3"}, "1.5", "1.8"),
        ("i3d_resnet101", {"inflate": "3x1x1"}, "1.2", "1.5"),
        ("c2d_resnet101", {"nonlocal_blocks": 5}, "1.2", "1.2"),
    ],
)
def test_ratios_are_those_of_table_2e(name, arguments, params_ratio, flops_ratio):
    """The default networks (release, 32x2), one clip of 32 x 224 x 224."""
    summary = count(name, **arguments)
    assert (f"{summary.params_ratio:.1f}", f"{summary.flops_ratio:.1f}") == (params_ratio, flops_ratio)
    assert f"{summary.flops_ratio:.2f}x" in str(summary)


def test_only_pooling_before_phi_and_g_gives_table_2es_flops():
    """The paper's figure pools after them: phi and g then work at four times the positions, and 1.2x becomes 1.3x."""
    cases = [
        ("1.3", count("c2d_resnet101", nonlocal_blocks=5, variant="paper")),
        ("1.2", count("c2d_resnet101", nonlocal_blocks=5, variant="paper", subsample_first=True)),
        ("1.8", count("i3d_resnet101", inflate="3x3x3", variant="paper")),
        ("1.5", count("i3d_resnet101", inflate="3x1x1", variant="paper")),
    ]
    for ratio, summary in cases:
        assert f"{summary.flops_ratio:.1f}" == ratio


def test_c2d_101_against_the_34_2_billion_of_the_paper():
    """35.1 here. With the stride of res3, res4 and res5 on the first 1x1 in place of the 3x3 it is the paper's 34.2."""
    flops = count("c2d_resnet101").flops
    assert f"{flops / 1e9:.1f}" == "35.1"
    # The first 1x1 of those stages (channels in -> out, rows before and after the stride) over 4 frames.
    saved = sum(
        4 * cin * cout * (before**2 - after**2)
        for cin, cout, before, after in [(256, 128, 55, 28), (512, 256, 28, 14), (1024, 512, 14, 7)]
    )
    assert f"{(flops - saved) / 1e9:.1f}" == "34.2"


def test_nonlocal_c2d_50_costs_less_than_c2d_101():
    """The paper: about 70% of the parameters and 80% of the multiply-adds."""
    c2d_101 = count("c2d_resnet101")
    nonlocal_50 = count("c2d_resnet50", nonlocal_blocks=5)
    assert nonlocal_50.params / c2d_101.params == pytest.approx(0.73, abs=0.005)
    assert nonlocal_50.flops / c2d_101.flops == pytest.approx(0.81, abs=0.005)


def test_a_blocks_multiply_adds_are_the_textbook_forms():
    """theta and out at N positions, phi and g at the M pooled ones, and the two products of N x M."""
    [row] = [row for row in count("c2d_resnet50", nonlocal_blocks=1).blocks if "_nonlocal" in row.path]
    assert (row.path, row.kind, row.output_shape) == ("res4.4_nonlocal", "NonLocalBlock", (1, 1024, 4, 14, 14))
    channels, inner, n, m = 1024, 512, 4 * 14 * 14, 4 * 7 * 7
    assert row.flops == 2 * channels * inner * n + 2 * channels * inner * m + 2 * n * m * inner
    assert row.params == 4 * channels * inner + 3 * inner + channels + 2 * channels


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_every_pairwise_function_is_counted(pairwise):
    with_block = count("c2d_resnet50", nonlocal_blocks=1, pairwise=pairwise)
    [row] = [row for row in with_block.blocks if "_nonlocal" in row.path]
    at_all, at_pooled = (1, 1) if pairwise == "gaussian" else (2, 2)
    assert row.flops > 1024 * 512 * (at_all * 4 * 14 * 14 + at_pooled * 4 * 7 * 7)
    assert with_block.flops - with_block.baseline.flops == row.flops


def test_rows_add_up_and_a_batch_counts_as_often_as_it_has_clips():
    model = build("i3d_resnet50", nonlocal_blocks=5, width=16)
    one, two = summarise(model, (1, 3, 8, 64, 64)), summarise(model, (2, 3, 8, 64, 64))
    assert [row.path for row in one.stages] == ["stem", "pool1", "res2", "pool2", "res3", "res4", "res5", "head"]
    assert len(one.blocks) == 3 + 4 + 6 + 3 + 5
    assert sum(row.params for row in one.stages) == one.params
    assert sum(row.flops for row in one.stages) == one.flops
    for stage in one.stages[2:3] + one.stages[4:7]:
        inside = [row for row in one.blocks if row.path.startswith(stage.path)]
        assert (sum(row.params for row in inside), sum(row.flops for row in inside)) == (stage.params, stage.flops)
    assert (two.params, two.flops) == (one.params, 2 * one.flops)


def test_a_convolution_counted_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 5 * 4, 2))
    summary = summarise(model, (1, 3, 5, 4))
    assert [row.flops for row in summary.stages] == [8 * 3 * 9 * 5 * 4, 0, 8 * 5 * 4 * 2]
    assert (summary.baseline, summary.params_ratio, summary.flops_ratio) == (None, None, None)


def test_the_model_is_not_touched():
    model = tiny(models.i3d_resnet50, nonlocal_blocks=1).train()
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    summarise(model, (1, 3, 8, 64, 64))
    assert model.training
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_table_has_a_line_for_every_block_and_the_ratios():
    table = str(count("c2d_resnet50", nonlocal_blocks=5)).splitlines()
    assert table[0].split() == ["layer", "kind", "output", "params", "multiply-adds"]
    assert sum("NonLocalBlock" in line for line in table) == 5
    assert table[-1].split() == ["ratio", "1.30x", "1.40x"]


def test_an_input_the_network_refuses_is_refused():
    with pytest.raises(ValueError, match="at least 7 frames"):
        summarise(build("c2d_resnet50", width=2), (1, 3, 4, 64, 64))
