"""Settings written as Python assignments (mmaction2's), read without running them."""

from __future__ import annotations

import ast
from typing import Any


def parse_python_settings(text: str) -> dict[str, Any]:
    r"""The top-level assignments of a text, as far as they are literals, `dict(...)`, `list(...)` or `tuple(...)`.

    >>> parse_python_settings("a = dict(b=(1, 2))\nc = open('x')")
    {'a': {'b': (1, 2)}}

    Raises:
        ValueError: If the text is no Python.
    """
    try:
        module = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"no settings in Python: {error}") from None
    settings = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                settings[statement.targets[0].id] = _value(statement.value)
            except (ValueError, TypeError, RecursionError):
                continue  # what only running it could tell
    return settings


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise ValueError("an unpacked dictionary")
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    return ast.literal_eval(node)
