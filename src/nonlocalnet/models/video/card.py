"""The card of a video network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from typing_extensions import Self, override

from nonlocalnet.models.card import Card


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

    preprocessing: Preprocessing
    class_names: list[str] | None = None
    multi_label: bool = False

    @override
    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        return Preprocessing(**value) if name == "preprocessing" else value
