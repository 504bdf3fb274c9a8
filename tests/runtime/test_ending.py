"""How runs end: cancelled, interrupted, left early, by a failure, with calls still on their way; and what is left afterwards: nothing."""

from __future__ import annotations

import asyncio
import errno
import gc
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast import InMemorySaver, NotSerializable, RetryPolicy, StoreError, TaskContextError, entrypoint, events, get_stream_writer, task
from holdfast.runtime import _ports, background
from holdfast.runtime.dispatch import workers
from holdfast.runtime.run import Run
from holdfast.testing import recorded
from tests.waiting import LETS_BE_NUDGED, interrupt, until, until_async


@task
def double(x: int) -> int:
    return 2 * x


@task
async def triple(x: int) -> int:
    await asyncio.sleep(0)
    return 3 * x


# -- cancellation -----------------------------------------------------------------------------------------------------------------------


def test_cancelling_ainvoke_of_a_sync_body_ends_its_tasks_and_waits_for_it(opened: list[Run], rules: Any) -> None:
    """The body cannot be stopped, but what it waits for can: it ends, and nothing goes on behind the caller's back."""
    seen: list[str] = []
    begun, waiting = threading.Event(), threading.Event()

    @task
    async def sleepy() -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            seen.append("task ended")

    @entrypoint
    def main() -> None:
        future = sleepy()
        try:
            waiting.set()
            future.result()
        finally:
            seen.append("body ended")

    async def cancel() -> None:
        running = asyncio.create_task(main.ainvoke())
        await until_async(lambda: begun.is_set() and waiting.is_set())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert {asyncio.current_task()} == asyncio.all_tasks()

    asyncio.run(cancel())
    assert ["task ended", "body ended"] == seen
    assert "cancelled" == opened[0].facts.outcome
    until(lambda: not opened[0]._open)


