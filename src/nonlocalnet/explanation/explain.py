"""`explain`: where every block of a network looks, for one input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nonlocalnet.block import Affinities
from nonlocalnet.explanation.axes import Three, cells_of_three, three
from nonlocalnet.explanation.cells import Cells
from nonlocalnet.explanation.look import Look, asked_position, check_one, look_of
from nonlocalnet.explanation.pictures import pictures_of
from nonlocalnet.explanation.survey import Survey, survey
from nonlocalnet.explanation.watch import BlockCall, chosen_blocks, watch
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.system.errors import NonFiniteError
from nonlocalnet.system.progress import progress_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 20  # Figure 3: "the 20 highest weighted arrows for each x_i are visualized"


@dataclass(frozen=True)
class BlockExplanation:
    """Where one block looks.

    Attributes:
        name: Its dotted path in the model.
        affinities: Theta and phi of every position: what rows are made of.
        cells: What its positions stand for along t, y and x, in frames and pixels of the input.
        survey: The strongest keys of every query, and what all queries do.
        domain: What a query's keys are: "spacetime", "space" or "time".
        group_frames: Frames of a temporal group; None without groups.
        causal: Whether a query looks at what came before only.
    """

    name: str
    affinities: Affinities
    cells: tuple[Cells, Cells, Cells]
    survey: Survey
    domain: str
    group_frames: int | None
    causal: bool

    @property
    def grid(self) -> Three:
        """Its positions along (t, y, x)."""
        return three(self.affinities.grid)

    @property
    def key_grid(self) -> Three:
        """Its keys along (t, y, x)."""
        return three(self.affinities.key_grid)

    @property
    def key_stride(self) -> Three:
        """Positions that one key covers along (t, y, x)."""
        return three(self.affinities.key_stride)

    @property
    def is_softmax(self) -> bool:
        """Whether a query's weights sum to 1."""
        return row_of(self.affinities.pairwise).is_softmax

    def look(self, position: Three) -> Look:
        """Where a position (t, y, x) looks.

        Raises:
            ValueError: It is outside the grid.
        """
        if not all(0 <= at < size for at, size in zip(position, self.grid, strict=True)):
            raise ValueError(f"position must lie inside the grid {self.grid}, got {position}")
        return look_of(self.name, self.affinities, self.cells, position)


