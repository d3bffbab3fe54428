"""Fine-tuning: start a network from whatever tensors of a file fit it, and say which did not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from nonlocalnet.formats.inflate import How, inflate
from nonlocalnet.system.tensor_file import type_flaw

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitReport:
    """What became of the tensors.

    Attributes:
        loaded: Names of the network's tensors that were filled.
        fresh: Names of those that keep their initial values.
        unused: Names of the file's tensors that found no place.
        resized: (name, shape in the file, shape in the network) of those in both that do not fit, such as a
            classifier for other classes.
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]
    resized: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]


def initialise(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], *, source: str, inflation: How = "average"
) -> InitReport:
    """Copy the tensors that match by name and shape into the network, in place; inflate those of a 2-D ResNet.

    Args:
        model: The network.
        tensors: State dict of a video network, or of torchvision's or timm's 2-D ResNet.
        source: Where it comes from, for the log and the errors.
        inflation: How a 2-D kernel becomes one over time; as `formats.inflate` takes it.

    Returns:
        What was loaded and what was not; the log says the same.

    Raises:
        ValueError: If no tensor matches, one is of a type that no weight has, or a 2-D ResNet does not fit the network.
    """
    first = tensors.get("conv1.weight")
    if first is not None and first.ndim == 4:
        _require_numbers({name: (tensor, _REAL) for name, tensor in tensors.items() if tensor.ndim > 1}, source=source)
        try:
            inflated = inflate(model, tensors, how=inflation)
        except ValueError as error:
            raise ValueError(f"{source}: its {error}") from error
        report = InitReport(inflated.matched, inflated.fresh, inflated.unused, ())
    else:
        report = _load_matching(model, tensors, source=source)
    _say(report, source=source)
    return report


_REAL = torch.empty(0)


def _require_numbers(pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]], *, source: str) -> None:
    """Each tensor beside the one that it becomes; a copy would round or cut those of other types without a word."""
    for name, (tensor, like) in pairs.items():
        if (flaw := type_flaw(tensor, like)) is not None:
            raise ValueError(f"{source}: {name} {flaw}")


def _load_matching(model: nn.Module, tensors: Mapping[str, torch.Tensor], *, source: str) -> InitReport:
    own = model.state_dict()
    matching = {name: tensor for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape}
    if not any(tensor.ndim > 1 for tensor in matching.values()):
        raise ValueError(f"no weight of {source} fits this network: {_how_they_differ(tensors, own)}")
    _require_numbers({name: (tensor, own[name]) for name, tensor in matching.items()}, source=source)
    model.load_state_dict(matching, strict=False)
    resized = [(n, tuple(t.shape), tuple(own[n].shape)) for n, t in tensors.items() if n in own and n not in matching]
    return InitReport(
        loaded=tuple(matching),
        fresh=tuple(name for name in own if name not in matching),
        unused=tuple(name for name in tensors if name not in own),
        resized=tuple(resized),
    )


def _how_they_differ(tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> str:
    """By their shapes where there are names in common, else by their names."""
    other = [f"{n} is {tuple(t.shape)} there and {tuple(own[n].shape)} here" for n, t in tensors.items() if n in own]
    weights = [text for text, n in zip(other, (n for n in tensors if n in own), strict=True) if own[n].ndim > 1]
    if weights:
        return f"{_some(weights, at_most=3)}; build it as wide as the file's"
    return f"it holds {_some(list(tensors))}, the network {_some(list(own))}"


def _say(report: InitReport, *, source: str) -> None:
    log.info("init from %s: %d tensors loaded", source, len(report.loaded))
    for name, theirs, ours in report.resized:
        log.warning("init: %s has the shape %s in the file and %s here: it starts fresh", name, theirs, ours)
    heads = [name for name in report.fresh if name.startswith("head.")]
    if heads:
        log.warning(
            "init: the classifier is new (%s): the network must be trained before its scores mean anything", heads
        )
    others = [name for name in report.fresh if not name.startswith("head.")]
    if others:
        log.info("init: these start fresh: %s", _some(others))
    if report.unused:
        log.info("init: not used from the file: %s", _some(list(report.unused)))


def _some(names: list[str], *, at_most: int = 8) -> str:
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
