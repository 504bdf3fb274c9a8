"""Names that a module offers, imported when they are first used (PEP 562): for a quick start."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy(namespace: dict[str, Any], homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module.

    Assign it under ``if not TYPE_CHECKING``, and import the names for type checkers alone: else these take every misspelt name for one of them.

    Args:
        namespace: The module's ``globals()``; what is imported is kept there.
        homes: The names, by the modules they are in, which are named from the module's package.

    Returns:
        A function that raises AttributeError for every other name, as Python does.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in home_of:
            message = f"module {namespace['__name__']!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=sys.modules[namespace["__name__"]])  # for Python to say which name is near
        module = import_module(f"{namespace['__package__']}.{home_of[name]}")
        found = namespace[name] = getattr(module, name)
        return found

    return load
