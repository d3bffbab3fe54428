"""`--views 10x3`: clips x crops of a tested video."""

from __future__ import annotations

from nonlocalnet.data.clips.transforms import Crops

_CROPS: dict[str, Crops] = {"1": "centre", "3": "three", "full": "full"}


def parse_views(text: str) -> tuple[int, Crops]:
    """Read "10x3" as (10 clips, "three" crops).

    >>> parse_views("10x3")
    (10, 'three')

    Raises:
        ValueError: If the text is not clips x crops.
    """
    clips, _, crops = text.partition("x")
    if not clips.isdecimal() or int(clips) < 1 or crops not in _CROPS:
        raise ValueError(f"--views must be clips x crops with 1, 3 or full crops, such as 10x3 or 1xfull, got {text!r}")
    return int(clips), _CROPS[crops]
