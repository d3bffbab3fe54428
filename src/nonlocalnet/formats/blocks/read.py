"""A single non-local block from the state dict of another library's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.block.norm import BATCH_NORMS
from nonlocalnet.formats.blocks import alexhex7, gluoncv, mmcv, pytorchvideo, slowfast, timm
from nonlocalnet.formats.blocks.source import BlockSource
from nonlocalnet.formats.fill import LoadReport, fill
from nonlocalnet.formats.names import NameTable
from nonlocalnet.functional import Pairwise
from nonlocalnet.functional.pairwise import row_of

log = logging.getLogger(__name__)

# A further library is a file like `mmcv.py` and an entry here.
SOURCES: tuple[BlockSource, ...] = (
    alexhex7.SOURCE,
    mmcv.SOURCE,
    slowfast.SOURCE,
    pytorchvideo.SOURCE,
    gluoncv.SOURCE,
    timm.SOURCE,
)


def block_from_state_dict(
    state_dict: Mapping[str, Tensor],
    *,
    ndim: int | None = None,
    source: str | None = None,
    pairwise: Pairwise | None = None,
    scale: float | Literal["rsqrt"] | None = None,
    subsample: int | Sequence[int] | Literal["source"] | None = "source",
) -> NonLocalBlock:
    """Rebuild a non-local block of another library from its state dict.

    Args:
        state_dict: The block's; a prefix that all names share is left off.
        ndim: 1, 2 or 3; the kernels say it, and another number is refused.
        source: "alexhex7" (AlexHex7/Non-local_pytorch), "mmcv" (`NonLocal1d/2d/3d`), "slowfast", "pytorchvideo",
            "gluoncv" or "timm" (`NonLocalAttn`); None where the names tell.
        pairwise: Needed where names fit the embedded Gaussian and the dot product alike.
        scale: Factor on the logits of the softmax, a number or "rsqrt". Needed for mmcv's embedded Gaussian, whose
            option use_scale (True: "rsqrt", False: 1.0) leaves no trace; None elsewhere for what the library does.
        subsample: Pooling of x before phi and g in "slowfast" and "pytorchvideo", where it leaves no trace; "source":
            (1, 2, 2) as in every configuration of PySlowFast, none as `create_nonlocal` of PyTorchVideo. The other
            libraries' names show it.

    Returns:
        The block on the CPU in eval mode, with the library's order of pooling, scale and BatchNorm momentum.

    Raises:
        ValueError: If the names are no library's, leave something open, contradict an argument, or a tensor is
            missing, unused or of another shape; named.
    """
    tensors = _own_names(state_dict)
    about = _source(tensors, source)
    if about.without_copies is not None:
        tensors = about.without_copies(tensors)
    pooled = about.pooled_names and any(name.startswith("g.0.") for name in tensors)
    with_norm = any(name.startswith(about.norm_prefix) for name in tensors)
    table = NameTable(source=about.library, rows=about.names(pooled, with_norm))
    ours = table.renamed(tensors)
    pairwise = _pairwise(ours, about, pairwise)
    kernel = _kernel(ours, about)
    if ndim not in (None, kernel.ndim - 2):
        raise ValueError(f"ndim={ndim}, but the kernels of the state dict are {kernel.ndim - 2}-D")
    block = NonLocalBlock(
        kernel.shape[1],
        ndim=kernel.ndim - 2,
        inner_channels=kernel.shape[0],
        pairwise=pairwise,
        scale=_scale(pairwise, about, scale, channels=kernel.shape[1]),
        subsample=_subsample(about, subsample, pooled=pooled, ndim=kernel.ndim - 2),
        subsample_first=about.subsample_first,
        norm="batch" if with_norm else None,
    )
    if isinstance(block.norm, tuple(BATCH_NORMS.values())):
        block.norm.momentum = about.norm_momentum
    without_bias = with_norm and not about.out_bias_with_norm
    _say(block, about, fill(block, tensors, table, zero=("out.bias",) if without_bias else ()))
    if subsample == "source" and about.can_pool and not about.pooled_names:
        log.info("block from %s: its pooling leaves no trace; taken to be %s", about.name, block.subsample)
    if scale is None and about.scale == "rsqrt of the input":
        log.info("block from %s: use_scale leaves no trace; taken to be True, scale=%s", about.name, block.scale)
    return block.eval()


def _say(block: NonLocalBlock, about: BlockSource, report: LoadReport) -> None:
    if report.problems:
        raise ValueError(f"the state dict does not fit the block of {about.library}: {report.shown_problems()}")
    if report.not_finite:
        log.warning("block from %s: these tensors hold NaN or infinity: %s", about.name, ", ".join(report.not_finite))
    log.info("block from %s: %s", about.library, block.extra_repr())


def _own_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that all names share, such as "layer3.4.non_local_block."."""
    for name, tensor in state_dict.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"state_dict[{name!r}] is a {type(tensor).__name__}; give the mapping of names to tensors")
    names = list(state_dict)
    prefix = ""
    while len(names) > 1 and len({name.removeprefix(prefix).partition(".")[0] for name in names}) == 1:
        prefix += names[0].removeprefix(prefix).partition(".")[0] + "."
    return {name.removeprefix(prefix): tensor for name, tensor in state_dict.items()}


