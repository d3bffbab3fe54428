"""`--results FILE...`: what tests of ours came to."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nonlocalnet.runs.kinds import KINDS
from nonlocalnet.system.media import refuse_media
from nonlocalnet.system.odd_files import parse_json, require_file, short


@dataclass(frozen=True)
class Result:
    """What a test of ours came to.

    Attributes:
        recipe: Name of the recipe whose protocol it was.
        metrics: In percent, by the keys of `Recipe.published`.
        items: What was tested: "videos" or "images".
        count: How many were tested.
        path: The file.
        content: What stands in it.
    """

    recipe: str
    metrics: dict[str, float]
    items: str
    count: int
    path: str
    content: dict[str, Any]


def read_result(path: str) -> Result:
    """Read the summary.json of a test.

    Args:
        path: The file, or the folder it stands in.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no summary of a test of a recipe.
    """
    file = Path(path) / "summary.json" if Path(path).is_dir() else Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: there is no such file; --results takes the summary.json of a test")
    require_file(file)
    refuse_media(file, expected="the summary.json of a test")
    content = _content(file)
    recipe = content.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(recipe.get("name"), str):
        raise _no_summary(file, "it does not say which recipe was tested")
    problem: Exception = ValueError("nothing")
    for kind in KINDS:
        try:
            metrics, count = kind.report.read_summary(content)
        except (ValueError, KeyError, TypeError) as error:
            problem = error
            continue
        wrong = next((name for name, value in metrics.items() if not _least(name) <= value <= 100), None)
        if wrong is not None:
            raise _no_summary(file, f"{wrong} is {metrics[wrong]}, and no percentage")
        return Result(recipe["name"], metrics, kind.items, count, str(file), content)
    raise _no_summary(file, "it does not hold the results of a test of any kind") from problem


def _least(metric: str) -> float:
    """Of R2 anything: a network may be worse than the mean."""
    return -sys.float_info.max if metric == "r2" else 0.0


def _content(file: Path) -> dict[str, Any]:
    try:
        content: Any = parse_json(file.read_bytes())
    except UnicodeDecodeError as error:
        raise _no_summary(file, f"it is not UTF-8 text, byte {error.start}") from error
    except ValueError as error:
        raise _no_summary(file, f"it is not whole JSON: {error}") from error
    if not isinstance(content, dict):
        raise _no_summary(file, "it holds no JSON object")
    return content


def _no_summary(file: Path, reason: str) -> ValueError:
    return ValueError(f"{file} is not the summary.json of a test of one recipe ({short(reason, 200)})")
