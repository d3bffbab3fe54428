"""A file starts a network: its numbers must mean there what they meant where they were trained.

Two networks may have the same tensors and compute different things. Compared are the blocks' pairwise function, scale
and pooling, the padding and eps of the trunk, and the input. What users change on purpose when they start from a
network, such as the clip and with it the strides in time, is said and not refused. The kernels of a 2-D ResNet are a
start and no network over time: nothing is compared.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nonlocalnet.formats.format import OpenedFile
from nonlocalnet.formats.graph import Facts, block_facts, differences, trunk_facts
from nonlocalnet.formats.inflate import How
from nonlocalnet.formats.initialise import initialise
from nonlocalnet.formats.known import FORMATS, open_file, plan_file, read_tensors
from nonlocalnet.formats.load_plan import Hints, LoadPlan
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.network import build

log = logging.getLogger(__name__)

# Of a block, what its numbers mean; its channels and norm show in shapes and names.
BLOCK_MEANING = (
    "pairwise",
    "scale of the logits",
    "subsampling",
    "subsampling before phi and g",
    "subsampling before g",
    "domain",
)
_FOLLOWING = ("subsampling before", "scale of the logits")
_TRUNK_MEANING = ("pool1 padding", "pool2 padding", "eps")
# A start from a network for other clips, or with frozen norms, is the release's own way.
_TRUNK_NOTED = ("stride of conv1", "pool1 kernel", "pool1 stride", "pool2 kernel", "pool2 stride", "norm of the trunk")
_NOTED = ("frames of a temporal group",)


@dataclass(frozen=True)
class Start:
    """What a network was started from.

    Attributes:
        file: Its name.
        differences: What its numbers mean otherwise than in the network, one phrase each.
    """

    file: str
    differences: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As a card has it."""
        return {"file": self.file, "differences": list(self.differences)}


def start_network(
    network: VideoResNet,
    file: str | os.PathLike[str] | OpenedFile,
    *,
    preprocessing: Preprocessing,
    inflation: How | None = None,
    fresh_classifier: bool = False,
    anyway: bool = False,
) -> Start:
    """Copy whatever of a file's tensors fits into a network, in place.

    Args:
        network: To be trained.
        file: Anything that `read_tensors` takes.
        preprocessing: The network's input.
        inflation: How the kernels of a 2-D ResNet become kernels over time; None for "average".
        fresh_classifier: Leave out the file's classifier, although it may fit.
        anyway: Start from numbers that mean something else here, too; the log says what.

    Returns:
        What it started from.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If no tensor fits, or, unless `anyway`, the numbers mean something else; every difference is named.
            Or if `inflation` is given and the file is no 2-D ResNet.
    """
    opened = open_file(file)
    tensors = read_tensors(opened)
    found: list[str] = []
    if inflation is not None and not _is_image_network(tensors):
        raise ValueError(
            f"inflation (--init-inflation) has no effect on {opened.path}: it is for 2-D ResNets, and this is none"
        )
    if not _is_image_network(tensors) and any(known.recognises(opened) for known in FORMATS):
        found = _found(network, opened, preprocessing=preprocessing, anyway=anyway)
    require_same_meaning(found, path=opened.path, anyway=anyway)
    if fresh_classifier:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    initialise(network, tensors, source=opened.path, inflation=inflation or "average")
    return Start(Path(opened.path).name, tuple(found))


def require_same_meaning(found: list[str], *, path: str, anyway: bool) -> None:
    """Refuse differences, or warn of them.

    Raises:
        ValueError: If there are any, unless `anyway`.
    """
    if not found:
        return
    shown = "; ".join(found)
    if not anyway:
        raise ValueError(
            f"{path} was trained as another function, so its numbers mean something else in this network: {shown} "
            "(here: this network, there: the file's). Build the network as the file's, or start from it all the same "
            "with --init-anyway (anyway=True)"
        )
    log.warning("init from %s, although its numbers mean something else in this network: %s", path, shown)


