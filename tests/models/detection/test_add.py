"""`add_nonlocal` on detectors that exist already, and the traps of putting a block into one."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from models.detection.pictures import disturb, images, same, target
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.detection import add_nonlocal, keypointrcnn_slim_fpn, maskrcnn_slim_fpn
from nonlocalnet.models.detection.control import LocalBlock, add_local_control
from nonlocalnet.models.detection.padding import key_mask


def slim() -> torchvision.models.detection.MaskRCNN:
    return maskrcnn_slim_fpn(nonlocal_backbone=False, box_score_thresh=0.0)


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
def test_other_detectors_of_torchvision_take_the_block(name: str) -> None:
    theirs = getattr(torchvision.models.detection, name)(weights_backbone=None, min_size=64, max_size=96).eval()
    ours = add_nonlocal(copy.deepcopy(theirs))
    batch = images((48, 64), (64, 40))
    with torch.no_grad():
        assert same(theirs(batch), ours(batch))
    assert list(nonlocal_blocks(ours)) == ["backbone.body.layer3.5_nonlocal_before"]


def test_a_keypoint_detector_gets_both_kinds_by_default() -> None:
    detector = add_nonlocal(keypointrcnn_slim_fpn(nonlocal_backbone=False, nonlocal_head=False), pairwise="dot_product")
    blocks = nonlocal_blocks(detector)
    assert list(blocks) == ["backbone.body.layer3.1_nonlocal_before", "roi_heads.keypoint_head.3_nonlocal"]
    assert {b.scale for b in blocks.values()} == {1.0}


def test_refusals_leave_the_detector_as_it_was() -> None:
    detector = slim()
    before = list(detector.state_dict())
    for options, message in (
        ({"nonlocal_head": True}, "nonlocal_head=True needs a keypoint detector"),
        ({"nonlocal_backbone": False}, "both False: there is no block to add"),
        ({"subsample": 0}, "subsample"),
    ):
        with pytest.raises(ValueError, match=message):
            add_nonlocal(detector, **options)
    assert list(detector.state_dict()) == before
    add_nonlocal(detector)
    with pytest.raises(ValueError, match="there is a non-local block already"):
        add_nonlocal(detector)
    with pytest.raises(ValueError, match=r"needs a torchvision detector .* got ResNet; for other networks use insert_"):
        add_nonlocal(torchvision.models.resnet18())


class SeenMasks:
    """What a block was given, and what it gave."""

    def __init__(self, block: NonLocalBlock) -> None:
        self.masks: list[torch.Tensor | None] = []
        self.inputs: list[torch.Tensor] = []
        self.outputs: list[torch.Tensor] = []
        block.register_forward_hook(self.note, with_kwargs=True)

    def note(self, _block: nn.Module, args: tuple, kwargs: dict, output: torch.Tensor) -> None:
        self.masks.append(kwargs.get("key_mask"))
        self.inputs.append(args[0])
        self.outputs.append(output)


def only_block(detector: nn.Module) -> NonLocalBlock:
    (block,) = nonlocal_blocks(detector).values()
    return block


def test_image_sizes_become_the_blocks_key_mask() -> None:
    detector = add_nonlocal(slim()).eval()
    seen = SeenMasks(only_block(detector))
    with torch.no_grad():
        detector(images((96, 224), (96, 100)))
        detector(images((96, 224), (96, 224)))
        detector.backbone(torch.rand(1, 3, 96, 224))
    mask, *unpadded = seen.masks
    assert mask is not None
    assert mask.shape == (2, 6, 14)
    assert mask[0].all()
    assert mask[1].any(0).tolist() == [True] * 7 + [False] * 7  # 100 pixels: 6.25 cells of 16
    assert unpadded == [None, None]  # nothing is padded; and a backbone that is called alone has no sizes


@pytest.mark.parametrize("subsample", [None, 2])
@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian", "dot_product", "concatenation"])
def test_a_blocks_output_does_not_change_with_what_the_padding_holds(pairwise: str, subsample: int | None) -> None:
    """Only what the block gets at the padded positions is changed; the convolutions around it see theirs anyway."""
    detector = add_nonlocal(slim(), pairwise=pairwise, subsample=subsample).eval()
    disturb(detector)
    block = only_block(detector)
    batch = images((96, 224), (96, 100))
    outputs = []
    for filling in (0.0, 7.0, torch.inf):
        seen = SeenMasks(block)

        def fill(_block: nn.Module, args: tuple, filling: float = filling) -> tuple[torch.Tensor]:
            x = args[0].clone()
            x[1, :, :, 7:] = filling
            return (x,)

        handle = block.register_forward_pre_hook(fill)
        with torch.no_grad():
            detector.backbone(detector.transform(batch)[0].tensors)
        handle.remove()
        outputs.append(seen.outputs[0])
    for other in outputs[1:]:
        assert torch.equal(outputs[0][0], other[0])
        assert torch.equal(outputs[0][1, :, :, :7], other[1, :, :, :7])


def test_without_the_mask_the_padding_would_count() -> None:
    """The control of the test above: the same block without the hand-over."""
    detector = add_nonlocal(slim(), subsample=None).eval()
    disturb(detector)
    block = only_block(detector)
    x = torch.rand(1, block.channels, 6, 14)
    changed = x.clone()
    changed[..., 7:] = 7.0
    with torch.no_grad():
        assert not torch.allclose(block(x)[..., :7], block(changed)[..., :7], atol=1e-4)


def test_masks_survive_copies_pickling_errors_and_recomputation() -> None:
    detector = add_nonlocal(slim(), subsample=None).eval()
    disturb(detector)
    batch = images((96, 224), (96, 100))
    with pytest.raises(ValueError, match="3d tensors"):
        detector([torch.rand(96, 224)])
    copies = [copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))]
    with torch.no_grad():
        expected = detector(batch)
        for other in copies:
            seen = SeenMasks(only_block(other))
            assert same(other(batch), expected)
            assert seen.masks[0] is not None
    # Recomputation in the backward pass gives the same features, so the same mask.
    block = only_block(detector)
    images_ = detector.transform(batch)[0]
    seen = SeenMasks(block)
    layer3 = detector.backbone.body.layer3
    layer3.forward = lambda x: torch.utils.checkpoint.checkpoint(nn.Sequential.forward, layer3, x, use_reentrant=False)
    sum(level.sum() for level in detector.backbone(images_.tensors).values()).backward()
    assert len(seen.masks) == 2
    assert torch.equal(seen.masks[0], seen.masks[1])
    assert torch.equal(seen.outputs[0], seen.outputs[1])


def test_a_frozen_norm_with_zero_scale_never_learns_and_ours_does() -> None:
    """Why the default has no norm: frozen, its zero scale hides W_z from every gradient."""
    batch, targets = images((96, 128)), [target(96, 128)]

    def moved(detector: nn.Module) -> set[str]:
        detector.zero_grad()
        sum(detector(batch, targets).values()).backward()
        named = only_block(detector).named_parameters()
        return {name for name, p in named if p.grad is not None and p.grad.abs().max() > 0}

    trapped = add_nonlocal(slim())
    norm = FrozenBatchNorm2d(only_block(trapped).channels)
    nn.init.zeros_(norm.weight)
    only_block(trapped).norm = norm
    only_block(trapped).out.weight.data.normal_(std=0.01)
    assert moved(trapped) == set()
    assert moved(add_nonlocal(slim())) == {"out.weight", "out.bias"}
    assert moved(add_nonlocal(slim(), norm="batch")) == {"norm.weight", "norm.bias"}


def test_the_residual_after_an_in_place_relu_keeps_autograd_whole() -> None:
    """The head's ReLUs work in place: a block that added in place would break their backward pass."""
    detector = keypointrcnn_slim_fpn(nonlocal_backbone=False)
    disturb(detector)
    head = detector.roi_heads.keypoint_head
    assert all(m.inplace for m in head if isinstance(m, nn.ReLU))
    x = torch.rand(2, head[0].in_channels, 14, 14, requires_grad=True)
    assert torch.autograd.grad(head(x).sum(), x)[0].abs().sum() > 0


