"""Runs on made sequences, from a recipe to the files of a test."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nonlocalnet import from_checkpoint
from nonlocalnet.commands.main import main
from nonlocalnet.data.generated.sequences import AddingProblem
from nonlocalnet.formats import read_tensors
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.recipes import SEQUENCE_RECIPES, sequence_recipe
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.runs.sequence.counts import SequenceRecord, read_metrics
from nonlocalnet.runs.sequence.test import open_weights
from nonlocalnet.runs.sequence.test import test_recipe as run_test
from nonlocalnet.runs.sequence.train import train_recipe
from nonlocalnet.system.errors import NonFiniteError
from runs.sequence.tiny import tiny

TASKS = ("adding", "copy", "recall", "mentions", "recurring_tones")
MADE = [recipe for recipe in SEQUENCE_RECIPES if recipe.data.source in TASKS]


@pytest.mark.parametrize("recipe", MADE, ids=lambda recipe: recipe.name)
def test_two_steps_of_every_made_task(recipe: SequenceRecipe, tmp_path: Path) -> None:
    small = tiny(recipe)
    small = replace(small, schedule=replace(small.schedule, steps=2))
    run = train_recipe(small, out=tmp_path / "run", progress=False)
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert [(row.step, row.split) for row in rows] == [(1, "train"), (2, "train"), (2, "val")]
    assert all(math.isfinite(row.loss) and math.isfinite(row.quality) for row in rows)
    assert run.best is not None
    has_block = any("blocks" in name for name in read_tensors(run.best))
    assert has_block == (recipe.model.after is None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "adding"
    train_recipe(tiny(sequence_recipe("adding_t100_dot_product")), out=out, progress=False)
    return out


def test_what_is_logged_is_what_the_network_does(run: Path, tmp_path: Path) -> None:
    small = tiny(sequence_recipe("adding_t100_dot_product"))
    summary = run_test(small, weights=run / "last.ckpt", out=tmp_path / "test", progress=False)
    content = json.loads((tmp_path / "test" / "summary.json").read_text())
    network = from_checkpoint(run / "last.ckpt")
    items = [AddingProblem(6, length=12, seed=2)[i] for i in range(6)]
    with torch.no_grad():
        results = network(torch.stack([item["x"] for item in items]))
    targets = torch.stack([item["target"] for item in items])
    mse = float((results - targets).square().mean())
    assert content["mse"] == pytest.approx(mse, rel=1e-5)
    explained = 100 * (1 - mse / float(targets.double().var(correction=0)))
    assert content["r2"] == summary.quality == pytest.approx(explained, rel=1e-4)
    assert content["sequences"] == 6
    assert content["recipe"]["name"] == "adding_t100_dot_product"


def test_the_test_data_are_no_part_of_the_others(run: Path) -> None:
    kept = {name: AddingProblem(4, length=12, seed=seed)[0]["x"] for name, seed in (("train", 0), ("test", 2))}
    assert not torch.equal(kept["train"], kept["test"])


def test_training_json_says_when_the_error_was_reached(run: Path, tmp_path: Path, monkeypatch) -> None:
    content = json.loads((run / "training.json").read_text())
    assert content["steps_to_reach_it"] is None
    assert content["reached_mse"] == 0.01
    assert content["last_validation"]["mse"] > 0.01
    monkeypatch.setattr("nonlocalnet.runs.sequence.train.REACHED_MSE", 100.0)
    train_recipe(tiny(sequence_recipe("adding_t100_gru")), out=tmp_path / "easy", progress=False)
    assert json.loads((tmp_path / "easy" / "training.json").read_text())["steps_to_reach_it"] == 2


class _End(BaseException):
    pass


@pytest.mark.parametrize("name", ["adding_t100_embedded_gaussian", "copy_t1000_dot_product"])
def test_a_resumed_run_is_the_run_bit_for_bit(name: str, tmp_path: Path) -> None:
    import lightning.pytorch as pl

    class EndAfter(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if pl_module.steps_done == 3:
                raise _End

    small = tiny(sequence_recipe(name), model={"num_layers": 2, "dropout": 0.3})
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    train_recipe(small, out=whole, progress=False)
    with pytest.raises(_End):
        train_recipe(small, out=torn, progress=False, callbacks=[EndAfter()])
    train_recipe(small, out=torn, resume=True, progress=False)
    first, second = read_tensors(whole / "last.ckpt"), read_tensors(torn / "last.ckpt")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    for file in ("metrics.csv", "training.json"):
        assert (whole / file).read_text() == (torn / file).read_text()


def test_a_resumed_run_may_not_be_another(run: Path) -> None:
    small = tiny(sequence_recipe("adding_t100_dot_product"), length=13)
    with pytest.raises(ValueError, match=r"data\.length was 12 and is 13 now"):
        train_recipe(small, out=run, resume=True, progress=False)


def test_the_commands_train_test_and_inspect(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--data.num_train", "8", "--data.num_val", "4", "--data.length", "10", "--model.hidden_size", "4"]
    trained = ["--batch-size", "4", "--no-rescale", "--schedule.steps", "2", "--trainer.val_every", "1"]
    assert main(["train", "adding_t100_gaussian", *small, *trained]) == 0
    assert "best validation R2: " in capsys.readouterr().out
    weights = "runs/adding_t100_gaussian/best.ckpt"
    kept = Path(weights).rename("kept.ckpt")
    assert main(["train", "adding_t100_gaussian", *small, *trained, "--resume"]) == 0
    assert "%, whose checkpoint is no longer in runs/adding_t100_gaussian" in " ".join(capsys.readouterr().out.split())
    kept.rename(weights)
    assert main(["inspect", weights, "--scale", "1"]) == 2
    assert "it is for networks that classify videos, and this one is for sequences" in capsys.readouterr().err
    assert main(["test", "adding_t100_gaussian", "--weights", weights, "--data.num_test", "5"]) == 0
    assert "adding_t100_gaussian on 5 sequences" in capsys.readouterr().out
    assert main(["inspect", weights, "--input", "7", "--keys"]) == 0
    out = capsys.readouterr().out
    assert "one sequence of 7 steps" in out
    assert "recurrence.blocks.0: gaussian" in out
    assert "head.projection.weight" in out
    assert main(["recipes", "--results", "results/adding_t100_gaussian", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["adding_t100_gaussian"]["ours"][0]["sequences"] == 5
    assert main(["convert", weights, "hub", "--to", "hub"]) == 0
    assert isinstance(SequenceNetwork.from_pretrained("hub"), SequenceNetwork)


def test_a_dry_run_says_what_there_would_be(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--data.length", "30", "--model.hidden_size", "4", "--dry-run"]
    assert main(["train", "adding_t100_concatenation", *arguments]) == 0
    out = capsys.readouterr().out
    assert "1500 steps of 32 sequences" in out
    assert "one sequence of 30 steps" in out
    assert "time of the run" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", SEQUENCE_RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_is_inspected(recipe: SequenceRecipe, capsys) -> None:
    assert main(["inspect", recipe.name]) == 0
    assert "in all" in capsys.readouterr().out


def test_networks_by_name_are_inspected(capsys) -> None:
    assert main(["inspect", "sound_lstm", "--input", "100", "--model.bidirectional", "true"]) == 0
    assert "recurrence.layers.0: LSTM" in capsys.readouterr().out
    assert main(["inspect", "adding_t100_gru", "--input", "3x4"]) == 2
    assert "--input must be the steps of a sequence, such as 400, got '3x4'" in capsys.readouterr().err


def test_a_run_starts_from_another(run: Path, tmp_path: Path) -> None:
    small = tiny(sequence_recipe("adding_t100_dot_product"))
    train_recipe(small, out=tmp_path / "next", init=run / "last.ckpt", progress=False)
    assert open_weights(tmp_path / "next" / "last.ckpt").card.start == {"file": "last.ckpt", "differences": []}
    other = tiny(sequence_recipe("adding_t100_embedded_gaussian"))
    with pytest.raises(ValueError, match=r"pairwise is 'embedded_gaussian' here and 'dot_product' there"):
        train_recipe(other, out=tmp_path / "other", init=run / "last.ckpt", progress=False)
    train_recipe(other, out=tmp_path / "other", init=run / "last.ckpt", init_anyway=True, progress=False)


def test_a_network_that_gives_nan_is_refused_by_a_test(run: Path, tmp_path: Path) -> None:
    opened = open_weights(run / "last.ckpt")
    with torch.no_grad():
        opened.network.head.projection.bias.fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="gives no finite numbers"):
        run_test(tiny(sequence_recipe("adding_t100_gru")), weights=opened, out=tmp_path / "test", progress=False)


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    base = sequence_recipe("adding_t100_gru")
    wrong = tiny(base, model={"architecture": "sound_gru"})
    with pytest.raises(ValueError, match=r"model\.architecture must be features_gru or features_lstm for data\.source"):
        train_recipe(wrong, out=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match=r"model\.num_classes is 3, and the data have 9 classes"):
        train_recipe(tiny(sequence_recipe("copy_t1000_gru"), model={"num_classes": 3}), out=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"trainer\.compile must be False for a network of sequences"):
        replace(base, trainer=replace(base.trainer, compile=True))
    with pytest.raises(ValueError, match=r"data\.held_out must be \[\] but for spoken digits"):
        tiny(base, held_out=("jackson",))
    with pytest.raises(ValueError, match=r"optim\.nesterov must be false with optim\.method 'adamw'"):
        replace(base.optim, nesterov=True)


def test_a_record_is_judged_by_what_it_has() -> None:
    assert SequenceRecord(1, "val", 0.1, 0.01, mse=0.1, r2=40.0).quality == 40.0
    assert SequenceRecord(1, "val", 0.1, 0.01, accuracy=60.0, f1=50.0).quality == 60.0


def test_what_blocks_leave_beside_the_loss_is_trained_on(tmp_path: Path) -> None:
    chosen = {"positions": 3, "positions_by": "learned", "zero_init": True, "positions_random": 0}
    base = sequence_recipe("adding_t100_positions")
    moved = {}
    for distil in (0, 2):
        small = tiny(base, model={**chosen, "positions_anneal_steps": 0, "positions_distil": distil})
        # The block is the identity at first, so nothing but the distillation reaches the scores in one step.
        small = replace(small, schedule=replace(small.schedule, steps=1))
        train_recipe(small, out=tmp_path / str(distil), progress=False)
        weights = read_tensors(tmp_path / str(distil) / "last.ckpt")
        moved[distil] = next(tensor for name, tensor in weights.items() if "scorer" in name)
    assert not torch.equal(moved[0], moved[2])
    card = open_weights(tmp_path / "2" / "last.ckpt").card
    assert card.arguments["subsample"]["k"] == 3
    assert from_checkpoint(tmp_path / "2" / "last.ckpt").recurrence.blocks["0"].scorer is not None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"positions_random": 2}, r"model\.positions_random must be 0 without model\.positions, got 2"),
        ({"key_blocks_count": 2}, r"model\.key_blocks_count must be 1 without model\.key_blocks_size"),
        ({"positions": 4, "subsample": 2}, "model.subsample and model.positions are two choices of positions"),
        ({"positions": 0}, r"model\.positions must be at least 1, got 0"),
        ({"positions": 3, "positions_random": -1}, r"model\.positions_random must be at least 0, got -1"),
        ({"key_blocks_size": 0}, r"model\.key_blocks_size must be at least 1, got 0"),
        (
            {"positions": 3, "positions_by": "every", "positions_anneal_steps": 5},
            r"model\.positions_anneal_steps must be left out with model\.positions_by=every, got 5",
        ),
        (
            {"positions": 3, "positions_distil": 5, "causal": True},
            r"model\.positions_distil must be 0 with model\.causal, got 5",
        ),
        ({"positions": 3, "positions_by": "every", "causal": True}, r"model\.positions_by must be another choice"),
        ({"window": 2, "positions": 2}, r"model\.positions and model\.window are two choices of positions"),
        ({"pairwise": "dot_product", "scale": 2.0}, "model: scale multiplies the logits"),
        ({"window": 3, "subsample": 2}, r"model\.subsample and model\.window are two choices of positions"),
    ],
)
def test_choices_of_positions_that_cannot_be(model: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(sequence_recipe("adding_t100_gru"), model=model)


@pytest.mark.parametrize("model", [{"window": 0}, {"positions": 1}, {"positions": 3, "positions_by": "random"}])
def test_the_least_that_is_allowed(model: dict) -> None:
    assert tiny(sequence_recipe("adding_t100_dot_product"), model=model).model.block_options()


def test_blocks_of_keys_and_windows_go_into_the_network(tmp_path: Path) -> None:
    base = sequence_recipe("adding_t100_embedded_gaussian")
    for name, model in (("keys", {"key_blocks_size": 4, "key_blocks_count": 2}), ("window", {"window": 5})):
        train_recipe(tiny(base, model=model), out=tmp_path / name, progress=False)
    keys, window = (open_weights(tmp_path / name / "last.ckpt").network for name in ("keys", "window"))
    assert keys.built_from is not None
    assert keys.built_from["arguments"]["subsample"] == {"size": 4, "count": 2}
    assert window.recurrence.blocks["0"].window == 5