def test_a_body_that_does_not_end_holds_a_cancelled_run_for_a_moment_only(opened: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Afterwards its task calls are refused: the run is over."""
    monkeypatch.setattr("holdfast.runtime._ports.DRAIN_SECONDS", 0.02)
    begun, release, refused = threading.Event(), threading.Event(), threading.Event()

    @entrypoint
    def main() -> None:
        begun.set()
        release.wait(60)
        try:
            double(1)
        except TaskContextError:
            refused.set()

    async def cancel() -> None:
        running = asyncio.create_task(main.ainvoke())
        await until_async(begun.is_set)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    before = time.monotonic()
    asyncio.run(cancel())
    waited = time.monotonic() - before
    release.set()

    assert refused.wait(30)
    assert waited < 30


def test_a_cancelled_task_that_waits_for_a_slot_gives_up_its_place(opened: list[Run]) -> None:
    """The slot that comes later goes to the next in line, not to nobody."""
    failures = 1

    @task(retry_policy=[])
    async def hold(gate: asyncio.Event) -> None:
        await gate.wait()

    @entrypoint(max_concurrency=1)
    async def main() -> int:
        @task(retry_policy=RetryPolicy(initial_interval=0.001, max_interval=0.001))
        async def flaky() -> None:
            nonlocal failures
            if failures:
                failures -= 1
                raise ConnectionError

        gate = asyncio.Event()
        waiter, holder = flaky(), hold(gate)
        await until_async(lambda: not failures and opened[0].async_slots._line)  # flaky has failed, waited, and is in line behind hold
        waiter.cancel()
        gate.set()
        await holder
        return await asyncio.wait_for(triple(3), 30)

    assert 9 == asyncio.run(main.ainvoke())


def test_a_ctrl_c_that_comes_in_line_for_a_slot_gives_up_the_place(opened: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """A body may catch it and tidy up with a task: the slot that comes later goes to that one, not to nobody."""
    both_called, release = threading.Event(), threading.Event()

    class Interrupted(_ports._Turn):
        def __init__(self) -> None:
            super().__init__()
            self.future.result = self.interrupted  # type: ignore[method-assign]

        def interrupted(self, timeout: object = None) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(_ports, "_Turn", Interrupted)

    @task(retry_policy=RetryPolicy(initial_interval=0.001, max_interval=0.001))
    def flaky() -> None:
        both_called.wait(30)
        raise ConnectionError

    @task
    def hold() -> None:
        release.wait(60)

    @entrypoint(max_concurrency=1)
    def main() -> int:
        waiting = flaky()
        hold()
        both_called.set()  # when flaky has failed, hold has the slot
        with pytest.raises(KeyboardInterrupt):
            waiting.result()
        release.set()
        return double(3).result(30)

    assert 6 == main.invoke()
    assert 0 == opened[0].sync_slots.used


def test_a_closed_coroutine_does_not_wait() -> None:
    """`coroutine.close()` on a run that waits for its tasks ends it without a word."""

    async def closing() -> None:
        @task
        async def sleepy() -> None:
            await asyncio.sleep(60)

        @entrypoint
        async def main() -> None:
            await sleepy()

        coroutine = main.ainvoke()
        coroutine.send(None)
        coroutine.close()
        await until_async(lambda: {asyncio.current_task()} == asyncio.all_tasks())

    asyncio.run(closing())


def test_many_runs_on_one_loop_do_not_disturb_one_another(rules: Any) -> None:
    """A hundred concurrent runs, a third of them cancelled: each of the others has its result."""

    @entrypoint(max_concurrency=2)
    async def main(x: int) -> int:
        return await triple(x) + await double(x) + sum(await asyncio.gather(*[double(i) for i in range(3)]))

    async def many() -> list[Any]:
        running = [asyncio.create_task(main.ainvoke(x)) for x in range(100)]
        await asyncio.sleep(0)
        for each in running[::3]:
            each.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
        assert {asyncio.current_task()} == asyncio.all_tasks()
        return results

    results = asyncio.run(many())
    assert [5 * x + 6 for x in range(100) if x % 3] == [result for x, result in enumerate(results) if x % 3]
    assert {asyncio.CancelledError} == {type(result) for result in results[::3]}


# -- failures ---------------------------------------------------------------------------------------------------------------------------


def test_a_task_may_start_tasks_after_the_body_has_returned() -> None:
    """The run waits for the whole chain."""
    seen: list[int] = []

    @task
    def link(n: int) -> None:
        time.sleep(0.002)
        seen.append(n)
        if n:
            (link if n % 2 else alink)(n - 1)

    @task
    async def alink(n: int) -> None:
        await asyncio.sleep(0.002)
        seen.append(n)
        if n:
            link(n - 1)

    @entrypoint
    def main() -> str:
        link(9)
        return "returned"

    assert "returned" == main.invoke()
    assert list(range(9, -1, -1)) == seen
    assert "returned" == asyncio.run(main.ainvoke())


def test_a_call_in_a_run_that_has_failed_is_a_cancelled_future(opened: list[Run]) -> None:
    """A body that is still at work may go on making calls: none of them begins."""
    begun, made = threading.Event(), list[Any]()

    @task
    def late() -> None:
        pytest.fail("it has run")

    @task
    def work() -> None:
        begun.set()
        until(lambda: opened[0].is_stopping)
        made.append(late())

    @entrypoint
    def main() -> None:
        work()
        assert begun.wait(10)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        main.invoke()
    assert [True] == [future.cancelled() for future in made]


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_lost_failure_of_any_kind_is_reported(error: type[BaseException]) -> None:
    """Exceptions that are no `Exception` as well."""

    @task
    def forgotten() -> None:
        raise error("lost")

    @entrypoint
    def main() -> str:
        forgotten()
        return "ok"

    with recorded() as recording:
        assert "ok" == main.invoke()
    assert [("holdfast.task.uncollected_failure", error.__name__)] == [(note["event"], note["error_type"]) for note in recording.notes]


def test_a_failure_after_it_was_given_up_is_nobodys() -> None:
    """Whoever cancelled a running sync task on a loop does not hear of it again."""
    release = threading.Event()

    @task
    def stuck() -> None:
        release.wait(10)
        raise ValueError("late")

    @entrypoint
    async def main() -> None:
        future = stuck()
        await until_async(future.running)
        assert future.cancel()
        release.set()

    with recorded() as recording:
        main.invoke()
    assert [] == recording.notes


def test_abatch_waits_for_every_run_before_it_raises() -> None:
    """As `batch` does: no run goes on after the call."""
    ended: list[int] = []

    @entrypoint
    async def main(x: int) -> None:
        if x == 0:
            raise ValueError("first")
        await asyncio.sleep(0.01)
        ended.append(x)

    async def run() -> None:
        with pytest.raises(ValueError, match="first"):
            await main.abatch([0, 1, 2])
        assert {asyncio.current_task()} == asyncio.all_tasks()

    asyncio.run(run())
    assert [1, 2] == sorted(ended)


def test_a_saver_that_fails_at_the_end_is_the_runs_error() -> None:
    """Nothing is returned that is not recorded; after a failure the failure stays, with a note."""

    class Full(InMemorySaver):
        def commit(self, commits: Any, /) -> Any:
            if any(commit.run is not None and commit.run.status != "running" for commit in commits):
                raise StoreError("disk full")
            return super().commit(commits)

    @entrypoint(Full())
    def main(fail: bool) -> str:
        if fail:
            raise KeyError("mine")
        return "ok"

    with recorded() as recording:
        with pytest.raises(OSError, match="disk full"):
            main.invoke(False)
        with pytest.raises(KeyError, match="mine") as caught:
            main.invoke(True)
    assert ["holdfast: nor could the end of the run be recorded: StoreError: disk full"] == caught.value.__notes__
    assert ["error", "error"] == [fact["outcome"] for fact in recording.facts if fact["kind"] == "run"]


def test_a_refused_invocation_leaves_the_thread_as_it_was() -> None:
    """Wrong input, an input that cannot be kept, or a running loop: the last run's steps are still there to be resumed."""
    saver = InMemorySaver()
    broken = True

    @entrypoint(saver)
    async def main(x: int) -> int:
        value = await triple(x)
        if broken:
            raise ConnectionError
        return value

    with pytest.raises(ConnectionError):
        main.invoke(2, thread_id="t")
    saved = saver.latest("t")

    async def in_loop() -> None:
        with pytest.raises(RuntimeError, match="ainvoke"):
            main.invoke(5, thread_id="t")

    asyncio.run(in_loop())
    with pytest.raises(TypeError):
        main.invoke(thread_id="t")
    with pytest.raises(TypeError):
        main.invoke(threading.Lock(), thread_id="t")

    assert saved == saver.latest("t")
    assert saved is not None
    assert 1 == len(saver.steps(saved.run_id))
    broken = False
    assert 6 == main.invoke(None, thread_id="t")


def test_a_task_for_which_there_is_no_thread_fails_with_the_systems_error(monkeypatch: pytest.MonkeyPatch, opened: list[Run]) -> None:
    """However many are queued; the run ends, and no slot is lost."""
    counts: list[int] = []

    @entrypoint(max_concurrency=2)
    def main() -> list[str]:
        patch.setattr(threading.Thread, "start", _no_more_threads)
        patch.setattr(workers, "_idle", deque())  # so no thread of an earlier test leaves meanwhile, either
        counts.append(workers.count)
        futures = [double(x) for x in range(2000)]
        counts.append(workers.count)
        patch.undo()
        return sorted({type(future.exception()).__name__ for future in futures})

    with pytest.MonkeyPatch.context() as patch:
        assert ["RuntimeError"] == main.invoke()
    assert 0 == opened[0].sync_slots.used
    assert counts[0] == counts[1]


def test_an_async_call_fails_for_which_no_loop_can_be_had(opened: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it at the end of the run, and the loop that got no thread is closed."""
    made: list[asyncio.AbstractEventLoop] = []
    new_event_loop = asyncio.new_event_loop
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: (made.append(new_event_loop()), made[-1])[1])
    monkeypatch.setattr(background, "_loops", [])

    @task
    async def later(x: int) -> int:
        return x

    @entrypoint
    def main() -> list[BaseException | None]:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", _no_more_threads)
            return [later(x).exception() for x in range(2)]

    assert ["can't start new thread"] * 2 == [str(error) for error in main.invoke()]
    assert not opened[0]._open
    assert [True, True] == [loop.is_closed() for loop in made]


@pytest.mark.parametrize("what", ["loop", "asyncio"])
def test_an_async_call_fails_for_whose_loop_too_many_files_are_open(what: str, opened: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends with that, and the next one has its loop."""
    monkeypatch.setattr(background, "_loops", [])

    @task
    async def later(x: int) -> int:
        return x

    @entrypoint
    def main(files: str) -> int:
        with monkeypatch.context() as patch:
            if files == "none" and what == "loop":
                patch.setattr(asyncio, "new_event_loop", _no_more_files)
            elif files == "none":  # which is read for the first time
                patch.delitem(sys.modules, "asyncio")
                patch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=_no_more_files), *sys.meta_path])
            return later(1).result()

    with pytest.raises(RuntimeError, match="Too many open files"):
        main.invoke("none")
    assert not opened[0]._open
    assert 1 == main.invoke("some")


