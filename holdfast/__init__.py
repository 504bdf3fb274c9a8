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
from holdfast._resilient import Resilient, resilient
from holdfast._secrets import Secret
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
from holdfast.policies import CachePolicy, Probe, RetryPolicy, StopReason, TimeoutPolicy
from holdfast.runtime.cache_entry import CacheEntry, get_cache_entry

if TYPE_CHECKING:
    from holdfast._entrypoint import Entrypoint as Entrypoint
    from holdfast._graph.builder import StateGraph as StateGraph
    from holdfast._graph.compiled import CompiledStateGraph as CompiledStateGraph
    from holdfast._graph.nodes import NodeError as NodeError
    from holdfast._graph.routes import END as END
    from holdfast._graph.routes import START as START
    from holdfast._graph.routes import Send as Send
    from holdfast._graph.routes import StateUpdate as StateUpdate
    from holdfast._snapshots import SnapshotTask as SnapshotTask
    from holdfast._snapshots import StateSnapshot as StateSnapshot
    from holdfast._task import Task as Task
    from holdfast._task import task as task
    from holdfast._typed import entrypoint as entrypoint
    from holdfast.cache.disk import DiskCache as DiskCache
    from holdfast.cache.memory import InMemoryCache as InMemoryCache
    from holdfast.checkpoint.memory import InMemorySaver as InMemorySaver
    from holdfast.checkpoint.sqlite import SqliteSaver as SqliteSaver
    from holdfast.runtime.ending import final as final
    from holdfast.runtime.future import TaskFuture as TaskFuture
    from holdfast.runtime.idempotency import get_idempotency_key as get_idempotency_key
    from holdfast.runtime.inject import Runtime as Runtime
    from holdfast.runtime.inject import StreamWriter as StreamWriter
    from holdfast.runtime.inject import get_config as get_config
    from holdfast.runtime.inject import get_stream_writer as get_stream_writer
    from holdfast.runtime.interrupt import Command as Command
    from holdfast.runtime.interrupt import Input as Input
    from holdfast.runtime.interrupt import interrupt as interrupt
    from holdfast.runtime.questions import Interrupt as Interrupt
    from holdfast.tracing import flush as flush
    from holdfast.tuning import tune as tune
    from holdfast.values.codec import register as register

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
    "Probe",
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
    "StateUpdate",
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
    "holdfast._entrypoint": ("Entrypoint",),
    "holdfast._graph.builder": ("StateGraph",),
    "holdfast._graph.compiled": ("CompiledStateGraph",),
    "holdfast._graph.nodes": ("NodeError",),
    "holdfast._graph.routes": ("END", "START", "Send", "StateUpdate"),
    "holdfast._snapshots": ("SnapshotTask", "StateSnapshot"),
    "holdfast._task": ("Task", "task"),
    "holdfast._typed": ("entrypoint",),
    "holdfast.cache.disk": ("DiskCache",),
    "holdfast.cache.memory": ("InMemoryCache",),
    "holdfast.checkpoint.memory": ("InMemorySaver",),
    "holdfast.checkpoint.sqlite": ("SqliteSaver",),
    "holdfast.runtime.ending": ("final",),
    "holdfast.runtime.future": ("TaskFuture",),
    "holdfast.runtime.idempotency": ("get_idempotency_key",),
    "holdfast.runtime.inject": ("Runtime", "StreamWriter", "get_config", "get_stream_writer"),
    "holdfast.runtime.interrupt": ("Command", "Input", "interrupt"),
    "holdfast.runtime.questions": ("Interrupt",),
    "holdfast.tracing": ("flush",),
    "holdfast.tuning": ("tune",),
    "holdfast.values.codec": ("register",),
}
"""Where the names are that a function decorated with `resilient` does not need: loaded on first use."""
_PLACES = {name: module for module, names in _IN.items() for name in names}


def __getattr__(name: str) -> object:
    """Load what runs, graphs, checkpoints, traces and tuning need, and the version, on first use."""
    if name in _PLACES:
        from importlib import import_module

        found = globals()[name] = getattr(import_module(_PLACES[name]), name)
        return found
    if name == "__version__":
        from importlib.metadata import version

        return version("holdfast")
    msg = f"module 'holdfast' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
