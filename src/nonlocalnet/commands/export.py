"""`nonlocalnet export FILE -o model.onnx`: a network for other runtimes, compared with itself before it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.formats import OpenedFile, load, open_file, plan_file
from nonlocalnet.formats.exporting import ExportReport, export
from nonlocalnet.formats.exporting.targets import TARGETS, target_of
from nonlocalnet.runs.kinds import KINDS, kind_of_file
from nonlocalnet.runs.video.classes import with_class_names
from nonlocalnet.runs.video.options import add_asked, add_classes, asked_of, parse_size, require_clip_used
from nonlocalnet.system.errors import OutputError
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.visible import visible


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet export FILE -o OUT`."""
    parser = make_parser(
        "export",
        "Write a network for another runtime: ONNX, or a program of torch.export. The file is run and compared with "
        "the network before it is done.",
    )
    parser.add_argument("source", metavar="FILE", help="a network that classifies videos, in any format that is read")
    parser.add_argument("-o", "--out", required=True, help=f"the file, {' or '.join(TARGETS)}; it must not exist")
    parser.add_argument(
        "--input", help="frames x height x width, such as 32x224x224, the only size it takes; default: any"
    )
    parser.add_argument("--batch", type=int, help="the only batch size that it takes; default: any")
    parser.add_argument(
        "--scores",
        action="store_true",
        help="give class probabilities as `predict` has them for each view, not logits; for one size, by default that "
        "of the network's clips",
    )
    parser.add_argument("--opset", type=int, help="operator set of ONNX; default: the exporter's own choice")
    add_asked(parser)
    add_classes(parser)
    parsed = parse(parser, argv)
    out = Path(parsed.out)
    target_of(out).require()
    if out.exists():
        raise OutputError(f"{out} exists; it is not overwritten: name another one")
    if not out.parent.is_dir():
        raise OutputError(f"cannot write {out}: there is no folder {out.parent}")
    size = None if parsed.input is None else parse_size(parsed.input)
    opened = open_file(parsed.source)
    require_video(opened)
    plan = with_class_names(plan_file(opened, asked_of(parsed)), parsed.classes)
    require_clip_used(plan, asked_of(parsed), instead="; --input gives the exported size")
    model, _ = load(plan, strict=True)
    with make_console(stderr=True).status(visible(f"writing {out}, and running it beside the network")):
        report = export(model, out, size=size, batch=parsed.batch, scores=parsed.scores, opset=parsed.opset)
    _show(report)
    return 0


def require_video(opened: OpenedFile) -> None:
    """Refuse a detector and a network of sequences.

    Raises:
        ValueError: It is one; says why.
    """
    kind = kind_of_file(opened)
    if kind is not KINDS[0] and kind.name != "detection":
        raise ValueError(
            f"{opened.path} holds a network of sequences, and networks that classify videos are exported; "
            "`nonlocalnet predict` runs it"
        )
    if kind is not KINDS[0]:
        raise ValueError(
            f"{opened.path} holds a detector, which is not exported: how many boxes it keeps depends on the picture, "
            "and no exporter of PyTorch's carries that over for every size; run it by `nonlocalnet detect`"
        )


def _show(report: ExportReport) -> None:
    print(visible(f"{report.path}: {report.target.name}, {report.path.stat().st_size:,} bytes"))
    print(f"takes x {report.inputs}, gives {report.output}")
    shapes = " and ".join(str(shape) for shape in report.tried)
    print(
        f"run in {report.target.runtime} on {shapes}: the largest difference from the network is "
        f"{report.difference:.2g}, its largest output {report.largest:.2g}"
    )
