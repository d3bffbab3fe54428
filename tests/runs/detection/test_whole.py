"""Detection runs: trained, stopped, resumed, tested, on one process and on two."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from at_step import At
from make_images import CATEGORIES, small_content, write_split
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.data.pixels.read_image import ImageError
from nonlocalnet.engine.runlog import read_records
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.detection import maskrcnn_slim_fpn
from nonlocalnet.runs.detection import data
from nonlocalnet.runs.detection.card import labels_of, open_detector
from nonlocalnet.runs.detection.coco_results import to_results
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.network import build_detector, initialise_detector
from nonlocalnet.runs.detection.predict import detect
from nonlocalnet.runs.detection.report import show_test
from nonlocalnet.runs.detection.start import start_detector
from nonlocalnet.runs.detection.task import DetectionRecord, EvaluationSet, as_input
from nonlocalnet.runs.detection.test import test_recipe as evaluate_recipe
from nonlocalnet.runs.detection.train import require_blocks_that_learn, train_recipe
from nonlocalnet.system.errors import NonFiniteError, OutputError
from runs.detection.tiny import tiny_coco, tiny_recipe


def change(recipe: DetectionRecipe, section: str, **values: Any) -> DetectionRecipe:
    return dataclasses.replace(recipe, **{section: dataclasses.replace(getattr(recipe, section), **values)})


def records(out: Path) -> list[DetectionRecord]:
    return read_records(out / "metrics.csv", DetectionRecord)


def state(out: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return torch.load(out / name, weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "masks"
    train_recipe(tiny_recipe(root), out=out, progress=False)
    return out


class DiedError(Exception):
    pass


def die(_model: Any) -> None:
    raise DiedError


def test_training_leaves_checkpoints_logs_and_all_losses(run: Path) -> None:
    assert {"best.ckpt", "last.ckpt", "metrics.csv", "recipe.json"} <= {path.name for path in run.iterdir()}
    rows = records(run)
    assert [(row.step, row.split) for row in rows] == [
        *((1, "train"), (2, "train"), (3, "train"), (3, "val")),
        *((4, "train"), (5, "train"), (5, "val")),
    ]
    for row in rows:
        parts = [row.loss_classifier, row.loss_box_reg, row.loss_mask, row.loss_objectness, row.loss_rpn_box_reg]
        if row.split == "train":
            assert row.loss == pytest.approx(sum(parts))
            assert math.isnan(row.loss_keypoint)
        else:
            assert row.box_ap >= 0
            assert row.mask_ap == row.quality
            assert math.isnan(row.loss)


def test_a_run_that_died_is_resumed_to_the_same_end(root: Path, run: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(root)
    with pytest.raises(DiedError):
        train_recipe(recipe, out=tmp_path, progress=False, callbacks=(At(2, die),))
    train_recipe(change(recipe, "data", workers=1), out=tmp_path, resume=True, progress=False)
    whole, resumed = state(run), state(tmp_path)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (run / "metrics.csv").read_text() == (tmp_path / "metrics.csv").read_text()
    with pytest.raises(ValueError, match=r"cannot resume .*: data\.flip was 0\.5 and is 0\.0 now"):
        train_recipe(change(recipe, "data", flip=0.0), out=tmp_path, resume=True, progress=False)


def test_a_loss_that_is_not_finite_stops_before_the_step(root: Path, tmp_path: Path) -> None:
    def spoil(model: torch.nn.Module) -> None:
        with torch.no_grad():
            model.get_submodule("roi_heads.box_predictor.cls_score").weight[0, 0] = torch.nan

    with pytest.raises(NonFiniteError, match=r"loss became nan at step 3 .*last good checkpoint: .*last\.ckpt"):
        train_recipe(tiny_recipe(root), out=tmp_path, progress=False, callbacks=(At(2, spoil),))
    assert all(torch.isfinite(tensor).all() for tensor in state(tmp_path).values() if tensor.is_floating_point())
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 2


def test_shares_of_two_processes_come_to_the_figures_of_one(root: Path, run: Path) -> None:
    """Five images over two: the repeated last one must not count, and the order of the results must not matter."""
    recipe = tiny_recipe(root)
    detector, card = open_detector(run / "last.ckpt")
    evaluation = EvaluationSet(
        data.load_images(recipe, "val"), positions=list(range(5)), category_ids=labels_of(card).category_ids
    )

    def found(world_size: int) -> dict[str, list[dict[str, Any]]]:
        merged: dict[str, list[dict[str, Any]]] = {}
        for rank in range(world_size):
            loader = data.build_test_loader(recipe, evaluation, rank=rank, world_size=world_size)
            for batch in loader:
                with torch.inference_mode():
                    (detections,) = detector(as_input(batch["image"]))
                if batch["counted"][0]:
                    results = to_results(batch["image_id"][0], detections, category_ids=evaluation.category_ids)
                    for kind, entries in results.items():
                        merged.setdefault(kind, []).extend(entries)
        return merged

    one, two = found(1), found(2)
    assert one["bbox"] != two["bbox"]  # another order
    # As text, so that figures of nothing (NaN) are equal too.
    assert str(evaluation.figures(one)) == str(evaluation.figures(two))


@pytest.mark.slow
def test_two_processes_come_to_the_figures_of_one(root: Path, tmp_path: Path) -> None:
    """The same detector, evaluated by one process and by two: 5 images, so that one is repeated and must not count."""
    untrained = change(tiny_recipe(root), "optim", lr=1e-12)
    one, two = tmp_path / "one", tmp_path / "two"
    train_recipe(untrained, out=one, progress=False)
    script = Path(__file__).with_name("tiny.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(root), str(two)]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert finished.returncode == 0, finished.stderr[-3000:]
    results = []
    for devices, weights in ((1, two / "last.ckpt"), (1, one / "last.ckpt")):
        out = tmp_path / f"test{len(results)}"
        figures, _ = evaluate_recipe(
            change(tiny_recipe(root), "trainer", devices=devices), weights=weights, out=out, progress=False
        )
        results.append(figures)
    last = [row for row in records(two) if row.split == "val"][-1]
    # What two processes wrote while training is what one finds with the same weights.
    assert last.box_ap == pytest.approx(results[0]["bbox"].figures["AP"])
    assert last.mask_ap == pytest.approx(results[0]["segm"].figures["AP"])
    assert [row.step for row in records(two)] == [row.step for row in records(one)]


def test_testing_writes_cocos_results(root: Path, run: Path, tmp_path: Path) -> None:
    figures, labels = evaluate_recipe(
        tiny_recipe(root), weights=run / "last.ckpt", out=tmp_path / "test", progress=False
    )
    assert labels.names == {1: "cat", 18: "dog"}
    boxes, masks = (json.loads((tmp_path / "test" / f"{kind}.json").read_text()) for kind in ("bbox", "segm"))
    assert len(boxes) == len(masks) > 0
    assert {result["category_id"] for result in boxes} <= {1, 18}
    summary = json.loads((tmp_path / "test" / "summary.json").read_text())
    assert summary["images"] == 5
    assert len(summary["bbox"]) == len(summary["segm"]) == 12
    assert summary["segm"]["AP"] == figures["segm"].figures["AP"]
    lines = (tmp_path / "test" / "per_class.csv").read_text().splitlines()
    assert lines[0] == "category_id,class,bbox_AP,segm_AP"
    assert [line.split(",")[:2] for line in lines[1:]] == [["1", "cat"], ["18", "dog"]]
    with pytest.raises(OutputError, match="exists and is not empty"):
        evaluate_recipe(tiny_recipe(root), weights=run / "last.ckpt", out=tmp_path / "test")


@pytest.mark.parametrize("lists", [{}, {"annotations": None, "categories": None}, {"annotations": []}])
def test_images_without_annotations_have_results_and_no_figures(
    root: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lists: dict[str, Any]
) -> None:
    """COCO's image_info_test-dev2017.json: pictures and categories only."""
    info = json.loads((root / "annotations" / "instances_val2017.json").read_text())
    del info["annotations"]
    path = root / "annotations" / "image_info_test-dev2017.json"
    path.write_text(json.dumps({**info, **lists}))
    recipe = change(tiny_recipe(root), "data", val_annotations=f"annotations/{path.name}")
    out = tmp_path / "test"
    summary = evaluate_recipe(recipe, weights=run / "last.ckpt", out=out, progress=False)
    assert summary.figures == {}
    assert math.isnan(summary.quality)
    assert sorted(file.name for file in out.iterdir()) == ["bbox.json", "segm.json", "summary.json"]
    assert {result["image_id"] for result in json.loads((out / "bbox.json").read_text())} >= {2, 3}
    assert json.loads((out / "summary.json").read_text())["images"] == 5
    show_test(Console(), recipe, summary, compared=False)
    assert "the images have no annotations" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"image_info_test-dev2017\.json holds no annotations, so a detector can nei"):
        train_recipe(recipe, out=tmp_path / "train", progress=False)
    assert not (tmp_path / "train").exists()


