"""Pickling of what decorators make: by reference, as functions are."""

from __future__ import annotations

import sys
from functools import reduce
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class ByReference:
    """Is pickled as its module and name, and found there again; copies are the thing itself."""

    func: Callable[..., Any]

    def __reduce__(self) -> Any:
        """Its qualified name.

        Raises:
            PicklingError: Something else has that name, or nothing has.
        """
        module, name = module_of(self.func), getattr(self.func, "__qualname__", type(self.func).__qualname__)
        if _found(module, name) is not self:
            import pickle  # here it is loaded; `import holdfast` need not

            kind = type(self).__name__.lower()
            msg = f"{kind} {name} cannot be pickled, as {module}.{name} is not this very {kind}: define it there, and pickle it without options()"
            raise pickle.PicklingError(msg)
        return name

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def module_of(named: Any) -> str:
    """Name of the module that a function or class is of; ``str.upper`` has none, and that of ``[].append`` is None."""
    return getattr(named, "__module__", None) or "builtins"


def _found(module: str, name: str) -> Any:
    try:
        return reduce(getattr, name.split("."), sys.modules.get(module))
    except AttributeError:
        return None
