"""The networks of the paper by name: a trunk plus `insert_nonlocal`.

"variant" as a value means "what `variant` says" (None is itself a value of several options).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import Unpack

from nonlocalnet.block.options import checked_block
from nonlocalnet.models.video.architectures import ARCHITECTURES, C2DArguments, ControlArguments, I3DArguments
from nonlocalnet.models.video.blocks import VideoBlockOptions
from nonlocalnet.models.video.network import VideoResNet, build
from nonlocalnet.system.signatures import shows


@shows(C2DArguments, ARCHITECTURES["c2d_resnet50"].defaults)
def c2d_resnet50(*, block: VideoBlockOptions | None = None, **options: Unpack[C2DArguments]) -> VideoResNet:
    """C2D ResNet-50 (Table 1): no kernel spans time, with non-local blocks inserted on request.

    Args:
        block: The block options, all in one: those from inner_channels to zero_init.
        num_classes: Outputs of the classifier.
        nonlocal_blocks: 0, 1, 5 or 10 blocks where the paper has them (`nonlocalnet.models.video.placement`), or the
            residual blocks that a non-local block follows, such as ["res4.4"].
        clip: The clip the network is made for, frames x frame stride. The paper's are "32x2" and "128x1"; "8x8" and
            "32x4" are [C2]'s. Decides the temporal strides; other clip lengths are accepted as input.
        variant: "release" for the released models in every detail ([C2]), "paper" for the paper's text; "slowfast",
            "mmaction2" and their kin for the networks of those programs, which take a clip of any frames x stride.
            `nonlocalnet.models.video.geometry` holds what differs.
        width: Channels of conv1 (64 in the paper); the other layers are multiples of it.
        dropout: Probability of dropping a pooled feature in training.
        crop: Height and width of the training crop in pixels; decides the pooling window of `VideoResNet.scores`. None:
            the whole map.
        inner_channels: Channels of theta, phi and g in every block; None for half of the channels at each place.
        pairwise: The pairwise function of every block.
        scale: Factor on the logits of the softmax; "rsqrt" for inner_channels ** -0.5. "variant": "rsqrt" in the
            release, 1.0 in the paper, and 1.0 for the forms without a softmax, which divide by the number of positions.
        subsample: Max-pool, kernel and stride, on the side that is summed over; None for none. "variant": (1, 2, 2) in
            both, but None for domain="time", which sums over one location. A mapping gives each stage its own.
        subsample_first: Pool x before phi and g, or their outputs. "variant": True in the release, False in the paper.
        domain: "spacetime", "space" or "time": which positions are summed over.
        temporal_group_frames: Frames of each group within which every block works; None for no groups. "variant": 4 for
            the res3 blocks of the release's 32x4 and 128x1 networks (not with domain="space"), else None. A mapping
            gives each stage its own.
        norm: "batch" for BatchNorm after W_z, or None. "variant": None for the release's 32x4 and 128x1 networks, else
            "batch".
        zero_init: Start every block as the identity.
        trunk_norm: "batch", or "affine": [C2]'s networks whose BatchNorms are folded into frozen scales and shifts.

    Returns:
        The network in training mode, with [C2]'s initialisation.

    Raises:
        ValueError: If an argument is unknown or out of range, or variant="paper" is asked for a clip the paper does not
            have.
    """
    return build("c2d_resnet50", _in_one(block, options))


@shows(C2DArguments, ARCHITECTURES["c2d_resnet101"].defaults)
def c2d_resnet101(*, block: VideoBlockOptions | None = None, **options: Unpack[C2DArguments]) -> VideoResNet:
    """C2D ResNet-101, as `c2d_resnet50` but with 23 residual blocks in res4; the arguments are the same."""
    return build("c2d_resnet101", _in_one(block, options))


@shows(I3DArguments, ARCHITECTURES["i3d_resnet50"].defaults)
def i3d_resnet50(*, block: VideoBlockOptions | None = None, **options: Unpack[I3DArguments]) -> VideoResNet:
    """I3D ResNet-50: the C2D with kernels inflated in time; the arguments are those of `c2d_resnet50` and `inflate`.

    conv1 spans 5 frames, and every other residual block has one kernel that spans 3: with inflate="3x1x1" its first 1x1
    (the better and cheaper one, Table 2e), with "3x3x3" its 3x3. inflated="all" and "late" are the patterns of other
    programs' networks (`nonlocalnet.models.video.geometry.INFLATIONS`).
    """
    return build("i3d_resnet50", _in_one(block, options))


@shows(I3DArguments, ARCHITECTURES["i3d_resnet101"].defaults)
def i3d_resnet101(*, block: VideoBlockOptions | None = None, **options: Unpack[I3DArguments]) -> VideoResNet:
    """I3D ResNet-101, as `i3d_resnet50` but with 23 residual blocks in res4; the arguments are the same."""
    return build("i3d_resnet101", _in_one(block, options))


@shows(ControlArguments, ARCHITECTURES["c2d_resnet50_control"].defaults)
def c2d_resnet50_control(**options: Unpack[ControlArguments]) -> VideoResNet:
    """C2D ResNet-50 with standard residual blocks where `c2d_resnet50` has non-local ones.

    Args:
        num_classes: As for `c2d_resnet50`.
        residual_blocks: Places of the added blocks, as `nonlocal_blocks` of `c2d_resnet50`.
        clip: As for `c2d_resnet50`.
        variant: As for `c2d_resnet50`.
        width: As for `c2d_resnet50`.
        dropout: As for `c2d_resnet50`.
        crop: As for `c2d_resnet50`.

    Returns:
        The network in training mode; an added block's name is that of the block before it and "_residual".
    """
    return build("c2d_resnet50_control", options)


@shows(ControlArguments, ARCHITECTURES["c2d_resnet101_control"].defaults)
def c2d_resnet101_control(**options: Unpack[ControlArguments]) -> VideoResNet:
    """C2D ResNet-101 with standard residual blocks, as `c2d_resnet50_control`; the arguments are the same."""
    return build("c2d_resnet101_control", options)


def _in_one(block: VideoBlockOptions | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """What is given by name replaces what stands in `block`."""
    return {**({} if block is None else vars(checked_block(block, VideoBlockOptions))), **options}
