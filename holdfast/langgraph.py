"""Tasks inside LangGraph: in its nodes, tasks and entrypoints, holdfast's tasks work as in a run of ours.

    import holdfast.langgraph
    from holdfast import SqliteSaver, task

    holdfast.langgraph.configure(checkpointer=SqliteSaver("tasks.db"))

Theory of operation. LangGraph executes a node again, from its first line, after an interrupt, a retry or a crash. What stays the same then is
``checkpoint_ns``, ``node:<id>`` for each graph on the way in: LangGraph makes the id from the checkpoint that the superstep began with, the
step's number, the node's name, and what triggered it (for a `Send` or a LangGraph task, which of them). So two executions have one scope
exactly if the second is a repetition of the first: another turn of a loop, another `Send`, a new input, ``update_state`` and going back to an
older checkpoint (which makes a new one first) all have others. Steps are recorded under the thread's id, in one run for each superstep of the
outermost graph.

The scope of an execution hangs on an object that LangGraph makes for each, so it goes when that does; a retry begins a new one.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

from holdfast import clock, events
from holdfast._bodies import check_stores
from holdfast._frames import trims
from holdfast._plans import build_plan
from holdfast._records import HOST
from holdfast._resolve import Settling, finding
from holdfast._runs import check_concurrency
from holdfast.cache.default import default_cache
from holdfast.checkpoint.memory import InMemorySaver
from holdfast.errors import PolicyError
from holdfast.runtime.hosted import HostedJournal, HostedRun
from holdfast.runtime.interrupt import NOTHING
from holdfast.typing import RunRecord
from holdfast.values.codec import codec_for

if TYPE_CHECKING:
    from holdfast._plans import Seconds
    from holdfast.errors import Doubt
    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.typing import Cache, Checkpointer

__all__ = ["configure", "resolve"]

_ANCHOR = "__pregel_read"
"""In a node's config: a function that LangGraph makes for each execution. Private there, and pinned by tests."""
_MARK = "holdfast_scope"
_NO_INPUT = codec_for().encode([])
_NO_CODE = "0" * 16


class _Settings(NamedTuple):
    checkpointer: Checkpointer | None = None
    cache: Cache | None = None
    max_concurrency: int | None = None


class _Place(NamedTuple):
    """Where a call is made.

    Attributes:
        config: LangGraph's config.
        runtime: LangGraph's runtime.
        namespace: Names the execution of the node: ``checkpoint_ns``.
        attempt: Tells this one from others of the same execution.
        thread_id: LangGraph's thread; None without one.
        checkpoint_id: The checkpoint that the superstep of the outermost graph began with.
    """

    config: dict[str, Any]
    runtime: Any
    namespace: str
    attempt: tuple[object, ...]
    thread_id: str | None
    checkpoint_id: str


class _Mark(NamedTuple):
    """What hangs on an execution of a node: the scope of one attempt, in one process."""

    attempt: tuple[object, ...]
    process: int
    scope: Scope


_settings = _Settings()
_runs: WeakValueDictionary[tuple[int, str], HostedRun] = WeakValueDictionary()
_opening = threading.Lock()


@trims
def configure(*, checkpointer: Checkpointer | None = None, cache: Cache | None = None, max_concurrency: int | None = None) -> None:
    """Say what tasks called inside LangGraph use, for the whole process; said again, it replaces all that was said.

    Args:
        checkpointer: Keeps what they return, so that a node that is executed again does not do them again; None keeps nothing. It is one of
            holdfast's, beside the one that LangGraph has.
        cache: Where those with a cache policy keep results; None is the default disk cache.
        max_concurrency: Bodies that may run at once in one superstep; None: 128 sync bodies and any number of async ones.

    Raises:
        PolicyError: Something given cannot work.
    """
    global _settings  # noqa: PLW0603 - what is set for the whole process
    if hasattr(checkpointer, "put_writes"):
        msg = (
            f"checkpointer={checkpointer!r} is LangGraph's, which belongs to compile(checkpointer=...); tasks need one of holdfast's beside it, "
            f"e.g. configure(checkpointer=SqliteSaver('tasks.db'))"
        )
        raise PolicyError(msg)
    check_stores(checkpointer, cache)
    _settings = _Settings(checkpointer, cache, check_concurrency(max_concurrency))


@trims
def resolve(
    *,
    thread_id: str,
    step: str | None = None,
    result: Any = NOTHING,
    error: Exception | None = None,
    rerun: bool = False,
    wait: Seconds = None,
) -> tuple[Doubt, ...]:
    """Say what became of an at-most-once task that is in doubt, as `Entrypoint.resolve` does; LangGraph's ``invoke(None, config)`` then goes on.

    Args:
        thread_id: The thread of the graph that stopped with `InDoubt`.
        step: The step's id, as in that error's text and `InDoubt.step`; None is the only one there is.
        result: It had its effect: what it should have returned; None is a result, too.
        error: It has failed: what the node gets raised.
        rerun: True when it had no effect: it is run when the node asks for it.
        wait: How long to wait for a thread that somebody works on: seconds, timedelta or text; None does not wait.

    Returns:
        What is still in doubt in the same superstep.

    Raises:
        UnknownInterruptError: There is no such step, or there are several and ``step`` does not say which.
        ThreadBusyError: Somebody works on the thread, in this process or another one.
        NotSerializable: The result cannot be kept.
        PolicyError: Not one of the three was given, or no checkpointer is configured.
    """
    if _settings.checkpointer is None:
        msg = "no checkpointer is configured here, so nothing can be in doubt: holdfast.langgraph.configure(checkpointer=...)"
        raise PolicyError(msg)
    return Settling(_settings.checkpointer, HOST, thread_id, wait).settle(step, finding(result, error, rerun=rerun))


