"""From generated videos to predictions by the commands alone, at tiny size."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from nonlocalnet.commands.main import main

TINY = [
    *("--schedule.steps", "4", "--schedule.milestones", "[]", "--schedule.warmup_steps", "0"),
    *("--optim.batch_size", "4", "--trainer.val_every", "2", "--trainer.checkpoint_every", "1"),
    *("--model.width", "4", "--data.workers", "0", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job") / "videos"
    sizes = ["--num_train", "8", "--num_val", "4", "--num_test", "4", "--height", "36", "--width", "36"]
    assert main(["data", "generate", str(folder), "--num_classes", "3", *sizes]) == 0
    return folder


@pytest.fixture(scope="module")
def run(videos):
    out = videos.parent / "run"
    assert main(["train", "longrange_nl_c2d", "--data.root", str(videos), "--out", str(out), *TINY]) == 0
    return out


def test_training_leaves_checkpoints_logs_and_its_recipe(run):
    assert {"best.ckpt", "last.ckpt", "metrics.csv", "recipe.json"} <= {path.name for path in run.iterdir()}
    assert json.loads((run / "recipe.json").read_text())["model"]["width"] == 4


def test_a_yaml_file_overrides_and_the_command_line_overrides_it(videos, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("model:\n  width: 6\noptim:\n  lr: 0.02\n")
    out = tmp_path / "run"
    root = ["--data.root", str(videos), "--out", str(out)]
    assert main(["train", "longrange_c2d", "--config", str(config), *root, *TINY, "--limit", "4"]) == 0
    saved = json.loads((out / "recipe.json").read_text())
    assert (saved["model"]["width"], saved["optim"]["lr"], saved["data"]["limit"]) == (4, 0.02, 4)


def test_a_finished_run_resumes_to_itself_and_a_changed_one_is_refused(videos, run, capsys):
    before = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    again = ["train", "longrange_nl_c2d", "--data.root", str(videos), "--out", str(run), "--resume", *TINY]
    assert main(again) == 0
    after = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(before[name], after[name]) for name in before)
    capsys.readouterr()
    assert main([*again, "--optim.lr", "0.3"]) == 2
    assert "optim.lr was 0.0125 and is 0.3 now" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["empty", "cut", "other", "gone"])
def test_a_damaged_recipe_of_a_run_is_said(videos, run, tmp_path, capsys, damage):
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    recipe = copied / "recipe.json"
    texts = {
        "empty": "",
        "cut": recipe.read_text()[:99],
        "other": recipe.read_text().replace('"steps": ', '"steps": [], "a'),
    }
    recipe.write_text(texts[damage]) if damage in texts else recipe.unlink()
    again = ["train", "longrange_nl_c2d", "--data.root", str(videos), "--out", str(copied), "--resume"]
    assert main(again) == 2
    said = capsys.readouterr().err
    assert said.count("recipe.json cannot be read: what is not given is as in the recipe longrange_nl_c2d") == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "inspect FILE --pairwise dot_product",
            "pairwise='embedded_gaussian', it cannot be loaded with pairwise='dot_product'",
        ),
        ("inspect FILE --scale 3", "it cannot be loaded with scale=3.0"),
        ("inspect FILE --clip 32x2", "--clip has no effect on FILE, whose card says its own clip; --input says"),
        ("test longrange_nl_c2d --weights FILE --clip 32x2", "--clip has no effect on FILE, .*--data.clip_frames"),
        ("predict x.mp4 --weights FILE --pairwise gaussian", "it cannot be loaded with pairwise='gaussian'"),
        ("convert FILE OUT --to slowfast --clip 32x2", "--clip has no effect on FILE"),
        ("inspect c2d_resnet50 --scale 3", "--scale has no effect on c2d_resnet50: it is for files of weights"),
        ("inspect c2d_resnet50 --keys", "--keys has no effect on c2d_resnet50: it is for files of weights"),
    ],
)
def test_an_option_that_cannot_apply_is_refused_by_name(run, tmp_path, capsys, command, message):
    file = str(run / "best.ckpt")
    words = [word.replace("FILE", file).replace("OUT", str(tmp_path / "out.pyth")) for word in command.split()]
    assert main(words) == 2
    assert re.search(message.replace("FILE", re.escape(file)), capsys.readouterr().err)


def test_test_uses_the_runs_own_settings_and_writes_every_video(videos, run, tmp_path, capsys):
    out = tmp_path / "results"
    command = ["test", "longrange_nl_c2d", "--weights", str(run / "best.ckpt"), "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    assert "measured here" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert summary["videos"] == len(rows) == 4
    assert summary["top1"] == pytest.approx(100 * sum(row["correct"] == "1" for row in rows) / 4)
    for row in rows:
        scores = [float(row[f"score:{name}"]) for name in ("red", "green", "blue")]
        assert sum(scores) == pytest.approx(1, abs=1e-5)
        assert int(row["predicted"]) == scores.index(max(scores))
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_predict_prints_json_alone_and_agrees_with_test(videos, run, tmp_path, capsys):
    good, missing = videos / "test" / "00000.mp4", tmp_path / "missing.mp4"
    options = ["--weights", str(run / "best.ckpt"), "--views", "2x3", "--json", "--device", "cpu"]
    assert main(["predict", str(good), *options]) == 0
    (prediction,) = json.loads(capsys.readouterr().out)
    assert sorted(prediction["names"]) == ["blue", "green", "red"]
    assert prediction["scores"] == sorted(prediction["scores"], reverse=True)
    # The list is stated as a csv of this one video, and the protocol is that of `predict`.
    out = tmp_path / "one"
    (videos / "one.csv").write_text("path,label\ntest/00000.mp4,0\n")
    test = ["test", "longrange_nl_c2d", "--weights", str(run / "best.ckpt"), "--out", str(out), "--device", "cpu"]
    assert main([*test, "--data.test", "one.csv"]) == 0
    row = next(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    for name, score in zip(prediction["names"], prediction["scores"], strict=True):
        assert float(row[f"score:{name}"]) == pytest.approx(score, abs=1e-6)
    capsys.readouterr()
    # A video that cannot be read: the others are still predicted, the error is said, the exit code tells.
    assert main(["predict", str(missing), str(good), *options]) == 1
    captured = capsys.readouterr()
    assert [bool(p["error"]) for p in json.loads(captured.out)] == [True, False]
    assert "missing.mp4" in captured.err


def test_inspect_shows_a_checkpoint(run, capsys):
    assert main(["inspect", str(run / "best.ckpt")]) == 0
    out = capsys.readouterr().out
    assert "red, green, blue" in out
    assert "res3.1_nonlocal" in out


def test_weights_that_are_not_ours_are_refused_by_name(tmp_path, capsys):
    path = tmp_path / "other.pt"
    torch.save({"weight": torch.zeros(1)}, path)
    assert main(["predict", "video.mp4", "--weights", str(path)]) == 2
    assert "is not a checkpoint of nonlocalnet" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:100])
    assert main(["predict", "video.mp4", "--weights", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_labels_beyond_the_classes_are_refused(videos, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["train", "longrange_c2d", "--data.root", str(videos), "--out", str(out), "--model.num_classes", "2"]
    assert main(command) == 2
    assert "2" in capsys.readouterr().err
    assert not out.exists()


def test_a_loss_that_is_not_finite_ends_the_run_with_code_1(videos, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["train", "longrange_c2d", "--data.root", str(videos), "--out", str(out), *TINY, "--optim.lr", "1e6"]
    assert main([*command, "--schedule.steps", "60"]) == 1
    err = capsys.readouterr().err
    assert "at step" in err
    assert "last good checkpoint" in err


def class_folders(videos, root, **splits):
    """Class folders from the generated test videos: split -> names of its classes."""
    files = sorted((videos / "test").glob("*.mp4"))
    for split, names in splits.items():
        for name in names:
            (root / split / name).mkdir(parents=True)
            for file in files[:2]:
                (root / split / name / file.name).write_bytes(file.read_bytes())
    return root


FOLDERS = ["--data.train", "train", "--data.val", "val", "--data.test", "val", "--model.num_classes", "2"]


def test_a_validation_folder_may_lack_a_class_and_keeps_the_training_numbers(videos, tmp_path):
    root = class_folders(videos, tmp_path / "data", train=["indoor", "outdoor"], val=["outdoor"])
    out = tmp_path / "run"
    assert main(["train", "longrange_c2d", "--data.root", str(root), "--out", str(out), *TINY, *FOLDERS]) == 0
    results = tmp_path / "results"
    test = ["test", "longrange_c2d", "--weights", str(out / "last.ckpt"), "--out", str(results), "--device", "cpu"]
    assert main(test) == 0
    rows = csv.DictReader((results / "scores.csv").read_text().splitlines())
    assert {row["label"] for row in rows} == {"1"}


def test_a_validation_folder_of_other_classes_is_refused(videos, tmp_path, capsys):
    root = class_folders(videos, tmp_path / "data", train=["indoor", "outdoor"], val=["outdoor", "zoo"])
    out = tmp_path / "run"
    assert main(["train", "longrange_c2d", "--data.root", str(root), "--out", str(out), *TINY, *FOLDERS]) == 2
    assert "zoo" in capsys.readouterr().err


def test_an_unreadable_video_is_named_once_in_a_whole_run(videos, tmp_path, capsys):
    root = class_folders(videos, tmp_path / "data", train=["indoor", "outdoor"], val=["outdoor"])
    (root / "train" / "indoor" / "broken.mp4").write_bytes(b"")
    out = tmp_path / "run"
    capsys.readouterr()
    command = ["train", "longrange_c2d", "--data.root", str(root), *TINY, *FOLDERS]
    assert main([*command, "--out", str(out), "--data.max_unreadable", "0.5"]) == 0
    err = capsys.readouterr().err
    assert err.count("broken.mp4: ") == 1
    assert "stood in for videos that could not be read" in err
    # 1 of 5 is too many where none is allowed, and that is one line, too.
    assert main([*command, "--out", str(tmp_path / "other"), "--data.max_unreadable", "0"]) == 2
    assert (
        "broken.mp4: the file is empty (0 bytes); fetch it again; `nonlocalnet data check`" in capsys.readouterr().err
    )


def test_a_quick_look_at_training_does_not_shorten_the_test(videos, tmp_path):
    out, results = tmp_path / "run", tmp_path / "results"
    train = ["train", "longrange_c2d", "--data.root", str(videos), "--out", str(out), *TINY, "--limit", "2"]
    assert main(train) == 0
    test = ["test", "longrange_c2d", "--weights", str(out / "last.ckpt"), "--out", str(results), "--device", "cpu"]
    assert main(test) == 0
    assert json.loads((results / "summary.json").read_text())["videos"] == 4


def test_the_network_of_a_test_cannot_be_overridden(run, capsys):
    assert main(["test", "longrange_nl_c2d", "--weights", str(run / "best.ckpt"), "--model.width", "64"]) == 2
    assert "--model.width has no effect on a test" in capsys.readouterr().err


def test_a_clip_too_short_for_the_network_is_refused_before_anything_is_read(run, tmp_path, capsys):
    nowhere = ["--data.root", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    weights = ["--weights", str(run / "best.ckpt")]
    # The weights' network (8x8 strides) decides, also under another recipe.
    for command in (["train", "longrange_c2d"], ["test", "longrange_nl_c2d", *weights], ["test", "c2d_r50", *weights]):
        assert main([*command, *nowhere, "--data.clip_frames", "1"]) == 2
        assert "data.clip_frames must be at least 2 for the strides" in capsys.readouterr().err
    assert main(["test", "c2d_r50", *weights, *nowhere, "--data.clip_frames", "2"]) == 2
    assert "no such folder or list" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "no.mp4"), *weights, "--clip", "1x2"]) == 2
    assert "--clip) must have at least 2 frames" in capsys.readouterr().err


def test_a_run_refused_for_its_settings_does_not_occupy_its_folder(videos, tmp_path):
    out = tmp_path / "run"
    command = ["train", "longrange_c2d", "--data.root", str(videos), "--out", str(out), *TINY]
    assert main([*command, "--optim.trainable", "blocks_and_head"]) == 2
    assert main(command) == 0
