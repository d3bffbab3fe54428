"""One picture of a look: the clip's frames, the weights over them, arrows to the strongest (Figure 3 of the paper)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from torch import Tensor

from nonlocalnet.explanation.look import Look
from nonlocalnet.system.files import whole_file

ARROW = "#ffd23f"
ASKED = "#ff2d2d"


def draw_look(
    look: Look, frames_THWC: Tensor, path: str | Path, *, title: str, arrows: int = 20, columns: int = 8
) -> None:
    """Draw where one position looks, as PNG.

    The upper row shows the frames with the asked position framed in red and arrows to the `arrows` highest-weighted
    positions, as Figure 3 of the paper; the lower row the same frames, brighter where the weight is higher, black where
    no key is. Grid positions are drawn as equal shares of the clip's duration, height and width.

    Args:
        look: From `nonlocalnet.explanation.look`.
        frames_THWC: The clip's frames, uint8 (T, H, W, 3).
        path: The PNG to write.
        title: Drawn above the picture.
        arrows: Arrows drawn, thicker for higher weights.
        columns: Frames shown at most, evenly spread; the frame of the asked position is always among them.
    """
    num_frames, height, width = frames_THWC.shape[:3]
    shown = _shown_frames(look, num_frames, columns)
    figure = Figure(figsize=(1.5 * len(shown), 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(2, len(shown), squeeze=False)
    spread = look.spread().clamp_min(0).numpy()
    heat = np.stack([spread[_time_cell(frame, look.grid[0], num_frames)] for frame in shown])
    top = max(float(heat.max()), np.finfo(np.float32).tiny)
    for column, frame in enumerate(shown):
        pixels = frames_THWC[frame].numpy()
        extent = (0.0, float(width), float(height), 0.0)
        axes[0, column].imshow(pixels, extent=extent)
        axes[0, column].set_title(f"frame {frame}", fontsize=8)
        shade = np.clip(heat[column] / top, 0, 1)
        axes[1, column].imshow(pixels.mean(axis=2) * 0.6, cmap="gray", vmin=0, vmax=255, extent=extent)
        axes[1, column].imshow(
            shade, cmap="inferno", alpha=0.75, vmin=0, vmax=1, extent=extent, interpolation="nearest"
        )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0, 0].set_ylabel("strongest", fontsize=8)
    axes[1, 0].set_ylabel("weights", fontsize=8)
    _draw_asked(look, axes, shown, num_frames, (height, width))
    _draw_arrows(look, figure, list(axes[0]), shown, num_frames, (height, width), arrows)
    with whole_file(Path(path)) as partial:
        figure.savefig(partial, dpi=130)


def _shown_frames(look: Look, num_frames: int, columns: int) -> list[int]:
    shown = np.unique(np.linspace(0, num_frames - 1, min(columns, num_frames)).round().astype(int)).tolist()
    asked = _centre_frame(look.position[0], look.grid[0], num_frames)
    nearest = min(range(len(shown)), key=lambda i: abs(shown[i] - asked))
    shown[nearest] = asked
    return shown


def _centre_frame(t: int, grid_t: int, num_frames: int) -> int:
    """The frame in the middle of time cell t, when `num_frames` frames are divided into `grid_t` cells."""
    return min(int((t + 0.5) * num_frames / grid_t), num_frames - 1)


def _time_cell(frame: int, grid_t: int, num_frames: int) -> int:
    return min(int((frame + 0.5) * grid_t / num_frames), grid_t - 1)


def _draw_asked(look: Look, axes: np.ndarray, shown: list[int], num_frames: int, size: tuple[int, int]) -> None:
    t, y, x = look.position
    column = shown.index(_centre_frame(t, look.grid[0], num_frames))
    cell_h, cell_w = size[0] / look.grid[1], size[1] / look.grid[2]
    for axis in axes[:, column]:
        axis.add_patch(Rectangle((x * cell_w, y * cell_h), cell_w, cell_h, fill=False, edgecolor=ASKED, linewidth=2))


def _draw_arrows(
    look: Look,
    figure: Figure,
    axes: list[Axes],
    shown: list[int],
    num_frames: int,
    size: tuple[int, int],
    arrows: int,
) -> None:
    """An arrow from the asked position to each strong one, in the shown frame nearest to that position's time."""
    strongest = [(place, weight) for place, weight in look.strongest(arrows) if weight > 0]
    if not strongest:
        return
    t, y, x = look.position
    start_column = shown.index(_centre_frame(t, look.grid[0], num_frames))
    start = ((x + 0.5) * size[1] / look.grid[2], (y + 0.5) * size[0] / look.grid[1])
    for (key_t, key_y, key_x), weight in strongest:
        frame = key_t * num_frames / look.grid[0] - 0.5
        end_column = min(range(len(shown)), key=lambda i: abs(shown[i] - frame))
        end = (key_x * size[1] / look.grid[2], key_y * size[0] / look.grid[1])
        share = weight / strongest[0][1]
        arrow = ConnectionPatch(
            xyA=start, coordsA=axes[start_column].transData, xyB=end, coordsB=axes[end_column].transData,
            arrowstyle="-|>", color=ARROW, linewidth=0.4 + 1.6 * share, alpha=0.25 + 0.7 * share, shrinkB=0,
        )  # fmt: skip
        figure.add_artist(arrow)