def _no_more_files(*_: object) -> asyncio.AbstractEventLoop:
    raise OSError(errno.EMFILE, "Too many open files")


def _no_more_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


# -- streams ----------------------------------------------------------------------------------------------------------------------------


def test_an_error_in_the_reader_of_a_stream_stops_the_run(opened: list[Run]) -> None:
    """The reader's own error comes out; the run is cancelled and has ended."""

    @entrypoint(max_concurrency=1)
    def main() -> None:
        for future in [double(x) for x in range(100)]:
            get_stream_writer()(1)
            future.result()

    def read() -> None:
        with_stream = main.stream(stream_mode="custom")
        try:
            for _ in with_stream:
                raise KeyError("reader")
        finally:
            with_stream.close()  # type: ignore[attr-defined]

    with pytest.raises(KeyError, match="reader"):
        read()
    assert not opened[0]._open


def test_a_sync_stream_and_a_batch_on_a_loop_block_it_and_end(colour: Any) -> None:
    """As `invoke` does there; async tasks of such runs go on elsewhere, also below a body on the background loop."""

    @entrypoint
    @colour.define
    def main(x: int) -> Any:
        return triple(x)

    @task
    async def nested(x: int) -> list[Any]:
        return [*main.stream(x), *main.batch([x])]

    @entrypoint
    def outer(x: int) -> list[Any]:
        return nested(x).result()

    async def on_loop() -> list[Any]:
        return [*main.stream(1), *main.batch([1, 2]), *outer.invoke(3)]

    expected = [{"triple": 3}, {main.plan.name: 3}, 3, 6, {"triple": 9}, {main.plan.name: 9}, 9]
    assert expected == asyncio.run(on_loop())


