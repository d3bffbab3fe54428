"""A timeline as a picture: the most seen classes over time, and below them which one leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nonlocalnet.runs.video.timeline.scoring import Timeline
from nonlocalnet.runs.video.timeline.words import clock
from nonlocalnet.system.files import whole_file
from nonlocalnet.system.visible import visible

# Told apart by those who see few colours (Okabe and Ito, 2008); the rest is grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_OTHERS = "#c8c8c8"
_LONGEST_NAME = 40  # characters


def draw_timelines(timelines: Sequence[Timeline], path: Path) -> None:
    """Draw timelines one below the other.

    Each has the probabilities of at most six classes over time, and a band that says which class leads in each window;
    grey is any other. The classes are those that lead most often, then those of the highest mean. A class has one
    colour in all of them. A window is drawn at its middle.

    Args:
        timelines: At most `words.MOST_IN_A_FIGURE`, of one network.
        path: A .png, .svg or .pdf.
    """
    drawn = [one for one in timelines if one.windows]
    figure = Figure(figsize=(10, 0.9 + 2.6 * max(1, len(drawn))), layout="constrained")
    FigureCanvasAgg(figure)
    if drawn:
        scores = [_scores(one) for one in drawn]
        shown = _most_seen(np.concatenate(scores), len(_COLOURS))
        colour_of = dict(zip(shown, _COLOURS, strict=False))
        rows = figure.subplots(2 * len(drawn), 1, squeeze=False, height_ratios=[8, 1] * len(drawn))[:, 0]
        for place, (one, of_windows) in enumerate(zip(drawn, scores, strict=True)):
            _draw_one(rows[2 * place], rows[2 * place + 1], one, of_windows, colour_of)
        handles = [Patch(color=colour_of[i], label=_short(drawn[0].class_names[i])) for i in shown]
        handles += [Patch(color=_OTHERS, label="another class")] if len(drawn[0].class_names) > len(shown) else []
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=130)


def _scores(timeline: Timeline) -> npt.NDArray[np.float32]:
    """(windows, classes)."""
    return np.stack([window.scores.numpy() for window in timeline.windows])


def _most_seen(scores: npt.NDArray[np.float32], count: int) -> list[int]:
    """Class indices: those that lead most often, then those of the highest mean."""
    leads = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1])
    return np.lexsort((-scores.mean(axis=0), -leads))[:count].tolist()


def _draw_one(
    lines: Axes, band: Axes, timeline: Timeline, scores: npt.NDArray[np.float32], colour_of: Mapping[int, str]
) -> None:
    starts = np.array([window.start for window in timeline.windows])
    ends = np.array([window.end for window in timeline.windows])
    middles = (starts + ends) / 2
    marker = "o" if len(middles) == 1 else None  # a line of one point is not seen
    for index, colour in reversed(list(colour_of.items())):
        lines.plot(middles, scores[:, index], color=colour, linewidth=1.6, marker=marker)
    # A window leads from the middle between it and the one before to the middle between it and the next.
    edges = np.concatenate([starts[:1], (middles[1:] + middles[:-1]) / 2, ends[-1:]])
    for leader, left, right in zip(scores.argmax(axis=1).tolist(), edges, edges[1:], strict=False):
        band.axvspan(left, right, color=colour_of.get(leader, _OTHERS), linewidth=0)
    broken = " (breaks off)" if timeline.error else ""
    lines.set_title(_short(Path(timeline.path).name) + broken, loc="left", fontsize=10)
    lines.set(ylim=(0, 1.02), ylabel="probability", xlim=(starts[0], ends[-1]))
    lines.tick_params(labelbottom=False)
    lines.grid(axis="y", linewidth=0.4, alpha=0.6)
    band.set(xlim=(starts[0], ends[-1]), yticks=[], xlabel="time")
    band.set_ylabel("leads", rotation=0, ha="right", va="center")
    for axes in (lines, band):
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 6, 10]))
    band.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))


def _short(name: str) -> str:
    # A dollar would begin a formula.
    name = visible(name).replace("$", r"\$")
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
