from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from make_videos import decode_sequentially, index_image, read_indices, write_video
from nonlocalnet.data.annotations import FrameFiles, VideoEntry, VideoList, load_video_list
from nonlocalnet.data.clips.datasets import TestVideos, TrainVideos
from nonlocalnet.data.clips.windows import ClipGeometry
from nonlocalnet.data.pixels.crops import CropBox
from nonlocalnet.data.pixels.read_image import read_rgb
from nonlocalnet.data.video.reader import VideoError
from nonlocalnet.data.video.sources import FrameFolder, VideoFile, open_source

FILES = FrameFiles("x-", 6)


def write_frames(
    folder: Path, num_frames: int, *, name: str = "x-{:06d}.jpg", height: int = 64, width: int = 96
) -> Path:
    folder.mkdir(parents=True)
    for i in range(num_frames):
        Image.fromarray(index_image(i, height, width)).save(folder / name.format(i + 1), quality=95)
    return folder


def test_a_frame_folder_is_read_like_a_video(tmp_path):
    source = FrameFolder(write_frames(tmp_path / "x", 20), FILES, fps=24.0)
    assert source.num_frames == 20
    assert source.seconds(12) == 0.5
    frames = source.read([3, 19, 3, 0])
    assert (frames.shape, frames.dtype) == ((4, 64, 96, 3), torch.uint8)
    assert read_indices(frames) == [3, 19, 3, 0]
    pixels = np.array(Image.open(tmp_path / "x" / "x-000020.jpg"))
    assert np.array_equal(frames[1].numpy(), pixels)
    small = source.read([5, 2], short_side=32)
    assert small.shape == (2, 32, 48, 3)
    assert read_indices(small) == [5, 2]
    box = CropBox(10, 5, 40, 60, 32, True)
    assert torch.equal(source.read([5, 2], crop=lambda *_: box), box.cut(source.read([5, 2])))


def test_grey_and_palette_images_become_rgb(tmp_path):
    grey = Image.fromarray(index_image(7, 16, 16)[:, :, 0])
    grey.save(tmp_path / "a.png")
    grey.convert("P").save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        assert read_rgb(tmp_path / name).tolist() == index_image(7, 16, 16).tolist()


def test_a_known_total_is_not_counted(tmp_path):
    write_frames(tmp_path / "x", 5)
    assert FrameFolder(tmp_path / "x", FILES._replace(total=3)).num_frames == 3
    short = FrameFolder(tmp_path / "x", FILES._replace(total=8))
    with pytest.raises(FileNotFoundError, match=r"frame not found: .*x-000008.jpg"):
        short.read([7])


def test_bad_frame_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder of frames not found: .*nowhere"):
        FrameFolder(tmp_path / "nowhere", FILES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match=r"empty: frame x-000001.jpg is missing, 0 others are there"):
        FrameFolder(tmp_path / "empty", FILES)
    write_frames(tmp_path / "gap", 8)
    (tmp_path / "gap" / "x-000005.jpg").unlink()
    with pytest.raises(VideoError, match=r"gap: frame x-000005.jpg is missing, 7 others are there"):
        FrameFolder(tmp_path / "gap", FILES)
    (tmp_path / "file").touch()
    with pytest.raises(VideoError, match=r"file: not a folder of frames"):
        FrameFolder(tmp_path / "file", FILES)
    with pytest.raises(ValueError, match=r"frame index 8 is out of range: the video has 8 frames, from 0"):
        FrameFolder(write_frames(tmp_path / "ok", 8), FILES).read([8])


def test_broken_images_are_named(tmp_path):
    folder = write_frames(tmp_path / "x", 3)
    cut = folder / "x-000002.jpg"
    cut.write_bytes(cut.read_bytes()[:400])
    with pytest.raises(VideoError, match=r"x-000002.jpg: the image cannot be read: .*[Tt]runcated"):
        FrameFolder(folder, FILES).read([0, 1, 2])
    cut.write_bytes(b"<html>")
    with pytest.raises(VideoError, match=r"x-000002.jpg: not an image"):
        FrameFolder(folder, FILES).read([1])


