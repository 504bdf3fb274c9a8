"""@entrypoint: input, injection, how a run ends, streams, batches, body retries."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast import (
    CachePolicy,
    InMemoryCache,
    InMemorySaver,
    PolicyError,
    RetryPolicy,
    Runtime,
    entrypoint,
    flush,
    get_config,
    get_stream_writer,
    resilient,
    task,
)
from holdfast.checkpoint.sqlite import SqliteSaver
from holdfast.runtime.context import current
from holdfast.testing import FakeClock
from tests.waiting import LETS_BE_NUDGED, interrupt, until, until_async


@task
def double(x: int) -> int:
    return 2 * x


def test_an_entrypoint_without_parameters_is_invoked_without_input() -> None:
    """`invoke()` starts it; an input it does not take is a TypeError with a note."""

    @entrypoint
    def main() -> int:
        return double(1).result()

    assert 2 == main.invoke()
    with pytest.raises(TypeError) as caught:
        main.invoke(5)
    assert any("takes no input" in note for note in caught.value.__notes__)


def test_none_is_an_input() -> None:
    """Without a checkpointer, None is passed on like any value."""

    @entrypoint
    def main(x: int | None) -> bool:
        return x is None

    assert main.invoke(None)


def test_calling_an_entrypoint_says_how_to_run_it() -> None:
    """It is not a function any more; the text shows invoke."""

    @entrypoint
    def main() -> None:
        return None

    with pytest.raises(TypeError, match=r"main\.invoke"):
        main()


def test_a_returned_future_or_gather_is_awaited() -> None:
    """What a body returns is resolved before the run ends."""

    @task
    async def triple(x: int) -> int:
        return 3 * x

    @entrypoint
    def returns_future() -> Any:
        return double(4)

    @entrypoint
    async def returns_gather() -> Any:
        return asyncio.gather(triple(1), double(1))

    assert 8 == returns_future.invoke()
    assert [3, 2] == returns_gather.invoke()


def test_injected_parameters() -> None:
    """config, writer, store, previous and runtime are filled in, in entrypoints and tasks; explicit arguments win."""

    @task
    def inner(config: Any, store: Any = None) -> list[Any]:
        return [config["configurable"]["thread_id"], store]

    @task
    def explicit(store: str) -> str:
        return store

    @entrypoint(store="the store")
    def main(x: int, *, runtime: Runtime, config: Any, previous: int = 7) -> list[Any]:
        assert get_config() == config
        return [x, runtime.context, runtime.thread_id, previous, inner().result(), explicit(store="mine").result()]

    expected = [1, {"user": "a"}, "t1", 7, ["t1", "the store"], "mine"]
    assert expected == main.invoke(1, thread_id="t1", context={"user": "a"})
    assert expected == main.invoke(1, {"configurable": {"thread_id": "t1"}}, context={"user": "a"})


def test_previous_is_what_the_thread_last_returned() -> None:
    """With a checkpointer a thread remembers its last result."""

    @entrypoint(InMemorySaver())
    def count(x: int, *, previous: int | None) -> int:
        return x + (previous or 0)

    assert [1, 3, 6] == [count.invoke(n, thread_id="t") for n in (1, 2, 3)]
    assert 10 == count.invoke(10, thread_id="other")


def test_a_retried_body_does_not_redo_finished_tasks() -> None:
    """With a checkpointer the second attempt of the body takes finished steps from the journal."""
    calls: list[str] = []

    @task
    def step(name: str) -> str:
        calls.append(name)
        return name.upper()

    bodies = 0

    @entrypoint(InMemorySaver(), retry_policy=RetryPolicy(max_attempts=3))
    def main() -> list[str]:
        nonlocal bodies
        bodies += 1
        results = [step("a").result(), step("b").result(), step("a").result()]
        if bodies < 3:
            raise ConnectionError("body")
        return results

    with FakeClock():
        assert ["A", "B", "A"] == main.invoke(thread_id="t")
    assert (3, ["a", "b", "a"]) == (bodies, calls)


def test_a_failed_run_is_resumed_with_none() -> None:
    """invoke(None) on a failed thread reruns the body; finished steps are not done again."""
    calls: list[str] = []
    broken = True

    @task
    def step(name: str) -> str:
        calls.append(name)
        if name == "b" and broken:
            raise ConnectionError(name)
        return name.upper()

    @entrypoint(InMemorySaver())
    def main(prefix: str) -> str:
        return prefix + step("a").result() + step("b").result()

    with pytest.raises(ConnectionError):
        main.invoke("x", thread_id="t")
    broken = False

    assert "xAB" == main.invoke(None, thread_id="t")
    assert ["a", "b", "b"] == calls


def test_a_failure_the_body_survived_is_replayed_and_the_one_that_ended_it_is_not() -> None:
    """A body retry sees the caught failure again, without running it, and runs the escaping one again."""
    calls: list[str] = []
    healthy = False

    @task
    def primary() -> str:
        calls.append("primary")
        raise ConnectionError("primary")

    @task
    def fallback() -> str:
        calls.append("fallback")
        if not healthy:
            raise ConnectionError("fallback")
        return "ok"

    @entrypoint(InMemorySaver(), retry_policy=RetryPolicy(max_attempts=2, before_retry=lambda *_: heal()))
    def main() -> str:
        try:
            return primary().result()
        except ConnectionError:
            pass
        return fallback().result()

    def heal() -> None:
        nonlocal healthy
        healthy = True

    with FakeClock():
        assert "ok" == main.invoke(thread_id="t")
    assert ["primary", "fallback", "fallback"] == calls


def is_stopping() -> bool:
    """Whether the run that this is called in makes no further calls."""
    scope = current.get()
    assert scope is not None
    return scope.run.is_stopping


def test_a_run_waits_for_fire_and_forget_tasks() -> None:
    """Every started step has ended when invoke returns."""
    done: list[int] = []

    @task
    def slow(x: int) -> None:
        time.sleep(0.01)
        done.append(x)

    @entrypoint
    def main() -> str:
        for x in range(5):
            slow(x)
        return "returned"

    assert "returned" == main.invoke()
    assert [0, 1, 2, 3, 4] == sorted(done)


def test_an_async_run_waits_for_fire_and_forget_tasks() -> None:
    """And for those that they start when its body has returned, of either colour."""
    done: list[str] = []

    @task
    def last() -> None:
        done.append("last")

    @task
    async def slow() -> None:
        for _ in range(100):  # turns of the loop, in which the body returns
            await asyncio.sleep(0)
        last()
        done.append("slow")

    @entrypoint
    async def main() -> str:
        slow()
        return "returned"

    assert "returned" == main.invoke()
    assert ["last", "slow"] == sorted(done)


def test_a_failure_nobody_looked_at_is_reported_and_the_run_stays_ok(capfd: pytest.CaptureFixture[str]) -> None:
    """One ERROR line names the task; the outcome is the body's."""

    @task
    def forgotten() -> None:
        raise ValueError("nobody looks")

    @entrypoint
    def main() -> str:
        forgotten()
        return "ok"

    assert "ok" == main.invoke()
    flush()
    assert "forgotten failed" in capfd.readouterr().err


