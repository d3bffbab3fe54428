"""The names of every program whose weights this package opens, each source's as one table of data.

Ours, for a video network:

    stem.{conv,norm}.*                                        conv1 and its norm
    res{2..5}.{block}.{conv1,norm1,conv2,norm2,conv3,norm3}.* the three convolutions of a residual block
    res{2..5}.{block}.downsample.{conv,norm}.*                its shortcut, where it has one
    res{2..5}.{block}_nonlocal.{theta,phi,g,out,norm}.*       the non-local block that follows it; w_f for concatenation
    head.projection.{weight,bias}                             the classifier
"""

from __future__ import annotations

from nonlocalnet.formats.names import NameTable, Row

_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_PROJECTIONS = ("theta", "phi", "g", "out")
_CONCAT_PROJECT = "non_local_block.concat_project.conv.weight"

OURS = NameTable(source="nonlocalnet", rows=(("{name}", "{name}"),))

# torchvision's `resnet50`/`resnet101`, and timm's of the same names. The classifier (fc) has no counterpart: its
# classes are others.
IMAGE_RESNET = NameTable(
    source="torchvision and timm ResNet",
    rows=(
        ("conv1.{tensor}", "stem.conv.{tensor}"),
        ("bn1.{tensor}", "stem.norm.{tensor}"),
        *(
            row
            for layer, stage in ((1, "res2"), (2, "res3"), (3, "res4"), (4, "res5"))
            for row in (
                (f"layer{layer}.{{block}}.conv{{conv}}.{{tensor}}", f"{stage}.{{block}}.conv{{conv}}.{{tensor}}"),
                (f"layer{layer}.{{block}}.bn{{conv}}.{{tensor}}", f"{stage}.{{block}}.norm{{conv}}.{{tensor}}"),
                (f"layer{layer}.{{block}}.downsample.0.{{tensor}}", f"{stage}.{{block}}.downsample.conv.{{tensor}}"),
                (f"layer{layer}.{{block}}.downsample.1.{{tensor}}", f"{stage}.{{block}}.downsample.norm.{{tensor}}"),
            )
        ),
    ),
)


def _caffe2_norm(theirs: str, ours: str) -> tuple[Row, ...]:
    """Scale, shift, running mean and running variance ("riv" is not its inverse)."""
    return tuple(
        (f"{theirs}_{suffix}", f"{ours}.{part}")
        for suffix, part in zip(("s", "b", "rm", "riv"), _NORM_PARTS, strict=True)
    )


# facebookresearch/video-nonlocal-net, `lib/models`: the video networks (5-D kernels) and the ImageNet ones (4-D).
CAFFE2 = NameTable(
    source="Caffe2 video-nonlocal-net",
    rows=(
        ("conv1_w", "stem.conv.weight"),
        *_caffe2_norm("res_conv1_bn", "stem.norm"),
        *(
            row
            for letter, conv in (("a", 1), ("b", 2), ("c", 3))
            for row in (
                (f"res{{stage}}_{{block}}_branch2{letter}_w", f"res{{stage}}.{{block}}.conv{conv}.weight"),
                *_caffe2_norm(f"res{{stage}}_{{block}}_branch2{letter}_bn", f"res{{stage}}.{{block}}.norm{conv}"),
            )
        ),
        ("res{stage}_{block}_branch1_w", "res{stage}.{block}.downsample.conv.weight"),
        *_caffe2_norm("res{stage}_{block}_branch1_bn", "res{stage}.{block}.downsample.norm"),
        *(
            (f"nonlocal_conv{{stage}}_{{block}}_{name}_{suffix}", f"res{{stage}}.{{block}}_nonlocal.{name}.{part}")
            for name in _PROJECTIONS
            for suffix, part in (("w", "weight"), ("b", "bias"))
        ),
        *_caffe2_norm("nonlocal_conv{stage}_{block}_bn", "res{stage}.{block}_nonlocal.norm"),
        ("pred_w", "head.projection.weight"),
        ("pred_b", "head.projection.bias"),
    ),
)


