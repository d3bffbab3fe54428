"""Files of `torch.save`, read without running anything of them."""

from __future__ import annotations

import mmap
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nonlocalnet.formats.reading.content import dotted, values_of
from nonlocalnet.formats.reading.pickle_scan import scan
from nonlocalnet.formats.reading.zip_archive import check_archive

# The first bytes of a file that torch.save wrote before its zip archives: a pickled magic number.
TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_multiarray = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray  # pyright: ignore
# Plain numbers that older programs saved beside the tensors; the same names that `read_pickle` knows.
_SAFE = [
    _multiarray._reconstruct,  # pyright: ignore[reportAttributeAccessIssue]
    _multiarray.scalar,  # pyright: ignore[reportAttributeAccessIssue]
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
]

_WHOLE_MODULE = (
    ". A whole module is not opened, since that runs its code: load it where that code is, and save the tensors, "
    "torch.save(module.state_dict(), FILE)"
)


def read_torch(path: str | os.PathLike[str]) -> Any:
    """Read a file of `torch.save` into CPU memory: tensors, numbers, text and containers, whatever it holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, truncated, not PyTorch's, holds anything that only code could rebuild, or
            declares a tensor larger than what it holds; says what was found.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a checkpoint file, such as {path / 'best.ckpt'}")
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise ValueError(f"{path} is empty (0 bytes); it is not a checkpoint")
    try:
        if start.startswith(b"PK"):
            scan(check_archive(path))
        elif start.startswith(TORCH_LEGACY):
            _scan_legacy(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE):
            # About the pickle's protocol; what matters of it comes as an error.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is not a file of plain tensors ({_reason(error)}); it begins with {start!r}{_WHOLE_MODULE}"
        ) from None
    except UnicodeError as error:  # names of entries or in the pickle that are no text
        raise _unreadable(path, start) from error
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path} is refused: it holds {error}") from error
    except Exception as error:
        raise _unreadable(path, start) from error
    _refuse_odd_tensors(content, path=path)
    return content


def _unreadable(path: Path, start: bytes) -> ValueError:
    what = "a zip archive that is truncated, damaged or not PyTorch's" if start.startswith(b"PK") else "no PyTorch file"
    return ValueError(f"{path} cannot be read: it is {what} ({path.stat().st_size} bytes, beginning with {start!r})")


def _scan_legacy(path: Path) -> None:
    """Before the zip archives there were five pickles in a row: a number, a version, the system, the content, keys."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = 0
        for _ in range(5):
            at = scan(content, at)


def _reason(error: Exception) -> str:
    """What was refused, without PyTorch's advice on how to run the file's code."""
    text = str(error)
    for mark in ("Unsupported global: GLOBAL ", "Unsupported class ", "Unsupported operand "):
        if mark in text:
            return f"it asks to load {text.partition(mark)[2].split()[0]}"
    first = text.splitlines()[0] if text else type(error).__name__
    return "it holds more than tensors" if "weights_only" in first.lower() or "weights only" in first.lower() else first


def _refuse_odd_tensors(content: Any, *, path: Path) -> None:
    """Refuse tensors that are not plain numbers in memory, or declare more of them than their storage has.

    Copying the latter would allocate them.
    """
    for keys, value in values_of(content):
        if not isinstance(value, torch.Tensor):
            continue
        plain = value.layout is torch.strided and value.device.type == "cpu"
        plain = plain and not value.is_quantized and not value.is_nested
        held = value.untyped_storage().nbytes() if plain else 0
        if not plain or value.numel() * value.element_size() > held:
            raise ValueError(
                f"{path} is refused: {dotted(keys) or 'its tensor'} declares the shape {tuple(value.shape)} of "
                f"{value.dtype}, and holds {held} bytes"
            )
