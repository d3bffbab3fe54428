"""`nonlocalnet train`: another batch size, and looking before starting."""

import dataclasses
import logging
from types import SimpleNamespace

import pytest
from safetensors.torch import save_file

from nonlocalnet.commands import train
from nonlocalnet.commands.main import main
from nonlocalnet.recipes import recipe
from nonlocalnet.runs.kinds import KINDS
from nonlocalnet.runs.video.network import build_model

SMALL = ["--model.width", "4", "--device", "cpu"]


def resolve(argv):
    """The recipe that the command would train."""
    trained = []

    def train_recipe(recipe, **_):
        trained.append(recipe)
        return SimpleNamespace(steps=0, last="", best=None, best_quality=None)

    with pytest.MonkeyPatch.context() as patch:
        for kind in KINDS:
            patch.setattr(kind.train, "train_recipe", train_recipe)
        assert train.main(argv) == 0
    return trained[0]


def test_a_dry_run_shows_everything_and_writes_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    options = ["--optim.accumulate", "4", "--data.root", "nowhere", "--trainer.recompute", "true"]
    assert main(["train", "longrange_nl_c2d", "--dry-run", *SMALL, *options]) == 0
    assert list(tmp_path.iterdir()) == []
    out = capsys.readouterr().out
    rows = [line.split("│") for line in out.splitlines() if line.count("│") == 4]
    fields = {row[1].strip(): (row[2].strip(), row[3].strip()) for row in rows}
    assert fields["model.width"] == ("4", "8")
    assert fields["optim.accumulate"] == ("4", "1")
    assert fields["data.root"] == ("nowhere", "null")
    assert fields["schedule.milestones"] == ("[180]", "")
    for text in (
        *("res3.1_nonlocal", "1 processes x 4 micro-batches x 8 clips", "features kept for the backward pass"),
        *("(inputs of all blocks, and the largest block)", "memory of a process, estimated"),
        *("estimated: a smaller clip was measured on this CPU", "dry run: nothing was read or written"),
    ):
        assert text in out


def test_another_batch_size_scales_rate_and_schedule_and_says_so(caplog):
    caplog.set_level(logging.INFO, "nonlocalnet")
    scaled = resolve(["longrange_nl_c2d", "--optim.batch_size", "8"])
    assert (scaled.optim.lr, scaled.schedule.steps, scaled.schedule.milestones) == (0.025, 880, (720,))
    assert "by the linear rule optim.lr 0.1 -> 0.025" in caplog.text
    short = resolve(["longrange_nl_c2d", "--batch-size", "8"])
    assert short == scaled
    caplog.clear()
    kept = resolve(["longrange_nl_c2d", "--optim.batch_size", "8", "--no-rescale"])
    own = resolve(["longrange_nl_c2d", "--optim.batch_size", "32"])
    assert (kept.optim.lr, kept.schedule.steps, kept.optim.batch_size) == (0.1, 220, 8)
    assert own == recipe("longrange_nl_c2d")
    assert not caplog.records


def test_what_the_user_gives_wins_over_the_rule_even_the_recipes_own_value(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("optim:\n  batch_size: 8\n  lr: 0.1\n")
    for options in (["--optim.batch_size", "8", "--optim.lr", "0.1"], ["--config", str(config)]):
        resolved = resolve(["longrange_nl_c2d", *options])
        assert (resolved.optim.lr, resolved.optim.batch_size, resolved.schedule.steps) == (0.1, 8, 880)


def test_any_recipe_fits_one_gpu_by_accumulation(tmp_path):
    """64 clips a step as 8 micro-batches of the paper's 8: nothing else of the recipe changes."""
    resolved = resolve(["nl_i3d_r101_5block", "--optim.accumulate", "8"])
    base = recipe("nl_i3d_r101_5block")
    assert dataclasses.replace(resolved, optim=base.optim) == base
    assert dataclasses.replace(resolved.optim, accumulate=1) == base.optim


def test_batches_that_cannot_be_divided_are_refused_before_anything(capsys, tmp_path):
    for command in (["--dry-run"], ["--data.root", str(tmp_path), "--out", str(tmp_path / "run")]):
        assert main(["train", "longrange_nl_c2d", *command, "--optim.accumulate", "3"]) == 2
        assert "optim.batch_size must be a multiple of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe_name", ["longrange_nl_c2d", "farcue_nl"])
