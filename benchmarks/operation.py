"""The operation against its textbook form: time, peak memory, digits.

    python benchmarks/operation.py                        # every section
    python benchmarks/operation.py speed --positions 3136 --channels 128
    python benchmarks/operation.py long gaussians digits --threads 2

Sections: `speed` (N = M = 6272, C = D = 256: 8 x 28 x 28 positions, as res3 of the paper's networks), `long` (the two
linear-time forms at N = M = 200,000, C = D = 64), `gaussians` (the softmax forms at N = M = 32,768, C = D = 256;
Gaussian and embedded Gaussian are one computation), `digits` (float32 error of the concatenation form's sums). The
textbook form runs beside ours where its N x M matrix is at most --textbook-gib.
"""

import argparse
from collections.abc import Callable

import torch
from measure import Measurement, measure
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nonlocalnet import functional
from nonlocalnet.functional.relu_sums import relu_sum

# Section: (positions N = M, channels C = D, forms, least speed-up or None, most GiB above the inputs or None).
SECTIONS: dict[str, tuple[int, int, dict[str, float | None], float | None]] = {
    "speed": (6272, 256, {"embedded_gaussian": None, "dot_product": 25.0, "concatenation": 15.0}, None),
    "long": (200_000, 64, {"dot_product": None, "concatenation": None}, 2.0),
    "gaussians": (32_768, 256, {"embedded_gaussian": None}, 1.0),
}


def textbook(pairwise: str, theta: Tensor, phi: Tensor, g: Tensor, w_f: Tensor) -> Tensor:
    """Equation 1 with its N x M matrix, as the formulas read."""
    if pairwise == "dot_product":
        return torch.matmul(torch.matmul(theta, phi.mT) / phi.shape[1], g)
    if pairwise == "concatenation":
        half = theta.shape[2]
        pairs = torch.matmul(theta, w_f[:half]).unsqueeze(2) + torch.matmul(phi, w_f[half:]).unsqueeze(1)
        return torch.matmul(torch.relu(pairs) / phi.shape[1], g)
    return torch.matmul(torch.softmax(torch.matmul(theta, phi.mT), dim=-1), g)


def ours(pairwise: str, theta: Tensor, phi: Tensor, g: Tensor, w_f: Tensor) -> Tensor:
    """The library's function."""
    if pairwise == "concatenation":
        return functional.concatenation(theta, phi, g, w_f)
    if pairwise == "dot_product":
        return functional.dot_product(theta, phi, g)
    return functional.embedded_gaussian(theta, phi, g)


def prepare(form: str, pairwise: str, positions: int, channels: int, backward: bool) -> Callable[[], object]:
    """The call to measure: forward without a graph, or forward and backward."""
    operation = ours if form == "ours" else textbook

    def operands(count: int) -> list[Tensor]:
        rows = [torch.randn(1, count, channels).mul_(channels**-0.25) for _ in range(3)]
        return [part.requires_grad_(backward) for part in (*rows, torch.randn(2 * channels))]

    def run(parts: list[Tensor]) -> None:
        result = operation(pairwise, *parts)
        if backward:
            torch.autograd.grad(result, parts if pairwise == "concatenation" else parts[:3], torch.ones_like(result))

    run(operands(16))
    inputs = operands(positions)
    return lambda: run(inputs)


def compare(section: str, options: argparse.Namespace, console: Console) -> None:
    """One section's table: ours and, where its matrix fits, the textbook form, forward and with backward."""
    positions, channels, forms, limit_gib = SECTIONS[section]
    positions, channels = options.positions or positions, options.channels or channels
    matrix_gib = positions**2 * 4 / 2**30
    table = Table(title=f"{section}: B=1, N=M={positions}, C=D={channels}, float32, {options.threads} torch threads")
    table.add_column("pairwise function")
    for name in ("pass", "ours s", "textbook s", "times faster", "ours MiB", "textbook MiB", "target"):
        table.add_column(name, justify="right")
    for pairwise, speed_up in forms.items():
        for backward in (False, True):
            case = (pairwise, positions, channels, backward)
            cost = measure(prepare, "ours", *case, threads=options.threads, repeats=options.repeats)
            other = None
            if matrix_gib <= options.textbook_gib:
                other = measure(prepare, "textbook", *case, threads=options.threads, repeats=options.repeats)
            passes = "forward + backward" if backward else "forward"
            table.add_row(pairwise, passes, *_cells(cost, other, matrix_gib), _target(cost, other, speed_up, limit_gib))
    console.print(table)