@pytest.mark.parametrize("fps", [24.0, 10.0, 4.0, 30.0])
def test_a_file_is_sampled_by_time(tmp_path, fps):
    # Ten frames a second for 2 s, then a pause, then uneven times.
    pts_ms = [*range(0, 2000, 100), 3000, 3010, 3330, 3990]
    path = write_video(tmp_path / "v.mkv", num_frames=len(pts_ms), height=64, width=64, pts_ms=pts_ms)
    source = VideoFile(path, fps=fps)
    expected = []
    for slot in range(source.num_frames):
        due = (slot + 0.5) / fps
        expected.append(max(i for i, ms in enumerate(pts_ms) if ms / 1000 < due))
    assert read_indices(source.read(range(source.num_frames))) == expected
    assert source.seconds(3) == 3 / fps
    assert source.num_frames >= round(3.99 * fps)


def test_a_file_without_rate_is_its_own_frames(tmp_path):
    path = write_video(tmp_path / "v.mp4", num_frames=12)
    with open_source(VideoEntry(path, 0)) as source:
        assert source.num_frames == 12
        assert source.seconds(5) == pytest.approx(0.5)
        assert torch.equal(source.read(range(12)), decode_sequentially(path))
        with pytest.raises(ValueError, match=r"v.mp4: frame index 12 is out of range: the video has 12 frames"):
            source.read([12])


def test_avi_is_sampled_by_time_too(tmp_path):
    source = VideoFile(write_video(tmp_path / "v.avi", num_frames=20), fps=5.0)
    assert source.num_frames == 10
    assert read_indices(source.read(range(10))) == list(range(0, 20, 2))


def test_datasets_take_frames_and_files_alike(tmp_path):
    write_frames(tmp_path / "frames" / "AAAAA", 24, name="AAAAA-{:06d}.jpg", height=64, width=64)
    (tmp_path / "files").mkdir()
    write_video(tmp_path / "files" / "AAAAA.mp4", num_frames=10, height=64, width=64)  # one second
    (tmp_path / "list.csv").write_text("id,actions,length\nAAAAA,c001 0.0 0.1;c002 0.9 1.0,1.0\n")
    geometry = ClipGeometry(4, 2)
    shown = {}
    for kind in ("frames", "files"):
        videos = load_video_list(tmp_path / "list.csv", root=tmp_path / kind, num_classes=3)
        train = TrainVideos(videos, geometry, short_side=(64, 64), crop=64, flip=0.0, seed=0)
        shown[kind] = [train[epoch, 0] for epoch in range(20)]
        views = TestVideos(videos, geometry, num_clips=2, crops="full", short_side=64)[0]
        assert views["label"].tolist() == [0, 1, 1]
        starts = [read_indices(view)[0] for view in views["views"]]
        assert starts == ([0, 17] if kind == "frames" else [0, 7])
    for frames, file in zip(shown["frames"], shown["files"], strict=True):
        first = read_indices(frames["frames"])[0]
        assert read_indices(file["frames"])[0] == int((first + 0.5) / 2.4)
        assert frames["label"].tolist() == file["label"].tolist()
        assert frames["label"].tolist() == [0, float(first / 24 <= 0.1), float((first + 6) / 24 >= 0.9)]


def test_a_broken_folder_is_replaced_in_training(tmp_path):
    write_frames(tmp_path / "good", 10)
    (tmp_path / "bad").mkdir()
    entries = tuple(VideoEntry(tmp_path / name, i, frames=FILES) for i, name in enumerate(("good", "bad")))
    dataset = TrainVideos(VideoList(entries, None, ""), ClipGeometry(2, 1), short_side=(32, 32), crop=32, seed=0)
    item = dataset[0, 1]
    assert (item["index"], item["label"], item["replaced"]) == (0, 0, True)
    assert "bad: frame x-000001.jpg is missing" in item["error"]


def test_frames_are_read_as_a_viewer_shows_them(tmp_path):
    """Turned as their EXIF data says, and 16-bit grey scaled to 8 bits, not cut off at 255."""
    turned = Image.Exif()
    turned[0x0112] = 6  # stored on its side: a quarter turn clockwise to show it
    (tmp_path / "turned").mkdir()
    Image.new("RGB", (32, 16)).save(tmp_path / "turned" / "img_00001.jpg", exif=turned)
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.full((16, 32), 128 * 257, np.uint16)).save(tmp_path / "deep" / "img_00001.png")
    frames = FrameFolder(tmp_path / "turned", FrameFiles("img_", 5)).read([0])
    assert frames.shape == (1, 32, 16, 3)
    assert (FrameFolder(tmp_path / "deep", FrameFiles("img_", 5, ".png")).read([0]) == 128).all()
