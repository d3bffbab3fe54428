"""Videos and pictures in the place of other files, and pipes in that of any, by every command that takes files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from make_videos import write_video
from nonlocalnet.commands.main import main
from nonlocalnet.system.media import refuse_media

# FILE is of the wrong kind; GOOD is a video.
COMMANDS = (
    "data check FILE",
    "data check GOOD.csv --classes FILE",
    "inspect FILE",
    "predict GOOD --weights FILE",
    "explain GOOD --weights FILE",
    "features GOOD --weights FILE -o out",
    "convert FILE out --to nonlocalnet",
    "export FILE -o out.onnx",
    "detect GOOD --weights FILE -o out",
    "test longrange_c2d --weights FILE --data.root .",
    "train longrange_c2d --dry-run --device cpu --init FILE",
    "train coco_mask_r50 --dry-run --device cpu --data.root / --epochs 1 --data.train_annotations FILE",
    "train longrange_c2d --dry-run --config FILE",
    "recipes --results FILE",
    "ensemble FILE --out out",
)


def run(command: str, folder: Path, file: Path) -> int:
    (folder / "GOOD.csv").write_text("path,label\nGOOD.mp4,0\n")
    places = {"GOOD": "GOOD.mp4", "FILE": str(file)}
    return main([places.get(word, word) for word in command.split()])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "GOOD.mp4", num_frames=12, height=32, width=48)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_video_is_called_a_video(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    for ending, what in ((".mp4", "a video (mp4 or mov)"), (".mkv", "a video (Matroska or WebM)")):
        file = write_video(folder / f"wrong{ending}", num_frames=4)
        assert run(command, folder, file) == 2
        said = capsys.readouterr().err
        assert said.count("error") == 1
        assert f"{file} is {what}, and " in said


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_called_a_pipe(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    os.mkfifo(folder / "pipe")
    assert run(command, folder, folder / "pipe") == 2
    assert f"{folder / 'pipe'} is a pipe or a device, which is not read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ending", "what"),
    [
        (".avi", r"a video \(avi\)"),
        (".ts", r"a video \(MPEG-TS\)"),
        (".flv", r"a video \(flv\)"),
        (".mpg", r"a video \(mpeg\)"),
        (".wmv", r"a video \(wmv\)"),
        (".png", r"a picture \(PNG\)"),
        (".jpg", r"a picture \(JPEG\)"),
        (".webp", r"a picture \(WebP\)"),
    ],
)
def test_by_its_first_bytes(tmp_path: Path, ending: str, what: str) -> None:
    file = tmp_path / f"file{ending}"
    if "picture" in what:
        Image.new("RGB", (8, 8)).save(file)
    else:
        codec = {".flv": "flv1", ".mpg": "mpeg2video", ".wmv": "msmpeg4v2"}.get(ending, "mpeg4")
        write_video(file, num_frames=4, codec=codec, options={})
    with pytest.raises(ValueError, match=f"{what}, and a list of videos is expected"):
        refuse_media(file, expected="a list of videos")


def test_texts_and_weights_are_no_media(tmp_path: Path) -> None:
    long = b"G" + b"o" * 187 + b"G" + b"o" * 187 + b"G.mp4 0\n"
    for start in (
        b"GOOD.mp4 0\n",
        long,
        b"run/free.mp4 0\n",
        b"ID3 1\n",
        b"\x80\x02}q\x00.",
        b"PK\x03\x04",
        b"",
        b"\x00" * 300,
    ):
        (tmp_path / "file").write_bytes(start)
        refuse_media(tmp_path / "file", expected="a list")
