"""`nonlocalnet predict` for networks of sequences: what it prints of sounds, texts and tagged sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonargparse import Namespace  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.commands.options.ranked import COLUMNS, ranked_rows, ranked_table
from nonlocalnet.commands.options.written import keep_inputs
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.formats import OpenedFile, load, plan_sequence
from nonlocalnet.runs.sequence.given import find_sequences
from nonlocalnet.runs.sequence.predict import SequencePrediction, predict_each
from nonlocalnet.system.csv_text import rows_as_csv
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.progress import counted
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import refuse_typed
from nonlocalnet.system.visible import visible

_OF_VIDEOS = (
    *("views", "window", "step", "figure", "clip", "pairwise", "scale", "subsample", "classes"),
    *("bf16", "no_bf16", "fold_bn", "compile", "no_channels_last", "compared"),
)
_COLUMNS_OF_TAGS = ("path", "token", "tag", "probability", "error")


def predict_sequences(opened: OpenedFile, parsed: Namespace) -> int:
    """Print what a network of sequences says of what was given; 1 if one could not be read.

    Args:
        opened: A file of such a network.
        parsed: What `predict` takes, its places to write to checked.

    Raises:
        ValueError: An option is for videos, or the network reads something else.
        FileNotFoundError: There is no such text.
    """
    refuse_typed(parsed, _OF_VIDEOS, f"on {opened.path}: it is for videos, and this is a network of sequences")
    network, _ = load(plan_sequence(opened), strict=True)
    card = network.whole_card()
    tags = network.task == "tag"
    if tags:
        refuse_typed(parsed, ["top"], "on a tagger, which names one tag for every token")
    given = find_sequences(card, parsed.videos, texts=parsed.text or (), root=parsed.root)
    table = None if parsed.csv is None else Path(parsed.csv)
    if table is not None:
        keep_inputs("--csv", table, (one.file for one in given))
    made: list[SequencePrediction] = []
    with counted("predicting", len(given)) as advance:
        for one in predict_each(network, given, top=parsed.top, device=choose_device(parsed.device)):
            with advance.aside():
                _show(one, first=not made, as_json=parsed.json)
            made.append(one)
            advance()
    if parsed.json:
        print("\n]")
    if table is not None:
        rows = (row for one in made for row in (_tag_rows(one) if tags else ranked_rows(one, one.label)))
        write_atomically(table, rows_as_csv(_COLUMNS_OF_TAGS if tags else COLUMNS, rows))
    return int(any(one.error for one in made))


def _show(one: SequencePrediction, *, first: bool, as_json: bool) -> None:
    if as_json:
        print("[\n" if first else ",\n", json.dumps(_plain(one), indent=2), sep="", end="", flush=True)
    elif one.tokens and not one.error:
        print("" if first else "\n", end="")
        for token, tag in zip(one.tokens, one.names, strict=True):
            print(visible(f"{token} {tag}"), flush=True)
    elif not one.error:
        make_console().print(ranked_table(one, one.label))
    if one.error:
        print(visible(f"nonlocalnet: error: {one.error}"), file=sys.stderr)


def _plain(one: SequencePrediction) -> dict[str, Any]:
    left_out = [name for name, there in (("tokens", one.tokens), ("label", one.label)) if not there]
    return {name: value for name, value in vars(one).items() if name not in left_out}


def _tag_rows(one: SequencePrediction) -> Iterator[tuple[Any, ...]]:
    if one.error:
        yield one.path, "", "", "", one.error
        return
    for token, name, score in zip(one.tokens, one.names, one.scores, strict=True):
        yield one.path, token, name, f"{score:.8g}", ""
