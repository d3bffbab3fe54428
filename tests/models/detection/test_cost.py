"""The counts of the paper's "less than 5% more computation", and receptive fields that are exact."""

from __future__ import annotations

import pytest
import torch

from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.detection import (
    add_nonlocal,
    detector_cost,
    keypointrcnn_slim_fpn,
    maskrcnn_resnet50_fpn,
    maskrcnn_slim_fpn,
    receptive_field,
)
from nonlocalnet.models.detection.control import add_local_control

BOX = (200.3, 30.2, 230.7, 60.1)


def test_the_subsampled_block_meets_the_papers_five_percent_and_the_whole_one_does_not() -> None:
    with torch.device("meta"):
        plain = maskrcnn_resnet50_fpn(nonlocal_backbone=False)
        pooled, whole = maskrcnn_resnet50_fpn(), maskrcnn_resnet50_fpn(subsample=None)
    costs = [detector_cost(model) for model in (plain, pooled, whole)]
    height, width, channels, inner = 50, 84, 1024, 512  # layer3 at 800 x 1344
    places = height * width
    embeddings, pairs = 4 * places * channels * inner, 2 * places * places * inner
    assert sum(costs[2].blocks.values()) == embeddings + pairs
    assert sum(costs[1].blocks.values()) == embeddings // 2 + embeddings // 8 + pairs // 4
    assert costs[2].total - costs[0].total == embeddings + pairs
    assert costs[0].blocks_share == 0
    assert costs[1].blocks_share < 0.05 < costs[2].blocks_share
    assert "3.7% more computation" in str(costs[1])


def test_heads_are_counted_over_their_regions() -> None:
    detector = keypointrcnn_slim_fpn()
    one, two = (detector_cost(detector, image_size=(96, 224), detections=n) for n in (10, 20))
    assert two.parts["roi_heads.keypoint_head"] == 2 * one.parts["roi_heads.keypoint_head"]
    assert list(one.blocks) == [path.replace("keypoint_head.", "keypoint_head.") for path in nonlocal_blocks(detector)]


def test_the_receptive_field_is_exact() -> None:
    """No pixel outside of it changes the features of the box, and pixels of its first column do."""
    detector = maskrcnn_slim_fpn(nonlocal_backbone=False).double().eval()
    left, top, right, bottom = receptive_field(detector, image_size=(96, 256), box=BOX)
    assert (top, right, bottom) == (0, 256, 96)
    assert 0 < left < BOX[0]

    def features(image: torch.Tensor) -> torch.Tensor:
        maps = detector.backbone(image)
        return detector.roi_heads.box_head(
            detector.roi_heads.box_roi_pool(maps, [torch.tensor([BOX]).double()], [(96, 256)])
        )

    image = torch.rand(1, 3, 96, 256, dtype=torch.float64)
    outside, inside = image.clone(), image.clone()
    outside[..., :left] = torch.rand(left)
    inside[..., left] += 100.0
    with torch.no_grad():
        assert torch.equal(features(image), features(outside))
        assert not torch.equal(features(image), features(inside))


def test_a_block_sees_the_whole_image_and_the_control_a_little_more() -> None:
    plain = maskrcnn_slim_fpn(nonlocal_backbone=False)
    left = receptive_field(plain, image_size=(96, 256), box=BOX)[0]
    control = add_local_control(maskrcnn_slim_fpn(nonlocal_backbone=False))
    assert 0 < receptive_field(control, image_size=(96, 256), box=BOX)[0] == left - 16
    assert receptive_field(add_nonlocal(plain), image_size=(96, 256), box=BOX) == (0, 0, 256, 96)


def test_receptive_field_of_a_place_in_the_heat_map() -> None:
    detector = keypointrcnn_slim_fpn(nonlocal_backbone=False, nonlocal_head=False)
    box = (4.0, 10.0, 300.0, 80.0)
    arguments = {"image_size": (96, 320), "box": box, "head": "keypoint"}
    whole = receptive_field(detector, **arguments)
    part = receptive_field(detector, **arguments, place=(290.0, 40.0))
    assert whole == (0, 0, 320, 96)
    assert part[0] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": (90, 256), "box": BOX}, "multiples of 32"),
        ({"image_size": (96, 128), "box": BOX}, "box must lie in the image"),
    ],
)
def test_receptive_field_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        receptive_field(maskrcnn_slim_fpn(), **arguments)
