"""The trunk that every video network of this package is built on: C2D and I3D, 50 and 101 layers deep, without blocks.

Tensors are B, C, T, H, W. Layer names follow Table 1: stem (conv1), pool1, res2, pool2, res3, res4, res5, head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from nonlocalnet.functional.precision import sum_dtype
from nonlocalnet.models.video.bottleneck import Bottleneck, conv3d
from nonlocalnet.models.video.geometry import (
    CONV1_FRAMES_C2D,
    INFLATIONS,
    STAGES,
    Clip,
    Depth,
    Inflate,
    Inflated,
    Pool,
    Size,
    TrunkNorm,
    Variant,
    geometry_of,
    head_window,
    inflated_blocks,
    minimum_input,
)
from nonlocalnet.models.video.norm import MakeNorm, norm_maker
from nonlocalnet.system.numeric import is_number
from nonlocalnet.system.symbolic import is_symbolic


class Stem(nn.Module):
    """conv1, its normalisation, ReLU. Children: conv, norm."""

    def __init__(self, channels: int, *, kernel: Size, stride: Size, norm: MakeNorm) -> None:
        super().__init__()
        self.conv = conv3d(3, channels, kernel, stride=stride)
        self.norm = norm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ReLU(norm(conv(x)))."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class Head(nn.Module):
    """Dropout and the classifier. Child with parameters: projection."""

    def __init__(self, channels: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(channels, num_classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pooled features (B, C) -> logits (B, classes)."""
        return self.projection(self.dropout(features))