def test_runs_nest_below_the_background_loop() -> None:
    """Async tasks that invoke sync runs whose async tasks invoke sync runs: each level has a loop that is not blocked."""

    @entrypoint
    def level(n: int) -> int:
        return (down if n % 2 else around)(n).result()

    @task
    async def down(n: int) -> int:
        await asyncio.sleep(0)
        return level.invoke(n - 1) + 1

    @task
    def around(n: int) -> int:
        return level.invoke(n - 1) + 1 if n else triple(0).result()

    assert 9 == level.invoke(9)


def test_leaving_an_async_stream_early_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The run is cancelled, whatever it raises then; asyncio reports no forgotten exception."""
    seen: list[str] = []

    @entrypoint
    async def main() -> None:
        get_stream_writer()(1)
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("ended")
            raise ValueError("while it is cancelled")

    async def read() -> None:
        stream = main.astream(stream_mode="custom")
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        assert ["ended"] == seen

    gc.collect()  # what earlier tests have left may complain now
    caplog.clear()
    asyncio.run(read())
    gc.collect()
    assert [] == caplog.records


def test_an_async_stream_whose_run_has_failed_may_be_left(opened: list[Run]) -> None:
    """A failure that nobody reads any more is not reported by asyncio either."""

    @entrypoint
    async def main() -> None:
        get_stream_writer()(1)
        raise ValueError("unread")

    async def read() -> None:
        stream = main.astream(stream_mode="custom")
        async for _ in stream:
            await until_async(lambda: opened[0].facts.outcome)
            break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(read())
    gc.collect()


class Deaf:
    """An observer that keeps nothing but how runs have ended."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def run_ended(self, run: Any) -> None:
        self.errors.append(repr(run.error))

    def __getattr__(self, name: str) -> Any:
        return lambda _: None


