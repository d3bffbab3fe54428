"""`--config FILE` and `--print-config`, which writes one."""

from pathlib import Path

import pytest

from nonlocalnet.commands.main import main

# Of each kind; scaled steps, a batch with its rate, a length that says the steps, and a whole recipe.
GIVEN = [
    ["longrange_nl_c2d", "--schedule.steps", "22"],
    ["nl_c2d_r50_5block", "--batch-size", "8", "--model.pairwise", "dot_product"],
    ["coco_mask_r50_nl", "--schedule.length", "2x"],
    ["adding_t400_positions"],
]


def printed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["train", *argv, "--print-config"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: given[0])
def test_the_printed_configuration_is_the_one_that_runs_and_may_be_given_back(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(printed(given, capsys))
    assert printed([given[0], "--config", str(config)], capsys) == config.read_text()
    with pytest.MonkeyPatch.context() as patched:
        for kind in ("video", "detection", "sequence"):
            patched.setattr(f"nonlocalnet.runs.{kind}.plan.show_plan", lambda *_: None)  # seconds of measuring
        assert main(["train", given[0], "--config", str(config), "--dry-run"]) == 0


def test_what_is_printed_follows_from_what_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    config = printed(["longrange_nl_c2d", "--schedule.steps", "22"], capsys)
    assert "steps: 22\n" in config
    assert "milestones:\n  - 18\n" in config
    assert "warmup_steps: 2\n" in config


def test_the_command_line_wins_over_a_file_wherever_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("schedule: {steps: 5, milestones: []}\noptim: {lr: 0.5}\n")
    for order in (
        ["--schedule.steps", "7", "--config", str(config)],
        ["--schedule.steps", "7", f"--config={config}"],
        ["--config", str(config), "--schedule.steps", "7"],
    ):
        found = printed(["longrange_nl_c2d", *order], capsys)
        assert "steps: 7\n" in found
        assert "lr: 0.5\n" in found


def test_a_field_of_a_file_that_holds_anyway_is_no_option_without_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("init_anyway: false\n")
    assert printed(["longrange_nl_c2d", "--config", str(config)], capsys)
    config.write_text("init_anyway: true\n")
    assert main(["train", "longrange_nl_c2d", "--config", str(config), "--dry-run"]) == 2
    assert f"init_anyway of {config} has no effect without --init FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("out: 5", "out of given.yaml must be a text, got 5"),
        ("init: [a]", "init of given.yaml must be a text, got ['a']"),
        ("resume: maybe", "resume of given.yaml must be true or false, got 'maybe'"),
        ("dry_run: 7", "dry_run of given.yaml must be true or false, got 7"),
    ],
)
def test_options_beside_the_sections_have_types_too(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("given.yaml").write_text(line + "\n")
    assert main(["train", "adding_t100_gru", "--config", "given.yaml"]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["given.yaml"]
