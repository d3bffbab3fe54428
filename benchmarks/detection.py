"""A training step and an evaluation of Mask R-CNN R50 with and without its non-local block: time, peak memory, counts.

    python benchmarks/detection.py                       # 800 x 1333, CPU
    python benchmarks/detection.py --device cuda --repeats 20
    python benchmarks/detection.py --size 320 533        # a quick look

Three detectors in one run: without blocks, with the subsampled block (the default), and with the block that sums over
every position. Each case runs in a fresh process. The ratios are to the detector without blocks. A block starts as the
identity, so all three look at the same proposals and detections.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from measure import Measurement, measure
from rich.console import Console
from rich.table import Table

from nonlocalnet.models.detection import detector_cost, maskrcnn_resnet50_fpn

DETECTORS = {
    "no block": {"nonlocal_backbone": False},
    "block, subsampled": {"subsample": 2},
    "block, every position": {"subsample": None},
}


def prepare(detector: str, train: bool, height: int, width: int, device: str) -> Callable[[], object]:
    """The call to measure: one training step without the optimiser's, or one evaluation with 100 detections."""
    model = maskrcnn_resnet50_fpn(
        frozen_bn=True,
        trainable_backbone_layers=3,
        min_size=min(height, width),
        max_size=max(height, width),
        box_score_thresh=0.0,
        **DETECTORS[detector],
    ).to(device)
    image = [torch.rand(3, height, width, device=device)]
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.5, 0.2, 0.9, 0.8]], device=device)
    boxes = boxes * torch.tensor([width, height, width, height], device=device)
    masks = torch.ones(2, height, width, dtype=torch.uint8, device=device)
    target = [{"boxes": boxes, "labels": torch.tensor([1, 2], device=device), "masks": masks}]
    model.train(train)

    def step() -> None:
        torch.manual_seed(0)
        model.zero_grad()
        torch.stack(list(model(image, target).values())).sum().backward()

    def evaluate() -> None:
        with torch.inference_mode():
            model(image)

    return step if train else evaluate


def measure_cuda(*case: object, repeats: int) -> Measurement:
    """As `measure`, on the GPU: time between synchronisations, memory as PyTorch's allocator saw it."""
    call = prepare(*case)  # pyright: ignore[reportArgumentType]
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20
    return Measurement(min(times), statistics.median(times), peak)


def costs(height: int, width: int) -> Table:
    """Multiply-adds, counted."""
    table = Table(title=f"multiply-adds of one {height} x {width} image, counted")
    for name in ("detector", "total, G", "block, G", "more computation"):
        table.add_column(name, justify="left" if name == "detector" else "right")
    for name, options in DETECTORS.items():
        with torch.device("meta"):
            model = maskrcnn_resnet50_fpn(**options)
        cost = detector_cost(model, image_size=(height, width))
        block = sum(cost.blocks.values())
        table.add_row(name, f"{cost.total / 1e9:.1f}", f"{block / 1e9:.1f}", f"{100 * cost.blocks_share:.1f}%")
    return table


def main() -> None:
    """Parse the options and print the tables."""
    parser = argparse.ArgumentParser(description="Mask R-CNN R50 with and without its non-local block.")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; contending ones were 20 times slower")
    parser.add_argument("--repeats", type=int, default=2, help="timed calls per case; the fastest counts")
    options = parser.parse_args()
    height, width = options.size
    console = Console(width=None if Console().is_terminal else 140)
    console.print(costs(height, width))
    cells = -(-height // 32) * 2 * -(-width // 32) * 2  # positions of layer3, whose stride is 16
    console.print(f"The affinity matrix, never allocated, would be {cells**2 * 4 / 2**20:.1f} MiB an image.")
    for train in (True, False):
        what = "training step" if train else "evaluation"
        table = Table(title=f"{what}, {height} x {width}, {options.device}, {options.threads} thread(s)")
        for name in ("detector", "s", "ratio", "peak MiB", "ratio"):
            table.add_column(name, justify="left" if name == "detector" else "right")
        base: Measurement | None = None
        for name in DETECTORS:
            case = (name, train, height, width, options.device)
            if options.device == "cuda":
                cost = measure_cuda(*case, repeats=options.repeats)
            else:
                cost = measure(prepare, *case, threads=options.threads, repeats=options.repeats)
            base = base or cost
            ratios = cost.seconds / base.seconds, cost.peak_mib / base.peak_mib
            table.add_row(name, f"{cost.seconds:.3f}", f"{ratios[0]:.3f}", f"{cost.peak_mib:.0f}", f"{ratios[1]:.3f}")
        console.print(table)


if __name__ == "__main__":
    main()
