"""No N x M matrix is allocated: the peak of a fresh process stays far under it, forward and backward."""

import subprocess
import sys

import pytest

from nonlocalnet.functional import PAIRWISE

# 10,000 x 10,000 float32 weights are 381 MiB; the blocks of weights held at a time 16.
POSITIONS = 10_000
MATRIX_MIB = POSITIONS * POSITIONS * 4 / 2**20

PROGRAM = """
import pathlib, resource, sys, torch
from nonlocalnet import functional
torch.set_num_threads(1)
positions, dtype, values, masked, *forms = sys.argv[1:]

def peak():
    if sys.platform == "linux":  # ru_maxrss begins at what the starting process held, which may be more
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS

def run(form, n):
    def normal(*shape):
        return torch.randn(*shape, dtype=getattr(torch, dtype), requires_grad=True)
    theta, phi, g, w_f = normal(1, n, 4), normal(1, n, 4), normal(1, n, int(values)), normal(8)
    if form == "textbook":
        return torch.softmax(theta @ phi.mT, -1) @ g
    mask = torch.rand(1, n) > 0.5 if masked == "True" else None
    last = (w_f,) if form == "concatenation" else ()
    return getattr(functional, form)(theta, phi, g, *last, key_mask=mask)

for form in forms:
    run(form, 16).sum().backward()  # what the first call loads is not the operation's
before = peak()
for form in forms:
    run(form, int(positions)).sum().backward()
    print(peak() - before)  # the highest so far
"""


def _highest_mib(forms: tuple[str, ...], dtype: str, values: int, *, masked: bool) -> list[float]:
    arguments = [str(POSITIONS), dtype, str(values), str(masked), *forms]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


@pytest.mark.parametrize(("dtype", "values", "masked"), [("float32", 4, False), ("float16", 7, True)])
def test_peak_memory_is_far_under_the_matrix(dtype: str, values: int, masked: bool) -> None:
    highest = _highest_mib(PAIRWISE, dtype, values, masked=masked)
    assert len(highest) == len(PAIRWISE)
    assert highest[-1] < MATRIX_MIB / 2, dict(zip(PAIRWISE, highest, strict=True))


def test_the_measurement_sees_a_matrix() -> None:
    assert _highest_mib(("textbook",), "float32", 4, masked=False)[0] > MATRIX_MIB