def test_an_uncaught_failure_cancels_what_is_queued() -> None:
    """Queued steps never run; a running sync step finishes."""
    ran: list[int] = []
    started = threading.Event()

    @task
    def work(x: int) -> None:
        started.set()
        until(is_stopping)
        ran.append(x)

    @entrypoint(max_concurrency=1)
    def main() -> None:
        for x in range(10):
            work(x)
        assert started.wait(30)
        raise RuntimeError("body")

    with pytest.raises(RuntimeError, match="body"):
        main.invoke()
    assert [0] == ran


def test_an_uncaught_failure_cancels_running_async_tasks() -> None:
    """Async bodies at work are cancelled and have ended when the run returns."""
    seen: list[str] = []

    @task
    async def sleepy() -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    @entrypoint
    async def main() -> None:
        sleepy()
        await until_async(lambda: seen)
        raise RuntimeError("body")

    with pytest.raises(RuntimeError, match="body"):
        main.invoke()
    assert ["begun", "cancelled"] == seen


def test_cancelling_ainvoke_cancels_its_tasks() -> None:
    """A cancelled run leaves no task behind."""
    seen: list[str] = []

    @task
    async def sleepy() -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("ended")

    @entrypoint
    async def workflow() -> None:
        await sleepy()

    async def main() -> int:
        before = len(asyncio.all_tasks())
        running = asyncio.create_task(workflow.ainvoke())
        await until_async(lambda: seen)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return len(asyncio.all_tasks()) - before

    assert 0 == asyncio.run(main())
    assert ["begun", "ended"] == seen


def test_awaiting_with_a_timeout_gives_up_on_a_sync_task_at_once() -> None:
    """asyncio.timeout around a running sync task does not wait for the thread."""
    release = threading.Event()

    @task
    def stuck() -> None:
        release.wait(60)

    @entrypoint
    async def workflow() -> float:
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await stuck()
        waited = time.monotonic() - before
        release.set()
        return waited

    assert workflow.invoke() < 30


