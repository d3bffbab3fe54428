"""What a folder holds, for tests that look at it."""

from pathlib import Path


def names(folder: Path) -> list[str]:
    """The names in a folder, hidden ones too, sorted."""
    return sorted(path.name for path in folder.iterdir())