class VideoTrunk(nn.Module):
    """C2D or I3D without non-local blocks; the factories insert them.

    Children: `stem` (conv, norm), `pool1`, `res2`, `pool2`, `res3`, `res4`, `res5` (each a `Sequential` of
    `Bottleneck`) and `head` (projection). An inserted block follows its residual block: "res4.4_nonlocal" after
    "res4.4".

    Initialisation ([C2]): convolutions N(0, sqrt(2 / fan_out)), BatchNorm scale 1 but 0 for the last of each residual
    block, classifier N(0, 0.01) with bias 0.

    Args:
        depth: 50 or 101.
        inflate: None for C2D (no kernel spans time); "3x1x1" or "3x3x3" for I3D: conv1 5x7x7 and, in every other
            residual block, the first 1x1 or the 3x3 kernel spanning 3 frames.
        num_classes: Outputs of the classifier.
        clip: Frames and frame stride the network is made for, "8x8", "32x2", "32x4" or "128x1". Decides the temporal
            strides; other clip lengths are accepted as input.
        variant: Whose geometry, "release", "paper" or another program's; see `nonlocalnet.models.video.geometry`.
        width: Channels of conv1, 64 in the paper. Every other layer is a multiple of it.
        dropout: Probability of dropping a pooled feature in training (0.5: Section 4.1).
        crop: Height and width of the training crop, in pixels; decides the pooling window of `scores`. None: `scores`
            averages the whole map.
        inflated: Which residual blocks of an I3D hold the inflated kernel: "alternate" (the paper's I3D), "all" or
            "late" (other programs' networks).
        trunk_norm: "batch", or "affine" for [C2]'s networks whose BatchNorms are folded into frozen scales and shifts.

    Attributes:
        geometry: The strides and pools of this variant and clip.
        min_input_size: The smallest (T, H, W) that the strides allow.

    Raises:
        ValueError: If an argument is unknown or out of range.
    """

    def __init__(
        self,
        *,
        depth: Depth = 50,
        inflate: Inflate | None = None,
        num_classes: int = 400,
        clip: Clip = "32x2",
        variant: Variant = "release",
        width: int = 64,
        dropout: float = 0.5,
        crop: int | None = 224,
        inflated: Inflated = "alternate",
        trunk_norm: TrunkNorm = "batch",
    ) -> None:
        super().__init__()
        _check_arguments(
            depth, inflate, inflated=inflated, num_classes=num_classes, width=width, dropout=dropout, crop=crop
        )
        self.depth: Depth = depth
        self.inflate: Inflate | None = inflate
        self.inflated: Inflated = inflated
        self.trunk_norm: TrunkNorm = trunk_norm
        self.num_classes = num_classes
        self.clip: Clip = clip
        self.variant: Variant = variant
        self.width = width
        self.crop = crop
        self.geometry = geometry = geometry_of(variant=variant, clip=clip)
        self.min_input_size = minimum_input(geometry)
        if crop is not None and crop < self.min_input_size[1]:
            raise ValueError(
                f"crop must be at least {self.min_input_size[1]}, which leaves one place of the map, got {crop}"
            )

        conv1_frames = CONV1_FRAMES_C2D if inflate is None else INFLATIONS[inflated].conv1_frames
        norm = norm_maker(trunk_norm, geometry)
        self.stem = Stem(width, kernel=(conv1_frames, 7, 7), stride=geometry.conv1_stride, norm=norm)
        self.pool1 = _max_pool(geometry.pool1)
        self.res2 = self._stage("res2", in_channels=width, inner_channels=width, stride=1)
        self.pool2 = _max_pool(geometry.pool2)
        self.res3 = self._stage("res3", in_channels=4 * width, inner_channels=2 * width, stride=2)
        self.res4 = self._stage("res4", in_channels=8 * width, inner_channels=4 * width, stride=2)
        self.res5 = self._stage("res5", in_channels=16 * width, inner_channels=8 * width, stride=2)
        self.head = Head(self.num_features, num_classes, dropout=dropout)
        _initialise(self)

    @property
    def num_features(self) -> int:
        """Channels of res5's output."""
        return self.stage_channels["res5"]

    @property
    def stage_channels(self) -> dict[str, int]:
        """Output channels of each stage: 256, 512, 1024, 2048 at width 64."""
        return {stage: self.width * 2 ** (index + 2) for index, stage in enumerate(STAGES)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits.

        Args:
            x: Normalised frames (B, 3, T, H, W), floating point, of any size down to `min_input_size`.

        Returns:
            (B, num_classes).

        Raises:
            ValueError: If x has another shape or type, or is too small.
        """
        return self.head(self.features(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features averaged over all positions, (B, C) with C = 32 * width; x as in `forward`."""
        return self.feature_map(x).mean(dim=(2, 3, 4))

    def scores(self, x: torch.Tensor, *, multi_label: bool = False) -> torch.Tensor:
        """Return the class probabilities of the fully convolutional form ([C2]).

        res5's output is averaged over all its frames and a window that slides by 1 and has the rows and columns of the
        training crop's map (7 for 224; `head_window` of `geometry` says what PySlowFast has for other crops). It is
        classified at every place without dropout, turned into probabilities there, and these are averaged. A window
        larger than the map is cut to it. For frames of the training crop's size there is one place, and the result is
        softmax(model(x)); so it is for every size where the head averages the whole map (mmaction2).

        Args:
            x: As in `forward`; usually larger than the training crop.
            multi_label: Sigmoid of each class in place of the softmax over classes (Charades).

        Returns:
            (B, num_classes), each in [0, 1]; float32 for half precision.
        """
        feature_map = self.feature_map(x)
        frames, height, width = feature_map.shape[2:]
        window = head_window(self.geometry, crop=self.crop)
        rows, columns = (height, width) if window is None else (min(window, height), min(window, width))
        pooled = F.avg_pool3d(feature_map, (frames, rows, columns), stride=1)
        logits = self.head.projection(pooled.movedim(1, -1))
        logits = logits.to(sum_dtype(logits.dtype))
        probabilities = logits.sigmoid() if multi_label else logits.softmax(dim=-1)
        return probabilities.mean(dim=(1, 2, 3))

    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """Return res5's output (B, 32 * width, T', H', W'); x as in `forward`."""
        self._check_input(x)
        x = self.res2(self.pool1(self.stem(x)))
        return self.res5(self.res4(self.res3(self.pool2(x))))

    def _stage(self, name: str, *, in_channels: int, inner_channels: int, stride: int) -> nn.Sequential:
        blocks = []
        for index, inflated in enumerate(inflated_blocks(name, depth=self.depth, inflated=self.inflated)):
            block = Bottleneck(
                in_channels if index == 0 else 4 * inner_channels,
                inner_channels,
                stride=stride if index == 0 else 1,
                inflate=self.inflate if inflated else None,
                norm=norm_maker(self.trunk_norm, self.geometry),
            )
            blocks.append(block)
        return nn.Sequential(*blocks)

    def _check_input(self, x: torch.Tensor) -> None:
        if is_symbolic(x):
            return
        if x.ndim != 5 or x.shape[1] != 3:
            raise ValueError(f"x must have the shape (B, 3, T, H, W), got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise ValueError(
                f"x must be floating point, got {x.dtype}; normalise the frames first, (x - 114.75) / 57.375"
            )
        least = self.min_input_size
        if x.shape[2] < least[0] or x.shape[3] < least[1] or x.shape[4] < least[2]:
            raise ValueError(
                f"x must be at least {least[0]} frames of {least[1]}x{least[2]} pixels for the strides of "
                f"variant={self.variant!r}, clip={self.clip!r}, got {x.shape[2]} frames of {x.shape[3]}x{x.shape[4]}"
            )


def _max_pool(pool: Pool) -> nn.MaxPool3d:
    return nn.MaxPool3d(pool.kernel, stride=pool.stride, padding=pool.padding)


def _initialise(model: VideoTrunk) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, Bottleneck) and isinstance(module.norm3, nn.BatchNorm3d):
            nn.init.zeros_(module.norm3.weight)
    nn.init.normal_(model.head.projection.weight, std=0.01)
    nn.init.zeros_(model.head.projection.bias)


def _check_arguments(
    depth: int,
    inflate: str | None,
    *,
    inflated: str,
    num_classes: int,
    width: int,
    dropout: float,
    crop: int | None,
) -> None:
    if depth not in (50, 101):
        raise ValueError(f"depth must be 50 or 101, got {depth!r}")
    if inflate not in (None, "3x1x1", "3x3x3"):
        raise ValueError(f"inflate must be '3x1x1' or '3x3x3', got {inflate!r}")
    if inflated not in INFLATIONS:
        raise ValueError(f"inflated must be one of {', '.join(INFLATIONS)}, got {inflated!r}")
    for name, value in (("num_classes", num_classes), ("width", width), ("crop", 1 if crop is None else crop)):
        require_at_least_1(name, value)
    if not is_number(dropout) or not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")


def require_at_least_1(name: str, value: object) -> None:
    """Refuse what is no count.

    Args:
        name: What the value is, for the error.
        value: To be a whole number of at least 1.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
