"""Validation as the authors' released code ([C2]) does it: a random clip, crop and flip of every video."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from nonlocalnet.data.clips.datasets import TrainVideos, VideoViews
from nonlocalnet.data.video.errors import VideoError


class RandomViews(Dataset[VideoViews]):
    """The one random view of each video that training with this seed would see in epoch 0; no video stands in.

    [C2] draws other ones at every validation (its split "val" in model_builder_video.py is read as training is); here
    they stay, so that two points of one curve can be compared.

    Args:
        videos: Cuts the views.
    """

    def __init__(self, videos: TrainVideos) -> None:
        self.videos = videos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> VideoViews:
        entry = self.videos.video_list.entries[index]
        try:
            frames, error_text = self.videos.frames_of(index, epoch=0), ""
        except (VideoError, FileNotFoundError) as error:
            side, error_text = self.videos.crop, str(error)
            frames = torch.zeros((self.videos.geometry.frames, side, side, 3), dtype=torch.uint8)
        return VideoViews(
            views=frames[None],
            label=entry.label,
            index=index,
            path=str(entry.path),
            error=error_text,
            seconds=torch.full((1, 2), torch.nan, dtype=torch.float64),  # nobody asks for those of a random clip
        )
