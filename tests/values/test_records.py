"""What instances of the user's own classes hold, read past whatever they override."""

from __future__ import annotations

import time
from dataclasses import dataclass

import attrs
import msgspec
import pydantic
import pytest

from holdfast.values import records
from holdfast.values.refusal import Refused


def subclass(base):
    """A subclass that lies about what it holds."""

    def lie(self, *_):
        return iter(())

    names = ("__iter__", "__str__", "__int__", "__float__", "__complex__", "__bytes__", "__getitem__", "items", "keys", "__len__", "copy")
    return type("Liar", (base,), dict.fromkeys(names, lie))


@pytest.mark.parametrize(
    "content",
    ["text", 7, 1.5, 2j, b"bytes", bytearray(b"ab"), (1, 2), [1, 2], {1, 2}, frozenset({1, 2}), {"a": 1, 2: []}],
    ids=lambda content: type(content).__name__,
)
def test_content_is_that_of_the_builtin(content):
    """Whatever the subclass says of itself; the result is of exactly the builtin type."""
    base = type(content)
    read = records.CONTENT[base](subclass(base)(content))

    assert (base, content) == (type(read), read)


def is_str(cls):
    return cls is str


def is_object(cls):
    return cls is object


class Name(str):
    __slots__ = ()


class LongName(Name):
    __slots__ = ()


class Plain:
    pass


class Failure(Exception):
    pass


@pytest.mark.parametrize(
    ("cls", "among", "expected"),
    [
        (Name, is_str, str),
        (LongName, is_str, str),
        (LongName, lambda cls: cls in (Name, str), Name),
        (Plain, is_object, object),
        (Plain, is_str, None),
        (str, is_str, None),  # not made by a class statement
        (int, is_object, None),
        (Name, is_object, None),  # str stands between, and holds something
        (Failure, is_object, None),
        (time.struct_time, lambda cls: cls is tuple, None),
    ],
)
def test_the_builtin_base_of_a_class(cls, among, expected):
    """Only where nothing in between, or in the class itself, may hide state in C."""
    assert expected is records.builtin_base(cls, among)


class Model(pydantic.BaseModel):
    name: str
    size: int = 1


class Struct(msgspec.Struct):
    name: str
    size: int = 1


@attrs.define
class Attrs:
    name: str
    size: int = 1


@dataclass
class Data:
    name: str
    size: int = 1


@pytest.mark.parametrize(
    ("cls", "expected"), [*[(cls, ("name", "size")) for cls in (Model, Struct, Attrs, Data)], (Plain, None), (str, None)]
)
def test_fields_in_the_order_declared(cls, expected):
    """Of each of the known ways to declare them."""
    assert expected == records.field_names(cls)


@pytest.mark.parametrize(("cls", "is_pydantic", "is_struct"), [(Model, True, False), (Struct, False, True), (Attrs, False, False)])
def test_which_library_a_class_belongs_to(cls, is_pydantic, is_struct):
    """By what it leaves on its classes."""
    assert (is_pydantic, is_struct) == (records.is_pydantic(cls), records.is_struct(cls))


def test_a_field_that_is_not_set_is_refused():
    """There is no value to key or to store."""
    half = object.__new__(Attrs)
    half.size = 3
    with pytest.raises(Refused, match=r"^is a Attrs with a field that is not set \(.*name"):
        records.read_fields(half, ("size", "name"))

    assert {"size": 3} == records.read_fields(half, ("size",))


class Slots:
    __slots__ = ("__dict__", "__secret", "__weakref__", "unset", "word")

    def __init__(self):
        self.word = 1
        self.__secret = 2
        self.free = 3


class _More(Slots):
    __slots__ = "single"  # noqa: PLC0205 - Python allows it

    def __init__(self):
        super().__init__()
        self.single = 4


class __Private:
    __slots__ = ("__dunder__", "__own")

    def __init__(self):
        self.__own = 5
        self.__dunder__ = 6


@pytest.mark.parametrize(
    ("value", "names", "expected"),
    [
        (Slots(), (), {"word": 1, "_Slots__secret": 2, "free": 3}),
        (_More(), (), {"word": 1, "_Slots__secret": 2, "free": 3, "single": 4}),
        (_More(), ("word", "free", "missing"), {"_Slots__secret": 2, "single": 4}),
        (__Private(), (), {"_Private__own": 5, "__dunder__": 6}),
        (Data("a"), ("name",), {"size": 1}),
        ("text", (), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_attributes(value, names, expected):
    """In ``__dict__`` and in the slots of every class, those with private names under the name they really have."""
    assert expected == records.other_attributes(value, names)
    assert all(getattr(value, name) == part for name, part in expected.items())


def test_undeclared_fields_of_a_model():
    """Extra fields and private attributes; neither, when there are none."""

    class Open(pydantic.BaseModel, extra="allow"):
        name: str
        _note: str = pydantic.PrivateAttr("n")

    assert {"more": 1, "_note": "n"} == records.pydantic_extras(Open(name="a", more=1))
    assert {} == records.pydantic_extras(Model(name="a"))