def test_keypoints_train_and_have_their_ten_figures(root: Path, tmp_path: Path) -> None:
    recipe = change(tiny_recipe(root, kind="keypoints"), "schedule", steps=2, milestones=())
    train_recipe(recipe, out=tmp_path / "run", progress=False)
    rows = records(tmp_path / "run")
    assert rows[0].loss_keypoint > 0
    assert not math.isnan(rows[-1].keypoint_ap)
    figures, _ = evaluate_recipe(recipe, weights=tmp_path / "run" / "last.ckpt", out=tmp_path / "test", progress=False)
    assert len(figures["keypoints"].figures) == 10
    _, card = open_detector(tmp_path / "run" / "last.ckpt")
    assert card.keypoint_names == ["nose", "left_eye", "right_eye"]
    assert card.skeleton == [[0, 1]]
    with pytest.raises(ValueError, match=r"has 3 keypoints, but the detector 17: set model\.num_keypoints"):
        train_recipe(change(recipe, "model", num_keypoints=17), out=tmp_path / "no", progress=False)
    assert not (tmp_path / "no").exists()


def test_a_checkpoint_becomes_its_detector(run: Path, root: Path) -> None:
    detector, card = open_detector(run / "best.ckpt")
    assert not detector.training
    assert list(nonlocal_blocks(detector)) == ["backbone.body.layer3.1_nonlocal_before"]
    assert labels_of(card).category_ids == {1: 1, 18: 18}
    tensors = state(run, "best.ckpt")
    assert all(torch.equal(tensor, tensors[f"model.{name}"]) for name, tensor in detector.state_dict().items())


