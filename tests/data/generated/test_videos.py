import csv
import itertools
import math
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from make_videos import decode_sequentially
from nonlocalnet.data.annotations import load_video_list
from nonlocalnet.data.generated import videos as generated
from nonlocalnet.data.generated.videos import PALETTE, Scene, draw_scenes, render, write_long_range_videos
from nonlocalnet.data.video.reader import probe
from nonlocalnet.system.errors import OutputError

ROUND = 2 * 4 * 3  # every (cue, upper, lower) of 4 classes
SMALL = {"num_classes": 4, "num_train": 8, "num_val": 3, "num_test": 2, "height": 32, "width": 32, "num_frames": 8}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return draw_scenes(10 * ROUND, num_classes=4, seed=3, split="train", num_distractors=2)


def label_counts(scenes, given) -> dict[object, Counter[int]]:
    """How often each label occurs, for each value of what is seen."""
    counts = defaultdict(Counter)
    for scene in scenes:
        counts[given(scene)][scene.label] += 1
    return counts


def test_the_cue_says_which_object_names_the_class(scenes):
    for scene in scenes:
        assert scene.upper != scene.lower
        assert scene.label == (scene.upper, scene.lower)[scene.cue]


def test_classes_are_balanced(scenes):
    assert set(Counter(scene.label for scene in scenes).values()) == {60}


def test_the_cue_alone_says_nothing(scenes):
    for counts in label_counts(scenes, lambda scene: scene.cue).values():
        assert set(counts.values()) == {30}


def test_both_objects_with_their_places_leave_a_coin_toss(scenes):
    counts_of = label_counts(scenes, lambda scene: (scene.upper, scene.lower))
    assert len(counts_of) == 12
    for pair, counts in counts_of.items():
        assert counts == {pair[0]: 10, pair[1]: 10}


def test_the_bag_of_local_contents_leaves_a_coin_toss(scenes):
    """Claim 1 of the docstring: no function of what there is, without where, is right in more than half the videos."""
    counts_of = label_counts(scenes, lambda scene: (scene.cue, frozenset({scene.upper, scene.lower})))
    best = sum(max(counts.values()) for counts in counts_of.values())
    assert best == len(scenes) / 2


def test_distractors_say_nothing(scenes):
    counts_of = label_counts(
        draw_scenes(4000, num_classes=4, seed=0, split="train", num_distractors=1), lambda scene: scene.distractors
    )
    for counts in counts_of.values():
        assert all(count == pytest.approx(250, abs=70) for count in counts.values())


def test_the_margins_of_any_sum_cancel():
    """Claim 2 of the docstring: over the four configurations of a pair, right minus wrong sums to 0 for any u and v."""
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 4)), rng.normal(size=(4, 4, 4))  # u[cue, class], v[upper, lower, class]
    for a, b in itertools.combinations(range(4), 2):
        margins = []
        for cue, (upper, lower) in itertools.product((0, 1), ((a, b), (b, a))):
            right, wrong = (upper, lower) if cue == 0 else (lower, upper)
            score = u[cue] + v[upper, lower]
            margins.append(score[right] - score[wrong])
        assert sum(margins) == pytest.approx(0)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_sum_by_cross_entropy_is_a_coin_toss_and_a_product_solves_it(scenes, seed):
    """Fits score = u[cue] + v[upper, lower] + distractors by full-batch descent: it ends at log 2 and no better."""
    torch.manual_seed(seed)
    labels = torch.tensor([scene.label for scene in scenes])
    cue = torch.tensor([scene.cue for scene in scenes])
    pair = torch.tensor([4 * scene.upper + scene.lower for scene in scenes])

    def fitted_loss_and_accuracy(features):
        weights = torch.nn.Linear(features.shape[1], 4, dtype=torch.float64)
        optimiser = torch.optim.LBFGS(weights.parameters(), max_iter=300, line_search_fn="strong_wolfe")

        def closure():
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(weights(features), labels)
            loss.backward()
            return loss

        optimiser.step(closure)
        return closure().item(), (weights(features).argmax(1) == labels).double().mean().item()

    one_hot = torch.nn.functional.one_hot
    local = torch.cat([one_hot(cue, 2), one_hot(pair, 16)], dim=1).double()
    loss, _ = fitted_loss_and_accuracy(local)
    assert loss == pytest.approx(math.log(2), abs=1e-3)
    relation = one_hot(16 * cue + pair, 32).double()
    loss, accuracy = fitted_loss_and_accuracy(relation)
    assert loss < 0.05
    assert accuracy == 1


def test_draws_are_seeded_and_splits_differ():
    def draw(**changes):
        return draw_scenes(**{"num_videos": 50, "num_classes": 4, "seed": 0, "split": "train", **changes})

    assert draw() == draw()
    assert draw() != draw(seed=1)
    assert draw() != draw(split="val")
    assert len({scene.pixel_seed for scene in [*draw(), *draw(split="val"), *draw(split="test")]}) == 150


def test_counts_that_do_not_divide_are_balanced_to_within_one():
    counts = Counter(scene[:3] for scene in draw_scenes(100, num_classes=4, seed=0, split="val"))
    assert set(counts.values()) == {4, 5}


