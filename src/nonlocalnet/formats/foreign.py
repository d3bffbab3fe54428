"""What the readers of several formats do alike: the pairwise function, the scale, and the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nonlocalnet.formats.catalogue import RELEASED_CLASSES, released_file
from nonlocalnet.formats.load_plan import Hints, Scale, Subsample
from nonlocalnet.formats.structure import Structure
from nonlocalnet.functional import Pairwise
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.models.video.card import Preprocessing, VideoCard


def pairwise_of(
    structure: Structure, hints: Hints, *, said: Pairwise | None, usual: Pairwise | None, path: object
) -> Pairwise:
    """The pairwise function of a file's blocks.

    Args:
        structure: Names tell the Gaussian (no theta) and the concatenation (w_f) from the other two.
        hints: What the caller says.
        said: What the file's own settings say.
        usual: What every known file of the format is; None where there are several, and the caller must say.
        path: The file, for the errors.

    Raises:
        ValueError: If nothing decides it, or two sources contradict each other.
    """
    if not structure.arguments["nonlocal_blocks"]:
        return "embedded_gaussian"
    if structure.concatenated:
        possible: tuple[Pairwise, ...] = ("concatenation",)
    elif structure.embedded:
        possible = ("embedded_gaussian", "dot_product")
    else:
        possible = ("gaussian",)
    for source, pairwise in (("its settings say", said), ("it is asked to be", hints.pairwise)):
        if pairwise is not None and pairwise not in possible:
            raise ValueError(f"{path}: {source} {pairwise}, but its tensors are those of {' or '.join(possible)}")
    if said is not None and hints.pairwise not in (None, said):
        raise ValueError(f"{path}: its settings say {said}, it cannot be loaded as pairwise={hints.pairwise!r}")
    chosen = said or hints.pairwise or (possible[0] if len(possible) == 1 else usual)
    if chosen is None:
        raise ValueError(
            f"{path}: its tensors fit the embedded Gaussian and the dot product alike, and it has no settings that say "
            "which it is: give pairwise='embedded_gaussian' or pairwise='dot_product'"
        )
    return chosen


def scale_of(pairwise: Pairwise, hints: Hints, *, family: Scale, said: Scale | None = None, path: object) -> Scale:
    """The factor on the logits: the settings' or the caller's, else the program's; 1.0 where there is no softmax.

    Raises:
        ValueError: If the settings and the caller contradict each other.
    """
    if not row_of(pairwise).is_softmax:
        return 1.0
    if said is not None and hints.scale not in (None, said):
        raise ValueError(f"{path}: its settings say scale={said!r}, it cannot be loaded with scale={hints.scale!r}")
    return said or hints.scale or family


def subsample_of(hints: Hints, *, said: Subsample = "file", usual: Subsample = "file", path: object) -> Any:
    """What the blocks pool, as (T, H, W): the file's word or the caller's, else the program's.

    Args:
        hints: What the caller says.
        said: What settings or names of the file say; "file" where they do not.
        usual: What the program's blocks pool where nobody says it.
        path: The file, for the errors.

    Raises:
        ValueError: If the file and the caller contradict each other.
    """
    asked, own = _three(hints.subsample), _three(said)
    if own != "file" and asked not in ("file", own):
        raise ValueError(f"{path}: it says that its blocks pool {own}, it cannot be loaded with subsample={asked}")
    return own if own != "file" else asked if asked != "file" else _three(usual)


def _three(size: Any) -> Any:
    """A pooling by three numbers; None where it pools nothing."""
    if size is None or size == "file":
        return size
    sizes = (1, size, size) if isinstance(size, int) else tuple(size)
    return None if max(sizes) == 1 else sizes


def foreign_card(
    path: str,
    *,
    program: str,
    architecture: str,
    arguments: dict[str, Any],
    preprocessing: Preprocessing,
    class_names: list[str] | None = None,
    multi_label: bool = False,
) -> VideoCard:
    """The card of a file of another program; one of the catalogue brings its published results and licence."""
    released = released_file(Path(path).name)
    # A file of that name with other classes is one that somebody trained on.
    results = released is not None and arguments["num_classes"] == RELEASED_CLASSES
    return VideoCard(
        architecture=architecture,
        arguments=arguments,
        preprocessing=preprocessing,
        class_names=class_names,
        multi_label=multi_label,
        source={"format": program, "file": Path(path).name},
        results={"measured": {}, "published": released.published} if released is not None and results else None,
        licence=None if released is None else released.licence,
    )
