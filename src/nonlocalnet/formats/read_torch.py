"""Files of `torch.save`, read without running anything of them."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

_multiarray = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray  # pyright: ignore
# Plain numbers that older programs saved beside the tensors; the same names that `read_pickle` knows.
_SAFE = [
    _multiarray._reconstruct,  # pyright: ignore[reportAttributeAccessIssue]
    _multiarray.scalar,  # pyright: ignore[reportAttributeAccessIssue]
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
]


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
    _refuse_compression(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_SAFE):
            # About the pickle's protocol; what matters of it comes as an error.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is not a file of plain tensors ({_reason(error)}); it begins with {start!r}"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        size = path.stat().st_size
        what = "a zip archive that is truncated or not PyTorch's" if start.startswith(b"PK") else "no PyTorch file"
        raise ValueError(f"{path} cannot be read: it is {what} ({size} bytes, beginning with {start!r})") from error
    _refuse_views(content, path=path, where="")
    return content


def _reason(error: Exception) -> str:
    """What was refused, without PyTorch's advice on how to run the file's code."""
    text = str(error)
    for mark in ("Unsupported global: GLOBAL ", "Unsupported class ", "Unsupported operand "):
        if mark in text:
            return f"it asks to load {text.partition(mark)[2].split()[0]}"
    first = text.splitlines()[0] if text else type(error).__name__
    return "it holds more than tensors" if "weights_only" in first.lower() or "weights only" in first.lower() else first


def _refuse_compression(path: Path) -> None:
    """PyTorch stores its tensors as they are; a compressed entry could unfold to any size."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(
                    f"{path} is refused: its entry {entry.filename} is compressed, which PyTorch's are not"
                )


def _refuse_views(content: Any, *, path: Path, where: str) -> None:
    """Refuse tensors that declare more numbers than their storage has: copying one would allocate them."""
    if isinstance(content, torch.Tensor):
        held = content.untyped_storage().nbytes() if content.layout is torch.strided else 0
        if content.layout is not torch.strided or content.numel() * content.element_size() > held:
            raise ValueError(
                f"{path} is refused: {where or 'its tensor'} declares the shape {tuple(content.shape)} of "
                f"{content.dtype}, and holds {held} bytes"
            )
    elif isinstance(content, dict):
        for key, value in content.items():
            _refuse_views(value, path=path, where=f"{where}.{key}" if where else str(key))
    elif isinstance(content, (list, tuple)):
        for value in content:
            _refuse_views(value, path=path, where=where)
