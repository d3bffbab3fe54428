"""A resolved recipe as a table, and as a file."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from nonlocalnet.engine.config import SECTIONS, Recipe, plain_section


def show_configuration(console: Console, recipe: Recipe, base: Recipe) -> None:
    """Print every field of a recipe, and beside those that differ what they are in the recipe it is made of."""
    table = Table(title=f"{recipe.name}: {recipe.row}", title_justify="left")
    table.add_column("field", no_wrap=True)
    table.add_column("value")
    table.add_column("recipe", style="dim")
    for section in SECTIONS:
        values = dataclasses.asdict(getattr(recipe, section))
        own = dataclasses.asdict(getattr(base, section))
        for field, value in values.items():
            changed = value != own[field]
            table.add_row(
                f"{section}.{field}",
                _text(value),
                _text(own[field]) if changed else "",
                style="bold" if changed else None,
            )
        table.add_section()
    console.print(table)


def as_yaml(recipe: Recipe) -> str:
    """The fields of a recipe by section, as `--config` reads them."""
    sections = {section: plain_section(getattr(recipe, section)) for section in SECTIONS}
    return yaml.safe_dump(sections, sort_keys=False, allow_unicode=True)


def _text(value: Any) -> str:
    return "null" if value is None else str(list(value)) if isinstance(value, tuple) else str(value)
