"""The weights that the authors released, as data; names, results and places are those of the release's README.

The release is facebookresearch/video-nonlocal-net, under CC-BY-NC 4.0: for non-commercial use, with attribution. This
library ships none of it.
"""

from __future__ import annotations

from dataclasses import dataclass

RELEASED_CLASSES = 400  # Kinetics-400
LICENCE = "CC-BY-NC 4.0"
BASE_URL = "https://dl.fbaipublicfiles.com/video-nonlocal/"


@dataclass(frozen=True)
class ReleasedFile:
    """One file of the release.

    Attributes:
        name: Its name.
        what: The network and its training, in words.
        clip: Frames x frame stride.
        published: Top-1 and top-5 accuracy in percent on Kinetics-400's validation set, 10 clips x 3 crops.
        sha256: The beginning of its SHA-256, where it is known; the release names none.
        licence: Under which it may be used.
    """

    name: str
    what: str
    clip: str
    published: dict[str, float]
    sha256: str | None = None
    licence: str = LICENCE

    @property
    def url(self) -> str:
        """Where the authors publish it."""
        return BASE_URL + self.name


def _file(stem: str, what: str, top1: float, top5: float) -> ReleasedFile:
    return ReleasedFile(f"{stem}.pkl", what, stem.split("_")[2], {"top1": top1, "top5": top5})


CATALOGUE: tuple[ReleasedFile, ...] = (
    _file("c2d_baseline_32x2_IN_pretrain_400k", "C2D-50", 72.0, 90.0),
    _file("c2d_nonlocal_32x2_IN_pretrain_400k", "NL C2D-50, 5 blocks", 73.9, 91.0),
    _file("i3d_baseline_32x2_IN_pretrain_400k", "I3D-50", 73.6, 90.8),
    _file("i3d_nonlocal_32x2_IN_pretrain_400k", "NL I3D-50, 5 blocks", 74.9, 91.6),
    _file("i3d_baseline_128x1_I3D_pretrain_400k", "I3D-50, from 32x2, frozen norms", 75.2, 92.0),
    _file("i3d_nonlocal_128x1_I3D_pretrain_400k", "NL I3D-50, 5 blocks, from 32x2, frozen norms", 76.5, 92.7),
    _file("c2d_baseline_8x8_IN_pretrain_400k", "C2D-50", 71.9, 90.0),
    _file("c2d_nonlocal_8x8_IN_pretrain_400k", "NL C2D-50, 5 blocks", 74.4, 91.4),
    _file("i3d_baseline_8x8_IN_pretrain_400k", "I3D-50", 73.4, 90.9),
    _file("i3d_nonlocal_8x8_IN_pretrain_400k", "NL I3D-50, 5 blocks", 74.7, 91.6),
    _file("i3d_baseline_32x4_I3D_pretrain_400k", "I3D-50, from 8x8, frozen norms", 75.5, 92.0),
    _file("i3d_nonlocal_32x4_I3D_pretrain_400k", "NL I3D-50, 5 blocks, from 8x8, frozen norms", 76.5, 92.6),
    _file("i3d_baseline_8x8_IN_pretrain_300k", "I3D-50, 300k iterations", 73.2, 90.8),
    _file("i3d_baseline_8x8_IN_pretrain_600k_4gpu", "I3D-50, 600k iterations on 4 GPUs", 73.0, 90.4),
    _file("i3d_baseline_8x8_IN_pretrain_300k_4gpu", "I3D-50, 300k iterations on 4 GPUs", 72.0, 90.1),
)


def released_file(name: str) -> ReleasedFile | None:
    """The file of that name, or None."""
    return next((file for file in CATALOGUE if file.name == name), None)
