"""The rows of the paper's Tables 2a to 2g, Kinetics-400, and the control with residual blocks.

Every recipe trains as the paper does (the defaults of `nonlocalnet.runs.video.config`) and is meant to be started from
ImageNet weights: `--init` with the state dict of a 2-D ResNet, which is inflated; the 128-frame ones from the 32-frame
network. Published numbers are top-1 and top-5 accuracy on the validation set, from the tables of arXiv 1711.07971v3.
Networks have the strides and pools of the released ones ([C2]).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from nonlocalnet.engine.config import AS_PUBLISHED, OptimConfig
from nonlocalnet.functional import Pairwise
from nonlocalnet.runs.video.config import DataConfig, ModelConfig, VideoRecipe

Depth = Literal[50, 101]
_SOURCE = "arXiv 1711.07971v3, Tables 2a-2g"


def c2d(depth: Depth) -> VideoRecipe:
    """The C2D baseline: the network without non-local blocks."""
    top1, top5 = {50: (71.8, 89.7), 101: (73.1, 91.0)}[depth]
    tables = {50: ["2a", "2b", "2c", "2d", "2f"], 101: ["2c", "2d", "2e", "2f"]}[depth]
    return _recipe(f"c2d_r{depth}", tables, f"R{depth}, C2D baseline", top1, top5, _model("c2d", depth))


def nl_c2d_pairwise(pairwise: Literal["gaussian", "dot_product", "concatenation"]) -> VideoRecipe:
    """One block of another pairwise function (Table 2a); the embedded Gaussian is `nl_c2d(50, 1)`."""
    row, top1, top5 = {
        "gaussian": ("Gaussian", 72.5, 90.2),
        "dot_product": ("dot-product", 72.9, 90.3),
        "concatenation": ("concatenation", 72.8, 90.5),
    }[pairwise]
    model = _model("c2d", 50, nonlocal_blocks=1, pairwise=pairwise)
    return _recipe(f"nl_c2d_r50_1block_{pairwise}", ["2a"], f"R50, {row}", top1, top5, model)


def nl_c2d_stage(stage: Literal["res2", "res3", "res5"]) -> VideoRecipe:
    """One block right before the last residual block of another stage (Table 2b); res4 is `nl_c2d(50, 1)`."""
    place, top1, top5 = {
        "res2": ("res2.1", 72.7, 90.3),
        "res3": ("res3.2", 72.9, 90.4),
        "res5": ("res5.1", 72.3, 90.1),
    }[stage]
    model = _model("c2d", 50, nonlocal_blocks=[place])
    return _recipe(f"nl_c2d_r50_1block_{stage}", ["2b"], f"R50, {stage}", top1, top5, model)


def nl_c2d(depth: Depth, blocks: Literal[1, 5, 10]) -> VideoRecipe:
    """1, 5 or 10 embedded-Gaussian blocks over spacetime (Table 2c; the same networks stand in 2a, 2b, 2d, 2e)."""
    top1, top5 = {
        (50, 1): (72.7, 90.5),
        (50, 5): (73.8, 91.0),
        (50, 10): (74.3, 91.2),
        (101, 1): (74.3, 91.3),
        (101, 5): (75.1, 91.7),
        (101, 10): (75.1, 91.6),
    }[depth, blocks]
    tables = {(50, 1): ["2a", "2b", "2c"], (50, 5): ["2c", "2d"], (101, 5): ["2c", "2d", "2e"]}.get(
        (depth, blocks), ["2c"]
    )
    model = _model("c2d", depth, nonlocal_blocks=blocks)
    return _recipe(f"nl_c2d_r{depth}_{blocks}block", tables, f"R{depth}, {blocks}-block", top1, top5, model)


def nl_c2d_domain(depth: Depth, domain: Literal["space", "time"]) -> VideoRecipe:
    """5 blocks that sum over space or over time only (Table 2d); spacetime is `nl_c2d(depth, 5)`."""
    top1, top5 = {
        (50, "space"): (72.9, 90.8),
        (50, "time"): (73.1, 90.5),
        (101, "space"): (74.4, 91.3),
        (101, "time"): (74.4, 90.5),
    }[depth, domain]
    model = _model("c2d", depth, nonlocal_blocks=5, domain=domain)
    return _recipe(f"nl_c2d_r{depth}_5block_{domain}", ["2d"], f"R{depth}, {domain}-only", top1, top5, model)


def i3d(depth: Depth) -> VideoRecipe:
    """I3D with the 1x1 kernels inflated, the better form (Tables 2e, 2f)."""
    top1, top5 = {50: (73.3, 90.7), 101: (74.4, 91.1)}[depth]
    tables = {50: ["2f"], 101: ["2e", "2f"]}[depth]
    return _recipe(f"i3d_r{depth}", tables, f"R{depth}, I3D (3x1x1)", top1, top5, _model("i3d", depth))


def i3d_3x3x3() -> VideoRecipe:
    """I3D-101 with the 3x3 kernels inflated (Table 2e)."""
    model = _model("i3d", 101, inflate="3x3x3")
    return _recipe("i3d_r101_3x3x3", ["2e"], "R101, I3D (3x3x3)", 74.1, 91.2, model)


def nl_i3d(depth: Depth) -> VideoRecipe:
    """I3D with 5 non-local blocks (Table 2f)."""
    top1, top5 = {50: (74.9, 91.6), 101: (76.0, 92.1)}[depth]
    model = _model("i3d", depth, nonlocal_blocks=5)
    return _recipe(f"nl_i3d_r{depth}_5block", ["2f"], f"R{depth}, NL I3D", top1, top5, model)


def long_clip(trunk: Literal["c2d", "i3d", "nl_i3d"], depth: Depth) -> VideoRecipe:
    """128 consecutive frames (Table 2g): from the 32-frame network, frozen BatchNorm, batch 16, learning rate 0.0025.

    The number of iterations is that of the 32-frame case (Section 5.1, "Longer sequences"). The blocks keep their
    BatchNorm, frozen with the others, so that every tensor of the 32-frame network finds its place, and see the whole
    clip; [C2]'s own long-clip networks (`nonlocalnet.recipes.release`) have neither.
    """
    row, top1, top5 = {
        ("c2d", 50): ("C2D", 73.8, 91.2),
        ("i3d", 50): ("I3D", 74.9, 91.7),
        ("nl_i3d", 50): ("NL I3D", 76.5, 92.6),
        ("c2d", 101): ("C2D", 75.3, 91.8),
        ("i3d", 101): ("I3D", 76.4, 92.7),
        ("nl_i3d", 101): ("NL I3D", 77.7, 93.3),
    }[trunk, depth]
    blocks = 5 if trunk == "nl_i3d" else 0
    model = long_clip_model("c2d" if trunk == "c2d" else "i3d", depth, nonlocal_blocks=blocks)
    optim = OptimConfig(lr=0.0025, batch_size=16, freeze_bn=True)
    short = f"{trunk}_r{depth}{'_5block' if blocks else ''}"
    recipe = _recipe(f"{short}_128frames", ["2g"], f"R{depth}, {row}, 128 frames", top1, top5, model, optim=optim)
    return replace(recipe, starts_from=short)


def control(depth: Depth) -> VideoRecipe:
    """5 standard residual blocks where `nl_c2d(depth, 5)` has non-local ones (Section 5.1); no number was published."""
    architecture: Literal["c2d_resnet50_control", "c2d_resnet101_control"] = (
        "c2d_resnet50_control" if depth == 50 else "c2d_resnet101_control"
    )
    return VideoRecipe(
        name=f"c2d_r{depth}_5residual",
        row=f"R{depth}, C2D with 5 residual blocks, the control of Section 5.1",
        starts_from="ImageNet",
        model=ModelConfig(architecture=architecture, nonlocal_blocks=5),
        data=DataConfig(test_crops="full"),
        trainer=AS_PUBLISHED,
    )


def long_clip_model(trunk: Literal["c2d", "i3d"], depth: Depth, *, nonlocal_blocks: int) -> ModelConfig:
    """The network of the paper's 128-frame clips; also that of Charades."""
    model = _model(trunk, depth, nonlocal_blocks=nonlocal_blocks, clip="128x1")
    return replace(model, norm="batch", temporal_group_frames=None)


