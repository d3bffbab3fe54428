"""Hugging Face's form: the same logits after a folder, both ways, and what its users do with it."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from PIL import Image

from make_videos import write_brightening_video
from models.video.helpers import tiny
from nonlocalnet import from_checkpoint, models
from nonlocalnet.formats import huggingface_folder
from nonlocalnet.models.video.card import Preprocessing, VideoCard

transformers = pytest.importorskip("transformers")
huggingface = pytest.importorskip("nonlocalnet.models.huggingface")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = tiny(models.i3d_resnet50, clip="8x8", width=4, num_classes=3, nonlocal_blocks=1)
    model.card = VideoCard(
        **model.built_from,
        preprocessing=Preprocessing(
            clip_frames=8, frame_stride=2, mean=[1.0, 2.0, 3.0], std=50.0, colour_order="BGR", short_side=72, crop=64
        ),
        class_names=["a", "b", "ü"],
    )
    return model


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("huggingface")
    huggingface.NonLocalForVideoClassification.from_nonlocalnet(network).save_pretrained(folder)
    huggingface.NonLocalVideoProcessor.from_nonlocalnet(network).save_pretrained(folder)
    return folder


def test_the_same_logits_from_a_folder(network, folder):
    loaded = transformers.AutoModelForVideoClassification.from_pretrained(folder)
    x = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x.transpose(1, 2)).logits, network(x))
        assert torch.equal(loaded(x.transpose(1, 2), return_dict=False)[0], network(x))
    assert loaded.config.id2label == {0: "a", 1: "b", 2: "ü"}
    assert json.loads((folder / "config.json").read_text())["model_type"] == "nonlocal_video"


def test_back_again(network, folder):
    loaded = huggingface.NonLocalForVideoClassification.from_pretrained(folder)
    processor = transformers.AutoVideoProcessor.from_pretrained(folder)
    again = loaded.to_nonlocalnet(processor)
    assert again.card == network.card
    with torch.no_grad():
        assert torch.equal(again(x := torch.randn(1, 3, 8, 64, 64)), network(x))


def test_other_labels_by_its_own_idiom(folder, network):
    loaded = transformers.AutoModelForVideoClassification.from_pretrained(
        folder, num_labels=5, ignore_mismatched_sizes=True
    )
    x = torch.randn(2, 8, 3, 64, 64)
    result = loaded(x, labels=torch.tensor([0, 4]))
    assert result.logits.shape == (2, 5)
    assert torch.isfinite(result.loss)
    assert loaded.network.head.projection.weight.std() < 0.02
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.network.features(x.transpose(1, 2).contiguous()), network.features(x.transpose(1, 2).contiguous())
        )


def test_the_processor_reads_as_predict_does(folder, tmp_path):
    processor = transformers.AutoVideoProcessor.from_pretrained(folder)
    frames = torch.randint(0, 256, (20, 80, 96, 3), dtype=torch.uint8)
    (given,) = processor(frames)["pixel_values_videos"]
    assert given.shape == (8, 3, 64, 64)
    # The centre clip of 15 frames begins at (20 - 15) // 2; blue first.
    same = huggingface.NonLocalVideoProcessor(**{**vars(processor.preprocessing), "short_side": 80, "crop": 64})
    (cut,) = same(frames.numpy())["pixel_values_videos"]
    first = frames[2, 8:72, 16:80].flip(-1).float()
    torch.testing.assert_close(cut[0].permute(1, 2, 0), (first - torch.tensor([1.0, 2.0, 3.0])) / 50)
    with pytest.raises(ValueError, match="must be uint8"):
        processor(frames.float())
    with pytest.raises(FileNotFoundError, match="video file not found"):
        processor(str(tmp_path / "none.mp4"))


def test_it_is_imported_by_nobody_else():
    code = "import sys, nonlocalnet, nonlocalnet.models, nonlocalnet.formats; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_its_own_pipeline(folder, network, tmp_path):
    if not hasattr(transformers.VideoClassificationPipeline, "_load_video_processor"):
        pytest.skip("the pipeline of this version takes image processors alone")
    path = write_brightening_video(tmp_path / "a.mp4", num_frames=40)
    found = transformers.pipeline("video-classification", model=str(folder), device="cpu")(str(path), top_k=3)
    processor = transformers.AutoVideoProcessor.from_pretrained(folder)
    with torch.no_grad():
        logits = network(processor(str(path))["pixel_values_videos"].transpose(1, 2).contiguous())
    best = logits.softmax(dim=1)[0].sort(descending=True)
    assert [one["label"] for one in found] == [["a", "b", "ü"][i] for i in best.indices]
    torch.testing.assert_close(torch.tensor([one["score"] for one in found]), best.values)


def test_frames_as_lists_and_pictures(folder):
    processor = transformers.AutoVideoProcessor.from_pretrained(folder)
    frames = torch.randint(0, 256, (20, 80, 96, 3), dtype=torch.uint8).numpy()
    one = processor(frames)["pixel_values_videos"]
    pictures = [Image.fromarray(frame) for frame in frames]
    for same in (list(frames), list(torch.from_numpy(frames)), pictures, [pictures]):
        assert torch.equal(processor(same)["pixel_values_videos"], one)
    assert len(processor([pictures, list(frames)])["pixel_values_videos"]) == 2
    assert processor(frames, num_frames=4)["pixel_values_videos"].shape[1] == 4


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        ([], "videos is empty"),
        (None, "got a NoneType"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r"must be uint8 of shape \(T, H, W, 3\)"),
        ([torch.zeros(4, 4, 3), torch.zeros(5, 4, 3)], "pictures of one size"),
        ([["a"]], "frames must be uint8"),
    ],
)
def test_what_is_no_video_is_one_sentence(folder, videos, words):
    with pytest.raises(ValueError, match=words):
        transformers.AutoVideoProcessor.from_pretrained(folder)(videos)


def test_other_networks_and_odd_configurations_are_refused():
    with pytest.raises(ValueError, match="got a Linear"):
        huggingface.NonLocalForVideoClassification.from_nonlocalnet(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="arguments must be an object of names, got 'x'"):
        huggingface.NonLocalVideoConfig(arguments="x")
    assert huggingface.NonLocalVideoConfig(arguments={"clip": "8x8"}).num_frames == 8


def test_its_folder_is_opened_without_transformers(network, folder):
    opened = from_checkpoint(folder)
    assert opened.card == network.card
    with torch.no_grad():
        assert torch.equal(opened(x := torch.randn(1, 3, 8, 64, 64)), network(x))
    assert huggingface.NonLocalVideoConfig.model_type == huggingface_folder.MODEL_TYPE


def test_a_folder_without_a_processor_and_without_names(network, folder, tmp_path):
    shutil.copy(folder / "model.safetensors", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {i: f"LABEL_{i}" for i in range(3)}}))
    card = from_checkpoint(tmp_path).card
    assert card.class_names is None
    assert card.preprocessing == Preprocessing.of_clip("8x8")
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {"1": "a", "2": "b"}}))
    with pytest.raises(ValueError, match=r"config\.json: id2label must name the classes from 0 to 1"):
        from_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "arguments": [1]}))
    with pytest.raises(ValueError, match=r"config\.json has no objects arguments and id2label"):
        from_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(ValueError, match="is not a checkpoint of nonlocalnet"):
        from_checkpoint(tmp_path)