def _cells(cost: Measurement, other: Measurement | None, matrix_gib: float) -> tuple[str, ...]:
    if other is None:
        return f"{cost.seconds:.3f}", "-", "-", f"{cost.peak_mib:.0f}", f"matrix: {matrix_gib * 1024:.0f}"
    faster = f"{other.seconds / cost.seconds:.1f}"
    return f"{cost.seconds:.4f}", f"{other.seconds:.4f}", faster, f"{cost.peak_mib:.0f}", f"{other.peak_mib:.0f}"


def _target(cost: Measurement, other: Measurement | None, speed_up: float | None, limit_gib: float | None) -> str:
    if speed_up is not None and other is not None:
        return f"{speed_up:g} times: {_verdict(other.seconds / cost.seconds >= speed_up)}"
    if limit_gib is not None:
        return f"under {limit_gib * 1024:.0f} MiB: {_verdict(cost.peak_mib < limit_gib * 1024)}"
    return ""


def _verdict(met: bool) -> str:
    return "[green]met[/green]" if met else "[red]missed[/red]"


def digits(options: argparse.Namespace, console: Console) -> None:
    """The concatenation sums in float32 at M = 200,000 against float64 with every pair."""
    keys = options.positions or 200_000
    table = Table(title=f"digits: largest error / largest value, M={keys}, 200 rows, float32")
    for name in ("offset of b (and -a)", "ours", "textbook", "plain prefix sums"):
        table.add_column(name, justify="right")
    for offset in (0.0, 10.0, 1e3, 1e5):
        torch.manual_seed(0)
        a, b, g = torch.randn(1, 200) - offset, torch.randn(1, keys) + offset, torch.randn(1, keys, 4)
        exact = torch.relu(a.double().unsqueeze(2) + b.double().unsqueeze(1)) @ g.double()
        forms = relu_sum(a, b, g), torch.relu(a.unsqueeze(2) + b.unsqueeze(1)) @ g, plain_prefix_sums(a, b, g)
        errors = ((form - exact).abs().max() / exact.abs().max() for form in forms)
        table.add_row(f"{offset:g}", *(f"{error.item():.1e}" for error in errors))
    console.print(table)


def plain_prefix_sums(a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    """a_i sum_j g_j + sum_j b_j g_j over the j that count, each a difference-free prefix sum: what ours avoids."""
    order = torch.argsort(-b, dim=1)[0]
    count = torch.searchsorted(-b[0, order], a[0])
    empty = g.new_zeros(1, g.shape[2])
    sums = torch.cat([empty, g[0, order].cumsum(0)])
    products = torch.cat([empty, (b[0, order].unsqueeze(1) * g[0, order]).cumsum(0)])
    return (a[0].unsqueeze(1) * sums[count] + products[count]).unsqueeze(0)


def main() -> None:
    """Parse the options and print the asked sections."""
    parser = argparse.ArgumentParser(description="The non-local operation against its textbook form.")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join((*SECTIONS, 'digits'))}; all by default")
    parser.add_argument("--positions", type=int, help="N = M in place of each section's own")
    parser.add_argument("--channels", type=int, help="C = D in place of each section's own")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch threads")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls per case; the fastest counts")
    parser.add_argument(
        "--textbook-gib", type=float, default=1.0, help="largest N x M matrix the textbook form may hold"
    )
    options = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 160)
    sections = options.sections or [*SECTIONS, "digits"]
    for section in sections:
        if section == "digits":
            digits(options, console)
        elif section in SECTIONS:
            compare(section, options, console)
        else:
            parser.error(f"sections are {', '.join((*SECTIONS, 'digits'))}; received {section!r}")


if __name__ == "__main__":
    main()
