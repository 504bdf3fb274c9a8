"""Which parameters the runtime fills in, and that what the caller passes counts like any other argument."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from holdfast import CachePolicy, InMemoryCache, InMemorySaver, Runtime, entrypoint, task
from holdfast.runtime.inject import injected_parameters


def nothing() -> None: ...
def no_default(store, config, writer, runtime, previous) -> None: ...  # type: ignore[no-untyped-def]
def none_default(store=None, *, config=None) -> None: ...  # type: ignore[no-untyped-def]
def own_default(store="london", config=(), writer=print, runtime=3.11, previous=0) -> None: ...  # type: ignore[no-untyped-def]
def annotated(store: BaseStore, config: RunnableConfig, writer: StreamWriter, runtime: Runtime) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def generic(config: dict[str, Any], writer: Callable[[Any], None], runtime: Runtime[int]) -> None: ...  # type: ignore[name-defined, type-arg]  # noqa: F821
def optional(runtime: Runtime | None, config: None | dict[str, Any] = None, store: Optional[langgraph.BaseStore] = None) -> None: ...  # type: ignore[name-defined]  # noqa: F821, RUF100, UP045, RUF036
def others(store: str, config: int | None, writer: IO[str], runtime: Optional[float]) -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP045
def unreachable(runtime, /, *config, **store) -> None: ...  # type: ignore[no-untyped-def]


def evaluated() -> Any:
    """A function whose annotations are objects, as without the __future__ import."""

    def fn(runtime, config, store) -> None: ...  # type: ignore[no-untyped-def]

    fn.__annotations__ = {"runtime": Runtime | None, "config": Optional[dict[str, Any]], "store": Optional[str]}  # noqa: UP045
    return fn


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (nothing, ()),
        (no_default, ("store", "config", "writer", "runtime", "previous")),
        (none_default, ("store", "config")),
        (own_default, ()),
        (annotated, ("store", "config", "writer", "runtime")),
        (generic, ("config", "writer", "runtime")),
        (optional, ("runtime", "config", "store")),
        (others, ()),
        (unreachable, ()),
        (evaluated(), ("runtime", "config")),
    ],
)
def test_name_default_and_annotation_say_what_is_filled_in(fn: Any, expected: tuple[str, ...]) -> None:
    """A parameter with a value of its own, or of another type, is the function's own."""
    assert expected == injected_parameters(fn)


def test_an_entrypoints_previous_may_have_a_default() -> None:
    """Nobody could pass it: it stands for a thread without a result."""

    @entrypoint(InMemorySaver())
    def count(x: int, *, previous: int = 100) -> int:
        return x + previous

    assert [101, 103] == [count.invoke(n, thread_id="t") for n in (1, 2)]


def test_a_default_of_the_functions_own_is_kept() -> None:
    """Nothing is put in its place, in a task or an entrypoint."""

    @task
    def price(item: str, store: str = "london", config: Any = "gbp") -> str:
        return f"{item} at {store} in {config}"

    @entrypoint(store="the store")
    def shop(item: str, *, runtime: Any = "mine") -> list[Any]:
        return [price(item).result(), runtime]

    assert ["tea at london in gbp", "mine"] == shop.invoke("tea")


def test_what_the_caller_passes_counts_in_the_key() -> None:
    """By position, by name or as the instance's call: another store is another question; what is filled in does not count."""
    asked: list[Any] = []

    @task(cache_policy=CachePolicy(ttl="1h"))
    def price(item: str, store=None, *, config: Any = None) -> str:  # type: ignore[no-untyped-def]
        asked.append((item, store, config is None or len(config)))
        return f"{item} at {store}"

    @entrypoint(cache=InMemoryCache(), store="home")
    def shop() -> list[str]:
        calls = [price("tea", "london"), price("tea", store="paris"), price("tea"), price("tea", store="london"), price("tea")]
        return [call.result() for call in calls]

    expected = ["tea at london", "tea at paris", "tea at home", "tea at london", "tea at home"]
    assert (expected, 3) == (shop.invoke(), len(asked))


def test_an_entrypoints_input_counts_in_its_key_whatever_its_name() -> None:
    """The input of a body whose only parameter is called ``config``."""

    @entrypoint(cache=InMemoryCache(), cache_policy=CachePolicy(ttl="1h"))
    def main(config: dict[str, int]) -> int:
        return config["n"]

    assert [1, 2] == [main.invoke({"n": 1}), main.invoke({"n": 2})]


def test_the_key_of_a_call_can_be_asked_for() -> None:
    """What a run would fill in may be left out, and the explanation says which it is."""

    @task(cache_policy=CachePolicy(ttl="1h"))
    def price(item: str, store: Any) -> str:
        return f"{item} at {store}"

    explained, given = price.explain_key("tea"), price.explain_key("tea", store="paris")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    assert (("store",), ("item",)) == (explained.injected, tuple(part.name for part in explained.parts))
    assert ((), ("item", "store")) == (given.injected, tuple(part.name for part in given.parts))
    assert price.key("tea", "paris") == given.key != price.key("tea", "london") != explained.key


def test_what_the_caller_passes_sets_steps_apart() -> None:
    """On resume each call finds its own result, in whatever order they are made."""
    order, ran = ["london", "paris"], []

    @task
    def price(item: str, store: Any = None) -> str:
        ran.append(store)
        return f"{item} at {store}"

    @entrypoint(InMemorySaver(), on_divergence="warn")
    def shop() -> dict[str, str]:
        futures = {store: price("tea", store=store) for store in order}
        found = {store: future.result() for store, future in sorted(futures.items())}
        if order == ["london", "paris"]:
            raise ConnectionError("reset")
        return found

    with pytest.raises(ConnectionError):
        shop.invoke(thread_id="t")
    order.reverse()
    assert {"london": "tea at london", "paris": "tea at paris"} == shop.invoke(None, thread_id="t")
    assert ["london", "paris"] == sorted(ran)


def test_what_was_injected_may_be_handed_on() -> None:
    """The run's config, its writer and its Runtime count nowhere: another run finds the same entry."""
    ran: list[int] = []

    @task(cache_policy=CachePolicy(ttl="1h"))
    def work(n: int, config: Any, *, writer: Any, runtime: Any) -> int:
        ran.append(n)
        writer(runtime.run_id == config["configurable"]["run_id"])
        return n

    @entrypoint(cache=InMemoryCache())
    def main(*, config: Any, writer: Any, runtime: Runtime) -> int:
        return work(1, config, writer=writer, runtime=runtime).result()

    assert [True] == list(main.stream(stream_mode="custom"))
    assert (1, [1]) == (main.invoke(), ran)


def test_values_of_a_star_parameter_are_not_taken_for_named_ones() -> None:
    """``f(1, 2)`` passes no ``store``, although it is the second name."""

    @task
    def add(*numbers: int, store: Any = None) -> list[Any]:
        return [sum(numbers), store]

    @entrypoint(store="home")
    def main() -> list[Any]:
        return add(1, 2, 3).result()

    assert [6, "home"] == main.invoke()
