"""A plan becomes a network: every tensor put in its place, and whatever does not fit reported by name."""

from __future__ import annotations

import logging

from nonlocalnet.formats.fill import OPTIONAL_SUFFIX, LoadReport, fill
from nonlocalnet.formats.load_plan import CardT, LoadPlan, NetworkT
from nonlocalnet.system.meta import meta_network
from nonlocalnet.system.odd_files import said_by

log = logging.getLogger(__name__)


def load(plan: LoadPlan[NetworkT, CardT], *, strict: bool) -> tuple[NetworkT, LoadReport]:
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
        network = meta_network(lambda: plan.build(plan.architecture, plan.arguments), plan.tensors, path=plan.path)
    except Exception as error:  # whatever the arguments of a file may be
        reason = said_by(error)
        raise ValueError(f"{plan.path}: the network does not fit {plan.described_by}: {reason}") from error
    report = _filled(network, plan)
    if strict and report.problems:
        raise ValueError(
            f"{plan.path}: the network does not fit {plan.described_by}: {report.shown_problems()}. "
            "Loading what fits, and only that, takes strict=False in Python, or train --init"
        )
    # What the file does not hold keeps its initial value.
    network = _build_again(plan) if report.problems or plan.fresh else _without_values(network)
    report = _filled(network, plan)
    _say(plan, report)
    network.card = plan.card  # pyright: ignore[reportAttributeAccessIssue]  both are of the plan's kind
    return network.eval(), report


def _filled(network: NetworkT, plan: LoadPlan[NetworkT, CardT]) -> LoadReport:
    return fill(network, plan.tensors, plan.table, zero=plan.zero_filled, fresh=plan.fresh)


def _build_again(plan: LoadPlan[NetworkT, CardT]) -> NetworkT:
    """With initial values; which blocks it has is said already."""
    inserting = logging.getLogger("nonlocalnet.insert")
    level = inserting.level
    inserting.setLevel(logging.WARNING)
    try:
        return plan.build(plan.architecture, plan.arguments)
    finally:
        inserting.setLevel(level)


def _without_values(network: NetworkT) -> NetworkT:
    """In memory, every tensor to be filled; drawing initial values would take most of the time of loading."""
    network = network.to_empty(device="cpu")
    for name, tensor in network.state_dict(keep_vars=True).items():
        if name.endswith(OPTIONAL_SUFFIX):
            tensor.zero_()
    return network


def _say(plan: LoadPlan[NetworkT, CardT], report: LoadReport) -> None:
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
