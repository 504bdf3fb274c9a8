"""One call of a decorated function while nobody observes: the first attempt succeeds, or the third."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from benchmarks.harness import Contestant, Guard, Make, Measure, Row, async_loop, loop

CITY = "Oslo"

Decorate = Callable[[Callable[..., Any]], Callable[..., Any]]


def forecast(city: str) -> str:
    """What is decorated: does next to nothing."""
    return city


async def forecast_async(city: str) -> str:
    """The same in the other colour."""
    return city


def flaky() -> Callable[[str], str]:
    """Fails, fails, succeeds, and so on."""
    calls = 0

    def forecast_flaky(city: str) -> str:
        nonlocal calls
        calls += 1
        if calls % 3:
            raise ConnectionError("no answer")
        return city

    return forecast_flaky


def flaky_async() -> Callable[[str], Any]:
    """The same in the other colour."""
    inner = flaky()

    async def forecast_flaky(city: str) -> str:
        return inner(city)

    return forecast_flaky


def decorated(decorator: Callable[[], Decorate], body: Callable[[], Callable[..., Any]], *, is_async: bool) -> Make:
    """A contestant: the body decorated by what ``decorator`` imports and makes."""

    def make(stack: ExitStack) -> Measure:
        fn = decorator()(body())
        return async_loop(stack, fn, CITY) if is_async else loop(fn, CITY)

    return make


def nothing() -> Decorate:
    """No decorator."""
    return lambda fn: fn


def try_except(*, is_async: bool) -> Decorate:
    """The least that any retrying wrapper does."""

    def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return fn(*args, **kwargs)
            except ConnectionError:
                return None

        async def wrapper_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return await fn(*args, **kwargs)
            except ConnectionError:
                return None

        return wrapper_async if is_async else wrapper

    return decorate


def hand_loop(*, is_async: bool) -> Decorate:
    """Three attempts, written by hand."""

    def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(city: str) -> Any:
            for _ in range(2):
                try:
                    return fn(city)
                except ConnectionError:
                    pass
            return fn(city)

        async def wrapper_async(city: str) -> Any:
            for _ in range(2):
                try:
                    return await fn(city)
                except ConnectionError:
                    pass
            return await fn(city)

        return wrapper_async if is_async else wrapper

    return decorate


def holdfast() -> Decorate:
    """Ours: three attempts, no wait."""
    from holdfast import RetryPolicy, resilient

    return resilient(retry_policy=RetryPolicy(max_attempts=3, initial_interval=0))


def tenacity(*, is_async: bool = False, sleeps: bool = True) -> Decorate:
    """Three attempts, no wait; as shipped, tenacity still calls sleep(0)."""
    import tenacity

    async def no_sleep_async(seconds: float) -> None: ...

    def no_sleep(seconds: float) -> None: ...

    options: dict[str, Any] = {} if sleeps else {"sleep": no_sleep_async if is_async else no_sleep}
    retry_on = tenacity.retry_if_exception_type(ConnectionError)
    return tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_none(), retry=retry_on, reraise=True, **options)


def stamina() -> Decorate:
    """The same; it logs each retry."""
    import stamina

    return stamina.retry(on=ConnectionError, attempts=3, timeout=None, wait_initial=0, wait_max=0, wait_jitter=0)


def backoff() -> Decorate:
    """The same."""
    import backoff

    return backoff.on_exception(backoff.constant, ConnectionError, max_tries=3, interval=0, jitter=None)


def pyresilience() -> Decorate:
    """The same."""
    import pyresilience

    return pyresilience.resilient(retry=pyresilience.RetryConfig(max_attempts=3, delay=0, jitter=False, retry_on=(ConnectionError,)))


def loaded(decorator: Callable[[], Decorate]) -> Callable[[], Decorate]:
    """A decorator in a process that has OpenTelemetry and structlog loaded and uses neither."""

    def make() -> Decorate:
        for name in ("opentelemetry.trace", "structlog"):
            importlib.import_module(name)
        return decorator()

    return make


def _succeeds(colour: str) -> Row:
    is_async = colour == "async"
    body = (lambda: forecast_async) if is_async else (lambda: forecast)

    def contestant(decorator: Callable[[], Decorate]) -> Contestant:
        return Contestant(decorated(decorator, body, is_async=is_async))

    return Row(
        name=f"call, ok at once, {colour}",
        target=0.3,
        is_net=True,
        guards=(Guard("bare", 15), Guard("tenacity", 0.5)),
        contestants={
            "bare": contestant(nothing),
            "try/except": contestant(lambda: try_except(is_async=is_async)),
            "holdfast": contestant(holdfast),
            "tenacity": contestant(lambda: tenacity(is_async=is_async)),
            "backoff": contestant(backoff),
            "pyresilience": contestant(pyresilience),
        },
    )


def _succeeds_beside_others(colour: str) -> Row:
    is_async = colour == "async"
    body = (lambda: forecast_async) if is_async else (lambda: forecast)

    def contestant(decorator: Callable[[], Decorate]) -> Contestant:
        return Contestant(decorated(loaded(decorator), body, is_async=is_async))

    return Row(
        name=f"call, ok at once, {colour}, OpenTelemetry and structlog loaded",
        target=0.3,
        is_net=True,
        contestants={"bare": contestant(nothing), "holdfast": contestant(holdfast), "stamina": contestant(stamina)},
        note="holdfast looks at each call whether the application has set these up; stamina loads structlog itself",
    )


def _fails_twice(colour: str) -> Row:
    is_async = colour == "async"
    body = flaky_async if is_async else flaky

    def contestant(decorator: Callable[[], Decorate]) -> Contestant:
        return Contestant(decorated(decorator, body, is_async=is_async))

    return Row(
        name=f"call, 3 attempts without waits, {colour}",
        target=6,
        guards=() if is_async else (Guard("tenacity", 1),),
        contestants={
            "hand-made loop": contestant(lambda: hand_loop(is_async=is_async)),
            "holdfast": contestant(holdfast),
            "tenacity, sleep off": contestant(lambda: tenacity(is_async=is_async, sleeps=False)),
            "tenacity": contestant(lambda: tenacity(is_async=is_async)),
            "backoff": contestant(backoff),
            "pyresilience": contestant(pyresilience),
            "stamina": contestant(stamina),
        },
        note="holdfast and stamina write a line for each retry, the others none",
    )


ROWS = [make(colour) for make in (_succeeds, _succeeds_beside_others, _fails_twice) for colour in ("sync", "async")]
