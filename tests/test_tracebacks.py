"""Tracebacks hold the user's frames and at most two of ours, whichever public function the error leaves through."""

from __future__ import annotations

import asyncio
import threading
import traceback
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import holdfast
from holdfast import (
    CachePolicy,
    DiskCache,
    InMemoryCache,
    InMemorySaver,
    NodeTimeoutError,
    NotKeyable,
    NotSerializable,
    PolicyError,
    RetryPolicy,
    TaskContextError,
    TimeoutPolicy,
    entrypoint,
    events,
    get_config,
    get_stream_writer,
    register,
    resilient,
    task,
    tracing,
)
from holdfast._frames import trimmed, trims
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety.guard import Guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = str(Path(holdfast.__file__).parent) + "/"
CACHED = CachePolicy(ttl=60)


def files(error: BaseException) -> list[str]:
    """The file of each frame, outermost first."""
    return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]


def ours(error: BaseException) -> list[str]:
    """Those that are holdfast's."""
    return [file for file in files(error) if file.startswith(PACKAGE)]


# -- what goes wrong in a call: a function, its settings, and the error ------------------------------------------------------------


class Opaque:
    """No key and no record can be made of it."""


def fail(_: object) -> None:
    raise KeyError("the user's own")


def nest(_: object) -> None:
    task(fail)(1).result()  # type: ignore[func-returns-value]


def key_opaque(_: object) -> None:
    task(cache_policy=CACHED)(fail)(Opaque())


def call_wrongly(_: object) -> None:
    task(fail)(1, 2)  # type: ignore[call-arg]


def build_badly(_: object) -> None:
    RetryPolicy(max_attempts=0)


FAILURES: dict[str, tuple[Callable[[Any], Any], dict[str, Any], type[BaseException]]] = {
    "the body's own error": (fail, {}, KeyError),
    "after retries": (fail, {"retry_policy": RetryPolicy(retry_on=KeyError, initial_interval=0)}, KeyError),
    "an error of a task inside": (nest, {}, KeyError),
    "an argument without key inside": (key_opaque, {}, NotKeyable),
    "wrong arguments inside": (call_wrongly, {}, TypeError),
    "a bad policy inside": (build_badly, {}, PolicyError),
}


async def aresult(awaitable: Any) -> Any:
    return await awaitable


async def alist(chunks: Any) -> list[Any]:
    return [chunk async for chunk in chunks]


@contextmanager
def looked_at(seen: list[list[str]]) -> Iterator[None]:
    """Note our frames in an error that passes."""
    try:
        yield
    except BaseException as error:
        seen.append(ours(error))
        raise


def in_a_run(call: Callable[[], Any]) -> None:
    """``call()`` in the body of a run; the error is looked at there, too, before it leaves the run."""
    seen: list[list[str]] = []

    @entrypoint
    def main() -> None:
        with looked_at(seen):
            call()

    invoke(main, seen)


def in_an_async_run(call: Callable[[], Any]) -> None:
    """The same for ``async def``."""
    seen: list[list[str]] = []

    @entrypoint
    async def main() -> None:
        with looked_at(seen):
            await call()

    invoke(main, seen)


def invoke(main: Any, seen: list[list[str]]) -> None:
    """Invoke it; its error had few of our frames inside, too."""
    try:
        main.invoke()
    finally:
        assert [len(frames) <= 2 for frames in seen] == [True], seen