def test_an_observed_run_that_has_failed_goes_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record names the error, whose frames hold the run: that would be a circle, and keep the input until the garbage collector comes."""

    class Input:
        pass

    @task
    def fail(given: Input) -> None:
        raise ValueError("no")

    @entrypoint
    def main(given: Input) -> None:
        fail(given).result()

    observer, given = Deaf(), Input()
    monkeypatch.setattr(events, "observer", observer)
    gone = weakref.ref(given)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ValueError, match="no"):
            main.invoke(given)
        del given
        assert gone() is None
    finally:
        gc.enable()
    assert ["ValueError('no')"] == observer.errors


# -- loops and threads ------------------------------------------------------------------------------------------------------------------


def test_two_hundred_event_loops_in_turn() -> None:
    """Nothing is kept of a loop that is closed."""

    @entrypoint
    async def main(x: int) -> int:
        return await triple(x) + await double(x)

    assert [5 * x for x in range(200)] == [asyncio.run(main.ainvoke(x)) for x in range(200)]


def test_the_background_loop_serves_many_threads(opened: list[Run]) -> None:
    """Sync runs in several threads share it."""

    @entrypoint
    def main(x: int) -> int:
        return sum(future.result() for future in [triple(x + i) for i in range(20)])

    results: dict[int, int] = {}
    threads = [threading.Thread(target=lambda x=x: results.update({x: main.invoke(x)})) for x in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {x: 3 * (20 * x + 190) for x in range(12)} == results


def test_entrypoints_of_both_colours_nest_in_tasks_of_both_colours() -> None:
    """A run inside a run inside a run, on loops, threads and the background loop."""

    @entrypoint
    def inner(x: int) -> int:
        return double(x).result() + triple(x).result()

    @entrypoint
    async def ainner(x: int) -> int:
        return await double(x) + await triple(x)

    @task
    def through(x: int) -> int:
        return inner.invoke(x) + ainner.invoke(x)

    @task
    async def athrough(x: int) -> int:
        return await inner.ainvoke(x) + await ainner.ainvoke(x) + inner.invoke(x)

    @entrypoint(max_concurrency=1)
    def outer(x: int) -> int:
        return through(x).result() + athrough(x).result() + inner.invoke(x) + double(x).result()

    @entrypoint(max_concurrency=1)
    async def aouter(x: int) -> int:
        return await through(x) + await athrough(x) + await ainner.ainvoke(x) + await double(x)

    assert [32, 32] == [outer.invoke(1), aouter.invoke(1)]
    assert [32, 32] == [asyncio.run(outer.ainvoke(1)), asyncio.run(aouter.ainvoke(1))]


@pytest.mark.parametrize("limit", [1, None])
def test_recursion_of_tasks_is_not_bounded_by_the_stack(limit: int | None) -> None:
    """Three hundred levels of sync, async and mixed tasks, whose own bodies use the stack too."""

    @task
    def deep(n: int) -> int:
        def climb(frames: int) -> int:
            return climb(frames - 1) if frames else (adeep if n % 3 == 0 else deep)(n - 1).result() + 1

        return climb(40) if n else 0

    @task
    async def adeep(n: int) -> int:
        return await deep(n - 1) + 1 if n else 0

    @entrypoint(max_concurrency=limit)
    def main() -> int:
        return deep(300).result()

    assert 300 == main.invoke()
    assert 300 == asyncio.run(main.ainvoke())


# -- signals and exit -------------------------------------------------------------------------------------------------------------------


PROGRAM = f"""
{LETS_BE_NUDGED}
import asyncio, logging, os, sys, threading, time
from holdfast import NodeTimeoutError, RetryPolicy, entrypoint, resilient, task
from holdfast.runtime import _ports, background

_ports.DRAIN_SECONDS = 0.2
logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a callback took long says something about the machine
at_work = []

def say(text):
    os.write(1, (text + "\\n").encode())  # in one piece: the runs of a batch speak at once
    at_work.append(text)

@task
def slow(x):
    at_work.append(x)
    time.sleep(x)

@task
async def aslow(x):
    at_work.append(x)
    await asyncio.sleep(x)

@entrypoint
def main(x):
    futures = [slow(x), aslow(x)]
    say("ready")
    futures[0].result()

@entrypoint
def drain(x):
    slow(x), aslow(x)
    threading.Timer(0.05, say, ("ready",)).start()

@entrypoint
def retrying(x):
    @task(retry_policy=RetryPolicy(initial_interval=600, max_interval=600, jitter=False))
    def fail():
        say("ready")
        raise ConnectionError
    fail().result()

@entrypoint
async def amain(x):
    say("ready")
    await aslow(x)

@resilient(timeout=900)
def timed(x):
    say("ready")
    time.sleep(x)

def interrupted(job):
    before = time.monotonic()
    try:
        job()
    except KeyboardInterrupt:
        say("interrupted")
