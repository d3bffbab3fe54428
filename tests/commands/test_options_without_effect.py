"""An option that would do nothing is refused by its name, whatever value it has: one row a situation."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
import torch
from PIL import Image

from make_images import picture
from make_videos import write_video
from nonlocalnet.commands.main import main
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.formats import CARD_KEY, encode
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.runs.detection.network import build_detector
from nonlocalnet.runs.kinds import KINDS
from runs.detection.tiny import tiny_recipe as tiny_detection
from runs.video.tiny import tiny_network

# What is asked for is refused before anything else is looked at, so most of the files need not be there.
TEST = "test longrange_nl_c2d --weights VIDEO --data.root . --device cpu"
TEST_IMAGES = "test coco_mask_r50_nl --weights DETECTOR --data.root . --device cpu"
TRAIN = "train longrange_nl_c2d --dry-run --device cpu"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files that the rows name."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "network.safetensors").write_bytes(encode(tiny_network(), to="nonlocalnet"))
    recipe = tiny_detection(folder)
    labels = Labels(dict(enumerate(range(7, 97), start=1)), {label: str(label) for label in range(1, 91)})
    card = DetectionCard(architecture="maskrcnn_slim_fpn", recipe=dataclasses.asdict(recipe), labels=labels.plain())
    state = build_detector(recipe, pretrained=False).state_dict()
    saved = {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, CARD_KEY: card.plain()}
    torch.save({**saved, "global_step": 0}, folder / "detector.ckpt")
    (folder / "classes" / "run").mkdir(parents=True)
    write_video(folder / "classes" / "run" / "a.mp4", num_frames=12, height=32, width=48)
    Image.fromarray(picture(48, 64)).save(folder / "a.png")
    named = {"VIDEO": "network.safetensors", "DETECTOR": "detector.ckpt", "CLIP": "classes/run/a.mp4"}
    named |= {"IMAGE": "a.png", "FOLDER": "classes"}
    return {name: str(folder / path) for name, path in named.items()}


def run(command: str, files: dict[str, str]) -> int:
    return main([files.get(word, word) for word in command.split()])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"{TRAIN} --init-inflation average", "--init-inflation has no effect without --init FILE"),
        (f"{TRAIN} --init_inflation centre", "--init-inflation has no effect without --init FILE"),
        (f"{TRAIN} --init-anyway", "--init-anyway has no effect without --init FILE"),
        (f"{TRAIN} --init VIDEO --init-inflation average", "--init-inflation) has no effect on VIDEO: it is for 2-D"),
        (f"{TRAIN} --no-rescale", "--no-rescale has no effect where batch size and number of steps are the recipe's"),
        (f"{TRAIN} --batch-size 8 --optim.batch_size 4", "--batch-size is short for --optim.batch_size; give one"),
        (f"{TRAIN} --trainer.device cpu", "--device is short for --trainer.device; give one of them"),
        (f"{TRAIN} --limit 3 --data.limit 3", "--limit is short for --data.limit; give one of them"),
        (
            "train coco_mask_r50 --dry-run --schedule.length 2x --schedule.steps 3 --schedule.milestones []",
            "--schedule.length has no effect beside schedule.steps and schedule.milestones",
        ),
        (
            "train longrange_c2d --dry-run --model.pairwise gaussian",
            "no effect where model.nonlocal_blocks is 0: the netw",
        ),
        (
            "train longrange_nl_c2d --dry-run --model.inflate 3x3x3",
            "--model.inflate has no effect on a C2D: it is for i3",
        ),
        (
            "train coco_mask_r50 --dry-run --model.scale 2",
            "--model.scale has no effect without model.nonlocal_backbone",
        ),
        ("train adding_t100_gru --dry-run --data.root .", "--data.root has no effect on data.source adding: it is for"),
        (
            "train adding_t100_gru --dry-run --data.candidates 3",
            "--data.candidates has no effect on data.source adding",
        ),
        (
            "train copy_t1000_gru --dry-run --data.sounds-per-item 9",
            "has no effect on data.source copy: it is for recu",
        ),
        ("train tags --dry-run --data.units bytes", "--data.units has no effect on data.source tags: it is for texts"),
        ("train tags --dry-run --data.length 9", "--data.length has no effect on data.source tags: it is for adding"),
        (
            "train text_classes --dry-run --data.units bytes --data.max_words 9",
            "has no effect where data.units is byte",
        ),
        ("train text_classes --dry-run --data.num_train 9", "--data.num_train has no effect on data.source texts"),
        ("train sound_classes --dry-run --model.embedding_size 8", "has no effect on sound_gru: it is for tokens_*"),
        ("train adding_t100_gru --dry-run --model.n_mels 8", "--model.n_mels has no effect on features_gru: it is for"),
        ("train adding_t100_gru --dry-run --model.pairwise gaussian", "no effect where model.after is []: the network"),
        ("train adding_t100_gru --dry-run --model.num_classes 3", "has no effect on data.source adding, which asks fo"),
        ("train copy_t1000_gru --dry-run --model.pool mean", "has no effect on data.source copy, which asks for a cla"),
        (f"{TEST} --compared 16", "--compared has no effect in float32"),
        (f"{TEST} --compared 3 --no-bf16", "--compared has no effect in float32"),
        (f"{TEST} --data.train x", "--data.train has no effect on a test: it is for training"),
        (f"{TEST} --data.flip 0.5", "--data.flip has no effect on a test: it is for training"),
        (f"{TEST} --data.as-release false", "--data.as_release has no effect on a test: it is for training"),
        (f"{TEST} --trainer.seed 0", "--trainer.seed has no effect on a test: it is for training"),
        (f"{TEST} --trainer.precision auto", "--trainer.precision has no effect on a test"),
        (f"{TEST} --optim.lr 1", "--optim.lr has no effect on a test: it is for training"),
        (f'{TEST} --optim {{"lr":1}}', "lr of --optim has no effect on a test: it is for training"),
        (f"{TEST} --schedule.steps=3", "--schedule.steps has no effect on a test: it is for training"),
        (f"{TEST} --model.width 4", "--model.width has no effect on a test: the network comes from --weights"),
        (f"{TEST} --model.wid 4", "--model.width has no effect on a test: the network comes from --weights"),
        (
            f"{TEST} --data.val x",
            "--data.val has no effect on a test: its list is data.test = 'test.csv'; give --data.test",
        ),
        (f"{TEST} --views 1x1 --data.test_clips 1", "--views is short for data.test_clips and data.test_crops"),
        (f"{TEST_IMAGES} --data.flip 0", "--data.flip has no effect on a test: it is for training"),
        (f"{TEST_IMAGES} --data.train_images x", "--data.train_images has no effect on a test: it is for training"),
        (f"{TEST_IMAGES} --trainer.limit_val 3", "--trainer.limit_val has no effect on a test: it is for training"),
        ("predict CLIP --weights VIDEO --root .", "root (--root) has no effect: it is for lists of videos"),
        ("predict FOLDER --weights VIDEO --root .", "root (--root) has no effect: it is for lists of videos"),
        ("predict CLIP --weights VIDEO --compared 16 --device cpu", "--compared has no effect in float32"),
        ("features CLIP --weights VIDEO -o out --root .", "root (--root) has no effect: it is for lists of videos"),
        ("explain IMAGE --weights DETECTOR --start 0", "--start has no effect on DETECTOR: it is for videos"),
        ("explain IMAGE --weights DETECTOR --full", "--full has no effect on DETECTOR: it is for videos"),
        ("explain IMAGE --weights DETECTOR --short-side 0", "--short-side has no effect on DETECTOR: it is for videos"),
        ("explain CLIP --weights VIDEO --at 0.5,0.5,0.5", "--at says what --figure asks; give --figure FILE too"),
        ("detect IMAGE --weights DETECTOR --every 1", "--every has no effect on images: it is for videos"),
        ("inspect VIDEO --model.width 64", "--model.width has no effect on VIDEO: it holds a network of its own"),
        ("inspect DETECTOR --model.width 64", "--model.width has no effect on DETECTOR: it holds a network of its own"),
        ("inspect DETECTOR --clip 8x8", "--clip has no effect on DETECTOR: it is for networks that classify videos"),
        ("inspect c2d_resnet50 --model.pairwise gaussian", "--model.pairwise has no effect where model.nonlocal"),
        ("inspect maskrcnn_resnet50_fpn --model.scale 2", "--model.scale has no effect without model.nonlocal"),
        ("inspect coco_mask_r50 --model.num-keypoints 3", "--model.num_keypoints has no effect on a detector without"),
        ("inspect adding_t100_gru --model.pairwise gaussian", "--model.pairwise has no effect where model.after is []"),
        ("inspect copy_t1000_gru --model.pool mean", "--model.pool has no effect on data.source copy, which asks for"),
        ("inspect coco_mask_r50 --keys", "--keys has no effect on coco_mask_r50: it is for files of weights"),
        ("convert VIDEO out --to slowfast --classes kinetics400", "--classes has no effect with --to slowfast"),
        ("convert VIDEO out --to caffe2 --classes kinetics400", "--classes has no effect with --to caffe2"),
        ("convert VIDEO out --to slowfast --results .", "--results has no effect with --to slowfast"),
        ("convert VIDEO out --to mmaction2 --results .", "--results has no effect with --to mmaction2"),
        ("data check FOLDER --root .", "--root has no effect on FOLDER: class folders hold their videos"),
        ("data check FOLDER --multi-label", "--multi-label has no effect on FOLDER: class folders hold their videos"),
        ("demo --smallest --seeds 3", "--seeds has no effect with --smallest"),
        (
            "train adding_t100_gru --dry-run --schedule.warmup_factor 0.5",
            "--schedule.warmup_factor has no effect without schedule.warmup_steps",
        ),
        (
            "train adding_t100_gru --dry-run --schedule.gamma 0.5",
            "--schedule.gamma has no effect without schedule.milestones",
        ),
        (
            "train coco_mask_r50 --dry-run --data.flip_pairs []",
            "--data.flip_pairs has no effect on a detector without keypoints",
        ),
        (
            "train coco_mask_r50 --dry-run --data.keypoint_sigmas [0.1]",
            "--data.keypoint_sigmas has no effect on a detector without keypoints",
        ),
    ],
)
def test_it_is_refused_by_name(
    files: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(command, files) == 2
    for name, path in files.items():
        message = message.replace(name, path)
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        f"{TRAIN} --no-rescale --batch-size 4",
        f"{TRAIN} --no-rescale --schedule.steps 20",
        "train coco_mask_r50 --dry-run --schedule.length 2x --schedule.steps 3",
        "train farkeypoint --dry-run --data.flip_pairs []",
        f"{TRAIN} --schedule.warmup_factor 0.5",
        "predict CLIP --weights VIDEO --views 1x1 --bf16 --compared 1 --device cpu",
        "train adding_t100_gru --dry-run --data.source mentions --data.candidates 3 --model.architecture tokens_gru",
        "train adding_t100_gru --dry-run --model.after null --model.pairwise gaussian",
        "train adding_t100_gru --dry-run --config FIELDS",
        "convert VIDEO out --to nonlocalnet --classes CLASSES",
        "inspect c2d_resnet50 --model.width 4 --input 32x64x64",
        "data check FOLDER --classes CLASSES --workers 1",
    ],
)
def test_where_it_has_an_effect_it_is_taken(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in KINDS:
        monkeypatch.setattr(kind.plan, "show_plan", lambda *_: None)  # seconds of measuring
    names = tmp_path / "names.txt"
    names.write_text("run\nsit\nwave\n")
    fields = tmp_path / "fields.yaml"  # one file may serve several runs
    fields.write_text("data: {candidates: 3}\n")
    assert run(command, {**files, "CLASSES": str(names), "FIELDS": str(fields)}) == 0


def test_a_file_of_fields_may_serve_a_training_and_a_test_which_says_what_it_does_not_use(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "nonlocalnet")
    config = tmp_path / "mine.yaml"
    config.write_text("optim: {lr: 0.2}\ntrainer: {seed: 3, device: cpu}\ndata: {root: nowhere}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nonlocalnet.commands.main._log_to_stderr", lambda: None)
        assert run(f"test longrange_nl_c2d --weights VIDEO --config {config}", files) == 2  # there is no such list
    assert f"{config}: for training, and of no effect on this test: optim.lr, trainer.seed" in caplog.text


def test_a_resumed_run_of_so_many_epochs_is_as_long_as_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--num_train", "6", "--num_val", "2", "--num_test", "1", "--height", "36", "--width", "36"]
    assert main(["data", "generate", str(tmp_path / "videos"), "--num_classes", "3", *sizes]) == 0
    command = ["train", "longrange_c2d", "--data.root", str(tmp_path / "videos"), "--out", str(tmp_path / "run")]
    command += ["--batch-size", "2", "--model.width", "4", "--data.workers", "0", "--device", "cpu"]
    assert main([*command, "--epochs", "1"]) == 0
    assert "3 steps done" in capsys.readouterr().out
    assert main([*command, "--epochs", "1", "--resume"]) == 0
    assert "3 steps done" in capsys.readouterr().out
    assert main([*command, "--epochs", "2", "--resume"]) == 0
    assert "6 steps done" in capsys.readouterr().out
