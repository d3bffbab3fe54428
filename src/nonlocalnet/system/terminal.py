"""Consoles on which class names, paths, tensor names and whatever else others wrote are data, not markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text
from typing_extensions import override

from nonlocalnet.system.visible import visible


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A rich console on which every text is data."""
    return _Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)


class _Console(Console):
    @override
    def render_str(self, text: str, **options: Any) -> Text:
        """The texts that are printed, and those of tables and their titles, all come through here."""
        return super().render_str(visible(text), **options)