@pytest.mark.parametrize("kind", ["mask", "keypoint"])
def test_the_control_is_local_has_as_many_parameters_and_starts_as_the_identity(kind: str) -> None:
    off = {"nonlocal_backbone": False, **({} if kind == "mask" else {"nonlocal_head": False})}
    build = maskrcnn_slim_fpn if kind == "mask" else keypointrcnn_slim_fpn
    plain = build(**off, box_score_thresh=0.0).eval()
    control = add_local_control(copy.deepcopy(plain), nonlocal_head=kind == "keypoint")
    counts = [sum(p.numel() for p in m.parameters()) for m in (build(), control, plain)]
    assert counts[0] <= counts[1] < counts[0] + 0.03 * (counts[0] - counts[2])
    assert len([m for m in control.modules() if isinstance(m, LocalBlock)]) == (1 if kind == "mask" else 2)
    assert nonlocal_blocks(control) == {}
    assert [n for n, _ in control.backbone.body.layer3.named_children()] == ["0", "1_local_before", "1"]
    batch = images((96, 128))
    with torch.no_grad():
        assert same(plain(batch), control.eval()(batch))


def test_key_mask_rounds_up() -> None:
    features = torch.zeros(2, 1, 4, 4)
    mask = key_mask(features, image_sizes=[(64, 64), (33, 1)], padded_size=(64, 64))
    assert mask is not None
    assert mask[0].all()
    assert mask[1].sum(0).tolist() == [3, 0, 0, 0]
