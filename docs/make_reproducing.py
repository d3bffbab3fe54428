"""Writes docs/reproducing.md from the recipes; a test holds the page to them.

python docs/make_reproducing.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from nonlocalnet.engine.estimate import estimate_memory
from nonlocalnet.engine.optim import freeze
from nonlocalnet.recipes import VIDEO_RECIPES
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import build_model, parts_of

PAGE = Path(__file__).with_name("reproducing.md")

TITLES = {
    "2a": "Table 2a: pairwise functions, one block",
    "2b": "Table 2b: where one block stands",
    "2c": "Table 2c: how many blocks",
    "2d": "Table 2d: space, time, spacetime",
    "2e": "Table 2e: against 3-D convolution",
    "2f": "Table 2f: blocks in 3-D networks",
    "2g": "Table 2g: 128 frames",
    "4": "Table 4: Charades (mAP)",
}

HEAD = """\
# Reproducing the paper

Written by `docs/make_reproducing.py` from the recipes; `nonlocalnet recipes --table 2c --results results/*/summary.json`
prints a table with your own results beside the published ones.

## What has and has not been run here

**None of the rows below has been trained or tested on Kinetics or Charades here**: neither the data nor a GPU was at
hand, and the published numbers are the paper's or the release's, not ours. What was run, for every recipe, on made
videos: its network at its full depth and at width 2 reads encoded videos and makes two training steps
(`tests/runs/video/test_two_steps.py`); the whole job by the command line (train, kill and resume, test by every protocol,
average two models), with labels as in Kinetics and as in Charades, at tiny size (`tests/commands`). The released weights'
formats are read and checked against independent restatements of the networks that wrote them (`tests/formats`).
Parameters and multiply-adds agree with the published ones (`tests/models`, LOG.md).

## The commands

Check the data first; missing videos explain most gaps to the published numbers:

    nonlocalnet data check kinetics-400_val.csv --root kinetics/val

ImageNet weights are the state dict of a 2-D ResNet of the same depth, from torchvision or timm, or the release's own:

    python -c "import torch, torchvision; torch.save(torchvision.models.resnet50(weights='IMAGENET1K_V1').state_dict(), 'resnet50.pth')"