"""

CTRL_C = {
    "a body that waits for tasks": "main.invoke(600)",
    "a drain": "drain.invoke(600)",
    "a backoff": "retrying.invoke(1)",
    "an async body": "amain.invoke(600)",
    "a batch": "main.batch([600, 600])",
    "a stream": "list(main.stream(600))",
    "a timed call": "timed(600)",
    "an async stream": "list(amain.stream(600))",
}


@pytest.mark.parametrize("what", CTRL_C)
def test_ctrl_c_ends_it_within_seconds(what: str) -> None:
    """Whatever the main thread waits in; and the process exits at once although threads are still at work."""
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", f"{PROGRAM}\ninterrupted(lambda: {CTRL_C[what]})"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    time.sleep(0.1)  # most are where they wait by then
    before = time.monotonic()
    interrupt(process)
    out, errors = process.communicate(timeout=300)

    assert "interrupted" in out.splitlines()  # the second run of a batch may get ready after it
    assert "" == "".join(line for line in errors.splitlines() if "holdfast WARNING: fail attempt 1" not in line)
    assert time.monotonic() - before < 25  # what it does would take ten minutes


DRAINS_FOR_LONG = """
_ports.DRAIN_SECONDS = 600
drain_sync = _ports.drain_sync

def told(*args):
    say("waiting")
    return drain_sync(*args)

_ports.drain_sync = told

@entrypoint
def main(x):
    futures = [slow(x), aslow(x)]
    while at_work.count(x) < 2:  # else this thread may do the work itself, and have nothing to wait for after the first Ctrl-C
        time.sleep(0.001)
    say("ready")
    futures[0].result()
"""


def test_a_second_ctrl_c_leaves_at_once() -> None:
    """The wait for bodies that cannot be stopped is itself interrupted."""
    program = f"{PROGRAM}\n{DRAINS_FOR_LONG}\ninterrupted(lambda: main.invoke(600))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    interrupt(process)
    assert "waiting\n" == process.stdout.readline()
    process.send_signal(signal.SIGINT)

    assert "interrupted\n" == process.communicate(timeout=300)[0]


EXIT = """
aslow.invoke(0.01)                                # the background loop runs
@resilient(timeout=0.05, retry_policy=[])
def stuck():
    time.sleep(600)
try:
    stuck()                                       # its thread goes on
except NodeTimeoutError:
    pass
threading.Thread(target=main.invoke, args=(600,), daemon=True).start()
while sorted(map(str, at_work)) != ["0.01", "600", "600", "ready"]:  # both tasks, and the body
    time.sleep(0.001)
"""


def test_the_interpreter_exits_promptly_and_silently() -> None:
    """With a background loop, an abandoned attempt and a run in a daemon thread, all at work; warnings are errors."""
    before = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM + EXIT], capture_output=True, text=True, timeout=300, check=False
    )

    assert ("ready\n", "", 0) == (done.stdout, done.stderr, done.returncode)
    assert time.monotonic() - before < 30  # what is at work would take ten minutes


@pytest.mark.parametrize("place", ["inside a list", "from a task"])
def test_a_final_that_nobody_unpacks_says_where_it_belongs(place: str) -> None:
    """It is no value: the usual advice, to name or register its class, would lead nowhere."""

    @task
    def tell() -> Any:
        return entrypoint.final(value=1, save=2)

    @entrypoint(InMemorySaver())
    def main(_: int) -> Any:
        return [entrypoint.final(value=1, save=2)] if place == "inside a list" else tell().result()

    with pytest.raises(NotSerializable, match=r"is an entrypoint\.final,.*return it by itself from the entrypoint's body") as caught:
        main.invoke(1, thread_id="t")

    assert "register" not in str(caught.value)


def test_a_callback_that_leaves_does_not_keep_the_run_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """SystemExit out of a callback ends the thread it is called on, and nothing else: the run waited for that call for ever."""
    outcome: list[Any] = []
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", lambda said: told.put(said.exc_type))

    def leave(_: Any) -> None:
        raise SystemExit

    @task
    def slow() -> int:
        is_watched.wait(10)
        return 1

    @entrypoint
    def main() -> int:
        future = slow()
        future.add_done_callback(leave)
        is_watched.set()
        return 2

    is_watched = threading.Event()
    runner = threading.Thread(target=lambda: outcome.append(main.invoke()), daemon=True)
    runner.start()
    runner.join(10)

    assert [2] == outcome
    assert told.get(timeout=30) is SystemExit
