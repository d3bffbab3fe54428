"""Pickles as Python 2's cPickle wrote them, which is what the authors' files are.

Python 2's `str` is a byte string: array data, dtype codes and names go out as the BINSTRING opcodes (STRING in protocol
0, the default of the release's conversion scripts), which no Python 3 pickler writes; NumPy's functions stood in
`numpy.core`. The release's checkpoint code has `unicode_literals`, so that its names made with a literal
("..._momentum", "model_iter", "lr") are Python 2's `unicode`: wrap those in `Unicode`.
"""

import io
import pickle
import struct
from typing import Any, ClassVar


class Unicode(str):
    """A string that Python 2 held as `unicode`."""


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]  # the C pickler cannot be given opcodes
    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_byte_string(self, value: bytes) -> None:
        if self.proto == 0:
            self.write(pickle.STRING + repr(value)[1:].encode("ascii") + b"\n")
        elif len(value) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(value)]) + value)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    def save_text(self, value: str) -> None:
        if type(value) is not Unicode:
            self.save_byte_string(value.encode("latin-1"))
            return
        text = str(value)
        if self.proto == 0:
            self.write(pickle.UNICODE + text.encode("raw-unicode-escape") + b"\n")
        else:
            encoded = text.encode()
            self.write(pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded)
        self.memoize(value)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = obj.__module__.replace("numpy._core", "numpy.core")
        name = name or obj.__qualname__
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode("ascii"))
        self.memoize(obj)

    def save_type(self, obj: type) -> None:
        self.save_global(obj)

    dispatch[bytes] = save_byte_string
    dispatch[str] = save_text
    dispatch[Unicode] = save_text
    dispatch[type] = save_type


def dumps(value: Any, *, protocol: int = 2) -> bytes:
    """`value` as Python 2 pickled it; protocol 2 (a checkpoint) or 0 (a converted file)."""
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol).dump(value)
    return buffer.getvalue()
