"""The names of a network's classes where its file has none, and whether they are those of the published results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nonlocalnet.data.annotations.class_names import read_class_names, require_distinct_names, spoken
from nonlocalnet.formats import LoadPlan
from nonlocalnet.system.odd_files import parse_json, require_file

KINETICS400 = "kinetics400"
_PUBLISHED_CLASSES = {False: 400, True: 157}  # Kinetics-400; Charades, where a video may have several
# Of two sets of names that differ in the spelling of a few, this share is common.
_ENOUGH = 0.9


def with_class_names(plan: LoadPlan, classes: str | None) -> LoadPlan:
    """The plan with the classes named.

    Args:
        plan: Of a file that does not name them.
        classes: A file: one name a line, or JSON, a list of names or an object of names and indices; or "kinetics400",
            the names in their published order, which is that of the released networks. None leaves them as they are.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not name as many classes as the network has, or the file names them otherwise.
    """
    if classes is None:
        return plan
    names = list(_kinetics400() if classes == KINETICS400 else _read(Path(classes)))
    own, wanted = plan.card.class_names, plan.arguments.get("num_classes")
    if len(names) != wanted:
        raise ValueError(f"--classes {classes} names {len(names)} classes, and the network of {plan.path} has {wanted}")
    if own is not None and list(own) != names:
        index = next(i for i, pair in enumerate(zip(own, names, strict=True)) if pair[0] != pair[1])
        raise ValueError(
            f"{plan.path} names class {index} {own[index]!r}, --classes {classes} names it {names[index]!r}"
        )
    return replace(plan, card=replace(plan.card, class_names=names))


def has_published_classes(class_names: Sequence[str] | None, *, num_classes: int, multi_label: bool) -> bool:
    """Whether these are the classes of the data that published results are of.

    Those of one class a video are of Kinetics-400: names, where there are any, must be its own. Those of several are of
    Charades, which is told by the number of its classes.
    """
    if num_classes != _PUBLISHED_CLASSES[multi_label]:
        return False
    if multi_label or class_names is None or all(name.isdecimal() for name in class_names):
        return True
    known = {spoken(name).lower() for name in _kinetics400()}
    return sum(spoken(name).lower() in known for name in class_names) >= _ENOUGH * len(known)


def _kinetics400() -> list[str]:
    from torchvision.models.video import R3D_18_Weights  # takes seconds

    return list(R3D_18_Weights.KINETICS400_V1.meta["categories"])


def _read(path: Path) -> Sequence[str]:
    if path.suffix != ".json":
        return read_class_names(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file of class names: {path}")
    require_file(path)
    try:
        content: Any = parse_json(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    names = _of_object(content) if isinstance(content, dict) else content
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: expected a list of class names, or an object of names and their indices from 0")
    names = [name.strip().strip('"') for name in names]  # PySlowFast's have quotes within the text
    require_distinct_names(path, names)
    return names


def _of_object(content: dict[str, Any]) -> list[str] | None:
    """Names in the order of their indices, whichever of the two is the key; None where they do not count from 0."""
    indices = range(len(content))
    if all(isinstance(value, str) for value in content.values()):
        return [content[str(i)] for i in indices] if content.keys() == {str(i) for i in indices} else None
    by_index = {value: name for name, value in content.items() if type(value) is int}
    return [by_index[i] for i in indices] if by_index.keys() == set(indices) else None
