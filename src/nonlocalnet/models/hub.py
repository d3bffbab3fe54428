"""Models on the Hugging Face hub: what names one, and its file of weights on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from nonlocalnet.models.weights_file import WEIGHTS_FILE
from nonlocalnet.system.odd_files import said_by

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
# A name with one of these is a file's, which is then missing: nothing is asked of the hub.
_FILE_SUFFIXES = (
    *(".ckpt", ".safetensors", ".pkl", ".pth", ".pyth", ".pt", ".bin", ".npz"),
    *(".json", ".gz", ".tar", ".zip"),
)


def is_hub_id(name: str | os.PathLike[str]) -> bool:
    """Whether a name is OWNER/NAME of a model on the hub: a text that is no path on this machine.

    >>> is_hub_id("somebody/network"), is_hub_id("runs/best.ckpt"), is_hub_id("./some/where")
    (True, False, False)
    """
    if not isinstance(name, str) or _HUB_ID.fullmatch(name) is None:
        return False
    path = Path(name)
    return path.suffix.lower() not in _FILE_SUFFIXES and not path.exists() and not path.parent.exists()


def fetch(model_id: str, **options: Any) -> Path:
    """The file of weights of a model on the hub, from the hub or from its library's cache.

    Args:
        model_id: OWNER/NAME.
        options: As `huggingface_hub.hf_hub_download` takes them, such as `revision`.

    Raises:
        FileNotFoundError: There is no such model that may be read, or it has no `model.safetensors`.
        OSError: The hub cannot be reached, and the cache has no such file.
    """
    try:
        return Path(hf_hub_download(model_id, WEIGHTS_FILE, **options))
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{model_id}: there is no such file or folder, nor a model of that name on the Hugging Face hub that may "
            "be read from here; a private one needs `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"{model_id} has no revision {options.get('revision')!r} on the hub") from error
    except LocalEntryNotFoundError as error:
        raise OSError(
            f"{model_id}: there is no such file or folder, and the Hugging Face hub cannot be reached from here for a "
            "model of that name"
        ) from error
    except EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{model_id} on the Hugging Face hub has no {WEIGHTS_FILE}: only models that nonlocalnet wrote open by "
            "their id; download a file of another program and name it"
        ) from error
    except Exception as error:  # whatever its library for connections raises
        if isinstance(error, OSError) and not isinstance(error, HfHubHTTPError):
            raise  # of the cache's disk
        reason = said_by(error)
        raise OSError(f"{model_id} cannot be fetched from the Hugging Face hub: {reason}") from error
