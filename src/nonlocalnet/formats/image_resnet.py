"""2-D ImageNet ResNets of torchvision, and of timm under the same names, from which video networks start."""

from __future__ import annotations

from nonlocalnet.formats.names import NameTable

# The classifier (fc) has no counterpart: its classes are others.
NAMES = NameTable(
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
