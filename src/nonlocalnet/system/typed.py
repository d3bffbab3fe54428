"""Options that were given: one that would do nothing is refused by its name, not passed over."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable

TYPED = "typed"
"""Field of parsed arguments: field -> how the user gave it, for those that were given, whatever their value."""


def typed_as(parsed: Namespace, field: str) -> str | None:
    """How a field was given, such as "--optim.lr" or "optim.lr of mine.yaml"; None where it was not."""
    return getattr(parsed, TYPED).get(field)


def is_on_command_line(option: str) -> bool:
    """Whether what `typed_as` says stood on the command line, such as "--optim.lr" or "lr of --optim"."""
    return option.startswith("--") or " of --" in option


def refuse_typed(parsed: Namespace, names: Iterable[str], why: str, *, in_files: bool = True) -> None:
    """Refuse options that were given and would do nothing.

    Args:
        parsed: A command's arguments, with `TYPED`.
        names: Fields of it, such as "init_inflation" or "optim.lr"; "optim." is every field of that section.
        why: Ends the sentence "--init-inflation has no effect ...".
        in_files: Whether those of a file of --config are refused, too; one file may serve several runs.

    Raises:
        ValueError: Names the first that was given.
    """
    typed = getattr(parsed, TYPED)
    for name in names:
        for field, option in typed.items():
            asked = field == name or (name.endswith(".") and f"{field}.".startswith(name))
            if asked and (in_files or is_on_command_line(option)):
                raise ValueError(f"{option} has no effect {why}")
