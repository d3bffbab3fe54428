"""What training programs put before the names of a network that they hold, such as `module.`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Value = TypeVar("Value")

# Of PyTorch itself: no network calls a part of itself so.
_OF_PYTORCH = ("module.", "_orig_mod.")  # DistributedDataParallel and DataParallel; torch.compile
# Usual names of an attribute that holds the network, or its trunk; and the first GPU's scope in Caffe2.
_WRAPPERS = (*_OF_PYTORCH, "model.", "backbone.", "net.", "network.", "encoder.", "gpu_0/")
_MOST_NESTED = 6
_ASKED = 64


def without_wrappers(
    tensors: Mapping[Any, Value], *, is_known: Callable[[str], bool]
) -> tuple[dict[Any, Value], tuple[str, ...]]:
    """Leave off what wraps the names, as often as it does.

    A wrapper is left off where more names are a known program's without it: mmaction2's own names begin with
    "backbone.", and keep it. Names that no program has lose PyTorch's own wrappers, where all have them.

    Args:
        tensors: By name; a name that is no text is left as it is.
        is_known: Whether some program's network has a tensor of that name.

    Returns:
        The tensors, and what was left off, outermost first; a name that would meet another keeps its wrapper.

    Examples:
        >>> without_wrappers({"module.fc.weight": 0}, is_known=lambda name: name == "fc.weight")
        ({'fc.weight': 0}, ('module.',))
    """
    names = [name for name in tensors if isinstance(name, str)]
    counted = Counter(prefix for name in names for prefix in _prefixes(name))
    candidates = [prefix for prefix, count in counted.items() if count * 2 >= len(names)]
    if not candidates:
        return dict(tensors), ()
    weights = [name for name in names if name.endswith(("weight", "_w"))] or names
    asked = weights[:: -(-len(weights) // _ASKED)]
    scores: dict[tuple[str, ...], int] = {(): sum(map(is_known, asked))}
    for wrappers in candidates:
        scores[wrappers] = sum(is_known(_without(name, wrappers)) for name in asked)
    best = max(scores, key=lambda wrappers: (scores[wrappers], -len(wrappers)))
    if not scores[best]:
        everywhere = [w for w in candidates if counted[w] == len(names) and set(w) <= set(_OF_PYTORCH)]
        best = max(everywhere, key=len, default=())
    kept = {}
    for name, tensor in tensors.items():
        short = _without(name, best) if isinstance(name, str) else name
        kept[name if short in kept or (short != name and short in tensors) else short] = tensor
    return kept, best


def _prefixes(name: str) -> list[tuple[str, ...]]:
    """The wrappers that a name begins with: the first, the first two, and so on."""
    found: list[tuple[str, ...]] = []
    start: tuple[str, ...] = ()
    rest = name
    while len(start) < _MOST_NESTED:
        wrapper = next((wrapper for wrapper in _WRAPPERS if rest.startswith(wrapper)), None)
        if wrapper is None:
            break
        start, rest = (*start, wrapper), rest.removeprefix(wrapper)
        found.append(start)
    return found


def _without(name: str, wrappers: Sequence[str]) -> str:
    """The name without as many of the wrappers as it begins with."""
    for wrapper in wrappers:
        if not name.startswith(wrapper):
            break
        name = name.removeprefix(wrapper)
    return name