CTRL_C = f"""
{LETS_BE_NUDGED}
import time
from holdfast import entrypoint, task

@task
def slow(x: int) -> None:
    time.sleep(60)

@entrypoint
def main() -> None:
    futures = [slow(x) for x in range(3)]
    print("started", flush=True)
    futures[0].result()

try:
    main.invoke()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_a_run_within_seconds() -> None:
    """SIGINT reaches the body; sync bodies that cannot be stopped do not hold the process."""
    process = subprocess.Popen([sys.executable, "-c", CTRL_C], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "started\n" == process.stdout.readline()
    before = time.monotonic()
    interrupt(process)
    rest = process.communicate(timeout=60)[0]

    assert "interrupted\n" == rest
    assert time.monotonic() - before < 30  # its tasks take a minute


def test_stream_yields_updates_custom_and_tasks() -> None:
    """The chunks of each mode, in order, for a list of modes."""

    @entrypoint
    def main(x: int) -> int:
        get_stream_writer()({"progress": 1})
        return double(x).result()

    assert [{"double": 4}, {"main": 4}] == [unqualify(chunk) for chunk in main.stream(2)]
    chunks = list(main.stream(2, stream_mode=["custom", "tasks"]))
    assert ["tasks", "custom", "tasks", "tasks", "tasks"] == [mode for mode, _ in chunks]
    assert 2 == chunks[0][1]["input"]
    assert {"progress": 1} == chunks[1][1]
    assert ((2,), {}) == chunks[2][1]["input"]
    assert [(4, None)] * 2 == [(chunk["result"], chunk["error"]) for _, chunk in chunks[3:]]


def unqualify(chunk: dict[str, Any]) -> dict[str, Any]:
    return {name.rsplit(".", 1)[-1]: value for name, value in chunk.items()}


def test_astream_yields_the_same() -> None:
    """The async twin."""

    @entrypoint
    async def workflow(x: int) -> int:
        return await double(x)

    async def main() -> list[Any]:
        return [unqualify(chunk) async for chunk in workflow.astream(2)]

    assert [{"double": 4}, {"workflow": 4}] == asyncio.run(main())


def test_astream_keeps_the_order_of_a_thread_that_is_quicker_than_the_loop() -> None:
    """What a task has told from its thread comes before what the body tells after it, though the loop had no time for it yet."""

    @entrypoint
    async def workflow(x: int) -> int:
        future = double(x)
        cf.wait([future])  # the loop stands still meanwhile
        return await future

    async def main() -> list[Any]:
        return [unqualify(chunk) async for chunk in workflow.astream(2)]

    assert [{"double": 4}, {"workflow": 4}] == asyncio.run(main())


def test_a_stream_raises_what_the_run_raised() -> None:
    """Chunks first, then the error."""

    @entrypoint
    def main() -> None:
        get_stream_writer()(1)
        raise ValueError("late")

    stream = main.stream(stream_mode="custom")
    assert 1 == next(stream)
    with pytest.raises(ValueError, match="late"):
        next(stream)


def test_leaving_a_stream_early_stops_the_run() -> None:
    """Closing the generator cancels what is queued and waits for the run."""
    ran: list[int] = []

    @task
    def step(x: int) -> int:
        ran.append(x)
        if x:
            until(is_stopping)
        return x

    @entrypoint(max_concurrency=1)
    def main() -> None:
        for future in [step(x) for x in range(50)]:
            future.result()

    for _ in main.stream():
        break
    assert len(ran) <= 2  # the second may have begun


def test_an_unknown_stream_mode_is_refused() -> None:
    """The text lists the modes."""

    @entrypoint
    def main() -> None:
        return None

    with pytest.raises(
        PolicyError, match=r"stream_mode='messages': choose .* 'updates', 'values', 'custom', 'tasks', 'checkpoints', 'debug'"
    ):
        list(main.stream(stream_mode="messages"))


def test_the_values_of_a_stream_are_the_result_once() -> None:
    """After the updates of each call."""

    @task
    def double(n: int) -> int:
        return 2 * n

    @entrypoint
    def main(n: int) -> int:
        return double(n).result() + 1

    expected = [("updates", {"double": 42}), ("updates", {"main": 43}), ("values", 43)]
    assert expected == list(main.stream(21, stream_mode=["updates", "values"]))


def test_batch_runs_in_parallel_and_in_order() -> None:
    """Results come in the order of the inputs; failures as exceptions when asked."""
    barrier = threading.Barrier(3)

    @entrypoint
    def main(x: int) -> int:
        barrier.wait(60)
        if x < 0:
            raise ValueError(x)
        return double(x).result()

    assert [2, 4, 6] == main.batch([1, 2, 3])
    results = main.batch([1, -1, 3], return_exceptions=True)
    assert [2, "ValueError", 6] == [results[0], type(results[1]).__name__, results[2]]
    with pytest.raises(ValueError, match="-1"):
        main.batch([1, -1, 3])
    assert [2, 4, 6] == asyncio.run(main.abatch([1, 2, 3]))


@pytest.mark.parametrize("limit", [0, -1, True, "4", 1.5])
def test_a_bad_max_concurrency_is_refused(limit: Any) -> None:
    """The value stands in the text."""
    with pytest.raises(PolicyError, match="max_concurrency"):
        entrypoint(max_concurrency=limit)(lambda: None)


def test_an_entrypoint_with_two_required_inputs_is_refused() -> None:
    """It takes one; the text says to pass a dict."""
    with pytest.raises(PolicyError, match="takes one input"):

        @entrypoint
        def main(a: int, b: int) -> None:
            return None


@pytest.mark.parametrize("bad", ["name", RetryPolicy()])
def test_what_is_no_checkpointer_is_refused(bad: Any) -> None:
    """Before there is a body; it is the first setting that can be given without its name."""
    with pytest.raises(PolicyError, match=r"checkpointer=.*@entrypoint\(name='x'\)"):
        entrypoint(bad)


@pytest.mark.parametrize("decorator", [entrypoint, resilient])
def test_what_is_no_cache_is_refused(decorator: Any) -> None:
    """A path, for example, or the class instead of an object of it."""
    with pytest.raises(PolicyError, match=r"cache='folder': give a cache, e.g. DiskCache\('folder'\)"):
        decorator(cache="folder")
    with pytest.raises(PolicyError, match=r"cache=InMemoryCache is the class: .* cache=InMemoryCache\(\)"):
        decorator(cache=InMemoryCache)


def test_a_cache_in_which_nothing_would_be_kept_is_refused() -> None:
    """Without a policy `resilient` caches nothing, and the silence would be taken for a cache that works."""
    with pytest.raises(PolicyError, match=r"does nothing without a cache_policy: add cache_policy=CachePolicy\(ttl='1h'\)"):
        resilient(cache=InMemoryCache())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"cache_policy": CachePolicy}, "cache_policy=CachePolicy is the class: give a CachePolicy, e.g. CachePolicy(ttl='1h')"),
        ({"retry_policy": RetryPolicy}, "retry_policy=RetryPolicy is the class: give a RetryPolicy or a sequence of them"),
    ],
)
def test_the_class_of_a_policy_is_refused(given: dict[str, Any], text: str) -> None:
    """By its short name."""
    with pytest.raises(PolicyError, match=re.escape(text)):
        resilient(**given)(print)


@pytest.mark.parametrize(("saver", "example"), [(InMemorySaver, "InMemorySaver()"), (SqliteSaver, "SqliteSaver('runs.db')")])
def test_the_class_of_a_checkpointer_is_refused(saver: Any, example: str) -> None:
    """It has all the methods, and none would work."""
    with pytest.raises(PolicyError, match=re.escape(f"checkpointer={saver.__name__} is the class: give an object of it, e.g. {example}")):
        entrypoint(saver)


def test_what_is_no_cache_cannot_be_purged() -> None:
    """Nor is the default one purged in its place."""

    @task(cache_policy=CachePolicy(ttl="1h"))
    def cached() -> None: ...

    with pytest.raises(PolicyError, match="cache='folder': give a cache"):
        cached.purge(cache="folder")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_file_in_place_of_a_checkpointer_leads_to_the_saver_for_it() -> None:
    """Text and path."""
    for path in ("runs.db", Path("runs.db")):
        with pytest.raises(PolicyError, match=re.escape("give a checkpointer, e.g. SqliteSaver('runs.db')")):
            entrypoint(checkpointer=path)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_method_is_no_entrypoint() -> None:
    """It would be given its input for the object."""
    with pytest.raises(PolicyError, match=r"Api\.run is a method, and an entrypoint is invoked on no object: make it a function"):

        class Api:
            @entrypoint
            def run(self) -> None: ...


@pytest.mark.parametrize("config", ["t", 2, {"thread_id": "t"}, {"configurable": "t"}])
def test_a_config_that_is_none_is_refused(config: Any) -> None:
    """A second input, or a thread id at the wrong place, is not passed over in silence."""
    with pytest.raises(PolicyError, match="thread_id='t'"):
        entrypoint(lambda x: x).invoke(1, config)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"configurabel": {"thread_id": "t"}}, "config has a key 'configurabel': did you mean 'configurable'?"),
        ({"max_concurency": 1}, "config has a key 'max_concurency': did you mean 'max_concurrency'?"),
        ({"configurable": {"threadId": "t"}}, "configurable has a key 'threadId': did you mean 'thread_id'?"),
        ({"configurable": {"thread-id": "t"}}, "configurable has a key 'thread-id': did you mean 'thread_id'?"),
    ],
)
def test_a_misspelled_key_of_a_config_is_refused(config: Any, text: str) -> None:
    """The run would belong to no thread, and nobody would see it."""
    with pytest.raises(PolicyError, match=re.escape(text)):
        entrypoint(lambda x: x).invoke(1, config)


def test_keys_of_the_users_own_are_handed_on() -> None:
    """And all that LangGraph has."""
    config = {"tags": ["a"], "recursion_limit": 25, "mine": 1, "configurable": {"user": "ada", "thread_id": "t", "threadid": 2}}

    got = entrypoint(lambda x: get_config()).invoke(1, config)
    assert config == {**got, "configurable": {key: got["configurable"][key] for key in config["configurable"]}}


@pytest.mark.parametrize("inputs", [5, "abc", {"a": 1}, None])
def test_a_batch_of_what_is_no_list_is_refused(inputs: Any) -> None:
    """A single input in place of the list, in both colours."""
    main = entrypoint(name="main")(lambda x: x)
    for call in (main.batch, lambda given: asyncio.run(main.abatch(given))):
        with pytest.raises(PolicyError, match=r"inputs=.*give a list with one input for each run, e\.g\. main\.batch\(\["):
            call(inputs)


def test_a_batch_on_a_single_thread_is_refused() -> None:
    """Its runs would be in each other's way, or not, as chance has it; without a checkpointer the id is a name only."""
    config: dict[str, Any] = {"configurable": {"thread_id": "t"}}
    main = entrypoint(InMemorySaver(), name="main")(lambda x: x)
    for call in (main.batch, lambda *given: asyncio.run(main.abatch(*given))):
        with pytest.raises(PolicyError, match=r"config names thread 't' for 2 inputs.*give one config for each input"):
            call([1, 2], config)
    assert [3] == main.batch([3], config)
    assert [1, 2] == entrypoint(lambda x: x).batch([1, 2], config)


