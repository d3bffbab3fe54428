"""Our checkpoints as networks, and every kind of file that is not one."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from nonlocalnet import formats
from nonlocalnet.commands.main import main
from nonlocalnet.formats import known, native
from nonlocalnet.formats.names import NameTable
from nonlocalnet.models import VideoResNet, c2d_resnet50
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.models.video.network import fresh_card
from nonlocalnet.runs.video.card import make_card
from nonlocalnet.runs.video.network import build_model
from runs.video.tiny import tiny_recipe


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, Any]:
    recipe = tiny_recipe(Path("videos"))
    model = build_model(recipe)
    names = ["red", "green", "blue", "yellow"]
    tensors = {
        f"model.{name}": torch.randn_like(t) if t.is_floating_point() else t for name, t in model.state_dict().items()
    }
    return {"state_dict": tensors, "global_step": 8, formats.CARD_KEY: make_card(recipe, class_names=names).plain()}


def save(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "file.ckpt"
    torch.save(content, path)
    return path


def test_a_checkpoint_becomes_the_same_network(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    model = formats.from_checkpoint(save(tmp_path, checkpoint))
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, checkpoint["state_dict"][f"model.{name}"]), name
    card = formats.card_of(model)
    assert card.class_names == ["red", "green", "blue", "yellow"]
    assert card.recipe is not None
    assert card.recipe["name"] == "tiny"
    assert card.recipe["optim"]["lr"] == 0.02
    assert dataclasses.asdict(card.preprocessing) == {
        "mean": 114.75,
        "std": 57.375,
        "colour_order": "RGB",
        "clip_frames": 4,
        "frame_stride": 1,
        "short_side": 32,
        "crop": 32,
    }
    assert formats.card_of(copy.deepcopy(model)) == card


def test_a_network_without_a_card() -> None:
    with pytest.raises(ValueError, match="the network has no card"):
        formats.card_of(c2d_resnet50(width=4))


@pytest.mark.parametrize("kept", [1, 100, 0.5, 0.999])
def test_truncated(checkpoint: dict[str, Any], tmp_path: Path, kept: float) -> None:
    path = save(tmp_path, checkpoint)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(ValueError, match=r"file\.ckpt (cannot be read|is not a file of plain tensors).*beginn?"):
        formats.from_checkpoint(path)


def test_half_a_checkpoint_is_called_truncated(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    path = save(tmp_path, checkpoint)
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(ValueError, match=r"a zip archive that is truncated, damaged or not PyTorch's \(50000 bytes"):
        formats.from_checkpoint(path)


def test_a_name_in_the_archive_that_is_no_text_is_damage(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    path = save(tmp_path, checkpoint)
    content = path.read_bytes()
    at = content.rindex(b"data.pkl", 0, content.rindex(b"PK\5\6"))  # in the list of entries, flagged as UTF-8
    damaged = bytearray(content.replace(b"data.pkl", b"data.pk\xff"))
    damaged[damaged.rindex(b"PK\1\2", 0, at) + 9] |= 8
    path.write_bytes(bytes(damaged))
    with pytest.raises(ValueError, match=r"file\.ckpt cannot be read: it is a zip archive that is truncated, damaged"):
        formats.from_checkpoint(path)


def test_empty_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        formats.from_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(ValueError, match="is a folder; name a checkpoint file"):
        formats.from_checkpoint(tmp_path)
    (tmp_path / "empty.ckpt").touch()
    with pytest.raises(ValueError, match=r"empty\.ckpt is empty \(0 bytes\)"):
        formats.from_checkpoint(tmp_path / "empty.ckpt")


def test_other_files_say_what_was_found(tmp_path: Path) -> None:
    page = tmp_path / "page.ckpt"
    page.write_text("<!DOCTYPE html><html>404</html>")
    with pytest.raises(ValueError, match=r"page\.ckpt .*<!DOCTYPE html>"):
        formats.from_checkpoint(page)
    archive = tmp_path / "archive.ckpt"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="a zip archive that is truncated or not PyTorch's"):
        formats.from_checkpoint(archive)
    with pytest.raises(ValueError, match=r"not a checkpoint of nonlocalnet: it holds a dictionary with the keys conv1"):
        formats.from_checkpoint(save(tmp_path, {"conv1.weight": torch.ones(1)}))
    with pytest.raises(ValueError, match="it holds a Tensor, and no card"):
        formats.from_checkpoint(save(tmp_path, torch.ones(3)))


def test_a_whole_pickled_module_is_named_without_pytorchs_advice(tmp_path: Path) -> None:
    path = save(tmp_path, torch.nn.Linear(2, 2))
    for read in (formats.read_tensors, formats.from_checkpoint):
        with pytest.raises(ValueError, match=r"it asks to load torch\.nn\.modules\.linear\.Linear") as caught:
            read(path)
        assert "weights_only" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


class Hostile:
    ran = False

    def __reduce__(self) -> Any:
        return (setattr, (Hostile, "ran", True))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path = save(tmp_path, {"state_dict": {}, "x": Hostile()})
    with pytest.raises(ValueError, match="is not a file of plain tensors"):
        formats.from_checkpoint(path)
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(ValueError, match=r"file\.ckpt"):
        formats.read_tensors(path)
    assert not Hostile.ran


def test_newer_format(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    content = {**checkpoint, formats.CARD_KEY: {**checkpoint[formats.CARD_KEY], "format": 2}}
    with pytest.raises(ValueError, match="has checkpoint format 2, this version reads 1; update nonlocalnet"):
        formats.from_checkpoint(save(tmp_path, content))


@pytest.mark.parametrize("card", [{}, {"format": None}])
def test_a_card_without_a_format(checkpoint: dict[str, Any], tmp_path: Path, card: object) -> None:
    with pytest.raises(ValueError, match="has a card that says no format: it is damaged, or another program's"):
        formats.from_checkpoint(save(tmp_path, {**checkpoint, formats.CARD_KEY: card}))


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_what_was_exported_is_no_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4 or anything")
    with pytest.raises(ValueError, match=rf"{name} is an exported program, no weights: name the checkpoint"):
        formats.read_tensors(tmp_path / name)


@pytest.mark.parametrize("fault", ["tensor", "architecture", "argument", "crop", "width"])
def test_a_card_that_does_not_fit(checkpoint: dict[str, Any], tmp_path: Path, fault: str) -> None:
    content = copy.deepcopy(checkpoint)
    card = content[formats.CARD_KEY]["model"]
    if fault == "tensor":
        del content["state_dict"]["model.head.projection.bias"]
    elif fault == "architecture":
        card["architecture"] = "vit"
    else:
        card["arguments"][fault.replace("argument", "depth")] = {"argument": 50, "crop": 1, "width": 10**25}[fault]
    words = r"does not fit the checkpoint's own card: .*(projection\.bias|vit|depth|crop must be|Overflow)"
    with pytest.raises(ValueError, match=words) as refused:
        formats.from_checkpoint(save(tmp_path, content))
    assert "frame #" not in str(refused.value)  # PyTorch's C++


def test_read_tensors(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    names = {name.removeprefix("model.") for name in checkpoint["state_dict"]}
    assert set(formats.read_tensors(save(tmp_path, checkpoint))) == names
    plain = {"conv1.weight": torch.ones(2)}
    for content in (plain, {"state_dict": plain}, {"model": plain, "epoch": 3}, {"model_state": plain}):
        assert list(formats.read_tensors(save(tmp_path, content))) == ["conv1.weight"]
    with pytest.raises(ValueError, match="holds no tensors by name but a dictionary with the keys epoch"):
        formats.read_tensors(save(tmp_path, {"epoch": 3}))
    with pytest.raises(ValueError, match="holds no state dict but a list"):
        formats.read_tensors(save(tmp_path, [torch.ones(1)]))


def test_cards_written_before_they_had_a_kind(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    plain = {name: value for name, value in checkpoint[formats.CARD_KEY].items() if name != "kind"}
    before = {
        name: plain[name] for name in ("format", "model", "recipe", "class_names", "multi_label", "preprocessing")
    }
    model = formats.from_checkpoint(save(tmp_path, {**checkpoint, formats.CARD_KEY: before}))
    assert formats.card_of(model) == formats.VideoCard.from_plain(checkpoint[formats.CARD_KEY], path="now")
    detector = {"format": 1, "model": {"architecture": "maskrcnn_slim_fpn"}, "recipe": {}, "labels": []}
    detector |= {"keypoint_names": [], "skeleton": []}
    assert (formats.kind_of(before), formats.kind_of(detector)) == ("video", "detection")
    card = DetectionCard.from_plain(detector, path="before")
    assert DetectionCard.from_plain(card.plain(), path="now") == card
    with pytest.raises(ValueError, match="file holds a network of the kind 'detection', not 'video'"):
        formats.VideoCard.from_plain(detector, path="file")
    with pytest.raises(ValueError, match="holds a detector, not a network that classifies videos"):
        formats.from_checkpoint(save(tmp_path, {**checkpoint, formats.CARD_KEY: detector}))


def test_a_file_is_opened_once_and_handed_on(
    checkpoint: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, checkpoint)
    opened = formats.open_file(path)
    monkeypatch.setattr(torch, "load", None)
    assert formats.read_checkpoint(opened)["global_step"] == 8
    assert len(formats.read_tensors(opened)) == len(checkpoint["state_dict"])
    network, _ = formats.load(formats.plan_file(opened), strict=True)
    assert formats.card_of(network).class_names == ["red", "green", "blue", "yellow"]


def test_a_further_format_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `known.FORMATS` has is what every reader, writer and error goes by."""
    network = c2d_resnet50(width=2)

    def read(opened: formats.OpenedFile, _hints: formats.Hints) -> formats.LoadPlan:
        own = native.read(dataclasses.replace(opened, content={formats.CARD_KEY: opened.content["about"]}), _hints)
        return dataclasses.replace(own, format="toy", table=names, tensors=opened.tensors)

    def write(network: VideoResNet) -> bytes:
        state = {f"toy.{name}": tensor for name, tensor in network.state_dict().items()}
        content = io.BytesIO()
        torch.save({"about": fresh_card(network).plain(), "model_state": state}, content)
        return content.getvalue()

    names = NameTable(source="toy", rows=(("toy.{name}", "{name}"),))
    toy = formats.Format(
        name="toy",
        names=(names,),
        recognises=lambda opened: any(name.startswith("toy.") for name in opened.tensors),
        read=read,
        write=write,
        suffix=".toy",
        described="Toy (toy...)",
    )
    monkeypatch.setattr(known, "FORMATS", (*known.FORMATS, toy))
    path = tmp_path / "file.toy"
    path.write_bytes(formats.encode(network, to="toy"))
    again = formats.from_checkpoint(path)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert set(formats.read_tensors(path)) == set(network.state_dict())
    with pytest.raises(ValueError, match=r"mmaction2 \(backbone\.\.\.\) or Toy \(toy\.\.\.\)"):
        formats.from_checkpoint(save(tmp_path, {"weight": torch.ones(1)}))


