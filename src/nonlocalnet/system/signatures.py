"""Functions that take their options as `**options: Unpack[...]`, shown with every option and its default."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

_Function = TypeVar("_Function", bound=Callable[..., Any])


def shows(arguments: type, defaults: Mapping[str, Any]) -> Callable[[_Function], _Function]:
    """A decorator: `help()` and `inspect.signature` name the options that type checkers know from the TypedDict.

    Args:
        arguments: The TypedDict that the function unpacks.
        defaults: Of every option, by name.
    """
    hints = get_type_hints(arguments)

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        options = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hint)
            for name, hint in hints.items()
        ]
        shown = signature.replace(parameters=[*own, *options])
        function.__signature__ = shown  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return decorate
