"""Start a video network from a 2-D ImageNet ResNet: every kernel over H, W becomes one over T, H, W."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from nonlocalnet.formats import image_resnet
from nonlocalnet.formats.fill import OPTIONAL_SUFFIX

log = logging.getLogger(__name__)

How = Literal["average", "centre"]

# The image classifier: its classes are not the video network's, so it is left unused.
_CLASSIFIER_PREFIX = "fc."
# Left out of the "clean" files that the authors' training starts from ([C2] process_data/convert_models): training
# estimates them anew.
_STATISTICS = (".running_mean", ".running_var")


@dataclass(frozen=True)
class InflationReport:
    """What `inflate` did with each tensor.

    Attributes:
        matched: The network's tensors that were filled, in the network's order.
        inflated: Those of them whose kernel spans more than one frame.
        fresh: The network's tensors left as they were: the classifier and the non-local blocks.
        unused: Tensors of the state dict that were not used: the image classifier.
    """

    matched: tuple[str, ...]
    inflated: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{len(self.matched)} tensors from the 2-D network, {len(self.inflated)} of them inflated in time; "
            f"left fresh: {', '.join(_modules(self.fresh)) or 'nothing'}; "
            f"not used: {', '.join(self.unused) or 'nothing'}"
        )


def inflate(model: nn.Module, state_dict: Mapping[str, Tensor], *, how: How = "average") -> InflationReport:
    """Fill a C2D or I3D with the weights of a 2-D ResNet of the same depth and width, in place.

    The classifier and the non-local blocks keep the values they have; the report and the log say so. The network is
    changed only if every tensor fits.

    Args:
        model: A network of `nonlocalnet.models`.
        state_dict: That of torchvision's `resnet50`/`resnet101` or timm's of the same names; `formats.read_tensors`
            gives a Caffe2 file's under these names. Where it holds no running statistics at all, the network keeps its
            own.
        how: "average" makes a kernel of t frames of t copies, each divided by t (Section 4.1 of the paper); "centre"
            puts the 2-D kernel at the middle frame and zeros at the others.

    Returns:
        Which tensors were filled, which were left, which were not used.

    Raises:
        ValueError: If a tensor is missing, has another shape, or has no place in the network; named, with the shapes.
    """
    if how not in get_args(How):
        raise ValueError(f"how must be one of {', '.join(get_args(How))}, got {how!r}")
    targets = model.state_dict(keep_vars=True)
    sources = {name: image_resnet.NAMES.to_theirs(name) for name in targets}
    if not any(name.endswith(_STATISTICS) for name in state_dict):
        sources = {name: None if name.endswith(_STATISTICS) else source for name, source in sources.items()}
    _check(targets, sources, state_dict)

    matched, inflated = [], []
    with torch.no_grad():
        for name, target in targets.items():
            source = sources[name]
            if source is None or source not in state_dict:
                continue
            target.copy_(_over_time(state_dict[source], target, how=how))
            matched.append(name)
            if target.ndim == 5 and target.shape[2] > 1:
                inflated.append(name)
    report = InflationReport(
        matched=tuple(matched),
        inflated=tuple(inflated),
        fresh=tuple(name for name, source in sources.items() if source is None),
        unused=tuple(name for name in state_dict if name.startswith(_CLASSIFIER_PREFIX)),
    )
    log.info("inflate: %s", report)
    return report


def _over_time(source: Tensor, target: Tensor, *, how: How) -> Tensor:
    """A 2-D kernel (out, in, h, w) as the target's (out, in, t, h, w); anything else as it is."""
    if target.ndim != 5:
        return source
    frames = target.shape[2]
    if how == "average":
        return (source.to(target) / frames).unsqueeze(2).expand_as(target)
    kernel = torch.zeros_like(target)
    kernel[:, :, frames // 2] = source.to(target)
    return kernel


def _check(targets: Mapping[str, Tensor], sources: Mapping[str, str | None], state_dict: Mapping[str, Tensor]) -> None:
    """Refuse a state dict that does not fit, before anything is changed."""
    for name, value in state_dict.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"state_dict[{name!r}] is a {type(value).__name__}, not a tensor; give the mapping of names to tensors"
            )
    problems = []
    for name, source in sources.items():
        if source is None:
            continue
        if source not in state_dict:
            if not source.endswith(OPTIONAL_SUFFIX):
                problems.append(f"{source} is missing (for {name}, {_shape_2d(targets[name])})")
            continue
        found, expected = tuple(state_dict[source].shape), _shape_2d(targets[name])
        if found != expected:
            problems.append(f"{source} has the shape {found}, {name} needs {expected}")
    known = set(sources.values())
    for source in state_dict:
        if source not in known and not source.startswith(_CLASSIFIER_PREFIX):
            problems.append(f"{source} {tuple(state_dict[source].shape)} has no place in the network")
    if problems:
        shown = "; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "")
        raise ValueError(
            f"state_dict does not fit the network: {shown}. "
            f"Give the state dict of a {image_resnet.NAMES.source} of the same depth"
        )


def _shape_2d(target: Tensor) -> tuple[int, ...]:
    """Shape of the 2-D tensor that fills a target: without the time axis of a kernel."""
    shape = tuple(target.shape)
    return shape[:2] + shape[3:] if len(shape) == 5 else shape


def _modules(names: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that hold the tensors, each once, two levels deep: "head.projection", "res4.4_nonlocal"."""
    return tuple(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
