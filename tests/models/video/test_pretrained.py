"""Networks as folders, by huggingface_hub's mixin."""

import json
import pickle

import pytest
import torch

from models.video.helpers import tiny
from nonlocalnet import from_checkpoint, models
from nonlocalnet.models import VideoResNet


def test_a_folder_comes_back_as_the_network(tmp_path):
    network = tiny(models.i3d_resnet50, nonlocal_blocks=1, pairwise="concatenation", clip="8x8")
    network.save_pretrained(tmp_path / "net")
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    card = json.loads((tmp_path / "net" / "config.json").read_text())["nonlocalnet"]
    assert card["model"]["architecture"] == "i3d_resnet50"
    assert card["preprocessing"]["clip_frames"] == 8
    x = torch.randn(1, 3, 8, 64, 64)
    for other in (VideoResNet.from_pretrained(tmp_path / "net"), from_checkpoint(tmp_path / "net")):
        assert not other.training
        assert other.card is not None
        assert other.card.plain() == card
        assert torch.equal(other(x), network(x))
        other.save_pretrained(tmp_path / "again")  # the card goes on


def test_a_control_network_keeps_its_blocks(tmp_path):
    network = tiny(models.c2d_resnet50_control, residual_blocks=1)
    network.save_pretrained(tmp_path)
    assert "res4.4_residual.conv1.weight" in VideoResNet.from_pretrained(tmp_path).state_dict()


def test_hub_ids_are_fetched_by_the_hub_library(tmp_path, monkeypatch):
    tiny(models.c2d_resnet50).save_pretrained(tmp_path)
    asked = []

    def fetch(repo_id, filename, **options):
        asked.append((repo_id, filename, options["revision"]))
        return str(tmp_path / filename)

    monkeypatch.setattr("nonlocalnet.models.hub.hf_hub_download", fetch)
    monkeypatch.setattr(
        "huggingface_hub.hub_mixin.hf_hub_download", lambda **options: str(tmp_path / options["filename"])
    )
    network = VideoResNet.from_pretrained("somebody/network", revision="v1")
    assert network.num_classes == 5
    assert asked == [("somebody/network", "model.safetensors", "v1")]


def test_push_to_hub_uploads_the_folder(monkeypatch):
    uploaded = {}

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **_):
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, *, folder_path, **_):
            uploaded.update({path.name: path.read_bytes() for path in folder_path.iterdir()})
            return "done"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    assert tiny(models.c2d_resnet50).push_to_hub("somebody/network") == "done"
    assert set(uploaded) == {"README.md", "config.json", "model.safetensors"}
    text = uploaded["README.md"].decode()
    assert "# somebody/network" in text
    assert 'VideoResNet.from_pretrained("somebody/network")' in text
    assert "nonlocalnet predict video.mp4 --weights somebody/network\n" in text
    # Without an owner nobody but the hub knows the whole name, and none is made up.
    tiny(models.c2d_resnet50).push_to_hub("network")
    assert 'from_pretrained(".")' in uploaded["README.md"].decode()


def test_what_cannot_be_rebuilt_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the network was built by hand; build it by a factory"):
        VideoResNet(width=2).save_pretrained(tmp_path / "net")
    models.c2d_resnet50(width=2).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="takes no arguments of the network, got width"):
        VideoResNet.from_pretrained(tmp_path, width=4)


def test_networks_are_still_pickled():
    network = tiny(models.c2d_resnet50, nonlocal_blocks=1)
    other = pickle.loads(pickle.dumps(network))
    assert other.built_from == network.built_from
