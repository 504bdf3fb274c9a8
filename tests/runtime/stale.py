"""What the tests of old values share: a source that can be stopped and broken, and calls of each kind with a cache of each kind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from holdfast import CachePolicy, DiskCache, InMemoryCache, entrypoint, resilient, task
from tests.waiting import until, until_async


class Source:
    """Answers 1, 2, 3, ...; waits while it is closed, fails while it is broken.

    Attributes:
        asked: How often it was asked.
        broken: What it raises; None while it works.
    """

    def __init__(self) -> None:
        self.asked = self.answered = 0
        self.broken: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()

    def ask(self, key: int = 1) -> int:
        self.asked += 1
        number = self.asked
        assert self.gate.wait(60)
        return self._answer(number)

    async def ask_async(self, key: int = 1) -> int:
        self.asked += 1
        number = self.asked
        await until_async(self.gate.is_set)
        return self._answer(number)

    def _answer(self, number: int) -> int:
        self.answered += 1
        if self.broken is not None:
            raise self.broken
        return number

    def body(self, colour: Any) -> Callable[..., Any]:
        async def fetch_async(key: int = 1) -> int:
            return await self.ask_async(key)

        def fetch(key: int = 1) -> int:
            return self.ask(key)

        return fetch_async if colour.is_async else fetch

    def settled(self, asked: int) -> None:
        """Wait until it has been asked so often, and nothing is under way any more."""
        from holdfast.runtime import behind

        until(lambda: self.asked >= asked and not behind._under_way)


class Sync:
    """The sync colour, for tests that are about threads."""

    is_async, run, define = False, staticmethod(lambda function, *args: function(*args)), staticmethod(lambda body: body)


class Setup:
    """A source behind a policy: ``call()`` calls it, as a task in a run or as a resilient function, sync or async."""

    def __init__(self, colour: Any, kind: str, cache: Any, **settings: Any) -> None:
        self.colour, self.cache, self.source = colour, cache, Source()
        options = {"retry_policy": [], **settings, "cache_policy": CachePolicy(version="1", **settings["cache_policy"])}
        body = self.source.body(colour)
        if kind == "resilient":
            self.function = resilient(name="fetch", cache=cache, **options)(body)
        else:
            self.function = _in_runs(colour, task(name="fetch", **options)(body), cache)

    def call(self, key: int = 1) -> Any:
        return self.colour.run(self.function, key)


def _in_runs(colour: Any, fetch: Any, cache: Any) -> Callable[..., Any]:
    if colour.is_async:

        @entrypoint(name="main", cache=cache)
        async def main_async(key: int) -> Any:
            return await fetch(key)

        return main_async.ainvoke

    @entrypoint(name="main", cache=cache)
    def main(key: int) -> Any:
        return fetch(key).result()

    return main.invoke


CACHES = {
    "memory": lambda folder: InMemoryCache(),
    "disk": DiskCache,
    "disk only": lambda folder: DiskCache(folder, memory_entries=0),
}
