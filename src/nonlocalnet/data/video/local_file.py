"""What FFmpeg may open: the file of that name, and no other."""

import os

import av

# These read what a file names, other files or addresses; careful FFmpeg still follows names beside the file.
_LEADING_ELSEWHERE = frozenset(
    {"avisynth", "concat", "dash", "hls", "image2", "imf", "rtp", "rtsp", "sap", "sdp", "vapoursynth", "vobsub"}
    | {"webm_dash_manifest"}
)

SELF_CONTAINED: dict[str, str] = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(sorted(av.formats_available - _LEADING_ELSEWHERE)),
}
"""Options of `av.open` for a file that leads nowhere else, whatever stands in it."""


def local_url(path: str | os.PathLike[str]) -> str:
    """The file of that name, whatever the name is: FFmpeg takes `12:30:05.mp4` for an address of the network.

    >>> local_url("12:30:05.mp4")
    'file:12:30:05.mp4'
    """
    return f"file:{os.fspath(path)}"