def scope_here() -> Scope | None:
    """The scope of the LangGraph node that runs here; None where none does, or it stayed with the process that forked this one."""
    place = _place()
    if place is None:
        return None
    anchor = place.config["configurable"][_ANCHOR]
    mark = _mark_on(anchor, place)
    if mark is None:
        with _opening:  # two threads of a node have one scope
            mark = _mark_on(anchor, place)
            if mark is None:
                mark = _Mark(place.attempt, os.getpid(), _open(place))
                setattr(anchor, _MARK, mark)
    return mark.scope if mark.process == os.getpid() else None


def _mark_on(anchor: Any, place: _Place) -> _Mark | None:
    mark: _Mark | None = getattr(anchor, _MARK, None)
    return None if mark is None or mark.attempt != place.attempt or mark.scope.run.is_stopping else mark


def _place() -> _Place | None:
    from langgraph.config import get_config

    try:
        config: dict[str, Any] = {**get_config()}
    except RuntimeError:  # not inside anything of LangChain's
        return None
    configurable = config.get("configurable", {})
    runtime = configurable.get("__pregel_runtime")
    info = getattr(runtime, "execution_info", None)
    if info is None or _ANCHOR not in configurable:
        return None
    attempt = (info.node_first_attempt_time, info.node_attempt)
    checkpoint_id = configurable.get("checkpoint_map", {}).get("", info.checkpoint_id)
    return _Place(config, runtime, info.checkpoint_ns, attempt, info.thread_id, checkpoint_id)


def _open(place: _Place) -> Scope:
    run_id = blake2b(f"{place.thread_id}\0{place.checkpoint_id}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    key = (id(_settings.checkpointer), run_id)
    run = _runs.get(key)
    if run is None or run.is_stopping:
        run = _runs[key] = _new_run(place, run_id)
    node = place.namespace.rpartition("|")[2].partition(":")[0]
    return run.scope(
        _plan_of(node, is_async=_is_async(place)), blake2b(place.namespace.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    )


def _new_run(place: _Place, run_id: str) -> HostedRun:
    thread_id = run_id if place.thread_id is None else place.thread_id
    facts = events.RunFacts(run_id=run_id, thread_id=thread_id, name="langgraph", function="", started_ns=clock.current.time_ns())
    run = HostedRun(facts, cache=_open_cache, max_concurrency=_settings.max_concurrency)
    if _settings.checkpointer is not None:  # without a thread nobody will come back for more than another attempt
        run.keep_in(_journal(InMemorySaver() if place.thread_id is None else _settings.checkpointer, facts))
    run.config = _public(place.config, run_id, thread_id)
    run.store, run.context, run.previous = place.runtime.store, place.runtime.context, place.runtime.previous
    run.stream, run.ask = _tell, _ask
    return run


def _journal(saver: Checkpointer, facts: events.RunFacts) -> HostedJournal:
    now = clock.current.time()
    record = RunRecord(facts.run_id, facts.thread_id, HOST, _NO_CODE, "done", _NO_INPUT, created=now, updated=now)
    return HostedJournal(saver, record)


def _open_cache() -> Cache:
    return default_cache() if _settings.cache is None else _settings.cache


@lru_cache(maxsize=1024)
def _plan_of(node: str, *, is_async: bool) -> Plan:
    """Stands for a node's body, which LangGraph runs."""
    return build_plan(_open_cache, decorator="task", name=node).replace(is_async=is_async)


def _is_async(place: _Place) -> bool:
    """Whether the graph goes on beside the node, on an event loop; where LangGraph no longer tells, it is taken to."""
    call = place.config["configurable"].get("__pregel_call")
    return getattr(getattr(call, "func", None), "__name__", "") != "_call"


def _public(config: dict[str, Any], run_id: str, thread_id: str) -> dict[str, Any]:
    """What `holdfast.get_config` returns in a task: LangGraph's config without what is LangGraph's own, or of one node alone."""
    given = config["configurable"].items()
    configurable = {key: value for key, value in given if not key.startswith(("__", "checkpoint_"))}
    metadata = {key: value for key, value in config.get("metadata", {}).items() if not key.startswith(("langgraph_", "checkpoint_"))}
    return {
        "configurable": {**configurable, "thread_id": thread_id, "run_id": run_id},
        "metadata": metadata,
        "tags": config.get("tags", []),
    }


def _tell(value: Any) -> None:
    """The stream of a task is that of the node it was called in."""
    from langgraph.config import get_stream_writer

    get_stream_writer()(value)


def _ask(value: Any, schema: Any) -> Any:
    from langgraph.types import interrupt

    return interrupt(value) if schema is None else interrupt(value, response_schema=schema)


def _forget_in_child() -> None:
    global _opening  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _opening = threading.Lock()
    _runs.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_in_child)
