"""The planes of a decoded frame as arrays."""

import av
import numpy as np
import numpy.typing as npt


def plane_views(frame: av.VideoFrame) -> list[npt.NDArray[np.uint8]]:
    """Views of an 8-bit planar frame's bytes, (rows, columns) each, without the padding at the ends of rows."""
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    ]
