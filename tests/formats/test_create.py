"""Networks by name: fresh, from a file, and from a file with other options."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torchvision.models.resnet import Bottleneck, ResNet, resnet50

from models.video.helpers import tiny
from nonlocalnet import create_model, from_checkpoint, models
from nonlocalnet.block import BlockOptions
from nonlocalnet.models.video.architectures import ARCHITECTURES
from nonlocalnet.models.video.blocks import VideoBlockOptions
from nonlocalnet.models.video.card import Preprocessing, VideoCard

ROOT = Path(__file__).parents[2]
SMALL = {"clip": "8x8", "width": 4, "num_classes": 3}


@pytest.fixture
def saved(tmp_path):
    """A folder of `save_pretrained`, and the network in it."""
    model = tiny(models.i3d_resnet50, **SMALL, nonlocal_blocks=1)
    model.card = VideoCard(
        **model.built_from,
        preprocessing=Preprocessing(clip_frames=8, frame_stride=8, mean=100.0),
        class_names=["a", "b", "c"],
    )
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved", model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_by_name(name):
    model = create_model(name, width=2, num_classes=7)
    assert model.training
    assert model.built_from["architecture"] == name
    assert model.num_classes == 7


def test_a_name_that_is_none(saved):
    with pytest.raises(ValueError, match=r"there is no network 'i3d_r50'; did you mean i3d_resnet50"):
        create_model("i3d_r50")
    with pytest.raises(ValueError, match=r"tokens_gru is for sequences, not videos: call nonlocalnet.models.sequence"):
        create_model("tokens_gru")
    with pytest.raises(ValueError, match="maskrcnn_slim_fpn is a detector, not a video network: call"):
        create_model("maskrcnn_slim_fpn")
    with pytest.raises(ValueError, match="holds i3d_resnet50, not c2d_resnet50: ask for that one"):
        create_model("c2d_resnet50", pretrained=saved[0])
    with pytest.raises(TypeError, match=r"c2d_resnet50_control takes .*, got pairwise"):
        create_model("c2d_resnet50_control", pairwise="gaussian")


def test_from_a_file_as_it_is(saved):
    path, model = saved
    x = torch.randn(1, 3, 8, 64, 64)
    for options in ({}, {"num_classes": 3}, {"clip": "8x8"}):  # what is given is as the file has it
        loaded = create_model("i3d_resnet50", pretrained=path, **options)
        assert not loaded.training
        assert torch.equal(loaded(x), model(x))
        assert loaded.card == model.card


def test_other_classes_give_a_fresh_classifier(saved, caplog):
    path, model = saved
    with caplog.at_level("INFO", "nonlocalnet"):
        loaded = create_model("i3d_resnet50", pretrained=path, num_classes=5)
    assert "the classifier is new: 5 classes in place of 3" in caplog.text
    assert loaded(torch.randn(1, 3, 8, 64, 64)).shape == (1, 5)
    assert torch.equal(loaded.features(x := torch.randn(1, 3, 8, 64, 64)), model.features(x))
    assert loaded.card.class_names is None


def test_other_options_start_from_the_file(saved):
    path, model = saved
    loaded = create_model("i3d_resnet50", pretrained=path, nonlocal_blocks=5, dropout=0.0)
    own, theirs = loaded.state_dict(), model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in theirs.items() if "nonlocal" not in name)
    assert loaded.card.class_names == ["a", "b", "c"]
    assert loaded.card.preprocessing == model.card.preprocessing
    assert loaded.card.start["file"] == "model.safetensors"
    loaded.save_pretrained(path.parent / "again")
    again = create_model("i3d_resnet50", pretrained=path.parent / "again")
    assert torch.equal(again(x := torch.randn(1, 3, 8, 64, 64)), loaded(x))


def test_another_function_is_refused_as_by_init(saved):
    path, _ = saved
    other = VideoBlockOptions(pairwise="dot_product")
    with pytest.raises(ValueError, match="pairwise is 'dot_product' here and 'embedded_gaussian' there"):
        create_model("i3d_resnet50", pretrained=path, block=other)
    create_model("i3d_resnet50", pretrained=path, block=other, anyway=True)


def test_from_an_image_network(tmp_path):
    torch.save(resnet50().state_dict(), tmp_path / "resnet50.pth")
    model = create_model("i3d_resnet50", pretrained=tmp_path / "resnet50.pth", num_classes=3, nonlocal_blocks=1)
    assert model.card.start["file"] == "resnet50.pth"


def hubconf():
    spec = importlib.util.spec_from_file_location("hubconf", ROOT / "hubconf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_torch_hub(saved):
    path, model = saved
    assert set(ARCHITECTURES) < set(hubconf().__all__)
    loaded = torch.hub.load(str(ROOT), "i3d_resnet50", source="local", pretrained=path)
    assert torch.equal(loaded(x := torch.randn(1, 3, 8, 64, 64)), model(x))
    assert "OWNER/NAME" in hubconf().i3d_resnet50.__doc__  # what torch.hub.help shows


@pytest.mark.parametrize("classes", [0, True, "7", None])
def test_a_bad_number_of_classes_is_not_the_files_fault(saved, classes):
    with pytest.raises(ValueError, match=f"^num_classes must be a whole number of at least 1, got {classes!r}"):
        create_model("i3d_resnet50", pretrained=saved[0], num_classes=classes)


@pytest.mark.parametrize(
    ("pretrained", "words"),
    [(True, "got True: none come with the library"), ({}, "got a mapping"), ("", "pretrained is empty")],
)
def test_what_other_libraries_take_for_weights_is_explained(pretrained, words):
    with pytest.raises(ValueError, match=words):
        create_model("i3d_resnet50", pretrained=pretrained)


def test_names_of_files_and_recipes_are_sent_where_they_belong():
    with pytest.raises(
        ValueError, match=r"no network 'x+\W.*Files of weights go to pretrained=, and names of recipes"
    ) as e:
        create_model("x" * 5000)
    assert len(str(e.value)) < 600


def test_an_empty_name_is_not_the_current_folder(saved, monkeypatch):
    monkeypatch.chdir(saved[0])
    with pytest.raises(ValueError, match="the name of the file of weights is empty"):
        from_checkpoint("")


def test_block_options_of_another_kind_are_refused():
    with pytest.raises(
        ValueError, match=r"block must be VideoBlockOptions\(\.\.\.\) or None, got 'gaussian'; a single"
    ):
        create_model("c2d_resnet50", block="gaussian")
    with pytest.raises(ValueError, match=r"block must be VideoBlockOptions"):
        models.c2d_resnet50(block=BlockOptions())


def test_an_image_network_of_another_depth_is_named(tmp_path):
    deeper = ResNet(Bottleneck, [3, 4, 23, 3], width_per_group=64).state_dict()
    torch.save({n: t for n, t in deeper.items() if "layer4" not in n}, tmp_path / "deep.pth")
    with pytest.raises(ValueError, match=r"deep\.pth: its state_dict does not fit the network: "):
        create_model("c2d_resnet50", pretrained=tmp_path / "deep.pth", num_classes=3)