DOORS: dict[str, Callable[[Callable[[Any], Any], dict[str, Any]], Any]] = {
    "invoke": lambda fn, how: entrypoint(**how)(fn).invoke(1),
    "ainvoke": lambda fn, how: asyncio.run(entrypoint(**how)(fn).ainvoke(1)),
    "batch": lambda fn, how: entrypoint(**how)(fn).batch([1, 2]),
    "abatch": lambda fn, how: asyncio.run(entrypoint(**how)(fn).abatch([1, 2])),
    "stream": lambda fn, how: list(entrypoint(**how)(fn).stream(1)),
    "astream": lambda fn, how: asyncio.run(alist(entrypoint(**how)(fn).astream(1))),
    "Task.invoke": lambda fn, how: task(**how)(fn).invoke(1),
    "Task.ainvoke": lambda fn, how: asyncio.run(task(**how)(fn).ainvoke(1)),
    "result": lambda fn, how: in_a_run(lambda: task(**how)(fn)(1).result()),
    "await": lambda fn, how: in_an_async_run(lambda: task(**how)(fn)(1)),
    "gather": lambda fn, how: in_an_async_run(lambda: asyncio.gather(task(**how)(fn)(1))),
    "resilient in a run": lambda fn, how: in_a_run(lambda: resilient(**how)(fn)(1)),
    "resilient, cached, in a run": lambda fn, how: in_a_run(lambda: resilient(cache_policy=CACHED, cache=InMemoryCache(), **how)(fn)(1)),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_call_that_fails_shows_the_users_frames(door: str, failure: str) -> None:
    """Every way to run a function, every kind of error from inside it."""
    fn, settings, kind = FAILURES[failure]

    with pytest.raises(kind) as caught:
        DOORS[door](fn, settings)

    assert len(ours(caught.value)) <= 2, files(caught.value)
    assert fn.__code__ in [frame.f_code for frame, _ in traceback.walk_tb(caught.value.__traceback__)]


def judging(look: Callable[[Any], None]) -> dict[str, RetryPolicy]:
    """Policies with a function that looks at each failure, by what the function is."""

    def with_state(state: Any, _retry: object = None) -> bool:
        look(state.error if hasattr(state, "error") else state.outcome.exception())
        return False

    def with_error(error: Exception) -> bool:
        look(error)
        return False

    return {
        "retry_on": RetryPolicy(retry_on=with_error),
        "before_retry": RetryPolicy(retry_on=KeyError, initial_interval=0, before_retry=with_state),
        "wait": RetryPolicy(retry_on=KeyError, wait=lambda state: float(with_state(state))),
        "stop": RetryPolicy(retry_on=KeyError, max_attempts=2, initial_interval=0, stop=with_state),
        "retry": RetryPolicy(retry=with_state),
    }


def returning_a_coroutine(argument: object) -> Any:
    """As some decorators make it."""
    return nothing()


async def nothing() -> None:
    """Awaited by nobody."""


@pytest.mark.parametrize("is_observed", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("wrong", ["arguments", "result", "nothing"])
def test_a_plain_function_that_is_observed_shows_as_few(wrong: str, is_async: bool, is_observed: bool) -> None:
    """Its call is then made in a second place."""

    async def waiting(argument: object) -> Any:
        return fail(argument) if wrong == "nothing" else returning_a_coroutine(argument)

    fn: Any = waiting if is_async else fail if wrong == "nothing" else returning_a_coroutine
    call: Any = resilient(fn)
    arguments = () if wrong == "arguments" else (1,)
    with recorded_briefly() if is_observed else nullcontext(), pytest.raises((TypeError, KeyError)) as caught:
        asyncio.run(call(*arguments)) if is_async else call(*arguments)

    assert len(ours(caught.value)) == (0 if wrong == "nothing" else 1)


class Stubborn(BaseException):
    """Lets nobody touch its traceback."""

    def with_traceback(self, tb: object) -> Any:
        raise TypeError("not this one")


class Failing(Stubborn, Exception):
    """The same, as a failure."""


@pytest.mark.parametrize("kind", [Stubborn, Failing])
@pytest.mark.parametrize("is_observed", [False, True])
def test_an_error_that_refuses_is_raised_as_it_is(kind: type[BaseException], is_observed: bool) -> None:
    """What it has of its own is not asked."""

    @resilient(retry_policy=())
    def stubborn() -> None:
        raise kind

    with recorded_briefly() if is_observed else nullcontext(), pytest.raises(kind) as caught:
        stubborn()

    assert len(ours(caught.value)) == 0


@contextmanager
def recorded_briefly() -> Iterator[None]:
    """Somebody observes who makes do without records."""
    before = events.observe(Guarded(SpanObserver()))
    yield
    events.observe(before)


@pytest.mark.parametrize("name", judging(lambda _: None))
def test_what_judges_a_failure_sees_the_users_frames(name: str) -> None:
    """An error may be logged with its traceback there, whether or not it reaches the caller."""
    seen: list[list[str]] = []
    policy = judging(lambda error: seen.append(ours(error)))[name]

    with pytest.raises(KeyError):
        resilient(retry_policy=policy)(fail)(1)

    assert seen
    assert [[]] * len(seen) == seen


# -- errors that are raised in our own code --------------------------------------------------------------------------------------------


async def afail(_: object) -> None:
    raise KeyError("the user's own")


TIME_IS_OVER = threading.Event()


def dawdle() -> None:
    TIME_IS_OVER.wait(60)


async def adawdle() -> None:
    await asyncio.sleep(30)


def make_one() -> Opaque:
    return Opaque()


def make_opaque(_: object) -> object:
    return task(make_one)().result()


class Picky:
    """A context class of the user's."""

    def __init__(self, *, tenant: str) -> None:
        self.tenant = tenant


def aresilient(**how: Any) -> Any:
    return lambda value: asyncio.run(aresult(resilient(**how)(afail)(value)))


OWN: dict[str, tuple[type[BaseException], Callable[[], Any]]] = {
    # decorators
    "task of a class": (PolicyError, lambda: task(int)),
    "task without a function": (PolicyError, lambda: task("name")),  # type: ignore[call-overload]
    "task(timeout=)": (PolicyError, lambda: task(timeout="soon")(fail)),
    "task(deadline=)": (PolicyError, lambda: task(deadline=-1)(fail)),
    "task(retry_policy=)": (PolicyError, lambda: task(retry_policy=3)(fail)),  # type: ignore[call-overload]
    "task(cache_policy=)": (PolicyError, lambda: task(cache_policy="1h")(fail)),  # type: ignore[call-overload]
    "task(name=)": (PolicyError, lambda: task(name="")(fail)),
    "task(capture=)": (PolicyError, lambda: task(capture="all")(fail)),
    "task(kind=)": (PolicyError, lambda: task(kind="")(fail)),
    "task(ignore=)": (PolicyError, lambda: task(cache_policy=CachePolicy(ignore=("nobody",)))(fail)),
    "options": (PolicyError, lambda: task(fail).options(timeout="soon")),
    "resilient of a class": (PolicyError, lambda: resilient(int)),
    "resilient(timeout=)": (PolicyError, lambda: resilient(timeout="soon")(fail)),
    "resilient(cache=)": (PolicyError, lambda: resilient(cache="folder")),  # type: ignore[call-overload]
    "entrypoint of a class": (PolicyError, lambda: entrypoint(int)),
    "entrypoint(timeout=)": (PolicyError, lambda: entrypoint(timeout="soon")(fail)),
    "entrypoint(cache=)": (PolicyError, lambda: entrypoint(cache="folder")),  # type: ignore[call-overload]
    "entrypoint(checkpointer=)": (PolicyError, lambda: entrypoint("name")),  # type: ignore[call-overload]
    "entrypoint(max_concurrency=)": (PolicyError, lambda: entrypoint(max_concurrency=0)(fail)),
    "entrypoint of two inputs": (PolicyError, lambda: entrypoint(lambda a, b: (a, b))),
    # policies
    "RetryPolicy(max_attempts=)": (PolicyError, lambda: RetryPolicy(max_attempts=0)),
    "RetryPolicy(deadline=)": (PolicyError, lambda: RetryPolicy(deadline="soon")),
    "RetryPolicy(retry_on=)": (PolicyError, lambda: RetryPolicy(retry_on=("ValueError",))),  # type: ignore[arg-type]
    "RetryPolicy(wait=)": (PolicyError, lambda: RetryPolicy(wait=3)),  # type: ignore[arg-type]
    "RetryPolicy.replace": (PolicyError, lambda: RetryPolicy().replace(jitter=1)),
    "CachePolicy(ttl=)": (PolicyError, lambda: CachePolicy(ttl="soon")),
    "CachePolicy(key_func=)": (PolicyError, lambda: CachePolicy(key_func=afail)),  # type: ignore[arg-type]
    "CachePolicy(tags=)": (PolicyError, lambda: CachePolicy(tags="one")),
    "CachePolicy.replace": (PolicyError, lambda: CachePolicy().replace(ttl=timedelta(0))),
    "TimeoutPolicy": (PolicyError, lambda: TimeoutPolicy("soon")),
    # stores and tracing
    "DiskCache": (PolicyError, lambda: DiskCache(3)),  # type: ignore[arg-type]
    "InMemoryCache": (PolicyError, lambda: InMemoryCache(max_entries=0)),
    "register": (PolicyError, lambda: register(3)),  # type: ignore[arg-type]
    "tracing.configure": (PolicyError, lambda: tracing.configure("nowhere")),
    # calls that cannot be made
    "a task outside a run": (TaskContextError, lambda: task(fail)(1)),
    "get_config outside a run": (TaskContextError, get_config),
    "get_stream_writer outside a run": (TaskContextError, get_stream_writer),
    "an entrypoint called": (TypeError, lambda: entrypoint(fail)(1)),
    "wrong arguments for a task": (TypeError, lambda: in_a_run(lambda: task(fail)(1, 2))),  # type: ignore[call-arg]
    "wrong arguments for Task.invoke": (TypeError, lambda: task(fail).invoke(1, 2)),  # type: ignore[call-arg]
    "wrong arguments for resilient": (TypeError, lambda: resilient(fail)(1, 2)),  # type: ignore[call-arg]
    "wrong arguments for a cached one": (TypeError, lambda: resilient(cache_policy=CACHED, cache=InMemoryCache())(fail)(1, 2)),
    "no input for invoke": (TypeError, lambda: entrypoint(fail).invoke()),
    "no input for ainvoke": (TypeError, lambda: asyncio.run(entrypoint(fail).ainvoke())),
    "no input for stream": (TypeError, lambda: list(entrypoint(fail).stream())),
    "no input for astream": (TypeError, lambda: asyncio.run(alist(entrypoint(fail).astream()))),
    "invoke(config=)": (PolicyError, lambda: entrypoint(fail).invoke(1, {"thread_id": "t"})),
    "invoke(thread_id=)": (PolicyError, lambda: entrypoint(fail).invoke(1, thread_id="")),
    "invoke(context=)": (TypeError, lambda: entrypoint(context_schema=Picky)(fail).invoke(1, context={"user": "u"})),
    "batch(configs)": (PolicyError, lambda: entrypoint(fail).batch([1], [])),
    "abatch(configs)": (PolicyError, lambda: asyncio.run(entrypoint(fail).abatch([1], []))),
    "stream(stream_mode=)": (PolicyError, lambda: list(entrypoint(fail).stream(1, stream_mode="all"))),
    "astream(stream_mode=)": (PolicyError, lambda: asyncio.run(alist(entrypoint(fail).astream(1, stream_mode="all")))),
    # keys
    "key without a policy": (PolicyError, lambda: task(fail).key(1)),
    "key of an opaque argument": (NotKeyable, lambda: task(cache_policy=CACHED)(fail).key(Opaque())),
    "explain_key without a policy": (PolicyError, lambda: task(fail).explain_key(1)),
    "forget without a policy": (PolicyError, lambda: task(fail).forget(1)),
    "purge without a policy": (PolicyError, lambda: task(fail).purge()),
    "resilient: key without a policy": (PolicyError, lambda: resilient(fail).key(1)),
    "resilient: purge without a policy": (PolicyError, lambda: resilient(fail).purge()),
    "resilient: an opaque argument": (NotKeyable, lambda: resilient(cache_policy=CACHED, cache=InMemoryCache())(fail)(Opaque())),
    "resilient: an opaque argument, async": (NotKeyable, lambda: aresilient(cache_policy=CACHED, cache=InMemoryCache())(Opaque())),
    "Task.invoke: an opaque argument": (NotKeyable, lambda: task(cache_policy=CACHED)(fail).invoke(Opaque())),
    "a run: an opaque argument": (NotKeyable, lambda: in_a_run(lambda: task(cache_policy=CACHED)(fail)(Opaque()))),
    "an entrypoint: an opaque input": (NotKeyable, lambda: entrypoint(cache_policy=CACHED)(fail).invoke(Opaque())),
    # outcomes that are ours
    "a result that cannot be kept": (NotSerializable, lambda: entrypoint(checkpointer=InMemorySaver())(make_opaque).invoke(1)),
    "time is over": (NodeTimeoutError, resilient(timeout=0.01, retry_policy=())(dawdle)),
    "time is over, async": (NodeTimeoutError, lambda: asyncio.run(aresult(resilient(timeout=0.01, retry_policy=())(adawdle)()))),
    "time is over, Task.invoke": (NodeTimeoutError, lambda: task(timeout=0.01)(dawdle).invoke()),
    "time is over, Task.ainvoke": (NodeTimeoutError, lambda: asyncio.run(task(timeout=0.01)(adawdle).ainvoke())),
    "time is over, result": (NodeTimeoutError, lambda: in_a_run(lambda: task(timeout=0.01)(dawdle)().result())),
    "time is over, await": (NodeTimeoutError, lambda: in_an_async_run(task(timeout=0.01)(adawdle))),
    "the deadline is over": (NodeTimeoutError, resilient(deadline=0.01, retry_policy=())(dawdle)),
}


@pytest.mark.parametrize("name", OWN)
def test_our_own_errors_end_in_the_users_line(name: str) -> None:
    """What cannot work is refused; the last lines the user sees are theirs."""
    kind, call = OWN[name]
    TIME_IS_OVER.clear()

    with pytest.raises(kind) as caught:
        call()
    TIME_IS_OVER.set()

    assert len(ours(caught.value)) <= 2, files(caught.value)


def through_trims() -> None:
    """A public function of ours, as far as the frames tell."""


def run_as(path: str, source: str, **names: Any) -> Any:
    """What ``source``, compiled as if it stood in ``path``, defines as ``f``."""
    scope: dict[str, Any] = dict(names)
    exec(compile(source, path, "exec"), scope)
    return scope["f"]


def names_after(fn: Callable[[], object]) -> list[str]:
    """The files of the frames that `trimmed` leaves of what ``fn`` raises, this one left out."""
    try:
        fn()
    except BaseException as error:
        return files(trimmed(error))[1:]
    return []


INNER = PACKAGE + "inner.py"
OUTER = PACKAGE + "outer.py"
CALLS = "def f(): return g()"


@pytest.mark.parametrize(("error", "left"), [("PolicyError('x')", []), ("KeyError('x')", [INNER])])
def test_of_our_frames_at_the_end_only_a_foreign_error_keeps_one(error: str, left: list[str]) -> None:
    """A defect of ours can be found; a refusal says in words what to do."""
    raising = run_as(INNER, f"def f(): raise {error}", PolicyError=PolicyError)

    assert left == names_after(run_as(OUTER, CALLS, g=raising))


def test_our_frames_between_the_users_go_and_theirs_stay_in_order() -> None:
    """Nested runs do not pile them up."""
    raising = run_as("c.py", "def f(): raise KeyError('x')")
    middle = run_as("b.py", CALLS, g=run_as(INNER, CALLS, g=run_as(OUTER, CALLS, g=raising)))

    assert ["a.py", "b.py", "c.py"] == names_after(run_as("a.py", CALLS, g=run_as(INNER, CALLS, g=middle)))


def test_trims_keeps_name_and_documentation() -> None:
    """The door looks like the function."""
    assert ("through_trims", through_trims.__doc__) == (trims(through_trims).__name__, trims(through_trims).__doc__)
