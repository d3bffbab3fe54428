"""Own sounds, texts and tags: trained, tested, predicted and explained, and what is wrong with them refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from make_sounds import tone, write_wav
from nonlocalnet import from_checkpoint
from nonlocalnet.commands.main import main
from nonlocalnet.data.sound.reader import SoundError
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.recipes import sequence_recipe
from nonlocalnet.runs.sequence.counts import read_metrics
from nonlocalnet.runs.sequence.given import find_sequences, read_one
from nonlocalnet.runs.sequence.test import test_recipe as run_test
from nonlocalnet.runs.sequence.train import train_recipe
from runs.sequence.tiny import tiny

PITCHES = {"high": 1500.0, "low": 400.0}
SENTENCES = "Ada NAME\nsleeps O\n\nBob NAME\nand O\nAda NAME\nrun O\n"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of tones of several lengths."""
    root = tmp_path_factory.mktemp("sounds")
    for split, count in (("train", 4), ("val", 2)):
        for name, hertz in PITCHES.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                write_wav(root / split / name / f"{i}.wav", tone(hertz, seconds=0.1 + 0.02 * i))
    return root


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of two classes, and tagged sentences."""
    root = tmp_path_factory.mktemp("words")
    rows = ["a fine film,good", "fine and quiet,good", "a dull film,bad", "dull and long,bad"]
    for split in ("train", "val"):
        (root / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        (root / f"{split}.txt").write_text(SENTENCES)
    return root


@pytest.fixture(scope="module")
def trained(sounds: Path, words: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A few steps of each, by name."""
    out = tmp_path_factory.mktemp("own")
    for name, root in (("sound_classes", sounds), ("text_classes", words), ("tags", words)):
        train_recipe(tiny(sequence_recipe(name), root=str(root)), out=out / name, progress=False)
    return {path.name: path / "best.ckpt" for path in out.iterdir()}


def test_the_card_says_classes_and_words(trained: dict[str, Path]) -> None:
    assert from_checkpoint(trained["sound_classes"]).card.class_names == ["high", "low"]
    card = from_checkpoint(trained["text_classes"]).card
    assert card.class_names == ["bad", "good"]
    assert card.vocabulary[:3] == ["<padding>", "<unknown>", "a"]
    tags = from_checkpoint(trained["tags"]).card
    assert tags.class_names == ["NAME", "O"]
    assert tags.recipe["model"]["num_classes"] == 2


@pytest.mark.parametrize("name", ["sound_classes", "text_classes", "tags"])
def test_a_test_counts_every_sequence(
    name: str, trained: dict[str, Path], sounds: Path, words: Path, tmp_path: Path
) -> None:
    recipe = tiny(sequence_recipe(name), root=str(sounds if name == "sound_classes" else words))
    summary = run_test(recipe, weights=trained[name], out=tmp_path / "test", progress=False)
    content = json.loads((tmp_path / "test" / "summary.json").read_text())
    items, sequences, counted = {
        "sound_classes": ("sounds", 4, 4),
        "text_classes": ("texts", 4, 4),
        "tags": ("sentences", 2, 6),  # tokens
    }[name]
    assert content[items] == sequences
    assert int(summary.sums.confusion.sum()) == counted
    right = int(summary.sums.confusion.trace())
    assert content["accuracy"] == pytest.approx(100 * right / counted)
    rows = (tmp_path / "test" / "per_class.csv").read_text().splitlines()
    assert rows[0] == "class,true,taken,right,precision,recall,f1"
    assert (tmp_path / "test" / "confusion.csv").exists()


