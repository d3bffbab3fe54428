"""The video networks in the form of Hugging Face's transformers: `pip install 'nonlocalnet[transformers]'`.

Importing this module registers `NonLocalVideoConfig` with AutoConfig, `NonLocalForVideoClassification` with
AutoModelForVideoClassification, and `NonLocalVideoProcessor` with AutoVideoProcessor.

    NonLocalForVideoClassification.from_nonlocalnet(model).save_pretrained(folder)
    NonLocalVideoProcessor.from_nonlocalnet(model).save_pretrained(folder)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Image
from torch import nn

from nonlocalnet.data.clips.views import cut_views
from nonlocalnet.data.clips.windows import ClipGeometry, evenly_spaced_clips, parse_clip
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.data.video.reader import VideoReader
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.models.video.network import VideoResNet, build, fresh_card
from nonlocalnet.system.odd_files import short

try:
    from transformers import (
        AutoConfig,
        AutoModelForVideoClassification,
        AutoVideoProcessor,
        BatchFeature,
        PretrainedConfig,
        PreTrainedModel,
    )
    from transformers.modeling_outputs import ImageClassifierOutput
    from transformers.video_processing_utils import BaseVideoProcessor
except ImportError as error:
    raise ImportError(
        "nonlocalnet.models.huggingface needs transformers with video processors, 4.53 or newer: "
        "pip install 'nonlocalnet[transformers]'"
    ) from error


_DEFAULT_CLIP = "32x2"  # the factories'


class NonLocalVideoConfig(PretrainedConfig):
    """What a network is built from; labels are `id2label`, as everywhere in transformers.

    Args:
        architecture: Name of its factory in `nonlocalnet.models`.
        arguments: The factory's keyword arguments but `num_classes`, which is `num_labels`.
        num_frames: Frames of a clip, for which transformers' pipeline asks; None for those of the network's `clip`.
        **further: As transformers' own configurations take them, such as `id2label`.
    """

    model_type = "nonlocal_video"

    def __init__(
        self,
        *,
        architecture: str = "c2d_resnet50",
        arguments: dict[str, Any] | None = None,
        num_frames: int | None = None,
        **further: Any,
    ) -> None:
        if not isinstance(arguments, (dict, type(None))):
            raise ValueError(f"the configuration's arguments must be an object of names, got {short(repr(arguments))}")
        clip = str((arguments or {}).get("clip", _DEFAULT_CLIP))
        self.num_frames = parse_clip(clip).frames if num_frames is None else num_frames
        self.architecture = architecture
        self.arguments = {name: value for name, value in (arguments or {}).items() if name != "num_classes"}
        super().__init__(**further)


class NonLocalForVideoClassification(PreTrainedModel):
    """A video network whose input is as transformers has it: frames before channels.

    Args:
        config: What it is built from.
    """

    config_class = NonLocalVideoConfig
    base_model_prefix = "network"
    main_input_name = "pixel_values_videos"
    input_modalities = ["video"]  # noqa: RUF012  as transformers declares it

    def __init__(self, config: NonLocalVideoConfig) -> None:
        super().__init__(config)
        self.network = build(config.architecture, {**config.arguments, "num_classes": config.num_labels})
        self.post_init()

    @classmethod
    def from_nonlocalnet(cls, model: VideoResNet) -> NonLocalForVideoClassification:
        """A network of this library, such as `from_checkpoint` gives it, in this form; it holds the same tensors.

        Raises:
            ValueError: If no factory built the network, or it is of another library.
        """
        if not isinstance(model, VideoResNet):
            raise ValueError(f"a video network of nonlocalnet is needed, got a {type(model).__name__}")
        card = model.card or fresh_card(model)
        names = card.class_names or [f"LABEL_{index}" for index in range(model.num_classes)]
        config = NonLocalVideoConfig(
            architecture=card.architecture,
            arguments=card.arguments,
            num_frames=card.preprocessing.clip_frames,
            id2label=dict(enumerate(names)),
            label2id={name: index for index, name in enumerate(names)},
            problem_type="multi_label_classification" if card.multi_label else "single_label_classification",
        )
        made = cls(config)
        made.network.load_state_dict(model.state_dict(), assign=True)
        return made.train(model.training)

    def to_nonlocalnet(self, processor: NonLocalVideoProcessor | None = None) -> VideoResNet:
        """The network of this library, with a card; it holds the same tensors.

        Args:
            processor: Says the preprocessing; None for the release's.
        """
        config = self.config
        id2label: dict[int, str] = config.id2label  # pyright: ignore[reportAssignmentType]
        names = [id2label[index] for index in range(len(id2label))]
        known = any(name != f"LABEL_{index}" for index, name in enumerate(names))
        self.network.card = VideoCard(
            architecture=config.architecture,
            arguments={**config.arguments, "num_classes": len(names)},
            preprocessing=Preprocessing.of_clip(self.network.clip) if processor is None else processor.preprocessing,
            class_names=names if known else None,
            multi_label=config.problem_type == "multi_label_classification",
        )
        return self.network

    def forward(
        self, pixel_values_videos: torch.Tensor, labels: torch.Tensor | None = None, return_dict: bool | None = None
    ) -> ImageClassifierOutput | tuple[torch.Tensor, ...]:
        """Classify clips.

        Args:
            pixel_values_videos: Normalised clips (B, T, 3, H, W), as `NonLocalVideoProcessor` gives them.
            labels: (B,) classes, or (B, classes) zeros and ones where a video may have several; None for no loss.
            return_dict: False for a tuple; None for what the configuration says.

        Returns:
            `logits` (B, classes), and `loss` with labels.
        """
        logits = self.network(pixel_values_videos.transpose(1, 2).contiguous())
        loss = None
        if labels is not None and self.config.problem_type == "multi_label_classification":
            loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        elif labels is not None:
            loss = F.cross_entropy(logits, labels)
        if return_dict is False or not (return_dict or getattr(self.config, "return_dict", True)):
            return (logits,) if loss is None else (loss, logits)
        return ImageClassifierOutput(loss=loss, logits=logits)  # pyright: ignore[reportArgumentType]

    def _init_weights(self, module: nn.Module) -> None:
        """Of what a file does not hold; the network's constructor has initialised a fresh one."""
        if isinstance(module, nn.Linear):  # the classifier; there is no other
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


