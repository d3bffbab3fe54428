"""Between a data set's category ids and a detector's labels, of which 0 is the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Labels:
    """The categories that a detector knows.

    Attributes:
        category_ids: The category id of each label.
        names: The name of each label.
    """

    category_ids: dict[int, int]
    names: dict[int, str]

    @classmethod
    def of_categories(cls, categories: Sequence[Mapping[str, Any]], *, num_classes: int, source: Path | str) -> Labels:
        """Number a file's categories.

        The labels are the original ids where these lie in [1, num_classes), as torchvision's COCO weights have them
        (91 classes, of which 80 are used). Other ids are numbered from 1 in their order.

        Args:
            categories: Each with "id" and "name".
            num_classes: Classes of the detector, the background counted.
            source: For the error.

        Raises:
            ValueError: If there are more categories than classes.

        >>> found = [{"id": 18, "name": "dog"}, {"id": 0, "name": "cat"}]
        >>> Labels.of_categories(found, num_classes=3, source="pets.json").category_ids
        {1: 0, 2: 18}
        """
        names = {int(category["id"]): str(category["name"]) for category in categories}
        ids = sorted(names)
        if ids and ids[0] >= 1 and ids[-1] < num_classes:
            return cls({i: i for i in ids}, names)
        if len(ids) >= num_classes:
            raise ValueError(
                f"{source} has {len(ids)} categories, but the detector {num_classes} classes with the background: set "
                f"model.num_classes to at least {len(ids) + 1}"
            )
        numbered = dict(enumerate(ids, start=1))
        return cls(numbered, {label: names[i] for label, i in numbered.items()})

    @classmethod
    def from_plain(cls, entries: Sequence[dict[str, Any]]) -> Labels:
        """The inverse of `plain`."""
        return cls({e["label"]: e["id"] for e in entries}, {e["label"]: e["name"] for e in entries})

    def plain(self) -> list[dict[str, Any]]:
        """As plain data, for a checkpoint."""
        return [{"label": label, "id": i, "name": self.names[label]} for label, i in self.category_ids.items()]

    @property
    def by_category(self) -> dict[int, int]:
        """Labels by category id."""
        return {i: label for label, i in self.category_ids.items()}

    def require(self, categories: Sequence[Mapping[str, Any]], *, source: Path | str) -> None:
        """Check that another file's categories are among these, under the same ids and names.

        Raises:
            ValueError: Names the first category that is not.
        """
        known = {i: self.names[label] for label, i in self.category_ids.items()}
        for category in categories:
            number, name = int(category["id"]), str(category["name"])
            if number not in known:
                raise ValueError(
                    f"{source}: category {number} ({name}) is none of those that the detector knows: "
                    f"{_some([f'{i} ({n})' for i, n in known.items()])}"
                )
            if known[number] != name:
                raise ValueError(
                    f"{source}: category {number} is {name!r} here, and {known[number]!r} where the detector is trained"
                )


def _some(names: list[str], *, at_most: int = 6) -> str:
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
