"""Writes the old checkpoints and what the old code made of them, `expected.json`.

It was run with the code of commit 3722137 and one thread, from the root of the repository:

    git worktree add ../old 3722137
    PYTHONPATH=../old/src python tests/runs/old_checkpoints/make_old_checkpoints.py

The folder of each job is what its training left, without the logs for TensorBoard. The files of weights:

    control/weights.safetensors  `nonlocalnet convert control/last.ckpt ... --to nonlocalnet`
    several_classes/pretrained/  `save_pretrained` of `from_checkpoint("several_classes/last.ckpt")`

Checkpoints are compressed by xz, and are once decompressed the bytes that the old code wrote. Every training starts, by
`--init`, from weights made for it. In a few steps from their usual start, at zero, the blocks of the small video
networks would move the scores by less than the test can tell. And the small detector has 1.9 million parameters and no
setting for fewer: its weights are zero but for the first channels of every layer. The others get no gradient, so their
weights and momenta are zero to the end and take no space: as if the detector had so few channels.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runs.old_checkpoints import jobs
from runs.old_checkpoints.jobs import Job, Main

FILES = Path(__file__).resolve().parent
LIVE_CHANNELS = 6


def make_all() -> None:
    """Write every file into the folder of this script, in place of those that stand there."""
    from nonlocalnet.cli.main import main

    torch.set_num_threads(1)
    jobs.make_videos(Path("videos"), main=main)
    write_images(Path())
    made = {name: make_videos_job(name, job, main=main) for name, job in jobs.VIDEO_JOBS.items()}
    made |= {name: make_images_job(name, job, main=main) for name, job in jobs.IMAGE_JOBS.items()}
    folders = sorted({job.data for job in jobs.JOBS.values()})
    content = {
        "arithmetic": jobs.arithmetic(),
        "data": {folder: jobs.hash_of(Path(folder)) for folder in folders},
        "jobs": made,
    }
    (FILES / "expected.json").write_text(json.dumps(content, indent=1) + "\n")


def write_images(root: Path) -> None:
    """Both kinds of generated images."""
    from nonlocalnet.data.generated_images import write_far_cue_images, write_far_keypoint_images

    write_far_cue_images(root / "far_cue", num_train=jobs.NUM_TRAIN_IMAGES, num_val=jobs.NUM_VAL_IMAGES)
    write_far_keypoint_images(root / "far_keypoint", num_train=jobs.NUM_TRAIN_IMAGES, num_val=jobs.NUM_VAL_IMAGES)


def make_videos_job(name: str, job: Job, *, main: Main) -> dict[str, Any]:
    """Train, keep the files, and return what the old code makes of them."""
    from nonlocalnet import from_checkpoint

    data, out, last = Path(job.data), Path(name), Path(name, "last.ckpt")
    jobs.train(job, data=data, out=out, main=main, init=write_initial(name, job, with_live_blocks, main=main))
    keep(out, FILES / name)
    several = name == "several_classes"
    if several:
        from_checkpoint(last).save_pretrained(FILES / name / "pretrained")
        (FILES / name / "pretrained" / "README.md").unlink(missing_ok=True)
    if name == "control":
        jobs.run(main, "convert", last, FILES / name / "weights.safetensors", "--to", "nonlocalnet")
    with torch.inference_mode():
        of_numbers = from_checkpoint(last).scores(jobs.clips_of_numbers(), multi_label=several)
    return {
        "numbers": of_numbers.tolist(),
        "test": jobs.score_videos(job, data=data, weights=last, out=Path(f"{name}_test"), main=main),
        "predict": jobs.predict(data=data, weights=last, main=main),
        "resume": jobs.resume(job, data=data, out=out, main=main),
    }


def make_images_job(name: str, job: Job, *, main: Main) -> dict[str, Any]:
    """Train, keep the files, and return what the old code makes of them."""
    data, out, last = Path(job.data), Path(name), Path(name, "last.ckpt")
    jobs.train(job, data=data, out=out, main=main, init=write_initial(name, job, with_few_channels, main=main))
    keep(out, FILES / name)
    jobs.write_image_of_numbers(Path("numbers.png"))
    return {
        "numbers": jobs.detect(Path("numbers.png"), weights=last, main=main),
        "test": jobs.evaluate_images(job, data=data, weights=last, out=Path(f"{name}_test"), main=main),
        "resume": jobs.resume(job, data=data, out=out, main=main),
    }


def write_initial(name: str, job: Job, change: Callable[[str, Tensor], Tensor], *, main: Main) -> Path:
    """Write the weights of a first run of one step, each changed by its name, for `--init` of the run that is kept."""
    first, path = Path(f"{name}_first"), Path(f"{name}_initial.pt")
    jobs.train(replace(job, steps=1), data=Path(job.data), out=first, main=main)
    tensors = torch.load(first / "last.ckpt", weights_only=True)["state_dict"]
    own = {key.removeprefix("model."): tensor for key, tensor in tensors.items()}
    torch.save({key: change(key, tensor) for key, tensor in own.items()}, path)
    return path


def with_live_blocks(name: str, tensor: Tensor) -> Tensor:
    """Weights by which every block has a part in the scores from the start.

    A convolution of a non-local block keeps the size of its input, and the norm at a block's end is not zero.
    """
    if "_nonlocal." in name and tensor.ndim > 1:
        return tensor * (tensor.shape[1] ** -0.5 / tensor.std())
    if name.endswith("_nonlocal.norm.weight"):
        return torch.ones_like(tensor)
    return torch.full_like(tensor, 0.3) if name.endswith("norm3.weight") else tensor


def with_few_channels(name: str, tensor: Tensor) -> Tensor:
    """A slim detector's weights, zero but for the first channels of every layer.

    What a layer reads is scaled up for the channels that it lost. Only a layer's inputs and outputs have 32 places and
    more; classes, boxes and keypoints have fewer and are all kept.
    """
    if not name.endswith(("weight", "bias")):
        return tensor
    tensor = tensor.clone()
    for dim, size in list(enumerate(tensor.shape))[:2]:
        live = LIVE_CHANNELS * (7 * 7 if name.endswith("fc6.weight") and dim == 1 else 1)
        if size >= 32:
            tensor.narrow(dim, live, size - live).zero_()
            tensor *= (size / live) ** 0.5 if dim == 1 else 1
    return tensor


def keep(run: Path, folder: Path) -> None:
    """Compress the checkpoint of a run into its folder here, and copy its text files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    packed = lzma.compress((run / "last.ckpt").read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    (folder / "last.ckpt.xz").write_bytes(packed)
    for name in ("recipe.json", "metrics.csv"):
        shutil.copy(run / name, folder)


if __name__ == "__main__":
    # Paths below this folder are all that the checkpoints hold: they say nothing of the machine.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_all()
        os.chdir(FILES)
