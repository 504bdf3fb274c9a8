"""Says in words which option a call got wrong, where Python's own text would name our ``__init__`` and count its parameters."""

from __future__ import annotations

import inspect
import reprlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLOSE = 0.55
"""How alike two names have to be, as `difflib` measures it: its usual 0.6 does not lead from ``retry`` to ``retry_policy``."""

_PLAIN = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def misfit(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """What is wrong with the options of a call that Python refused before it entered ``fn``.

    Args:
        fn: A function or method of the public API.
        args: What it was given by position, its ``self`` included.
        kwargs: What it was given by name.

    Returns:
        A text that names the first unknown option, or a value given without a name, and the fix; None where Python's own text serves.
    """
    parameters = dict(inspect.signature(fn).parameters)
    if parameters.pop("self", None) is not None:
        args = args[1:]
    named = [name for name, each in parameters.items() if each.kind is not each.POSITIONAL_ONLY]
    if not named or not {each.kind for each in parameters.values()} <= _PLAIN:
        return None
    subject = fn.__qualname__.removesuffix(".__init__")
    unknown = next((name for name in kwargs if name not in named), None)
    if unknown is not None:
        return _unknown(subject, unknown, named)
    by_name = [name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY]
    return _nameless(subject, args, by_name) if by_name and len(args) > len(parameters) - len(by_name) else None


def _unknown(subject: str, name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=1, cutoff=CLOSE)
    hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(names)}"
    return f"{subject} has no option {name!r}: {hint}"


def _nameless(subject: str, args: tuple[Any, ...], names: list[str]) -> str:
    """Of a single value we guess that it is the first option: that is why ``max_attempts`` is the first of `RetryPolicy`."""
    said = f"{subject} takes options by name, not by position"
    if len(args) == 1:
        return f"{said}: write {subject}({names[0]}={reprlib.repr(args[0])}), or say which other it is: {', '.join(names[1:])}"
    return f"{said}: {', '.join(names)}"
