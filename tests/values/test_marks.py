"""What is marked with Secret, however the annotation is written."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple, NewType, Optional

import msgspec
import pydantic
import pytest

from holdfast import Secret
from holdfast.values.marks import secret_fields, secrets_of

if TYPE_CHECKING:
    from somewhere import Unknown  # pyright: ignore[reportMissingImports] - never imported: only type checkers would see it

Key = Annotated[str, Secret]
Pin = NewType("Pin", str)


def plain(city: str, count: int = 1) -> None: ...


def direct(city: str, key: Annotated[str, Secret]) -> None: ...


def instance(city: str, key: Annotated[str, Secret()]) -> None: ...


def alias(city: str, key: Key) -> None: ...


def optional(city: str, key: Key | None = None) -> None: ...


def old_optional(city: str, key: Optional[Key] = None) -> None: ...  # noqa: UP045 - what older code has


def inside(city: str, key: dict[str, list[Key]]) -> None: ...


def keyword_only(city: str, *, key: Key) -> None: ...


def unresolved(city: Unknown, key: Annotated[Unknown, Secret]) -> None: ...


async def of_a_coroutine(city: str, key: Key) -> None: ...


@pytest.mark.parametrize(
    "fn",
    [direct, instance, alias, optional, old_optional, inside, keyword_only, unresolved, of_a_coroutine, functools.partial(direct, "Oslo")],
)
def test_a_marked_parameter_is_found(fn):
    """And no other."""
    assert frozenset({"key"}) == secrets_of(fn)


def test_nothing_is_found_where_nothing_is_marked():
    """Most functions."""
    assert frozenset() == secrets_of(plain)
    assert frozenset() == secrets_of(len)


def test_a_marked_result_is_found():
    """By the name that the result has among annotations."""

    def issue() -> Key: ...

    assert frozenset({"return"}) == secrets_of(issue)


def test_a_mark_in_the_functions_own_closure_is_found():
    """An alias made in the function around it."""
    local = Annotated[str, Secret]

    def fn(key: local) -> object:
        return local

    assert frozenset({"key"}) == secrets_of(fn)


def test_a_method_is_a_function_like_any_other():
    """Bound or not, and an object that can be called."""

    class Client:
        def login(self, key: Key) -> None: ...

        def __call__(self, key: Key) -> None: ...

    assert [frozenset({"key"})] * 3 == [secrets_of(Client.login), secrets_of(Client().login), secrets_of(Client())]


@dataclass
class Login:
    user: str
    key: Key


class Derived(Login):
    extra: Annotated[int, Secret]


class Struct(msgspec.Struct):
    user: str
    key: Key


class Model(pydantic.BaseModel):
    user: str
    key: Key | None = None


class Row(NamedTuple):
    user: str
    key: Key


@pytest.mark.parametrize("record", [Login("u", "k"), Struct("u", "k"), Model(user="u"), Row("u", "k")])
def test_marked_fields_are_found(record):
    """Of every kind of record."""
    assert frozenset({"key"}) == secret_fields(record)


def test_fields_of_base_classes_are_found():
    """A mark is inherited with its field."""
    assert frozenset({"key", "extra"}) == secret_fields(Derived("u", "k"))
