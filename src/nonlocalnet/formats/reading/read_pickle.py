"""Caffe2's `.pkl` files: named numpy arrays in a pickle, read without running anything of it.

A pickle is a program that may import and call whatever it names. This reader knows six names, all of them numpy's way
to spell an array, and gives each a harmless meaning of its own:

    array   = _reconstruct(ndarray, (0,), b"b")    then state (version, shape, dtype, Fortran order, bytes)
    scalar  = scalar(dtype, bytes)
    dtype   = dtype("f4", 0, 1)                    then state (version, byte order, ...)
    bytes   = _codecs.encode(text, "latin1")       how Python 3 writes bytes into a protocol-2 pickle
"""

from __future__ import annotations

import math
import mmap
import os
import pickle
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from nonlocalnet.formats.reading.content import values_of
from nonlocalnet.formats.reading.pickle_scan import scan
from nonlocalnet.system.odd_files import one_sentence

# Numbers that PyTorch has, by kind and bytes; an object array is a pickle of its own.
_KINDS = {"f2", "f4", "f8", "b1", *(f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8))}


class _Dtype:
    """What a pickled dtype says."""

    def __init__(self, code: object, *_flags: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"a dtype with the byte order {reprlib.repr(order)}")
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
        if found is None or f"{found.kind}{found.itemsize}" not in _KINDS or found.subdtype is not None:
            raise ValueError(f"an array of {reprlib.repr(self.code)}, which is not of plain numbers")
        return found.newbyteorder(">") if self.order == ">" else found.newbyteorder("<") if self.order == "<" else found


class _Array:
    """What a pickled array says; it is made only when all of the file is known, since its bytes may be shared."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: tuple[bytes | str, tuple[int, ...], np.dtype, bool] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array whose state is not numpy's")
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or not all(map(_is_size, shape)):
            raise ValueError(f"an array with the shape {reprlib.repr(shape)}")
        content = _whole(content, shape, dtype.numpy())
        self.size, self._parts = len(content), (content, shape, dtype.numpy(), bool(fortran))

    def numpy(self) -> np.ndarray | None:
        """The array; None where the pickle left its state out."""
        return None if self._parts is None else _from_bytes(*self._parts)


class _ArrayType:
    """Stands for `numpy.ndarray`, which a pickle may name but not call."""


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _whole(content: object, shape: tuple[int, ...], dtype: np.dtype) -> bytes | str:
    """The bytes of an array, after its size is held against them: nothing is allocated for a lie."""
    needed = math.prod(shape) * dtype.itemsize
    # Those of Python 2 come as text, a character each.
    if not isinstance(content, (bytes, str)) or len(content) != needed:
        there = f"{len(content)} bytes" if isinstance(content, (bytes, str)) else f"a {type(content).__name__}"
        raise ValueError(
            f"an array that declares the shape {reprlib.repr(shape)} of {dtype} ({needed} bytes) and holds {there}"
        )
    return content


def _from_bytes(content: bytes | str, shape: tuple[int, ...], dtype: np.dtype, fortran: bool = False) -> np.ndarray:
    held = content.encode("latin1") if isinstance(content, str) else content
    array = np.frombuffer(held, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="C")


def _reconstruct(kind: object, *_unused: object) -> _Array:
    if kind is not _ArrayType:
        raise ValueError(f"an array of the type {reprlib.repr(kind)}")
    return _Array()


def _scalar(dtype: object, content: object = b"") -> Any:
    if not isinstance(dtype, _Dtype):
        raise ValueError(f"a scalar of the type {type(dtype).__name__}")
    return _from_bytes(_whole(content, (), dtype.numpy()), (), dtype.numpy()).item()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(f"a text in the encoding {reprlib.repr(encoding)}")
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
        raise _RefusedError(f"the persistent object {reprlib.repr(pid)}")


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
    with one_sentence(path):
        return _plain(_loaded(Path(path)), path=path, describe="the file")


def _loaded(path: Path) -> object:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                scan(content)
            loaded = _Unpickler(file, encoding="latin1").load()
        arrays = [value for _, value in values_of(loaded) if isinstance(value, _Array)]
        # Twice: two names may have one array, and shared bytes make many arrays of few.
        if sum(array.size for array in arrays) > 2 * size:
            raise ValueError(f"arrays of more bytes than the file has ({size})")
        return loaded
    except _RefusedError as error:
        raise ValueError(
            f"{path} is refused: its pickle asks to load {error}; a file of weights holds numpy arrays, numbers and "
            "text only, and loading anything else can run code"
        ) from None
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"{path} is no whole pickle ({size} bytes): {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is refused: its pickle holds a text that is no UTF-8 ({error.reason})") from None
    except Exception as error:
        raise ValueError(f"{path} is refused: its pickle holds {error}") from None


def _plain(value: object, *, path: object, describe: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path}: {describe} holds a {type(value).__name__}, not a dictionary of arrays by name")
    plain = {}
    for key, entry in value.items():
        if not isinstance(key, str):
            raise ValueError(
                f"{path}: {describe} has the key {reprlib.repr(key)}, which is not text; names of tensors are"
            )
        if isinstance(entry, dict):
            plain[key] = _plain(entry, path=path, describe=f"its entry {key!r}")
        elif isinstance(entry, _Array):
            plain[key] = entry.numpy()
            if plain[key] is None:
                raise ValueError(f"{path}: {key} is an array without content")
        elif isinstance(entry, (_Dtype, type, Callable)):
            raise ValueError(f"{path}: {key} is neither an array, a number nor text")
        else:
            plain[key] = entry
    return plain
