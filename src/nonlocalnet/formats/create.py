"""A video network by name, fresh or from a file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast, get_args

from typing_extensions import Unpack

from nonlocalnet.block.options import checked_block
from nonlocalnet.formats.format import OpenedFile
from nonlocalnet.formats.known import FORMATS, open_file, plan_file
from nonlocalnet.formats.load import load
from nonlocalnet.formats.load_plan import Hints, LoadPlan
from nonlocalnet.formats.start import Start, start_network
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.detection.names import DetectorName
from nonlocalnet.models.sequence.names import SequenceName
from nonlocalnet.models.video.architectures import (
    ARCHITECTURES,
    ArchitectureName,
    ControlArguments,
    I3DArguments,
)
from nonlocalnet.models.video.blocks import VideoBlockOptions
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.models.video.network import build, fresh_card
from nonlocalnet.models.video.trunk import require_at_least_1
from nonlocalnet.system.signatures import shows
from nonlocalnet.system.visible import cut


class CreateArguments(I3DArguments, ControlArguments, total=False):
    """What any of the networks takes."""


_DEFAULTS = {name: value for row in ARCHITECTURES.values() for name, value in row.defaults.items()}


@shows(CreateArguments, {**_DEFAULTS, **ARCHITECTURES["i3d_resnet50"].defaults})
def create_model(
    name: str,
    *,
    pretrained: str | os.PathLike[str] | OpenedFile | None = None,
    anyway: bool = False,
    block: VideoBlockOptions | None = None,
    **options: Unpack[CreateArguments],
) -> VideoResNet:
    """Build a video network by name.

    Args:
        name: A network of `nonlocalnet.models`, such as "i3d_resnet50".
        pretrained: Any file of weights that `from_checkpoint` opens, OWNER/NAME of a model on the Hugging Face hub, or
            the state dict of a 2-D ImageNet ResNet, which is inflated. What is not given here is as the file says:
            classes, clip, blocks. None for fresh weights.
        anyway: Start from a file although its numbers mean something else in this network; the log says what.
        block: The block options, all in one.
        **options: The network's own arguments, as its factory takes them. Other `num_classes` than the file's give a
            fresh classifier, which the log says.

    Returns:
        The network on the CPU; in eval mode with `pretrained`, else in training mode.

    Raises:
        FileNotFoundError: There is no such file or model on the hub.
        ValueError: There is no network of that name (near ones are named); the file is damaged, holds another
            architecture, or its numbers mean something else with these options.
        TypeError: The network takes no such argument; named.

    Example:
        >>> model = create_model("c2d_resnet50", num_classes=7, width=4, nonlocal_blocks=5)
        >>> model.num_classes
        7
    """
    architecture = _known(name)
    given: dict[str, Any] = {**({} if block is None else vars(checked_block(block, VideoBlockOptions))), **options}
    if "num_classes" in given:
        require_at_least_1("num_classes", given["num_classes"])  # before a file is opened, which would be blamed
    if pretrained is None:
        return build(architecture, given)
    _require_file(pretrained)
    opened = open_file(pretrained)
    if not _holds_video_network(opened):
        network = build(architecture, given)
        start = start_network(network, opened, preprocessing=Preprocessing.of_clip(network.clip), anyway=anyway)
        network.card = _card(network, start)
        return cast(VideoResNet, network.eval())
    return _from_plan(_plan(opened, architecture, given), opened, given, anyway=anyway)


def _known(name: str) -> ArchitectureName:
    if name in ARCHITECTURES:
        return cast(ArchitectureName, name)
    if name in get_args(DetectorName):
        raise ValueError(f"{name} is a detector, not a video network: call nonlocalnet.models.detection.{name}()")
    if name in get_args(SequenceName):
        raise ValueError(f"{name} is for sequences, not videos: call nonlocalnet.models.sequence.{name}()")
    near = difflib.get_close_matches(str(name), ARCHITECTURES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(ARCHITECTURES)}."
    raise ValueError(
        f"there is no network {cut(repr(name))}; {hint} Files of weights go to pretrained=, and names of recipes are "
        "for nonlocalnet.recipes.recipe and `nonlocalnet train`"
    )


def _require_file(pretrained: object) -> None:
    """Refuse what other libraries take there: `True`, and the weights themselves."""
    if isinstance(pretrained, bool):
        raise ValueError(
            f"pretrained must be a file of weights, OWNER/NAME of a model on the Hugging Face hub, or None for fresh "
            f"weights, got {pretrained}: none come with the library"
        )
    if isinstance(pretrained, Mapping):
        raise ValueError(
            "pretrained must be a file, got a mapping: build the network without it and give the mapping to its "
            "load_state_dict, or to nonlocalnet.formats.inflate where it is of a 2-D ResNet"
        )
    if pretrained == "":
        raise ValueError("pretrained is empty: give a file of weights, or None for fresh ones")


def _holds_video_network(opened: OpenedFile) -> bool:
    return any(known.recognises(opened) for known in FORMATS)


def _plan(opened: OpenedFile, architecture: str, given: Mapping[str, Any]) -> LoadPlan:
    """The file's network, where what a file may leave open is as given.

    Raises:
        ValueError: It is of another architecture.
    """
    try:
        plan = plan_file(opened)
    except ValueError as error:
        asked = {option: given[option] for option in ("clip", "pairwise") if option in given}
        if "scale" in given and given["scale"] != "variant":
            asked["scale"] = given["scale"]
        try:
            plan = plan_file(opened, Hints(**asked))
        except ValueError:
            raise error from None
    if plan.architecture != architecture:
        raise ValueError(f"{plan.path} holds {plan.architecture}, not {architecture}: ask for that one")
    return plan


def _from_plan(plan: LoadPlan, opened: OpenedFile, given: Mapping[str, Any], *, anyway: bool) -> VideoResNet:
    own = plan.arguments
    classes = given.get("num_classes", own.get("num_classes"))
    if classes is None:
        raise ValueError(f"{plan.path} has no classifier: give num_classes= for a fresh one")
    defaults = ARCHITECTURES[cast(ArchitectureName, plan.architecture)].defaults
    changed = {option for option in given if given[option] != {**defaults, **own}.get(option)} - {"num_classes"}
    if not changed:
        return load(plan if classes == own.get("num_classes") else plan.with_classes(classes), strict=True)[0]
    network = build(plan.architecture, {**own, **given, "num_classes": classes})
    preprocessing = plan.card.preprocessing
    start = start_network(network, opened, preprocessing=preprocessing, anyway=anyway)
    card = _card(network, start)
    if "clip" in changed:
        clip = Preprocessing.of_clip(network.clip)
        preprocessing = replace(preprocessing, clip_frames=clip.clip_frames, frame_stride=clip.frame_stride)
    names = plan.card.class_names if classes == own.get("num_classes") else None
    network.card = replace(card, preprocessing=preprocessing, class_names=names, multi_label=plan.card.multi_label)
    return cast(VideoResNet, network.eval())


def _card(network: VideoResNet, start: Start) -> VideoCard:
    return replace(fresh_card(network), start=start.plain())
