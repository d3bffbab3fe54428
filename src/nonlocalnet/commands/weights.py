"""`nonlocalnet weights`: the released weights, what they are, and fetching one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from rich.table import Table

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.formats.catalogue import CATALOGUE, LICENCE, released_file
from nonlocalnet.formats.download import download
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.visible import visible


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet weights [NAME] [--json]`."""
    parser = make_parser(
        "weights",
        "List the weights that the paper's authors released, or fetch one of them. They are under "
        f"{LICENCE}; this library ships none.",
    )
    parser.add_argument("name", nargs="?", help="a file to fetch into torch.hub's cache; none lists them")
    parser.add_argument("--url", help="fetch it from here, such as a mirror, instead of the authors' address")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    parsed = parse(parser, argv)
    if parsed.name is None and parsed.url is not None:
        raise ValueError("--url says where a file comes from; name the file too (`nonlocalnet weights` lists them)")
    if parsed.name is not None:
        if parsed.json:
            raise ValueError("--json is for the list; a fetched file's path is printed as it is")
        file = released_file(parsed.name) or released_file(f"{parsed.name}.pkl")
        if file is None:
            raise ValueError(f"{parsed.name!r} is no released file; `nonlocalnet weights` lists them")
        print(visible(download(file, url=parsed.url)))
        return 0
    if parsed.json:
        print(json.dumps([{**dataclasses.asdict(file), "url": file.url} for file in CATALOGUE], indent=2))
        return 0
    title = f"Weights released by the authors ({LICENCE}), and the accuracies (%) they published on Kinetics-400"
    table = Table(title=title, title_justify="left")
    for column in ("file", "network", "clip"):
        table.add_column(column, no_wrap=column == "file")
    for column in ("top-1", "top-5"):
        table.add_column(column, justify="right")
    for file in CATALOGUE:
        accuracies = [f"{file.published[key]:.1f}" for key in ("top1", "top5")]
        table.add_row(file.name, file.what, file.clip, *accuracies)
    console = make_console()
    console.print(table)
    console.print("`nonlocalnet weights NAME` fetches one; it opens with `from_checkpoint` and every command")
    return 0
