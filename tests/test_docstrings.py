"""Docstrings of the public names: whatever takes parameters says what each of them is, and what comes back."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest

import holdfast
from holdfast import testing, tracing, tuning
from holdfast.clock import Clock
from holdfast.events import Observer
from holdfast.typing import Cache, Checkpointer, Codec

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOLS = {
    "DiskCache": Cache,
    "InMemoryCache": Cache,
    "InMemorySaver": Checkpointer,
    "SqliteSaver": Checkpointer,
    "FakeClock": Clock,
    "NoWaits": Clock,
}
"""What a class takes the place of; its methods' documentation is there."""
STANDARD = {"TaskFuture": asyncio.Future}
"""The same in Python's own library, which writes docstrings its own way."""
FOR_THE_RUNTIME = {"TaskFuture.settle_cancelled", *(f"RecordingObserver.{name}" for name in vars(Observer))}
"""Called by holdfast itself."""
TWIN = re.compile(r"(?:Do what )?`(\w+)`")
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):\n((?: .*\n|\n(?= ))*)", re.MULTILINE)
ENTRY = re.compile(r"^    \*{0,2}(\w+): ", re.MULTILINE)


def members(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """A function itself; of a class, the methods it defines, ``__call__`` among them."""
    if inspect.isfunction(thing):
        yield name, thing
    elif inspect.isclass(thing):
        for key, value in vars(thing).items():
            function = getattr(value, "__func__", value)
            if inspect.isfunction(function) and (key == "__call__" or not key.startswith("_")):
                yield f"{name}.{key}", function


EXPORTED = {name: getattr(module, name) for module in (holdfast, tracing, testing, tuning) for name in module.__all__}
DOCUMENTED = {
    path: function
    for name, thing in {**EXPORTED, "Cache": Cache, "Checkpointer": Checkpointer, "Codec": Codec, "Clock": Clock}.items()
    for path, function in members(name, thing)
    if path not in FOR_THE_RUNTIME
}


def sections(function: Any) -> dict[str, str]:
    """The sections of a docstring by name."""
    return dict(SECTION.findall((inspect.getdoc(function) or "") + "\n"))


def named(function: Any) -> set[str]:
    """What the docstring's ``Args`` names."""
    return set(ENTRY.findall(sections(function).get("Args", "")))


def kin(path: str) -> Iterator[Any]:
    """The function, and those whose docstring is its too: the twin that its own begins with, and the method it takes the place of."""
    owner, _, name = path.rpartition(".")
    yield DOCUMENTED[path]
    twin = TWIN.match(inspect.getdoc(DOCUMENTED[path]) or "")
    if twin is not None:
        yield DOCUMENTED[f"{owner}.{twin[1]}" if owner else twin[1]]
    if hasattr(PROTOCOLS.get(owner), name):
        yield getattr(PROTOCOLS[owner], name)


def parameters(function: Any) -> set[str]:
    """What a caller may pass."""
    return {name for name in inspect.signature(function).parameters if name not in {"self", "cls"} and not name.startswith("_")}


def is_standard(path: str) -> bool:
    """Whether the method is one of the standard library's, for everybody to look up there."""
    owner, _, name = path.rpartition(".")
    return hasattr(STANDARD.get(owner), name)


@pytest.mark.parametrize("path", [path for path, function in DOCUMENTED.items() if parameters(function) and not is_standard(path)])
def test_each_parameter_and_the_result_are_explained(path: str) -> None:
    """Under ``Args``, and ``Returns`` or ``Yields``."""
    pages = list(kin(path))
    returned = inspect.signature(DOCUMENTED[path]).return_annotation
    said = {title for page in pages for title in sections(page)}

    assert set() == parameters(DOCUMENTED[path]) - {name for page in pages for name in named(page)}
    assert returned in {"None", None, inspect.Signature.empty} or said & {"Returns", "Yields"}


@pytest.mark.parametrize("name", ["key", "explain_key", "forget", "purge"])
def test_help_on_a_resilient_function_shows_what_the_protocol_says(name: str) -> None:
    """Its methods are made anew for each function."""
    shown = getattr(holdfast.resilient(print), name).__doc__

    assert shown
    assert getattr(holdfast.Resilient, name).__doc__ == shown


@pytest.mark.parametrize("path", DOCUMENTED)
def test_nothing_is_explained_that_is_not_there(path: str) -> None:
    """``Args`` names parameters that exist."""
    assert set() == named(DOCUMENTED[path]) - set(inspect.signature(DOCUMENTED[path]).parameters)
