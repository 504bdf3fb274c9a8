"""What type checkers make of decorated functions: checked by mypy and pyright, never run.

A line with both ignores must be an error: mypy and pyright complain about an ignore that is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, assert_type

from holdfast import CachePolicy, Interrupt, RetryPolicy, StateSnapshot, TimeoutPolicy, entrypoint, resilient, task
from holdfast._entrypoint import Entrypoint
from holdfast._task import Task
from holdfast.errors import Doubt
from holdfast.runtime.future import TaskFuture


@task
def bare(city: str, days: int = 1) -> dict[str, float]:
    return {city: float(days)}


@task
async def bare_async(city: str) -> float:
    return float(len(city))


@task(retry_policy=RetryPolicy(max_attempts=5), cache_policy=CachePolicy(ttl="1h"), timeout=timedelta(seconds=2), deadline="1m")
def full(city: str) -> float:
    return float(len(city))


@task(name="other", retry_policy=[RetryPolicy(), RetryPolicy()], timeout=TimeoutPolicy(run_timeout=1.5), kind="client")
async def full_async(city: str) -> float:
    return float(len(city))


def a_task_keeps_its_parameters_and_result() -> None:
    assert_type(bare("Oslo", days=2), TaskFuture[dict[str, float]])
    assert_type(bare("Oslo").result(), dict[str, float])
    assert_type(bare_async("Oslo"), TaskFuture[float])
    assert_type(full("Oslo"), TaskFuture[float])
    assert_type(full_async("Oslo"), TaskFuture[float])
    assert_type(full.invoke("Oslo"), float)
    assert_type(full_async.invoke("Oslo"), float)


async def a_task_is_awaited() -> None:
    assert_type(await bare("Oslo"), dict[str, float])
    assert_type(await bare_async("Oslo"), float)
    assert_type(await full_async.ainvoke("Oslo"), float)


def wrong_arguments_are_found() -> None:
    bare(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    full(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    full_async(town="Oslo")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    full.invoke(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@task(delivery="at-most-once")
def once(amount: int) -> str:
    return f"{amount}"


@entrypoint(name="order")
def order(amount: int) -> str:
    return once(amount).result()


async def a_doubt_is_settled() -> None:
    assert_type(once(1).result(), str)
    assert_type(order.resolve(thread_id="t", result="paid"), tuple[Doubt, ...])
    assert_type(await order.aresolve(thread_id="t", step="0", rerun=True), tuple[Doubt, ...])
    order.resolve(result="paid")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.resolve(thread_id="t", error="declined")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def changed_options_keep_the_signature() -> None:
    assert_type(full.options(timeout=1)("Oslo"), TaskFuture[float])
    full.options(timeout=1)(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Client:
    """A method may be a task, or resilient."""

    @task
    def fetch(self, city: str) -> float:
        return float(len(city))

    @resilient
    def get(self, city: str) -> float:
        return float(len(city))

    @staticmethod
    @task
    def counted(city: str) -> float:
        return float(len(city))

    @staticmethod
    @resilient
    def parsed(text: str) -> float:
        return float(text)


def a_method_gives_its_result(client: Client) -> None:
    assert_type(client.fetch("Oslo").result(), float)
    assert_type(client.fetch.invoke("Oslo"), float)
    assert_type(client.get("Oslo"), float)
    assert_type(Client.get(client, "Oslo"), float)
    assert_type(Client.get.forget(client, "Oslo"), bool)
    assert_type(Client.counted("Oslo").result(), float)
    assert_type(client.counted("Oslo").result(), float)  # type: ignore[call-arg] # mypy takes the first parameter for the object
    assert_type(Client.parsed("1"), float)
    assert_type(client.parsed("1"), float)  # type: ignore[call-arg] # and so here
    client.fetch(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@resilient
def plain(city: str, days: int = 1) -> float:
    return float(days)


@resilient
async def plain_async(city: str) -> float:
    return float(len(city))


@resilient(retry_policy=RetryPolicy(max_attempts=2), cache_policy=CachePolicy(ttl=60))
def plain_full(city: str) -> float:
    return float(len(city))


@resilient(timeout=1)
async def plain_full_async(city: str) -> float:
    return float(len(city))


async def a_resilient_function_stays_what_it_was() -> None:
    assert_type(plain("Oslo", days=2), float)
    assert_type(await plain_async("Oslo"), float)
    assert_type(plain_full("Oslo"), float)
    assert_type(await plain_full_async("Oslo"), float)
    plain(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain_full(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await plain_full_async(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@entrypoint
def trip(cities: list[str]) -> dict[str, float]:
    return {city: full(city).result() for city in cities}


@entrypoint(max_concurrency=8, retry_policy=RetryPolicy())
async def trip_async(cities: list[str]) -> list[float]:
    return [await full_async(city) for city in cities]


async def an_entrypoint_knows_its_result() -> None:
    assert_type(trip, Entrypoint[dict[str, float]])
    assert_type(trip.invoke(["Oslo"]), dict[str, float])
    assert_type(await trip_async.ainvoke(["Oslo"], thread_id="trip-1"), list[float])
    assert_type(trip.batch([["Oslo"], ["Lima"]]), list[dict[str, float]])
    trip.invoke(["Oslo"], thread=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@entrypoint
def counted(n: int, *, previous: int = 0) -> entrypoint.final[str, int]:
    return entrypoint.final(value=str(n), save=previous + n)


@entrypoint(name="counted later", max_concurrency=2)
async def counted_async(n: int) -> entrypoint.final[str | None, list[int]]:
    return entrypoint.final(value=None, save=[n])


@entrypoint
def counted_sometimes(n: int) -> entrypoint.final[str, int] | None:
    return entrypoint.final(value=str(n), save=n) if n else None


@entrypoint
def counted_wrong(n: int) -> entrypoint.final[int, str]:
    return entrypoint.final(value="one", save="")  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]


async def the_result_is_the_value_of_a_final() -> None:
    assert_type(counted.invoke(1), str)
    assert_type(counted.batch([1, 2]), list[str])
    assert_type(await counted_async.ainvoke(1), str | None)
    assert_type(counted_wrong.invoke(1), int)
    # Taken out of a union it cannot be: that is what the type system has no word for. Write final in every branch instead.
    assert_type(counted_sometimes.invoke(1), entrypoint.final[str, int] | None)
    entrypoint(nam="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    entrypoint(name=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@entrypoint
def untyped(n: int) -> Any:
    return n


async def a_thread_can_be_looked_at() -> None:
    assert_type(trip.get_state(thread_id="trip-1"), StateSnapshot)
    assert_type(await trip.aget_state({"configurable": {"thread_id": "trip-1"}}), StateSnapshot)
    assert_type([state.interrupts for state in trip.get_state_history(thread_id="trip-1", limit=3)], list[tuple[Interrupt, ...]])
    assert_type([state.next async for state in trip.aget_state_history(thread_id="trip-1")], list[tuple[str, ...]])
    trip.invoke(None, trip.update_state(None, {}, thread_id="trip-1"))
    await trip.ainvoke(None, await trip.aupdate_state(trip.get_state(thread_id="trip-1").config, {}, wait="1m"))
    trip.get_state("trip-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_body_without_types_gives_any() -> None:
    assert_type(untyped.invoke(1), Any)


def tasks_are_passed_around(flag: bool) -> Callable[[str], TaskFuture[float]]:
    chosen: Task[[str], float] = full if flag else full_async
    return chosen


def policies_take_what_they_say(headers: dict[str, Any]) -> None:
    RetryPolicy(initial_interval=0.5, backoff_factor=2.0, max_interval=128.0, max_attempts=3, jitter=True)
    RetryPolicy(retry_on=(ConnectionError, TimeoutError))
    RetryPolicy(retry_on=lambda error: isinstance(error, OSError))
    RetryPolicy(max_attempts="three")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RetryPolicy(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CachePolicy(ttl=timedelta(hours=1))
    CachePolicy(ttl="1h30m", version="2", ignore=("client",))
    CachePolicy(key_func=bare)
    CachePolicy(key_func=str.lower)
