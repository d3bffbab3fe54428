"""`nonlocalnet explain` on videos and pictures, by the command alone."""

import json
import re

import pytest

from nonlocalnet.commands.main import main
from nonlocalnet.data.generated.images import write_far_cue_images

TINY = ["--schedule.steps", "1", "--schedule.milestones", "[]", "--optim.batch_size", "2", "--device", "cpu"]


def data_of(page):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1]
    return json.loads(text)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    sizes = ["--num_train", "4", "--num_val", "2", "--num_test", "1", "--height", "36", "--width", "48"]
    assert main(["data", "generate", str(folder / "videos"), "--num_classes", "3", *sizes]) == 0
    run = ["train", "longrange_nl_c2d", "--data.root", str(folder / "videos"), "--out", str(folder / "run"), *TINY]
    assert main([*run, "--model.width", "4", "--data.workers", "0", "--schedule.warmup_steps", "0"]) == 0
    return next((folder / "videos").rglob("*.mp4")), folder / "run" / "last.ckpt"


def test_a_video_gets_a_page_and_a_figure(job, tmp_path, capsys):
    video, weights = job
    page, figure = tmp_path / "page.html", tmp_path / "figure.svg"
    command = ["explain", str(video), "--weights", str(weights), "-o", str(page), "--figure", str(figure)]
    assert main([*command, "--at", "1,0,0.5", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "where the blocks look" in shown
    assert "red" in shown
    data = data_of(page)
    assert data["title"] == video.name
    assert [len(data["pictures"]), data["size"]] == [8, [8, 40, 40]]
    assert len(data["seconds"]) == 8
    assert {name for name, _ in data["predictions"]} == {"red", "green", "blue"}
    assert figure.read_text().startswith("<?xml")


def test_the_whole_frame_larger_and_some_blocks(job, tmp_path):
    video, weights = job
    page = tmp_path / "page.html"
    command = ["explain", str(video), "--weights", str(weights), "-o", str(page), "--device", "cpu", "--full"]
    assert main([*command, "--short-side", "72", "--blocks", "res4.1_nonlocal", "--clip", "4x1", "--start", "0.1"]) == 0
    data = data_of(page)
    assert data["size"] == [4, 72, 96]
    assert [block["name"] for block in data["blocks"]] == ["res4.1_nonlocal"]


def test_a_detectors_picture_gets_a_page(tmp_path):
    images = write_far_cue_images(tmp_path / "images", num_train=2, num_val=2)
    sizes = ["--data.min_sizes", "[48]", "--model.box_score_thresh", "0.0"]
    assert main(["train", "farcue_nl", "--data.root", str(images), "--out", str(tmp_path / "run"), *TINY, *sizes]) == 0
    picture = next(images.rglob("*.jpg"), None) or next(images.rglob("*.png"))
    page = tmp_path / "page.html"
    command = ["explain", str(picture), "--weights", str(tmp_path / "run" / "last.ckpt"), "-o", str(page)]
    assert main([*command, "--device", "cpu"]) == 0
    data = data_of(page)
    assert (data["axes"], len(data["pictures"])) == (2, 1)
    assert {name for name, _ in data["predictions"]} <= {"warm", "cold"}
    assert main([*command, "--clip", "8x1"]) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "page.txt"], "--out must end in .html, .htm, got 'page.txt'"),
        (["--figure", "f.gif"], "--figure must end in .svg, .png, .pdf, got 'f.gif'"),
        (["--at", "0,0,0"], "--at says what --figure asks; give --figure FILE too"),
        (["--at", "2,0,0", "--figure", "f.png"], "--at must be three fractions t,y,x from 0 to 1"),
        (["-o", "no/such/page.html"], "there is no folder no/such"),
        (["-o", "{video}/page.html"], "make it, or give another place"),
        (["--figure", "no/such/f.png"], "--figure no/such/f.png: there is no folder no/such"),
        (["--start", "99"], "start (--start) must be in the video's"),
        (["--short-side", "2"], "short_side (--short-side) must leave at least"),
        (["--blocks", "res9"], "block 'res9' is not in the model; its non-local blocks are res3.1_nonlocal"),
        (["--most-mb", "0"], "--most-mb must be above 0, got 0"),
        (["--most-mb", "1e305"], "--most-mb must be above 0 and at most 1e9, got 1e+305"),
        (["--most-mb", "0.01"], "the page does not fit into 0.01 MB, since it may take 0."),
    ],
)
def test_bad_options_are_named_and_leave_nothing(job, tmp_path, monkeypatch, capsys, options, words):
    video, weights = job
    monkeypatch.chdir(tmp_path)
    options = [option.format(video=video) for option in options]
    assert main(["explain", str(video), "--weights", str(weights), "--device", "cpu", *options]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--out", "--figure"])
def test_neither_page_nor_figure_takes_the_place_of_what_is_read(job, tmp_path, capsys, option):
    video, weights = job
    ending = ".html" if option == "--out" else ".png"
    for read in (video, weights):
        link = tmp_path / f"{read.name}{ending}"
        link.symlink_to(read)
        before = read.read_bytes()
        assert main(["explain", str(video), "--weights", str(weights), option, str(link), "--device", "cpu"]) == 2
        assert f"{option} {link} is read by this command, and would be written over" in capsys.readouterr().err
        assert read.read_bytes() == before


def test_what_is_no_video_is_one_sentence(job, tmp_path, capsys):
    picture = tmp_path / "a.mp4"
    picture.write_bytes(b"no video" * 100)
    assert main(["explain", str(picture), "--weights", str(job[1]), "-o", str(tmp_path / "a.html")]) == 2
    assert capsys.readouterr().err.count("nonlocalnet: error") == 1
    assert main(["explain", str(tmp_path / "none.mp4"), "--weights", str(job[1])]) == 2
    assert "none.mp4: there is no such file" in capsys.readouterr().err


def test_keys_in_one_place_have_no_distance(job, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    video, weights = job
    assert (
        main(["explain", str(video), "--weights", str(weights), "-o", str(tmp_path / "p.html"), "--device", "cpu"]) == 0
    )
    rows = [line for line in capsys.readouterr().out.splitlines() if "_nonlocal" in line and "│" in line]
    assert len(rows) == 5
    for row in rows:
        assert (" px" in row) == ("x1x1" not in row)
