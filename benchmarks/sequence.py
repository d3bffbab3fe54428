"""A block on sequences of up to 2^20 positions: time and memory against length, slopes, and what does not fit.

    python benchmarks/sequence.py                                   # every form at every length, the table and a figure
    python benchmarks/sequence.py "dot product" --most 16 --threads 2
    python benchmarks/sequence.py --huge-pages --out huge.json --figure huge.png

B = 1, C = 64, inner 32, float32. A form is a whole block (its 1x1 convolutions too), forward, and forward with
backward; beside it are the textbook block with its N x N matrix and `nn.MultiheadAttention` (one head,
`need_weights=False`), as far as they fit in --gib. Memory is the process's highest beyond its imports, inputs
included. What is measured goes to --out at once: a run that was ended goes on there.

A tensor above 32 MiB gets its memory from the system anew, 4 KiB at a time, which can take longer than what is
computed on it; shorter sequences stay below. --huge-pages sets PyTorch's THP_MEM_ALLOC_ENABLE=1, for which Linux gives
2 MiB at a time (where /sys/kernel/mm/transparent_hugepage/enabled says madvise or always).
"""

import argparse
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from measure import Measurement, measure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from nonlocalnet import NonLocalBlock
from nonlocalnet.block import LearnedPositions

CHANNELS, INNER = 64, 32
FROM = 14  # slopes are fitted from 2^14 up: below, what a call costs in itself is seen


@dataclass(frozen=True)
class Form:
    """One way to go through a sequence.

    Attributes:
        options: Of the block; None where it is no block of ours.
        most: Binary logarithm of the longest sequence.
        slope: The most that time may grow by, as an exponent; None where nothing is claimed.
        gib: The most memory at the longest; None where nothing is claimed.
    """

    options: dict[str, Any] | None
    most: int
    slope: float | None = None
    gib: float | None = None


_CAUSAL = {"causal": True}
_LEARNED = {"subsample": LearnedPositions(64)}
FORMS: dict[str, Form] = {
    "dot product": Form({"pairwise": "dot_product"}, 20, 1.1, 4.0),
    "dot product, causal": Form({"pairwise": "dot_product", **_CAUSAL}, 20, 1.1, 4.0),
    "concatenation": Form({"pairwise": "concatenation"}, 20, 1.1, 4.0),
    "concatenation, causal": Form({"pairwise": "concatenation", **_CAUSAL}, 20, 1.25, 4.0),
    "learned positions": Form({"pairwise": "embedded_gaussian", **_LEARNED}, 20, 1.1, 4.0),
    "learned positions, causal": Form({"pairwise": "embedded_gaussian", **_LEARNED, **_CAUSAL}, 20, 1.1, 4.0),
    "window of 64": Form({"pairwise": "embedded_gaussian", "window": 64}, 20, 1.1, 4.0),
    "embedded Gaussian": Form({"pairwise": "embedded_gaussian"}, 17),
    "embedded Gaussian, causal": Form({"pairwise": "embedded_gaussian", **_CAUSAL}, 17),
    "textbook": Form(None, 17),
    "nn.MultiheadAttention": Form(None, 17),
}


class Textbook(nn.Module):
    """The embedded Gaussian block with its N x N matrix, as equations 3 and 6 read."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv1d(CHANNELS, INNER, 1) for _ in range(3))
        self.out = nn.Conv1d(INNER, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, N) to the same."""
        weights = torch.softmax(torch.matmul(self.theta(x).mT, self.phi(x)), dim=-1)
        return x + self.out(torch.matmul(weights, self.g(x).mT).mT)


class Attention(nn.Module):
    """`nn.MultiheadAttention` around x."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(CHANNELS, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, N) to the same."""
        rows = x.mT
        return x + self.attention(rows, rows, rows, need_weights=False)[0].mT


