"""PyTorchVideo's block: PySlowFast's, with another name for the norm and no pooling by itself."""

from __future__ import annotations

from nonlocalnet.formats.blocks.source import BlockSource, has, is_prefixed, prefixed_rows

SOURCE = BlockSource(
    name="pytorchvideo",
    library="PyTorchVideo, pytorchvideo/layers/nonlocal_net.py",
    names=lambda _subsampled, _with_norm: prefixed_rows(norm="norm"),
    recognises=lambda names: is_prefixed(names) and not has(names, "bn."),
    norm_prefix="norm.",
    subsample_first=True,  # create_nonlocal pools nothing unless it is told to
    scale="rsqrt",
)
