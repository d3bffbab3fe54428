"""Files whose names begin with what a training program put before them."""

import logging

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.resnet import Bottleneck, ResNet

from formats.originals import caffe2, mmaction2, slowfast
from nonlocalnet import formats, from_checkpoint, models
from nonlocalnet.formats.initialise import initialise

WRAPPERS = ["", "module.", "_orig_mod.", "model.", "model.module.", "module._orig_mod.model.", "net."]


def test_a_bare_resnet_of_safetensors_starts_a_network(tmp_path, caplog):
    image_network = ResNet(Bottleneck, [3, 4, 6, 3])
    for wrapper in ("", "backbone.", "model.backbone."):
        path = tmp_path / "r50.safetensors"
        save_file({wrapper + name: t for name, t in image_network.state_dict().items()}, path)
        with caplog.at_level(logging.INFO, "nonlocalnet"):
            tensors = formats.read_tensors(path)
        report = initialise(models.c2d_resnet50(num_classes=3, clip="8x8"), tensors, source=str(path))
        assert set(report.unused) == {"fc.weight", "fc.bias"}
        assert not wrapper or f"its names begin with {wrapper!r}, which is left off" in caplog.text
    with pytest.raises(ValueError, match=r"no card.*start a video network from a 2-D ResNet"):
        from_checkpoint(path)


@pytest.mark.parametrize("container", ["torch", "safetensors"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_programs_names_are_known_behind_a_wrapper(tmp_path, wrapper, container):
    cfg = slowfast.make_cfg(width=2, nonlocal_location=slowfast.FIVE_BLOCKS)
    own = models.c2d_resnet50(width=2, num_classes=5, clip="8x8", nonlocal_blocks=1).state_dict()
    for kind, state in (
        ("slowfast", slowfast.make_state(cfg)),
        ("mmaction2", mmaction2.make_state(mmaction2.make_model(width=2, mode="gaussian"))),
        ("own", own),
    ):
        path = tmp_path / f"x.{'safetensors' if container == 'safetensors' else 'pth'}"
        wrapped = {wrapper + name: tensor for name, tensor in state.items()}
        if container == "safetensors":
            save_file(wrapped, path)
        else:
            torch.save({"state_dict": wrapped}, path)
        assert formats.open_file(path).tensors.keys() == state.keys()
        if kind == "own":
            assert formats.read_tensors(path).keys() == own.keys()
        else:
            assert from_checkpoint(path, pairwise="dot_product" if kind == "slowfast" else None).width == 2


def test_a_head_beside_a_wrapped_trunk_keeps_its_name(tmp_path):
    trunk = {
        f"model.backbone.{n}": t for n, t in ResNet(Bottleneck, [3, 4, 6, 3]).state_dict().items() if "fc" not in n
    }
    torch.save({**trunk, "model.classifier.weight": torch.zeros(3, 4)}, tmp_path / "x.pth")
    tensors = formats.read_tensors(tmp_path / "x.pth")
    assert "layer1.0.conv1.weight" in tensors
    assert "classifier.weight" in tensors


def test_mmaction2s_own_backbone_is_no_wrapper(tmp_path, caplog):
    state = mmaction2.make_state(mmaction2.make_model(width=2))
    with caplog.at_level(logging.INFO, "nonlocalnet"):
        from_checkpoint(mmaction2.write_pth(tmp_path / "x.pth", state))
    assert "left off" not in caplog.text


def test_a_detectors_names_are_known(tmp_path):
    state = {"model.backbone.body.conv1.weight": torch.zeros(1), "model.rpn.head.conv.0.0.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "x.pth")
    assert set(formats.read_tensors(tmp_path / "x.pth")) == {"backbone.body.conv1.weight", "rpn.head.conv.0.0.weight"}


def test_names_that_would_meet_stay_apart(tmp_path):
    torch.save({"model.fc.weight": torch.zeros(1), "fc.weight": torch.ones(1)}, tmp_path / "x.pth")
    assert set(formats.open_file(tmp_path / "x.pth").tensors) == {"model.fc.weight", "fc.weight"}


def test_unknown_names_lose_pytorchs_own_wrappers_only(tmp_path):
    torch.save({"module.a": torch.zeros(1), "module.b": torch.zeros(1)}, tmp_path / "x.pth")
    assert set(formats.open_file(tmp_path / "x.pth").tensors) == {"a", "b"}
    torch.save({"model.a": torch.zeros(1)}, tmp_path / "x.pth")
    assert set(formats.open_file(tmp_path / "x.pth").tensors) == {"model.a"}


def test_a_workspace_of_caffe2_is_read_by_its_first_gpu(tmp_path, caplog):
    blobs = caffe2.make_blobs(nonlocal_blocks=5, num_classes=5, bookkeeping=False)
    copies = {f"gpu_{gpu}/{name}": blob for gpu in (0, 1) for name, blob in blobs.items()}
    copies["gpu_0/conv1_w_grad"] = blobs["conv1_w"]
    path = caffe2.write_pickle(tmp_path / "x_8x8.pkl", copies)
    with caplog.at_level(logging.INFO, "nonlocalnet"):
        model = from_checkpoint(path)
    assert torch.equal(model.stem.conv.weight, torch.from_numpy(blobs["conv1_w"]))
    assert "its names begin with 'gpu_0/', which is left off" in caplog.text
    assert "another GPU's copy" in caplog.text
