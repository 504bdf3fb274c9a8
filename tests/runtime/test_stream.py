"""The stream modes tasks, checkpoints and debug: every start has its end, and a checkpoint is what get_state shows."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import CachePolicy, Command, DiskCache, InMemoryCache, InMemorySaver, RetryPolicy, entrypoint, interrupt, task
from holdfast._checkpoints import Checkpoints
from holdfast._runs import Options, open_run
from holdfast.errors import PolicyError, StoreError
from holdfast.runtime.stream import MODES
from holdfast.testing import FakeClock, captured

if TYPE_CHECKING:
    from collections.abc import Callable

Chunk = dict[str, Any]


@pytest.fixture
def stream(colour: Any) -> Callable[..., list[Any]]:
    """All chunks of a stream, sync or async, with the error that ended it as the last one."""

    async def collect(main: Any, *args: Any, **kwargs: Any) -> list[Any]:
        chunks: list[Any] = []
        try:
            async for chunk in main.astream(*args, **kwargs):
                chunks.append(chunk)  # noqa: PERF401 - those before an error count
        except Exception as error:
            chunks.append(error)
        return chunks

    def collect_sync(main: Any, *args: Any, **kwargs: Any) -> list[Any]:
        chunks: list[Any] = []
        try:
            chunks.extend(main.stream(*args, **kwargs))
        except Exception as error:
            chunks.append(error)
        return chunks

    return (lambda *args, **kwargs: asyncio.run(collect(*args, **kwargs))) if colour.is_async else collect_sync


def kinds(chunks: list[Chunk]) -> list[str]:
    """What each chunk of the mode ``tasks`` is, and of which task."""
    return [f"{chunk['name'].rsplit('.', 1)[-1]} {kind(chunk)}" for chunk in chunks]


def kind(chunk: Chunk) -> str:
    """By its keys, as a reader would."""
    return "start" if "input" in chunk else "retry" if "retry_in" in chunk else "end"


@task
def double(n: int) -> int:
    """A task."""
    return 2 * n


def test_the_entrypoint_has_a_start_and_an_end(stream: Any) -> None:
    """As in LangGraph: the first and the last chunk, with the input as it was given, and an id of their own."""

    @entrypoint
    def main(n: int) -> int:
        return double(n).result() + 1

    chunks = stream(main, 20, stream_mode="tasks")
    assert ["main start", "double start", "double end", "main end"] == kinds(chunks)
    assert (20, ("__start__",)) == (chunks[0]["input"], chunks[0]["triggers"])
    assert (((20,), {}), ("call",)) == (chunks[1]["input"], chunks[1]["triggers"])
    assert [40, 41] == [chunk["result"] for chunk in chunks[2:]]
    outer, inner = chunks[0]["id"], chunks[1]["id"]
    assert [outer, inner, inner, outer] == [chunk["id"] for chunk in chunks]
    assert outer != inner


def test_equal_calls_have_ids_of_their_own(saver: Any, stream: Any) -> None:
    """With a checkpointer and without."""
    for checkpointer in (saver, None):

        @entrypoint(checkpointer)
        def main() -> list[int]:
            return [future.result() for future in [double(1) for _ in range(20)]]

        chunks = stream(main, stream_mode="tasks")
        assert 21 == len({chunk["id"] for chunk in chunks})
        assert 42 == len(chunks)


def test_a_replayed_task_has_a_start_and_an_end(saver: Any, stream: Any) -> None:
    """With the ids it had when it was done; it is no update again."""
    is_up: list[bool] = []

    @entrypoint(saver)
    def main() -> int:
        value = double(1).result()
        if not is_up:
            raise ConnectionError("down")
        return value

    first = stream(main, stream_mode="tasks", thread_id="t")
    is_up.append(True)
    again = stream(main, None, stream_mode=["tasks", "updates"], thread_id="t")

    assert isinstance(first.pop(), ConnectionError)
    tasks = [chunk for mode, chunk in again if mode == "tasks"]
    assert ["main start", "double start", "double end", "main end"] == kinds(first) == kinds(tasks)
    assert [chunk["id"] for chunk in first] == [chunk["id"] for chunk in tasks]
    assert (2, None, "ConnectionError('down')") == (tasks[2]["result"], tasks[2]["error"], first[3]["error"])
    assert [{main.plan.name: 2}] == [chunk for mode, chunk in again if mode == "updates"]


def test_retries_appear(stream: Any) -> None:
    """Between the start and the end of what is retried, with the attempt, its error and the wait; of a body too."""
    tried: list[int] = []

    @task(retry_policy=RetryPolicy(max_attempts=3, jitter=False))
    def flaky(n: int) -> int:
        tried.append(n)
        if len(tried) < 3:
            raise ConnectionError(f"down {len(tried)}")
        return n

    @entrypoint(retry_policy=RetryPolicy(retry_on_result=lambda value: value < 2, initial_interval=4, jitter=False))
    def main() -> int:
        return flaky(1).result() + len(tried) - 3

    with captured(), FakeClock():
        chunks = stream(main, stream_mode="tasks")

    expected = [
        "main start",
        "flaky start",
        "flaky retry",
        "flaky retry",
        "flaky end",
        "main retry",
        "flaky start",
        "flaky end",
        "main end",
    ]
    assert expected == kinds(chunks)
    retries = [(chunk["attempt"], chunk["error"], chunk["retry_in"]) for chunk in chunks if kind(chunk) == "retry"]
    assert [(1, "ConnectionError('down 1')", 0.5), (2, "ConnectionError('down 2')", 1.0), (1, None, 4.0)] == retries


def test_a_question_is_no_error(saver: Any, stream: Any) -> None:
    """Who asks, and everybody around, ends with the questions that are open; resumed without an answer, again."""

    @task
    def ask(n: int) -> Any:
        return interrupt(n)

    @task
    def both() -> list[Any]:
        return [future.result() for future in [ask(1), ask(2)]]

    @entrypoint(saver)
    def main() -> list[Any]:
        return both().result()

    def asked(chunks: list[Chunk]) -> dict[str, list[Any]]:
        ends = [chunk for chunk in chunks if kind(chunk) == "end"]
        assert [None] * len(ends) == [chunk["error"] for chunk in ends]
        found: dict[str, list[Any]] = {}
        for chunk in ends:
            found.setdefault(chunk["name"].rsplit(".", 1)[-1], []).extend(question["value"] for question in chunk["interrupts"])
        return {name: sorted(values) for name, values in found.items()}

    first = stream(main, stream_mode="tasks", thread_id="t")
    assert asked(first).pop("both")  # at least the one that made it stop; the other may have been asked later
    assert {"ask": [1, 2], "main": [1, 2]} == {name: values for name, values in asked(first).items() if name != "both"}
    assert {"both": [1, 2], "main": [1, 2]} == asked(stream(main, None, stream_mode="tasks", thread_id="t"))
    ids = {question["value"]: question["id"] for question in first[-1]["interrupts"]}
    assert {"ask": [2], "both": [2], "main": [2]} == asked(stream(main, Command(resume={ids[1]: "x"}), stream_mode="tasks", thread_id="t"))


def test_a_cached_task_has_a_start_and_an_end(stream: Any) -> None:
    """Whether the cache or the journal answers."""
    cached = task(cache_policy=CachePolicy(ttl=60))(lambda n: n)
    cache = InMemoryCache()

    @entrypoint(cache=cache)
    def main() -> list[int]:
        return [cached(1).result(), cached(1).result()]

    chunks = stream(main, stream_mode="tasks")
    assert ["start", "start", "end", "start", "end", "end"] == [kind(chunk) for chunk in chunks]


def test_a_checkpoint_is_what_get_state_shows(saver: Any, stream: Any) -> None:
    """When the run begins, and when it has ended or waits; with the keys that LangGraph has."""

    @entrypoint(saver)
    def main(n: int, *, previous: int = 0) -> Any:
        return previous + (n if n < 10 else interrupt("how many?"))

    begun, ended = stream(main, 1, stream_mode="checkpoints", thread_id="t")
    assert (["running", "done"], [True, False]) == (
        [chunk["metadata"]["status"] for chunk in (begun, ended)],
        [chunk["metadata"]["is_owned"] for chunk in (begun, ended)],
    )
    state = main.get_state(ended["config"])
    assert {
        "config": state.config,
        "parent_config": None,
        "values": 1,
        "metadata": state.metadata,
        "next": [],
        "tasks": [],
    } == ended

    begun, waiting = stream(main, 10, stream_mode="checkpoints", thread_id="t")
    assert (1, [main.plan.name], ended["config"]) == (begun["values"], begun["next"], begun["parent_config"])
    ((question,),) = [found["interrupts"] for found in waiting["tasks"]]
    assert ("interrupted", "how many?") == (waiting["metadata"]["status"], question["value"])
    *_, last = stream(main, Command(resume=5), stream_mode="checkpoints", thread_id="t")
    assert 6 == last["values"]


def test_the_checkpoint_of_a_failed_run_has_its_error(saver: Any, stream: Any) -> None:
    """As text, under the id that the entrypoint has in the mode ``tasks``."""

    @entrypoint(saver)
    def main() -> None:
        raise ValueError("no")

    *chunks, error = stream(main, stream_mode=["tasks", "checkpoints"])
    assert isinstance(error, ValueError)
    assert ["checkpoints", "tasks", "tasks", "checkpoints"] == [mode for mode, _ in chunks]
    (failed,) = chunks[-1][1]["tasks"]
    assert {"id": chunks[1][1]["id"], "name": main.plan.name, "error": "ValueError('no')", "interrupts": ()} == failed


def test_without_a_checkpointer_there_are_no_checkpoints(stream: Any) -> None:
    """And none of a run that was finished before."""
    saver = InMemorySaver()

    @entrypoint
    def keepless(n: int) -> int:
        return n

    @entrypoint(saver)
    def main(n: int) -> int:
        return n

    assert [] == stream(keepless, 1, stream_mode="checkpoints")
    main.invoke(1, thread_id="t", run_id="run-1")
    assert [("values", 1)] == stream(main, None, stream_mode=["checkpoints", "values"], thread_id="t")
    assert [("values", 1)] == stream(main, 1, stream_mode=["checkpoints", "values"], thread_id="t", run_id="run-1")


def test_debug_tells_both_in_envelopes(saver: Any, stream: Any) -> None:
    """With what it is, when, and the how-manieth; beside other modes it comes as well."""
    tried: list[int] = []

    @task(retry_policy=RetryPolicy(max_attempts=2, jitter=False))
    def flaky() -> int:
        tried.append(1)
        if len(tried) < 2:
            raise ConnectionError("down")
        return 1

    @entrypoint(saver)
    def main() -> int:
        return flaky().result()

    with captured(), FakeClock(start=1e9):
        chunks = stream(main, stream_mode=["debug", "tasks", "values"])

    debug = [chunk for mode, chunk in chunks if mode == "debug"]
    assert ["checkpoint", "task", "task", "task_retry", "task_result", "task_result", "checkpoint"] == [chunk["type"] for chunk in debug]
    assert list(range(1, 8)) == [chunk["step"] for chunk in debug]
    assert ("2001-09-09T01:46:40+00:00", "2001-09-09T01:46:40.500000+00:00") == (debug[0]["timestamp"], debug[-1]["timestamp"])
    assert [chunk for mode, chunk in chunks if mode == "tasks"] == [each["payload"] for each in debug if each["type"] != "checkpoint"]
    assert [1] == [chunk for mode, chunk in chunks if mode == "values"]


@pytest.mark.parametrize("mode", ["nodes", "messages", ["updates", "nodes"], [], None, 3], ids=repr)
def test_what_is_no_mode_is_refused(mode: Any) -> None:
    """Whatever it is, before anything runs: with the value, and what there is."""

    @entrypoint
    def main() -> None:
        pytest.fail("it ran")

    with pytest.raises(PolicyError) as caught:
        list(main.stream(stream_mode=mode))
    assert str(caught.value).startswith(f"stream_mode={mode!r}: choose one or several of 'updates', 'values'")


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_alone_yields_its_chunks_bare(mode: str, stream: Any) -> None:
    """And in a list, of one too, with its name."""

    @entrypoint(InMemorySaver())
    def main(writer: Any) -> int:
        writer("hello")
        return double(1).result()

    bare = stream(main, stream_mode=mode, thread_id="a")
    named = stream(main, stream_mode=[mode], thread_id="b")

    assert bare
    assert [mode] * len(bare) == [name for name, _ in named]


class Breaking(InMemorySaver):
    """A store that cannot be read once a run is under way."""

    is_broken = False

    def find(self, run_id: str, /) -> Any:
        """As long as it works."""
        if self.is_broken:
            raise StoreError("the disk is gone")
        return super().find(run_id)


def test_a_checkpoint_that_cannot_be_read_ends_no_run(stream: Any) -> None:
    """Who only looks on must not be in the way: a line tells."""
    saver = Breaking()

    @entrypoint(saver)
    def main() -> int:
        saver.is_broken = True
        return double(1).result()

    with captured() as seen:
        chunks = stream(main, stream_mode=["checkpoints", "values"], thread_id="t")

    assert ["checkpoints", "values"] == [mode for mode, _ in chunks]
    assert 2 == chunks[1][1]
    assert "holdfast.stream.no_checkpoint" in str(seen.notes)


def test_checkpoints_are_read_off_the_loop() -> None:
    """By a saver that may block."""
    threads: set[bool] = set()

    class Blocking(InMemorySaver):
        @property
        def is_blocking(self) -> bool:
            return True

        def find(self, run_id: str, /) -> Any:
            threads.add(threading.current_thread() is threading.main_thread())
            return super().find(run_id)

    @entrypoint(Blocking())
    async def main() -> int:
        return await double(1)

    async def collect() -> int:
        return len([chunk async for chunk in main.astream(stream_mode="checkpoints", thread_id="t")])

    assert 2 == asyncio.run(collect())
    assert {False} == threads


@pytest.mark.parametrize("checkpointer", [None, InMemorySaver()], ids=["plain", "durable"])
@pytest.mark.parametrize("is_on_disk", [False, True])
def test_a_hit_says_that_it_is_one(checkpointer: Any, is_on_disk: bool, tmp_path: Path) -> None:
    """Wherever it was found, and whether or not it is recorded as a step."""

    @task(cache_policy=CachePolicy(ttl=60))
    def double(n: int) -> int:
        return 2 * n

    def updates() -> list[Any]:
        cache = DiskCache(tmp_path) if is_on_disk else memory
        main = entrypoint(checkpointer, cache=cache, name="main")(lambda n: double(n).result())
        try:
            return list(main.stream(3))
        finally:
            if is_on_disk:
                cache.close()

    memory = InMemoryCache()
    assert [{"double": 6}, {"main": 6}] == updates()
    assert [{"double": 6, "__metadata__": {"cached": True}}, {"main": 6}] == updates()


def test_questions_come_as_a_tuple(stream: Any) -> None:
    """As in LangGraph, whose ``invoke`` gives a list; programs compare and unpack both."""

    @entrypoint(InMemorySaver())
    def main() -> Any:
        return interrupt("sure?")

    chunks = stream(main, stream_mode=["updates", "values"], thread_id="t")
    (asked,) = chunks[0][1]["__interrupt__"]

    assert [("updates", {"__interrupt__": (asked,)}), ("values", {"__interrupt__": (asked,)})] == chunks
    assert [asked] == main.invoke(None, thread_id="t")["__interrupt__"]


class Waiting(InMemorySaver):
    """A saver that may block, and does when it is asked for a run."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_go = threading.Event(), threading.Event()

    @property
    def is_blocking(self) -> bool:
        return True

    def find(self, run_id: str, /) -> Any:
        self.is_asked.set()
        assert self.may_go.wait(10)
        return super().find(run_id)