def prepare(name: str, positions: int, backward: bool) -> Callable[[], object]:
    """The call to measure: forward without a graph, or forward and backward."""
    options = FORMS[name].options
    if options is not None:
        block: nn.Module = NonLocalBlock(
            CHANNELS, ndim=1, inner_channels=INNER, norm=None, zero_init=False, init_std="fan_in", **options
        )
    else:
        block = Textbook() if name == "textbook" else Attention()

    def run(x: Tensor) -> None:
        if not backward:
            with torch.inference_mode():
                block(x)
            return
        block(x).sum().backward()
        block.zero_grad()
        x.grad = None

    run(torch.randn(1, CHANNELS, 300, requires_grad=backward))
    x = torch.randn(1, CHANNELS, positions, requires_grad=backward)
    return lambda: run(x)


def needs_gib(name: str, positions: int, backward: bool) -> float:
    """What the textbook's matrices take: logits and weights, and with backward the gradients of both."""
    return 0.0 if name != "textbook" else positions**2 * 4 * (4 if backward else 2) / 2**30


def slope_of(times: dict[int, float]) -> float | None:
    """The exponent that time grows by, by least squares over the logarithms from 2^14 up; None of fewer than three."""
    points = [(power, math.log2(seconds)) for power, seconds in times.items() if power >= FROM]
    if len(points) < 3:
        return None
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def run_all(options: argparse.Namespace, console: Console) -> dict[str, dict[str, Any]]:
    """Measure what is not in the file yet, shortest first; it is written after every case.

    With `again` what has a target is measured in any case, and the faster of both measurements is kept: another process
    of the machine slows a long call down whenever it comes, and of many short ones never all.
    """
    found: dict[str, dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.forms:
        for backward in (False, True):
            for power in range(options.least, min(options.most, FORMS[name].most) + 1):
                key = f"{name}|{'backward' if backward else 'forward'}|{power}"
                before = found.get(key)
                if before is not None and not (options.again and FORMS[name].slope is not None):
                    continue
                if needs_gib(name, 2**power, backward) > options.gib:
                    found[key] = {"does_not_fit": needs_gib(name, 2**power, backward)}
                else:
                    # Where nothing is claimed time grows with the square, and one call is long enough.
                    repeats = 0 if FORMS[name].slope is None and power >= FORMS[name].most - 1 else 2
                    cost = measure(prepare, name, 2**power, backward, threads=options.threads, repeats=repeats)
                    if before is None or cost.seconds < before["seconds"]:
                        found[key] = asdict(cost)
                    console.print(f"{key}: {cost.seconds:.3f} s, {_mib(cost):.0f} MiB", highlight=False)
                options.out.write_text(json.dumps(found, indent=1))
                if "does_not_fit" in found[key]:
                    break
    return found


def times_of(found: dict[str, dict[str, Any]], name: str, passes: str) -> dict[int, Measurement]:
    """The measurements of a form, by the logarithm of the length."""
    start = f"{name}|{passes}|"
    return {
        int(key.removeprefix(start)): Measurement(**cost)
        for key, cost in found.items()
        if key.startswith(start) and "does_not_fit" not in cost
    }


def show(found: dict[str, dict[str, Any]], options: argparse.Namespace, console: Console) -> None:
    """One row a form and pass: seconds at each length, the slope, memory at the longest."""
    powers = [power for power in range(options.least, options.most + 1) if power % 2 == 0 or power == 17]
    table = Table(title=f"B=1, C={CHANNELS}, inner {INNER}, float32, {options.threads} torch threads; seconds")
    table.add_column("form")
    table.add_column("pass")
    for name in (*(f"2^{power}" for power in powers), f"slope from 2^{FROM}", "MiB at the longest", "target"):
        table.add_column(name, justify="right")
    for name in options.forms:
        for passes in ("forward", "backward"):
            costs = times_of(found, name, passes)
            if not costs:
                continue
            slope = slope_of({power: cost.seconds for power, cost in costs.items()})
            cells = [
                f"{costs[power].seconds:.3f}" if power in costs else _missing(found, name, passes, power)
                for power in powers
            ]
            longest = costs[max(costs)]
            shown = "-" if slope is None else f"{slope:.2f}"
            memory = f"{_mib(longest):.0f}"
            table.add_row(name, passes, *cells, shown, memory, _target(FORMS[name], slope, longest, max(costs)))
    console.print(table)


def _missing(found: dict[str, dict[str, Any]], name: str, passes: str, power: int) -> str:
    cost = found.get(f"{name}|{passes}|{power}", {})
    return f"{cost['does_not_fit']:.0f} GiB" if "does_not_fit" in cost else ""


def _target(form: Form, slope: float | None, longest: Measurement, power: int) -> str:
    said = []
    if form.slope is not None and slope is not None:
        said.append(f"slope {form.slope:g}: {_verdict(slope <= form.slope)}")
    if form.gib is not None and power == form.most:
        said.append(f"{form.gib:g} GiB: {_verdict(_mib(longest) < form.gib * 1024)}")
    return ", ".join(said)


def _mib(cost: Measurement) -> float:
    assert cost.resident_mib is not None  # of every case on a CPU
    return cost.resident_mib


def _verdict(met: bool) -> str:
    return "[green]met[/green]" if met else "[red]missed[/red]"


def draw(found: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    """Time and memory of forward and backward against length, both axes logarithmic."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained", sharex=True)
    for number, name in enumerate(options.forms):
        costs = times_of(found, name, "backward")
        ours = FORMS[name].options is not None
        # The cycle's C7 is the grey of what is not ours.
        color = f"C{number + (number >= 7)}" if ours else ("black", "grey")[name == "textbook"]
        line = "--" if "causal" in name else "-" if ours else ":"
        sizes = [2**power for power in sorted(costs)]
        ordered = [costs[power] for power in sorted(costs)]
        left.plot(sizes, [cost.seconds for cost in ordered], line, marker=".", label=name, color=color)
        right.plot(sizes, [_mib(cost) / 1024 for cost in ordered], line, marker=".", label=name, color=color)
    for axes, label in ((left, "seconds, forward and backward"), (right, "GiB beyond the imports")):
        axes.set(xscale="log", yscale="log", xlabel="positions", ylabel=label)
        axes.set_xscale("log", base=2)
        axes.grid(alpha=0.3)
    right.axhline(4, color="grey", lw=0.8, ls=":")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", fontsize=9)
    figure.savefig(options.figure, dpi=120)


def main() -> None:
    """Parse the options, measure, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description="A non-local block on long sequences.")
    parser.add_argument("forms", nargs="*", help=f"of {', '.join(FORMS)}; all by default")
    parser.add_argument("--least", type=int, default=12, help="binary logarithm of the shortest sequence")
    parser.add_argument("--most", type=int, default=20, help="binary logarithm of the longest sequence")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch threads")
    parser.add_argument("--gib", type=float, default=12.0, help="what the textbook's matrices may take")
    parser.add_argument("--out", type=Path, default=Path("sequence.json"), help="where measurements are kept")
    parser.add_argument("--figure", type=Path, default=Path("sequence.png"), help="where the figure goes")
    parser.add_argument("--again", action="store_true", help="measure once more, and keep the faster of both")
    parser.add_argument("--huge-pages", action="store_true", help="give large tensors pages of 2 MiB (Linux)")
    options = parser.parse_args()
    if options.huge_pages:
        os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # of the processes that measure
    unknown = [name for name in options.forms if name not in FORMS]
    if unknown:
        parser.error(f"forms are {', '.join(FORMS)}; received {', '.join(unknown)}")
    options.forms = options.forms or list(FORMS)
    console = Console(width=None if Console().is_terminal else 180)
    found = run_all(options, console)
    show(found, options, console)
    draw(found, options)


if __name__ == "__main__":
    main()
