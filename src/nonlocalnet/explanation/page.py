"""The page of an explanation: one HTML file with everything in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nonlocalnet.explanation.cells import Cells
from nonlocalnet.explanation.explain import BlockExplanation, Explanation
from nonlocalnet.explanation.packing import Packed, pack
from nonlocalnet.explanation.pictures import as_webp
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.system.files import write_atomically

_SCRIPTS = ("rows.js", "charts.js", "strip.js", "panels.js", "save.js", "main.js")
_MEGABYTE = 10**6
_COARSEST = 6
_QUALITIES = (85, 70, 50, 30)
_LONGEST = 1400  # pixels of a picture's side


def write_page(explanation: Explanation, path: Path, *, most_bytes: int | None = None) -> Path:
    """Write an explanation as a page; see `Explanation.save`."""
    most = default_limit(len(explanation.pictures)) if most_bytes is None else most_bytes
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist; make it first, or give another path")
    write_atomically(path, page_of(explanation, most_bytes=most))
    return path


def default_limit(frames: int) -> int:
    """15 MB up to 32 frames, 40 MB from 128 on, between them in proportion."""
    return round(min(15 + 25 * max(0, frames - 32) / 96, 40) * _MEGABYTE)


def page_of(explanation: Explanation, *, most_bytes: int) -> str:
    """The page as text.

    Raises:
        ValueError: It does not fit into `most_bytes`.
    """
    style = _asset("page.css")
    script = '"use strict";\n(() => {\n' + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();\n"
    pictures = _pictures(explanation.pictures, most_bytes // 4)
    fixed = len(style) + len(script) + sum(map(len, pictures)) + 200_000
    packed = _fitting(explanation.blocks, most_bytes - fixed, most_bytes)
    data = {
        "title": explanation.title,
        "network": explanation.network,
        "axes": explanation.axes,
        "size": explanation.input_size,
        "picture": list(explanation.pictures.shape[1:3]),
        "pictures": pictures,
        "seconds": explanation.frame_seconds,
        "predictions": explanation.predictions,
        "objects": explanation.objects,
        "blocks": [_told(block, held) for block, held in zip(explanation.blocks, packed, strict=True)],
    }
    arrays = "\n".join(
        f'<script type="text/plain" id="block-{index}-{name}">{_base64(array)}</script>'
        for index, held in enumerate(packed)
        for name, array in held.arrays.items()
    )
    words = {
        "title": html.escape(f"Where {explanation.network} looks: {explanation.title}"),
        "policy": f"default-src 'none'; img-src data: blob:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        "style": style,
        "script": script,
        "data": _json(data),
        "arrays": arrays,
    }
    page = _asset("page.html")
    for name, text in words.items():
        page = page.replace("{{" + name + "}}", text, 1)
    return page


def _fitting(blocks: tuple[BlockExplanation, ...], room: int, most_bytes: int) -> list[Packed]:
    """Every block's weights; where they are too large, coarser grids of queries, the largest first."""
    coarser = [0] * len(blocks)
    packed = [pack(block) for block in blocks]
    while sum(held.size for held in packed) > room:
        largest = max(range(len(blocks)), key=lambda i: packed[i].size if coarser[i] < _COARSEST else -1)
        if coarser[largest] == _COARSEST:
            raise ValueError(
                f"the page does not fit into {most_bytes / _MEGABYTE:g} MB, since it may take "
                f"{(most_bytes - room + sum(held.size for held in packed)) / _MEGABYTE:.2f}: choose fewer blocks "
                "(--blocks), or allow more (--most-mb)"
            )
        coarser[largest] += 1
        packed[largest] = pack(blocks[largest], coarser=coarser[largest])
    return packed


def _told(block: BlockExplanation, held: Packed) -> dict[str, Any]:
    survey, row = block.survey, row_of(block.affinities.pairwise)
    return {
        "name": block.name,
        "pairwise": block.affinities.pairwise,
        "rule": held.rule,
        "softmax": row.is_softmax,
        "signed": not (row.is_softmax or row.has_w_f),  # ReLU is not below 0
        "grid": block.grid,
        "keyGrid": block.key_grid,
        "keyStride": block.key_stride,
        "cells": [_cells(axis) for axis in block.cells],
        "domain": block.domain,
        "groupFrames": block.group_frames,
        "causalAxis": (0 if len(block.affinities.grid) == 3 else 2) if block.causal else None,
        "queries": held.queries,
        "top": block.survey.strongest.shape[1],
        "said": held.said,
        "arrays": {name: _TYPES[array.dtype] for name, array in held.arrays.items()},
        "survey": {
            "space": None if survey.space is None else asdict(survey.space),
            "time": None if survey.time is None else asdict(survey.time),
            **{
                name: getattr(survey, name)
                for name in ("mean_space", "mean_time", "leaves_frame", "variation", "cosine", "compared", "top_share")
            },
        },
    }


_TYPES = {
    np.dtype(np.int8): "Int8Array",
    np.dtype(np.uint8): "Uint8Array",
    np.dtype(np.int16): "Int16Array",
    np.dtype(np.uint16): "Uint16Array",
    np.dtype(np.uint32): "Uint32Array",
    np.dtype(np.float32): "Float32Array",
}


def _cells(axis: Cells) -> dict[str, Any]:
    return {"first": axis.first, "stride": axis.stride, "length": axis.length, "measured": axis.measured}


def _pictures(frames_THWC: Tensor, room: int) -> list[str]:
    """The frames as data addresses, at the best quality that fits."""
    made: list[str] = []
    for quality in _QUALITIES:
        pictures = (as_webp(frame, quality=quality, longest=_LONGEST) for frame in frames_THWC)
        made = ["data:image/webp;base64," + base64.b64encode(picture).decode() for picture in pictures]
        if sum(map(len, made)) <= room:
            break
    return made


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def _json(data: Any) -> str:
    """JSON that no name in it can end: it stands in a script element."""
    text = json.dumps(_finite(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(data: Any) -> Any:
    """Infinities and NaN are no JSON: null."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (files("nonlocalnet.explanation") / "page_files" / name).read_text(encoding="utf-8")
