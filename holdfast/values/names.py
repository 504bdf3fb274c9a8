"""Names of classes, functions and modules that are the same in every process."""

from __future__ import annotations

import os
import sys
from typing import Any

_SCRIPT_MODULES = frozenset({"__main__", "__mp_main__"})  # the second is what multiprocessing's spawn calls the script


def qualified_name(thing: Any) -> str:  # Any: whatever carries a name
    """Module and qualified name of a class or function: ``"app.weather.Forecast"``.

    What lives in ``__main__`` is named by its script, so that two scripts do not share a name: by the module when it was started with
    ``python -m``, else by the script's absolute path; where there is no script (a notebook, a prompt) it stays ``__main__``.

    >>> from collections import OrderedDict
    >>> qualified_name(OrderedDict)
    'collections.OrderedDict'
    """
    module = getattr(thing, "__module__", None) or "builtins"
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or type(thing).__qualname__
    if module in _SCRIPT_MODULES:
        module = _script(module)
    return f"{module}.{name}"


def _script(module: str) -> str:
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in _SCRIPT_MODULES:
        return str(spec.name)
    path = getattr(main, "__file__", None)
    return os.path.abspath(path) if path else "__main__"  # noqa: PTH100 - pathlib takes over 10 ms to import


def kind_name(value: object) -> str:
    """What a value is, for error texts: see `a_class`."""
    return a_class(type(value))


def a_class(cls: type) -> str:
    """The name of a class with its article: ``"an app.Item"``, ``"a list"``."""
    name = qualified_name(cls).removeprefix("builtins.")
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
