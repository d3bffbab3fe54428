"""The trainings whose old checkpoints are kept here, their data, and what is asked of each checkpoint.

`make_old_checkpoints.py` asked it of commit 3722137, `test_old_checkpoints.py` asks it of the code as it is now. So
nothing here imports nonlocalnet: both hand in `main`, the function behind the command line.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import load_file

Main = Callable[[list[str]], int]

_SHORT = ("--schedule.milestones", "[]", "--trainer.val_every", "0", "--data.workers", "0", "--device", "cpu")
_VIDEOS = (*_SHORT, "--schedule.warmup_steps", "0", "--optim.batch_size", "4", "--optim.lr", "0.02")
_IMAGES = (
    *(*_SHORT, "--schedule.warmup_steps", "4", "--optim.batch_size", "2", "--data.min_sizes", "[64]"),
    *("--model.box_score_thresh", "0.0", "--model.box_detections_per_img", "6"),
)


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        recipe: What is trained.
        data: Folder of the data.
        steps: Steps of the old run.
        settings: What it was given besides; whoever resumes it must give the same.
    """

    recipe: str
    data: str
    steps: int
    settings: tuple[str, ...]


VIDEO_JOBS = {
    "one_class": Job("longrange_nl_c2d", "videos", 60, (*_VIDEOS, "--model.width", "2")),
    "several_classes": Job(
        "longrange_nl_c2d",
        "videos",
        60,
        (
            *(*_VIDEOS, "--data.train", "several_train.csv", "--data.val", "several_val.csv"),
            *("--data.test", "several_test.csv", "--model.multi_label", "true", "--model.dropout", "0.5"),
            *("--model.width", "1", "--model.architecture", "i3d_resnet50", "--model.pairwise", "dot_product"),
            *("--model.nonlocal_blocks", '["res3.3", "res4.5"]', "--model.zero_init", "false"),
        ),
    ),
    "control": Job(
        "longrange_nl_c2d",
        "videos",
        60,
        (*_VIDEOS, "--model.width", "1", "--model.architecture", "c2d_resnet50_control"),
    ),
}
IMAGE_JOBS = {
    "masks": Job("farcue_nl", "far_cue", 200, _IMAGES),
    "keypoints": Job("farkeypoint_nl", "far_keypoint", 200, _IMAGES),
}
JOBS = {**VIDEO_JOBS, **IMAGE_JOBS}
MORE_STEPS = 2
"""Steps that a resumed run makes."""
NUM_TRAIN_IMAGES, NUM_VAL_IMAGES = 6, 3
_CLASSES = 3
_SIZES = {"--num_train": 8, "--num_val": 2, "--num_test": 3, "--num_classes": _CLASSES, "--height": 44, "--width": 44}


def make_videos(root: Path, *, main: Main) -> None:
    """Write the generated videos, their lists, and lists of the same videos in which some have two classes."""
    run(main, "data", "generate", root, *(part for option in _SIZES.items() for part in option))
    for split in ("train", "val", "test"):
        rows = list(csv.DictReader((root / f"{split}.csv").read_text().splitlines()))
        labels = [[int(row["label"])] for row in rows]
        for two in labels[::2]:
            two.append((two[0] + 1) % _CLASSES)
        lines = [f"{row['path']},{' '.join(map(str, sorted(own)))}" for row, own in zip(rows, labels, strict=True)]
        (root / f"several_{split}.csv").write_text("\n".join(["path,label", *lines]) + "\n")


