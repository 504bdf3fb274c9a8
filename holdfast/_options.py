"""Says in words which option a call got wrong, where Python's own text would name our ``__init__`` and count its parameters."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CLOSE = 0.55
"""How alike two names have to be, as `difflib` measures it: its usual 0.6 does not lead from ``retry`` to ``retry_policy``."""


def misfit(fn: Callable[..., Any], kwargs: Mapping[str, Any]) -> str | None:
    """What is wrong with the options of a call that Python refused before it entered ``fn``.

    Args:
        fn: A function or method of the public API.
        kwargs: What it was given by name.

    Returns:
        A text that names the first unknown option and the fix; None when Python's own text says it as well.
    """
    parameters = [each for each in inspect.signature(fn).parameters.values() if each.name != "self"]
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    names = [each.name for each in parameters if each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}]
    unknown = next((name for name in kwargs if name not in names), None)
    return None if unknown is None or not names else _unknown(_spoken(fn), unknown, names)


def _unknown(subject: str, name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, list(names), n=1, cutoff=CLOSE)
    hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(names)}"
    return f"{subject} has no option {name!r}: {hint}"


def _spoken(fn: Callable[..., Any]) -> str:
    """As the user writes it: the class, where ``fn`` makes an object of it."""
    return fn.__qualname__.removesuffix(".__init__")
