"""Padding is not attended to: a detector hands the true sizes of its images to the blocks of its backbone.

A batch holds images of different sizes, each padded at its right and bottom to the largest of them:

    image 0   image 1            key mask of image 1 at a block
    . . . .   . . 0 0            1 1 0 0
    . . . .   . . 0 0            1 1 0 0
    . . . .   0 0 0 0            0 0 0 0

Without a mask a non-local sum would run over the zeros too, and an image's features would depend on its neighbours in
the batch. (The convolutions around the block see their padding with or without blocks; that is torchvision's.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from torchvision.models.detection.image_list import ImageList

from nonlocalnet.insert import nonlocal_blocks

Sizes = list[tuple[int, int]]


class PaddingMask:
    """Carries image sizes from the detector's transform to its blocks, by hooks that pickle and copy with it.

    The transform's output is noted, the backbone's next call takes it, and the blocks of that call (and of its
    recomputation in a backward pass) use it. A backbone that is called alone has no sizes, and its blocks no mask.
    """

    def __init__(self) -> None:
        self._noted: tuple[Sizes, tuple[int, int]] | None = None
        self._current: tuple[Sizes, tuple[int, int]] | None = None
        # Kept so that they are pickled with the model: hook numbers restart in a new process, and a later hook on the
        # same module would otherwise be given the number of ours and replace it.
        self._handles: list[RemovableHandle] = []

    def attach(self, *, transform: nn.Module, backbone: nn.Module) -> None:
        """Register the hooks, on every block that the backbone has now."""
        self._handles += [
            transform.register_forward_hook(self._note),
            backbone.register_forward_pre_hook(self._take),
            *(
                b.register_forward_pre_hook(self._hand_over, with_kwargs=True)
                for b in nonlocal_blocks(backbone).values()
            ),
        ]

    def _note(self, _module: nn.Module, _args: tuple[Any, ...], output: tuple[ImageList, Any]) -> None:
        images = output[0]
        height, width = images.tensors.shape[-2:]
        self._noted = ([(int(h), int(w)) for h, w in images.image_sizes], (int(height), int(width)))

    def _take(self, _module: nn.Module, _args: tuple[Any, ...]) -> None:
        self._current, self._noted = self._noted, None

    def _hand_over(
        self, _block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._current is None or kwargs.get("key_mask") is not None:
            return None
        image_sizes, padded_size = self._current
        mask = key_mask(args[0], image_sizes=image_sizes, padded_size=padded_size)
        return args, {**kwargs, "key_mask": mask}


def key_mask(features: Tensor, *, image_sizes: Sizes, padded_size: tuple[int, int]) -> Tensor | None:
    """Which positions of a feature map lie in the images of the batch.

    Args:
        features: (B, C, H, W), a map of the padded batch.
        image_sizes: (height, width) in pixels of every image, B of them.
        padded_size: (height, width) in pixels of the padded batch.

    Returns:
        (B, H, W) bool: True where the position covers a pixel of the image; None where every position does.

    >>> key_mask(torch.zeros(1, 8, 2, 4), image_sizes=[(32, 40)], padded_size=(32, 64))
    tensor([[[ True,  True,  True, False],
             [ True,  True,  True, False]]])
    """
    height, width = features.shape[-2:]
    # Rounded up: the last position of an image may cover some of its pixels only.
    kept = [(-(-h * height // padded_size[0]), -(-w * width // padded_size[1])) for h, w in image_sizes]
    if all(h >= height and w >= width for h, w in kept):
        return None
    rows = torch.arange(height, device=features.device)
    columns = torch.arange(width, device=features.device)
    sizes_B2 = torch.tensor(kept, device=features.device)
    return (rows < sizes_B2[:, :1]).unsqueeze(2) & (columns < sizes_B2[:, 1:]).unsqueeze(1)
