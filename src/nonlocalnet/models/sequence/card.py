"""The card of a sequence network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from nonlocalnet.models.card import Card


@dataclass(frozen=True, kw_only=True)
class SequenceCard(Card):
    """What a file says of a network for sequences, beside what every card says.

    The arguments of its factory say the rest: the task, the sizes, the blocks, and of a network of sounds the sample
    rate and the log-mels.

    Attributes:
        class_names: The classes or tags, in the order of the scores; None where they are unknown or there are none.
        vocabulary: What each token stands for, in the order of their numbers; None for bytes, or where it is unknown.
        lower: Whether tokens are looked up there in lower case.

    Raises:
        ValueError: There are not as many names as the arguments say.
    """

    kind: ClassVar[str] = "sequence"
    types: ClassVar[dict[str, tuple[type, ...]]] = {
        **Card.types,
        **dict.fromkeys(("class_names", "vocabulary"), (list, tuple, type(None))),
        "lower": (bool,),
    }

    class_names: list[str] | None = None
    vocabulary: list[str] | None = None
    lower: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, argument in (("class_names", "num_classes"), ("vocabulary", "vocabulary_size")):
            names, size = getattr(self, name), self.arguments.get(argument)
            if names is not None and size != len(names):
                raise ValueError(f"it has {len(names)} {name}, and {argument}={size!r}")

    @override
    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        super()._read(name, value)
        if name in ("class_names", "vocabulary") and not all(isinstance(entry, str) for entry in value or ()):
            raise TypeError(f"its {name} are not all text")
        return value
