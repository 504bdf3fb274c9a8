"""What a function does, as plain data: bytecode, constants and the values it carries along, free of anything that differs by chance.

Left out: line numbers, file names, docstrings, names of local variables. Constants are taken in the order in which the bytecode first
uses them, and the bytecode's indices rewritten to match: a docstring, which no instruction loads, thus falls out by itself, and adding
one does not shift the others. The bytecode is that of the running Python version; another version, another result.
"""

from __future__ import annotations

import functools
import opcode
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from holdfast.values.names import kind_name, qualified_name
from holdfast.values.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    Keep = Callable[[Any], Any]
    Capture = Callable[[str, Any], Any]

_EXTENDED_ARG = opcode.opmap["EXTENDED_ARG"]
_LOADS_CONSTANT = frozenset(opcode.hasconst)
_HAS_DOCSTRING = 0x4000000  # a flag since Python 3.14
_EMPTY_CELL = "<empty cell>"
_FUNCTIONS = (FunctionType, MethodType, functools.partial, BuiltinFunctionType)


def describe(fn: Callable[..., Any], keep: Keep, capture: Capture | None = None) -> dict[str, Any]:
    """A function, partial, bound method or builtin, and the functions it carries, as plain data.

    Functions refer to each other by number, so that neither recursion nor sharing nor a long chain of decorators is a matter of depth.

    Args:
        fn: What to describe.
        keep: Called with every value a function carries (defaults, closure cells, ``self``, a partial's arguments); what it returns
            stands for the value.
        capture: Called instead, with a name, for those that are no arguments of ``fn``: what is in closures, and what the functions there
            carry along; None calls ``keep``.

    Raises:
        Refused: ``fn`` is none of these.
    """
    walk = _Walk(keep, capture or (lambda _, value: keep(value)), fn)
    walk.number(fn)
    first = walk.describe(fn)
    carried: list[Any] = []
    while len(carried) + 1 < len(walk.met):
        each = walk.met[len(carried) + 1]
        carried.append({"named": qualified_name(each)} | walk.describe(each))
    return first | {"carried": carried}


class _Walk:
    """Describes functions one by one, and numbers those it meets on the way."""

    def __init__(self, keep: Keep, capture: Capture, fn: Any) -> None:
        self._keep = keep
        self._capture = capture
        self._own = {id(fn)}  # whose bound values are arguments
        while isinstance(fn, functools.partial):
            fn = fn.func
            self._own.add(id(fn))
        self._numbers: dict[int, int] = {}
        self.met: list[Any] = []  # holding them keeps their ids from being used again

    def number(self, fn: Any) -> int:
        """The number of ``fn``; a new one when it has not been met."""
        number = self._numbers.setdefault(id(fn), len(self.met))
        if number == len(self.met):
            self.met.append(fn)
        return number

    def describe(self, fn: Any) -> dict[str, Any]:
        """One function; the functions it carries are numbers."""
        if isinstance(fn, FunctionType):
            return self._function(fn)
        if isinstance(fn, MethodType):
            return self._bound_to(fn, [("__func__", fn.__func__), ("__self__", fn.__self__)])
        if isinstance(fn, functools.partial):
            given = enumerate(fn.args)
            return self._bound_to(fn, [("func", fn.func), *[(f"args[{i}]", value) for i, value in given], *fn.keywords.items()])
        if isinstance(fn, BuiltinFunctionType):
            return self._builtin(fn)
        return self._other(fn)

    def _function(self, fn: FunctionType) -> dict[str, Any]:
        cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
        described = {
            "code": describe_code(fn.__code__),
            "defaults": self._carried([(str(i), value) for i, value in enumerate(fn.__defaults__ or ())]),
            "kwdefaults": self._carried(list((fn.__kwdefaults__ or {}).items())),
            "closure": self._carried([(name, _content(cell)) for name, cell in cells], self._capture),
        }
        return described | self._wrapped(fn)

    def _builtin(self, fn: Any) -> dict[str, Any]:
        owner = fn.__self__
        if owner is None or isinstance(owner, ModuleType):
            return {"builtin": qualified_name(fn)}
        return {"builtin": fn.__qualname__} | self._bound_to(fn, [("__self__", owner)])

    def _other(self, fn: Any) -> dict[str, Any]:
        if type(fn) in (staticmethod, classmethod):
            return self._carried([("__func__", fn.__func__)])
        if hasattr(fn, "__objclass__"):  # str.upper
            return {"builtin": f"{qualified_name(fn.__objclass__)}.{fn.__name__}", **self._bound(fn)}
        if hasattr(fn, "__wrapped__"):  # an lru_cache
            return {"type": qualified_name(type(fn))} | self._wrapped(fn)
        raise Refused(f"is {kind_name(fn)}")

    def _bound(self, fn: Any) -> dict[str, Any]:
        return self._bound_to(fn, [("__self__", fn.__self__)]) if hasattr(fn, "__self__") else {}

    def _wrapped(self, fn: Any) -> dict[str, Any]:
        wrapped = getattr(fn, "__wrapped__", None)
        return {} if wrapped is None else self._carried([("__wrapped__", wrapped)])

    def _bound_to(self, fn: Any, items: list[tuple[str, Any]]) -> dict[str, Any]:
        return self._carried(items, None if id(fn) in self._own else self._capture)

    def _carried(self, items: list[tuple[str, Any]], capture: Capture | None = None) -> dict[str, Any]:
        """Values by name; a function's name gets a pair of parentheses, so that no value looks like a function's number."""
        carried: dict[str, Any] = {}
        for name, value in items:
            if isinstance(value, _FUNCTIONS):
                carried[f"{name}()"] = self.number(value)
            else:
                carried[name] = self._keep(value) if capture is None else capture(name, value)
        return carried


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable not bound yet, or deleted
        return _EMPTY_CELL


def describe_code(code: CodeType) -> list[Any]:
    """A code object as plain data; code objects among its constants likewise."""
    instructions, uses, constants = _without_constants(code)
    parameters = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    return [
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_HAS_DOCSTRING],
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
