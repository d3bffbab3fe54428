"""What a file of weights is opened as, and one row for each program whose files are read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nonlocalnet.formats.load_plan import Hints, LoadPlan
from nonlocalnet.formats.names import NameTable
from nonlocalnet.models import VideoResNet


@dataclass(frozen=True)
class OpenedFile:
    """A file of weights, read once; a command hands it on.

    Attributes:
        path: The file.
        container: "safetensors", "pickle" (of arrays), "torch", or the name of the format that opened it.
        content: What stands in it: for safetensors the metadata that is ours, for a pickle what is under its "blobs" if
            it has such, else whatever was saved.
        tensors: Those of it, by the names in the file; empty for a pickle, whose arrays its program tells apart.
    """

    path: str
    container: str
    content: Any
    tensors: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One program's files.

    Attributes:
        name: On the command line (`convert --to`).
        names: Its names beside ours, one table for each way in which it wrote them.
        recognises: Whether an opened file is the program's.
        read: Plans the network of such a file; ValueError where it leaves something open or is of another graph.
        write: The content of a file that holds a network; ValueError where the program would build another graph.
        suffix: The usual ending of its files.
        described: The program and the names by which its files are told, for errors; empty where the container tells.
        start_from: The tensors that a network of ours can start from, by our names; None where `names` are enough.
        keeps: What its files hold of a card beside the network: "class_names", "results".
        opens: Reads a file that is none of the usual containers; gives None for a file that is not its own. None for
            programs whose files are safetensors, pickles or files of `torch.save`.
    """

    name: str
    names: tuple[NameTable, ...]
    recognises: Callable[[OpenedFile], bool]
    read: Callable[[OpenedFile, Hints], LoadPlan]
    write: Callable[[VideoResNet], bytes]
    suffix: str
    described: str = ""
    start_from: Callable[[OpenedFile], dict[str, Tensor]] | None = None
    keeps: tuple[str, ...] = ()
    opens: Callable[[Path], OpenedFile | None] | None = None
