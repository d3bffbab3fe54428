"""What every command shares: the list of commands, errors in one line, exit codes."""

import sys

import pytest

from nonlocalnet.commands.main import COMMANDS, main


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("argv", [(), ("--help",)])
def test_help_lists_every_command(capsys, argv):
    code, out, _ = run(capsys, *argv)
    assert code == 0
    for name, text in COMMANDS.items():
        assert name in out
        assert text in out


def test_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert out.startswith("nonlocalnet ")


def test_an_option_that_is_known_is_not_proposed_in_its_own_place(capsys):
    assert "did you mean" not in run(capsys, "demo", "--test-videos", "nan")[2]


def test_the_hint_for_one_option_does_not_stand_with_what_is_wrong_with_another(capsys):
    shown = run(capsys, "train", "adding_t100_gru", "--model.window", "abc", "--output", "x")[2]
    assert "--model.window must be a whole number or null, got 'abc'" in shown
    assert "did you mean" not in shown


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["recipes", "--jsn"], "did you mean --json?"),
        (["detect", "a.jpg"], "arguments are required: --weights"),
        (["train", "c2d_r50", "--optim.lr", "9" * 5000], "integer string conversion: value has 5000 digits\n"),
        (["data", "check", "--hepl"], "`nonlocalnet data check --help` lists the options"),
        (["predict", "--weights", "w.ckpt"], "name what to look at: nonlocalnet predict FILE"),
        (["train"], "required: recipe"),
        (["train", "c2d_r5"], "there is no recipe 'c2d_r5'; did you mean c2d_r50"),
        (["train", "--out", "x", "c2d_r50"], "data.root is not set"),
        (["train", "--out", "c2d_r50", "--resume"], "required: recipe"),
        (["train", "c2d_r50", "--model.widht", "3"], "did you mean --model.width?"),
        (["train", "c2d_r50", "--model.width", "0"], "model.width must be at least 1, got 0"),
        (["train", "c2d_r50", "--data.test-clips=0"], "data.test_clips must be at least 1, got 0"),
        (["demo", "--train-videos", "0"], "train_videos must be at least 1, got 0"),
        (["train", "c2d_r50", "--model.width", "wide"], "--model.width must be a whole number, got 'wide'"),
        (["train", "c2d_r50", "--optim.lr", "nan"], "--optim.lr must be a finite number, got 'nan'"),
        (["train", "c2d_r50", "--limit", "1e30"], "--limit must be a whole number, got '1e+30'"),
        (["train", "text_classes", "--model.window", "x"], "--model.window must be a whole number or null, got 'x'"),
        (["train", "text_classes", "--model.causal", "maybe"], "--model.causal must be true or false, got 'maybe'"),
        (
            ["train", "text_classes", "--model.after", "x"],
            "--model.after must be a list such as '[1, 2]' or null",
        ),
        (["train", "c2d_r50", "--schedule.milestones", "x"], "--schedule.milestones must be a list such as"),
        (
            ["train", "c2d_r50", "--model.pairwise", "x"],
            "--model.pairwise must be one of 'gaussian', 'embed",
        ),
        (["explain", "a.mp4", "--weights", "w", "--start", "inf"], "--start must be a finite number, got 'inf'"),
        (["explain", "a.mp4", "--weights", "w", "--at", "-1,0,0"], "begins with a hyphen is written --at=VALUE"),
        (["train", "c2d_r50", "--model.nonlocal_blocks", "7"], "model.nonlocal_blocks must be 0, 1, 5, 10 or a list"),
        (
            ["train", "c2d_r50", "--device", "cpu", "--trainer.precision", "16-mixed"],
            "trainer.precision '16-mixed' needs a CUDA device",
        ),
        (["train", "c2d_r50"], "data.root is not set"),
        (["train", "c2d_r50", "--data.root", "/no/such/folder"], "/no/such/folder"),
        (["predict", "video.mp4", "--weights", "/no/such/file.ckpt"], "/no/such/file.ckpt"),
        (["predict", "video.mp4", "--weights", "w.ckpt", "--views", "10y3"], "--views must be clips x crops"),
        (["predict", "video.mp4", "--weights", "w.ckpt", "--clip", "32"], "clip must be FRAMESxSTRIDE"),
        (["train", "c2d_r50", "--data.clip_frames", "6"], "data.clip_frames must be at least 7 for the strides"),
        (["train", "c2d_r50", "--model.nonlocal_blocks", "[res4.9]"], "model.nonlocal_blocks names 'res4.9'"),
        (["inspect", "c2d_resnet51"], "neither a file nor a network"),
        (["inspect", "--input", "8x32", "c2d_resnet50"], "--input must be frames x height x width"),
        (
            ["train", "nl_c2d_r50_1block_res2", "--model.scale", "-1"],
            "model.scale must be a finite number in (0, 1e+06], got -1",
        ),
        (["inspect", "missing.ckpt"], "missing.ckpt: there is no such file"),
        (["inspect", "c2d_resnet50", "--input", "32"], "--input must be frames x height x width"),
        (["data", "generat"], "unknown action 'generat'"),
        (["data", "generate", "/tmp/x", "--num_train", "0"], "num_train must be from 1 to 1000000, got 0"),
        (["demo", "--test-videos", "nan"], "--test_videos must be a whole number, got 'nan'"),
        (["demo", "--seeds", "0"], "seeds must be at least 1, got 0"),
    ],
)
def test_a_users_error_is_one_line_and_code_2(capsys, argv, message):
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("nonlocalnet: error: ")
    assert err.count("\n") == 1


