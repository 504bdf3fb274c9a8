"""Bodies that say of their result how long it is good for, and ask their source only whether there is a newer one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, PolicyError, RetryPolicy, TaskContextError, get_cache_entry, resilient
from holdfast.runtime import behind, cache_entry
from holdfast.testing import FakeClock, recorded
from tests.runtime.stale import CACHES, Sync, _in_runs
from tests.waiting import until_async


class Service:
    """A source with an etag: it gives the value only when the etag is another."""

    def __init__(self) -> None:
        self.version, self.asked = 1, []

    def get(self, etag: str) -> tuple[int, str, str | None]:
        self.asked.append(etag)
        return (304, etag, None) if etag == f"v{self.version}" else (200, f"v{self.version}", f"value {self.version}")


def decorated(colour: Any, kind: str, cache: Any, body: Any, **policy: Any) -> Any:
    from holdfast import task

    made = CachePolicy(**{"ttl": 60, "version": "1", **policy})
    if kind == "resilient":
        function = resilient(name="fetch", cache=cache, retry_policy=[], cache_policy=made)(colour.define(body))
    else:
        function = _in_runs(colour, task(name="fetch", cache_policy=made)(colour.define(body)), cache)
    return lambda key=1: colour.run(function, key)


def test_a_conditional_refresh(colour: Any, kind: str, cache: Any, still: FakeClock) -> None:
    """While the source says "not modified" the value is kept with a new date; then there is a new one."""
    service = Service()

    def fetch(key: int) -> str:
        entry = get_cache_entry()
        previous = entry.previous
        status, entry.etag, value = service.get("" if previous is None else previous.etag)
        return str(entry.not_modified() if status == 304 else value)

    call = decorated(colour, kind, cache, fetch)
    assert ["value 1"] * 2 == [call(), call()]
    for _ in range(2):
        still.advance(61)
        assert ["value 1"] * 2 == [call(), call()]
    service.version = 2
    still.advance(61)
    assert ["value 2"] * 2 == [call(), call()]

    assert ["", "v1", "v1", "v1"] == service.asked


def test_what_was_not_modified_keeps_what_was_said_of_it(colour: Any, cache: Any, still: FakeClock) -> None:
    """Its etag, its date of change and its ttl, unless something else is said."""
    seen: list[Any] = []

    def fetch(key: int) -> int:
        entry = get_cache_entry()
        seen.append(entry.previous)
        if entry.previous is not None:
            return int(entry.not_modified())
        entry.ttl, entry.etag, entry.modified = "30s", "ä", "Wed, 21 Oct 2015 07:28:00 GMT"
        return 1

    call = decorated(colour, "resilient", cache, fetch)
    for _ in range(3):
        assert 1 == call()
        still.advance(31)

    changed = datetime(2015, 10, 21, 7, 28, tzinfo=UTC).timestamp()
    assert [None, (1, "ä", changed), (1, "ä", changed)] == [each and (each.value, each.etag, each.modified) for each in seen]
    assert still.time() - 62 == seen[2].stored_at


def test_what_was_not_modified_keeps_its_tags(colour: Any, cache: Any, still: FakeClock) -> None:
    """Those of the first body and those that a later one adds, each once: by all of them it is found, and forgotten."""
    asked: list[int] = []

    def fetch(key: int) -> int:
        asked.append(key)
        entry = get_cache_entry()
        if entry.previous is not None:
            entry.add_tags(["later", "weather"])
            return int(entry.not_modified())
        entry.add_tags(["weather", "oslo%\n"])
        return 1

    call = decorated(colour, "resilient", cache, fetch, tags=("all",))
    for age in (0, 61, 61):
        still.advance(age)
        assert [1, 1] == [call(), call()]
    assert [("all", "weather", "oslo%\n", "later")] == [info.tags for info in cache.entries()]

    cache.invalidate("oslo%\n")

    assert (1, [1] * 4) == (call(), asked)


@pytest.mark.parametrize(("own", "fresh_for"), [(30, 30), ("2m", 120), (None, 60), (0, 0)])
def test_a_result_may_have_a_ttl_of_its_own(colour: Any, kind: str, cache: Any, still: FakeClock, own: Any, fresh_for: float) -> None:
    """Shorter or longer than the policy's; none at all is not stored."""
    asked: list[int] = []

    def fetch(key: int) -> int:
        asked.append(1)
        get_cache_entry().ttl = own
        return len(asked)

    call = decorated(colour, kind, cache, fetch)
    call()
    if fresh_for:
        still.advance(fresh_for - 1)
        assert 1 == call()
        still.advance(1)
    assert 2 == call()


