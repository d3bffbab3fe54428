"""Fetching a file of the catalogue from where its authors publish it."""

from __future__ import annotations

import logging
import tempfile
import urllib.error
from pathlib import Path

import torch

from nonlocalnet.formats.catalogue import ReleasedFile
from nonlocalnet.formats.known import open_file

log = logging.getLogger(__name__)


def download(file: ReleasedFile, *, url: str | None = None, progress: bool = True) -> Path:
    """Fetch a released file into torch.hub's cache, unless it is there; its licence is logged first.

    Args:
        file: An entry of the catalogue.
        url: Where to fetch it instead of `file.url`, such as a mirror.
        progress: Show a progress bar on standard error.

    Returns:
        Its path, in `torch.hub.get_dir()`/checkpoints. It is written under another name and renamed when whole.

    Raises:
        ValueError: If the content's hash is not the known one, or without one, it is no file of weights; nothing is
            kept.
        OSError: If the address cannot be reached or the file not written; names both.
    """
    log.warning("%s is under %s (by the authors of %s)", file.name, file.licence, "facebookresearch/video-nonlocal-net")
    url = url or file.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / file.name
    if path.is_file():
        log.info("%s is there already", path)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            fetched = Path(folder) / file.name
            torch.hub.download_url_to_file(url, str(fetched), hash_prefix=file.sha256, progress=progress)
            if file.sha256 is None:
                _require_weights(fetched, url=url)
            fetched.replace(path)
    except RuntimeError as error:
        raise ValueError(f"{url}: the file is not the one published: {error}") from error
    except (urllib.error.URLError, OSError) as error:
        raise OSError(f"cannot fetch {url} to {path}: {error}") from error
    return path


def _require_weights(fetched: Path, *, url: str) -> None:
    """Where no hash is known: a page that says "not found", or half a file, opens as no weights."""
    try:
        open_file(fetched)
    except ValueError as error:
        reason = str(error).replace(str(fetched), fetched.name)
        raise ValueError(f"{url} gives no file of weights, and nothing is kept: {reason}") from error