def test_detecting_in_bf16_gives_what_float32_gives_nearly(run: Path, root: Path) -> None:
    detector, card = open_detector(run / "last.ckpt")
    pictures, seen = sorted((root / "val2017").iterdir()), 0
    options: dict[str, Any] = {"labels": labels_of(card), "device": torch.device("cpu"), "min_score": 0.0}
    for one, other in zip(
        detect(detector, pictures, bf16=True, **options), detect(detector, pictures, bf16=False, **options), strict=True
    ):
        json.dumps(one.objects)
        assert one.masks is not None
        assert other.masks is not None
        assert one.masks.shape[1:] == other.masks.shape[1:]
        assert len(one.objects) == pytest.approx(len(other.objects), abs=3)
        for best, expected in zip(one.objects[:1], other.objects[:1], strict=True):
            assert best["score"] == pytest.approx(expected["score"], abs=0.05)
            assert best["score"] != expected["score"]
            seen += 1
    assert seen


@pytest.mark.parametrize("kind", ["masks", "keypoints"])
def test_what_scores_too_little_is_not_computed_and_the_rest_stays(root: Path, kind: str) -> None:
    recipe = tiny_recipe(root, kind=kind)
    detector = build_detector(change(recipe, "model", box_detections_per_img=20), pretrained=False)
    labels = Labels({label: label for label in range(91)}, {label: str(label) for label in range(91)})
    head: Any = detector.roi_heads.mask_head if kind == "masks" else detector.roi_heads.keypoint_head
    computed: list[int] = []
    head.register_forward_pre_hook(lambda _, args: computed.append(len(args[0])))

    def found(min_score: float) -> list[dict[str, Any]]:
        pictures = sorted((root / "val2017").iterdir())[:1]
        return next(detect(detector, pictures, labels=labels, device=torch.device("cpu"), min_score=min_score)).objects

    everything = found(0.0)
    scores = [thing["score"] for thing in everything]
    # A bound that is a score keeps it.
    for bound, kept in ((scores[7], 8), (float(np.nextafter(np.float32(scores[7]), np.float32(1))), 7), (1.0, 0)):
        some = found(bound)
        assert [(thing["category_id"], thing["score"], thing["box"]) for thing in some] == [
            (thing["category_id"], thing["score"], thing["box"]) for thing in everything[:kept]
        ]
        assert [thing.get("mask") for thing in some] == [thing.get("mask") for thing in everything[:kept]]
        assert computed[-1] == kept
    assert detector.roi_heads.score_thresh == recipe.model.box_score_thresh


def test_init_takes_a_detector_or_a_trunk(run: Path, root: Path, tmp_path: Path) -> None:
    fresh = build_detector(tiny_recipe(root), pretrained=False)
    trunk = {name.removeprefix("backbone.body."): t for name, t in state_of(run).items() if "body" in name}
    torch.save(trunk, tmp_path / "resnet.pth")
    report = initialise_detector(fresh, tmp_path / "resnet.pth")
    assert set(report.loaded) == {f"backbone.body.{name}" for name in trunk}
    report = initialise_detector(fresh, run / "last.ckpt")
    assert report.fresh == ()