def test_its_ttl_is_on_the_record(cache: Any, still: FakeClock) -> None:
    """Of a hit: what is in force."""

    def fetch(key: int) -> int:
        get_cache_entry().ttl = 10
        return 1

    function = resilient(name="fetch", cache=cache, cache_policy=CachePolicy(ttl=60, version="1"))(fetch)
    function(1)
    kept: list[Any] = []
    from holdfast import events

    class Keep:
        def __getattr__(self, name: str) -> Any:
            return lambda facts: kept.append(facts.cache_ttl_s) if name == "call_ended" else None

    before = events.observe(Keep())
    function(1)
    events.observe(before)

    assert [10.0] == kept


def test_windows_begin_where_its_own_ttl_ends(still: FakeClock) -> None:
    """As they do for the policy's."""
    asked: list[int] = []

    def fetch(key: int) -> int:
        asked.append(1)
        if len(asked) > 1:
            raise ConnectionError("down")
        get_cache_entry().ttl = 10
        return 1

    call = decorated(Sync, "resilient", InMemoryCache(), fetch, stale_if_error=20)
    call()
    still.advance(29)
    assert 1 == call()
    still.advance(1)
    with pytest.raises(ConnectionError):
        call()


def test_tags_of_its_own(colour: Any, cache: Any) -> None:
    """Beside those of the policy."""
    asked: list[int] = []

    def fetch(key: int) -> int:
        asked.append(key)
        get_cache_entry().add_tags([f"customer-{key}"])
        return key

    call = decorated(colour, "resilient", cache, fetch, tags=("orders",))
    call(1), call(2)
    cache.purge(tag="customer-1")
    call(1), call(2)
    assert [1, 2, 1] == asked
    cache.purge(tag="orders")
    call(2)

    assert [1, 2, 1, 2] == asked


def test_each_attempt_says_for_itself() -> None:
    """What a failed one said is not kept."""
    attempts: list[int] = []
    cache = InMemoryCache()

    @resilient(cache=cache, cache_policy=CachePolicy(ttl=60, version="1"), retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.001))
    def fetch() -> str:
        attempts.append(1)
        entry = get_cache_entry()
        if len(attempts) == 1:
            entry.etag = "of the failure"
            raise ConnectionError("once")
        return "ok"

    fetch()
    entry = cache.peek(fetch.key(), fetch.plan.codec)

    assert ("", None) == (entry.etag, entry.own_ttl)


def test_the_innermost_cached_call_is_meant(colour: Any) -> None:
    """And when it has returned, the outer one again; a call that passes the cache by has one of which nothing is kept."""
    cache = InMemoryCache()
    policy = CachePolicy(ttl=60, version="1")

    def inner_body(n: int) -> int:
        get_cache_entry().etag = "inner"
        return n

    inner = resilient(cache=cache, cache_policy=policy, retry_policy=[])(colour.define(inner_body))
    passing = inner.options(cache="bypass")

    if colour.is_async:

        @resilient(cache=cache, cache_policy=policy, retry_policy=[])
        async def outer() -> None:
            await inner(1)
            get_cache_entry().etag = "outer"
            await passing(2)

    else:

        @resilient(cache=cache, cache_policy=policy, retry_policy=[])
        def outer() -> None:
            inner(1)
            get_cache_entry().etag = "outer"
            passing(2)

    colour.run(outer)

    assert ["outer", "inner"] == [
        cache.peek(function.key(*args), function.plan.codec).etag for function, args in ((outer, ()), (inner, (1,)))
    ]
    assert cache_entry._current.get() is None


def test_outside_of_a_cached_call_nothing_is_kept() -> None:
    """The body can be called as it is, in a test, say."""
    entry = get_cache_entry()
    entry.ttl, entry.etag = 5, "x"

    assert None is get_cache_entry().previous
    with pytest.raises(TaskContextError, match="not_modified\\(\\) was called where no value is stored"):
        entry.not_modified()


def test_a_remembered_failure_is_no_previous_value(colour: Any, cache: Any, still: FakeClock) -> None:
    """There is nothing in it to keep."""
    seen: list[Any] = []

    def fetch(key: int) -> int:
        seen.append(get_cache_entry().previous)
        raise ConnectionError("down")

    call = decorated(colour, "resilient", cache, fetch, negative_ttl=5)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            call()
        still.advance(6)

    assert [None, None] == seen