def test_a_batch_takes_any_sequence() -> None:
    """Not lists alone."""
    assert [0, 1, 2] == entrypoint(lambda x: x).batch(range(3))


def test_two_threads_for_one_run_are_refused() -> None:
    """Neither of them wins in silence; the same one twice is one."""
    main = entrypoint(lambda x: x)
    config = {"configurable": {"thread_id": "a"}}

    with pytest.raises(PolicyError, match=r"thread_id='b' and .*'thread_id': 'a'.* name two threads: give one of them"):
        main.invoke(1, config, thread_id="b")
    assert 1 == main.invoke(1, config, thread_id="a")


def _two_of_one_name(checkpointer: Any) -> Any:
    first, second = task(name="fetch")(lambda: 1), task(name="fetch")(lambda: 2)

    @entrypoint(checkpointer=checkpointer)
    def main() -> list[int]:
        return [first().result(), second().result()]

    return main


def test_two_functions_of_one_name_cannot_share_a_journal() -> None:
    """The text says where both are and what to do."""
    here = rf"<lambda> \({re.escape(__file__)}:\d+\)"
    with pytest.raises(PolicyError, match=rf"{here} and .*{here} are both tasks named 'fetch' in one run.*name="):
        _two_of_one_name(InMemorySaver()).invoke()


def test_without_a_journal_two_functions_may_have_one_name() -> None:
    """Nothing is looked up by it."""
    assert [1, 2] == _two_of_one_name(None).invoke()


def test_the_users_error_has_at_most_two_frames_of_ours_async() -> None:
    """The same for ``async def``, where asyncio's own frames may stand between."""

    @task
    async def fail() -> None:
        raise KeyError("boom")

    @entrypoint
    async def main() -> None:
        await fail()

    with pytest.raises(KeyError) as caught:
        asyncio.run(main.ainvoke())
    ours = [entry.name for entry in caught.traceback if "/holdfast/" in str(entry.path) and "/tests/" not in str(entry.path)]
    assert len(ours) <= 2, ours


def test_entrypoints_nest() -> None:
    """An entrypoint may be invoked inside a task and inside another entrypoint."""

    @entrypoint
    def inner(x: int) -> int:
        return double(x).result()

    @task
    def through(x: int) -> int:
        return inner.invoke(x)

    @entrypoint
    def outer(x: int) -> list[int]:
        return [inner.invoke(x), through(x).result(), double(x).result()]

    assert [6, 6, 6] == outer.invoke(3)
