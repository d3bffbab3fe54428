"""The detectors are torchvision's, key for key, and the blocks are where Section 6 has them."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
import torch
import torchvision
from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights, MaskRCNN_ResNet50_FPN_Weights
from torchvision.ops import FrozenBatchNorm2d

from models.detection.pictures import disturb, images, same, target
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models import detection
from nonlocalnet.models.detection import names
from nonlocalnet.models.detection.architectures import ARCHITECTURES
from nonlocalnet.models.detection.trunks import RESNET50, build_backbone

THEIRS = {
    "maskrcnn": (torchvision.models.detection.maskrcnn_resnet50_fpn, MaskRCNN_ResNet50_FPN_Weights),
    "keypointrcnn": (torchvision.models.detection.keypointrcnn_resnet50_fpn, KeypointRCNN_ResNet50_FPN_Weights),
}
OURS = {"maskrcnn": detection.maskrcnn_resnet50_fpn, "keypointrcnn": detection.keypointrcnn_resnet50_fpn}
HEAD = [f"roi_heads.keypoint_head.{i}_nonlocal" for i in (3, 7, 11, 15)]


@pytest.mark.parametrize("kind", OURS)
def test_coco_weights_give_torchvisions_detections(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights of the COCO_V1 entry: loaded before the blocks, eps 0, and bit-identical outputs."""
    build, enum = THEIRS[kind]
    source = build(weights=None, weights_backbone=None).state_dict()
    source = {name: tensor for name, tensor in source.items() if "num_batches_tracked" not in name}
    monkeypatch.setattr(enum, "get_state_dict", lambda *_args, **_options: source)
    small = {"min_size": 48, "max_size": 72, "box_score_thresh": 0.0, "box_detections_per_img": 3}
    theirs = build(weights="COCO_V1", **small).eval()
    ours = OURS[kind](weights="COCO_V1", **small).eval()
    frozen = [m for m in ours.modules() if isinstance(m, FrozenBatchNorm2d)]
    assert {m.eps for m in frozen} == {m.eps for m in theirs.modules() if isinstance(m, FrozenBatchNorm2d)} == {0.0}
    assert [p.requires_grad for n, p in ours.named_parameters() if "nonlocal" not in n] == [
        p.requires_grad for p in theirs.parameters()
    ]
    for model in (theirs, ours):
        model.rpn._post_nms_top_n["testing"] = 10
    batch = images((48, 72), (64, 48))
    with torch.no_grad():
        assert same(ours(batch), theirs(batch))
        disturb(ours)  # the control: blocks that are trained change them
        assert not same(ours(batch), theirs(batch))


@pytest.mark.parametrize("kind", OURS)
def test_a_baselines_state_dict_lacks_the_blocks_keys_alone(kind: str) -> None:
    baseline = THEIRS[kind][0](weights=None, weights_backbone=None).state_dict()
    ours = OURS[kind]()
    answer = ours.load_state_dict(baseline, strict=False)
    blocks = nonlocal_blocks(ours)
    assert answer.unexpected_keys == []
    assert set(answer.missing_keys) == {f"{path}.{name}" for path, b in blocks.items() for name in b.state_dict()}
    assert [name for name in ours.state_dict() if name in baseline] == list(baseline)
    plain = OURS[kind](nonlocal_backbone=False, **({} if kind == "maskrcnn" else {"nonlocal_head": False}))
    assert list(plain.state_dict()) == list(baseline)


@pytest.mark.parametrize(
    ("name", "options", "places"),
    [
        ("maskrcnn_resnet50_fpn", {}, ["backbone.body.layer3.5_nonlocal_before"]),
        ("maskrcnn_resnet101_fpn", {}, ["backbone.body.layer3.22_nonlocal_before"]),
        ("maskrcnn_resnext152_32x8d_fpn", {}, ["backbone.body.layer3.35_nonlocal_before"]),
        ("keypointrcnn_resnet50_fpn", {"nonlocal_head": False}, ["backbone.body.layer3.5_nonlocal_before"]),
        ("keypointrcnn_resnet101_fpn", {"nonlocal_backbone": False}, HEAD),
        ("keypointrcnn_resnet101_fpn", {}, ["backbone.body.layer3.22_nonlocal_before", *HEAD]),
        ("maskrcnn_resnet50_fpn", {"nonlocal_backbone": False}, []),
        ("maskrcnn_slim_fpn", {}, ["backbone.body.layer3.1_nonlocal_before"]),
        ("keypointrcnn_slim_fpn", {}, ["backbone.body.layer3.1_nonlocal_before", "roi_heads.keypoint_head.3_nonlocal"]),
    ],
)
def test_blocks_are_where_the_paper_has_them(name: str, options: dict[str, bool], places: list[str]) -> None:
    with torch.device("meta"):
        detector = getattr(detection, name)(**options)
    blocks = nonlocal_blocks(detector)
    assert list(blocks) == places
    for path, block in blocks.items():
        parent = detector.get_submodule(path.rpartition(".")[0])
        names = [child for child, _ in parent.named_children()]
        own = names.index(path.rpartition(".")[2])
        # In the backbone right before the last residual block; in the head right after an activation.
        assert (own == len(names) - 2) if "backbone" in path else isinstance(parent[own - 1], torch.nn.ReLU)
        assert block.pairwise == "embedded_gaussian"
        assert block.norm is None


