"""README.md beside the weights: what is known, nothing that is not, and no text of a file as markup."""

import dataclasses
import importlib.metadata
import re
from email.message import Message

import pytest
from huggingface_hub import ModelCard

from models.video.helpers import tiny
from nonlocalnet import models
from nonlocalnet.models.video.network import fresh_card


def written(tmp_path, **known):
    network = tiny(models.i3d_resnet50, nonlocal_blocks=1, clip="8x8")
    network.card = dataclasses.replace(fresh_card(network), **known)
    network.save_pretrained(tmp_path / "net")
    return ModelCard.load(tmp_path / "net" / "README.md")


def test_everything_that_is_known_is_said(tmp_path):
    card = written(
        tmp_path,
        class_names=["red", "green", "blue", "grey", "pink"],
        results={"measured": {"top1": 73.25, "videos": 12, "protocol": "mine"}, "published": {"top1": 74.7}},
        licence="CC-BY-NC 4.0",
        source={"format": "PySlowFast", "file": "net.pyth"},
        start={"file": "r50.pth", "differences": []},
        recipe={"name": "nl_i3d", "data": {"root": "/home/somebody/videos"}},
        multi_label=True,
    )
    data = card.data.to_dict()
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "cc-by-nc-4.0",
        "nonlocalnet",
        "video-classification",
    )
    for text in (
        "with 1 non-local block (embedded\\_gaussian)",
        "scores of 5 classes, of which a video may have several",
        "`nl_i3d`",
        "started from `r50.pth`",
        "come from `net.pyth` of PySlowFast",
        "| clip | 8 frames, 8 apart |",
        "| numbers | RGB, (x - 114.75) / 57.375 of bytes 0 to 255 |",
        "| | measured | published |",
        "| top1 | 73.2 | 74.7 |",
        "| videos | 12 |  |",
        "0 red\n1 green\n",
        "CC-BY-NC 4.0",
        "https://arxiv.org/abs/1711.07971",
    ):
        assert text in card.text
    assert "/home/somebody" not in card.text


def test_saving_again_writes_our_readme_anew_and_keeps_the_users(tmp_path):
    readme = tmp_path / "net" / "README.md"
    assert "CC-BY" not in written(tmp_path).text
    assert "CC-BY" in written(tmp_path, licence="CC-BY-NC 4.0").text
    ours = readme.read_text()
    for theirs in ("# My own network\n", ours.rstrip().rpartition("\n")[0] + "\nAnd a remark.\n"):
        readme.write_text(theirs)
        written(tmp_path)
        assert readme.read_text() == theirs


def test_what_is_not_known_is_left_out(tmp_path):
    card = written(tmp_path)
    assert re.findall("^#.*", card.text, re.MULTILINE) == ["# i3d_resnet50", "## Usage", "## Input", "## Links"]
    assert "license" not in card.data.to_dict()
    for text in ("More Information", "pushed", "None", "[]", "huggingface.co"):
        assert text not in card.text
    assert set(re.findall(r"https?://[^\s)]+", card.text)) <= {
        "https://arxiv.org/abs/1711.07971",
        *(
            entry.partition(", ")[2]
            for entry in importlib.metadata.metadata("nonlocalnet").get_all("Project-URL") or []
        ),
    }


def test_links_are_those_of_the_packages_own_metadata(tmp_path, monkeypatch):
    metadata = Message()
    metadata["Project-URL"] = "Documentation, https://example.org/docs"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _: metadata)
    assert "- Documentation: https://example.org/docs" in written(tmp_path).text


@pytest.mark.parametrize("hostile", ["a\n```\n# b", "<script>|[x](y)", "---\nlicense: mit", "\x1b[2J"])
def test_texts_of_files_are_no_markup(tmp_path, hostile):
    names = [hostile, "b", "c", "d", "e"]
    card = written(
        tmp_path,
        class_names=names,
        licence=hostile,
        source={"format": hostile, "file": hostile},
        results={"measured": {hostile: hostile}},
    )
    titles = ["# i3d_resnet50", "## Usage", "## Input", "## Results (%)", "## Classes"]
    assert re.findall("^#.*", card.text, re.MULTILINE) == [*titles, "## Licence of the weights", "## Links"]
    assert card.data.license == "other"
    assert card.text.count("\n```") == 6
    outside = re.sub(r"```text\n.*?\n```", "", card.text, flags=re.DOTALL)
    assert "\x1b" not in card.text
    assert not re.search(r"(?<![\\`])<script>(?!.*`)", outside)


def test_another_licence_keeps_its_name(tmp_path):
    data = written(tmp_path, licence="My Own (v2)").data.to_dict()
    assert (data["license"], data["license_name"]) == ("other", "my-own-v2")
