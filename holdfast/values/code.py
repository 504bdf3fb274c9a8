"""What a function does, as plain data: bytecode, constants and the values it carries along, free of anything that differs by chance.

Left out: line numbers, file names, docstrings, names of local variables. Constants are taken in the order in which the bytecode first
uses them, and the bytecode's indices rewritten to match: a docstring, which no instruction loads, thus falls out by itself, and adding
one does not shift the others. The bytecode is that of the running Python version; another version, another result.
"""

from __future__ import annotations

import functools
import opcode
from types import BuiltinFunctionType, BuiltinMethodType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from holdfast.values.names import qualified_name
from holdfast.values.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    Keep = Callable[[Any], Any]

_EXTENDED_ARG = opcode.opmap["EXTENDED_ARG"]
_LOADS_CONSTANT = frozenset(opcode.hasconst)
_FUNCTIONS = (FunctionType, MethodType, functools.partial, BuiltinFunctionType)


def describe(fn: Callable[..., Any], keep: Keep) -> dict[str, Any]:
    """A function, partial, bound method or builtin, as nested plain data.

    Args:
        fn: What to describe.
        keep: Called with every value the function carries (defaults, closure cells, ``self``, a partial's arguments); what it returns
            stands for the value. It may refuse one by raising `Refused`.

    Raises:
        Refused: ``fn`` is none of these, or ``keep`` refused a value.
    """
    return _Walk(keep).nested(fn)


class _Walk:
    """Describes one function and those it carries. A function met again is a reference: recursion ends, and sharing costs nothing."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._met: dict[int, tuple[int, Any]] = {}

    def nested(self, fn: Any) -> dict[str, Any]:
        """Describe ``fn``, or refer to where it was described before."""
        met = self._met.get(id(fn))
        if met is not None:
            return {"again": met[0]}
        self._met[id(fn)] = (len(self._met), fn)  # the reference keeps the id from being used again
        if isinstance(fn, FunctionType):
            return self.function(fn)
        if isinstance(fn, MethodType):
            return {"function": self.inner(fn.__func__), "__self__": self.value("__self__", fn.__self__)}
        if isinstance(fn, functools.partial):
            return self.partial(fn)
        if isinstance(fn, (BuiltinFunctionType, BuiltinMethodType)):
            return self.builtin(fn)
        return self.other(fn)

    def function(self, fn: FunctionType) -> dict[str, Any]:
        defaults = [self.value(f"__defaults__[{i}]", value) for i, value in enumerate(fn.__defaults__ or ())]
        cells = {name: self._cell(name, cell) for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)}
        described = {
            "code": describe_code(fn.__code__),
            "defaults": defaults,
            "kwdefaults": {name: self.value(name, value) for name, value in (fn.__kwdefaults__ or {}).items()},
            "closure": cells,
        }
        return self._with_wrapped(fn, described)

    def partial(self, fn: functools.partial[Any]) -> dict[str, Any]:
        return {
            "function": self.inner(fn.func),
            "args": [self.value(f"args[{i}]", value) for i, value in enumerate(fn.args)],
            "keywords": {name: self.value(name, value) for name, value in fn.keywords.items()},
        }

    def builtin(self, fn: Any) -> dict[str, Any]:
        owner = getattr(fn, "__self__", None)
        if owner is None or type(owner).__name__ == "module":
            return {"builtin": qualified_name(fn)}
        return {"builtin": fn.__qualname__, "__self__": self.value("__self__", owner)}

    def other(self, fn: Any) -> dict[str, Any]:
        if isinstance(fn, (staticmethod, classmethod)):
            return {"function": self.inner(fn.__func__)}
        if not hasattr(fn, "__wrapped__") and not hasattr(fn, "__objclass__"):
            raise Refused(f"is a {type(fn).__qualname__}")
        return self._with_wrapped(fn, {"type": qualified_name(type(fn)), "name": qualified_name(fn)})

    def _with_wrapped(self, fn: Any, described: dict[str, Any]) -> dict[str, Any]:
        wrapped = getattr(fn, "__wrapped__", None)
        if wrapped is not None and callable(wrapped):
            described["wrapped"] = self.inner(wrapped)
        return described

    def _cell(self, name: str, cell: Any) -> Any:
        try:
            content = cell.cell_contents
        except ValueError:  # not bound yet
            return {"empty": True}
        return self.value(f"closure[{name!r}]", content)

    def inner(self, fn: Any) -> Any:
        """Describe a function within this one; anything else callable is a value."""
        return self.nested(fn) if isinstance(fn, _FUNCTIONS) else self.value("function", fn)

    def value(self, name: str, value: Any) -> Any:
        """What stands for a carried value: a description for a function, else what ``keep`` says."""
        try:
            if isinstance(value, _FUNCTIONS):
                return {"named": qualified_name(value), **self.nested(value)}
            return [self._keep(value)]
        except Refused as refused:
            refused.through_attribute(name)
            raise


def describe_code(code: CodeType) -> list[Any]:
    """A code object as plain data; code objects among its constants likewise."""
    instructions, uses, constants = _without_constants(code)
    parameters = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    return [
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
        list(code.co_varnames[:parameters]),
        [*code.co_names],
        [*code.co_freevars],
        [*code.co_cellvars],
        instructions,
        uses,
        [["code", describe_code(c)] if isinstance(c, CodeType) else ["value", c] for c in constants],
        getattr(code, "co_exceptiontable", b""),
    ]


def _without_constants(code: CodeType) -> tuple[bytes, list[int], list[Any]]:
    """The bytecode with the arguments of constant loads blanked, what they were (numbered by first use), and the constants so numbered.

    Wordcode: two bytes per instruction, the operation and its argument; ``co_code`` shows it without specialisation and inline caches.
    """
    raw = code.co_code
    blanked = bytearray(raw)
    numbers: dict[int, int] = {}
    uses: list[int] = []
    high = 0
    for at in range(0, len(raw), 2):
        operation, index = raw[at], high << 8 | raw[at + 1]
        if operation in _LOADS_CONSTANT:
            uses.append(numbers.setdefault(index, len(numbers)))
            blanked[at + 1] = 0
            if high:
                blanked[at - 1] = 0
        high = index if operation == _EXTENDED_ARG else 0
    return bytes(blanked), uses, [code.co_consts[index] for index in numbers]