def test_a_dry_run_reads_what_the_run_would_start_from(recipe_name, capsys, tmp_path):
    broken = tmp_path / "truncated.avi"
    broken.write_bytes(b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(4000))
    for init in (broken, tmp_path / "missing.ckpt", tmp_path):
        assert main(["train", recipe_name, "--dry-run", "--device", "cpu", "--init", str(init)]) == 2
        err = capsys.readouterr().err
        assert str(init) in err
        assert err.count("\n") == 1


def test_a_dry_run_names_the_file_that_it_read(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers have one
    monkeypatch.setattr("nonlocalnet.engine.needs.estimate_cpu_seconds", lambda *_, **__: 2.5)
    start = tmp_path / "start.safetensors"
    save_file(build_model(with_width(recipe("longrange_nl_c2d"), 4)).state_dict(), start)
    assert main(["train", "longrange_nl_c2d", "--dry-run", *SMALL, "--init", str(start)]) == 0
    assert f"dry run: {start} was read, nothing written" in capsys.readouterr().out
    assert main(["train", "longrange_nl_c2d", "--dry-run", *SMALL, "--init-anyway"]) == 2
    assert "--init-anyway has no effect without --init" in capsys.readouterr().err


def with_width(run, width):
    return dataclasses.replace(run, model=dataclasses.replace(run.model, width=width))


def test_an_unknown_recipe_has_one_line(capsys):
    assert main(["train", "longrange_nl", "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert "did you mean longrange_nl_c2d" in err
    assert err.count("\n") == 1


def test_the_recipes_name_may_stand_anywhere():
    first = resolve(["longrange_nl_c2d", "--batch-size", "8", "--resume"])
    for argv in (
        ["--batch-size", "8", "--resume", "longrange_nl_c2d"],
        ["--resume", "longrange_nl_c2d", "--batch-size=8"],
        ["--out", "c2d_r50", "longrange_nl_c2d", "--optim.batch_size", "8"],
    ):
        assert resolve(argv) == first


def test_detectors_follow_the_same_rule():
    scaled = resolve(["coco_mask_r50", "--optim.batch_size", "4"])
    assert (scaled.optim.lr, scaled.schedule.steps, scaled.schedule.milestones) == (0.005, 360_000, (240_000, 320_000))
    assert scaled.schedule.warmup_steps == 2_000
    given = resolve(["coco_mask_r50", "--batch-size", "4", "--schedule.warmup_steps", "500", "--optim.lr", "0.02"])
    assert (given.optim.lr, given.schedule.steps, given.schedule.warmup_steps) == (0.02, 360_000, 500)


def test_a_detectors_schedule_may_be_said_by_its_length(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("schedule:\n  length: 2x\n")
    for options in (["--schedule.length", "2x"], ["--config", str(config)]):
        twice = resolve(["coco_mask_r50", *options])
        assert (twice.schedule.steps, twice.schedule.milestones) == (180_000, (120_000, 160_000))
        scaled = resolve(["coco_mask_r50", *options, "--batch-size", "8", "--schedule.milestones", "[5]"])
        assert (scaled.schedule.steps, scaled.schedule.milestones) == (360_000, (5,))


def test_the_schedule_follows_the_steps_in_proportion_and_says_so(caplog):
    caplog.set_level(logging.INFO, "nonlocalnet")
    short = resolve(["longrange_nl_c2d", "--schedule.steps", "22"]).schedule
    assert (short.steps, short.milestones, short.warmup_steps) == (22, (18,), 2)
    assert "schedule.steps is 22: milestones [18], warm-up of 2 steps, in proportion" in caplog.text
    given = resolve(["longrange_nl_c2d", "--schedule.steps", "22", "--schedule.milestones", "[180]"]).schedule
    assert (given.milestones, given.warmup_steps) == ((180,), 2)
    kept = resolve(["longrange_nl_c2d", "--schedule.steps", "22", "--no-rescale"]).schedule
    assert (kept.steps, kept.milestones, kept.warmup_steps) == (22, (180,), 20)
    both = resolve(["longrange_nl_c2d", "--schedule.steps", "88", "--batch-size", "8"]).schedule
    assert (both.steps, both.milestones) == (88, (72,))
    detector = resolve(["coco_mask_r50", "--schedule.steps", "20"]).schedule
    assert detector.milestones == (13, 18)


def class_folders(root, classes, videos):
    for split in ("train", "val"):
        for name in range(classes):
            (root / split / f"class {name}").mkdir(parents=True)
            for number in range(videos):
                (root / split / f"class {name}" / f"{number}.mp4").touch()


def test_epochs_and_classes_come_from_the_data(tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO, "nonlocalnet")
    class_folders(tmp_path, classes=5, videos=16)
    options = ["longrange_nl_c2d", "--data.root", str(tmp_path), "--data.train", "train", "--data.val", "val"]
    run = resolve([*options, "--epochs", "2.5", "--batch-size", "20"])
    assert run.model.num_classes == 5
    assert "model.num_classes is 5, as the training data say" in caplog.text
    assert (run.schedule.steps, run.schedule.milestones) == (10, (8,))
    assert resolve([*options, "--model.num_classes", "7"]).model.num_classes == 7
    (tmp_path / "classes.txt").write_text("a\nb\n")
    (tmp_path / "train.csv").write_text("path,label\n")
    listed = resolve(["longrange_nl_c2d", "--data.root", str(tmp_path), "--data.train", "train.csv"])
    assert listed.model.num_classes == 2
    for value, further in (("0", []), ("-1", []), ("1", ["--schedule.steps", "9"])):
        assert main(["train", *options, "--epochs", value, *further]) == 2
        assert (
            "--epochs must be above 0 and at most 1,000,000, and not beside --schedule.steps" in capsys.readouterr().err
        )


def test_own_videos_need_no_option_but_where_they_are(tmp_path, capsys):
    class_folders(tmp_path, classes=5, videos=16)
    own = ["finetune_small", "--data.root", str(tmp_path)]
    run = resolve(own)
    assert run.model.num_classes == 5
    assert (run.schedule.steps, run.schedule.milestones) == (300, (112, 225))  # 30 passes of 80 videos
    four = resolve([*own, "--batch-size", "4"])
    assert (four.schedule.steps, four.optim.lr) == (600, 0.000625)
    assert resolve([*own, "--epochs", "2"]).schedule.steps == 20
    assert resolve([*own, "--schedule.steps", "50"]).schedule.steps == 50
    # Without a root there is nothing to count: those of the recipe.
    assert resolve(["finetune_small"]).schedule.steps == 1200
    assert main(["train", *own, "--model.width", "2", "--device", "cpu", "--dry-run"]) == 0
    assert "dry run: the training list was read, nothing written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("longrange_nl_c2d", "optim.lr", "-1"),
        ("longrange_nl_c2d", "optim.lr", "fast"),
        ("longrange_nl_c2d", "model.architecture", "c3d"),
        ("coco_mask_r50", "data.workers", "-3"),
        ("adding_t100_gru", "schedule.steps", "0"),
        ("adding_t100_gru", "trainer.seed", "half"),
        ("sound_classes", "model.sample_rate", "50"),
    ],
)
def test_a_value_that_is_refused_is_named_as_it_was_given(capsys, tmp_path, name, field, value):
    section, key = field.split(".")
    config = tmp_path / "mine.yaml"
    config.write_text(f"{section}:\n  {key}: {value}\n")
    assert main(["train", name, "--config", str(config), "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert str(config) in said
    assert field in said
    assert main(["train", name, f"--{field}", value, "--dry-run"]) == 2
    assert f"--{field} must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "field"), [("longrange_nl_c2d", "data.short_side_min"), ("coco_mask_r50", "optim.lr")]
)
def test_null_in_a_file_is_refused_where_a_field_has_a_value(capsys, tmp_path, name, field):
    section, key = field.split(".")
    config = tmp_path / "mine.yaml"
    config.write_text(f"{section}:\n  {key}:\n")
    assert main(["train", name, "--config", str(config), "--dry-run"]) == 2
    assert f"{field} of {config} must have a value, got null" in capsys.readouterr().err