def test_a_further_container_is_opened_by_its_format(tmp_path, monkeypatch):
    network = c2d_resnet50(width=2, num_classes=3, clip="8x8")

    def opens(path):
        if path.suffix != ".json":
            return None
        content = json.loads(path.read_text())
        tensors = {name: torch.tensor(values) for name, values in content["tensors"].items()}
        return formats.OpenedFile(str(path), "json", content["card"], tensors)

    def read(opened, hints):
        as_ours = dataclasses.replace(opened, container="safetensors", content={formats.CARD_KEY: opened.content})
        return native.read(as_ours, hints)

    def write(written):
        tensors = {name: tensor.tolist() for name, tensor in written.state_dict().items()}
        return json.dumps({"tensors": tensors, "card": written.card.plain()}).encode()

    toy = formats.Format(
        name="json",
        names=native.FORMAT.names,
        recognises=lambda opened: opened.container == "json",
        read=read,
        write=write,
        suffix=".json",
        opens=opens,
    )
    monkeypatch.setattr(known, "FORMATS", (*known.FORMATS, toy))
    first = _written(tmp_path / "first.safetensors", formats.encode(network, to="nonlocalnet"))
    network = formats.from_checkpoint(first)
    again = formats.from_checkpoint(_written(tmp_path / "second.json", formats.encode(network, to="json")))
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in network.state_dict().items())


