"""The card of a video network."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from typing_extensions import Self, override

from nonlocalnet.models.card import Card
from nonlocalnet.system.numeric import is_number

_MOST = 9999  # frames, or pixels of a side: a file that says more would fill memory


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From a video to a network's input; the defaults are those of the authors' release ([C2]).

    Attributes:
        clip_frames: Frames of a clip.
        frame_stride: Distance in frames between two of them.
        mean: Subtracted from bytes of 0..255, one number or one a channel.
        std: By which they are then divided.
        colour_order: How the channels are ordered, and with them `mean` and `std`.
        short_side: Frames are resized to, in pixels.
        crop: Side of the tested crops in pixels.
    """

    clip_frames: int
    frame_stride: int
    mean: float | list[float] = 114.75
    std: float | list[float] = 57.375
    colour_order: Literal["RGB", "BGR"] = "RGB"
    short_side: int = 256
    crop: int = 256

    def __post_init__(self) -> None:
        for name in ("clip_frames", "frame_stride", "short_side", "crop"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= _MOST:
                raise ValueError(f"preprocessing.{name} must be 1 to {_MOST}, got {reprlib.repr(value)}")
        for name in ("mean", "std"):
            value = getattr(self, name)
            values = [value] * 3 if isinstance(value, (int, float)) else value
            if not isinstance(values, (list, tuple)) or len(values) != 3 or not all(map(_is_finite, values)):
                raise ValueError(f"preprocessing.{name} must be one number or three, got {reprlib.repr(value)}")
            if name == "std" and not all(single > 0 for single in values):
                raise ValueError(f"preprocessing.std must be above 0, got {reprlib.repr(value)}")
        if self.colour_order not in ("RGB", "BGR"):
            raise ValueError(f"preprocessing.colour_order must be RGB or BGR, got {reprlib.repr(self.colour_order)}")
        for name in ("mean", "std"):
            if isinstance(getattr(self, name), tuple):
                object.__setattr__(self, name, list(getattr(self, name)))

    @property
    def bgr(self) -> bool:
        """Whether the network takes blue, green, red."""
        return self.colour_order == "BGR"

    @classmethod
    def of_clip(cls, clip: str) -> Self:
        """The release's input for a clip such as "32x2"."""
        frames, stride = (int(part) for part in clip.split("x"))
        return cls(clip_frames=frames, frame_stride=stride)


@dataclass(frozen=True, kw_only=True)
class VideoCard(Card):
    """What a file says of a network that classifies videos, beside what every card says.

    Attributes:
        preprocessing: Its input.
        class_names: In the classifier's order; None where they are unknown.
        multi_label: Whether a video may have several classes: scores are sigmoids, not a softmax.
    """

    kind: ClassVar[str] = "video"
    types: ClassVar[dict[str, tuple[type, ...]]] = {
        **Card.types,
        "preprocessing": (dict,),
        "class_names": (list, tuple, type(None)),
        "multi_label": (bool,),
    }

    preprocessing: Preprocessing
    class_names: list[str] | None = None
    multi_label: bool = False

    @override
    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        super()._read(name, value)
        if name == "class_names" and not all(isinstance(entry, str) for entry in value or ()):
            raise TypeError("its class_names are not all text")
        return Preprocessing(**value) if name == "preprocessing" else value


def _is_finite(value: object) -> bool:
    return is_number(value) and math.isfinite(value)
