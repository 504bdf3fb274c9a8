"""holdfast makes calls hold fast: one decorator gives a flaky call retries, a cache, a checkpoint and a trace.

>>> @resilient(retry_policy=RetryPolicy(max_attempts=5))
... def fetch(city: str) -> str:
...     return f"sunny in {city}"
>>> fetch("Oslo")
'sunny in Oslo'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import _lazy
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
from holdfast.policies import CachePolicy, Probe, RetryPolicy, StopReason, TimeoutPolicy, Tune
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
    from holdfast._version import __version__ as __version__
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
    "Tune",
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


if not TYPE_CHECKING:  # a type checker would take it for a reason to accept every name
    __getattr__ = _lazy.lazy(
        globals(),
        {
            "_entrypoint": ("Entrypoint",),
            "_graph.builder": ("StateGraph",),
            "_graph.compiled": ("CompiledStateGraph",),
            "_graph.nodes": ("NodeError",),
            "_graph.routes": ("END", "START", "Send", "StateUpdate"),
            "_snapshots": ("SnapshotTask", "StateSnapshot"),
            "_task": ("Task", "task"),
            "_typed": ("entrypoint",),
            "_version": ("__version__",),
            "cache.disk": ("DiskCache",),
            "cache.memory": ("InMemoryCache",),
            "checkpoint.memory": ("InMemorySaver",),
            "checkpoint.sqlite": ("SqliteSaver",),
            "runtime.ending": ("final",),
            "runtime.future": ("TaskFuture",),
            "runtime.idempotency": ("get_idempotency_key",),
            "runtime.inject": ("Runtime", "StreamWriter", "get_config", "get_stream_writer"),
            "runtime.interrupt": ("Command", "Input", "interrupt"),
            "runtime.questions": ("Interrupt",),
            "tracing": ("flush",),
            "tuning": ("tune",),
            "values.codec": ("register",),
        },
    )
    """Finds the names that a function decorated with `resilient` does not need: what runs, graphs, checkpoints, traces and tuning stand on."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
