"""Decorated methods: static ones, class ones, and those of an object."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import PolicyError, RetryPolicy, entrypoint, resilient, task

AT_ONCE = RetryPolicy(initial_interval=0, jitter=False)
DECORATORS = [resilient, resilient(retry_policy=AT_ONCE), task, task(retry_policy=AT_ONCE)]


def called(method: Any, *args: Any) -> Any:
    """What a call returns, of a task or a function, sync or async."""
    value = method.invoke(*args) if hasattr(method, "invoke") else method(*args)
    return asyncio.run(value) if asyncio.iscoroutine(value) else value


@pytest.mark.parametrize("decorator", DECORATORS)
def test_the_order_of_the_decorators_does_not_matter(decorator: Any) -> None:
    """A static method gets its arguments, a class method its class, whichever decorator stands above."""

    class Api:
        @decorator
        @staticmethod
        def above(x: int) -> int:
            return x

        @staticmethod
        @decorator
        def below(x: int) -> int:
            return x

        @decorator
        @classmethod
        def of_class(cls, x: int) -> tuple[str, int]:
            return cls.__name__, x

        @decorator
        @staticmethod
        async def later(x: int) -> int:
            return x

    class Other(Api): ...

    for owner in (Api, Api(), Other, Other()):
        name = (owner if isinstance(owner, type) else type(owner)).__name__
        assert (1, 2, 3) == (called(owner.above, 1), called(owner.below, 2), called(owner.later, 3))
        assert (name, 4) == called(owner.of_class, 4)


def test_a_static_method_can_be_an_entrypoint() -> None:
    """It is a function in a class."""

    class Jobs:
        @entrypoint
        @staticmethod
        def bare(x: int) -> int:
            return x

        @entrypoint(name="job")
        @staticmethod
        def named(x: int) -> int:
            return x

    assert (1, 2, 3, "job") == (Jobs.bare.invoke(1), Jobs().bare.invoke(2), Jobs.named.invoke(3), Jobs.named.plan.name)


@pytest.mark.parametrize("decorator", [entrypoint, entrypoint(name="x")])
def test_a_class_method_cannot_be_an_entrypoint(decorator: Any) -> None:
    """Nobody would give it its class."""
    with pytest.raises(PolicyError, match=r"cannot be a class method: .* Make it a function"):
        decorator(classmethod(lambda _cls: 1))


@pytest.mark.parametrize("decorator", [entrypoint, *DECORATORS])
def test_a_property_belongs_above(decorator: Any) -> None:
    """It is no function; the text says what to write."""
    with pytest.raises(PolicyError, match=r"not a property: write @property above @(entrypoint|resilient|task)$"):
        decorator(property(lambda _self: 1))
