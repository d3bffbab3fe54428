"""Networks in other runtimes: any size by one file, refused where the file computes something else."""

import dataclasses
import json
import logging

import onnx
import onnxruntime
import pytest
import torch

from models.video.helpers import tiny
from nonlocalnet import models
from nonlocalnet.commands.export import require_video
from nonlocalnet.commands.main import main
from nonlocalnet.formats import OpenedFile
from nonlocalnet.formats.exporting import export, targets
from nonlocalnet.formats.exporting.inputs import inputs_of
from nonlocalnet.functional import PAIRWISE
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.models.video.network import fresh_card

# Below it PyTorch exports no pool of dynamic size, nor a bare one: it asks for multiples of the window.
POOLS_DYNAMICALLY = torch.__version__ >= (2, 13)
needs_open_pools = pytest.mark.skipif(not POOLS_DYNAMICALLY, reason="PyTorch below 2.13 exports no open pools")


def network(architecture="c2d_resnet50", *, multi_label=False, **arguments):
    model = tiny(getattr(models, architecture), **{"clip": "8x8", "width": 4, **arguments})
    assert model.built_from is not None
    model.card = VideoCard(
        **model.built_from,
        preprocessing=Preprocessing(clip_frames=8, frame_stride=8, short_side=72, crop=64),
        class_names=["a", "b", "c", "d", "ü"],
        multi_label=multi_label,
    )
    return model


