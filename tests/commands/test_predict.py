"""`nonlocalnet predict`: what is named, what is printed and when, and what is written."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from make_videos import write_brightening_video, write_video
from nonlocalnet.commands.main import main
from runs.video.tiny import tiny_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_network().save_pretrained(folder)
    return folder


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in ("b/one.mp4", "a/one.mp4", "a/broken.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "videos" / name, num_frames=12, height=32, width=48)
    (tmp_path / "videos" / "a" / "broken.mp4").write_bytes(b"no video")
    return tmp_path / "videos"


def predict(weights: Path, *further: str | Path) -> int:
    return main(["predict", "--views", "1x1", *map(str, further), "--weights", str(weights), "--device", "cpu"])


def test_a_folder_with_a_broken_video(weights: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(weights, videos, "--top", "2") == 1
    shown = capsys.readouterr()
    assert shown.out.index("a/one.mp4") < shown.out.index("b/one.mp4")
    assert shown.out.count("probability") == 2
    assert "broken.mp4: not a video" in shown.err


def test_json_and_csv_say_the_same_and_what_a_list_says(
    weights: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "list.txt").write_text("a/broken.mp4 1\nb/one.mp4 2\n")
    table = tmp_path / "table.csv"
    assert predict(weights, videos / "list.txt", "--json", "--csv", table, "--top", "2") == 1
    broken, good = json.loads(capsys.readouterr().out)
    assert (broken["classes"], broken["label"], good["label"]) == ([], "sit", "wave")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["rank"] for row in rows] == ["", "1", "2"]
    assert "broken.mp4: not a video" in rows[0]["error"]
    assert [row["name"] for row in rows[1:]] == good["names"]
    assert [float(row["probability"]) for row in rows[1:]] == pytest.approx(good["scores"])
    assert {row["label"] for row in rows[1:]} == {"wave"}


def test_results_appear_as_they_are_made(
    weights: Path, videos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nonlocalnet.runs.video import score_videos as scoring

    seen: list[str] = []
    score = scoring._score_one

    def watched(*arguments: object, **further: object) -> object:
        seen.append(capsys.readouterr().out)
        return score(*arguments, **further)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(scoring, "_score_one", watched)
    assert predict(weights, videos / "a" / "one.mp4", videos / "b" / "one.mp4") == 0
    assert "a/one.mp4" not in seen[0]
    assert "a/one.mp4" in seen[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--csv", "/no/such/folder/x.csv"], "--csv /no/such/folder/x.csv: there is no folder /no/such/folder"),
        (["--views", "100000x1"], "--views must be from 1 to 1000 clips of a video, got 100000"),
        (["--window", "2", "--views", "1001x1"], "--views must be from 1 to 1000 clips of a video, got 1001"),
        (["--top", "0"], "--top must be at least 1, got 0"),
        (["--step", "2"], "--step is for windows: give --window SECONDS with it"),
        (["--figure", "x.png"], "--figure is for windows"),
        (["--window", "2", "--step", "0"], "step (--step) must be a number of seconds above 0, got 0.0"),
        (["--window", "2", "--figure", "x.gif"], "--figure must end in .png, .svg, .pdf, got 'x.gif'"),
    ],
)
def test_what_cannot_be_is_refused_first(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(Path("/no/such/weights"), "x.mp4", *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("read", ["weights", "a/one.mp4", "list.txt", "link.csv"])
def test_a_table_never_takes_the_place_of_what_is_read(
    weights: Path, videos: Path, read: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "list.txt").write_text("a/one.mp4 1\nb/one.mp4 2\n")
    held = weights / "model.safetensors"
    (videos / "link.csv").symlink_to(held)
    table = held if read == "weights" else videos / read
    given = videos / "list.txt" if read == "list.txt" else videos
    before = table.read_bytes()
    assert predict(weights, given, "--csv", table) == 2
    assert f"--csv {table} is read by this command, and would be written over" in capsys.readouterr().err
    assert table.read_bytes() == before


def test_a_table_takes_the_place_of_no_pipe(
    weights: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert predict(weights, videos, "--csv", pipe) == 2
    assert f"--csv {pipe} is a device or a pipe" in capsys.readouterr().err
    assert pipe.is_fifo()


def test_a_list_with_tabs_in_another_encoding_is_named(
    weights: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = videos / "list.tsv"
    listed.write_text("a/one.mp4\t0\n", encoding="utf-16")
    assert predict(weights, listed, "--root", videos) == 2
    said = capsys.readouterr().err
    assert str(listed) in said
    assert "save it as UTF-8" in said


def test_names_are_data(weights: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = (videos / "b" / "one.mp4").rename(videos / "b" / "[red]\x1b[31m.mp4")
    assert predict(weights, odd) == 0
    shown = capsys.readouterr().out
    assert "[red]\\x1b[31m.mp4" in shown
    assert "\x1b" not in shown


def test_a_timeline_in_words_as_json_as_csv_and_drawn(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_brightening_video(tmp_path / "one $x$.mp4", num_frames=50)
    two = write_brightening_video(tmp_path / "two.mp4", num_frames=20)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    every = [one, tmp_path / "broken.mp4", two, "--window", "2", "--step", "1", "--top", "2"]
    assert timeline(weights, *every) == 1
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert len(lines) == 3 + 4 + 1  # three names of files, four windows and one
    assert lines[1].split()[:3] == ["0:00", "-", "0:02"]
    assert "broken.mp4: not a video" in shown.err
    table, drawing = tmp_path / "table.csv", tmp_path / "drawing.svg"
    assert timeline(weights, *every, "--json", "--csv", table, "--figure", drawing) == 1
    first, broken, second = json.loads(capsys.readouterr().out)
    assert [(window["start"], window["end"]) for window in first["windows"]] == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert len(second["windows"]) == 1
    assert (broken["windows"], "not a video" in broken["error"]) == ([], True)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2"] * 4 + [""] + ["1", "2"]
    assert [row["name"] for row in rows[:2]] == first["windows"][0]["names"]
    text = drawing.read_text()
    assert "<svg" in text
    assert text.count("<!-- probability -->") == 2
    assert "<!-- broken.mp4 -->" not in text


def test_a_window_shorter_than_a_clip_and_too_many_for_a_figure(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_brightening_video(tmp_path / "one.mp4", num_frames=20)
    assert timeline(weights, video, "--window", "0.2") == 1
    assert "window (--window) must be at least 0.7 seconds here: a clip of 4x2" in capsys.readouterr().err
    many = [tmp_path / f"{number}.mp4" for number in range(13)]
    assert timeline(weights, *many, "--window", "2", "--figure", tmp_path / "x.png") == 2
    assert "--figure draws at most 12 videos, got 13" in capsys.readouterr().err


def test_a_figure_that_is_interrupted_leaves_nothing(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nonlocalnet.runs.video.timeline.scoring import WindowScorer

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    video = write_brightening_video(tmp_path / "one.mp4", num_frames=20)
    monkeypatch.setattr(WindowScorer, "_clip_scores", interrupted)
    with pytest.raises(KeyboardInterrupt):
        timeline(weights, video, "--window", "2", "--csv", tmp_path / "a.csv", "--figure", tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["one.mp4"]


def timeline(weights: Path, *further: str | Path) -> int:
    views = ("--weights", weights, "--views", "autox1", "--device", "cpu")
    return main(["predict", *map(str, (*further, *views))])
