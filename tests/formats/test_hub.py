"""OWNER/NAME wherever a file of weights is named, the card's one shape, and whatever the hub answers; no network."""

import logging
from dataclasses import replace

import pytest
import torch
from huggingface_hub import errors
from lightning.pytorch import Callback

from formats.originals import caffe2, mmaction2
from make_videos import write_video
from nonlocalnet import formats, from_checkpoint
from nonlocalnet.commands.main import main
from nonlocalnet.models import VideoResNet, c2d_resnet50
from nonlocalnet.models.card import without_places
from nonlocalnet.models.hub import is_hub_id
from nonlocalnet.models.video.network import fresh_card
from nonlocalnet.runs.video.train import train_recipe
from runs.video.tiny import tiny_recipe, tiny_videos

ID = "somebody/network"
SMALL = formats.Preprocessing(clip_frames=8, frame_stride=1, short_side=32, crop=32)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one model; a file is a link in the cache, as its library has it."""
    network = c2d_resnet50(width=2, num_classes=4, clip="8x8", crop=32)
    network.card = replace(fresh_card(network), preprocessing=SMALL)
    network.save_pretrained(tmp_path / "blobs")
    cached = tmp_path / "snapshot" / "model.safetensors"
    cached.parent.mkdir()
    cached.symlink_to(tmp_path / "blobs" / "model.safetensors")

    def download(repo_id, filename, **_):
        assert (repo_id, filename) == (ID, "model.safetensors")
        return str(cached)

    monkeypatch.setattr("nonlocalnet.models.hub.hf_hub_download", download)
    return network


def test_every_command_opens_a_hub_id(hub, tmp_path, capsys):
    video = str(write_video(tmp_path / "a.mp4", num_frames=12, height=48, width=48))
    assert main(["inspect", ID, "--input", "8x32x32"]) == 0
    assert main(["predict", video, "--weights", ID, "--views", "1x1", "--device", "cpu"]) == 0
    target = tmp_path / "out"
    assert main(["convert", ID, str(target), "--to", "hub"]) == 0
    assert "README.md, config.json, model.safetensors" in capsys.readouterr().out
    again = from_checkpoint(target).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in hub.state_dict().items())
    assert main(["convert", ID, str(target), "--to", "hub"]) == 2
    videos = tiny_videos(tmp_path / "videos")
    small = ["--data.root", str(videos), "--device", "cpu", "--data.test_clips", "1", "--data.limit", "2"]
    assert main(["test", "longrange_c2d", "--weights", ID, "--out", str(tmp_path / "test"), *small]) == 0
    said = capsys.readouterr().err
    assert "from the Hugging Face hub" in said
    assert "no such" not in said
    assert formats.open_file(ID).path == ID


def test_a_hub_id_starts_a_training(hub, caplog):
    caplog.set_level(logging.INFO, "nonlocalnet")
    formats.start_network(
        c2d_resnet50(width=2, num_classes=7, clip="8x8", crop=32),
        ID,
        preprocessing=formats.Preprocessing.of_clip("8x8"),
    )
    assert "from the Hugging Face hub" in caplog.text


def test_a_missing_file_is_not_asked_of_the_hub(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("nonlocalnet.models.hub.hf_hub_download", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs/none", "other/best.ckpt", "./some/where", "/some/where", "a/b/c", "none", "../a/b"):
        assert not is_hub_id(name)
        assert main(["predict", "a.mp4", "--weights", name]) == 2
        assert name.removeprefix("./") in capsys.readouterr().err
    assert not is_hub_id(tmp_path / "x")


def answer(kind):
    """As the hub's library raises it; what it is made from differs between its versions."""
    error = kind.__new__(kind)
    error.args = ("whatever\nthe hub says",)
    return error


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (errors.RepositoryNotFoundError, "there is no such file or folder, nor a model of that name"),
        (errors.GatedRepoError, "there is no such file or folder, nor a model of that name"),
        (errors.RevisionNotFoundError, "has no revision"),
        (errors.LocalEntryNotFoundError, "the Hugging Face hub cannot be reached"),
        (errors.EntryNotFoundError, "has no model.safetensors"),
        (errors.HfHubHTTPError, "cannot be fetched from the Hugging Face hub"),
        (RuntimeError, "cannot be fetched from the Hugging Face hub"),
    ],
)
def test_each_answer_of_the_hub_is_one_sentence(monkeypatch, capsys, kind, message):
    def download(*_, **__):
        raise answer(kind)

    monkeypatch.setattr("nonlocalnet.models.hub.hf_hub_download", download)
    assert main(["predict", "a.mp4", "--weights", ID]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert ID in error
    assert len(error.splitlines()) == 1


def all_ways(network, tmp_path):
    """The cards of one network by every way from a file."""
    network.save_pretrained(tmp_path / "net")
    one = tmp_path / "one.safetensors"
    one.write_bytes(formats.encode(network, to="nonlocalnet"))
    return [
        VideoResNet.from_pretrained(tmp_path / "net").card,
        from_checkpoint(tmp_path / "net").card,
        from_checkpoint(one).card,
    ]


def test_the_card_of_other_programs_files_is_the_same_after_saving(tmp_path):
    blobs = caffe2.make_blobs(width=2, i3d=True, nonlocal_blocks=5, num_classes=400)
    released = caffe2.write_pickle(tmp_path / "i3d_nonlocal_8x8_IN_pretrain_400k.pkl", blobs)
    model = mmaction2.make_model(width=2)
    other = mmaction2.write_pth(tmp_path / "net.pth", mmaction2.make_state(model), mmaction2.config_text(model))
    for path in (released, other):
        network = from_checkpoint(path)
        assert isinstance(network.card, formats.VideoCard)
        (tmp_path / path.stem).mkdir()
        assert all_ways(network, tmp_path / path.stem) == [network.card] * 3


def test_the_card_is_the_same_after_training(tmp_path):
    recipe = tiny_recipe(tiny_videos(tmp_path / "videos"))
    seen = []

    class Kept(Callback):
        def on_train_end(self, trainer, pl_module):
            seen.append(pl_module.model)

    result = train_recipe(recipe, out=tmp_path / "run", progress=False, callbacks=[Kept()])
    network = from_checkpoint(result.last)
    assert seen[0].card == network.card
    assert network.card.recipe["data"]["root"] == recipe.data.root
    given_away = replace(network.card, recipe=without_places(network.card.recipe))
    assert all_ways(network, tmp_path) == [given_away] * 3
    for file in (tmp_path / "net").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()
