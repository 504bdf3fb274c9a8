"""holdfast makes calls hold fast: one decorator gives a flaky call retries, a cache, a checkpoint and a trace.

>>> @resilient(retry_policy=RetryPolicy(max_attempts=5))
... def fetch(city: str) -> str:
...     return f"sunny in {city}"
>>> fetch("Oslo")
'sunny in Oslo'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import _wiring as _wiring
from holdfast._entrypoint import Entrypoint
from holdfast._resilient import Resilient, resilient
from holdfast._secrets import Secret
from holdfast._snapshots import SnapshotTask, StateSnapshot
from holdfast._task import Task, task
from holdfast._typed import entrypoint
from holdfast.cache.disk import DiskCache
from holdfast.cache.memory import InMemoryCache
from holdfast.checkpoint.memory import InMemorySaver
from holdfast.errors import (
    CorruptRecord,
    Divergence,
    GraphRecursionError,
    HoldfastError,
    InDoubt,
    InvalidUpdateError,
    KeyFuncError,
    NodeTimeoutError,
    NotKeyable,
    NotSerializable,
    PolicyError,
    ReplayedError,
    RunExists,
    StoreError,
    TaskContextError,
    ThreadBusyError,
    UnknownInterruptError,
)
from holdfast.policies import CachePolicy, RetryPolicy, StopReason, TimeoutPolicy
from holdfast.runtime.cache_entry import CacheEntry, get_cache_entry
from holdfast.runtime.ending import final
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.idempotency import get_idempotency_key
from holdfast.runtime.inject import Runtime, StreamWriter, get_config, get_stream_writer
from holdfast.runtime.interrupt import Command, Input, interrupt
from holdfast.runtime.questions import Interrupt
from holdfast.values.codec import register

if TYPE_CHECKING:
    from holdfast._graph.builder import StateGraph as StateGraph
    from holdfast._graph.compiled import CompiledStateGraph as CompiledStateGraph
    from holdfast._graph.nodes import NodeError as NodeError
    from holdfast._graph.routes import END as END
    from holdfast._graph.routes import START as START
    from holdfast._graph.routes import Send as Send
    from holdfast.checkpoint.sqlite import SqliteSaver as SqliteSaver
    from holdfast.tracing import flush as flush
    from holdfast.tuning import tune as tune

__all__ = [
    "END",
    "START",
    "CacheEntry",
    "CachePolicy",
    "Command",
    "CompiledStateGraph",
    "CorruptRecord",
    "DiskCache",
    "Divergence",
    "Entrypoint",
    "GraphRecursionError",
    "HoldfastError",
    "InDoubt",
    "InMemoryCache",
    "InMemorySaver",
    "Input",
    "Interrupt",
    "InvalidUpdateError",
    "KeyFuncError",
    "NodeError",
    "NodeTimeoutError",
    "NotKeyable",
    "NotSerializable",
    "PolicyError",
    "ReplayedError",
    "Resilient",
    "RetryPolicy",
    "RunExists",
    "Runtime",
    "Secret",
    "Send",
    "SnapshotTask",
    "SqliteSaver",
    "StateGraph",
    "StateSnapshot",
    "StopReason",
    "StoreError",
    "StreamWriter",
    "Task",
    "TaskContextError",
    "TaskFuture",
    "ThreadBusyError",
    "TimeoutPolicy",
    "UnknownInterruptError",
    "entrypoint",
    "final",
    "flush",
    "get_cache_entry",
    "get_config",
    "get_idempotency_key",
    "get_stream_writer",
    "interrupt",
    "register",
    "resilient",
    "task",
    "tune",
]


_IN = {
    "CompiledStateGraph": "holdfast._graph.compiled",
    "END": "holdfast._graph.routes",
    "NodeError": "holdfast._graph.nodes",
    "START": "holdfast._graph.routes",
    "Send": "holdfast._graph.routes",
    "StateGraph": "holdfast._graph.builder",
}
"""Where the names of state graphs are, which most programs do not use."""


def __getattr__(name: str) -> object:
    """Load on first use what pulls in OpenTelemetry or SQLite, what few programs need, and the version."""
    if name in _IN:
        from importlib import import_module

        return getattr(import_module(_IN[name]), name)
    if name == "SqliteSaver":
        from holdfast.checkpoint.sqlite import SqliteSaver

        return SqliteSaver
    if name == "flush":
        from holdfast.tracing import flush

        return flush
    if name == "tune":
        from holdfast.tuning import tune

        return tune
    if name == "__version__":
        from importlib.metadata import version

        return version("holdfast")
    msg = f"module 'holdfast' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
