"""What FFmpeg may open: the file of that name, and no other."""

import os
from collections.abc import Mapping
from typing import Any

import av
from av.container import InputContainer

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


# From 19 on, PyAV reads names of encoders and titles in any encoding and has no setting for it.
_ENCODINGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_local(path: str | os.PathLike[str], options: Mapping[str, str] | None = None) -> InputContainer:
    """`av.open` of that file and no other; the caller closes it.

    Text in it that is no UTF-8 is no error: no frame and no sample depends on it.

    Args:
        path: The file.
        options: Further options of FFmpeg's.
    """
    opened: InputContainer = av.open(local_url(path), options={**SELF_CONTAINED, **(options or {})}, **_ENCODINGS)
    return opened