def test_init_from_another_function_is_refused_by_name(run: Path, root: Path) -> None:
    recipe = tiny_recipe(root)
    assert start_detector(build_detector(recipe, pretrained=False), run / "last.ckpt", anyway=False).differences == ()
    for model, named in (
        ({"pairwise": "dot_product"}, "pairwise is 'dot_product' here and 'embedded_gaussian' there in the blocks"),
        ({"bn_eps": 1e-3}, "eps of the trunk's norms is 0.001 here and"),
    ):
        other = build_detector(change(recipe, "model", **model), pretrained=False)
        with pytest.raises(ValueError, match=named):
            start_detector(other, run / "last.ckpt", anyway=False)
        assert named in start_detector(other, run / "last.ckpt", anyway=True).differences[0]


def state_of(run: Path) -> dict[str, torch.Tensor]:
    return {name.removeprefix("model."): tensor for name, tensor in state(run).items()}


@pytest.mark.parametrize("frozen", [True, False])
def test_fixed_norms_over_random_weights_are_warned_of(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, frozen: bool
) -> None:
    recipe = change(change(tiny_recipe(root), "model", frozen_bn=frozen), "schedule", steps=1)
    train_recipe(recipe, out=tmp_path, progress=False)
    assert ("set model.frozen_bn to false" in caplog.text) is frozen


def test_initial_weights_are_a_function_of_the_seed(root: Path) -> None:
    one, same, other = (
        build_detector(tiny_recipe(root, seed=seed), pretrained=False).backbone.body.conv1.weight for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_what_a_run_is_refused_for(root: Path, run: Path, tmp_path: Path) -> None:
    recipe, out = tiny_recipe(root), tmp_path / "out"
    with pytest.raises(ValueError, match=r"data\.root is not set: .*--data\.root DIR"):
        train_recipe(change(recipe, "data", root=None), out=out, progress=False)
    bad = change(recipe, "data", train_annotations="annotations/person_keypoints_train2018.json")
    with pytest.raises(FileNotFoundError, match="person_keypoints_train2018"):
        train_recipe(bad, out=out, progress=False)
    other = tmp_path / "coco"
    shutil.copytree(root, other)
    write_split(other, "val2017", {**small_content(), "categories": [*CATEGORIES, {"id": 20, "name": "sheep"}]})
    with pytest.raises(ValueError, match=r"category 20 \(sheep\) is none of those that the detector knows"):
        train_recipe(tiny_recipe(other), out=out, progress=False)
    with pytest.raises(ValueError, match=r"category 20 \(sheep\) is none of those"):
        evaluate_recipe(tiny_recipe(other), weights=run / "last.ckpt", out=out, progress=False)
    # What a validation needs is asked for before the first step.
    people = change(tiny_recipe(root, kind="keypoints"), "data", keypoint_sigmas=(0.05, 0.05))
    with pytest.raises(ValueError, match=r"data\.keypoint_sigmas must be 3 numbers, one a keypoint, got 2"):
        train_recipe(people, out=out, progress=False)
    assert not out.exists()
    torch.save({"state_dict": {}}, tmp_path / "foreign.pth")
    with pytest.raises(ValueError, match="is not a checkpoint of nonlocalnet"):
        open_detector(tmp_path / "foreign.pth")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_one_line(root: Path, tmp_path: Path, workers: int) -> None:
    broken = tmp_path / "coco"
    shutil.copytree(root, broken)
    for path in (broken / "train2017").iterdir():
        path.write_bytes(path.read_bytes()[:300])
    recipe = change(tiny_recipe(broken), "data", workers=workers)
    with pytest.raises(ImageError, match=r"^[^\n]*\.png cannot be read as an image: [^\n]*$"):
        train_recipe(recipe, out=tmp_path / "out", progress=False)


def test_a_block_that_could_never_learn_is_refused() -> None:
    detector = maskrcnn_slim_fpn(norm="batch")
    require_blocks_that_learn(detector)
    (block,) = nonlocal_blocks(detector).values()
    block.norm.weight.requires_grad_(requires_grad=False)
    with pytest.raises(ValueError, match=r"the norm of .*1_nonlocal_before is fixed at a scale of zero"):
        require_blocks_that_learn(detector)
    block.norm.weight.data.fill_(1.0)
    require_blocks_that_learn(detector)
