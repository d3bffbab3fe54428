"""Settings that every test shares."""

import resource
import signal
from collections.abc import Iterator

import pytest
import torch

# Ignored by what nohup, or a script's background, starts, and by all that is started there; tests look at what they do.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests run in several processes on few cores; contending torch threads were measured 20x slower.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests by examples, and those marked slow, get a longer time limit than others.

    Compiling the training step of a tiny network took more than five minutes where other work shared the cores. The
    limit is an alarm that may ring anywhere: within an example Hypothesis takes it for a failure of the example, tries
    that again, finds that it runs on, and reports FlakyStrategyDefinition, which says nothing of the time.
    """
    for item in items:
        by_examples = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if by_examples or item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Writing more than 4 kB into a file fails, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)
