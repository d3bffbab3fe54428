"""The control: residual blocks at the places of the non-local ones."""

from __future__ import annotations

import pytest
import torch

from nonlocalnet.models import c2d_resnet50, c2d_resnet50_control, summarise
from nonlocalnet.models.video.bottleneck import Bottleneck
from nonlocalnet.models.video.control import add_residual_blocks


@pytest.mark.parametrize("blocks", [1, 5, 10, ["res2.0", "res5.2"]])
def test_added_blocks_stand_where_the_non_local_ones_do(blocks: int | list[str]) -> None:
    control = c2d_resnet50_control(num_classes=3, width=4, clip="8x8", residual_blocks=blocks)
    nonlocal_ = c2d_resnet50(num_classes=3, width=4, clip="8x8", nonlocal_blocks=blocks)

    def children(model: torch.nn.Module, suffix: str) -> list[list[str]]:
        return [
            [name.replace(suffix, "_added") for name, _ in model.get_submodule(stage).named_children()]
            for stage in ("res2", "res3", "res4", "res5")
        ]

    assert children(control, "_residual") == children(nonlocal_, "_nonlocal")
    added = [module for name, module in control.named_modules() if name.endswith("_residual")]
    assert all(isinstance(module, Bottleneck) and module.downsample is None for module in added)


def test_fresh_blocks_change_no_output_and_later_do() -> None:
    torch.manual_seed(0)
    model = c2d_resnet50(num_classes=3, width=4, clip="8x8", crop=32).eval()
    x = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        model.head.projection.weight.normal_()
        for module in model.modules():
            if isinstance(module, Bottleneck):
                module.norm3.weight.fill_(0.5)
        before = model(x)
        add_residual_blocks(model, 5)
        assert torch.equal(model.eval()(x), before)
        model.get_submodule("res3.1_residual").norm3.weight.fill_(0.5)
        assert not torch.allclose(model(x), before)


def test_it_is_as_deep_as_its_non_local_counterpart_and_counted() -> None:
    summary = summarise(c2d_resnet50_control(width=4, clip="8x8", crop=32), (1, 3, 8, 32, 32))
    assert sum(row.path.endswith("_residual") for row in summary.blocks) == 5
    assert summary.params_ratio is not None
    assert summary.params_ratio > 1


def test_an_impossible_place_is_refused() -> None:
    with pytest.raises(ValueError, match=r"res3 of ResNet-50 ends with res3\.3"):
        c2d_resnet50_control(width=4, residual_blocks=["res3.4"])
