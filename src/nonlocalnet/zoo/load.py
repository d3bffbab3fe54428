"""A plan becomes a network: every tensor put in its place, and whatever does not fit reported by name."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from nonlocalnet.models import VideoResNet
from nonlocalnet.models.network import build
from nonlocalnet.zoo.plan import Plan

log = logging.getLogger(__name__)

# A counter that BatchNorm keeps and that other programs or older versions do not.
_OPTIONAL = ".num_batches_tracked"


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors. Names are the file's where it has one.

    Attributes:
        loaded: (name in the file, our name) of every tensor that was put in.
        missing: Tensors that the network needs and the file does not hold, with the shape.
        unused: Tensors of the file that have no place in the network, with the shape.
        mismatched: Tensors whose shape is not the one the network needs, with both.
        not_finite: Tensors that hold NaN or infinity; they are loaded.
    """

    loaded: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[str, ...]
    not_finite: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What a strict load refuses, one phrase each."""
        return (*self.missing, *self.mismatched, *self.unused)


def load(plan: Plan, *, strict: bool) -> tuple[VideoResNet, LoadReport]:
    """Build the network of a plan and fill it.

    Args:
        plan: The plan.
        strict: Refuse missing, unused and mismatched tensors; otherwise they are reported and left.

    Returns:
        The network on the CPU in eval mode with its card, and what became of the tensors.

    Raises:
        ValueError: If the plan cannot be built, or strictly, a tensor does not fit; named, with the shapes.
    """
    try:
        network = build(plan.architecture, plan.arguments)
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{plan.path}: the network does not fit {plan.described_by}: {reason}") from error
    report = _fill(network, plan)
    if strict and report.problems:
        shown = "; ".join(report.problems[:10])
        more = f"; and {len(report.problems) - 10} more" if len(report.problems) > 10 else ""
        raise ValueError(
            f"{plan.path}: the network does not fit {plan.described_by}: {shown}{more}. "
            "Loading what fits, and only that, takes strict=False"
        )
    _say(plan, report)
    network.card = plan.card
    return network.eval(), report


def _fill(network: VideoResNet, plan: Plan) -> LoadReport:
    own = network.state_dict(keep_vars=True)
    loaded, unused, mismatched, not_finite = [], [], [], []
    filled, known = set(), set()
    with torch.no_grad():
        for name, tensor in plan.tensors.items():
            ours = plan.table.to_ours(name)
            if ours is None or ours not in own:
                unused.append(f"{name} {tuple(tensor.shape)} has no place in the network")
                continue
            known.add(ours)
            fitted = _without_ones(tensor, ours)
            if fitted.shape != own[ours].shape:
                expected = tuple(own[ours].shape)
                mismatched.append(f"{name} has the shape {tuple(tensor.shape)}, {ours} needs {expected}")
                continue
            own[ours].copy_(fitted)
            filled.add(ours)
            loaded.append((name, ours))
            if fitted.is_floating_point() and not torch.isfinite(fitted).all():
                not_finite.append(name)
        for ours in plan.zero_filled - filled:
            if ours in own:
                own[ours].zero_()
    expected = known | plan.zero_filled | plan.fresh
    missing = [
        f"{plan.table.to_theirs(ours) or ours} is missing (for {ours}, {tuple(tensor.shape)})"
        for ours, tensor in own.items()
        if ours not in expected and not ours.endswith(_OPTIONAL)
    ]
    return LoadReport(tuple(loaded), tuple(missing), tuple(unused), tuple(mismatched), tuple(not_finite))


def _without_ones(tensor: Tensor, ours: str) -> Tensor:
    """A matrix or vector that was written as a kernel: (400, 2048, 1, 1, 1), or (1, 256, 1, 1) for w_f."""
    if ours == "head.projection.weight" and tensor.ndim > 2 and all(size == 1 for size in tensor.shape[2:]):
        return tensor.flatten(1)
    if ours.endswith(".w_f") and tensor.numel() == max(tensor.shape, default=1):
        return tensor.flatten()
    return tensor


def _say(plan: Plan, report: LoadReport) -> None:
    log.info("%s: %s, %d tensors loaded", plan.path, plan.format, len(report.loaded))
    for statement in plan.statements:
        log.info("%s", statement)
    reasons: dict[str, list[str]] = {}
    for name, reason in plan.dropped.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        log.info("not used (%s): %d, such as %s", reason, len(names), names[0])
    for problem in report.problems:
        log.warning("%s: %s", plan.path, problem)
    if report.not_finite:
        log.warning("%s: these tensors hold NaN or infinity: %s", plan.path, ", ".join(report.not_finite))