class NonLocalVideoProcessor(BaseVideoProcessor):
    """From videos to the network's input: the centre clip's centre crop, resized and normalised.

    Args:
        clip_frames: As the other arguments, a field of `nonlocalnet.models.video.card.Preprocessing`.
        frame_stride: Likewise.
        mean: Likewise.
        std: Likewise.
        colour_order: Likewise.
        short_side: Likewise.
        crop: Likewise.
        **further: What transformers writes beside them.
    """

    model_input_names = ["pixel_values_videos"]  # noqa: RUF012  as transformers declares it

    def __init__(
        self,
        *,
        clip_frames: int = 32,
        frame_stride: int = 2,
        mean: float | list[float] = 114.75,
        std: float | list[float] = 57.375,
        colour_order: str = "RGB",
        short_side: int = 256,
        crop: int = 256,
        **further: Any,
    ) -> None:
        super().__init__(**further)
        self.clip_frames, self.frame_stride = clip_frames, frame_stride
        self.mean, self.std, self.colour_order = mean, std, colour_order
        self.short_side, self.crop = short_side, crop

    @classmethod
    def from_nonlocalnet(cls, model: VideoResNet) -> NonLocalVideoProcessor:
        """The preprocessing that a network's card says."""
        return cls(**vars((model.card or fresh_card(model)).preprocessing))

    @property
    def preprocessing(self) -> Preprocessing:
        """The same as a card has it."""
        return Preprocessing(
            clip_frames=self.clip_frames,
            frame_stride=self.frame_stride,
            mean=self.mean,
            std=self.std,
            colour_order=self.colour_order,  # pyright: ignore[reportArgumentType]
            short_side=self.short_side,
            crop=self.crop,
        )

    def preprocess(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        videos: Any,
        *,
        return_tensors: str | None = "pt",
        num_frames: int | None = None,
        do_sample_frames: bool | None = None,
    ) -> BatchFeature:
        """Cut, resize and normalise.

        Args:
            videos: A video or a sequence of them; each the path of a file, or all of its frames, uint8 (N, H, W, 3), or
                a list of them, such as PIL's images.
            return_tensors: "pt", as transformers' other processors are asked; None for the same.
            num_frames: Frames of a clip, as the pipeline asks; None for the processor's own.
            do_sample_frames: As the pipeline asks; a clip is always sampled, so False is refused.

        Returns:
            `pixel_values_videos`, float32 (B, T, 3, H, W).

        Raises:
            ValueError: The frames are not uint8 (N, H, W, 3), a file is no readable video, there is no video, or other
                tensors than PyTorch's are asked for.
            FileNotFoundError: There is no such file.
        """
        if return_tensors not in (None, "pt"):
            raise ValueError(f"return_tensors must be 'pt', got {return_tensors!r}")
        if do_sample_frames is False:
            raise ValueError("do_sample_frames must be True or None: the network takes clips at its own stride")
        geometry = ClipGeometry(num_frames or self.clip_frames, self.frame_stride)
        clips = [self._clip(video, geometry) for video in ([videos] if _is_one(videos) else videos)]
        if not clips:
            raise ValueError("videos is empty: give a video or several")
        mean, std, bgr = self.mean, self.std, self.colour_order == "BGR"
        made = normalise(torch.stack(clips), mean=mean, std=std, bgr=bgr).transpose(1, 2)
        return BatchFeature({"pixel_values_videos": made})

    def _clip(self, video: Any, geometry: ClipGeometry) -> torch.Tensor:
        if isinstance(video, (str, os.PathLike)):
            with VideoReader(video) as reader:
                frames = reader.read(_centre(reader.index.num_frames, geometry), short_side=self.short_side)
        else:
            frames = _frames_of(video)
            frames = frames[_centre(len(frames), geometry)]
        return cut_views(frames, crops="centre", short_side=self.short_side, crop=self.crop)[0]

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        videos: Any,
        *,
        return_tensors: str | None = "pt",
        num_frames: int | None = None,
        do_sample_frames: bool | None = None,
    ) -> BatchFeature:
        """As `preprocess`."""
        return self.preprocess(
            videos, return_tensors=return_tensors, num_frames=num_frames, do_sample_frames=do_sample_frames
        )