def _slowfast(*, block_norm: str) -> tuple[Row, ...]:
    return (
        ("s1.pathway0_stem.conv.{tensor}", "stem.conv.{tensor}"),
        ("s1.pathway0_stem.bn.{tensor}", "stem.norm.{tensor}"),
        *(
            (f"s{{stage}}.pathway0_res{{block}}.branch2.{part}.{{tensor}}", f"res{{stage}}.{{block}}.{ours}.{{tensor}}")
            for letter, conv in (("a", 1), ("b", 2), ("c", 3))
            for part, ours in ((letter, f"conv{conv}"), (f"{letter}_bn", f"norm{conv}"))
        ),
        ("s{stage}.pathway0_res{block}.branch1.{tensor}", "res{stage}.{block}.downsample.conv.{tensor}"),
        ("s{stage}.pathway0_res{block}.branch1_bn.{tensor}", "res{stage}.{block}.downsample.norm.{tensor}"),
        *(
            (
                f"s{{stage}}.pathway0_nonlocal{{block}}.{theirs}.{{tensor}}",
                f"res{{stage}}.{{block}}_nonlocal.{ours}.{{tensor}}",
            )
            for theirs, ours in ((block_norm, "norm"), *((f"conv_{name}", name) for name in _PROJECTIONS))
        ),
        ("head.projection.{tensor}", "head.projection.{tensor}"),
    )


# facebookresearch/SlowFast, `slowfast/models`: one pathway. Its first version called a block's norm "norm".
SLOWFAST = NameTable(source="PySlowFast", rows=_slowfast(block_norm="bn"))
SLOWFAST_FIRST = NameTable(source="PySlowFast", rows=_slowfast(block_norm="norm"))


def _mmaction2(*, subsampled: bool) -> tuple[Row, ...]:
    """With subsampling g and phi are Sequentials of the convolution and the pooling."""
    inner = ".0" if subsampled else ""
    return (
        ("backbone.conv1.conv.{tensor}", "stem.conv.{tensor}"),
        ("backbone.conv1.bn.{tensor}", "stem.norm.{tensor}"),
        *(
            (f"backbone.layer{layer}.{{block}}{theirs}.{{tensor}}", f"{stage}.{{block}}{ours}.{{tensor}}")
            for layer, stage in ((1, "res2"), (2, "res3"), (3, "res4"), (4, "res5"))
            for theirs, ours in (
                (".conv{conv}.conv", ".conv{conv}"),
                (".conv{conv}.bn", ".norm{conv}"),
                (".downsample.conv", ".downsample.conv"),
                (".downsample.bn", ".downsample.norm"),
                (".non_local_block.theta.conv", "_nonlocal.theta"),
                (f".non_local_block.phi{inner}.conv", "_nonlocal.phi"),
                (f".non_local_block.g{inner}.conv", "_nonlocal.g"),
                (".non_local_block.conv_out.conv", "_nonlocal.out"),
                (".non_local_block.conv_out.bn", "_nonlocal.norm"),
            )
        ),
        *(
            (f"backbone.layer{layer}.{{block}}.{_CONCAT_PROJECT}", f"{stage}.{{block}}_nonlocal.w_f")
            for layer, stage in ((1, "res2"), (2, "res3"), (3, "res4"), (4, "res5"))
        ),
        ("cls_head.fc_cls.{tensor}", "head.projection.{tensor}"),
    )


# open-mmlab/mmaction2, `mmaction/models/backbones/resnet3d.py`, with mmcv's NonLocal3d.
MMACTION2 = NameTable(source="mmaction2", rows=_mmaction2(subsampled=False))
MMACTION2_SUBSAMPLED = NameTable(source="mmaction2", rows=_mmaction2(subsampled=True))