@dataclass(frozen=True)
class Explanation:
    """Where the blocks of a network look, for one input.

    Attributes:
        title: What was looked at, such as a file's name.
        network: What looked, in words.
        pictures: uint8 (T, H, W, 3), the input's frames.
        axes: 3 for a clip, 2 for an image, 1 for a signal.
        input_size: (T, H, W) of the input, in which `BlockExplanation.cells` count.
        blocks: In the order in which they were called.
        predictions: The most probable classes with their probabilities, or what a detector found, highest first.
        frame_seconds: When each frame is shown, in seconds from the video's begin; None where nobody said.
        objects: Whether the predictions are what a detector found.
    """

    title: str
    network: str
    pictures: Tensor
    axes: int
    input_size: Three
    blocks: tuple[BlockExplanation, ...]
    predictions: tuple[tuple[str, float], ...]
    frame_seconds: tuple[float, ...] | None = None
    objects: bool = False

    def block(self, name: str | None = None) -> BlockExplanation:
        """The block of a name; the last for None.

        Raises:
            ValueError: There is none of this name.
        """
        found = self.blocks[-1] if name is None else next((b for b in self.blocks if b.name == name), None)
        if found is None:
            raise ValueError(f"block {name!r} was not explained; {', '.join(b.name for b in self.blocks)} were")
        return found

    def look(self, *, block: str | None = None, at: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> Look:
        """Where one position looks.

        Args:
            block: One of `blocks` by name; None for the last.
            at: Fractions (t, y, x) of the input's duration, height and width, each in [0, 1].

        Raises:
            ValueError: No such block, or a fraction outside [0, 1].
        """
        chosen = self.block(block)
        return chosen.look(asked_position(at, chosen.grid))

    def figure(self, *, block: str | None = None, at: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> Figure:
        """Figure 3 of the paper for one position, for papers and notebooks: arguments as of `look`."""
        from nonlocalnet.explanation.figure import figure_of  # Matplotlib takes a second

        seen = self.look(block=block, at=at)
        return figure_of(seen, self.pictures, title=f"{self.title}, {seen.block} at {seen.position}")

    def save(self, path: str | Path, *, most_bytes: int | None = None) -> Path:
        """Write the page: one HTML file that needs no network and nothing beside it.

        Args:
            path: The file.
            most_bytes: How large it may be; None for 15 MB up to 32 frames, 40 MB for 128, between them in proportion.

        Returns:
            The path.

        Raises:
            ValueError: It does not fit into `most_bytes`.
        """
        from nonlocalnet.explanation.page import write_page

        return write_page(self, Path(path), most_bytes=most_bytes)


def explain(
    model: nn.Module,
    clip: Any,
    *,
    blocks: Sequence[str] | None = None,
    title: str = "",
    network: str = "",
    pictures: Tensor | None = None,
    class_names: Sequence[str] | None = None,
    frame_seconds: Sequence[float] | None = None,
    top: int = TOP,
    progress: bool = False,
) -> Explanation:
    """Run an input through a network and look at its non-local blocks: all queries, in bounded memory.

    No N x M matrix is made: its rows are gone through in parts, and of each the `top` highest weights are kept.
    What weights of attention do not prove stands in docs/explain.md.

    Args:
        model: Any network with non-local blocks; run once in eval mode without gradients, on the device where it is,
            and left as it was.
        clip: What the model is called with: one normalised clip (1, C, T, H, W), image (1, C, H, W) or signal
            (1, C, L); for a detector a list with one image (3, H, W) in [0, 1].
        blocks: Dotted paths of the blocks; None for all that look at the input once (a block in the head of a detector
            looks at each region and is left out).
        title: What is looked at, such as a file's name.
        network: What looks; None for the class of the model.
        pictures: uint8 (T, H, W, 3), the frames to show, of the input's size; None to make them of the input.
        class_names: One a class; None for the model's card's, or numbers.
        frame_seconds: When each frame is shown, in seconds.
        top: How many of the strongest keys are kept of each query; Figure 3 draws 20.
        progress: Show progress on standard error.

    Returns:
        Arrays, figures and a page.

    Raises:
        ValueError: The model has no blocks, there is no block of a name, or it is not one input.
        NonFiniteError: What a block sees, or its weights, are not finite.
    """
    if isinstance(clip, Tensor):
        check_one(clip)
    elif not (isinstance(clip, (list, tuple)) and len(clip) == 1 and isinstance(clip[0], Tensor)):
        raise ValueError("the input must be one tensor, or a list with one image for a detector")
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    chosen = chosen_blocks(model, blocks)
    looked: dict[str, BlockExplanation] = {}
    left_out: list[str] = []
    bars = progress_bars(transient=True, shown=progress)

    def see(call: BlockCall) -> None:
        if call.name in looked or len(call.x) != 1:
            left_out.append(call.name)
            return
        task = bars.add_task(f"looking through {call.name}", total=call.x[0, 0].numel())
        bars.start()
        looked[call.name] = _explained(call, top, lambda rows: bars.advance(task, rows))

    try:
        output, pixels = watch(model, clip, chosen, see)
    finally:
        bars.stop()
    for name in blocks or ():
        if name not in looked:
            why = "works on the regions of an image, not on the image" if name in left_out else "is not called"
            raise ValueError(f"block {name!r} {why} when the model runs on this input")
    if not looked:
        raise ValueError("none of the model's non-local blocks is called once with the whole input")
    return Explanation(
        title=title,
        network=network or type(model).__name__,
        pictures=_pictures(model, pixels) if pictures is None else pictures,
        axes=pixels.dim() - 2,
        input_size=three(pixels.shape[2:]),
        blocks=tuple(looked.values()),
        predictions=_predictions(model, output, class_names),
        frame_seconds=None if frame_seconds is None else tuple(frame_seconds),
        objects=isinstance(output, list),
    )


def _explained(call: BlockCall, top: int, advance: Any) -> BlockExplanation:
    affinities = call.block.affinities(call.x, key_mask=call.key_mask)
    _require_finite(call.name, affinities.queries_BQC, affinities.keys_BMC)
    if affinities.w_f is not None:  # further training does not change what was explained
        affinities = replace(affinities, how=replace(affinities.how, w_f=affinities.w_f.detach().clone()))
    cells = cells_of_three(call.cells)
    found = survey(affinities, cells, top=min(top, affinities.keys_of_set.shape[1]), advance=advance)
    _require_finite(call.name, found.weights)
    block = call.block
    return BlockExplanation(
        call.name, affinities, cells, found, block.domain, block.temporal_group_frames, block.causal
    )


def _require_finite(name: str, *numbers: Tensor) -> None:
    if not all(torch.isfinite(some).all() for some in numbers):
        raise NonFiniteError(f"block {name}: what it compares is not finite: the weights or the input may be broken")


def _pictures(model: nn.Module, pixels: Tensor) -> Tensor:
    preprocessing = getattr(getattr(model, "card", None), "preprocessing", None)
    if preprocessing is None:
        return pictures_of(pixels)
    pictures = pictures_of(pixels, mean=preprocessing.mean, std=preprocessing.std)
    return pictures.flip(-1) if preprocessing.bgr else pictures


def _predictions(
    model: nn.Module, output: Any, class_names: Sequence[str] | None, count: int = 5
) -> tuple[tuple[str, float], ...]:
    """The most probable classes of logits (1, classes), or a detector's findings; nothing for other outputs."""
    card = getattr(model, "card", None)
    if isinstance(output, (list, tuple)) and output and isinstance(output[0], dict) and "scores" in output[0]:
        found = [(int(label), float(s)) for label, s in zip(output[0]["labels"], output[0]["scores"], strict=True)]
        return tuple((class_names[label] if class_names else f"class {label}", score) for label, score in found[:count])
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != 1 or not output.is_floating_point():
        return ()
    logits = output[0].float().cpu()
    probabilities = logits.sigmoid() if getattr(card, "multi_label", False) else logits.softmax(0)
    names = class_names or getattr(card, "class_names", None) or [f"class {i}" for i in range(len(logits))]
    values, order = probabilities.topk(min(count, len(logits)))
    return tuple((names[int(i)], float(value)) for i, value in zip(order, values, strict=True))
