"""What every kind's summary.json says of what was tested: which weights, by which recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from nonlocalnet.engine.config import Recipe
from nonlocalnet.system.odd_files import short
from nonlocalnet.system.tensor_file import digest_of

_DIGEST = "weights_digest"


def about_test(recipe: Recipe, network: nn.Module, *, path: str) -> dict[str, Any]:
    """What a summary says beside its figures; of a network as it was loaded.

    Without the recipe's settings of the trainer: they are not those of the training, and a test has none of its own.
    """
    said = {name: value for name, value in dataclasses.asdict(recipe).items() if name != "trainer"}
    return {"weights": path, _DIGEST: digest_of(network.state_dict(), {}), "recipe": said}


def require_any_read(*, unreadable: int, total: int, items: str) -> None:
    """Refuse a test in which nothing could be read: its zeros would say nothing of the network.

    Raises:
        ValueError: Naming how many there are.
    """
    if 0 < total <= unreadable:
        raise ValueError(
            f"none of the {total} {items} of the test could be read (the log names each): nothing was written"
        )


def require_same_weights(summary: Mapping[str, Any], network: nn.Module, *, source: str) -> None:
    """Refuse the figures of a test of other weights than the network's.

    Raises:
        ValueError: Naming `source`, and the file whose weights were tested.
    """
    if _DIGEST not in summary:
        raise ValueError(f"{source} does not say what its weights were: run `nonlocalnet test` once more")
    if summary[_DIGEST] != digest_of(network.state_dict(), {}):
        tested = short(str(summary.get("weights")), 200)
        raise ValueError(f"{source} is of a test of other weights, those of {tested}; give the test of these")