def _source(tensors: Mapping[str, Tensor], asked: str | None) -> BlockSource:
    """The library that is asked for, or the only one whose block may have these names."""
    known = ", ".join(about.name for about in SOURCES)
    if asked is not None:
        found = [about for about in SOURCES if about.name == asked]
        if not found:
            raise ValueError(f"source must be one of {known}, got {asked!r}")
        return found[0]
    candidates = [about for about in SOURCES if about.recognises(tensors.keys())]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = " and ".join(about.name for about in candidates)
        raise ValueError(f"the names fit the blocks of {names} alike, which differ: give source=")
    raise ValueError(f"no known block has these names: {', '.join(list(tensors)[:6]) or 'none'}; known are {known}")


def _pairwise(ours: Mapping[str, Tensor], about: BlockSource, asked: Pairwise | None) -> Pairwise:
    if "w_f" in ours:
        possible: tuple[Pairwise, ...] = ("concatenation",)
    elif not any(name.startswith(("theta.", "phi.")) for name in ours):
        possible = ("gaussian",)
    else:
        possible = ("embedded_gaussian", "dot_product") if about.dot_product else ("embedded_gaussian",)
    if asked is None and len(possible) > 1:
        raise ValueError(f"the names fit {' and '.join(possible)} alike, and only their program knows: give pairwise=")
    if asked is not None and asked not in possible:
        raise ValueError(f"pairwise={asked!r}, but the tensors are those of {' or '.join(possible)}")
    return asked or possible[0]


def _kernel(ours: Mapping[str, Tensor], about: BlockSource) -> Tensor:
    """A projection's kernel (inner, channels, 1, ...), the shape that most of them have."""
    kernels = [ours[f"{name}.weight"] for name in ("g", "theta", "phi") if f"{name}.weight" in ours]
    kernels = [kernel for kernel in kernels if 3 <= kernel.ndim <= 5]
    if not kernels:
        raise ValueError(
            f"the state dict has no projection of {about.library} (theta, phi, g) with a kernel of 1 to 3-D"
        )
    shapes = [kernel.shape for kernel in kernels]
    return max(kernels, key=lambda kernel: shapes.count(kernel.shape))


def _scale(
    pairwise: Pairwise, about: BlockSource, asked: float | Literal["rsqrt"] | None, *, channels: int
) -> float | Literal["rsqrt"]:
    row = row_of(pairwise)
    if row.is_softmax and row.embeds:
        chosen = asked if asked is not None else about.scale
        if chosen is None:
            raise ValueError(
                f"whether {about.library} multiplies the logits leaves no trace in the names: give scale='rsqrt' "
                "(use_scale=True, its default) or scale=1.0 (use_scale=False)"
            )
        return channels**-0.5 if chosen == "rsqrt of the input" else chosen
    return asked if row.is_softmax and asked is not None else 1.0


def _subsample(
    about: BlockSource, asked: int | Sequence[int] | str | None, *, pooled: bool, ndim: int
) -> int | Sequence[int] | None:
    shown = 2 if pooled else None  # in space only, kernel and stride 2
    if isinstance(asked, str):
        if asked != "source":
            raise ValueError(f"subsample must be 'source', None, a number or one number per axis, got {asked!r}")
        return shown if about.pooled_names else about.subsample if ndim == 3 else None
    if about.pooled_names and (asked is None) != (shown is None):
        raise ValueError(
            f"subsample={asked!r}, but the names show that the block pools {'in space' if pooled else 'not'}"
        )
    return asked
