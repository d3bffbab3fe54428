"""`nonlocalnet features`: what is written, what is kept, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import nonlocalnet
from make_videos import write_brightening_video
from nonlocalnet.commands.features import require_video
from nonlocalnet.commands.main import main
from nonlocalnet.formats import OpenedFile
from nonlocalnet.models.detection.card import DetectionCard
from runs.video.tiny import tiny_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_network().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, frames in (("a/one.mp4", 20), ("b/one.mp4", 12)):
        (folder / name).parent.mkdir()
        write_brightening_video(folder / name, num_frames=frames)
    (folder / "b" / "broken.mp4").write_bytes(b"no video")
    return folder


def features(weights: Path, out: Path, *further: str | Path) -> int:
    command = ["features", *map(str, further), "--weights", str(weights), "-o", str(out), "--device", "cpu"]
    return main([*command, "--views", "2x1"])


def index_of(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()]


def test_a_folder_with_a_broken_video_and_again(
    weights: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    assert features(weights, out, videos, "--level", "clip") == 1
    shown = capsys.readouterr()
    assert "2 written, 0 there before, 1 unreadable" in shown.out
    assert "broken.mp4: not a video" in shown.err
    rows = index_of(out)
    assert [row["file"] for row in rows] == [str(videos / "a" / "one.mp4"), str(videos / "b" / "one.mp4")]
    model = nonlocalnet.from_checkpoint(weights)
    for row in rows:
        made = nonlocalnet.features(model, str(row["file"]), level="clip", num_clips=2)
        assert np.array_equal(np.load(out / str(row["key"])), made.features.numpy())
        assert (row["shape"], row["seconds"]) == ([2, 128], made.seconds.tolist())
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    assert features(weights, out, videos, "--level", "clip") == 1  # what is broken is tried again
    assert "0 written, 2 there before, 1 unreadable" in capsys.readouterr().out
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()} == before
    assert features(weights, out, videos / "a") == 2
    assert 'made otherwise: level was "clip", is "pooled"; give the same, or another folder' in capsys.readouterr().err


def test_a_list_in_safetensors_and_a_map(weights: Path, videos: Path, tmp_path: Path) -> None:
    (videos / "list.txt").write_text("a/one.mp4 2\n")
    assert features(weights, tmp_path / "map", videos / "list.txt", "--level", "map", "--format", "safetensors") == 0
    (row,) = index_of(tmp_path / "map")
    content = load_file(tmp_path / "map" / str(row["key"]))
    assert list(content["features"].shape) == row["shape"] == [2, 128, 2, 1, 1]
    assert content["seconds"].tolist() == row["seconds"]
    assert row["label"] == "wave"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--views", "0x1"], "--views must be clips x crops"),
        (["--clip", "4"], "clip must be FRAMESxSTRIDE"),
        (["--bf16", "--no-bf16"], "--bf16 and --no-bf16 contradict each other"),
        ([], "no such file"),
    ],
)
def test_what_cannot_be_is_refused_and_makes_no_folder(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["features", "x.mp4", "--weights", "/no/such", "-o", str(tmp_path / "out"), *options]
    assert main(command) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_comes_before_the_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").touch()
    assert main(["features", "x.mp4", "--weights", "/no/such", "-o", str(tmp_path)]) == 2
    assert "it holds thesis.tex" in capsys.readouterr().err


def test_a_detector_is_refused_by_name() -> None:
    card = DetectionCard(architecture="maskrcnn_slim_fpn", labels=[])
    opened = OpenedFile("run/best.ckpt", "torch", {"nonlocalnet": card.plain()}, {})
    with pytest.raises(ValueError, match=r"run/best.ckpt holds a detector, and features are those of networks that"):
        require_video(opened)


def test_a_network_of_sequences_is_refused_by_name() -> None:
    opened = OpenedFile("run/best.ckpt", "torch", {"nonlocalnet": {"kind": "sequence"}}, {})
    with pytest.raises(ValueError, match=r"run/best.ckpt holds a network of sequences, and .* `nonlocalnet predict`"):
        require_video(opened)


def test_where_nothing_was_written_no_index_is_named_and_other_settings_are_taken(
    weights: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert features(weights, out, videos / "b" / "broken.mp4") == 1
    assert "0 written, 0 there before, 1 unreadable; there is no index yet" in capsys.readouterr().out
    assert not (out / "index.jsonl").exists()
    assert features(weights, out, videos / "a" / "one.mp4", "--level", "clip") == 0
    assert f"{out / 'index.jsonl'} lists them" in capsys.readouterr().out
    assert features(weights, out, videos / "a" / "one.mp4") == 2
    assert 'level was "clip", is "pooled"' in capsys.readouterr().err


def test_a_file_that_the_index_does_not_have_yet_keeps_its_settings(
    weights: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert features(weights, out, videos / "a" / "one.mp4") == 0
    (out / "index.jsonl").unlink()  # as after a kill between the two
    assert features(weights, out, videos / "a" / "one.mp4", "--level", "clip") == 2
    assert "holds features that were made otherwise" in capsys.readouterr().err