@pytest.mark.slow
@needs_open_pools
def test_one_program_takes_every_size(tmp_path):
    model = network("i3d_resnet50", nonlocal_blocks=1)
    report = export(model, tmp_path / "model.pt2")
    assert report.difference < 1e-4 * report.largest
    program = torch.export.load(tmp_path / "model.pt2").module()
    for shape in ((2, 3, 8, 64, 64), (1, 3, 11, 96, 70)):  # neither is among those that were tried
        x = torch.randn(shape)
        torch.testing.assert_close(program(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@needs_open_pools
@pytest.mark.parametrize("architecture", ["c2d_resnet50", "i3d_resnet50"])
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_one_file_takes_every_size(architecture, pairwise, tmp_path):
    model = network(architecture, nonlocal_blocks=5, pairwise=pairwise)
    report = export(model, tmp_path / "model.onnx")
    assert report.difference < 1e-4 * report.largest
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for shape in ((2, 3, 8, 64, 64), (1, 3, 11, 96, 70)):  # neither is among those that were tried
        x = torch.randn(shape)
        (y,) = session.run(None, {"x": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(y), model(x), rtol=1e-4, atol=1e-4)
    assert list(tmp_path.iterdir()) == [tmp_path / "model.onnx"]
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert VideoCard.from_plain(json.loads(said["nonlocalnet"]), path="model.onnx") == model.card


@pytest.mark.parametrize("multi_label", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_scores_are_those_of_predict(multi_label, tmp_path):
    model = network(multi_label=multi_label)
    # Larger than the training crop: the window slides.
    report = export(model, tmp_path / "model.pt2", size=(8, 130, 100), scores=True)
    assert report.inputs == "(batch, 3, 8, 130, 100)"
    card = {targets.PT2_CARD: ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=card)
    assert json.loads(card[targets.PT2_CARD])["class_names"][-1] == "ü"
    x = torch.randn(2, 3, 8, 130, 100)
    torch.testing.assert_close(program.module()(x), model.scores(x))


def test_what_is_fixed():
    model, groups = network(nonlocal_blocks=5), network(nonlocal_blocks=5, clip="32x4")
    of_groups = inputs_of(groups, fresh_card(groups), size=None, batch=2)
    assert inputs_of(model, fresh_card(model), size=None, batch=None).describe() == (
        "(batch, 3, frames >= 4, height >= 53, width >= 53)"
    )
    assert of_groups.describe() == "(2, 3, 32, height >= 53, width >= 53)"
    with pytest.raises(ValueError, match=r"must be at least 2x5x5 for this network's strides, got 1x64x64"):
        inputs_of(model, fresh_card(model), size=(1, 64, 64), batch=None)
    with pytest.raises(ValueError, match=r"\(--batch\) must be at least 1, got 0"):
        inputs_of(model, fresh_card(model), size=None, batch=0)


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    """The check can fail: what is written here has other weights."""
    model, write = network(), targets.TARGETS[".pt2"].write

    def changed(program, path, **further):
        bias = program.state_dict["head.projection.bias"]
        # A new tensor: it is the network's, too.
        program.state_dict["head.projection.bias"] = torch.nn.Parameter(bias + 0.1)
        write(program, path, **further)

    monkeypatch.setitem(targets.TARGETS, ".pt2", dataclasses.replace(targets.TARGETS[".pt2"], write=changed))
    with pytest.raises(ValueError, match=r"is not written: in torch.export it differs from the network by 0.1"):
        export(model, tmp_path / "model.pt2", size=(8, 64, 64))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_of_the_system(tmp_path, small_disk):
    program = torch.export.export(torch.nn.Linear(64, 64), (torch.zeros(1, 64),))
    with pytest.raises(OSError, match="File too large"):
        targets._write_pt2(program, tmp_path / "model.pt2", card=network().card, opset=None)


def test_by_command(tmp_path, capsys):
    network(nonlocal_blocks=1, pairwise="dot_product").save_pretrained(tmp_path / "weights")
    out = tmp_path / "model.onnx"
    assert main(["export", str(tmp_path / "weights"), "-o", str(out), "--input", "8x64x64", "--batch", "1"]) == 0
    said = capsys.readouterr().out
    assert "takes x (1, 3, 8, 64, 64), gives (1, 5) logits" in said
    assert "run in onnxruntime on (1, 3, 8, 64, 64) and (1, 3, 8, 64, 64): the largest difference" in said
    for arguments, message in {
        ("-o", str(out)): f"{out} exists; it is not overwritten",
        ("-o", "model.tflite"): "must end in .onnx or .pt2, got .tflite",
        ("-o", str(tmp_path / "a.onnx"), "--opset", "-1"): "opset (--opset) must be at least 1, got -1",
        ("-o", str(tmp_path / "a.pt2"), "--input", "8x64"): "--input must be frames x height x width",
        (
            "-o",
            str(tmp_path / "a.pt2"),
            "--opset",
            "18",
        ): "has no operator sets: leave out opset (--opset)",
    }.items():
        assert main(["export", str(tmp_path / "weights"), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_another_set_of_operators_than_asked_for_is_not_written(tmp_path, caplog):
    out = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match=r"opset \(--opset\) 5 cannot be written of this network, \d+ can: give that"):
        export(network(), out, size=(8, 64, 64), batch=1, opset=5)
    assert not list(tmp_path.iterdir())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_missing_package_is_named_before_anything_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(targets, "find_spec", lambda package: None if package == "onnxscript" else package)
    assert main(["export", "no such file", "-o", str(tmp_path / "model.onnx")]) == 2
    assert capsys.readouterr().err == ("nonlocalnet: error: ONNX needs onnxscript: pip install 'nonlocalnet[export]'\n")


def test_a_detector_is_refused_by_name():
    card = DetectionCard(architecture="maskrcnn_slim_fpn", labels=[])
    opened = OpenedFile("run/best.ckpt", "torch", {"nonlocalnet": card.plain()}, {})
    with pytest.raises(ValueError, match=r"run/best.ckpt holds a detector, which is not exported"):
        require_video(opened)


def test_a_network_of_sequences_is_refused_by_name():
    opened = OpenedFile("run/best.ckpt", "torch", {"nonlocalnet": {"kind": "sequence"}}, {})
    with pytest.raises(ValueError, match=r"run/best.ckpt holds a network of sequences, and .* `nonlocalnet predict`"):
        require_video(opened)
