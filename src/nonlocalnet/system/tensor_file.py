"""safetensors files with a digest in their metadata: a flipped bit is found, and is no other weight."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nonlocalnet.system.odd_files import one_sentence, require_file

DIGEST_KEY = "nonlocalnet.digest"
# What a weight can be copied from as it stands. Others are complex, or numbers without the scale they belong to.
PLAIN_DTYPES = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
}

_LONGEST_HEADER = 16 << 20  # bytes; that of a ResNet-101 has 100,000, and reading one takes fifty times its size


def type_flaw(tensor: Tensor, like: Tensor | None = None) -> str | None:
    """Why a tensor of a file is no weight by its type; None where it is one.

    Args:
        tensor: Of the file.
        like: What it is to be copied to: whole numbers, as a program that quantises leaves them, are no real ones.
    """
    if tensor.dtype not in PLAIN_DTYPES:
        return f"is of {tensor.dtype}, which is not read; write it as torch.float32"
    if like is not None and like.is_floating_point() and not tensor.is_floating_point():
        return f"is of {tensor.dtype}, and real numbers belong there; write it as torch.float32, times its scale"
    return None


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a file of tensors and texts, with the digest of both beside the texts."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(contiguous, {**metadata, DIGEST_KEY: digest_of(contiguous, metadata)})


def unpack(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and texts of any safetensors file; where a digest stands beside them, they are as it says.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no safetensors file, is truncated, or is not what was written.
    """
    require_file(path)
    with one_sentence(path):
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > min(_LONGEST_HEADER, Path(path).stat().st_size - 8):
            raise ValueError(f"{path} is no whole safetensors file: its header would have {length} bytes")
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                metadata = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        except SafetensorError as error:
            raise ValueError(f"{path} is no whole safetensors file: {error}") from error
        written = metadata.pop(DIGEST_KEY, None)
        if written is not None and written != digest_of(tensors, metadata):
            raise ValueError(
                f"{path} is damaged, or was changed by another program: it is not as the digest in it says; "
                "copy or fetch it again"
            )
        return tensors, metadata


def digest_of(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """SHA-256 over the texts, and over names, types, shapes and bytes of the tensors, in the order of their names."""
    found = hashlib.sha256()
    for key in sorted(texts):
        found.update(f"{key!r}{texts[key]!r}".encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu()
        found.update(f"{name!r}{tensor.dtype}{tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy())  # pyright: ignore[reportArgumentType]
    return f"sha256:{found.hexdigest()}"