def _written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("start", ['{"images": []}', '{\n  "nonlocalnet": {}}', "[1, 2]", "{ }"])
def test_json_is_called_json(tmp_path: Path, start: str) -> None:
    (tmp_path / "config.json").write_text(start)
    with pytest.raises(ValueError, match=r"config\.json is JSON .* no file of weights: name the file beside it"):
        formats.open_file(tmp_path / "config.json")


def test_files_to_hand_on_say_no_places_of_this_machine(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    content = copy.deepcopy(checkpoint)
    content[formats.CARD_KEY]["recipe"]["data"] |= {"root": "/home/somebody/videos", "train": "/data/somebody/l.csv"}
    own = build_model(tiny_recipe(Path("videos"))).state_dict()  # of finite outputs, which an export compares
    path = save(tmp_path, content | {"state_dict": {f"model.{name}": tensor for name, tensor in own.items()}})
    for to, name in (("nonlocalnet", "a.safetensors"), ("hub", "folder")):
        assert main(["convert", str(path), str(tmp_path / name), "--to", to]) == 0
    assert main(["export", str(path), "-o", str(tmp_path / "a.pt2"), "--input", "8x48x48", "--batch", "1"]) == 0
    written = [tmp_path / "a.safetensors", tmp_path / "a.pt2", *(tmp_path / "folder").iterdir()]
    for file in written:
        assert b"somebody" not in file.read_bytes(), file
    card = formats.card_of(formats.from_checkpoint(tmp_path / "a.safetensors"))
    assert card.recipe is not None
    assert (card.recipe["data"]["root"], card.recipe["data"]["train"]) == (None, "l.csv")
    assert card.recipe["optim"]["lr"] == 0.02
    assert b"somebody" in path.read_bytes()  # the run's own, which resumes and tests by it
