"""@resilient: the one-line way to make a flaky call hold fast, in both colours."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import CachePolicy, InMemoryCache, NodeTimeoutError, NotKeyable, PolicyError, RetryPolicy, entrypoint, flush, resilient, task
from holdfast.testing import FakeClock, recorded


class Colour:
    """Defines and runs the same function as ``def`` or as ``async def``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def make(self, body: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
        if self.name == "sync":

            def plain(*args: Any, **kwargs: Any) -> Any:
                return body(*args, **kwargs)

            return resilient(**settings)(plain)

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return body(*args, **kwargs)

        wrapped = resilient(**settings)(coroutine)
        return lambda *args, **kwargs: asyncio.run(wrapped(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Colour:
    """Both colours, one test."""
    return Colour(request.param)


@pytest.fixture
def clock() -> Any:
    """Virtual time; jitter draws 1, so every wait is the full interval."""
    with FakeClock(draw=1.0) as fake:
        yield fake


class Flaky:
    """Raises the given errors in turn, then returns ``result``."""

    def __init__(self, *errors: Exception, result: Any = "ok") -> None:
        self.errors = list(errors)
        self.result = result
        self.calls = 0

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.result


def test_retries_until_it_succeeds(colour: Colour, clock: FakeClock) -> None:
    """Two transient failures, two waits that double, one result."""
    flaky = Flaky(ConnectionError("a"), TimeoutError("b"))

    assert "ok" == colour.make(flaky)()
    assert (3, [0.5, 1.0]) == (flaky.calls, clock.slept)


def test_the_last_error_is_the_callers_with_a_note(colour: Colour, clock: FakeClock) -> None:
    """After max_attempts the user's own error is raised itself, and a note says why."""
    last = ConnectionError("third")
    flaky = Flaky(ConnectionError("first"), ConnectionError("second"), last)

    with pytest.raises(ConnectionError) as caught:
        colour.make(flaky)()

    assert caught.value is last
    assert any("max_attempts" in note for note in last.__notes__)
    assert (3, [0.5, 1.0]) == (flaky.calls, clock.slept)


def test_a_programming_error_is_not_retried(colour: Colour, clock: FakeClock) -> None:
    """A TypeError is the caller's at once."""
    flaky = Flaky(TypeError("bug"))

    with pytest.raises(TypeError):
        colour.make(flaky)()
    assert (1, []) == (flaky.calls, clock.slept)


def test_colours_stay(clock: FakeClock) -> None:
    """def stays def, async def stays async def, and the name stays."""

    @resilient
    def plain() -> int:
        return 1

    @resilient
    async def coroutine() -> int:
        return 1

    assert (False, True) == (inspect.iscoroutinefunction(plain), inspect.iscoroutinefunction(coroutine))
    assert ("plain", "coroutine") == (plain.__name__, coroutine.__name__)


def test_the_traceback_starts_in_the_users_function(colour: Colour, clock: FakeClock) -> None:
    """One frame of ours at most between the caller and the user's function."""
    with pytest.raises(KeyError) as caught:
        colour.make(Flaky(KeyError("x")))()

    ours = [entry for entry in caught.traceback if "/holdfast/runtime/" in str(entry.path)]
    assert len(ours) <= 2
    assert "__call__" == caught.traceback[-1].name


def test_retry_on_result_returns_the_last_result(colour: Colour, clock: FakeClock) -> None:
    """A result can count as a failure; when attempts run out it is returned."""
    flaky = Flaky(result=None)
    call = colour.make(flaky, retry_policy=RetryPolicy(max_attempts=3, retry_on_result=lambda value: value is None))

    assert call() is None
    assert (3, [0.5, 1.0]) == (flaky.calls, clock.slept)


def test_a_before_retry_that_raises_ends_the_retries(colour: Colour, clock: FakeClock) -> None:
    """The caller gets the attempt's own error, with a note that names the culprit."""

    def refresh(*_: Any) -> None:
        raise KeyError("token")

    flaky = Flaky(ConnectionError("first"), ConnectionError("second"))
    with pytest.raises(ConnectionError, match="first") as caught:
        colour.make(flaky, retry_policy=RetryPolicy(before_retry=refresh))()
    assert any("before_retry raised KeyError" in note for note in caught.value.__notes__)
    assert 1 == flaky.calls


def test_a_result_predicate_that_raises_is_the_callers_error(colour: Colour, clock: FakeClock) -> None:
    """There is no other error to raise, and the note says where it comes from."""

    def judge(_: Any) -> bool:
        raise KeyError("judge")

    with pytest.raises(KeyError, match="judge") as caught:
        colour.make(Flaky(), retry_policy=RetryPolicy(retry_on_result=judge))()
    assert any("retry_on_result" in note for note in caught.value.__notes__)


def test_two_policies_have_a_counter_each(colour: Colour, clock: FakeClock) -> None:
    """Alternating errors under two policies of three attempts give five calls."""
    errors = [ConnectionError("c"), KeyError("k")] * 3
    flaky = Flaky(*errors)
    policies = [RetryPolicy(retry_on=ConnectionError), RetryPolicy(retry_on=KeyError)]

    with pytest.raises(ConnectionError):
        colour.make(flaky, retry_policy=policies)()
    assert 5 == flaky.calls


def test_a_deadline_stops_before_a_wait_that_would_pass_it(colour: Colour, clock: FakeClock) -> None:
    """The wait that does not fit is not waited; the note says deadline."""
    flaky = Flaky(*[ConnectionError(str(n)) for n in range(10)])
    call = colour.make(flaky, retry_policy=RetryPolicy(max_attempts=10), deadline=2)

    with pytest.raises(ConnectionError) as caught:
        call()
    assert [0.5, 1.0] == clock.slept
    assert any("deadline" in note for note in caught.value.__notes__)


def test_two_hundred_threads_each_get_their_attempts() -> None:
    """No state is shared between the callers of one function."""
    lock, calls = threading.Lock(), {}

    @resilient(retry_policy=RetryPolicy(max_attempts=4, initial_interval=0.001, max_interval=0.001))
    def fail(caller: int) -> None:
        with lock:
            calls[caller] = calls.get(caller, 0) + 1
        raise ConnectionError(caller)

    def run(caller: int) -> None:
        with pytest.raises(ConnectionError, match=str(caller)):
            fail(caller)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert dict.fromkeys(range(200), 4) == calls


def test_a_sync_attempt_past_its_timeout_is_given_up() -> None:
    """The caller gets NodeTimeoutError after the last attempt; each attempt had its own thread and limit."""
    release = threading.Event()
    started = []

    @resilient(timeout=0.02, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.01))
    def stuck() -> None:
        started.append(threading.current_thread())
        release.wait(60)

    before = time.monotonic()
    with FakeClock(), pytest.raises(NodeTimeoutError, match=r"0\.02 s"):
        stuck()
    release.set()

    assert 2 == len(set(started))
    assert time.monotonic() - before < 30


def test_an_async_attempt_past_its_timeout_is_cancelled(clock: FakeClock) -> None:
    """The body is cancelled at its limit, and the policy retries the timeout."""
    cancelled = 0

    @resilient(timeout=5, retry_policy=RetryPolicy(max_attempts=2))
    async def slow() -> str:
        nonlocal cancelled
        if cancelled:
            return "ok"
        try:
            await clock.sleep_async(60)
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return "never"

    assert "ok" == asyncio.run(slow())
    assert 1 == cancelled


def test_the_bodys_own_timeouterror_is_not_mistaken_for_the_limit(colour: Colour, clock: FakeClock) -> None:
    """A TimeoutError raised by the body within its limit stays what it is."""
    error = TimeoutError("the user's own")

    with pytest.raises(TimeoutError) as caught:
        colour.make(Flaky(error, error, error), timeout=5)()
    assert caught.value is error


def test_a_cached_result_is_not_computed_again(colour: Colour, clock: FakeClock) -> None:
    """A hit within the TTL, a miss after it."""
    flaky = Flaky(result={"temp": 3})
    call = colour.make(flaky, cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())

    assert [{"temp": 3}] * 2 == [call("Oslo"), call("Oslo")]
    assert 1 == flaky.calls
    call("Lima")
    assert 2 == flaky.calls
    clock.advance(61)
    call("Oslo")
    assert 3 == flaky.calls


class Counting(InMemoryCache):
    """Counts the looks into the whole cache, finds nothing in memory, and blocks, as a disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    @property
    def is_blocking(self) -> bool:
        return True

    def peek(self, key: Any, codec: Any, /) -> None:
        return None

    def get(self, key: Any, codec: Any, /) -> Any:
        self.looks += 1
        return InMemoryCache.peek(self, key, codec)


def test_a_miss_looks_into_the_store_once(colour: Colour, clock: FakeClock) -> None:
    """Whichever part of the call looks: a store that is locked makes it wait once."""
    cache = Counting()
    call = colour.make(Flaky(), cache_policy=CachePolicy(ttl=60), cache=cache)

    assert ("ok", 1) == (call("Oslo"), cache.looks)
    assert ("ok", 2) == (call("Oslo"), cache.looks)


def test_changing_a_result_does_not_change_the_cache(colour: Colour, clock: FakeClock) -> None:
    """Callers get values of their own."""
    call = colour.make(Flaky(result=[1]), cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())
    call()
    call().append(2)

    assert [1] == call()


def test_failures_are_cached_only_with_a_negative_ttl(colour: Colour, clock: FakeClock) -> None:
    """Without negative_ttl a failure is computed again; with it, raised again for that long."""
    cache = InMemoryCache()
    plain = Flaky(KeyError("a"), KeyError("b"))
    call = colour.make(plain, cache_policy=CachePolicy(ttl=60), cache=cache)
    for _ in range(2):
        with pytest.raises(KeyError):
            call()
    assert 2 == plain.calls

    negative = Flaky(KeyError("gone"), result="back")
    call = colour.make(negative, cache_policy=CachePolicy(ttl=60, negative_ttl=10), cache=InMemoryCache())
    for _ in range(2):
        with pytest.raises(KeyError, match="gone"):
            call()
    assert 1 == negative.calls
    clock.advance(11)
    assert "back" == call()


def test_cache_if_decides_what_is_kept(colour: Colour, clock: FakeClock) -> None:
    """A result the predicate refuses is returned and not stored."""
    flaky = Flaky(result="")
    call = colour.make(flaky, cache_policy=CachePolicy(ttl=60, cache_if=bool), cache=InMemoryCache())
    call()
    call()

    assert 2 == flaky.calls


def test_an_unserialisable_result_is_returned_and_not_cached(colour: Colour, clock: FakeClock, capfd: pytest.CaptureFixture[str]) -> None:
    """The call succeeds, the entry is skipped, a line says why."""
    flaky = Flaky(result=threading.Lock())
    call = colour.make(flaky, cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())

    assert call() is flaky.result
    assert call() is flaky.result
    assert 2 == flaky.calls
    flush()
    assert "not cached" in capfd.readouterr().err


def test_an_unkeyable_argument_is_refused_by_name(clock: FakeClock) -> None:
    """The error names the parameter and both ways out."""

    @resilient(cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())
    def fetch(client: Any, city: str) -> str:
        return city

    with pytest.raises(NotKeyable, match=r"(?s)client.*ignore"):
        fetch(threading.Lock(), "Oslo")


def test_a_key_function_that_raises_means_uncached(clock: FakeClock, capfd: pytest.CaptureFixture[str]) -> None:
    """Computed, not cached, one line."""

    def bad_key(city: str) -> str:
        raise KeyError(city)

    flaky = Flaky(result="sunny")

    @resilient(cache_policy=CachePolicy(ttl=60, key_func=bad_key), cache=InMemoryCache())
    def fetch(city: str) -> str:
        return flaky()

    assert ["sunny", "sunny"] == [fetch("Oslo"), fetch("Oslo")]
    assert 2 == flaky.calls
    flush()
    assert "not cached" in capfd.readouterr().err


def test_one_computation_per_key_among_threads() -> None:
    """Fifty threads on one missing key: one execution, fifty results."""
    flaky = Flaky(result=[1])

    @resilient(cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())
    def fetch(city: str) -> list[int]:
        time.sleep(0.05)
        return flaky()

    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(fetch("Oslo"))) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (1, [[1]] * 50) == (flaky.calls, results)


def test_one_computation_per_key_among_asyncio_tasks() -> None:
    """The same on a loop; a failure is shared too."""
    calls = 0

    @resilient(cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())
    async def fetch(city: str) -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        if city == "Nowhere":
            raise KeyError(city)
        return city

    async def main() -> list[Any]:
        good = await asyncio.gather(*[fetch("Oslo") for _ in range(50)])
        bad = await asyncio.gather(*[fetch("Nowhere") for _ in range(50)], return_exceptions=True)
        return [set(good), {type(error) for error in bad}]

    assert [{"Oslo"}, {KeyError}] == asyncio.run(main())
    assert 2 == calls


def test_a_cancelled_computation_hands_over() -> None:
    """The leader is cancelled; one of those who wait computes instead."""
    calls = 0

    @resilient(cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())
    async def fetch() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return "ok"

    async def main() -> str:
        leader = asyncio.create_task(fetch())
        follower = asyncio.create_task(fetch())
        for _ in range(10):  # as far as they get by themselves
            await asyncio.sleep(0)
        assert 1 == calls
        leader.cancel()
        return await follower

    assert "ok" == asyncio.run(main())
    assert 2 == calls


def test_a_task_that_calls_itself_with_equal_arguments_does_not_wait_for_itself() -> None:
    """Single-flight sees that it sits inside its own computation."""
    from holdfast import entrypoint, task

    depth = 0

    @task(cache_policy=CachePolicy(ttl=60))
    def recurse() -> int:
        nonlocal depth
        depth += 1
        return recurse().result() + 1 if depth < 3 else 0

    @entrypoint(cache=InMemoryCache())
    def main() -> int:
        return recurse().result()

    assert 2 == main.invoke()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"retry_policy": 3}, "retry_policy=3"),
        ({"cache_policy": 60}, "cache_policy=60"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "soon"}, "soon"),
        ({"deadline": -1}, "deadline"),
        ({"deadline": 0}, "deadline=0 is no time at all: leave it out, or give None, for no limit"),
        ({"capture": "all"}, "capture='all'"),
        ({"name": ""}, "name=''"),
        ({"name": "caf\udce9"}, "without lone surrogates"),
    ],
)
def test_bad_settings_are_refused_at_decoration(settings: dict[str, Any], text: str) -> None:
    """The text names the setting and its value."""
    with pytest.raises(PolicyError, match=text):
        resilient(**settings)(lambda: None)


def test_retries_around_retries_are_refused() -> None:
    """Their attempts would multiply, and nobody means that."""
    inner = resilient(lambda: None)
    for outer in (resilient, task(retry_policy=RetryPolicy()), entrypoint(retry_policy=RetryPolicy(max_attempts=2))):
        with pytest.raises(
            PolicyError, match=r"is retried by its @resilient already, and the attempts would multiply: .*retry_policy=\[\] to"
        ):
            outer(inner)


def test_a_decorator_around_retries_that_does_not_retry_is_fine() -> None:
    """A task around a resilient function of somebody else's; a second cache; retries around a single attempt."""
    inner, single = resilient(lambda: 1), resilient(retry_policy=[])(lambda: 2)

    assert 1 == task(inner).invoke()
    assert 1 == resilient(retry_policy=[], timeout=9)(inner)()
    assert 2 == resilient(single)()


@pytest.mark.parametrize("decorator", [task, resilient])
def test_none_is_no_function(decorator: Any) -> None:
    """A factory that forgot its return: what came back was a decorator, and calling it decorated the argument."""
    with pytest.raises(PolicyError, match="decorates a function, not None: write @"):
        decorator(None)


def test_functions_over_different_clients_do_not_share_results() -> None:
    """A captured client has no content, so the key tells them apart by identity, and a line says what that costs."""

    class Client:
        def __init__(self, host: str) -> None:
            self.host, self.calls = host, 0

    def api(client: Client) -> Any:
        @resilient(cache_policy=CachePolicy(ttl="1h"), cache=cache)
        def fetch(path: str) -> str:
            client.calls += 1
            return client.host + path

        return fetch

    cache = InMemoryCache()
    prod, test = Client("prod"), Client("test")

    with recorded() as recording:
        assert ["prod/x", "test/x", "prod/x"] == [api(prod)("/x"), api(test)("/x"), api(prod)("/x")]

    assert (1, 1) == (prod.calls, test.calls)
    said = [note["text"] for note in recording.notes if note["event"] == "holdfast.cache.private_key"]
    assert 3 == len(said)
    assert "it captures client" in said[0]