def test_a_field_twice_in_a_section_is_refused(capsys):
    code, _, err = run(capsys, "train", "longrange_c2d", "--optim", "{lr: 0.1, lr: 0.2}", "--dry_run")
    assert code == 2
    assert "{lr: 0.1, lr: 0.2}: lr stands twice" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:\n  clip_framse: 4\n", "there is no field data.clip_framse; did you mean data.clip_frames?"),
        ("optmi:\n  lr: 0.1\n", "there is no field optmi.lr; did you mean optim.lr?"),
        ("optmi: {}\n", "there is no field optmi; did you mean optim?"),
        ("model:\n  lr: 0.1\n", "there is no field model.lr; did you mean optim.lr?"),
        ("lr: 0.1\n", "there is no field lr; did you mean optim.lr?"),
        ("1: 2\n", "there is no field 1"),
        ("optim: 3\n", "optim is a section and must hold fields by name, got 3"),
        ("schedule:\n  steps: 5\n  steps: 6\n", "is not YAML: steps stands twice"),
        ("[" * 20_000, "is nested too deep"),
        ("a: " + "{a: " * 3000 + "}" * 3000, "is nested too deep"),
        ("optim: [1\n", "is not YAML: while parsing a flow sequence"),
        ("- optim\n", "must hold fields by section, such as {optim: {lr: 0.02}}, and holds a list"),
        ("", "must hold fields by section, such as {optim: {lr: 0.02}}, and holds nothing"),
        ("optim:\n  lr: -1\n", "mine.yaml must be a finite number in (0, 1e+06], got -1"),
        ("optim:\n  lr: fast\n", "mine.yaml must be a finite number, got 'fast'"),
    ],
)
def test_a_wrong_config_file_is_named_with_the_nearest_field(capsys, tmp_path, text, message):
    config = tmp_path / "mine.yaml"
    config.write_text(text)
    code, _, err = run(capsys, "train", "c2d_r50", "--config", str(config))
    assert code == 2
    assert err.startswith("nonlocalnet: error: ")
    assert message in err
    assert str(config) in err
    assert "Traceback" not in err


@pytest.mark.parametrize("value", ["[" * 20_000, "{a: " * 3000 + "}" * 3000])
def test_an_option_that_is_nested_too_deep_is_one_line(capsys, value):
    code, _, err = run(capsys, "train", "c2d_r50", "--schedule", value)
    assert code == 2
    assert err.startswith("nonlocalnet: error: ")
    assert "Traceback" not in err


def test_a_closed_standard_output_is_no_error(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert main(["recipes"]) == 0
    sys.stdout.close()  # what stands in its place is as long as the process


def test_a_missing_config_file(capsys):
    code, _, err = run(capsys, "train", "c2d_r50", "--config", "/no/such/mine.yaml")
    assert code == 2
    assert "/no/such/mine.yaml: No such file or directory" in err


def test_an_output_folder_that_holds_something_is_refused_and_left_alone(capsys, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for command in (["demo", "--out"], ["data", "generate"]):
        code, _, err = run(capsys, *command, str(tmp_path))
        assert code == 2
        assert "not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("argv", "where"),
    [
        (["explain", "x.mp4", "--weights", "w", "-o", ""], "-o"),
        (["predict", "x.mp4", "--weights", ""], "--weights"),
        (["predict", "x.mp4", "--weights="], "--weights"),
        (["predict", "", "--weights", "w"], "argument 1"),
        (["features", "x.mp4", "", "--weights", "w", "-o", "f"], "argument 2"),
        (["train", "c2d_r50", "--data.root", ""], "--data.root"),
        (["data", "check", ""], "argument 1"),
    ],
)
def test_an_empty_argument_is_not_the_current_folder(capsys, argv, where):
    assert main(argv) == 2
    assert f"error: {where} is empty, as of a variable that is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["inspect", "c2d_resnet50", "--model.width", "1000000000"],
        ["inspect", "c2d_resnet50", "--input", "99999999x99999999x99999999"],
    ],
)
def test_more_memory_than_there_is_is_one_line(capsys, argv):
    code, _, err = run(capsys, *argv)
    assert code == 1
    assert "nonlocalnet: error: this takes more memory than there is; make it smaller" in err
    assert "Traceback" not in err


_BEYOND = str(10**20)


@pytest.mark.parametrize(
    "argv",
    [
        ["inspect", "c2d_resnet50", "--model.width", _BEYOND],
        ["inspect", "c2d_resnet50", "--input", f"{_BEYOND}x224x224"],
        ["inspect", "coco_mask_r50", "--input", f"800x{_BEYOND}"],
        ["inspect", "mentions_text_gru", "--input", _BEYOND],
        ["train", "adding_t100_gru", "--data.length", _BEYOND, "--dry-run"],
        ["train", "adding_t100_gru", "--data.length", "2147483647", "--dry-run"],
        ["train", "adding_t100_gru", "--schedule.milestones", f"[1, {_BEYOND}]", "--dry-run"],
        ["train", "adding_t100_gru", "--model.inner_channels", "1e30", "--dry-run"],
        ["demo", "--steps", "1e30"],
        ["demo", "--seeds", _BEYOND],
        ["data", "generate", "videos", "--height", _BEYOND],
        ["data", "generate", "videos", "--width", "1000000"],
        ["detect", "a.png", "--weights", "w", "--every", _BEYOND],
    ],
)
def test_no_number_is_too_large_for_one_line(capsys, monkeypatch, tmp_path, argv):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *argv)
    assert code == 2
    *_, option, value = [part for part in argv if part != "--dry-run"]
    field = option.removeprefix("--").replace("-", "_").removeprefix("data.")
    assert field in err
    assert value.strip("[]").split(", ")[-1] in err
    assert "Union" not in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
