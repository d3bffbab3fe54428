"""What the working process does, with real networks, and what the command refuses."""

from __future__ import annotations

import dataclasses
import socket
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from PIL import Image

from make_images import picture
from make_videos import write_video
from nonlocalnet.commands import serve
from nonlocalnet.commands.main import main
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.runs.detection.network import build_detector
from nonlocalnet.runs.detection.serve import ServedPictures
from nonlocalnet.runs.video.serve import ServedVideos
from nonlocalnet.serving.uploads import Uploads
from nonlocalnet.serving.work import NetworkWork, open_work
from runs.detection.tiny import tiny_recipe as tiny_detection
from runs.video.tiny import tiny_network

_NONE = {**dict.fromkeys(("clip", "pairwise", "scale", "subsample", "classes", "min_score")), "typed": {}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_network(classes=("run", "<b>sit</b>", "wave")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def work(weights: Path) -> NetworkWork:
    return open_work(Namespace(weights=str(weights), device="cpu", views="1x1", **_NONE))


def test_an_upload_without_a_name_is_predicted_and_explained(work: NetworkWork, tmp_path: Path) -> None:
    content = write_video(tmp_path / "a.mp4", num_frames=12, height=32, width=48).read_bytes()
    done: list[str] = []
    with Uploads() as uploads:
        upload = uploads.make()
        upload.write(content)
        answer = work(upload.path, "</script><b>.mp4", done.append)
        upload.close()
    assert work.about == {"network": "NL C2D-50", "takes": "video"}
    assert {one["name"] for one in answer.told["classes"]} == {"run", "<b>sit</b>", "wave"}
    assert sum(one["probability"] for one in answer.told["classes"]) == pytest.approx(1)
    assert answer.told["file"] == "</script><b>.mp4"
    assert b"Where NL C2D-50 looks: &lt;/script&gt;&lt;b&gt;.mp4" in answer.page
    assert b"/proc/" not in answer.page
    assert done == ["reading and predicting", "following where the blocks look"]


@pytest.mark.parametrize("content", [b"no video" * 99, b"ffconcat version 1.0\nfile b.mp4\n", b"\x00" * 999])
def test_what_is_no_video_is_one_sentence(work: NetworkWork, tmp_path: Path, content: bytes) -> None:
    write_video(tmp_path / "b.mp4", num_frames=4)
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a video"):
        work(path, "a.mp4", print)


def test_a_network_without_blocks_says_so(tmp_path: Path) -> None:
    model = tiny_network()
    for stage in model.modules():
        for name in [name for name, _ in stage.named_children()]:
            if name.endswith("_nonlocal"):
                setattr(stage, name, torch.nn.Identity())
    path = write_video(tmp_path / "a.mp4", num_frames=12, height=32, width=48)
    answer = NetworkWork(ServedVideos(model, 1, "centre"))(path, "a.mp4", print)
    assert answer.page == b""
    assert "no non-local blocks" in answer.told["page_error"]
    assert answer.told["network"] == "C2D-50"


def test_a_detector_draws_what_it_finds(tmp_path: Path) -> None:
    recipe = tiny_detection(tmp_path)
    detector = build_detector(recipe, pretrained=False).eval()
    labels = Labels(dict(enumerate(range(7, 97), start=1)), {label: f"<i>{label}</i>" for label in range(1, 91)})
    card = DetectionCard(architecture="maskrcnn_slim_fpn", recipe=dataclasses.asdict(recipe), labels=labels.plain())
    path = tmp_path / "a.png"
    Image.fromarray(picture(48, 64)).save(path)
    answer = NetworkWork(ServedPictures(detector, card, 0.0, torch.device("cpu")))(path, "a.png", print)
    assert answer.drawing.startswith(b"\x89PNG")
    assert answer.page
    assert all({"class", "score", "box"} <= one.keys() for one in answer.told["objects"])
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a\.png cannot be read as an image"):
        NetworkWork(ServedPictures(detector, card, 0.0, torch.device("cpu")))(path, "a.png", print)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--most-mb", "0"], "--most-mb must be above 0, got 0"),
        (["--most-mb", "1e400"], "--most-mb must be above 0 and at most 1e9, got inf"),
        (["--most-seconds", "-1"], "--most-seconds must be above 0, got -1"),
        (["--most-waiting", "-1"], "--most-waiting must be at least 0, got -1"),
        (["--port", "70000"], "--port must be from 0 to 65535, got 70000"),
        (["--host", "no such machine"], "--host no such machine: "),
    ],
)
def test_bad_options_are_named(capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    assert main(["serve", "--weights", "none.ckpt", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_port_in_use_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--weights", "none.ckpt", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"nonlocalnet: error: --port {port} of 127.0.0.1 is in use; give another one")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else name)
    assert main(["serve", "--weights", "none.ckpt"]) == 2
    assert capsys.readouterr().err.endswith("serve needs uvicorn: pip install 'nonlocalnet[serve]'\n")
