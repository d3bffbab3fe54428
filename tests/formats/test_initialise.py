from __future__ import annotations

import logging

import pytest
import torch
from torchvision.models.resnet import Bottleneck, ResNet

from nonlocalnet.formats.initialise import initialise
from nonlocalnet.models import c2d_resnet50, i3d_resnet50


def test_matching_tensors_load_and_a_new_classifier_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    source = c2d_resnet50(num_classes=7, width=4, clip="8x8")
    target = c2d_resnet50(num_classes=3, width=4, clip="8x8", nonlocal_blocks=1)
    head = target.head.projection.weight.detach().clone()
    tensors = {**source.state_dict(), "ema.decay": torch.ones(())}
    with caplog.at_level(logging.INFO, "nonlocalnet"):
        report = initialise(target, tensors, source="old.ckpt")
    own = target.state_dict()
    for name, tensor in source.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(own[name], tensor), name
    assert torch.equal(target.head.projection.weight, head)
    assert ("head.projection.weight", (7, 128), (3, 128)) in report.resized
    assert report.unused == ("ema.decay",)
    assert all(n.startswith(("res4.4_nonlocal.", "head.")) for n in report.fresh)
    assert any(n.startswith("res4.4_nonlocal.") for n in report.fresh)
    text = caplog.text
    assert "the classifier is new" in text
    assert "head.projection.weight has the shape (7, 128) in the file and (3, 128) here" in text
    assert "not used from the file: ema.decay" in text
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert any("classifier" in record.message for record in warned)


def test_the_same_network_loads_whole_and_silently(caplog: pytest.LogCaptureFixture) -> None:
    source, target = (c2d_resnet50(num_classes=3, width=4, clip="8x8") for _ in range(2))
    with caplog.at_level(logging.WARNING, "nonlocalnet"):
        report = initialise(target, source.state_dict(), source="a.ckpt")
    assert (report.fresh, report.unused, report.resized) == ((), (), ())
    assert not caplog.records
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )


def test_a_2d_resnet_is_inflated() -> None:
    image_network = ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=64)
    target = i3d_resnet50(num_classes=3, clip="8x8")
    report = initialise(target, image_network.state_dict(), source="resnet50.pth")
    kernel = image_network.conv1.weight
    torch.testing.assert_close(target.stem.conv.weight, kernel[:, :, None].expand(-1, -1, 5, -1, -1) / 5)
    assert report.unused == ("fc.weight", "fc.bias")
    assert report.fresh == ("head.projection.weight", "head.projection.bias")


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no weight of bert\.pt fits this network: it holds encoder\.0"):
        initialise(c2d_resnet50(num_classes=3, width=4, clip="8x8"), {"encoder.0": torch.ones(2, 2)}, source="bert.pt")


def test_another_width_is_said_by_its_shapes() -> None:
    with pytest.raises(
        ValueError, match=r"w8\.ckpt fits this network: stem\.conv\.weight is \(8, 3, .* there and \(4, 3, "
    ):
        initialise(
            c2d_resnet50(num_classes=3, width=4, clip="8x8"),
            c2d_resnet50(num_classes=3, width=8, clip="8x8").state_dict(),
            source="w8.ckpt",
        )


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.float8_e4m3fn])
@pytest.mark.parametrize("flat", [False, True])
def test_tensors_of_a_type_that_no_weight_has_are_refused(dtype, flat):
    """A copy would round them to whole numbers, or drop their imaginary part, without a word."""
    network = c2d_resnet50(width=4, num_classes=2, nonlocal_blocks=1, crop=32)
    tensors = {name: tensor.to(dtype) for name, tensor in network.state_dict().items() if tensor.ndim > 1}
    if flat:
        tensors = {"conv1.weight": torch.zeros(4, 3, 7, 7).to(dtype)}
    with pytest.raises(ValueError, match=f"file.pth: .*weight is of {dtype}"):
        initialise(network, tensors, source="file.pth")
