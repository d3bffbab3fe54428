"""Finding the files that a list names, and saying which are missing."""

import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.data.annotations.entries import VIDEOS, Found, Media
from nonlocalnet.system.visible import cut

log = logging.getLogger(__name__)

_NAMED_IN_ERRORS = 3  # how many missing files an error spells out
_TRIED_FOR_PREFIX = 50  # videos looked for until one is found and shows which folders a list has too many


def locate(videos: Sequence[Found], *, root: Path, source: Path, media: Media) -> list[Found]:
    """Give every video the path of a file that exists, where one can be told.

    - A list written on Windows has backslashes between folders.
    - A video that is missing may be there as .mp4: `nonlocalnet data prepare` writes those.
    - Where none is there, the list may come from another machine: the leading folders of its paths that the root does
      not have are dropped (the same number of every path).
    """
    videos = [_with_slashes(video) for video in videos]
    here = [_as_rewritten(video, media) for video in videos]
    if any(map(_exists, here[:_TRIED_FOR_PREFIX])):
        return here
    for video, drop in itertools.product(videos[:_TRIED_FOR_PREFIX], range(1, 16)):
        if _exists(_as_rewritten(_dropped(video, drop, root), media)):
            log.info("%s: the first %d folders of its paths are left out: %s", source, drop, root)
            return [_as_rewritten(_dropped(video, drop, root), media) for video in videos]
    return here


def check(videos: Sequence[Found], source: Path, media: Media) -> None:
    """Refuse a list that names missing files.

    Raises:
        FileNotFoundError: They are counted, and the first few named with their line.
    """
    missing = [video for video in videos if not _exists(video)]
    if missing:
        named = "; ".join(
            (f"line {video.lines[-1]}: " if video.lines else "") + cut(video.path)
            for video in missing[:_NAMED_IN_ERRORS]
        )
        more = "; ..." if len(missing) > _NAMED_IN_ERRORS else ""
        leave_out = (
            "let `nonlocalnet data check LIST --root DIR --out NEW_LIST` leave them out"
            if media == VIDEOS
            else "leave them out of the list"
        )
        raise FileNotFoundError(
            f"{source}: {len(missing)} of {len(videos)} files are missing ({named}{more}); set root to the folder that "
            f"the paths start from, or {leave_out}"
        )


def _exists(video: Found) -> bool:
    try:
        return video.path.is_dir() if video.frames is not None else video.path.is_file()
    except OSError:  # a name longer than the file system takes
        return False


def _with_slashes(video: Found) -> Found:
    written = str(video.path)
    if "\\" not in written or os.sep == "\\" or _exists(video):
        return video
    return video._replace(path=Path(written.replace("\\", "/")))


def _as_rewritten(video: Found, media: Media) -> Found:
    suffix = media.rewritten
    # Looked at only where it can matter: a list of Kinetics has 240,000 files.
    if suffix is None or video.frames is not None or video.path.suffix in ("", suffix) or _exists(video):
        return video
    rewritten = video._replace(path=video.path.with_suffix(suffix))
    return rewritten if _exists(rewritten) else video


def _dropped(video: Found, drop: int, root: Path) -> Found:
    """The video with the first `drop` folders of the list's own path left out; unchanged where it has not as many."""
    path = video.path.relative_to(root) if video.path.is_relative_to(root) else video.path
    parts = path.parts[drop:]
    return video._replace(path=root.joinpath(*parts)) if parts else video
