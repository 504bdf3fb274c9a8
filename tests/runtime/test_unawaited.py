"""A coroutine that a body returns instead of running it."""

from __future__ import annotations

import asyncio
import functools
import re
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, RetryPolicy, entrypoint, resilient, task
from holdfast.testing import captured

AT_ONCE = RetryPolicy(initial_interval=0, jitter=False, retry_on=Exception)


def logged(fn: Any) -> Any:
    """The usual decorator that does not know async."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


async def fetch() -> int:
    """Never run here: the coroutine is closed."""
    raise AssertionError


def unmarked() -> Any:
    """A function that only hands on what another one gave it."""
    return fetch()


async def forgetful() -> Any:
    """An await is missing."""
    return fetch()


DECORATORS: dict[str, Any] = {
    "resilient": resilient,
    "resilient in full": resilient(timeout="1h", retry_policy=AT_ONCE),
    "resilient cached": resilient(cache_policy=CachePolicy(ttl="1h"), cache=InMemoryCache()),
    "task": task,
    "task in full": task(timeout="1h", retry_policy=AT_ONCE),
    "entrypoint": entrypoint,
}


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize(
    ("fn", "advice"),
    [
        (logged(fetch), r"fetch .*returned a coroutine, .*: a decorator below .* make its wrapper async def, too, and await there"),
        (unmarked, "unmarked .*returned a coroutine, .*: make it async def and await it there"),
        (forgetful, "forgetful .*returned a coroutine, .*: await it before you return it"),
    ],
)
def test_it_is_refused_at_once(fn: Any, advice: str, decorator: str, observed: bool) -> None:
    """Without a further attempt, and without Python's warning of a coroutine that was never awaited (warnings are errors here)."""
    if decorator == "entrypoint" and fn is forgetful:
        pytest.skip("an async entrypoint awaits what its body returns")
    decorated = DECORATORS[decorator](fn)

    def call() -> None:
        result = decorated.invoke() if hasattr(decorated, "invoke") else decorated()
        if asyncio.iscoroutine(result):
            asyncio.run(result)

    with pytest.raises(TypeError, match=advice) as caught:
        if observed:
            with captured():
                call()
        else:
            call()
    assert not re.search("attempts", "".join(getattr(caught.value, "__notes__", [])))


def test_a_wrapper_that_runs_it_is_a_plain_function() -> None:
    """Which is why a wrapper of an async def is not taken for async by what it wraps."""

    async def double(x: int) -> int:
        return 2 * x

    @resilient
    @functools.wraps(double)
    def run(x: int) -> int:
        return asyncio.run(double(x))

    assert 4 == run(2)