@pytest.mark.parametrize(
    ("name", "wrong", "text"),
    [
        ("ttl", -1, "ttl=-1 is negative"),
        ("ttl", "soon", "ttl='soon' is not a duration"),
        ("etag", 5, "etag=5: give a text, as the ETag header has it, or None"),
        ("etag", "x" * 1001, "etag='xxxxxxxxxxxxxxxxxxxx'... has 1001 characters: give a text of at most 1000, or leave it out"),
        ("modified", True, "modified=True: give seconds since the epoch, a datetime or the text of a Last-Modified header"),
        ("modified", ["Sun"], "modified=['Sun']: give seconds since the epoch"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, wrong: Any, text: str) -> None:
    """At the line that says it."""
    with pytest.raises(PolicyError) as caught:
        setattr(get_cache_entry(), name, wrong)

    assert text in str(caught.value)


def test_a_response_without_a_header_says_none() -> None:
    """``headers.get("ETag")`` is None then, and takes back what was said before."""
    entry = get_cache_entry()
    entry.etag = '"v1"'
    entry.etag = entry.modified = entry.ttl = {}.get("no such header")

    assert ("", None, None) == (entry.etag, entry.modified, entry.ttl)


def test_a_slip_of_the_pen_is_no_term() -> None:
    """A name that there is not would be kept and mean nothing."""
    with pytest.raises(AttributeError, match="tll"):
        get_cache_entry().tll = 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", [1e9, datetime.fromtimestamp(1e9, UTC), "Sun, 09 Sep 2001 01:46:40 GMT"])
def test_a_moment_may_be_given_in_any_form(given: Any) -> None:
    """Seconds, a datetime, or the header's own text."""
    entry = get_cache_entry()
    entry.modified = given

    assert 1e9 == entry.modified


@pytest.mark.parametrize("said", ["yesterday", "", "Sun, 99 Foo 2001 01:46:40 GMT", "1e9", float("nan"), float("inf"), 10**400])
def test_what_is_no_date_fails_no_call(colour: Any, said: Any) -> None:
    """A source that sends nonsense in its Last-Modified is treated as one that sends none; the line names the task."""
    known: list[float | None] = []

    def fetch(key: int) -> int:
        entry = get_cache_entry()
        entry.modified = 1e9
        entry.modified = said
        known.append(entry.modified)
        return key

    with recorded() as told:
        decorated(colour, "resilient", InMemoryCache(), fetch)()

    assert [None] == known
    assert [("holdfast.cache.modified_unknown", "fetch")] == [(each["event"], each["task"]) for each in told.notes]


def test_a_refresh_behind_is_conditional_too(still: FakeClock) -> None:
    """Async, on its caller's loop."""
    service = Service()

    async def main() -> list[str]:
        @resilient(cache=InMemoryCache(), cache_policy=CachePolicy(ttl=60, stale_while_revalidate=60, version="1"))
        async def fetch() -> str:
            entry = get_cache_entry()
            status, entry.etag, value = service.get(entry.previous.etag if entry.previous else "")
            return str(entry.not_modified() if status == 304 else value)

        found = [await fetch()]
        await still.advance_async(61)
        found.append(await fetch())
        await until_async(lambda: len(service.asked) == 2 and not behind._under_way)
        with recorded() as told:
            found.append(await fetch())
        return [*found, told.facts[-1]["cache"]]

    assert ["value 1", "value 1", "value 1", "hit"] == asyncio.run(main())
    assert ["", "v1"] == service.asked


def test_disk_keeps_what_was_said(tmp_path: Path) -> None:
    """Over a restart."""
    policy = CachePolicy(ttl=60, version="1", key_func=lambda: "key")

    def fetch() -> int:
        entry = get_cache_entry()
        entry.etag, entry.modified, entry.ttl = 'W/"1"', 5.5, 1e6
        return 1

    cache = CACHES["disk"](tmp_path)
    function = resilient(cache=cache, cache_policy=policy)(fetch)
    function()
    cache.close()
    again = CACHES["disk"](tmp_path)
    entry = again.get(function.key(), function.plan.codec)
    again.close()

    assert ('W/"1"', 5.5, 1e6) == (entry.etag, entry.modified, entry.own_ttl)