def test_a_stream_that_is_cancelled_before_its_run_begins_gives_the_thread_back() -> None:
    """While its first checkpoint is read: the thread was owned for as long as the process lived."""
    saver = Waiting()

    @entrypoint(saver)
    async def main() -> int:
        return 1

    async def leave() -> None:
        async def read() -> None:
            async for _ in main.astream(stream_mode="checkpoints", thread_id="t"):
                pass

        reader = asyncio.create_task(read())
        while not saver.is_asked.is_set():
            await asyncio.sleep(0.001)
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()

    asyncio.run(leave())
    saver.may_go.set()

    assert not saver.is_owned("t")
    assert 1 == main.invoke(None, thread_id="t")


def test_a_stream_that_cannot_begin_gives_the_thread_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no thread to be had for its run."""
    saver = InMemorySaver()
    main = entrypoint(saver)(lambda n: n)

    def refuse(*_: Any) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr("holdfast.runtime.threads.run_in_thread", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            list(main.stream(1, thread_id="t"))

    assert not saver.is_owned("t")


def test_a_stream_that_is_closed_waits_for_nothing() -> None:
    """Its loop is gone, as at the end of a program: a coroutine that waits while it is closed is a RuntimeError."""
    main = entrypoint(InMemorySaver())(lambda n: n)
    prepared = open_run(main._settings, 1, Options(thread_id="t"))
    prepared.run.sink = lambda *_: None
    told = Checkpoints(main._settings, prepared, ("checkpoints",))

    class Never:
        def __await__(self) -> Any:
            yield

    closing: Any = told.around_async(Never)
    closing.send(None)
    told._is_blocking = True
    closing.close()
    prepared.leave()

    assert "running" == main.get_state(thread_id="t").metadata["status"]
