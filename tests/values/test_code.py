"""What a function is described as: names that stand in keys, so none may change, and bytecode free of chance."""

from __future__ import annotations

import functools
import opcode

import pytest

from holdfast.values.code import describe, describe_code
from holdfast.values.refusal import Refused


def keep(value):
    """Carried values, marked."""
    return ("kept", value)


def plain(city, days=3, *rest, units="metric", **more):
    try:
        return city, days, rest, units, more
    finally:
        local = 1
        del local


class Box:
    def __init__(self, content):
        self.content = content

    def method(self):
        return self.content


def name_of(fn):
    """As the description says it."""
    return f"{fn.__module__}.{fn.__qualname__}"


def test_a_function_is_code_defaults_and_closure():
    """Under these names."""
    assert {
        "code": describe_code(plain.__code__),
        "defaults": {"0": ("kept", 3)},
        "kwdefaults": {"units": ("kept", "metric")},
        "closure": {},
        "carried": [],
    } == describe(plain, keep)


def test_code_is_its_signature_names_and_instructions():
    """Names of parameters count, those of local variables do not."""
    code = plain.__code__
    described = describe_code(code)

    assert [[2, 0, 1, code.co_flags], ["city", "days", "units", "rest", "more"], [], [], []] == described[:5]
    assert code.co_exceptiontable == described[8] != b""


def test_constants_are_values_or_code():
    """In the order in which the bytecode first uses them, each once; a docstring, which no instruction loads, is none."""

    def outer(x):
        """Doc."""

        def inner():
            return 2.5

        return [x + 7.5, inner, x - 7.5]

    *_, uses, constants, _ = describe_code(outer.__code__)
    kinds = [kind for kind, _ in constants]
    values = [value for kind, value in constants if kind == "value"]

    assert (1, 1, 0) == (kinds.count("code"), values.count(7.5), values.count("Doc."))
    assert list(range(len(constants))) == list(dict.fromkeys(uses))
    assert len(uses) == len(constants) + 1
    assert [["value", 2.5]] == next(value for kind, value in constants if kind == "code")[7][-1:]


def shuffled(fn, first, second):
    """The code of ``fn`` with two of its constants at each other's index."""
    code = fn.__code__
    constants, raw, high = list(code.co_consts), bytearray(code.co_code), 0
    constants[first], constants[second] = constants[second], constants[first]
    for at in range(0, len(raw), 2):
        index = high << 8 | raw[at + 1]
        if raw[at] in opcode.hasconst and index in (first, second):
            other = first + second - index
            raw[at + 1] = other & 0xFF
            if high:
                raw[at - 1] = other >> 8
        high = index if raw[at] == opcode.opmap["EXTENDED_ARG"] else 0
    return code.replace(co_code=bytes(raw), co_consts=tuple(constants))


def many_constants():
    """A function with 700 of them: those from the 256th on take a second instruction to load."""
    scope = {}
    exec("def f(x):\n    return [" + ", ".join(f"x + {n}.5" for n in range(700)) + "]", scope)
    return scope["f"]


@pytest.mark.parametrize(("first", "second"), [(3, 4), (20, 200), (300, 301), (300, 600), (260, 690)])
def test_where_the_compiler_puts_a_constant_does_not_count(first, second):
    """Its index is an accident; its place in the code and its value are not."""
    fn = many_constants()
    other = shuffled(fn, first, second)

    assert fn.__code__.co_code != other.co_code
    assert fn(2) == type(fn)(other, {})(2)
    assert describe_code(fn.__code__) == describe_code(other)


def test_what_stands_before_a_constant_counts():
    """Only the argument of the load itself is blanked."""
    assert describe_code((lambda a, b: (a, b.x, 1.5)).__code__) != describe_code((lambda a, b: (b, b.x, 1.5)).__code__)
    assert describe_code((lambda a, b: (b, a, 1.5)).__code__) != describe_code((lambda a, b: (b, b, 1.5)).__code__)


def closure(*functions):
    """A function that carries others."""
    first, second, third = functions

    def f():
        return first, second, third

    return f


def test_functions_refer_to_each_other_by_number():
    """In the order met, each described once, whatever carries it; the function itself is number 0."""

    def one():
        return 1.5

    def two():
        return 1.5

    described = describe(closure(one, two, one), keep)

    assert {"first()": 1, "second()": 2, "third()": 1} == described["closure"]
    assert [name_of(one), name_of(two)] == [each["named"] for each in described["carried"]]
    assert describe(one, keep) == {name: part for name, part in described["carried"][0].items() if name != "named"} | {"carried": []}


def test_a_function_that_carries_itself():
    """It is number 0."""

    def again():
        return again

    assert {"again()": 0} == describe(again, keep)["closure"]


def test_an_empty_cell_is_not_none():
    """A variable not bound yet is told apart from one that is None."""

    def carrier(bind):
        def f():
            return late

        if bind:
            late = None
        return f

    assert [{"late": ("kept", None)}, {"late": ("kept", "<empty cell>")}] == [
        describe(carrier(bind), keep)["closure"] for bind in (True, False)
    ]


def test_a_method_is_its_function_and_its_object():
    """Bound to an object or a class."""
    box = Box(1)

    assert {"__func__()": 1, "__self__": ("kept", box), "carried": [{"named": name_of(Box.method)} | of(Box.method)]} == describe(
        box.method, keep
    )


def of(fn):
    """A plain function without what it carries."""
    return {name: part for name, part in describe(fn, keep).items() if name != "carried"}


def test_a_partial_is_its_function_and_arguments():
    """By position and by name."""
    assert {
        "func()": 1,
        "args[0]": ("kept", "Oslo"),
        "units": ("kept", "x"),
        "carried": [{"named": name_of(plain)} | of(plain)],
    } == describe(functools.partial(plain, "Oslo", units="x"), keep)


def test_a_wrapper_carries_what_it_wraps():
    """`functools.wraps` and `functools.lru_cache` leave it in ``__wrapped__``."""
    cached = functools.lru_cache(plain)

    @functools.wraps(plain)
    def wrapper():
        return None

    assert {"type": "functools._lru_cache_wrapper", "__wrapped__()": 1, "carried": [{"named": name_of(plain)} | of(plain)]} == describe(
        cached, keep
    )
    assert 1 == describe(wrapper, keep)["__wrapped__()"]


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (len, {"builtin": "builtins.len"}),
        ([1].append, {"builtin": "list.append", "__self__": ("kept", [1])}),
        (dict.fromkeys, {"builtin": "dict.fromkeys", "__self__": ("kept", dict)}),
        (str.upper, {"builtin": "builtins.str.upper"}),
        (int.__add__, {"builtin": "builtins.int.__add__"}),
        ((1).__add__, {"builtin": "builtins.int.__add__", "__self__": ("kept", 1)}),
    ],
    ids=["len", "[1].append", "dict.fromkeys", "str.upper", "int.__add__", "(1).__add__"],
)
def test_what_has_no_python_code_goes_by_name(fn, expected):
    """And by the object it is bound to; a module is none."""
    assert expected | {"carried": []} == describe(fn, keep)


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_static_and_class_methods_are_opened(kind):
    """As they stand in their class."""
    assert {"__func__()": 1, "carried": [{"named": name_of(plain)} | of(plain)]} == describe(kind(plain), keep)


def test_anything_else_is_refused():
    """An object is no function."""
    with pytest.raises(Refused, match=r"^is .*Box$"):
        describe(Box(1), keep)
