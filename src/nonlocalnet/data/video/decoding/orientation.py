"""How a player turns and mirrors the stored picture: a frame's display matrix.

FFmpeg's matrix is nine numbers of 16.16 or 2.30, by rows a b u, c d v, x y w: the pixel at (column, row) = (p, q) is
shown at (a p + c q, b p + d q). Only the signs of the larger pair matter here; other angles go to the nearest quarter.

    a, d larger      stays:       columns run backwards where a < 0, rows where d < 0
    b, c larger      transposed:  then columns run backwards where c < 0, rows where b < 0
"""

from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
import torch
from av.sidedata.sidedata import SideDataContainer


class Orientation(NamedTuple):
    """One of the eight ways in which a stored picture may be shown.

    Attributes:
        transposed: Whether rows and columns change places, first.
        columns_flipped: Whether left and right change places, then.
        rows_flipped: Whether top and bottom do.
    """

    transposed: bool = False
    columns_flipped: bool = False
    rows_flipped: bool = False

    def shown_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the upright picture from those of the stored one, and the other way round."""
        return (width, height) if self.transposed else (height, width)

    def upright(self, frames_THWC: torch.Tensor) -> torch.Tensor:
        """Stored frames (T, H, W, 3) as they are shown, a view where nothing is flipped."""
        if self.transposed:
            frames_THWC = frames_THWC.transpose(1, 2)
        flipped = [axis for axis, flips in ((1, self.rows_flipped), (2, self.columns_flipped)) if flips]
        return frames_THWC.flip(flipped) if flipped else frames_THWC

    def upright_plane(self, plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A stored plane (rows, columns) as it is shown, a view."""
        if self.transposed:
            plane = plane.T
        return plane[:: -1 if self.rows_flipped else 1, :: -1 if self.columns_flipped else 1]


AS_STORED = Orientation()


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """What the file asks a player to do with a decoded frame.

    Not `frame.rotation`, which is the matrix' angle alone: 0 for a picture that is only upside down, 180 for one that
    is only mirrored.
    """
    # Not `frame.side_data`: the frame would keep that object, which holds the frame, so that only the garbage collector
    # could free it, dozens of decoded frames later.
    data = SideDataContainer(frame).get("DISPLAYMATRIX")  # pyright: ignore[reportCallIssue]  its stub has no constructor
    if data is None:
        return AS_STORED
    matrix = np.frombuffer(data, np.int32)[:5].tolist()
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)
