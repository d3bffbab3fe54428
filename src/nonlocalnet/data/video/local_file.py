"""A path as FFmpeg takes it."""

import os


def local_url(path: str | os.PathLike[str]) -> str:
    """The file of that name, whatever the name is: FFmpeg takes `12:30:05.mp4` for an address of the network.

    >>> local_url("12:30:05.mp4")
    'file:12:30:05.mp4'
    """
    return f"file:{os.fspath(path)}"
