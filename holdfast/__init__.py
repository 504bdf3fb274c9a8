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
    HoldfastError,
    InDoubt,
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
from holdfast.runtime.ending import final
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.idempotency import get_idempotency_key
from holdfast.runtime.inject import Runtime, StreamWriter, get_config, get_stream_writer
from holdfast.runtime.interrupt import Command, Input, interrupt
from holdfast.runtime.questions import Interrupt
from holdfast.values.codec import register

if TYPE_CHECKING:
    from holdfast.checkpoint.sqlite import SqliteSaver as SqliteSaver
    from holdfast.tracing import flush as flush
    from holdfast.tuning import tune as tune

__all__ = [
    "CachePolicy",
    "Command",
    "CorruptRecord",
    "DiskCache",
    "Divergence",
    "Entrypoint",
    "HoldfastError",
    "InDoubt",
    "InMemoryCache",
    "InMemorySaver",
    "Input",
    "Interrupt",
    "KeyFuncError",
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
    "SnapshotTask",
    "SqliteSaver",
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
    "get_config",
    "get_idempotency_key",
    "get_stream_writer",
    "interrupt",
    "register",
    "resilient",
    "task",
    "tune",
]


def __getattr__(name: str) -> object:
    """Load on first use what pulls in OpenTelemetry or SQLite, what few programs need, and the version."""
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
