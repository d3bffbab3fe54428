"""The name tables read in both directions."""

import pytest
import timm
import torch
import torchvision

from nonlocalnet.formats.image_resnet import NAMES as IMAGE_RESNET
from nonlocalnet.models import c2d_resnet50, c2d_resnet101

OURS = {50: c2d_resnet50, 101: c2d_resnet101}


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_the_image_networks_names_are_ours_one_to_one(source, depth):
    name = f"resnet{depth}"
    with torch.device("meta"):
        image = timm.create_model(name) if source == "timm" else getattr(torchvision.models, name)()
        ours = OURS[depth](width=2)
    theirs = [key for key in image.state_dict() if not key.startswith("fc.")]
    translated = [IMAGE_RESNET.to_ours(key) for key in theirs]
    assert sorted(translated) == sorted(key for key in ours.state_dict() if not key.startswith("head."))
    assert [IMAGE_RESNET.to_theirs(key) for key in translated] == theirs


@pytest.mark.parametrize(
    "name", ["fc.weight", "layer5.0.conv1.weight", "layer1.0.conv4.weight", "layer1.01.bn1.bias", ""]
)
def test_a_name_the_table_does_not_have(name):
    assert IMAGE_RESNET.to_ours(name) is None


@pytest.mark.parametrize("name", ["head.projection.weight", "res4.4_nonlocal.theta.weight", "res6.0.conv1.weight"])
def test_a_name_of_ours_without_a_counterpart(name):
    assert IMAGE_RESNET.to_theirs(name) is None


def test_no_template_stands_twice():
    for side in zip(*IMAGE_RESNET.rows, strict=True):
        assert len(set(side)) == len(IMAGE_RESNET.rows)
