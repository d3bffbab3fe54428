"""A network written as a file: this library's, or another program's where that builds the same graph."""

from __future__ import annotations

from typing import Literal, get_args

from nonlocalnet.formats.write_caffe2 import caffe2_bytes
from nonlocalnet.formats.write_mmaction2 import mmaction2_bytes
from nonlocalnet.formats.write_slowfast import slowfast_bytes
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.network import fresh_card, to_bytes

Target = Literal["nonlocalnet", "slowfast", "mmaction2", "caffe2"]


def encode(network: VideoResNet, *, to: Target) -> bytes:
    """The content of a file that holds a network.

    Args:
        network: Built by a factory or opened by `from_checkpoint`.
        to: "nonlocalnet" (safetensors with the card), "slowfast" (`.pyth` with its settings), "mmaction2" (`.pth` with
            its configuration) or "caffe2" (`.pkl`; it cannot say the clip, which the reader must know).

    Returns:
        The bytes; reading them back gives a network with the same outputs.

    Raises:
        ValueError: If the program would build another graph from it; names every difference.
    """
    if to not in get_args(Target):
        raise ValueError(f"to must be one of {', '.join(get_args(Target))}, got {to!r}")
    if to == "nonlocalnet":
        return to_bytes(network.state_dict(), network.card or fresh_card(network))
    if to == "slowfast":
        return slowfast_bytes(network)
    return mmaction2_bytes(network) if to == "mmaction2" else caffe2_bytes(network)
