"""One picture of a look: the clip's frames, the weights over them, arrows to the strongest (Figure 3 of the paper)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from torch import Tensor

from nonlocalnet.explanation.look import Look
from nonlocalnet.system.files import whole_file

ARROW = "#ffd23f"
ASKED = "#ff2d2d"
_EVEN = 4.0  # times the mean weight: the scale of colours reaches so far at least


def draw_look(
    look: Look, frames_THWC: Tensor, path: str | Path, *, title: str, arrows: int = 20, columns: int = 8
) -> None:
    """Write `figure_of` as the kind of file that the path's suffix names: PNG, SVG or PDF."""
    figure = figure_of(look, frames_THWC, title=title, arrows=arrows, columns=columns)
    with whole_file(Path(path)) as partial:
        figure.savefig(partial, dpi=130)


def figure_of(look: Look, frames_THWC: Tensor, *, title: str, arrows: int = 20, columns: int = 8) -> Figure:
    """Draw where one position looks.

    The upper row shows the frames with the asked position framed in red and arrows to the `arrows` highest-weighted
    positions, as Figure 3 of the paper; the lower row the same frames, brighter where the weight is higher (of weights
    of both signs: red above 0, blue below), unmarked where no key is. Every position covers the pixels that
    `nonlocalnet.explanation.cells` says.

    Args:
        look: From `nonlocalnet.explanation.look` or `Explanation.look`.
        frames_THWC: The input's frames, uint8 (T, H, W, 3).
        title: Drawn above the picture.
        arrows: Arrows drawn, thicker for higher weights.
        columns: Frames shown at most, evenly spread; the frame of the asked position is always among them.
    """
    num_frames, height, width = frames_THWC.shape[:3]
    shown = _shown_frames(look, num_frames, columns)
    tall = min(max(1.5 * height / width, 0.4), 4.0) if len(shown) > 1 else 4.0 * min(height / width, 1.5)
    wide = 1.5 if len(shown) > 1 else 4.0
    figure = Figure(figsize=(max(wide * len(shown), 3.0), 2 * tall + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10, parse_math=False)
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, frame in enumerate(shown):
        pixels = frames_THWC[frame].numpy()
        extent = (0.0, float(width), float(height), 0.0)
        axes[0, column].imshow(pixels, extent=extent)
        axes[0, column].set_title(f"frame {frame}", fontsize=8)
        axes[1, column].imshow(pixels.mean(axis=2) * 0.6, cmap="gray", vmin=0, vmax=255, extent=extent)
        _draw_weights(look, axes[1, column], frame, (height, width))
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_xlim(0, width)
        axis.set_ylim(height, 0)
    axes[0, 0].set_ylabel("strongest", fontsize=8)
    axes[1, 0].set_ylabel("weights", fontsize=8)
    _draw_asked(look, axes, shown, (height, width))
    _draw_arrows(look, figure, list(axes[0]), shown, (height, width), arrows)
    return figure


def _shown_frames(look: Look, num_frames: int, columns: int) -> list[int]:
    shown = np.unique(np.linspace(0, num_frames - 1, min(columns, num_frames)).round().astype(int)).tolist()
    asked = _frame_of(look, look.position[0], num_frames)
    nearest = min(range(len(shown)), key=lambda i: abs(shown[i] - asked))
    shown[nearest] = asked
    return shown


def _frame_of(look: Look, t: float, num_frames: int) -> int:
    """The frame in the middle of time position t."""
    return min(max(int(look.cells[0].centre(t)), 0), num_frames - 1)


def _to_picture(look: Look, size: tuple[int, int]) -> tuple[float, float]:
    """Picture pixels in a pixel of the network's input, in height and width."""
    return size[0] / look.cells[1].length, size[1] / look.cells[2].length


def _draw_weights(look: Look, axis: Axes, frame: int, size: tuple[int, int]) -> None:
    weights, (down, across) = look.weights_THW.numpy(), _to_picture(look, size)
    # Equal weights are to look even and dark, as in the page.
    most = max(float(np.abs(weights).max()), _EVEN * float(np.abs(weights).mean()), np.finfo(np.float32).tiny)
    signed = bool((weights < 0).any())
    step_t, step_y, step_x = look.key_stride
    rectangles, values = [], []
    for t in range(weights.shape[0]):
        start, end = look.cells[0].span(t * step_t, positions=step_t)
        if not start <= frame + 0.5 < end:
            continue
        for y, x in np.ndindex(*weights.shape[1:]):
            top, bottom = look.cells[1].span(y * step_y, positions=step_y)
            left, right = look.cells[2].span(x * step_x, positions=step_x)
            corner = (left * across, top * down)
            rectangles.append(Rectangle(corner, (right - left) * across, (bottom - top) * down))
            values.append(weights[t, y, x] / most)
    cells = PatchCollection(rectangles, cmap="RdBu_r" if signed else "inferno", alpha=0.75, linewidth=0)
    cells.set_array(np.array(values))
    cells.set_clim(-1 if signed else 0, 1)
    axis.add_collection(cells)


def _draw_asked(look: Look, axes: np.ndarray, shown: list[int], size: tuple[int, int]) -> None:
    t, y, x = look.position
    down, across = _to_picture(look, size)
    column = min(range(len(shown)), key=lambda i: abs(shown[i] + 0.5 - look.cells[0].centre(t)))
    (top, bottom), (left, right) = look.cells[1].span(y), look.cells[2].span(x)
    corner, wide, tall = (left * across, top * down), (right - left) * across, (bottom - top) * down
    for axis in axes[:, column]:
        axis.add_patch(Rectangle(corner, wide, tall, fill=False, edgecolor=ASKED, linewidth=2))


def _draw_arrows(
    look: Look, figure: Figure, axes: list[Axes], shown: list[int], size: tuple[int, int], arrows: int
) -> None:
    """An arrow from the asked position to each strong one, in the shown frame nearest to that position's time."""
    strongest = [(place, weight) for place, weight in look.strongest(arrows) if weight > 0]
    down, across = _to_picture(look, size)

    def at(t: float, y: float, x: float) -> tuple[Axes, tuple[float, float]]:
        frame = look.cells[0].centre(t) - 0.5
        axis = axes[min(range(len(shown)), key=lambda i: abs(shown[i] - frame))]
        return axis, (look.cells[2].centre(x) * across, look.cells[1].centre(y) * down)

    start_axis, start = at(*look.position)
    for (key_t, key_y, key_x), weight in strongest:
        # `strongest` gives centres in grid positions, where position p is the stretch [p, p + 1).
        end_axis, end = at(key_t - 0.5, key_y - 0.5, key_x - 0.5)
        share = weight / strongest[0][1]
        arrow = ConnectionPatch(
            xyA=start, coordsA=start_axis.transData, xyB=end, coordsB=end_axis.transData,
            arrowstyle="-|>", color=ARROW, linewidth=0.4 + 1.6 * share, alpha=0.25 + 0.7 * share, shrinkB=0,
        )  # fmt: skip
        figure.add_artist(arrow)
