"""A plan becomes a network: every tensor put in its place, and whatever does not fit reported by name."""

from __future__ import annotations

import logging

from nonlocalnet.formats.fill import LoadReport, fill
from nonlocalnet.formats.load_plan import LoadPlan
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.network import build

log = logging.getLogger(__name__)


def load(plan: LoadPlan, *, strict: bool) -> tuple[VideoResNet, LoadReport]:
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
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{plan.path}: the network does not fit {plan.described_by}: {reason}") from error
    report = fill(network, plan.tensors, plan.table, zero=plan.zero_filled, fresh=plan.fresh)
    if strict and report.problems:
        raise ValueError(
            f"{plan.path}: the network does not fit {plan.described_by}: {report.shown_problems()}. "
            "Loading what fits, and only that, takes strict=False"
        )
    _say(plan, report)
    network.card = plan.card
    return network.eval(), report


def _say(plan: LoadPlan, report: LoadReport) -> None:
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