def test_predict_names_the_classes_of_sounds(
    trained: dict[str, Path], sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    table = tmp_path / "rows.csv"
    weights = ["--weights", str(trained["sound_classes"])]
    arguments = [str(sounds / "val"), str(tmp_path / "broken.wav"), *weights, "--json", "--csv", str(table)]
    assert main(["predict", *arguments]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert [Path(one["path"]).name for one in found] == ["0.wav", "1.wav", "0.wav", "1.wav", "broken.wav"]
    assert sorted(found[0]["names"]) == ["high", "low"]
    assert sum(found[0]["scores"]) == pytest.approx(1.0, abs=1e-5)
    assert "broken.wav" in found[4]["error"]
    assert "broken.wav" in captured.err
    assert len(table.read_text().splitlines()) == 1 + 4 * 2 + 1
    network = from_checkpoint(trained["sound_classes"])
    wave = torch.from_numpy(np.rint(tone(PITCHES["high"], seconds=0.1) * 32768) / 32768).float()
    with torch.no_grad():
        scores = network.scores(wave[None])[0].tolist()
    assert found[0]["scores"] == pytest.approx(sorted(scores, reverse=True), abs=1e-4)


def test_predict_reads_texts_and_lists(
    trained: dict[str, Path], words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_text("A dull evening.\n")
    weights = ["--weights", str(trained["text_classes"])]
    given = [str(tmp_path / "one.txt"), str(words / "val.csv")]
    assert main(["predict", *given, "--text", "fine, fine", *weights, "--top", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in found[:2]] == ["fine, fine", str(tmp_path / "one.txt")]
    assert [one.get("label") for one in found] == [None, None, "good", "good", "bad", "bad"]
    assert all(len(one["names"]) == 1 for one in found)
    assert main(["predict", "--text", "a", "b", "--text", "c", *weights, "--json"]) == 0
    assert [one["path"] for one in json.loads(capsys.readouterr().out)] == ["a", "b", "c"]
    assert main(["predict", "--text", "\x1b[31mfine", *weights]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_predict_tags_every_token(trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "said.txt").write_text("Ada runs .\n\nBob sleeps\n")
    weights = ["--weights", str(trained["tags"])]
    table = tmp_path / "tags.csv"
    assert main(["predict", str(tmp_path / "said.txt"), *weights, "--csv", str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["Ada", "runs", ".", "", "Bob", "sleeps"]
    assert {line.split(" ")[1] for line in lines if line} <= {"NAME", "O"}
    assert len(table.read_text().splitlines()) == 6
    assert main(["predict", "--text", "Ada runs", *weights, "--top", "2"]) == 2
    assert "--top has no effect on a tagger" in capsys.readouterr().err


def test_what_predict_cannot_do_is_said(
    trained: dict[str, Path], sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ["--weights", str(trained["sound_classes"])]
    for arguments, message in (
        ([*weights], "name what to look at"),
        (["--text", "a", *weights], "--text has no effect on a network that reads sounds"),
        ([str(sounds), "--views", "1x1", *weights], "--views has no effect"),
        (["--text", " ", "--weights", str(trained["text_classes"])], "--text is empty"),
        ([str(sounds / "val"), "--weights", str(trained["text_classes"])], "no texts in this folder"),
        ([str(tmp_path / "none.txt"), "--weights", str(trained["tags"])], "none.txt"),
    ):
        assert main(["predict", *arguments]) == 2, arguments
        assert message in capsys.readouterr().err
    numbers = tmp_path / "numbers"
    train_recipe(tiny(sequence_recipe("adding_t100_gru")), out=numbers, progress=False)
    assert main(["predict", "a.txt", "--weights", str(numbers / "last.ckpt")]) == 2
    assert "this network reads steps of numbers" in capsys.readouterr().err
    assert main(["serve", *weights]) == 2
    assert "the page takes videos and images: use `nonlocalnet predict`" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["sound_classes", "text_classes"])
def test_explain_writes_a_page_and_draws_the_place_that_is_asked(
    name: str, trained: dict[str, Path], sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_text("a fine film of a dull and long evening")
    file = sounds / "val" / "low" / "1.wav" if name == "sound_classes" else tmp_path / "one.txt"
    page = tmp_path / "page.html"
    command = ["explain", str(file), "--weights", str(trained[name]), "-o", str(page)]
    assert main(command) == 0
    assert page.stat().st_size > 10_000
    drawn = []
    for place in ("0", "1"):
        figure = tmp_path / f"{place}.png"
        assert main([*command, "--figure", str(figure), "--at", place]) == 0
        drawn.append(figure.read_bytes())
    assert drawn[0] != drawn[1]
    assert main([*command, "--figure", str(figure), "--at", "0.1,0.5,0.5"]) == 2
    assert "--at must be a fraction t of the sequence from 0 to 1, such as 0.5, got" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["text_classes", "tags"])
def test_explain_reads_a_text_as_predict_does(
    name: str, trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = from_checkpoint(trained[name]).card
    one = tmp_path / "one.txt"
    one.write_text("\n  a fine film of a dull evening \n\n")
    assert isinstance(card, SequenceCard)
    (meant,) = find_sequences(card, [str(one)])
    assert torch.equal(read_one(card, one), meant.read())
    several = tmp_path / ("several.csv" if name == "text_classes" else "several.txt")
    several.write_text(
        "text,label\na fine film,good\na dull film,bad\n" if name == "text_classes" else "Ada met\nBob\n"
    )
    command = ["explain", str(several), "--weights", str(trained[name]), "-o", str(tmp_path / "page.html")]
    assert main(command) == 2
    assert "and one is looked at: put it into a file of its own" in capsys.readouterr().err
    assert main([*command[:1], str(one), *command[2:]]) == 0
    shown = capsys.readouterr().out
    assert " steps " in shown
    assert " px " not in shown


@pytest.mark.parametrize("name", ["text_classes", "tags"])
def test_a_text_of_a_command_line_that_is_not_utf8_is_its_bytes(name: str, trained: dict[str, Path]) -> None:
    card = from_checkpoint(trained[name]).card
    assert isinstance(card, SequenceCard)
    text = "ein schöner Film: 良い"
    (right,) = find_sequences(card, [], texts=[text])
    (meant,) = find_sequences(card, [], texts=[text.encode().decode("ascii", "surrogateescape")])
    assert (meant.name, meant.tokens) == (right.name, right.tokens)
    assert torch.equal(meant.read(), right.read())
    with pytest.raises(ValueError, match="--text is not UTF-8"):
        find_sequences(card, [], texts=["\udcff"])


def test_an_unreadable_sound_is_replaced_counted_and_named(
    sounds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "sounds"
    for path in sounds.rglob("*.wav"):
        copy = root / path.relative_to(sounds)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (root / "train" / "low" / "0.wav").write_bytes(b"RIFF")
    (root / "val" / "low" / "0.wav").write_bytes(b"RIFF")
    caplog.set_level(logging.WARNING, "nonlocalnet")
    recipe = sequence_recipe("sound_classes")
    train_recipe(tiny(recipe, root=str(root), max_unreadable=0.5), out=tmp_path / "run", progress=False)
    assert "train/low/0.wav" in caplog.text
    assert "unreadable, another takes its place" in caplog.text
    assert "unreadable, counts as wrong" in caplog.text
    assert "2 training sounds stood in for some that could not be read" in caplog.text  # two passes of eight
    last = [row for row in read_metrics(tmp_path / "run" / "metrics.csv") if row.split == "val"][-1]
    assert last.accuracy <= 75.0
    summary = run_test(
        tiny(recipe, root=str(root)), weights=tmp_path / "run" / "last.ckpt", out=tmp_path / "test", progress=False
    )
    assert summary.sums.wrong == 1
    with pytest.raises(SoundError, match=r"training sounds \(.*\) stood in for others that cannot be read.*max_unread"):
        train_recipe(tiny(recipe, root=str(root), max_unreadable=0.0), out=tmp_path / "strict", progress=False)


def test_lists_that_do_not_match_are_refused(words: Path, sounds: Path, tmp_path: Path) -> None:
    for name in ("train.txt", "train.csv"):
        (tmp_path / name).write_text((words / name).read_text())
    (tmp_path / "val.txt").write_text("Ada PERSON\n")
    with pytest.raises(ValueError, match=r"val\.txt, line 1: tag 'PERSON' is not among the 2 tags"):
        train_recipe(tiny(sequence_recipe("tags"), root=str(tmp_path)), out=tmp_path / "run", progress=False)
    (tmp_path / "val.csv").write_text("text,label\nlong,7\n")
    with pytest.raises(ValueError, match=r"val\.csv"):
        train_recipe(tiny(sequence_recipe("text_classes"), root=str(tmp_path)), out=tmp_path / "run", progress=False)
    (tmp_path / "val.csv").write_text("text,label\n")
    with pytest.raises(ValueError, match=r"val\.csv"):
        train_recipe(tiny(sequence_recipe("text_classes"), root=str(tmp_path)), out=tmp_path / "run", progress=False)
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="train"):
        train_recipe(tiny(sequence_recipe("sound_classes"), root=str(tmp_path)), out=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match=r"data\.root is not set: give the folder of the texts"):
        train_recipe(tiny(sequence_recipe("text_classes")), out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_other_words(words: Path, tmp_path: Path) -> None:
    root = tmp_path / "words"
    root.mkdir()
    for name in ("train.txt", "val.txt"):
        (root / name).write_text((words / name).read_text())
    recipe = tiny(sequence_recipe("tags"), root=str(root))
    train_recipe(recipe, out=tmp_path / "run", progress=False)
    (root / "train.txt").write_text(SENTENCES.replace("sleeps", "wakes"))
    with pytest.raises(ValueError, match="the training data have other words now"):
        train_recipe(recipe, out=tmp_path / "run", resume=True, progress=False)


def test_a_dry_run_starts_from_a_file_of_the_same_words_only(
    trained: dict[str, Path], words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--model.hidden_size", "4", "--model.embedding_size", "4", "--dry-run", "--init"]
    for name, expected in (("text_classes", 0), ("tags", 2)):
        arguments = ["train", "text_classes", "--data.root", str(words), *small, str(trained[name])]
        assert main(arguments) == expected
    assert "the tokens are other words" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["spoken_digits", "spoken_digits_speakers", "recurring_digits_gru"])
def test_spoken_digits_of_a_folder(name: str, tmp_path: Path) -> None:
    for digit in (0, 1):
        for speaker in ("ann", "nicolas", "theo"):
            for number in (0, 1, 5, 6, 10, 11):
                write_wav(tmp_path / f"{digit}_{speaker}_{number}.wav", tone(300 + 500 * digit, seconds=0.05))
    recipe = tiny(sequence_recipe(name), root=str(tmp_path), num_train=8, num_val=4, num_test=4)
    run = train_recipe(recipe, out=tmp_path / "run", progress=False)
    assert run.best is not None
    summary = run_test(recipe, weights=run.best, out=tmp_path / "test", progress=False)
    assert int(summary.sums.sequences) == {"spoken_digits": 12, "spoken_digits_speakers": 24}.get(name, 4)


def test_the_command_takes_classes_and_steps_from_the_data(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--model.hidden_size", "4", "--model.n_mels", "4", "--batch-size", "4", "--no-rescale", "--epochs", "1"]
    assert main(["train", "sound_classes", "--data.root", str(sounds), *small]) == 0
    assert "2 steps done" in capsys.readouterr().out
    weights = ["--weights", "runs/sound_classes/best.ckpt"]
    assert main(["test", "sound_classes", *weights, "--data.root", str(sounds)]) == 0
    assert "sound_classes on 4 sounds" in capsys.readouterr().out


@pytest.mark.parametrize("label", [1000, 999_999_999])
@pytest.mark.parametrize("name", ["sound_classes", "text_classes"])
def test_a_label_that_is_no_index_is_refused_before_memory_is_taken_for_it(
    name: str, label: int, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As identifiers of a database are; what is counted of every pair of classes took gigabytes."""
    item, head = ("a b", "text") if name == "text_classes" else (str(sounds / "val" / "low" / "0.wav"), "path")
    for split in ("train", "val"):
        (tmp_path / f"{split}.csv").write_text(f"{head},label\n{item},0\n{item},{label}\n")
    lists = [] if name == "text_classes" else ["--data.train", "train.csv", "--data.val", "val.csv"]
    assert main(["train", name, "--data.root", str(tmp_path), "--out", str(tmp_path / "out"), *lists]) == 2
    said = (
        f"train.csv: label {label} is the index of a class, which makes {label + 1} of them for 2 entries; count the "
    )
    assert said in capsys.readouterr().err