def _is_one(videos: Any) -> bool:
    """Whether one video is given, and not several: a path, an array, or a list of frames."""
    if isinstance(videos, (str, os.PathLike)):
        return True
    if hasattr(videos, "ndim"):
        return videos.ndim != 5
    if not isinstance(videos, Sequence):
        raise ValueError(f"videos must be a path, frames, or a sequence of such, got a {type(videos).__name__}")
    return len(videos) > 0 and (isinstance(videos[0], Image) or getattr(videos[0], "ndim", 0) == 3)


def _frames_of(video: Any) -> torch.Tensor:
    """Frames (N, H, W, 3), as they are or from a list of them.

    Raises:
        ValueError: They are neither arrays nor pictures, of several sizes, or of another shape.
    """
    try:
        frames = video if isinstance(video, torch.Tensor) else torch.from_numpy(np.asarray(video))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"frames must be uint8 of shape (T, H, W, 3), or a list of pictures of one size, got a "
            f"{type(video).__name__}: {short(str(error))}"
        ) from None
    if frames.ndim != 4:
        raise ValueError(f"frames must be uint8 of shape (T, H, W, 3), got {frames.dtype} {tuple(frames.shape)}")
    return frames


def _centre(num_frames: int, geometry: ClipGeometry) -> list[int]:
    return evenly_spaced_clips(num_frames, geometry, num_clips=1)[0]


AutoConfig.register(NonLocalVideoConfig.model_type, NonLocalVideoConfig)
AutoModelForVideoClassification.register(NonLocalVideoConfig, NonLocalForVideoClassification)
AutoVideoProcessor.register(NonLocalVideoConfig, NonLocalVideoProcessor)