def test_sizes_of_the_trunks() -> None:
    with torch.device("meta"):
        keypoints = detection.keypointrcnn_resnet50_fpn(nonlocal_backbone=False, nonlocal_head=False, frozen_bn=True)
        with_head = detection.keypointrcnn_resnet50_fpn(nonlocal_backbone=False, frozen_bn=True)
        resnext = detection.maskrcnn_resnext152_32x8d_fpn(nonlocal_backbone=False).backbone.body
    counts = [sum(p.numel() for p in m.parameters()) for m in (keypoints, with_head)]
    assert counts[0] == KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.meta["num_params"]
    assert counts[1] - counts[0] == 4 * (4 * 512 * 256 + 3 * 256 + 512)  # 2.10M
    assert [len(resnext[f"layer{i}"]) for i in range(1, 5)] == [3, 8, 36, 3]
    assert resnext.layer1[0].conv2.groups == 32
    assert resnext.layer1[0].conv2.out_channels == 256


def test_every_factory_names_the_same_options() -> None:
    base = inspect.signature(detection.maskrcnn_resnet50_fpn).parameters
    for name in ("maskrcnn_resnet101_fpn", "maskrcnn_resnext152_32x8d_fpn", "keypointrcnn_resnet50_fpn"):
        others = inspect.signature(getattr(detection, name)).parameters
        assert set(base) <= set(others)
        assert all(p.kind is p.KEYWORD_ONLY for p in others.values())


def test_blocks_are_trained_whatever_is_frozen() -> None:
    """The backbone builder freezes by name: what is inserted before it runs is frozen with its layer."""
    frozen = detection.maskrcnn_resnet50_fpn(trainable_backbone_layers=0)
    block = nonlocal_blocks(frozen)["backbone.body.layer3.5_nonlocal_before"]
    assert all(p.requires_grad for p in block.parameters())
    assert not any(p.requires_grad for n, p in frozen.backbone.body.named_parameters() if "nonlocal" not in n)
    backbone = build_backbone(
        RESNET50, weights=None, progress=False, frozen_bn=False, trainable_layers=5, fpn_channels=8
    )
    assert all(p.requires_grad for p in backbone.body.parameters())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("maskrcnn_resnet50_fpn", {"weights": "COCO_V9"}, "weights must be one of COCO_V1, got 'COCO_V9'"),
        (
            "maskrcnn_resnet101_fpn",
            {"weights": "COCO_V1"},
            "torchvision has no COCO weights of a detector on ResNet-101",
        ),
        ("maskrcnn_resnext152_32x8d_fpn", {"weights_backbone": "DEFAULT"}, "no ImageNet weights of ResNeXt-152 32x8d"),
        ("maskrcnn_resnet50_fpn", {"weights": "COCO_V1", "num_classes": 4}, "num_classes is 4, but .* has 91 classes"),
        ("maskrcnn_resnet50_fpn", {"num_classes": 1}, "num_classes must be at least 2"),
        ("maskrcnn_resnet50_fpn", {"min_size": 900, "max_size": 800}, "min_size must be from 1 to max_size = 800"),
        ("maskrcnn_resnet50_fpn", {"trainable_backbone_layers": 6}, r"trainable_backbone_layers must be in \[0, 5\]"),
        ("keypointrcnn_resnet50_fpn", {"pairwise": "cosine"}, "pairwise must be one of"),
    ],
)
def test_what_is_out_of_range(name: str, options: dict[str, object], message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        getattr(detection, name)(**options)


@pytest.mark.parametrize("kind", ["mask", "keypoint"])
def test_losses_are_identical_at_first_and_every_block_learns(kind: str) -> None:
    keypoints = None if kind == "mask" else 3
    build = detection.maskrcnn_slim_fpn if kind == "mask" else detection.keypointrcnn_slim_fpn
    off = {"nonlocal_backbone": False, **({} if kind == "mask" else {"nonlocal_head": False})}
    plain, ours = build(**off), build()
    ours.load_state_dict(plain.state_dict(), strict=False)
    batch, targets = (
        images((96, 128), (80, 128)),
        [target(96, 128, keypoints=keypoints), target(80, 128, keypoints=keypoints)],
    )
    losses = []
    for model in (plain, ours):
        torch.manual_seed(1)
        losses.append(model(batch, targets))
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])
    disturb(ours, std=0.01)
    torch.manual_seed(1)
    sum(ours(batch, targets).values()).backward()
    for path, block in nonlocal_blocks(ours).items():
        for name, parameter in block.named_parameters():
            assert parameter.grad is not None, path
            # A constant added to every logit of a row changes no softmax: phi's bias has none in exact arithmetic.
            assert parameter.grad.abs().max() > 0 or name == "phi.bias", f"{path}.{name}"


def test_names_without_a_network_are_those_of_the_table() -> None:
    assert set(get_args(names.DetectorName)) == set(ARCHITECTURES)
    assert all(names.has_keypoints(name) == row.has_keypoints for name, row in ARCHITECTURES.items())


def test_weights_that_cannot_be_fetched_name_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: object, **_further: object) -> None:
        raise OSError("<urlopen error unknown host>")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(ValueError, match=r"could not be fetched from https://.*: <urlopen error.*--init FILE"):
        detection.maskrcnn_resnet50_fpn(weights_backbone="IMAGENET1K_V1", progress=False)
