"""Names of classes, functions and modules that are the same in every process."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from typing import Any

from holdfast._references import module_of

_SCRIPT_MODULES = frozenset({"__main__", "__mp_main__"})  # the second is what multiprocessing's spawn calls the script


def qualified_name(thing: Any) -> str:  # Any: whatever carries a name
    """Module and qualified name of a class or function: ``"app.weather.Forecast"``.

    What lives in ``__main__`` is named by its script, so that two scripts do not share a name: by the module when it was started with
    ``python -m``, else by the script's absolute path; where there is no script (a notebook, a prompt) it stays ``__main__``.

    >>> from collections import OrderedDict
    >>> qualified_name(OrderedDict)
    'collections.OrderedDict'
    """
    module = module_of(thing)
    if module in _SCRIPT_MODULES:
        module = _script(module)
    return f"{module}.{_own_name(thing)}"


def spoken_name(thing: Any) -> str:
    """The name for error texts: as `qualified_name`, without the module where that is the script itself."""
    return _own_name(thing) if getattr(thing, "__module__", None) in _SCRIPT_MODULES else qualified_name(thing)


def is_utf8(text: str) -> bool:
    r"""Whether UTF-8 can hold a text: not one with halves of surrogate pairs, as names of files may have.

    >>> is_utf8("café"), is_utf8("caf\udce9")
    (True, False)
    """
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def place(fn: Any) -> str:
    """The name of a function for error texts, with the file and line where it stands: ``"app.forecast (/srv/app.py:12)"``."""
    inner: Any = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    name = spoken_name(inner).rpartition("<locals>.")[2]
    code = getattr(inspect.unwrap(inner), "__code__", None) or getattr(type(inner).__call__, "__code__", None)
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


def _own_name(thing: Any) -> str:
    return getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or type(thing).__qualname__


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
    name = spoken_name(cls).removeprefix("builtins.")
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
