"""A network of sequences as a page: not yet."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch

from nonlocalnet.formats import OpenedFile


def open_served(opened: OpenedFile, parsed: Namespace, *, device: torch.device) -> Any:
    """Refuse: the page takes videos and images.

    Raises:
        ValueError: Always; it names what there is instead.
    """
    del parsed, device
    raise ValueError(
        f"{opened.path} holds a network of sequences, and the page takes videos and images: use `nonlocalnet predict` "
        "and `nonlocalnet explain`"
    )
