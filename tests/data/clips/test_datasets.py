import pickle
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from make_videos import cut_off, read_indices, write_video
from nonlocalnet.data.annotations import UNLABELLED, Action, VideoEntry, VideoList, multi_hot
from nonlocalnet.data.batches import StepBatchSampler
from nonlocalnet.data.clips import datasets
from nonlocalnet.data.clips.datasets import TestVideos, TrainVideos
from nonlocalnet.data.clips.random_views import RandomViews
from nonlocalnet.data.clips.windows import ClipGeometry, random_clip
from nonlocalnet.data.pixels.crops import random_crop
from nonlocalnet.data.video.reader import VideoError, VideoReader, read_frames

GEOMETRY = ClipGeometry(4, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for i, num_frames in enumerate((20, 12, 5, 30)):
        write_video(folder / f"{i}.mp4", num_frames=num_frames, height=48, width=64)
    cut_off(write_video(folder / "broken.mp4"), 0.5)
    write_video(folder / "one.mp4", num_frames=1, height=48, width=64)
    return folder


def video_list(folder: Path, *names: str) -> VideoList:
    entries = tuple(VideoEntry(folder / name, label) for label, name in enumerate(names))
    return VideoList(entries, None, "some list")


def train_videos(folder: Path, *names: str, **options) -> TrainVideos:
    sizes = {"short_side": (32, 40), "crop": 32, "seed": 0}
    return TrainVideos(video_list(folder, *names), GEOMETRY, **{**sizes, **options})


GOOD = ("0.mp4", "1.mp4", "2.mp4", "3.mp4")


def test_a_training_item(folder):
    item = train_videos(folder, *GOOD)[0, 3]
    assert item["frames"].shape == (4, 32, 32, 3)
    assert item["frames"].dtype == torch.uint8
    assert {key: item[key] for key in ("label", "index", "replaced", "error")} == {
        "label": 3,
        "index": 3,
        "replaced": False,
        "error": "",
    }


def test_a_training_clip_is_the_right_frames(folder):
    # Nothing to draw in space: the whole of a square video at its own size.
    write_video(folder / "square.mp4", num_frames=20, height=64, width=64)
    dataset = train_videos(folder, "square.mp4", short_side=(64, 64), crop=64, flip=0.0)
    starts = set()
    for epoch in range(60):
        indices = read_indices(dataset[epoch, 0]["frames"])
        assert indices == [indices[0] + 2 * i for i in range(4)]
        starts.add(indices[0])
    assert starts == set(range(20 - 7 + 1))


def test_a_training_clip_as_the_release_cuts_it(folder):
    write_video(folder / "square.mp4", num_frames=20, height=64, width=64)
    whole = train_videos(folder, "square.mp4", short_side=(64, 64), crop=64, flip=0.0, as_release=True)
    assert {read_indices(whole[epoch, 0]["frames"])[0] for epoch in range(60)} == set(range(20 - 8 + 1))
    frames = train_videos(folder, "0.mp4", as_release=True)[0, 0]["frames"]
    ours = train_videos(folder, "0.mp4")[0, 0]["frames"]
    assert frames.shape == ours.shape
    assert not torch.equal(frames, ours)


def test_a_random_view_is_its_video_s_or_blank(folder):
    videos = train_videos(folder, "0.mp4", "broken.mp4", "3.mp4", as_release=True)
    views = RandomViews(videos)
    assert torch.equal(views[2]["views"][0], videos[0, 2]["frames"])
    assert torch.equal(views[2]["views"], views[2]["views"])
    assert not views[1]["views"].any()
    assert "broken.mp4" in views[1]["error"]
    assert (views[1]["label"], views[1]["index"], len(views)) == (1, 1, 3)


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_training_clip_equals_reading_then_cropping(folder, rotation):
    path = write_video(folder / f"turned{rotation}.mp4", height=90, width=120, rotation=rotation)
    dataset = train_videos(folder, path.name)
    for epoch in range(5):
        generator = datasets._generator(0, epoch, 0, 0)
        frames = read_frames(path, random_clip(40, GEOMETRY, generator=generator))
        expected = random_crop(frames, short_side=(32, 40), crop=32, generator=generator)
        assert torch.equal(dataset[epoch, 0]["frames"], expected)


def test_short_videos_loop(folder):
    write_video(folder / "short.mp4", num_frames=5, height=64, width=64)
    dataset = train_videos(folder, "short.mp4", short_side=(64, 64), crop=64, flip=0.0)
    assert read_indices(dataset[0, 0]["frames"]) == [0, 2, 4, 1]


def test_every_choice_is_a_function_of_seed_epoch_and_index(folder):
    first, second = train_videos(folder, *GOOD), train_videos(folder, *GOOD)
    keys = [(epoch, index) for epoch in range(3) for index in range(4)]
    items = {key: first[key]["frames"] for key in keys}
    for key in reversed(keys):
        torch.rand(5)
        assert torch.equal(second[key]["frames"], items[key])
    assert not torch.equal(items[0, 0], items[1, 0])
    assert not torch.equal(train_videos(folder, *GOOD, seed=1)[0, 0]["frames"], items[0, 0])


def test_workers_change_nothing(folder):
    dataset = train_videos(folder, *GOOD)

    def batches(workers):
        sampler = StepBatchSampler(4, global_batch_size=3, total_steps=4, seed=0)
        return list(DataLoader(dataset, batch_sampler=sampler, num_workers=workers))

    for alone, spread in zip(batches(0), batches(2), strict=True):
        assert alone["frames"].shape == (3, 4, 32, 32, 3)
        assert alone["label"].dtype == torch.int64
        assert alone["replaced"].dtype == torch.bool
        assert torch.equal(alone["frames"], spread["frames"])
        assert torch.equal(alone["label"], spread["label"])


def test_an_unreadable_video_is_replaced_and_named(folder):
    dataset = train_videos(folder, "0.mp4", "broken.mp4", "gone.mp4", "3.mp4")
    items = [dataset[epoch, index] for epoch in range(5) for index in range(4)]
    for item, asked in zip(items, [0, 1, 2, 3] * 5, strict=True):
        assert item["index"] in (0, 3)
        assert item["label"] == item["index"]
        assert item["replaced"] == (asked in (1, 2))
        assert ("broken.mp4" in item["error"]) == (asked == 1)
        assert ("video file not found" in item["error"]) == (asked == 2)
        assert item["frames"].any()
    assert {item["index"] for item in items if item["replaced"]} == {0, 3}
    assert "broken.mp4: not a video, or cut off before its header" in items[1]["error"]


def test_the_replacement_is_a_function_of_the_key(folder):
    names = ("broken.mp4", "0.mp4", "1.mp4", "3.mp4")
    first, second = train_videos(folder, *names), train_videos(folder, *names)
    shown = [first[epoch, 0]["index"] for epoch in range(12)]
    assert shown == [second[epoch, 0]["index"] for epoch in range(12)]
    assert set(shown) == {1, 2, 3}


def test_nothing_readable_ends_with_an_error(folder):
    dataset = train_videos(folder, "broken.mp4", "gone.mp4")
    with pytest.raises(VideoError, match=r"some list: 21 videos drawn .* cannot be read; the first: .*broken.mp4"):
        dataset[0, 0]


def test_other_errors_are_not_swallowed(folder, monkeypatch):
    def wrong(*args, **kwargs):
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(VideoReader, "read", wrong)
    with pytest.raises(ValueError, match="a mistake of ours"):
        train_videos(folder, *GOOD)[0, 0]
    with pytest.raises(ValueError, match="a mistake of ours"):
        TestVideos(video_list(folder, *GOOD), GEOMETRY, short_side=32, crop=32)[0]


def test_a_clip_from_a_video_of_one_frame_is_still_and_says_so(folder):
    dataset = train_videos(folder, "one.mp4", short_side=(48, 48), crop=48)
    for epoch in range(3):
        item = dataset[epoch, 0]
        assert item["frames"].shape == (4, 48, 48, 3)
        assert torch.equal(item["frames"], item["frames"][:1].expand_as(item["frames"]))
        assert item["note"].endswith("one.mp4: the video has 1 frame; its clips repeat it 4 times")
    assert train_videos(folder, *GOOD)[0, 0]["note"] == ""


def test_datasets_can_be_pickled(folder):
    dataset = train_videos(folder, *GOOD)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0, 0]["frames"], dataset[0, 0]["frames"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 33}, r"crop must be from 1 to the smallest short_side \(32\), got 33"),
        ({"short_side": (40, 32)}, "short_side must be"),
        ({"flip": -0.1}, "flip must be a probability"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_training_sizes_are_checked_at_once(folder, options, message):
    with pytest.raises(ValueError, match=message):
        train_videos(folder, *GOOD, **options)


def test_index_out_of_range(folder):
    with pytest.raises(IndexError, match="index 4 is out of range: 4 videos"):
        train_videos(folder, *GOOD)[0, 4]


def test_views_are_clips_then_crops(folder):
    write_video(folder / "wide.mp4", num_frames=20, height=64, width=128)
    dataset = TestVideos(video_list(folder, "wide.mp4"), GEOMETRY, num_clips=3, crops="three", short_side=64, crop=64)
    assert dataset.views_per_video == 9
    item = dataset[0]
    assert item["views"].shape == (9, 4, 64, 64, 3)
    assert (item["label"], item["index"], item["error"]) == (0, 0, "")
    wide = TestVideos(video_list(folder, "wide.mp4"), GEOMETRY, num_clips=3, crops="full", short_side=64)[0]["views"]
    # Span 7: starts 0, 6.5 rounded down, 13.
    assert [read_indices(view) for view in wide] == [[0, 2, 4, 6], [6, 8, 10, 12], [13, 15, 17, 19]]
    for clip in range(3):
        for crop, left in enumerate((0, 32, 64)):
            assert torch.equal(item["views"][3 * clip + crop], wide[clip][:, :, left : left + 64])


def test_labels_of_a_clip_are_what_is_seen_during_it(folder):
    # 40 frames at 10 a second; a clip of 4 at stride 2 lasts from its first frame at t to t + 0.6.
    path = write_video(folder / "acted.mp4", num_frames=40, height=64, width=64)
    actions = (Action(1, 0.0, 1.0), Action(3, 1.25, 1.26), Action(4, 2.0, 9.0), Action(1, 3.5, 3.5))
    videos = VideoList((VideoEntry(path, multi_hot([1, 3, 4], 5), actions),), None, "a list")
    dataset = TrainVideos(videos, GEOMETRY, short_side=(64, 64), crop=64, flip=0.0, seed=0)
    seen = set()
    for epoch in range(80):
        item = dataset[epoch, 0]
        first = read_indices(item["frames"])[0]
        last = first + 6
        expected = {1: first <= 10 or last >= 35, 3: first <= 12 and last >= 13, 4: last >= 20}
        assert item["label"].tolist() == [float(expected.get(label, False)) for label in range(5)], first
        seen.add(tuple(expected.values()))
    assert len(seen) >= 4
    views = TestVideos(videos, GEOMETRY, short_side=64, crop=64)
    assert views[0]["label"].tolist() == [0, 1, 0, 1, 1]
    batch = next(iter(DataLoader(dataset, batch_sampler=[[(0, 0), (1, 0)]])))
    assert (batch["label"].shape, batch["label"].dtype) == ((2, 5), torch.float32)


def test_a_looped_clip_has_the_labels_of_its_video(folder):
    entry = VideoEntry(folder / "2.mp4", multi_hot([0, 1], 3), (Action(0, 0.0, 0.1), Action(1, 0.4, 0.4)))
    dataset = TrainVideos(VideoList((entry,), None, ""), GEOMETRY, short_side=(48, 48), crop=48, seed=0)
    assert dataset[0, 0]["label"].tolist() == [1, 1, 0]


def test_multi_label_videos_without_times_give_clips_their_labels(folder):
    entry = VideoEntry(folder / "0.mp4", multi_hot([2], 3))
    dataset = TrainVideos(VideoList((entry,), None, ""), GEOMETRY, short_side=(48, 48), crop=48, seed=0)
    assert dataset[0, 0]["label"].tolist() == [0, 0, 1]


def test_nothing_to_train_on_without_labels(folder):
    videos = VideoList((VideoEntry(folder / "0.mp4", UNLABELLED),), None, "test.csv")
    with pytest.raises(ValueError, match=r"test.csv: this list has no labels"):
        TrainVideos(videos, GEOMETRY, seed=0)
    assert TestVideos(videos, GEOMETRY, short_side=48, crop=48)[0]["label"] == UNLABELLED


def test_a_video_is_decoded_once_for_all_views(folder, monkeypatch):
    calls = []

    def counting(reader, indices, **options):
        calls.append(list(indices))
        return real(reader, indices, **options)

    real = VideoReader.read
    monkeypatch.setattr(VideoReader, "read", counting)
    TestVideos(video_list(folder, "3.mp4"), GEOMETRY, num_clips=10, short_side=32, crop=32)[0]
    assert len(calls) == 1
    assert len(set(calls[0])) == len(calls[0]) <= 30


def test_centre_views(folder):
    dataset = TestVideos(video_list(folder, *GOOD), GEOMETRY, num_clips=2, crops="centre", short_side=32, crop=24)
    assert dataset.views_per_video == 2
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch["views"].shape == (4, 2, 4, 24, 24, 3)
    assert batch["label"].tolist() == batch["index"].tolist() == [0, 1, 2, 3]
    assert batch["error"] == [""] * 4


@pytest.mark.parametrize(("crops", "shape"), [("three", (6, 4, 24, 24, 3)), ("full", (2, 4, 32, 32, 3))])
def test_an_unreadable_video_gives_zeros_and_its_error(folder, crops, shape):
    dataset = TestVideos(
        video_list(folder, "0.mp4", "broken.mp4", "gone.mp4"),
        GEOMETRY,
        num_clips=2,
        crops=crops,
        short_side=32,
        crop=24,
    )
    for index, reason in ((1, "broken.mp4: not a video"), (2, "video file not found: ")):
        item = dataset[index]
        assert item["views"].shape == shape
        assert not item["views"].any()
        assert item["label"] == index
        assert reason in item["error"]
    assert dataset[0]["views"].shape[0] == shape[0] == dataset.views_per_video


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clips": 0}, "num_clips must be from 1 to 1000 clips of a video, got 0"),
        ({"crops": "two"}, "crops must be one of three, centre, full, got 'two'"),
        ({"crop": 300}, r"crop must be from 1 to short_side \(256\), got 300"),
    ],
)
def test_test_sizes_are_checked_at_once(folder, options, message):
    with pytest.raises(ValueError, match=message):
        TestVideos(video_list(folder, *GOOD), GEOMETRY, **options)
