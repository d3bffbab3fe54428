"""Settings that every test shares."""

import pytest
import torch

# Tests run in several processes on few cores; contending torch threads were measured 20x slower.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
