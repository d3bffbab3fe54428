"""`nonlocalnet convert IN OUT --to FORMAT`: weights from one program's file into another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.commands.options.results import Result, read_result
from nonlocalnet.engine.tested import require_same_weights
from nonlocalnet.formats import (
    FORMATS,
    Card,
    VideoCard,
    encode,
    holds_sequence_network,
    load,
    open_file,
    plan_file,
    plan_sequence,
)
from nonlocalnet.runs.video.classes import has_published_classes, with_class_names
from nonlocalnet.runs.video.options import add_asked, add_classes, asked_of, require_clip_used
from nonlocalnet.system.errors import OutputError
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.folders import whole_folder
from nonlocalnet.system.typed import refuse_typed
from nonlocalnet.system.visible import visible

_OF_VIDEOS = ("clip", "pairwise", "scale", "subsample", "classes")
HUB = "hub"
"""What `--to` says for a folder that holds the weights, their card and README.md."""


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet convert IN OUT --to FORMAT`."""
    parser = make_parser(
        "convert",
        "Write weights in another program's format. Refused, with the difference, where that program would build "
        "another graph from them.",
    )
    parser.add_argument("source", metavar="IN", help="anything that `nonlocalnet inspect` opens")
    parser.add_argument("target", metavar="OUT", help="the file or folder to write; it must not exist")
    endings = ", ".join(f"{known.name} {known.suffix}" for known in FORMATS)
    names = [*(known.name for known in FORMATS), HUB]
    parser.add_argument(
        "--to",
        choices=names,
        required=True,
        help=f"the format (usual endings: {endings}; {HUB} is a folder as save_pretrained writes, with README.md)",
    )
    parser.add_argument("--results", help="summary.json of a test, whose figures go into the card as measured")
    add_asked(parser)
    add_classes(parser)
    parsed = parse(parser, argv)
    keeps = next((known.keeps for known in FORMATS if known.name == parsed.to), ("class_names", "results"))
    for name, kept in (("classes", "class_names"), ("results", "results")):
        if kept not in keeps:
            refuse_typed(parsed, [name], f"with --to {parsed.to}, whose files hold nothing of the kind")
    target = Path(parsed.target)
    if target.exists():
        raise OutputError(f"{target} exists; it is not overwritten: name another one")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}: there is no folder {target.parent}")
    model = _open(parsed)
    if parsed.results is not None:
        result = read_result(parsed.results)
        require_same_weights(result.content, model, source=f"--results {result.path}")
        model.card = with_measured(model.whole_card(), result)
    if parsed.to == HUB:
        with whole_folder(target) as folder:
            model.save_pretrained(folder)
        print(visible(f"{target}/: {', '.join(sorted(path.name for path in target.iterdir()))}"))
        return 0
    write_atomically(target, encode(model, to=parsed.to), new=True)
    print(visible(f"{target}: {parsed.to}, {target.stat().st_size:,} bytes"))
    return 0


def _open(parsed: Any) -> Any:
    """The network of the file."""
    opened = open_file(parsed.source)
    if holds_sequence_network(opened):
        refuse_typed(parsed, _OF_VIDEOS, f"on {opened.path}: it is for videos, and this is a network of sequences")
        return load(plan_sequence(opened), strict=True)[0]
    plan = with_class_names(plan_file(opened, asked_of(parsed)), parsed.classes)
    require_clip_used(plan, asked_of(parsed))
    return load(plan, strict=True)[0]


def with_measured(card: Card, result: Result) -> Card:
    """The card with what a test here measured; what was published stays what it was."""
    published = (card.results or {}).get("published") or {}
    if not isinstance(card, VideoCard) or has_published_classes(
        card.class_names, num_classes=card.arguments["num_classes"], multi_label=card.multi_label
    ):
        published = published or (card.recipe or {}).get("published") or {}
    measured = {**result.metrics, result.items: result.count, "protocol": result.recipe}
    return replace(card, results={"measured": measured, "published": published})
