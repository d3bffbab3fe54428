"""From generated images to drawings by the commands alone, at tiny size."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from make_videos import write_video
from nonlocalnet.commands.main import main
from nonlocalnet.data.generated.images import write_far_cue_images, write_far_keypoint_images

TINY = [
    *("--schedule.steps", "2", "--schedule.milestones", "[]", "--optim.batch_size", "2", "--trainer.val_every", "1"),
    *("--optim.lr", "0.005", "--data.min_sizes", "[48,64]", "--device", "cpu", "--model.box_score_thresh", "0.0"),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_far_cue_images(tmp_path_factory.mktemp("job") / "images", num_train=4, num_val=3)


@pytest.fixture(scope="module")
def run(images):
    out = images.parent / "run"
    assert main(["train", "farcue_nl", "--data.root", str(images), "--out", str(out), *TINY]) == 0
    return out


def test_training_prints_what_it_left(run, images, capsys):
    assert {"best.ckpt", "last.ckpt", "metrics.csv", "recipe.json"} <= {path.name for path in run.iterdir()}
    again = ["train", "farcue_nl", "--data.root", str(images), "--out", str(run), "--resume", *TINY]
    assert main(again) == 0
    captured = capsys.readouterr()
    assert "2 steps done" in captured.out
    assert "best validation mask AP" in captured.out
    assert main([*again, "--optim.lr", "0.5"]) == 2
    assert "optim.lr was 0.005 and is 0.5 now" in capsys.readouterr().err


def test_inspect_shows_a_detectors_checkpoint(run, capsys):
    assert main(["inspect", str(run / "last.ckpt"), "--keys"]) == 0
    shown = capsys.readouterr().out
    for text in ("maskrcnn_slim_fpn", "farcue_nl", "2: warm, cold", "multiply-adds of one 64 x 320 image", "rpn.head"):
        assert text in shown


@pytest.mark.parametrize("size", ["0x0", "0x64"])
def test_inspect_refuses_a_size_that_is_no_images(run, size, capsys):
    assert main(["inspect", str(run / "last.ckpt"), "--input", size]) == 2
    assert (
        f"--input must be height x width from 1 for a detector, such as 800x1333, got {size!r}"
        in capsys.readouterr().err
    )


def test_test_prints_all_twelve_figures_and_every_class(run, images, tmp_path, capsys):
    out = tmp_path / "results"
    command = ["test", "farcue_nl", "--weights", str(run / "last.ckpt"), "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    for name in ("AP50", "AP75", "APs", "AR100", "ARl", "boxes (%)", "masks (%)", "warm", "cold"):
        assert name in shown
    assert "published" not in shown  # the paper has no such row
    assert {path.name for path in out.iterdir()} == {"bbox.json", "segm.json", "per_class.csv", "summary.json"}
    fast = [*command[:-4], "--out", str(tmp_path / "fast"), "--data.evaluator", "faster-coco-eval", "--device", "cpu"]
    assert main(fast) == 0
    one, other = (json.loads((path / "summary.json").read_text()) for path in (out, tmp_path / "fast"))
    assert one["segm"] == pytest.approx(other["segm"], abs=1e-6)
    assert main([*command, "--model.num_classes", "5"]) == 2
    assert "--model.num_classes has no effect on a test" in capsys.readouterr().err


def test_detect_draws_and_prints_json_alone(run, images, tmp_path, capsys):
    first = images / "val2017" / "000000000001.png"
    broken = tmp_path / "broken.png"
    broken.write_bytes(first.read_bytes()[:200])
    grey = tmp_path / "000000000001.png"  # another image of the same name
    Image.open(first).convert("L").save(grey)
    out = tmp_path / "drawings"
    options = ["--weights", str(run / "last.ckpt"), "-o", str(out), "--min-score", "0", "--json", "--device", "cpu"]
    assert main(["detect", str(first), str(grey), str(broken), *options]) == 1
    captured = capsys.readouterr()
    assert "broken.png cannot be read as an image" in captured.err
    found, of_grey, of_broken = json.loads(captured.out)
    assert {path.name for path in out.iterdir()} == {"000000000001.png", "000000000001_2.png"}
    assert found["objects"]
    for o in found["objects"]:
        assert o["class"] in ("warm", "cold")
        assert o["mask"]["size"] == [96, 256]
        x1, y1, x2, y2 = o["box"]
        assert 0 <= x1 <= x2 <= 256
        assert 0 <= y1 <= y2 <= 96
    assert (of_broken["objects"], of_broken["drawing"]) == ([], "")
    drawn = np.asarray(Image.open(found["drawing"]).convert("RGB"))
    assert drawn.shape == (96, 256, 3)
    assert (drawn != np.asarray(Image.open(first))).any()
    assert of_grey["error"] == ""
    assert main(["detect", str(first), *options]) == 2
    assert "not empty" in capsys.readouterr().err
    alone = [*options[:2], *options[4:]]
    assert main(["detect", str(first.parent), *alone]) == 0
    assert [entry["path"].rpartition("/")[2] for entry in json.loads(capsys.readouterr().out)] == sorted(
        path.name for path in first.parent.iterdir()
    )
    (tmp_path / "none").mkdir()
    assert main(["detect", str(tmp_path / "none"), *alone]) == 2
    assert "the folder holds no images or videos" in capsys.readouterr().err


def test_detect_takes_videos_beside_images(run, images, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers have one
    folder = tmp_path / "both"
    folder.mkdir()
    video = write_video(folder / "b.mp4", num_frames=3)
    (folder / "broken.mp4").write_bytes(video.read_bytes()[:500])
    (folder / "a.png").write_bytes((images / "val2017" / "000000000001.png").read_bytes())
    out = tmp_path / "out"
    options = ["--weights", str(run / "last.ckpt"), "-o", str(out), "--min-score", "0", "--device", "cpu"]
    assert main(["detect", str(folder), *options]) == 1
    captured = capsys.readouterr()
    assert "b.mp4: in 3 frames" in captured.out
    assert f"nonlocalnet: error: {folder / 'broken.mp4'}" in captured.err
    assert {path.name for path in out.iterdir()} == {"a.png", "b.mp4", "b.jsonl"}
    assert main(["detect", str(video), *options[:2], "-o", str(tmp_path / "two"), "--every", "2", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["frames"], entry["results"]) == (2, str(tmp_path / "two" / "b.jsonl"))


def test_detect_draws_keypoints_and_shows_a_table(tmp_path, capsys):
    images = write_far_keypoint_images(tmp_path / "images", num_train=2, num_val=1)
    run = tmp_path / "run"
    tiny = [*TINY, "--schedule.steps", "1"]
    assert main(["train", "farkeypoint_nl", "--data.root", str(images), "--out", str(run), *tiny]) == 0
    assert "best validation keypoint AP" in capsys.readouterr().out
    picture = str(images / "val2017" / "000000000001.png")
    options = ["--weights", str(run / "last.ckpt"), "-o", str(tmp_path / "out"), "--min-score", "0", "--device", "cpu"]
    assert main(["detect", picture, *options]) == 0
    shown = capsys.readouterr().out
    assert "rod" in shown
    assert "000000000001.png" in shown


def test_a_dry_run_prints_the_blocks_with_and_without_subsampling(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers have one
    monkeypatch.setattr("nonlocalnet.engine.needs.estimate_cpu_seconds", lambda *_, **__: 2.5)
    assert main(["train", "coco_mask_r50_nl", "--dry-run", "--device", "cpu", "--optim.accumulate", "4"]) == 0
    shown = capsys.readouterr().out
    assert "46,501,105 parameters" in shown
    assert "one step: 1 processes x 4 micro-batches x 4 images" in shown
    assert "40.00 s (estimated: a smaller image was measured on this CPU" in shown
    assert "41.7 days for 90,000 steps" in shown
    assert "90000 steps of 16 images, learning rate 0.02" in shown
    assert "blocks: 3.7% more computation" in shown
    assert "blocks without subsampling: 10.0% more computation" in shown


@pytest.mark.parametrize("recipe", ["farcue_nl", "farkeypoint_nl"])
def test_a_dry_run_tries_a_step_and_leaves_nothing(recipe, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["train", recipe, "--dry-run", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    for text in ("weights, gradients, momentum", "memory of a process, estimated", "time of a step", "time of the run"):
        assert text in shown
    assert "dry run: nothing was read or written" in shown
    assert list(tmp_path.iterdir()) == []


def test_recipes_of_table_6_alone(capsys):
    assert main(["recipes", "--table", "6"]) == 0
    shown = capsys.readouterr().out
    assert "66.5" in shown
    assert "c2d" not in shown
    assert main(["recipes", "--table", "7"]) == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "coco_mask_r50_nl"], "data.root is not set"),
        (
            ["train", "coco_mask_r50_nl", "--data.root", "/no/such"],
            "instances_train2017.json: there is no such annot",
        ),
        (["train", "coco_keypoint_r101_nl", "--data.root", "/no/such"], "person_keypoints_train2017.json: there is no"),
        (["train", "coco_mask_r50_nl", "--model.width", "4"], "did you mean --model.weights?"),
        (["train", "coco_mask_r50_nl", "--data.min_sizes", "[0]"], "data.min_sizes"),
        (["train", "coco_mask_r5"], "there is no recipe 'coco_mask_r5'; did you mean coco_mask_r50"),
        (["detect", "a.png", "--weights", "/no/such.ckpt"], "/no/such.ckpt"),
        (["detect", "a.png", "--weights", "w", "--min-score", "2"], "--min-score must be in [0, 1], got 2"),
        (
            ["demo", "--task", "segmentation"],
            "keypoints, sequence, got 'segmentation'",
        ),
        (["demo", "--task", "detection", "--seeds", "0"], "seeds must be at least 1, got 0"),
    ],
)
def test_a_users_error_is_one_line_and_code_2(capsys, argv, message):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_a_video_networks_checkpoint_detects_nothing(tmp_path, capsys):
    path = tmp_path / "video.ckpt"
    torch.save({"state_dict": {}, "nonlocalnet": {"format": 1, "model": {"architecture": "c2d_resnet50"}}}, path)
    assert main(["detect", "a.png", "--weights", str(path)]) == 2
    assert "holds c2d_resnet50, which classifies videos and detects nothing" in capsys.readouterr().err


def test_a_detectors_checkpoint_names_no_videos(run, capsys):
    assert main(["predict", "a.mp4", "--weights", str(run / "last.ckpt")]) == 2
    assert "nonlocalnet detect" in capsys.readouterr().err


def test_a_size_of_zero_is_refused_and_not_taken_for_none(run, images, tmp_path, capsys):
    first = str(images / "val2017" / "000000000001.png")
    assert main(["detect", first, "--weights", str(run / "last.ckpt"), "--min-size", "0", "--device", "cpu"]) == 2
    assert "--min-size must be from 1 to" in capsys.readouterr().err
    (tmp_path / "a.png").touch()
    assert main(["detect", first, "--weights", str(run / "last.ckpt"), "-o", str(tmp_path)]) == 2
    assert "--resume" not in capsys.readouterr().err  # nothing here could go on
