"""`nonlocalnet data check` and `prepare`, on real encoded videos."""

import os
import shutil
from pathlib import Path

import pytest

from make_videos import cut_off, write_video
from nonlocalnet.commands.main import main
from nonlocalnet.data.generated.videos import write_long_range_videos
from nonlocalnet.recipes import recipe


@pytest.fixture
def videos(tmp_path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.avi", "b.mp4"):
        write_video(folder / name, num_frames=4, height=64, width=96)
    cut_off(write_video(folder / "broken.mp4", num_frames=4), 0.4)
    (folder / "list.txt").write_text("a.avi 0\nbroken.mp4 1\nb.mp4 1\ngone.mp4 0\n")
    return folder


def run(capsys, *argv: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_check_counts_by_class_and_fails(videos, capsys):
    code, out, _ = run(capsys, "data", "check", videos / "list.txt", "--workers", 1)
    assert code == 1
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "│" in line]
    assert rows == [
        ["0", "2", "1", "1", "0", "50.0%"],
        ["1", "2", "1", "0", "1", "50.0%"],
        ["2 classes", "4", "2", "1", "1", "50.0%"],
    ]
    assert f"broken: {videos}/broken.mp4: " in out


def test_check_writes_a_list_that_loads(videos, capsys, tmp_path):
    clean = tmp_path / "clean.txt"
    code, out, _ = run(capsys, "data", "check", videos / "list.txt", "--root", videos, "--out", clean, "--workers", 1)
    assert code == 0
    assert f"2 of 4 videos in {clean}" in out
    assert clean.read_text() == "a.avi 0\nb.mp4 1\n"
    assert run(capsys, "data", "check", clean, "--root", videos, "--workers", 1)[0] == 0


@pytest.mark.parametrize("out", ["list.txt", "a.avi", ".", "no/such/list.txt"])
def test_check_says_at_once_where_it_cannot_write(videos, capsys, out):
    before = {path: path.read_bytes() for path in videos.iterdir()}
    code, shown, err = run(capsys, "data", "check", videos / "list.txt", "--out", videos / out, "--workers", 1)
    assert (code, shown) == (2, "")
    assert f"--out {videos / out}" in err
    assert {path: path.read_bytes() for path in videos.iterdir()} == before


def test_check_of_a_name_that_no_list_can_hold(tmp_path, capsys):
    """Before anything is checked: written escaped, the list would name a video that is not there."""
    for name in (b"good.mp4", b"\xff\xfe.mp4"):
        folder = tmp_path / "videos" / "wave"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / os.fsdecode(name)).touch()
    out = tmp_path / "list.csv"
    code, _, err = run(capsys, "data", "check", tmp_path / "videos", "--out", out, "--workers", 1)
    assert code == 2
    assert "(--out) cannot list" in err
    assert "a list is UTF-8, and its name is not; rename it" in err
    assert not out.exists()


def test_check_of_a_wrong_root_writes_nothing(videos, capsys, tmp_path):
    code, _, err = run(
        capsys, "data", "check", videos / "list.txt", "--root", tmp_path, "--out", tmp_path / "c", "--workers", 1
    )
    assert code == 2
    assert "none of 4 videos can be read; is root right?" in err
    assert not (tmp_path / "c").exists()


def test_check_names_classes_that_vanish(videos, capsys, tmp_path):
    (videos / "classes.txt").write_text("walk\nrun\nsit\n")
    (videos / "list.txt").write_text("a.avi 0\nbroken.mp4 1\n")
    code, out, _ = run(capsys, "data", "check", videos / "list.txt", "--workers", 1, "--all")
    assert code == 1
    assert "No video is left of 1 classes: run." in out
    assert "walk" in out


def test_check_compares_kinetics_with_the_copies_of_others(capsys, tmp_path):
    names = [f"class {i:03d}" for i in range(400)]
    rows = "".join(f"{names[i % 400]},{i:011d},0,10,val,0\n" for i in range(19906))
    (tmp_path / "val.csv").write_text("label,youtube_id,time_start,time_end,split,is_cc\n" + rows)
    code, out, _ = run(capsys, "data", "check", tmp_path / "val.csv", "--workers", 1)
    assert code == 1
    for text in ("19,906", "19,761", "19,796", "video-nonlocal-net", "yours, readable", "380 more classes lack videos"):
        assert text in out
    assert "234,643" not in out


def test_prepare_writes_keeps_and_names_what_is_broken(videos, capsys, tmp_path):
    out_folder = tmp_path / "out"
    command = ("data", "prepare", videos, out_folder, "--short_side", 32, "--preset", "veryfast", "--workers", 1)
    code, out, _ = run(capsys, *command)
    assert code == 1
    assert f"broken, left out: {videos}/broken.mp4: " in out
    assert f"2 videos written to {out_folder}, 0 kept from before, 1 broken" in out
    (videos / "broken.mp4").unlink()
    code, out, _ = run(capsys, *command)
    assert code == 0
    assert f"0 videos written to {out_folder}, 2 kept from before, 0 broken" in out
    code, _, err = run(capsys, *command[:4], "--short_side", 64)
    assert code == 2
    assert "was prepared with other settings" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("check", "/no/such/list.csv"), "no such folder or list of videos: /no/such/list.csv"),
        (("check", "x", "--formt", "kinetics"), "did you mean --format?"),
        (("prepare", "/no/such/folder", "/tmp/out"), "no such folder of videos: /no/such/folder"),
        (("prepare", "a", "b", "--short_side", "31"), "short_side must be even and at least 16, got 31"),
    ],
)
def test_errors_are_one_line(capsys, argv, message):
    code, out, err = run(capsys, "data", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("nonlocalnet: error: ")
    assert message in err


def test_generated_videos_fit_the_checks_and_the_recipes_without_options(tmp_path, capsys):
    videos = str(tmp_path / "videos")
    small = ["--num_train", "12", "--num_val", "2", "--num_test", "2", "--height", "44", "--width", "44"]
    assert main(["data", "generate", videos, *small]) == 0
    assert main(["data", "check", videos, "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert all(f"{split}.csv" in out for split in ("train", "val", "test"))
    assert write_long_range_videos.__kwdefaults__["num_classes"] == recipe("longrange_c2d").model.num_classes


def test_a_folder_of_train_and_val_is_checked_as_a_whole(tmp_path, capsys):
    made = write_long_range_videos(tmp_path / "made", num_train=2, num_val=0, num_test=0)
    for split, name in (("train", "cat"), ("train", "dog"), ("val", "dog")):
        (tmp_path / "mine" / split / name).mkdir(parents=True)
        shutil.copy(made / "train" / "00000.mp4", tmp_path / "mine" / split / name / "a.mp4")
    assert main(["data", "check", str(tmp_path / "mine"), "--workers", "1"]) == 0
    assert main(["data", "check", str(tmp_path / "mine"), "--workers", "1", "--out", str(tmp_path / "list")]) == 2
    assert "--out takes one list, and" in capsys.readouterr().err
    (tmp_path / "mine" / "val" / "dog" / "a.mp4").write_bytes(b"no video")
    assert main(["data", "check", str(tmp_path / "mine"), "--workers", "1"]) == 1