def _model(
    trunk: Literal["c2d", "i3d"],
    depth: Depth,
    *,
    nonlocal_blocks: int | list[str] = 0,
    clip: Literal["32x2", "128x1"] = "32x2",
    inflate: Literal["3x1x1", "3x3x3"] = "3x1x1",
    pairwise: Pairwise = "embedded_gaussian",
    domain: Literal["spacetime", "space", "time"] = "spacetime",
) -> ModelConfig:
    names: dict[tuple[str, int], Literal["c2d_resnet50", "c2d_resnet101", "i3d_resnet50", "i3d_resnet101"]] = {
        ("c2d", 50): "c2d_resnet50",
        ("c2d", 101): "c2d_resnet101",
        ("i3d", 50): "i3d_resnet50",
        ("i3d", 101): "i3d_resnet101",
    }
    return ModelConfig(
        architecture=names[trunk, depth],
        nonlocal_blocks=nonlocal_blocks,
        clip=clip,
        inflate=inflate,
        pairwise=pairwise,
        domain=domain,
    )


def _recipe(
    name: str,
    tables: list[str],
    row: str,
    top1: float,
    top5: float,
    model: ModelConfig,
    *,
    optim: OptimConfig | None = None,
) -> VideoRecipe:
    return VideoRecipe(
        name=name,
        tables=tables,
        row=row,
        published={"top1": top1, "top5": top5},
        source=_SOURCE,
        starts_from="ImageNet",
        model=model,
        # The paper's test: 10 clips, fully convolutional at short side 256. The 3 crops of [C2] are a setting.
        data=DataConfig(test_crops="full"),
        optim=optim or OptimConfig(),
        trainer=AS_PUBLISHED,
    )
