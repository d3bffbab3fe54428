"""Caffe2's `.pkl` files: named numpy arrays in a pickle, read without running anything of it.

A pickle is a program that may import and call whatever it names. This reader knows six names, all of them numpy's way
to spell an array, and gives each a harmless meaning of its own:

    array   = _reconstruct(ndarray, (0,), b"b")    then state (version, shape, dtype, Fortran order, bytes)
    scalar  = scalar(dtype, bytes)
    dtype   = dtype("f4", 0, 1)                    then state (version, byte order, ...)
    bytes   = _codecs.encode(text, "latin1")       how Python 3 writes bytes into a protocol-2 pickle
"""

from __future__ import annotations

import io
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

# Numbers only: an object array is a pickle of its own.
_KINDS = "fiub"


class _Dtype:
    """What a pickled dtype says."""

    def __init__(self, code: object, *_flags: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"a dtype with the byte order {order!r}")
        self.order = order

    def numpy(self) -> np.dtype:
        """The dtype.

        Raises:
            ValueError: If it is not of plain numbers.
        """
        try:
            found = np.dtype(self.code) if isinstance(self.code, str) else None
        except TypeError:
            found = None
        if found is None or found.kind not in _KINDS or found.subdtype is not None:
            raise ValueError(f"an array of {self.code!r}, which is not of plain numbers")
        return found.newbyteorder(">") if self.order == ">" else found.newbyteorder("<") if self.order == "<" else found


class _Array:
    """What a pickled array says, before its state is known."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array whose state is not numpy's")
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or not all(map(_is_size, shape)):
            raise ValueError(f"an array with the shape {shape!r}")
        content = content.encode("latin1") if isinstance(content, str) else content  # a Python-2 string
        self.value = _from_bytes(content, shape, dtype.numpy(), order="F" if fortran else "C")


class _ArrayType:
    """Stands for `numpy.ndarray`, which a pickle may name but not call."""


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _from_bytes(content: object, shape: tuple[int, ...], dtype: np.dtype, *, order: str) -> np.ndarray:
    """The array, after its size is held against the bytes that are there: nothing is allocated for a lie."""
    needed = math.prod(shape) * dtype.itemsize
    if not isinstance(content, bytes) or len(content) != needed:
        there = f"{len(content)} bytes" if isinstance(content, bytes) else f"a {type(content).__name__}"
        raise ValueError(f"an array that declares the shape {shape} of {dtype} ({needed} bytes) and holds {there}")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if order == "F" else "C")
    return array.astype(dtype.newbyteorder("="), order="C")


def _reconstruct(kind: object, *_unused: object) -> _Array:
    if kind is not _ArrayType:
        raise ValueError(f"an array of the type {kind!r}")
    return _Array()


def _scalar(dtype: object, content: object = b"") -> Any:
    if not isinstance(dtype, _Dtype):
        raise ValueError(f"a scalar of the type {dtype!r}")
    content = content.encode("latin1") if isinstance(content, str) else content
    return _from_bytes(content, (), dtype.numpy(), order="C").item()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"a text in the encoding {encoding!r}")
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,
    **{
        (module, name): meaning
        for package in ("numpy.core", "numpy._core")
        for module, name, meaning in (
            (f"{package}.multiarray", "_reconstruct", _reconstruct),
            (f"{package}.multiarray", "scalar", _scalar),
        )
    },
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
}


class _RefusedError(Exception):
    """The pickle names something that is no array."""


class _Unpickler(pickle.Unpickler):
    """Knows `_NAMES` and the containers that have opcodes of their own."""

    @override
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        meaning = _NAMES.get((module_name, global_name))
        if meaning is None:
            raise _RefusedError(f"{module_name}.{global_name}")
        return meaning

    @override
    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(f"the persistent object {pid!r}")


def read_pickle(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a pickled dictionary of arrays and plain values; nothing that the file names is imported or called.

    Args:
        path: A Python-2 or Python-3 pickle.

    Returns:
        The dictionary, text keys as `str`; arrays are numpy arrays in the machine's byte order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the pickle names anything but arrays, is truncated, declares more than it holds, or is not a
            dictionary with text keys; says what it found.
    """
    content = Path(path).read_bytes()
    try:
        loaded = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except _RefusedError as error:
        raise ValueError(
            f"{path} is refused: its pickle asks to load {error}; a file of weights holds numpy arrays, numbers and "
            "text only, and loading anything else can run code"
        ) from None
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"{path} is no whole pickle ({len(content)} bytes): {error}") from None
    except Exception as error:
        raise ValueError(f"{path} is refused: its pickle holds {error}") from None
    return _plain(loaded, path=path, describe="the file")


def _plain(value: object, *, path: object, describe: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path}: {describe} holds a {type(value).__name__}, not a dictionary of arrays by name")
    plain = {}
    for key, entry in value.items():
        if not isinstance(key, str):
            raise ValueError(f"{path}: {describe} has the key {key!r}, which is not text; names of tensors are")
        if isinstance(entry, dict):
            plain[key] = _plain(entry, path=path, describe=f"its entry {key!r}")
        elif isinstance(entry, _Array):
            if entry.value is None:
                raise ValueError(f"{path}: {key} is an array without content")
            plain[key] = entry.value
        elif isinstance(entry, (_Dtype, type, Callable)):
            raise ValueError(f"{path}: {key} is neither an array, a number nor text")
        else:
            plain[key] = entry
    return plain
