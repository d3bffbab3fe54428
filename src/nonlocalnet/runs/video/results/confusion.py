"""The picture of a confusion matrix: by the classes' names, or by those of the most confused pairs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

# Above it the names of classes and the numbers in the cells would overlap.
_MAX_NAMED_CLASSES = 50
_MAX_WRITTEN_CELLS = 12
_MAX_SIDE = 18  # inches
_NAMED_PAIRS = 30
_NAME_LENGTH = 28
# Of 400 classes each cell is then 4 pixels wide.
_LARGE_SIDE, _LARGE_DPI = 11, 200
_UNTESTED = "0.9"  # a grey that no share has


def confusion_png(confusion: torch.Tensor, *, class_names: Sequence[str]) -> bytes:
    """Draw a confusion matrix: each row is the share in percent of one true class's videos over the predicted classes.

    Args:
        confusion: (classes, classes) counts, row the true class. The row of a class without videos stays blank.
        class_names: One name per class; shown along the axes for up to 50 classes. For more, the axes have the
            numbers, and the pairs that are most often confused stand beside the matrix by name.

    Returns:
        A PNG file's content.
    """
    buffer = io.BytesIO()
    FigureCanvasAgg(draw_confusion(confusion, class_names=class_names)).print_png(buffer)
    return buffer.getvalue()


def draw_confusion(confusion: torch.Tensor, *, class_names: Sequence[str]) -> Figure:
    """The figure of `confusion_png`."""
    classes = len(class_names)
    large = classes > _MAX_NAMED_CLASSES
    side = _LARGE_SIDE if large else min(4 + 0.3 * classes, _MAX_SIDE)
    if large:
        figure = Figure(figsize=(side + 6, side), dpi=_LARGE_DPI)
        axes, beside = figure.add_axes((0.05, 0.05, 0.67, 0.91)), figure.add_axes((0.71, 0.05, 0.28, 0.91))
    else:
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes, beside = figure.add_subplot(), None
    videos = confusion.sum(dim=1, keepdim=True)
    percent = (100 * confusion.double() / videos).numpy()  # NaN in the rows of classes without videos
    # In a large matrix most shares are a few percent: the root shows them, too.
    shades: dict[str, Any] = {"norm": PowerNorm(0.5, vmin=0, vmax=100)} if large else {"vmin": 0, "vmax": 100}
    cmap = colormaps["Blues"].with_extremes(bad=_UNTESTED)
    image = axes.imshow(percent, cmap=cmap, interpolation="nearest", **shades)
    figure.colorbar(image, ax=axes, label="percent of the true class's videos", shrink=0.8, pad=0.02)
    axes.set(xlabel="predicted class", ylabel="true class")
    untested = int((videos == 0).sum())
    if untested:
        axes.set_title(f"grey: classes without videos ({untested})", fontsize="medium")
    if beside is not None:
        _name_pairs(beside, confusion, class_names)
    else:
        axes.set_xticks(range(classes), class_names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(classes), class_names, parse_math=False)
    if classes <= _MAX_WRITTEN_CELLS:
        for row, column in ((r, c) for r in range(classes) for c in range(classes) if videos[r]):
            share = percent[row, column]
            shade = "white" if share > 50 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=shade)
    return figure


def confused_pairs(confusion: torch.Tensor, *, at_most: int) -> list[tuple[int, int]]:
    """(true, predicted) of the pairs with the largest shares of the true class's videos, most confused first.

    Where shares are equal, the one with more videos comes first.
    """
    counts = confusion.clone().fill_diagonal_(0)
    shares = counts.double() / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    pairs = [(int(true), int(predicted)) for true, predicted in counts.nonzero()]
    return sorted(pairs, key=lambda pair: (-float(shares[pair]), -int(counts[pair]), pair))[:at_most]


def _name_pairs(axes: Any, confusion: torch.Tensor, class_names: Sequence[str]) -> None:
    axes.axis("off")
    lines = ["most confused: share of the true class's videos", ""]
    for true, predicted in confused_pairs(confusion, at_most=_NAMED_PAIRS):
        videos = int(confusion[true].sum())
        lines += [
            f"{100 * int(confusion[true, predicted]) / videos:6.0f}%  {true} {_short(class_names[true])}",
            f"{f'of {videos}':>7}  -> {predicted} {_short(class_names[predicted])}",
        ]
    if len(lines) == 2:
        lines = ["no class is taken for another"]
    axes.text(0, 1, "\n".join(lines), va="top", family="monospace", fontsize=9, parse_math=False)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 3]}..."
