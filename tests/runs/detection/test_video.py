"""Objects in videos: each frame looked at once and drawn at its own time, upright; a broken video leaves no file."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from make_videos import cut_off, decode_sequentially, write_video
from nonlocalnet.commands.main import main
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.data.video.frame_index import frame_index
from nonlocalnet.data.video.write_frames import frame_writer
from nonlocalnet.runs.detection.video import detect_video


class Finder(nn.Module):
    """Finds in every picture one object, which covers the left half."""

    def __init__(self):
        super().__init__()
        self.sizes = []
        self.roi_heads = SimpleNamespace(score_thresh=0.05)

    def forward(self, images):
        self.sizes.append(len(images))
        return [
            {
                "boxes": torch.tensor([[0.0, 0.0, image.shape[2] / 2, image.shape[1]]]),
                "labels": torch.tensor([1]),
                "scores": torch.tensor([0.9]),
            }
            for image in images
        ]


LABELS = Labels.of_categories([{"id": 7, "name": "ball"}], num_classes=2, source="a.json")


def detected(path, to, **options):
    model = Finder()
    found = detect_video(model, path, to=to, labels=LABELS, device=torch.device("cpu"), min_score=0.5, **options)
    return found, model


@pytest.mark.parametrize(("every", "rotation"), [(1, 0), (3, 90)])
def test_every_frame_at_its_own_time(every, rotation, tmp_path):
    times = [0, 100, 150, 400, 500, 900, 1000, 1100, 1150, 1300]
    video = write_video(
        tmp_path / "a.mp4", num_frames=10, height=128, width=192, pts_ms=times, rotation=rotation, audio=not rotation
    )
    (tmp_path / "out").mkdir()
    found, _ = detected(video, tmp_path / "out" / "a", every=every)
    wanted = list(range(0, 10, every))
    assert (found.frames, found.found, found.error) == (len(wanted), {"ball": len(wanted)}, "")
    lines = [json.loads(line) for line in (tmp_path / "out" / "a.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == wanted
    np.testing.assert_allclose([line["seconds"] for line in lines], [times[i] / 1000 for i in wanted], atol=1e-3)
    height, width = (192, 128) if rotation else (128, 192)
    assert lines[0]["objects"][0]["box"] == [0, 0, width / 2, height]
    drawn = decode_sequentially(tmp_path / "out" / "a.mp4")
    assert drawn.shape == (len(wanted), height, width, 3)
    np.testing.assert_allclose(
        frame_index(tmp_path / "out" / "a.mp4").seconds, [times[i] / 1000 for i in wanted], atol=1e-3
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.mp4", "a.jsonl"}


def test_what_is_written_is_what_is_read(tmp_path):
    """Odd sides get a row and a column more; colours stay what they are."""
    colours = torch.tensor([[200, 30, 40], [20, 160, 60], [30, 40, 220]], dtype=torch.uint8)
    with frame_writer(tmp_path / "a.mp4", rate=10) as write:
        for i, colour in enumerate(colours):
            write(colour[:, None, None].expand(3, 63, 95), i / 10)
    read = decode_sequentially(tmp_path / "a.mp4")
    assert read.shape == (3, 64, 96, 3)
    torch.testing.assert_close(read[:, 32, 48].int(), colours.int(), atol=6, rtol=0)


def test_a_broken_video_leaves_nothing(tmp_path):
    video = cut_off(write_video(tmp_path / "a.avi", codec="mpeg4"), 0.6)
    (tmp_path / "out").mkdir()
    found, _ = detected(video, tmp_path / "out" / "a")
    assert str(video) in found.error
    assert not list((tmp_path / "out").iterdir())
    assert "video file not found" in detected(tmp_path / "none.mp4", tmp_path / "out" / "a")[0].error


def test_a_damaged_frame_leaves_nothing(tmp_path):
    """The scan finds nothing wrong here; the decoder does, after frames were drawn."""
    video = write_video(tmp_path / "a.mp4", num_frames=40)
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + len(content) // 2
    content[start : start + 400] = bytes(400)
    video.write_bytes(content)
    (tmp_path / "out").mkdir()
    found, model = detected(video, tmp_path / "out" / "a")
    assert found.error
    assert model.sizes  # some were
    assert not list((tmp_path / "out").iterdir())


def test_a_video_needs_a_folder(tmp_path, capsys):
    assert main(["detect", "a.mp4", "--weights", "w.ckpt"]) == 2
    assert "a.mp4 is a video: give a folder for its drawing and what is found, -o DIR" in capsys.readouterr().err
    assert main(["detect", "a.png", "--weights", "w.ckpt", "--every", "0"]) == 2
    assert "--every must be at least 1, got 0" in capsys.readouterr().err
