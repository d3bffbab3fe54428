"""The demo's pictures: how the networks learn, and where a non-local block looks, also as a page."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nonlocalnet.data.annotations import load_video_list
from nonlocalnet.data.clips.windows import evenly_spaced_clips
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.data.video.reader import probe, read_frames
from nonlocalnet.demos.arms import Arm
from nonlocalnet.explanation import Look, draw_look, explain, look
from nonlocalnet.formats import from_checkpoint
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.results.counts import read_metrics
from nonlocalnet.system.files import whole_file

NAMES = {"c2d": "C2D", "nl_c2d": "NL C2D"}
_COLOURS = {"c2d": "#6b7280", "nl_c2d": "#d1495b"}


def draw_curves(arms: Sequence[Arm[VideoRecipe]], path: Path, *, coin_toss: float, chance: float) -> None:
    """Draw training loss and validation top-1 over the steps, one line per seed.

    Args:
        arms: Finished trainings.
        path: The PNG to write.
        coin_toss: Top-1 in percent of a network that knows the two candidates but not which one counts.
        chance: Top-1 in percent of a blind guess.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, top1_axes = figure.subplots(1, 2)
    labelled: set[str] = set()
    for arm in arms:
        rows = read_metrics(arm.run / "metrics.csv")
        style = {"color": _COLOURS[arm.name], "linewidth": 1.4, "alpha": 0.85}
        label = None if arm.name in labelled else NAMES[arm.name]
        labelled.add(arm.name)
        train = [row for row in rows if row.split == "train"]
        val = [row for row in rows if row.split == "val"]
        loss_axes.plot([row.step for row in train], [row.loss for row in train], label=label, **style)
        top1_axes.plot([row.step for row in val], [row.top1 for row in val], marker=".", label=label, **style)
    for value, name in ((coin_toss, "coin toss between the two candidates"), (chance, "blind guess")):
        top1_axes.axhline(value, color="black", linewidth=0.8, linestyle=":")
        top1_axes.annotate(name, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
    loss_axes.set(xlabel="step", ylabel="training loss of one batch", ylim=(0, None))
    top1_axes.set(xlabel="step", ylabel="validation top-1 (%)", ylim=(0, 103))
    loss_axes.legend(frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=130)


def draw_where_it_looks(arms: Sequence[Arm[VideoRecipe]], path: Path, *, page: Path) -> None:
    """Draw where a block looks when asked at a late object of the first test video.

    Of all blocks, seeds and the two objects, the look is drawn that puts most weight on the time of the cue; the title
    says how much that is. A block that adds the mean of everything, which many do here, would show nothing.

    Args:
        arms: Finished trainings of a network with blocks.
        path: The PNG to write.
        page: The HTML file to write, with all blocks of that network.
    """
    video = _first_test_video(arms[0])
    clip = evenly_spaced_clips(probe(video).num_frames, clip_geometry(arms[0].recipe), num_clips=1)[0]
    frames_THWC = read_frames(video, clip)
    x = normalise(frames_THWC[None])
    looks = []
    for arm in arms:
        model = from_checkpoint(arm.run / "last.ckpt")
        # At the end of the clip, near the right edge: the middle of the upper half and of the lower.
        places = itertools.product(nonlocal_blocks(model), ((1.0, 0.25, 0.9), (1.0, 0.75, 0.9)))
        looks += [(arm, look(model, x, block=block, at=at)) for block, at in places]
    arm, chosen = max(looks, key=lambda entry: _early_weight(entry[1]))
    title = (
        f"{chosen.block} of NL C2D, seed {arm.recipe.trainer.seed}: {_early_weight(chosen):.0%} of the weights of the "
        "position framed in red are on the first quarter of the clip, where the cue is"
    )
    draw_look(chosen, frames_THWC, path, title=title, arrows=4)
    network = f"the demo's NL C2D, seed {arm.recipe.trainer.seed},"
    model = from_checkpoint(arm.run / "last.ckpt")
    explain(model, x, title=video.name, network=network, pictures=frames_THWC).save(page)


def _first_test_video(arm: Arm[VideoRecipe]) -> Path:
    data = arm.recipe.data
    assert data.root is not None
    assert data.test is not None
    return load_video_list(Path(data.root) / data.test, root=data.root).entries[0].path


def _early_weight(look: Look) -> float:
    """Share of the weights in the first quarter of the time axis (at least one cell)."""
    early = max(1, look.weights_THW.shape[0] // 4)
    return float(look.weights_THW[:early].sum())