def block_differences(ours: Mapping[str, Facts], theirs: Mapping[str, Facts], *, names: tuple[str, ...]) -> list[str]:
    """How the blocks that stand at the same places differ, each difference once with the places that have it."""
    places: dict[str, list[str]] = {}
    for place in ours.keys() & theirs.keys():
        # Where one has no such thing as an order of pooling or a scale, another difference says so.
        there = {name: value for name, value in theirs[place].items() if name in names}
        for name in [name for name in there if name.startswith(_FOLLOWING)]:
            if None in (there[name], ours[place][name]):
                del there[name]
        for difference in differences(ours[place], there):
            places.setdefault(difference, []).append(place)
    shared = len(ours.keys() & theirs.keys())
    return [
        f"{text} in {'the blocks' if len(where) == shared else 'the blocks after ' + ', '.join(sorted(where))}"
        for text, where in places.items()
    ]


def _is_image_network(tensors: Mapping[str, torch.Tensor]) -> bool:
    first = tensors.get("conv1.weight")
    return first is not None and first.ndim == 4


def _found(network: VideoResNet, opened: OpenedFile, *, preprocessing: Preprocessing, anyway: bool) -> list[str]:
    """The differences; what a file leaves open is taken to be as in the network, which is said."""
    try:
        plan = _plan(network, opened)
    except ValueError as error:
        if not anyway:
            raise ValueError(
                f"{error}; --init-anyway (anyway=True) starts from those of its tensors that fit"
            ) from error
        return [f"its network cannot be built here ({error})"]
    if plan.arguments.get("num_classes") is None:
        plan = plan.with_classes(1)
    with torch.device("meta"):
        theirs = build(plan.architecture, plan.arguments)
    noted = _differences(network, theirs, trunk=_TRUNK_NOTED, blocks=_NOTED)
    if noted:
        log.info("%s: its network differs in what a start may change: %s", opened.path, "; ".join(noted))
    return function_differences(network, theirs, inputs=(preprocessing, plan.card.preprocessing))


def function_differences(
    network: VideoResNet, theirs: VideoResNet, *, inputs: tuple[Preprocessing, Preprocessing]
) -> list[str]:
    """What the same numbers mean otherwise in two networks, given the input of each; one phrase each."""
    found = _differences(network, theirs, trunk=_TRUNK_MEANING, blocks=BLOCK_MEANING)
    return [*found, *differences(_input_facts(inputs[0]), _input_facts(inputs[1]))]


def _differences(
    network: VideoResNet, theirs: VideoResNet, *, trunk: tuple[str, ...], blocks: tuple[str, ...]
) -> list[str]:
    ours, other = trunk_facts(network), trunk_facts(theirs)
    return [
        *block_differences(block_facts(network), block_facts(theirs), names=blocks),
        *differences(ours, {name: other[name] for name in trunk}),
    ]


def _plan(network: VideoResNet, opened: OpenedFile) -> LoadPlan:
    try:
        return plan_file(opened)
    except ValueError as error:
        blocks = block_facts(network)
        first = next(iter(blocks.values()), None)
        hints = Hints(clip=network.clip)
        if first is not None:
            hints = Hints(clip=network.clip, pairwise=first["pairwise"], scale=first["scale of the logits"])
        try:
            plan = plan_file(opened, hints)
        except ValueError:
            raise error from None
        taken = f"clip {hints.clip}" + (f", pairwise {hints.pairwise}, scale {hints.scale}" if first else "")
        log.warning("%s leaves open what its network is; taken to be as this one: %s", opened.path, taken)
        return plan


def _input_facts(preprocessing: Preprocessing) -> Facts:
    """What the input's numbers are; its size and clip may change."""

    def three(value: float | list[float]) -> tuple[float, ...]:
        values = [value] * 3 if isinstance(value, (int, float)) else value
        return tuple(round(float(single), 3) for single in values)

    return {
        "mean of the input": three(preprocessing.mean),
        "std of the input": three(preprocessing.std),
        "order of colours": preprocessing.colour_order,
    }