A row, on 8 GPUs of one machine, and its test by the paper's protocol (10 clips, fully convolutional) or the release's
(10 clips x 3 crops at the release's positions):

    nonlocalnet train ROW --data.root kinetics --init FROM --trainer.devices 8
    nonlocalnet test ROW --weights runs/ROW/last.ckpt --data.root kinetics --devices 8
    nonlocalnet test ROW --weights runs/ROW/last.ckpt --data.root kinetics --devices 8 --views 10x3 --data.test_positions wrapped

FROM stands in the tables: the ImageNet file, or the last checkpoint of another row. The number reported is that of the
last checkpoint; nothing is chosen on the validation videos, which are the test videos here.

On one GPU the same step is made in parts, with BatchNorm over the clips of a part as on each of the 8 GPUs:

    nonlocalnet train ROW --data.root kinetics --init FROM --optim.accumulate 8

With another batch size (`--batch-size`), learning rate and schedule follow by the linear rule; with other steps
(`--schedule.steps`, `--epochs`) the milestones follow in proportion (`--no-rescale` keeps them). `--dry-run`
prints the resolved configuration, the network, and memory and time of a step, and writes nothing (`--print-config` prints a file for `--config`); it reads class names, the list that `--epochs`
counts, and the file of `--init`. The time is measured on a GPU; on a CPU it is scaled from a smaller clip, on the machine as busy as it then is.
These recipes train in float32, as published; every other (generated videos and images, your own) takes bfloat16 and channels-last memory on a
GPU that has that arithmetic, as `test`, `predict` and `detect` do (`--no-bf16` for float32), and says so at the start.
`--trainer.precision bf16-mixed`, `--trainer.channels_last true`, `--trainer.compile true` make a step faster on recent
GPUs (so does, in float32, `--trainer.float32_matmul_precision high`, which rounds factors to TF32) and change its rounding, compilation also what dropout leaves out; `--trainer.recompute true` takes less memory and changes nothing.

## Where the release and these recipes part

The paper leaves open how frames become clips. Its rows here do what is usual today; the recipes `release_*` (`data.as_release`) and
`--data.test_positions wrapped` do what the released code does, read from its sources (customized_video_io.cc, customized_video_input_op.h,
model_builder_video.py):

| | elsewhere | as the release |
|---|---|---|
| a training clip starts | in 0 .. N - ((L - 1) S + 1) | in 0 .. N - L S |
| frames become smaller | bilinear, antialiased | bilinear, the four pixels around each place (OpenCV's; here within one grey level of it) |
| the longer side | is rounded to the nearest pixel | is rounded down, from a float32 product |
| a training crop | is cut first, to the nearest source pixel, and resized after | is cut from the resized frame |
| three crops along W pixels | start at 0, (W - 256) // 2, W - 256 | at 0, 1 and 2 times (W - 256) // 2: the last column of an odd rest is not seen |
| the full frame | is tested whole | is cut to 1.6 times its shorter side |
| validation while training | the centre crop of the centre clip | a random clip, crop and flip; the release draws new ones every time, here they stay, so that a curve can be read |
| the classifier of the long-clip runs | is taken over | starts fresh (`fresh_classifier`; modify_caffe2_ftvideo.py deletes it) |

Not done: the release replaces the BatchNorm statistics of networks with trained BatchNorm by averages over 200 iterations before each
checkpoint; and for some sizes of video its float32 product leaves the shorter side a pixel short of its own crop, which it then reads beyond.

## The rows

Memory is estimated (`nonlocalnet.engine.estimate`): weights, gradients, momentum, and the features kept for the backward
pass, of one of 8 GPUs (4 where the row says so), in GiB, without the workspace of the convolutions; first in float32, then in bfloat16 with
recomputation. Results are top-1 / top-5 in percent.
"""


def gpus(recipe: VideoRecipe) -> int:
    """On how many GPUs the paper or the release trained."""
    return 4 if recipe.name.endswith("4gpu") else 8


def needs(recipe: VideoRecipe) -> str:
    """Clips on each GPU and estimated GiB, plain and with everything that saves memory."""
    clips = recipe.optim.batch_size // gpus(recipe)
    crop = recipe.data.crop or recipe.model.crop
    with torch.device("meta"):
        model = build_model(recipe)
    for norm in freeze(model, recipe.optim, parts_of(model)):
        norm.eval()
    shape = (clips, 3, clip_geometry(recipe).frames, crop, crop)
    sizes = [
        estimate_memory(model, shape, recompute=recompute, dtype=dtype).total / 2**30
        for recompute, dtype in ((False, torch.float32), (True, torch.bfloat16))
    ]
    return f"{clips} clip{'s' * (clips > 1)}: {sizes[0]:.1f}, {sizes[1]:.1f}"


def page(memory: Callable[[VideoRecipe], str]) -> str:
    """The page.

    Args:
        memory: Gives the cell of the column "each GPU" of a recipe.
    """
    parts = [HEAD]
    for table, title in TITLES.items():
        rows = [recipe for recipe in VIDEO_RECIPES if table in recipe.tables]
        parts.append(f"\n### {title}\n\n{_table(rows, memory)}")
    released = [recipe for recipe in VIDEO_RECIPES if recipe.name.startswith("release_")]
    parts.append(
        "\n### The released models\n\nNot rows of the paper: facebookresearch/video-nonlocal-net (CC-BY-NC 4.0) "
        "re-implements its experiments, and adds clips and schedules. Their recipes test on 10 x 3 views.\n\n"
        + _table(released, memory)
    )
    controls = [recipe for recipe in VIDEO_RECIPES if recipe.name.endswith("residual")]
    parts.append(
        "\n### The control of Section 5.1\n\nStandard residual blocks in place of non-local ones; the paper says that "
        "they do not help, and prints no number.\n\n" + _table(controls, memory)
    )
    return "".join(parts)


def _table(recipes: Sequence[VideoRecipe], memory: Callable[[VideoRecipe], str]) -> str:
    lines = ["| row | command | --init | published | each GPU | trained here |", "|---|---|---|---|---|---|"]
    for recipe in recipes:
        published = " / ".join(f"{value:.1f}" for value in recipe.published.values()) or "-"
        init = recipe.starts_from if recipe.starts_from == "ImageNet" else f"`{recipe.starts_from}`"
        lines.append(f"| {recipe.row} | `train {recipe.name}` | {init} | {published} | {memory(recipe)} | no |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    shown = [recipe for recipe in VIDEO_RECIPES if recipe.starts_from and not recipe.name.startswith("finetune")]
    cells = {recipe.name: needs(recipe) for recipe in shown}
    PAGE.write_text(page(lambda recipe: cells[recipe.name]))
