"""Names of classes given beside the weights, and whether published results are of the same classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torchvision.models.video import R3D_18_Weights

from nonlocalnet import formats, models
from nonlocalnet.models.video.network import fresh_card
from nonlocalnet.runs.video.classes import has_published_classes, with_class_names

KINETICS = R3D_18_Weights.KINETICS400_V1.meta["categories"]


def plan(folder: Path, num_classes: int = 3) -> formats.LoadPlan:
    network = models.c2d_resnet50(width=2, num_classes=num_classes, clip="8x8")
    network.card = fresh_card(network)
    path = folder / "x.safetensors"
    path.write_bytes(formats.encode(network, to="nonlocalnet"))
    return formats.plan_file(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "run\nwalk fast\nsit\n"),
        ("a.json", json.dumps(["run", "walk fast", "sit"])),
        ("a.json", json.dumps({"sit": 2, '"walk fast"': 1, "run": 0})),
        ("a.json", json.dumps({"0": "run", "2": "sit", "1": "walk fast"})),
    ],
)
def test_every_form_of_a_file_of_names(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    named = with_class_names(plan(tmp_path), str(tmp_path / name))
    assert named.card.class_names == ["run", "walk fast", "sit"]


@pytest.mark.parametrize("content", ["{", "3", "[1, 2, 3]", '{"a": 1, "b": 2, "c": 3}', '{"a": "x", "b": "y"}', "[]"])
def test_what_is_no_list_of_names_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json is no JSON|expected a list of class names"):
        with_class_names(plan(tmp_path), str(tmp_path / "a.json"))
    with pytest.raises(FileNotFoundError, match="no such file of class names"):
        with_class_names(plan(tmp_path), str(tmp_path / "b.json"))


@pytest.mark.parametrize("names", [["a", "a", "b"], ["", "a", "b"], ["\ud800", "b", "c"]])
def test_names_that_tell_no_classes_apart_are_refused_in_json_too(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps(names))
    with pytest.raises(
        ValueError, match=r"names.json: (class name 'a' stands there more than once|.* is no class name)"
    ):
        with_class_names(plan(tmp_path), str(path))


def test_the_known_set_needs_its_number_of_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--classes kinetics400 names 400 classes, and the network of .* has 3"):
        with_class_names(plan(tmp_path), "kinetics400")


def test_published_results_are_a_comparison_for_the_same_classes_only() -> None:
    folders = [name.replace(" ", "_") for name in KINETICS]

    def compared(names: list[str] | None, num_classes: int = 400, *, several: bool = False) -> bool:
        return has_published_classes(names, num_classes=num_classes, multi_label=several)

    assert compared(list(KINETICS))
    assert compared(folders)
    assert compared(None)
    assert compared([str(i) for i in range(400)])
    assert not compared(["a", "b", "c", "d", "e", "f"], 6)
    assert not compared(None, 6)
    assert not compared([f"my class {i}" for i in range(400)])
    assert compared(None, 157, several=True)
    assert not compared(None, 400, several=True)
