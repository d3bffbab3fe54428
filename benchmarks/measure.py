"""Time and peak memory of one call, in the one place every benchmark takes them from.

Each case runs in a fresh process. Its highest resident memory before the call (interpreter, libraries, inputs) is
subtracted from the highest after it: `peak_mib` is what the call needed above its inputs, results and gradients
included. The first call is the one measured for memory.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Measurement:
    """What one case cost: the fastest and the median call, memory above the inputs, on a CPU beyond the imports too."""

    seconds: float
    median_seconds: float
    peak_mib: float
    resident_mib: float | None = None


def measure(prepare: Callable[..., Callable[[], object]], *arguments: Any, threads: int, repeats: int) -> Measurement:
    """Run `prepare(*arguments)` in a fresh process and measure the call it returns.

    Args:
        prepare: a module-level function that makes the inputs, warms up what loads on first use, and returns the call.
        arguments: its arguments (picklable).
        threads: torch threads in that process.
        repeats: timed calls after the first, and more until a second has passed: a short call needs many tries for
            one undisturbed by the machine's other work. With 0 the first call is timed instead.

    Returns:
        The measurement; `seconds` is the fastest call, the least disturbed one on a shared machine.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_measure_here, prepare, arguments, threads, repeats).result()


def _measure_here(
    prepare: Callable[..., Callable[[], object]], arguments: tuple[Any, ...], threads: int, repeats: int
) -> Measurement:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    imports = _highest_resident_mib()
    call = prepare(*arguments)
    before = _highest_resident_mib()
    first = _seconds(call)
    highest = _highest_resident_mib()
    times = [] if repeats else [first]
    while len(times) < repeats or (repeats and sum(times) < 1.0):
        times.append(_seconds(call))
    return Measurement(min(times), statistics.median(times), highest - before, highest - imports)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _highest_resident_mib() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of a process that was started begins at what its parent held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
