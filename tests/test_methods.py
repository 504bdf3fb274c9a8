"""Decorated methods: static ones, class ones, and those of an object."""

from __future__ import annotations

import asyncio
import functools
from types import FunctionType, MethodType
from typing import Any
from unittest import mock

import pytest

from holdfast import CachePolicy, InMemoryCache, PolicyError, RetryPolicy, entrypoint, resilient, task

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


CACHED = resilient(cache_policy=CachePolicy(ttl="1h", ignore=("self",)), cache=InMemoryCache())
OF_CLASS = resilient(cache_policy=CachePolicy(ttl="1h", ignore=("cls",)), cache=InMemoryCache())
STATIC = resilient(cache_policy=CachePolicy(ttl="1h"), cache=InMemoryCache())


class Api:
    """A client with cached methods."""

    @CACHED
    def get(self, x: int = 0, *, unit: str = "C") -> str:
        return f"{x} {unit}"

    @classmethod
    @OF_CLASS
    def make(cls, x: int = 0) -> int:
        return x

    @staticmethod
    @STATIC
    def plain(x: int) -> int:
        return x


class Sub(Api):
    """A client of another service."""


QUESTIONS = ["key", "explain_key", "forget"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_method_without_its_object_is_refused(question: str) -> None:
    """The object a method is bound to is not known to its attributes: an argument was taken for it, and the answer was about another call."""
    methods: list[Any] = [Api().get, Api.get]
    for method in methods:
        for args in ((), (1,), ({"get": 1},), (Api.plain, 1)):
            with pytest.raises(TypeError, match=r"Api.get is a method, .* write .*Api.get.key\(object, ...\), on the class"):
                getattr(method, question)(*args)
    with pytest.raises(TypeError, match=r"write .*Api.make.key\(Class, ...\)"):
        getattr(Api.make, question)(1)


@pytest.mark.parametrize("owner", [Api(), Sub(), mock.Mock(spec=Api)])
def test_the_class_answers_for_its_objects(owner: Any) -> None:
    """Also for those of subclasses, and for what stands for one in a test."""
    api: Any = Api
    assert "1 C" == api.get(owner, 1)
    assert api.get.key(owner, 1) == api.get.key(self=owner, x=1) != api.get.key(owner, 2)
    assert ("x", "unit") == tuple(part.name for part in api.get.explain_key(owner, 1).parts)
    assert [True, False] == [api.get.forget(owner, 1), api.get.forget(owner, 1)]


def test_static_and_class_methods_answer_too() -> None:
    """The first needs nothing, the second its class, or one derived from it."""
    api: Any = Api
    assert api.plain.key(1) != api.plain.key(2)
    assert api.make.key(Api, 1) == api.make.key(Sub, 1) != api.make.key(Api, 2)


def test_a_function_that_a_class_holds_under_another_name() -> None:
    """It is a method by where it lies."""

    @CACHED
    def plain(self: Any, x: int = 0) -> int:
        return x

    class Holder:
        fetch: Any = plain

    with pytest.raises(TypeError, match="plain is a method"):
        Holder().fetch.forget(1)
    assert not plain.forget(Holder(), 1)


def test_a_method_stays_a_method() -> None:
    """Whoever inspects the class finds what was there before."""
    spec: Any = mock.create_autospec(Api)()

    assert (FunctionType, MethodType) == (type(vars(Api)["get"]), type(Api().get))
    with pytest.raises(TypeError):
        spec.get(1, 2, 3)


def dated(city: str, day: str) -> str:
    """Stands for a function of which a partial is decorated."""
    return f"{city} on {day}"


class Forecasts:
    """Stands for a class whose objects are called."""

    def __call__(self, city: str) -> str:
        return city


@pytest.mark.parametrize(
    ("fn", "name"), [(functools.partial(dated, day="Monday"), "dated"), (Forecasts(), "Forecasts")], ids=["partial", "object"]
)
def test_what_has_no_name_is_called_after_what_it_is_made_of(fn: Any, name: str) -> None:
    """In lines and traces, and where the function is printed."""
    decorated: Any = resilient(fn)

    assert (name, name, name) == (decorated.plan.name, decorated.__name__, decorated.__qualname__)