def shows(frames: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((frames == colour).all(axis=-1).any())


def test_rendering_is_seeded_and_shows_each_thing_where_and_when_it_should_be():
    side = 64 // 4
    for scene in draw_scenes(ROUND, num_classes=4, seed=0, split="train", num_distractors=1):
        frames = render(scene, num_frames=16, height=64, width=96, noise=0.0)
        assert frames.shape == (16, 64, 96, 3)
        assert np.array_equal(frames, render(scene, num_frames=16, height=64, width=96, noise=0.0))
        changed = (frames != frames[0, 0, 48]).any(axis=-1)  # the middle column shows background in the early frames
        square = 4 * side * side  # shown in 4 of 16 frames
        early, between, late = changed[:4], changed[4:12], changed[12:]
        assert early.sum() == early[:, :, : 6 + side].sum() == square
        assert between.sum() == between[:, :, 32:64].sum() == square
        upper, lower = late[:, :32, 90 - side :], late[:, 32:, 90 - side :]
        assert upper.sum() == lower.sum() == late.sum() / 2 == square
        assert shows(frames[:4], ((250, 250, 250), (5, 5, 5))[scene.cue])
        assert shows(frames[12:, :32], PALETTE[scene.upper][1])
        assert shows(frames[12:, 32:], PALETTE[scene.lower][1])
        assert shows(frames[4:12], PALETTE[scene.distractors[0]][1])


def test_noise_is_of_the_given_strength():
    scene = draw_scenes(1, num_classes=2, seed=0, split="test")[0]
    middle = render(scene, noise=9.0)[6:10].astype(float)
    assert middle.std() == pytest.approx(9, rel=0.05)


def test_written_files(tmp_path):
    seen = []
    target = tmp_path / "new" / "videos"
    assert write_long_range_videos(target, **SMALL, fps=5, seed=1, on_video=lambda: seen.append(1)) == target
    assert sorted(path.name for path in target.iterdir()) == [
        "classes.txt",
        "test",
        "test.csv",
        "train",
        "train.csv",
        "val",
        "val.csv",
    ]
    assert len(seen) == 13
    assert (target / "classes.txt").read_text().split() == ["red", "green", "blue", "yellow"]
    with (target / "train.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [f"train/{i:05d}.mp4" for i in range(8)]
    scenes = draw_scenes(8, num_classes=4, seed=1, split="train")
    assert [int(row["label"]) for row in rows] == [scene.label for scene in scenes]

    info = probe(target / "train" / "00000.mp4")
    assert (info.num_frames, info.height, info.width, info.codec) == (8, 32, 32, "h264")
    assert info.fps == pytest.approx(5)
    pixels = render(scenes[0], num_frames=8, height=32, width=32)
    decoded = decode_sequentially(target / "train" / "00000.mp4").numpy()
    assert np.abs(decoded.astype(float) - pixels).mean() < 4

    videos = load_video_list(target / "val.csv", num_classes=4)
    assert videos.class_names == ("red", "green", "blue", "yellow")
    assert len(videos.entries) == 3


def test_videos_do_not_hang_on_what_is_encoded_beside_them(tmp_path, monkeypatch):
    """Each is encoded in a thread; x264 with B frames gave other pixels now and then, in most runs of this test."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    made = [
        write_long_range_videos(tmp_path / str(n), num_train=40, num_val=0, num_test=0, num_frames=16) for n in range(4)
    ]
    files = [[path.read_bytes() for path in sorted(folder.rglob("*.mp4"))] for folder in made]
    assert len(files[0]) == 40
    assert files.count(files[0]) == 4


def test_same_seed_same_files(tmp_path):
    for name in ("one", "two"):
        write_long_range_videos(tmp_path / name, **SMALL)
    for path in sorted((tmp_path / "one").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path


def test_a_split_of_no_videos_is_left_out(tmp_path):
    write_long_range_videos(tmp_path / "v", **{**SMALL, "num_val": 0, "num_test": 0})
    assert {path.name for path in (tmp_path / "v").iterdir()} == {"train", "train.csv", "classes.txt"}


def test_an_empty_folder_is_filled_in_place(tmp_path):
    target = tmp_path / "empty"
    target.mkdir()
    inode = target.stat().st_ino
    write_long_range_videos(target, **SMALL)
    assert target.stat().st_ino == inode
    assert (target / "train.csv").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match=f"{tmp_path} exists and is not empty; give a new or empty folder"):
        write_long_range_videos(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match=r"mine.txt exists and is not a folder"):
        write_long_range_videos(tmp_path / "mine.txt", **SMALL)


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def stop(path: Path, *args):
        if path.name == "00005.mp4":
            raise OSError(28, "No space left on device")
        path.write_bytes(b"half a video")

    monkeypatch.setattr(generated, "_encode", stop)
    with pytest.raises(OutputError, match=r"cannot write .*/v: No space left"):
        write_long_range_videos(tmp_path / "v", **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_train": 0}, "num_train must be from 1 to 1000000, got 0"),
        ({"num_val": -1}, "num_val must be from 0 to 1000000, got -1"),
        ({"num_classes": 1}, "num_classes must be from 2 to 8, got 1"),
        ({"num_classes": 9}, "num_classes must be from 2 to 8, got 9"),
        ({"num_frames": 3}, "num_frames must be from 4 to 10000, got 3"),
        ({"height": 33}, "height must be even for H.264 4:2:0, got 33; use 34"),
        ({"width": 16}, "width must be from 32 to 4096, got 16"),
        ({"fps": 0}, "fps must be from 1 to 1000, got 0"),
        ({"noise": -1.0}, "noise must be from 0 to 60, got -1.0"),
        ({"noise": float("nan")}, "noise must be from 0 to 60, got nan"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"num_distractors": -1}, "num_distractors must be from 0 to 1000, got -1"),
    ],
)
def test_settings_out_of_range(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write_long_range_videos(tmp_path / "v", **{**SMALL, **changes})
    assert list(tmp_path.iterdir()) == []
