"""`entrypoint.final[int, str]` as an annotation: what type checkers make of it stands in tests/typing; here it is met at run time."""

from __future__ import annotations

import typing
from dataclasses import dataclass

from holdfast import InMemorySaver, entrypoint, final


@dataclass
class Seen:
    """What a thread has seen so far."""

    cities: list[str]


def test_the_classes_named_in_a_final_are_rebuilt() -> None:
    """What is saved comes back as the class that the annotation names, without being registered."""

    @entrypoint(InMemorySaver())
    def visit(city: str, *, previous: Seen | None = None) -> entrypoint.final[int, Seen]:
        cities = [*(previous.cities if previous else []), city]
        return entrypoint.final(value=len(cities), save=Seen(cities))

    @entrypoint(visit._settings.checkpointer)
    def look(_: str, *, previous: Seen | None = None) -> Seen | None:
        return previous

    assert [1, 2] == [visit.invoke(city, thread_id="t") for city in ["Oslo", "Lima"]]
    assert Seen(["Oslo", "Lima"]) == look.invoke("", thread_id="t")


def test_it_is_one_class_whatever_it_is_called() -> None:
    """``holdfast.final`` and ``entrypoint.final``; with types it is an annotation like any other."""
    assert final is entrypoint.final
    assert (int, str) == typing.get_args(entrypoint.final[int, str])