def hash_of(root: Path) -> str:
    """Of every file below a folder: the frames of a video as they are decoded, the pixels of an image, else the bytes.

    How an encoder compresses, and the conversion of its frames to RGB, depend on the build of FFmpeg.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode())
        if path.suffix == ".mp4":
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    digest.update(frame.to_ndarray(format="rgb24").tobytes())
        elif path.suffix == ".png":
            digest.update(Image.open(path).convert("RGB").tobytes())
        else:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def arithmetic() -> dict[str, str]:
    """The versions, and a hash of what plain PyTorch computes here: processors add up in different orders."""
    found: list[torch.Tensor] = []
    for channels, kernel in ((3, 7), (8, 1), (16, 3), (64, 3)):
        x = numbers(2 * channels * 4 * 24 * 28).reshape(2, channels, 4, 24, 28).requires_grad_()
        weight = numbers(32 * channels * kernel**2).reshape(32, channels, 1, kernel, kernel).requires_grad_()
        y = F.conv3d(x, weight, padding=(0, kernel // 2, kernel // 2), stride=(1, 2, 2))
        z = F.conv2d(x[:, :, 0], weight[:, :, 0], padding=kernel // 2)
        rows = F.batch_norm(y, None, None, training=True).flatten(2).transpose(1, 2)
        attended = (rows @ rows.transpose(1, 2)).softmax(dim=-1) @ rows
        (attended.square().mean() + z.sigmoid().mean()).backward()
        assert x.grad is not None
        assert weight.grad is not None
        found += [y, z, attended, x.grad, weight.grad]
    return {"torch": torch.__version__, "torchvision": torchvision.__version__, "probe": _hash(found)}


def numbers(count: int) -> torch.Tensor:
    """Floats in [-2, 2) by float64 arithmetic that is the same on every processor."""
    return (torch.arange(1, count + 1, dtype=torch.float64) * 0.6180339887498949 % 1 * 4 - 2).float()


def clips_of_numbers() -> torch.Tensor:
    """Two normalised clips, larger than the training crop, that no decoder has a part in: (2, 3, 8, 76, 80)."""
    return numbers(2 * 3 * 8 * 76 * 80).reshape(2, 3, 8, 76, 80)


def write_image_of_numbers(path: Path) -> None:
    """A bar, a rod and two squares on a background of numbers, as PNG, which loses nothing."""
    pixels = (110 + 5 * numbers(96 * 256 * 3)).to(torch.uint8).reshape(96, 256, 3)
    for rows, columns, colour in (
        ((10, 80), (2, 42), (225, 40, 40)),
        ((44, 50), (42, 200), (200, 200, 200)),
        ((12, 34), (215, 237), (200, 200, 200)),
        ((60, 82), (220, 242), (40, 70, 230)),
    ):
        pixels[slice(*rows), slice(*columns)] = torch.tensor(colour, dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(path)


def run(main: Main, *arguments: object) -> str:
    """Run one command and return what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main([str(argument) for argument in arguments])
    if code != 0:
        raise RuntimeError(f"nonlocalnet {' '.join(map(str, arguments))} ended with code {code}")
    return printed.getvalue()


def train(job: Job, *, data: Path, out: Path, main: Main, init: Path | None = None) -> None:
    """Train from the first step to `job.steps`."""
    start = () if init is None else ("--init", init)
    options = ("--schedule.steps", job.steps, "--trainer.log_every", max(1, job.steps // 4), *start)
    run(main, "train", job.recipe, *job.settings, "--data.root", data, "--out", out, *options)


def resume(job: Job, *, data: Path, out: Path, main: Main) -> dict[str, Any]:
    """Go on for `MORE_STEPS`; the rows of metrics.csv, and the weights as a hash and as norms of some tensors."""
    options = ("--resume", "--schedule.steps", job.steps + MORE_STEPS, "--trainer.log_every", 1)
    run(main, "train", job.recipe, *job.settings, "--data.root", data, "--out", out, *options)
    checkpoint = torch.load(out / "last.ckpt", weights_only=True)
    weights = dict(sorted(checkpoint["state_dict"].items()))
    floats = {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
    rows = csv.DictReader((out / "metrics.csv").read_text().splitlines())
    return {
        "step": checkpoint["global_step"],
        "rows": [{name: _number(cell) for name, cell in row.items()} for row in rows],
        "norms": {name: floats[name].double().norm().item() for name in list(floats)[:: len(floats) // 16]},
        "hash": _hash(weights.values()),
    }


def score_videos(job: Job, *, data: Path, weights: Path, out: Path, main: Main) -> dict[str, Any]:
    """The mean scores of the test videos and the figures."""
    run(main, "test", job.recipe, "--weights", weights, "--data.root", data, "--out", out, "--device", "cpu")
    summary = json.loads((out / "summary.json").read_text())
    figures = {name: summary[name] for name in ("top1", "top5", "map") if name in summary}
    return {"mean": load_file(out / "scores.safetensors")["mean"].tolist(), "figures": figures}


def predict(*, data: Path, weights: Path, main: Main) -> dict[str, Any]:
    """The most probable classes of one video."""
    options = ("--weights", weights, "--views", "2x3", "--json", "--device", "cpu")
    (found,) = json.loads(run(main, "predict", data / "test" / "00000.mp4", *options))
    return {"names": found["names"], "scores": found["scores"]}


def evaluate_images(job: Job, *, data: Path, weights: Path, out: Path, main: Main) -> dict[str, Any]:
    """All detections, in COCO's results format, and the figures."""
    run(main, "test", job.recipe, "--weights", weights, "--data.root", data, "--out", out, "--device", "cpu")
    summary = json.loads((out / "summary.json").read_text())
    kinds = [kind for kind in ("bbox", "segm", "keypoints") if kind in summary]
    results = {kind: json.loads((out / f"{kind}.json").read_text()) for kind in kinds}
    return {"results": results, "figures": {kind: summary[kind] for kind in kinds}}


def detect(image: Path, *, weights: Path, main: Main) -> list[dict[str, Any]]:
    """The objects in one image."""
    options = ("--weights", weights, "--min-score", "0", "--json", "--device", "cpu")
    (found,) = json.loads(run(main, "detect", image, *options))
    return found["objects"]


def _number(cell: str) -> str | float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell


def _hash(tensors: Iterable[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
