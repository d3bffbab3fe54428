"""Inflation against the 2-D networks themselves, and the state dicts it refuses."""

import functools
import logging

import pytest
import timm
import torch
import torchvision
from torch import nn

from formats.originals import caffe2, imagenet
from models.video.helpers import randomise_norms
from nonlocalnet import formats, models
from nonlocalnet.formats import inflate
from nonlocalnet.formats.image_resnet import NAMES as IMAGE_RESNET


@functools.cache
def image_network(source, depth):
    name = f"resnet{depth}"
    network = timm.create_model(name) if source == "timm" else getattr(torchvision.models, name)()
    return randomise_norms(network).eval()


def last_map(network, images):
    """Output of layer4, (B, 2048, h, w), by the children that torchvision's and timm's networks share."""
    for name, child in network.named_children():
        images = child(images)
        if name == "layer4":
            return images
    raise AssertionError("no layer4")


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


# Zero padding in time reaches, at res5 of R50, 9 of its positions from the start and 8 from the end: conv1 1 position,
# pool1 halves to 1, res2 +3, pool2 halves, res3 +2, res4 +3 (R101: +12), res5 +1. 160 frames leave 20 - 17 = 3.
INTERIOR = {50: (160, slice(9, 12)), 101: (320, slice(18, 23))}


@pytest.mark.parametrize(
    ("source", "depth", "inflated", "how"),
    [
        ("torchvision", 50, "3x1x1", "average"),
        ("torchvision", 50, "3x3x3", "average"),
        ("torchvision", 50, "3x1x1", "centre"),
        ("timm", 50, "3x1x1", "average"),
        ("torchvision", 101, "3x1x1", "average"),
    ],
)
def test_one_repeated_frame_through_i3d_gives_the_2d_networks_features(source, depth, inflated, how):
    network = image_network(source, depth)
    model = getattr(models, f"i3d_resnet{depth}")(variant="paper", inflate=inflated).eval()
    inflate(model, network.state_dict(), how=how)
    frames, interior = INTERIOR[depth]
    image = torch.randn(1, 3, 33, 38)
    with torch.no_grad():
        expected = last_map(network, image)
        found = model.feature_map(image.unsqueeze(2).expand(-1, -1, frames, -1, -1))
    assert expected.shape[2:] == (2, 2)
    assert found.shape[2] == frames // 8
    for step in range(found.shape[2])[interior]:
        assert relative_error(found[:, :, step], expected) < 1e-5
    if how == "average":  # the padding of time does reach the ends: the interior is where the claim holds
        assert relative_error(found[:, :, 0], expected) > 1e-3


def test_centre_taps_ignore_the_padding_of_time():
    """With one plane that is not zero an I3D sees single frames: every time step is the 2-D network."""
    network = image_network("torchvision", 50)
    model = models.i3d_resnet50(variant="paper").eval()
    inflate(model, network.state_dict(), how="centre")
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        found = model.feature_map(image.unsqueeze(2).expand(-1, -1, 16, -1, -1))
        for step in range(2):
            assert relative_error(found[:, :, step], last_map(network, image)) < 1e-5


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_c2d_is_the_2d_network_at_every_step(source):
    network = image_network(source, 50)
    model = models.c2d_resnet50(variant="paper").eval()
    report = inflate(model, network.state_dict())
    assert report.inflated == ()
    image = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        found = model.feature_map(image.unsqueeze(2).expand(-1, -1, 8, -1, -1))
        assert relative_error(found[:, :, 0], last_map(network, image)) < 1e-5


def test_kernels_are_copies_divided_by_t_or_one_at_the_centre():
    state_dict = image_network("torchvision", 50).state_dict()
    kernel = state_dict["conv1.weight"]
    model = models.i3d_resnet50()
    inflate(model, state_dict, how="average")
    for plane in range(5):
        torch.testing.assert_close(model.stem.conv.weight[:, :, plane], kernel / 5)
    inflate(model, state_dict, how="centre")
    assert torch.equal(model.stem.conv.weight[:, :, 2], kernel)
    assert model.stem.conv.weight[:, :, [0, 1, 3, 4]].eq(0).all()


def test_classifier_and_blocks_stay_fresh_and_are_named(caplog):
    model = models.i3d_resnet50(nonlocal_blocks=1, num_classes=7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with caplog.at_level(logging.INFO, logger="nonlocalnet"):
        report = inflate(model, image_network("torchvision", 50).state_dict())
    assert set(report.matched) | set(report.fresh) == set(before)
    assert not set(report.matched) & set(report.fresh)
    assert all(name.startswith(("head.", "res4.4_nonlocal.")) for name in report.fresh)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in report.fresh)
    assert report.unused == ("fc.weight", "fc.bias")
    # conv1 and the first 1x1 of 3 + 2 + 3 + 1 residual blocks
    assert len(report.inflated) == 10
    assert "left fresh: res4.4_nonlocal" in caplog.text
    assert "head.projection" in caplog.text
    assert "not used: fc.weight, fc.bias" in caplog.text


