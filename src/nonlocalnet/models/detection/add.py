"""`add_nonlocal`: the blocks of Section 6 in a detector that already exists."""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from typing_extensions import Unpack

from nonlocalnet.block import BlockArguments, BlockOptions, NonLocalBlock
from nonlocalnet.block.options import checked_block
from nonlocalnet.insert.insert import put_blocks, say_inserted
from nonlocalnet.models.detection.padding import PaddingMask
from nonlocalnet.system.signatures import shows

STAGE = "backbone.body.layer3"
HEAD = "roi_heads.keypoint_head"
DETECTOR_BLOCK = BlockOptions(scale="rsqrt", subsample=2, subsample_first=True, norm=None)
_Detector = TypeVar("_Detector", bound=nn.Module)


@shows(BlockArguments, vars(DETECTOR_BLOCK))
def add_nonlocal(
    detector: _Detector,
    *,
    nonlocal_backbone: bool = True,
    nonlocal_head: bool | None = None,
    block: BlockOptions | None = None,
    **options: Unpack[BlockArguments],
) -> _Detector:
    """Adds the paper's blocks to a torchvision detector, in place; its detections stay the same until trained.

    In the backbone one block goes right before the last residual block of res4 (torchvision's ``layer3``), as the named
    child ``5_nonlocal_before`` of ResNet-50's; in the keypoint head one after every second convolution, as
    ``3_nonlocal``, ``7_nonlocal`` and so on. Existing keys of the state dict stay as they are. A block in the backbone
    leaves the padding of a batch out of its sums. Add blocks after loading weights or before, but before making the
    optimiser and before wrapping in DistributedDataParallel; they are trainable whatever else is frozen.

    The defaults, `DETECTOR_BLOCK`, are those of the released video models ([C2]): a softmax scaled by
    ``inner_channels ** -0.5``, x pooled by 2 before phi and g, and no norm inside the block, whose W_z starts at zero,
    as the released models with frozen BatchNorm have it. The paper gives no such detail for its detectors. Its "less
    than 5% more computation" holds with subsampling only: `detector_cost` counts it.

    Args:
        detector: Of `torchvision.models.detection` with a ResNet-FPN backbone, or of this package.
        nonlocal_backbone: Add the block in the backbone.
        nonlocal_head: Add the blocks in the keypoint head; None: where the detector has one.
        block: The options of every block, all in one; None for the defaults above.
        **options: Those of `BlockOptions`, by name; they replace the ones in ``block``. "batch" for ``norm`` is a
            trainable BatchNorm, whose statistics run over the padding too.

    Returns:
        The same detector.

    Raises:
        ValueError: The detector has no such layers or has blocks there already, no place is asked for, or an option
            is out of range. The detector is then as it was.

    Example:
        >>> from torchvision.models.detection import maskrcnn_resnet50_fpn
        >>> from nonlocalnet import nonlocal_blocks
        >>> detector = add_nonlocal(maskrcnn_resnet50_fpn(weights_backbone=None))
        >>> list(nonlocal_blocks(detector))
        ['backbone.body.layer3.5_nonlocal_before']
    """
    blocks = put_detector_blocks(
        detector,
        nonlocal_backbone=nonlocal_backbone,
        nonlocal_head=nonlocal_head,
        block=(checked_block(block, BlockOptions) or DETECTOR_BLOCK).changed(**options),
    )
    say_inserted(blocks)
    return detector


def put_detector_blocks(
    detector: nn.Module, *, nonlocal_backbone: bool, nonlocal_head: bool | None, block: BlockOptions
) -> dict[str, NonLocalBlock]:
    """As `add_nonlocal`, without a word: for detectors that are built with their blocks. Gives the blocks by path."""
    if nonlocal_head is None:
        nonlocal_head = _keypoint_head(detector) is not None
    if not (nonlocal_backbone or nonlocal_head):
        raise ValueError("nonlocal_backbone and nonlocal_head are both False: there is no block to add")
    blocks = put_blocks(
        detector,
        before=backbone_places(detector) if nonlocal_backbone else None,
        after=head_places(detector) if nonlocal_head else None,
        block=block,
    )
    if nonlocal_backbone:
        transform, backbone = detector.get_submodule("transform"), detector.get_submodule("backbone")
        PaddingMask().attach(transform=transform, backbone=backbone)
    return blocks


def backbone_places(detector: nn.Module) -> list[str]:
    """The last residual block of res4: the paper's block goes right before it.

    Raises:
        ValueError: If the detector has no ResNet-FPN backbone of torchvision.
    """
    stage = _submodule(detector, STAGE)
    if not isinstance(stage, nn.Sequential) or _submodule(detector, "transform") is None:
        raise ValueError(
            f"a block in the backbone needs a torchvision detector with `transform` and a ResNet in `{STAGE}`, got "
            f"{type(detector).__name__}; for other networks use insert_nonlocal"
        )
    residual = [name for name, child in stage.named_children() if not isinstance(child, NonLocalBlock)]
    return [f"{STAGE}.{residual[-1]}"]


def head_places(detector: nn.Module) -> list[str]:
    """The activations after every second convolution of the keypoint head: a block goes after each.

    Raises:
        ValueError: If the detector has no keypoint head that is a Sequential.
    """
    head = _keypoint_head(detector)
    if head is None:
        raise ValueError(
            f"nonlocal_head=True needs a keypoint detector with a Sequential `{HEAD}`, got {type(detector).__name__} "
            "without one; use nonlocal_head=False"
        )
    names = [name for name, child in head.named_children() if not isinstance(child, NonLocalBlock)]
    convolutions = [i for i, name in enumerate(names) if isinstance(head.get_submodule(name), nn.Conv2d)]
    return [f"{HEAD}.{names[i + 1]}" for i in convolutions[1::2]]


def _keypoint_head(detector: nn.Module) -> nn.Sequential | None:
    head = _submodule(detector, HEAD)
    return head if isinstance(head, nn.Sequential) else None


def _submodule(module: nn.Module, path: str) -> nn.Module | None:
    for name in path.split("."):
        child = getattr(module, name, None)
        if not isinstance(child, nn.Module):
            return None
        module = child
    return module
