"""get_state, get_state_history and update_state: what a thread's checkpoints say, and setting a value by hand."""

from __future__ import annotations

import asyncio
import functools
import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import (
    Command,
    InMemorySaver,
    Interrupt,
    NotSerializable,
    PolicyError,
    SnapshotTask,
    SqliteSaver,
    StateSnapshot,
    ThreadBusyError,
    entrypoint,
    interrupt,
    task,
)
from holdfast.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

ASKED = "__interrupt__"


class Api:
    """The state API of an entrypoint, in one colour."""

    def __init__(self, colour: Any) -> None:
        self.invoke, self._run, self._is_async = colour.invoke, colour.run, colour.is_async

    def get(self, main: Any, *args: Any, **kwargs: Any) -> StateSnapshot:
        return self._run(main.aget_state if self._is_async else main.get_state, *args, **kwargs)

    def history(self, main: Any, *args: Any, **kwargs: Any) -> list[StateSnapshot]:
        return asyncio.run(collected(main, *args, **kwargs)) if self._is_async else list(main.get_state_history(*args, **kwargs))

    def update(self, main: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run(main.aupdate_state if self._is_async else main.update_state, *args, **kwargs)


async def collected(main: Any, *args: Any, **kwargs: Any) -> list[StateSnapshot]:
    """An async history as a list."""
    return [each async for each in main.aget_state_history(*args, **kwargs)]


@pytest.fixture
def api(colour: Any) -> Api:
    """The state API, sync and async."""
    return Api(colour)


def at(thread_id: str, checkpoint_id: str | None = None) -> dict[str, Any]:
    """A config."""
    return {"configurable": {"thread_id": thread_id} | ({} if checkpoint_id is None else {"checkpoint_id": checkpoint_id})}


def summing(saver: Any) -> Any:
    """An entrypoint that returns twice its input, and saves the sum of all."""

    @entrypoint(saver)
    def main(n: int, *, previous: int | None = None) -> entrypoint.final[int, int]:
        return entrypoint.final(value=2 * n, save=(previous or 0) + n)

    return main


# -- looking ----------------------------------------------------------------------------------------------------------------------------


def test_a_thread_without_checkpoints_is_empty(saver: Any, api: Api) -> None:
    """As in LangGraph: no values, no metadata, and the config that was asked for."""
    main = summing(saver)

    assert StateSnapshot({}, (), at("t"), None, None, None, (), ()) == api.get(main, at("t"))
    assert [] == api.history(main, thread_id="t")
    assert [] == saver.threads()


def test_a_finished_run(saver: Any, api: Api) -> None:
    """What it returned, what it saved, when, and after which other one."""
    main = summing(saver)
    with FakeClock(start=1e9):
        api.invoke(main, 1, thread_id="t", run_id="run-1")
        api.invoke(main, 2, thread_id="t", run_id="run-2")
        state = api.get(main, thread_id="t")

    expected = StateSnapshot(
        values=4,
        next=(),
        config=at("t", "run-2"),
        metadata={"source": "loop", "status": "done", "entry": main.plan.name, "is_owned": False},
        created_at="2001-09-09T01:46:40+00:00",
        parent_config=at("t", "run-1"),
        tasks=(),
        interrupts=(),
        saved=3,
    )
    assert expected == state


def test_an_older_checkpoint_is_named_by_its_config(saver: Any, api: Api) -> None:
    """What a snapshot's own config leads to is that snapshot."""
    main = summing(saver)
    for n in (1, 2, 3):
        main.invoke(n, thread_id="t")
    history = api.history(main, thread_id="t")

    assert [(6, 6), (4, 3), (2, 1)] == [(state.values, state.saved) for state in history]
    assert history == [api.get(main, state.config) for state in history]
    assert [*[state.config for state in history[1:]], None] == [state.parent_config for state in history]


def test_all_open_questions_are_shown(saver: Any, api: Api) -> None:
    """Of parallel tasks too, with the ids that answer them; an answered one is not."""

    @task
    def ask(n: int) -> Any:
        return interrupt({"n": n})

    @entrypoint(saver)
    def main(count: int) -> list[Any]:
        return [future.result() for future in [ask(n) for n in range(count)]]

    asked = api.invoke(main, 3, thread_id="t")[ASKED]
    state = api.get(main, thread_id="t")
    assert {question.id: question.value for question in asked} == {question.id: question.value for question in state.interrupts}
    assert 3 == len(state.interrupts)
    assert (SnapshotTask(state.tasks[0].id, main.plan.name, None, state.interrupts),) == state.tasks
    assert ((main.plan.name,), None, "interrupted") == (state.next, state.values, (state.metadata or {})["status"])

    first = next(question for question in state.interrupts if question.value == {"n": 1})
    api.invoke(main, Command(resume={first.id: "yes"}), thread_id="t")
    left = api.get(main, thread_id="t").interrupts
    assert [{"n": 0}, {"n": 2}] == sorted((question.value for question in left), key=lambda value: value["n"])

    api.invoke(main, Command(resume={question.id: "no" for question in left}), thread_id="t")
    state = api.get(main, thread_id="t")
    assert (["no", "yes", "no"], (), ()) == (state.values, state.tasks, state.interrupts)


def test_a_refused_answer_is_shown_with_its_question(saver: Any) -> None:
    """So that a page made from the state alone can say what was wrong."""

    @entrypoint(saver)
    def main() -> Any:
        return interrupt("how many?", response_schema=int)

    main.invoke(thread_id="t")
    main.invoke(Command(resume="many"), thread_id="t")
    (question,) = main.get_state(thread_id="t").interrupts

    assert isinstance(question, Interrupt)
    assert "Expected `int`, got `str`" in question.error


def test_a_failed_run_shows_its_error(saver: Any, api: Api) -> None:
    """As the exception that it was; the values are those of the last run that finished."""

    @entrypoint(saver)
    def main(n: int) -> int:
        if n == 2:
            raise ValueError("no twos")
        return n

    api.invoke(main, 1, thread_id="t")
    with pytest.raises(ValueError, match="no twos"):
        api.invoke(main, 2, thread_id="t")
    state = api.get(main, thread_id="t")

    (failed,) = state.tasks
    assert isinstance(failed.error, ValueError)
    assert ("no twos",) == failed.error.args
    assert (1, (main.plan.name,), "failed", ()) == (state.values, state.next, (state.metadata or {})["status"], state.interrupts)


def test_an_abandoned_run_keeps_its_questions(saver: Any, api: Api) -> None:
    """A new input takes the place of a waiting run; the history says so, and what it waited for."""

    @entrypoint(saver)
    def main(n: int) -> Any:
        return interrupt("sure?") if n == 1 else n

    api.invoke(main, 1, thread_id="t")
    api.invoke(main, 2, thread_id="t")
    new, old = api.history(main, thread_id="t")

    assert ("done", "abandoned") == ((new.metadata or {})["status"], (old.metadata or {})["status"])
    assert (["sure?"], (main.plan.name,)) == ([question.value for question in old.interrupts], old.next)


def test_a_cancelled_run_says_so(saver: Any) -> None:
    """Without an error: nothing failed."""
    begun = threading.Event()

    @entrypoint(saver)
    async def main() -> None:
        begun.set()
        await asyncio.sleep(60)

    async def cancelled() -> None:
        running = asyncio.create_task(main.ainvoke(thread_id="t"))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    state = main.get_state(thread_id="t")

    assert ("cancelled", None) == ((state.metadata or {})["status"], state.tasks[0].error)


def test_a_run_at_work_can_be_looked_at(saver: Any, api: Api) -> None:
    """From inside, and its thread stays its own: looking claims nothing."""
    seen: list[StateSnapshot] = []

    @entrypoint(saver)
    def main() -> str:
        found: list[StateSnapshot] = []
        looker = threading.Thread(target=lambda: found.append(api.get(main, thread_id="t")))
        looker.start()
        looker.join()
        seen.extend(found)
        return "done"

    assert "done" == main.invoke(thread_id="t")
    (state,) = seen
    assert ("running", True) == ((state.metadata or {})["status"], (state.metadata or {})["is_owned"])
    assert (main.plan.name,) == state.next


KILLED = """
import os, signal, sys
from holdfast import SqliteSaver, entrypoint

@entrypoint(SqliteSaver(sys.argv[1]))
def main() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

main.invoke(thread_id="t")
"""


def test_a_run_whose_process_died_is_not_owned(tmp_path: Path) -> None:
    """It is recorded as running, and nobody does it."""
    path = tmp_path / "runs.db"
    died = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode
    saver = SqliteSaver(path)
    state = summing(saver).get_state(thread_id="t")
    saver.close()

    assert -signal.SIGKILL == died
    assert {"source": "input", "status": "running", "entry": "main", "is_owned": False} == state.metadata


class Counting(InMemorySaver):
    """A saver that blocks, as far as the runtime knows, and counts on which threads it is asked what."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[tuple[str, bool]] = Counter()

    @property
    def is_blocking(self) -> bool:
        return True

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in {"claim", "release", "commit", "latest", "find", "runs", "steps", "is_owned"}:
            self.calls[name, threading.current_thread() is threading.main_thread()] += 1
        return found


def test_no_event_loop_waits_for_a_disk() -> None:
    """A saver that may block is asked on worker threads only."""
    saver = Counting()
    main = summing(saver)
    main.invoke(1, thread_id="t")

    async def all_of_it() -> None:
        await main.aget_state(thread_id="t")
        config = await main.aupdate_state(at("t"), 5)
        assert 2 == len([each async for each in main.aget_state_history(config)])
        await main.ainvoke(1, config)

    saver.calls.clear()
    asyncio.run(all_of_it())
    assert {"claim", "latest", "find", "runs", "commit"} <= {name for name, _ in saver.calls}
    assert [] == [name for name, is_on_loop in saver.calls if is_on_loop]


def test_a_history_is_read_page_by_page(api: Api) -> None:
    """Of a long thread only what is looked at; and all of it, in order, when all is wanted."""
    saver = Counting()
    main = summing(saver)
    for n in range(120):
        main.invoke(n, thread_id="t")
    saver.calls.clear()

    assert list(range(119, -1, -1)) == [state.values // 2 for state in api.history(main, thread_id="t")]
    assert 4 == sum(count for (name, _), count in saver.calls.items() if name == "runs")
    saver.calls.clear()
    assert [119, 118, 117] == [state.values // 2 for state in api.history(main, thread_id="t", limit=3)]
    assert 1 == sum(count for (name, _), count in saver.calls.items() if name == "runs")


def test_where_a_history_begins(saver: Any, api: Api) -> None:
    """At the checkpoint that the config names, or after the one given as ``before``; ``limit`` counts either way."""
    main = summing(saver)
    for n in range(5):
        main.invoke(n, thread_id="t", run_id=f"run-{n}")

    def shown(*args: Any, **kwargs: Any) -> list[int]:
        return [state.values // 2 for state in api.history(main, *args, **kwargs)]

    assert [2, 1, 0] == shown(at("t", "run-2"))
    assert [2, 1] == shown(at("t", "run-2"), limit=2)
    assert [1, 0] == shown(thread_id="t", before=at("t", "run-2"))
    assert [1] == shown(thread_id="t", before={"configurable": {"checkpoint_id": "run-2"}}, limit=1)
    assert [] == shown(thread_id="t", before=at("t", "run-0"))


# -- setting a value --------------------------------------------------------------------------------------------------------------------


def test_the_next_run_sees_what_was_set(saver: Any, api: Api) -> None:
    """As ``previous``; the checkpoint says that it was set by hand."""
    main = summing(saver)
    api.invoke(main, 1, thread_id="t", run_id="run-1")
    config = api.update(main, at("t"), 100)
    state = api.get(main, thread_id="t")

    assert (100, 100, config, at("t", "run-1")) == (state.values, state.saved, state.config, state.parent_config)
    assert {"source": "update", "status": "done", "entry": main.plan.name, "is_owned": False} == state.metadata
    assert 100 == api.invoke(main, None, thread_id="t")
    assert 4 == api.invoke(main, 2, thread_id="t")
    assert (102, config) == (api.get(main, thread_id="t").saved, api.get(main, thread_id="t").parent_config)


def test_value_and_saved_can_be_set_apart(saver: Any, api: Api) -> None:
    """With a ``final``, as a body returns it."""
    main = summing(saver)
    api.update(main, None, entrypoint.final(value="shown", save=7), thread_id="t")
    state = api.get(main, thread_id="t")

    assert ("shown", 7) == (state.values, state.saved)
    assert 8 == (api.invoke(main, 1, thread_id="t"), api.get(main, thread_id="t").saved)[1]


def test_none_is_a_value(saver: Any, api: Api) -> None:
    """The thread begins anew, and keeps its history."""
    main = summing(saver)
    api.invoke(main, 1, thread_id="t")
    api.update(main, at("t"), None)
    api.invoke(main, 5, thread_id="t")

    assert [5, None, 1] == [state.saved for state in api.history(main, thread_id="t")]


def test_a_thread_can_begin_with_a_value(saver: Any, api: Api) -> None:
    """It need not exist; what was set has no parent."""
    main = summing(saver)
    api.update(main, at("new"), 10)

    assert (10, None) == (api.get(main, thread_id="new").saved, api.get(main, thread_id="new").parent_config)
    api.invoke(main, 1, thread_id="new")
    assert 11 == api.get(main, thread_id="new").saved


def test_an_update_comes_after_the_checkpoint_it_names(saver: Any, api: Api) -> None:
    """It is the thread's newest all the same, and what came in between stays."""
    main = summing(saver)
    for n in (1, 2):
        api.invoke(main, n, thread_id="t", run_id=f"run-{n}")
    config = api.update(main, at("t", "run-1"), 50)

    assert [50, 3, 1] == [state.saved for state in api.history(main, thread_id="t")]
    assert (config, at("t", "run-1")) == (api.get(main, thread_id="t").config, api.get(main, config).parent_config)


def test_an_update_takes_the_place_of_a_waiting_run(saver: Any, api: Api) -> None:
    """That one is abandoned, as by a new input: a late answer is refused, and not used for something else."""

    @entrypoint(saver)
    def main() -> Any:
        return interrupt("sure?")

    (question,) = api.invoke(main, thread_id="t")[ASKED]
    api.update(main, at("t"), "decided")

    assert ["done", "abandoned"] == [(state.metadata or {})["status"] for state in api.history(main, thread_id="t")]
    assert "decided" == api.invoke(main, None, thread_id="t")
    with pytest.raises(ValueError, match="none open: its last run is done"):
        api.invoke(main, Command(resume={question.id: "yes"}), thread_id="t")


def test_a_value_that_cannot_be_kept_changes_nothing(saver: Any, api: Api) -> None:
    """The error names it; the waiting run still waits, and nobody owns the thread."""

    @entrypoint(saver)
    def main() -> Any:
        return interrupt("sure?")

    api.invoke(main, thread_id="t")
    before = api.history(main, thread_id="t")
    with pytest.raises(NotSerializable, match=r"values=\{'lock': <unlocked .*cannot be kept as the state of .*main: result\['lock'\] is"):
        api.update(main, at("t"), {"lock": threading.Lock()})

    assert before == api.history(main, thread_id="t")
    assert not saver.is_owned("t")


def test_a_thread_that_is_worked_on_is_not_updated(saver: Any, api: Api) -> None:
    """Nor is anything of it lost: the run goes on."""
    main = summing(saver)
    lease = saver.claim("t")
    with pytest.raises(ThreadBusyError, match="thread 't' is being worked on by"):
        api.update(main, at("t"), 1)
    saver.release(lease)

    assert [] == api.history(main, thread_id="t")


def test_a_run_does_not_wait_for_itself(saver: Any, api: Api) -> None:
    """A call made in it that names its own thread is told so at once, however long it would wait; so is one in a task."""
    inner = summing(saver)
    said: list[str] = []

    def refused(call: Any, *args: Any, **named: Any) -> None:
        with pytest.raises(ThreadBusyError) as caught:
            call(*args, wait="1h", **named)
        said.append(str(caught.value))

    @task
    def step() -> None:
        refused(inner.invoke, 1, thread_id="t")

    @entrypoint(saver)
    def outer() -> None:
        refused(inner.invoke, 1, at("t"))
        refused(outer.update_state, at("t"), 1)
        step().result()

    api.invoke(outer, thread_id="t")
    assert 3 == len(said)
    assert {"thread 't' belongs to the very run that this call is made in"} == {text.partition(",")[0] for text in said}


def test_a_sync_update_waits_for_the_thread(saver: Any) -> None:
    """As long as it is told to."""
    main = summing(saver)
    lease = saver.claim("t")
    timer = threading.Timer(0.1, saver.release, (lease,))
    timer.start()
    main.update_state(at("t"), 1, wait="30s")
    timer.join()

    assert 1 == main.get_state(thread_id="t").values


@pytest.mark.parametrize("what", ["aupdate_state", "ainvoke"])
def test_waiting_for_a_thread_does_not_block_the_loop(saver: Any, what: str) -> None:
    """Else the run that is waited for could not go on there."""
    main = summing(saver)

    @entrypoint(saver)
    async def slow() -> int:
        await asyncio.sleep(0.2)
        return 1

    async def both() -> int:
        running = asyncio.create_task(slow.ainvoke(thread_id="t"))
        while not saver.is_owned("t"):
            await asyncio.sleep(0.001)
        await (main.aupdate_state(at("t"), 5, wait=30) if what == "aupdate_state" else main.ainvoke(4, thread_id="t", wait=30))
        return await running

    assert 1 == asyncio.run(both())
    assert 5 == main.get_state(thread_id="t").saved


# -- what cannot be looked at -----------------------------------------------------------------------------------------------------------

METHODS = {
    "get_state": lambda main, config, **how: main.get_state(config, **how),
    "aget_state": lambda main, config, **how: asyncio.run(main.aget_state(config, **how)),
    "get_state_history": lambda main, config, **how: list(main.get_state_history(config, **how)),
    "aget_state_history": lambda main, config, **how: asyncio.run(collected(main, config, **how)),
    "update_state": lambda main, config, **how: main.update_state(config, 1, **how),
    "aupdate_state": lambda main, config, **how: asyncio.run(main.aupdate_state(config, 1, **how)),
}


@pytest.mark.parametrize("method", METHODS)
def test_what_has_no_state_is_refused(method: str) -> None:
    """With the reason and the remedy, and nothing is changed."""
    saver = InMemorySaver()
    main = summing(saver)
    main.invoke(1, thread_id="t", run_id="run-1")
    main.invoke(1, thread_id="other", run_id="run-2")
    call: Any = functools.partial(METHODS[method], main)

    with pytest.raises(PolicyError, match=rf"main.{method}\(\) needs a thread: give thread_id='t'"):
        call(None)
    with pytest.raises(PolicyError, match=r"config='t': give thread_id='t'"):
        call("t")
    with pytest.raises(PolicyError, match=r"thread_id='u' and config=.* name two threads"):
        call(at("t"), thread_id="u")
    with pytest.raises(PolicyError, match="checkpoint_id='run-9': thread 't' has no such run; its latest are: 'run-1'"):
        call(at("t", "run-9"))
    with pytest.raises(PolicyError, match="checkpoint_id='run-2': thread 't' has no such run"):
        call(at("t", "run-2"))
    with pytest.raises(PolicyError, match=rf"main.{method}\(\): this entrypoint keeps nothing: give it a checkpointer"):
        METHODS[method](summing(None), at("t"))
    assert 1 == len(saver.runs("t"))


def test_a_history_cannot_begin_nowhere(api: Api) -> None:
    """A limit that is no number, and a ``before`` that names nothing."""
    main = summing(InMemorySaver())
    main.invoke(1, thread_id="t", run_id="run-1")

    for limit in (0, -1, True, "3", 1.5):
        with pytest.raises(PolicyError, match=f"limit={limit!r} is not a number of checkpoints"):
            api.history(main, thread_id="t", limit=limit)
    with pytest.raises(PolicyError, match="checkpoint_id='run-9': thread 't' has no such run"):
        api.history(main, thread_id="t", before=at("t", "run-9"))
    with pytest.raises(PolicyError, match="names no checkpoint of thread 't'"):
        api.history(main, thread_id="t", before=at("t"))
    with pytest.raises(PolicyError, match="names no checkpoint of thread 't'"):
        api.history(main, thread_id="t", before=at("u", "run-1"))
    with pytest.raises(PolicyError, match="both say where to begin"):
        api.history(main, at("t", "run-1"), before=at("t", "run-1"))


def test_options_that_langgraph_has_are_named() -> None:
    """An entrypoint has one node, so there is nothing to choose."""
    main = summing(InMemorySaver())

    with pytest.raises(TypeError, match=r"Entrypoint.update_state has no option 'as_node': it takes config, values, thread_id, wait"):
        main.update_state(at("t"), 1, as_node="main")