@pytest.fixture
def tiny_pair():
    """A network of width 2 and a state dict that fits it: shapes only matter to what is refused."""
    model = models.i3d_resnet50(width=2, num_classes=3)
    image = {}
    for name, tensor in model.state_dict().items():
        theirs = IMAGE_RESNET.to_theirs(name)
        if theirs is not None:
            image[theirs] = tensor.sum(2) if tensor.ndim == 5 else tensor.clone()
    return model, image


def test_a_missing_tensor_is_named_and_nothing_is_changed(tiny_pair):
    model, image = tiny_pair
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    del image["layer3.2.bn2.running_var"]
    image["conv1.weight"] = image["conv1.weight"] + 1
    with pytest.raises(
        ValueError, match=r"layer3\.2\.bn2\.running_var is missing \(for res4\.2\.norm2\.running_var, \(8,"
    ):
        inflate(model, image)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_another_shape_is_named_with_both_shapes(tiny_pair):
    model, image = tiny_pair
    image["layer1.0.conv2.weight"] = torch.zeros(2, 2, 1, 1)
    message = r"layer1\.0\.conv2\.weight has the shape \(2, 2, 1, 1\), res2\.0\.conv2\.weight needs \(2, 2, 3, 3\)"
    with pytest.raises(ValueError, match=message):
        inflate(model, image)


def test_a_tensor_without_a_place_is_named(tiny_pair):
    model, image = tiny_pair
    image["layer3.6.conv1.weight"] = torch.zeros(8, 32, 1, 1)  # a seventh block, as ResNet-101 has
    with pytest.raises(ValueError, match=r"layer3\.6\.conv1\.weight \(8, 32, 1, 1\) has no place in the network"):
        inflate(model, image)


def test_a_deeper_network_is_refused_with_the_first_ten_reasons():
    with pytest.raises(
        ValueError, match=r"layer3\.6\.conv1\.weight .* and \d+ more\. Give the state dict of .* same depth"
    ):
        inflate(models.c2d_resnet50(), image_network("torchvision", 101).state_dict())


def test_a_wrapped_state_dict_is_refused(tiny_pair):
    model, image = tiny_pair
    with pytest.raises(ValueError, match=r"state_dict\['state_dict'\] is a dict, not a tensor"):
        inflate(model, {"state_dict": image})


def test_an_unknown_way_is_refused(tiny_pair):
    model, image = tiny_pair
    with pytest.raises(ValueError, match="how must be one of average, centre, got 'mean'"):
        inflate(model, image, how="mean")


def test_counters_of_old_files_may_be_absent_and_half_precision_is_widened(tiny_pair):
    model, image = tiny_pair
    image = {name: tensor.half() for name, tensor in image.items() if not name.endswith("num_batches_tracked")}
    report = inflate(model, image)
    assert not any(name.endswith("num_batches_tracked") for name in report.matched + report.fresh)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_the_blocks_of_an_inflated_network_still_start_as_the_identity():
    state_dict = image_network("torchvision", 50).state_dict()
    plain, with_blocks = models.i3d_resnet50().eval(), models.i3d_resnet50(nonlocal_blocks=5).eval()
    inflate(plain, state_dict)
    inflate(with_blocks, state_dict)
    x = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain.features(x), with_blocks.features(x))
    assert isinstance(plain.head.projection, nn.Linear)


def test_caffe2_image_networks_inflate(tmp_path):
    blobs = imagenet.make_blobs(width=4)
    path = caffe2.write_pickle(tmp_path / "r50.pkl", blobs)
    model = models.c2d_resnet50(width=4, num_classes=5, clip="8x8").eval()
    report = inflate(model, formats.read_tensors(path))
    assert report.unused == ("fc.weight", "fc.bias")
    model.head.projection.weight.data = torch.from_numpy(blobs["pred_w"])
    model.head.projection.bias.data = torch.from_numpy(blobs["pred_b"])
    image = torch.randn(1, 3, 96, 96)
    expected = imagenet.logits(blobs, image)
    with torch.no_grad():
        found = model(image.unsqueeze(2).expand(-1, -1, 2, -1, -1))
    assert relative_error(found, expected) < 1e-5


def test_caffe2_clean_files_leave_the_statistics_to_training(tmp_path):
    path = caffe2.write_pickle(
        tmp_path / "clean.pkl", imagenet.make_blobs(width=4, clean=True), wrapped=False, protocol=0
    )
    model = models.i3d_resnet50(width=4)
    report = inflate(model, formats.read_tensors(path))
    assert "stem.norm.weight" in report.matched
    assert "stem.norm.running_mean" in report.fresh
    with pytest.raises(ValueError, match="is a 2-D ImageNet network: start a video network from it with"):
        formats.from_checkpoint(path, clip="8x8")
